"""Priors of samplers: where they are, and whether they fit the images of a scan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from invgen.core.errors import DtypeError, ShapeError

if TYPE_CHECKING:
    from invgen.operators import Space

__all__ = ["check_prior", "located", "usable"]


def located(name: str) -> str:
    """The whole path of a prior that is a file, else its name."""
    from invgen.priors.files.checkpoints import shipped

    return name if name in shipped() or not Path(name).exists() else str(Path(name).resolve())


def usable(field: str) -> str:
    """Say which priors can be given for images of a field, "real" or "complex"."""
    from invgen.priors.files.checkpoints import about, shipped

    fitting = [name for name in shipped() if about(name).get("field") == field]
    listed = f"With the package come, of {field} images, {', '.join(fitting)}" if fitting else ""
    train = f"invgen train makes others{' of complex images' if field == 'complex' else ''}"
    return f"{listed}; {train}." if listed else f"None of {field} images comes with the package; {train}."


def check_prior(prior: Any, name: str, space: Space) -> None:
    """Refuse a prior of images that are not those of a scan; on a volume it is one of each slice.

    Raises
    ------
    DtypeError, ShapeError
    """
    from invgen.priors.image_format import format_of

    images = format_of(prior)
    field, channels, shape = images.field or space.field, images.channels, images.shape
    if field != space.field:
        kind, needed = ("MRI", "complex") if space.field == "complex" else ("CT", "real")
        raise DtypeError(
            f"--prior {name} is of {field} images, and those of {kind} are {needed}. {usable(needed)}"
        )
    if channels is not None:
        raise ShapeError(f"--prior {name} is of images with {channels} channels; those of a scan have one.")
    height, width = space.shape[-2:]
    if shape is not None and shape != (height, width):
        remedy = "take one of images of any size"
        if space.field == "real" and shape[0] == shape[1]:
            remedy = f"choose --size {shape[0]}, and --bin to keep the object inside, or {remedy}"
        raise ShapeError(
            f"--prior {name} is of images of {shape[0]} x {shape[1]} pixels; these have {height} x {width}: "
            f"{remedy}."
        )
