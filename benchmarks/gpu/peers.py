"""Other packages on the same GPU, on the same tensors: ASTRA, without copies where it can, and others."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.gpu.bench import Call
from invgen.bench.peers.deepinverse import import_deepinv
from invgen.bench.peers.parallel import astra_geometries
from invgen.operators import MRI, ConeBeam, FanBeam, Radon

__all__ = ["astra_slices", "astra_volumes", "deepinv_mri", "deepinv_radon", "torch_radon"]


class _AstraVolumes:
    """ASTRA's projectors in space, on tensors of the GPU that it shares by DLPack.

    Parallel beams of a batch of slices are one volume, as many rows of a panel as slices.

    Parameters
    ----------
    A : Radon or ConeBeam
    x : tensor, shape (slices, H, W)
        Image on the GPU, which backprojection overwrites.
    """

    def __init__(self, A: Radon | ConeBeam, x: Tensor) -> None:
        import astra

        self._astra = astra
        g = A.geometry
        depth, height, width = x.shape
        plane = g if isinstance(A, Radon) else g.fan
        pixel = thick = plane.pixel_size
        angles, columns = plane.angles.numpy(), (plane.detector_spacing, plane.detector_count)
        if isinstance(A, Radon):
            projection = astra.create_proj_geom("parallel3d", columns[0], thick, depth, columns[1], angles)
        else:
            bins = (columns[0], g.row_spacing, g.row_count, columns[1])
            distances = (plane.source_origin, plane.source_detector - plane.source_origin)
            projection = astra.create_proj_geom("cone", *bins, angles, *distances)
        half = [n * side / 2 for n, side in ((width, pixel), (height, pixel), (depth, thick))]
        edges = [edge for h in half for edge in (-h, h)]
        volume = astra.create_vol_geom(height, width, depth, *edges)
        shape = astra.geom_size(projection)
        self._y = torch.zeros(shape, device=x.device)
        self._volume = astra.data3d.link("-vol", volume, x)
        self._data = astra.data3d.link("-sino", projection, self._y)

    def run(self, name: str) -> Call:
        """One of "FP3D_CUDA", "BP3D_CUDA" and "FDK_CUDA"."""
        settings = self._astra.astra_dict(name)
        settings["ProjectionDataId"] = self._data
        settings["VolumeDataId" if name == "FP3D_CUDA" else "ReconstructionDataId"] = self._volume
        algorithm = self._astra.algorithm.create(settings)
        return lambda: self._astra.algorithm.run(algorithm)


class _AstraSlices:
    """ASTRA's projectors in the plane, slice after slice; it copies each there and back."""

    def __init__(self, A: Radon | FanBeam, batch: int) -> None:
        import astra

        self._astra, self._batch = astra, batch
        volume, projection = astra_geometries(A.geometry)
        self._projector = astra.create_projector("cuda", projection, volume)
        self._image = astra.data2d.create("-vol", volume)
        self._sinogram = astra.data2d.create("-sino", projection)

    def run(self, name: str) -> Call:
        """One of "FP_CUDA", "BP_CUDA" and "FBP_CUDA"."""
        settings = self._astra.astra_dict(name)
        settings["ProjectorId"], settings["ProjectionDataId"] = self._projector, self._sinogram
        settings["VolumeDataId" if name == "FP_CUDA" else "ReconstructionDataId"] = self._image
        algorithm = self._astra.algorithm.create(settings)
        return lambda: [self._astra.algorithm.run(algorithm) for _ in range(self._batch)]


def _together(calls: Iterable[Call]) -> Call:
    """One call after the other."""
    known = list(calls)
    return lambda: [call() for call in known]


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def astra_volumes(A: Radon | ConeBeam, x: Tensor, *names: str) -> Callable[[], Call | None]:
    """Its algorithms one after the other, or None without ASTRA."""

    return lambda: _together(map(_AstraVolumes(A, x.clone()).run, names)) if _installed("astra") else None


def astra_slices(A: Radon | FanBeam, batch: int, *names: str) -> Callable[[], Call | None]:
    """Its algorithms one after the other, or None without ASTRA."""

    return lambda: _together(map(_AstraSlices(A, batch).run, names)) if _installed("astra") else None


def deepinv_radon(A: Radon, x: Tensor, *directions: str) -> Callable[[], Call | None]:
    """DeepInverse's rotations of the image by ``grid_sample``; directions "A", "A_adjoint", "A_dagger"."""

    def make() -> Call | None:
        if not _installed("deepinv"):
            return None
        degrees = torch.rad2deg(A.geometry.angles).float().to(x.device)
        physics = import_deepinv().physics.Tomography(
            degrees, x.shape[-1], circle=False, normalize=False, device=x.device
        )
        image = x[:, None]
        given: dict[str, Any] = {"A": image}
        given["A_adjoint"] = given["A_dagger"] = physics.A(image) if directions != ("A",) else None
        return _together([lambda d=d: getattr(physics, d)(given[d]) for d in directions])

    return make


def torch_radon(A: Radon, x: Tensor, direction: str) -> Callable[[], Call | None]:
    """torch-radon's "forward" or "backward", on textures."""

    def make() -> Call | None:
        if not _installed("torch_radon"):
            return None
        import torch_radon as package

        g = A.geometry
        radon = package.ParallelBeam(g.detector_count, g.angles.numpy().astype(np.float32))
        given = x if direction == "forward" else radon.forward(x)
        return lambda: getattr(radon, direction)(given)

    return make


def deepinv_mri(A: MRI, x: Tensor) -> Callable[[], Call | None]:
    """DeepInverse's gram of Cartesian MRI."""

    def make() -> Call | None:
        if not _installed("deepinv") or A.coils is None:
            return None
        physics = import_deepinv().physics.MultiCoilMRI(
            mask=A.mask.float()[None, None].to(x.device),
            coil_maps=A.coils[None].to(x),
            img_size=(2, *A.domain.shape),
            device=x.device,
        )
        parts = torch.view_as_real(x).movedim(-1, 1).contiguous()
        return lambda: physics.A_adjoint(physics.A(parts))

    return make
