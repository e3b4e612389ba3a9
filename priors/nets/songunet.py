"""DDPM++ and NCSN++ in the form of EDM, with its names of parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invgen.priors.nets.layers import check_multiple, downsampled, sines, upsampled

__all__ = ["Block", "SongUNet", "norm", "one_hot", "way_up"]


class SongUNet(nn.Module):
    """The networks of Song et al. (2021) in the form of Karras et al. (2022), table 7.

    Parameters have the names of the published files: `enc` and `dec` name each part by its resolution.

    Parameters
    ----------
    resolution : int
        Size of the training images, which is in the names of the parts; other sizes are taken, too.
    channels : int
        Of the images, input and output.
    width : int
        Channels to which `multipliers` refer.
    multipliers : sequence of int
        One for each resolution, the finest first.
    blocks : int
        Residual blocks at each resolution of the encoder; the decoder has one more.
    attention : collection of int
        Resolutions with self-attention, counted from zero, beside the coarsest of the decoder.
    classes, augmented : int
        Number of classes, and of the parameters of augmentations in training; zero where unused.
    features : int
        Size of the embedding of the noise level.
    fourier : bool
        Whether that consists of random Fourier features (NCSN++) or of sines (DDPM++).
    residual : bool
        Whether the encoder adds downsampled images (NCSN++).
    taps : int
        Length of the resampling filters, which are in the file: 2 or 4.
    """

    def __init__(
        self,
        resolution: int,
        channels: int,
        width: int,
        multipliers: Sequence[int],
        blocks: int,
        *,
        attention: Sequence[int] = (),
        classes: int = 0,
        augmented: int = 0,
        features: int | None = None,
        fourier: bool = False,
        residual: bool = False,
        taps: int = 2,
    ) -> None:
        super().__init__()
        self.classes, self.multiple = classes, 2 ** (len(multipliers) - 1)
        e, self.features = 4 * width, width if features is None else features
        self.map_noise = Fourier(self.features) if fourier else None
        self.map_label = nn.Linear(classes, self.features) if classes else None
        self.map_augment = nn.Linear(augmented, self.features, bias=False) if augmented else None
        self.map_layer0, self.map_layer1 = nn.Linear(self.features, e), nn.Linear(e, e)

        def block(inputs: int, outputs: int, **options: Any) -> Block:
            return Block(inputs, outputs, e, taps=taps, heads_of=outputs, eps=1e-6, song=True, **options)

        self.enc = nn.ModuleDict()
        inside, shown = width, channels
        kept: list[int] = []
        for level, multiplier in enumerate(multipliers):
            name = f"{resolution >> level}x{resolution >> level}"
            if level:
                self.enc[f"{name}_down"] = block(inside, inside, resample="down")
                if residual:
                    self.enc[f"{name}_aux_residual"] = Shrink(shown, inside, taps)
                    shown = inside
            else:
                self.enc[f"{name}_conv"] = nn.Conv2d(channels, width, 3, padding=1)
            kept.append(inside)
            for i in range(blocks):
                self.enc[f"{name}_block{i}"] = block(inside, multiplier * width, attends=level in attention)
                inside = multiplier * width
                kept.append(inside)
        widths = [multiplier * width for multiplier in multipliers]
        self.dec = way_up(
            block, resolution, widths, blocks, kept, lambda level, i: i == blocks and level in attention
        )
        inside, name = widths[0], f"{resolution}x{resolution}"
        self.dec[f"{name}_aux_norm"] = norm(inside, 1e-6)
        self.dec[f"{name}_aux_conv"] = nn.Conv2d(inside, channels, 3, padding=1)

    def forward(self, x: Tensor, noise: Tensor, label: Tensor | None = None) -> Tensor:
        """Images ``(N, C, H, W)``, noise levels ``(N,)`` and classes ``(N,)``, -1 where unknown."""
        check_multiple(x, self.multiple)
        if self.map_noise is None:
            e = torch.cat(sines(noise, self.features, endpoint=True), dim=1)
        else:
            e = self.map_noise(noise)
        if self.map_label is not None:
            e = e + self.map_label(one_hot(label, e, self.classes) * math.sqrt(self.classes))
        e = F.silu(self.map_layer1(F.silu(self.map_layer0(e))))
        kept: list[Tensor] = []
        small = x
        for name, part in self.enc.items():
            if "aux_residual" in name:
                x = small = kept[-1] = (x + part(small)) / math.sqrt(2)
            else:
                x = part(x, e) if isinstance(part, Block) else part(x)
                kept.append(x)
        for name, part in self.dec.items():
            if "block" in name:
                x = torch.cat([x, kept.pop()], dim=1)
            x = part(x, e) if isinstance(part, Block) else part(x) if "norm" in name else part(F.silu(x))
        return x


def way_up(
    block: Callable[..., Block],
    resolution: int,
    widths: Sequence[int],
    blocks: int,
    kept: Sequence[int],
    attends: Callable[[int, int], bool],
) -> nn.ModuleDict:
    """The decoder, from the coarsest resolution to the finest, with the features `kept` by the encoder."""
    parts, left, inside = nn.ModuleDict(), list(kept), widths[-1]
    for level, outside in reversed(list(enumerate(widths))):
        name = f"{resolution >> level}x{resolution >> level}"
        if level == len(widths) - 1:
            parts[f"{name}_in0"] = block(inside, inside, attends=True)
            parts[f"{name}_in1"] = block(inside, inside)
        else:
            parts[f"{name}_up"] = block(inside, inside, resample="up")
        for i in range(blocks + 1):
            parts[f"{name}_block{i}"] = block(inside + left.pop(), outside, attends=attends(level, i))
            inside = outside
    return parts


class Block(nn.Module):
    """A residual block of EDM, Karras et al. (2022), fig. 8: for SongUNet (`song`) and for DhariwalUNet.

    The former scales the sum to keep its variance, and adds the embedding; the latter also multiplies by it.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        e: int,
        *,
        taps: int,
        heads_of: int,
        eps: float,
        song: bool,
        resample: str | None = None,
        attends: bool = False,
    ) -> None:
        super().__init__()
        self.song, self.heads = song, outputs // heads_of
        self.norm0 = norm(inputs, eps)
        self.conv0 = Conv(inputs, outputs, 3, resample, taps)
        self.affine = nn.Linear(e, outputs if song else 2 * outputs)
        self.norm1 = norm(outputs, eps)
        self.conv1 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = None
        if inputs != outputs or resample:
            self.skip = Conv(inputs, outputs, 1 if song or inputs != outputs else 0, resample, taps)
        self.norm2 = norm(outputs, eps) if attends else None
        if attends:
            self.qkv = nn.Conv2d(outputs, 3 * outputs, 1)
            self.proj = nn.Conv2d(outputs, outputs, 1)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        """Features ``(N, inputs, H, W)`` and the embedding ``(N, e)``."""
        h = self.conv0(F.silu(self.norm0(x)))
        embedded = self.affine(e)[..., None, None]
        if self.song:
            h = self.norm1(h + embedded)
        else:
            scale, shift = embedded.chunk(2, dim=1)
            h = self.norm1(h) * (1 + scale) + shift
        x = self._joined(x if self.skip is None else self.skip(x), self.conv1(F.silu(h)))
        if self.norm2 is None:
            return x
        n, channels, *size = x.shape
        parts = self.qkv(self.norm2(x)).reshape(n, self.heads, channels // self.heads, 3, -1)
        q, k, v = parts.permute(3, 0, 1, 4, 2)  # the three are innermost among the channels
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(-1, -2)
        return self._joined(x, self.proj(mixed.reshape(n, channels, *size)))

    def _joined(self, x: Tensor, h: Tensor) -> Tensor:
        return (x + h) * math.sqrt(0.5) if self.song else x + h


class Conv(nn.Module):
    """A convolution after a change of resolution, or (`size` zero) that change alone."""

    def __init__(self, inputs: int, outputs: int, size: int, resample: str | None, taps: int) -> None:
        super().__init__()
        self.resample = resample
        self.weight = nn.Parameter(torch.zeros(outputs, inputs, size, size)) if size else None
        self.bias = nn.Parameter(torch.zeros(outputs)) if size else None
        self.register_buffer("resample_filter", torch.zeros(1, 1, taps, taps) if resample else None)

    def forward(self, x: Tensor) -> Tensor:
        if self.resample:
            x = (downsampled if self.resample == "down" else upsampled)(x, self.get_buffer("resample_filter"))
        return x if self.weight is None else F.conv2d(x, self.weight, self.bias, padding="same")


class Shrink(nn.Module):
    """A convolution, and the filter that halves the resolution after it."""

    def __init__(self, inputs: int, outputs: int, taps: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("resample_filter", torch.zeros(1, 1, taps, taps))

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.get_buffer("resample_filter")
        channels = len(self.weight)
        h = F.conv2d(x, self.weight, padding=1 + (kernel.shape[-1] - 1) // 2)
        h = F.conv2d(h, kernel.expand(channels, -1, -1, -1), groups=channels, stride=2)
        return h + self.bias[:, None, None]


class Fourier(nn.Module):
    """Sines and cosines of random rates, Tancik et al. (2020), which are fixed."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("freqs", torch.zeros(features // 2))

    def forward(self, noise: Tensor) -> Tensor:
        phases = noise[:, None] * (2 * math.pi * self.get_buffer("freqs"))
        return torch.cat([phases.sin(), phases.cos()], dim=1)


def norm(channels: int, eps: float = 1e-5) -> nn.GroupNorm:
    """Normalization over groups of at least four channels."""
    return nn.GroupNorm(min(channels // 4, 32), channels, eps=eps)


def one_hot(label: Tensor | None, like: Tensor, classes: int) -> Tensor:
    """Rows with a one at each class; zero where it is unknown."""
    if label is None:
        return like.new_zeros(len(like), classes)
    return (label[:, None] == torch.arange(classes, device=label.device)).to(like)
