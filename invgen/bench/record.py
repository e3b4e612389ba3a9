"""What a benchmark writes down: a cell is one method on one problem, a record is what came of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from torch import Tensor

__all__ = ["Cell", "Outcome", "Record", "Run"]

#: What a cell is for: the method as it comes, the method with its knob tuned, a trial of the search for it.
Run = Literal["default", "tuned", "tuning"]


@dataclass(frozen=True)
class Cell:
    """One method on one problem.

    Attributes
    ----------
    suite, task, image : str
        Which problem: an image of a task of a suite.
    split : str
        "test", or "tuning" for images on which knobs are tuned and nothing is reported.
    axes : mapping of str to number or str
        What sets the task apart from the other tasks of the suite, such as ``{"acceleration": 8}``.
    method, prior, package : str
        Which method, with which prior ("" without one), of which package and version.
    kind : str
        "baseline", "learned", "peer" or "own".
    settings : mapping
        The knob, where it was set.
    run : str
        See `Run`.
    seed : int
        Of the noise and of the method.
    """

    suite: str
    task: str
    image: str
    split: Literal["test", "tuning"]
    method: str
    seed: int
    run: Run = "default"
    axes: Mapping[str, float | str] = field(default_factory=dict)
    settings: Mapping[str, float] = field(default_factory=dict)
    prior: str = ""
    package: str = "invgen"
    kind: str = "baseline"

    @property
    def title(self) -> str:
        """The method with its prior."""
        return f"{self.method}, {self.prior}" if self.prior else self.method

    def json(self) -> str:
        """All of it as text."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def of(cls, text: str) -> Cell:
        """The cell of a text that `json` made."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Outcome:
    """Measures, costs and images of a method on one problem.

    Attributes
    ----------
    measures : mapping of str to number
        By their names in `invgen.bench.measures.MEASURES`.
    costs : mapping of str to number
        "seconds", "network_evaluations", "operator_calls", "peak_memory" in bytes; what is unknown is absent.
    arrays : mapping of str to tensor
        Images to be shown: "image", "truth", and of samplers "std".
    stats : mapping
        What the method reports of itself, such as the weight that it chose.
    """

    measures: Mapping[str, float]
    costs: Mapping[str, float] = field(default_factory=dict)
    arrays: Mapping[str, Tensor] = field(default_factory=dict)
    stats: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """A cell and its result: measures, or the reason why there are none.

    Attributes
    ----------
    identity : str
        Hash of the content, not of the place in a list: method, settings, version of the code, problem, seed.
    cell : Cell
    measures, costs, stats : mapping
        As of an `Outcome`.
    error, traceback : str or None
        Why the cell failed, in a line, and where; None where it did not.
    version : str
        Of the code that ran.
    machine : str
        Where it ran.
    finished : str
        When, in UTC.
    """

    identity: str
    cell: Cell
    measures: Mapping[str, float] = field(default_factory=dict)
    costs: Mapping[str, float] = field(default_factory=dict)
    stats: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    traceback: str | None = None
    version: str = ""
    machine: str = ""
    finished: str = ""

    @property
    def failed(self) -> bool:
        """Whether there are no measures."""
        return self.error is not None
