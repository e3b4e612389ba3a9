"""The reference of the command line: every command and option, from its own definitions."""

from __future__ import annotations

import inspect
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator
from typing import Literal, get_args, get_origin

from docs.execute import DOCS

__all__ = ["commands", "page", "setup"]

FOLDER = DOCS / "reference" / "commands"


def commands() -> Iterator[tuple[str, object]]:
    """Names and definitions of all commands, those of groups among them."""
    import typer

    from invgen.cli import app

    def walk(name: str, command: object) -> Iterator[tuple[str, object]]:
        yield name, command
        for inner, each in getattr(command, "commands", {}).items():
            yield from walk(f"{name} {inner}", each)

    yield from walk("invgen", typer.main.get_command(app))


def _text(text: str | None) -> str:
    """Help as Markdown: what stands in angle brackets is no markup, words of the command line are code."""
    plain = inspect.cleandoc(text or "").replace("<", "&lt;").replace("*", r"\*")
    return re.sub(r"(?<![\w`-])(--?[a-z][\w-]*)", r"`\1`", plain)


def _choices(annotation: object) -> list[str]:
    """Values of a `Literal`, alone or among others; none of what is no `Literal`."""
    if get_origin(annotation) is Literal:
        return [str(value) for value in get_args(annotation)]
    return [choice for part in get_args(annotation) for choice in _choices(part)]


def _parameter(parameter) -> str:
    """A parameter: how it is typed, what it means, its default."""
    choices = "|".join(_choices(parameter.type_descriptor.annotation))
    metavar = choices or parameter.metavar or parameter.name.upper()
    if parameter.param_type_name == "argument":
        typed = f"`{metavar}`"
    else:
        value = "" if parameter.is_flag else f" {metavar}"
        forms = [*parameter.opts, *parameter.secondary_opts]
        typed = ", ".join(f"`{form}{value}`" for form in forms)
    about = " ".join(_text(parameter.help).split())
    default = parameter.default
    if parameter.required:
        about += " *Required.*"
    elif (
        default not in (None, False, ())
        and not callable(default)
        and getattr(parameter, "show_default", True)
    ):
        about += f" *Default:* `{default}`."
    return f"{typed}\n: {about or 'See above.'}\n\n"


def page(name: str, command) -> str:
    """The page of a command."""
    text = f"# {name}\n\n{_text(command.help)}\n\n"
    panels: dict[str, list] = defaultdict(list)
    for parameter in command.params:
        if not getattr(parameter, "hidden", False):
            argument = parameter.param_type_name == "argument"
            heading = getattr(parameter, "rich_help_panel", None)
            panels[heading or ("Arguments" if argument else "Options")].append(parameter)
    for heading, parameters in panels.items():
        text += f"## {heading}\n\n" + "".join(map(_parameter, parameters))
    if command.epilog:
        text += f"{command.epilog}\n\n"
    if inner := getattr(command, "commands", None):
        rows = "".join(f"{name} {each}\n".replace(" ", "-") for each in inner)
        text += f"```{{toctree}}\n:maxdepth: 1\n\n{rows}```\n"
    return text


def _write(app) -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    for name, command in commands():
        (FOLDER / f"{name.replace(' ', '-')}.md").write_text(page(name, command))


def setup(app):
    """Write the pages before any is read."""
    app.connect("builder-inited", _write, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
