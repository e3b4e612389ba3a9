"""Whether an image, and each part of it, looks as a prior expects: by how well it is denoised."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from invgen.core.draws import Draws
from invgen.priors.base import Denoiser, Density
from invgen.priors.image_format import ImageFormat, format_of

__all__ = ["SEED", "noise_level", "typicality"]

#: Noise levels, in standard deviations of the prior's images.
_LEVELS = (0.1, 0.3, 1.0, 3.0)

#: Step of the derivative along a random direction, in units of the noise.
_STEP = 0.01

#: Of the noise: not one that a user would take, since samples hold what is left of theirs.
SEED = 6_364_136_223_846_793_005

#: Pixels along each side of the patches of a map.
_PATCH = 9


@torch.no_grad()
def typicality(prior: Any, x: Tensor) -> tuple[dict[str, Tensor], Tensor | None]:
    r"""Statistics of images by their names, and for denoisers a map of where they are unexpected.

    An image is given noise ``x + s n`` of a few levels s. Of images from the prior, ``|D(x + s n) - x|^2``
    has the expectation :math:`s^2 \operatorname{tr} D'` there, the posterior variance (Tweedie's formula of
    second order; Efron 2011), with the derivative D' of the denoiser, by finite differences along random
    signs (Hutchinson 1989):

    * ``bias s``: the mean of ``D - x`` along the sign, or phase, of D, over the noise. Its expectation is
      zero, since the error of a posterior mean is orthogonal to all functions of it;
    * ``denoising error s``: logarithm of the error over the noise;
    * ``unexpected error s``: logarithm of the error over the expected error, around zero whatever the content
      of the image.

    The map is the ratio of the two in patches of 9 x 9 pixels, summed over the levels, which count alike,
    each in units of its mean over the image. This mean is added to both, which are nearly zero where an image
    is flat: the map is about one where an image is as expected, and two where a flat part has the mean error.
    Of priors without a denoiser that have a density, ``log-density``, for each pixel, is the
    only statistic, and there is no map.

    Parameters
    ----------
    prior : Denoiser or Density
        Of others there are no statistics.
    x : tensor, shape (*batch, *image)
        In the unit of the prior.

    Returns
    -------
    dict of str to float64 tensors, shape of the batch
    tensor, shape (*batch, H, W), or None
    """
    images = format_of(prior)
    axes = images.axes or 2
    batch = x.shape[: x.ndim - axes]
    if not isinstance(prior, Denoiser):
        if not isinstance(prior, Density):
            return {}, None
        return {"log-density": prior.log_prob(x).double() / x[(0,) * len(batch)].numel()}, None
    flat = x.reshape(-1, *x.shape[len(batch) :])
    # each image gets the same noise, so that a batch equals its images
    draws = Draws([SEED], axes, device=x.device)
    found, errors, expectations = {}, torch.zeros_like(flat.real), torch.zeros_like(flat.real)
    for level in _LEVELS:
        sigma = noise_level(level, images)
        n, direction = draws(flat[None])[0], _signs(draws(flat[None])[0])
        noisy, step = flat + sigma * n, _STEP * sigma
        denoised = prior.denoise(noisy, sigma)
        derivative = (prior.denoise(noisy + step * direction, sigma) - denoised) / step
        error = (denoised - flat).abs().square() / sigma**2
        expected = (direction.conj() * derivative).real
        mean, wanted = (values.double().flatten(1).mean(1).clamp(min=1e-12) for values in (error, expected))
        along = (denoised.sgn().conj() * (denoised - flat)).real / sigma
        found[f"bias {level:g}"] = along.double().flatten(1).mean(1).reshape(batch)
        found[f"denoising error {level:g}"] = mean.log().reshape(batch)
        found[f"unexpected error {level:g}"] = (mean / wanted).log().reshape(batch)
        typical = ((mean + wanted) / 2).to(error)[(...,) + (None,) * axes]
        errors, expectations = errors + error / typical, expectations + expected / typical
    shown = _ratio(errors, expectations, axes)
    return found, shown.reshape(*batch, *shown.shape[-2:])


def noise_level(level: float, images: ImageFormat) -> float:
    """A noise level of so many standard deviations of a prior's images, or the nearest that it takes."""
    sigma = level * (images.std or images.unit[1] / 2)
    low, high = images.noise_range or (sigma, sigma)
    return min(max(sigma, low), high)


def _signs(n: Tensor) -> Tensor:
    """Signs of numbers, of complex ones of both parts."""
    return torch.complex(n.real.sign(), n.imag.sign()) if n.is_complex() else n.sign()


def _ratio(errors: Tensor, expectations: Tensor, axes: int) -> Tensor:
    """Local means of errors over those expected, (n, H, W); of both one is the mean, of each level."""

    def local(values: Tensor) -> Tensor:
        flat = values.flatten(1, -3).mean(1) if axes > 2 else values
        side = min(_PATCH, 2 * ((min(flat.shape[-2:]) - 1) // 2) + 1)
        means = F.avg_pool2d(flat[:, None], side, 1, side // 2, count_include_pad=False)
        return means[:, 0].clamp(min=0) + len(_LEVELS)

    return local(errors) / local(expectations)
