"""`--preview`: a few slices of low resolution, which are those of the options that it stands for."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest
import torch

import invgen as ig
from invgen.core.errors import ParameterError
from invgen.io import open_scan, read_reconstruction
from invgen.phantoms import Ellipses
from invgen.pipeline.previews import previewed
from invgen.pipeline.recipe import Recipe
from invgen.simulate import simulate_mri


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """Forty slices of 600 columns, without noise: line integrals of an ellipse that grows denser."""
    path, angles = tmp_path_factory.mktemp("wide") / "scan.h5", torch.arange(500) * torch.pi / 500
    lines = Ellipses([0.01], [40.0], [-30.0], [200.0], [150.0], [0.4]).sinogram(angles, 600, 1.0, 0.0)
    with h5py.File(path, "w") as file:
        data = file.create_dataset("data", (500, 40, 600), "float32", chunks=(500, 1, 600))
        for row in range(40):
            data[:, row] = (1 + row / 40) * lines.numpy()
        file["angles"] = angles.numpy()
    return path


READING = {"dataset": "data", "axes": "angle,row,column", "angles": "angles", "angle_unit": "rad"}
OPTIONS = {"quantity": "absorption", "center": 299.5, "air": "off", **READING}


def test_of_a_wide_detector(wide, tmp_path):
    """Six hundred columns are averaged by three; thirteen slices of those are few enough to keep all."""
    said = []
    found = ig.reconstruct(wide, tmp_path / "x.h5", preview=True, notice=said.append, **OPTIONS)
    recipe = found.recipe
    assert (recipe.solver, recipe.bin, recipe.slices) == ("fbp", 3, None)
    assert (recipe.views, recipe.preview) == (None, False)  # 500 views are fewer than twice what 200 need
    assert (len(found.slices), found.image_shape, found.pixel_size) == (13, (200, 200), 3)
    (sentence,) = (each for each in said if each.startswith("Preview"))
    assert "13 of 13 slices of pixels 3 times as wide, by fbp. In full: invgen recon" in sentence
    assert "--preview" not in sentence
    assert "--center 299.5" in sentence
    with read_reconstruction(tmp_path / "x.h5") as file:
        middle = np.asarray(file.volume[:])
    truth = Ellipses([0.01], [40.0], [-30.0], [200.0], [150.0], [0.4]).image((200, 200), 3.0).numpy()
    density = 1 + (1 + 3 * np.arange(13)) / 40  # of the middle one of three rows
    for image, dense in zip(middle, density, strict=True):
        assert np.linalg.norm(image - dense * truth) < 0.12 * np.linalg.norm(dense * truth)


def test_the_file_has_the_bytes_of_the_options_that_it_stands_for(wide, tmp_path):
    ig.reconstruct(wide, tmp_path / "x.h5", preview=True, slices=slice(7, 11), **OPTIONS)
    with h5py.File(tmp_path / "x.h5") as file:
        settings = json.loads(file.attrs["settings"])
        images = file["reconstruction"][()]
    assert "--bin 3" in settings["command"]
    assert "--preview" not in settings["command"]
    again = ig.reconstruct(wide, bin=3, slices=slice(2, 4), solver="fbp", **OPTIONS)
    np.testing.assert_array_equal(images, again.images.numpy())


def test_what_is_given_stays(wide):
    with open_scan(
        wide, **{**READING, "angles": None, "angles_dataset": "angles", "quantity": "absorption"}
    ) as scan:
        given = Recipe(
            preview=True, bin=6, slices=slice(1, 2), views=slice(0, 9), solver="sirt", size=(50, 40)
        )
        found = previewed(scan, given)
        assert (found.bin, found.slices, found.views, found.solver) == (6, slice(1, 2), slice(0, 9), "sirt")
        assert found.size == (50, 40)
        assert previewed(scan, Recipe(preview=True, size=(600, 500))).size == (200, 167)
        assert previewed(scan, Recipe()) == Recipe()


@pytest.mark.parametrize(("count", "step"), [(16, 1), (17, 2), (40, 3), (4000, 250)])
def test_slices_are_evenly_apart_and_at_most_sixteen(count, step):
    class Scan:
        geometry, slices, columns, views, has_angles = "parallel", count, 200, 10, False

    found = previewed(Scan(), Recipe(preview=True))
    indices = range(count)[found.slices or slice(None)]
    assert len(indices) <= 16
    assert indices.step == step
    assert abs(indices[0] - (count - 1 - indices[-1])) <= step  # as far from either end


def test_views_are_those_that_a_narrow_detector_needs():
    class Scan:
        geometry, slices, columns, views, has_angles = "parallel", 1, 2560, 2000, True
        angles = np.linspace(0, np.pi, 2000)

    found = previewed(Scan(), Recipe(preview=True))
    assert found.bin == 10
    assert found.views.step == 4
    assert 2000 / found.views.step >= np.pi / 2 * 256


def test_of_a_cone_fan_and_mri(scans, tmp_path):
    """Narrow detectors stay as they are; a scan of k-space is transformed, with all its pixels."""
    for name in ("cone", "fan"):
        found = ig.reconstruct(scans[name], preview=True)
        assert torch.equal(
            found.images, ig.reconstruct(scans[name], solver="fbp", views=found.recipe.views).images
        )
    simulate_mri(tmp_path / "mri.h5", size=(32, 24), coils=2, slices=18)
    said = []
    found = ig.reconstruct(tmp_path / "mri.h5", preview=True, notice=said.append)
    assert (found.recipe.solver, list(found.slices)) == ("rss", list(range(1, 18, 2)))
    assert any("9 of 18 slices, by rss" in sentence for sentence in said)
    whole = ig.reconstruct(tmp_path / "mri.h5", solver="rss")
    assert torch.equal(found.images, whole.images[1::2])


def test_images_have_no_preview(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((8, 8), np.float32))
    with pytest.raises(ParameterError, match="--preview is for CT scans and MRI scans; this is an image"):
        ig.reconstruct(tmp_path / "x.npy", operator="denoise", noise_std=0.1, preview=True)
