"""Generative adversarial networks: facts of their losses, a mixture that is known, training and files."""

import math
from functools import partial

import pytest
import torch
from torch import nn

import invgen as ig
from invgen.core.errors import CapabilityError, DataError, ParameterError, ShapeError
from invgen.priors import GAN, Density, Generator, ImageFormat, Sampler
from invgen.priors.base import require
from invgen.priors.files import checkpoints
from invgen.priors.gan import LOSSES, LeastSquares, NonSaturating, Wasserstein
from invgen.priors.nets import MLP, DCDiscriminator, DCGenerator
from invgen.priors.trainable import seeded
from invgen.priors.training import Training, Update, read_log, train

from ..contracts.numbers import normal


def small(loss="non-saturating", image_shape=(8, 8), seed=0):
    return GAN.untrained(image_shape, latent=4, widths=(8, 4), loss=loss, seed=seed)


def weights(prior):
    return [p for network in prior.networks().values() for p in network.state_dict().values()]


class Table(nn.Module):
    """A score for each of a few values: any function of them."""

    def __init__(self, scores):
        super().__init__()
        self.scores = nn.Parameter(scores.clone())

    def forward(self, x):
        return self.scores[x.flatten().long()]


@pytest.mark.parametrize("loss", [NonSaturating(), LeastSquares()], ids=["non-saturating", "least-squares"])
def test_the_best_discriminator_is_the_share_of_the_data(loss):
    """``D = p / (p + q)``, Goodfellow et al. (2014), proposition 1: there the loss is stationary."""
    real, made = torch.tensor([1, 2, 3, 4]), torch.tensor([4, 3, 2, 1])  # of ten each: p and q
    best = real / (real + made)
    scores = torch.logit(best) if isinstance(loss, NonSaturating) else best
    x, y = (torch.arange(4.0).repeat_interleave(n).reshape(-1, 1, 1, 1) for n in (real, made))
    found = {}
    for name, at in (("best", scores), ("flatter", 0.9 * scores), ("steeper", 1.1 * scores)):
        table = Table(at)
        value = loss.discriminator(table, x, y, torch.Generator())
        (slope,) = torch.autograd.grad(value, table.scores)
        found[name] = float(value.detach()), float(slope.abs().max())
    assert found["best"][1] < 1e-7
    assert found["best"][0] < min(found["flatter"][0], found["steeper"][0])
    if isinstance(loss, NonSaturating):  # theorem 1: twice Jensen and Shannon's divergence, less log 4
        p, q = real / 10, made / 10
        divergence = sum((a * (2 * a / (p + q)).log()).sum() for a in (p, q)) / 2
        assert found["best"][0] == pytest.approx(math.log(4) - 2 * float(divergence), abs=1e-6)


def test_the_generators_loss_does_not_saturate():
    """Where the discriminator is sure, ``log(1 - s(D))`` has no slope left; ``-log s(D)`` has -1."""
    scores = torch.tensor([-20.0], requires_grad=True)
    (slope,) = torch.autograd.grad(NonSaturating().generator(scores), scores)
    assert float(slope) == pytest.approx(-1)
    for loss, value in (("non-saturating", math.log(2)), ("least-squares", 0.5), ("wasserstein", 0.0)):
        assert float(LOSSES[loss].generator(torch.zeros(3))) == pytest.approx(value)


class Linear(nn.Module):
    """``<w, x>``."""

    def __init__(self, w):
        super().__init__()
        self.w = nn.Parameter(w)

    def forward(self, x):
        return x.flatten(1) @ self.w


def test_the_penalty_is_zero_for_a_slope_of_one_and_has_the_right_gradient():
    w, v = normal(6, dtype=torch.float32), normal(5, 1, 2, 3, dtype=torch.float32)
    assert float(Wasserstein().penalty(Linear(w / w.norm()), v).detach()) == pytest.approx(0, abs=1e-12)
    critic = Linear(3 * w / w.norm())
    with torch.no_grad():  # as on images that are held out
        penalty = Wasserstein().penalty(critic, v)
    assert float(penalty.detach()) == pytest.approx(4, rel=1e-5)
    (slope,) = torch.autograd.grad(Wasserstein().penalty(critic, v), critic.w)
    torch.testing.assert_close(slope, 4 * w / w.norm())
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(Wasserstein().penalty(critic, v), penalty)


def test_the_critics_loss_of_a_shift_is_its_length():
    """The Wasserstein distance of a set and the same set shifted, by the critic along the shift."""
    shift = torch.tensor([3.0, 4.0])
    x = normal(7, 1, 1, 2, dtype=torch.float32)
    critic = Linear(shift / shift.norm())
    loss = Wasserstein().discriminator(critic, x + shift, x, torch.Generator())
    assert float(loss.detach()) == pytest.approx(-5, rel=1e-5)


ANGLES = torch.arange(8) * math.pi / 4
CENTERS = torch.stack([ANGLES.cos(), ANGLES.sin()], dim=1)
WIDTH = 0.05


