"""What is seen of a training while it runs."""

from __future__ import annotations

import math

__all__ = ["Bar", "Quiet"]


class Quiet:
    """No progress bar."""

    def __enter__(self) -> Quiet:
        return self

    def update(self, step: int, loss: float) -> None:
        """Tell of a step."""

    def __exit__(self, *_: object) -> None:
        pass


class Bar(Quiet):
    """A progress bar with the loss."""

    def __init__(self, step: int, steps: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        text = TextColumn("training, loss {task.fields[loss]:.4f}")
        columns = (text, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=Console(stderr=True))
        self._task = self._progress.add_task("", total=steps, completed=step, loss=math.nan)

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def update(self, step: int, loss: float) -> None:
        """Show the step and its loss."""
        self._progress.update(self._task, completed=step, loss=loss)

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
