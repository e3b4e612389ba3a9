"""A problem's data term, its derivatives, and how it is scaled."""

import math

import pytest
import torch

import invgen as ig
from invgen import Problem
from invgen.core.errors import CapabilityError, DataError, DtypeError, ShapeError
from invgen.noise import Clipped, Gaussian, Poisson, Transmission
from invgen.operators import Identity, MatrixOperator, Operator, stack


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def covariance(k):
    L = normal(k, k, seed=5)
    return L @ L.T + torch.eye(k)


M, Y = normal(7, 5), normal(3, 7, seed=1)
A = MatrixOperator(M)
STD = torch.tensor([0.5, 1.0, 2.0, math.inf, 1.5, 0.7, 3.0], dtype=torch.float64)
NOISES = {
    "unknown": None,
    "number": Gaussian(0.6),
    "one for each element": Gaussian(torch.tensor([[0.5], [1.0], [2.0]], dtype=torch.float64)),
    "one for each pixel": Gaussian(STD),
    "covariance": Gaussian(covariance=covariance(7)),
}


def hessian(noise, i):
    """The dense Hessian of the data term of element i."""
    if noise is None:
        return M.T @ M
    W = noise.precision(torch.eye(7, dtype=torch.float64)[:, None]).squeeze(1) if noise.std is None else None
    if W is None:
        std = noise.std.value
        W = torch.diag((std[i].expand(7) if std.ndim == 2 else std.expand(7)) ** -2)
    return M.T @ W @ M


