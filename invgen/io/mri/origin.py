"""Where the origin of k-space and that of the image are: as stated, or as the samples have it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from invgen.core.checks import is_count
from invgen.core.errors import ParameterError
from invgen.io.mri.contents import KSpace
from invgen.operators.mri import Fourier
from invgen.operators.mri.calibration import calibrated

__all__ = ["Origin", "contradicted", "find_origin", "given_center", "reach"]

#: Energy beside the peak, relative to that beside the stated origin, which contradicts it; and likewise the
#: energy of the image at its border relative to that in its middle.
_CLEAR = 4.0
#: Entries along an axis, too few to tell where energy lies.
_FEWEST = 16
#: Width of the calibrated middle of k-space from which an image can be made that shows where the object is.
_COARSE = 8


def reach(n: int) -> int:
    """Entries of an axis by which phase moves the peak of energy: a cycle of it across the image is one."""
    return max(2, n // 32)


def contradicted(energy: np.ndarray, origin: int, *, wraps: bool = False) -> int | None:
    """Where the energy of k-space peaks along an axis, if that contradicts where the origin is stated to be.

    The peak is then further away than phase can move it, and holds several times the energy of the entries
    around the stated origin. Noise, and air, have no such peak.

    Parameters
    ----------
    energy : array, shape (n,)
        Squared magnitudes, summed over all else.
    origin : int
        An entry, which may be outside.
    wraps : bool
        Whether the axis is periodic.
    """
    n, width = len(energy), reach(len(energy))
    if n < _FEWEST:
        return None
    places = np.arange(n)
    peak = int(energy.argmax())

    def near(entry: int) -> np.ndarray:
        away = np.abs(places - entry)
        return (np.minimum(away, n - away) if wraps else away) <= width

    if near(origin)[peak] or _CLEAR * energy[near(origin)].sum() >= energy[near(peak)].sum():
        return None
    return peak


def given_center(given: str | Sequence[int] | None, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Entry of the zero frequency along each axis, from a word or numbers; None where it is to be found.

    Raises
    ------
    ParameterError
    """
    if given is None:
        return None
    if given == "corner":
        return (0,) * len(shape)
    if given == "middle":
        return tuple(n // 2 for n in shape)
    numbers = () if isinstance(given, str) else tuple(given)
    fits = len(numbers) == len(shape) and all(
        is_count(c, least=0) and c < n for c, n in zip(numbers, shape, strict=True)
    )
    if not fits:
        raise ParameterError(
            f'kspace_center is "middle", "corner", or an entry for each axis of {_times(shape)}, in the '
            f"order of the image's; got {given!r} (command line: --kspace-center)."
        )
    return numbers


@dataclass(frozen=True)
class Origin:
    """Where the origins of an array of k-space, and of the image that it is of, are.

    Attributes
    ----------
    shape : tuple of int
        Of the array.
    kspace : tuple of int
        Entry of the zero frequency along each axis.
    corner : tuple of bool
        Along each axis, whether the image's origin is its first pixel, as ``fft2`` has it, instead of the
        middle one: its halves are then swapped back.
    found : tuple of str
        What the samples contradict, a sentence each.
    """

    shape: tuple[int, ...]
    kspace: tuple[int, ...]
    corner: tuple[bool, ...]
    found: tuple[str, ...] = field(default=(), compare=False)

    @property
    def grid(self) -> tuple[int, ...]:
        """Shape of k-space around its origin: as large as the larger side of it needs."""
        return tuple(
            n if c in (0, n // 2) else 2 * max(c, n - c) for n, c in zip(self.shape, self.kspace, strict=True)
        )

    def centered(self, kspace: KSpace) -> KSpace:
        """The same k-space with its origin, and that of the image, in the middle of the grid."""
        assert kspace.mask is not None, "this is not Cartesian"
        if self.kspace == tuple(n // 2 for n in self.shape) and not any(self.corner):
            return kspace
        data = self._placed(kspace.data)
        mask = self._placed(kspace.mask.expand(self.shape))
        for axis, (n, corner) in enumerate(zip(self.grid, self.corner, strict=True), -len(self.grid)):
            if corner:  # the image moves by n // 2 pixels
                k = torch.arange(n, dtype=torch.float64) - n // 2
                ramp = torch.polar(torch.ones_like(k), -2 * math.pi * k * (n // 2) / n).to(data.dtype)
                data = data * ramp.reshape(-1, *(1,) * (-1 - axis))
        moved = [] if self.grid == self.shape else [f"k-space is put on a grid of {_times(self.grid)}"]
        if self.kspace != tuple(n // 2 for n in self.shape):
            moved.insert(0, f"the zero frequency is taken at the entry {_times(self.kspace, ', ')}")
        if any(self.corner):
            moved.append("the image's halves are swapped: its origin is taken at the first pixel")
        return kspace.reported(*moved, data=data, mask=mask, image_shape=self.grid)

    def _placed(self, values: torch.Tensor) -> torch.Tensor:
        """Roll an axis whose origin is in the corner, and pad others."""
        for axis, (n, c, m) in enumerate(
            zip(self.shape, self.kspace, self.grid, strict=True), -len(self.shape)
        ):
            if c == 0:
                values = torch.roll(values, n // 2, axis)
            elif m != n:
                whole = values.new_zeros(*values.shape[:axis], m, *values.shape[values.ndim + axis + 1 :])
                whole.narrow(axis, m // 2 - c, n).copy_(values)
                values = whole
        return values


def find_origin(
    data: torch.Tensor,
    mask: torch.Tensor,
    kspace_center: tuple[int, ...] | None,
    image_center: str | None,
) -> Origin:
    """Find what is not stated: where the energy of k-space peaks, and whether the image's halves are swapped.

    Parameters
    ----------
    data : complex tensor, shape (coils, *grid)
    mask : bool tensor, shape (*grid)
    kspace_center : tuple of int, or None
        As stated; None looks for the peak, in the middle unless the samples contradict that.
    image_center : {"middle", "corner"} or None
        Likewise.
    """
    shape = tuple(mask.shape)
    energy = data.abs().double().square().sum(0).numpy()
    middle, found = tuple(n // 2 for n in shape), list[str]()
    center = kspace_center
    if center is None:
        center, sentence = _center(energy, middle)
        found += sentence
    plain = Origin(shape, center, (False,) * len(shape))
    if image_center is not None:
        return Origin(shape, center, (image_center == "corner",) * len(shape), tuple(found))
    swapped = _swapped(plain.centered(KSpace(data, shape, mask=mask)))
    if any(swapped):
        names = "zyx"[-len(shape) :]
        where = " and ".join(name for name, is_so in zip(names, swapped, strict=True) if is_so)
        found.append(
            f"the object lies at the borders of the image along {where}, and the middle is empty: its halves "
            'are taken as swapped, as fft2 without ifftshift leaves them; image_center="middle" (command '
            "line: --image-center middle) says otherwise"
        )
    return Origin(shape, center, swapped, tuple(found))


def _center(energy: np.ndarray, middle: tuple[int, ...]) -> tuple[tuple[int, ...], list[str]]:
    """Where the energy peaks, the middle where nothing contradicts it; and sentences."""
    axes = range(energy.ndim)
    profiles = [energy.sum(axis=tuple(other for other in axes if other != axis)) for axis in axes]
    peaks = [contradicted(p, m, wraps=True) for p, m in zip(profiles, middle, strict=True)]
    if all(peak is None for peak in peaks):
        return middle, []
    center = []
    for peak, m, n in zip(peaks, middle, energy.shape, strict=True):
        at_edge = peak is not None and min(peak, n - peak) <= reach(n)
        center.append(m if peak is None else 0 if at_edge else peak)
    say = (
        'kspace_center="middle" or numbers (command line: --kspace-center) say otherwise'
        if 0 in center
        else "kspace_center=... (command line: --kspace-center) says otherwise"
    )
    place = "in the corner" if not any(center) else f"at the entry {_times(center, ', ')}"
    return tuple(center), [
        f"the energy of k-space peaks {place}, not in the middle, {_times(middle, ', ')}, of "
        f"{_times(energy.shape)}: the zero frequency is taken there; {say}"
    ]


def _swapped(kspace: KSpace) -> tuple[bool, ...]:
    """Along each axis, whether a coarse image has its object at the borders and nothing in its middle."""
    assert kspace.mask is not None, "this is not Cartesian"
    box = calibrated(kspace.mask)
    if min(box) < 1:
        return (False,) * len(box)
    data = kspace.data
    for axis, (n, width) in enumerate(zip(kspace.image_shape, box, strict=True), -len(box)):
        data = data.narrow(axis, n // 2 - width // 2, width)
    image = Fourier(tuple(data.shape), axes=range(-len(box), 0)).H(data)
    energy = image.abs().double().square().sum(0)
    swapped = []
    for axis, width in enumerate(box):
        profile = (
            energy.sum(dim=[other for other in range(len(box)) if other != axis]) if len(box) > 1 else energy
        )
        quarter = width // 4
        at = width // 2 - quarter // 2
        middle, border = (
            profile[at : at + quarter].sum(),
            torch.roll(profile, width // 2)[at : at + quarter].sum(),
        )
        swapped.append(width >= _COARSE and bool(border > _CLEAR * middle))
    return tuple(swapped)


def _times(numbers: Sequence[int], between: str = " x ") -> str:
    return between.join(map(str, numbers))
