"""Denoising autoencoders: chains, scores and solvers in closed form, and what training learns of it."""

import math

import pytest
import torch
from torch import nn

import invgen as ig
from invgen.core.errors import CapabilityError, DataError, DtypeError, ParameterError, ShapeError
from invgen.noise import Gaussian
from invgen.operators import Mask
from invgen.priors import Denoiser, DenoisingAutoencoder, GaussianMixture, ImageFormat, Sampler
from invgen.priors.training import Training
from invgen.priors.training.families import train
from invgen.solvers import RED, PnPPGD

from ...contracts.numbers import normal
from ..toys import RANGE, Killed, killed_at, moons

PIXEL = ImageFormat((1, 1), value_range=(-1.0, 1.0), field="real")


class Exact(nn.Module):
    """Posterior mean and standard deviation of a mixture of Gaussians of the same variance.

    The variance is ``sigma^2 D'(x)`` with the denoiser D.
    """

    def __init__(self, centers, variance, sigma, certain=False):
        super().__init__()
        self.mixture = GaussianMixture(torch.tensor(centers).double()[:, None, None], variance)
        self.sigma, self.certain = sigma, certain

    def forward(self, x, noise):
        with torch.enable_grad():
            at = x.detach()[:, 0].requires_grad_()
            mean = self.mixture.denoise(at, self.sigma)
            slope = torch.autograd.grad(mean.sum(), at)[0][:, None]
        # the inverse of softplus
        width = torch.full_like(x, -30.0) if self.certain else (slope.sqrt() - 0.02).expm1().log()
        return torch.cat([mean.detach()[:, None] - x, width], 1)


def exact(centers, variance, sigma, **options):
    return DenoisingAutoencoder(Exact(centers, variance, sigma, **options), PIXEL, sigma=sigma)


# -- the chain


def test_the_chain_of_a_gaussian_has_its_variance():
    """Noise and the exact conditional density in turn: the Gaussian's own law is stationary, exactly."""
    v, sigma = 0.25, 0.5
    x = exact([0.0], v, sigma).sample(4000, seed=0, steps=30)
    assert float(x.mean()) == pytest.approx(0, abs=4 * math.sqrt(v / 4000))
    assert float(x.var()) == pytest.approx(v, rel=4 * math.sqrt(2 / 4000))


def test_a_chain_of_means_alone_would_have_too_small_a_variance():
    """``V = k^2 (V + sigma^2)`` with ``k = v / (v + sigma^2)``: here a third of v, and what _LEAST adds."""
    v, sigma = 0.25, 0.5
    k = v / (v + sigma**2)
    x = exact([0.0], v, sigma, certain=True).sample(4000, seed=0, steps=30)
    variance = (k**2 * sigma**2 + (0.02 * sigma) ** 2) / (1 - k**2)
    assert variance == pytest.approx(v / 3, rel=0.01)
    assert float(x.var()) == pytest.approx(variance, rel=4 * math.sqrt(2 / 4000))


def test_a_chain_of_little_noise_visits_both_parts_of_a_mixture():
    """Of a Gaussian with the exact mean and variance of the conditional density."""
    prior = exact([-0.3, 0.3], 0.03, 0.15)
    x = prior.sample(2000, seed=0, steps=100, start=torch.full((1, 1), 0.3))
    assert float((x > 0).float().mean()) == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(2000))
    assert float(x.var()) == pytest.approx(0.03 + 0.09, rel=0.06)


def test_samples_follow_from_their_seeds():
    prior = DenoisingAutoencoder.untrained(widths=(4, 8), sigma=0.2)
    x = prior.sample(3, seed=5, image_shape=(9, 10), steps=4)
    assert x.shape == (3, 9, 10)
    torch.testing.assert_close(prior.sample(1, seed=7, image_shape=(9, 10), steps=4), x[2:])
    start = torch.rand(9, 10)
    torch.testing.assert_close(prior.sample(2, seed=0, image_shape=(9, 10), steps=0, start=start)[1], start)


# -- the denoiser, and the score


def test_it_is_a_denoiser_of_one_level_and_a_sampler():
    prior, x = exact([0.0], 0.25, 0.5), normal(4, 1, 1)
    assert isinstance(prior, Denoiser)
    assert isinstance(prior, Sampler)
    assert prior.image_format.noise_range == (0.5, 0.5)
    torch.testing.assert_close(prior.denoise(x, 0.5), x / 2)
    torch.testing.assert_close(prior.denoise(x, 2.0), x / 2)
    torch.testing.assert_close(prior.denoise(x, 0.1), x - 0.1**2 * x / 0.5)


def test_for_small_noise_the_reconstruction_is_the_score_of_the_images():
    """Alain and Bengio (2014), theorem 1: the error is of second order in sigma."""
    centers, v, x = [-0.4, 0.5], 0.04, torch.linspace(-0.8, 0.8, 41).double()[:, None, None]
    at = x.clone().requires_grad_()
    score = torch.autograd.grad(Exact(centers, v, 0.1).mixture.log_prob(at).sum(), at)[0]
    errors = [
        float((exact(centers, v, sigma).score(x, sigma) - score).abs().max()) for sigma in (0.04, 0.02, 0.01)
    ]
    assert errors[0] < 0.15 * float(score.abs().max())
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.2)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.2)


