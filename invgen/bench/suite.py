"""What a suite is: tasks, the entries that compete on them, and how an entry is judged on one image."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from invgen.bench.names import require_name
from invgen.bench.record import Outcome

__all__ = ["Entry", "Kind", "Knob", "QuickForm", "Suite", "Task", "find_entry", "named"]

Kind = Literal["baseline", "learned", "peer", "own"]


@dataclass(frozen=True)
class Knob:
    """A positive parameter of a method that is tuned, on a logarithmic scale.

    Attributes
    ----------
    name : str
        Of the setting.
    low, high : float
        Ends of the first round of the search.
    is_bounded : bool
        Whether there are no values beyond the ends; else the search goes on there, where the best is an end.
    """

    name: str
    low: float
    high: float
    is_bounded: bool = False


@dataclass(frozen=True)
class Entry:
    """A method of a suite, with how it is called and what is tuned.

    Attributes
    ----------
    name : str
        As tables show it; with `prior` unique in a suite.
    solve : callable
        ``solve(problem, settings, seed)`` returns a `Reconstruction`, or a tensor of the image's shape; in
        suites that are not of images, whatever the suite calls. `settings` holds the knob, or nothing.
    kind : str
        "baseline" (no training), "learned", "peer" (another package) or "own" (the user's).
    prior : str
        Name of the prior, "" without one.
    knob : Knob, optional
        What is tuned.
    has_default : bool
        Whether it runs without settings: tables show that result beside the tuned one.
    package : str
        Distribution that it comes from; its version belongs to the identity of a record.
    missing : str, optional
        Why it cannot run here, such as a package that is not installed: a row of the table then says so.
    """

    name: str
    solve: Callable[[Any, Mapping[str, float], int], Any]
    kind: Kind = "baseline"
    prior: str = ""
    knob: Knob | None = None
    has_default: bool = True
    package: str = "invgen"
    missing: str | None = None


@dataclass(frozen=True)
class Task:
    """Images measured in one way.

    Attributes
    ----------
    name : str
    axes : mapping of str to number or str
        What sets it apart from the other tasks of the suite: ``{"views": 30, "noise": 0.01}``.
    test, tuning : tuple of str
        Names of the images that are reported on, and of those that knobs are tuned on: no name is in both.
    """

    name: str
    test: tuple[str, ...]
    tuning: tuple[str, ...] = ()
    axes: Mapping[str, float | str] = field(default_factory=dict)


class Suite(ABC):
    """Tasks, entries, and a judge. Suites can be pickled, and are the same object in every process.

    Attributes
    ----------
    name : str
        On the command line, and in records.
    about : str
        What is measured, with the split of the images, in a sentence or two.
    primary : str
        The measure that knobs are tuned by and that tables are sorted by.
    seeds : tuple of int
        That each image is measured with, where nobody names others.
    brief : tuple of str
        Measures and costs beside the primary one that are shown where there is room for few.
    """

    name: str
    about: str
    primary: str
    seeds: tuple[int, ...] = (0,)
    brief: tuple[str, ...] = ("ssim", "coverage_90", "seconds")

    @property
    @abstractmethod
    def tasks(self) -> tuple[Task, ...]:
        """The tasks.

        Raises
        ------
        FileError
            Where data are not there, with where to get them.
        """

    @property
    @abstractmethod
    def entries(self) -> tuple[Entry, ...]:
        """Those that compete where nobody names others."""

    def takes(self, entry: Entry, task: Task) -> bool:
        """Whether an entry competes on a task: packages have some operators and not others."""
        return True

    @abstractmethod
    def quick(self) -> Suite:
        """The same in a form that takes two cores two minutes at most."""

    @abstractmethod
    def content(self, task: Task, image: str, seed: int) -> str:
        """Fingerprint of a problem: of its operator, measurement, noise and truth."""

    @abstractmethod
    def judge(
        self, entry: Entry, settings: Mapping[str, float], task: Task, image: str, seed: int
    ) -> Outcome:
        """Run an entry on one image and measure what it gives.

        Raises
        ------
        Exception
            Whatever the method raises, and where its result is no result: the wrong shape, NaN.
        """

    def entry(self, method: str, prior: str | None) -> Entry:
        """The entry for a method named by the user, with a prior named by the user or none.

        Raises
        ------
        ParameterError
            Where there is none of that name, with the nearest names.
        """
        return find_entry(self.entries, method, prior)


class QuickForm(Suite):
    """The quick form of a suite by a name of its own: its records do not stand beside those of the whole."""

    def __init__(self, whole: Suite) -> None:
        self._form = whole.quick()
        self.name = f"{whole.name} (quick)"
        self.about = f"{whole.about} In this quick form images are fewer and smaller, and runs shorter."
        self.primary, self.seeds, self.brief = whole.primary, self._form.seeds, whole.brief

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Of the quick form."""
        return self._form.tasks

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Of the quick form."""
        return self._form.entries

    def takes(self, entry: Entry, task: Task) -> bool:
        """As the quick form does."""
        return self._form.takes(entry, task)

    def quick(self) -> Suite:
        """Itself."""
        return self

    def content(self, task: Task, image: str, seed: int) -> str:
        """Of the quick form."""
        return self._form.content(task, image, seed)

    def judge(
        self, entry: Entry, settings: Mapping[str, float], task: Task, image: str, seed: int
    ) -> Outcome:
        """As the quick form does."""
        return self._form.judge(entry, settings, task, image, seed)

    def entry(self, method: str, prior: str | None) -> Entry:
        """Of the quick form."""
        return self._form.entry(method, prior)


def named(entries: Iterable[Entry], names: Collection[str]) -> tuple[Entry, ...]:
    """Entries of these names; all, where there are no names."""
    return tuple(entry for entry in entries if not names or entry.name in names)


def find_entry(entries: tuple[Entry, ...], method: str, prior: str | None) -> Entry:
    """The entry of a name, with a prior where one is named."""
    require_name(method, [entry.name for entry in entries], "method")
    own = [entry for entry in entries if entry.name == method]
    if prior is not None:
        require_name(prior, [entry.prior for entry in own], f"prior of {method}")
        own = [entry for entry in own if entry.prior == prior]
    return own[0]
