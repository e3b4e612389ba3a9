"""``invgen sample``: images drawn from a prior."""

from __future__ import annotations

import inspect
import math
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from invgen.cli.console import err, out
from invgen.core.errors import CapabilityError, ParameterError
from invgen.pipeline.outputs import refuse_to_overwrite, require_room
from invgen.pipeline.training import window

if TYPE_CHECKING:
    import torch

#: Samples are drawn in about so many parts, and of no more pixels at once.
_PARTS, _PIXELS = 8, 2**20


class Sampling(StrEnum):
    """Ways from noise to images."""

    heun = "heun"
    ancestral = "ancestral"
    predictor_corrector = "predictor-corrector"


def sample(
    prior: Annotated[
        str,
        typer.Argument(metavar="NAME|FILE", help="A prior that comes with the package, or a file of one."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="PNG file to write.")],
    count: Annotated[int, typer.Option("-n", "--count", min=1, metavar="N", help="How many images.")] = 16,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Sample i follows from seed + i.")] = 0,
    steps: Annotated[
        int | None, typer.Option(min=2, metavar="N", help="Noise levels, by default 32.")
    ] = None,
    label: Annotated[
        int | None, typer.Option("--class", min=0, metavar="K", help="Images of one class alone.")
    ] = None,
    size: Annotated[
        str | None, typer.Option(metavar="HxW", help="Of the images, for a prior of any size.")
    ] = None,
    method: Annotated[Sampling | None, typer.Option(help="By default heun, Karras et al. (2022).")] = None,
) -> None:
    """Draw images from a prior, as a picture of all of them; of complex ones the magnitude."""
    from invgen import priors
    from invgen.figures import save_grid

    refuse_to_overwrite(output, Path(prior))
    loaded = priors.load(prior)
    if not isinstance(loaded, priors.Sampler):
        raise CapabilityError(f"{prior} is a {type(loaded).__name__}, which draws no images.")
    if label is not None:
        if not getattr(loaded, "classes", 0):
            raise ParameterError(f"{prior} tells no classes apart: leave out --class.")
        loaded = loaded.of_class(label)  # type: ignore[attr-defined]
    given = {
        "steps": steps,
        "method": method and str(method),
        "image_shape": _image_shape(loaded, prior, size),
    }
    given = {name: value for name, value in given.items() if value is not None}
    known = inspect.signature(loaded.sample).parameters
    for name in given:
        if name not in known:
            option = "size" if name == "image_shape" else name
            raise ParameterError(f"{prior} is a {type(loaded).__name__}: leave out --{option}.")
    require_room(output, 0)
    images = _drawn(loaded, count, seed, given)
    save_grid(images, output, window=window(loaded))
    out.print(f"Wrote {output}.", highlight=False, soft_wrap=True)


def _image_shape(prior: Any, name: str, size: str | None) -> tuple[int, ...] | None:
    """Shape to ask for, where it is not the prior's own."""
    own = getattr(prior, "image_shape", None)
    if size is None:
        if own is None and hasattr(prior, "image_shape"):
            raise ParameterError(f"{name} is of images of any size: give --size, such as 128x128.")
        return None
    try:
        height, width = (int(part) for part in size.lower().split("x"))
    except ValueError:
        height = width = 0
    if min(height, width) < 1:
        raise typer.BadParameter(f"{size!r} is not HxW, such as 128x128.", param_hint="--size")
    if own is not None and own[-2:] != (height, width):
        raise ParameterError(f"{name} is of images of {own[-2]}x{own[-1]} pixels: leave out --size.")
    channels = getattr(prior, "channels", None)
    return (height, width) if channels is None else (channels, height, width)


def _drawn(prior: Any, count: int, seed: int, given: dict[str, Any]) -> torch.Tensor:
    """Samples in a few parts, which give what all at once would."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if "device" in inspect.signature(prior.sample).parameters:
        given = given | {"device": device}
    shape = given.get("image_shape") or getattr(prior, "image_shape", None)
    part = max(1, min(math.ceil(count / _PARTS), _PIXELS // math.prod(shape or (1,))))
    columns = (TextColumn("sampling"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    drawn = []
    with Progress(*columns, console=err, disable=not err.is_terminal, transient=True) as bar:
        task = bar.add_task("sampling", total=count)
        for first in range(0, count, part):
            drawn.append(prior.sample(min(part, count - first), seed + first, **given).cpu())
            bar.update(task, advance=part)
    return torch.cat(drawn)
