"""What the command line prints: results on stdout; progress, warnings and errors, a line each, on stderr."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperCommand, TyperGroup

from invgen.core.errors import InvgenError, InvgenWarning
from invgen.core.text import brief, escaped

__all__ = ["Command", "Group", "err", "note", "out", "say", "show"]

out = Console()
err = Console(stderr=True)


def say(label: str, style: str, message: object) -> None:
    """Print a message on stderr, its label in color; the terminal wraps it, so that paths stay whole."""
    err.print(Text.assemble((f"{label}: ", style), escaped(message)), soft_wrap=True)


def show(text: object) -> None:
    """Print a line on stdout as it is: names of files can look like markup, or move the cursor."""
    out.print(Text(escaped(text)), soft_wrap=True)


def note(text: object) -> None:
    """Print a line on stderr as it is."""
    err.print(Text(escaped(text)), soft_wrap=True)


class Command(TyperCommand):
    """A command whose failures are one message on stderr and an exit code: 1, or 130 at Ctrl-C."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        debug = ctx.find_root().params.get("debug", False)
        try:
            with _warnings_in_lines(debug):
                return super().invoke(ctx)
        except (typer.Exit, typer.Abort, typer.BadParameter, BrokenPipeError):
            raise
        except KeyboardInterrupt as interrupt:
            note(str(interrupt) or "Interrupted; nothing half-written is left.")
            raise typer.Exit(130) from None
        except Exception as error:
            if debug:
                raise
            say("Error", "bold red", error if isinstance(error, InvgenError) else _unexpected(error))
            raise typer.Exit(1) from None


class Group(TyperGroup):
    """The commands; ``--debug`` is understood after them as well, where one adds it when something failed."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Bring ``--debug`` to the front."""
        if "--debug" in args:
            args = ["--debug", *(arg for arg in args if arg != "--debug")]
        return super().parse_args(ctx, args)


def _unexpected(error: Exception) -> str:
    # torch has errors of its own, for the CPU a plain RuntimeError
    if isinstance(error, MemoryError) or "allocate memory" in str(error) or "out of memory" in str(error):
        asked = re.search(r"(\d[\d.]* ?(?:[KMGTP]i?B|bytes))", str(error))
        much = "" if asked is None else f": {asked[1]} were asked for at once"
        return (
            f"There is not enough memory{much}. Choose fewer slices, a smaller --size, a larger --bin or "
            "another --device."
        )
    what = f"{type(error).__name__}: {brief(error)}"
    return f"{what}. This was not foreseen: run the command again with --debug, and report what it shows."


@contextmanager
def _warnings_in_lines(debug: bool) -> Iterator[None]:
    """Show the package's own warnings as lines, and those of its libraries only when debugging."""
    with warnings.catch_warnings():
        if not debug:
            warnings.simplefilter("ignore")
        warnings.simplefilter("always", InvgenWarning)
        plain = warnings.showwarning

        def show(message: Any, category: type[Warning], *where: Any, **more: Any) -> None:
            if issubclass(category, InvgenWarning):
                say("Warning", "yellow", message)
            else:
                plain(message, category, *where, **more)

        warnings.showwarning = show
        yield
