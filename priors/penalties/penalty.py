"""Penalties: their weights, multiples and sums."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self, cast

import numpy as np
import torch

from invgen.convex.weights import check_weight, find_weight
from invgen.core.batching import leading
from invgen.core.checks import is_count
from invgen.core.errors import CapabilityError, ParameterError, ShapeError
from invgen.operators import LinearOperator, Space
from invgen.priors.base import Proximable, Weight, has_closed_form
from invgen.priors.image_format import ImageFormat
from invgen.problem import Problem

__all__ = ["Penalty", "Sum", "check_axes", "is_axis"]


class Penalty:
    """Base of the convex priors: a subclass gives `value`, `terms` and, where it has none, no `weight`.

    Penalties are added, and multiplied by positive numbers: ``0.1 * Wavelet() + NonNegative()``. A multiple
    of a penalty whose weight is a rule, such as "auto", has that number as its weight, else that number times
    its weight.

    Attributes
    ----------
    image_format : ImageFormat
        That of images of any kind and unit.
    bounds : pair of float or None
        The interval of the pixels' values, of a penalty that is this constraint and nothing else: zero within
        it, infinite outside.
    quadratic : bool
        Whether the penalty is ``weight / 2 |x|^2`` of the pixels.
    separable : bool
        Whether the penalty is a sum over the pixels of one convex function of each.
    """

    image_format = ImageFormat()

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The interval that the pixels are confined to, where the penalty is no more than that."""
        return None

    @property
    def quadratic(self) -> bool:
        """Whether the penalty is ``weight / 2 |x|^2`` of the pixels."""
        return False

    @property
    def separable(self) -> bool:
        """Whether the penalty is a sum over the pixels of one convex function of each."""
        return False

    def summands(self) -> tuple[Penalty, ...]:
        """The parts of a sum; any other penalty has itself."""
        return (self,)

    def value(self, x: torch.Tensor) -> torch.Tensor:
        """Penalty of each image; the axes of `x` that remain are batch."""
        raise NotImplementedError

    def terms(self, space: Space) -> list[tuple[LinearOperator, Any]]:
        """Pairs of a linear map and a function of it; see `invgen.priors.Composite`."""
        raise NotImplementedError

    def with_weight(self, weight: float | torch.Tensor) -> Self:
        """The same penalty with another weight."""
        return cast(Any, replace)(self, weight=weight)

    def without_constraints(self) -> Penalty | None:
        """The penalty without its constraints; None where it is a constraint and nothing else."""
        return self

    def fitted(self, space: Space) -> Self:
        """The same penalty, for images of `space` alone."""
        return self

    def resolve(self, problem: Problem) -> Self:
        """For the images of `problem`, and with the weight that its rule gives.

        The weight is found without constraints: data that no image within them explains would otherwise be
        fitted by lowering the weight.
        """
        weight: Weight = cast(Any, self).weight
        if isinstance(weight, torch.Tensor) and weight.shape not in ((), problem.batch_shape):
            raise ShapeError(
                f"A weight for each batch element has the shape of the batch, {tuple(problem.batch_shape)}; "
                f"got {tuple(weight.shape)}."
            )
        prior = self.fitted(problem.operator.domain)
        device = problem.zeros().device
        if isinstance(weight, torch.Tensor) and weight.device != device:
            return cast(Any, prior).with_weight(weight.to(device))
        if isinstance(weight, str):
            free = cast(Any, prior.without_constraints())
            prior = prior.with_weight(find_weight(problem, free, weight))
        return prior

    def number(self) -> float | torch.Tensor:
        """The weight as a number, or one for each batch element.

        Raises
        ------
        ParameterError
            Where it is the name of a rule.
        """
        weight: Weight = cast(Any, self).weight
        if isinstance(weight, str):
            raise ParameterError(f"The weight is {weight!r}: resolve(problem) finds the number.")
        return weight

    def __mul__(self, factor: Any) -> Self:
        if not isinstance(factor, int | float | np.number | torch.Tensor):
            return NotImplemented
        check_weight(cast(Any, factor))
        return self._times(cast(Any, factor))

    __rmul__ = __mul__

    def _times(self, factor: float | torch.Tensor) -> Self:
        weight = cast(Any, self).weight
        return self.with_weight(factor if isinstance(weight, str) else factor * weight)

    def __add__(self, other: Any) -> Sum:
        return Sum((self, other)) if isinstance(other, Penalty) else NotImplemented


@dataclass(frozen=True)
class Sum(Penalty):
    """Sum of penalties, as ``+`` makes it: ``0.1 * Wavelet() + NonNegative()``.

    Its proximal map has a closed form where at most one part is neither a constraint nor a quadratic of the
    pixels, that part has one, and beside constraints it is a separable function of the pixels: a convex
    function of one number is least on an interval where it is least on the line, moved to the nearest end.
    Otherwise the sum is `Composite`.

    Parameters
    ----------
    parts : sequence of Penalty
        One of them may have a rule for its weight, such as "auto": it follows from the noise, with the others
        as they are.

    Raises
    ------
    ParameterError
        If more than one weight follows a rule, or no image meets all constraints.
    """

    parts: tuple[Any, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple(own for part in self.parts for own in part.summands()))
        if len(self._ruled) > 1:
            raise ParameterError(
                "Only one weight of a sum can follow from the noise; give the other priors numbers, "
                "such as 0.1 * TotalVariation()."
            )
        bounds = [part.bounds for part in self.parts if part.bounds is not None]
        if bounds and max(low for low, _ in bounds) > min(high for _, high in bounds):
            constraints = [part for part in self.parts if part.bounds is not None]
            raise ParameterError(f"No image meets all constraints of {constraints}.")

    def summands(self) -> tuple[Any, ...]:
        """The parts: a sum of sums is flat."""
        return self.parts

    @property
    def weight(self) -> Weight | tuple[Weight, ...] | None:
        """Weight of the part that has one; of several a tuple, None where all are constraints."""
        weights = tuple(self.parts[i].weight for i in self._weighted)
        return weights[0] if len(weights) == 1 else weights or None

    @property
    def _weighted(self) -> list[int]:
        """The parts that have a weight."""
        return [i for i, part in enumerate(self.parts) if part.bounds is None]

    @property
    def _ruled(self) -> list[int]:
        """The part, if any, whose weight follows a rule."""
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
            shrink = 1 + step * leading(part.number(), x)
            x, step = x / shrink, step / shrink
        for part in (*others, *constraints):
            x = part.prox(x, step)
        return x

    @property
    def _separates(self) -> bool:
        """Whether the map is made of its parts' maps."""
        _, others, constraints = self._kinds()
        alone = not constraints or all(part.separable for part in others)
        return len(others) <= 1 and alone and all(isinstance(part, Proximable) for part in others)

    def _kinds(self) -> tuple[list[Any], list[Any], list[Any]]:
        """Quadratics of the pixels, other penalties, and constraints."""
        kinds: tuple[list[Any], list[Any], list[Any]] = ([], [], [])
        for part in self.parts:
            kinds[0 if part.quadratic else 2 if part.bounds is not None else 1].append(part)
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


def is_axis(axis: Any) -> bool:
    """Whether `axis` is a whole number that counts from the end: -1, -2..."""
    return is_count(axis, -1, least=-64)  # PyTorch's tensors have at most 64


def check_axes(axes: tuple[int, ...]) -> None:
    """Raise unless `axes` are counted from the end."""
    if not axes or not all(is_axis(axis) for axis in axes):
        raise ParameterError(f"axes are counted from the end, such as (-2, -1); got {axes}.")
