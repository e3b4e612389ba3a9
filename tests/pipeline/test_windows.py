"""`--roi`: a window of the image, with the values and at the place that it has in the whole."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image

import invgen as ig
from invgen.core.errors import ParameterError
from invgen.io import open_scan, read_reconstruction
from invgen.pipeline.previews import previewed
from invgen.pipeline.recipe import Recipe

WINDOW = (slice(3, 10), slice(5, None))


@pytest.mark.parametrize("scan", ["parallel", "fan", "cone", "grid"])
def test_a_window_is_the_crop_of_the_whole(scans, tmp_path, scan):
    whole = ig.reconstruct(scans[scan], tmp_path / "whole.nii")
    part = ig.reconstruct(scans[scan], tmp_path / "part.nii", roi=WINDOW)
    height, width = whole.image_shape
    assert part.image_shape == (7, width - 5)
    assert (height, whole.pixel_size) == (whole.image_shape[0], part.pixel_size)
    one, two = (nibabel.load(tmp_path / f"{name}.nii") for name in ("whole", "part"))
    np.testing.assert_array_equal(two.get_fdata(), one.get_fdata()[5:, 3:10])  # columns first
    for corner in ([0, 0, 0], [4, 6, 0], [1, 2, 1]):
        place = two.affine @ [*corner, 1]
        np.testing.assert_allclose(
            place, one.affine @ [corner[0] + 5, corner[1] + 3, corner[2], 1], atol=1e-4
        )


def test_iterations_are_of_the_whole_image(scans):
    options = {"solver": "sirt", "iterations": 4, "slices": 1}
    whole, part = (
        ig.reconstruct(scans["parallel"], **options),
        ig.reconstruct(scans["parallel"], **options, roi=(slice(-9, -2), slice(None, 8))),
    )
    assert torch.equal(part.images, whole.images[:, -9:-2, :8])


def test_samples_and_plausibility_are_cropped_with_the_image(scans, prior, tmp_path):
    given = {"solver": "dds", "prior": str(prior), "samples": 3, "slices": 1, "iterations": 3}
    whole, part = (
        ig.reconstruct(scans["parallel"], **given),
        ig.reconstruct(scans["parallel"], **given, roi=WINDOW),
    )
    assert torch.equal(part.samples, whole.samples[..., 3:10, 5:])
    maps = whole.plausibility.maps
    assert (maps is None) == (part.plausibility.maps is None)
    if maps is not None:
        assert torch.equal(part.plausibility.maps, maps[..., 3:10, 5:])
    ig.reconstruct(scans["parallel"], tmp_path / "x.h5", **given, roi=WINDOW)
    with read_reconstruction(tmp_path / "x.h5") as file:
        assert file.posterior.std[:].shape == tuple(part.images.shape)
        assert "--roi 3:10,5:" in file.settings["command"]


def test_a_color_image_keeps_its_channels(tmp_path):
    colors = np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)
    Image.fromarray(colors).save(tmp_path / "x.png")
    options = {"operator": "denoise", "noise_std": 0.1, "solver": "tv", "iterations": 5, "weight": 1.0}
    whole = ig.reconstruct(tmp_path / "x.png", **options)
    part = ig.reconstruct(tmp_path / "x.png", **options, roi=WINDOW)
    assert torch.equal(part.images, whole.images[..., 3:10, 5:])
    assert (whole.image_shape, part.image_shape) == ((3, 24, 20), (3, 7, 15))


@pytest.mark.parametrize(
    "window", [(slice(0, 40), slice(0, 8)), (slice(8, 8), slice(None)), (slice(30, None), slice(None))]
)
def test_windows_that_are_not_in_the_image(scans, tmp_path, window):
    with pytest.raises(ParameterError, match="--roi is of pixels of the image, 29 x 29, at least one"):
        ig.reconstruct(scans["parallel"], tmp_path / "x.h5", roi=window)
    assert not (tmp_path / "x.h5").exists()


@pytest.mark.parametrize("window", ["3:10,5:", slice(0, 3), (slice(0, 4, 2), slice(None)), (1, 2, 3)])
def test_what_is_no_window(window):
    with pytest.raises(ParameterError, match="--roi"):
        Recipe(roi=window)


def test_a_preview_has_the_window_in_its_larger_pixels(scans):
    with open_scan(scans["cone"]) as scan:
        found = previewed(scan, Recipe(preview=True, roi=(slice(5, 11), slice(None, -3))))
        assert found.roi == (slice(5, 11), slice(None, -3))  # of a narrow detector they are the same

    class Wide:
        geometry, slices, columns, views, has_angles = "parallel", 4, 600, 10, False

    found = previewed(Wide(), Recipe(preview=True, roi=(slice(5, 11), slice(None, -4))))
    assert found.roi == (slice(1, 4), slice(None, -1))
