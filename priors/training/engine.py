"""Training of networks: one loop for every family, which survives being killed."""

from __future__ import annotations

import copy
import csv
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from invgen.core.errors import DivergenceError, FileError, ParameterError
from invgen.priors.training.bar import Bar, Quiet

__all__ = ["Training", "read_log"]

#: Mean loss of a batch that the generator draws; the module is called as it is given, in any wrapping.
Objective = Callable[[nn.Module, torch.Generator], Tensor]

#: Measures of the averaged module, by name; it may leave pictures in the folder.
Validation = Callable[[nn.Module, int], dict[str, float]]


@dataclass(frozen=True)
class Training:
    """How to train a network: Adam, a learning rate that rises and falls, and averaged weights.

    Batches follow from the seed and the number of the step alone: a run that is killed and started again
    gives what an undisturbed one does. Devices, processes and precision are those of `accelerate`: under
    ``accelerate launch`` each process draws batches of its own.

    Parameters
    ----------
    steps : int
    learning_rate : float
        The largest; it rises for `warmup` steps, and falls to zero as a cosine.
    warmup : int
    average : float
        Half-life of the exponential moving average of the weights, as a fraction of the steps so far.
    precision : {"no", "bf16"}
        Of the network's products; the weights stay float32.
    seed : int
    log_every, validate_every : int
        Steps between the rows of ``log.csv``, and between validations.
    save_seconds : float
        Between saved states.
    """

    steps: int = 20_000
    learning_rate: float = 5e-4
    warmup: int = 500
    average: float = 0.05
    precision: str = "no"
    seed: int = 0
    log_every: int = 50
    validate_every: int = 1000
    save_seconds: float = 60.0

    def __post_init__(self) -> None:
        if not (self.steps >= 1 and self.learning_rate > 0 and 0 < self.average < 1):
            raise ParameterError(
                "Training needs steps, a positive learning rate, and an average from 0 to 1."
            )
        if self.precision not in ("no", "bf16"):
            raise ParameterError(f"precision is 'no', for float32, or 'bf16'; got {self.precision!r}.")
        if self.seed < 0:
            raise ParameterError(f"seed is a number from 0; got {self.seed}.")

    def __call__(
        self,
        module: nn.Module,
        objective: Objective,
        folder: str | os.PathLike[str],
        validate: Validation | None = None,
        progress: bool = False,
    ) -> nn.Module:
        """Train a copy of `module` and give it back with averaged weights.

        Parameters
        ----------
        module : torch.nn.Module
        objective : callable(module, generator) -> scalar tensor
        folder : path
            For ``log.csv`` and ``state.pt``; a run that stopped there goes on.
        validate : callable(module, step) -> dict of numbers, optional
            Of the averaged module; the numbers go into the log.
        progress : bool

        Raises
        ------
        DivergenceError
            When the loss or its gradient is no longer finite; the saved state is one from before.
        FileError
            When the folder holds the state of another network.
        """
        from accelerate import Accelerator

        # its own mixed precision is the same for all that one process ever trains
        engine = Accelerator()
        run = _Run(self, copy.deepcopy(module).requires_grad_(True), engine, Path(folder))
        run.restore()
        try:
            with (
                Bar(run.step, self.steps) if progress and engine.is_main_process else Quiet() as bar,
                _between_steps() as interrupted,
            ):
                while run.step < self.steps:
                    loss = run.advance(objective)
                    bar.update(run.step, loss)
                    run.report(loss, validate)
                    if interrupted():
                        raise KeyboardInterrupt
        except KeyboardInterrupt:
            if run.whole:
                run.save()
            raise
        run.save()
        return run.average


@contextmanager
def _between_steps() -> Iterator[Callable[[], bool]]:
    """Tell of Ctrl-C instead of stopping in the middle of a step, whose state is none; a second one stops."""
    asked: list[int] = []

    def ask(number: int, frame: Any) -> None:
        signal.signal(signal.SIGINT, before)
        asked.append(number)

    if threading.current_thread() is not threading.main_thread():  # where Python allows no handlers
        yield lambda: False
        return
    before = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGINT, before)


