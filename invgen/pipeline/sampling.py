"""Images drawn from a prior."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from invgen import priors
from invgen.core.checks import as_count
from invgen.core.errors import CapabilityError, ParameterError
from invgen.figures import save_grid
from invgen.pipeline.evaluation import Evaluating, evaluated
from invgen.pipeline.outputs import check_output

__all__ = ["draw", "draw_samples", "window_of"]

_PLAIN = Evaluating()

#: Samples are drawn in about this number of parts, and of at most this number of pixels at once.
_PARTS, _PIXELS = 8, 2**20


def draw_samples(
    name: str,
    output: Path,
    count: int,
    seed: int,
    *,
    label: int | None = None,
    size: tuple[int, ...] | None = None,
    steps: int | None = None,
    method: str | None = None,
    temperature: float | None = None,
    evaluating: Evaluating = _PLAIN,
    advance: Callable[[int], None],
) -> None:
    """Draw images from a prior as a picture of all of them; of complex ones the magnitude.

    Parameters
    ----------
    name : str
        Of a prior that comes with the package, or a file of one.
    output : Path
        The picture.
    count : int
    seed : int
        Sample i follows from ``seed + i``.
    label : int, optional
        Images of one class alone.
    size : (int, int), optional
        Height and width, for a prior of images of any size.
    steps : int, optional
        Noise levels.
    method : str, optional
        As of `invgen.priors.Diffusion.sample`.
    temperature : float, optional
        As of the prior's own `sample`.
    evaluating : Evaluating
        How the network is evaluated.
    advance : callable(int)
        Called with the number of images that were drawn since the last call.

    Raises
    ------
    CapabilityError
        Where the prior draws no images.
    ParameterError
        For options that mean nothing to it.
    """
    count = as_count(count, "--count")
    steps = None if steps is None else as_count(steps, "--steps", least=2)
    check_output(output, name)
    prior = evaluated(name, evaluating)
    if not isinstance(prior, priors.Sampler):
        raise CapabilityError(f"{name} is a {type(prior).__name__}, which draws no images.")
    if label is not None:
        if not getattr(prior, "classes", 0):
            raise ParameterError(f"{name} has no classes: leave out --class.")
        prior = prior.of_class(label)  # type: ignore[attr-defined]
    shape = _image_shape(prior, name, size)
    given = {"steps": steps, "method": method, "temperature": temperature, "image_shape": shape}
    given = {option: value for option, value in given.items() if value is not None}
    known = inspect.signature(prior.sample).parameters
    for option in given:
        if option not in known:
            typed = "size" if option == "image_shape" else option
            raise ParameterError(f"{name} is a {type(prior).__name__}: leave out --{typed}.")
    save_grid(_drawn(prior, count, seed, given, advance), output, window=window_of(prior))


def window_of(prior: Any) -> tuple[float, float]:
    """Values of a prior's images that are shown as black and white; of complex ones, of the modulus."""
    images = prior.image_format
    low, high = images.value_range
    return (0.0 if images.field == "complex" else low), high


def _image_shape(prior: Any, name: str, size: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """Shape to ask for, where it is not the prior's own."""
    own, channels = prior.image_format.shape, prior.image_format.channels
    if size is None:
        if own is None:
            raise ParameterError(f"{name} is of images of any size: give --size, such as 128x128.")
        return None
    if own is not None and own[-2:] != size:
        raise ParameterError(f"{name} is of images of {own[-2]}x{own[-1]} pixels: leave out --size.")
    return size if channels is None else (channels, *size)


def _drawn(
    prior: Any, count: int, seed: int, given: dict[str, Any], advance: Callable[[int], None]
) -> torch.Tensor:
    """Samples in a few parts, which give what all at once would."""
    shape = given.get("image_shape") or prior.image_format.shape
    part = max(1, min(math.ceil(count / _PARTS), _PIXELS // math.prod(shape or (1,))))
    drawn = []
    for first in range(0, count, part):
        drawn.append(draw(prior, min(part, count - first), seed + first, **given))
        advance(len(drawn[-1]))
    return torch.cat(drawn)


def draw(prior: Any, count: int, seed: int, **given: Any) -> torch.Tensor:
    """Samples, drawn on the GPU where there is one and the prior can."""
    if "device" in inspect.signature(prior.sample).parameters:
        given["device"] = "cuda" if torch.cuda.is_available() else "cpu"
    return prior.sample(count, seed, **given).cpu()
