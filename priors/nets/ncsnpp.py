"""NCSN++ and DDPM++, with the names of parameters of score_sde."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invgen.priors.nets.layers import check_multiple, downsampled, fir, sines, upsampled

__all__ = ["NCSNpp"]


class NCSNpp(nn.Module):
    """The networks of Song et al. (2021), app. H, with the residual blocks of BigGAN.

    Parameters have the names of the published files: `all_modules` numbers the parts in the order of
    evaluation.

    Parameters
    ----------
    channels : int
        Of the images, input and output.
    width : int
        Channels to which `multipliers` refer.
    multipliers : sequence of int
        One for each resolution, the finest first.
    blocks : int
        Residual blocks at each resolution of the encoder; the decoder has one more.
    attention : collection of int
        Resolutions with self-attention, counted from zero, beside the middle of the network.
    fourier : bool
        Whether its argument is sigma, embedded by random Fourier features of the logarithm, or a time,
        embedded by sines.
    smooth : bool
        Whether the resampling filter is (1, 3, 3, 1), or resampling is by means and repetition.
    pyramid : {"none", "residual", "input_skip"}
        How the encoder takes downsampled images.
    output_pyramid : bool
        Whether the decoder returns the sum of an image at each resolution ("output_skip").
    centered : bool
        Whether input images are in [-1, 1], or in [0, 1].
    sigmas : tensor, shape (T,), optional
        Where given, the output is divided by sigma; without Fourier features the time is its index in these.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        multipliers: Sequence[int],
        blocks: int,
        *,
        attention: Sequence[int] = (),
        fourier: bool = True,
        smooth: bool = True,
        pyramid: str = "residual",
        output_pyramid: bool = False,
        centered: bool = True,
        sigmas: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.width, self.multipliers, self.blocks = width, tuple(multipliers), blocks
        self.attention, self.fourier, self.pyramid = tuple(attention), fourier, pyramid
        self.output_pyramid, self.centered = output_pyramid, centered
        self.sigmas: Tensor | None
        self.register_buffer("sigmas", sigmas, persistent=False)
        kernel, e, last = fir(1, 3, 3, 1) if smooth else fir(1, 1), 4 * width, len(multipliers) - 1

        def residual(inputs: int, outputs: int, resample: str | None = None) -> Residual:
            return Residual(inputs, outputs, e, resample, kernel)

        parts: list[nn.Module] = [Fourier(width)] if fourier else []
        parts += [nn.Linear(2 * width if fourier else width, e), nn.Linear(e, e)]
        parts.append(nn.Conv2d(channels, width, 3, padding=1))
        kept, inside, shown = [width], width, channels
        for level, multiplier in enumerate(multipliers):
            for _ in range(blocks):
                parts.append(residual(inside, multiplier * width))
                inside = multiplier * width
                if level in attention:
                    parts.append(Attention(inside))
                kept.append(inside)
            if level < last:
                parts.append(residual(inside, inside, "down"))
                if pyramid == "residual":
                    parts.append(Shrink(shown, inside, kernel))
                    shown = inside
                elif pyramid == "input_skip":
                    parts += [Resample("down", kernel), Combine(channels, inside)]
                kept.append(inside)
        parts += [residual(inside, inside), Attention(inside), residual(inside, inside)]
        for level in reversed(range(len(multipliers))):
            for _ in range(blocks + 1):
                parts.append(residual(inside + kept.pop(), multipliers[level] * width))
                inside = multipliers[level] * width
            if level in attention:
                parts.append(Attention(inside))
            if output_pyramid:
                parts += [Resample("up", kernel)] if level < last else []
                parts += [norm(inside), nn.Conv2d(inside, channels, 3, padding=1)]
            if level:
                parts.append(residual(inside, inside, "up"))
        if not output_pyramid:
            parts += [norm(inside), nn.Conv2d(inside, channels, 3, padding=1)]
        self.all_modules = nn.ModuleList(parts)

    def forward(self, x: Tensor, time: Tensor, label: Tensor | None = None) -> Tensor:
        """Images ``(N, C, H, W)`` and times ``(N,)``, or sigma; it has no classes."""
        check_multiple(x, 2 ** (len(self.multipliers) - 1))
        parts = iter(self.all_modules)
        if self.fourier:
            e = next(parts)(time.log())
        else:
            e = torch.cat(sines(time, self.width, endpoint=True), dim=1)
        e = next(parts)(e)
        e = F.silu(next(parts)(F.silu(e)))
        small = x if self.centered else 2 * x - 1
        h = next(parts)(small)
        kept = [h]
        for level in range(len(self.multipliers)):
            for _ in range(self.blocks):
                h = next(parts)(h, e)
                if level in self.attention:
                    h = next(parts)(h)
                kept.append(h)
            if level < len(self.multipliers) - 1:
                h = next(parts)(h, e)
                if self.pyramid == "residual":
                    h = small = (next(parts)(small) + h) / math.sqrt(2)
                elif self.pyramid == "input_skip":
                    small = next(parts)(small)
                    h = next(parts)(small, h)
                kept.append(h)
        before, attention, after = next(parts), next(parts), next(parts)
        h = after(attention(before(h, e)), e)
        h = self._up(parts, h, e, kept)
        if self.sigmas is None:
            return h
        sigma = time if self.fourier else self.sigmas.to(time)[time.long()]
        return h / sigma[:, None, None, None]

    def _up(self, parts: Iterator[nn.Module], h: Tensor, e: Tensor, kept: list[Tensor]) -> Tensor:
        shown = None
        for level in reversed(range(len(self.multipliers))):
            for _ in range(self.blocks + 1):
                h = next(parts)(torch.cat([h, kept.pop()], dim=1), e)
            if level in self.attention:
                h = next(parts)(h)
            if self.output_pyramid:
                larger = 0 if shown is None else next(parts)(shown)
                normalization, convolution = next(parts), next(parts)
                shown = larger + convolution(F.silu(normalization(h)))
            if level:
                h = next(parts)(h, e)
        if shown is not None:
            return shown
        normalization, convolution = next(parts), next(parts)
        found: Tensor = convolution(F.silu(normalization(h)))
        return found


