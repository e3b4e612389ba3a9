"""ODL's total variation, for benchmarks. Needs the extra `peers`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import numpy as np
import torch

from invgen.bench.peers.parallel import STEP_RATIO, odl_projector
from invgen.operators import Radon


def odl_tv(
    A: Radon, y: torch.Tensor, weight: float, iterations: int, callback: Callable[[float, torch.Tensor], bool]
) -> None:
    """ODL's PDHG on ASTRA's CPU projector, for ``|A x - y|^2 / 2 + weight * TV(x)``.

    `callback` gets the seconds spent, its own not counted, and the image; it returns True to stop.
    """
    import odl

    space, ray = odl_projector(A.geometry)
    gradient = odl.Gradient(space, method="forward", pad_mode="symmetric")
    stacked = odl.BroadcastOperator(ray, gradient)
    # ODL's norms count each ray and each pixel as one here, and so its objective is the plain one
    data = ray.range.element(y.numpy())
    terms = odl.functionals.SeparableSum(
        0.5 * odl.functionals.L2NormSquared(ray.range).translated(data),
        weight * odl.functionals.GroupL1Norm(gradient.range),
    )
    norm = 1.1 * odl.power_method_opnorm(stacked, maxiter=20)
    x, spent, began = space.zero(), 0.0, time.perf_counter()

    class Stop(Exception):
        pass

    def step_done(x: object) -> None:
        nonlocal spent, began
        spent += time.perf_counter() - began
        # ODL's first axis is x, its second y, upwards
        if callback(spent, torch.from_numpy(np.flip(x.asarray().T, 0).copy())):  # type: ignore[attr-defined]
            raise Stop
        began = time.perf_counter()

    with contextlib.suppress(Stop):
        odl.solvers.pdhg(
            x,
            odl.functionals.ZeroFunctional(space),
            terms,
            stacked,
            iterations,
            tau=STEP_RATIO / norm,
            sigma=1 / (STEP_RATIO * norm),
            callback=step_done,
        )
