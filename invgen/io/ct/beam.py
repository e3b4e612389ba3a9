"""The beam of a scan, parallel or from a point source, as files state it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from invgen.core.errors import DataError
from invgen.core.text import quoted
from invgen.io.units import Length, converted, is_length

__all__ = ["Beam", "stated_beam"]

_PARALLEL = 1.0  # columns by which a ray at the edge of the field may drift in crossing half of it
_CLOSE = 0.01  # relative excess of a magnification over one


@dataclass(frozen=True)
class Beam:
    """Rays from a point source that turns around the object; lengths are in the unit of the scan.

    Attributes
    ----------
    kind : {"fan", "cone"}
        Whether each detector row is a scan of its own plane, or all rows are one scan of a volume.
    source_origin : float
        Distance from the source to the rotation axis.
    source_detector : float
        Distance from the source to the detector.
    curved : bool
        Whether the detector of a fan is an arc around the source, its columns at equal angles.
    """

    kind: Literal["fan", "cone"]
    source_origin: float
    source_detector: float
    curved: bool = False

    def __post_init__(self):
        for name in ("source_origin", "source_detector"):
            if not is_length(getattr(self, name)):
                raise DataError(
                    f"{name} should be a positive length, neither absurdly large nor small; it is "
                    f"{getattr(self, name):g}."
                )
        if self.source_detector < self.source_origin:
            raise DataError(
                f"the detector, {self.source_detector:g} from the source, is nearer to it than the rotation "
                f"axis, {self.source_origin:g}: the distances are exchanged, or of different units."
            )
        if self.curved and self.kind == "cone":
            raise DataError("a curved detector of a cone beam cannot be reconstructed, only a flat one.")

    @property
    def magnification(self) -> float:
        """Size of a shadow on the detector over that of the object at the rotation axis."""
        return self.source_detector / self.source_origin


def stated_beam(
    kind: str | None,
    source: Length | None,
    detector: Length | None,
    pixel: Length,
    shape: tuple[int, int],
    *,
    curved: bool = False,
) -> tuple[Beam | None, tuple[str, ...]]:
    """Beam that a file states, and notes on it; None is a parallel beam.

    Parameters
    ----------
    kind : str or None
        The geometry in words, where the file has it.
    source, detector : (float, str) or None
        Distances from the source to the rotation axis and from there to the detector, of either sign.
    pixel : (float, str)
        Distance of the detector's columns, on the detector itself.
    shape : (int, int)
        Detector rows and columns.
    curved : bool
        Whether the file says that the detector is an arc.

    Raises
    ------
    DataError
        When the file states a fan or a cone, but not the positions of source and detector.
    """
    stated = None if kind is None else kind.strip().lower()
    if stated == "parallel":
        return None, ()
    notes: tuple[str, ...] = ()
    if stated not in (None, "fan", "cone"):
        stated, notes = (
            None,
            (f"the geometry {quoted(kind)} is none of parallel, fan and cone, and is not used",),
        )
    lengths = [_distance(source, pixel[1]), _distance(detector, pixel[1])]
    if None in lengths:
        if stated is not None:
            raise DataError(
                f"the scan is of a {stated} beam, but the file does not state its distances, from the source "
                "to the rotation axis and from there to the detector, in one unit with its pixel size: "
                f"these are {_text(source)}, {_text(detector)} and {_text(pixel)}. Put the numbers and their "
                "units into the file."
            )
        if _distance(source) and _distance(detector):
            notes += (
                f"the file states distances of source ({_text(source)}) and detector ({_text(detector)}), "
                f"but no pixel size to go with them ({_text(pixel)}): the beam is taken as parallel",
            )
        elif _distance(source):
            notes += (
                f"the file states the source's distance ({_text(source)}), but not the detector's from the "
                f"axis ({_text(detector)}): the beam is taken as parallel",
            )
        return None, notes
    origin, behind = lengths[0] or 0.0, lengths[1] or 0.0
    rows, columns = shape
    magnification = (origin + behind) / origin
    half_width = columns / 2 * pixel[0] / magnification  # of what is seen, at the axis
    drift = half_width**2 / origin / (pixel[0] / magnification)
    if stated is None and drift < _PARALLEL and magnification < 1 + _CLOSE:  # as at a synchrotron
        notes += (
            f"the source is so far away ({_text(source)}) that rays stay within {drift:.2g} columns of "
            "parallel ones: the beam is taken as parallel",
        )
        return None, notes
    if stated is None:
        stated = "fan" if rows == 1 else "cone"
    return Beam("fan" if stated == "fan" else "cone", origin, origin + behind, curved), notes


def _distance(length: Length | None, unit: str | None = None) -> float | None:
    """A distance in a unit (by default its own); None where it is absent, zero, infinite or absurd."""
    if length is None:
        return None
    value = length[0] if unit is None else converted(length, unit)
    return abs(value) if value is not None and is_length(abs(value)) else None


def _text(length: Length | None) -> str:
    return "not there" if length is None else f"{length[0]:g} {length[1]}"
