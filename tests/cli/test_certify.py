"""`certify`: a report on samplers where the posterior is known, by the benchmark in this process."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from invgen.solvers.methods import used_for

QUICK = ("--samples", 100, "--iterations", 4, "--problem", "dense-2")


@pytest.fixture
def report(invgen, tmp_path):
    def run(suffix, *words):
        path = tmp_path / f"report{suffix}"
        result = invgen("certify", *words, *QUICK, "-o", path)
        assert result.exit_code == 0, result.output
        assert f"Wrote {path}" in result.output.replace("\n", "")
        assert {left.stem for left in tmp_path.iterdir()} == {"report"}
        return path, result.output

    return run


def test_each_solver_has_its_figures(report):
    path, output = report(".csv", "dds", "diffpir", "--seed", 3)
    rows = {row["method"]: row for row in csv.DictReader(path.open())}
    assert set(rows) == {"dds", "diffpir"}
    for row in rows.values():
        assert (row["suite"], row["task"], row["error"]) == ("certify", "dense-2", "")
        assert float(row["wasserstein"]) > float(row["floor"]) > 0  # four levels are far too few
        assert float(row["excess"]) == pytest.approx(float(row["wasserstein"]) / float(row["floor"]))
        assert (float(row["network_evaluations"]), float(row["network_derivatives"])) == (4, 0)
        assert 0 < float(row["coverage_90"]) <= 1
    assert "certify: dense-2" in output
    best = min(rows, key=lambda name: abs(float(rows[name]["excess"]) - 1))
    assert f"{best} is best on dense-2" in output


def test_figures_follow_from_the_seed_and_are_the_same_in_every_format(report):
    (row,) = csv.DictReader(report(".csv", "dds")[0].open())
    text = report(".md", "dds")[0].read_text()
    assert "### dense-2" in text
    for name, digits in (("wasserstein", 3), ("mean_bias", 3), ("coverage_90", 3)):
        assert f"| **{float(row[name]):.{digits}f}** |" in text
    assert f"{float(row['wasserstein']):.3f}" in report(".html", "dds")[0].read_text()
    (other,) = csv.DictReader(report(".csv", "dds", "--seed", 1)[0].open())
    assert other["wasserstein"] != row["wasserstein"]


def test_it_is_the_benchmark_without_its_folder(report, tmp_path_factory):
    import invgen as ig
    from invgen.bench.suites.certify import Certify

    numbers = {"draws": 1, "samples": 100, "measurements": 5, "rounds": 2, "settings": {"iterations": 4}}
    suite = Certify(Path("nowhere"), ("dds",), ("dense-2",), **numbers)
    (record,) = ig.bench.run(None, suite, output=tmp_path_factory.mktemp("kept"), workers=0).records
    (row,) = csv.DictReader(report(".csv", "dds")[0].open())
    for name, value in record.measures.items():
        assert float(row[name]) == value


def test_what_a_solver_cannot_do_is_reported_beside_the_others(report, monkeypatch):
    from invgen import solvers
    from invgen.core.errors import CapabilityError
    from invgen.solvers import methods

    class Unable(solvers.DDS):
        def __call__(self, problem, **_):
            raise CapabilityError("There are no singular values.")

    table_of = [replace(each, solver=Unable) if each.name == "diffpir" else each for each in methods.METHODS]
    monkeypatch.setattr(methods, "METHODS", table_of)
    path, output = report(".csv", "dds", "diffpir")
    dds, unable = csv.DictReader(path.open())
    reason = "CapabilityError: There are no singular values."
    assert f"diffpir: {reason}" in output
    assert "1 of 2 cells failed" in output
    assert float(dds["mean_bias"]) > 0
    assert (unable["mean_bias"], unable["error"]) == ("", reason)


@pytest.mark.parametrize("name", used_for("certify"))
def test_all_solvers_run(name, report):
    path, _ = report(".csv", name)
    (row,) = csv.DictReader(path.open())
    assert row["error"] == ""
    assert float(row["network_evaluations"]) > 0


def test_bad_input_is_refused_before_the_work(refused, tmp_path):
    assert "did you mean ddrm" in refused("certify", "ddrmm")
    assert "dense-2" in refused("certify", "dds", "--problem", "dense-3")
    assert ".html, .md, .csv, .tex" in refused("certify", "dds", "-o", tmp_path / "table.json")
    folder = tmp_path / "folder.md"
    folder.mkdir()
    assert "is a folder" in refused("certify", "dds", "-o", folder)
    assert "cannot be written" in refused("certify", "dds", "-o", tmp_path / "no" / "table.md")
    assert "twenty samples" in refused("certify", "dds", "--problem", "dense-2", "--samples", 50)


def test_digits_that_are_not_there(refused, monkeypatch, tmp_path):
    monkeypatch.setenv("INVGEN_DATA", str(tmp_path))
    assert "INVGEN_DATA" in refused("certify", "dds", "--problem", "digits")


def test_truths_are_ranked_when_asked(invgen, tmp_path):
    path = tmp_path / "ranks.csv"
    words = ("dds", "--ranks", "--replicas", 20, "--samples", 9, "--iterations", 3, "--problem", "dense-2")
    result = invgen("certify", *words, "-o", path)
    assert result.exit_code == 0, result.output
    assert "ranks: dense-2" in result.output
    (row,) = csv.DictReader(path.open())
    assert (row["suite"], row["task"], row["method"]) == ("ranks", "dense-2", "dds")
    assert float(row["network_evaluations"]) == 3
    assert 0 < float(row["tarp_gap"]) < 1
    assert 0 <= float(row["sbc"]) <= 1
    lonely = invgen("certify", "dds", "--replicas", 20)
    assert lonely.exit_code == 1
    assert "--ranks" in lonely.output
