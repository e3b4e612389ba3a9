"""Rows of the GPU's table: measured by CUDA's events where there is a GPU, else expected of an H100."""

from __future__ import annotations

import statistics
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import date
from typing import Any
from unittest import mock

import torch

from benchmarks.gpu.work import Work, counted
from invgen.bench.version import machine, versions
from invgen.core.launch import Kernel
from invgen.core.space import Space
from tests.gpu.fake_device import CUDA, FakeDevice, to_cpu, to_device

__all__ = ["Bench", "Call", "milliseconds"]

Call = Callable[[], object]

#: Seconds after which no further row is begun, so that a run ends within eight minutes.
_ENOUGH = 420.0

#: Seconds that each call is measured for, the repetitions that there shall be, and seconds that end these.
_PATIENCE, _ENOUGH_TIMES, _IMPATIENCE = 0.4, 7, 3.0


class Bench:
    """Runs each row and prints it.

    With a GPU calls are measured. Without one they run once, of tiny sizes, kernels in Triton's interpreter
    on a device that is the CPU in disguise; and what they would do at full size is counted.

    Parameters
    ----------
    tiny : bool
        Whether sizes are tiny: a rehearsal of the run.
    execute : bool
        Whether kernels run; else their launches are counted.
    """

    def __init__(self, tiny: bool, execute: bool) -> None:
        self.gpu = torch.cuda.is_available()
        self.tiny, self.execute = tiny, execute or self.gpu
        self.device = torch.device("cuda") if self.gpu else CUDA
        self.began, self.failed = time.perf_counter(), 0
        self._fake = nullcontext() if self.gpu else _interpreted()

    def __enter__(self) -> Bench:
        self._fake.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._fake.__exit__(*error)

    def title(self) -> None:
        """Print what runs where, and the head of the table."""
        where = torch.cuda.get_device_name() if self.gpu else f"no GPU; {machine()}"
        made_with = ", ".join(f"{name} {version}" for name, version in versions().items())
        print(f"\n{date.today()}, {where}; {made_with}\n")
        print("| what | time | wanted | | expected of an H100, by |\n|---|---|---|---|---|", flush=True)

    def pick(self, full: Any, tiny: Any) -> Any:
        """Sizes of this run."""
        return tiny if self.tiny else full

    def random(self, space: Space, batch: int, seed: int = 0) -> torch.Tensor:
        """Standard Gaussian numbers on the device, in single precision; zeros where nothing is computed."""
        shape = (batch, *space.shape)
        dtype = torch.float32 if space.field == "real" else torch.complex64
        if self.gpu:
            generator = torch.Generator(self.device).manual_seed(seed)
            return torch.randn(shape, generator=generator, dtype=dtype, device=self.device)
        if not self.execute:
            return self.place(torch.zeros(shape, dtype=dtype))
        return self.place(space.random((batch,), seed=seed, dtype=torch.float32))

    def place(self, x: torch.Tensor) -> torch.Tensor:
        """A tensor on the device."""
        return x.to(self.device) if self.gpu else to_device(x)

    def row(
        self,
        what: str,
        call: Callable[[int], Call],
        batch: int,
        *,
        cached: float = 0.0,
        operations: float = 0.0,
        peers: dict[str, Callable[[], Call | None]] | None = None,
        wanted: float | None = None,
    ) -> None:
        """One row.

        Parameters
        ----------
        what : str
        call : function of a batch size
            Returns what is timed.
        batch : int
        cached, operations : float
            Of one element, what the package's kernels read from caches in bytes, and compute.
        peers : dict, optional
            What it is compared with, by name: functions that return what is timed, or None where a package
            is not installed.
        wanted : float, optional
            How many times as fast as the first peer it is to be.
        """
        if self.over:
            self.note(what, "not run: seven minutes are over")
            return
        with self.guarded(what):
            goal = "" if wanted is None else f"{wanted:g} times {next(iter(peers or {}))}"
            work = self._work(call, batch) + Work(operations=operations, cached=cached) * batch
            if self.gpu:
                found, reached = self._measured(call(batch), peers or {}, wanted)
            else:
                found, reached = f"expected {1e3 * work.seconds:.3g} ms", None
            prefix = f"{1e3 * work.seconds:.3g} ms: " if self.gpu else ""
            self.note(what, found, goal, reached, prefix + work.derivation)

    @contextmanager
    def guarded(self, what: str) -> Iterator[None]:
        """One row that fails does not end the run."""
        try:
            yield
        except NotImplementedError as error:
            self.note(what, f"expected: not counted. {error}")
        except Exception as error:
            traceback.print_exc()
            self.note(what, f"failed: {type(error).__name__}", reached=False)

    @property
    def over(self) -> bool:
        """Whether the time is over that a run may take."""
        return time.perf_counter() - self.began > _ENOUGH

    def _work(self, call: Callable[[int], Call], batch: int) -> Work:
        counted(call(batch if self.gpu else 1), self.execute)  # constants are moved, block sizes measured
        return counted(call(batch), self.execute)

    def _measured(
        self, ours: Call, peers: dict[str, Callable[[], Call | None]], wanted: float | None
    ) -> tuple[str, bool | None]:
        own = milliseconds(ours)
        found, ratios = [f"measured {own:.3g} ms"], {}
        for name, make in peers.items():
            try:
                peer = make()
                if peer is None:
                    found.append(f"{name} is not installed")
                    continue
                theirs = milliseconds(peer)
            except Exception as error:  # what fails in another package is no failure of this one
                traceback.print_exc()
                found.append(f"{name} failed: {type(error).__name__}")
                continue
            ratios[name] = theirs / own
            found.append(f"{name} {theirs:.3g} ms, {ratios[name]:.2f} times")
        first = ratios.get(next(iter(peers), ""))
        return "; ".join(found), None if wanted is None or first is None else first >= wanted

    def note(
        self, what: str, value: str, wanted: str = "", reached: bool | None = None, derivation: str = ""
    ) -> None:
        """Print a row."""
        self.failed += reached is False
        mark = {True: "yes", False: "**no**", None: ""}[reached]
        print(f"| {what} | {value} | {wanted} | {mark} | {derivation} |", flush=True)


def milliseconds(call: Call) -> float:
    """Median time of a call on the GPU, by its events, after two that are not counted."""
    for _ in range(2):
        call()
    torch.cuda.synchronize()
    times: list[float] = []
    while sum(times) < 1e3 * (_PATIENCE if len(times) >= _ENOUGH_TIMES else _IMPATIENCE):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return statistics.median(times)


@contextmanager
def _interpreted() -> Iterator[None]:
    """The fake device, on which kernels run in Triton's interpreter."""
    launch = Kernel.launch

    def on_values(self: Kernel, grid: Any, arguments: tuple[Any, ...]) -> None:
        launch(self, grid, to_cpu(arguments))

    with FakeDevice(), mock.patch.object(Kernel, "launch", on_values):
        yield