#: Each loss with the steps, the learning rate and the size of the batches that it takes. The slope of the
#: critic may be penalized less in two dimensions, as in the toy problems of Gulrajani et al. (2017).
TOYS = {
    "non-saturating": (NonSaturating(), 3000, 2e-3, 256),
    "least-squares": (LeastSquares(), 3000, 2e-3, 128),
    "wasserstein": (Wasserstein(weight=0.1), 1200, 4e-3, 128),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TOYS)
def test_a_mixture_of_eight_gaussians_is_learned(name, tmp_path, set_threads):
    """All of its components, and nine samples in ten within three of their standard deviations."""
    set_threads(1)
    loss, steps, rate, n = TOYS[name]
    generator = seeded(MLP, 0, (2, 128, 128, 128, 2))
    discriminator = seeded(MLP, 1, (2, 128, 128, 128, 1), "leaky-relu")

    def judge(networks, draws):
        which = torch.randint(8, (n,), generator=draws)
        points = CENTERS[which] + WIDTH * torch.randn(n, 2, generator=draws)
        with torch.no_grad():
            made = networks["generator"](torch.randn(n, 2, generator=draws))
        shape = (n, 1, 1, 2)
        return loss.discriminator(
            networks["discriminator"], points.reshape(shape), made.reshape(shape), draws
        )

    def make(networks, draws):
        made = networks["generator"](torch.randn(n, 2, generator=draws))
        return loss.generator(networks["discriminator"](made))

    adam = partial(torch.optim.Adam, betas=loss.betas)
    updates = {
        "discriminator": Update(discriminator, judge, loss.count, optimizer=adam),
        "generator": Update(generator, make, optimizer=adam),
    }
    trained = Training(steps, rate, warmup=100).jointly(updates, tmp_path)["generator"]
    with torch.no_grad():
        points = trained(torch.randn(4000, 2, generator=torch.Generator().manual_seed(0)))
    nearest, which = torch.cdist(points, CENTERS).min(1)
    within = nearest < 3 * WIDTH
    assert float(within.float().mean()) >= 0.9
    # each of an eighth of the samples: none is rarer than by a factor of four
    assert int(torch.bincount(which[within], minlength=8).min()) > 4000 / 8 / 4


