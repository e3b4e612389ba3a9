"""Samplers guided by the denoiser's derivative: PiGDM and DPS."""

from dataclasses import replace

import pytest
import torch

import invgen as ig
from invgen.core.draws import Draws
from invgen.core.errors import CapabilityError, ParameterError
from invgen.operators import MRI, Downsample, Mask, MatrixOperator, PhaseRetrieval, Radon, random_codes
from invgen.priors import Gaussian, ImageFormat
from invgen.solvers import DPS, PiGDM
from invgen.solvers.data_prox import DataProx

from ..sampled import resumed

SHAPE, STD = (4, 6), 0.3


def prior(field="real"):
    dtype = torch.float64 if field == "real" else torch.complex128
    return Gaussian(torch.ones(SHAPE, dtype=dtype), STD**2)


class Bare:
    """The denoiser of a prior, of which a format is all that is known."""

    def __init__(self, images, **known):
        self.denoise = images.denoise
        self.image_format = ImageFormat(noise_range=images.image_format.noise_range, **known)


def correlated():
    near = torch.exp(-0.3 * (torch.arange(24)[:, None] - torch.arange(24)).abs().double())
    return Gaussian(torch.ones(SHAPE, dtype=torch.float64), near)


def matrix():
    return torch.randn(9, 24, generator=torch.Generator().manual_seed(1), dtype=torch.float64) / 5


OPERATORS = {
    "matrix": (lambda: MatrixOperator(matrix(), SHAPE), "real"),
    "mask": (lambda: Mask(torch.arange(24).reshape(SHAPE) % 3 > 0), "real"),
    "blocks": (lambda: Downsample(SHAPE, 2), "real"),
    "MRI": (lambda: MRI(SHAPE, torch.tensor([1, 0, 1, 1, 0, 1]).bool()), "complex"),
}


def measured(A, std, images, seed=0):
    noise = ig.noise.Gaussian(std)
    return ig.Problem(A, noise.sample(A(images.sample(1, seed)[0]), seed), noise)


def parts(x):
    return torch.view_as_real(x) if x.is_complex() else x


@pytest.mark.parametrize(
    ("name", "eta"), [("matrix", 1.0), ("matrix", 0.5), ("mask", 1.0), ("blocks", 1.0), ("MRI", 1.0)]
)
def test_pigdm_samples_the_posterior_of_a_white_prior(name, eta):
    """The budget is 100 levels; what is allowed is 2 % of the mean and 5 % of the variance, and chance."""
    build, field = OPERATORS[name]
    problem, n = measured(build(), 0.1, prior(field)), 400 if field == "real" else 100
    posterior = prior(field).posterior(problem)
    result = PiGDM(prior(field), iterations=100, std=STD, eta=eta)(problem, samples=n, seed=0)
    std = posterior.covariance().diagonal().real.sqrt().reshape(SHAPE)
    std = std[..., None] if field == "complex" else std
    error = parts(result.x - posterior.mean()) / std
    variance = parts(result.samples).var(0) / std**2
    # the root mean square over 24 or more pixels, with 1 / sqrt(n) of chance; half as much again is 4 sigma
    assert error.square().mean().sqrt() < 0.02 + 1.5 / n**0.5
    # the mean over the pixels has at most sqrt(2 / (24 n)) = 0.02 of chance
    assert (variance.mean() - 1).abs() < 0.05 + 0.02
    if field == "real":
        truths = posterior.sample(100, 1)
        inside = torch.stack([result.coverage(truth) for truth in truths]).mean()
        assert 0.88 < inside < 0.92


def test_pigdms_guidance_is_the_papers_formula():
    """Eq. 7 and 8 by explicit matrices, of a prior that is not white, and of unequal noise."""
    A, images, sigma = MatrixOperator(matrix(), SHAPE), correlated(), 0.7
    std = torch.linspace(0.05, 0.4, 9, dtype=torch.float64)
    for noise in (torch.tensor(0.2, dtype=torch.float64), std):
        problem = measured(A, noise, images)
        x = 1 + Draws([3], 2)(torch.empty(1, *SHAPE, dtype=torch.float64))
        repeated = problem.repeated(1)
        found = PiGDM(images, std=0.9).guided(repeated, DataProx(repeated), x, sigma)
        C, H = images.covariance(), matrix()
        J = C @ torch.linalg.inv(C + sigma**2 * torch.eye(24, dtype=torch.float64))
        D = 1 + J @ (x.flatten() - 1)
        r2 = sigma**2 * 0.9**2 / (sigma**2 + 0.9**2)
        covariance = torch.diag(noise.expand(9) ** 2) + r2 * H @ H.T
        guide = J.T @ H.T @ torch.linalg.solve(covariance, problem.measurement - H @ D)
        expected = (D + sigma**2 * guide).reshape(SHAPE)
        # unequal noise takes conjugate gradients, to 1e-5 of the step
        torch.testing.assert_close(found[0], expected, rtol=0, atol=1e-10 if noise.ndim == 0 else 1e-4)


