"""Stacks of linear operators: several measurements of one image."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from invgen.core.errors import ShapeError
from invgen.core.space import Data, ProductSpace, Space, map_parts
from invgen.operators.linear import LinearOperator, Sum

__all__ = ["Stack", "stack"]


class Stack(LinearOperator):
    """Several measurements of one image.

    Equal ranges are stacked on a new first axis of the measurement; of unequal ones it is a tuple.
    """

    def __init__(self, operators: Sequence[LinearOperator]) -> None:
        self._operators = tuple(operators)
        if not self._operators:
            raise ShapeError("stack needs at least one operator.")
        first = self._operators[0]
        if any(A.domain != first.domain for A in self._operators):
            raise ShapeError("stack needs operators with one domain.")
        ranges = [A.range for A in self._operators]
        self._equal = isinstance(first.range, Space) and all(r == first.range for r in ranges)
        whole = (
            Space((len(ranges), *first.range.shape), first.range.field)
            if self._equal
            else ProductSpace(ranges)
        )
        super().__init__(first.domain, whole)
        self.nonnegative = all(A.nonnegative for A in self._operators)

    @property
    def observed(self) -> torch.Tensor | None:
        """What each observes, of equal ranges; a tuple is all observed."""
        parts = [A.observed for A in self._operators]
        known = next((part for part in parts if part is not None), None)
        if known is None or not self._equal:
            return None
        everything = known.new_ones(())
        return torch.stack(
            [(everything if part is None else part).expand(self.range.shape[1:]) for part in parts]
        )

    def _apply(self, x: Data) -> Data:
        parts = tuple(A._apply(x) for A in self._operators)
        return torch.stack(parts, dim=-self.range.ndim) if self._equal else parts

    def _adjoint(self, y: Data) -> Data:
        parts = y.unbind(dim=-self.range.ndim) if self._equal else y
        total = self._operators[0]._adjoint(parts[0])
        for A, part in zip(self._operators[1:], parts[1:], strict=True):
            total = map_parts(torch.add, total, A._adjoint(part))
        return total

    def _gram(self) -> LinearOperator:
        total = self._operators[0].gram
        for A in self._operators[1:]:
            total = Sum(total, A.gram)
        return total


def stack(operators: Sequence[LinearOperator]) -> LinearOperator:
    """Measure one image with several operators; see `Stack`."""
    return Stack(operators)
