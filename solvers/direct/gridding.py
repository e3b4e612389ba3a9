"""Direct reconstruction of non-Cartesian MRI."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from invgen.core.errors import CapabilityError
from invgen.operators.mri import NonCartesianMRI
from invgen.problem import Problem
from invgen.solvers.direct.base import DirectSolver

__all__ = ["Gridding"]


@dataclass(frozen=True, kw_only=True)
class Gridding(DirectSolver):
    """Adjoint of the samples weighted by their density, O'Sullivan (1985), Jackson et al. (1991).

    ``x = sum_c conj(s_c) F.H(w y_c) / sum_c |s_c|^2``, with the weights w of Pipe and Menon (1999): see
    `invgen.operators.trajectories.density_compensation`. Zero where no coil sees anything; one coil without a
    map divides by nothing. For samples that are dense enough everywhere it is close to the inverse;
    where they are not, streaks and swirls show it. Noise plays no role.
    """

    def image(self, problem: Problem) -> torch.Tensor:
        """The image, shape (*batch, *image_shape)."""
        A, y = problem.operator, problem.measurement
        if not isinstance(A, NonCartesianMRI):
            raise CapabilityError(
                f"Gridding needs samples along a trajectory (NonCartesianMRI); {A.name} has none. "
                "Of Cartesian MRI, operator.H is the zero-filled image."
            )
        x = A.H(A.density_compensation.like(y) * y)
        if (maps := A.coils) is not None:
            power = maps.to(x).abs().square().sum(0)
            x = torch.where(power > 0, x / torch.where(power > 0, power, 1), 0)
        return x