def test_an_operator_without_closed_form_gives_the_samples_of_its_matrix(monkeypatch):
    """By conjugate gradients that go on for as long as it takes."""
    monkeypatch.setattr("invgen.solvers.diffusion.pigdm.SAMPLER_PRECISION", 1e-5)
    A = Radon(SHAPE, angles=3)
    units = torch.eye(24, dtype=torch.float64).reshape(-1, *SHAPE)
    explicit = MatrixOperator(A(units).flatten(1).mT, SHAPE)
    problem, solver = measured(A, 0.1, prior()), PiGDM(prior(), iterations=12, std=STD)
    x = [
        solver(ig.Problem(B, y, problem.noise), samples=2, seed=0, x0=torch.ones(SHAPE)).samples
        for B, y in ((A, problem.measurement), (explicit, problem.measurement.flatten()))
    ]
    torch.testing.assert_close(x[0], x[1], rtol=0, atol=1e-3 * STD)


def test_on_a_white_prior_the_guided_image_is_the_mean_given_both():
    """Of two measurements of the image, y and x_t."""
    problem, sigma = measured(MatrixOperator(matrix(), SHAPE), 0.2, prior()), 0.4
    x = 1 + Draws([3], 2)(torch.empty(1, *SHAPE, dtype=torch.float64))
    repeated = problem.repeated(1)
    found = PiGDM(prior(), std=STD).guided(repeated, DataProx(repeated), x, sigma)
    noisy = Gaussian(prior().denoise(x[0], sigma), 1 / (1 / STD**2 + 1 / sigma**2))
    torch.testing.assert_close(found[0], noisy.posterior(problem).mean(), rtol=0, atol=1e-10)


def test_without_a_standard_deviation_the_images_vary_without_bound():
    problem = measured(Downsample(SHAPE, 2), 0.1, prior())
    none, large = (PiGDM(Bare(prior()), iterations=10, std=s)(problem, seed=0).x for s in (None, 1e9))
    torch.testing.assert_close(none, large)


def test_priors_that_report_their_standard_deviation_are_asked():
    problem = measured(Downsample(SHAPE, 2), 0.1, prior())
    for solver in (PiGDM, DPS):
        asked, given = solver(Bare(prior(), std=STD), iterations=10), solver(prior(), iterations=10, std=STD)
        assert torch.equal(asked(problem, seed=0).x, given(problem, seed=0).x)
        closed = solver(prior(), iterations=10)(problem, seed=0).x
        torch.testing.assert_close(closed, given(problem, seed=0).x)


def test_the_standard_deviation_of_a_network_is_that_of_its_images():
    network = ig.priors.Diffusion(torch.nn.Identity(), value_range=(0.0, 2.0), sigma_data=0.25)
    assert network.image_format.std == 0.25
    twice = ig.priors.Diffusion(torch.nn.Identity(), field="complex", value_range=(0.0, 2.0))
    assert twice.image_format.std == 1.0


SOLVERS = [PiGDM(prior(), iterations=8, std=STD), DPS(prior(), iterations=8, std=STD)]


