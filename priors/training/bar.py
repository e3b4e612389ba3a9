"""The progress bar of a training."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["Bar", "Quiet"]


class Quiet:
    """No progress bar."""

    def __enter__(self) -> Quiet:
        return self

    def update(self, step: int, losses: Mapping[str, float]) -> None:
        """Report a step."""

    def __exit__(self, *_: object) -> None:
        pass


class Bar(Quiet):
    """A progress bar with the losses."""

    def __init__(self, step: int, steps: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        text = TextColumn("training, {task.fields[losses]}")
        columns = (text, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=Console(stderr=True))
        self._task = self._progress.add_task("", total=steps, completed=step, losses="loss")

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def update(self, step: int, losses: Mapping[str, float]) -> None:
        """Show the step and its losses."""
        shown = ", ".join(f"{name} {loss:.4f}" for name, loss in losses.items())
        self._progress.update(self._task, completed=step, losses=shown)

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
