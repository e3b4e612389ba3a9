"""Energy models: against Gaussians, whose energies, posteriors and gradients are known, and on two moons."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

import invgen as ig
from invgen.core.errors import DataError, DtypeError, ParameterError, ShapeError
from invgen.noise import Gaussian
from invgen.operators import Identity
from invgen.priors import Energy, EnergyModel, ImageFormat, Sampler
from invgen.priors.base import energy_gradient
from invgen.priors.energy import Chains
from invgen.priors.nets import ImageEnergy, VectorEnergy
from invgen.priors.training import Training
from invgen.priors.training.families import train
from invgen.solvers import ULA, AnnealedLangevin

from ..contracts.numbers import normal
from .toys import RANGE, Killed, killed_at, moons, sliced_wasserstein

SHAPE = (2, 4)


class Quadratic(nn.Module):
    """The energy of a white Gaussian of mean zero, in the network's unit."""

    def __init__(self, variance=1.0):
        super().__init__()
        self.precision = nn.Parameter(torch.tensor(1 / variance))

    def forward(self, x):
        return self.precision * x.square().flatten(1).sum(1) / 2


def gaussian(variance=1.0, half=1.0, **settings):
    """Of this variance in the unit of the images, which go from minus to plus `half`."""
    images = ImageFormat(SHAPE, value_range=(-half, half), field="real")
    return EnergyModel(Quadratic(variance / half**2), images, **settings)


def test_it_is_an_energy_and_a_sampler_of_images_in_their_own_unit():
    prior = gaussian(4.0, half=10.0, sigma=0.5)
    assert isinstance(prior, Energy)
    assert isinstance(prior, Sampler)
    x = normal(3, 2, *SHAPE)
    exact = x.square().sum((-2, -1)) / 8
    torch.testing.assert_close(prior.energy(x), exact, rtol=1e-6, atol=0)
    torch.testing.assert_close(energy_gradient(prior, x), x / 4, rtol=1e-6, atol=0)


def test_at_its_level_it_is_the_posterior_mean_by_tweedies_formula():
    """Of images of variance 3 with noise of variance 1, whose density has the variance 4."""
    prior, x = gaussian(4.0, half=10.0, sigma=1.0), normal(5, *SHAPE)
    torch.testing.assert_close(prior.denoise(x, 1.0), x * 3 / 4, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(prior.score(x, 0.3), -x / 4, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(prior.score(x, 2.0), -x / 16, rtol=1e-6, atol=1e-9)
    levels = torch.tensor([0.3, 1.0, 2.0, 0.1, 5.0])
    apart = torch.stack([prior.denoise(one, s) for one, s in zip(x, levels, strict=True)])
    torch.testing.assert_close(prior.denoise(x, levels), apart)


@pytest.mark.parametrize("network", [VectorEnergy((1, 3, 5), (8, 8)), ImageEnergy(1, (4, 8))])
def test_gradients_are_those_of_finite_differences(network):
    images = ImageFormat((3, 5), value_range=(0.0, 2.0), field="real")
    prior, x = EnergyModel(network, images, sigma=0.1), normal(2, 3, 5).requires_grad_()
    assert torch.autograd.gradcheck(prior.energy, x)
    assert torch.autograd.gradcheck(lambda x: prior.denoise(x, 0.1), x)
    step, slope = 1e-5 * normal(2, 3, 5, seed=1), energy_gradient(prior, x)
    ahead, behind = (prior.energy(x.detach() + s * step) for s in (1, -1))
    torch.testing.assert_close((slope * step).sum((-2, -1)), (ahead - behind) / 2, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 2), (3, 9, 11)])
def test_a_batch_gives_what_its_elements_give(shape):
    prior, x = EnergyModel.untrained(shape, widths=(8, 16), seed=3), normal(2, 3, *shape)
    energies = prior.energy(x)
    assert energies.shape == (2, 3)
    for i in range(2):
        for j in range(3):
            torch.testing.assert_close(prior.energy(x[i, j]), energies[i, j])
    torch.testing.assert_close(prior.energy(x.float()).double(), energies, rtol=1e-4, atol=1e-4)


# -- solvers


def test_ula_samples_from_the_exact_posterior():
    """Of a Gaussian: the precisions add, and the steps' own bias is ``v / (1 - delta / (2 v))``."""
    c, std = 1.0, torch.linspace(0.4, 3.0, 8, dtype=torch.float64).reshape(SHAPE)
    prior = gaussian(c, half=5.0, sigma=0.5)
    y = torch.linspace(-2, 2, 8, dtype=torch.float64).reshape(SHAPE)
    problem = ig.Problem(Identity(SHAPE), y, Gaussian(std))
    solver = ULA(prior, iterations=120, sigma=prior.sigma, step_size=0.4, scale=5.0)
    drawn = solver(problem, samples=400, seed=0).samples
    v = 1 / (1 / c + std**-2)
    delta = 0.4 / (0.4**-2 + 0.5**-2)
    variance = v / (1 - delta / (2 * v))
    # four standard errors
    assert bool(((drawn.mean(0) - v * y / std**2).abs() < 4 * (variance / 400).sqrt()).all())
    assert bool(((drawn.var(0) / variance - 1).abs() < 4 * math.sqrt(2 / 400)).all())
    assert float((variance / v).max()) < 1.25


