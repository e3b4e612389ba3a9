"""Parallel-beam CT by ASTRA, ODL, scikit-image, algotom and DeepInverse, each on its own projector.

ASTRA and ODL take the geometry as it is. The others have pixels and bins of side one, and their own idea of
where the axis is: sinograms are divided by the pixel size, and moved by the part of a pixel that is between
their axis and ours, in Fourier space, exactly for what is band-limited.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from invgen.bench.entries import KNOBS, noise_level
from invgen.bench.peers.common import WEIGHT, other, precision
from invgen.bench.peers.deepinverse import import_deepinv, minimized
from invgen.bench.suite import Knob
from invgen.core.errors import CapabilityError
from invgen.operators import Radon
from invgen.operators.tomography.divergent import FanGeometry
from invgen.operators.tomography.geometry import PlanarGeometry
from invgen.problem import Problem

__all__ = ["PARALLEL", "STEP_RATIO", "odl_projector"]

Settings = Mapping[str, float]

_ODL_ITERATIONS = 300
#: Primal over dual step of ODL's PDHG: of 0.003 to 1000, the one that came closest to the optimum at 128x128.
STEP_RATIO = 0.03


def _geometry(problem: Problem, unit_bins: bool = False) -> PlanarGeometry:
    """The scan's geometry.

    Raises
    ------
    CapabilityError
        Where the other package has no parameter for it.
    """
    if not isinstance(problem.operator, Radon) or problem.operator.geometry.detector_offset:
        raise CapabilityError("This entry takes parallel beams whose axis is at the middle of the detector.")
    g = problem.operator.geometry
    if unit_bins and (g.detector_spacing != g.pixel_size or g.image_shape[0] != g.image_shape[1]):
        raise CapabilityError("This entry takes square images, and bins as wide as pixels.")
    return g


def astra_geometries(g: PlanarGeometry) -> tuple[Any, Any]:
    """ASTRA's volume, and its parallel beams or those of a fan on a flat detector."""
    import astra

    half = [n * g.pixel_size / 2 for n in g.image_shape]
    volume = astra.create_vol_geom(*g.image_shape, -half[1], half[1], -half[0], half[0])
    bins = (g.detector_spacing, g.detector_count, g.angles.numpy())
    if isinstance(g, FanGeometry):
        distances = (g.source_origin, g.source_detector - g.source_origin)
        return volume, astra.create_proj_geom("fanflat", *bins, *distances)
    return volume, astra.create_proj_geom("parallel", *bins)


def _astra(problem: Problem, name: str, iterations: int = 1, **options: Any) -> Tensor:
    """An algorithm of ASTRA on its linear-interpolation projector."""
    import astra

    volume, detector = astra_geometries(_geometry(problem))
    projector = astra.create_projector("linear", detector, volume)
    image = astra.data2d.create("-vol", volume)
    sinogram = astra.data2d.create("-sino", detector, problem.measurement.numpy())
    settings = astra.astra_dict(name)
    settings.update({"ProjectorId": projector, "ProjectionDataId": sinogram, "ReconstructionDataId": image})
    settings["option"] = options
    algorithm = astra.algorithm.create(settings)
    try:
        astra.algorithm.run(algorithm, iterations)
        return torch.from_numpy(astra.data2d.get(image))
    finally:
        astra.algorithm.delete(algorithm)
        astra.data2d.delete([image, sinogram])
        astra.projector.delete(projector)


def _astra_fbp(problem: Problem, settings: Settings, seed: int) -> Tensor:
    cutoff = settings.get("cutoff", 1.0)
    return _astra(problem, "FBP", FilterType="hann", FilterD=cutoff)


def _astra_sirt(problem: Problem, settings: Settings, seed: int) -> Tensor:
    return _astra(problem, "SIRT", round(settings["iterations"]), MinConstraint=0.0)


def _astra_cgls(problem: Problem, settings: Settings, seed: int) -> Tensor:
    return _astra(problem, "CGLS", round(settings["iterations"]))


