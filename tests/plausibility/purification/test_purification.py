"""Purifications against brute force and closed forms, and what they do to digits under attack."""

import itertools
import math

import pytest
import torch

import invgen as ig
from invgen.core.errors import CapabilityError, DataError, DtypeError, ParameterError, ShapeError
from invgen.plausibility import (
    PGD,
    AdaptivePurification,
    AscentPurification,
    DenoisingPurification,
    DiffusionPurification,
    GreedyPurification,
    permutation_p_value,
)
from invgen.priors import Autoregressive, ContextTable, Gaussian, GaussianMixture

#: How far from each other levels of these images are.
STEP = 1 / 3


def autoregressive(shape, mixtures):
    """Random weights, under which pixels depend on one another."""
    prior = Autoregressive.untrained(shape, levels=4, width=8, layers=2, mixtures=mixtures)
    networks, generator = prior.networks(), torch.Generator().manual_seed(1)
    for parameter in networks["network"].parameters():
        parameter.data = 0.5 * torch.randn(parameter.shape, generator=generator)
    return prior.with_networks(networks)


def table(shape=(2, 2)):
    steps = torch.randint(-1, 2, (40, *shape), generator=torch.Generator().manual_seed(0))
    return ContextTable.fit(steps.cumsum(-1).clamp(0, 3).double() / 3, levels=4)


def random_images(n, *shape, seed=0):
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def greedy_by_brute_force(prior, x, eps):
    """Song et al. (2018), algorithm 1, with conditional probabilities as sums over all images."""
    shape = tuple(x.shape)
    every = torch.tensor(list(itertools.product(range(4), repeat=x.numel()))).double().reshape(-1, *shape) / 3
    log_p, flat, kept = prior.log_prob(every), every.flatten(1), torch.ones(len(every), dtype=torch.bool)
    order = torch.arange(x.numel()).reshape(shape)
    order = (order if x.ndim == 2 else order.permute(1, 2, 0)).flatten().tolist()
    found = x.flatten().clone()
    for i in order:
        levels = [v / 3 for v in range(4) if abs(v / 3 - float(x.flatten()[i])) <= eps + 1e-9]
        masses = [float(log_p[kept & ((flat[:, i] - v).abs() < 1e-9)].logsumexp(0)) for v in levels]
        found[i] = levels[masses.index(max(masses))]
        kept &= (flat[:, i] - found[i]).abs() < 1e-9
    return found.reshape(shape)


@pytest.mark.parametrize(
    "prior",
    [
        autoregressive((2, 2), 3),
        autoregressive((2, 2), 0),
        autoregressive((2, 1, 2), 3),
        table(),
    ],
    ids=["logistics", "softmax", "channels", "table"],
)
@pytest.mark.parametrize("eps", [0.2, 0.4, 1.0])
def test_greedy_decoding_is_that_of_brute_force(prior, eps):
    x = random_images(4, *prior.image_format.shape)
    purified = GreedyPurification(prior, eps)(x)
    expected = torch.stack([greedy_by_brute_force(prior, each, eps) for each in x])
    torch.testing.assert_close(purified, expected)


def test_greedy_decoding_reads_long_images_as_the_whole_network_does():
    """Each pixel is the most probable one in its ball by `log_prob` of images with the pixels before it."""
    prior = autoregressive((5, 6), 3)
    x = random_images(3, 5, 6)
    purified = GreedyPurification(prior, 0.4)(x)
    for i, j in itertools.product(range(5), range(6)):
        tried = purified[:, None].repeat(1, 4, 1, 1)
        tried[:, :, i, j] = torch.arange(4) / 3
        # what comes later has another probability with each level: it is read off the same network
        seen = 2 * tried.flatten(0, 1)[:, None] - 1
        outputs = prior.predicted(prior._network(seen)(seen))
        p = outputs.log_prob(seen)[:, i, j].reshape(3, 4)
        beyond = (torch.arange(4) / 3 - x[:, i, j, None]).abs() > 0.4
        torch.testing.assert_close(p.masked_fill(beyond, -math.inf).argmax(1).double() / 3, purified[:, i, j])


def test_a_ball_of_no_level_is_refused_and_one_of_a_single_level_keeps_it():
    prior = table()
    on_levels = (3 * random_images(3, 2, 2)).round() / 3
    torch.testing.assert_close(GreedyPurification(prior, 0.01)(on_levels), on_levels)
    with pytest.raises(DataError, match="4 levels"):
        GreedyPurification(prior, 0.01)(on_levels.clamp(0, 0.9) + 0.1)


