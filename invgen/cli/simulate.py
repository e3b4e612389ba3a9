"""``invgen simulate``: raw scans of a known object."""

from __future__ import annotations

import typer

from invgen.cli.console import Command
from invgen.cli.options import limited
from invgen.cli.simulate_ct import ct
from invgen.cli.simulate_mri import mri

simulate = typer.Typer(
    name="simulate",
    no_args_is_help=True,
    help="Simulate the raw scan of a known object, to try methods on.",
    rich_markup_mode="markdown",
)
simulate.command(
    cls=Command,
    no_args_is_help=True,
    epilog="Examples: `invgen simulate ct foam -o scan.h5 --views 90 --photons 2e4` and "
    "`invgen simulate ct foam -o cone.h5 --geometry cone --size 256 --views 180 --pixel-size 0.05`",
)(limited(ct))
simulate.command(
    cls=Command,
    no_args_is_help=True,
    epilog="Examples: `invgen simulate mri head -o scan.h5 --acceleration 6` and "
    "`invgen simulate mri head -o spokes.h5 --sampling radial --coils 12 --noise 0.02`",
)(limited(mri))
