"""Cartesian k-space in plain arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from invgen.core.errors import DataError, InvgenError, ParameterError
from invgen.core.text import brief
from invgen.io.mri.contents import KSpace, read_block
from invgen.io.mri.named import NamedArray
from invgen.io.mri.origin import Origin, find_origin, given_center
from invgen.io.mri.oversampling import remove_oversampling

__all__ = ["ArrayGrid"]


class ArrayGrid:
    """Samples on a grid; a mask, or else what is not zero, is what was measured.

    Parameters
    ----------
    array : NamedArray
    mask : array or None
        With its axes in the order of the file's, or with one entry for each column.
    readout : str or None
        Axis that is sampled twice as densely as the image needs.
    kspace_center, image_center
        Where the zero frequency and the image's origin are, as of `open_scan`; None looks at the samples of
        the middle slice.

    Raises
    ------
    DataError, ParameterError
        When the mask or the readout does not fit the array.
    """

    def __init__(
        self,
        array: NamedArray,
        mask: Any,
        readout: str | None,
        kspace_center: str | Sequence[int] | None = None,
        image_center: str | None = None,
    ):
        self._array, self._mask = array, None if mask is None else _mask(array, mask)
        self.origin = self._origin(given_center(kspace_center, array.samples), image_center)
        self._axis, wanted = 0, list(self.origin.grid)
        if readout is not None:
            if readout not in array.grid:
                raise ParameterError(
                    f"remove_oversampling={readout!r} should be the axis of the readout, one of "
                    f"{', '.join(array.grid)}."
                )
            self._axis = array.grid.index(readout) - len(wanted)
            if wanted[self._axis] < 2:
                raise DataError(f"the axis {readout} has one sample; there is no oversampling.")
            wanted[self._axis] //= 2
        self.image_shape = tuple(wanted)
        self.oversampling = self.origin.grid[self._axis] / self.image_shape[self._axis]
        self.notes: tuple[str, ...] = ()

    def read(self, slice: int, repetition: int) -> KSpace:
        """k-space of a slice."""
        kspace = self.origin.centered(self._stored(slice, repetition))
        if self._axis == 0:
            return kspace
        return remove_oversampling(kspace, self._axis, self.image_shape[self._axis])

    def _origin(self, kspace_center: tuple[int, ...] | None, image_center: str | None) -> Origin:
        """As stated, else as the middle slice has it; of one that cannot be read, the middle."""
        shape = self._array.samples
        if image_center not in (None, "middle", "corner"):
            raise ParameterError(
                f'image_center is "middle" or "corner"; got {image_center!r} (command line: --image-center).'
            )
        try:
            kspace = self._stored(self._array.size.get("slice", 1) // 2, 0)
        except InvgenError:  # it is said where the slice is used
            return Origin(
                shape,
                kspace_center or tuple(n // 2 for n in shape),
                (image_center == "corner",) * len(shape),
            )
        assert kspace.mask is not None, "this is a grid"
        return find_origin(kspace.data, kspace.mask, kspace_center, image_center)

    def _stored(self, slice: int, repetition: int) -> KSpace:
        """k-space of a slice as it is in the array."""
        data = self._array.read(slice, repetition)
        filled = (data != 0).any(dim=0)
        mask = filled if self._mask is None else self._mask.expand(filled.shape)
        if not bool(filled[mask].any()):
            raise DataError(
                f"{self._array.what}, slice {slice}, repetition {repetition}, holds only zeros: "
                "it was not measured."
            )
        report = [f"{int(mask.sum())} of {mask.numel()} positions are sampled"]
        if outside := int((filled & ~mask).sum()):
            report.append(f"{outside} positions that are not zero are left out by the mask")
        return KSpace(data * mask, tuple(mask.shape), mask=mask, report=tuple(report))


def _mask(array: NamedArray, mask: Any) -> torch.Tensor:
    """The mask in the order of k-space, or with one entry for each column."""
    if mask.dtype.kind not in "uifb":
        raise DataError(f"the mask should hold real numbers; it holds {brief(mask.dtype)}.")
    own, shape = tuple(mask.shape), tuple(array.size[name] for name in array.stored)
    columns = array.samples[-1]
    if own not in (shape, (columns,)):
        raise DataError(
            f"the mask has the shape {own}; k-space has {','.join(array.stored)} of {shape}. Give one entry "
            f"for each position, in that order, or for each of the {columns} columns."
        )
    values = read_block(mask, (slice(None),) * len(own), "the mask") != 0
    if own == shape:
        values = array.ordered(values)
    if not values.any():
        raise DataError("the mask samples nothing: it is zero everywhere.")
    return torch.from_numpy(np.ascontiguousarray(values))
