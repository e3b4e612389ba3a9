"""The rotation axis as a line over the rows of a detector."""

import math

import h5py
import numpy as np
import pytest
import torch

from invgen.io import CenterEstimate, open_scan
from invgen.io.ct.axis import line_of
from invgen.io.ct.volume import Panel


def scan_of(tmp_path, sinogram, slope, rows=9, columns=64, noise=0.002):
    """Rows of the same object, whose axis moves by `slope` columns from each to the next."""
    angles, rng = np.arange(60) * np.pi / 60, np.random.default_rng(0)
    centers = 30.3 + slope * (np.arange(rows) - (rows - 1) / 2)
    data = np.stack([sinogram(angles, columns, center) for center in centers], axis=1)
    data = data + noise * data.max() * rng.standard_normal(data.shape)
    np.save(tmp_path / "scan.npy", data)
    return open_scan(tmp_path / "scan.npy", axes="angle,row,column", angles=angles), centers


@pytest.mark.parametrize("degrees", [2.0, -10.0])
def test_a_tilted_axis_is_found_and_used_in_each_row(tmp_path, sinogram, degrees):
    scan, centers = scan_of(tmp_path, sinogram, math.tan(math.radians(degrees)), rows=33)
    with scan:
        assert math.degrees(scan.axis().tilt) == pytest.approx(degrees, abs=0.3)
        for row in (0, 7, 32):
            projections = scan.line_integrals(row)
            assert projections.center == pytest.approx(centers[row], abs=0.1)
            assert any("tilted by" in sentence for sentence in projections.report)
        # a center that is given holds for the row, unless the tilt is given too
        assert scan.line_integrals(0, center=31.0).center == 31.0
        assert scan.line_integrals(0, center=31.0, tilt=math.atan(0.5)).center == pytest.approx(23.0)


def test_an_upright_axis_has_one_center(tmp_path, sinogram):
    scan, _ = scan_of(tmp_path, sinogram, 0.0)
    with scan:
        assert scan.axis().tilt == 0
        assert scan.axis().center is scan.find_center()
        assert scan.line_integrals(0).center == scan.line_integrals(8).center


def test_a_line_is_fitted_by_weighted_least_squares():
    found = {row: CenterEstimate(40 + 0.3 * (row - 10), 0.01) for row in (2, 6, 10, 14, 18)}
    center, slope = line_of(found, 21)
    assert center == pytest.approx(40)
    assert slope == pytest.approx(0.3)
    assert center.uncertainty == pytest.approx(math.hypot(0.01, 0.05) / math.sqrt(5))
    scattered = {
        row: CenterEstimate(40 + step, 0.01) for row, step in zip(found, (1, -1, 1, -1, 1), strict=True)
    }
    assert line_of(scattered, 21) is None
    assert line_of(dict(list(found.items())[:2]), 21) is None


@pytest.mark.parametrize("degrees", [2.0, -5.0])
def test_a_rolled_panel_is_leveled(absorption, degrees):
    """A smooth pattern in lengths along and across the axis, seen by a panel that is turned."""
    roll, rows, columns, center = math.radians(degrees), 41, 60, 27.0
    s, z = (torch.arange(columns) - center)[None] * 0.5, (torch.arange(rows) - 20.0)[:, None] * 0.7

    def pattern(s, z):
        return torch.exp(-((s - 2) ** 2 + 2 * (z - 1) ** 2) / 40)

    rolled = pattern(s * math.cos(roll) - z * math.sin(roll), z * math.cos(roll) + s * math.sin(roll))
    row = absorption(rolled[:1], [0.0], center=center, spacing=0.5)
    std = torch.ones(1, rows, columns)
    std[0, 5, 7] = math.inf
    panel = Panel(rolled[None], std, row, 0.7, 0.0, (("read",),) * rows)
    leveled = panel.leveled(roll)
    inner = (slice(6, -6), slice(6, -6))
    torch.testing.assert_close(leveled.data[0][inner], pattern(s, z)[inner], rtol=0, atol=0.01)
    known = leveled.std[leveled.std.isfinite()]
    torch.testing.assert_close(known, torch.ones_like(known))
    assert 1 <= int(leveled.std.isinf().sum()) <= 6
    assert "rolled" in leveled.reports[0][-1]
    assert panel.leveled(0.0) is panel


def test_a_half_acquisition_that_the_file_states(nxtomo, tmp_path, sinogram):
    path = nxtomo(**{"entry/instrument/detector/field_of_view": "Half"})
    with open_scan(path) as scan:
        assert any("field_of_view" in note for note in scan.notes)
        assert scan.projections(0).half
    with h5py.File(path, "a") as file:
        del file["entry/instrument/detector/field_of_view"]
        file["entry/instrument/detector/field_of_view"] = "Full"
    with open_scan(path) as scan:
        assert not scan.projections(0).half
