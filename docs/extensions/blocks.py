"""Executed blocks in pages, with what they print, and the pictures that they write.

All pages with such blocks run before any page is read, two at a time: ``docs/execute.py``.
"""

from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from docutils.parsers.rst.directives.images import Figure
from docutils.statemachine import StringList
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

from docs.execute import DOCS, blocks, folder_of, is_fresh, outputs, run_all

__all__ = ["setup"]

_LANGUAGE = {"python": "python", "shell": "console"}


class Executed(SphinxDirective):
    """A block of code, followed by what it printed.

    ``:hide:`` shows the latter alone; ``:markdown:`` reads it as a part of the page.
    """

    has_content = True
    option_spec: ClassVar = {
        "needs": directives.unchanged,
        "fails": directives.flag,
        "hide": directives.flag,
        "markdown": directives.flag,
    }

    def run(self):
        """Show code and output."""
        page = Path(self.env.doc2path(self.env.docname))
        number = self.env.temp_data.setdefault("executed_blocks", 0)
        self.env.temp_data["executed_blocks"] += 1
        printed = outputs(page)[number].rstrip()
        text = "\n".join(self.content)
        if self.name == "shell":
            text = "\n".join(
                f"$ {line}" if line and line[0] not in " #" else line for line in text.splitlines()
            )
        shown = []
        if "hide" not in self.options:
            shown.append(nodes.literal_block(text, text, language=_LANGUAGE[self.name]))
        if printed and "markdown" in self.options:
            part = nodes.container()
            self.state.nested_parse(StringList(printed.split("\n")), self.content_offset, part)
            shown += part.children
        elif printed:
            block = nodes.literal_block(printed, printed, language="none")
            shown.append(nodes.container("", block, classes=["printed"]))
        return shown


class Picture(Figure):
    """A picture that a block of the page has written; it must have an alternative text."""

    def run(self):
        """Show it."""
        env = self.state.document.settings.env
        path = folder_of(Path(env.doc2path(env.docname))) / self.arguments[0]
        if not path.exists():
            raise self.error(f"no block of this page has written {self.arguments[0]}")
        if not self.options.get("alt"):
            raise self.error(f"the picture {self.arguments[0]} has no alternative text")
        self.arguments[0] = f"/{path.relative_to(DOCS)}"
        return super().run()


def _execute(app):
    pages = [
        Path(app.env.doc2path(name)) for name in sorted(app.project.discover(app.config.exclude_patterns))
    ]
    executed = [page for page in pages if page.suffix == ".md" and blocks(page) and not is_fresh(page)]
    if failed := run_all(executed, processes=2):
        raise ExtensionError("\n\n".join(failed))


def setup(app):
    """Register the directives."""
    for kind in _LANGUAGE:
        app.add_directive(kind, Executed)
    app.add_directive("picture", Picture)
    app.connect("builder-inited", _execute)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
