"""``invgen train``: priors from one's own images."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from invgen.cli.console import Command, note, show
from invgen.cli.options import limited, typed
from invgen.pipeline.learning import FAMILIES, Learning
from invgen.pipeline.training import learn

__all__ = ["add_family", "train"]

_Data = Annotated[
    Path,
    typer.Argument(
        metavar="DATA",
        help="A folder of pictures, or a NPY, NPZ, HDF5, IDX (MNIST's) or NIfTI file of images.",
    ),
]
_Output = Annotated[
    Path, typer.Option("--output", "-o", metavar="FILE", help="The prior, such as prior.safetensors.")
]
_Folder = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Of the log, pictures, and the state to go on from; by default the output's name with .run.",
    ),
]

#: What is true of all of them.
_ALL = """Ctrl-C stops, and the same command goes on from there. The run's folder has log.csv and pictures,
as the prior gets better. `accelerate launch -m invgen.cli train ...` trains on several GPUs."""


train = typer.Typer(
    name="train",
    no_args_is_help=True,
    help="Learn what images look like, or to denoise them, from your own.",
    rich_markup_mode="markdown",
)


def add_family(name: str, table: type[Learning]) -> None:
    """Add a command to `train`."""
    examples = " and ".join(f"`invgen train {name} {words}`" for words in table.examples)
    kind = "Example" if len(table.examples) == 1 else "Examples"
    add = train.command(name, cls=Command, no_args_is_help=True, epilog=f"{kind}: {examples}")
    add(limited(_command(table)))


def _command(table: type[Learning]) -> Callable[..., None]:
    @typed(table)
    def command(data: _Data, output: _Output, folder: _Folder = None, **options: Any) -> None:
        """Train, and print how well the prior does."""
        from invgen.pipeline.inputs import probe_inputs

        (learning,) = options.values()
        probe_inputs(data, learning)
        measured = learn(data, output, learning, folder, notice=note, progress=True)
        if measured is not None:
            numbers = ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in measured.items())
            show(f"Wrote {output}: {numbers}.")

    command.__doc__ = f"{inspect.getdoc(table)}\n\n{_ALL}"
    return command


for name, table in FAMILIES.items():
    add_family(name, table)
