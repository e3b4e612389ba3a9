"""Small instances of every public operator, with several parameter sets each."""

import math

import scipy.sparse
import torch

import invgen as ig
from invgen.operators import (
    MRI,
    Blur,
    ConeBeam,
    Downsample,
    FanBeam,
    Fourier,
    FunctionOperator,
    Gradient,
    Grayscale,
    Identity,
    Mask,
    MatrixOperator,
    Radon,
    Space,
    from_odl,
    from_scipy,
    kernels,
    masks,
    stack,
)
from invgen.operators.odl import import_odl


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def low_rank(m, n, rank, dtype=torch.float64):
    return normal(m, rank, seed=1, dtype=dtype) @ normal(rank, n, seed=2, dtype=dtype)


def shift_right(x):
    """A user's physics: a circular shift; functions with a name can be pickled."""
    return x.roll(1, -1)


def shift_left(y):
    return y.roll(-1, -1)


def keep(x):
    """Gives back the very tensor that it got."""
    return x


def spectrum(x):
    """Complex measurements of real images."""
    return torch.fft.rfft(x, norm="ortho")


def spectrum_adjoint(y):
    padded = torch.cat([y, torch.zeros_like(y[..., 1:5])], dim=-1)
    return torch.fft.ifft(padded, norm="ortho").real * 9 / 9


odl = import_odl()


def cells(*shape, **parameters):
    """Cells that are not squares, of a volume that is not one."""
    return odl.uniform_discr(
        [-1.0] * len(shape), [n / 7 for n in range(3, 3 + len(shape))], shape, **parameters
    )


UNEVEN = [0.1, 0.9, 1.0, 2.2, 4.0, -0.7]


def radon(shape=(9, 8), angles=7, **parameters):
    return Radon(shape, angles, **parameters)


def fan(shape=(9, 8), angles=7, source_origin=20.0, source_detector=31.0, **parameters):
    return FanBeam(shape, angles, source_origin, source_detector, **parameters)


