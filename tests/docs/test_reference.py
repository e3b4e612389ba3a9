"""The reference is whole: every name, command and paper; and examples in docstrings do what they say."""

import importlib.util
import inspect
import re
from pathlib import Path
from typing import Protocol

import pytest

ROOT = Path(__file__).parents[2]

needs_the_site = pytest.mark.skipif(
    importlib.util.find_spec("sphinx_gallery") is None or importlib.util.find_spec("pybtex") is None,
    reason="what builds the site is not installed: pip install 'invgen[docs]'",
)


@pytest.fixture(scope="module")
def names():
    from docs.public import names

    return names()


def _implements_nothing(thing, classes) -> bool:
    """Whether it is an error, a protocol or a constant, a base of others, or a result."""
    if inspect.isroutine(thing):
        return False
    if not inspect.isclass(thing) or issubclass(thing, Exception) or Protocol in thing.__bases__:
        return True
    is_result = "Attributes\n---" in (inspect.getdoc(thing) or "")
    return is_result or any(thing in each.__mro__[1:] for each in classes)


@needs_the_site
def test_every_name_has_a_source_or_an_example(names):
    from docs.extensions.papers import cited
    from docs.extensions.reference import uses

    classes, used = [name.object for name in names if inspect.isclass(name.object)], uses()
    missing = [
        name.path
        for name in names
        if not _implements_nothing(name.object, classes)
        and not cited(name.object)
        and ">>>" not in name.doc
        and not used[name.path]
    ]
    assert missing == []


@needs_the_site
def test_every_paper_is_cited_and_every_citation_has_its_paper(names):
    from docs.extensions.papers import citations, docs_of, entries, find
    from docs.public import Name, bases

    every = [*names, *(Name(base.__module__, base.__name__, base) for base in bases())]
    found = {each: find(each) for name in every if name.is_code for each in citations(docs_of(name.object))}
    unknown = [each for each, key in found.items() if key is None and each.authors[-1] not in NO_AUTHORS]
    assert unknown == []
    assert entries() - set(found.values()) == set()


#: Words before a year that are no authors: a challenge, a book's title.
NO_AUTHORS = ("challenge", "imaging")


def test_every_command_and_option_is_on_a_page():
    import typer

    from docs.extensions.commands import commands, page
    from invgen.cli import app

    pages = {name: page(name, command) for name, command in commands()}
    assert "invgen simulate mri" in pages
    assert "invgen train vq-vae" in pages
    for name, command in commands():
        for parameter in command.params:
            for option in (*parameter.opts, *parameter.secondary_opts):
                assert option in pages[name] or parameter.param_type_name == "argument", (name, option)
    assert set(typer.main.get_command(app).commands) <= {name.split()[1] for name in pages if " " in name}


def _fragments():
    """Examples in docstrings, by module: lines of Python after ``>>>``."""
    for folder in ("invgen", "operators", "priors", "solvers"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            lines = re.findall(r"^ *(?:>>>|\.\.\.) (.*)$", path.read_text(), re.M)
            if lines:
                yield pytest.param(lines, id=str(path.relative_to(ROOT)))


@pytest.mark.parametrize("lines", list(_fragments()))
def test_examples_in_docstrings_name_what_there_is(lines):
    import invgen as ig

    for called in re.findall(r"\big((?:\.[A-Za-z_]\w*)+)", "\n".join(lines)):
        thing = ig
        for part in called.split(".")[1:]:
            thing = getattr(thing, part)