class _Run:
    """What changes while a network is trained."""

    def __init__(self, training: Training, module: nn.Module, engine: Any, folder: Path) -> None:
        self.training, self.engine, self.folder = training, engine, folder
        folder.mkdir(parents=True, exist_ok=True)
        self.average = copy.deepcopy(module).eval().requires_grad_(False).to(engine.device)
        optimizer = torch.optim.Adam(module.parameters(), lr=training.learning_rate, betas=(0.9, 0.99))
        self.module, self.optimizer = engine.prepare(module, optimizer)
        self.step, self.seconds = 0, 0.0
        self.whole = True  # but while a step is half taken
        self.resumed = self.saved = time.monotonic()
        self.losses: list[float] = []

    def advance(self, objective: Objective) -> float:
        """One step; the loss of its batch."""
        generator = torch.Generator(self.engine.device)
        number = self.step * self.engine.num_processes + self.engine.process_index
        # hashed: generators of the CPU take no more than the last 32 bits
        hashed = np.random.SeedSequence(self.training.seed, spawn_key=(number,)).generate_state(2)
        generator.manual_seed(int(hashed[0]))
        self.module.train()
        # what is random within the network, such as dropout, follows from the step, too: by other numbers
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            torch.manual_seed(int(hashed[1]))
            with self._autocast():
                loss = objective(self.module, generator)
            self.optimizer.zero_grad()
            self.engine.backward(loss)
        value = float(loss.detach())
        slope = float(self.engine.clip_grad_norm_(self.module.parameters(), 1.0))
        if not (math.isfinite(value) and math.isfinite(slope)):
            raise DivergenceError(
                f"The loss is {value} at step {self.step}, its gradient {slope}. Lower the learning rate, or "
                "train in float32."
            )
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate()
        self.whole = False
        self.optimizer.step()
        self.step += 1
        self._follow()
        self.whole = True
        return value

    def _autocast(self) -> torch.autocast:
        enabled = self.training.precision == "bf16"
        return torch.autocast(self.engine.device.type, torch.bfloat16, enabled=enabled)

    def _rate(self) -> float:
        training = self.training
        rise = min(1.0, (self.step + 1) / max(1, training.warmup))
        return training.learning_rate * rise * (1 + math.cos(math.pi * self.step / training.steps)) / 2

    @torch.no_grad()
    def _follow(self) -> None:
        """Average the weights over the last steps, a fraction of all of them."""
        keep = 0.5 ** (1 / max(1.0, self.training.average * self.step))
        source = self.engine.unwrap_model(self.module).state_dict()
        for name, value in self.average.state_dict().items():
            if value.is_floating_point():
                value.lerp_(source[name].to(value), 1 - keep)
            else:
                value.copy_(source[name])

    def report(self, loss: float, validate: Validation | None) -> None:
        """Write a row of the log, validate, and save, each where it is due."""
        self.losses.append(loss)
        if not self.engine.is_main_process:
            return
        training, last = self.training, self.step == self.training.steps
        found: dict[str, float] = {}
        if validate is not None and (self.step % training.validate_every == 0 or last):
            with torch.no_grad():
                found = validate(self.average, self.step)
        if self.step % training.log_every == 0 or found or last:
            row = {"step": self.step, "loss": sum(self.losses) / len(self.losses), "seconds": self._elapsed()}
            self._log({**row, **found})
            self.losses = []
        if time.monotonic() - self.saved > training.save_seconds:
            self.save()

    def _elapsed(self) -> float:
        return self.seconds + time.monotonic() - self.resumed

    def _log(self, row: dict[str, float]) -> None:
        path = self.folder / "log.csv"
        rows = read_log(self.folder)
        names = list(dict.fromkeys([*(rows[0] if rows else ()), *row]))
        kept = [old for old in rows if int(old["step"]) < row["step"]]  # those after a state that was lost
        beside = path.with_suffix(".part")
        with beside.open("w", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows([*kept, row])
        beside.replace(path)

    def save(self) -> None:
        """Write the state beside the last one, and rename."""
        if self.engine.is_main_process:
            state = {
                "step": self.step,
                "seconds": self._elapsed(),
                "module": self.engine.unwrap_model(self.module).state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(),
            }
            beside = self.folder / "state.part"
            torch.save(state, beside)
            beside.replace(self.folder / "state.pt")
        self.saved = time.monotonic()

    def restore(self) -> None:
        """Go on from the saved state, if there is one."""
        path = self.folder / "state.pt"
        if not path.exists():
            return
        try:
            state = torch.load(path, map_location=self.engine.device, weights_only=True)
            self.engine.unwrap_model(self.module).load_state_dict(state["module"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.seconds = state["step"], state["seconds"]
        except Exception as error:  # torch raises whatever it runs into
            raise FileError(
                f"{path} is not the state of this training: {str(error).splitlines()[0]} "
                "Give another folder, or delete that one to begin anew."
            ) from error


def read_log(folder: str | os.PathLike[str]) -> list[dict[str, str]]:
    """Rows of a run's ``log.csv``: step, loss since the row before, seconds, and what validation found."""
    path = Path(folder) / "log.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
