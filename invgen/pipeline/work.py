"""What `invgen recon` needs to know of a scan, whatever was measured."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from invgen.core.errors import DataError, ParameterError

if TYPE_CHECKING:
    import torch

    from invgen.pipeline.recipe import Recipe
    from invgen.problem import Problem
    from invgen.reconstruction import Reconstruction
    from invgen.solvers.base import Solver, State

Advance = Callable[[float, int], None]
Notice = Callable[[str], None]


class Solved(NamedTuple):
    """A slice.

    Attributes
    ----------
    image : tensor, shape (H, W)
        The mean, where there are samples.
    samples : tensor, shape (n, H, W), or None
    report : tuple of str
        What was done to its data.
    iterations : int
    """

    image: torch.Tensor
    samples: torch.Tensor | None
    report: tuple[str, ...]
    iterations: int


class Work(ABC):
    """A scan and what is to be done with it.

    Attributes
    ----------
    recipe : Recipe
        What was asked for, and the choices made since.
    count : int
        Number of slices to choose from.
    unit : str
        Of lengths.
    """

    recipe: Recipe
    count: int
    unit: str
    #: Reconstructions are complex numbers.
    complex = False
    #: What is kept that is chosen on one slice, such as a weight; "" where there is one problem only.
    kept = ", chosen on slice {} and kept for all slices"

    @abstractmethod
    def first(self, row: int, notice: Notice) -> Problem:
        """Problem of a slice, on which everything is chosen that was not told."""

    @property
    @abstractmethod
    def image_shape(self) -> tuple[int, int]:
        """Of a slice; known once there is a first problem, as all that follows."""

    @property
    @abstractmethod
    def pixel_size(self) -> float | tuple[float, float]:
        """Side of a pixel, or height and width."""

    @property
    @abstractmethod
    def about(self) -> dict[str, Any]:
        """What the output tells of such scans only."""

    @property
    @abstractmethod
    def statistics(self) -> dict[str, str]:
        """What the summary tells of such scans only."""

    @abstractmethod
    def solver(self) -> Solver:
        """The method of the recipe."""

    @abstractmethod
    def solve(self, solver: Solver, rows: range, advance: Advance) -> Iterator[Solved]:
        """Reconstruct slices in their order."""

    def _solved(self, solver: Solver, problem: Problem, tell: Callable[[float], None]) -> Reconstruction:
        """Solve a problem, or draw samples of its posterior; `tell` hears which part of the work is done."""
        samples, done = self.recipe.samples, 0
        whole = solver.iterations * (samples or 1) + 1

        def callback(iteration: int, state: State) -> bool:
            nonlocal done
            done += 1 if samples is None else len(state.x)
            tell(done / whole)
            return self._enough(problem, iteration, state)

        return solver(problem, samples=samples or 1, seed=self.recipe.seed, callback=callback)

    def _enough(self, problem: Problem, iteration: int, state: State) -> bool:
        """Whether to stop before the solver would."""
        return False

    def _settle_device(self, needs_cufinufft: bool) -> None:
        """Replace "auto", and refuse a device that is not there."""
        self.recipe = replace(self.recipe, device=_device(self.recipe.device, needs_cufinufft))

    def _on_device(self, problem: Problem) -> Problem:
        from invgen.problem import Problem

        return Problem(problem.operator, problem.measurement.to(self.recipe.device), problem.noise)


def _device(name: str, needs_cufinufft: bool) -> str:
    from importlib.util import find_spec

    import torch

    present = torch.cuda.is_available()
    usable = not needs_cufinufft or find_spec("cufinufft") is not None
    if name == "cuda" and not present:
        raise ParameterError("--device cuda: PyTorch finds no CUDA device here; leave it out, or say cpu.")
    if name == "cuda" and not usable:
        raise ParameterError("--device cuda needs cufinufft: pip install 'invgen[gpu]'; or say cpu.")
    return ("cuda" if present and usable else "cpu") if name == "auto" else name


@contextmanager
def named(row: int) -> Iterator[None]:
    """Say which slice an error is of."""
    try:
        yield
    except DataError as error:
        raise DataError(f"Slice {row}: {error}") from error
