"""To and from ODL, the Operator Discretization Library (Adler, Kohr and Öktem 2017).

ODL's spaces carry weights, such as the volume of a pixel, and its adjoints belong to the inner products
``<x, x'> = sum w x conj(x')``. Ours are Euclidean. With weights W_X of the domain and W_Y of the range::

    A.H = W_X A* W_Y^-1        A* = W_X^-1 A.H W_Y
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache, cached_property
from typing import Any

import numpy as np
import torch

from invgen.core.errors import CapabilityError, DtypeError, ParameterError, ShapeError
from invgen.core.frozen import Constant
from invgen.core.space import Data, ProductSpace, Space, map_parts
from invgen.operators.linear import LinearOperator

__all__ = ["from_odl", "import_odl", "to_odl"]

_DTYPES = {"float32": "complex64", "float64": "complex128"}


@cache
def import_odl() -> Any:
    """Import ODL, and undo what its import changes: an environment variable and NumPy's print options.

    SciPy is imported before, since it reads ``SCIPY_ARRAY_API`` once, when it is imported. Where the user has
    imported ODL earlier, its changes stay.
    """
    import scipy.special  # noqa: F401

    before = os.environ.get("SCIPY_ARRAY_API")
    try:
        with np.printoptions():
            import odl
    finally:
        if before is None:
            os.environ.pop("SCIPY_ARRAY_API", None)
        else:
            os.environ["SCIPY_ARRAY_API"] = before
    return odl


def from_odl(operator: Any) -> LinearOperator:
    """A linear ODL operator as an operator on tensors, in ODL's own layout of arrays.

    A power space of arrays, such as the range of ``odl.Gradient``, is one array with a new first axis; any
    other product space is a tuple of arrays; a number is an array of shape ``(1,)``.

    The adjoint is the Euclidean one: the weights of ODL's spaces are removed. Some of ODL's adjoints ignore
    the weights (``MatrixOperator``) or are the inverse (``DiscreteFourierTransform``, a multiple of the
    adjoint). Each is therefore tested on three images when the operator is built, and corrected.

    ODL computes in the dtype of its spaces, and the result is returned in that of the input: float64 data in
    spaces of float32 have the precision of float32. Batches are looped over; data on a GPU are copied to the
    device of the ODL space and back.

    Parameters
    ----------
    operator : odl.Operator
        Linear, with an adjoint.

    Returns
    -------
    LinearOperator

    Raises
    ------
    DtypeError
        If it is no ODL operator, or one on arrays of another dtype than float32, float64, complex64 and
        complex128.
    CapabilityError
        If it is not linear, has no adjoint, or one that is no multiple of the transpose, as the
        ``FourierTransform`` and ``RayTransform(impl="skimage")`` of ODL 1.0.
    """
    return _FromODL(operator)


def to_odl(operator: LinearOperator, dtype: str | None = None, domain: Any = None, range: Any = None) -> Any:
    """An operator of invgen as one of ODL, whose solvers then run on it.

    Parameters
    ----------
    operator : LinearOperator
    dtype : {"float32", "float64"}, optional
        Precision of ODL's spaces, also of complex ones; by default that of a given space, else float32.
    domain, range : odl.LinearSpace, optional
        Spaces of the same shapes, such as ``odl.uniform_discr``, which ``odl.Gradient`` asks for; by
        default ``odl.rn`` and ``odl.cn``, unweighted, and ``odl.ProductSpace`` of them for tuples.

    Returns
    -------
    odl.Operator
        Its adjoint is ``A.H``, up to the weights of the given spaces. ODL's spaces have no batch axes.

    Raises
    ------
    DtypeError
        If it is no linear operator.
    ParameterError
        If the precision is unknown.
    ShapeError
        If a space does not fit.
    CapabilityError
        If ODL has no such space, or the space no weighted inner product.
    """
    if not isinstance(operator, LinearOperator):
        raise DtypeError(f"to_odl expects a LinearOperator; got {type(operator).__name__}.")
    if dtype not in (None, *_DTYPES):
        raise ParameterError(f"dtype is 'float32' or 'float64', also for complex data; got {dtype!r}.")
    if dtype is None:
        given = [a.dtype_identifier for space in (domain, range) for a in _arrays(space)]
        dtype = "float64" if set(given) & {"float64", "complex128"} else "float32"
    spaces = []
    for which, ours, theirs in (("domain", operator.domain, domain), ("range", operator.range, range)):
        space = _to_odl_space(ours, dtype) if theirs is None else theirs
        if _to_space(space) != ours:
            raise ShapeError(f"to_odl expects an ODL space like the {which} of {operator}; got {theirs!r}.")
        if _weights(space) is None:
            raise CapabilityError(
                f"to_odl expects spaces with a weighted inner product; got {space!r}, whose norm is another."
            )
        spaces.append(space)
    return _to_odl_class()(operator, *spaces)


class _FromODL(LinearOperator):
    def __init__(self, operator: Any) -> None:
        odl = import_odl()
        if not isinstance(operator, odl.Operator):
            raise DtypeError(f"from_odl expects an odl.Operator; got {type(operator).__name__}.")
        self._operator = operator
        if not operator.is_linear:
            raise CapabilityError(
                f"from_odl expects a linear operator; {self.name} is not. Take its derivative(x), which is "
                "linear, or write the physics as a subclass of Operator."
            )
        super().__init__(_to_space(operator.domain), _to_space(operator.range))
        try:
            self._odl_adjoint = operator.adjoint
        except NotImplementedError as error:
            raise CapabilityError(
                f"from_odl expects an operator with an adjoint; {self.name} has none. Give both directions "
                "to FunctionOperator."
            ) from error
        self._before, self._after = self._find_weights()

    @property
    def name(self) -> str:
        """Name for messages."""
        return f"odl.{type(self._operator).__name__}"

    def _apply(self, x: Data) -> Data:
        return _run(self._operator, x, self.domain, self.range)

    def _adjoint(self, y: Data) -> Data:
        return self._weighted(y, self._before, self._after)

    def _weighted(self, y: Data, before: list[Constant], after: list[Constant]) -> Data:
        x = _run(self._odl_adjoint, _times(before, y), self.range, self.domain)
        return _times(after, x)

    def _find_weights(self) -> tuple[list[Constant], list[Constant]]:
        """Factors before and after ODL's adjoint that make it the transpose."""
        candidates = [[[torch.ones(())] * len(_spaces(space)) for space in (self.range, self.domain)]]
        outer, inner = _weights(self._operator.range), _weights(self._operator.domain)
        if outer is not None and inner is not None:
            candidates.insert(0, [[1 / weight for weight in outer], inner])
        dtypes = {
            a.dtype_identifier for s in (self._operator.domain, self._operator.range) for a in _arrays(s)
        }
        tolerance = 1e-4 if dtypes & {"float32", "complex64"} else 1e-9
        distances = []
        for before, after in candidates:
            ratios = self._compare(list(map(Constant, before)), list(map(Constant, after)))
            factor = 1 / ratios[0].real if ratios else 1.0
            if abs(factor - 1) <= tolerance:
                factor = 1.0
            distances.append(max((abs(factor * ratio - 1) for ratio in ratios), default=0.0))
            if distances[-1] <= tolerance:
                return list(map(Constant, before)), [Constant(factor * weight) for weight in after]
        raise CapabilityError(
            f"from_odl expects an operator with an adjoint; the one of {self.name} is no multiple of the "
            f"transpose: their ratio varies by {min(distances):.0e}. Use another implementation of it, in "
            "ODL or here, or give both directions to FunctionOperator."
        )

    def _compare(self, before: list[Constant], after: list[Constant]) -> list[complex]:
        """Ratios ``<x, B A x> / |A x|^2`` of a candidate B: one each if it is the transpose.

        The images are white noise, ones and a single pixel: they differ in frequency and place.
        """
        noise = self.domain.random(seed=0, dtype=torch.float64)
        size = float(self.range.norm(self._apply(noise)))
        if not size:
            return []  # the zero operator
        seen = self._weighted(self._apply(noise), before, after)
        images = [noise, map_parts(torch.ones_like, noise), map_parts(_only_largest, seen)]
        ratios = []
        for x in images:
            y = self._apply(x)
            # a gradient is zero on ones, but for rounding
            if float(self.range.norm(y)) > 1e-3 * size * float(self.domain.norm(x) / self.domain.norm(noise)):
                product = complex(self.domain.inner(x, self._weighted(y, before, after)))
                complex_linear = self.domain.field == self.range.field == "complex"
                ratio = product if complex_linear else product.real
                ratios.append(complex(ratio / float(self.range.norm(y)) ** 2))
        return ratios


