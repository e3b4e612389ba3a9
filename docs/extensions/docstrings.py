"""What docstrings say in the plain text of a terminal, as reStructuredText.

Shapes have stars, ``(*batch, H, W)``, and norms have bars, which are markup there; a formula stands indented
in a paragraph of its own.
"""

from __future__ import annotations

import re

__all__ = ["setup", "written"]

_LITERAL = re.compile(r"(``.*?``|(?<!`)`[^`]+`_?|\*\*[^*\n]+\*\*)", re.S)
_SECTION = re.compile(r"^[A-Z][\w ]+\n-{3,}$", re.M)


def _escaped(text: str) -> str:
    """Text in which no star before a word and no bar is markup."""
    parts = _LITERAL.split(text)
    parts[::2] = [
        re.sub(r"(\*+(?=[\w.])|\|)", lambda m: "".join(f"\\{c}" for c in m[0]), part) for part in parts[::2]
    ]
    return "".join(parts)


def _indentation(before: str) -> int:
    """Of the text that a paragraph ends in: that of a list's entry is two."""
    last = before.rstrip().rpartition("\n")[2]
    return len(last) - len(last.lstrip()) + (2 if last.lstrip().startswith("- ") else 0)


def _is_formula(paragraph: str, before: str) -> bool:
    """Whether a paragraph stands further in than the text before it, and is none of a list or an example."""
    lines, needed = paragraph.split("\n"), " " * (_indentation(before) + 4)
    inner = all(line.startswith(needed) for line in lines)
    return inner and not before.rstrip().endswith("::") and not lines[0].lstrip().startswith((">>>", "- "))


def written(text: str) -> str:
    """A docstring as reStructuredText."""
    section = _SECTION.search(text)
    end = section.start() if section else len(text)
    paragraphs = re.split(r"\n[ ]*\n", text[:end])
    out: list[str] = []
    for number, paragraph in enumerate(paragraphs):
        before = paragraphs[number - 1] if number else "::"
        literal = before.rstrip().endswith("::") and paragraph.startswith(" ")
        if _is_formula(paragraph, before):
            out += [" " * _indentation(before) + "::", paragraph]
        else:
            out.append(paragraph if literal or ">>>" in paragraph else _escaped(paragraph))
    return (
        "\n\n".join(out)
        + ("\n" if section and not text[:end].endswith("\n\n") else "")
        + _escaped(text[end:])
    )


def _process(app, what, name, thing, options, lines) -> None:
    lines[:] = written("\n".join(lines)).split("\n")


def setup(app):
    """Rewrite docstrings before numpydoc reads their sections."""
    app.connect("autodoc-process-docstring", _process, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
