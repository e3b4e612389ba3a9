"""What a scan's samples, or its angles, contradict of what its file states or the reader assumes.

Each check returns sentences: what was found, what is done about it, and which option says otherwise.
"""

from __future__ import annotations

import math

import numpy as np

from invgen.core.errors import DataError
from invgen.io.ct.projections import Projections

__all__ = ["check_turn", "clipped_at", "of_angles", "of_projections"]

#: Depths of cameras, in bits, whose counts are kept in 16 bits: as they are, or shifted to the upper end.
_DEPTHS = range(8, 16)
_CAMERAS = {2.0**bits - 1 for bits in _DEPTHS} | {2.0**16 - 2.0 ** (16 - bits) for bits in _DEPTHS}
#: How near a span of angles is to half a turn or a whole one, relatively.
_WHOLE = 0.002
#: Counts on the largest value that are no chance, and how many times as many they are as on those below it.
_PILE, _STEEP, _BELOW = 16, 4, 8
#: Transmission averaged over views that no drift of the beam explains.
_BRIGHT = 1.5
#: Line integrals that no detector measures: the logarithm of more quanta than it counts.
_LOGARITHM = 30.0
#: Fraction of the columns at either side that show the beam beside the object.
_EDGE = 0.02


def check_turn(angles: np.ndarray) -> None:
    """Refuse angles of several views that are all the same.

    Raises
    ------
    DataError
    """
    if len(angles) > 1 and np.ptp(angles) == 0:
        raise DataError(
            f"all {len(angles)} angles are {math.degrees(angles[0]):g} degrees: the turntable was not "
            "recorded, or the wrong array was read. Give them: angles=... in radians (command line: "
            f"--angles, such as 0:180:{len(angles)})."
        )


def of_angles(angles: np.ndarray) -> list[str]:
    """Question a unit of angle in which the views span what a turn, or half of one, is in the other unit.

    Parameters
    ----------
    angles : array, shape (views,)
        In radians, by the unit that is stated or assumed; increasing.
    """
    if len(angles) < 3:
        return []
    span, step = float(angles[-1] - angles[0]), float(np.median(np.diff(angles)))
    for unit, other, option, factor in (
        ("degrees", "radians", "rad", math.pi / 180),
        ("radians", "degrees", "deg", 180 / math.pi),
    ):
        for turn in (math.pi, 2 * math.pi):
            whole = turn * factor
            # whether or not the last view repeats the first
            if min(abs(span - whole), abs(span + step - whole)) <= _WHOLE * whole:
                number = math.degrees(whole) if unit == "degrees" else whole
                return [
                    f'the angles span {number:.4g} "{unit}", as {math.degrees(turn):.0f} degrees do in '
                    f"{other}. They are taken as {unit}; if they are {other}, the image is wrong: say "
                    f'angle_unit="{option}" (command line: --angle-unit {option})'
                ]
    return []


def clipped_at(counts: np.ndarray, flats: np.ndarray) -> float | None:
    """Find the value at which a camera clips, below the range of its type: where counts pile up.

    Noise makes the largest values rare. Where the flats do not vary from frame to frame there is none, so
    that equal counts are no sign; then only the largest value of a camera of fewer bits is believed.

    Parameters
    ----------
    counts : array, shape (views, columns)
    flats : array, shape (frames, columns)
    """
    every = np.concatenate([counts, flats])
    largest = float(every.max())
    if largest not in _CAMERAS:
        below = flats[:, ~(flats == largest).any(0)]
        if not below.size or not (below != below[:1]).any(0).mean() > 0.5:
            return None
        every = every[:, (every != every[:1]).any(0)]  # a stuck pixel is not the camera's range
    numbers, piles = np.unique(every, return_counts=True)
    if numbers[-1] != largest or piles[-1] < _PILE:
        return None
    rest = piles[-1 - _BELOW : -1]
    return largest if not rest.size or piles[-1] > _STEEP * rest.max() else None


def of_projections(projections: Projections) -> list[str]:
    """Question a transmission far above one, and projections whose contrast is reversed.

    Where the object ends within the detector, the beam beside it is brighter than behind it: line integrals
    are largest in the middle, transmission at the edges.

    Parameters
    ----------
    projections : Projections
        Transmission or line integrals, not NaN.
    """
    dead = projections.dead
    data = projections.data.double()
    if dead is not None:
        data = data[:, ~dead.all(0)]
    # few quanta, divided by few, are at times many times as bright as the beam
    profile = data.median(0).values if projections.quantity == "transmission" else data.mean(0)
    if len(profile) < 5:
        return []
    width = max(1, round(_EDGE * len(profile)))
    left, right = float(profile[:width].mean()), float(profile[-width:].mean())
    low, high = (float(profile.quantile(q)) for q in (0.05, 0.95))
    quarter = len(profile) // 4
    middle = float(profile[quarter:-quarter].mean())
    if projections.quantity == "transmission":
        return _of_transmission(left, right, middle, high)
    apart = float((data[:, :width].mean(1) - data[:, -width:].mean(1)).std(correction=0))
    return _of_line_integrals(left, right, apart, low, high, middle)


def _of_transmission(left: float, right: float, middle: float, high: float) -> list[str]:
    if high > _BRIGHT:
        return [
            f"the transmission is {high:.3g} where it is largest, in half of the views, and the open "
            "beam is 1: these are counts without flats, or flats of another exposure, and the image is off. "
            "Give flats=... (command line: --flats)"
        ]
    if max(left, right) < 1.1 and middle > max(1.1, left, right):
        return [
            f"the transmission is {middle:.3g} behind the object and {max(left, right):.3g} beside it: it is "
            "I0 / I instead of I / I0, or flats and projections are exchanged, and the image is negative"
        ]
    return []


def _of_line_integrals(
    left: float, right: float, apart: float, low: float, high: float, middle: float
) -> list[str]:
    edge = min(left, right)
    if not middle < edge:
        return []
    if max(abs(left), abs(right)) < 0.1 * abs(middle):
        return [
            f"the line integrals are {middle:.3g} behind the object and {edge:.2g} beside it: they are "
            "log(I / I0) instead of -log(I / I0), and the image is negative. Change their sign"
        ]
    if low < 0 or low > 0.8 * edge:
        return []
    # the sides of an object that is cut off differ, and from view to view; the beam beside one does not, and
    # nothing is brighter
    if abs(left - right) > 0.2 * edge or apart > 0.1 * edge or high > 1.05 * max(left, right):
        return []
    if edge > _LOGARITHM:
        what, remedy = "counts", "give flats=... (command line: --flats)"
    elif 0.9 < edge < 1.1:  # that of the open beam is one
        what, remedy = "transmission", 'say quantity="transmission" (command line: --quantity transmission)'
    else:
        return []
    return [
        f"the line integrals are {edge:.3g} at both edges of the detector and {middle:.3g} between them: "
        f"these look like {what}, of which no logarithm was taken; {remedy}"
    ]
