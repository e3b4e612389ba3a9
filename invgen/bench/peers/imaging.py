"""Linear operators on real images by DeepInverse, and what scikit-image has for some of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from invgen.bench.entries import noise_level
from invgen.bench.peers.common import WEIGHT, other, relative_weight
from invgen.bench.peers.deepinverse import channels, minimized
from invgen.bench.suite import Knob
from invgen.core.errors import CapabilityError
from invgen.operators import Blur, Mask
from invgen.problem import Problem

__all__ = ["DEBLURRING", "DENOISING", "IMAGING", "INPAINTING"]

Settings = Mapping[str, float]


def _deepinv_tv(problem: Problem, settings: Settings, seed: int) -> Tensor:
    """Its ADMM and TVPrior, on physics made of our operator and its adjoint."""
    A, weight = problem.linear_operator, relative_weight(problem, settings)
    shape = A.domain.shape
    if A.domain.field != "real" or len(shape) not in (2, 3):
        raise CapabilityError("This entry takes real images of shape (H, W) or (C, H, W).")
    found = minimized(
        lambda x: A(x.reshape(-1, *shape)),
        lambda y: A.H(y).reshape(-1, *channels(torch.zeros(shape)).shape[1:]),
        problem.measurement[None],
        tuple(channels(torch.zeros(shape)).shape),
        weight,
    )
    return found.reshape(shape)


def _skimage_tv(problem: Problem, settings: Settings, seed: int) -> Tensor:
    """Chambolle's projection, of an image that is seen whole: ``|x - y|^2 / 2 + weight TV(x)``."""
    from skimage.restoration import denoise_tv_chambolle

    axis = 0 if problem.measurement.ndim == 3 else None
    image = problem.measurement.numpy().astype(np.float64)
    weight = relative_weight(problem, settings)
    found = denoise_tv_chambolle(image, weight, eps=1e-6, max_num_iter=1000, channel_axis=axis)
    return torch.from_numpy(found).to(problem.measurement.dtype)


def _skimage_biharmonic(problem: Problem, settings: Settings, seed: int) -> Tensor:
    """Biharmonic equation of Damelin and Hoang (2018), through all pixels that are measured."""
    from skimage.restoration import inpaint_biharmonic

    A, y = problem.operator, problem.measurement
    if not isinstance(A, Mask):
        raise CapabilityError("skimage-biharmonic takes masks.")
    mask = A(torch.ones(A.domain.shape))
    lost = (mask.reshape(-1, *mask.shape[-2:]) == 0).any(0)
    known = torch.where(mask > 0, y / mask, 0).numpy()
    axis = 0 if y.ndim == 3 else None
    return torch.from_numpy(inpaint_biharmonic(known, lost.numpy(), channel_axis=axis)).to(y.dtype)


def _kernel(problem: Problem) -> np.ndarray:
    """The kernel of a blur: its image of a point."""
    A = problem.operator
    if not isinstance(A, Blur):
        raise CapabilityError("This entry takes blurs.")
    point = torch.zeros(A.domain.shape)
    height, width = point.shape[-2:]
    point[..., height // 2, width // 2] = 1
    image = A(point).reshape(-1, height, width)[0]
    rows, columns = (image.abs() > 1e-7 * image.abs().max()).nonzero(as_tuple=True)
    reach = max(int((rows - height // 2).abs().max()), int((columns - width // 2).abs().max()))
    reach = min(reach, (min(height, width) - 1) // 2)
    window = [slice(n // 2 - reach, n // 2 + reach + 1) for n in (height, width)]
    return image[window[0], window[1]].numpy().astype(np.float64)


def _skimage_wiener(problem: Problem, settings: Settings, seed: int) -> Tensor:
    """Wiener's filter with a Laplacian; its balance is the knob times the variance of the noise."""
    from skimage.restoration import wiener

    kernel, balance = _kernel(problem), settings["balance"] * noise_level(problem) ** 2
    y = problem.measurement
    planes = [
        torch.from_numpy(wiener(plane.numpy().astype(np.float64), kernel, balance, clip=False))
        for plane in y.reshape(-1, *y.shape[-2:])
    ]
    return torch.stack(planes).reshape(y.shape).to(y.dtype)


def _skimage_richardson_lucy(problem: Problem, settings: Settings, seed: int) -> Tensor:
    from skimage.restoration import richardson_lucy

    kernel, y = _kernel(problem), problem.measurement
    count = round(settings.get("iterations", 50))
    planes = [
        torch.from_numpy(
            richardson_lucy(plane.clamp(min=0).numpy(), kernel, count, clip=False, filter_epsilon=1e-6)
        )
        for plane in y.reshape(-1, *y.shape[-2:])
    ]
    return torch.stack(planes).reshape(y.shape).to(y.dtype)


#: Entries on any linear operator, and those for one kind of it.
IMAGING = (other("deepinv-tv", ("deepinv",), _deepinv_tv, WEIGHT),)
DENOISING = (other("skimage-tv", ("scikit-image",), _skimage_tv, WEIGHT),)
INPAINTING = (other("skimage-biharmonic", ("scikit-image",), _skimage_biharmonic, has_default=True),)
DEBLURRING = (
    other("skimage-wiener", ("scikit-image",), _skimage_wiener, Knob("balance", 0.1, 1000.0)),
    other(
        "skimage-richardson-lucy",
        ("scikit-image",),
        _skimage_richardson_lucy,
        Knob("iterations", 1, 100),
        has_default=True,
    ),
)
