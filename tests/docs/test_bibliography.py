"""The bibliography is sound: identifiers, years, and what docstrings say of the papers that they cite."""

import importlib.util
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("pybtex") is None,
    reason="what reads the bibliography is not installed: pip install 'invgen[docs]'",
)


@pytest.fixture(scope="module")
def entries():
    from pybtex.database import parse_file

    return parse_file(str(ROOT / "docs" / "references.bib"), "bibtex").entries


#: An arXiv number of today's form: year and month, then four digits until 2014 and five since 2015.
ARXIV = re.compile(r"(0[7-9]|1[0-4])(0[1-9]|1[0-2])\.\d{4}|(1[5-9]|2\d)(0[1-9]|1[0-2])\.\d{5}")


@pytest.mark.parametrize(
    ("field", "form"), [("eprint", ARXIV), ("doi", re.compile(r"10\.\d{4,9}/[^\s\"<>{}]+"))]
)
def test_identifiers_are_well_formed_and_name_one_paper_each(entries, field, form):
    found = {key: entry.fields[field] for key, entry in entries.items() if field in entry.fields}
    assert {key: value for key, value in found.items() if not form.fullmatch(value)} == {}
    assert [value for value, times in Counter(map(str.lower, found.values())).items() if times > 1] == []


def test_a_preprint_is_no_younger_than_its_paper(entries):
    ages = {
        key: (2000 + int(entry.fields["eprint"][:2]), int(entry.fields["year"]))
        for key, entry in entries.items()
        if "eprint" in entry.fields
    }
    assert {key: years for key, years in ages.items() if years[0] > years[1]} == {}


def test_a_key_has_the_surname_of_its_first_author_and_the_year(entries):
    from docs.extensions.papers import surname

    wrong = {}
    for key, entry in entries.items():
        first = surname(" ".join(entry.persons["author"][0].last_names))
        name, year = re.fullmatch(r"([a-z]+)(\d{4})[a-z]?", key).groups()
        if not name.startswith(first) or year != entry.fields["year"]:
            wrong[key] = (first, entry.fields["year"])
    assert wrong == {}


def test_an_entry_says_where_it_appeared(entries):
    where = ("journal", "booktitle", "school", "publisher", "eprint", "howpublished")
    assert [key for key, entry in entries.items() if not any(each in entry.fields for each in where)] == []


def test_papers_are_listed_once_in_the_order_of_their_keys(entries):
    titles = Counter(re.sub(r"\W", "", entry.fields["title"].lower()) for entry in entries.values())
    assert [title for title, times in titles.items() if times > 1] == []
    assert list(entries) == sorted(entries)


def test_a_title_in_a_docstring_is_that_of_its_entry(entries):
    """Where a docstring writes a title out after names and year, in quotation marks or as a sentence."""
    from docs.extensions.papers import citations, docs_of, find
    from docs.public import names

    def plain(text):
        return re.sub(r"[^a-z0-9]", "", text.lower())

    titles = {key: plain(entry.fields["title"]) for key, entry in entries.items()}
    found, wrong = 0, []
    for name in names():
        if not name.is_code:
            continue
        text = " ".join(docs_of(name.object).split())
        for match in re.finditer(
            r"(\((?:19|20)\d\d[a-z]?)\), (?:\"([^\"]+)\"|([A-Z][^.;\d]{30,}[.;]))", text
        ):
            cited = citations(text[max(0, match.start() - 80) : match.end(1)])
            key = find(cited[-1]) if cited else None
            if key is None:
                continue
            given = plain(match[2] or match[3])
            found += 1
            if not (titles[key].startswith(given) or given.startswith(titles[key])):
                wrong.append((name.path, match[2] or match[3], entries[key].fields["title"]))
    assert found > 10
    assert wrong == []
