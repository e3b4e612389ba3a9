"""Autoregressive densities: exact probabilities, samples that follow them, and completion of images."""

import itertools
import math

import pytest
import torch
from torch import nn

import invgen as ig
from invgen.core.errors import DataError, DtypeError, ShapeError
from invgen.priors import Autoregressive
from invgen.priors.autoregressive.sampling import Reader
from invgen.priors.training import Training, train


def random_prior(shape=(2, 2), levels=4, std=0.5, **options):
    """A prior whose pixels depend on one another."""
    options = {"width": 8, "layers": 2, "mixtures": 3, **options}
    prior = Autoregressive.untrained(shape, levels=levels, **options)
    networks = prior.networks()
    with torch.random.fork_rng():
        torch.manual_seed(1)
        for parameter in networks["network"].parameters():
            nn.init.normal_(parameter.requires_grad_(True).detach(), std=std)
    return prior.with_networks(networks)


def every_image(shape, levels):
    pixels = math.prod(shape)
    values = itertools.product(range(levels), repeat=pixels)
    return torch.tensor(list(values)).double().reshape(-1, *shape) / (levels - 1)


@pytest.mark.parametrize("mixtures", [3, 0])
@pytest.mark.parametrize(("shape", "levels"), [((2, 2), 4), ((3, 2), 2), ((2, 2, 1), 4)])
def test_probabilities_of_all_images_sum_to_one(shape, levels, mixtures):
    if mixtures == 0 and len(shape) == 3:
        shape = (1, 2, 2)
    prior = random_prior(shape, levels, mixtures=mixtures)
    found = prior.log_prob(every_image(shape, levels))
    assert float(found.exp().sum()) == pytest.approx(1, abs=1e-10)
    assert float(found.std()) > 0.3  # and they are not all alike


@pytest.mark.parametrize(("mixtures", "reach"), [(3, 30), (0, 2)])
def test_the_energy_is_that_of_a_density_of_real_numbers(mixtures, reach):
    """Over the width of a level it integrates to one; levels have its probability, ends only of a softmax."""
    prior = random_prior((1, 2), 4, std=0.1, mixtures=mixtures)
    line = torch.linspace(-reach, reach, 401, dtype=torch.float64)
    images = torch.cartesian_prod(line, line)[:, None]
    area = (line[1] - line[0]) ** 2
    assert float((-prior.energy(images)).exp().sum() * area * 3**2) == pytest.approx(1, abs=2e-3)
    levels = every_image((1, 2), 4)
    within = ((levels > 0) & (levels < 1)).all(-1).all(-1)
    levels = levels[within] if mixtures else levels
    torch.testing.assert_close(-prior.energy(levels), prior.log_prob(levels))
    between = (levels[:3] + 0.1).requires_grad_()
    assert torch.autograd.gradcheck(prior.energy, between)


def test_each_pixel_depends_on_the_pixels_before_it_and_on_no_other():
    network = random_prior((5, 6), 256, width=32)._network(torch.zeros(1, dtype=torch.float64))
    x = torch.rand(1, 1, 5, 6, dtype=torch.float64)
    for place in range(30):
        i, j = divmod(place, 6)
        slope = torch.autograd.grad(network(x.requires_grad_())[0, :, i, j].square().sum(), x)[0].flatten()
        assert bool((slope[:place] != 0).all())
        assert bool((slope[place:] == 0).all())


def test_what_is_read_pixel_by_pixel_is_what_the_network_finds():
    network = random_prior((7, 6), 256)._network(torch.zeros(1, dtype=torch.float64))
    x = 2 * torch.rand(2, 1, 7, 6, dtype=torch.float64) - 1
    reader, whole = Reader(network, x), network(x)
    for i in range(7):
        reader.begin(i)
        for j in range(6):
            torch.testing.assert_close(
                reader.outputs(i, j)[..., 0, 0], whole[..., i, j], rtol=1e-10, atol=1e-12
            )


def test_samples_follow_the_probabilities():
    prior, n = random_prior(), 10_000
    index = (prior.sample(n, seed=0).double() * 3).round().long().flatten(1)
    counts = (index * torch.tensor([64, 16, 4, 1])).sum(1).bincount(minlength=256)
    expected = n * prior.log_prob(every_image((2, 2), 4)).exp()
    # Pearson's statistic, classes of few merged: its mean is their number, and beyond this one in 10,000
    order = expected.argsort()
    expected, counts = expected[order], counts[order].double()
    group = (expected.cumsum(0) / 20).long()
    totals = [torch.zeros(int(group[-1]) + 1).double().index_add(0, group, t) for t in (expected, counts)]
    kept = totals[0] > 5
    statistic = float(((totals[1] - totals[0]) ** 2 / totals[0].clamp(min=1))[kept].sum())
    degrees = int(kept.sum())
    assert statistic < degrees + 3.9 * math.sqrt(2 * degrees)


