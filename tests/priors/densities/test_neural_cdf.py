"""Learned distribution functions: what holds for any weights, and what is learned."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import kstest

import invgen as ig
from invgen.priors import Gaussian, GaussianMixture, NeuralCDF
from invgen.priors.nets.monotone import MonotoneCDF
from invgen.priors.training import Training

MIXTURE = GaussianMixture(
    torch.tensor([[-1.5], [1.0]]).double(), torch.tensor([[0.25], [0.64]]).double(), [0.4, 0.6]
)
PLANE = Gaussian(torch.tensor([1.0, -2.0]).double(), torch.tensor([[2.0, 1.2], [1.2, 1.0]]).double())
LINE = torch.linspace(-12, 12, 4801, dtype=torch.float64)[:, None]
SHORT = Training(steps=300, learning_rate=0.03, warmup=30)


def random_weights(dimensions, seed=0):
    network = MonotoneCDF(dimensions, 5, 16)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.25 * torch.randn(parameter.shape, generator=generator))
        network.center.fill_(0.3)
        network.scale.fill_(1.5)
    return NeuralCDF(network)


@pytest.mark.parametrize("seed", range(3))
def test_any_weights_give_a_distribution_function(seed):
    prior = random_weights(1, seed)
    x = torch.linspace(-60, 60, 24001, dtype=torch.float64)[:, None]
    F, p = prior.cdf(x)[:, 0], prior.log_prob(x).exp()
    assert bool((F.diff() >= 0).all())
    assert float(F[0]) < 1e-6
    assert float(F[-1]) > 1 - 1e-6
    assert bool((p > 0).all())
    assert abs(float(torch.trapezoid(p, x[:, 0])) - 1) < 1e-5


def test_any_weights_give_a_density_of_the_plane():
    prior = random_weights(2)
    side = torch.linspace(-25, 25, 601, dtype=torch.float64)
    p = prior.log_prob(torch.stack(torch.meshgrid(side, side, indexing="ij"), -1)).exp()
    total = torch.trapezoid(torch.trapezoid(p, side), side)
    assert abs(float(total) - 1) < 1e-3


def test_density_is_the_derivative_of_the_distribution_function():
    """Of three coordinates: the determinant of the Jacobian, which is triangular."""
    prior = random_weights(3)
    x = 2 * torch.randn(4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for one in x:
        J = torch.autograd.functional.jacobian(prior.cdf, one)
        torch.testing.assert_close(J, J.tril())
        torch.testing.assert_close(prior.log_prob(one), torch.linalg.slogdet(J).logabsdet)
    torch.autograd.gradcheck(prior.log_prob, x.requires_grad_())


def test_density_far_from_the_data_is_a_number():
    prior = random_weights(1)
    x = torch.tensor([[-1e4], [1e4]]).double()
    assert bool(torch.isfinite(prior.log_prob(x)).all())
    assert prior.cdf(x)[:, 0].tolist() == [0.0, pytest.approx(1.0)]


@pytest.mark.parametrize("dimensions", [1, 3])
def test_quantiles_invert_the_distribution_function(dimensions):
    prior = random_weights(dimensions)
    u = torch.rand(50, dimensions, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    u[0], u[1] = 1e-9, 1 - 1e-9
    torch.testing.assert_close(prior.cdf(prior.quantile(u)), u, rtol=0, atol=1e-12)


@pytest.mark.parametrize("method", ["SIC", "SLC"])
def test_learned_density_is_near_that_of_the_data(method):
    """Less than half of the root integrated squared error of the one Gaussian with the data's moments."""
    data = MIXTURE.sample(2000, 0)
    prior = NeuralCDF.fit(data, method, training=SHORT)

    def error(density):
        return float(torch.trapezoid((density.log_prob(LINE).exp() - truth).square(), LINE[:, 0]).sqrt())

    truth = MIXTURE.log_prob(LINE).exp()
    assert error(prior) < error(Gaussian(data.mean(0), data.var(0))) / 2
    assert abs(float(torch.trapezoid(prior.log_prob(LINE).exp(), LINE[:, 0])) - 1) < 1e-3
    # the distribution of fresh points of the truth, which the network has not seen
    F = prior.cdf(LINE)[:, 0]
    exact = torch.cumulative_trapezoid(truth, LINE[:, 0])
    assert float((F[1:] - exact).abs().max()) < 1.63 / math.sqrt(2000)  # what 1 % of empirical ones exceed


