"""Priors that are loaded: where they are, and whether they fit the images of a scan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from invgen.core.errors import DtypeError, ParameterError, ShapeError
from invgen.pipeline.quantities import Side

if TYPE_CHECKING:
    from invgen.operators import Space
    from invgen.pipeline.options import Kind
    from invgen.solvers.methods import Method

__all__ = ["check_prior", "located", "usable"]


def located(name: str) -> str:
    """The whole path of a file, or the name of a prior that comes with the package."""
    from invgen.priors.files.checkpoints import shipped

    return name if name in shipped() or not Path(name).exists() else str(Path(name).resolve())


def usable(field: str, method: Method) -> str:
    """Say which priors can be given to a method for images of a field, "real" or "complex"."""
    from invgen.priors.base import Denoiser, Density, Patchwise
    from invgen.priors.files.checkpoints import about, shipped
    from invgen.priors.files.loading import FAMILIES

    abilities: dict[Any, str] = {Patchwise: "restore", Denoiser: "denoise", Density: "log_prob"}
    ability = "decode" if method.latent else abilities[method.prior]
    able = [name for name in shipped() if hasattr(FAMILIES[about(name)["family"]], ability)]
    if ability == "log_prob":  # that of diffusion models has no derivative
        able = [name for name in able if not hasattr(FAMILIES[about(name)["family"]], "denoise")]
    if method.prior is Patchwise:
        return f"It is a mixture of patches; with the package come {', '.join(able)}."
    fitting = [name for name in able if about(name).get("field") == field]
    listed = f"With the package come, of {field} images, {', '.join(fitting)}" if fitting else ""
    train = f"invgen train makes others{' of complex images' if field == 'complex' else ''}"
    return f"{listed}; {train}." if listed else f"None of {field} images comes with the package; {train}."


def check_prior(
    prior: Any, name: str, space: Space, kind: Kind, method: Method, channels: int | None = None
) -> None:
    """Refuse a prior of images that are not those of a scan; on a volume it is one of each slice.

    Parameters
    ----------
    prior : prior
    name : str
        For messages.
    space : Space
        Of the image.
    kind : "CT", "MRI" or "images"
    method : Method
        That takes it.
    channels : int, optional
        Number of channels, along the first axis of an image; None where there is none.

    Raises
    ------
    DtypeError, ShapeError, ParameterError
    """
    from invgen.priors.image_format import format_of

    images = format_of(prior)
    field, shape = images.field or space.field, images.shape
    if field != space.field:
        needed = "complex" if space.field == "complex" else "real"
        those = "these" if kind == "images" else f"those of {kind}"
        raise DtypeError(
            f"--prior {name} is of {field} images, and {those} are {needed}. {usable(needed, method)}"
        )
    if kind != "images" and images.channels is not None:
        raise ShapeError(
            f"--prior {name} is of images with {images.channels} channels; those of a scan have one."
        )
    if images.channels != channels and images.axes:
        own, these = map(_in_colors, (images.channels, channels))
        shipped = {None: ": denoiser-gray is of such", 3: ": denoiser-color is of such"}.get(channels, "")
        raise ShapeError(f"--prior {name} is of {own} images; this is a {these} image{shipped}.")
    height, width = space.shape[-2:]
    if shape is not None and shape[-2:] != (height, width):
        remedy = "take one of such images" if method.latent else "take one of images of any size"
        if kind == "CT":
            side = Side().write(Side().check(shape[-2:], "image_shape"))
            remedy = f"choose --size {side}, and --bin to keep the object inside, or {remedy}"
        raise ShapeError(
            f"--prior {name} is of images of {shape[-2]} x {shape[-1]} pixels; these have {height} x "
            f"{width}: {remedy}."
        )
    low, high = images.value_range or (0.0, 1.0)
    if kind == "images" and low != 0:
        raise ParameterError(
            f"--prior {name} is of images from {low:g} to {high:g}; black is 0 in these: take one of such."
        )


def _in_colors(channels: int | None) -> str:
    return {None: "gray", 3: "color"}.get(channels, f"{channels}-channel")
