"""The reference of the package: a page for each public name, made from ``__all__`` and the docstrings."""

from __future__ import annotations

import ast
import inspect
import re
import shutil
from collections import defaultdict
from pathlib import Path

from docs.execute import DOCS, blocks
from docs.extensions.docstrings import written
from docs.extensions.papers import cited
from docs.public import Name, bases, names, public_modules

__all__ = ["setup"]

FOLDER = DOCS / "reference" / "api"
EXAMPLES = DOCS.parent / "examples"


def _title(text: str, line: str = "=") -> str:
    return f"{text}\n{line * len(text)}\n\n"


def _summary(doc: str) -> str:
    """The first sentence of a docstring."""
    return " ".join(re.split(r"\n\s*\n", doc.strip(), maxsplit=1)[0].split())


def uses() -> dict[str, list[str]]:
    """Public names by the executed pages and examples that use them."""
    known = {name.called: name.path for name in names()}
    found: dict[str, list[str]] = defaultdict(list)
    sources = [(path, f":doc:`/{page}`", code) for path, page, code in _executed()]
    for _, link, code in sources:
        for called in sorted({_longest(node) for node in ast.walk(ast.parse(code))} & set(known)):
            if link not in found[known[called]]:
                found[known[called]].append(link)
    return found


def _longest(node: ast.AST) -> str:
    return ast.unparse(node) if isinstance(node, ast.Attribute) else ""


def _executed() -> list[tuple[Path, str, str]]:
    """Files of examples and of pages with executed blocks, the page that shows each, and its code."""
    found = []
    for path in sorted(EXAMPLES.rglob("*.py")):
        if path.relative_to(EXAMPLES).parts[0] != "training":
            page = path.relative_to(EXAMPLES).with_suffix("")
            found.append((path, f"gallery/{page}", _with_full_names(path.read_text())))
    for path in sorted(DOCS.rglob("*.md")):
        code = "\n".join(block.text for block in blocks(path) if block.kind == "python")
        found.append((path, str(path.relative_to(DOCS).with_suffix("")), _with_full_names(code)))
    return found


def _with_full_names(code: str) -> str:
    """Code in which what is imported from the package is written out, ``ig.solvers.PDHG``."""
    tree = ast.parse(code)
    full = {
        alias.asname or alias.name: f"ig{node.module.removeprefix('invgen')}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("invgen")
        for alias in node.names
    }

    class Written(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.AST:
            return ast.parse(full[node.id], mode="eval").body if node.id in full else node

    return ast.unparse(Written().visit(tree))


def _constant(value: object) -> str:
    """The keys of a table, or the entries of a tuple."""
    if isinstance(value, dict | tuple | list):
        return "Of " + ", ".join(f"``{entry}``" for entry in value) + "."
    return f"``{str(value).replace('typing.', '')}``"


def _page(name: Name, used: list[str]) -> str:
    text = _title(name.name)
    if not name.is_code:
        return f"{text}.. py:data:: {name.path}\n\n   {_constant(name.object)}\n"
    if inspect.isclass(name.object):
        text += f".. autoclass:: {name.path}\n   :members:\n   :show-inheritance:\n\n"
    else:
        text += f".. autofunction:: {name.path}\n\n"
    if sources := cited(name.object):
        text += ".. rubric:: Sources\n\n" + "".join(f"- :cite:t:`{key}`\n" for key in sources) + "\n"
    if used:
        text += ".. rubric:: Used in\n\n" + "".join(f"- {link}\n" for link in used) + "\n"
    return text


def _module_page(called: str, members: list[Name]) -> str:
    module = public_modules()[called]
    doc = written((inspect.getdoc(module) or "").strip())
    text = _title(called) + f".. py:module:: {called}\n\n{doc}\n\n"
    if members:
        text += ".. list-table::\n   :widths: 30 70\n\n"
        for name in members:
            about = written(_summary(name.doc)) or _constant(name.object)
            text += f"   * - :doc:`{name.name} <{name.path}>`\n     - {about}\n"
        text += "\n.. toctree::\n   :hidden:\n\n" + "".join(f"   {name.path}\n" for name in members) + "\n"
    return text


def _bases_page() -> str:
    text = _title("Base classes") + "What public classes inherit from these is theirs as well.\n\n"
    for base in bases():
        path = f"{base.__module__}.{base.__qualname__}"
        text += _title(base.__name__, "-") + f".. autoclass:: {path}\n   :members:\n   :show-inheritance:\n\n"
    return text


def _write(app) -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    by_module: dict[str, list[Name]] = defaultdict(list)
    for name in names():
        by_module[name.module].append(name)
    used = uses()
    for name in names():
        (FOLDER / f"{name.path}.rst").write_text(_page(name, used[name.path]))
    listed = [called for called in public_modules() if by_module[called]]
    for called in listed:
        (FOLDER / f"module.{called}.rst").write_text(_module_page(called, by_module[called]))
    (FOLDER / "bases.rst").write_text(_bases_page())
    rows = "".join(f"   module.{called}\n" for called in listed)
    about = "Every public name, by the module to import it from.\n\n.. toctree::\n   :maxdepth: 1\n\n"
    (FOLDER / "index.rst").write_text(f"{_title('Python')}{about}{rows}   bases\n")


def setup(app):
    """Write the pages before any is read."""
    app.connect("builder-inited", _write, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
