"""The files of learned priors: safetensors, with a header that says what the tensors are."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from importlib.resources import as_file, files
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from invgen.core.errors import FileError, ParameterError
from invgen.core.files import atomic_path, check_regular
from invgen.core.text import brief, parse_json, quoted

__all__ = ["about", "is_ours", "located", "read", "shipped", "write"]

#: Name of our header among the file's metadata.
_KEY = "invgen"

#: Entries of the header that are the file's own.
_RESERVED = ("format", "family")


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
        Name of the kind of prior, `invgen.priors.Learned.family`.
    tensors : mapping of str to tensor
    header : mapping that JSON can hold
        What else the family needs, and what a reader should know: "data", "quality" and the like.
    dtype : torch.dtype, optional
        Precision in the file, such as torch.float16; that of the tensors by default.

    Raises
    ------
    ParameterError
        For entries of the header that are not JSON's, or have the names "format" and "family".
    """
    if taken := set(_RESERVED) & set(header):
        raise ParameterError(f"The header has {sorted(taken)} of its own: choose other names.")
    try:
        text = json.dumps({"format": 1, "family": family, **header}, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"The header of {path} holds what JSON cannot: {error}") from None
    kept = {
        name: value.detach().cpu().to(dtype if value.is_floating_point() and dtype else value.dtype)
        for name, value in tensors.items()
    }
    with atomic_path(Path(path)) as beside:
        try:
            save_file({name: value.contiguous() for name, value in kept.items()}, beside, {_KEY: text})
        except SafetensorError as error:
            raise OSError(str(error).rpartition("I/O error: ")[2]) from error


def read(path: str | PathLike[str]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Header and tensors of a file that `write` made.

    Raises
    ------
    FileError
        For any other file. Pickles, whatever their suffix, are not opened at all.
    """
    path = Path(path)
    check_regular(path)
    try:
        with safe_open(path, "pt") as file:
            header = parse_json((file.metadata() or {}).get(_KEY, "null"), f"the header of {path}")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise FileError(
            f"{path} is no safetensors file: {brief(error)}. Pickles (.pt, .pth, .pkl, .ckpt) can run any "
            "program when they are opened, and are refused: where you trust one, convert it by "
            "safetensors.torch.save_file of its state_dict(), on a machine where it opens."
        ) from None
    if not isinstance(header, dict) or not isinstance(header.get("family"), str):
        raise FileError(
            f"{path} does not say which prior it holds; the method save of a prior writes such files."
        )
    if header.get("format") != 1:
        raise FileError(
            f"{path} has the format {quoted(header.get('format'))}; this version reads 1. Update invgen."
        )
    return header, tensors


def about(name_or_path: str | PathLike[str]) -> dict[str, Any]:
    """The header of a prior's file: family, format of the images, data, measured quality."""
    with located(name_or_path) as path:
        return read(path)[0]


def shipped() -> list[str]:
    """Names of the priors that come with the package."""
    folder = files("invgen") / "weights"
    if not folder.is_dir():
        return []
    names = (entry.name for entry in folder.iterdir())
    return sorted(name.removesuffix(".safetensors") for name in names if name.endswith(".safetensors"))


def located(name_or_path: str | PathLike[str]) -> AbstractContextManager[Path]:
    """A context with the path of a file, or of a prior that comes with the package."""
    name = str(name_or_path)
    if name in shipped():
        return as_file(files("invgen") / "weights" / f"{name}.safetensors")
    if not Path(name_or_path).exists():
        raise FileError(f"{name} is neither a file nor a prior that comes with the package: {shipped()}.")
    return as_file(Path(name_or_path))


def is_ours(path: Path) -> bool:
    """Whether `read` is for this file: this package wrote it, or it is of no format that is known."""
    if path.is_dir():
        return False
    check_regular(path)
    try:
        with safe_open(path, "pt") as file:
            return _KEY in (file.metadata() or {})
    except (SafetensorError, OSError):
        return not zipfile.is_zipfile(path)
