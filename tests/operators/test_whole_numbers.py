"""Whole numbers are those of Python and NumPy; True and 5.0 are none."""

import numpy as np
import pytest
import torch

from invgen.core.errors import InvgenError
from invgen.operators import (
    Downsample,
    GaussianMatrix,
    PhaseRetrieval,
    SinglePixel,
    SubsampledTransform,
    Wavelet,
    coils,
    kernels,
    masks,
    random_codes,
    sampling,
    trajectories,
)


def normal(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.complex128)


def kspace():
    """Four coils with smooth sensitivities, and noise of the last digits."""
    x = torch.zeros(24, 20, dtype=torch.complex128)
    x[8:16, 6:14] = 1
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, 24), torch.linspace(-1, 1, 20), indexing="ij")
    maps = torch.stack([1 + rows, 1 - rows, 1 + columns, 1 - columns])
    return torch.fft.fftshift(torch.fft.fft2(maps * x), dim=(-2, -1)) + 1e-6 * normal(4, 24, 20)


def applied(A):
    return A(A.domain.random(seed=0, dtype=torch.float64))


#: What takes a whole number, of which two is one.
PARAMETERS = {
    "Wavelet levels": lambda n: applied(Wavelet((8, 8), levels=n)),
    "Downsample factor": lambda n: applied(Downsample((8, 6), n)),
    "Downsample factors": lambda n: applied(Downsample((8, 6), (n, 1))),
    "GaussianMatrix m": lambda n: applied(GaussianMatrix((3,), n, seed=0)),
    "SinglePixel m": lambda n: applied(SinglePixel((4, 4), n)),
    "SinglePixel m, random": lambda n: applied(SinglePixel((4, 4), n, "random")),
    "SubsampledTransform m": lambda n: applied(SubsampledTransform((4, 4), n)),
    "PhaseRetrieval oversampling": lambda n: applied(PhaseRetrieval((3, 4), oversampling=n)),
    "random_codes count": lambda n: random_codes(n, (3, 4), seed=0),
    "gaussian_kernel ndim": lambda n: kernels.gaussian_kernel(1.0, ndim=n),
    "random_pixels shape": lambda n: masks.random_pixels((n, 4), 0.5, seed=0),
    "box size": lambda n: masks.box((6, 5), n),
    "box corner": lambda n: masks.box((6, 5), 2, (n, 1)),
    "strokes shape": lambda n: masks.strokes((n, 4), seed=0),
    "strokes count": lambda n: masks.strokes((16, 16), seed=0, count=n),
    "strokes vertices": lambda n: masks.strokes((16, 16), seed=0, vertices=n),
    "equispaced_lines offset": lambda n: sampling.equispaced_lines((16, 16), 4, offset=n),
    "random_lines shape": lambda n: sampling.random_lines((16, n), 1, 0),
    "poisson_disc calibration": lambda n: sampling.poisson_disc((16, 16), 2, (n, 2)),
    "golden_angle number": lambda n: torch.tensor(trajectories.golden_angle(n)),
    "radial spokes": lambda n: trajectories.radial(n, 4),
    "radial samples": lambda n: trajectories.radial(3, n),
    "koosh_ball spokes": lambda n: trajectories.koosh_ball(n, 4),
    "spiral interleaves": lambda n: trajectories.spiral(n, 8, 2.0),
    "density_compensation iterations": lambda n: trajectories.density_compensation(
        trajectories.radial(4, 8), (6, 6), iterations=n
    ),
    "compression_matrix count": lambda n: coils.compression_matrix(normal(4, 9), n),
    "espirit kernel": lambda n: coils.espirit(kspace(), kernel=n, calibration=16),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_whole_numbers_of_numpy_do_what_those_of_python_do(name):
    given = PARAMETERS[name]
    assert torch.equal(given(np.int64(2)), given(2))
    assert torch.equal(given(np.uint8(2)), given(2))


@pytest.mark.parametrize("name", PARAMETERS)
def test_truth_values_and_fractions_are_refused(name):
    for wrong in (True, 2.0, 1.5, -3):
        with pytest.raises(InvgenError):
            PARAMETERS[name](wrong)
