"""``invgen train``: priors from one's own images."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from invgen.cli.console import Command, err, out
from invgen.pipeline.training import WHOLE, Stopped, learn

__all__ = ["train"]

_MORE = "How to learn"


class Precision(StrEnum):
    """Of a network's products."""

    float32 = "float32"
    bf16 = "bf16"


class Phases(StrEnum):
    """Ways to draw phases."""

    constant = "constant"
    smooth = "smooth"


class Method(StrEnum):
    """Ways to learn from noisy images."""

    sure = "sure"
    noise2self = "noise2self"


def _widths(text: str) -> list[int]:
    try:
        widths = [int(part) for part in text.split(",")]
    except ValueError:
        widths = [0]
    if min(widths) < 1:
        raise typer.BadParameter(f"{text!r} is no list of numbers such as 64,128.")
    return widths


Data = Annotated[
    Path,
    typer.Argument(
        metavar="DATA",
        help="A folder of pictures, or a NPY, NPZ, HDF5, IDX (MNIST's) or NIfTI file of images.",
    ),
]
Output = Annotated[
    Path, typer.Option("--output", "-o", metavar="FILE", help="The prior, such as prior.safetensors.")
]
Dataset = Annotated[
    str | None, typer.Option(metavar="NAME", help="Array of the images, in files that hold several.")
]
Gray = Annotated[bool, typer.Option("--gray", help="Make colors gray.")]
Patch = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="N",
        help=f"Learn from patches of N x N pixels, for images of any size; 0 takes whole images. By default "
        f"images of one size up to {WHOLE} are whole, others in patches of {WHOLE}.",
    ),
]
Positions = Annotated[
    bool,
    typer.Option(
        "--positions",
        help="Give the network the place of a patch in the image: for images that are alike, such as slices "
        "of one organ.",
    ),
]
Flips = Annotated[bool, typer.Option("--flips", help="Learn from mirrored and turned images, too.")]
ManySteps = Annotated[int, typer.Option(min=1, metavar="N", help="Batches to learn from.")]
Batch = Annotated[int | None, typer.Option(min=1, metavar="N", help="Images or patches at once.")]
Widths = Annotated[
    Any,
    typer.Option(
        metavar="N,N,...",
        parser=_widths,
        help="Channels of the network at each resolution; by default 64,128, or 64,96,128 for patches.",
        rich_help_panel=_MORE,
    ),
]
Rate = Annotated[
    float, typer.Option(metavar="RATE", help="The largest learning rate.", rich_help_panel=_MORE)
]
Seed = Annotated[int, typer.Option(min=0, metavar="N", help="Of all that is random.", rich_help_panel=_MORE)]
Numbers = Annotated[
    Precision,
    typer.Option(help="bf16 is faster where the processor has it.", rich_help_panel=_MORE),
]
HoldOut = Annotated[
    float,
    typer.Option(
        min=0.0,
        max=0.5,
        metavar="SHARE",
        help="Images not to learn from; the loss on them is in the log. None of fewer than 20 images.",
        rich_help_panel=_MORE,
    ),
]
Folder = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Of the log, pictures, and the state to go on from; by default the output's name with .run.",
        rich_help_panel=_MORE,
    ),
]


def diffusion(
    data: Data,
    output: Output,
    labels: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Classes of the images: an IDX or NPY file of integers from 0."),
    ] = None,
    dataset: Dataset = None,
    gray: Gray = False,
    patch: Patch = None,
    positions: Positions = False,
    flips: Flips = False,
    phases: Annotated[
        Phases | None,
        typer.Option(
            help="Learn complex images, each with another phase every time: one number, or a smooth map. "
            "Real images are then magnitudes."
        ),
    ] = None,
    steps: ManySteps = 20_000,
    batch: Batch = None,
    widths: Widths = None,
    learning_rate: Rate = 5e-4,
    precision: Numbers = Precision.float32,
    seed: Seed = 0,
    hold_out: HoldOut = 0.05,
    folder: Folder = None,
) -> None:
    """Learn what images look like: a diffusion model, which generates, denoises and reconstructs.

    Ctrl-C stops, and the same command goes on from there. The run's folder has log.csv and samples as they
    get better. `accelerate launch -m invgen.cli train ...` trains on several GPUs.
    """
    _run(_settings(locals()), output, folder, steps, precision)


def denoiser(
    data: Data,
    output: Output,
    noise_std: Annotated[
        float,
        typer.Option(
            "--noise-std",
            metavar="STD",
            help="Of the images' noise, in their units (integers become 0 to 1); of complex images that of "
            "real and imaginary part.",
        ),
    ],
    method: Annotated[
        Method,
        typer.Option(
            help="sure, by Stein's estimate of the error, is better for Gaussian noise; noise2self takes any "
            "that is independent from pixel to pixel."
        ),
    ] = Method.sure,
    dataset: Dataset = None,
    gray: Gray = False,
    patch: Patch = None,
    positions: Positions = False,
    flips: Flips = False,
    steps: ManySteps = 10_000,
    batch: Batch = None,
    widths: Widths = None,
    learning_rate: Rate = 5e-4,
    precision: Numbers = Precision.float32,
    seed: Seed = 0,
    hold_out: HoldOut = 0.05,
    folder: Folder = None,
) -> None:
    """Learn to denoise from noisy images alone; no clean image is needed.

    The noise is white, of one level. The prior denoises at that level and all higher ones. The run's folder
    has log.csv and pictures of images before and after. Ctrl-C stops, and the same command goes on.
    """
    _run(_settings(locals()), output, folder, steps, precision)


#: What may change from one start of a run to the next.
_APART = ("output", "folder", "steps", "precision")


def _settings(given: dict[str, Any]) -> dict[str, Any]:
    """What makes a run the same run."""
    kept = {name: value for name, value in given.items() if name not in _APART}
    return {name: str(value) if isinstance(value, Path | StrEnum) else value for name, value in kept.items()}


def _run(settings: dict[str, Any], output: Path, folder: Path | None, steps: int, precision: str) -> None:
    """Train, and print how well the prior does."""

    def notice(text: object) -> None:
        err.print(text, highlight=False, soft_wrap=True)

    try:
        measured = learn(settings, output, folder, steps, str(precision), notice=notice, progress=True)
    except Stopped as stopped:
        notice(stopped)
        raise typer.Exit(130) from None
    if measured is not None:
        numbers = ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in measured.items())
        out.print(f"Wrote {output}: {numbers}.", highlight=False, soft_wrap=True)


train = typer.Typer(
    name="train",
    no_args_is_help=True,
    help="Learn what images look like, or to denoise them, from your own.",
    rich_markup_mode="markdown",
)
train.command(
    cls=Command,
    no_args_is_help=True,
    epilog="Examples: `invgen train diffusion photographs/ -o prior.safetensors --gray --flips` and "
    "`invgen train diffusion train-images-idx3-ubyte.gz --labels train-labels-idx1-ubyte.gz -o "
    "digits.safetensors`",
)(diffusion)
train.command(
    cls=Command,
    no_args_is_help=True,
    epilog="Example: `invgen train denoiser scans.npy --noise-std 0.1 -o denoiser.safetensors`",
)(denoiser)
