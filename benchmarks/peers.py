"""Other packages behind the interface of ours, for benchmarks. Needs the extra `peers`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import astra
import numpy as np
import torch

from invgen.core.frozen import Constant
from invgen.operators import FanBeam, FunctionOperator, LinearOperator, Radon

#: Primal over dual step of ODL's PDHG: of 0.003 to 1000, the one that came closest to the optimum at 128x128.
_STEP_RATIO = 0.03


class Astra:
    """ASTRA's CPU projector with the geometry of a `Radon`, or of a flat `FanBeam` (kind "line_fanflat").

    Data stay in ASTRA's own memory between calls.
    """

    def __init__(self, A: Radon | FanBeam, kind: str = "linear") -> None:
        g = A.geometry
        half = [n * g.pixel_size / 2 for n in g.image_shape]
        volume = astra.create_vol_geom(*g.image_shape, -half[1], half[1], -half[0], half[0])
        bins = (g.detector_spacing, g.detector_count, g.angles.numpy())
        if isinstance(A, FanBeam):
            distances = (g.source_origin, g.source_detector - g.source_origin)
            detector = astra.create_proj_geom("fanflat", *bins, *distances)
        else:
            detector = astra.create_proj_geom("parallel", *bins)
        self._projector = astra.create_projector(kind, detector, volume)
        self._image = astra.data2d.create("-vol", volume)
        self._sinogram = astra.data2d.create("-sino", detector)
        self._forward = self._algorithm("FP", "VolumeDataId")
        self._adjoint = self._algorithm("BP", "ReconstructionDataId")
        self.shapes, self._spectrum = (A.domain.shape, A.range.shape), A.spectrum

    def _algorithm(self, name: str, image: str) -> int:
        settings = astra.astra_dict(name)
        settings.update(
            {"ProjectorId": self._projector, "ProjectionDataId": self._sinogram, image: self._image}
        )
        return astra.algorithm.create(settings)

    def project(self) -> None:
        """Forward projection of what is in memory: the bare algorithm, nothing copied."""
        astra.algorithm.run(self._forward)

    def backproject(self) -> None:
        """Its transpose."""
        astra.algorithm.run(self._adjoint)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Project a float32 image."""
        astra.data2d.store(self._image, x.numpy())
        self.project()
        return torch.from_numpy(astra.data2d.get(self._sinogram))

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Backproject a float32 sinogram."""
        astra.data2d.store(self._sinogram, y.numpy())
        self.backproject()
        return torch.from_numpy(astra.data2d.get(self._image))

    def operator(self) -> LinearOperator:
        """As an operator of ours, with the preconditioner of the `Radon` that it was made from."""
        return _AstraOperator(self.forward, self.adjoint, *self.shapes, self._spectrum)


class _AstraOperator(FunctionOperator):
    def __init__(self, forward, adjoint, domain, range, spectrum) -> None:
        super().__init__(forward, adjoint, domain, range)
        self._spectrum = spectrum

    @property
    def spectrum(self) -> Constant:
        return self._spectrum


def odl_tv(
    A: Radon, y: torch.Tensor, weight: float, iterations: int, callback: Callable[[float, torch.Tensor], bool]
) -> None:
    """ODL's PDHG on ASTRA's CPU projector, for ``|A x - y|^2 / 2 + weight * TV(x)``.

    `callback` gets the seconds spent, its own not counted, and the image; it returns True to stop.
    """
    import odl
    from odl.applications import tomo

    g = A.geometry
    half = [n * g.pixel_size / 2 for n in g.image_shape]
    space = odl.uniform_discr([-half[1], -half[0]], half[::-1], g.image_shape[::-1], dtype="float32")
    step = float(g.angles[1] - g.angles[0])
    # a partition's nodes are the middles of its cells
    angles = odl.uniform_partition(-step / 2, step * (len(g.angles) - 0.5), len(g.angles))
    width = g.detector_count * g.detector_spacing / 2
    geometry = tomo.Parallel2dGeometry(angles, odl.uniform_partition(-width, width, g.detector_count))
    ray = tomo.RayTransform(space, geometry, impl="astra_cpu")
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
            tau=_STEP_RATIO / norm,
            sigma=1 / (_STEP_RATIO * norm),
            callback=step_done,
        )