# -- solvers


class White(nn.Module):
    """The posterior mean of white Gaussian images."""

    def forward(self, x, noise):
        return torch.cat([-x / 2, torch.zeros_like(x)], 1)


@pytest.mark.parametrize("solver", [RED, PnPPGD])
def test_it_serves_plug_and_play_and_red(solver):
    """Pixel by pixel the equilibria are known: what was not measured is zero."""
    images = ImageFormat((4, 5), value_range=(-1.0, 1.0), field="real")
    prior = DenoisingAutoencoder(White(), images, sigma=0.1)
    mask, y = torch.arange(20).reshape(4, 5) % 3 > 0, 0.5 * normal(4, 5)
    problem = ig.Problem(Mask(mask), mask * y, Gaussian(0.1))
    x = solver(prior, sigma=0.1, scale=1.0, iterations=300, tolerance=1e-7)(problem).x
    ratio = x[mask] / y[mask]
    assert float(x[~mask].abs().max()) < 1e-3
    torch.testing.assert_close(ratio, ratio.mean().expand_as(ratio), atol=1e-3, rtol=0)
    # RED: (x - y) / std^2 + weight / sigma^2 (x - x / 2) = 0; of the projection x = (x + step (y - x)) / 2
    assert 0.3 < float(ratio.mean()) < 0.95
    if solver is RED:
        assert float(ratio.mean()) == pytest.approx(1 / (1 + 0.5 / 2), rel=1e-3)


# -- learning


def of_a_mixture(n, seed):
    """Two Gaussians of standard deviation 0.2 at 0.4 to either side of zero."""
    generator = torch.Generator().manual_seed(seed)
    side = 2.0 * torch.randint(2, (n, 1, 1), generator=generator) - 1
    return (0.4 * side + 0.2 * torch.randn(n, 1, 1, generator=generator)).clamp(-1, 1)


def trained(images, folder, steps, sigma, value_range=(-1, 1), batch=256, rate=3e-3, **options):
    prior = DenoisingAutoencoder.untrained(
        images[0].shape, value_range=value_range, sigma=sigma, widths=(64, 64), **options
    )
    training = Training(steps, learning_rate=rate, warmup=20)
    return train(prior, images, folder=folder, training=training, batch_size=batch)


def test_it_learns_the_conditional_density_of_a_gaussian(tmp_path, set_threads):
    """``P(X | X~)`` has the slope ``v / (v + sigma^2)``, and the variance ``sigma^2`` times that."""
    set_threads(1)
    v, sigma = 0.09, 0.3
    images = 0.3 * normal(20_000, 1, 1, dtype=torch.float32)
    prior = trained(images.clamp(-1, 1), tmp_path, 200, sigma, batch=128)
    x = torch.linspace(-0.6, 0.6, 13).reshape(-1, 1, 1)
    torch.testing.assert_close(prior.denoise(x, sigma), x / 2, atol=0.03, rtol=0)
    network = prior.networks()["network"]
    std = prior.reconstruction(network, x[:, None])[1]
    torch.testing.assert_close(std, torch.full_like(std, math.sqrt(0.5) * sigma), rtol=0.1, atol=0)
    drawn = prior.sample(2000, seed=0, steps=30)
    assert float(drawn.var()) == pytest.approx(v, rel=0.15)


@pytest.mark.slow
def test_the_score_that_it_learns_is_that_of_a_mixture_with_noise(tmp_path, set_threads):
    """The less noise, the longer it takes to learn: the score is what little r differs, over sigma^2."""
    set_threads(1)
    sigma, x = 0.2, torch.linspace(-0.8, 0.8, 41)[:, None, None]
    prior = trained(of_a_mixture(20_000, 0), tmp_path, 2000, sigma, rate=1e-2)
    at = x.double().requires_grad_()
    noisy = GaussianMixture(torch.tensor([-0.4, 0.4]).double()[:, None, None], 0.04 + sigma**2)
    density = noisy.log_prob(at)
    score = torch.autograd.grad(density.sum(), at)[0]
    weight = density.detach().exp()
    error = (weight * (prior.score(x, sigma) - score).square().flatten()).sum()
    assert float(error / (weight * score.square().flatten()).sum()) < 0.1**2


