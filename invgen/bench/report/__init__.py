"""Reports of results: the same rows as a page, as Markdown, as CSV and as LaTeX."""

from __future__ import annotations

from invgen.bench.report.writing import FORMATS, write_report

__all__ = ["FORMATS", "write_report"]
