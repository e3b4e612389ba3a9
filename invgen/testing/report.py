"""What a check measured, and the error where a rule is broken."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from invgen.core.errors import InvgenError, ParameterError
from invgen.core.space import Data

__all__ = ["CheckError", "Checks", "Report"]


class CheckError(InvgenError, AssertionError):
    """An operator, prior or solver breaks a rule that others rely on."""


@dataclass(frozen=True)
class Report:
    """What was checked, and the figures that were measured.

    Attributes
    ----------
    subject : str
        What was checked.
    figures : dict
        For each check the figure that was measured and the bound that it kept, such as ``(3e-8, 1e-6)``;
        ``(0, 0)`` where there is nothing to measure, such as equal bits, and no bound but infinity where
        nothing is asked of the figure.
    left_out : dict
        For each rule that was not checked the reason.
    """

    subject: str
    figures: dict[str, tuple[float, float]]
    left_out: dict[str, str]

    def __str__(self) -> str:
        width = max(map(len, [*self.figures, *self.left_out]), default=0)
        lines = [f"{name:<{width}}  {_outcome(got, bound)}" for name, (got, bound) in self.figures.items()]
        lines += [f"{name:<{width}}  left out: {reason}" for name, reason in self.left_out.items()]
        return "\n".join([self.subject, *lines])


def _outcome(got: float, bound: float) -> str:
    if bound == math.inf:
        return f"{got:.1e}"
    return f"{got:.1e}  (at most {bound:.0e})" if bound else "holds"


class Checks:
    """Collects figures, and raises at the first one beyond its bound.

    Parameters
    ----------
    subject : object
        What is checked, named by its `repr`.
    skip : collection of str
        Names of rules, the part of a check's name before the colon, to leave out.
    known : collection of str
        The names that there are: a name that is not among them is a typing error.
    """

    def __init__(self, subject: Any, skip: Collection[str], known: Collection[str]) -> None:
        if unknown := set(skip) - set(known):
            raise ParameterError(
                f"skip names rules among {', '.join(known)}; got {', '.join(sorted(unknown))}."
            )
        self._subject, self._skip = repr(subject), frozenset(skip)
        self._figures: dict[str, tuple[float, float]] = {}
        self._left_out: dict[str, str] = {}

    def run(self, rule: str, check: Callable[[], None]) -> None:
        """Run one rule's checks, unless it is to be skipped."""
        if rule in self._skip:
            self.leave_out(rule, "as asked")
            return
        try:
            check()
        except CheckError:
            raise
        except Exception as error:
            raise CheckError(f"{self._subject}, {rule}: raised {type(error).__name__}: {error}") from error

    def leave_out(self, rule: str, reason: str) -> None:
        """Note what was not checked, and why."""
        self._left_out[rule] = reason

    def at_most(self, name: str, figure: float | torch.Tensor, bound: float, meaning: str) -> None:
        """Hold a figure to its bound; NaN is beyond every bound."""
        figure = float(figure)
        if not figure <= bound:
            measured = f" (measured {figure:.2e}, at most {bound:.0e})" if bound else ""
            raise CheckError(f"{self._subject}, {name}: {meaning}{measured}.")
        old = self._figures.get(name, (0.0, bound))[0]
        self._figures[name] = (max(old, figure), bound)

    def true(self, name: str, holds: bool, meaning: str) -> None:
        """Hold a statement that is true or not; the figure is how often it was not."""
        self.at_most(name, 0.0 if holds else 1.0, 0.0, meaning)

    @contextmanager
    def raises(self, name: str, kind: type[Exception], meaning: str) -> Iterator[None]:
        """Expect an error of one kind."""
        try:
            yield
        except kind:
            self.true(name, True, meaning)
        except Exception as error:
            got = f"{type(error).__name__}: {error}"
            raise CheckError(
                f"{self._subject}, {name}: {meaning} with {kind.__name__}; raised {got}"
            ) from error
        else:
            raise CheckError(f"{self._subject}, {name}: {meaning} with {kind.__name__}; nothing was raised.")

    def report(self) -> Report:
        """Return all figures so far."""
        return Report(self._subject, self._figures, self._left_out)


def parts(x: Data) -> tuple[torch.Tensor, ...]:
    """Return the tensors of an element, one or several."""
    return tuple(x) if isinstance(x, tuple | list) else (x,)


def distance(x: Data, y: Data) -> float:
    """Return ``|x - y| / |y|`` in the Euclidean norm; ``|x|`` where y is zero."""
    a, b = (torch.cat([part.flatten() for part in parts(z)]) for z in (x, y))
    size = torch.linalg.vector_norm(b)
    return float(torch.linalg.vector_norm(a - b) / (size if size > 0 else 1.0))


def same_bits(x: Data, y: Data) -> bool:
    """Whether two elements agree in shape, precision and every bit but the sign of zero."""
    return len(parts(x)) == len(parts(y)) and all(
        a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b)
        for a, b in zip(parts(x), parts(y), strict=True)
    )


def pickled(thing: Any) -> Any:
    """Copy through pickle."""
    return pickle.loads(pickle.dumps(thing))


def cloned(x: Data) -> Data:
    """Copy an element, sharing no memory."""
    return copy.deepcopy(x)


def refuses_change(thing: Any) -> bool:
    """Whether setting an attribute, old or new, raises AttributeError."""
    for name in ("domain", "weight", "iterations", "a_new_name"):
        try:
            setattr(thing, name, getattr(thing, name, None))
        except AttributeError:
            continue
        return False
    return True
