"""Files of score_sde (yang-song/score_sde_pytorch): NCSN++ and DDPM++."""

from __future__ import annotations

import math
import re
from collections import defaultdict

from torch import Tensor, nn

from invgen.core.errors import FileError, ParameterError
from invgen.priors.diffusion.model import Diffusion
from invgen.priors.diffusion.parametrizations import (
    ContinuousTimes,
    DiscreteTimes,
    NoisePrediction,
    ScorePrediction,
    SigmaTimes,
    UnitInterval,
    geometric_sigmas,
    linear_betas,
    sigmas_of,
)
from invgen.priors.files.building import filled, prior, stripped
from invgen.priors.nets.ncsnpp import NCSNpp

__all__ = ["read"]

_KINDS = ("ve", "vp", "ve-discrete", "vp-discrete")


def read(
    source: dict[str, Tensor],
    *,
    sde: str | None = None,
    sigma_max: float | None = None,
    sigma_min: float | None = None,
    fir: bool | None = None,
    centered: bool | None = None,
    image_shape: tuple[int, ...] | None = None,
    value_range: tuple[float, float] = (0.0, 1.0),
) -> Diffusion:
    """NCSN++ or DDPM++, with the running mean of the weights where the file has one.

    Parameters
    ----------
    source : dict of str to tensor
    sde : {"ve", "vp", "ve-discrete", "vp-discrete"}
        How noise was added. By default "ve" for networks with Fourier features, else "vp".
    sigma_max, sigma_min : float
        Noise levels of "ve", in units of the data. By default those that the file holds.
    fir : bool
        Whether the resampling filter is (1, 3, 3, 1). By default where the encoder takes downsampled images,
        as in NCSN++; not in DDPM++.
    centered : bool
        Whether data were in [-1, 1], or in [0, 1], where sigma is half. By default true for "vp" and false
        for "ve".
    image_shape, value_range
        See `invgen.priors.files.guided_diffusion.read`.
    """
    tensors = stripped(source)
    levels = tensors.pop("sigmas", None)
    fourier = "all_modules.0.W" in tensors
    sde = sde or ("ve" if fourier else "vp")
    if sde not in _KINDS or fourier != (sde == "ve"):
        raise ParameterError(
            f"sde is one of {', '.join(_KINDS)}, and 've' for networks with Fourier features, as this "
            f"{'is one' if fourier else 'is none'}; got {sde!r}."
        )
    explodes = sde.startswith("ve")
    centered = not explodes if centered is None else centered
    if levels is None:
        levels = geometric_sigmas(50.0, 0.01, 1000)
    count = len(levels)
    highest = float(levels[0]) if sigma_max is None else sigma_max
    lowest = float(levels[-1]) if sigma_min is None else sigma_min
    if not 0 < lowest < highest < math.inf:
        raise ParameterError(f"Noise levels fall from sigma_max to sigma_min; got {highest} and {lowest}.")
    levels = geometric_sigmas(highest, lowest, count)
    inputs, width, multipliers, blocks, attention, pyramid, output_pyramid = _layout(tensors, fourier)
    network = NCSNpp(
        inputs,
        width,
        multipliers,
        blocks,
        attention=attention,
        fourier=fourier,
        smooth=pyramid != "none" if fir is None else fir,
        pyramid=pyramid,
        output_pyramid=output_pyramid,
        centered=centered,
        sigmas=levels if explodes else None,
    )
    filled(network, tensors)
    denoiser: nn.Module
    if explodes:
        time = SigmaTimes() if sde == "ve" else DiscreteTimes(levels, rounded=True)
        denoiser, sigma_range = ScorePrediction(network, time), (lowest, highest)
    elif sde == "vp":
        denoiser, sigma_range = NoisePrediction(network, ContinuousTimes()), (0.01, 150.0)
    else:
        sigmas = sigmas_of(linear_betas(1000))
        denoiser = NoisePrediction(network, DiscreteTimes(sigmas))
        sigma_range = (float(sigmas[0]), float(sigmas[-1]))
    if not centered:
        denoiser, sigma_range = UnitInterval(denoiser), (2 * sigma_range[0], 2 * sigma_range[1])
    return prior(denoiser, inputs, sigma_range, image_shape=image_shape, value_range=value_range)


def _layout(
    tensors: dict[str, Tensor], fourier: bool
) -> tuple[int, int, list[int], int, list[int], str, bool]:
    """Channels, width, multipliers, blocks, levels with attention, and the two pyramids."""
    modules: dict[int, dict[str, Tensor]] = defaultdict(dict)
    for name, value in tensors.items():
        match = re.fullmatch(r"all_modules\.(\d+)\.(.+)", name)
        if match is None:
            raise FileError(f"{name} is no parameter of NCSN++ or DDPM++.")
        modules[int(match[1])][match[2]] = value
    embedding = 3 if fourier else 2
    width, inputs = modules[embedding]["weight"].shape[:2]
    # the encoder, level by level: a change of resolution is a block of two paths that keeps its channels
    levels: list[list[str]] = [[]]
    multipliers: list[int] = []
    kinds = [_kind(modules[index]) for index in sorted(modules)[embedding + 1 :]]
    outputs = [_outputs(modules[index]) for index in sorted(modules)[embedding + 1 :]]
    for kind, channels in zip(kinds, outputs, strict=True):
        if kind == "resampling":
            levels.append([])
        elif kind in ("block", "attention"):
            if kind == "block" and not levels[-1]:
                multipliers.append(channels // width)
            levels[-1].append(kind)
    count = len(levels) // 2 + 1  # the decoder has the same number of changes
    attention = [level for level in range(count) if levels[level][1:2] == ["attention"]]
    pyramid = "residual" if "smaller" in kinds else "input_skip" if "combination" in kinds else "none"
    blocks = levels[0].count("block")
    return inputs, width, multipliers[:count], blocks, attention, pyramid, kinds.count("norm") > 1


def _kind(part: dict[str, Tensor]) -> str:
    if "Conv_1.weight" in part:
        outputs, inputs = part["Conv_0.weight"].shape[:2]
        return "resampling" if "Conv_2.weight" in part and outputs == inputs else "block"
    for name, kind in (
        ("NIN_0.W", "attention"),
        ("Conv_0.weight", "combination"),
        ("Conv2d_0.weight", "smaller"),
    ):
        if name in part:
            return kind
    return "norm" if part["weight"].ndim == 1 else "convolution"


def _outputs(part: dict[str, Tensor]) -> int:
    return len(part["Conv_0.weight"]) if "Conv_0.weight" in part else 0
