"""Small problems that solvers are checked on."""

import torch

import invgen as ig
from invgen.noise import Gaussian, Poisson
from invgen.operators import (
    MRI,
    ConeBeam,
    FanBeam,
    Identity,
    Mask,
    MatrixOperator,
    NonCartesianMRI,
    Radon,
    Saturation,
    trajectories,
)

#: Iterations that take a solver some of the way.
FEW = {"iterations": 12}


def image(*shape, dtype=torch.float64):
    x = torch.zeros(*shape, dtype=dtype)
    x[..., 3:8, 4:9] = 1
    return x


def deblurring():
    """Complex images, real and imaginary part seen through the same matrix."""
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(60, 80, generator=generator, dtype=torch.complex128)
    A = MatrixOperator(matrix, image_shape=(8, 10))
    x = torch.stack([image(8, 10, dtype=torch.complex128), 2j * image(8, 10, dtype=torch.complex128)])
    noise = Gaussian(0.5)
    return ig.Problem(A, noise.sample(A(x), seed=0), noise)


def denoising():
    noise = Gaussian(0.1)
    return ig.Problem(Identity((9, 12)), noise.sample(image(2, 9, 12), seed=0), noise)


def weighted():
    """Each ray has its own noise, and some see nothing."""
    A = Radon((12, 12), angles=10)
    std = 0.1 + 0.4 * torch.rand(
        A.range.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    std[::3, ::4] = torch.inf
    noise = Gaussian(std)
    return ig.Problem(A, noise.sample(A(image(2, 12, 12)), seed=0), noise)


def fan():
    """A short scan with a curved detector."""
    angles = 0.2 + torch.arange(14, dtype=torch.float64) * 0.3
    A = FanBeam((12, 12), angles, 24.0, 36.0, curved=True)
    noise = Gaussian(0.1)
    return ig.Problem(A, noise.sample(A(image(2, 12, 12)), seed=0), noise)


def cone():
    A = ConeBeam((4, 12, 12), 8, 24.0, 36.0)
    noise = Gaussian(0.1)
    return ig.Problem(A, noise.sample(A(image(2, 4, 12, 12)), seed=0), noise)


def resonance(coils=3):
    """Complex images, half of the lines of k-space, and without maps where there are no coils."""
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(coils, 9, 12, generator=generator, dtype=torch.complex128) if coils else None
    mask = torch.rand(12, generator=generator) < 0.5
    A = MRI((9, 12), mask, maps)
    noise = Gaussian(0.1)
    x = image(2, 9, 12, dtype=torch.complex128) * torch.tensor([1, 2j]).reshape(2, 1, 1)
    return ig.Problem(A, noise.sample(A(x), seed=0), noise)


def half(coils=3, every=1):
    """Complex images, rows of k-space from three before its middle on; the last ones with gaps."""
    generator = torch.Generator().manual_seed(1)
    maps = torch.randn(coils, 15, 12, generator=generator, dtype=torch.complex128) if coils else None
    k = torch.arange(15)[:, None] - 7
    A = MRI((15, 12), (k >= -3) & ((k <= 3) | (k % every == 0)), maps)
    noise = Gaussian(0.1)
    x = image(2, 15, 12, dtype=torch.complex128) * torch.tensor([1, 2j]).reshape(2, 1, 1)
    return ig.Problem(A, noise.sample(A(x), seed=0), noise)


def half_of_one_coil():
    return half(coils=None)


def half_undersampled():
    return half(every=2)


def single_coil():
    return resonance(coils=None)


def radial(coils=None):
    A = NonCartesianMRI((10, 12), trajectories.radial(16, 12), coils)
    x = image(2, 10, 12, dtype=torch.complex128) * torch.tensor([1, 2j]).reshape(2, 1, 1)
    noise = Gaussian(0.1)
    return ig.Problem(A, noise.sample(A(x), seed=0), noise)


def radial_coils():
    """Three coils, none of which sees the first columns."""
    maps = torch.randn(3, 10, 12, generator=torch.Generator().manual_seed(2), dtype=torch.complex128)
    maps[..., :2] = 0
    return radial(maps)


def counts():
    """Quanta along the rays of two discs."""
    A = Radon((12, 12), angles=10, method="joseph")
    noise = Poisson(0.5)
    return ig.Problem(A, noise.sample(A(10 * image(2, 12, 12)), seed=0), noise)


def inpainting():
    """Half of the pixels, which weigh differently in the second half of the image."""
    generator = torch.Generator().manual_seed(3)
    A = Mask(torch.rand(9, 12, generator=generator) < 0.5)
    noise = Gaussian(torch.linspace(0.05, 0.1, 12).expand(9, 12))
    return ig.Problem(A, noise.sample(A(image(2, 9, 12)), seed=0), noise)


def lost():
    """Half of the pixels, which weigh alike."""
    A = Mask(torch.rand(9, 12, generator=torch.Generator().manual_seed(3)) < 0.5)
    noise = Gaussian(0.1)
    return ig.Problem(A, noise.sample(A(image(2, 9, 12)), seed=0), noise)


def saturated():
    """A detector that clips, before its noise: not linear."""
    A, noise = Saturation((9, 12), high=0.8), Gaussian(0.1)
    return ig.Problem(A, noise.sample(A(image(2, 9, 12)), seed=0), noise)
