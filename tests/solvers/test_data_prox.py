"""The data's step against the explicit solution of its normal equations."""

import pytest
import torch
from torch.nn.functional import interpolate

import invgen as ig
from invgen.core.counting import count_calls
from invgen.core.space import Space
from invgen.operators import (
    MRI,
    Blur,
    Downsample,
    GaussianMatrix,
    Mask,
    MatrixOperator,
    Radon,
    kernels,
    masks,
    sampling,
)
from invgen.priors.densities.covariances import Stationary
from invgen.solvers.data_prox import DataProx

SHAPE = (8, 8)


OPERATORS = [
    Mask(masks.random_pixels(SHAPE, 0.5, seed=0)),
    Downsample(SHAPE, 2),
    Blur(SHAPE, kernels.gaussian_kernel(0.7)),
    Blur(SHAPE, kernels.gaussian_kernel(0.7), boundary="zero"),
    GaussianMatrix(SHAPE, 20, seed=0),
    Radon(SHAPE, angles=6),
]


def matrix_of(A):
    units = torch.eye(A.domain.size, dtype=torch.float64).reshape(-1, *A.domain.shape)
    return A(units).flatten(1).mT


def random(*shape, seed, dtype=torch.float64):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("A", OPERATORS, ids=lambda A: A.name)
def test_the_move_solves_the_normal_equations(A):
    M, std, rho = matrix_of(A), 0.1, torch.tensor([0.5, 40.0], dtype=torch.float64)
    y, e, z = (random(2, *shape, seed=k) for k, shape in enumerate((A.range.shape, A.range.shape, SHAPE)))
    problem = ig.Problem(A, y, ig.noise.Gaussian(std))
    found = DataProx(problem, 1e-6).move(z, rho, e=e)
    for k in range(2):
        seen = y[k] + e[k]
        if A.observed is not None:
            seen = torch.where(A.observed, seen, 0)
        H = M.mT @ M / std**2 + rho[k] * torch.eye(64, dtype=torch.float64)
        expected = torch.linalg.solve(H, M.mT @ (seen.flatten() - M @ z[k].flatten()) / std**2)
        torch.testing.assert_close(found[k].flatten(), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("A", [A for A in OPERATORS if A.svd is not None], ids=lambda A: A.name)
def test_a_weak_pull_leaves_the_null_space_alone_in_single_precision(A):
    """To divide by the pull what rounding leaves there once made chains of Langevin dynamics diverge."""
    y, z = (random(1, *shape, seed=k) for k, shape in enumerate((A.range.shape, SHAPE)))
    rho = torch.tensor([1e-6], dtype=torch.float64)
    exact, single = (
        DataProx(ig.Problem(A, y.to(dtype), ig.noise.Gaussian(1e-3))).move(z.to(dtype), rho.to(dtype))
        for dtype in (torch.float64, torch.float32)
    )
    torch.testing.assert_close(single.double(), exact, rtol=0, atol=1e-4 * float(exact.abs().max()))


@pytest.mark.parametrize("precision", [0.1, 0.01, 0.001])
def test_the_precision_counts_in_standard_deviations_of_every_direction(precision):
    A = Radon((16, 16), angles=6)
    M = matrix_of(A)
    y, z = A(random(16, 16, seed=0).abs())[None], torch.zeros(1, 16, 16, dtype=torch.float64)
    for rho in (1.0, 100.0):
        problem = ig.Problem(A, y, ig.noise.Gaussian(0.1))
        H = M.mT @ M / 0.1**2 + rho * torch.eye(256, dtype=torch.float64)
        expected = torch.linalg.solve(H, M.mT @ y.flatten() / 0.1**2)
        found = DataProx(problem, precision)(z, torch.tensor([rho], dtype=torch.float64))
        off = found.flatten() - expected
        # an estimate, from how the last steps became shorter
        assert float((off @ H @ off / 256).sqrt()) < 10 * precision


def test_the_matrix_and_its_operator_move_alike():
    A = Downsample(SHAPE, 2)
    y, z, rho = random(1, 4, 4, seed=0), random(1, *SHAPE, seed=1), torch.tensor([3.0], dtype=torch.float64)
    B = MatrixOperator(matrix_of(A), SHAPE)
    ours, theirs = (
        DataProx(ig.Problem(op, data, ig.noise.Gaussian(0.1))).move(z, rho)
        for op, data in ((A, y), (B, y.flatten(1)))
    )
    torch.testing.assert_close(ours, theirs)


def falling(A, count, seed):
    """Centres that move less and less, as their pulls become stronger."""
    z = random(1, *A.domain.shape, seed=seed)
    for k in range(count):
        yield z, torch.tensor([4.0 ** (k + 1)], dtype=torch.float64)
        z = z + 0.5**k * random(1, *A.domain.shape, seed=seed + 1 + k)


@pytest.mark.parametrize("weighted", [False, True])
def test_steps_that_go_on_solve_each_level_for_fewer_grams(weighted):
    A = Radon((16, 16), angles=6)
    M, y = matrix_of(A), A(random(16, 16, seed=0).abs())[None]
    std = 0.1 * (1 + random(*A.range.shape, seed=9).abs()) if weighted else torch.tensor(0.1).double()
    problem = ig.Problem(A, y, ig.noise.Gaussian(std if weighted else 0.1))
    W = std.expand(A.range.shape).flatten() ** -2
    prox, precision = DataProx(problem, 0.01), 0.01
    x, known, grams = problem.zeros(), {}, [0, 0]
    for z, rho in falling(A, 8, seed=3):
        with count_calls(A) as calls:
            x, known = prox.going_on(z, rho, x, known)
        grams[0] += calls["forward"] if weighted else calls["gram"]
        with count_calls(A) as calls:
            prox(z, rho)
        grams[1] += calls["forward"] if weighted else calls["gram"]
        H = M.mT * W @ M + float(rho) * torch.eye(256, dtype=torch.float64)
        expected = torch.linalg.solve(H, M.mT @ (W * y.flatten()) + float(rho) * z.flatten())
        off = x.flatten() - expected
        assert float((off @ H @ off / 256).sqrt()) < 5 * precision
        # a recurrence, against the data
        torch.testing.assert_close(known["downhill"], -problem.gradient(x), rtol=0, atol=1e-6)
    assert grams[0] <= grams[1] - 7  # all levels but the first save that of their start


def test_steps_of_a_sampler_are_as_good_as_exact_ones_where_lines_leave_much_open(monkeypatch):
    """What conjugate gradients leave must not be where the data see little: no later level mends that."""
    shape = (48, 48)
    draw = torch.Generator().manual_seed(1)
    maps = [torch.randn(1, 4, 3, 3, generator=draw) for _ in range(2)]
    coils = torch.complex(*(interpolate(part, shape, mode="bilinear")[0] for part in maps))
    mask = sampling.random_lines(shape, 4, center_fraction=0.08, seed=0)
    A = MRI(shape, mask, coils / torch.linalg.vector_norm(coils, dim=0))
    k = torch.fft.fftfreq(48)
    spectrum = 1 / (1 + (torch.hypot(k[:, None], k) / 0.05) ** 3)
    spectrum = Stationary(0.25**2 * spectrum / spectrum.mean(), Space(shape, "complex"))
    prior = ig.priors.Gaussian(torch.zeros(shape, dtype=torch.complex64), spectrum)
    truth, noise = prior.sample(1, seed=0)[0], ig.noise.Gaussian(0.01)
    problem = ig.Problem(A, noise.sample(A(truth), seed=1), noise)
    solver = ig.solvers.DiffPIR(prior, iterations=20, sigma_range=(0.002, 0.3))
    found = solver(problem, samples=2, seed=0).x
    monkeypatch.setattr("invgen.solvers.diffusion.diffpir.SAMPLER_PRECISION", 1e-4)
    exact = solver(problem, samples=2, seed=0).x
    assert float((found - exact).norm()) < 0.03 * float((exact - truth).norm())


def test_what_is_known_of_an_image_does_not_drift_in_single_precision():
    A = Radon((16, 16), angles=6)
    y = A(random(16, 16, seed=0).abs().float())[None]
    problem = ig.Problem(A, y, ig.noise.Gaussian(1e-3))
    prox, x, known = DataProx(problem, 0.03), problem.zeros(), {}
    generator = torch.Generator().manual_seed(1)
    for _ in range(30):
        z = x + 0.01 * torch.randn(x.shape, generator=generator)
        x, known = prox.going_on(z, torch.tensor([1e4]), x, known)
    exact = -ig.Problem(A, y.double(), ig.noise.Gaussian(1e-3)).gradient(x.double())
    carried, direct = (
        float((found - exact).square().mean().sqrt()) for found in (known["downhill"], -problem.gradient(x))
    )
    assert carried < 3 * direct


def test_closed_forms_know_nothing_to_go_on_with():
    A = Mask(masks.random_pixels(SHAPE, 0.5, seed=0))
    y, z, rho = random(1, *SHAPE, seed=0), random(1, *SHAPE, seed=1), torch.tensor([3.0], dtype=torch.float64)
    prox = DataProx(ig.Problem(A, y, ig.noise.Gaussian(0.1)))
    x, known = prox.going_on(z, rho, 0 * z, {})
    assert known == {}
    torch.testing.assert_close(x, prox(z, rho))
