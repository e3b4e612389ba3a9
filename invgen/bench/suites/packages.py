"""Operators of other packages, each called in its own form: for comparisons of speed and accuracy."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invgen.bench.peers.deepinverse import channels, from_channels, import_deepinv, multicoil
from invgen.bench.peers.parallel import astra_geometries
from invgen.core.frozen import Constant
from invgen.operators import (
    MRI,
    Downsample,
    FanBeam,
    FunctionOperator,
    LinearOperator,
    NonCartesianMRI,
    Radon,
    kernels,
)

__all__ = ["IMPLEMENTATIONS", "Astra", "Case", "Implementation"]


@dataclass(frozen=True)
class Case:
    """An operator, an image in single precision, and how far a measurement of it is from what it should be.

    Attributes
    ----------
    name : str
    operator : LinearOperator
        Of invgen.
    x : tensor
    error : callable, optional
        Relative l2 distance of a measurement from a reference in double precision.
    """

    name: str
    operator: LinearOperator
    x: Tensor
    error: Callable[[Tensor], float] | None = None


def _same(x: Any) -> Any:
    return x


@dataclass(frozen=True)
class Implementation:
    """An operator as a package calls it.

    Attributes
    ----------
    forward, adjoint, gram : callable
        On images and data in the package's own form. Some packages have no adjoint; without a gram of its own
        it is the adjoint of the forward operator.
    image, data : pair of callable
        From a tensor of invgen's shape to the package's form, and back.
    """

    forward: Callable[[Any], Any]
    adjoint: Callable[[Any], Any] | None = None
    gram: Callable[[Any], Any] | None = None
    image: tuple[Callable[[Tensor], Any], Callable[[Any], Tensor]] = (_same, _same)
    data: tuple[Callable[[Tensor], Any], Callable[[Any], Tensor]] = (_same, _same)

    def apply(self, x: Tensor) -> Tensor:
        """The forward operator between tensors."""
        return self.data[1](self.forward(self.image[0](x)))

    def transpose(self, y: Tensor) -> Tensor:
        """The adjoint between tensors."""
        assert self.adjoint is not None, "asked for where there is one"
        return self.image[1](self.adjoint(self.data[0](y)))


_Builder = Callable[[Case], Implementation]

#: By package, as entries are named, and by task.
IMPLEMENTATIONS: dict[tuple[str, str], _Builder] = {}


def _implements(package: str, *tasks: str) -> Callable[[_Builder], _Builder]:
    def register(build: _Builder) -> _Builder:
        IMPLEMENTATIONS.update({(package, task): build for task in tasks})
        return build

    return register


_ARRAYS: Any = (Tensor.numpy, torch.from_numpy)
_WITH_CHANNEL: Any = (lambda x: x[None, None], lambda x: x[0, 0])


def _of_invgen(A: LinearOperator) -> Implementation:
    return Implementation(A, A.H, A.gram)


@_implements(
    "invgen",
    *("parallel beam", "fan beam", "Cartesian MRI", "radial MRI", "blur", "block means", "bicubic"),
    *("cosine transform", "random cosines", "Gaussian matrix"),
)
def _invgen(case: Case) -> Implementation:
    return _of_invgen(case.operator)


@_implements("invgen, Joseph", "parallel beam")
def _joseph(case: Case) -> Implementation:
    assert isinstance(case.operator, Radon)
    g = case.operator.geometry
    return _of_invgen(Radon(g.image_shape, g.angles, g.detector_count, method="joseph"))


class Astra:
    """ASTRA's CPU projector with the geometry of a `Radon`, or of a flat `FanBeam` (kind "line_fanflat").

    Data stay in ASTRA's own memory between calls.
    """

    def __init__(self, A: Radon | FanBeam, kind: str = "linear") -> None:
        import astra

        self._astra = astra
        volume, detector = astra_geometries(A.geometry)
        self._projector = astra.create_projector(kind, detector, volume)
        self._image = astra.data2d.create("-vol", volume)
        self._sinogram = astra.data2d.create("-sino", detector)
        self._forward = self._algorithm("FP", "VolumeDataId")
        self._adjoint = self._algorithm("BP", "ReconstructionDataId")
        self.shapes, self._spectrum = (A.domain.shape, A.range.shape), getattr(A, "spectrum", None)

    def _algorithm(self, name: str, image: str) -> int:
        settings = self._astra.astra_dict(name)
        settings.update(
            {"ProjectorId": self._projector, "ProjectionDataId": self._sinogram, image: self._image}
        )
        return self._astra.algorithm.create(settings)

    def store_image(self, x: Tensor) -> None:
        """Put a float32 image into memory."""
        self._astra.data2d.store(self._image, x.numpy())

    def store_sinogram(self, y: Tensor) -> None:
        """Put a float32 sinogram into memory."""
        self._astra.data2d.store(self._sinogram, y.numpy())

    def project(self, _: None = None) -> None:
        """Forward projection of what is in memory: the bare algorithm, nothing copied."""
        self._astra.algorithm.run(self._forward)

    def backproject(self, _: None = None) -> None:
        """Its transpose."""
        self._astra.algorithm.run(self._adjoint)

    def image(self, _: None = None) -> Tensor:
        """The image in memory."""
        return torch.from_numpy(self._astra.data2d.get(self._image))

    def sinogram(self, _: None = None) -> Tensor:
        """The sinogram in memory."""
        return torch.from_numpy(self._astra.data2d.get(self._sinogram))

    def forward(self, x: Tensor) -> Tensor:
        """Project a float32 image."""
        self.store_image(x)
        self.project()
        return self.sinogram()

    def adjoint(self, y: Tensor) -> Tensor:
        """Backproject a float32 sinogram."""
        self.store_sinogram(y)
        self.backproject()
        return self.image()

    def operator(self) -> LinearOperator:
        """As an operator of ours, with the preconditioner of the `Radon` that it was made from."""
        return _AstraOperator(self.forward, self.adjoint, *self.shapes, self._spectrum)


class _AstraOperator(FunctionOperator):
    def __init__(
        self, forward: Any, adjoint: Any, domain: Any, range: Any, spectrum: Constant | None
    ) -> None:
        super().__init__(forward, adjoint, domain, range)
        self._spectrum = spectrum

    @property
    def spectrum(self) -> Constant | None:
        return self._spectrum


@_implements("ASTRA", "parallel beam", "fan beam")
def _astra(case: Case) -> Implementation:
    assert isinstance(case.operator, Radon | FanBeam)
    peer = Astra(case.operator, "line_fanflat" if isinstance(case.operator, FanBeam) else "linear")
    return Implementation(
        peer.project,
        peer.backproject,
        image=(peer.store_image, peer.image),
        data=(peer.store_sinogram, peer.sinogram),
    )


@_implements("scikit-image", "parallel beam")
def _skimage(case: Case) -> Implementation:
    from skimage.transform import iradon, radon

    assert isinstance(case.operator, Radon)
    degrees = np.degrees(case.operator.geometry.angles.numpy())
    n, views = case.x.shape[-1], len(degrees)

    def adjoint(sinogram: np.ndarray) -> np.ndarray:
        """Backprojection without a filter, and without the weight of its integral over the angles."""
        return iradon(sinogram, degrees, output_size=n, filter_name=None) * (2 * views / math.pi)

    return Implementation(
        lambda x: radon(x, degrees, circle=True),
        adjoint,
        image=(lambda x: x.numpy(), torch.from_numpy),
        data=(lambda y: y.numpy().T, lambda y: torch.from_numpy(y.T.copy())),
    )


def _of_deepinv(physics: Any, image: Any = _WITH_CHANNEL, data: Any = _WITH_CHANNEL) -> Implementation:
    return Implementation(physics.A, physics.A_adjoint, physics.A_adjoint_A, image, data)


@_implements("DeepInverse", "parallel beam")
def _deepinv_tomography(case: Case) -> Implementation:
    assert isinstance(case.operator, Radon)
    degrees = torch.rad2deg(case.operator.geometry.angles).float()
    physics = import_deepinv().physics.Tomography(degrees, case.x.shape[-1], circle=True, normalize=False)
    data = (lambda y: y.T[None, None], lambda y: y[0, 0].T)
    return _of_deepinv(physics, data=data)


@_implements("DeepInverse", "Cartesian MRI")
def _deepinv_mri(case: Case) -> Implementation:
    A = case.operator
    assert isinstance(A, MRI)
    assert A.coils is not None
    parts = (channels, from_channels)
    return _of_deepinv(multicoil(A, A.coils), parts, parts)


@_implements("DeepInverse", "blur")
def _deepinv_blur(case: Case) -> Implementation:
    kernel = kernels.gaussian_kernel(2.0).float()
    return _of_deepinv(
        import_deepinv().physics.BlurFFT(img_size=(1, *case.x.shape), filter=kernel[None, None])
    )


@_implements("DeepInverse", "block means", "bicubic")
def _deepinv_downsample(case: Case) -> Implementation:
    """Its squares begin a pixel earlier, which is undone; its image goes on periodically at the edges."""
    assert isinstance(case.operator, Downsample)
    window: Any = "bicubic" if case.name == "bicubic" else torch.full((1, 1, 4, 4), 1 / 16)
    Downsampling = import_deepinv().physics.Downsampling
    image = (lambda x: x.roll((-1, -1), (0, 1))[None, None], lambda x: x[0, 0].roll((1, 1), (0, 1)))
    return _of_deepinv(Downsampling(img_size=(1, *case.x.shape), filter=window, factor=4), image)


@_implements("DeepInverse", "Gaussian matrix")
def _deepinv_matrix(case: Case) -> Implementation:
    physics = import_deepinv().physics.CompressedSensing(
        m=case.operator.range.size,
        img_size=(1, *case.x.shape),
        rng=torch.Generator().manual_seed(0),
    )
    return _of_deepinv(physics, data=(lambda y: y[None], lambda y: y[0]))


@_implements("DeepInverse", "random cosines")
def _deepinv_random(case: Case) -> Implementation:
    half = tuple(n // 2 for n in case.x.shape)
    physics = import_deepinv().physics.StructuredRandom(
        img_size=(1, *case.x.shape), output_size=(1, *half), n_layers=1
    )
    return _of_deepinv(physics)


@_implements("SigPy", "Cartesian MRI")
def _sigpy_cartesian(case: Case) -> Implementation:
    from sigpy.mri.linop import Sense

    A = case.operator
    assert isinstance(A, MRI)
    assert A.coils is not None
    # its mask multiplies by the square root of weights
    linop = Sense(A.coils.numpy(), weights=A.mask.numpy().astype(np.float32))
    return Implementation(linop, linop.H, None, _ARRAYS, _ARRAYS)


@_implements("SigPy", "radial MRI")
def _sigpy_radial(case: Case) -> Implementation:
    from sigpy.mri.linop import Sense

    A = case.operator
    assert isinstance(A, NonCartesianMRI)
    assert A.coils is not None
    shape = A.domain.shape
    places = (A.trajectory * torch.tensor(shape)).numpy().astype(np.float32)
    linop = Sense(A.coils.numpy(), coord=places)
    return Implementation(linop, linop.H, None, _ARRAYS, _ARRAYS)


@_implements("FINUFFT", "radial MRI")
def _finufft(case: Case) -> Implementation:
    """Its transforms in single precision at a tolerance of 1e-4, with nothing around but the coils."""
    import finufft

    A = case.operator
    assert isinstance(A, NonCartesianMRI)
    assert A.coils is not None
    coils, shape = A.coils.numpy(), A.domain.shape
    kx, ky = (2 * math.pi * A.trajectory.reshape(-1, 2).T).float().contiguous().numpy()
    there, back = (
        finufft.Plan(kind, shape, len(coils), 1e-4, sign, "complex64") for kind, sign in ((2, -1), (1, 1))
    )
    for plan in (there, back):
        plan.setpts(kx, ky)
    unit = np.float32(1 / math.sqrt(math.prod(shape)))
    samples = A.range.shape

    def forward(x: np.ndarray) -> np.ndarray:
        return unit * there.execute(coils * x).reshape(samples)

    def adjoint(y: np.ndarray) -> np.ndarray:
        return unit * (coils.conj() * back.execute(y.reshape(len(coils), -1))).sum(0)

    return Implementation(forward, adjoint, None, _ARRAYS, _ARRAYS)


@_implements("SciPy", "cosine transform")
def _scipy(case: Case) -> Implementation:
    from scipy.fft import dctn, idctn

    return Implementation(
        lambda x: dctn(x, norm="ortho"), lambda y: idctn(y, norm="ortho"), None, _ARRAYS, _ARRAYS
    )


@_implements("Pillow", "block means", "bicubic")
def _pillow(case: Case) -> Implementation:
    """Forward only."""
    from PIL import Image

    size = tuple(n // 4 for n in reversed(case.x.shape))

    def forward(picture: Any) -> Any:
        if case.name == "bicubic":
            return picture.resize(size, Image.Resampling.BICUBIC)
        return picture.reduce(4)

    image = (lambda x: Image.fromarray(x.numpy()), lambda x: torch.from_numpy(np.array(x)))
    return Implementation(forward, None, None, image, image)