@pytest.mark.parametrize("name", NOISES)
def test_gradient_is_the_derivative_of_the_likelihood(name):
    problem = Problem(A, Y, NOISES[name])
    x = normal(3, 5, seed=2).requires_grad_()
    problem.negative_log_likelihood(x).sum().backward()
    torch.testing.assert_close(problem.gradient(x.detach()), x.grad, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", NOISES)
def test_lipschitz_is_the_largest_eigenvalue_of_the_hessian(name):
    problem = Problem(A, Y, NOISES[name])
    bound = torch.as_tensor(problem.lipschitz(), dtype=torch.float64).expand(3)
    exact = torch.stack([torch.linalg.eigvalsh(hessian(NOISES[name], i))[-1] for i in range(3)])
    assert (bound >= exact * (1 - 1e-9)).all()
    assert (bound <= exact * 1.005).all()


@pytest.mark.parametrize("name", NOISES)
def test_normal_and_backprojection_are_the_hessian_and_the_slope_at_zero(name):
    problem = Problem(A, Y, NOISES[name])
    x = normal(3, 5, seed=2)
    expected = torch.stack([hessian(NOISES[name], i) @ x[i] for i in range(3)])
    torch.testing.assert_close(problem.normal(x), expected)
    torch.testing.assert_close(problem.backprojection, -problem.gradient(problem.zeros()))


@pytest.mark.parametrize("name", NOISES)
def test_misfit_is_one_for_each_number_at_the_truth(name):
    x = normal(3, 5, seed=2)
    noise = NOISES[name] or Gaussian(1.0)
    many = torch.stack([Problem(A, noise.sample(A(x), seed), noise).misfit(x) for seed in range(300)])
    expected = Problem(A, Y, noise).expected_misfit()
    torch.testing.assert_close(many.mean(0), expected, rtol=0.1, atol=0)


@pytest.mark.parametrize("name", NOISES)
@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_scaled_multiplies_image_data_and_noise(name, factor):
    problem = Problem(A, Y, NOISES[name])
    scaled, x = problem.scaled(factor), normal(3, 5, seed=2)
    torch.testing.assert_close(scaled.measurement, factor * Y)
    unit = factor**2 if name == "unknown" else 1.0  # without noise the data term is in units of the data
    torch.testing.assert_close(
        scaled.negative_log_likelihood(factor * x),
        unit * problem.negative_log_likelihood(x),
        rtol=1e-9,
        atol=0,
    )


def test_scaling_a_transmission_scan_leaves_the_counts_alone():
    noise = Transmission(100.0)
    problem = Problem(A, noise.sample(A(0.1 * normal(5)), seed=0), noise)
    scaled, x = problem.scaled(50.0), 0.1 * normal(5, seed=2)
    assert torch.equal(scaled.measurement, problem.measurement)
    torch.testing.assert_close(scaled.negative_log_likelihood(50 * x), problem.negative_log_likelihood(x))


def test_stacked_measurements_of_unequal_sizes_are_one_problem():
    B = MatrixOperator(normal(4, 5, seed=3))
    both, x = stack([A, B]), normal(2, 5, seed=2)
    problem = Problem(both, both(normal(2, 5, seed=4)))
    assert problem.batch_shape == (2,)
    assert problem.zeros().shape == (2, 5)
    residuals = [(y - z).norm(dim=-1) for y, z in zip(both(x), problem.measurement, strict=True)]
    torch.testing.assert_close(problem.residual_norm(x), torch.hypot(*residuals))
    x = ig.solvers.CG(weight=0, tolerance=1e-12)(problem).x
    torch.testing.assert_close(problem.residual_norm(x), torch.zeros(2).double(), rtol=0, atol=1e-8)


class Square(Operator):
    def __init__(self):
        super().__init__((5,), (5,))

    def _apply(self, x):
        return x**2


def test_a_nonlinear_operator_has_a_gradient_too():
    problem = Problem(Square(), normal(5).abs(), Gaussian(0.5))
    x = normal(5, seed=2).requires_grad_()
    problem.negative_log_likelihood(x).backward()
    torch.testing.assert_close(problem.gradient(x.detach()), x.grad)
    with pytest.raises(CapabilityError, match="not linear"):
        ig.solvers.CG()(problem)


def test_zeros_follow_the_measurement():
    assert Problem(Identity((3, 4)), torch.ones(2, 6, 3, 4)).zeros().shape == (2, 6, 3, 4)
    assert (
        Problem(Identity((3,), "complex"), torch.ones(3, dtype=torch.complex128)).zeros().dtype
        == torch.complex128
    )
    assert Problem(Identity((3,)), torch.ones(3)).zeros().dtype == torch.float32


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        (DtypeError, lambda: Problem(M, Y)),
        (DtypeError, lambda: Problem(A, Y.numpy())),
        (DtypeError, lambda: Problem(A, Y, 0.5)),
        (DtypeError, lambda: Problem(A, Y.long())),
        (ShapeError, lambda: Problem(A, Y[:, 1:])),
        (ShapeError, lambda: Problem(A, Y, Gaussian(torch.ones(4)))),
        (ShapeError, lambda: Problem(A, Y[0], Gaussian(torch.ones(3, 7)))),
        (ShapeError, lambda: Problem(A, Y, Gaussian(covariance=torch.eye(3)))),
        (DataError, lambda: Problem(A, Y + float("nan"))),
        (DataError, lambda: Problem(A, Y, Poisson())),
        (CapabilityError, lambda: Problem(stack([A, Identity((5,))]), (Y[0], Y[0, :5]), Gaussian(1.0))),
        (CapabilityError, lambda: Problem(A, Y.abs(), Poisson()).lipschitz()),
        (CapabilityError, lambda: Problem(A, Y).scaled(0.0)),
        (CapabilityError, lambda: Problem(A, Y).scaled(math.inf)),
        (TypeError, lambda: Problem(A, Y, sigma=1.0)),
    ],
)
def test_what_does_not_fit_is_refused(kind, make):
    with pytest.raises(kind):
        make()


def test_clipped_data_have_a_majorant_and_a_residual_of_what_is_clipped():
    noise = Clipped(0.6, -1.0, 0.8)
    y = noise.sample(Y, seed=0)
    problem, x = Problem(A, y, noise), normal(3, 5, seed=2)
    torch.testing.assert_close(problem.majorant(x), x @ M.T @ M / 0.36)
    # found by Lanczos to 1e-4, and a margin of 1e-3
    assert float(problem.lipschitz()[0]) == pytest.approx(
        float(torch.linalg.matrix_norm(M, 2)) ** 2 / 0.36, rel=2e-3
    )
    torch.testing.assert_close(problem.residual_norm(x), ((x @ M.T).clamp(-1.0, 0.8) - y).norm(dim=-1))
    x.requires_grad_()
    problem.negative_log_likelihood(x).sum().backward()
    torch.testing.assert_close(problem.gradient(x.detach()), x.grad, rtol=1e-10, atol=1e-10)


