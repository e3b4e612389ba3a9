"""The U-Net of guided diffusion, with its names of parameters."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invgen.core.errors import ParameterError
from invgen.priors.nets.layers import check_multiple, sines

__all__ = ["GuidedUNet"]


class GuidedUNet(nn.Module):
    """The network of Dhariwal and Nichol (2021), app. B; before that of Nichol and Dhariwal (2021).

    Parameters have the names of the published files: `time_embed`, `label_emb`, `input_blocks`,
    `middle_block`, `output_blocks` and `out`.

    Parameters
    ----------
    inputs, outputs : int
        Channels of input and output: twice the number, where variances were learned.
    width : int
        Size of the embedding of the time.
    widths : sequence of int
        Channels at each resolution, the finest first.
    blocks : int
        Residual blocks at each resolution of the encoder; the decoder has one more.
    attention : collection of int
        Resolutions with self-attention, counted from zero, beside the middle of the network.
    classes : int
        Number of classes of images; zero without labels.
    heads : int
        Heads of each attention; follows from `head_channels`, the channels of each head, where that is given.
    head_channels : int, optional
    queries_first : bool
        Order of the channels of an attention: all queries, keys and values (the "new order"), or those of
        each head together.
    scale_shift : bool
        Whether the embedding of noise level and class scales the normalized channels, too, or is added only.
    residual_resampling : bool
        Whether residual blocks change the resolution, or convolutions do.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        width: int,
        widths: Sequence[int],
        blocks: int,
        *,
        attention: Sequence[int] = (),
        classes: int = 0,
        heads: int = 1,
        head_channels: int | None = None,
        queries_first: bool = False,
        scale_shift: bool = True,
        residual_resampling: bool = True,
    ) -> None:
        super().__init__()
        self.width, self.classes, self.multiple = width, classes, 2 ** (len(widths) - 1)
        e = 4 * width
        self.time_embed = nn.Sequential(nn.Linear(width, e), nn.SiLU(), nn.Linear(e, e))
        if classes:
            self.label_emb = nn.Embedding(classes, e)

        def residual(inputs: int, outputs: int, resample: str | None = None) -> Residual:
            return Residual(inputs, outputs, e, scale_shift, resample)

        def attends(channels: int) -> Attention:
            count = heads if head_channels is None else channels // head_channels
            return Attention(channels, count, queries_first)

        def resampling(channels: int, way: str) -> nn.Module:
            if residual_resampling:
                return residual(channels, channels, way)
            return Downsample(channels) if way == "down" else Upsample(channels)

        channels = widths[0]
        self.input_blocks = nn.ModuleList([nn.Sequential(nn.Conv2d(inputs, channels, 3, padding=1))])
        kept = [channels]
        for level, wanted in enumerate(widths):
            for _ in range(blocks):
                parts: list[nn.Module] = [residual(channels, wanted)]
                channels = wanted
                if level in attention:
                    parts.append(attends(channels))
                self.input_blocks.append(nn.Sequential(*parts))
                kept.append(channels)
            if level < len(widths) - 1:
                self.input_blocks.append(nn.Sequential(resampling(channels, "down")))
                kept.append(channels)
        self.middle_block = nn.Sequential(
            residual(channels, channels), attends(channels), residual(channels, channels)
        )
        self.output_blocks = nn.ModuleList()
        for level, wanted in reversed(list(enumerate(widths))):
            for block in range(blocks + 1):
                parts = [residual(channels + kept.pop(), wanted)]
                channels = wanted
                if level in attention:
                    parts.append(attends(channels))
                if level and block == blocks:
                    parts.append(resampling(channels, "up"))
                self.output_blocks.append(nn.Sequential(*parts))
        self.out = nn.Sequential(
            nn.GroupNorm(32, channels), nn.SiLU(), nn.Conv2d(channels, outputs, 3, padding=1)
        )

    def forward(self, x: Tensor, time: Tensor, label: Tensor | None = None) -> Tensor:
        """Images ``(N, inputs, H, W)``, times ``(N,)``, and classes ``(N,)`` where it has some."""
        check_multiple(x, self.multiple)
        sine, cosine = sines(time, self.width)
        e = self.time_embed(torch.cat([cosine, sine], dim=1))
        if self.classes:
            if label is None or bool((label < 0).any()):
                raise ParameterError(
                    f"The network was trained with {self.classes} classes, never without one: take "
                    "prior.of_class(k)."
                )
            e = e + self.label_emb(label)
        kept = []
        for block in self.input_blocks:
            x = through(block, x, e)
            kept.append(x)
        x = through(self.middle_block, x, e)
        for block in self.output_blocks:
            x = through(block, torch.cat([x, kept.pop()], dim=1), e)
        found: Tensor = self.out(x)
        return found


class Residual(nn.Module):
    """Two convolutions with the embedding between them; may halve or double the resolution."""

    def __init__(self, inputs: int, outputs: int, e: int, scale_shift: bool, resample: str | None) -> None:
        super().__init__()
        self.scale_shift, self.resample = scale_shift, resample
        self.in_layers = nn.Sequential(
            nn.GroupNorm(32, inputs), nn.SiLU(), nn.Conv2d(inputs, outputs, 3, padding=1)
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(e, 2 * outputs if scale_shift else outputs))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(32, outputs), nn.SiLU(), nn.Identity(), nn.Conv2d(outputs, outputs, 3, padding=1)
        )
        self.skip_connection = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        norm, activation, convolution = self.in_layers
        h = activation(norm(x))
        if self.resample == "down":
            h, x = F.avg_pool2d(h, 2), F.avg_pool2d(x, 2)
        elif self.resample == "up":
            h, x = F.interpolate(h, scale_factor=2.0), F.interpolate(x, scale_factor=2.0)
        h = convolution(h)
        embedded = self.emb_layers(e)[..., None, None]
        norm, *rest = self.out_layers
        if self.scale_shift:
            scale, shift = embedded.chunk(2, dim=1)
            h = norm(h) * (1 + scale) + shift
        else:
            h = norm(h + embedded)
        for layer in rest:
            h = layer(h)
        skipped: Tensor = self.skip_connection(x)
        return skipped + h


class Attention(nn.Module):
    """Self-attention between the pixels, Vaswani et al. (2017), eq. 1."""

    def __init__(self, channels: int, heads: int, queries_first: bool) -> None:
        super().__init__()
        if heads < 1 or channels % heads:
            raise ParameterError(
                f"Attention over {channels} channels cannot have {heads} heads: give heads, or head_channels."
            )
        self.heads, self.queries_first = heads, queries_first
        self.norm = nn.GroupNorm(32, channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        n, channels, *size = x.shape
        flat = x.reshape(n, channels, -1)
        parts = self.qkv(self.norm(flat))
        if self.queries_first:
            parts = parts.reshape(n, 3, self.heads, channels // self.heads, -1).transpose(1, 2)
        else:
            parts = parts.reshape(n, self.heads, 3, channels // self.heads, -1)
        q, k, v = parts.transpose(-1, -2).unbind(2)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(-1, -2).reshape(n, channels, -1)
        return (flat + self.proj_out(mixed)).reshape(n, channels, *size)


class Downsample(nn.Module):
    """Half the resolution by a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.op(x)
        return found


class Upsample(nn.Module):
    """Twice the resolution, each pixel repeated, then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.conv(F.interpolate(x, scale_factor=2.0))
        return found


def through(block: nn.Module, x: Tensor, e: Tensor) -> Tensor:
    """Apply a block to images; its residual parts take the embedding, too."""
    for part in block.children():
        x = part(x, e) if isinstance(part, Residual) else part(x)
    return x
