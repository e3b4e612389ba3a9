"""Folders of the library diffusers: pipelines, and ``UNet2DModel`` alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from invgen.core.errors import CapabilityError, FileError, ParameterError
from invgen.core.text import quoted
from invgen.priors.diffusion.model import Diffusion
from invgen.priors.diffusion.parametrizations import (
    DiscreteTimes,
    FlowPrediction,
    FlowTimes,
    ImagePrediction,
    NoisePrediction,
    ScorePrediction,
    SigmaTimes,
    UnitInterval,
    VelocityPrediction,
    cosine_betas,
    linear_betas,
    sigmas_of,
)
from invgen.priors.files.building import prior

__all__ = ["read"]

_PREDICTIONS = {
    "epsilon": NoisePrediction,
    "sample": ImagePrediction,
    "v_prediction": VelocityPrediction,
}


def read(
    source: Path,
    *,
    scheduler: dict[str, Any] | None = None,
    image_shape: tuple[int, ...] | None = None,
    value_range: tuple[float, float] = (0.0, 1.0),
) -> Diffusion:
    """A pipeline, or a ``UNet2DModel``; weights as safetensors.

    Parameters
    ----------
    source : Path
        A folder with ``model_index.json``, whose network is in ``unet``; or one with ``config.json``.
    scheduler : dict, optional
        Changes to the configuration of the pipeline's scheduler, such as
        ``{"prediction_type": "v_prediction"}``, with the names of diffusers. Without a pipeline these are
        changes to the defaults of that library's ``DDPMScheduler``: a linear schedule and prediction of the
        noise.
    image_shape : tuple of int, optional
        ``(H, W)``. By default that of the configuration.
    value_range : pair of float
        Least and largest value of the images; the network sees them as -1 to 1.
    """
    try:
        from diffusers import UNet2DModel
    except ImportError:
        raise CapabilityError(
            f"{source} is read by the library diffusers, which is not installed: "
            "pip install 'invgen[diffusers]'."
        ) from None
    except RuntimeError as error:  # as its lazy imports report any failure
        raise CapabilityError(f"diffusers is installed, but cannot be imported: {error}") from error
    whole = (source / "model_index.json").is_file()
    folder = source / "unet" if whole else source
    config = _config(folder / "config.json")
    if config.get("_class_name", "UNet2DModel") != "UNet2DModel":
        raise FileError(
            f"{folder} holds a {quoted(config['_class_name'])}; what can be read is a UNet2DModel."
        )
    if not list(folder.glob("*.safetensors")):
        raise FileError(
            f"{folder} has no safetensors file. Weights as pickles (.bin) are not opened: where you trust "
            "them, save them again by diffusers, save_pretrained(..., safe_serialization=True)."
        )
    try:
        network = UNet2DModel.from_pretrained(folder, use_safetensors=True, local_files_only=True)
    except Exception as error:  # that library reports damaged files by errors of many kinds
        raise FileError(f"{folder} cannot be opened by diffusers: {error}") from error
    saved = _config(source / "scheduler" / "scheduler_config.json") if whole else {}
    denoiser, sigma_range = _denoiser(Called(network), {**saved, **(scheduler or {})})
    config = dict(network.config)
    if config["center_input_sample"]:
        denoiser, sigma_range = UnitInterval(denoiser), (2 * sigma_range[0], 2 * sigma_range[1])
    size = config["sample_size"]
    if image_shape is None and size is not None:
        image_shape = (size, size) if isinstance(size, int) else tuple(size)
    return prior(
        denoiser,
        config["in_channels"],
        sigma_range,
        classes=config["num_class_embeds"] or 0,
        image_shape=image_shape,
        value_range=value_range,
    )


class Called(nn.Module):
    """The network of diffusers as ``network(x, time, label)``."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, time: Tensor, label: Tensor | None = None) -> Tensor:
        """Images ``(N, C, H, W)``, times ``(N,)`` and classes ``(N,)``."""
        if label is not None and bool((label < 0).any()):
            raise ParameterError("The network was never trained without a class: take prior.of_class(k).")
        found: Tensor = self.network(x, time, label, return_dict=False)[0]
        return found


def _denoiser(network: nn.Module, scheduler: dict[str, Any]) -> tuple[nn.Module, tuple[float, float]]:
    """The formula of a scheduler's configuration, and the lowest and highest noise level."""
    kind = scheduler.get("_class_name", "DDPMScheduler")
    if kind == "ScoreSdeVeScheduler":
        levels = (scheduler.get("sigma_min", 0.01), scheduler.get("sigma_max", 1348.0))
        return ScorePrediction(network, SigmaTimes()), levels
    steps = scheduler.get("num_train_timesteps", 1000)
    if kind.startswith("FlowMatch"):
        return FlowPrediction(network, FlowTimes(float(steps))), (0.002, 80.0)
    predicted = scheduler.get("prediction_type", "epsilon")
    if predicted not in _PREDICTIONS:
        raise ParameterError(f"prediction_type is one of {', '.join(_PREDICTIONS)}; got {predicted!r}.")
    sigmas = sigmas_of(_betas(scheduler, steps))
    levels = (float(sigmas[0]), min(float(sigmas[-1]), 160.0))
    return _PREDICTIONS[predicted](network, DiscreteTimes(sigmas)), levels


def _betas(scheduler: dict[str, Any], steps: int) -> Tensor:
    if scheduler.get("trained_betas") is not None:
        return torch.tensor(scheduler["trained_betas"], dtype=torch.float64)
    ends = scheduler.get("beta_start", 1e-4), scheduler.get("beta_end", 0.02)
    schedule = scheduler.get("beta_schedule", "linear")
    if schedule == "linear":
        return linear_betas(steps, *ends)
    if schedule == "scaled_linear":  # Rombach et al. (2022): the square roots rise evenly
        return linear_betas(steps, ends[0] ** 0.5, ends[1] ** 0.5) ** 2
    if schedule == "squaredcos_cap_v2":
        return cosine_betas(steps)
    raise ParameterError(
        f"beta_schedule is linear, scaled_linear or squaredcos_cap_v2; got {schedule!r}. Give "
        "scheduler={'trained_betas': [...]}."
    )


def _config(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise FileError(f"{path} cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise FileError(f"{path} should hold settings by name.")
    return found
