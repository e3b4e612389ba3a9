"""The tables of file formats name what the readers ask files for: all of it, and nothing else."""

import ast
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: Functions and methods that read a field, by the places of names among their arguments.
ACCESSORS = {
    "find_object": 1, "get_dataset": 1, "length_value": 1, "number_value": 1, "has_link": 1,
    "text_attribute": 1, "attribute": 1, "read_header": 1, "_frames": 1,
    "array": 0, "struct": 0, "length": 0, "optional_length": 0, "text": 0, "number": 0, "count": 0,
}  # fmt: skip

#: Headings of the page, and the modules that read the format.
FORMATS = {
    "Data Exchange": ("ct/dataexchange.py",),
    "NXtomo": ("ct/nxtomo.py", "ct/image_key.py"),
    "Helsinki Tomography Challenge 2022": ("ct/htc.py",),
    "Nikon": ("ct/nikon.py",),
    "fastMRI": ("mri/fastmri.py",),
}
#: Code in the tables that is read elsewhere, or that is no field.
ELSEWHERE = {"units", "Name_0001.tif", "parameters", "invgen view --compare"}
#: What readers ask for that is no field.
NO_FIELDS = {"NX_class", "parameters"}


def _names(node, known):
    """Texts that an expression can be, with ``*`` for what is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return {node.value}
    if isinstance(node, ast.Name):
        return known.get(node.id, set())
    if isinstance(node, ast.JoinedStr):
        texts = {""}
        for part in node.values:
            inner = _names(part.value, known) if isinstance(part, ast.FormattedValue) else {part.value}
            texts = {text + each for text in texts for each in inner or {"*"}}
        return texts
    return set()


def _values(value):
    """Expressions that a loop over an expression, or over the items of a table, takes in turn."""
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):  # TABLE.items()
        value = value.func.value
    return value.keys if isinstance(value, ast.Dict) else getattr(value, "elts", [value])


def _texts(scope, known):
    """Texts that the names of a scope can be: constants, and what loops over such texts take in turn."""
    known = dict(known)
    for node in scope:
        if isinstance(node, ast.Assign):
            pairs = [(target, node.value) for target in node.targets]
        elif isinstance(node, ast.For | ast.comprehension):
            pairs = [(node.target, node.iter)]
        else:
            continue
        for target, value in pairs:
            target = target.elts[0] if isinstance(target, ast.Tuple) else target
            if isinstance(target, ast.Name):
                known[target.id] = set().union(*(_names(each, known) for each in _values(value)))
    return known


def _asked(path):
    """Names that a module asks files for: the last part of each path."""
    tree = ast.parse(path.read_text())
    constants = _texts(tree.body, {})
    found = set()
    for scope in ast.walk(tree):
        if isinstance(scope, ast.FunctionDef):
            nodes = list(ast.walk(scope))
            known = _texts(nodes, constants)
            for node in nodes:
                called = getattr(node, "func", None)
                place = ACCESSORS.get(getattr(called, "attr", getattr(called, "id", "")))
                if place is not None and len(node.args) > place:
                    found |= _names(node.args[place], known)
    return {name.rpartition("/")[2] for name in found if name}


def _tabled(heading):
    """What is in code type in the table under a heading: of a path its last part."""
    text = (ROOT / "docs" / "reference" / "formats.md").read_text()
    section = re.split(r"^##+ ", text.split(f"### {heading}\n")[1], maxsplit=1, flags=re.M)[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]
    return {name.rpartition("/")[2] for row in rows for name in re.findall(r"`([^`]+)`", row)}


@pytest.mark.parametrize("heading", FORMATS)
def test_the_table_of_a_format_names_what_its_reader_asks_for(heading):
    asked = set().union(*(_asked(ROOT / "invgen" / "io" / module) for module in FORMATS[heading])) - NO_FIELDS
    tabled = _tabled(heading) - ELSEWHERE
    assert len(asked) > 3
    assert {name for name in asked if not any(fnmatch(each, name) for each in tabled)} == set()
    assert {name for name in tabled if not any(fnmatch(name, each) for each in asked)} == set()
