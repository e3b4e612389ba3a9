"""Published models: which layout a file has, and which settings."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from torch import Tensor

from invgen.core.errors import CapabilityError, FileError, InvgenError, ParameterError
from invgen.core.text import printable
from invgen.priors.diffusion.model import Diffusion
from invgen.priors.files import diffusers_folder, edm, guided_diffusion, score_sde
from invgen.priors.files.tensors import tensors_of

__all__ = ["downloaded", "is_hub_name", "load"]

_READERS: dict[str, Callable[..., Diffusion]] = {
    "guided-diffusion": guided_diffusion.read,
    "score_sde": score_sde.read,
    "edm": edm.read,
    "diffusers": diffusers_folder.read,
}

#: A name of a tensor that is in each layout and in no other.
_MARKS = {
    "guided-diffusion": r"input_blocks\.0\.0\.weight",
    "score_sde": r"all_modules\.\d+\..+",
    "edm": r"map_layer0\.weight",
    "diffusers": r"down_blocks\.0\..+",
}


def load(path: Path, family: str | None, settings: dict[str, Any]) -> Diffusion:
    """The prior in a published file or folder; see `invgen.priors.load`."""
    settings = {**_beside(path), **settings}
    family = settings.pop("family", None) if family is None else family
    settings.pop("family", None)
    source: Path | dict[str, Tensor]
    if path.is_dir():
        family, source = family or "diffusers", path
    else:
        source = tensors_of(path)
        family = family or _family(source, path)
    if family not in _READERS:
        raise ParameterError(f"family is one of {', '.join(_READERS)}; got {family!r}.")
    if (family == "diffusers") != path.is_dir():
        raise FileError(
            f"{path} is {'a folder' if path.is_dir() else 'a file'}: give the folder, with its config.json, "
            "of what diffusers saved, and the file of weights of other models."
        )
    reader = _READERS[family]
    known = [name for name in inspect.signature(reader).parameters if name != "source"]
    if unknown := set(settings) - set(known):
        raise ParameterError(f"{sorted(unknown)} are no settings of {family}: it has {', '.join(known)}.")
    try:
        return reader(source, **settings)
    except InvgenError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise FileError(f"{path} is no network of {family} that can be read: {error}") from error


def is_hub_name(name: str) -> bool:
    """Whether a name is one of the Hugging Face hub, "owner/model", rather than a path."""
    weights = (".safetensors", ".pt", ".pth", ".pkl", ".ckpt", ".bin")
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name) or name.endswith(weights):
        return False
    return not Path(name).parent.exists()


def downloaded(name: str) -> Path:
    """The folder of a model of the hub, fetched once and then kept where huggingface_hub keeps it."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise CapabilityError(
            f"{name} is fetched by huggingface_hub: pip install 'invgen[diffusers]'."
        ) from None
    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors"]))
    except Exception as error:  # of the network, the hub or the disk: each library has its own kinds
        reason = " ".join(str(error).split()) or type(error).__name__
        raise FileError(
            f"{name} is no file here, and cannot be fetched from the hub: {reason[:300]} Where there is no "
            "network, download its folder elsewhere and give that."
        ) from error


def _family(tensors: Iterable[str], path: Path) -> str:
    names = list(tensors)
    for family, mark in _MARKS.items():
        if any(re.fullmatch(rf"(module\.|model\.)*{mark}", name) for name in names):
            return family
    raise FileError(
        f"{path} holds tensors of no network known here ({printable(', '.join(names[:3]))}...): known are "
        f"those of {', '.join(_READERS)}."
    )


def _beside(path: Path) -> dict[str, Any]:
    """Settings in a JSON file of the same name."""
    beside = path.with_suffix(".json")
    if path.is_dir() or not beside.is_file():
        return {}
    try:
        found = json.loads(beside.read_text())
    except ValueError as error:
        raise FileError(f"{beside} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise FileError(f"{beside} should hold settings by name; it holds a {type(found).__name__}.")
    return found
