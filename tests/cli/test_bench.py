"""`bench`: suites from the command line, their reports, and what goes wrong."""

import csv
import json
import sqlite3

import pytest

#: But for the folder of results.
COMMAND = ["bench", "bench_toy:tiny", "--own", "bench_toy:blurred", "--trials", "2", "--workers", "1", "-o"]


@pytest.fixture(scope="module")
def results(toy, tmp_path_factory):
    """A folder of results, and what the command printed."""
    from typer.testing import CliRunner

    from invgen.cli import app

    folder = tmp_path_factory.mktemp("bench") / "results"
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*COMMAND, str(folder)])
    assert result.exit_code == 0, result.output
    return folder, result.output


def test_a_suite_is_run_and_reported(results):
    folder, output = results
    assert "noisy, a prior" in output
    assert "nobody is not installed: pip install nobody" in output
    assert "1 of 5 cells failed" in output.replace("\n", " ")
    for name in ("report.html", "report.md", "report.csv"):
        assert (folder / name).stat().st_size > 500
    rows = list(csv.DictReader((folder / "report.csv").open()))
    assert {row["method"] for row in rows} >= {"damped", "noisy", "blurred", "absent"}


@pytest.mark.slow
def test_a_second_run_has_nothing_to_do_and_says_the_same(results, invgen):
    folder, _ = results
    before = (folder / "report.csv").read_text()
    again = invgen(*COMMAND, folder)
    assert again.exit_code == 0, again.output
    assert (folder / "report.csv").read_text() == before


def test_results_are_merged_and_exported(results, invgen, tmp_path):
    pytest.importorskip("pyarrow")
    folder, _ = results
    result = invgen("bench", "--merge", folder, "-o", tmp_path / "all", "--export", "parquet")
    assert result.exit_code == 0, result.output
    assert "Added" in result.output
    with sqlite3.connect(tmp_path / "all" / "records.sqlite") as database:
        (count,) = database.execute("SELECT count(*) FROM records").fetchone()
        (facts,) = database.execute("SELECT value FROM runs").fetchone()
    assert f"Added {count} records" in result.output
    assert json.loads(facts)["suites"] == ["toy"]
    assert (tmp_path / "all" / "records.parquet").exists()


def test_suites_are_listed_with_their_methods(invgen, measured_file):
    folder = measured_file("images/kodim01.png").parents[1]
    result = invgen("bench", "--list", "--data", folder)
    assert result.exit_code == 0, result.output
    for name in ("cs-digits", "inpainting", "certify", "diffpir (denoiser-gray)"):
        assert name in result.output


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("bench",), "Name a suite"),
        (("bench", "inpaintin"), "did you mean inpainting"),
        (("bench", "nothing:at_all"), "no dotted name"),
        (("bench", "inpainting", "--data", "/nowhere"), "kodim01"),
        (("bench", "bench_toy:tiny", "--methods", "damp"), "did you mean damped"),
        (("bench", "bench_toy:tiny", "--own", "bench_toy:no"), "no dotted name"),
        (("bench", "--merge", "/nowhere"), "holds no results"),
        (("bench", "--export", "parquet"), "holds no results"),
        (("bench", "--export", "xml"), "knows parquet"),
        (("bench", "bench_toy:tiny", "--priors", "digitz"), "did you mean digits"),
    ],
)
def test_what_cannot_be_run_is_refused(toy, refused, tmp_path, words, reason):
    assert reason in refused(*words, "-o", tmp_path / "results")


def test_an_output_that_is_a_file_is_refused(toy, refused, tmp_path):
    path = tmp_path / "file"
    path.write_text("mine")
    assert "no folder for results" in refused("bench", "bench_toy:tiny", "-o", path)
    assert path.read_text() == "mine"