@pytest.mark.parametrize("loss", LOSSES)
def test_a_training_that_is_interrupted_and_resumed_gives_the_same_weights(loss, tmp_path, set_threads):
    set_threads(1)

    class Stopped(GAN):
        def _generator_loss(self, networks, images, generator):
            updates.append(None)
            if len(updates) in (3, 5):
                raise InterruptedError
            return super()._generator_loss(networks, images, generator)

    images = list(torch.rand(12, 8, 8, generator=torch.Generator().manual_seed(0)))
    options = {"training": Training(5, 1e-3, warmup=2, save_seconds=0.0), "batch_size": 4}
    whole = train(small(loss), images, folder=tmp_path / "whole", **options)
    updates, stopped = [], Stopped.untrained((8, 8), latent=4, widths=(8, 4), loss=loss)
    for _ in range(2):
        with pytest.raises(InterruptedError):
            train(stopped, images, folder=tmp_path / "stopped", **options)
    resumed = train(stopped, images, folder=tmp_path / "stopped", **options)
    assert len(updates) == 5 + 2
    assert all(torch.equal(a, b) for a, b in zip(weights(resumed), weights(whole), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(weights(whole), weights(small(loss)), strict=True))
    row = read_log(tmp_path / "whole")[-1]
    assert {"discriminator_loss", "generator_loss"} <= set(row)


def test_the_critic_learns_five_times_as_often():
    for loss, count, betas in [
        ("non-saturating", 1, (0.5, 0.999)),
        ("least-squares", 1, (0.5, 0.999)),
        ("wasserstein", 5, (0.0, 0.9)),
    ]:
        lessons = small(loss).lessons()
        assert list(lessons) == ["discriminator", "generator"]
        assert (lessons["discriminator"].count, lessons["generator"].count) == (count, 1)
        assert {lesson.betas for lesson in lessons.values()} == {betas}


@pytest.mark.parametrize(
    ("shape", "widths"), [((28, 28), (8, 4)), ((3, 24, 40), (8, 6, 4)), ((13, 30), (8, 6, 4)), ((1, 2), (4,))]
)
def test_images_of_any_size(shape, widths):
    prior = GAN.untrained(shape, latent=5, widths=widths, value_range=(-3.0, 7.0))
    assert isinstance(prior, Generator)
    assert isinstance(prior, Sampler)
    assert prior.image_format == ImageFormat(
        shape, 3 if len(shape) == 3 else None, "real", (-3.0, 7.0), axes=len(shape)
    )
    made = prior.decode(30 * normal(2, 3, 5))
    assert made.shape == (2, 3, *shape)
    assert made.dtype == torch.float64
    assert -3 <= float(made.min()) < 2 < float(made.max()) <= 7
    scores = prior.networks()["discriminator"](torch.zeros(4, 3 if len(shape) == 3 else 1, *shape[-2:]))
    assert scores.shape == (4,)


def test_decoding_is_differentiable_and_a_batch_is_its_elements():
    prior, z = small(), normal(2, 3, 4).requires_grad_()
    assert torch.autograd.gradcheck(prior.decode, (z,))
    alone = torch.stack([prior.decode(one) for one in z.reshape(6, 4)])
    torch.testing.assert_close(prior.decode(z).reshape(6, 8, 8), alone)
    torch.testing.assert_close(
        prior.latent_log_prob(z), torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
    )
    assert torch.equal(prior.sample(3, seed=1), small().sample(3, seed=1))
    assert not torch.equal(prior.sample(3, seed=1), small(seed=1).sample(3, seed=1))


def test_the_networks_keep_the_guidelines():
    """Radford, Metz and Chintala (2016), p. 3 and sec. 4; Gulrajani et al. (2017), sec. 4."""
    generator, discriminator = GAN.untrained((28, 28)).networks().values()
    for network, norms in ((generator, 3), (discriminator, 2)):
        layers = list(network.modules())
        assert sum(isinstance(m, nn.BatchNorm2d) for m in layers) == norms
        convolutions = [m for m in layers if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
        assert {m.stride for m in convolutions} == {(2, 2)}
        assert all(float(m.weight.std()) == pytest.approx(0.02, rel=0.1) for m in convolutions)
        assert sum(isinstance(m, nn.Linear) for m in layers) == 1
    critic = small("wasserstein").networks()["discriminator"].train()
    x = normal(4, 1, 8, 8, dtype=torch.float32)
    torch.testing.assert_close(critic(x)[:1], critic(x[:1]))


def test_a_file_holds_the_generator_alone(tmp_path):
    path, prior = tmp_path / "gan.safetensors", small("least-squares")
    prior.save(path, data="none")
    again = ig.priors.load(path)
    assert isinstance(again, GAN)
    assert torch.equal(again.sample(3, seed=0), prior.sample(3, seed=0))
    assert (again.image_format, again.latent_shape, again.loss) == (prior.image_format, (4,), "least-squares")
    assert dict(again.card) == {"data": "none"}
    assert list(ig.priors.about(path)["architectures"]) == ["generator"]
    assert not [name for name in checkpoints.read(path)[1] if not name.startswith("generator.")]
    with pytest.raises(CapabilityError, match=r"no discriminator.*GAN\.untrained"):
        train(again, list(torch.rand(4, 8, 8)), folder=tmp_path, batch_size=4)
    prior.save(path, dtype=torch.float16)
    torch.testing.assert_close(
        ig.priors.load(path).sample(3, seed=0), prior.sample(3, seed=0), rtol=0, atol=1e-3
    )


def test_a_generator_of_other_images_than_the_file_says_is_refused(tmp_path):
    path = tmp_path / "gan.safetensors"
    small().save(path)
    header, tensors = checkpoints.read(path)
    kept = {name: value for name, value in header.items() if name not in ("format", "family")}
    checkpoints.write(path, "gan", tensors, kept | {"image_shape": [8, 9]})
    with pytest.raises(ShapeError, match=r"returns \(1, 1, 8, 8\).*are not images \(8, 9\)"):
        ig.priors.load(path).sample(1, seed=0)


def test_a_gan_has_no_density_and_says_who_has():
    prior = small()
    assert not isinstance(prior, Density)
    for ask in (lambda: prior.log_prob(prior.sample(1, 0)), lambda: require(prior, "Solver", Density)):
        with pytest.raises(CapabilityError, match=r"GAN has.*log_prob.*GaussianMixture"):
            ask()


def test_what_is_no_gan(tmp_path):
    for error, make, message in [
        (ParameterError, lambda: small("hinge"), "non-saturating, least-squares, wasserstein; got 'hinge'"),
        (ParameterError, lambda: GAN.untrained((28, 0)), "each side"),
        (ShapeError, lambda: GAN.untrained((28,)), r"\(H, W\) or \(C, H, W\)"),
        (ParameterError, lambda: GAN.untrained((8, 8), latent=0), "latent"),
        (ParameterError, lambda: GAN.untrained((8, 8), widths=()), "at least one width"),
        (ParameterError, lambda: DCDiscriminator(1, (8, 8), (4,), "instance"), "batch, layer, none"),
        (
            ParameterError,
            lambda: GAN(
                DCGenerator(4, 1, (8, 8), (4,)),
                DCDiscriminator(1, (8, 8), (4, 8)),
                image_format=small().image_format,
                latent_shape=(4,),
                loss="wasserstein",
            ),
            "no batch normalization",
        ),
    ]:
        with pytest.raises(error, match=message):
            make()
    images = list(torch.rand(4, 8, 8))
    for error, given, message in [
        (ShapeError, [x[:4] for x in images], r"of images \(8, 8\); got \(4, 8\)"),
        (DataError, [3 * x for x in images], "image 0 goes from"),
        (DataError, [x / 0 for x in images], "NaN"),
        (ParameterError, images[:2], "batch_size=2"),
    ]:
        with pytest.raises(error, match=message):
            train(small(), given, folder=tmp_path, batch_size=4)
