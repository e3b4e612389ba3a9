"""Networks of EDM (NVlabs/edm), as safetensors.

They are published as pickles that contain programs, which are not opened. Where you trust such a file, and
have that repository on the path::

    import pickle, safetensors.torch
    with open("edm-ffhq-64x64-uncond-vp.pkl", "rb") as file:
        network = pickle.load(file)["ema"]
    safetensors.torch.save_file(network.state_dict(), "edm-ffhq-64x64-uncond-vp.safetensors")
"""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor, nn

from invgen.core.errors import FileError
from invgen.priors.diffusion.model import Diffusion
from invgen.priors.files.building import filled, prior, stripped
from invgen.priors.nets.dhariwal import DhariwalUNet
from invgen.priors.nets.edm import EDM
from invgen.priors.nets.songunet import SongUNet

__all__ = ["read"]


def read(
    source: dict[str, Tensor],
    *,
    sigma_data: float = 0.5,
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
    image_shape: tuple[int, ...] | None = None,
    value_range: tuple[float, float] = (0.0, 1.0),
    field: str = "real",
) -> Diffusion:
    """DDPM++, NCSN++ or ADM with the preconditioning of Karras et al. (2022).

    Parameters
    ----------
    source : dict of str to tensor
    sigma_data, sigma_min, sigma_max : float
        Of training and of sampling; the defaults are those of all the published models.
    image_shape : tuple of int, optional
        ``(H, W)``. By default the size in the names of the parts.
    value_range : pair of float
        Least and largest value of the images; the network sees them as -1 to 1.
    field : {"real", "complex"}
        Complex images are those of which the network sees real and imaginary parts as channels.
    """
    tensors = stripped(source)
    parts = {}
    for name in tensors:
        if match := re.match(r"(enc|dec)\.((\d+)x\d+_(\w+))\.", name):
            parts[match[1], int(match[3]), match[4]] = f"{match[1]}.{match[2]}"
    if any("aux_skip" in kind or "aux_up" in kind for _, _, kind in parts):
        raise FileError("Networks with an output at each resolution were never published by EDM.")
    sizes = sorted({size for _, size, _ in parts}, reverse=True)
    blocks = sum(way == "enc" and size == sizes[0] and "block" in kind for way, size, kind in parts)
    width = tensors["map_layer0.weight"].shape[0] // 4
    channels = tensors[f"{parts['enc', sizes[0], 'conv']}.weight"].shape[1]
    song = "out_norm.weight" not in tensors
    classes = tensors["map_label.weight"].shape[1] if "map_label.weight" in tensors else 0
    multipliers, attention = [], []
    for level, size in enumerate(sizes):
        block = parts["enc", size, "block0"]
        multipliers.append(len(tensors[f"{block}.conv1.weight"]) // width)
        if f"{block}.qkv.weight" in tensors:
            attention.append(level)
    options: dict[str, Any] = {
        "attention": attention,
        "classes": classes,
        "augmented": tensors["map_augment.weight"].shape[1] if "map_augment.weight" in tensors else 0,
    }
    network: nn.Module
    if song:
        taps = {value.shape[-1] for name, value in tensors.items() if name.endswith("resample_filter")}
        network = SongUNet(
            sizes[0],
            channels,
            width,
            multipliers,
            blocks,
            features=tensors["map_layer0.weight"].shape[1],
            fourier="map_noise.freqs" in tensors,
            residual=any(kind == "aux_residual" for _, _, kind in parts),
            taps=max(taps, default=2),
            **options,
        )
    else:
        network = DhariwalUNet(sizes[0], channels, width, multipliers, blocks, **options)
    return prior(
        EDM(filled(network, tensors), sigma_data),
        channels,
        (sigma_min, sigma_max),
        classes=classes,
        image_shape=image_shape or (sizes[0], sizes[0]),
        value_range=value_range,
        field=field,
        sigma_data=sigma_data,
    )
