"""The drawing of a scan's geometry: what is where, and what its labels say."""

import json

import pytest

from invgen.cli import drawing
from invgen.cli.drawing import draw

FAN = {
    "kind": "fan",
    "source_origin": 410.66,
    "source_detector": 553.74,
    "magnification": 553.74 / 410.66,
    "detector_spacing": 0.2,
    "row_spacing": 0.2,
    "curved": False,
    "unit": "mm",
    "detector_columns": 560,
    "detector_rows": 1,
    "fan_angle_degrees": 11.549,
    "rotation": "counterclockwise",
}
CONE = FAN | {"kind": "cone", "detector_rows": 64, "row_spacing": 0.3}
PARALLEL = FAN | {"kind": "parallel", "source_origin": None, "source_detector": None, "magnification": 1.0}
BEAMS = {"fan": FAN, "cone": CONE, "parallel": PARALLEL, "curved": FAN | {"curved": True}}


def place(picture, character):
    """Line from the top, and column."""
    rows = [(i, line.index(character)) for i, line in enumerate(picture.splitlines()) if character in line]
    assert rows, f"{character} is not in\n{picture}"
    return rows[0]


def ends(picture):
    """Columns of the detector's two ends."""
    line = next(line for line in picture.splitlines() if "━" in line)
    return line.index("━") - 1, line.rindex("━") + 1


def test_at_angle_0_the_source_is_below_the_axis_and_the_detector_above():
    picture = draw(FAN)
    detector, axis, source = (place(picture, c) for c in "┿┼◉")
    assert detector[0] < axis[0] < source[0]
    assert detector[1] == axis[1] == source[1]


def test_y_points_to_the_detector_and_x_to_the_right():
    picture = draw(FAN)
    (top, y), (right, x) = place(picture, "↑y"), place(picture, "→x")
    axis = next(line.index("┼──┼") for line in picture.splitlines() if "→x" in line)
    assert top < right
    assert y == axis < x


@pytest.mark.parametrize("kind", BEAMS)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_positive_offset_moves_the_detector_to_the_right(kind, sign):
    middle = place(draw(BEAMS[kind]), "┿")[1]
    picture = draw(BEAMS[kind] | {"detector_offset": sign * 0.02})
    left, right = ends(picture)
    assert sign * ((left + right) / 2 - middle) > 0
    assert place(picture, "┿")[1] == middle  # the rotation axis stays where it is
    assert f"offset {sign * 0.02:+g} mm" in picture


@pytest.mark.parametrize("kind", BEAMS)
def test_the_outer_rays_go_to_the_ends_of_the_detector(kind):
    lines = draw(BEAMS[kind]).splitlines()
    left, right = ends("\n".join(lines))
    first, last = ("│", "│") if kind == "parallel" else ("╲", drawing._RISING)
    assert abs(lines[1].index(first) - left) <= 2
    assert abs(lines[1].rindex(last) - right) <= 2


def test_distances_of_a_fan_are_labelled():
    picture = draw(FAN)
    for label in (
        "source to axis 410.66 mm",
        "axis to detector 143.08 mm",
        "magnification 1.348",
        "detector 112 mm wide",
        "560 columns of 0.2 mm",
        "fan of 11.5 degrees",
        "field of view 82.64 mm",  # 2 * 410.66 sin(atan(56 / 553.74))
        "detector perpendicular to the central ray, no tilt",
        "offset not stated",
    ):
        assert label in picture


def test_labels_say_what_is_different_in_other_beams():
    assert "64 rows of 0.3 mm" in draw(CONE)
    assert "middle row" in draw(CONE)
    assert "curved detector" in draw(FAN | {"curved": True})
    assert "arc around the source" in draw(FAN | {"curved": True})
    assert "no offset" in draw(FAN | {"detector_offset": 0.0})
    parallel = draw(PARALLEL)
    assert "parallel rays" in parallel
    assert "field of view 112 mm" in parallel
    assert "◉" not in parallel
    assert "source" not in parallel
    assert "560 pixels wide" in draw(PARALLEL | {"unit": "pixel", "detector_spacing": 1.0})


def test_counterclockwise_the_source_leaves_to_the_right():
    """At view angle t it is at ``R (sin t, -cos t)``."""
    for beam, mark in ((FAN, "◉"), (PARALLEL, "┼")):
        one, other = draw(beam), draw(beam | {"rotation": "clockwise"})
        assert place(one, "──→")[1] > place(one, mark)[1]
        assert place(other, "←──")[1] < place(other, mark)[1]
        assert "counterclockwise" in one
        assert " clockwise" in other


@pytest.mark.parametrize("kind", BEAMS)
def test_it_fits_a_terminal_of_80_columns(kind):
    for more in ({}, {"detector_offset": -1.23456e-5, "unit": "pixel"}, {"detector_spacing": 0.123456789}):
        lines = draw(BEAMS[kind] | more).splitlines()
        assert max(map(len, lines)) <= 80
        assert len(lines) <= 16


def test_nothing_is_drawn_of_what_is_not_known():
    assert draw(None) == draw({}) == ""


def test_info_shows_it_under_the_table_and_not_in_json(invgen, scan):
    shown = invgen("info", scan).output
    assert shown.index("projections") < shown.index("rotation axis (+) and image")
    assert "parallel rays; turn counterclockwise" in shown
    described = invgen("info", scan, "--json").output
    assert json.loads(described)["geometry"]["kind"] == "parallel"
    assert "┼" not in described
