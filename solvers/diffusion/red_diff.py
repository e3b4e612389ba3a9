"""Regularization by denoising diffusion."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from invgen.core.errors import ParameterError
from invgen.problem import Problem
from invgen.solvers.base import State
from invgen.solvers.data_prox import SAMPLER_PRECISION, DataProx
from invgen.solvers.diffusion.base import DiffusionSolver

__all__ = ["REDdiff"]


@dataclass(frozen=True)
class REDdiff(DiffusionSolver):
    """Regularization by denoising diffusion (RED-diff), Mardani et al. (2024), algorithm 1.

    One image mu, the mean of a narrow normal density that stands for the posterior, is optimised while the
    noise level falls, by the data and by what the denoiser makes of noisy copies of it:

        x = mu + sigma eps,     gradient = -grad log p(y | A mu) + lambda_t (eps_theta(x, sigma) - eps)

    with ``eps_theta = (x - D(x, sigma)) / sigma``; in the terms of Karras et al. (2022) the second part is
    ``lambda_t (mu - D(x, sigma)) / sigma``. The paper takes ``lambda_t = lambda sigma`` against the misfit
    ``|y - A mu|^2`` (its code, against half of that), without the noise of the data, and chooses lambda by
    hand. Here the data have their noise, and ``lambda_t = lam / sigma``: with ``lam = 1`` the second part is,
    in the mean, the gradient of ``-E log p_sigma(mu + sigma eps)``, where p_sigma is the density of images
    with noise sigma. On a normal prior mu ends at the mean of the posterior.

    The paper leaves the optimiser open, and uses Adam, whose steps have the unit of the image and know
    nothing of how well the operator is conditioned. Here they are Newton's, by ``A.H W A + lam / sigma^2``,
    of which a fraction is taken.

    It is an estimate, and its runs are no samples of the posterior: they differ by the random numbers of the
    optimisation alone. On normal priors their spread is three tenths of the posterior's,
    and their mean is away from its mean by about as much after 100 levels, by half of that after 400.

    Parameters
    ----------
    prior : Denoiser
    iterations : int
        Noise levels, with one step at each.
    lam : positive number
        Weight of the prior.
    damping : number above 0, at most 1
        Fraction of a whole step that is taken: of small ones more average out their noise.
    scale, chunk_size, sigma_range
        See `DiffusionSolver`.
    """

    iterations: int = 100
    lam: float = 1.0
    damping: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.lam > 0 and 0 < self.damping <= 1):
            raise ParameterError(
                f"REDdiff needs lam > 0 and damping above 0 and at most 1; got {self.lam} and {self.damping}."
            )

    def walk(self, problem: Problem, state: State) -> Iterator[State]:
        """Steps down the noise levels."""
        draws, levels = self.draws(problem, state), self.levels()
        newton = DataProx(problem, SAMPLER_PRECISION)
        mu = state.x
        for k in range(state.get("k", 0), self.iterations):
            denoised = self.denoised(mu + levels[k] * draws(mu), levels[k])
            weight = mu.real.new_full(problem.batch_shape, self.lam / levels[k] ** 2)
            mu = mu + self.damping * (newton(denoised, weight) - mu)
            yield State(mu, k=k + 1, draws=draws.state)
