"""From the options that the pipeline declares to parameters of commands, and from what is typed to values."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from invgen.core.memory import memory_limit
from invgen.pipeline.options import Option, gathered, options
from invgen.pipeline.values import Flag, Settings, Value

__all__ = ["DaskAddress", "ScanFile", "limited", "parameter", "read_settings", "reader", "typed"]

ScanFile = Annotated[
    Path,
    typer.Argument(
        metavar="SCAN",
        help="File of the scan. CT: Data Exchange, NXtomo, HTC 2022, Nikon's .xtekct; MRI: fastMRI, ISMRMRD, "
        "BART; or any HDF5, NPY, MAT or TIFF array, or a folder of TIFF files. Or a picture, a folder "
        "of them or an array of images, with --operator.",
    ),
]

DaskAddress = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS", help="Scheduler of a dask cluster, whose workers compute instead of this machine."
    ),
]


def typed(*tables: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of dataclasses of options, which it takes by their names in lower case.

    A command of any such dataclass takes it by ``**options``.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        hints = get_type_hints(command, include_extras=True)
        taken = {table.__name__.lower() for table in tables}
        own = [
            each.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
            for name, each in inspect.signature(command).parameters.items()
            if name not in taken and each.kind is not inspect.Parameter.VAR_KEYWORD
        ]
        parameters = [*own, *(parameter(each) for table in tables for each in options(table))]

        @functools.wraps(command)
        def run(**values: Any) -> None:
            if "settings" in values:
                values["settings"] = read_settings(values["settings"])
            command(**gathered(tables, values), **values)

        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        return run

    return decorate


def limited(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the option of the memory that it may ask for."""
    hints = get_type_hints(command, include_extras=True)
    own = [
        each.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
        for name, each in inspect.signature(command).parameters.items()
    ]
    about = "Memory to ask for at most, such as 8G; by default 60% of what is free."
    added = inspect.Parameter(
        "max_memory",
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[str | None, typer.Option(metavar="SIZE|SHARE", help=about)],
    )

    @functools.wraps(command)
    def run(max_memory: str | None = None, **values: Any) -> None:
        with memory_limit(max_memory):
            command(**values)

    run.__signature__ = inspect.Signature([*own, added])  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in (*own, added)}
    return run


def parameter(option: Option) -> inspect.Parameter:
    """An option as a parameter of a command."""
    name, value, default = option.typed, option.value, option.default
    shown: dict[str, Any] = {"help": f"{option.about} {value.syntax}".rstrip()}
    if option.panel is not None:
        shown["rich_help_panel"] = option.panel
    kind: Any = Any
    if isinstance(value, Flag):
        kind, names = bool | None, name if default is False else f"{name}/{option.denied}"
        info = typer.Option(names, show_default=default is True, **shown)
    elif value.repeated:
        kind, default = list[str] | None, None
        info = typer.Option(name, metavar=value.metavar, **shown)
    else:
        info = typer.Option(name, metavar=value.metavar, parser=reader(value), **shown)
    return inspect.Parameter(
        option.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, info]
    )


def reader(value: Value) -> Callable[[Any], Any]:
    """What makes a value of the text of an option; a default, which is no text, is one."""

    def read(text: Any) -> Any:
        if not isinstance(text, str):
            return text
        try:
            return value.read(text)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

    return read


def read_settings(texts: list[str] | None) -> dict[str, Any]:
    """Hyper-parameters by name, from what is typed after each ``--set``."""
    found: dict[str, Any] = {}
    for text in texts or ():
        try:
            ((name, value),) = Settings().read(text).items()
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--set") from None
        if name in found:
            raise typer.BadParameter(f"{name} is given twice.", param_hint="--set")
        found[name] = value
    return found