def test_samples_have_the_distribution_of_the_network():
    prior = random_weights(1)
    x = prior.sample(2000, 5)[:, 0].numpy()
    assert kstest(x, lambda t: prior.cdf(torch.from_numpy(t)[:, None])[:, 0].numpy()).pvalue > 0.01


@pytest.mark.slow
def test_conditional_functions_give_the_correlation():
    data = PLANE.sample(3000, 0)
    prior = NeuralCDF.fit(data, training=SHORT)
    x = prior.sample(3000, 10_000)
    expected = 1.2 / math.sqrt(2)
    assert abs(float(torch.corrcoef(data.T)[0, 1]) - expected) < 0.02
    assert abs(float(torch.corrcoef(x.T)[0, 1]) - expected) < 0.03
    np.testing.assert_allclose(x.mean(0), [1, -2], atol=0.1)
    # without the condition the two would be independent: 0.64 nats more of cross entropy
    fresh = PLANE.sample(2000, 77)
    lost = float((PLANE.log_prob(fresh) - prior.log_prob(fresh)).mean())
    assert 0 < lost < 0.1


def test_the_same_seed_gives_the_same_weights_also_after_an_interruption(tmp_path, monkeypatch):
    data = torch.cat([MIXTURE.sample(300, 0), MIXTURE.sample(300, 1000)], 1)

    def fitted(seed, folder=None, steps=12):
        training = Training(steps=steps, warmup=2, seed=seed, save_seconds=0)
        return NeuralCDF.fit(data, "SLC", training=training, batch_size=64, folder=folder)

    def weights(prior):
        return torch.cat([value.flatten() for value in prior.network.state_dict().values()])

    whole = weights(fitted(0))
    assert torch.equal(whole, weights(fitted(0)))
    assert not torch.equal(whole, weights(fitted(1)))

    class Killed(Exception):
        """In the middle of a step."""

    calls, forward = iter(range(7)), MonotoneCDF.forward

    def interrupted(network, *arguments):
        if next(calls, None) is None:
            raise Killed
        return forward(network, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(MonotoneCDF, "forward", interrupted)
        with pytest.raises(Killed):
            fitted(0, tmp_path)
    assert (tmp_path / "state.pt").exists()
    assert torch.equal(whole, weights(fitted(0, tmp_path)))


def test_a_file_holds_it(tmp_path):
    prior = random_weights(2).with_card(data="random")
    prior.save(tmp_path / "prior.safetensors")
    again = ig.priors.load(tmp_path / "prior.safetensors")
    x = prior.sample(5, 0)
    assert isinstance(again, NeuralCDF)
    assert again.card["data"] == "random"
    torch.testing.assert_close(again.log_prob(x), prior.log_prob(x), rtol=1e-12, atol=0)
    assert again.image_format == prior.image_format


@pytest.mark.parametrize(
    ("data", "options", "error", "words"),
    [
        (torch.tensor([[1.0], [math.nan]]), {}, ig.errors.DataError, "NaN"),
        (torch.ones(5, 2), {}, ig.errors.DataError, "coordinate 0"),
        (torch.ones(1, 2), {}, ig.errors.ShapeError, "at least 2"),
        (torch.arange(5.0), {}, ig.errors.ShapeError, r"\(n, D\)"),
        (torch.arange(5.0)[:, None], {"method": "ML"}, ig.errors.ParameterError, "SLC"),
        (torch.arange(5.0)[:, None], {"hidden": 0}, ig.errors.ParameterError, "hidden"),
    ],
)
def test_bad_input_is_named(data, options, error, words):
    with pytest.raises(error, match=words):
        NeuralCDF.fit(data, **options)


def test_numbers_that_are_no_probabilities_are_refused():
    with pytest.raises(ig.errors.DataError, match="between 0 and 1"):
        random_weights(1).quantile(torch.tensor([[1.0]]))