@cache
def _to_odl_class() -> Any:
    base: Any = import_odl().Operator

    class FromInvgen(base):
        """An operator of invgen on ODL's spaces: ``after * A(before * x)``."""

        def __init__(
            self,
            operator: LinearOperator,
            domain: Any,
            range: Any,
            before: list[Constant] | None = None,
            after: list[Constant] | None = None,
        ) -> None:
            super().__init__(domain, range, linear=True)
            self._operator, self._before, self._after = operator, before, after

        def _call(self, x: Any) -> Any:
            parts = _data(self.domain, x)
            if self._before is not None:
                parts = _times(self._before, parts)
            y = _parts(self._operator(parts if isinstance(self._operator.domain, ProductSpace) else parts[0]))
            if self._after is not None:
                y = _times(self._after, y)
            return _element(self.range, iter(y))

        @cached_property
        def adjoint(self) -> Any:
            before = [Constant(w) for w in _weights(self.range) or []]
            after = [Constant(1 / w) for w in _weights(self.domain) or []]
            adjoint = FromInvgen(self._operator.H, self.range, self.domain, before, after)
            adjoint.__dict__["adjoint"] = self  # or the weights would be applied twice
            return adjoint

        def __repr__(self) -> str:
            return f"to_odl({self._operator!r})"

    return FromInvgen


