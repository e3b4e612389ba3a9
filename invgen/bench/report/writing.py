"""Write a report in the format that the file's suffix names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from invgen.bench.report.content import Report, gather
from invgen.bench.report.html import as_html
from invgen.bench.report.text import as_csv, as_latex, as_markdown
from invgen.bench.store import Results
from invgen.core.errors import ParameterError
from invgen.core.files import atomic_path

__all__ = ["FORMATS", "require_format", "write_report"]

#: What writes a report, by the suffix of the file.
FORMATS: dict[str, Callable[[Report, Results], str]] = {
    ".html": as_html,
    ".md": lambda report, _: as_markdown(report),
    ".csv": lambda report, _: as_csv(report),
    ".tex": lambda report, _: as_latex(report),
}


def require_format(path: str | Path) -> Callable[[Report, Results], str]:
    """What writes a report to a path.

    Raises
    ------
    ParameterError
        For a suffix of none of the `FORMATS`.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise ParameterError(
            f"A report is written as {', '.join(FORMATS)}; {Path(path).name} is none of these."
        )
    return FORMATS[suffix]


def write_report(
    results: Results, path: str | Path, version: str | None = None, suites: Sequence[str] = ()
) -> None:
    """Write a report: a page that opens offline, or tables as Markdown, CSV or LaTeX.

    >>> ig.bench.write_report(ig.bench.Results("results", create=False), "report.html")

    Parameters
    ----------
    results : Results
    path : str or Path
        Of a suffix in `FORMATS`. The file appears when it is complete.
    version : str, optional
        Of the code whose records are shown; all of them otherwise.
    suites : sequence of str
        Which are shown; all, if empty.

    Raises
    ------
    ParameterError
        For another suffix, or where there are no records of that version or those suites.
    FileError
        When the file cannot be written.
    """
    text = require_format(path)(gather(results, version, suites), results)
    with atomic_path(path) as beside:
        beside.write_text(text, encoding="utf-8", newline="\n")
