"""Networks in exact arithmetic: the same numbers on every machine, in batches of any size, pixel by pixel.

Sums of floating-point numbers depend on their order, and that on the processor, the number of threads and
the size of the batch. Here all values of a network are multiples of 2 ** -16, and its weights too, so that
every partial sum of a product is a multiple of 2 ** -32. It is less than 2 ** 21, and therefore a float64
without any error, in whatever order it is summed. What comes of it is rounded to a multiple of 2 ** -16. All
else is made of single additions, products, divisions and roundings, whose results IEEE 754 fixes, and of
tables of integers.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from invgen.core.errors import CapabilityError
from invgen.plausibility.compression import tables

__all__ = ["BITS", "Exact", "exact_copy", "rounded"]

#: Values and weights are multiples of 2 ** -16.
BITS = 16

#: What is multiplied by weights is at most so large, and so is the sum of the magnitudes of the weights of
#: each output: 2 ** 10 times 2 ** 11 in units of 2 ** -32 is the 2 ** 53 of a float64.
_LARGEST, _LARGEST_SUM = 2.0**10, 2.0**11

#: Above it float64 numbers are multiples of 2 ** -16: to add it rounds.
_ROUNDER = 1.5 * 2.0 ** (52 - BITS)

_Weighted = nn.Conv2d | nn.ConvTranspose2d | nn.Linear


def rounded(x: Tensor) -> Tensor:
    """The multiples of 2 ** -16 nearest to numbers below 2 ** 35, in place of them."""
    return x.add_(_ROUNDER).sub_(_ROUNDER)


def exact_copy(network: nn.Module) -> nn.Module:
    """A network whose parameters are multiples of 2 ** -16, to be called within `Exact`.

    Raises
    ------
    CapabilityError
        Where weights are too large for exact sums, or no numbers.
    """
    network = copy.deepcopy(network).double().cpu().eval().requires_grad_(False)
    network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    for tensor in (*network.parameters(), *network.buffers()):
        if not bool(tensor.isfinite().all()) or float(tensor.abs().max()) > 2**20:
            raise CapabilityError("A network with weights beyond 2 ** 20 does not compress.")
        rounded(tensor)
    for layer in network.modules():
        if isinstance(layer, _Weighted):
            of_output = (
                layer.weight.transpose(0, 1) if isinstance(layer, nn.ConvTranspose2d) else layer.weight
            )
            if float(of_output.abs().flatten(1).sum(1).max()) > _LARGEST_SUM:
                raise CapabilityError(
                    f"The sums of a layer whose weights add up to more than {_LARGEST_SUM:.0f} are not exact."
                )
    return network


class Exact(TorchFunctionMode):
    """Within this context networks of `exact_copy` are evaluated in exact arithmetic.

    Raises
    ------
    CapabilityError
        From the networks, where they call a function of which no exact form is known.
    """

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Replace what rounds; let through what moves, adds or compares numbers."""
        name = function.__name__
        if name in _UNCHANGED:
            return function(*args, **(kwargs or {}))
        if name in _REPLACED:
            return _REPLACED[name](function, *args, **(kwargs or {}))
        raise CapabilityError(f"Networks that call {name} are not computed in exact arithmetic.")


def _product(function: Callable[..., Tensor], x: Tensor, *others: Any, **options: Any) -> Tensor:
    """Convolutions and linear maps."""
    return rounded(function(x.clamp(-_LARGEST, _LARGEST), *others, **options))


def _multiplied(function: Callable[..., Tensor], x: Tensor, y: Any) -> Tensor:
    return rounded(function(x, y))


def _sigmoid(_: object, x: Tensor) -> Tensor:
    return tables.sigmoid()(x)


def _tanh(_: object, x: Tensor) -> Tensor:
    return tables.sigmoid()(2 * x).mul_(2).sub_(1)


def _silu(_: object, x: Tensor, inplace: bool = False) -> Tensor:
    return rounded(tables.sigmoid()(x).mul_(x))


def _elu(_: object, x: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    if alpha != 1.0:
        raise CapabilityError(f"ELU with alpha={alpha} is not computed in exact arithmetic.")
    return torch.where(x > 0, x, tables.exponential_minus_one()(x))


def _layer_norm(
    _: object,
    x: Tensor,
    shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Over the last axis; the sums of squares are those of 64-bit integers."""
    if weight is not None or bias is not None or tuple(shape) != x.shape[-1:] or shape[0] > 2**9:
        raise CapabilityError("Layers are normalized over up to 512 channels, without weights of their own.")
    x, unit = x.clamp(-_LARGEST, _LARGEST), 2**BITS
    distance = x - rounded(x.sum(-1, keepdim=True) / shape[0])
    squares = (distance * unit).long().square().sum(-1, keepdim=True) // shape[0]
    variance = squares + round(eps * unit**2)
    # 5 binary digits more, for small ones
    root = _integer_root(variance << 10).double()
    return rounded(distance * (32 * unit) / root)


def _integer_root(square: Tensor) -> Tensor:
    """The square root of integers below 2 ** 62, rounded down; libraries err in the last digit."""
    root = square.double().sqrt().long()
    root -= (root * root > square).long()
    return root + ((root + 1) * (root + 1) <= square).long()


def _as_it_is(_: object, x: Tensor, *args: Any, **options: Any) -> Tensor:
    """What changes precision, order in memory, or training alone."""
    return x


_REPLACED: dict[str, Callable[..., Tensor]] = {
    **dict.fromkeys(("conv2d", "conv_transpose2d", "linear"), _product),
    "mul": _multiplied,
    "sigmoid": _sigmoid,
    "tanh": _tanh,
    "silu": _silu,
    "elu": _elu,
    "layer_norm": _layer_norm,
    **dict.fromkeys(("to", "contiguous", "dropout"), _as_it_is),
}

#: Sums of values of a network are exact.
_UNCHANGED = frozenset(
    (
        *("add", "sub", "sum", "__getitem__", "__get__", "__len__", "cat", "chunk", "flatten", "movedim"),
        *("new_zeros", "pad", "permute", "pixel_shuffle", "pixel_unshuffle", "reshape", "split", "stack"),
        *("transpose", "unbind", "unflatten", "zeros_like"),
    )
)
