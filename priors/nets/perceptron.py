"""Fully connected networks, for images of a few pixels."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from invgen.core.checks import as_count
from invgen.priors.nets.mlp import MLP

__all__ = ["Perceptron"]


class Perceptron(nn.Module):
    """A map of images of a few pixels to images, called as a `UNet` is.

    Parameters
    ----------
    inputs, outputs : int
        Channels of its input and its output.
    size : (H, W)
    widths : sequence of int
        Units of each hidden layer.
    """

    def __init__(
        self, inputs: int, outputs: int, size: Sequence[int], widths: Sequence[int] = (128, 128, 128)
    ) -> None:
        super().__init__()
        inputs, outputs = as_count(inputs, "inputs"), as_count(outputs, "outputs")
        height, width = (as_count(n, "each of size") for n in size)
        widths = [as_count(n, "each of the widths") for n in widths]
        #: The arguments that build it again.
        self.config = {"inputs": inputs, "outputs": outputs, "size": [height, width], "widths": widths}
        self.layers = MLP([inputs * height * width, *widths, outputs * height * width], "silu")

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Images ``(N, inputs, H, W)``, with noise levels ``(N,)`` that it does not look at."""
        return self.layers(x).reshape(len(x), -1, *x.shape[-2:])
