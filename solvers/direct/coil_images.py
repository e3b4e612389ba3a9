"""Direct reconstruction of Cartesian MRI: images of each coil, combined."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from invgen.core.batching import each_alone
from invgen.core.errors import CapabilityError
from invgen.operators.mri import MRI, Fourier
from invgen.problem import Problem
from invgen.solvers.base import Solver
from invgen.solvers.state import State

__all__ = ["RootSumOfSquares", "ZeroFilled"]


@dataclass(frozen=True, kw_only=True)
class _CoilImages(Solver):
    """What both share: zero-filled k-space of each coil, transformed alone."""

    def steps(self, problem: Problem, prepared: None, state: State) -> Iterator[State]:
        """Yield the one image; the start plays no role."""
        A = problem.operator
        if not isinstance(A, MRI):
            raise CapabilityError(
                f"{self.name} needs Cartesian k-space (MRI); {A.name} has none. Use Gridding for "
                "NonCartesianMRI, CG for others."
            )
        mask, inverse = A.mask.to(problem.measurement.real), Fourier(A.domain.shape).H

        def image(y: torch.Tensor) -> torch.Tensor:
            # samples that were weighted have their values back, and what is not sampled is none of the data
            images = inverse(torch.where(mask > 0, y / mask, 0))
            return self._combine(A, images if A.coil_count else images.unsqueeze(1))

        yield State(x=each_alone(image, problem.measurement, A.range.ndim))

    def _combine(self, A: MRI, images: torch.Tensor) -> torch.Tensor:
        """One image from those of the coils, (batch, coils, *image_shape)."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class RootSumOfSquares(_CoilImages):
    """Magnitude of Cartesian MRI without sensitivities: ``sqrt(sum_c |F.H y_c|^2)``, Roemer et al. (1990).

    k-space is zero where it is not sampled, so that undersampling aliases. The maps of the operator play no
    role, nor does noise; for a single coil it is the magnitude of its image. The imaginary part is zero.
    """

    def confined(self, problem: Problem, x: torch.Tensor) -> torch.Tensor:
        """`x`, also where the maps are zero."""
        return x

    def _combine(self, A: MRI, images: torch.Tensor) -> torch.Tensor:
        return torch.linalg.vector_norm(images, dim=1).to(images.dtype)


@dataclass(frozen=True, kw_only=True)
class ZeroFilled(_CoilImages):
    """Coil images of zero-filled k-space, combined by their sensitivities, Roemer et al. (1990).

    ``sum_c conj(s_c) F.H y_c / sum_c |s_c|^2``, zero where no coil sees anything; without maps ``F.H y``. For
    full sampling the least-squares solution, of best signal to noise where the coils' noise is white; else
    see `invgen.operators.coils.whitening_matrix`. Undersampling aliases: CG with the same operator is SENSE.
    """

    def _combine(self, A: MRI, images: torch.Tensor) -> torch.Tensor:
        maps = A.coils
        if maps is None:
            return images.squeeze(1)
        maps = maps.to(images.device, torch.complex128)
        power = maps.abs().square().sum(0)
        weights = torch.where(power > 0, maps / power, 0)
        return torch.linalg.vecdot(weights.to(images), images, dim=1)
