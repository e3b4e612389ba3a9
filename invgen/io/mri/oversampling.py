"""Readout oversampling, and its exact removal."""

from __future__ import annotations

import torch

from invgen.core.errors import DataError
from invgen.io.mri.contents import KSpace, central
from invgen.operators.mri import Fourier

__all__ = ["remove_oversampling", "sampled_throughout"]


def sampled_throughout(mask: torch.Tensor, axis: int) -> bool:
    """Whether each line along an axis is sampled from end to end, or not at all."""
    return bool((mask == mask.narrow(axis, 0, 1)).all())


def remove_oversampling(kspace: KSpace, axis: int, size: int) -> KSpace:
    """Crop the field of view along the readout to `size` pixels, in the image, and return to k-space.

    Readouts are filtered before sampling, and sampled at a higher rate than the field of view needs, so that
    nothing aliases along them; the image outside of the field of view is discarded. The transforms are
    unitary: white noise keeps its standard deviation, and the images of the smaller operator are crops of
    those of the larger.

    Parameters
    ----------
    kspace : KSpace
        Cartesian.
    axis : negative int
        Of the image, along the readout.
    size : int

    Raises
    ------
    DataError
        When readouts are not sampled from end to end: their missing samples would affect all others.
    """
    assert kspace.mask is not None, "this is not Cartesian"
    n = kspace.image_shape[axis]
    mask = kspace.mask.expand(kspace.image_shape)
    if not sampled_throughout(mask, axis):
        raise DataError(
            "oversampling can be removed along an axis that is sampled from end to end, the readout; "
            "here some lines along it are sampled in part. Leave it, and crop the image."
        )
    shape = list(kspace.image_shape)
    shape[axis] = size

    def crop(data: torch.Tensor) -> torch.Tensor:
        image = Fourier(tuple(data.shape), axes=(axis,)).H(data)
        middle = central(n, size)
        image = image.narrow(axis, middle.start, size)
        return Fourier(tuple(image.shape), axes=(axis,))(image)

    averages = kspace.averages
    if averages is not None and averages.ndim:
        averages = averages.narrow(axis, 0, min(size, averages.shape[axis]))
    return kspace.reported(
        f"readout oversampling removed: {n} to {size} samples",
        data=crop(kspace.data),
        image_shape=tuple(shape),
        mask=mask.narrow(axis, 0, size).contiguous(),
        calibration=None if kspace.calibration is None else crop(kspace.calibration),
        averages=averages,
    )
