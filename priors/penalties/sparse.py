"""Sparsity: of pixels, of groups of them, and of the coefficients of a transform."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import torch

from invgen import operators
from invgen.convex.functions import GroupL1
from invgen.core.errors import ParameterError, ShapeError
from invgen.core.frozen import Constant
from invgen.operators import Identity, LinearOperator, Space
from invgen.priors.penalties.analysis import ProximableAnalysis
from invgen.priors.penalties.penalty import check_axes, is_axis

__all__ = ["DCT", "L1", "GroupSparsity", "Transformed", "Wavelet"]


@dataclass(frozen=True)
class Transformed(ProximableAnalysis):
    """Base of the priors of any linear transform that a user gives; by default of the image itself."""

    transform: LinearOperator | None = None

    @property
    def pixelwise(self) -> bool:
        """Whether it is a function of the image itself."""
        return self.transform is None or isinstance(self.transform, Identity)

    @property
    def _depth(self) -> int:
        return 0 if self.transform is None else len(self.transform.domain.shape)

    def _of(self, x: torch.Tensor) -> LinearOperator:
        if self.transform is not None:
            return self.transform
        shape = x.shape[max(0, x.ndim - max(2, self._depth)) :]
        return self._map(Space(tuple(shape), "complex" if x.is_complex() else "real"))

    def _map(self, space: Space) -> LinearOperator:
        if self.transform is None:
            return Identity(space.shape, space.field)
        if self.transform.domain != space:
            raise ShapeError(
                f"The transform of {type(self).__name__} takes images of {self.transform.domain}; these are "
                f"of {space}. Build it with their shape and field."
            )
        return self.transform

    def fitted(self, space: Space) -> Transformed:
        """With the identity of that shape where no transform is given: other axes are then batch."""
        return replace(self, transform=self._checked_map(space))


@dataclass(frozen=True)
class L1(Transformed):
    """Sparsity: ``weight * sum |K x|``, the magnitude of complex numbers.

    The proximal map is soft thresholding, Donoho (1995), where K is orthonormal; for any other transform the
    prior is `Composite`.

    Parameters
    ----------
    weight : positive number, tensor with one for each batch element, "auto", "discrepancy" or "sure"
        Absolute, in the objective ``-log p(y | A x) + weight * |K x|_1``. "auto" is the discrepancy
        principle, "sure" the least estimated risk; see `invgen.convex.weights`.
    transform : LinearOperator, optional
        K, of the images' shape and field; by default the identity. Without it `value` takes the last two axes
        for the image until `resolve` gives the prior the shape of a problem's images.
    """

    @property
    def separable(self) -> bool:
        """Without a transform each pixel counts by itself."""
        return self.pixelwise

    def _function(self, weight: float | torch.Tensor, K: LinearOperator) -> GroupL1:
        return GroupL1(weight)


@dataclass(frozen=True)
class GroupSparsity(Transformed):
    """Joint sparsity: ``weight * sum |K x|_2``, the magnitude of the groups along `axis`.

    What is zero in one member of a group is zero in all: channels, echoes or frames with common edges. Yuan
    and Lin (2006), eq. 2.1; with `transform` the groups are of its coefficients.

    Parameters
    ----------
    weight : positive number, tensor with one for each batch element, or "auto"
        See `L1`.
    transform : LinearOperator, optional
        K, of the images' shape and field; by default the identity.
    axis : negative int
        Of the groups, counted from the end: -3 for the channels of images ``(C, H, W)``.
    """

    axis: int = -3

    def __post_init__(self) -> None:
        super().__post_init__()
        if not is_axis(self.axis):
            raise ParameterError(f"axis is counted from the end, such as -3; got {self.axis!r}.")
        if self.transform is not None:
            self._check_axis(self.transform.range)

    @property
    def _depth(self) -> int:
        return -self.axis if self.transform is None else super()._depth

    def _map(self, space: Space) -> LinearOperator:
        K = super()._map(space)
        self._check_axis(K.range)
        return K

    def _check_axis(self, space: Space) -> None:
        if len(space.shape) < -self.axis:
            raise ShapeError(
                f"GroupSparsity along axis {self.axis} does not fit data of shape {space.shape}."
            )

    def _function(self, weight: float | torch.Tensor, K: LinearOperator) -> GroupL1:
        return GroupL1(weight, self.axis)


@dataclass(frozen=True)
class Wavelet(ProximableAnalysis):
    """Sparsity of the details in a periodized wavelet transform: ``weight * sum |W x|``.

    The coarsest approximation does not count, unless asked for. The proximal map is soft thresholding, in
    closed form for orthogonal filters where ``2**levels`` divides the sizes; by default `levels` is chosen so
    that it does wherever three levels can. Elsewhere, and with biorthogonal filters, the prior is
    `Composite`. See `invgen.operators.Wavelet` for the transform.

    Parameters
    ----------
    weight : positive number, tensor with one for each batch element, or "auto"
        See `L1`.
    wavelet : str
        Any discrete wavelet of PyWavelets.
    levels : int, optional
        How often the approximation is split.
    axes : tuple of negative int
        Axes to transform, counted from the end: ``(-3, -2, -1)`` for volumes. Others are channels.
    approximation : bool
        Whether the coefficients of the approximation count, too.
    """

    wavelet: str = "db4"
    levels: int | None = None
    axes: tuple[int, ...] = (-2, -1)
    approximation: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_axes(self.axes)

    @property
    def _depth(self) -> int:
        return -min(self.axes)

    def _map(self, space: Space) -> LinearOperator:
        return _wavelet(space, self.wavelet, self.levels, self.axes)[0]

    def _function(self, weight: float | torch.Tensor, K: LinearOperator) -> GroupL1:
        if self.approximation:
            return GroupL1(weight)
        return GroupL1(weight, counted=_wavelet(K.domain, self.wavelet, self.levels, self.axes)[1])


@dataclass(frozen=True)
class DCT(ProximableAnalysis):
    """Sparsity in the orthonormal cosine transform: ``weight * sum |C x|``, the constant one included.

    The proximal map is soft thresholding. See `invgen.operators.DCT` for the transform.

    Parameters
    ----------
    weight : positive number, tensor with one for each batch element, or "auto"
        See `L1`.
    axes : tuple of negative int
        Axes to transform, counted from the end. Others are channels.
    """

    axes: tuple[int, ...] = (-2, -1)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_axes(self.axes)

    @property
    def _depth(self) -> int:
        return -min(self.axes)

    def _map(self, space: Space) -> LinearOperator:
        return _cosines(space, self.axes)

    def _function(self, weight: float | torch.Tensor, K: LinearOperator) -> GroupL1:
        return GroupL1(weight)


# a prior is asked for its map in each iteration
@lru_cache(maxsize=16)
def _wavelet(
    space: Space, wavelet: str, levels: int | None, axes: tuple[int, ...]
) -> tuple[LinearOperator, Constant]:
    """The transform, and ones where it has details."""
    W = operators.Wavelet(space.shape, wavelet, levels, axes, space.field)
    return W, Constant(W.details.float())


@lru_cache(maxsize=16)
def _cosines(space: Space, axes: tuple[int, ...]) -> LinearOperator:
    return operators.DCT(space.shape, space.field, axes)
