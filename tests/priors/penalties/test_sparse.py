"""Sparse and quadratic priors: closed forms, conditions of the minimum, and the transforms that they name."""

import numpy as np
import pytest
import pywt
import scipy.fft
import torch

import invgen as ig
from invgen.convex.functions import BoxIndicator, GroupL1, SquaredL2
from invgen.core.errors import CapabilityError, DtypeError, ParameterError, ShapeError
from invgen.noise import Gaussian
from invgen.operators import DCT as Cosines
from invgen.operators import MRI, Gradient, Identity, MatrixOperator
from invgen.operators import Wavelet as Transform
from invgen.priors import DCT, L1, GroupSparsity, Tikhonov, TotalVariation, Wavelet
from invgen.solvers import FISTA, PDHG

from ...contracts.numbers import normal

EXACT = {"iterations": 20000, "tolerance": 1e-13}
COMPLEX = torch.complex128


def soft(z, threshold):
    return z * (1 - threshold / z.abs()).clamp(min=0)


def test_soft_thresholding_of_complex_numbers_is_the_best_of_a_grid():
    z, weight, step = torch.tensor([[1.3 - 0.9j, 0.2 + 0.3j]], dtype=COMPLEX), 0.7, 1.1
    t = torch.linspace(-1.5, 1.5, 601, dtype=torch.float64)
    grid = torch.complex(*torch.meshgrid(t, t, indexing="ij")).flatten()
    for number, found in zip(z[0], L1(weight).prox(z, step)[0], strict=True):
        objective = weight * grid.abs() + (grid - number).abs().square() / (2 * step)
        # the nearest point of the grid is at most half of its diagonal away
        assert float((grid[objective.argmin()] - found).abs()) < 0.005 * 2**0.5


@pytest.mark.parametrize("dtype", [torch.float64, COMPLEX])
def test_conjugates_are_the_textbook_ones(dtype):
    """Of a norm the indicator of the dual ball, of half the square itself, of an interval its support."""
    z, step, weight = 2 * normal(3, 4, dtype=dtype), 0.6, 0.8
    ball = z / (z.abs() / weight).clamp(min=1)
    torch.testing.assert_close(GroupL1(weight).conjugate_prox(z, step), ball)
    columns = z / (z.norm(dim=0, keepdim=True) / weight).clamp(min=1)
    torch.testing.assert_close(GroupL1(weight, -2).conjugate_prox(z, step), columns)
    torch.testing.assert_close(SquaredL2(weight).conjugate_prox(z, step), z / (1 + step / weight))
    if dtype == torch.float64:
        support = torch.where(z > step * 0.5, z - step * 0.5, torch.where(z < -step * 0.2, z + step * 0.2, 0))
        torch.testing.assert_close(BoxIndicator(-0.2, 0.5).conjugate_prox(z, step), support)


@pytest.mark.filterwarnings("ignore:Level value")
@pytest.mark.parametrize("wavelet", ["haar", "db4", "sym6"])
@pytest.mark.parametrize("dtype", [torch.float64, COMPLEX])
def test_wavelet_thresholding_is_that_of_pywavelets(wavelet, dtype):
    x = normal(32, 64, dtype=dtype)
    coefficients = pywt.wavedec2(x.numpy(), wavelet, "periodization", level=2)
    kept, details = coefficients[0], coefficients[1:]
    details = [tuple(pywt.threshold(d, 0.6, "soft") for d in level) for level in details]
    expected = pywt.waverec2([kept, *details], wavelet, "periodization")
    found = Wavelet(0.5, wavelet, levels=2).prox(x, 1.2)
    # PyWavelets' filters have eleven digits
    torch.testing.assert_close(found, torch.from_numpy(expected), rtol=0, atol=1e-9)
    size = sum(np.abs(d).sum() for level in coefficients[1:] for d in level)
    assert float(Wavelet(0.5, wavelet, levels=2).value(x)) == pytest.approx(0.5 * size, rel=1e-12)


def test_the_approximation_counts_when_asked_for():
    x = normal(16, 16)
    W = Transform((16, 16), "haar", levels=2)
    prior = Wavelet(0.5, "haar", levels=2, approximation=True)
    torch.testing.assert_close(prior.prox(x, 0.8), W.H(soft(W(x), 0.4)))
    # a mean is no detail
    assert float(Wavelet(1.0, "haar", 2).value(torch.ones(16, 16, dtype=torch.float64))) < 1e-12
    assert float(prior.value(torch.ones(16, 16, dtype=torch.float64))) == pytest.approx(0.5 * 16 * 4)


