"""The papers that docstrings cite, "Beck and Teboulle (2009a)", by their entries in ``references.bib``."""

from __future__ import annotations

import inspect
import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pybtex.database import parse_file

__all__ = ["Citation", "citations", "cited", "docs_of", "entries", "find", "surname"]

BIBLIOGRAPHY = Path(__file__).parents[1] / "references.bib"
_SURNAME = r"(?:(?:[Dd]e|[Vv]an|den|af|von|[Ll]e|El|Janati) )*[A-ZÉÖ][\w'\-]+"
_CITATION = re.compile(
    r"(?<![\w-])(?!TomoPy\b|[A-Z]{3,}\b|Sparse-Gen)"  # names of methods before those of authors
    rf"({_SURNAME}(?:, {_SURNAME})*(?:,? and {_SURNAME})?)(,? et al\.)?,? "
    r"\(?((?:19|20)\d\d[a-z]?)\b"
)


@dataclass(frozen=True)
class Citation:
    """The authors that are named, whether there are others, and the year with its letter."""

    authors: tuple[str, ...]
    others: bool
    year: str


def surname(name: str) -> str:
    """The last word of a surname, in letters of ASCII."""
    letters = unicodedata.normalize("NFKD", name.split()[-1].replace("ø", "o"))
    return "".join(letter for letter in letters if letter.isascii() and letter.isalpha()).lower()


def citations(text: str) -> list[Citation]:
    """Papers that a docstring cites, in its order."""
    found = []
    for match in _CITATION.finditer(" ".join(text.split())):
        authors = tuple(map(surname, re.split(r",? and |, ", match[1])))
        found.append(Citation(authors, match[2] is not None, match[3]))
    return list(dict.fromkeys(found))


@cache
def _entries() -> dict[str, tuple[tuple[str, ...], str]]:
    """Authors and year with its letter, by key."""
    found = {}
    for key, entry in parse_file(str(BIBLIOGRAPHY), "bibtex").entries.items():
        authors = tuple(surname(" ".join(person.last_names)) for person in entry.persons["author"])
        found[key] = authors, re.search(r"\d{4}[a-z]?$", key)[0]
    return found


def find(citation: Citation) -> str | None:
    """The key of a paper; None where the bibliography has it not."""
    for key, (authors, year) in _entries().items():
        if year != citation.year or authors[0] != citation.authors[0]:
            continue
        if citation.others and len(authors) > 1:
            return key
        if not citation.others and (authors == citation.authors or authors[-1] == "others"):
            return key
    return None


def docs_of(thing: object) -> str:
    """The docstrings of an object and, of a class, of its own methods."""
    parts = [inspect.getdoc(thing) or ""]
    if inspect.isclass(thing):
        parts += [inspect.getdoc(each) or "" for each in vars(thing).values() if inspect.isroutine(each)]
    return "\n".join(parts)


def cited(thing: object) -> list[str]:
    """Keys of the papers that an object cites."""
    keys = (find(each) for each in citations(docs_of(thing)))
    return list(dict.fromkeys(key for key in keys if key))


def entries() -> set[str]:
    """All keys of the bibliography."""
    return set(_entries())
