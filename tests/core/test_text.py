"""Text of others: parsed whatever it is, and quoted in one line."""

from __future__ import annotations

import pytest

from invgen.core.errors import FileError
from invgen.core.text import brief, escaped, parse_json, quoted, read_text

HOSTILE = ["a\nb", "\x1b[31mred", "\r\x00", "\u202eback", "\ud800", "x" * 10_000, b"\xff\xfe\n" * 1000]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_quoted_is_one_printable_line(text):
    for shown in (quoted(text), brief(ValueError(text))):
        assert shown.isprintable()
        assert len(shown) <= 170
    assert escaped(text).isprintable()


def test_plain_text_stays():
    assert escaped("Größe [red].h5") == "Größe [red].h5"
    assert quoted("scan") == quoted(b"scan") == "'scan'"


def test_values_of_any_depth_are_quoted():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    assert len(quoted(deep)) <= 80
    assert quoted(dict.fromkeys(range(1000))).isprintable()
    assert brief(KeyError()) == "KeyError"


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        '{"a":' * 200_000,
        "9" * 1_000_000,
        "",
        "{",
        b"\xff\xff{}",
        b"\xed\xa0\x80",
        None,
        3,
    ],
    ids=range(9),
)
def test_json_that_cannot_be_read_is_an_error_of_one_line(text):
    with pytest.raises(FileError) as raised:
        parse_json(text, "the card\n")
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 250


def test_json_is_read():
    assert parse_json(b'{"a": [1, 2.5, "x"]}', "card") == {"a": [1, 2.5, "x"]}


def test_text_files(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeff1 2".encode())
    assert read_text(path, "a list of angles") == "1 2"
    path.write_bytes(b"\xff\xfe1")
    with pytest.raises(FileError, match="is not a list of angles: it is no text"):
        read_text(path, "a list of angles")
    path.write_bytes(b"1" * 100)
    with pytest.raises(FileError, match="is no list of angles: it is over 50 bytes"):
        read_text(path, "a list of angles", limit=50)
    with pytest.raises(FileError, match="cannot be read"):
        read_text(tmp_path, "a list of angles")