def test_annealed_langevin_ends_at_the_posterior():
    """The image that it returns is without the noise of the lowest level, whose square it may be off by."""
    prior, y = gaussian(1.0, half=5.0, sigma=0.1), torch.full(SHAPE, 1.5, dtype=torch.float64)
    problem = ig.Problem(Identity(SHAPE), y, Gaussian(0.5))
    solver = AnnealedLangevin(prior, iterations=150, scale=5.0)
    drawn = solver(problem, samples=100, seed=0).samples
    v = 1 / (1 / 0.99 + 1 / 0.25)
    assert float(drawn.mean()) == pytest.approx(v * 1.5 / 0.25, abs=0.1 * math.sqrt(v) + 0.02)
    assert float(drawn.var(0).mean()) == pytest.approx(v, rel=0.15)


# -- sampling


def test_samples_have_the_density_that_is_modelled_and_follow_from_their_seeds():
    prior = gaussian(0.04, sigma=0.1)
    x = prior.sample(500, seed=3, steps=300)
    # of variance v / (1 - delta / (2 v)) with steps of delta = sigma^2 / 2
    variance = 0.04 / (1 - 0.005 / 0.08)
    assert float(x.var()) == pytest.approx(variance, rel=4 * math.sqrt(2 / 4000))
    assert torch.equal(x[:7], prior.sample(7, seed=3, steps=300))
    torch.testing.assert_close(prior.sample(2, seed=8, steps=300), x[5:7])


# -- learning


def test_the_gradient_of_the_loss_is_that_of_the_likelihood():
    """With ``E = p |x|^2 / 2`` the derivative is half of ``E_data |x|^2 - E_model |x|^2``, the last d / p.

    That of the chains is off by what follows in closed form from their steps, and from chains begun anew.
    """
    d, v, delta = 8, 0.25, 0.1 * 0.2**2
    prior = gaussian(v, sigma=0.2, step_size=0.1, chains=2000, magnitude=0.0, spectral=0.0)
    networks = {name: network.requires_grad_(True) for name, network in prior.networks().items()}
    networks["network"].train()
    generator = torch.Generator().manual_seed(0)
    images = 0.3 * torch.randn(2000, 1, *SHAPE, generator=generator)
    for _ in range(60):  # the chains forget where they began
        networks["network"](images, generator)
    slopes = []
    for _ in range(30):
        loss = prior.loss(networks, images, generator)
        slopes += torch.autograd.grad(loss, networks["network"].network.precision)
    found = float(torch.stack(slopes).mean())
    data = float(images.square().flatten(1).sum(1).mean()) + d * 0.2**2
    drawn = d * v / (1 - delta / (2 * v))
    kept = (1 - delta / v) ** (2 * prior.langevin_steps)
    drawn += kept * 0.01 * (d - drawn) / (1 - kept * 0.99)
    assert found == pytest.approx((data - drawn) / 2, rel=0.03)
    assert drawn == pytest.approx(d * v, rel=0.05)


def test_regularizations_are_what_they_say():
    network = VectorEnergy((1, 1, 2), (8, 4))
    images = ImageFormat((1, 2), value_range=(-1.0, 1.0), field="real")
    plain, square, spectral = (
        EnergyModel(network, images, sigma=0.1, magnitude=m, spectral=s)
        for m, s in ((0.0, 0.0), (0.3, 0.0), (0.0, 0.3))
    )
    x = 0.1 * normal(6, 1, 1, 2, dtype=torch.float32)

    def loss(prior):
        networks = {"network": prior.networks()["network"].eval()}
        return float(prior.loss(networks, x, torch.Generator().manual_seed(0)).detach())

    norms = [float(torch.linalg.svdvals(w.detach())[0]) ** 2 for w in network.parameters() if w.ndim == 2]
    assert len(norms) == 3
    assert loss(spectral) - loss(plain) == pytest.approx(0.3 / 2 * sum(norms), rel=1e-4)
    assert loss(square) > loss(plain)


def test_chains_go_on_in_training_and_stay_in_evaluation():
    chains = Chains(Quadratic(), (1, *SHAPE), count=50, steps=2, delta=0.01)
    before, images = chains.images.clone(), torch.zeros(4, 1, *SHAPE)
    chains.eval()(images, torch.Generator().manual_seed(0))
    assert torch.equal(chains.images, before)
    chains.train()(images, torch.Generator().manual_seed(0))
    moved = (chains.images != before).flatten(1).any(1).sum()
    assert 1 <= moved <= 4


