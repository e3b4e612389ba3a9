"""The gallery: scripts of ``examples/``, the quick ones executed, the others with their stored pictures.

sphinx-gallery wants a title above each script's text; the scripts have a sentence, which is also what
``--help`` shows. It therefore reads copies, made here. Which stored picture is a script's, the gallery's
README says: a command ``python examples/NAME.py``, and below it the pictures that it makes.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from pathlib import Path

from docutils import nodes
from matplotlib.figure import Figure
from sphinx_gallery.scrapers import figure_rst

from docs.execute import DOCS

__all__ = ["QUICK", "made", "settings", "setup", "stored_pictures"]

EXAMPLES = DOCS.parent / "examples"
STORED = EXAMPLES / "gallery"
COPIES = DOCS / "generated" / "examples"

#: Scripts that run within seconds, and their arguments.
QUICK = {
    "tomography.py": ["--size", "96"],
    "imaging.py": ["--size", "64"],
    "mri.py": ["--size", "64"],
    "own_physics.py": [],
    "posterior/tomography.py": ["--size", "64", "--samples", "2"],
}
_PICTURE = "picture.png"


def stored_pictures() -> dict[str, list[tuple[str, str]]]:
    """Files and alternative texts of the stored pictures of each script."""
    found: dict[str, list[tuple[str, str]]] = {}
    for section in (STORED / "README.md").read_text().split("\n## "):
        script = re.search(r"^python examples/(\S+\.py)", section, re.M)
        if script:
            after = section[script.end() :]
            pictures = [(name, alt) for alt, name in re.findall(r"^!\[([^\]]+)\]\(([^)]+)\)", after, re.M)]
            found.setdefault(script[1], []).extend(pictures)
    return found


def made(path: Path) -> str:
    """When a file was committed last, and by which commit; empty outside of a repository."""
    command = ["git", "log", "-1", "--format=%cs by commit %h", "--", str(path)]
    done = subprocess.run(command, cwd=path.parent, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _head(script: str, doc: str) -> str:
    """Title, text and stored pictures of a script, as reStructuredText."""
    title, _, rest = doc.strip().partition("\n")
    title = title.strip().rstrip(".")
    command, _, text = rest.strip().partition("\n\n")
    lines = [title, "=" * len(title), "", text.strip(), "", "::", "", f"    {command.strip()}", ""]
    if script not in QUICK:
        for name, alt in stored_pictures().get(script, ()):
            when = made(STORED / name)
            note = f"Stored result{', made on ' + when if when else ''}."
            lines += [f".. figure:: /../examples/gallery/{name}", f"   :alt: {alt}", "", f"   {note}", ""]
    return "\n".join(lines)


def _copy(script: Path) -> None:
    """Write a copy of a script whose docstring begins with a title."""
    text = script.read_text()
    first = ast.parse(text).body[0]
    name = str(script.relative_to(EXAMPLES))
    body = "\n".join(text.splitlines()[first.end_lineno :])
    head = _head(name, ast.literal_eval(first.value)).replace("\\", "\\\\")
    stored = [] if name in QUICK else stored_pictures().get(name, [])
    if stored:  # relative to the settings of sphinx
        body += f"\n# sphinx_gallery_thumbnail_path = '../examples/gallery/{stored[0][0]}'"
    target = COPIES / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(f'"""\n{head}\n"""\n{body}\n')


def _without_picture() -> Path:
    """Draw the thumbnail of scripts that make no picture."""
    figure = Figure(figsize=(4, 2.8))
    figure.text(
        0.5, 0.5, ">>>", size=60, color="lightsteelblue", ha="center", va="center", family="monospace"
    )
    path = COPIES / "without_picture.png"
    figure.savefig(path)
    return path


_SECTIONS = {
    "": ("Gallery", "Scripts that run from top to bottom. Some are executed when this site is built."),
    "posterior": ("Samples from posteriors", "What a measurement leaves open, by diffusion models."),
}


def _write_copies() -> None:
    shutil.rmtree(COPIES, ignore_errors=True)
    for folder, (title, text) in _SECTIONS.items():
        for script in sorted((EXAMPLES / folder).glob("*.py")):
            _copy(script)
        lines = f"{title}\n{'=' * len(title)}\n\n{text}\n"
        (COPIES / folder / "GALLERY_HEADER.rst").write_text(lines)


def _arguments(conf, variables) -> list[str]:
    name = str(Path(variables["src_file"]).relative_to(COPIES))
    return [*QUICK[name], *([] if name == "own_physics.py" else ["--output", _PICTURE])]


def _scrape(block, variables, conf):
    """Find the picture that a script has written."""
    picture = COPIES / Path(variables["src_file"]).relative_to(COPIES).parent / _PICTURE
    if not picture.exists():
        return ""
    target = next(variables["image_path_iterator"])
    shutil.move(picture, target)
    return figure_rst([target], conf["src_dir"], "What the script draws")


def settings() -> dict:
    """Settings of sphinx-gallery; the copies are made."""
    _write_copies()
    quick = "|".join(re.escape(name) for name in QUICK)
    return {
        "examples_dirs": [str(COPIES)],
        "gallery_dirs": ["gallery"],
        "filename_pattern": rf"generated/examples/({quick})$",
        "reset_argv": _arguments,
        "image_scrapers": (_scrape,),
        "reset_modules": (),
        "capture_repr": (),
        "default_thumb_file": str(_without_picture()),
        "plot_gallery": True,
        "abort_on_example_error": True,
        "remove_config_comments": True,
        "write_computation_times": False,
        "show_signature": False,
        "download_all_examples": False,
        "notebook_extensions": set(),
        "min_reported_time": 10**6,
        "within_subsection_order": "FileNameSortKey",
    }


def _describe(app, doctree) -> None:
    """Give thumbnails, whose examples stand below them, an alternative text."""
    for image in doctree.findall(nodes.image):
        if not image.get("alt"):
            name = Path(image["uri"]).stem.removeprefix("sphx_glr_").removesuffix("_thumb")
            image["alt"] = f"Thumbnail of {name.replace('_', ' ')}"


def setup(app):
    """Describe pictures that sphinx-gallery leaves without words."""
    app.connect("doctree-read", _describe)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
