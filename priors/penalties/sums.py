"""Several priors of one image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from invgen.convex.weights import find_weight
from invgen.core.batching import leading
from invgen.core.errors import CapabilityError, ParameterError
from invgen.operators import LinearOperator, Space
from invgen.priors.base import Proximable, Weight, has_closed_form
from invgen.priors.penalties.constraints import Constraint
from invgen.priors.penalties.penalty import Penalty
from invgen.priors.penalties.sparse import L1
from invgen.priors.penalties.tikhonov import Tikhonov
from invgen.problem import Problem

__all__ = ["Sum"]


@dataclass(frozen=True)
class Sum(Penalty):
    """Sum of convex priors, as ``+`` makes it: ``0.1 * Wavelet() + NonNegative()``.

    Its proximal map has a closed form where at most one part is neither a constraint nor a `Tikhonov` of the
    pixels, that part has one, and with constraints it is an `L1` of the pixels: a separable function of one
    number is least on an interval where it is least without, moved to the nearest end. Else the sum is
    `Composite`.

    Parameters
    ----------
    parts : sequence of priors
        One of them may have a rule for its weight, such as "auto": it follows from the noise, with the others
        as they are.

    Raises
    ------
    ParameterError
        If more than one weight follows a rule, or no image meets all constraints.
    """

    parts: tuple[Any, ...]

    def __post_init__(self) -> None:
        flat: list[Any] = []
        for part in self.parts:
            flat.extend(part.parts if isinstance(part, Sum) else [part])
        object.__setattr__(self, "parts", tuple(flat))
        if len(self._ruled) > 1:
            raise ParameterError(
                "Only one weight of a sum can follow from the noise; give the other priors numbers, "
                "such as 0.1 * TotalVariation()."
            )
        intervals = [part for part in self.parts if isinstance(part, Constraint)]
        if intervals and max(c.low for c in intervals) > min(c.high for c in intervals):
            raise ParameterError(f"No image meets all constraints of {intervals}.")

    @property
    def weight(self) -> Weight | tuple[Weight, ...] | None:
        """Weight of the part that has one; of several a tuple, None where all are constraints."""
        weights = tuple(self.parts[i].weight for i in self._weighted)
        return weights[0] if len(weights) == 1 else weights or None

    @property
    def _weighted(self) -> list[int]:
        """Which parts have a weight."""
        return [i for i, part in enumerate(self.parts) if not isinstance(part, Constraint)]

    @property
    def _ruled(self) -> list[int]:
        """Which part, if any, has a weight that follows a rule."""
        return [i for i in self._weighted if isinstance(self.parts[i].weight, str)]

    def value(self, x: torch.Tensor) -> torch.Tensor:
        """Sum of the parts' values, of the axes that all of them leave."""
        values = [part.value(x) for part in self.parts]
        depth = min(value.ndim for value in values)
        return torch.stack([v.sum(tuple(range(depth, v.ndim))) if v.ndim > depth else v for v in values]).sum(
            0
        )

    def terms(self, space: Space) -> list[tuple[LinearOperator, Any]]:
        """Those of all parts."""
        return [term for part in self.parts for term in part.terms(space)]

    def closed_form(self, space: Space) -> bool:
        """Whether `prox` is a formula for images of `space`."""
        _, others, _ = self._kinds()
        return self._separates and all(has_closed_form(part, space) for part in others)

    def prox(self, x: torch.Tensor, step: float | torch.Tensor) -> torch.Tensor:
        """``argmin_z value(z) + |z - x|^2 / (2 step)``, where there is a closed form.

        A quadratic w / 2 |z|^2 beside g moves into the distance: with ``c = 1 + step w`` the map is that of g
        at ``x / c`` with the step ``step / c``.
        """
        quadratics, others, constraints = self._kinds()
        if not self._separates:
            names = " + ".join(type(part).__name__ for part in self.parts)
            raise CapabilityError(
                f"The proximal map of {names} has no closed form. PDHG and FISTA take its terms."
            )
        for part in quadratics:
            shrink = 1 + step * leading(part._number(), x)
            x, step = x / shrink, step / shrink
        for part in (*others, *constraints):
            x = part.prox(x, step)
        return x

    @property
    def _separates(self) -> bool:
        """Whether the map is made of its parts' maps."""
        _, others, constraints = self._kinds()
        alone = not constraints or all(isinstance(part, L1) and part.pixelwise for part in others)
        return len(others) <= 1 and alone and all(isinstance(part, Proximable) for part in others)

    def _kinds(self) -> tuple[list[Any], list[Any], list[Any]]:
        """Quadratics of the pixels, other penalties, and constraints."""
        kinds: tuple[list[Any], list[Any], list[Any]] = ([], [], [])
        for part in self.parts:
            quadratic = isinstance(part, Tikhonov) and part.pixelwise
            kinds[0 if quadratic else 2 if isinstance(part, Constraint) else 1].append(part)
        return kinds

    def with_weight(self, weight: float | torch.Tensor) -> Sum:
        """The same sum with another weight of the part whose own follows a rule, or that alone has one."""
        chosen = self._ruled or self._weighted
        if len(chosen) != 1:
            raise ParameterError("with_weight needs a sum with one weight, or one that follows a rule.")
        return Sum(tuple(p.with_weight(weight) if i == chosen[0] else p for i, p in enumerate(self.parts)))

    def without_constraints(self) -> Sum | None:
        """The other parts, the one to be weighted first."""
        first = self._ruled
        order = [*first, *(i for i in self._weighted if i not in first)]
        free = tuple(self.parts[i].without_constraints() for i in order)
        return Sum(free) if free else None

    def fitted(self, space: Space) -> Sum:
        """With all parts fitted."""
        return Sum(tuple(part.fitted(space) for part in self.parts))

    def resolve(self, problem: Problem) -> Sum:
        """With all parts resolved; a weight that follows a rule is found with the other parts in place."""
        ruled = self._ruled
        prior = Sum(
            tuple(
                part.fitted(problem.operator.domain) if i in ruled else part.resolve(problem)
                for i, part in enumerate(self.parts)
            )
        )
        if not ruled:
            return prior
        free: Any = prior.without_constraints()
        return prior.with_weight(find_weight(problem, free, self.parts[ruled[0]].weight))

    def _times(self, factor: float | torch.Tensor) -> Sum:
        return Sum(tuple(factor * part for part in self.parts))
