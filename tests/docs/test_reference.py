"""The reference is whole: every name, command and paper; and examples in docstrings do what they say."""

import doctest
import importlib
import importlib.util
import inspect
import re
import sys
from pathlib import Path
from typing import Protocol

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module", autouse=True)
def from_the_repository():
    """Import `docs`, which is not installed, from the repository."""
    sys.path.insert(0, str(ROOT))
    yield
    sys.path.remove(str(ROOT))


@pytest.fixture(scope="module")
def names():
    from docs.public import names

    return names()


def _defines(thing) -> bool:
    """Whether it only names or describes: an error, a protocol, an alias, a constant."""
    return not inspect.isroutine(thing) and (
        not inspect.isclass(thing) or issubclass(thing, Exception) or Protocol in thing.__bases__
    )


def _uses(code: str) -> set[str]:
    return set(re.findall(r"\b\w+\b", code))


@pytest.fixture(scope="module")
def used():
    """Words of all code that is executed: examples, pages, and docstrings' examples."""
    pytest.importorskip("docs.execute")
    from docs.execute import blocks

    scripts = [path.read_text() for path in (ROOT / "examples").rglob("*.py")]
    pages = [block.text for path in DOCS.rglob("*.md") for block in blocks(path)]
    return set.union(*map(_uses, [*scripts, *pages]))


def test_every_name_has_a_source_or_an_example(names, used):
    pytest.importorskip("pybtex", reason="the site's packages are not installed: pip install 'invgen[docs]'")
    from docs.extensions.papers import cited

    missing = [
        name.path
        for name in names
        if not _defines(name.object)
        and not cited(name.object)
        and ">>>" not in name.doc
        and name.name not in used
    ]
    assert missing == []


def test_every_paper_is_cited_and_every_citation_has_its_paper(names):
    pytest.importorskip("pybtex", reason="the site's packages are not installed: pip install 'invgen[docs]'")
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


MODULES = [
    f"invgen.{path.relative_to(ROOT / folder).with_suffix('').as_posix().replace('/', '.')}"
    if folder == "invgen"
    else f"invgen.{path.relative_to(ROOT).with_suffix('').as_posix().replace('/', '.')}"
    for folder in ("invgen", "operators", "priors", "solvers")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if ">>>" in path.read_text()
]


@pytest.mark.parametrize("name", [name.removesuffix(".__init__") for name in MODULES])
def test_examples_in_docstrings_do_what_they_say(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    tests = [test for test in doctest.DocTestFinder().find(module) if test.examples]
    for test in tests:
        result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS).run(test)
        assert result.failed == 0, test.name