@pytest.mark.slow
def test_walkback_removes_what_the_chain_makes_up(tmp_path, set_threads):
    """Chains of two moons: the fraction further than three deviations from them, begun anywhere."""
    set_threads(1)
    start = 8 * torch.rand(1000, 1, 2, generator=torch.Generator().manual_seed(5)) - 3.5
    clean = moons(4000, 9, noise=0.0)[:, 0]
    far = {}
    for walkback in (0, 1):
        prior = trained(
            moons(4000, 0), tmp_path / str(walkback), 1500, 0.1, value_range=RANGE, walkback=walkback
        )
        for steps in (30, 300):
            x = prior.sample(1000, seed=0, steps=steps, start=start)
            away = torch.cdist(x[:, 0], clean).min(1).values
            far[walkback, steps] = float((away > 0.4).float().mean())
    assert far[0, 30] > 0.1  # many chains have not found back
    assert far[1, 30] < far[0, 30] / 5
    assert far[1, 300] < far[0, 300] / 2


def test_the_loss_with_walkback_is_that_of_each_step_of_the_chain():
    prior = exact([0.0], 0.25, 0.5)
    network, images = prior.networks()["network"], torch.full((3, 1, 1, 1), 0.3)
    longer = DenoisingAutoencoder(network, PIXEL, sigma=0.5, walkback=1)
    found = longer.loss({"network": network}, images, torch.Generator().manual_seed(4))
    generator, x, terms = torch.Generator().manual_seed(4), images, []
    for _ in range(2):
        noisy = x + 0.5 * torch.randn(x.shape, generator=generator)
        normal = torch.distributions.Normal(noisy / 2, math.sqrt(0.125))
        terms.append(-normal.log_prob(images).mean() - math.log(2 * math.pi) / 2)
        x = noisy / 2 + math.sqrt(0.125) * torch.randn(x.shape, generator=generator)
    torch.testing.assert_close(found, torch.stack(terms).mean(), rtol=1e-5, atol=1e-6)


def test_a_run_that_is_killed_twice_gives_the_same_weights(tmp_path, set_threads):
    set_threads(1)
    prior = DenoisingAutoencoder.untrained((9, 10), widths=(4, 8), walkback=2)
    training, images = Training(9, 0.01, warmup=2, save_seconds=0.0), torch.rand(20, 9, 10)

    def run(prior, name):
        return train(prior, images, folder=tmp_path / name, training=training, batch_size=4)

    whole = run(prior, "whole")
    for update in (4, 3):
        with pytest.raises(Killed):
            run(killed_at(prior, update), "killed")
    weights = [one.networks()["network"].state_dict() for one in (whole, run(prior, "killed"), prior)]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    assert not all(torch.equal(weights[0][key], weights[2][key]) for key in weights[0])


# -- files, and what is refused


@pytest.mark.parametrize(
    ("shape", "options"), [((1, 2), {}), ((12, 13), {}), (None, {"channels": 3}), (None, {})]
)
def test_it_comes_back_from_its_file(shape, options, tmp_path):
    prior = DenoisingAutoencoder.untrained(
        shape, widths=(4, 8), value_range=(0, 3), sigma=0.2, walkback=3, seed=2, **options
    )
    path = tmp_path / "prior.safetensors"
    prior.save(path, data="none")
    again = ig.priors.load(path)
    image = shape or ((3, 9, 10) if options else (9, 10))
    x = normal(2, *image, dtype=torch.float32)
    assert torch.equal(again.denoise(x, 0.2), prior.denoise(x, 0.2))
    assert again.image_format == prior.image_format
    assert (again.sigma, again.walkback) == (0.2, 3)


def test_bad_input_is_refused(tmp_path):
    prior = DenoisingAutoencoder.untrained((1, 2), value_range=RANGE, widths=(4,))
    with pytest.raises(ShapeError, match=r"images of the shape \(1, 2\)"):
        prior.denoise(torch.zeros(3, 2, 2), 0.1)
    with pytest.raises(DataError):
        prior.denoise(torch.tensor([[0.0, torch.nan]]), 0.1)
    with pytest.raises(DtypeError):
        prior.denoise(torch.zeros(1, 2, dtype=torch.complex64), 0.1)
    for settings in ({"sigma": 0.0}, {"sigma": math.inf}, {"walkback": -1}):
        with pytest.raises(ParameterError):
            DenoisingAutoencoder.untrained((1, 2), **settings)
    with pytest.raises(ParameterError, match="image_shape"):
        DenoisingAutoencoder.untrained(widths=(4,)).sample(1, seed=0)
    with pytest.raises(ShapeError):
        prior.sample(1, seed=0, start=torch.zeros(2, 2))
    with pytest.raises(ShapeError, match="real"):
        DenoisingAutoencoder(nn.Identity(), ImageFormat(axes=2, field="complex"))
    with pytest.raises(CapabilityError, match="White"):
        DenoisingAutoencoder(White(), prior.image_format).save(tmp_path / "prior.safetensors")
    images, options = moons(20, 0), {"training": Training(1), "batch_size": 8}
    with pytest.raises(ShapeError, match=r"images \(1, 2\)"):
        train(prior, torch.zeros(20, 2, 2), folder=tmp_path / "size", **options)
    with pytest.raises(DataError, match="image 0 goes from"):
        train(prior, 10 + images, folder=tmp_path / "range", **options)
    with pytest.raises(ParameterError, match="batch"):
        train(prior, images[:4], folder=tmp_path / "few", **options)
