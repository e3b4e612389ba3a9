"""DeepInverse: total variation by its ADMM, on physics of its own or made of ours.

In version 0.5.0 its FISTA is hardly faster than its PGD: the momentum of iteration k is
``(k + 2) / (k + 3)``, where Chambolle and Dossal (2015) have ``(k - 1) / (k + 3)``.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from invgen.operators import MRI

__all__ = ["channels", "from_channels", "import_deepinv", "minimized", "multicoil"]

_ITERATIONS = 20


def import_deepinv() -> ModuleType:
    """Import deepinv, which imports torchvision, whose wheels look for operators of CUDA builds.

    Nothing of DeepInverse that is used here calls them: declared and empty, they do no harm beside a PyTorch
    without CUDA.
    """
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import deepinv

    return deepinv


def channels(x: Tensor) -> Tensor:
    """An image (H, W) or (C, H, W) as a batch of one, (1, C, H, W); complex ones have two real channels."""
    if x.is_complex():
        return torch.view_as_real(x).movedim(-1, 0)[None].contiguous()
    return x.reshape(1, -1, *x.shape[-2:])


def from_channels(x: Tensor) -> Tensor:
    """The complex image or data of a batch of one with two real channels, as `channels` makes them."""
    return torch.view_as_complex(x[0].movedim(0, -1).contiguous())


def multicoil(A: MRI, maps: Tensor) -> Any:
    """Its Cartesian MRI with the mask of ours, and maps of the coils."""
    return import_deepinv().physics.MultiCoilMRI(
        mask=A.mask.float()[None, None], coil_maps=maps[None], img_size=(2, *A.domain.shape)
    )


def minimized(
    forward: Callable[[Tensor], Tensor],
    adjoint: Callable[[Tensor], Tensor],
    measurement: Tensor,
    shape: tuple[int, ...],
    weight: float,
    step: float = 10.0,
) -> Tensor:
    """``argmin |A x - y|^2 / 2 + weight TV(x)`` by its ADMM and TVPrior, x of shape (1, C, H, W).

    `step` is in units of one over the squared norm of A: the larger, the smaller most singular values are.
    """
    deepinv = import_deepinv()
    physics: Any = deepinv.physics.LinearPhysics(A=forward, A_adjoint=adjoint, img_size=shape[1:])
    start = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    solver = deepinv.optim.ADMM(
        data_fidelity=deepinv.optim.L2(),
        prior=deepinv.optim.TVPrior(n_it_max=50),
        lambda_reg=weight,
        stepsize=step / float(physics.compute_sqnorm(start, verbose=False)),
        max_iter=_ITERATIONS,
    )
    zero = torch.zeros(shape)
    with torch.no_grad():
        found: Tensor = solver(measurement, physics, init=(zero, zero))
    return found
