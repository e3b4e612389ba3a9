"""Pages that other files hold: the card of each prior that ships, and a table of their licenses."""

from __future__ import annotations

import re
import shutil

from docs.execute import DOCS

__all__ = ["CARDS", "license_of", "setup"]

FOLDER = DOCS / "project" / "weights"
CARDS = sorted((DOCS.parent / "invgen").rglob("weights/*.md"))


def license_of(card: str) -> str:
    """What a card says about the license of its weights, or of the data that they were trained on."""
    rows = re.findall(r"^\| (licen[cs]e[^|]*)\| (.*?) \|$", card, re.M)
    return " ".join(f"{about.strip()}: {text}." for about, text in rows) or "See the card."


def _write(app) -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    rows = ""
    for path in CARDS:
        card = path.read_text()
        (FOLDER / path.name).write_text(card)
        rows += f"| [{path.stem}]({path.name}) | {license_of(card)} |\n"
    entries = "".join(f"{path.stem}\n" for path in CARDS)
    (FOLDER / "index.md").write_text(
        "# Weights that ship\n\nWhat each was trained on, how, and where it fails, is on its card.\n\n"
        f"| weights | license |\n|---|---|\n{rows}\n```{{toctree}}\n:hidden:\n\n{entries}```\n"
    )


def setup(app):
    """Write the pages before any is read."""
    app.connect("builder-inited", _write, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
