"""Files of guided diffusion (openai/guided-diffusion), and of projects that build on it."""

from __future__ import annotations

import re

from torch import Tensor

from invgen.core.checks import as_count
from invgen.core.errors import FileError, ParameterError
from invgen.priors.diffusion.model import Diffusion
from invgen.priors.diffusion.parametrizations import (
    DiscreteTimes,
    NoisePrediction,
    cosine_betas,
    linear_betas,
    sigmas_of,
)
from invgen.priors.files.building import filled, prior, stripped
from invgen.priors.nets.guided import GuidedUNet

__all__ = ["read"]


def read(
    source: dict[str, Tensor],
    *,
    schedule: str | None = None,
    steps: int = 1000,
    heads: int | None = None,
    head_channels: int | None = None,
    new_attention_order: bool | None = None,
    image_shape: tuple[int, ...] | None = None,
    value_range: tuple[float, float] = (0.0, 1.0),
) -> Diffusion:
    """A U-Net that predicts the noise; where it predicts variances, too, these are ignored.

    Parameters
    ----------
    source : dict of str to tensor
    schedule : {"linear", "cosine"}
        Of the noise. By default as in that repository's files: "cosine" for the one of 64 x 64 pixels, which
        is recognized by its size, and "linear" for all others.
    steps : int
        Of the schedule in training.
    heads, head_channels : int
        Of the attention. By default as in those files: four heads for the one of 128 x 128 pixels, else 64
        channels for each.
    new_attention_order : bool
        By default as in those files: for the one of 64 x 64 pixels.
    image_shape : tuple of int, optional
        ``(H, W)``, for a prior of one size; without it the prior is one of any size.
    value_range : pair of float
        Least and largest value of the images; the network sees them as -1 to 1.
    """
    steps, tensors = as_count(steps, "steps"), stripped(source)
    width = tensors["time_embed.0.weight"].shape[1]
    first, last = tensors["input_blocks.0.0.weight"], tensors.get("out.2.weight")
    if last is None or "output_blocks.0.0.in_layers.0.weight" not in tensors:
        raise FileError("The network has no decoder: it classifies images.")
    if first.shape[1] == 6:
        raise FileError(
            "The network takes two images, as for super-resolution: it is not a prior of one image."
        )
    attention, widths, blocks, residual = _layout(tensors)
    of_64 = (widths, blocks) == ((192, 384, 576, 768), 3)
    of_128 = (widths, blocks) == ((256, 256, 512, 768, 1024), 2)
    schedule = schedule or ("cosine" if of_64 else "linear")
    if schedule not in ("linear", "cosine"):
        raise ParameterError(f"schedule is 'linear' or 'cosine'; got {schedule!r}.")
    if heads is None and head_channels is None:
        heads, head_channels = (4, None) if of_128 else (None, 64)
    scales = len(tensors["input_blocks.1.0.emb_layers.1.weight"]) == 2 * widths[0]
    classes = len(tensors["label_emb.weight"]) if "label_emb.weight" in tensors else 0
    network = GuidedUNet(
        first.shape[1],
        last.shape[0],
        width,
        widths,
        blocks,
        attention=attention,
        classes=classes,
        heads=heads or 1,
        head_channels=head_channels,
        queries_first=of_64 if new_attention_order is None else new_attention_order,
        scale_shift=scales,
        residual_resampling=residual,
    )
    # with any number of steps the noise at the ends is the same
    linear = linear_betas(steps, 0.1 / steps, 20 / steps)
    sigmas = sigmas_of(cosine_betas(steps) if schedule == "cosine" else linear)
    return prior(
        NoisePrediction(filled(network, tensors), DiscreteTimes(sigmas)),
        first.shape[1],
        # the last steps of the cosine schedule have a thousand times more noise than hides any image
        (float(sigmas[0]), min(float(sigmas[-1]), 160.0)),
        classes=classes,
        image_shape=image_shape,
        value_range=value_range,
    )


def _layout(tensors: dict[str, Tensor]) -> tuple[list[int], tuple[int, ...], int, bool]:
    """Levels with attention, channels, blocks at each level, and whether residual blocks resample."""
    found = (re.match(r"output_blocks\.(\d+)\.(\d+)\.(\w+)\.", name) for name in tensors)
    parts = {(int(match[1]), int(match[2])): match[3] for match in found if match}
    ways_up = {key: part for key, part in parts.items() if key[1] and part not in ("norm", "qkv", "proj_out")}
    count = 1 + max(block for block, _ in parts)
    blocks = min((block for block, _ in ways_up), default=count - 1)
    levels = count // (blocks + 1)
    coarse_first = [
        tensors[f"output_blocks.{level * (blocks + 1)}.0.out_layers.0.weight"].shape[0]
        for level in range(levels)
    ]
    attention = [
        levels - 1 - level
        for level in range(levels)
        if f"output_blocks.{level * (blocks + 1)}.1.qkv.weight" in tensors
    ]
    residual = not any(part == "conv" for part in ways_up.values())
    return attention, tuple(reversed(coarse_first)), blocks, residual
