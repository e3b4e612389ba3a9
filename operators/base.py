"""Operators: the physics of a measurement, as maps between spaces with exact derivatives."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch

from invgen.core.errors import ShapeError
from invgen.core.frozen import Constant, Frozen
from invgen.core.space import Data, ProductSpace, Space, as_space

__all__ = ["Composition", "Operator"]


class Operator(Frozen):
    """A differentiable map from images to measurements.

    A subclass defines ``_apply``; its derivatives are PyTorch's unless it defines better ones. ``A @ B`` is
    the composition: first B, then A.

    Parameters
    ----------
    domain, range : Space, ProductSpace or tuple of int
        The spaces of inputs and outputs, without batch axes. A tuple is the shape of real arrays.
    """

    #: NumPy's scalars leave products with an operator to the operator.
    __array_ufunc__ = None

    #: Whether a batch equals its elements to the bit, or, as with neural networks, to rounding.
    exact_batches = True

    def __init__(self, domain: Any, range: Any) -> None:
        self.domain = as_space(domain)
        self.range = as_space(range)

    def _apply(self, x: Data, /) -> Data:
        raise NotImplementedError

    def _call(self, x: Data, /) -> Data:
        """Apply to checked data, as a step that PyTorch differentiates: what operators call of each other."""
        return self._apply(x)

    def __call__(self, x: Data) -> Data:
        """Apply the operator to `x`, of the shape ``(*batch, *domain.shape)``."""
        self.domain.check(x, self.name)
        return self._call(x)

    @property
    def observed(self) -> torch.Tensor | None:
        """True where a measurement depends on the image, broadcasting to the range; None for everywhere.

        Elsewhere `_apply` returns zero whatever the image: pixels that are lost, k-space that is not sampled.
        """
        return None

    @cached_property
    def observing(self) -> Constant | None:
        """`observed`, to be moved to a device once."""
        return None if self.observed is None else Constant(self.observed)

    def estimate_noise(self, y: Data) -> torch.Tensor | None:
        """Standard deviation of white noise on `y`, shape of the batch; None where it cannot be estimated."""
        return None

    def restrict(self, x: torch.Tensor) -> torch.Tensor:
        """`x` with what lies outside of the field of view, where there is one, set to zero."""
        return x

    def jvp(self, x: Data, v: Data) -> Data:
        """Derivative at `x` in the direction `v`."""
        self.domain.check(x, self.name)
        self.domain.check(v, self.name)
        return torch.func.jvp(self._call, (x,), (v,))[1]

    def vjp(self, x: Data, w: Data) -> Data:
        """Adjoint of the derivative at `x`, applied to `w`."""
        self.domain.check(x, self.name)
        self.range.check(w, self.name)
        return torch.func.vjp(self._call, x)[1](w)[0]

    @property
    def name(self) -> str:
        """Name of the class, for messages."""
        return type(self).__name__

    def __repr__(self) -> str:
        return f"{self.name}({_show(self.domain)} -> {_show(self.range)})"

    def __matmul__(self, other: Any) -> Operator:
        return Composition(self, other) if isinstance(other, Operator) else NotImplemented


class Composition(Operator):
    """``A @ B``: first B, then A.

    The measurement is that of the outer operator, and so are `observed` and `estimate_noise`; derivatives
    follow by the chain rule.

    Parameters
    ----------
    outer, inner : Operator

    Raises
    ------
    ShapeError
        Where the range of the inner operator is not the domain of the outer one.
    """

    def __init__(self, outer: Operator, inner: Operator) -> None:
        if outer.domain != inner.range:
            raise ShapeError(f"{outer} @ {inner}: the range of the second must be the domain of the first.")
        super().__init__(inner.domain, outer.range)
        self._outer, self._inner = outer, inner
        self.exact_batches = outer.exact_batches and inner.exact_batches

    @property
    def name(self) -> str:
        """Both names, for messages."""
        return f"({self._outer.name} @ {self._inner.name})"

    @property
    def observed(self) -> torch.Tensor | None:
        """What the outer operator observes."""
        return self._outer.observed

    def estimate_noise(self, y: Data) -> torch.Tensor | None:
        """The outer operator's estimate."""
        return self._outer.estimate_noise(y)

    def restrict(self, x: torch.Tensor) -> torch.Tensor:
        """`x` in the field of view of the inner operator."""
        return self._inner.restrict(x)

    def _apply(self, x: Data) -> Data:
        return self._outer._call(self._inner._call(x))

    def jvp(self, x: Data, v: Data) -> Data:
        """Derivative of the outer operator at ``B(x)``, in the direction of the inner one's."""
        self.domain.check(x, self.name)
        self.domain.check(v, self.name)
        return self._outer.jvp(*torch.func.jvp(self._inner._call, (x,), (v,)))

    def vjp(self, x: Data, w: Data) -> Data:
        """Adjoint of the derivative; the inner operator, which may be a network, is evaluated once."""
        self.domain.check(x, self.name)
        inner, pullback = torch.func.vjp(self._inner._call, x)  # type: ignore[misc]
        return pullback(self._outer.vjp(inner, w))[0]


def _show(space: Space | ProductSpace) -> str:
    if isinstance(space, ProductSpace):
        return " + ".join(map(_show, space.spaces))
    return f"{space.shape}{' complex' if space.field == 'complex' else ''}"
