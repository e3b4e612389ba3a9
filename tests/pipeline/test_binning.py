"""`--bin`: averaged pixels are those of a detector that has larger ones, and the object stays where it is."""

from __future__ import annotations

import h5py
import nibabel
import numpy as np
import pytest
import torch

import invgen as ig
from invgen.io import open_scan
from invgen.phantoms import Ellipses, Ellipsoids
from invgen.simulate import simulate_ct

VIEWS, COLUMNS, ROWS, CENTER = 48, 64, 6, 33.2
ANGLES = torch.arange(VIEWS) * torch.pi / VIEWS
OBJECT = Ellipses([0.02, 0.03], [0.0, 6.3], [0.0, -7.1], [24.0, 6.0], [20.0, 4.0], [0.3, 0.0])


def transmission():
    """Of an object that grows denser along the rows, without noise; shape (views, rows, columns)."""
    offset = (COLUMNS - 1) / 2 - CENTER
    lines = OBJECT.sinogram(ANGLES, COLUMNS, 1.0, offset)
    return (-lines[:, None] * torch.linspace(0.5, 1.5, ROWS)[:, None]).exp()


def written(path, data):
    with h5py.File(path, "w") as file:
        file["data"], file["angles"] = data.numpy(), ANGLES.numpy()
    return path


NAMES = {"dataset": "data", "axes": "angle,row,column", "angles_dataset": "angles", "angle_unit": "rad"}
READING = {"dataset": "data", "axes": "angle,row,column", "angles": "angles", "angle_unit": "rad"}


@pytest.mark.filterwarnings("ignore:the object is wider")  # of the columns that are left over, none sees it
@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("solver", ["fbp", "sirt"])
def test_bins_are_the_pixels_of_a_coarser_detector(tmp_path, n, solver):
    fine = transmission()
    kept = fine[:, : ROWS // n * n, : COLUMNS // n * n]
    coarse = kept.unflatten(1, (-1, n)).unflatten(3, (-1, n)).mean((2, 4))
    options = {"quantity": "transmission", "air": "off", "solver": solver, **READING}
    if solver == "sirt":
        options |= {"iterations": 10, "slices": 1}
    binned = ig.reconstruct(written(tmp_path / "fine.h5", fine), bin=n, center=CENTER, **options)
    larger = ig.reconstruct(
        written(tmp_path / "coarse.h5", coarse), center=(CENTER - (n - 1) / 2) / n, **options
    )
    assert binned.pixel_size == n
    # per unit of length: that of the coarse scan is its own pixel
    torch.testing.assert_close(n * binned.images, larger.images, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("n", [2, 3])
def test_measured_line_integrals_are_averaged_themselves(tmp_path, n):
    lines = -transmission().log()
    path = written(tmp_path / "lines.h5", lines)
    with open_scan(path, quantity="absorption", **NAMES) as scan:
        found = scan.line_integrals(2, bin=n, rows=n, center=CENTER)
    expected = lines[:, 2 : 2 + n, : COLUMNS // n * n].mean(1).unflatten(1, (-1, n)).mean(2)
    torch.testing.assert_close(found.data, expected.float())
    assert f"averaged {n} rows into one" in found.report


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("geometry", ["parallel", "fan", "cone"])
@pytest.mark.filterwarnings("ignore:the object is wider")  # of the columns that are left over, none sees it
def test_the_object_stays_where_it_is(tmp_path, geometry, n):
    """To a tenth of a detector column, along all axes: by least squares of the truth on the same grid, and
    of how it changes where the object moves."""
    path, (size, axes) = tmp_path / "scan.h5", (64, 3) if geometry == "cone" else (128, 2)
    radius = 0.25 * size

    def ball(*moved):
        x, y, z = ([a + b] for a, b in zip((4.3, -5.6, 1.7), moved, strict=True))
        if geometry == "cone":
            return Ellipsoids([1.0], x, y, z, [radius], [radius], [radius], [0.0])
        return Ellipses([1.0], x, y, [radius], [radius], [0.0])

    simulate_ct(
        path,
        ball(0, 0, 0),
        geometry=geometry,
        size=size,
        views=size,
        slices=36 if geometry == "cone" else 1,
        detector_count=size + 9,
        center_offset=2.3,
        absorption=0.1,
        photons=1e9,
        flats=1,
        darks=1,
    )
    with h5py.File(path) as file:
        center = float(file["truth"].attrs["rotation_center"])
    found = ig.reconstruct(path, bin=n, center=center, air="off", size=size // n).images

    def exact(*moved):
        shape = tuple(found.shape) if geometry == "cone" else tuple(found.shape[1:])
        make = ball(*moved).volume if geometry == "cone" else ball(*moved).image
        return make(shape, float(n)).reshape(-1)

    steps = np.eye(3) * 0.5
    changes = [exact(*step) - exact(*-step) for step in steps[:axes]]
    fitted = torch.linalg.lstsq(torch.stack([exact(0, 0, 0), *changes], 1), found.double().reshape(-1, 1))
    factor, *moves = fitted.solution.flatten().tolist()
    # half a column is five times as much; what is left is the edge of the ball on the grid
    np.testing.assert_allclose(np.array(moves) / factor, 0, atol=0.1)


def test_rows_that_are_left_over_leave_the_others_where_they_are(tmp_path):
    """Of six rows and four in a bin, two are cut: the slice is at the middle of the first four."""
    path = written(tmp_path / "scan.h5", transmission())
    options = {"quantity": "transmission", "air": "off", "center": CENTER, **READING}
    ig.reconstruct(path, tmp_path / "one.nii", **options)
    ig.reconstruct(path, tmp_path / "four.nii", bin=4, **options)
    one, four = (nibabel.load(tmp_path / name) for name in ("one.nii", "four.nii"))
    assert four.shape[2] == 1
    assert four.affine[2, 3] == pytest.approx(one.affine[2, 3] + 1.5 * one.affine[2, 2])


def test_dead_rays_and_lost_views_of_a_row_are_left_out_of_the_mean(tmp_path):
    path = tmp_path / "scan.h5"
    simulate_ct(path, "shepp-logan", size=24, views=40, slices=4, photons=1e6)
    with open_scan(path) as scan:
        center = scan.axis().center
    with h5py.File(path, "r+") as file:
        file["exchange/data"][7, 1] = 3000  # the shutter stayed closed over one row
        for name in ("data", "data_white", "data_dark"):
            file[f"exchange/{name}"][:, 1, 10] = 0  # and a pixel of it is dead
    with open_scan(path) as scan:
        alone, pair = scan.line_integrals(0, center=center), scan.line_integrals(0, rows=2, center=center)
    kept = torch.arange(40) != 7
    assert torch.equal(pair.angles, alone.angles[kept])
    assert torch.equal(pair.data[:, 10], alone.data[kept, 10])  # of the living ray alone
    assert pair.dead is None or not pair.dead[:, 10].any()
    torch.testing.assert_close(pair.std[:, 10], alone.std[kept, 10])
    assert float(pair.std[:, 5].mean()) < 0.8 * float(alone.std[:, 5].mean())  # a pair has less noise
