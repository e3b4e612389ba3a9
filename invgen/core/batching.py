"""Batches: one element at a time, and one number for each element.

The leading axes of an array are those of the batch, the last ones those of an element.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch._C import _functorch  # the one way to see that a tensor is within a transform of torch.func

__all__ = ["chosen", "each_alone", "element_numbers", "leading", "per_element", "placed", "unwrapped"]

#: Bytes to whose multiples PyTorch aligns memory. At other addresses the CPU's transforms round differently.
_ALIGNMENT = 64


def each_alone(
    function: Callable[..., torch.Tensor], x: torch.Tensor, axes: int, *others: torch.Tensor
) -> torch.Tensor:
    """Apply a function to each batch element on its own, so that a batch equals its elements to the bit.

    The CPU's Fourier transforms and blocked matrix products round differently with the number of elements in
    a call, and with the alignment of their memory: each element comes alone, and aligned. A GPU takes the
    batch as one.

    Parameters
    ----------
    function : callable
        Takes tensors ``(n, *element)`` and returns one with the same first axis. It must not change them.
    x : tensor, shape (*batch, *element)
        With at least one element.
    axes : int
        Number of axes of an element.
    *others : tensor
        Further arguments, with elements of `axes` axes: one for all batch elements, or with batch axes that
        broadcast to those of `x`.

    Returns
    -------
    tensor, shape (*batch, ...)
    """
    batch = x.shape[: x.ndim - axes]
    flat = x.reshape(-1, *x.shape[x.ndim - axes :]).contiguous()
    rest = [_flattened(other, batch, axes) for other in others]
    if x.is_cuda:
        result = function(flat, *rest)
    elif len(flat) == 1:
        result = function(_aligned(flat), *rest)
    else:
        elements = (
            (_aligned(flat[i : i + 1]), *(o if len(o) == 1 else o[i : i + 1] for o in rest))
            for i in range(len(flat))
        )
        result = torch.cat([function(*element) for element in elements])
    return result.reshape(*batch, *result.shape[1:])


def _flattened(x: torch.Tensor, batch: torch.Size, axes: int) -> torch.Tensor:
    """With one batch axis, of length one where all batch elements share the same."""
    own = x.shape[x.ndim - axes :]
    return x[None] if x.ndim == axes else x.expand(*batch, *own).reshape(-1, *own)


def _aligned(x: torch.Tensor) -> torch.Tensor:
    """`x`, or a copy where its memory is not aligned."""
    wrapped = _functorch.is_functorch_wrapped_tensor(x)  # which has no address
    return x.clone() if wrapped or x.data_ptr() % _ALIGNMENT else x


def per_element(value: Any, axes: int) -> Any:
    """One number, or one for each batch element, shaped to multiply elements of `axes` axes."""
    return value.reshape(*value.shape, *(1,) * axes) if isinstance(value, torch.Tensor) else value


def chosen(which: torch.Tensor, new: Any, old: Any) -> Any:
    """`new` for the batch elements of `which`, else `old`; of tensors, and of tuples and mappings of them."""
    if not which.is_cuda and bool(which.all()):
        return new
    if isinstance(new, torch.Tensor):
        return torch.where(per_element(which, new.ndim - which.ndim), new, old)
    if isinstance(new, dict):
        return {name: chosen(which, part, old[name]) for name, part in new.items()}
    return type(new)(*(chosen(which, *parts) for parts in zip(new, old, strict=True)))


def leading(value: Any, like: torch.Tensor) -> Any:
    """One number, or one for each entry of the first axes of `like`, to multiply it, in its precision."""
    if not isinstance(value, torch.Tensor):
        return value
    return per_element(placed(value, like), like.ndim - value.ndim)


def placed(value: Any, like: torch.Tensor) -> torch.Tensor:
    """A number or tensor as a tensor on the device of `like`, in its real precision.

    One number is written there: a copy from the host would wait for what a GPU has still to do.
    """
    dtype = like.dtype.to_real()
    if not isinstance(value, torch.Tensor):
        value = torch.as_tensor(value, dtype=torch.float64)
    if like.is_cuda and not value.is_cuda and value.ndim == 0:
        return torch.full((), value.item(), dtype=dtype, device=like.device)
    return value.to(like.device, dtype)


def element_numbers(value: torch.Tensor, axes: int) -> torch.Tensor:
    """The inverse of `per_element`: one number for each batch element, without the axes of an element."""
    return value.reshape(value.shape[: max(0, value.ndim - axes)])


def unwrapped(x: torch.Tensor) -> torch.Tensor:
    """The plain tensor within the wrappers of ``torch.func``: all elements, whose values can be looked at."""
    while _functorch.is_functorch_wrapped_tensor(x):
        x = _functorch.get_unwrapped(x)
    return x
