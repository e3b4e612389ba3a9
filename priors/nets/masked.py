"""Gated convolutions that see only the pixels before each, in the order in which one reads."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invgen.core.checks import as_count

__all__ = ["GatedMaskedCNN", "Layer"]


class GatedMaskedCNN(nn.Module):
    """A map of images to what is predicted of each pixel from the pixels before it: rows above, and the left.

    Van den Oord et al. (2016b), "Conditional image generation with PixelCNN decoders", fig. 2: a stack that
    sees the rows above, and one that sees it and the pixels to the left, so that nothing before a pixel is
    out of sight. Shifted convolutions and linear gates are those of PixelCNN++ (Salimans et al. 2017, sec.
    2.4).

    Parameters
    ----------
    inputs, outputs : int
        Channels of the images, and numbers that are predicted for each pixel.
    size : (int, int)
        Height and width: what is learned of each place is added to both stacks.
    width : int
        Channels of each stack.
    layers : int
    view : int
        Rows above, and pixels to each side, that the first layer sees.
    dropout : float
        Fraction of the values that are set to zero in each layer, in training.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: tuple[int, int],
        width: int = 64,
        layers: int = 8,
        view: int = 5,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        inputs, outputs, width = (as_count(n, "channels") for n in (inputs, outputs, width))
        layers, view = as_count(layers, "layers"), as_count(view, "view")
        height, across = (as_count(n, "each side of size") for n in size)
        self.config = {
            "inputs": inputs,
            "outputs": outputs,
            "size": [height, across],
            "width": width,
            "layers": layers,
            "view": view,
            "dropout": dropout,
        }
        self.view = view
        self.above = nn.Conv2d(inputs, width, (view, 2 * view + 1))
        self.left = nn.Conv2d(inputs, width, (1, view))
        self.place = nn.Parameter(0.01 * torch.randn(2, width, height, across))
        self.layers = nn.ModuleList(Layer(width, dropout) for _ in range(layers))
        self.hidden, self.out = nn.Conv2d(width, width, 1), nn.Conv2d(width, outputs, 1)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor) -> Tensor:
        """Predictions ``(N, outputs, H, W)`` for images ``(N, inputs, H, W)``."""
        x = x.contiguous(memory_format=torch.channels_last)
        view = self.view
        # one row, or one pixel, beyond the last is cut: each place sees what is strictly before it
        above = self.above(F.pad(x[..., :-1, :], (view, view, view, 0)))
        left = self.left(F.pad(x[..., :-1], (view, 0)))
        above = above + self.place[0].to(above.dtype)
        left = left + self.place[1].to(left.dtype) + above
        for layer in self.layers:
            above, left = layer(above, left)
        # in half precision the predicted levels would be off by half of their distance
        with torch.autocast(x.device.type, enabled=False):
            return self.out(F.elu(self.hidden(F.elu(left.to(self.out.weight.dtype)))))


class Layer(nn.Module):
    """Gated residual convolutions of both stacks."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.above, self.left = nn.Conv2d(width, 2 * width, (2, 3)), nn.Conv2d(width, 2 * width, (1, 2))
        self.across = nn.Conv2d(width, 2 * width, 1, bias=False)
        self.mix_above, self.mix_left = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1)
        self.drop = nn.Dropout(dropout)
        for mix in (self.mix_above, self.mix_left):  # deep stacks begin as the identity
            for parameter in mix.parameters():
                nn.init.zeros_(parameter)

    def forward(self, above: Tensor, left: Tensor) -> tuple[Tensor, Tensor]:
        """What both stacks know, after one more layer; each ``(N, width, H, W)``."""
        above = above + self.mix_above(self.drop(gated(self.above(F.pad(above, (1, 1, 1, 0))))))
        found = self.left(F.pad(left, (1, 0))) + self.across(above)
        return above, left + self.mix_left(self.drop(gated(found)))


def gated(x: Tensor) -> Tensor:
    """Half of the channels, each times the gate that its partner in the other half opens."""
    value, gate = x.chunk(2, dim=1)
    return value * torch.sigmoid(gate)
