"""What a report says, whatever the format."""

import math

import pytest

from invgen.bench.record import Cell, Record
from invgen.bench.report.columns import Column
from invgen.bench.report.content import gather
from invgen.bench.store import Results, SuiteInfo
from invgen.core.errors import ParameterError


def make(folder, values, primary="psnr", run="default"):
    """Results of one task: a value for each image of each method, None where it failed."""
    results = Results(folder)
    results.describe_suite("s", SuiteInfo("about", primary, {"t": {"axes": {}, "test": [], "tuning": []}}))
    for method, found in values.items():
        for i, value in enumerate(found):
            cell = Cell("s", "t", f"image {i}", "test", method, 0, run)
            error = None if value is not None else "it failed"
            measures = {} if value is None else {primary: value}
            results.add(Record(f"{method} {run} {i}", cell, measures, error=error, version="1"))
    return results


def only(results):
    (suite,) = gather(results).suites
    (task,) = suite.tasks
    return suite, task


@pytest.mark.parametrize(
    ("measure", "values"), [("psnr", (30.0, 20.0)), ("nmse", (0.1, 0.2)), ("consistency", (1.1, 0.7))]
)
def test_the_best_is_the_one_that_its_measure_calls_better(tmp_path, measure, values):
    good, bad = values
    suite, task = only(make(tmp_path, {"bad": [bad] * 3, "good": [good] * 3}, measure))
    assert [row.label for row in task.rows] == ["good", "bad"]
    assert [measure in row.best for row in task.rows] == [True, False]
    assert task.sentence.startswith(f"good is best on t: {suite.primary.title.partition(' / ')[0]}")


def test_a_mean_over_the_easy_images_is_not_the_best_and_says_what_is_missing(tmp_path):
    _, task = only(make(tmp_path, {"whole": [30.0, 20.0], "easy": [35.0, None]}))
    whole, easy = task.rows
    assert whole.label == "whole"
    assert whole.best == {"psnr"}
    assert easy.best == frozenset()
    assert (whole.note("psnr"), easy.note("psnr")) == ("", "1 of 2, 1 failed")
    assert easy.error == "it failed"


def test_where_no_method_has_every_image_the_best_says_so(tmp_path):
    _, task = only(make(tmp_path, {"a": [30.0, None], "b": [None, 20.0]}))
    assert task.rows[0].label == "a"
    assert "1 of 2, 1 failed" in task.sentence


def test_where_all_fail_there_is_no_best(tmp_path):
    _, task = only(make(tmp_path, {"a": [None, None]}))
    assert task.sentence == "No method has a result on t."
    assert [row.line.cells for row in task.rows] == [0]


def test_methods_that_differ_by_chance_are_not_distinguishable_and_those_that_do_not_are(tmp_path):
    base = [20.0 + i for i in range(12)]
    chance = [value + (-1) ** i * (0.1 + 0.01 * i) for i, value in enumerate(base)]
    worse = [value - 1 - 0.01 * i for i, value in enumerate(base)]
    _, task = only(make(tmp_path, {"base": base, "chance": chance, "worse": worse}))
    tied = {row.label: row.is_tied for row in task.rows[1:]}
    best = task.rows[0].label
    assert best in ("base", "chance")
    assert tied == {"chance" if best == "base" else "base": True, "worse": False}
    assert "ahead of worse" in task.sentence
    assert "Not distinguishable from it" in task.sentence


def test_equal_methods_have_a_reference_and_no_bold_figures(tmp_path):
    _, task = only(make(tmp_path, {"a": [20.0, 21.0], "b": [20.0, 21.0]}))
    assert not any(row.best for row in task.rows)
    assert task.rows[0].test is None
    assert task.rows[1].is_tied


def test_the_tuned_method_stands_beside_the_default_one(tmp_path):
    make(tmp_path, {"TV": [20.0, 21.0]})
    _, task = only(make(tmp_path, {"TV": [22.0, 23.0]}, run="tuned"))
    assert [row.label for row in task.rows] == ["TV (tuned)", "TV"]


def test_a_measure_that_is_not_known_is_shown_without_a_direction(tmp_path):
    suite, task = only(make(tmp_path, {"a": [1.0, 2.0], "b": [3.0, 4.0]}, primary="novel"))
    assert [column.name for column in suite.shown] == ["novel"]
    assert not any(row.best for row in task.rows)


@pytest.mark.parametrize(("name", "is_shown"), [("floor", True), ("calibration", True), ("rank", False)])
def test_what_is_not_ranked_is_never_best_and_of_it_only_ranks_are_no_figure(tmp_path, name, is_shown):
    suite, task = only(make(tmp_path, {"b": [0.2, 0.4], "a": [0.9, 0.7]}, primary=name))
    assert [column.name for column in suite.shown] == [name] * is_shown
    assert [column.is_uniform for column in suite.columns] == [not is_shown]
    assert suite.primary.measure.distance(0.2) == suite.primary.measure.distance(0.9)
    assert [(row.label, row.best) for row in task.rows] == [("a", frozenset()), ("b", frozenset())]
    assert task.sentence.startswith("Methods are not ranked on t")


def test_perfect_images_are_infinitely_good(tmp_path):
    suite, task = only(make(tmp_path, {"exact": [math.inf, math.inf], "other": [20.0, 30.0]}))
    assert task.rows[0].label == "exact"
    assert suite.primary.text(math.inf) == "∞"


def test_unknown_versions_and_suites_are_named_with_what_there_is(tmp_path):
    results = make(tmp_path, {"a": [1.0]})
    with pytest.raises(ParameterError, match="it holds s of version 1"):
        gather(results, version="2")
    with pytest.raises(ParameterError, match="no records of u;"):
        gather(results, suites=["u"])


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("psnr", 31.456, "31.46"),
        ("psnr", 0.0, "0.00"),
        ("mse", 3.21e-7, "3.2e-07"),
        ("ssim", -0.0126, "-0.013"),
    ],
)
def test_figures_keep_their_size_however_small(name, value, text):
    from invgen.bench.measures import MEASURES

    assert Column(name, MEASURES[name]).text(value) == text


def test_only_images_that_were_run_are_named(tmp_path):
    results = make(tmp_path, {"tv": [30.0, 31.0]})
    splits = {"test": ["image 0", "image 1", "image 2"], "tuning": ["a", "b"]}
    results.describe_suite("s", SuiteInfo("about", "psnr", {"t": {"axes": {}, **splits}}))
    results.add(
        Record("trial", Cell("s", "t", "b", "tuning", "tv", 0, "tuning"), {"psnr": 20.0}, version="1")
    )
    suite, _ = only(results)
    assert suite.info.tasks["t"]["test"] == ["image 0", "image 1"]
    assert suite.info.tasks["t"]["tuning"] == ["b"]
