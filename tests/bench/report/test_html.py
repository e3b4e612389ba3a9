"""The page as a file: nothing is loaded, names are text, and tables are there without JavaScript."""

import json
import math
import re
from html.parser import HTMLParser

import pytest

from invgen.bench.record import Cell, Record
from invgen.bench.report import write_report
from invgen.bench.store import Results, SuiteInfo
from invgen.bench.summary import lines


class Page(HTMLParser):
    """Tags with their attributes, the text of scripts, and the texts of cells."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts, self.rows, self.inside = [], {}, [], None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        self.inside = dict(attributes).get("id", "code") if tag == "script" else self.inside

    def handle_endtag(self, tag):
        self.inside = None if tag == "script" else self.inside

    def handle_data(self, data):
        if self.inside is not None:
            self.scripts[self.inside] = self.scripts.get(self.inside, "") + data
        elif self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def text(results, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_report(results, path)
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_nothing_is_loaded_from_anywhere(page):
    for tag, attributes in page.tags:
        for name in ("src", "href", "action", "data", "srcset", "poster"):
            assert re.match(r"$|#|data:", attributes.get(name, "")), (tag, attributes)
    assert any("default-src 'none'" in (attributes.get("content") or "") for _, attributes in page.tags)
    assert "@import" not in page.scripts["code"]


def test_names_are_text_and_no_script_is_there_but_the_reports(page, text):
    assert set(page.scripts) == {"data", "cells", "problems", "pictures", "code"}
    assert sum(tag == "script" for tag, _ in page.tags) == 5
    assert not any(tag == "img" for tag, _ in page.tags)
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert not re.search(r"<script>alert|<img src=x|document\.title='broken'</script", text)


def test_data_are_json_with_the_names_as_they_are(page, results):
    data, cells, problems, pictures = (
        json.loads(page.scripts[name]) for name in ("data", "cells", "problems", "pictures")
    )
    methods = {record.cell.method for record in results.records()}
    shown = {row["label"] for task in data["suites"][0]["tasks"] for row in task["rows"]}
    assert methods <= shown
    assert len(cells[0]) == len(results.records())
    places = [one[part] for each in problems for one in each["methods"] for part in ("image", "error")]
    assert len(places) == 2 * sum(not record.failed for record in results.records())
    assert max(places) < len(pictures)


def test_every_line_is_a_row_without_javascript(page, results):
    rows = [row for row in page.rows if len(row) > 8]
    found = {(row[0].strip(), row[1].split("≈")[0].strip(), row[3].strip()) for row in rows[1:]}
    for line in lines(results.records()):
        cell = line.cell
        label = cell.title + (" (tuned)" if cell.run == "tuned" else "")
        assert any(
            task == cell.task and name.startswith(label) and run.startswith(cell.run)
            for task, name, run in found
        ), label


def test_ranks_are_judged_by_kolmogorovs_critical_values(page):
    row = next(
        row
        for row in json.loads(page.scripts["data"])["suites"][0]["tasks"][0]["rows"]
        if row["label"] == "TV"
    )
    assert len(row["uniform"]["rank"]) == 4
    assert row["widths"]["rank"] == pytest.approx(0.624, abs=5e-4)  # of four at 5 %: Massey (1951), table 1


def test_spread_against_error_is_the_measured_ratio(page, results):
    rows = json.loads(page.scripts["data"])["suites"][0]["tasks"][0]["rows"]
    points = next(row["spread"] for row in rows if row["label"] == "TV")
    own = [
        r
        for r in results.records()
        if (r.cell.task, r.cell.title, r.cell.run) == ("30 views", "TV", "default")
    ]
    for (error, spread), record in zip(points, own, strict=True):
        assert error == math.sqrt(record.measures["mse"])
        assert spread / error == pytest.approx(record.measures["spread"])


def test_measures_of_any_name_without_images_make_a_page(tmp_path):
    with Results(tmp_path / "results") as results:
        results.describe_suite("posteriors", SuiteInfo("About.", "novel", {"Gaussian": {}}))
        for i, value in enumerate((1.5, -2.0, math.inf)):
            cell = Cell("posteriors", "Gaussian", f"problem {i}", "test", "ULA", 0)
            results.add(Record(str(i), cell, {"novel": value}, version="1"))
        write_report(results, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert 'id="images"' not in text
    assert any("novel" in row for row in page.rows)
    assert [row[4] for row in json.loads(page.scripts["cells"])[0]] == ["1.500", "\N{MINUS SIGN}2.000", "∞"]
    assert json.loads(page.scripts["data"])["suites"][0]["tasks"][0]["rows"][0]["means"] == {"novel": None}


def test_what_reproduces_it_is_there(text):
    for said in (
        "invgen bench ct-sparse --seed 0",
        "2.13.0",
        "two cores",
        "0.1.0+abc",
        "scikit-image",
        "Holm 1979",
    ):
        assert said in text
    assert "2: disc 100, disc 101" in text  # images that knobs are tuned on
