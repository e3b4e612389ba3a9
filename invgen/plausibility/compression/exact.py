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

#: What is multiplied by weights is at most so large. Products of up to 2 ** 21, in units of 2 ** -32, are
#: below the 2 ** 53 of a float64.
_LARGEST, _LARGEST_SUM = 2.0**10, 2.0**21

#: Above it float64 numbers are multiples of 2 ** -16: to add it rounds.
_ROUNDER = 1.5 * 2.0 ** (52 - BITS)


def rounded(x: Tensor) -> Tensor:
    """The multiples of 2 ** -16 nearest to numbers below 2 ** 35, in place of them."""
    return x.add_(_ROUNDER).sub_(_ROUNDER)


def exact_copy(network: nn.Module) -> nn.Module:
    """A network whose parameters are multiples of 2 ** -16, to be called within `Exact`.

    Raises
    ------
    CapabilityError
        Where parameters are no numbers, or absurdly large.
    """
    network = copy.deepcopy(network).double().cpu().eval().requires_grad_(False)
    network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    for tensor in (*network.parameters(), *network.buffers()):
        if not bool((tensor.abs() < 2**20).all()):
            raise CapabilityError("The network has parameters that are not finite, or are above 2 ** 20.")
        rounded(tensor)
    return network


class Exact(TorchFunctionMode):
    """Within this context networks of `exact_copy` are evaluated in exact arithmetic.

    Raises
    ------
    CapabilityError
        From the networks, where they call a function of which no exact form is known, or have weights whose
        sums would not be exact.
    """

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Replace what computes; let through what moves values."""
        name = function.__name__
        if name in _UNCHANGED:
            return function(*args, **(kwargs or {}))
        if name in _REPLACED:
            return _REPLACED[name](function, *args, **(kwargs or {}))
        raise CapabilityError(f"Networks that call {name} are not computed in exact arithmetic.")


def _product(
    function: Callable[..., Tensor],
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *how: Any,
    **named: Any,
) -> Tensor:
    """Convolutions and linear maps."""
    outputs = 1 if function.__name__ == "conv_transpose2d" else 0
    sums = _LARGEST * weight.abs().sum([axis for axis in range(weight.ndim) if axis != outputs])
    if float((sums if bias is None else sums + bias.abs()).max()) > _LARGEST_SUM:
        raise CapabilityError(
            f"The network has weights so large, {float(weight.abs().max()):.3g}, that their products have no "
            "exact sum."
        )
    return rounded(function(x.clamp(-_LARGEST, _LARGEST), weight, bias, *how, **named))


def _multiplied(function: Callable[..., Tensor], x: Tensor, y: Any) -> Tensor:
    return rounded(function(x, y))


def _added(function: Callable[..., Tensor], x: Tensor, y: Any, alpha: float = 1) -> Tensor:
    """Sums of two values are exact, but numbers of the code are any."""
    _only(1, "alpha", alpha)
    found = function(x, y)
    return found if isinstance(y, Tensor) else rounded(found)


def _summed(function: Callable[..., Tensor], x: Tensor, *axes: Any, **named: Any) -> Tensor:
    """Of fewer than 2 ** 27 values."""
    return function(x.clamp(-_LARGEST, _LARGEST), *axes, **named)


def _padded(
    function: Callable[..., Tensor], x: Tensor, sides: Any, mode: str = "constant", value: Any = None
) -> Tensor:
    _only(0, "value", value or 0)
    return function(x, sides, mode)


def _only(wanted: float, name: str, given: float) -> None:
    if given != wanted:
        raise CapabilityError(f"Networks with {name}={given:g} are not computed in exact arithmetic.")


def _sigmoid(_: object, x: Tensor) -> Tensor:
    return tables.sigmoid()(x)


def _tanh(_: object, x: Tensor) -> Tensor:
    return tables.sigmoid()(2 * x).mul_(2).sub_(1)


def _silu(_: object, x: Tensor, inplace: bool = False) -> Tensor:
    return rounded(tables.sigmoid()(x).mul_(x))


def _elu(_: object, x: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    _only(1, "alpha", alpha)
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
    **dict.fromkeys(("add", "sub"), _added),
    "mul": _multiplied,
    "sum": _summed,
    "pad": _padded,
    "sigmoid": _sigmoid,
    "tanh": _tanh,
    "silu": _silu,
    "elu": _elu,
    "layer_norm": _layer_norm,
    **dict.fromkeys(("to", "contiguous", "dropout"), _as_it_is),
}

#: What moves values.
_UNCHANGED = frozenset(
    (
        *("__getitem__", "__get__", "__len__", "cat", "chunk", "flatten", "movedim", "new_zeros", "permute"),
        *(
            "pixel_shuffle",
            "pixel_unshuffle",
            "reshape",
            "split",
            "stack",
            "transpose",
            "unbind",
            "unflatten",
        ),
        "zeros_like",
    )
)