def test_cosine_thresholding_is_that_of_scipy():
    x = normal(3, 7, 10)
    coefficients = scipy.fft.dctn(x.numpy(), axes=(-2, -1), norm="ortho")
    expected = scipy.fft.idctn(pywt.threshold(coefficients, 0.3, "soft"), axes=(-2, -1), norm="ortho")
    torch.testing.assert_close(DCT(0.5).prox(x, 0.6), torch.from_numpy(expected))
    assert DCT(0.5).value(x).shape == (3,)


def test_groups_vanish_together():
    x = normal(3, 6, 7, dtype=COMPLEX)
    size = x.abs().square().sum(0, keepdim=True).sqrt()
    shrunk = GroupSparsity(1.2).prox(x, 1.0)
    torch.testing.assert_close(shrunk, x * (1 - 1.2 / size).clamp(min=0))
    gone = shrunk == 0
    assert gone.any()
    assert (gone.any(0) == gone.all(0)).all()
    assert float(GroupSparsity(1.2).value(x)) == pytest.approx(1.2 * float(size.sum()))


def test_equal_channels_have_the_variation_of_one_times_the_root_of_their_number():
    x = normal(5, 6)
    channels = x.expand(4, 5, 6)
    assert float(TotalVariation(1.0, joint=-3).value(channels)) == pytest.approx(
        2 * float(TotalVariation(1.0).value(x))
    )
    torch.testing.assert_close(TotalVariation(1.0).value(channels), TotalVariation(1.0).value(x).expand(4))


def test_channels_that_count_jointly_have_their_edges_in_the_same_places():
    """A channel too faint for an edge of its own gets one where another channel has it."""
    y = torch.zeros(2, 1, 20, dtype=torch.float64)
    y[0, :, 10:], y[1, :, 10:] = 10.0, 0.5
    problem = ig.Problem(Identity((2, 1, 20)), y)
    alone, jointly = (
        PDHG(TotalVariation(3.0, axes=(-1,), joint=joint), iterations=5000, tolerance=1e-9)(problem).x
        for joint in (None, -3)
    )
    # alone, a step of 0.5 between halves of ten pixels closes at the weight 10 * 0.5 / 2
    assert float((alone[1] - 0.25).abs().max()) < 1e-5
    assert float(jointly[1, 0, 15] - jointly[1, 0, 5]) > 0.4


def lasso(dtype=torch.float64):
    matrix = normal(30, 48, dtype=dtype) / 30**0.5
    A = MatrixOperator(matrix, image_shape=(6, 8))
    noise = Gaussian(0.1)
    x = torch.zeros(6, 8, dtype=dtype)
    x[1, 2], x[4, 5], x[3, 3] = 2.0, -1.0, 1.5
    return ig.Problem(A, noise.sample(A(x), seed=0), noise)


TRANSFORMS = {
    "pixels": lambda field: L1(20.0),
    "cosines": lambda field: L1(20.0, Cosines((6, 8), field)),
    "cosines by name": lambda field: DCT(20.0),
    "wavelets": lambda field: Wavelet(20.0, "haar", levels=1, approximation=True),
}


@pytest.mark.cases_are_slow
@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("solver", [FISTA, PDHG])
@pytest.mark.parametrize("dtype", [torch.float64, COMPLEX])
def test_the_minimum_of_a_sparse_problem_meets_its_conditions(solver, name, dtype):
    """``-K grad f(x)`` is the weight times the sign of each coefficient, and no larger where it is zero."""
    problem = lasso(dtype)
    prior = TRANSFORMS[name]("complex" if dtype.is_complex else "real")
    x = solver(prior, **EXACT)(problem).x
    ((K, _),) = prior.terms(problem.operator.domain)
    z, slope = K(x), -K(problem.gradient(x))
    there = z.abs() > 1e-9
    assert 0 < int(there.sum()) < 48
    assert float(slope.abs().max()) < 20 * (1 + 1e-6)
    torch.testing.assert_close(slope[there], 20 * z[there] / z[there].abs(), rtol=1e-6, atol=0)