class Residual(nn.Module):
    """Two convolutions with the embedding between them; may halve or double the resolution."""

    def __init__(self, inputs: int, outputs: int, e: int, resample: str | None, kernel: Tensor) -> None:
        super().__init__()
        self.GroupNorm_0 = norm(inputs)
        self.Conv_0 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.Dense_0 = nn.Linear(e, outputs)
        self.GroupNorm_1 = norm(outputs)
        self.Conv_1 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.Conv_2 = nn.Conv2d(inputs, outputs, 1) if inputs != outputs or resample else None
        self.resample = Resample(resample, kernel) if resample else nn.Identity()

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        h = self.resample(F.silu(self.GroupNorm_0(x)))
        h = self.Conv_0(h) + self.Dense_0(e)[..., None, None]
        h = self.Conv_1(F.silu(self.GroupNorm_1(h)))
        x = self.resample(x)
        x = x if self.Conv_2 is None else self.Conv_2(x)
        return (x + h) / math.sqrt(2)


class Attention(nn.Module):
    """Self-attention between the pixels, with one head."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.GroupNorm_0 = norm(channels)
        self.NIN_0, self.NIN_1, self.NIN_2, self.NIN_3 = (Mix(channels) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        h = self.GroupNorm_0(x).flatten(2).transpose(1, 2)
        mixed = F.scaled_dot_product_attention(self.NIN_0(h), self.NIN_1(h), self.NIN_2(h))
        return (x + self.NIN_3(mixed).transpose(1, 2).reshape(x.shape)) / math.sqrt(2)


class Mix(nn.Module):
    """A linear map of the channels, last here."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.zeros(channels, channels))
        self.b = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.W + self.b


class Fourier(nn.Module):
    """Sines and cosines of random rates, Tancik et al. (2020), which are fixed."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.zeros(width), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        phases = 2 * math.pi * x[:, None] * self.W
        return torch.cat([phases.sin(), phases.cos()], dim=1)


class Combine(nn.Module):
    """A smaller image added to the features of its resolution."""

    def __init__(self, channels: int, inside: int) -> None:
        super().__init__()
        self.Conv_0 = nn.Conv2d(channels, inside, 1)

    def forward(self, image: Tensor, h: Tensor) -> Tensor:
        mixed: Tensor = self.Conv_0(image)
        return mixed + h


class Resample(nn.Module):
    """Half or twice the resolution, by a fixed filter."""

    def __init__(self, way: str, kernel: Tensor) -> None:
        super().__init__()
        self.way = way
        self.register_buffer("kernel", kernel, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return (downsampled if self.way == "down" else upsampled)(x, self.get_buffer("kernel"))


class Shrink(nn.Module):
    """The filter and a convolution, which halve the resolution."""

    def __init__(self, inputs: int, outputs: int, kernel: Tensor) -> None:
        super().__init__()
        self.Conv2d_0 = nn.Conv2d(inputs, outputs, 3, stride=2)
        self.register_buffer("kernel", kernel, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.get_buffer("kernel")
        channels, padding = x.shape[1], kernel.shape[-1] // 2
        h = F.conv2d(x, kernel.expand(channels, -1, -1, -1), groups=channels, padding=padding)
        found: Tensor = self.Conv2d_0(h)
        return found


def norm(channels: int) -> nn.GroupNorm:
    """Normalization over groups of at least four channels."""
    return nn.GroupNorm(min(channels // 4, 32), channels, eps=1e-6)
