"""The figure of a suite: a measure against what its tasks differ in."""

from itertools import product

import pytest

from invgen.bench.record import Cell, Record
from invgen.bench.report.content import gather
from invgen.bench.report.curves import curve_axis, curves
from invgen.bench.store import Results, SuiteInfo


def record(method, views, image, psnr, run="default", organ="head"):
    axes = {"organ": organ, "views": views}
    cell = Cell("s", f"{organ}, {views} views", f"image {image}", "test", method, 0, run, axes)
    error = "it failed" if psnr is None else None
    return Record(
        f"{method}-{organ}-{views}-{image}-{run}", cell, {} if error else {"psnr": psnr}, error=error
    )


@pytest.fixture
def suite(tmp_path):
    """The suite of some records, as reports have it."""

    def make(records):
        with Results(tmp_path) as results:
            for each in records:
                results.add(each)
            results.describe_suite("s", SuiteInfo("about it", "psnr", {}))
            return gather(results).suites[0]

    return make


def test_means_and_errors_are_drawn_in_the_order_of_the_axis(suite):
    values = {60: (32.0, 34.0), 15: (20.0, 22.0), 120: (38.0, 40.0)}
    records = [record("tv", v, i, x) for v, pair in values.items() for i, x in enumerate(pair)]
    drawn = suite(records)
    assert curve_axis(drawn) == "views"
    (axes,) = curves(drawn).axes
    (line,) = axes.lines
    assert list(line.get_xdata()) == [15, 60, 120]
    assert list(line.get_ydata()) == [21, 33, 39]
    (band,) = axes.collections
    low, high = band.get_datalim(axes.transData).get_points()[:, 1]
    assert (low, high) == (20, 40)  # a standard error of one about the means
    assert axes.get_xscale() == "log"


def test_a_tuned_method_is_drawn_once(suite):
    records = [record("tv", v, 0, 20.0, run) for v, run in product((15, 60), ("default", "tuned"))]
    (axes,) = curves(suite(records)).axes
    assert [line.get_label() for line in axes.lines] == ["tv (tuned)"]
    (axes,) = curves(suite(records), ["tv"]).axes
    assert [line.get_label() for line in axes.lines] == ["tv"]


def test_means_over_fewer_images_are_not_drawn(suite):
    records = [record("tv", v, i, 20.0) for v, i in product((15, 60), (0, 1))]
    records += [record("cg", v, i, None if (v, i) == (15, 1) else 21.0) for v, i in product((15, 60), (0, 1))]
    (axes,) = curves(suite(records)).axes
    found = {line.get_label(): list(line.get_xdata()) for line in axes.lines}
    assert found == {"tv": [15, 60], "cg": [60]}


def test_words_are_panels(suite):
    records = [record("tv", v, 0, 20.0, organ=o) for v, o in product((15, 60), ("head", "chest"))]
    figure = curves(suite(records))
    assert [axes.get_title() for axes in figure.axes] == ["chest", "head"]


def test_a_suite_whose_tasks_differ_in_words_has_no_axis(suite):
    assert curve_axis(suite([record("tv", 15, 0, 20.0)])) is None