def _odl() -> Any:
    """ODL, whose names no type checker sees."""
    import odl
    import odl.applications.tomo

    return odl


def odl_projector(g: PlanarGeometry) -> tuple[Any, Any]:
    """ODL's space of images and its ray transform, by ASTRA on the CPU. Its first axis is x, its second y."""
    odl = _odl()
    tomo = odl.applications.tomo
    half = [n * g.pixel_size / 2 for n in g.image_shape]
    space = odl.uniform_discr([-half[1], -half[0]], half[::-1], g.image_shape[::-1], dtype="float32")
    step = float(g.angles[1] - g.angles[0])
    # a partition's nodes are the middles of its cells
    angles = odl.uniform_partition(-step / 2, step * (len(g.angles) - 0.5), len(g.angles))
    width = g.detector_count * g.detector_spacing / 2
    geometry = tomo.Parallel2dGeometry(angles, odl.uniform_partition(-width, width, g.detector_count))
    return space, tomo.RayTransform(space, geometry, impl="astra_cpu")


def _odl_tv(problem: Problem, settings: Settings, seed: int) -> Tensor:
    """PDHG, without negative values, in lengths of a pixel: ``|W (A x - y)|^2 / 2 + weight TV(x)``.

    W is one over the noise, relative to its level.
    """
    odl, g = _odl(), _geometry(problem)
    pixel = g.pixel_size
    unit = replace(g, pixel_size=1.0, detector_spacing=g.detector_spacing / pixel)
    space, ray = odl_projector(unit)
    white, level = _whitening(problem)
    data = ray.range.element((white * problem.measurement / pixel).numpy())
    scale = odl.MultiplyOperator(ray.range.element(white.numpy()), domain=ray.range, range=ray.range)
    gradient = odl.Gradient(space, method="forward", pad_mode="symmetric")
    stacked = odl.BroadcastOperator(scale @ ray, gradient)
    misfit = odl.functionals.L2NormSquared(ray.range)
    rays = ray.range.size / misfit(ray.range.one())  # ODL weights each ray by its part of the sinogram
    terms = odl.functionals.SeparableSum(
        0.5 * rays * misfit.translated(data),
        settings["weight"] * level / pixel**2 * odl.functionals.GroupL1Norm(gradient.range),
    )
    start = odl.phantom.white_noise(space, seed=0)
    norm = 1.1 * odl.power_method_opnorm(stacked, xstart=start, maxiter=20)
    x, positive = space.zero(), odl.functionals.IndicatorNonnegativity(space)
    steps = {"tau": STEP_RATIO / norm, "sigma": 1 / (STEP_RATIO * norm)}
    odl.solvers.pdhg(x, positive, terms, stacked, _ODL_ITERATIONS, **steps)
    return torch.from_numpy(np.flip(x.asarray().T, 0).copy())


def _whitening(problem: Problem) -> tuple[Tensor, float]:
    """One over the standard deviation of each ray, relative to the level of the noise; and that level."""
    level = noise_level(problem)
    return torch.as_tensor(precision(problem)).expand(problem.measurement.shape) * level, level


def _moved(problem: Problem, pixels: float, bins: float) -> Tensor:
    """The sinogram, pixels of side one, of an object moved by (-pixels, pixels); and moved by some bins.

    The object is so moved where the other package's pixels are a part of one to the right and below ours.
    """
    g = _geometry(problem, unit_bins=True)
    count = g.detector_count
    shift = pixels * (g.angles.sin() - g.angles.cos()) + bins
    padded = F.pad(problem.measurement.double() / g.pixel_size, (count, 2 * count))
    phase = torch.exp(-2j * math.pi * torch.fft.rfftfreq(4 * count, dtype=torch.float64) * shift[:, None])
    return torch.fft.irfft(torch.fft.rfft(padded) * phase, n=4 * count)[:, count : 2 * count].float()


