"""Run the blocks of a page in their order: ``python -m docs.execute PAGE`` prints what each of them prints.

Blocks of Python share their names, and all blocks of a page share a folder, which is empty at first. A
command of ``invgen`` runs in the same process, so that it starts at once; any other runs in a shell. Where a
block says ``:needs: MODULE`` and that is not installed, it is shown and not run; one that says ``:fails:``
shows an error message that is expected, and must fail.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import types
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

__all__ = ["FOLDER", "Block", "blocks", "folder_of", "is_fresh", "outputs", "run_all"]

DOCS = Path(__file__).parent
#: Of the pages' folders; what they write is never committed.
FOLDER = DOCS / "generated" / "pages"
_BLOCK = re.compile(
    r"^(?P<fence>`{3,})\{(?P<kind>python|shell)\}\n(?P<options>(?::[^\n]*\n)*)(?P<text>.*?)\n(?P=fence)$",
    re.M | re.S,
)


@dataclass(frozen=True)
class Block:
    """A block of a page: its language, text, options, and the line of the page that it begins in."""

    kind: str
    text: str
    options: dict[str, str]
    line: int

    @property
    def runs(self) -> bool:
        """Whether what it needs is installed, and can be imported."""
        try:
            importlib.import_module(self.options.get("needs", "sys"))
        except Exception:  # of packages that are not ours, and may break in any way
            return False
        return True


def blocks(page: Path) -> list[Block]:
    """Read the blocks of a page."""
    text = page.read_text()
    found = []
    for match in _BLOCK.finditer(text):
        options = dict(re.findall(r"^:(\w+):[ ]*(.*)$", match["options"], re.M))
        line = text.count("\n", 0, match.start("text")) + 1
        found.append(Block(match["kind"], match["text"].strip("\n"), options, line))
    return found


def folder_of(page: Path) -> Path:
    """Where the blocks of a page run."""
    return FOLDER / page.relative_to(DOCS).with_suffix("")


def outputs(page: Path) -> list[str]:
    """What the blocks of a page have printed when they were run last."""
    return _kept(page)["printed"]


def _kept(page: Path) -> dict:
    return json.loads((folder_of(page) / "outputs.json").read_text())


def _digest(page: Path) -> str:
    return hashlib.sha256(page.read_bytes()).hexdigest()


def is_fresh(page: Path) -> bool:
    """Whether the page has been run as it is now; of a change of the package `python -m docs` knows."""
    return (folder_of(page) / "outputs.json").exists() and _kept(page)["page"] == _digest(page)


def _python(text: str, page: Path, line: int, names: dict) -> None:
    exec(compile("\n" * (line - 1) + text, str(page), "exec"), names)


def _command(line: str) -> None:
    """Run a command as a shell would, or in this process where it is one of ours."""
    if line.startswith("invgen "):
        from invgen.cli import app

        code = 0
        try:
            app(shlex.split(line)[1:], standalone_mode=True)
        except SystemExit as done:
            code = done.code or 0
    else:
        done = subprocess.run(line, shell=True, capture_output=True, text=True, check=False)
        print(done.stdout + done.stderr, end="")
        code = done.returncode
    if code:
        raise RuntimeError(f"`{line}` ended with code {code}")


def _commands(text: str) -> list[str]:
    return [line for line in re.sub(r"\\\n\s*", "", text).splitlines() if line and not line.startswith("#")]


def _run(block: Block, page: Path, names: dict) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            if block.kind == "python":
                _python(block.text, page, block.line, names)
            else:
                for line in _commands(block.text):
                    _command(line.partition("  #")[0].strip())
        except Exception as error:
            if "fails" not in block.options:
                error.add_note(f"{page}, line {block.line}; printed before:\n{printed.getvalue()}")
                raise
            if block.kind == "python":
                print(f"{type(error).__name__}: {error}")
        else:
            if "fails" in block.options:
                raise RuntimeError(f"{page}, line {block.line}: it should fail and does not")
    return printed.getvalue()


def execute(page: Path) -> None:
    """Run a page, and keep what it prints."""
    folder = folder_of(page)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.chdir(folder)
    os.environ |= {"COLUMNS": "96", "NO_COLOR": "1"}
    for threads in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):  # pages run side by side
        os.environ.setdefault(threads, "1")
    script = sys.modules["__main__"] = types.ModuleType("__main__")  # as of a script: what it defines pickles
    printed = [_run(block, page, vars(script)) if block.runs else "" for block in blocks(page)]
    (folder / "outputs.json").write_text(json.dumps({"page": _digest(page), "printed": printed}))


def run_all(pages: list[Path], processes: int) -> list[str]:
    """Run pages, each in a process of its own; return a message for each that fails."""

    def run(page: Path) -> str | None:
        command = [sys.executable, "-m", "docs.execute", str(page)]
        done = subprocess.run(command, cwd=DOCS.parent, capture_output=True, text=True, check=False)
        return None if done.returncode == 0 else f"{page.relative_to(DOCS)} fails:\n{done.stderr}"

    with ThreadPoolExecutor(processes) as pool:
        return [message for message in pool.map(run, pages) if message]


if __name__ == "__main__":
    chosen = Path(sys.argv[1]).resolve()
    execute(chosen)
    print(*outputs(chosen), sep="\n")