def _to_space(space: Any) -> Space | ProductSpace:
    """Our space of the elements of an ODL space."""
    odl = import_odl()
    if isinstance(space, odl.ProductSpace):
        parts = [_to_space(part) for part in space.spaces]
        if _is_array(space):
            return Space((len(parts), *parts[0].shape), parts[0].field)
        return ProductSpace([leaf for part in parts for leaf in _spaces(part)])
    if isinstance(space, odl.RealNumbers | odl.ComplexNumbers):
        return Space((1,), "real" if isinstance(space, odl.RealNumbers) else "complex")
    if getattr(space, "dtype_identifier", None) not in (*_DTYPES, *_DTYPES.values()):
        raise DtypeError(
            f"Operators map arrays of float32, float64, complex64 or complex128; got ODL's {space!r}."
        )
    return Space(space.shape, "complex" if space.is_complex else "real")


def _to_odl_space(space: Space, dtype: str) -> Any:
    """The unweighted ODL space of the elements of our space."""
    odl = import_odl()
    if isinstance(space, ProductSpace):
        if len({part.field for part in space.spaces}) > 1:
            raise CapabilityError(f"ODL's product spaces are real or complex throughout; {space} is mixed.")
        return odl.ProductSpace(*(_to_odl_space(part, dtype) for part in space.spaces))
    if space.field == "real":
        return odl.rn(space.shape, dtype=dtype)
    return odl.cn(space.shape, dtype=_DTYPES[dtype])


def _is_array(space: Any) -> bool:
    """Whether the elements of an ODL product space are one array with a new first axis."""
    if not isinstance(space, import_odl().ProductSpace):
        return True
    return len(space) > 0 and space.is_power_space and _is_array(space[0])


