"""Regularization by denoising diffusion."""

from __future__ import annotations

from dataclasses import dataclass

from invgen.core.draws import Draws
from invgen.core.errors import ParameterError
from invgen.problem import Problem
from invgen.solvers.data_prox import SAMPLER_PRECISION, DataProx
from invgen.solvers.diffusion.base import DiffusionSolver
from invgen.solvers.state import State

__all__ = ["REDdiff"]


@dataclass(frozen=True, kw_only=True)
class REDdiff(DiffusionSolver):
    """Regularization by denoising diffusion (RED-diff), Mardani et al. (2024), algorithm 1.

    One image mu, the mean of a narrow Gaussian that stands for the posterior, is optimised while the
    noise level falls, by the data and by what the denoiser makes of noisy copies of it:

        x = mu + sigma eps,     gradient = -grad log p(y | A mu) + lambda_t (eps_theta(x, sigma) - eps)

    with ``eps_theta = (x - D(x, sigma)) / sigma``; in the terms of Karras et al. (2022) the second part is
    ``lambda_t (mu - D(x, sigma)) / sigma``. The paper takes ``lambda_t = lambda sigma`` against the misfit
    ``|y - A mu|^2`` (its code, against half of that), without the noise of the data, and chooses lambda by
    hand. Here the data have their noise, and ``lambda_t = weight / sigma``: with ``weight = 1`` the second
    part is, in the mean, the gradient of ``-E log p_sigma(mu + sigma eps)``, where p_sigma is the density of
    images with noise sigma. On a Gaussian prior mu ends at the mean of the posterior.

    The paper leaves the optimiser open, and uses Adam, whose steps have the unit of the image and know
    nothing of how well the operator is conditioned. Here they are Newton's, by ``A.H W A + weight /
    sigma^2``, of which a fraction is taken.

    It is an estimate, and its runs are no samples of the posterior: they differ by the random numbers of the
    optimisation alone. On Gaussian priors their standard deviation is three tenths of the posterior's, and
    their mean is off by about as much after 100 levels, by half of that after 400.

    Parameters
    ----------
    prior : Denoiser
    iterations : int
        Noise levels, with one step at each.
    weight : positive number
        Weight of the prior.
    damping : number above 0, at most 1
        Fraction of a whole step that is taken: of small ones more average out their noise.
    scale, chunk_size, sigma_range
        See `DiffusionSolver`.
    """

    iterations: int = 100
    weight: float = 1.0
    damping: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.weight > 0 and 0 < self.damping <= 1):
            raise ParameterError(
                "REDdiff needs weight > 0 and damping above 0 and at most 1; got "
                f"{self.weight} and {self.damping}."
            )

    def prepare(self, problem: Problem) -> DataProx:
        """Newton's step."""
        return DataProx(problem, SAMPLER_PRECISION)

    def start(self, problem: Problem, newton: DataProx, state: State, sigma: float, draws: Draws) -> State:
        """The image itself."""
        return state

    def step(
        self, problem: Problem, newton: DataProx, state: State, high: float, low: float, draws: Draws
    ) -> State:
        """A fraction of Newton's step, at a noisy copy of mu."""
        mu = state.x
        denoised = self.denoised(mu + high * draws(mu), high)
        weight = mu.real.new_full(problem.batch_shape, self.weight / high**2)
        return State(x=mu + self.damping * (newton(denoised, weight) - mu))
