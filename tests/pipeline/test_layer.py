"""The pipeline has no terminal: it neither prints nor knows of the command line."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import invgen.pipeline

FILES = sorted(Path(invgen.pipeline.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_nothing_is_printed_and_nothing_of_a_terminal_is_imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            assert not (isinstance(node, ast.Name) and node.id == "print")
            continue
        for name in names:
            assert name.split(".")[0] not in ("typer", "click", "rich")
            assert not name.startswith("invgen.cli")


def test_recipes_and_readings_come_without_torch():
    """The command line declares its options by them, and its help comes at once."""
    code = (
        "import sys; from invgen.pipeline import Reading, Recipe, reconstruct; Recipe(), Reading();"
        "sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'h5py')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
