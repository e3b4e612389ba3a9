"""What the solvers share that look for the most probable image given the data, in the unit of their prior."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, ClassVar, Self

from torch import Tensor

from invgen.core.errors import ParameterError
from invgen.priors.base import require
from invgen.problem import Problem
from invgen.solvers.base import Solver
from invgen.solvers.scale import check_scale, found_scale, scale_statistics, with_level

__all__ = ["PosteriorMode"]


@dataclass(frozen=True)
class PosteriorMode(Solver):
    """Base of the solvers that minimize ``-log p(y | x) - weight log p``, of an image or of what makes it.

    Parameters
    ----------
    prior : one of the subclass's `protocols`
    weight : number
        Of minus the logarithm of the prior density.
    scale : positive number, tensor with one for each batch element, or "auto"
        The value in the image that becomes the upper end of the prior's value range: see `found_scale`.
    """

    prior: Any
    _: KW_ONLY
    weight: float = 1.0
    scale: float | Tensor | str = "auto"

    #: What the prior can do, one of these.
    protocols: ClassVar[tuple[type, ...]]
    reported: ClassVar[tuple[str, ...]] = ("penalty",)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.prior, self.name, *self.protocols)
        check_scale(self.scale, "scale")
        if not 0 <= self.weight < math.inf:
            raise ParameterError(f"weight is a number from zero on; got {self.weight}.")

    def described(self, problem: Problem) -> Problem:
        """The problem with a noise level that is known, or estimated from the data."""
        return with_level(problem, self.name)

    def resolved(self, problem: Problem) -> Self:
        """With the scale of each batch element."""
        return replace(self, scale=found_scale(self.scale, self.prior, problem))

    def penalty(self, problem: Problem, x: Tensor) -> float:
        """Unknown of an image in its own unit: states bring that of what is moved."""
        return 0.0

    def statistics(self) -> dict[str, Any]:
        """The weight, and the scale where the prior has a range."""
        return {"weight": self.weight, **scale_statistics(self.scale)}

    def rule(self, problem: Problem) -> dict[str, Any]:
        """None: the weight follows no rule."""
        return {}
