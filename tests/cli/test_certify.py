"""`certify`: a table of samplers on problems whose posterior is known."""

import csv
import json
from dataclasses import replace

import pytest

from invgen.solvers.methods import used_for

QUICK = ("--samples", 100, "--iterations", 4, "--problem", "dense-2")


@pytest.fixture
def table(invgen, tmp_path):
    def run(suffix, *words):
        path = tmp_path / f"table{suffix}"
        result = invgen("certify", *words, *QUICK, "-o", path)
        assert result.exit_code == 0, result.output
        assert f"Wrote {path}" in result.output.replace("\n", "")
        return path, result.output

    return run


def test_each_solver_has_its_figures(table):
    path, output = table(".json", "dds", "diffpir", "--seed", 3)
    reported = json.loads(path.read_text())
    assert reported["settings"] == {
        "samples": 100,
        "measurements": 5,
        "rounds": 2,
        "seed": 3,
        "iterations": 4,
    }
    assert [(row["problem"], row["solver"]) for row in reported["rows"]] == [
        ("dense-2", "dds"),
        ("dense-2", "diffpir"),
    ]
    for row in reported["rows"]:
        assert row["reason"] is None
        assert row["wasserstein"] > row["floor"] > 0  # four levels are far too few
        assert (row["evaluations"], row["derivatives"]) == (4, 0)
        assert 0 < row["coverage_90"] <= 1
    assert "1 random measurement" in output
    assert "diffpir" in output


def test_the_same_in_other_formats(table):
    path, _ = table(".csv", "dds")
    (row,) = csv.DictReader(path.open())
    as_json = json.loads(table(".json", "dds")[0].read_text())["rows"][0]
    assert float(row["wasserstein"]) == as_json["wasserstein"]
    text = table(".md", "dds")[0].read_text()
    assert "### dense-2" in text
    assert f"| dds | {as_json['wasserstein']:.3g} |" in text


def test_what_a_solver_cannot_do_is_reported_beside_the_others(table, monkeypatch):
    from invgen import solvers
    from invgen.core.errors import CapabilityError
    from invgen.solvers import methods

    class Unable(solvers.DDS):
        def __call__(self, problem, **_):
            raise CapabilityError("There are no singular values.")

    table_of = [replace(each, solver=Unable) if each.name == "diffpir" else each for each in methods.METHODS]
    monkeypatch.setattr(methods, "METHODS", table_of)
    path, output = table(".csv", "dds", "diffpir")
    dds, unable = csv.DictReader(path.open())
    assert "diffpir on dense-2: There are no singular values." in output
    assert float(dds["mean_bias"]) > 0
    assert (unable["mean_bias"], unable["reason"]) == ("", "There are no singular values.")
    assert "| diffpir | There are no singular values. |" in table(".md", "dds", "diffpir")[0].read_text()


@pytest.mark.parametrize("name", used_for("certify"))
def test_all_solvers_run(name, table):
    path, _ = table(".json", name)
    (row,) = json.loads(path.read_text())["rows"]
    assert row["reason"] is None
    assert row["evaluations"] > 0


def test_bad_input_is_refused_before_the_work(refused, tmp_path):
    assert "no such sampler" in refused("certify", "fbp")
    assert "dense-2" in refused("certify", "dds", "--problem", "dense-3")
    assert ".csv" in refused("certify", "dds", "-o", tmp_path / "table.txt")
    assert "cannot be written" in refused("certify", "dds", "-o", tmp_path / "no" / "table.md")
    assert "twenty samples" in refused("certify", "dds", "--problem", "dense-2", "--samples", 50)


def test_digits_that_are_not_there(refused, monkeypatch, tmp_path):
    monkeypatch.setenv("INVGEN_DATA", str(tmp_path))
    assert "INVGEN_DATA" in refused("certify", "dds", "--problem", "digits")
