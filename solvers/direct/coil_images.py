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

__all__ = ["RootSumOfSquares", "ZeroFilled", "cartesian", "zero_filled"]


def coil_images(A: MRI, y: torch.Tensor) -> torch.Tensor:
    """Images of zero-filled k-space (batch, ...), shape (batch, coils, *image_shape).

    Samples that were weighted have their values back, and what is not sampled is none of the data.
    """
    mask = A.mask.to(y.device, y.dtype.to_real())
    images = Fourier(A.domain.shape).H(torch.where(mask > 0, y / torch.where(mask > 0, mask, 1), 0))
    return images if A.coil_count else images.unsqueeze(1)


def zero_filled(A: MRI, y: torch.Tensor) -> torch.Tensor:
    """Coil images of zero-filled k-space, combined by their sensitivities: see `ZeroFilled`.

    Parameters
    ----------
    A : MRI
    y : tensor, shape (*batch, *A.range.shape)
    """
    maps, weights = A.coils, None
    if maps is not None:
        maps = maps.to(y.device, torch.complex128)
        power = maps.abs().square().sum(0)
        weights = torch.where(power > 0, maps / power, 0).to(y)

    def image(y: torch.Tensor) -> torch.Tensor:
        images = coil_images(A, y)
        return images.squeeze(1) if weights is None else torch.linalg.vecdot(weights, images, dim=1)

    return each_alone(image, y, A.range.ndim)


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

        def image(y: torch.Tensor) -> torch.Tensor:
            return torch.linalg.vector_norm(coil_images(A, y), dim=1).to(y.dtype)

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
        return zero_filled(cartesian(problem, self), problem.measurement)
