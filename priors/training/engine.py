"""Training of networks: one loop for every family, which can be killed and resumed."""

from __future__ import annotations

import copy
import math
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from invgen.core.checks import as_count
from invgen.core.errors import DivergenceError, DtypeError, FileError, InvgenWarning, ParameterError
from invgen.core.files import check_regular, save_state
from invgen.core.stopping import deferred_interrupts
from invgen.core.text import brief
from invgen.priors.training.bar import Bar, Quiet
from invgen.priors.training.log import write_row

__all__ = ["Training", "Update"]

#: Mean loss of a batch that the generator draws; the module is called as it is given, in any wrapping.
Objective = Callable[[nn.Module, torch.Generator], Tensor]

#: The same for one of several modules, which are given by name.
JointObjective = Callable[[Mapping[str, nn.Module], torch.Generator], Tensor]

#: Measures of the averaged module, or modules, by name; it may leave pictures in the folder.
Validation = Callable[[nn.Module, int], dict[str, float]]
JointValidation = Callable[[Mapping[str, nn.Module], int], dict[str, float]]

#: The optimizer, where no other is given.
_ADAM = partial(torch.optim.Adam, betas=(0.9, 0.99))


@dataclass(frozen=True)
class Update:
    """How one of several modules is trained within a step; see `Training.jointly`.

    Parameters
    ----------
    module : torch.nn.Module
    objective : callable(modules, generator) -> scalar tensor
        Its loss, of all modules by name. Gradients that reach the other modules are discarded.
    count : int
        Updates of this module per step, each with a batch of its own.
    learning_rate : float, optional
        The largest; by default that of the training.
    optimizer : callable(parameters, lr=...) -> torch.optim.Optimizer
        By default Adam with the decay rates 0.9 and 0.99.
    """

    module: nn.Module
    objective: JointObjective
    count: int = 1
    learning_rate: float | None = None
    optimizer: Callable[..., torch.optim.Optimizer] = _ADAM

    def __post_init__(self) -> None:
        if not isinstance(self.module, nn.Module):
            raise DtypeError(f"Update expects a torch.nn.Module; got {type(self.module).__name__}.")
        object.__setattr__(self, "count", as_count(self.count, "count, the number of updates per step,"))
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise ParameterError(f"A learning rate is positive; got {self.learning_rate}.")


@dataclass(frozen=True)
class Training:
    """How to train networks: Adam, a learning rate that rises and falls, and averaged weights.

    Batches follow from the seed and the number of the step alone: a run that is killed and started again
    gives the same weights as an undisturbed one. Devices, processes and precision are those of `accelerate`:
    under ``accelerate launch`` each process draws batches of its own.

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
        for name, least in (
            ("steps", 1),
            ("warmup", 0),
            ("seed", 0),
            ("log_every", 1),
            ("validate_every", 1),
        ):
            object.__setattr__(self, name, as_count(getattr(self, name), name, least=least))
        if not (self.learning_rate > 0 and 0 < self.average < 1):
            raise ParameterError("Training needs a positive learning rate, and an average from 0 to 1.")
        if self.precision not in ("no", "bf16"):
            raise ParameterError(f"precision is 'no', for float32, or 'bf16'; got {self.precision!r}.")

    def __call__(
        self,
        module: nn.Module,
        objective: Objective,
        folder: str | os.PathLike[str],
        validate: Validation | None = None,
        progress: bool = False,
    ) -> nn.Module:
        """Train a copy of `module` and return it with averaged weights.

        Parameters
        ----------
        module : torch.nn.Module
        objective : callable(module, generator) -> scalar tensor
        folder : path
            For ``log.csv`` and ``state.pt``, from which an interrupted run is resumed.
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

        def loss(modules: Mapping[str, nn.Module], generator: torch.Generator) -> Tensor:
            return objective(modules["network"], generator)

        def measures(modules: Mapping[str, nn.Module], step: int) -> dict[str, float]:
            return {} if validate is None else validate(modules["network"], step)

        joint = None if validate is None else measures
        return self.jointly({"network": Update(module, loss)}, folder, joint, progress)["network"]

    def jointly(
        self,
        updates: Mapping[str, Update],
        folder: str | os.PathLike[str],
        validate: JointValidation | None = None,
        progress: bool = False,
    ) -> dict[str, nn.Module]:
        """Train copies of several modules, and return them with averaged weights.

        In each step the modules are updated in the order of `updates`, each as often as its `Update` says:
        of an adversarial network, first the discriminator and then the generator.

        Parameters
        ----------
        updates : mapping of str to Update
        folder, progress
            See `__call__`. The log has the loss of each module, as ``<name>_loss``.
        validate : callable(modules, step) -> dict of numbers, optional
            Of the averaged modules, by name.

        Raises
        ------
        DivergenceError, FileError
            See `__call__`.
        """
        from accelerate import Accelerator

        if not updates:
            raise ParameterError("Training.jointly needs at least one module.")
        # its own mixed precision is the same for all that one process ever trains
        engine = Accelerator()
        run = _Run(self, updates, engine, Path(folder))
        run.restore()
        try:
            with (
                Bar(run.step, self.steps) if progress and engine.is_main_process else Quiet() as bar,
                deferred_interrupts() as interrupted,
            ):
                while run.step < self.steps:
                    losses = run.advance()
                    bar.update(run.step, losses)
                    run.report(losses, validate)
                    if interrupted():
                        raise KeyboardInterrupt
                if run.unreported and run.step == self.steps:  # it was killed between its end and its report
                    run.report(run.unreported.pop(), validate)
        except KeyboardInterrupt:
            if run.whole:
                run.save()
            raise
        run.save()
        return run.averages


