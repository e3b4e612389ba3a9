"""Layers of flows for images: each is inverted exactly, and has a determinant that costs nothing."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invgen.priors.nets.splines import Affine, Spline

__all__ = ["ActNorm", "Conditioner", "Coupling", "InvertibleConv", "squeeze", "unsqueeze"]


def squeeze(x: Tensor) -> Tensor:
    """Four images of half the size: the pixels of even rows and columns first.

    Dinh, Sohl-Dickstein and Bengio (2017), sec. 3.6; here channels of one phase are neighbors.

    Parameters
    ----------
    x : tensor, shape (N, C, H, W)

    Returns
    -------
    tensor, shape (N, 4 C, H / 2, W / 2)
    """
    return torch.cat([x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)], 1)


def unsqueeze(x: Tensor) -> Tensor:
    """The inverse of `squeeze`."""
    n, channels, height, width = x.shape
    phases = x.reshape(n, 2, 2, channels // 4, height, width).permute(0, 3, 4, 1, 5, 2)
    return phases.reshape(n, channels // 4, 2 * height, 2 * width)


class Conditioner(nn.Module):
    """Residual convolutions with a map of their own at each pixel: parameters of what is to be transformed.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    size : pair of int
        Pixels of the images, which has to be known: what is learned depends on the position.
    width, blocks : int
        Channels within, and number of residual blocks of two convolutions.
    """

    def __init__(self, inputs: int, outputs: int, size: tuple[int, int], width: int, blocks: int) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros(1, width, *size))
        self.first = nn.Conv2d(inputs, width, 3, padding=1)
        self.blocks = nn.ModuleList()
        for _ in range(blocks):
            first, last = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
            nn.init.zeros_(last.weight)
            self.blocks.append(nn.ModuleList((first, last)))
        self.last = nn.Conv2d(width, outputs, 1)
        nn.init.zeros_(self.last.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Channels ``(N, inputs, H, W)`` to ``(N, outputs, H, W)``."""
        h = self.first(x.contiguous(memory_format=torch.channels_last))
        h = h + self.place.to(h.dtype)
        for block in self.blocks:
            first, last = cast(nn.ModuleList, block)
            h = h + last(F.relu(first(F.relu(h))))
        # in full precision: parameters are exponents, and a part of a knot's place is lost in bits
        with torch.autocast(x.device.type, enabled=False):
            return self.last(F.relu(h).to(self.last.weight.dtype))


class Coupling(nn.Module):
    """Numbers transformed one by one, with parameters that a network makes of others.

    Dinh, Krueger and Bengio (2015), eq. 4; Dinh, Sohl-Dickstein and Bengio (2017), eqs. 4 and 5.

    Parameters
    ----------
    transform : Affine or Spline
    known, channels : int
        Channels that the network sees, and those that are transformed.
    size, width, blocks
        See `Conditioner`.
    """

    def __init__(
        self,
        transform: Affine | Spline,
        known: int,
        channels: int,
        size: tuple[int, int],
        width: int,
        blocks: int,
    ) -> None:
        super().__init__()
        self.transform, self.channels = transform, channels
        self.network = Conditioner(known, channels * transform.count, size, width, blocks)
        self.network.last.bias = nn.Parameter(transform.start().repeat(channels))

    def _parameters_of(self, known: Tensor) -> Tensor:
        made = self.network(known).contiguous()
        return made.unflatten(1, (self.channels, -1))

    def forward(self, x: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """What becomes of x ``(N, channels, H, W)``, and the logarithm of the slope of each pixel."""
        return self.transform(x, self._parameters_of(known))

    def inverse(self, y: Tensor, known: Tensor) -> Tensor:
        """The x of y."""
        return self.transform.inverse(y, self._parameters_of(known))


class ActNorm(nn.Module):
    """A scale and a shift for each channel, Kingma and Dhariwal (2018), sec. 3.1; the identity at the start.

    The channels here are close to standard normal ones from the first step on, so that nothing has to be
    measured in a first batch.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(channels))
        self.shift = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Images ``(N, C, H, W)``, and the logarithm of the determinant, one number for all of them."""
        scale = self.log_scale.exp()[:, None, None]
        return x * scale + self.shift[:, None, None], x[0, 0].numel() * self.log_scale.sum()

    def inverse(self, y: Tensor) -> Tensor:
        """The x of y."""
        return (y - self.shift[:, None, None]) * (-self.log_scale).exp()[:, None, None]


class InvertibleConv(nn.Module):
    """A product of the channels of each pixel with ``P L (U + diag(s))``, Kingma and Dhariwal (2018), eq. 10.

    P reverses the channels, and stays; L, U and the logarithm of s > 0 are learned, from the identity on.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.lower = nn.Parameter(torch.zeros(channels, channels))
        self.upper = nn.Parameter(torch.zeros(channels, channels))
        self.log_scale = nn.Parameter(torch.zeros(channels))

    def matrix(self) -> Tensor:
        """The matrix, shape (C, C)."""
        one = torch.eye(len(self.log_scale), dtype=self.lower.dtype, device=self.lower.device)
        lower = torch.tril(self.lower, -1) + one
        return (lower @ (torch.triu(self.upper, 1) + torch.diag(self.log_scale.exp()))).flip(0)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Images ``(N, C, H, W)``, and the logarithm of the determinant, one number for all of them."""
        with torch.autocast(x.device.type, enabled=False):  # no product of a network, and to be inverted
            mixed = torch.einsum("ij,njhw->nihw", self.matrix(), x)
        return mixed, x[0, 0].numel() * self.log_scale.sum()

    def inverse(self, y: Tensor) -> Tensor:
        """The x of y."""
        # never singular; on a GPU the host would wait to make sure
        return torch.einsum("ij,njhw->nihw", torch.linalg.inv_ex(self.matrix()).inverse, y)