DIAGONAL = Gaussian(
    torch.tensor([[0.2, 0.9, 0.5]], dtype=torch.float64),
    torch.tensor([[0.1, 0.4, 0.02]], dtype=torch.float64),
)


@pytest.mark.parametrize(
    "purify",
    [AscentPurification(DIAGONAL, 0.3), DenoisingPurification(DIAGONAL, 0.3, sigma=0.5, iterations=200)],
    ids=["gradients", "denoiser"],
)
def test_the_most_probable_image_of_independent_pixels_is_the_clipped_mean(purify):
    x = random_images(5, 1, 3, seed=2)
    expected = torch.minimum(torch.maximum(DIAGONAL.means[0], x - 0.3), x + 0.3)
    torch.testing.assert_close(purify(x), expected, rtol=0, atol=1e-6)


def test_ascent_of_dependent_pixels_solves_the_box_constrained_problem():
    from scipy.optimize import minimize

    matrix = torch.tensor([[1.0, 0.8], [0.8, 1.0]], dtype=torch.float64)
    prior = Gaussian(torch.zeros(1, 2, dtype=torch.float64), matrix)
    x = torch.tensor([[0.9, -0.2]], dtype=torch.float64)
    bounds = [(v - 0.4, v + 0.4) for v in x[0].tolist()]
    best = minimize(lambda z: z @ torch.linalg.inv(matrix).numpy() @ z, x[0].numpy(), bounds=bounds)
    found = AscentPurification(prior, 0.4)(x)
    torch.testing.assert_close(found[0], torch.as_tensor(best.x), rtol=0, atol=1e-5)
    assert not torch.allclose(found, x.clamp(-0.4, 0.4), atol=0.05)  # the pixels do depend on each other


def mixture():
    means = random_images(6, 2, 3, seed=4)
    return GaussianMixture(means, torch.full((6, 2, 3), 0.02, dtype=torch.float64))


def test_no_image_gets_less_probable():
    prior, x = mixture(), random_images(8, 2, 3, seed=5)
    for eps in (0.05, 0.3):
        found = AscentPurification(prior, eps, iterations=5)(x)
        assert bool((prior.log_prob(found) >= prior.log_prob(x)).all())
        before = prior.log_prob(x, 0.2)
        for n in (1, 2, 5):
            after = prior.log_prob(DenoisingPurification(prior, eps, sigma=0.2, iterations=n)(x), 0.2)
            assert bool((after >= before).all())
            before = after


def test_diffusion_purification_of_a_gaussian_has_the_posterior_as_its_law():
    """Noise and the exact reverse process: given the noisy image, a draw of its Gaussian posterior."""
    mean, variance, sigma = 0.3, 0.04, 0.5
    prior = Gaussian(torch.full((1, 2000), mean, dtype=torch.float64), variance)
    x = torch.full((1, 2000), 0.9, dtype=torch.float64)
    levels = DiffusionPurification(prior, sigma, steps=400)._levels()
    found = DiffusionPurification(prior, sigma, steps=400)(x, seed=3)
    gain = variance / (variance + sigma**2)
    expected = mean + gain * (0.9 - mean)
    spread = math.sqrt(gain * sigma**2 + gain**2 * sigma**2)
    assert levels[0] == pytest.approx(sigma)
    assert float(found.mean()) == pytest.approx(expected, abs=4 * spread / math.sqrt(2000))
    assert float(found.std()) == pytest.approx(spread, rel=0.08)


def test_methods_with_a_derivative_have_the_right_one():
    prior, x = mixture(), random_images(2, 2, 3, seed=6).requires_grad_()
    for purify in (
        DenoisingPurification(prior, 0.1, sigma=0.3, iterations=3),
        DiffusionPurification(prior, 0.3, steps=3),
    ):
        assert torch.autograd.gradcheck(purify, x)


def every_method(eps=0.3):
    prior = mixture()
    return [
        GreedyPurification(autoregressive((2, 3), 3), eps),
        AscentPurification(prior, eps),
        DenoisingPurification(prior, eps, sigma=0.2),
        DiffusionPurification(prior, 0.4, eps=eps, steps=5),
    ]


