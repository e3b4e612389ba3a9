"""The step of a dual variable, which primal-dual methods spend their time on."""

from __future__ import annotations

from typing import Any

import torch

from invgen.convex import dual_step_torch
from invgen.convex.functions import GroupL1
from invgen.core.batching import element_numbers, placed
from invgen.core.disk import by_slabs, is_on_disk
from invgen.core.kernels import Kernels
from invgen.operators import Gradient, Identity, LinearOperator

__all__ = ["dual_step"]


def _cpu() -> Any:
    from invgen.convex import dual_step_cpu

    return dual_step_cpu.dual_step


def _gpu() -> Any:
    from invgen.convex import dual_step_gpu

    return dual_step_gpu.dual_step


def _trial(fused: Any, device: torch.device) -> tuple[torch.Tensor, ...]:
    """Volumes and their slices, some entries within the balls and some without."""
    y = torch.arange(2.0 * 3 * 4 * 5 * 6, device=device).sin().reshape(2, 3, 4, 5, 6)
    x, step, weight = y[:, 0].cos(), y.new_tensor([0.3, 0.5]), y.new_tensor([0.7, 0.9])
    volumes, slices = (fused(part, x, (4, 5, 6), step, weight, True) for part in (y, y[:, :2]))
    return volumes, slices, fused(y, x, (4, 5, 6), step, weight, False)


#: In one pass through memory, where there are kernels.
_FUSED = Kernels[Any](dual_step_torch.dual_step, cpu=_cpu, gpu=_gpu, trial=_trial)


def dual_step(K: LinearOperator, g: Any, y: torch.Tensor, step: Any, x: torch.Tensor) -> torch.Tensor:
    """``prox_{step g*}(y + step K x)``.

    The gradient of real images and its norm go through memory once, instead of once for each operation of a
    formula that memory is the limit of.

    Parameters
    ----------
    K : LinearOperator
    g : function of what K gives, with a `conjugate_prox`
    y : tensor, shape (*batch, *K.range.shape)
    step : positive number, or tensor that broadcasts to `y` with one for each batch element
    x : tensor, shape (*batch, *K.domain.shape)
    """
    if isinstance(K, Gradient) and K.consecutive and isinstance(g, GroupL1) and g.counted is None:
        step_of, weight_of = (_each(value, K, x) for value in (step, g.weight))
        groups = (g.axis,) if isinstance(g.axis, int) else g.axis
        simple = groups in (None, (-len(K.range.shape),)) and step_of is not None and weight_of is not None
        differentiated = torch.is_grad_enabled() and (x.requires_grad or y.requires_grad)
        if simple and not x.is_complex() and not differentiated:

            def fused(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
                shape = tuple(x.shape[x.ndim - K.domain.ndim :])
                return _FUSED.serving(x)(y, x, shape, step_of, weight_of, groups is not None)

            return by_slabs(fused, y, x, halo=1)
    if is_on_disk(x) and isinstance(K, Identity):  # in one pass through the disk
        return by_slabs(lambda y, x: g.conjugate_prox(y + step * x, step), y, x)
    return g.conjugate_prox(y + step * K(x), step)


def _each(value: Any, K: LinearOperator, x: torch.Tensor) -> torch.Tensor | None:
    """One number for each batch element, where `value` is no more than that."""
    value = placed(value, x)
    if value.numel() != value.shape[: max(0, value.ndim - K.range.ndim)].numel():
        return None
    return element_numbers(value, K.range.ndim).expand(K.domain.batch_shape(x)).reshape(-1)
