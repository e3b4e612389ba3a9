"""Multilayer perceptrons."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from invgen.core.checks import as_count
from invgen.core.errors import ParameterError

__all__ = ["MLP"]

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "identity": nn.Identity,
    "relu": nn.ReLU,
    "leaky-relu": lambda: nn.LeakyReLU(0.2),
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


class MLP(nn.Sequential):
    """Affine maps with a function of each number between them: ``(N, ...)`` to ``(N, widths[-1])``.

    The names of its parameters are those of ``nn.Sequential(nn.Linear(...), nn.ReLU(), nn.Linear(...))``.

    Parameters
    ----------
    widths : sequence of int
        Numbers at the input, after each affine map but the last, and at the output.
    activation : {"relu", "leaky-relu", "silu", "tanh", "sigmoid", "identity"}
        After each affine map but the last. The slope of "leaky-relu" is 0.2 below zero.
    output : str
        The same after the last.
    batch_norm : bool
        Normalize over the batch before each `activation` (Ioffe and Szegedy 2015).

    Raises
    ------
    ParameterError
    """

    def __init__(
        self,
        widths: Sequence[int],
        activation: str = "relu",
        output: str = "identity",
        batch_norm: bool = False,
    ) -> None:
        widths = [as_count(width, "each of the widths") for width in widths]
        if len(widths) < 2:
            raise ParameterError(f"An MLP has the widths of its input and its output; got {widths}.")
        if unknown := {activation, output} - set(_ACTIVATIONS):
            raise ParameterError(f"An activation is one of {', '.join(_ACTIVATIONS)}; got {unknown.pop()!r}.")
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths[:-1]):
            normalized = [nn.BatchNorm1d(after)] if batch_norm else []
            layers += [nn.Linear(before, after), *normalized, _ACTIVATIONS[activation]()]
        super().__init__(*layers, nn.Linear(widths[-2], widths[-1]), _ACTIVATIONS[output]())
        #: The arguments that build it again.
        self.config = {
            "widths": widths,
            "activation": activation,
            "output": output,
            "batch_norm": batch_norm,
        }

    def forward(self, x: Tensor) -> Tensor:
        """Rows ``(N, widths[-1])`` of tensors ``(N, ...)`` of widths[0] numbers each."""
        rows: Tensor = super().forward(x.flatten(1))
        return rows