@pytest.mark.cases_are_slow
@pytest.mark.parametrize(
    "prior",
    [Wavelet(5.0, "bior4.4", 1), Wavelet(5.0, "db2", 2), L1(5.0, 0.5 * Cosines((6, 8)))],
    ids=["biorthogonal", "padded", "multiple"],
)
def test_what_is_not_orthonormal_is_solved_through_its_terms(prior):
    """A minimum: no step in a random direction goes lower, and both solvers find it."""
    problem = lasso()
    assert not prior.closed_form(problem.operator.domain)
    with pytest.raises(CapabilityError, match="orthonormal"):
        prior.prox(problem.zeros(), 1.0)

    def objective(u):
        return float(problem.negative_log_likelihood(u) + prior.value(u))

    x = PDHG(prior, iterations=2000, tolerance=1e-11)(problem).x
    least = objective(x)
    for seed in range(20):
        direction = normal(6, 8, seed=seed)
        for length in (1e-1, 1e-2, 1e-3):
            assert objective(x + length * direction) > least * (1 - 1e-10)
    # the inner iteration is cut short: few of FISTA's come this close
    assert objective(FISTA(prior, tolerance=0.0)(problem).x) < least * (1 + 1e-4)


def test_wavelets_of_coil_images_find_one_minimum_by_either_solver():
    shape = (16, 16)
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[::2], mask[7:10] = True, True
    coils = normal(3, *shape, dtype=COMPLEX)
    A = MRI(shape, mask, coils=coils)
    noise = Gaussian(0.05)
    y = noise.sample(
        A(Transform(shape, levels=1, field="complex").H(10 * soft(normal(*shape, dtype=COMPLEX), 2))), 0
    )
    problem = ig.Problem(A, y, noise)
    prior = Wavelet(30.0, levels=1)
    assert prior.closed_form(A.domain)
    one, other = (solver(prior, **EXACT)(problem) for solver in (FISTA, PDHG))
    torch.testing.assert_close(one.x, other.x, rtol=0, atol=1e-6 * float(one.x.abs().max()))


