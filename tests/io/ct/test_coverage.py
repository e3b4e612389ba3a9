"""What views see of an object: from the outline of discs, the detector's edges and the angles."""

import math

import numpy as np
import pytest
import torch

from invgen import phantoms
from invgen.core.errors import InvgenWarning
from invgen.io import Beam, open_scan, to_operator
from invgen.io.ct.coverage import coverage

TURN, HALF = np.arange(0, 360, 3.0), np.arange(0, 180, 3.0)
COLUMNS = 100


def seen(absorption, radius, center, degrees, place=(0.0, 0.0), beam=None):
    """What views of a disc see, in columns."""
    t, offset = np.deg2rad(degrees), (COLUMNS - 1) / 2 - center
    disc = phantoms.disc(radius, center=place)
    if beam is None:
        data = disc.sinogram(t, COLUMNS, 1.0, offset)
    else:
        m = beam.magnification
        data = disc.fan_sinogram(t, beam.source_origin, beam.source_detector, COLUMNS, m, offset * m)
    projections = absorption(data, t, center=center, beam=beam)
    return coverage(projections), projections


@pytest.mark.parametrize(
    ("radius", "center", "degrees", "kind", "reach", "support"),
    [
        (40.0, 49.5, HALF, "whole", 50.0, "disc"),
        (40.0, 44.5, TURN, "whole", 45.0, "disc"),
        (80.0, 14.0, TURN, "half-acquisition", 85.5, 85.5),
        (80.0, 85.0, TURN, "half-acquisition", 85.5, 85.5),
        (95.0, 1.0, TURN, "half-acquisition", 98.5, 98.5),
        (80.0, 14.0, HALF, "region of interest", 14.5, 160.0),
        (80.0, 49.5, HALF, "region of interest", 50.0, 100.0),
        (80.0, 29.5, TURN, "region of interest", 70.0, 120.0),
    ],
)
def test_what_parallel_beams_see(absorption, radius, center, degrees, kind, reach, support):
    found, projections = seen(absorption, radius, center, degrees)
    assert found.kind == kind
    assert found.radius == pytest.approx(reach)
    if support == "disc":
        assert found.support == "disc"
        assert found.image_shape(projections) == (COLUMNS, COLUMNS)
        assert str(found) == ""
    else:
        assert found.support >= found.radius
        side = max(COLUMNS, math.ceil(2 * reach))
        assert found.image_shape(projections) == (side, side)
        assert kind in str(found) or "wider than the detector" in str(found)
        assert to_operator(projections).domain.shape[0] >= 2 * found.support - 1e-9


def test_an_object_beyond_the_disc_of_all_views_that_half_a_turn_sees_whole(absorption):
    """At (0, 35) it stays on a detector that sees 60 columns to one side of the axis and 40 to the other."""
    found, projections = seen(absorption, 20.0, 39.5, HALF, place=(0.0, 35.0))
    assert not found.cut
    assert (found.kind, found.support) == ("whole", 60.0)
    assert to_operator(projections).fov == 60.0


@pytest.mark.parametrize("kind", ["fan", "cone"])
def test_what_a_half_fan_sees(absorption, kind):
    beam = Beam(kind, 300.0, 450.0)
    found, _ = seen(absorption, 70.0, 14.0, TURN, beam=beam)
    assert found.kind == "half-acquisition"
    assert found.radius == pytest.approx(300 * math.sin(math.atan(85.5 / 300)))


def test_an_image_smaller_than_the_object_is_modelled_within_a_larger_one(absorption):
    found, projections = seen(absorption, 40.0, 49.5, HALF)
    assert found.fov(projections, (60, 60)) == 50.0
    assert found.fov(projections, (90, 90)) == "disc"
    assert found.fov(projections, (200, 200)) == "disc"
    small, projections = seen(absorption, 20.0, 49.5, HALF)
    assert small.fov(projections, (60, 60)) == "image"


def test_the_slice_that_sees_least_stands_for_a_scan(tmp_path):
    """Slices of a cone that widens: the last two pass the edge next to the axis."""
    t = np.deg2rad(TURN)
    rows = [phantoms.disc(r).sinogram(t, COLUMNS, 1.0, 20.0) for r in (10.0, 20.0, 25.0, 40.0, 60.0)]
    np.save(tmp_path / "scan.npy", np.stack(rows, axis=1))
    with open_scan(tmp_path / "scan.npy", axes="angle,row,column", angles=t) as scan:
        found = scan.coverage(center=29.5)
        assert found.kind == "half-acquisition"
        assert found.radius == 70.0
        assert "half-acquisition" in scan.line_integrals(4, center=29.5).report[-1]
        assert not any("half" in sentence for sentence in scan.line_integrals(0, center=29.5).report)


def test_a_region_of_interest_is_warned_of(tmp_path):
    t = torch.from_numpy(np.deg2rad(HALF))
    np.save(tmp_path / "scan.npy", phantoms.disc(80.0).sinogram(t, COLUMNS, 1.0))
    with (
        open_scan(tmp_path / "scan.npy", axes="angle,column", angles=t) as scan,
        pytest.warns(InvgenWarning, match="wider than the detector"),
    ):
        A = scan.problem(0, center=49.5).operator
    assert A.truncates
    assert A.domain.shape == (200, 200)