def _arrays(space: Any) -> list[Any]:
    """The ODL spaces of arrays that an ODL space is made of."""
    if isinstance(space, import_odl().ProductSpace):
        return [array for part in space.spaces for array in _arrays(part)]
    return [space] if hasattr(space, "dtype_identifier") else []


def _weights(space: Any) -> list[torch.Tensor] | None:
    """Weights of the inner product of an ODL space, for each array; None for spaces with another norm."""
    if not hasattr(space, "weighting"):
        return [torch.ones(1, dtype=torch.float64)]
    weights = getattr(space.weighting, "const", getattr(space.weighting, "array", None))
    if weights is None or space.weighting.exponent != 2:
        return None
    weights = torch.as_tensor(weights, dtype=torch.float64, device="cpu")
    if not isinstance(space, import_odl().ProductSpace):
        return [weights]
    parts = []
    for weight, part in zip(weights.expand(len(space)), space.spaces, strict=True):
        inner = _weights(part)
        if inner is None:
            return None
        parts += [weight * w for w in inner]
    if _is_array(space):
        return [torch.stack([weight.expand(_to_space(space[0]).shape) for weight in parts])]
    return parts


def _element(space: Any, parts: Iterator[torch.Tensor]) -> Any:
    """An element of an ODL space, from the next tensors of an iterator."""
    if isinstance(space, import_odl().ProductSpace):
        if _is_array(space):
            parts = iter(next(parts))
        return space.element([_element(part, parts) for part in space.spaces])
    x = next(parts)
    if not hasattr(space, "dtype_identifier"):
        return space.element(x.item())
    x = x.to(device=space.device, dtype=getattr(torch, space.dtype_identifier)).contiguous()
    return space.element(x.numpy() if space.impl == "numpy" else x)


def _data(space: Any, element: Any) -> list[torch.Tensor]:
    """The tensors of an ODL element, which share its memory where possible."""
    if isinstance(space, import_odl().ProductSpace):
        parts = [_data(s, e) for s, e in zip(space.spaces, element, strict=True)]
        if _is_array(space):
            return [torch.stack([part[0] for part in parts])]
        return [leaf for part in parts for leaf in part]
    if not hasattr(space, "dtype_identifier"):
        kind = torch.complex128 if isinstance(space, import_odl().ComplexNumbers) else torch.float64
        return [torch.tensor([element], dtype=kind)]
    return [torch.as_tensor(element.asarray(must_be_contiguous=True))]


def _run(operator: Any, x: Data, given: Space, wanted: Space) -> Data:
    """An ODL operator on each element of a batch."""
    parts = _parts(x)
    rows = zip(
        *(p.detach().reshape((-1, *s.shape)) for p, s in zip(parts, _spaces(given), strict=True)), strict=True
    )
    results = [_data(operator.range, operator(_element(operator.domain, iter(row)))) for row in rows]
    precision = parts[0].dtype.to_real()
    y = tuple(
        torch.stack(column)
        .to(device=parts[0].device, dtype=precision if s.field == "real" else precision.to_complex())
        .reshape((*given.batch_shape(x), *s.shape))
        for column, s in zip(zip(*results, strict=True), _spaces(wanted), strict=True)
    )
    return y if isinstance(wanted, ProductSpace) else y[0]


def _spaces(space: Space) -> tuple[Space, ...]:
    return space.spaces if isinstance(space, ProductSpace) else (space,)


def _parts(x: Data) -> tuple[torch.Tensor, ...]:
    return (x,) if isinstance(x, torch.Tensor) else tuple(x)


def _times(weights: list[Constant], x: Data) -> Data:
    factors = iter(weights)
    return map_parts(lambda part: next(factors).like(part) * part, x)


def _only_largest(x: torch.Tensor) -> torch.Tensor:
    """One where `x` is largest in magnitude, else zero."""
    return torch.zeros_like(x).flatten().index_fill(0, x.abs().argmax(), 1).reshape(x.shape)