def sampled(*shape, part=0.5):
    """A mask of points or lines, with the middle of k-space among them."""
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(4)) < part
    mask[tuple(n // 2 for n in shape)] = True
    return mask


def maps(*shape):
    return normal(*shape, seed=5, dtype=torch.complex128)


def cone(shape=(4, 5, 6), angles=3, source_origin=12.0, source_detector=20.0, **parameters):
    return ConeBeam(shape, angles, source_origin, source_detector, **parameters)


#: Each class by its name in `invgen.operators`, with the instances that stand for it.
OPERATORS = {
    "Identity": {
        "real": lambda: Identity((5, 4)),
        "complex": lambda: Identity((3, 4), "complex"),
        "line": lambda: Identity((6,)),
    },
    "MatrixOperator": {
        "wide": lambda: MatrixOperator(normal(5, 8)),
        "tall": lambda: MatrixOperator(normal(9, 6), image_shape=(2, 3)),
        "complex": lambda: MatrixOperator(normal(7, 6, dtype=torch.complex128)),
        "rank deficient": lambda: MatrixOperator(low_rank(8, 7, 3)),
        "float32": lambda: MatrixOperator(low_rank(6, 7, 4, dtype=torch.float32)),
        "integers": lambda: MatrixOperator([[1, 0, 2], [0, 3, 0]]),
        "zero": lambda: MatrixOperator(torch.zeros(3, 4)),
    },
    "FunctionOperator": {
        "roll": lambda: FunctionOperator(shift_right, shift_left, (3, 5), (3, 5)),
        "keep": lambda: FunctionOperator(keep, keep, (4,), (4,)),
        "real to complex": lambda: FunctionOperator(spectrum, spectrum_adjoint, (9,), Space((5,), "complex")),
    },
    "from_scipy": {
        "sparse": lambda: from_scipy(scipy.sparse.csr_matrix(normal(6, 8).numpy()), image_shape=(2, 4)),
        "sparse array": lambda: from_scipy(scipy.sparse.csc_array(normal(6, 5).numpy())),
        "complex": lambda: from_scipy(scipy.sparse.csr_array(normal(5, 6, dtype=torch.complex128).numpy())),
        "linear operator": lambda: from_scipy(
            scipy.sparse.linalg.aslinearoperator(normal(5, 6, dtype=torch.complex128).numpy())
        ),
    },
    "from_odl": {
        "gradient": lambda: from_odl(odl.Gradient(cells(4, 5))),
        "weights": lambda: from_odl(
            odl.IdentityOperator(odl.rn((3, 2), weighting=normal(3, 2).exp().numpy()))
        ),
        "complex": lambda: from_odl((1 + 2j) * odl.PartialDerivative(cells(3, 4, dtype=complex), 0)),
        "real to complex": lambda: from_odl(odl.ComplexEmbedding(cells(6), 2 - 1j)),
        "transform": lambda: from_odl(
            odl.trafos.DiscreteFourierTransform(cells(4, 3, dtype=complex), impl="numpy")
        ),
        "tuple": lambda: from_odl(
            odl.BroadcastOperator(odl.Gradient(cells(3, 4)), odl.Laplacian(cells(3, 4)))
        ),
        "from a tuple": lambda: from_odl(
            odl.ReductionOperator(odl.IdentityOperator(cells(3, 4)), odl.Divergence(range=cells(3, 4)))
        ),
        "number": lambda: from_odl(odl.InnerProductOperator(cells(5).element(normal(5).numpy()))),
    },
    "Gradient": {
        "odd": lambda: Gradient((5, 7)),
        "even": lambda: Gradient((6, 4)),
        "complex": lambda: Gradient((4, 5), field="complex"),
        "volume": lambda: Gradient((3, 4, 2), axes=(-3, -2, -1)),
        "one axis": lambda: Gradient((4, 6), axes=(-1,)),
        "first axis": lambda: Gradient((4, 6), axes=(-2,)),
        "single row": lambda: Gradient((1, 6)),
    },
    "Mask": {
        "odd": lambda: Mask(masks.random_pixels((5, 7), 0.4, seed=0)),
        "even": lambda: Mask(masks.box((6, 4), (2, 3))),
        "colors": lambda: Mask(masks.random_pixels((4, 5), 0.5, seed=1), image_shape=(3, 4, 5)),
        "complex": lambda: Mask(masks.random_pixels((4, 5), 0.5, seed=1), field="complex"),
        "weights": lambda: Mask(normal(4, 5)),
        "float32": lambda: Mask(normal(4, 3, dtype=torch.float32).abs()),
        "volume": lambda: Mask(masks.box((3, 4, 2), (1, 2, 2)), field="complex"),
        "lost": lambda: Mask(torch.zeros(3, 4)),
    },
    "Fourier": {
        "odd": lambda: Fourier((5, 7)),
        "even": lambda: Fourier((4, 6)),
        "mixed": lambda: Fourier((6, 5)),
        "line": lambda: Fourier((9,)),
        "volume": lambda: Fourier((2, 3, 4)),
        "one axis": lambda: Fourier((4, 5), axes=(-1,)),
        "two of three axes": lambda: Fourier((3, 4, 3), axes=(0, 2)),
        "single row": lambda: Fourier((1, 6)),
    },
    "MRI": {
        "odd": lambda: MRI((5, 7), sampled(5, 7)),
        "even": lambda: MRI((6, 6), sampled(6, 6)),
        "rectangular": lambda: MRI((4, 9), sampled(4, 9)),
        "full": lambda: MRI((5, 6), True),
        "lines": lambda: MRI((5, 8), sampled(8)),
        "lines along the rows": lambda: MRI((7, 6), sampled(7, 1)),
        "many lines": lambda: MRI((5, 8), sampled(8, part=0.9)),
        "weights": lambda: MRI((4, 5), normal(4, 5).clamp(min=0)),
        "weights of lines": lambda: MRI((4, 7), normal(7).clamp(min=0)),
        "one coil with a map": lambda: MRI((5, 6), sampled(5, 6), maps(1, 5, 6)),
        "coils": lambda: MRI((5, 4), sampled(5, 4), maps(3, 5, 4)),
        "coils, full": lambda: MRI((4, 5), True, maps(2, 4, 5)),
        "coils, lines": lambda: MRI((4, 7), sampled(7), maps(2, 4, 7)),
        "coils, lines along the rows": lambda: MRI((6, 5), sampled(6, 1), maps(2, 6, 5)),
        "volume": lambda: MRI((3, 4, 5), sampled(3, 4, 5)),
        "volume, lines": lambda: MRI((3, 4, 5), sampled(4, 5), maps(2, 3, 4, 5)),
        "volume, planes": lambda: MRI((3, 4, 5), sampled(5), maps(2, 3, 4, 5)),
        "volume, lines in the middle": lambda: MRI((3, 5, 4), sampled(5, 1)),
        "volume, lines across two ends": lambda: MRI((3, 4, 5), sampled(3, 1, 5)),
    },
    "Grayscale": {
        "odd": lambda: Grayscale((3, 5, 7)),
        "even": lambda: Grayscale((3, 4, 2)),
        "complex": lambda: Grayscale((3, 2, 5), field="complex"),
        "weights": lambda: Grayscale((4, 3, 4), weights=(0.5, -1.0, 0.0, 2.0)),
        "volume": lambda: Grayscale((2, 3, 2, 3), weights=(1.0, 1.0)),
    },
    "Downsample": {
        "block": lambda: Downsample((8, 6), 2),
        "block odd": lambda: Downsample((9, 7), 3),
        "block colors": lambda: Downsample((3, 6, 4), (3, 2)),
        "bicubic": lambda: Downsample((8, 6), 2, "bicubic"),
        "bicubic odd": lambda: Downsample((9, 5), 3, "bicubic"),
        "bicubic complex": lambda: Downsample((2, 5, 6), 3, "bicubic", field="complex"),
        "lanczos": lambda: Downsample((12, 4), 4, "lanczos"),
        "lanczos colors": lambda: Downsample((3, 7, 5), (2, 1), "lanczos"),
    },
    "Blur": {
        "circular": lambda: Blur((6, 8), kernels.gaussian_kernel(0.8, truncate=2.0)),
        "circular odd": lambda: Blur((5, 7), normal(3, 2)),
        "circular box": lambda: Blur((6, 4), torch.ones(2, 2) / 4),
        "circular colors": lambda: Blur((3, 4, 5), normal(3, 3)),
        "circular complex": lambda: Blur((5, 4), normal(3, 2, dtype=torch.complex128), field="complex"),
        "circular volume": lambda: Blur((3, 4, 5), normal(3, 2, 3)),
        "circular, large kernel": lambda: Blur((4, 3), normal(7, 8)),
        "reflect": lambda: Blur((7, 6), normal(3, 4), boundary="reflect"),
        "reflect symmetric": lambda: Blur((6, 5), kernels.gaussian_kernel(0.7, truncate=2.0), "reflect"),
        "reflect colors": lambda: Blur(
            (2, 5, 4), kernels.gaussian_kernel((0.6, 0.4), truncate=2.0), "reflect"
        ),
        "reflect complex": lambda: Blur((4, 5), normal(3, 3), "reflect", field="complex"),
        "reflect volume": lambda: Blur((3, 4, 3), kernels.gaussian_kernel(0.5, 3, truncate=2.0), "reflect"),
        "reflect, large kernel": lambda: Blur((3, 4), normal(8, 11), "reflect"),
        "zero": lambda: Blur((7, 6), normal(3, 4), boundary="zero"),
        "zero motion": lambda: Blur((8, 9), kernels.motion_kernel(3.5, 0.4), "zero"),
        "zero complex": lambda: Blur((4, 5), normal(2, 3, dtype=torch.complex128), "zero", field="complex"),
        "zero volume": lambda: Blur((2, 3, 4, 3), normal(3, 2, 1), "zero"),
        "zero line": lambda: Blur((9,), normal(4), "zero"),
    },
    "Radon": {
        "odd": lambda: radon((9, 9), 8),
        "even": lambda: radon((8, 8), 7),
        "rectangular": lambda: radon((6, 11), 9),
        "tall": lambda: radon((11, 6), UNEVEN),
        "one view": lambda: radon((6, 7), 1),
        "units": lambda: radon(pixel_size=0.3, detector_spacing=0.21, detector_offset=0.1),
        "coarse detector": lambda: radon(detector_spacing=1.7, detector_offset=-0.6),
        "disc": lambda: radon((10, 10), 9, detector_count=10),
        "disc with offset": lambda: radon((10, 9), 9, detector_count=11, detector_offset=0.8),
        "wide disc": lambda: radon((8, 8), 5, detector_count=16, fov="disc"),
        "truncated": lambda: radon((10, 10), 9, detector_count=7, fov="image"),
        "truncated with offset": lambda: radon(
            (9, 8), UNEVEN, detector_count=6, detector_offset=1.1, fov="image"
        ),
        "joseph": lambda: radon(method="joseph"),
        "joseph rectangular": lambda: radon((6, 11), UNEVEN, method="joseph"),
        "joseph units": lambda: radon(
            method="joseph", pixel_size=0.3, detector_spacing=0.21, detector_offset=0.1
        ),
        "joseph coarse detector": lambda: radon(method="joseph", detector_spacing=2.3, detector_offset=-0.6),
        "joseph disc": lambda: radon((10, 10), 9, detector_count=10, method="joseph"),
        "joseph truncated": lambda: radon((10, 10), 9, detector_count=7, fov="image", method="joseph"),
        "joseph axes": lambda: radon((5, 6), [0.0, math.pi / 2, math.pi / 4, math.pi], method="joseph"),
    },
    "FanBeam": {
        "odd": lambda: fan((9, 9), 8),
        "even": lambda: fan((8, 8), 7),
        "rectangular": lambda: fan((6, 11), UNEVEN),
        "tall": lambda: fan((11, 6), UNEVEN, source_origin=7.0, source_detector=7.0),
        "one view": lambda: fan((6, 7), 1),
        "units": lambda: fan((9, 8), 7, 5.0, 8.0, pixel_size=0.3, detector_spacing=0.21, detector_offset=0.1),
        "coarse detector": lambda: fan(detector_spacing=3.7, detector_offset=-0.6),
        "curved": lambda: fan(curved=True),
        "curved with offset": lambda: fan((8, 9), 5, 7.0, 9.0, curved=True, detector_offset=0.8),
        "wide fan": lambda: fan((8, 8), 5, source_origin=5.8, source_detector=6.0),
        "disc": lambda: fan((10, 10), 9, detector_count=12),
        "truncated": lambda: fan((10, 10), 9, detector_count=9, detector_offset=1.1, fov="image"),
        "far source": lambda: fan((7, 8), 6, source_origin=1e6, source_detector=1e6),
    },
    "ConeBeam": {
        "odd": lambda: cone((5, 7, 7), 3),
        "even": lambda: cone((4, 6, 6), 4),
        "rectangular": lambda: cone((3, 4, 7), UNEVEN[:4]),
        "one slice": lambda: cone((1, 5, 6), 3),
        "units": lambda: cone(
            (3, 5, 4), 3, 4.0, 5.0, voxel_size=0.3, detector_spacing=(0.2, 0.25), detector_offset=(0.1, -0.2)
        ),
        "coarse detector": lambda: cone(detector_spacing=2.9),
        "few rows": lambda: cone((6, 5, 5), 3, detector_shape=(3, 9), detector_offset=(1.2, 0.0)),
        "disc": lambda: cone((3, 7, 7), 3, detector_shape=(5, 8)),
        "far source": lambda: cone((3, 4, 5), 3, 1e6, 1e6),
    },
    "stack": {
        "equal": lambda: stack([MatrixOperator(normal(4, 6, seed=i)) for i in range(3)]),
        "unequal": lambda: stack(
            [MatrixOperator(normal(4, 6)), MatrixOperator(normal(3, 6)), Identity((6,))]
        ),
        "mixed fields": lambda: stack(
            [Identity((9,)), FunctionOperator(spectrum, spectrum_adjoint, (9,), Space((5,), "complex"))]
        ),
        "unequal adjoint": lambda: stack([MatrixOperator(normal(4, 6)), Identity((6,))]).H,
        "projections": lambda: stack([radon(), radon(angles=3)]),
    },
    # the classes of the algebra, which have no public constructor but the operators themselves
    "LinearOperator": {
        "sum": lambda: MatrixOperator(normal(5, 6)) + MatrixOperator(normal(5, 6, seed=1)),
        "difference": lambda: radon() - radon(method="joseph"),
        "negative": lambda: -Gradient((4, 3)),
        "product": lambda: (
            MatrixOperator(normal(5, 12)) @ FunctionOperator(keep_flat, keep_grid, (4, 3), (12,))
        ),
        "product with structure": lambda: radon((8, 8), 6) @ (2.0 * Identity((8, 8))),
        "multiple": lambda: -2.5 * MatrixOperator(normal(4, 6)),
        "complex multiple": lambda: (1 - 2j) * MatrixOperator(normal(4, 6, dtype=torch.complex128)),
        "zero": lambda: 0 * MatrixOperator(normal(4, 6)),
        "multiple of the identity": lambda: Identity((4, 4)) * 3,
        "adjoint": lambda: MatrixOperator(normal(4, 6, dtype=torch.complex128)).H,
        "adjoint of projections": lambda: radon().H,
        "gram": lambda: MatrixOperator(normal(4, 6)).gram,
        "gram of projections": lambda: radon((7, 8), 5).gram,
        "gram in a disc": lambda: radon((10, 9), 5, detector_count=9).gram,
        "gram of truncated projections": lambda: radon((9, 9), 5, detector_count=5, fov="image").gram,
    },
}


def keep_flat(x):
    return x.flatten(-2)


def keep_grid(y):
    return y.unflatten(-1, (4, 3))


class Square(ig.operators.Operator):
    """A nonlinear operator: derivatives are PyTorch's."""

    def __init__(self):
        super().__init__((3, 4), (4, 4))

    def _apply(self, x):
        return torch.cat([x**2, x.sum(-2, keepdim=True)], dim=-2)


OPERATORS["Operator"] = {"nonlinear": Square}

#: What is public and no operator.
NO_OPERATORS = {"SVD", "Calibration", "ProductSpace", "Space", "calibrate", "kernels", "masks"}
