"""A scan's geometry as a drawing of characters, as ``invgen info`` shows it."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["draw"]

_ROWS = 12  # from the source to the detector
_HALF = 18  # columns from the detector's middle to its ends
_ROOM = 2  # columns by which an offset is shown
_MIDDLE = _HALF + _ROOM
_AXIS = 6  # row of the rotation axis, counted from the source
_RISING = "╱"  # noqa: RUF001
_IMAGE = (
    "     ↑y",
    "┌────┼────┐",
    "│ ╭──┼──╮ │",
    "│ │  ┼──┼─┼→x",
    "│ ╰─────╯ │",
    "└─────────┘",
)


def draw(beam: dict[str, Any] | None) -> str:
    """Draw the source, the object and the detector at view angle 0, seen from above.

    Parameters
    ----------
    beam : dict or None
        ``Scan.info()["geometry"]``; its lengths are on the detector itself. An entry `detector_offset`, where
        there is one, displaces the detector.

    Returns
    -------
    str
        Lines of at most 80 characters; empty where nothing is known of the geometry.
    """
    if not beam:
        return ""
    offset = beam.get("detector_offset") or 0.0
    shift = _ROOM * ((offset > 0) - (offset < 0))
    parallel = beam["kind"] == "parallel"
    canvas = _Canvas()
    for row in range(1, _ROWS):
        for side in (-1, 1):
            end = shift + side * _HALF
            column = end if parallel else round(end * row / _ROWS)
            canvas.put(row, column, "│" if parallel else "╲" if side < 0 else _RISING)
    for i, line in enumerate(_IMAGE):
        canvas.put(_AXIS + 3 - i, -5, line)
    canvas.put(_ROWS, shift - _HALF, _detector(beam["curved"], shift))
    for row in (1, 2, 3, 10, 11):
        canvas.put(row, 0, "┊")
    canvas.put(0, 0, "↑" if parallel else "◉")
    if parallel:
        canvas.put(0, shift - _HALF, "↑")
        canvas.put(0, shift + _HALF, "↑")
    counterclockwise = beam["rotation"] == "counterclockwise"
    canvas.put(0, *((2, "──→") if counterclockwise else (-4, "←──")))
    labels = _labels(beam, offset)
    picture = [f"{line}  {labels.get(row, '')}".rstrip() for row, line in canvas.lines()]
    return "\n".join([*picture, *_legend(beam)])


class _Canvas:
    """Characters by row, upwards from the source, and by column from the rotation axis."""

    def __init__(self) -> None:
        self._rows = [[" "] * (2 * _MIDDLE + 1) for _ in range(_ROWS + 1)]

    def put(self, row: int, column: int, text: str) -> None:
        """Write over what is there, but where the text is blank."""
        for i, character in enumerate(text):
            if character != " ":
                self._rows[row][_MIDDLE + column + i] = character

    def lines(self) -> list[tuple[int, str]]:
        """Each row with its number, from the top."""
        return [(row, "".join(self._rows[row])) for row in range(_ROWS, -1, -1)]


def _detector(curved: bool, shift: int) -> str:
    """The detector, marked where the rotation axis projects."""
    left, right = ("╭", "╮") if curved else ("┝", "┥")
    bins = ["━"] * (2 * _HALF + 1)
    bins[0], bins[-1], bins[_HALF - shift] = left, right, "┿"
    return "".join(bins)


def _labels(beam: dict[str, Any], offset: float) -> dict[int, str]:
    columns, spacing = beam["detector_columns"], beam["detector_spacing"]
    curved = "curved detector" if beam["curved"] else "detector"
    across = f"field of view {2 * _reach(beam, offset):.4g} {_unit(beam)}"
    displaced = "offset not stated: recon finds it"
    if beam.get("detector_offset") is not None:
        displaced = f"offset {offset:+.3g} {_unit(beam)}, drawn larger" if offset else "no offset"
    labels = {
        _ROWS: f"{curved} {_length(columns * spacing, beam)} wide",
        _ROWS - 1: f"{columns} columns of {_length(spacing, beam)}" if spacing != 1 else f"{columns} columns",
        _ROWS - 2: displaced,
        _AXIS: "rotation axis (+) and image",
        _AXIS - 1: across,
    }
    if beam["kind"] == "parallel":
        return labels | {0: f"parallel rays; turn {beam['rotation']}"}
    if beam["kind"] == "cone":
        labels[_ROWS - 3] = f"{beam['detector_rows']} rows of {_length(beam['row_spacing'], beam)}"
    to_detector = beam["source_detector"] - beam["source_origin"]
    return labels | {
        _AXIS + 2: f"axis to detector {_length(to_detector, beam)}",
        _AXIS + 1: f"magnification {beam['magnification']:.4g}",
        _AXIS - 3: f"source to axis {_length(beam['source_origin'], beam)}",
        1: f"fan of {beam['fan_angle_degrees']:.3g} degrees",
        0: f"source; turns {beam['rotation']}",
    }


def _reach(beam: dict[str, Any], offset: float) -> float:
    """Radius of the disc that every view sees."""
    half = beam["detector_columns"] * beam["detector_spacing"] / 2 - abs(offset)
    if beam["kind"] == "parallel":
        return half
    angle = half / beam["source_detector"]
    return beam["source_origin"] * math.sin(angle if beam["curved"] else math.atan(angle))


def _legend(beam: dict[str, Any]) -> list[str]:
    lines = ["From above at view angle 0, not to scale; the image's first row is at the top."]
    if beam["kind"] == "parallel":
        return [*lines, "Assumed: columns perpendicular to the rotation axis."]
    shape = (
        "bins on an arc around the source" if beam["curved"] else "detector perpendicular to the central ray"
    )
    lines.append(f"Assumed: {shape}, no tilt.")
    return [*lines, "The source is level with the middle row."] if beam["kind"] == "cone" else lines


def _length(value: float, beam: dict[str, Any]) -> str:
    return f"{value:.6g} {_unit(beam)}"


def _unit(beam: dict[str, Any]) -> str:
    return "pixels" if beam["unit"] == "pixel" else beam["unit"]
