"""The U-Net of guided diffusion in the form of EDM, with its names of parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invgen.priors.nets.layers import check_multiple, sines
from invgen.priors.nets.songunet import Block, norm, one_hot, way_up

__all__ = ["DhariwalUNet"]


class DhariwalUNet(nn.Module):
    """The network of Dhariwal and Nichol (2021) in the form of Karras et al. (2022), table 7 ("ADM").

    Parameters have the names of the published files. Attention has heads of 64 channels.

    Parameters
    ----------
    resolution, channels, width, multipliers, blocks, attention, classes, augmented
        See `invgen.priors.nets.songunet.SongUNet`; the decoder has attention in each block.
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
    ) -> None:
        super().__init__()
        self.config = {
            "resolution": resolution,
            "channels": channels,
            "width": width,
            "multipliers": list(multipliers),
            "blocks": blocks,
            "attention": list(attention),
            "classes": classes,
            "augmented": augmented,
        }
        self.width, self.classes, self.multiple = width, classes, 2 ** (len(multipliers) - 1)
        e = 4 * width
        self.map_augment = nn.Linear(augmented, width, bias=False) if augmented else None
        self.map_layer0, self.map_layer1 = nn.Linear(width, e), nn.Linear(e, e)
        self.map_label = nn.Linear(classes, e, bias=False) if classes else None

        def block(inputs: int, outputs: int, **options: Any) -> Block:
            return Block(inputs, outputs, e, taps=2, heads_of=64, eps=1e-5, song=False, **options)

        self.enc = nn.ModuleDict()
        inside, kept = multipliers[0] * width, []
        for level, multiplier in enumerate(multipliers):
            name = f"{resolution >> level}x{resolution >> level}"
            if level:
                self.enc[f"{name}_down"] = block(inside, inside, resample="down")
            else:
                self.enc[f"{name}_conv"] = nn.Conv2d(channels, inside, 3, padding=1)
            kept.append(inside)
            for i in range(blocks):
                self.enc[f"{name}_block{i}"] = block(inside, multiplier * width, attends=level in attention)
                inside = multiplier * width
                kept.append(inside)
        widths = [multiplier * width for multiplier in multipliers]
        self.dec = way_up(block, resolution, widths, blocks, kept, lambda level, i: level in attention)
        inside = widths[0]
        self.out_norm = norm(inside)
        self.out_conv = nn.Conv2d(inside, channels, 3, padding=1)

    def forward(self, x: Tensor, noise: Tensor, label: Tensor | None = None) -> Tensor:
        """Images ``(N, C, H, W)``, noise levels ``(N,)`` and classes ``(N,)``, -1 where unknown."""
        check_multiple(x, self.multiple)
        sine, cosine = sines(noise, self.width)
        e = self.map_layer1(F.silu(self.map_layer0(torch.cat([cosine, sine], dim=1))))
        if self.map_label is not None:
            e = e + self.map_label(one_hot(label, e, self.classes))
        e, kept = F.silu(e), []
        for part in self.enc.values():
            x = part(x, e) if isinstance(part, Block) else part(x)
            kept.append(x)
        for name, part in self.dec.items():
            if "block" in name:
                x = torch.cat([x, kept.pop()], dim=1)
            x = part(x, e)
        found: Tensor = self.out_conv(F.silu(self.out_norm(x)))
        return found
