"""The commands under one name. What they need is imported when they run, so that help comes at once."""

from __future__ import annotations

import signal
from typing import Annotated

import typer

from invgen.cli.bench import bench
from invgen.cli.calibrate import calibrate
from invgen.cli.certify import certify
from invgen.cli.check import check
from invgen.cli.compress import compress, decompress
from invgen.cli.console import Command, Group, out
from invgen.cli.demo import demo
from invgen.cli.doctor import doctor
from invgen.cli.info import info
from invgen.cli.options import limited
from invgen.cli.recon import Recon, recon
from invgen.cli.sample import sample
from invgen.cli.simulate import simulate
from invgen.cli.train import train
from invgen.cli.view import view

__all__ = ["app", "run"]

app = typer.Typer(
    name="invgen",
    cls=Group,
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        from invgen import __version__

        out.print(f"invgen {__version__}", highlight=False)
        raise typer.Exit


@app.callback(
    epilog="Try it: `invgen demo` makes a scan, reconstructs it and shows the picture. "
    "`invgen COMMAND --help` has more on each command."
)
def main(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the whole traceback of an error; may follow any command.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Reconstruct images from incomplete, noisy measurements."""


for command, example in (
    (info, "invgen info scan.h5"),
    (recon, "invgen recon scan.h5 -o image.h5 --solver tv --slices 100:200"),
    (view, "invgen view image.h5 -o picture.png --slices 0:4"),
    (sample, "invgen sample digits -o digits.png -n 20 --class 3"),
    (compress, "invgen compress digits.npy -o digits.ivg --prior digits-autoregressive"),
    (decompress, "invgen decompress digits.ivg -o digits.npy"),
    (check, "invgen check images.h5 --prior digits -o p-values.csv --picture worst.png"),
    (calibrate, "invgen calibrate known-*.h5 -o intervals.json --solver tv --level 0.9"),
    (certify, "invgen certify dds diffpir --problem mixture-8-1 -o report.html"),
    (bench, "invgen bench ct-sparse --quick -o results"),
    (demo, "invgen demo --output-dir demo"),
    (doctor, "invgen doctor"),
):
    kind = Recon if command is recon else Command
    app.command(
        cls=kind, no_args_is_help=command not in (certify, demo, doctor), epilog=f"Example: `{example}`"
    )(
        command if command is bench else limited(command)  # its own bound is for each cell
    )
app.add_typer(simulate)
app.add_typer(train)


def run() -> None:
    """Entry point of the installed command."""
    # a batch system's SIGTERM then cleans up as Ctrl-C does
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app()
