"""Whether an image lies as the images of a prior do: by which way round it is denoised better."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from invgen.core.draws import Draws
from invgen.plausibility.reconstructions.typicality import SEED, noise_level
from invgen.priors.base import Denoiser
from invgen.priors.image_format import format_of

__all__ = ["orientation"]

#: Norm of an image of the prior over that of a pixel's noise, about: its parts are seen, and its outline.
_LEVELS = (55.0, 24.0)

#: Draws of the noise at each level.
_DRAWS = 3

#: Squared distance of two denoised images, over the squared error, that is nothing.
_ROUNDING = 1e-6


@torch.no_grad()
def orientation(prior: Any, x: Tensor) -> dict[str, Tensor]:
    r"""Where images lie on the way from what a prior makes of them to what it makes of them turned.

    An image with noise is denoised as it is, ``D``, and turned by g, image and noise alike, and turned back,
    ``D_g``. For each of the quarter turns

    .. math:: r_g = \frac{\sum |D_g - x|^2 - |D - x|^2}{\sum |D_g - D|^2}

    over noise levels at which only what is large is seen, each in units of its noise: ``x`` lies at (1 - r)/2
    of the way from D to D_g. Of an image from the prior numerator and denominator have the same expectation,
    since the error of a posterior mean is orthogonal to all functions of the noisy image: r is about one, and
    of an image from the turned prior about minus one. With a prior that has learned from images in all
    orientations it is around zero, and says nothing. The statistics are

    * ``orientation, quarter turns``: the smaller of r of both;
    * ``orientation, half turn``: r of the turn by 180 degrees, to which many objects are nearly symmetric.

    Of images that are not square the square in the middle is turned, and what is outside is zero.

    Parameters
    ----------
    prior : Denoiser
        Of others there is no such statistic.
    x : tensor, shape (*batch, *image), the last axes of an image (H, W)
        In the unit of the prior.

    Returns
    -------
    dict of str to float64 tensors, shape of the batch
    """
    images = format_of(prior)
    axes = images.axes or 2
    if not isinstance(prior, Denoiser) or axes < 2:
        return {}
    batch, flat = x.shape[: x.ndim - axes], x.reshape(-1, *x.shape[x.ndim - axes :])
    side = min(x.shape[-2:])
    rows, columns = ((n - side) // 2 for n in x.shape[-2:])
    place = (..., slice(rows, rows + side), slice(columns, columns + side))
    square = flat[place]

    def energy(images: Tensor) -> Tensor:
        return images.abs().double().square().flatten(-axes).sum(-1)

    draws = Draws([SEED + 1], axes, device=x.device)
    differences = torch.zeros(3, len(flat), dtype=torch.float64, device=x.device)
    distances, errors = torch.zeros_like(differences), torch.zeros_like(differences[0])
    for level in _LEVELS:
        sigma = noise_level(math.sqrt(square[0].numel()) / level, images)
        for _ in range(_DRAWS):
            noise = draws(flat[None])[0]
            denoised = []
            for quarter in range(4):
                noisy = sigma * noise
                noisy[place] = torch.rot90(square + noisy[place], quarter, (-2, -1))
                turned = prior.denoise(noisy, sigma)[place]
                denoised.append(torch.rot90(turned, -quarter, (-2, -1)))
            own, others = denoised[0], torch.stack(denoised[1:])
            differences += (energy(others - square) - energy(own - square)) / sigma**2
            distances += energy(others - own) / sigma**2
            errors += energy(own - square) / sigma**2
    # of a prior that turns with the image the distances are rounding
    ratio = differences / distances.maximum(_ROUNDING * errors).clamp(min=1e-30)
    first, half, last = ratio.reshape(3, *batch)
    return {"orientation, quarter turns": torch.minimum(first, last), "orientation, half turn": half}