@contextmanager
def _optional(what: str) -> Iterator[None]:
    """Warn of a file that cannot be written, rather than lose what has been learned."""
    try:
        yield
    except FileError as error:
        warnings.warn(f"{what} could not be kept, and the training goes on: {error}", InvgenWarning, 3)


class _Part:
    """A module in training: with its optimizer, and the average of its weights."""

    def __init__(self, update: Update, learning_rate: float, engine: Any) -> None:
        self.update, self.engine = update, engine
        self.learning_rate = learning_rate if update.learning_rate is None else update.learning_rate
        module = copy.deepcopy(update.module).requires_grad_(True)
        self.average = copy.deepcopy(module).eval().requires_grad_(False).to(engine.device)
        optimizer = update.optimizer(module.parameters(), lr=self.learning_rate)
        self.module, self.optimizer = engine.prepare(module, optimizer)

    @torch.no_grad()
    def follow(self, keep: float) -> None:
        """Move the average towards the weights."""
        source = self.engine.unwrap_model(self.module).state_dict()
        for name, value in self.average.state_dict().items():
            if value.is_floating_point():
                value.lerp_(source[name].to(value), 1 - keep)
            else:
                value.copy_(source[name])

    def state(self) -> dict[str, Any]:
        """What `restore` takes."""
        return {
            "weights": self.engine.unwrap_model(self.module).state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.engine.unwrap_model(self.module).load_state_dict(state["weights"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])


class _Run:
    """What changes during a training."""

    def __init__(self, training: Training, updates: Mapping[str, Update], engine: Any, folder: Path) -> None:
        self.training, self.engine, self.folder = training, engine, folder
        folder.mkdir(parents=True, exist_ok=True)
        self.parts = {name: _Part(each, training.learning_rate, engine) for name, each in updates.items()}
        self.step, self.seconds = 0, 0.0
        self.whole = True  # but in the middle of a step
        self.resumed = self.saved = time.monotonic()
        self.unreported: list[dict[str, float]] = []  # losses since the last row of the log

    @property
    def averages(self) -> dict[str, nn.Module]:
        """The modules with averaged weights."""
        return {name: part.average for name, part in self.parts.items()}

    def advance(self) -> dict[str, float]:
        """One step: all updates in turn. Returns the mean loss of each module."""
        losses, turn = {}, 0
        for name, part in self.parts.items():
            values = []
            for _ in range(part.update.count):
                values.append(self._update(part, turn))
                turn += 1
            losses["loss" if len(self.parts) == 1 else f"{name}_loss"] = sum(values) / len(values)
        self.step += 1
        # over the last steps, a fraction of all of them
        keep = 0.5 ** (1 / max(1.0, self.training.average * self.step))
        for part in self.parts.values():
            part.follow(keep)
        self.whole = True
        return losses

    def _update(self, part: _Part, turn: int) -> float:
        """One update of a module, the given one of the step; the loss of its batch."""
        generator = torch.Generator(self.engine.device)
        number = self.step * self.engine.num_processes + self.engine.process_index
        # hashed: generators of the CPU take no more than the last 32 bits
        key = (number, turn) if turn else (number,)
        hashed = np.random.SeedSequence(self.training.seed, spawn_key=key).generate_state(2)
        generator.manual_seed(int(hashed[0]))
        modules = {name: each.module.train() for name, each in self.parts.items()}
        # what is random within the network, such as dropout, follows from the step, too: by other numbers
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            torch.manual_seed(int(hashed[1]))
            with self._autocast():
                loss = part.update.objective(modules, generator)
            part.optimizer.zero_grad()
            self.engine.backward(loss)
        value = float(loss.detach())
        slope = float(self.engine.clip_grad_norm_(part.module.parameters(), 1.0))
        if not (math.isfinite(value) and math.isfinite(slope)):
            raise DivergenceError(
                f"The loss is {value} at step {self.step}, its gradient {slope}. Lower the learning rate, or "
                "train in float32."
            )
        for group in part.optimizer.param_groups:
            group["lr"] = self._rate(part.learning_rate)
        self.whole = False
        part.optimizer.step()
        return value

    def _autocast(self) -> torch.autocast:
        enabled = self.training.precision == "bf16"
        return torch.autocast(self.engine.device.type, torch.bfloat16, enabled=enabled)

    def _rate(self, largest: float) -> float:
        training = self.training
        rise = min(1.0, (self.step + 1) / max(1, training.warmup))
        return largest * rise * (1 + math.cos(math.pi * self.step / training.steps)) / 2

    def report(self, losses: dict[str, float], validate: JointValidation | None) -> None:
        """Write a row of the log, validate, and save, each when it is due."""
        self.unreported.append(losses)
        if not self.engine.is_main_process:
            return
        training, last = self.training, self.step == self.training.steps
        if last:
            self.save()  # what is learned, before anything that can fail
        found: dict[str, float] = {}
        if validate is not None and (self.step % training.validate_every == 0 or last):
            with torch.no_grad():
                found = validate(self.averages, self.step)
        if self.step % training.log_every == 0 or found or last:
            means = {
                name: sum(each[name] for each in self.unreported) / len(self.unreported) for name in losses
            }
            row = {"step": self.step, **means, "seconds": self._elapsed(), **found}
            with _optional("The log"):
                write_row(self.folder, row)
            self.unreported = []
        if not last and time.monotonic() - self.saved > training.save_seconds:
            self.save()

    def _elapsed(self) -> float:
        return self.seconds + time.monotonic() - self.resumed

    def save(self) -> None:
        """Write the state beside the last one, and rename; where that fails, the last one stays."""
        if self.engine.is_main_process:
            state = {
                "step": self.step,
                "seconds": self._elapsed(),
                "losses": self.unreported,
                "modules": {name: part.state() for name, part in self.parts.items()},
            }
            with _optional("The state"):
                save_state(state, self.folder / "state.pt")
        self.saved = time.monotonic()

    def restore(self) -> None:
        """Go on from the saved state, if there is one."""
        path = self.folder / "state.pt"
        if not path.exists():
            return
        check_regular(path)
        try:
            state = torch.load(path, map_location=self.engine.device, weights_only=True)
            if list(state["modules"]) != list(self.parts):
                raise ValueError(f"It has the modules {', '.join(state['modules'])}.")
            for name, part in self.parts.items():
                part.restore(state["modules"][name])
            self.step, self.seconds, self.unreported = state["step"], state["seconds"], state["losses"]
        except MemoryError:
            raise
        except Exception as error:  # torch raises whatever it runs into
            raise FileError(
                f"{path} is not the state of this training: {brief(error)}. "
                "Give another folder, or delete that one to begin anew."
            ) from error
