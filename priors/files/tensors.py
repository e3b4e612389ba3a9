"""Tensors of files of any origin, without running what is in them."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from invgen.core.errors import FileError
from invgen.core.text import brief

__all__ = ["tensors_of"]

_CONVERT = (
    "Where you trust it, convert it on a machine where it opens, by safetensors.torch.save_file of its "
    "state_dict()."
)


def tensors_of(path: Path) -> dict[str, Tensor]:
    """Tensors by name, of a safetensors file or of one that `torch.save` wrote.

    The second is a pickle in an archive; only PyTorch's reader of tensors opens it, which runs nothing. Other
    pickles, such as those of EDM, which contain programs, are not opened at all.

    Raises
    ------
    FileError
    """
    if not zipfile.is_zipfile(path):
        try:
            return load_file(path)
        except (SafetensorError, OSError, ValueError) as error:
            raise FileError(f"{path} is no safetensors file: {brief(error)}. {_CONVERT}") from None
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 6):
        raise FileError(
            f"{path}: files other than safetensors are read safely by torch 2.6 or later. {_CONVERT}"
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # damaged archives and refused pickles come as errors of many kinds
        reason = brief(str(error).split(".")[0])
        raise FileError(f"{path} holds more than tensors, and is not opened: {reason}. {_CONVERT}") from None
    return _flat(content, path)


def _flat(content: Any, path: Path) -> dict[str, Tensor]:
    """The state of one network; of a training state the running mean of the weights, if it has one."""
    if isinstance(content, Mapping) and "model" in content and "ema" in content:
        return _averaged(dict(content["model"]), content["ema"], path)
    for name in ("state_dict", "model", "ema", "net"):
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    if not (
        isinstance(content, Mapping)
        and content
        and all(isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items())
    ):
        raise FileError(f"{path} holds no state of one network: expected is a mapping of names to tensors.")
    return dict(content)


def _averaged(model: dict[str, Tensor], ema: Any, path: Path) -> dict[str, Tensor]:
    """score_sde: the means are a list, in the order of the parameters that were learned."""
    means = ema.get("shadow_params") if isinstance(ema, Mapping) else None
    fixed = ("sigmas", "all_modules.0.W")  # noise levels, and the rates of Fourier features
    learned = [name for name in model if not name.endswith(fixed)]
    if not isinstance(means, list) or len(means) != len(learned):
        raise FileError(f"{path} holds running means that do not fit its {len(learned)} parameters.")
    for name, mean in zip(learned, means, strict=True):
        if mean.shape != model[name].shape:
            raise FileError(
                f"{path} holds a running mean {tuple(mean.shape)} of {name}, which is of another."
            )
        model[name] = mean
    return model