def exact_posterior(prior, known_value, known):
    """Probabilities of all images, given some of their pixels."""
    images = every_image((2, 2), 4)
    agree = ((images - known_value).abs() < 0.01)[:, known].all(1)
    joint = torch.where(agree, prior.log_prob(images).exp(), 0)
    return joint / joint.sum()


@pytest.mark.parametrize(
    ("known", "sweeps"),
    [([[True, True], [False, False]], 0), ([[False, True], [False, True]], 20)],
    ids=["the first pixels", "others"],
)
def test_completion_follows_the_probability_given_the_known_pixels(known, sweeps):
    prior, n = random_prior(), 4000
    known, x = torch.tensor(known), torch.tensor([[0.0, 1.0], [0.0, 2 / 3]])
    drawn = prior.complete(x, known, samples=n, sweeps=sweeps, seed=0).double()
    assert bool((drawn[:, known] == x[known]).all())
    probability = exact_posterior(prior, x.double(), known)
    index = (drawn * 3).round().long().flatten(1)
    counts = (index * torch.tensor([64, 16, 4, 1])).sum(1).bincount(minlength=256).double()
    # on average of n exact draws; four deviations are below three times that
    apart = float((counts / n - probability).abs().sum())
    chance = float((2 * probability * (1 - probability) / (math.pi * n)).sqrt().sum())
    assert apart < 3 * chance
    if sweeps:  # and without the sweeps it would not
        first = prior.complete(x, known, samples=n, sweeps=0, seed=0).double()
        index = (first * 3).round().long().flatten(1)
        counts = (index * torch.tensor([64, 16, 4, 1])).sum(1).bincount(minlength=256).double()
        assert float((counts / n - probability).abs().sum()) > 20 * chance


def test_completion_keeps_an_image_that_is_known():
    prior = random_prior()
    x = torch.tensor([[0.0, 1.0], [1 / 3, 2 / 3]])
    assert torch.equal(prior.complete(x, torch.ones(2, 2, dtype=torch.bool), samples=2)[1], x)


def test_it_learns_the_probabilities_of_its_images(tmp_path):
    """Images of two pixels, the second the first or its opposite: 1/2 bit in each pixel, and a rare error."""
    generator = torch.Generator().manual_seed(0)
    first = torch.randint(2, (512,), generator=generator)
    second = torch.where(torch.rand(512, generator=generator) < 0.11, 1 - first, first)
    images = list(torch.stack([first, second], dim=1).float()[:, None])
    prior = Autoregressive.untrained((1, 2), levels=2, width=8, layers=1, mixtures=2)
    training = Training(150, learning_rate=1e-2, warmup=10)
    prior = train(prior, images, folder=tmp_path, batch_size=64, training=training)
    every = every_image((1, 2), 2)
    expected = (2 * first + second).bincount(minlength=4).double() / 512
    torch.testing.assert_close(prior.log_prob(every).exp(), expected, atol=0.03, rtol=0)


def test_a_file_holds_it(tmp_path):
    prior = random_prior((4, 5), 256)
    prior.save(tmp_path / "prior.safetensors", data="none")
    again = ig.priors.load(tmp_path / "prior.safetensors")
    x = prior.sample(2, seed=0)
    assert again.image_format == prior.image_format
    assert torch.equal(again.log_prob(x), prior.log_prob(x))
    assert torch.equal(again.sample(2, seed=0), x)


def test_images_of_other_shapes_and_ranges_are_refused():
    prior = random_prior((4, 5), 256)
    with pytest.raises(ShapeError, match=r"\(4, 5\)"):
        prior.log_prob(torch.zeros(5, 4))
    with pytest.raises(DataError, match="256 levels from 0 to 1"):
        prior.log_prob(torch.full((4, 5), 255.0))
    with pytest.raises(DataError):
        prior.log_prob(torch.full((4, 5), float("nan")))
    with pytest.raises(ShapeError, match="mask of bool"):
        prior.complete(torch.zeros(4, 5), torch.ones(4, 5))
    with pytest.raises(ShapeError, match="of one shape"):
        Autoregressive(prior.networks()["network"], ig.priors.ImageFormat(axes=2), mixtures=3)
    with pytest.raises(DtypeError, match="GatedMaskedCNN"):
        Autoregressive(nn.Identity(), prior.image_format, mixtures=3)
