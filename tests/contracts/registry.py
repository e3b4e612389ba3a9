"""Small instances of every public operator, with several parameter sets each."""

import scipy.sparse
import torch

import invgen as ig
from invgen.operators import (
    FunctionOperator,
    Gradient,
    Identity,
    Map,
    Mask,
    MatrixOperator,
    PhaseRetrieval,
    Saturation,
    Space,
    Wavelet,
    from_odl,
    from_scipy,
    stack,
)
from invgen.operators.odl import import_odl

from .imaging import IMAGING
from .mri import RESONANCE
from .numbers import low_rank, normal
from .sensing import SENSING
from .tomography import TOMOGRAPHY, radon


def shift_right(x):
    """A user's physics: a circular shift; functions with a name can be pickled."""
    return x.roll(1, -1)


def shift_left(y):
    return y.roll(-1, -1)


def keep(x):
    """Returns its argument itself."""
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


#: Each class by its name in `invgen.operators`, with the instances that stand for it.
OPERATORS = {
    **IMAGING,
    **RESONANCE,
    **SENSING,
    **TOMOGRAPHY,
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
    "Wavelet": {
        "even": lambda: Wavelet((16, 8), levels=2),
        "padded": lambda: Wavelet((7, 10), "db2", levels=2),
        "padded complex": lambda: Wavelet((5, 6), "haar", levels=2, field="complex"),
        "shorter than the filter": lambda: Wavelet((4, 6), "coif2", levels=1),
        "line": lambda: Wavelet((12,), "sym4", axes=(-1,)),
        "channels": lambda: Wavelet((3, 4, 6), "haar", levels=1),
        "first axes": lambda: Wavelet((4, 6, 3), "db2", levels=1, axes=(0, 1)),
        "volume": lambda: Wavelet((4, 4, 8), "db3", levels=2, axes=(-3, -2, -1)),
        "biorthogonal": lambda: Wavelet((8, 12), "bior4.4", levels=2),
        "biorthogonal, padded, complex": lambda: Wavelet((7, 6), "rbio2.2", levels=1, field="complex"),
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


def transposed(x):
    return x.mT.sin()


class Square(ig.operators.Operator):
    """A nonlinear operator: derivatives are PyTorch's."""

    def __init__(self):
        super().__init__((3, 4), (4, 4))

    def _apply(self, x):
        return torch.cat([x**2, x.sum(-2, keepdim=True)], dim=-2)


LAYER = normal(5, 12, seed=3)


def decode(z):
    """A generator of one layer, which takes one batch axis: (batch, 5) to images (batch, 3, 4)."""
    return torch.tanh(z @ LAYER.to(z)).reshape(len(z), 3, 4)


def rotated(z):
    """Complex numbers from pairs of their magnitudes and phases."""
    return torch.polar(1 + z[:, 0].square(), z[:, 1])


def decoder():
    return Map(decode, (5,), (3, 4))


OPERATORS |= {
    "Map": {
        "decoder": decoder,
        "real to complex": lambda: Map(rotated, (2, 3, 4), Space((3, 4), "complex")),
        "keep": lambda: Map(keep, (4,), (4,)),
    },
    # classes of nonlinear operators, and compositions that are not linear
    "Operator": {
        "nonlinear": Square,
        "linear after nonlinear": lambda: Mask(torch.eye(3, 4) == 0) @ decoder(),
        "nonlinear after linear": lambda: Saturation((4,), high=0.5) @ MatrixOperator(normal(4, 6)),
        "nonlinear after nonlinear": lambda: (
            PhaseRetrieval((3, 4)) @ Map(rotated, (2, 3, 4), Space((3, 4), "complex"))
        ),
        "three": lambda: Gradient((4, 4)) @ (Square() @ decoder()),
        "to a tuple": lambda: (
            stack([Identity((12,)), MatrixOperator(normal(4, 12))])
            @ FunctionOperator(keep_flat, keep_grid, (4, 3), (12,))
            @ Map(transposed, (3, 4), (4, 3))
        ),
    },
}

#: What is public and no operator.
NO_OPERATORS = {
    "SVD",
    "Calibration",
    "ProductSpace",
    "Space",
    "calibrate",
    "coils",
    "cylindrical_waves",
    "kernels",
    "masks",
    "to_odl",
    "random_codes",
    "sampling",
    "trajectories",
}
