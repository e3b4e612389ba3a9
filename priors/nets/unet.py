"""A U-Net: residual blocks at several resolutions, conditioned on the noise level."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invgen.core.checks import as_count

__all__ = ["UNet"]


class UNet(nn.Module):
    """A map of noisy images to images, of any size unless it has attention.

    Ronneberger, Fischer and Brox (2015) with residual blocks, as diffusion models use it (Ho, Jain and Abbeel
    2020), with sums in place of concatenations as in Zhang et al. (2021). Normalization is over the channels
    of each pixel, so that nothing depends on the size of the image.

    Parameters
    ----------
    inputs, outputs : int
        Channels of its input and its output.
    widths : sequence of int
        Channels at each resolution; each is half of the one before.
    blocks : int
        Residual blocks at each resolution, of the encoder and of the decoder.
    unshuffle : int
        Side of the squares of pixels that are channels at the first resolution (Shi et al. 2016).
    attention : sequence of int
        The resolutions, counted from zero, that have self-attention.
    classes : int
        Number of classes of images; zero without labels.
    dropout : float
        Fraction of the values that are set to zero in each block, in training.
    """

    def __init__(
        self,
        inputs: int = 1,
        outputs: int = 1,
        widths: Sequence[int] = (32, 64, 128),
        blocks: int = 2,
        unshuffle: int = 1,
        attention: Sequence[int] = (),
        classes: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        inputs, outputs = as_count(inputs, "inputs"), as_count(outputs, "outputs")
        blocks, unshuffle = as_count(blocks, "blocks"), as_count(unshuffle, "unshuffle")
        widths = [as_count(width, "each of the widths") for width in widths]
        attention = [as_count(level, "each level with attention", least=0) for level in attention]
        classes = as_count(classes, "classes", least=0)
        #: The arguments that build it again.
        self.config = {
            "inputs": inputs,
            "outputs": outputs,
            "widths": widths,
            "blocks": blocks,
            "unshuffle": unshuffle,
            "attention": attention,
            "classes": classes,
            "dropout": dropout,
        }
        self.unshuffle, self.multiple = unshuffle, unshuffle * 2 ** (len(widths) - 1)
        self.embedding = Embedding(4 * widths[0], classes)
        self.first = nn.Conv2d(inputs * unshuffle**2, widths[0], 3, padding=1)

        def stage(level: int) -> nn.ModuleList:
            attends = level in attention
            made = (Block(widths[level], 4 * widths[0], dropout, attends) for _ in range(blocks))
            return nn.ModuleList(made)

        self.down = nn.ModuleList(stage(level) for level in range(len(widths)))
        self.up = nn.ModuleList(stage(level) for level in range(len(widths) - 1))
        pairs = list(itertools.pairwise(widths))
        self.downsample = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in pairs)
        self.upsample = nn.ModuleList(nn.ConvTranspose2d(coarse, fine, 2, stride=2) for fine, coarse in pairs)
        self.last = zeroed(nn.Conv2d(widths[0], outputs * unshuffle**2, 3, padding=1))

    def forward(self, x: Tensor, noise: Tensor, label: Tensor | None = None) -> Tensor:
        """Images ``(N, inputs, H, W)``, noise levels ``(N,)`` and classes ``(N,)``, -1 where unknown."""
        height, width = x.shape[-2:]
        x = F.pad(x, (0, -width % self.multiple, 0, -height % self.multiple), mode="replicate")
        e = self.embedding(noise, label)
        x = self.first(F.pixel_unshuffle(x, self.unshuffle).contiguous(memory_format=torch.channels_last))
        kept = []
        for level, stage in enumerate(self.down):
            for block in cast(nn.ModuleList, stage):
                x = block(x, e)
            if level < len(self.downsample):
                kept.append(x)
                x = self.downsample[level](x)
        for level in reversed(range(len(self.upsample))):
            x = self.upsample[level](x) + kept[level]
            for block in cast(nn.ModuleList, self.up[level]):
                x = block(x, e)
        x = F.pixel_shuffle(self.last(F.silu(normalized(x))), self.unshuffle)
        return x[..., :height, :width]


class Block(nn.Module):
    """Two convolutions with a scale and a shift by the embedding between them, added to the input."""

    def __init__(self, width: int, embedding: int, dropout: float, attends: bool) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = zeroed(nn.Conv2d(width, width, 3, padding=1))
        self.modulation = nn.Linear(embedding, 2 * width)
        self.dropout = nn.Dropout(dropout)
        self.attention = Attention(width) if attends else None

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        scale, shift = self.modulation(e)[..., None, None].chunk(2, dim=1)
        h = self.first(F.silu(normalized(x)))
        h = self.second(self.dropout(F.silu(h * (1 + scale) + shift)))
        return x + h if self.attention is None else self.attention(x + h)


class Attention(nn.Module):
    """Self-attention between the pixels, Vaswani et al. (2017), eq. 1, with heads of 32 channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = max(1, width // 32)
        self.project = nn.Conv2d(width, 3 * width, 1)
        self.merge = zeroed(nn.Conv2d(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        n, width, *size = x.shape
        parts = self.project(normalized(x)).reshape(n, 3, self.heads, width // self.heads, -1)
        q, k, v = parts.transpose(-1, -2).unbind(1)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(-1, -2)
        return x + self.merge(mixed.reshape(n, width, *size))


class Embedding(nn.Module):
    """Features of the noise level, Vaswani et al. (2017), sec. 3.5, and of the class."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.noise = nn.Linear(32, width)
        self.label = nn.Linear(classes, width, bias=False) if classes else None
        self.mix = nn.Linear(width, width)

    def forward(self, noise: Tensor, label: Tensor | None) -> Tensor:
        rates = torch.exp(torch.linspace(0, math.log(64), 16, device=noise.device)).to(noise)
        phases = noise[:, None] * rates
        e = self.noise(torch.cat([phases.cos(), phases.sin()], dim=1))
        if self.label is not None and label is not None:
            one = F.one_hot(label.clamp(min=0), self.classes) * (label >= 0)[:, None]
            # of variance one, as in Karras et al. (2022): classes are learned as fast as noise levels
            e = e + self.label(math.sqrt(self.classes) * one.to(noise))
        return F.silu(self.mix(F.silu(e)))


def normalized(x: Tensor) -> Tensor:
    """Mean zero and variance one over the channels of each pixel."""
    return F.layer_norm(x.permute(0, 2, 3, 1), x.shape[1:2]).permute(0, 3, 1, 2)


def zeroed(layer: nn.Module) -> nn.Module:
    """A layer whose parameters are zero, so that a residual block is the identity at first."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