def _about_pixel(problem: Problem) -> Tensor:
    """The sinogram, for packages that have the axis at the pixel ``N // 2`` and at the bin ``n // 2``."""
    g = _geometry(problem, unit_bins=True)
    n, count = g.image_shape[0], g.detector_count
    return _moved(problem, n // 2 - (n - 1) / 2, count // 2 - (count - 1) / 2)


def _degrees(problem: Problem) -> np.ndarray:
    return np.degrees(_geometry(problem).angles.numpy())


def _skimage_fbp(problem: Problem, settings: Settings, seed: int) -> Tensor:
    from skimage.transform import iradon

    size, sinogram = problem.operator.domain.shape[0], _about_pixel(problem).numpy().T
    image = iradon(sinogram, _degrees(problem), output_size=size, filter_name="hann", circle=False)
    return torch.from_numpy(image).float()


def _skimage_sart(problem: Problem, settings: Settings, seed: int) -> Tensor:
    """Its image has a pixel for each bin, the middle of which is ours."""
    from skimage.transform import iradon_sart

    sinogram, angles = _about_pixel(problem).numpy().T.astype(np.float64), _degrees(problem)
    image = None
    for _ in range(round(settings.get("iterations", 1))):
        image = iradon_sart(sinogram, angles, image)
    assert image is not None
    n, count = problem.operator.domain.shape[0], len(sinogram)
    start = count // 2 - n // 2
    return torch.from_numpy(image[start : start + n, start : start + n].copy()).float()


def _algotom_fbp(problem: Problem, settings: Settings, seed: int) -> Tensor:
    """Its image has a pixel for each bin, and the axis in the middle."""
    from algotom.rec.reconstruction import fbp_reconstruction

    g = _geometry(problem, unit_bins=True)
    n, count = g.image_shape[0], g.detector_count
    start = (count - n) // 2
    sinogram = _moved(problem, (count - n) / 2 - start, 0.0).numpy()
    image = fbp_reconstruction(
        sinogram, (count - 1) / 2, angles=g.angles.numpy(), ratio=None, apply_log=False, gpu=False, ncore=1
    )
    return torch.from_numpy(np.asarray(image)[start : start + n, start : start + n].copy()).float()


def _deepinv_tv(problem: Problem, settings: Settings, seed: int) -> Tensor:
    """Its own Tomography; data and projector divided by the noise."""
    g = _geometry(problem, unit_bins=True)
    n = g.image_shape[0]
    physics = import_deepinv().physics.Tomography(
        angles=torch.rad2deg(g.angles).float(), img_width=n, circle=False, normalize=False
    )
    sinogram = _moved(problem, (g.detector_count - n) % 2 / 2, 0.0)  # its image is padded to a pixel per bin
    white, level = _whitening(problem)
    white = white.T[None, None]
    found = minimized(
        lambda x: white * physics.A(x),
        lambda y: physics.A_adjoint(white * y),
        white * sinogram.T[None, None],
        (1, 1, n, n),
        settings["weight"] * level / g.pixel_size**2,
        step=100.0,
    )
    return found[0, 0]


#: Entries on parallel beams.
PARALLEL = (
    other("astra-fbp", ("astra-toolbox",), _astra_fbp, KNOBS["fbp"], has_default=True),
    other("astra-sirt", ("astra-toolbox",), _astra_sirt, Knob("iterations", 3, 300)),
    other("astra-cgls", ("astra-toolbox",), _astra_cgls, Knob("iterations", 1, 50)),
    other("odl-tv", ("odl", "astra-toolbox"), _odl_tv, WEIGHT),
    other("skimage-fbp", ("scikit-image",), _skimage_fbp, has_default=True),
    other("skimage-sart", ("scikit-image",), _skimage_sart, Knob("iterations", 1, 20), has_default=True),
    other("algotom-fbp", ("algotom",), _algotom_fbp, has_default=True),
    other("deepinv-tv", ("deepinv",), _deepinv_tv, WEIGHT),
)
