"""What a loop on a device reports to the host, read while the device goes on."""

from __future__ import annotations

from collections import deque
from typing import Any

import torch

__all__ = ["Reports", "fails"]


def fails(condition: torch.Tensor) -> bool:
    """Whether it is known that a condition does not hold everywhere.

    Of a GPU's tensor, which the host would have to wait for, nothing is known: this is for what is checked
    again and again while a solver runs.
    """
    return not condition.is_cuda and not bool(condition.all())


class Reports:
    """Numbers by which the host decides how a loop goes on, read one report late.

    To read a number of a GPU the host waits until all that is queued has been computed, and the GPU is then
    without work. So the copy of a report is queued, too, and read when the next iteration is queued behind
    it: the loop runs one iteration further than it need have, and must not mind. Elsewhere nothing is late.

    Parameters
    ----------
    device : torch.device
        Of the loop.
    """

    def __init__(self, device: torch.device) -> None:
        self._late = device.type == "cuda"
        self._coming: deque[tuple[Any, torch.Tensor, Any]] = deque()

    def after(self, numbers: torch.Tensor, tag: Any = None) -> list[tuple[Any, torch.Tensor]]:
        """Report numbers, and learn what has come: the report before, on a CPU this one.

        Parameters
        ----------
        numbers : tensor
        tag
            By which the report is known when it comes.

        Returns
        -------
        list of (tag, tensor on the CPU)
        """
        here = numbers.to("cpu", non_blocking=self._late)
        arrived = torch.cuda.current_stream(numbers.device).record_event() if self._late else None
        self._coming.append((tag, here, arrived))
        return self._come(len(self._coming) - self._late)

    def rest(self) -> list[tuple[Any, torch.Tensor]]:
        """All reports that are still to come: the host waits for them."""
        return self._come(len(self._coming))

    def _come(self, count: int) -> list[tuple[Any, torch.Tensor]]:
        come = []
        for _ in range(count):
            tag, numbers, arrived = self._coming.popleft()
            if arrived is not None:
                arrived.synchronize()
            come.append((tag, numbers))
        return come
