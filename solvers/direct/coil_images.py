"""Direct reconstruction of Cartesian MRI: images of each coil, combined."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from invgen.core.batching import each_alone
from invgen.core.errors import CapabilityError
from invgen.operators.mri import MRI, Fourier
from invgen.problem import Problem
from invgen.solvers.base import Solver
from invgen.solvers.direct.base import DirectSolver

__all__ = ["RootSumOfSquares", "ZeroFilled", "ZeroFilling", "cartesian"]


class ZeroFilling:
    """Images of zero-filled k-space: what the operator alone determines is computed once.

    Samples that were weighted have their values back, and what is not sampled is none of the data.

    Parameters
    ----------
    A : MRI
    like : tensor
        With the device and the precision of the data.
    """

    def __init__(self, A: MRI, like: torch.Tensor) -> None:
        self._space, self._transform, self._has_coils = A.range, Fourier(A.domain.shape), bool(A.coil_count)
        mask = A.mask.to(like.device, like.dtype.to_real())
        self._sampled = mask > 0
        self._mask = torch.where(self._sampled, mask, 1)
        maps, self._weights = A.coils, None
        if maps is not None:
            maps = maps.to(like.device, torch.complex128)
            power = maps.abs().square().sum(0)
            self._weights = torch.where(power > 0, maps / power, 0).to(like)

    def coils(self, y: torch.Tensor) -> torch.Tensor:
        """Images of each coil, (batch, coils, *image_shape), of data (batch, ...)."""
        images = self._transform.H(torch.where(self._sampled, y / self._mask, 0))
        return images if self._has_coils else images.unsqueeze(1)

    def __call__(self, y: torch.Tensor) -> torch.Tensor:
        """Coil images of data (*batch, ...), combined by their sensitivities: see `ZeroFilled`."""
        return each_alone(self._combined, y, self._space.ndim)

    def _combined(self, y: torch.Tensor) -> torch.Tensor:
        images, weights = self.coils(y), self._weights
        return images.squeeze(1) if weights is None else torch.linalg.vecdot(weights, images, dim=1)


def cartesian(problem: Problem, solver: Solver) -> MRI:
    """The operator of a problem, which is Cartesian MRI.

    Raises
    ------
    CapabilityError
        Where it is not.
    """
    A = problem.operator
    if not isinstance(A, MRI):
        raise CapabilityError(
            f"{solver.name} needs Cartesian k-space (MRI); {A.name} has none. Use Gridding for "
            "NonCartesianMRI, CG for others."
        )
    return A


@dataclass(frozen=True, kw_only=True)
class RootSumOfSquares(DirectSolver):
    """Magnitude of Cartesian MRI without sensitivities: ``sqrt(sum_c |F.H y_c|^2)``, Roemer et al. (1990).

    k-space is zero where it is not sampled, so that undersampling aliases. The maps of the operator play no
    role, nor does noise; for a single coil it is the magnitude of its image. The imaginary part is zero.
    """

    def image(self, problem: Problem) -> torch.Tensor:
        """The image, shape (*batch, *image_shape)."""
        A = cartesian(problem, self)
        filling = ZeroFilling(A, problem.measurement)

        def image(y: torch.Tensor) -> torch.Tensor:
            return torch.linalg.vector_norm(filling.coils(y), dim=1).to(y.dtype)

        return each_alone(image, problem.measurement, A.range.ndim)

    def confined(self, problem: Problem, x: torch.Tensor) -> torch.Tensor:
        """`x`, also where the maps are zero."""
        return x


@dataclass(frozen=True, kw_only=True)
class ZeroFilled(DirectSolver):
    """Coil images of zero-filled k-space, combined by their sensitivities, Roemer et al. (1990).

    ``sum_c conj(s_c) F.H y_c / sum_c |s_c|^2``, zero where no coil sees anything; without maps ``F.H y``. For
    full sampling the least-squares solution, of best signal to noise where the coils' noise is white; else
    see `invgen.operators.coils.whitening_matrix`. Undersampling aliases: CG with the same operator is SENSE.
    """

    def image(self, problem: Problem) -> torch.Tensor:
        """The image, shape (*batch, *image_shape)."""
        return ZeroFilling(cartesian(problem, self), problem.measurement)(problem.measurement)
