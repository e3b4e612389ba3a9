"""Coil sensitivities of a scan, from the middle of its own k-space."""

from __future__ import annotations

from typing import Any

import torch

from invgen.core.errors import DataError, ParameterError, ShapeError
from invgen.io.mri.contents import KSpace, central
from invgen.operators.mri import Fourier, NonCartesianMRI
from invgen.operators.mri.calibration import calibrated
from invgen.operators.mri.coils import adaptive, espirit
from invgen.operators.mri.grid import radius

__all__ = ["checked", "sensitivities"]

#: Widths of the middle of k-space that maps are made of; off a grid the first that the samples determine.
_WIDTHS = (32, 24, 16)
#: Damping in gridding that middle, relative to the gram operator's norm: corners may have no samples.
_DAMPING = 1e-3
#: Largest relative error in gridding a random image's k-space with which the samples determine the middle.
_ERROR = 0.2


def sensitivities(kspace: KSpace, method: str) -> torch.Tensor:
    """Maps of all coils on the operator's grid, shape (coils, *image_shape).

    Parameters
    ----------
    kspace : KSpace
    method : {"espirit", "adaptive", "none"}
        As of `MRIScan.problem`.

    Raises
    ------
    DataError, ParameterError
        When the middle of k-space is not sampled well enough, or the method is none of these.
    """
    if method == "none":
        return torch.ones(kspace.coils, *kspace.image_shape, dtype=kspace.data.dtype)
    if method not in ("espirit", "adaptive"):
        raise ParameterError(f'coils should be "espirit", "adaptive", "none" or maps; got {method!r}.')
    middle = _calibration(kspace) if kspace.mask is not None else _gridded(kspace)
    if method == "espirit":
        return espirit(middle, kspace.image_shape)
    return adaptive(_low_resolution(middle, kspace.image_shape))


def _calibration(kspace: KSpace) -> torch.Tensor:
    return kspace.data if kspace.calibration is None else kspace.calibration


def _gridded(kspace: KSpace) -> torch.Tensor:
    """The middle of k-space on a grid of the same field of view, by damped least squares.

    On a grid of fewer pixels the same samples are at more cycles per pixel; those beyond the grid are left
    out. The rest may be too few, as of spirals that are undersampled everywhere, and a least-squares solution
    with gaps would be taken for a calibrated one. A random image, whose k-space is known, is therefore
    gridded first.
    """
    assert kspace.trajectory is not None, "these samples are on no grid"
    for width in _WIDTHS:
        shape = tuple(min(n, width) for n in kspace.image_shape)
        ratio = [n / m for n, m in zip(kspace.image_shape, shape, strict=True)]
        k = kspace.trajectory * torch.tensor(ratio, dtype=torch.float64)
        inside = (k.abs() <= 0.5).all(dim=-1)
        if not bool(inside.any()):
            continue
        A = NonCartesianMRI(shape, k[inside])
        known = A.domain.random(seed=0, dtype=torch.float32)
        found, truth = Fourier(shape)(_solved(A, A(known))), Fourier(shape)(known)
        disc = radius(shape) <= 0.9  # the corners need not be sampled
        if float((found - truth)[disc].norm() / truth[disc].norm()) <= _ERROR:
            return Fourier(shape)(_solved(A, kspace.data[:, inside]))
    raise DataError(
        "the samples do not determine the middle of k-space, from which coil maps are estimated: it is "
        'undersampled, too. Give coils=... maps, or coils="none".'
    )


def _solved(A: NonCartesianMRI, y: torch.Tensor) -> torch.Tensor:
    return A.solve(A.H(y), _DAMPING * A.norm() ** 2)


def _low_resolution(kspace: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Coil images from the middle of k-space that is fully sampled, tapered against ringing."""
    box = calibrated((kspace != 0).any(dim=0))
    if min(box) < 2:
        raise DataError(
            "the middle of k-space, from which coil maps are estimated, is not sampled; the calibrated "
            f'region is {" x ".join(map(str, box))}. Give coils=... maps, or coils="none".'
        )
    padded = kspace.new_zeros(len(kspace), *shape)
    source, target = [slice(None)], [slice(None)]
    for axis, (n, m, width) in enumerate(zip(kspace.shape[1:], shape, box, strict=True), 1):
        width = min(width, _WIDTHS[0])
        window = torch.hann_window(width + 1, periodic=False, dtype=torch.float64)[1:].to(kspace.real)
        kspace = kspace.clone()
        part = kspace.narrow(axis, central(n, width).start, width)
        part *= window.reshape(-1, *(1,) * (kspace.ndim - 1 - axis))
        source.append(central(n, width))
        target.append(central(m, width))
    padded[tuple(target)] = kspace[tuple(source)]
    return Fourier(shape).H(padded)


def checked(given: Any, kspace: KSpace) -> torch.Tensor:
    """Maps that the caller gives, one for each coil of the file.

    Raises
    ------
    ShapeError
    """
    maps, expected = torch.as_tensor(given), (kspace.coils, *kspace.image_shape)
    if tuple(maps.shape) != expected:
        raise ShapeError(
            f"coils should be maps of shape {expected}, on the operator's grid; got {tuple(maps.shape)}."
        )
    return maps
