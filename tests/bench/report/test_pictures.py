"""Images of a report: values, windows, and a size that all of them fit into."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from invgen.bench.record import Cell, Record
from invgen.bench.report.pictures import CONTRAST, collect

RAMP = torch.linspace(-1.0, 3.0, 256).reshape(16, 16)


def record(i=0):
    return Record(str(i), Cell("s", "t", str(i), "test", "m", 0), {"psnr": 1.0})


def decoded(pictures, part, i=0):
    data = base64.b64decode(pictures.data[pictures.shown[i].parts[part]])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def one(**arrays):
    return collect([record()], lambda _: arrays)


def test_the_window_is_the_truths_range_and_what_is_beyond_is_clipped():
    pictures = one(image=2 * RAMP, truth=RAMP)
    assert pictures.shown[0].window == (-1.0, 3.0)
    np.testing.assert_array_equal(decoded(pictures, "truth")[..., 0].ravel(), np.arange(256))
    expected = np.rint(255 * ((2 * RAMP.double().numpy() + 1) / 4).clip(0, 1))
    np.testing.assert_array_equal(decoded(pictures, "image")[..., 0], expected)


def test_maps_are_absolute_values_that_end_at_a_part_of_the_truths_range():
    end = 4.0 / CONTRAST
    error = torch.tensor([0.0, 0.5, -0.5, 1.0]).repeat(16, 4) * end
    pictures = one(image=RAMP + error, truth=RAMP, std=error.abs())
    expected = np.tile([0, 128, 128, 255], (16, 4))
    for part in ("error", "std"):
        assert abs(decoded(pictures, part)[..., 0].astype(int) - expected).max() <= 1


def test_of_complex_images_the_modulus_is_shown():
    phase = torch.exp(1j * torch.linspace(0, 6, 256).reshape(16, 16))
    pictures = one(image=(RAMP + 1) * phase, truth=(RAMP + 1) * phase.conj())
    assert decoded(pictures, "error").max() == 0
    np.testing.assert_array_equal(decoded(pictures, "image")[..., 0].ravel(), np.arange(256))


def test_color_stays_color_and_its_error_is_the_mean_of_the_channels():
    truth = torch.stack([RAMP, RAMP.T, RAMP.flip(0)])
    shift = torch.tensor([0.3, 0.0, 0.0])[:, None, None] * 4 / CONTRAST
    pictures = one(image=truth + shift, truth=truth)
    shown = decoded(pictures, "truth")
    assert (shown[..., 0] != shown[..., 1]).any()
    assert abs(decoded(pictures, "error").astype(int) - round(255 * 0.1)).max() <= 1


def test_of_volumes_the_middle_slice_is_shown():
    volume = torch.stack([torch.zeros(16, 16)] * 2 + [RAMP] + [torch.zeros(16, 16)] * 2)
    np.testing.assert_array_equal(decoded(one(image=volume), "image")[..., 0].ravel(), np.arange(256))


def test_a_constant_truth_has_a_window():
    assert decoded(one(image=torch.ones(8, 8), truth=torch.zeros(8, 8)), "image").min() == 255


def test_a_truth_that_methods_share_is_there_once():
    pictures = collect([record(i) for i in range(5)], lambda i: {"image": RAMP + int(i), "truth": RAMP})
    assert len({shown.parts["truth"] for shown in pictures.shown}) == 1


def test_failures_and_records_without_images_are_left_out():
    failed = Record("1", record(1).cell, error="no")
    assert collect([failed, record(2)], lambda _: {}).shown == []


@pytest.mark.parametrize("budget", [400_000, 100_000, 20_000])
def test_all_images_fit_into_the_budget(budget):
    generator = torch.Generator().manual_seed(0)
    images = {str(i): torch.rand(200, 100, generator=generator) for i in range(20)}
    pictures = collect([record(i) for i in range(20)], lambda i: {"image": images[i]}, budget)
    sizes = {decoded(pictures, "image", i).shape[:2] for i in range(20)}
    assert sum(map(len, pictures.data)) <= budget
    assert len(pictures.shown) == 20
    assert len(sizes) == 1
    height, width = sizes.pop()
    assert height == min(200, pictures.edge)
    assert width == round(height / 2)
