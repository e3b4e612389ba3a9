"""Linear operators in PyTorch's graph, and in the transforms of ``torch.func``."""

from __future__ import annotations

from typing import Any

import torch

from invgen.core.space import Data, ProductSpace

__all__ = ["apply_linear"]


def apply_linear(operator: Any, x: Data) -> Data:
    """Apply a linear operator to checked data, as a step that PyTorch differentiates and vectorizes.

    Parameters
    ----------
    operator : LinearOperator
    x : tensor or tuple of tensors, shape (*batch, *operator.domain.shape)
    """
    parts = tuple(x) if isinstance(operator.domain, ProductSpace) else (x,)
    # PyTorch conjugates and negates lazily, by flags that NumPy, FINUFFT and numba do not see
    return _Application.apply(operator, *(part.resolve_conj().resolve_neg() for part in parts))


class _Application(torch.autograd.Function):
    """A linear operator in PyTorch's graph: its derivative is itself, its backward its adjoint."""

    @staticmethod
    def forward(operator: Any, *parts: torch.Tensor) -> Data:
        x = _element(operator, parts)
        if not parts[0].numel():  # an empty batch, which transforms and kernels refuse
            return operator.range.zeros(operator.domain.batch_shape(x), parts[0])
        return operator._apply(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.operator = inputs[0]

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        result = ctx.operator.H._call(_element(ctx.operator.H, grads))
        return None, *(result if isinstance(result, tuple) else (result,))

    @staticmethod
    def jvp(ctx: Any, _: None, *tangents: torch.Tensor) -> Data:
        return ctx.operator._call(_element(ctx.operator, tangents))

    @staticmethod
    def vmap(info: Any, in_dims: Any, operator: Any, *parts: torch.Tensor) -> tuple[Data, Any]:
        # the axis of torch.func.vmap is one more of the batch
        batches = (
            part.expand(info.batch_size, *part.shape) if axis is None else part.movedim(axis, 0)
            for part, axis in zip(parts, in_dims[1:], strict=True)
        )
        result = apply_linear(operator, _element(operator, tuple(batches)))
        return result, (0,) * len(result) if isinstance(result, tuple) else 0


def _element(operator: Any, parts: tuple[torch.Tensor, ...]) -> Data:
    return parts if isinstance(operator.domain, ProductSpace) else parts[0]
