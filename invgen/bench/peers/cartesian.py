"""Cartesian MRI by SigPy and DeepInverse, each with its own Fourier transform and coils.

Both multiply k-space by the square root of weights, which are the mask; images, maps and the centre of
k-space lie as ours do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invgen.bench.peers.common import WEIGHT, other, relative_weight
from invgen.bench.peers.deepinverse import channels, from_channels, minimized, multicoil
from invgen.bench.suite import Knob
from invgen.core.errors import CapabilityError
from invgen.operators import MRI
from invgen.problem import Problem

__all__ = ["CARTESIAN"]

Settings = Mapping[str, float]

_ITERATIONS = 200


def _operator(problem: Problem) -> tuple[MRI, Tensor]:
    """The operator and its coil maps."""
    A = problem.operator
    if not isinstance(A, MRI) or A.coils is None:
        raise CapabilityError("This entry takes Cartesian MRI by coils.")
    return A, A.coils.to(problem.measurement.dtype)


def _sigpy(problem: Problem, app: str, *weights: float, **options: Any) -> Tensor:
    """An app of SigPy; of its random start of the power iteration nothing is left in the image."""
    import sigpy.mri.app

    A, maps = _operator(problem)
    mask = A.mask.numpy().astype(np.float32)
    run = getattr(sigpy.mri.app, app)(
        problem.measurement.numpy(), maps.numpy(), *weights, weights=mask, show_pbar=False, **options
    )
    return torch.from_numpy(np.asarray(run.run())).to(maps.dtype)


def _sigpy_sense(problem: Problem, settings: Settings, seed: int) -> Tensor:
    return _sigpy(problem, "SenseRecon", settings.get("regularization", 0.0))


def _sigpy_wavelets(problem: Problem, settings: Settings, seed: int) -> Tensor:
    return _sigpy(problem, "L1WaveletRecon", relative_weight(problem, settings), max_iter=_ITERATIONS)


def _sigpy_tv(problem: Problem, settings: Settings, seed: int) -> Tensor:
    return _sigpy(problem, "TotalVariationRecon", relative_weight(problem, settings), max_iter=_ITERATIONS)


def _deepinv_tv(problem: Problem, settings: Settings, seed: int) -> Tensor:
    A, maps = _operator(problem)
    physics, kspace = multicoil(A, maps), channels(problem.measurement)
    shape, weight = (1, 2, *A.domain.shape), relative_weight(problem, settings)
    return from_channels(minimized(physics.A, physics.A_adjoint, kspace, shape, weight))


#: Entries on Cartesian k-space.
CARTESIAN = (
    other("sigpy-sense", ("sigpy",), _sigpy_sense, Knob("regularization", 1e-4, 1.0), has_default=True),
    other("sigpy-wavelets", ("sigpy",), _sigpy_wavelets, WEIGHT),
    other("sigpy-tv", ("sigpy",), _sigpy_tv, WEIGHT),
    other("deepinv-tv", ("deepinv",), _deepinv_tv, WEIGHT),
)
