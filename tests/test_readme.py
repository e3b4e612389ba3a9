"""The README is true: its links lead somewhere, its names are there, its examples and commands run."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

import invgen as ig
from invgen.cli import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def _slug(heading):
    """The anchor that code-hosting sites give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def _links():
    return [target for target in re.findall(r"\]\(([^)]+)\)", README) if "://" not in target]


@pytest.mark.parametrize("target", sorted(set(_links())))
def test_links_lead_to_files_and_headings(target):
    name, _, anchor = target.partition("#")
    path = ROOT / name
    assert path.exists()
    if anchor:
        assert anchor in map(_slug, re.findall(r"^#+ (.*)$", path.read_text(), re.M))


def test_every_how_to_and_explanation_of_the_site_is_linked_or_one_click_away():
    linked = {Path(target.partition("#")[0]) for target in _links()}
    reached = set(linked)
    for page in (path for path in linked if path.suffix == ".md" and path.parts[0] == "docs"):
        text = (ROOT / page).read_text()
        for target in re.findall(r"\]\(([^)#]+\.md)", text):
            reached.add((ROOT / page.parent / target).resolve().relative_to(ROOT))
    for folder in ("howto", "explanations"):
        for page in (ROOT / "docs" / folder).glob("*.md"):
            assert page.name == "index.md" or page.relative_to(ROOT) in reached


def test_it_is_short():
    assert len(README.splitlines()) <= 180


def test_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", README, re.M | re.S)
    assert len(blocks) >= 2
    names = {}
    for block in blocks:
        exec(block, names)
    assert (tmp_path / "tv.h5").exists()
    assert names["posterior"].samples.shape == (4, 64, 64)


def test_commands_from_a_scan_to_an_image_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ig.simulate.simulate_ct("scan.h5", "foam", size=32, views=20)
    section = README.split("## From a scan to an image")[1].split("\n## ")[0]
    commands = re.findall(r"^(invgen .*?)(?:  +#.*)?$", section, re.M)
    assert len(commands) == 3
    for command in commands:
        result = CliRunner().invoke(app, shlex.split(command)[1:])
        assert result.exit_code == 0, result.output
    assert (tmp_path / "image.png").stat().st_size > 1000


def test_names_of_what_is_there_are_public():
    section = README.split("## What is there")[1].split("\n## ")[0]
    names = [name for name in re.findall(r"`([^`]+)`", section) if name.isidentifier()]
    assert len(names) > 40
    modules = [ig, *(getattr(ig, name) for name in ig.__all__ if hasattr(getattr(ig, name), "__all__"))]
    missing = [name for name in names if not any(name in module.__all__ for module in modules)]
    assert missing == []