@pytest.mark.slow
def test_a_clipped_image_is_restored_beyond_the_limit_by_its_own_likelihood():
    """Normal noise believes the limit, and darkens what is saturated; the censored likelihood does not."""
    x = ig.phantoms.disc(10.0).image((32, 32), 1.0, supersample=4).double()
    A = ig.operators.Blur((32, 32), ig.operators.kernels.gaussian_kernel(2.0))
    noise = Clipped(0.01, high=0.8)
    y = noise.sample(A(x), seed=0)
    assert 0.1 < float((y == 0.8).double().mean()) < 0.5
    solver = ig.solvers.FISTA(ig.priors.TotalVariation(5.0), iterations=200)
    clipped, normal_noise = (solver(Problem(A, y, n)).x for n in (noise, Gaussian(0.01)))
    inside = (x == 1) & (y == 0.8)
    assert abs(float(clipped[inside].mean()) - 1) < 0.05
    assert float(normal_noise[inside].mean()) < 0.85
    assert (clipped - x).norm() < 0.5 * (normal_noise - x).norm()


@pytest.mark.parametrize(
    "operator",
    [
        ig.operators.Mask(ig.operators.masks.random_pixels((40, 50), 0.3, seed=0)),
        ig.operators.MRI((40, 50), ig.operators.sampling.equispaced_lines((40, 50), 4)),
        2.0 * ig.operators.Mask(ig.operators.masks.box((40, 50), 20)) @ Identity((40, 50)),
        ig.operators.Mask(torch.ones(40, 50).triu(9)) + ig.operators.Mask(torch.ones(40, 50).triu(5)),
        ig.operators.stack([ig.operators.Mask(torch.ones(40, 50).triu(s)) for s in (-40, 3, 20)]),
        ig.operators.Saturation(ig.operators.Mask(torch.ones(40, 50).triu(3)), -100.0, 100.0),
    ],
    ids=["pixels", "k-space", "multiple of a product", "sum", "stack", "saturated"],
)
def test_what_is_not_observed_is_no_datum(operator):
    noise, x = Gaussian(0.1), operator.domain.random(seed=1, dtype=torch.float64)
    y = noise.sample(operator(x), seed=2)
    problem, observed = Problem(operator, y, noise), operator.observed
    assert not bool(problem.measurement[~observed].any())
    assert torch.equal(problem.measurement[observed], y[observed])
    count = int(observed.sum()) * (2 if y.is_complex() else 1)
    assert float(problem.count()) == count
    # the sum of `count` squares of standard normal numbers, within four of its standard deviations
    assert float(problem.misfit(x)) == pytest.approx(count, abs=4 * math.sqrt(2 * count))


@pytest.mark.parametrize(
    "noise",
    [Gaussian(0.1), Poisson(0.5), Transmission(100.0), Clipped(0.1, low=0.0, high=0.9)],
    ids=lambda noise: type(noise).__name__,
)
def test_what_is_not_observed_adds_nothing_to_the_likelihood_of_any_noise(noise):
    """The same as of the operator that has no such entries."""
    x = torch.rand(12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    kept = torch.arange(12) % 3 > 0
    rows = MatrixOperator(torch.eye(12, dtype=torch.float64)[kept])
    y = noise.sample(x, seed=1)
    masked, short = Problem(ig.operators.Mask(kept), y, noise), Problem(rows, y[kept], noise)
    for figure in (
        Problem.negative_log_likelihood,
        Problem.misfit,
        Problem.residual_norm,
        Problem.gradient,
    ):
        torch.testing.assert_close(figure(masked, x), figure(short, x))
    assert float(masked.count()) == float(short.count())


def test_a_detector_that_never_shows_zero_observes_everything():
    """What is lost by the mask shows the lower limit, as what is dark does."""
    mask = ig.operators.Mask(torch.arange(6) % 2 == 0)
    assert ig.operators.Saturation(mask, low=0.5).observed is None