@pytest.mark.cases_are_slow
@pytest.mark.parametrize(
    "transform",
    [None, Gradient((6, 8)), Cosines((6, 8)), MatrixOperator(normal(60, 48, seed=1), (6, 8))],
    ids=str,
)
@pytest.mark.parametrize("solver", [FISTA, PDHG])
def test_quadratic_priors_give_the_linear_algebra_solution(solver, transform):
    problem = lasso()
    x = solver(Tikhonov(3.0, transform), iterations=5000, tolerance=1e-9)(problem).x
    eye = torch.eye(48, dtype=torch.float64).reshape(48, 6, 8)
    M = problem.operator(eye).T / 0.1
    K = (eye if transform is None else transform(eye)).reshape(48, -1).T
    expected = torch.linalg.solve(M.T @ M + 3 * K.T @ K, M.T @ problem.measurement / 0.1)
    # the solvers stop at a change of 1e-9, from which slow directions are thousands of steps away
    torch.testing.assert_close(x.flatten(), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("transform", [None, Cosines((6, 8)), MatrixOperator(normal(9, 48), (6, 8))], ids=str)
def test_the_proximal_map_of_a_quadratic_is_where_its_gradient_vanishes(transform):
    prior, z = Tikhonov(0.7, transform), normal(2, 6, 8)
    for step in (1.3, torch.tensor([0.4, 2.0], dtype=torch.float64).reshape(2, 1, 1)):
        p = prior.prox(z, step)
        slope = 0.7 * (p if transform is None else transform.gram(p)) + (p - z) / step
        assert float(slope.abs().max()) < 1e-10


PRIORS = {
    "L1": (L1(0.4), (6, 8)),
    "L1 of cosines": (L1(0.4, Cosines((6, 8))), (6, 8)),
    "L1 of a matrix": (L1(0.4, MatrixOperator(torch.eye(48), (6, 8))), (6, 8)),
    "groups": (GroupSparsity(0.4), (3, 6, 8)),
    "wavelets": (Wavelet(0.4, "db2", 1), (6, 8)),
    "wavelets of slices": (Wavelet(0.4, "db2", 1), (3, 6, 8)),
    "wavelets of volumes": (Wavelet(0.4, "haar", 1, (-3, -2, -1)), (2, 6, 8)),
    "cosines": (DCT(0.4), (6, 7)),
    "quadratic": (Tikhonov(0.4), (6, 8)),
}


@pytest.mark.parametrize("name", [name for name in PRIORS if name != "L1 of a matrix"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_batch_has_the_bits_of_its_elements(name, dtype):
    prior, shape = PRIORS[name]
    x = normal(4, *shape, dtype=dtype)
    step = torch.linspace(0.5, 2, 4, dtype=dtype)
    batch = prior.prox(x, step.reshape(-1, *(1,) * len(shape)))
    assert batch.dtype == dtype
    for one, s, result in zip(x, step, batch, strict=True):
        assert torch.equal(prior.prox(one, s), result)


@pytest.mark.parametrize("name", PRIORS)
def test_a_weight_for_each_element_is_that_element_s_weight(name):
    prior, shape = PRIORS[name]
    x, weights = normal(3, *shape), torch.tensor([0.1, 1.0, 3.0], dtype=torch.float64)
    problem = ig.Problem(Identity(shape), x, Gaussian(0.5))
    together = prior.with_weight(weights).resolve(problem)
    solved = PDHG(together, iterations=30, tolerance=0.0)(problem).x
    for i, weight in enumerate(weights):
        one = prior.with_weight(float(weight))
        alone = ig.Problem(Identity(shape), x[i], Gaussian(0.5))
        torch.testing.assert_close(solved[i], PDHG(one, iterations=30, tolerance=0.0)(alone).x)
        total = together.value(x).reshape(3, -1).sum(1)[i]
        torch.testing.assert_close(total, one.resolve(alone).value(x[i]).sum())
    with pytest.raises(ShapeError, match="shape of the batch"):
        prior.with_weight(weights[:2]).resolve(problem)


def test_an_orthonormal_transform_may_give_coefficients_of_another_shape():
    # a rotation of vectors that are stored as images
    Q = torch.linalg.qr(normal(12, 12)).Q

    class Rotation(MatrixOperator):
        def _gram(self):
            return Identity(self.domain.shape)

    R = Rotation(Q, image_shape=(3, 4))
    x, steps = normal(2, 3, 4), torch.tensor([0.3, 0.9], dtype=torch.float64).reshape(2, 1, 1)
    expected = soft(x.reshape(2, 12) @ Q.T, 0.5 * steps[:, 0]) @ Q
    torch.testing.assert_close(L1(0.5, R).prox(x, steps).reshape(2, 12), expected)


def test_vectors_in_a_batch_are_distinguished_from_images_by_their_problem():
    x = normal(5, 9)
    prior = L1(2.0).resolve(ig.Problem(Identity((9,)), x))
    torch.testing.assert_close(prior.value(x), 2 * x.abs().sum(1))
    assert float(L1(2.0).value(x)) == pytest.approx(2 * float(x.abs().sum()))


def test_thresholding_is_differentiable():
    x = 2 * normal(6, 8).requires_grad_()
    for prior in (L1(0.4), Wavelet(0.4, "db2", 1), DCT(0.4), Tikhonov(0.4)):
        assert torch.autograd.gradcheck(lambda z, prior=prior: prior.prox(z, 0.7), (x,))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: L1(0.0), ParameterError, "positive"),
        (lambda: L1("automatic"), ParameterError, "auto"),
        (lambda: L1().value(normal(3, 4)), ParameterError, "resolve"),
        (lambda: L1(1.0, Cosines((4, 4))).terms(Identity((4, 5)).domain), ShapeError, "shape and field"),
        (lambda: L1(1.0, Cosines((4, 4))).terms(Identity((4, 4), "complex").domain), ShapeError, "field"),
        (lambda: L1(1.0, Cosines((4, 4))).prox(normal(4, 4, dtype=COMPLEX), 1.0), DtypeError, "float64"),
        (lambda: Wavelet(1.0).value(normal(8)), ShapeError, "2 axes"),
        (lambda: Wavelet(1.0, axes=(0, 1)), ParameterError, "from the end"),
        (lambda: Wavelet(1.0, "morl").value(normal(8, 8)), ParameterError, "morl"),
        (lambda: DCT(1.0, axes=()), ParameterError, "from the end"),
        (lambda: GroupSparsity(1.0, axis=0), ParameterError, "from the end"),
        (lambda: GroupSparsity(1.0).value(normal(3, 4)), ShapeError, "axis -3"),
        (lambda: GroupSparsity(1.0, Cosines((4, 4))), ShapeError, "axis -3"),
        (lambda: TotalVariation(1.0, joint=-1), ParameterError, "joint"),
        (lambda: TotalVariation(1.0, joint=3), ParameterError, "joint"),
    ],
)
def test_what_makes_no_prior_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
