"""``invgen sample``: images drawn from a prior."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from invgen.cli.console import err, show
from invgen.cli.options import reader, typed
from invgen.pipeline.evaluation import Evaluating
from invgen.pipeline.quantities import Sizes

__all__ = ["sample"]


class Sampling(StrEnum):
    """Ways from noise to images."""

    heun = "heun"
    ancestral = "ancestral"
    predictor_corrector = "predictor-corrector"


def _size(text: str) -> tuple[int, ...]:
    size = reader(Sizes())(text)
    if len(size) != 2:
        raise typer.BadParameter(f"{text!r} is no HxW, such as 128x128.")
    return size


@typed(Evaluating)
def sample(
    evaluating: Evaluating,
    prior: Annotated[
        str,
        typer.Argument(metavar="NAME|FILE", help="A prior that comes with the package, or a file of one."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="PNG file to write.")],
    count: Annotated[int, typer.Option("-n", "--count", min=1, metavar="N", help="Number of images.")] = 16,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Sample i follows from seed + i.")] = 0,
    steps: Annotated[
        int | None, typer.Option(min=2, metavar="N", help="Noise levels, by default 32.")
    ] = None,
    label: Annotated[
        int | None, typer.Option("--class", min=0, metavar="K", help="Images of one class alone.")
    ] = None,
    size: Annotated[
        Any, typer.Option(metavar="HxW", parser=_size, help="Of the images, for a prior of any size.")
    ] = None,
    method: Annotated[Sampling | None, typer.Option(help="By default heun, Karras et al. (2022).")] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            metavar="NUMBER",
            help="Of a prior that has one: below 1 a flow draws more probable images; an energy model starts "
            "from it.",
        ),
    ] = None,
) -> None:
    """Draw images from a prior, as a picture of all of them; of complex ones the magnitude."""
    from invgen.pipeline.sampling import draw_samples

    columns = (TextColumn("sampling"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, disable=not err.is_terminal, transient=True) as bar:
        task = bar.add_task("sampling", total=count)
        draw_samples(
            prior,
            output,
            count,
            seed,
            label=label,
            size=size,
            steps=steps,
            method=None if method is None else method.value,
            temperature=temperature,
            evaluating=evaluating,
            advance=lambda drawn: bar.update(task, advance=drawn),
        )
    show(f"Wrote {output}.")
