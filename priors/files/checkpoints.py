"""Priors in files: safetensors, with a header that says what the tensors are."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from importlib.resources import as_file, files
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from invgen.core.errors import FileError, InvgenError, ParameterError
from invgen.core.files import atomic_path, check_regular

__all__ = ["about", "load", "read", "shipped", "write"]

#: Name of our header among the file's metadata.
_KEY = "invgen"


def write(
    path: str | PathLike[str],
    family: str,
    tensors: Mapping[str, Tensor],
    header: Mapping[str, Any],
    dtype: torch.dtype | None = None,
) -> None:
    """Write a prior to a file, beside and renamed, so that `path` is never half a file.

    Parameters
    ----------
    path : path, by convention with the suffix .safetensors
    family : str
        The kind of prior; see `load`.
    tensors : mapping of str to tensor
    header : mapping that JSON can hold
        What else the family needs, and what a reader should know: "data", "quality" and the like.
    dtype : torch.dtype, optional
        Precision in the file, such as torch.float16; that of the tensors by default.
    """
    kept = {
        name: value.detach().cpu().to(dtype if value.is_floating_point() and dtype else value.dtype)
        for name, value in tensors.items()
    }
    text = json.dumps({"format": 1, "family": family, **header}, allow_nan=False)
    with atomic_path(Path(path)) as beside:
        save_file({name: value.contiguous() for name, value in kept.items()}, beside, {_KEY: text})


def read(path: str | PathLike[str]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Header and tensors of a file that `write` made.

    Raises
    ------
    FileError
        For what is no such file: pickles, whatever their suffix, are not opened at all.
    """
    path = Path(path)
    check_regular(path)
    try:
        with safe_open(path, "pt") as file:
            header = json.loads((file.metadata() or {}).get(_KEY, "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise FileError(
            f"{path} is no safetensors file: {error}. Pickles (.pt, .pth, .pkl, .ckpt) can run any program "
            "when they are opened, and are refused: where you trust one, convert it by "
            "safetensors.torch.save_file of its state_dict(), on a machine where it opens."
        ) from None
    if not isinstance(header, dict) or not isinstance(header.get("family"), str):
        raise FileError(f"{path} says nothing about which prior it holds; priors.write makes such files.")
    if header.get("format") != 1:
        raise FileError(f"{path} has the format {header.get('format')}; this version reads 1. Update invgen.")
    return header, tensors


def about(name_or_path: str | PathLike[str]) -> dict[str, Any]:
    """What a file says about its prior: family, value range, data, measured quality."""
    with _located(name_or_path) as path:
        return read(path)[0]


def shipped() -> list[str]:
    """Names of the priors that come with the package."""
    folder = files("invgen") / "weights"
    if not folder.is_dir():
        return []
    names = (entry.name for entry in folder.iterdir())
    return sorted(name.removesuffix(".safetensors") for name in names if name.endswith(".safetensors"))


def load(name_or_path: str | PathLike[str], *, family: str | None = None, **settings: Any) -> Any:
    """A learned prior, by the name it is shipped under or from a file.

    Parameters
    ----------
    name_or_path : str or path
        Such as "digits", see `shipped`; a safetensors file of this package; or a diffusion model that others
        have published: a file of guided-diffusion, score_sde or EDM, a folder of diffusers, or the name
        "owner/model" of one on the Hugging Face hub.
    family : {"guided-diffusion", "score_sde", "edm", "diffusers"}, optional
        Whose file it is, where the names of its tensors do not say.
    **settings
        What a published file does not say of itself; see `invgen.priors.files`.

    Returns
    -------
    A prior of the family that the file names; a `Diffusion` for published models.

    Raises
    ------
    FileError
        For what is none of these, and pickles that hold more than tensors; nothing in them is ever run.
    ParameterError
        For settings that the file does not take.
    """
    from invgen.priors import files as published

    name = str(name_or_path)
    if name not in shipped() and not Path(name).exists() and published.is_hub_name(name):
        return published.load(published.downloaded(name), family or "diffusers", settings)
    with _located(name_or_path) as path:
        if not _is_ours(path):
            return published.load(path, family, settings)
        header, tensors = read(path)
        if family is not None or settings:
            given = ["family"] * (family is not None) + sorted(settings)
            raise ParameterError(f"{path} says all of itself, and takes no {', '.join(given)}.")
        reader = _families().get(header["family"])
        if reader is None:
            raise FileError(f"{path} holds a {header['family']!r}; this version reads {sorted(_families())}.")
        try:
            return reader(header, tensors)
        except InvgenError:
            raise
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise FileError(f"{path} does not fit its own header: {error}") from error


def _located(name_or_path: str | PathLike[str]) -> Any:
    """A context that gives the path of a file, or of a shipped prior."""
    name = str(name_or_path)
    if name in shipped():
        return as_file(files("invgen") / "weights" / f"{name}.safetensors")
    if not Path(name_or_path).exists():
        raise FileError(f"{name} is neither a file nor a prior that comes with the package: {shipped()}.")
    return as_file(Path(name_or_path))


def _is_ours(path: Path) -> bool:
    """Whether this package wrote a file, or nobody that is known: `read` then says what is wrong."""
    if path.is_dir():
        return False
    check_regular(path)
    try:
        with safe_open(path, "pt") as file:
            return _KEY in (file.metadata() or {})
    except (SafetensorError, OSError):
        return not zipfile.is_zipfile(path)


def _families() -> dict[str, Callable[[dict[str, Any], dict[str, Tensor]], Any]]:
    from invgen.priors.densities.patches import PatchMixture
    from invgen.priors.diffusion.model import Diffusion

    return {"diffusion": Diffusion.from_file, "patches": PatchMixture.from_file}
