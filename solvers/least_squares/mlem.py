"""Maximum likelihood of counts by expectation maximization."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from invgen.core.errors import CapabilityError, DataError
from invgen.core.late import Reports
from invgen.noise import Poisson
from invgen.problem import Problem
from invgen.solvers.base import Solver
from invgen.solvers.state import State

__all__ = ["MLEM"]


@dataclass(frozen=True, kw_only=True)
class MLEM(Solver):
    """Maximum-likelihood expectation maximization, Shepp and Vardi (1982); in optics, Richardson and Lucy.

    ``x' = x / s * A.H(y / A x)`` with ``s = A.H 1``: to the image without negative pixels that is most likely
    under Poisson noise, of whatever gain. The likelihood never falls, and every iterate has the total
    count of the data, ``sum s x = sum y``. An iteration costs one projection and one backprojection.

    The optimality measure is ``max log(A.H(y / A x) / s)``. It is zero at solutions alone: these are the
    conditions of Karush, Kuhn and Tucker for dark pixels, and with them the counts leave no others for bright
    ones. It bounds what is left to gain: of ``N = sum y / gain`` quanta, the log-likelihood is within N times
    as much of the largest, by Jensen's inequality (as in Cover 1984, of portfolios).

    Early iterates are smooth and late ones fit the noise: the number of iterations regularizes.

    Parameters
    ----------
    iterations, tolerance
        Stops where the optimality measure is at most the tolerance.

    Raises
    ------
    CapabilityError
        Unless the noise is Poisson's and the operator non-negative.
    DataError
        Where there are counts in places that no pixel can send them to, or `x0` has negative pixels.
    """

    iterations: int = 100
    tolerance: float = 1e-3

    def initial(self, problem: Problem) -> torch.Tensor:
        """A constant image with the total count of the data."""
        s = _sensitivity(problem)
        total, axes = problem.measurement.sum(problem.operator.range.axes), problem.operator.domain.axes
        mean = total / s.sum(axes).clamp(min=torch.finfo(s.dtype).tiny)
        return problem.operator.domain.per_sample(mean) * (s > 0)

    def prepare(self, problem: Problem) -> torch.Tensor:
        """``A.H 1``."""
        return _sensitivity(problem)

    def steps(self, problem: Problem, s: torch.Tensor, state: State) -> Iterator[State]:
        """Yield the iterates of the algorithm."""
        x = torch.where(s > 0, state.x, 0)  # what no detector sees
        if bool((x < 0).any()):
            raise DataError("MLEM starts from an image without negative pixels; clamp x0.")
        reports = Reports(x.device)
        ratio = state.get("ratio", lambda: self._ratio(problem, s, x, reports))
        return self._iterates(problem, s, x, ratio, reports)

    def _iterates(
        self, problem: Problem, s: torch.Tensor, x: torch.Tensor, ratio: torch.Tensor, reports: Reports
    ) -> Iterator[State]:
        while True:
            x = x * ratio
            ratio = self._ratio(problem, s, x, reports)
            # without counts the image is zero, and the ratio too
            bound = ratio.amax(problem.operator.domain.axes).clamp(min=1).log()
            yield State(x=x, optimality=bound, ratio=ratio)

    def _ratio(self, problem: Problem, s: torch.Tensor, x: torch.Tensor, reports: Reports) -> torch.Tensor:
        """``A.H(y / A x) / s``; zero at pixels that no detector sees."""
        A, y = problem.linear_operator, problem.measurement
        prediction = A(x)
        if any(bool(lost) for _, lost in reports.after(((prediction <= 0) & (y > 0)).any())):
            raise DataError(
                "MLEM: there are counts where the image predicts none. Mask rays that miss the image, "
                "start from positive pixels, or describe what else was counted in the operator."
            )
        backprojection = A.H(torch.where(y > 0, y / prediction, 0))
        return torch.where(s > 0, backprojection / s, 0)


def _sensitivity(problem: Problem) -> torch.Tensor:
    """``A.H 1``, what each pixel of value one adds to all counts."""
    A = problem.linear_operator
    if not isinstance(problem.noise, Poisson):
        raise CapabilityError(
            f"MLEM needs Poisson noise; this is {problem.likelihood.name}. "
            "Give noise.Poisson(gain), or use SIRT(nonnegative=True) for line integrals."
        )
    if not A.nonnegative:
        raise CapabilityError(
            f"MLEM needs an operator whose matrix has no negative entry; {A.name} is not known to be one. "
            'Radon is with method="joseph", SinglePixel with patterns that are not differential.'
        )
    ones = torch.ones_like(problem.measurement[(0,) * len(problem.batch_shape)])
    if problem.observed is not None:
        ones = torch.where(problem.observed, ones, 0)
    return A.H(ones)
