"""Pages that other files of the repository hold: cards of weights, changes, figures, stored pictures."""

from __future__ import annotations

import re
import shutil

from docs.execute import DOCS
from docs.extensions.gallery import STORED, made

__all__ = ["CARDS", "license_of", "setup"]

ROOT = DOCS.parent
WEIGHTS, WHOLE = DOCS / "project" / "weights", DOCS / "project" / "whole"
CARDS = sorted((ROOT / "invgen").rglob("weights/*.md"))
#: Files that are pages as they are.
FILES = ("CHANGELOG.md", "benchmarks/RESULTS.md", "benchmarks/REPORT.md")
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:)[^)]+\)")
_PICTURE = re.compile(r"^!\[([^\]]+)\]\(([^)]+)\)$", re.M)


def license_of(card: str) -> str:
    """What a card says about the license of its weights, or of the data that they were trained on."""
    rows = re.findall(r"^\| (licen[cs]e[^|]*)\| (.*?) \|$", card, re.M)
    return " ".join(f"{about.strip()}: {text}." for about, text in rows) or "See the card."


def without_links(text: str) -> str:
    """Text without its links to files, which lie elsewhere on the site, or not at all."""
    return _LINK.sub(r"\1", text)


def _cards() -> None:
    rows = ""
    for path in CARDS:
        card = path.read_text()
        (WEIGHTS / path.name).write_text(without_links(card))
        rows += f"| [{path.stem}]({path.name}) | {license_of(card)} |\n"
    entries = "".join(f"{path.stem}\n" for path in CARDS)
    (WEIGHTS / "index.md").write_text(
        "# Weights that ship\n\nWhat each was trained on, how, and where it fails, is on its card.\n\n"
        f"| weights | license |\n|---|---|\n{rows}\n```{{toctree}}\n:hidden:\n\n{entries}```\n"
    )


def _pictures() -> str:
    """The gallery's README, with the commit and date of each picture."""

    def figure(match: re.Match) -> str:
        when = made(STORED / match[2])
        note = f"\n\nStored result{', made on ' + when if when else ''}."
        return f"```{{figure}} /../examples/gallery/{match[2]}\n:alt: {match[1]}{note}\n```"

    text = without_links((STORED / "README.md").read_text()).replace("# Gallery", "# Stored pictures", 1)
    return _PICTURE.sub(figure, text)


def _write(app) -> None:
    for folder in (WEIGHTS, WHOLE):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    _cards()
    for name in FILES:
        text = without_links((ROOT / name).read_text())
        pictures = _PICTURE.sub(r"![\1](/../benchmarks/\2)", text) if name.startswith("benchmarks") else text
        (WHOLE / name.rpartition("/")[2].lower()).write_text(pictures)
    (WHOLE / "pictures.md").write_text(_pictures())


def setup(app):
    """Write the pages before any is read."""
    app.connect("builder-inited", _write, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