def test_images_stay_in_the_ball_and_do_not_see_each_other():
    x = random_images(6, 2, 3, seed=7)
    for purify in every_method():
        purified = purify(x, seed=5)
        assert float((purified - x).abs().max()) <= 0.3 + 1e-6
        torch.testing.assert_close(purify(x.reshape(2, 3, 2, 3), seed=5), purified.reshape(2, 3, 2, 3))
        alone = torch.stack([purify(each, seed=5 + i) for i, each in enumerate(x)])
        torch.testing.assert_close(purified, alone)
        assert torch.equal(purify(x, seed=5), purified)
        assert purify(x.float()).dtype == torch.float32
        assert purify(x[:0]).shape == (0, 2, 3)


def test_what_is_not_anomalous_stays_as_it_is():
    prior, calibration = mixture(), random_images(99, 2, 3, seed=8)
    known = -prior.log_prob(calibration)
    x = torch.cat([prior.means[:2], torch.ones(1, 2, 3, dtype=torch.float64)])
    inner = DenoisingPurification(prior, 0.3, sigma=0.2)
    purified = AdaptivePurification(inner, lambda x: permutation_p_value(-prior.log_prob(x), known), 0.05)(x)
    assert torch.equal(purified[:2], x[:2])
    assert torch.equal(purified[2], inner(x)[2])
    assert not torch.equal(inner(x)[:2], x[:2])
    with pytest.raises(ParameterError):
        AdaptivePurification(inner, prior.log_prob, level=0.0)


def test_bad_input_is_refused():
    prior, pixels = mixture(), autoregressive((2, 3), 3)
    for purify in every_method():
        with pytest.raises(ShapeError, match="2, 3"):
            purify(torch.zeros(1, 3, 3))
        with pytest.raises(DtypeError):
            purify(torch.zeros(1, 2, 3, dtype=torch.uint8))
        with pytest.raises(DataError, match="NaN"):
            purify(torch.full((1, 2, 3), math.nan))
    with pytest.raises(DataError, match="0 to 1"):
        GreedyPurification(pixels, 0.1)(255 * torch.ones(1, 2, 3))
    for eps in (0, -1.0, math.nan, math.inf, 1.1):
        with pytest.raises(ParameterError):
            GreedyPurification(pixels, eps)
    for sigma in (0, math.nan, math.inf):
        with pytest.raises(ParameterError):
            DenoisingPurification(prior, 0.1, sigma)
        with pytest.raises(ParameterError):
            DiffusionPurification(prior, sigma)
    with pytest.raises(ParameterError, match="ancestral"):
        DiffusionPurification(prior, 0.3, method="backwards")
    with pytest.raises(CapabilityError, match="most_probable"):
        GreedyPurification(prior, 0.1)
    with pytest.raises(CapabilityError, match="log_prob"):
        AscentPurification(ig.priors.TotalVariation(), 0.1)
    with pytest.raises(CapabilityError, match="denoise"):
        DenoisingPurification(pixels, 0.1, 0.1)
    diffusion = ig.priors.load("digits")
    with pytest.raises(CapabilityError, match="derivative"):
        AscentPurification(diffusion, 0.1)
    with pytest.raises(ParameterError, match="to 10"):
        DenoisingPurification(diffusion, 0.1, sigma=20.0)
    with pytest.raises(ParameterError, match="to 10"):
        DiffusionPurification(diffusion, 20.0)
    with pytest.raises(CapabilityError, match="noise levels"):
        DiffusionPurification(ig.priors.NonLocalMeans(), 0.1)
    with pytest.raises(CapabilityError, match="derivative"):
        AscentPurification(table((2, 3)), 0.1)(torch.zeros(1, 2, 3))


def test_digits_under_attack_are_restored(measured_file):
    """Twenty digits, of which PGD leaves few: most come back, and none of the clean ones goes."""
    images = ig.io.read_images(measured_file("digits/mnist8k-images-idx3-ubyte.gz"))[:20]
    labels = torch.from_numpy(ig.io.read_labels(measured_file("digits/mnist8k-labels-idx1-ubyte.gz"))).long()[
        :20
    ]
    x = torch.stack([torch.from_numpy(image) for image in images]).float()
    classify = ig.metrics.digit_features().classify
    purify = DenoisingPurification(ig.priors.load("digits"), 0.3, sigma=0.2, iterations=3)

    def right(x):
        return int((classify(x).argmax(1) == labels).sum())

    attacked = PGD(0.3, steps=10)(classify, x, labels)
    assert right(x) >= 19
    assert right(attacked) <= 4
    assert right(purify(x)) >= right(x)
    assert right(purify(attacked)) >= 15
