import math

import numpy as np
import pytest
import torch

from invgen import metrics
from invgen.core.errors import DtypeError, ParameterError, ShapeError


def pair(*shape, dtype=torch.float64):
    random = torch.Generator().manual_seed(0)
    truth = torch.rand(*shape, generator=random, dtype=dtype)
    return truth + 0.1 * torch.randn(*shape, generator=random, dtype=dtype), truth


def test_a_constant_error_has_the_psnr_of_its_definition():
    truth = torch.linspace(-1, 3, 64).reshape(8, 8)  # range 4
    assert metrics.psnr(truth + 0.04, truth) == pytest.approx(40.0, abs=1e-4)
    assert metrics.nrmse(truth + 0.04, truth) == pytest.approx(0.01, rel=1e-5)
    assert metrics.psnr(truth + 0.04, truth, data_range=0.4) == pytest.approx(20.0, abs=1e-4)


def test_psnr_is_nrmse_in_decibels():
    image, truth = pair(3, 16, 16)
    torch.testing.assert_close(metrics.psnr(image, truth), -20 * metrics.nrmse(image, truth).log10())


def test_relative_error_is_the_ratio_of_norms():
    image, truth = pair(16, 20)
    expected = torch.linalg.norm(image - truth) / torch.linalg.norm(truth)
    torch.testing.assert_close(metrics.relative_error(image, truth), expected)
    assert metrics.relative_error(1.25 * truth, truth) == pytest.approx(0.25)


def test_equal_images_are_perfect():
    _, truth = pair(32, 32)
    assert metrics.psnr(truth, truth) == math.inf
    assert metrics.ssim(truth, truth) == 1
    assert metrics.nrmse(truth, truth) == metrics.relative_error(truth, truth) == 0


def test_agrees_with_scikit_image():
    reference = pytest.importorskip("skimage.metrics")
    image, truth = (a.numpy() for a in pair(40, 30))
    wang = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.5}
    tensors = torch.from_numpy(image), torch.from_numpy(truth)
    assert metrics.psnr(*tensors, data_range=1.5) == pytest.approx(
        reference.peak_signal_noise_ratio(truth, image, data_range=1.5)
    )
    assert metrics.ssim(*tensors, data_range=1.5) == pytest.approx(
        reference.structural_similarity(truth, image, **wang)
    )
    assert metrics.nrmse(*tensors) == pytest.approx(
        reference.normalized_root_mse(truth, image, normalization="min-max")
    )


@pytest.mark.parametrize("metric", [metrics.psnr, metrics.ssim, metrics.nrmse, metrics.relative_error])
def test_a_batch_is_its_images_one_by_one(metric):
    image, truth = pair(2, 3, 16, 18)
    truth = truth * torch.arange(1, 7).reshape(2, 3, 1, 1)  # each with a range of its own
    values = metric(image, truth)
    assert values.shape == (2, 3)
    assert values.dtype == torch.float64
    for i, j in np.ndindex(2, 3):
        torch.testing.assert_close(values[i, j], metric(image[i, j], truth[i, j]))


@pytest.mark.parametrize("metric", [metrics.psnr, metrics.nrmse, metrics.relative_error])
def test_pixels_outside_of_the_mask_do_not_count(metric):
    image, truth = pair(4, 12, 12)
    mask = torch.zeros(12, 12, dtype=torch.bool)
    mask[3:9, 2:10] = True
    expected = metric(image[..., 3:9, 2:10], truth[..., 3:9, 2:10])
    torch.testing.assert_close(metric(image.masked_fill(~mask, math.nan), truth, mask=mask), expected)


def test_complex_images_count_by_the_modulus_of_their_difference():
    truth = torch.polar(torch.linspace(0, 2, 100).double(), torch.linspace(0, 9, 100).double()).reshape(
        10, 10
    )
    image = truth + 0.02j
    assert metrics.nrmse(image, truth) == pytest.approx(0.01)
    with pytest.raises(DtypeError, match="abs"):
        metrics.ssim(image, truth)


def test_metrics_do_not_depend_on_the_precision_of_the_input():
    image, truth = pair(24, 24, dtype=torch.float32)
    for metric in (metrics.psnr, metrics.ssim):
        assert metric(image, truth) == metric(image.double(), truth.double())


def test_what_cannot_be_compared_is_refused():
    image, truth = pair(16, 16)
    with pytest.raises(ShapeError, match="one shape"):
        metrics.psnr(image[None], truth)
    with pytest.raises(ShapeError, match="window"):
        metrics.ssim(image[:8], truth[:8])
    with pytest.raises(ShapeError, match="mask"):
        metrics.psnr(image, truth, mask=torch.ones(16, 16))
    with pytest.raises(ParameterError, match="no pixel"):
        metrics.psnr(image, truth, mask=torch.zeros(16, 16, dtype=torch.bool))
    with pytest.raises(ParameterError, match="constant"):
        metrics.psnr(image, torch.ones(16, 16))
    with pytest.raises(ParameterError, match="range"):
        metrics.nrmse(image, truth, data_range=0.0)
