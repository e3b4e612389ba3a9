"""The measurement along the singular vectors of its operator, and what DDRM and DDNM share."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from invgen.core.draws import Draws
from invgen.core.errors import CapabilityError, ParameterError
from invgen.problem import Problem
from invgen.solvers.diffusion.base import DiffusionSolver

__all__ = ["MeasuredSpectrum", "SpectralSolver", "with_spectrum"]


@dataclass(frozen=True, kw_only=True)
class SpectralSolver(DiffusionSolver):
    """Base of the samplers that need ``A = U diag(s) V.H`` and the same noise on all measurements.

    Along the i-th singular vector the data are ``u_i.H y / s_i``, with noise of the level ``std / s_i``.

    Parameters
    ----------
    prior, iterations, scale, chunk_size, sigma_range
        See `DiffusionSolver`.
    eta : number from 0 to 1
        Fresh noise at each level, as a fraction of the standard deviation of all.
    """

    iterations: int = 20
    eta: float = 0.85

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.eta <= 1:
            raise ParameterError(f"{self.name} needs eta from 0 to 1; got {self.eta}.")

    def described(self, problem: Problem) -> Problem:
        """The problem, of an operator with singular value decomposition and white noise."""
        return with_spectrum(super().described(problem), self.name)

    def prepare(self, problem: Problem) -> MeasuredSpectrum:
        """The data along the singular vectors."""
        return MeasuredSpectrum(problem)

    def renoised_by_data(
        self,
        data: MeasuredSpectrum,
        denoised: Tensor,
        x: Tensor,
        high: float,
        low: float,
        eta_b: float,
        draws: Draws,
    ) -> Tensor:
        """The image with noise of the level `low`, to which the data's own noise counts.

        Three kinds of singular vectors (Kawar et al. 2022): those that nothing is known of; those on
        which the data are noisier than `low`, which give the direction of the noise; and those on which they
        are not, which replace the image up to `eta_b`.
        """
        fresh, kept = self.eta * low, math.sqrt(1 - self.eta**2) * low
        noise = draws(x)
        blind = denoised + kept * (x - denoised) / high + fresh * noise
        x0, n = data.V.H(denoised), data.V.H(noise)
        rest = (low**2 - (eta_b * data.std) ** 2).clamp(min=0).sqrt()
        replaced = x0 + eta_b * (data.seen - x0) + rest * n
        guided = x0 + kept * (data.seen - x0) / data.std + fresh * n
        found = torch.where(low >= data.std, replaced, guided)
        return blind + data.V(torch.where(data.known, found - data.V.H(blind), 0))


def with_spectrum(problem: Problem, name: str) -> Problem:
    """The problem, where the operator's singular value decomposition is known and the noise is white.

    Raises
    ------
    CapabilityError
        Where not, in the name of a method.
    """
    if problem.linear_operator.svd is None:
        raise CapabilityError(
            f"{name} needs the singular value decomposition of the operator; "
            f"{problem.operator.name} has none that is fast. Use DDS or DiffPIR, which need none."
        )
    if problem.uniform_weight is None:
        raise CapabilityError(
            f"{name} needs white noise, of one level for all measurements. Use DDS or DiffPIR, "
            "which weight each by its own."
        )
    return problem


class MeasuredSpectrum:
    """A measurement along the singular vectors of its operator.

    Attributes
    ----------
    V : LinearOperator
        From coefficients to images.
    known : bool tensor
        True for singular values above rounding.
    seen, std : tensors
        ``u.H y / s`` and the standard deviation of its noise, infinite where nothing is known.
    """

    def __init__(self, problem: Problem) -> None:
        svd = problem.linear_operator.svd
        assert svd is not None
        y = svd.U.H(problem.measurement)
        s = svd.s.to(y.device, y.dtype.to_real())
        std = svd.V.domain.per_sample(torch.as_tensor(problem.uniform_weight).to(s) ** -0.5)
        self.V = svd.V
        self.known = (s > torch.finfo(s.dtype).eps * s.max()) & torch.isfinite(std)
        s = torch.where(self.known, s, 1)
        self.seen, self.std = y / s, torch.where(self.known, std / s, torch.inf)
