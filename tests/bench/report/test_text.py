"""Reports as text: figures in full, and names that mean nothing to the format."""

import csv
import json
import re

import pytest

from invgen.bench.report import write_report
from invgen.bench.summary import lines
from invgen.core.errors import FileError, ParameterError


def written(results, path):
    write_report(results, path)
    return path.read_text(encoding="utf-8")


def test_csv_holds_every_line_in_full_precision(results, tmp_path):
    rows = list(csv.DictReader(written(results, tmp_path / "report.csv").splitlines()))
    expected = {(line.cell.task, line.cell.method, line.cell.run): line for line in lines(results.records())}
    assert len(rows) == len(expected)
    for row in rows:
        line = expected[row["task"], row["method"], row["run"]]
        assert int(row["failures"]) == len(line.failures)
        assert json.loads(row["axes"]) == line.cell.axes
        for name, mean in line.means.items():
            assert float(row[name]) == mean
            assert row[f"{name}_error"] == ("" if name not in line.errors else repr(line.errors[name]))


def test_markdown_has_a_row_for_every_line_and_no_markup_in_names(results, tmp_path):
    text = written(results, tmp_path / "report.md")
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    for table in tables:
        bars = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
        assert len(bars) == 1, table
    assert sum(table.count("\n") - 2 for table in tables[:2]) == len(lines(results.records()))
    assert not re.search(r"(?<!\\)<(script|img|b)", text)
    assert "deepinv is not installed" in text
    assert "weight = 0.0123" in text
    assert "reported on 4 images" in text
    assert "1 of 4, 3 failed" in text


def test_latex_is_balanced_and_sets_names_as_they_are(results, tmp_path):
    text = written(results, tmp_path / "report.tex")
    bare = re.sub(r"\\[\\&%$#_{}]", "", text)  # without escaped signs
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 2
    for head, body in re.findall(r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end\{tabular\}", text, re.DOTALL):
        rows = [row for row in body.splitlines() if row.endswith(r"\\")]
        assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {len(head)}
        assert not any(re.search(r"(?<!\\)[#%_]|\^|~", row) for row in rows)
    assert (
        r"a\_b \& 50 \% of \$x\$ \#1 \{y\} \textasciitilde{} \textasciicircum{}2 \textbackslash{}alpha"
        in text
    )


def test_other_formats_are_refused_and_nothing_is_left_where_it_cannot_be_written(results, tmp_path):
    with pytest.raises(ParameterError, match=r"\.html, \.md, \.csv, \.tex"):
        write_report(results, tmp_path / "report.pdf")
    with pytest.raises(FileError):
        write_report(results, tmp_path / "nowhere" / "report.md")
    assert list(tmp_path.iterdir()) == []