def test_a_run_that_is_killed_twice_gives_the_same_weights(set_threads, tmp_path):
    set_threads(1)
    prior = EnergyModel.untrained((1, 2), value_range=RANGE, widths=(8,), langevin_steps=3, chains=40)
    training = Training(9, 0.01, warmup=2, save_seconds=0.0)
    images = moons(50, 0)

    def run(prior, name):
        return train(prior, images, folder=tmp_path / name, training=training, batch_size=8)

    whole = run(prior, "whole")
    for update in (4, 3):
        with pytest.raises(Killed):
            run(killed_at(prior, update), "killed")
    resumed = run(prior, "killed")
    states = [
        torch.load(tmp_path / name / "state.pt", weights_only=True)["modules"]["network"]["weights"]
        for name in ("whole", "killed")
    ]
    assert "images" in states[0]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    x = normal(4, 1, 2, dtype=torch.float32)
    assert torch.equal(whole.energy(x), resumed.energy(x))
    assert not torch.equal(whole.energy(x), prior.energy(x))


def moons_model(folder, steps, **settings):
    prior = EnergyModel.untrained((1, 2), value_range=RANGE, sigma=0.1, widths=(64, 64, 64), **settings)
    training = Training(steps, learning_rate=5e-3, warmup=min(50, steps // 5))
    return train(prior, moons(10_000, 1), folder=folder, training=training, batch_size=256)


def apart(prior, repeats=9, n=1000, steps=1000):
    """Medians of the distances of samples, and of fresh data, to data, of as many points each."""
    x = prior.sample(repeats * n, seed=0, steps=steps).split(n)
    data = [moons(n, 300 + i) for i in range(repeats)]
    fresh = [sliced_wasserstein(moons(n, 200 + i), data[i]) for i in range(repeats)]
    found = [sliced_wasserstein(x[i], data[i]) for i in range(repeats)]
    return torch.tensor(found).median().item(), torch.tensor(fresh).median().item()


def test_a_short_training_comes_near_two_moons(tmp_path, set_threads):
    set_threads(1)
    found, _ = apart(moons_model(tmp_path, 80, langevin_steps=5), repeats=1, n=300, steps=100)
    before, _ = apart(
        EnergyModel.untrained((1, 2), value_range=RANGE, sigma=0.1), repeats=1, n=300, steps=100
    )
    assert found < before / 3


@pytest.mark.slow
def test_samples_are_about_as_near_to_two_moons_as_fresh_data(tmp_path, set_threads):
    """Sliced Wasserstein distance W1, fifty directions, nine pairs of a thousand points each."""
    set_threads(1)
    found, fresh = apart(moons_model(tmp_path, 1500))
    assert found <= 1.5 * fresh


# -- files, and what is refused


@pytest.mark.parametrize("shape", [(1, 2), (3, 9, 11)])
def test_it_comes_back_from_its_file_without_the_chains(shape, tmp_path):
    prior = EnergyModel.untrained(shape, value_range=(0, 3), widths=(8, 8), langevin_steps=7, spectral=0.5)
    prior.save(tmp_path / "prior.safetensors", data="none")
    again = ig.priors.load(tmp_path / "prior.safetensors")
    x = normal(2, *shape, dtype=torch.float32)
    assert torch.equal(again.energy(x), prior.energy(x))
    assert again.image_format == prior.image_format
    assert (again.sigma, again.langevin_steps, again.spectral) == (prior.sigma, 7, 0.5)
    assert (tmp_path / "prior.safetensors").stat().st_size < 50_000


def test_bad_input_is_refused(tmp_path):
    prior = EnergyModel.untrained((1, 2), value_range=RANGE, widths=(4,), chains=10, langevin_steps=1)
    with pytest.raises(ShapeError, match=r"images of the shape \(1, 2\)"):
        prior.energy(torch.zeros(3, 2, 2))
    with pytest.raises(DataError):
        prior.energy(torch.tensor([[0.0, torch.nan]]))
    with pytest.raises(DtypeError):
        prior.energy(torch.zeros(1, 2, dtype=torch.complex64))
    with pytest.raises(ParameterError, match="temperature"):
        prior.sample(1, 0, temperature=0.5)
    for settings in ({"sigma": 0.0}, {"step_size": 2.0}, {"spectral": -1.0}, {"langevin_steps": 0}):
        with pytest.raises(ParameterError):
            EnergyModel.untrained((1, 2), **settings)
    with pytest.raises(ShapeError, match="one shape"):
        EnergyModel(Quadratic(), ImageFormat(axes=2), sigma=0.1)
    with pytest.raises(ShapeError, match="real"):
        EnergyModel(Quadratic(), replace(prior.image_format, field="complex"), sigma=0.1)
    images, options = moons(20, 0), {"training": Training(1), "batch_size": 8}
    with pytest.raises(ShapeError, match=r"images \(1, 2\)"):
        train(prior, torch.zeros(20, 2, 2), folder=tmp_path / "size", **options)
    with pytest.raises(DataError, match="image 0 goes from"):
        train(prior, 10 + images, folder=tmp_path / "range", **options)
    with pytest.raises(ParameterError, match="batch"):
        train(prior, images[:4], folder=tmp_path / "few", **options)
    images[3, 0, 1] = torch.nan
    with pytest.raises(DataError):
        train(prior, images, folder=tmp_path / "nan", **options)
