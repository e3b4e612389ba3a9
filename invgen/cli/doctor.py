"""``invgen doctor``: what is installed, what computes, and whether it does."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from invgen.cli.console import out, say, show

__all__ = ["doctor"]


def doctor(
    device: Annotated[
        str,
        typer.Option(metavar="auto|cpu|cuda", help="What to test beside the CPU: a GPU where there is one."),
    ] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Show what is installed and which kernels and threads compute, and test them in a few seconds.

    The first time kernels are compiled, which takes up to a minute. Exits with 1 where a test fails.
    """
    from invgen.pipeline.doctor import diagnose

    found = diagnose(device)
    if as_json:
        print(json.dumps(asdict(found) | {"healthy": found.healthy}, indent=2))
        raise typer.Exit(0 if found.healthy else 1)
    lines = Table.grid(padding=(0, 2))
    lines.add_column(style="bold", justify="right")
    lines.add_column(overflow="fold")
    lines.add_row("versions", ", ".join(f"{name} {version}" for name, version in found.versions.items()))
    for name, packages in found.extras.items():
        missing = [package for package, version in packages.items() if version is None]
        text = (
            f"missing: pip install 'invgen[{name}]'"
            if missing
            else ", ".join(f"{package} {version}" for package, version in packages.items())
        )
        lines.add_row(f"extra {name}", Text(text))
    for name, about in found.devices.items():
        lines.add_row(name, Text(about))
    lines.add_row("threads", str(found.threads))
    for name in found.devices:
        kinds: dict[str, list[str]] = {}
        for computation, by_device in found.kernels.items():
            kinds.setdefault(by_device[name], []).append(computation)
        about = "; ".join(f"{kind}: {', '.join(each)}" for kind, each in kinds.items())
        lines.add_row(f"kernels, {name}", about)
    out.print(lines)
    tests = Table("test", "device", "error", "bound", "")
    for check in found.checks:
        verdict = "[green]passed[/]" if check.passed else "[bold red]FAILED[/]"
        tests.add_row(check.name, check.device, f"{check.error:.1e}", f"{check.bound:.1e}", verdict)
    out.print(tests)
    for warning in found.warnings:
        say("Warning", "yellow", warning)
    failed = [check for check in found.checks if not check.passed]
    for check in failed:
        say("Error", "bold red", f"{check.name}, {check.device}: {check.problem or 'the error is too large'}")
    if failed:
        show(f"{len(failed)} of {len(found.checks)} tests failed: do not trust what it computes.")
        raise typer.Exit(1)
    show(f"All {len(found.checks)} tests passed in {found.seconds:.0f} s: this installation works.")
