"""Options, each declared once: as a field of a dataclass.

What a keyword argument, an option of the command line, its help, its check and its record need is in the
field; `Recipe` and `Reading` are made of such fields.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from invgen.core.errors import ParameterError
from invgen.pipeline.values import Flag, Value

if TYPE_CHECKING:
    from invgen.solvers.methods import Method

__all__ = [
    "Kind",
    "Option",
    "gathered",
    "given",
    "option",
    "options",
    "recorded",
    "restored",
    "taking",
    "validate",
    "words",
]

T = TypeVar("T")

#: What was measured.
Kind = Literal["CT", "MRI", "images"]


@dataclass(frozen=True)
class Option:
    """An option.

    Attributes
    ----------
    name : str
        The keyword argument.
    default : value, or None
        None where the program chooses, or the file is asked.
    value : Value
        What values it takes.
    about : str
        A sentence or two; other options are called as on the command line.
    typed : str
        How it is typed on the command line.
    panel : str or None
        Heading under which the command line's help has it, where that is one of its own.
    scans : tuple of "CT", "MRI" and "images"
        What it is for; empty for all.
    methods : callable, optional
        Whether it means anything to a method; None for options that have nothing to do with it.
    """

    name: str
    default: Any
    value: Value
    about: str
    typed: str
    panel: str | None
    scans: tuple[Kind, ...]
    methods: Callable[[Method], bool] | None

    @property
    def denied(self) -> str:
        """How a flag is typed where it is False."""
        return f"--no-{self.typed.removeprefix('--')}"

    @property
    def changed(self) -> str:
        """How it is typed where it is not the default."""
        return self.denied if self.default is True else self.typed

    def words(self, value: Any) -> list[str] | None:
        """Words of the command line that say the value; None where there are none."""
        if isinstance(self.value, Flag):
            return [self.typed if value else self.denied]
        if self.value.repeated:
            return [word for text in self.value.texts(value) for word in (self.typed, text)]
        written = self.value.write(value)
        return None if written is None else [self.typed, str(written)]


def option(
    value: Value,
    about: str,
    *,
    default: Any = None,
    typed: str | None = None,
    panel: str | None = None,
    scan: Kind | tuple[Kind, ...] = (),
    methods: Callable[[Method], bool] | None = None,
) -> Any:
    """A field of a dataclass that is an option; see `Option`. By default it is typed as it is called.

    `scan` is what it is for, one kind or several; by default all.
    """
    metadata = {
        "value": value,
        "about": about,
        "typed": typed,
        "panel": panel,
        "scans": (scan,) if isinstance(scan, str) else scan,
        "methods": methods,
    }
    if isinstance(default, dict):
        return dataclasses.field(default_factory=dict, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def options(table: Any) -> tuple[Option, ...]:
    """The options that a dataclass, or an instance of it, is made of."""
    return tuple(map(_option_of, dataclasses.fields(table)))


def _option_of(field: dataclasses.Field[Any]) -> Option:
    default = {} if field.default is dataclasses.MISSING else field.default
    typed = field.metadata["typed"] or "--" + field.name.replace("_", "-")
    return Option(name=field.name, default=default, **{**field.metadata, "typed": typed})


def validate(table: Any) -> None:
    """Bring the values of a dataclass of options into one form, while it is made.

    Raises
    ------
    ParameterError
        Where one is not what its option takes.
    """
    for each in options(table):
        value = getattr(table, each.name)
        if value is not None or each.default is not None:
            object.__setattr__(table, each.name, each.value.check(value, each.typed))


def given(table: Any) -> list[Option]:
    """Options whose values are not the default."""
    return [each for each in options(table) if getattr(table, each.name) != each.default]


def recorded(table: Any) -> dict[str, Any]:
    """All values by name, as JSON holds them; text as it is typed on the command line."""
    found = {}
    for each in options(table):
        value = getattr(table, each.name)
        written = None if value is None else each.value.write(value)
        found[each.name] = value if written is None else written
    return found


def restored(kind: type[T], values: Mapping[str, Any]) -> T:
    """The dataclass of options whose values `recorded` has written.

    Raises
    ------
    ParameterError
        Where a value is none of its option.
    """
    found = {}
    for each in options(kind):
        value = values.get(each.name)
        try:
            found[each.name] = each.value.read(value) if isinstance(value, str) else value
        except ValueError as error:
            raise ParameterError(f"{each.name}: {error}") from None
    return kind(**found)


def words(table: Any) -> list[str] | None:
    """Words of the command line that say what a dataclass of options holds; None where there are none."""
    found: list[str] = []
    for each in given(table):
        own = each.words(getattr(table, each.name))
        if own is None:
            return None
        found += own
    return found


def gathered(tables: tuple[type, ...], values: dict[str, Any]) -> dict[str, Any]:
    """Dataclasses of options, by their names in lower case, made of values that are taken out of a dict."""
    found = {}
    for table in tables:
        names = [each.name for each in options(table) if each.name in values]
        found[table.__name__.lower()] = table(**{name: values.pop(name) for name in names})
    return found


def taking(*tables: type) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let a function take options as keyword arguments, in place of the dataclasses that are made of them.

    The function has a parameter for each dataclass, its name in lower case. What takes its place is in the
    signature, and in the docstring where that has ``{options}``.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(function)
        own = [each for name, each in signature.parameters.items() if name not in _names(tables)]
        every = [each for table in tables for each in options(table)]
        keywords = [
            inspect.Parameter(each.name, inspect.Parameter.KEYWORD_ONLY, default=each.default)
            for each in every
        ]

        @functools.wraps(function)
        def call(*args: Any, **values: Any) -> Any:
            made = gathered(tables, values)
            for name in values:
                if name not in signature.parameters:
                    near = get_close_matches(name, [each.name for each in every], n=1)
                    meant = f"; did you mean {near[0]}?" if near else "."
                    raise ParameterError(f"{function.__name__} has no option {name}{meant}")
            return function(*args, **values, **made)

        call.__signature__ = signature.replace(parameters=[*own, *keywords])  # type: ignore[attr-defined]
        documented = textwrap.indent("".join(map(_documented, every)), "    ").rstrip()
        call.__doc__ = (function.__doc__ or "").replace("    {options}", documented)
        return call

    return decorate


def _names(tables: tuple[type, ...]) -> set[str]:
    return {table.__name__.lower() for table in tables}


def _documented(each: Option) -> str:
    """An entry of a docstring; options that it mentions are arguments there."""
    about = re.sub(r"--([a-z-]+)", lambda found: f"`{found[1].replace('-', '_')}`", each.about)
    text = textwrap.indent(textwrap.fill(about, 100, break_on_hyphens=False), "    ")
    return f"{each.name} : {each.value.python}, optional\n{text}\n"