@pytest.mark.parametrize("solver", SOLVERS)
def test_samples_are_their_seeds_and_batches_their_elements(solver):
    A, noise = Downsample(SHAPE, 2), ig.noise.Gaussian(0.1)
    y = noise.sample(A(prior().sample(2, 0)), 0)
    both = solver(ig.Problem(A, y, noise), samples=3, seed=4)
    chunked = replace(solver, chunk_size=1)(ig.Problem(A, y, noise), samples=3, seed=4)
    alone = solver(ig.Problem(A, y[1], noise), seed=6)
    torch.testing.assert_close(chunked.samples, both.samples, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(both.samples[2, 1], alone.samples[0], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("solver", SOLVERS)
def test_an_interrupted_run_goes_on_to_the_bit(solver, tmp_path):
    problem = measured(Downsample(SHAPE, 2), 0.1, prior())
    whole = solver(problem, samples=2, seed=0)
    again = resumed(solver, problem, 2, tmp_path / "state", at=5)
    assert torch.equal(whole.samples, again.samples)


class Frozen:
    """A denoiser without derivative."""

    image_format = ImageFormat(noise_range=(0.01, 10.0))

    def denoise(self, x, sigma):
        return x.detach() / (1 + sigma**2)


@pytest.mark.parametrize("solver", [PiGDM, DPS])
def test_a_prior_without_derivative_is_refused(solver):
    problem = measured(Downsample(SHAPE, 2), 0.1, prior())
    with pytest.raises(CapabilityError, match=r"derivative.*DDS or DiffPIR"):
        solver(Frozen(), std=1.0)(problem)


def test_parameters_are_checked():
    with pytest.raises(ParameterError, match="eta from 0 to 1"):
        PiGDM(prior(), eta=1.5)
    with pytest.raises(ParameterError, match="positive std"):
        PiGDM(prior(), std=0.0)
    with pytest.raises(ParameterError, match="positive zeta"):
        DPS(prior(), zeta=0.0, std=1.0)
    with pytest.raises(CapabilityError, match=r"standard deviation.*std="):
        DPS(Bare(prior()))


def test_pigdm_needs_a_linear_operator():
    A = PhaseRetrieval(SHAPE, field="real")
    problem = ig.Problem(A, A(torch.ones(SHAPE)), ig.noise.Gaussian(0.1))
    with pytest.raises(CapabilityError, match="linear"):
        PiGDM(prior())(problem)


@pytest.mark.parametrize("name", OPERATORS)
def test_dps_fits_the_data_as_far_as_its_steps_are_short(name):
    """In the end it goes to and fro about the data, by at most the length of one step."""
    build, field = OPERATORS[name]
    problem, solver = measured(build(), 1e-3, prior(field)), DPS(prior(field), iterations=100, std=STD)
    result = solver(problem, samples=4, seed=0)
    step = solver.zeta * STD * (24 * (2 if field == "complex" else 1)) ** 0.5 / 100
    # the last of them of the first order; a residual of the data's own noise besides
    residual = problem.repeated(4).residual_norm(result.samples)
    assert residual.max() < 2 * problem.operator.norm() * step


def test_dps_knows_neither_the_unit_of_the_data_nor_their_noise():
    A, images = Downsample(SHAPE, 2), correlated()
    problem = measured(A, 0.1, images)
    y, solver = problem.measurement, DPS(correlated(), iterations=20, std=1.0)
    x = solver(problem, seed=0, x0=torch.ones(SHAPE)).x
    for other in (
        ig.Problem(A, y, ig.noise.Gaussian(3.0)),
        ig.Problem(A, y),
        ig.Problem(1e3 * A, 1e3 * y, ig.noise.Gaussian(0.1)),
    ):
        torch.testing.assert_close(solver(other, seed=0, x0=torch.ones(SHAPE)).x, x, rtol=1e-9, atol=1e-9)


def test_dps_guides_alike_with_few_and_many_levels():
    """On the posterior of data with little noise, of which it finds the mean."""
    problem, n = measured(Downsample(SHAPE, 2), 0.03, prior()), 100
    posterior = prior().posterior(problem)
    std = posterior.covariance().diagonal().sqrt().reshape(SHAPE)
    for levels in (30, 100):
        result = DPS(prior(), iterations=levels, std=STD)(problem, samples=n, seed=0)
        # twice the Monte-Carlo error
        assert ((result.x - posterior.mean()) / std).square().mean().sqrt() < 2 / n**0.5


def test_dps_weighs_counts_by_their_inverse():
    """As the paper's eq. 19: Poisson counts as normal data whose variance is the count."""
    A, noise = Downsample(SHAPE, 2), ig.noise.Poisson(0.01)
    y = noise.sample(A(correlated().sample(1, 0)[0].abs()), 0)
    solver = DPS(correlated(), iterations=20, std=1.0)
    normal = ig.noise.Gaussian((0.01 * y.clamp(min=0.01)).sqrt())
    start = torch.ones(SHAPE)
    found, expected = (solver(ig.Problem(A, y, m), seed=0, x0=start).x for m in (noise, normal))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("case", ["phase", "transmission"])
def test_dps_takes_other_operators_and_noise(case):
    images = prior()
    truth = images.sample(1, 0)[0]
    if case == "phase":
        A = PhaseRetrieval(SHAPE, random_codes(4, SHAPE, seed=0), field="real")
        noise = ig.noise.Gaussian(0.05)
    else:
        A, noise = Radon(SHAPE, angles=6), ig.noise.Transmission(1e4)
    problem = ig.Problem(A, noise.sample(A(truth), 0), noise)
    result = DPS(images, iterations=100, std=STD)(problem, samples=4, seed=0)
    before = problem.misfit(torch.ones(SHAPE, dtype=torch.float64))
    # without data the prior's mean is the best guess
    assert (problem.repeated(4).misfit(result.samples) < before).all()
