"""Scans whose views do not see the whole object, from their files, beside those that do."""

from __future__ import annotations

import math
import warnings

import h5py
import numpy as np
import pytest
import torch

import invgen as ig
from invgen.core.errors import InvgenWarning
from invgen.simulate import simulate_ct

N = 128
ITERATIVE = [pytest.param(name, marks=pytest.mark.slow) for name in ("cg", "sirt", "tv")]
TURN = 2 * math.pi

#: What is simulated, and radius of the disc in which errors count.
SCANS = {
    "half-acquisition": ({"views": 240, "angular_range": TURN, "center_offset": -25.5}, 60),
    "half-acquisition to the right": ({"views": 240, "angular_range": TURN, "center_offset": 25.5}, 60),
    "half-fan": ({"geometry": "fan", "views": 240, "center_offset": 25.5}, 60),
    "region of interest": ({"source": "foam", "views": 120, "center_offset": 0.0}, 36),
    "region of interest on one side": (
        {"source": "foam", "views": 240, "angular_range": TURN, "center_offset": 10.0},
        45,
    ),
}


def error(path, radius, **options):
    """Relative error of the first slice in a disc, and the summary."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InvgenWarning)  # of regions of interest
        summary = ig.reconstruct(path, slices=0, size=N, **options)
    with h5py.File(path) as file:
        truth = torch.from_numpy(file["truth/image"][0])
    place = torch.arange(N) - (N - 1) / 2
    inside = torch.hypot(place[:, None], place) < radius
    difference = (summary.images[0] - truth)[inside]
    return float(difference.norm() / truth[inside].norm()), summary


@pytest.mark.parametrize("solver", ["fbp", *ITERATIVE])
@pytest.mark.parametrize("name", SCANS)
def test_errors_are_within_half_more_than_those_of_the_object_seen_whole(name, solver, tmp_path):
    setup, radius = SCANS[name]
    setup = {"source": "shepp-logan", "size": N, **setup}
    simulate_ct(tmp_path / "part.h5", detector_count=80, **setup)
    lines = {"views": 240} if "geometry" in setup else {"views": 120, "angular_range": math.pi}  # as many
    setup = {**setup, **lines, "center_offset": 0.0}
    simulate_ct(tmp_path / "whole.h5", detector_count=N + 8, **setup)
    part, summary = error(tmp_path / "part.h5", radius, solver=solver)
    whole, _ = error(tmp_path / "whole.h5", radius, solver=solver)
    assert part <= 1.5 * whole
    with h5py.File(tmp_path / "part.h5") as file:
        assert summary.recipe.center == pytest.approx(file["truth"].attrs["rotation_center"], abs=0.1)


# so few voxels differ from the object by more than the noise
@pytest.mark.filterwarnings("ignore:CG stopped")
@pytest.mark.parametrize("solver", ["fbp", *ITERATIVE])
def test_a_displaced_panel_sees_the_volume(solver, tmp_path):
    setup = {"geometry": "cone", "size": 40, "views": 60, "slices": 4}
    simulate_ct(tmp_path / "part.h5", "shepp-logan", detector_count=28, center_offset=-8.0, **setup)
    simulate_ct(tmp_path / "whole.h5", "shepp-logan", detector_count=44, center_offset=0.0, **setup)
    errors = []
    for name, center in (("part", 5.5), ("whole", 21.5)):
        summary = ig.reconstruct(tmp_path / f"{name}.h5", center=center, size=40, solver=solver)
        with h5py.File(tmp_path / f"{name}.h5") as file:
            truth = torch.from_numpy(file["truth/image"][()])
        middle = len(summary.images) // 2
        slab = summary.images[middle - 1 : middle + 1]
        errors.append(float((slab - truth[1:3]).norm() / truth[1:3].norm()))
    assert errors[0] <= 1.5 * errors[1]


@pytest.mark.parametrize("solver", ["fbp", *ITERATIVE])
def test_a_tilt_of_two_degrees_costs_no_accuracy(solver, tmp_path):
    """Every row has the same object, whose axis is elsewhere on the detector."""
    n, rows, views = 96, 41, 120
    foam = ig.phantoms.foam(0, 40.0)
    truth = foam.image((n, n), 1.0).float()
    angles = torch.arange(views, dtype=torch.float64) * (math.pi / views)
    errors = []
    for name, slope in (("upright", 0.0), ("tilted", math.tan(math.radians(2)))):
        data = torch.stack(
            [foam.sinogram(angles, n, 1.0, slope * (row - rows // 2)) for row in range(rows)], dim=1
        )
        noise = torch.randn(data.shape, generator=torch.Generator().manual_seed(0), dtype=data.dtype)
        path = tmp_path / f"{name}.npy"
        np.save(path, (data + 0.005 * data.max() * noise).numpy())
        summary = ig.reconstruct(
            path,
            axes="angle,row,column",
            angles=tuple(angles.tolist()),
            quantity="absorption",
            slices=slice(0, rows, rows - 1),
            size=n,
            solver=solver,
        )
        inside = truth != 0
        errors.append(max(float((x - truth)[inside].norm() / truth[inside].norm()) for x in summary.images))
    assert summary.recipe.tilt == pytest.approx(-math.radians(2), abs=math.radians(0.2))
    assert errors[1] <= 1.1 * errors[0]


def test_what_is_assumed_is_said_and_kept(tmp_path):
    simulate_ct(
        tmp_path / "scan.h5",
        "shepp-logan",
        size=64,
        views=90,
        angular_range=TURN,
        detector_count=40,
        center_offset=-14.0,
        slices=3,
    )
    said = []
    options = {"center": 5.5, "notice": said.append}
    summary = ig.reconstruct(tmp_path / "scan.h5", tmp_path / "image.h5", **options)
    assert summary.recipe.fov == 34.0
    assert summary.image_shape == (68, 68)
    assert any("alf-acquisition" in sentence and "34" in sentence for sentence in said)
    with ig.io.read_reconstruction(tmp_path / "image.h5") as file:
        assert any("half-acquisition" in sentence for sentence in file.report(0))
        assert not file.volume[0][0, 0]
    disc = ig.reconstruct(tmp_path / "scan.h5", fov="disc", **options)
    place = torch.arange(68) - 33.5
    assert not disc.images[0][torch.hypot(place[:, None], place) > 6].any()
    for given in (34.0, "image"):
        assert ig.reconstruct(tmp_path / "scan.h5", fov=given, **options).recipe.fov == given
