"""Volumes by their planes: against the product of the planes' densities, and plane by plane."""

import math

import pytest
import torch

from invgen.core.errors import CapabilityError, ParameterError
from invgen.priors import Gaussian, Planes, TVDenoiser
from invgen.priors.base import Denoising
from invgen.priors.image_format import ImageFormat


def spectrum(shape):
    """Variances of a smooth stationary process, over its frequencies."""
    axes = (torch.fft.fftfreq(n, dtype=torch.float64).square() for n in shape)
    rows, columns = axes
    return 1 / (0.05 + rows[:, None] + columns)


class Wiener(Denoising):
    """The exact denoiser of smooth periodic images of any size."""

    def _denoise(self, x, sigma):
        s = spectrum(x.shape[-2:])
        return torch.fft.ifft2(torch.fft.fft2(x) * s / (s + sigma.square())).real


def log_density(x, sigma):
    """Of images with noise, up to a constant."""
    s = spectrum(x.shape[-2:])
    return -(torch.fft.fft2(x, norm="ortho").abs().square() / (s + sigma**2)).sum((-2, -1)) / 2


def volume(*batch, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*batch, 4, 5, 6, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("across", [(-3,), (-3, -1), (-3, -2, -1)])
def test_score_is_that_of_the_product_of_all_planes(across):
    x, sigma = volume().requires_grad_(), 0.7
    log_p = sum(log_density(x.movedim(a, 0), sigma).sum() for a in across) / len(across)
    (exact,) = torch.autograd.grad(log_p, x)
    torch.testing.assert_close(Planes(Wiener(), across).score(x.detach(), sigma), exact)


def test_one_axis_is_slice_by_slice():
    x = volume()
    alone = torch.stack([Wiener().denoise(slice_, 0.3) for slice_ in x])
    torch.testing.assert_close(Planes(Wiener(), (-3,)).denoise(x, 0.3), alone)


def test_turned_volumes_are_denoised_alike():
    x, prior = volume(), Planes(Wiener())
    torch.testing.assert_close(prior.denoise(x.permute(1, 2, 0), 0.5), prior.denoise(x, 0.5).permute(1, 2, 0))


def test_each_volume_of_a_batch_has_its_level():
    x, sigma = volume(2, 3), torch.tensor([0.1, 2.0], dtype=torch.float64)
    together = Planes(Wiener()).denoise(x, sigma)
    for i, level in enumerate(sigma):
        torch.testing.assert_close(together[i], Planes(Wiener()).denoise(x[i], float(level)))


def test_refusals():
    with pytest.raises(CapabilityError, match=r"any size.*shape \(3, 4\)"):
        Planes(Gaussian(torch.zeros(3, 4), 1.0))
    with pytest.raises(CapabilityError, match="3 axes"):
        Planes(TVDenoiser(channels=True))
    for across in ((), (-3, -3), (0,), (-4,)):
        with pytest.raises(ParameterError, match="at most once"):
            Planes(Wiener(), across)
    assert Planes(Wiener()).image_format == ImageFormat(axes=3)
    assert math.prod(Planes(Wiener()).denoise(volume(0), 1.0).shape) == 0
