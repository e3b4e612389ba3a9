"""Flows of images: exact densities and exact inverses."""

import math
import os
import signal
import subprocess
import sys

import pytest
import torch

import invgen as ig
from invgen.core.errors import DataError, DtypeError, FileError, ParameterError, ShapeError
from invgen.priors import Density, Flow, Generator, ImageFormat, Sampler
from invgen.priors.training import Training, train

from ...contracts.numbers import normal


def flow(image_shape=(4, 4), **options):
    return Flow.untrained(image_shape, **{"width": 8, "blocks": 1, "bins": 5, "levels": 4, **options})


def levels(n=400):
    """Images of 2x2 pixels of 4 levels, the last row often like the first."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(4, (n, 2, 2), generator=generator)
    images[:, 1] = (images[:, 0] + (torch.rand(n, 2, generator=generator) > 0.7)) % 4
    return images / 3


@pytest.mark.parametrize("coupling", ["spline", "affine"])
@pytest.mark.parametrize("image_shape", [(4, 8), (3, 4, 4)])
def test_decode_is_the_inverse_of_encode_and_the_density_is_that_of_its_jacobian(
    coupling, image_shape, random_flow
):
    prior = random_flow(flow(image_shape, coupling=coupling, value_range=(-1, 3)))
    x = torch.rand(2, 3, *image_shape, generator=torch.Generator().manual_seed(0)).double() * 4 - 1
    z = prior.encode(x)
    assert z.shape == (2, 3, x[0, 0].numel())
    assert (prior.decode(z) - x).abs().max() <= 1e-10
    jacobian = torch.autograd.functional.jacobian(prior.encode, x[0, 0]).reshape(z.shape[-1], -1)
    density = prior.latent_log_prob(z[0, 0]) + torch.linalg.slogdet(jacobian).logabsdet
    assert float(prior.log_prob(x)[0, 0]) == pytest.approx(float(density), abs=1e-8)
    standard = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
    torch.testing.assert_close(prior.latent_log_prob(z), standard)


def test_a_flow_is_uniform_before_it_learns():
    prior = flow(value_range=(0, 3))
    x = torch.tensor([0.0, 3.0, 1.2, -0.49] * 4).double().reshape(4, 4)
    # over the cells of all levels, 4 wide; the tails have 6e-5
    assert float(prior.log_prob(x)) == pytest.approx(-16 * math.log(4), abs=2e-3)
    outside = prior.log_prob(torch.full((4, 4), 3.6))
    assert bool(torch.isfinite(outside))
    assert outside < -1000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "learning_rate"),
    [({"scales": 1, "steps": 1}, 5e-3), ({"scales": 0}, 5e-3), ({"scales": 1, "coupling": "affine"}, 1e-3)],
)
def test_the_density_of_all_images_of_four_levels_integrates_to_one(options, learning_rate, tmp_path):
    """256 images of 2x2 pixels, the cell of each a part of a cube; and what is outside of the cube.

    Inside by 4 scrambled Sobol sequences of 2^14 points, outside by the fraction of 2^17 scrambled Sobol
    latents that are decoded to there: what is integrated is `log_prob`, what is counted is `decode`.
    """
    prior = train(
        flow((2, 2), **options),
        list(levels()),
        folder=tmp_path,
        batch_size=64,
        training=Training(20, learning_rate=learning_rate, warmup=5),
    )
    low, high = -1 / 6, 7 / 6
    draw = [torch.quasirandom.SobolEngine(4, scramble=True, seed=seed).draw(2**14) for seed in range(4)]
    points = low + (high - low) * torch.cat(draw).double()
    latents = math.sqrt(2) * torch.erfinv(
        (2 * torch.quasirandom.SobolEngine(4, scramble=True, seed=9).draw(2**17).double() - 1).clamp(
            -1 + 1e-12, 1 - 1e-12
        )
    )
    with torch.no_grad():
        density = torch.cat([prior.log_prob(x.reshape(-1, 2, 2)).exp() for x in points.split(2**13)])
        decoded = torch.cat([prior.decode(z) for z in latents.split(2**13)]).flatten(1)
    inside = float(density.mean()) * (high - low) ** 4
    outside = float(((decoded < low) | (decoded > high)).any(1).double().mean())
    assert inside + outside == pytest.approx(1, abs=1e-3)
    assert density.max() > 1.3 * density.mean()  # and it is not the uniform one that it began as


@pytest.mark.slow
def test_a_flow_learns_a_correlated_gaussian(tmp_path):
    covariance = torch.tensor([[1.0, 0.8], [0.8, 1.0]])
    exact = torch.distributions.MultivariateNormal(torch.tensor([0.3, -0.2]), covariance)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        data, fresh = exact.sample((4000,)).clamp(-6, 6), exact.sample((1000,))
    prior = flow((1, 2), scales=0, coupling="affine", levels=None, value_range=(-6, 6), width=16)
    training = Training(300, learning_rate=1e-2, warmup=20)
    prior = train(prior, list(data[:, None]), folder=tmp_path, batch_size=256, training=training)
    with torch.no_grad():
        found = prior.log_prob(fresh[:, None])
    divergence = float((exact.log_prob(fresh) - found).mean())  # Kullback and Leibler's, estimated
    assert abs(divergence) < 0.02
    drawn = prior.sample(4000, seed=0).flatten(1)
    torch.testing.assert_close(torch.cov(drawn.T), covariance, rtol=0, atol=0.1)


def test_the_loss_is_the_bits_per_dimension_of_images_with_noise(random_flow):
    prior = random_flow(flow((2, 2), scales=1, value_range=(0, 3)))
    images = prior.image_format.to_network(3 * levels(64).double())
    loss = prior.loss(prior.networks(), images, torch.Generator().manual_seed(3))
    u = torch.rand(images.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    x = 3 * levels(64).double() + u[:, 0] - 0.5
    assert float(loss) == pytest.approx(float(-prior.log_prob(x).mean() / (4 * math.log(2))))


def test_derivatives_are_exact(random_flow):
    prior = random_flow(flow((2, 2), scales=1))
    z = 0.5 * normal(2, 4).requires_grad_()
    assert torch.autograd.gradcheck(prior.decode, z)
    x = prior.decode(z).detach().requires_grad_()
    assert torch.autograd.gradcheck(prior.log_prob, x)


def test_samples_are_of_the_levels_and_follow_from_their_seeds(random_flow):
    prior = random_flow(flow(value_range=(-1, 2)))
    drawn = prior.sample(3, seed=5)
    assert set(drawn.unique().tolist()) <= {-1.0, 0.0, 1.0, 2.0}
    assert torch.equal(prior.sample(2, seed=6), drawn[1:])
    typical = prior.sample(2, seed=0, temperature=0)
    assert torch.equal(typical[0], typical[1])
    assert isinstance(prior, Density)
    assert isinstance(prior, Generator)
    assert isinstance(prior, Sampler)
    assert prior.latent_shape == (16,)


def test_a_batch_is_its_elements(random_flow):
    prior = random_flow(flow())
    z = normal(2, 3, 16)
    x = prior.decode(z)
    torch.testing.assert_close(x[1, 2], prior.decode(z[1, 2]))
    torch.testing.assert_close(prior.log_prob(x)[1, 2], prior.log_prob(x[1, 2]))
    assert prior.decode(z[:0]).shape == (0, 3, 4, 4)
    assert prior.log_prob(x[:0]).shape == (0, 3)
    assert prior.encode(x[:0]).shape == (0, 3, 16)
    assert prior.decode(z.float()).dtype == torch.float32


@pytest.mark.parametrize("options", [{}, {"coupling": "affine", "levels": None}, {"scales": 1, "steps": 0}])
def test_a_flow_comes_back_from_its_file(options, tmp_path, random_flow):
    prior = random_flow(flow((3, 4, 4), value_range=(-1, 2), **options))
    prior.save(tmp_path / "flow.safetensors", data="none")
    again = ig.priors.load(tmp_path / "flow.safetensors")
    x = torch.rand(2, 3, 4, 4)
    assert isinstance(again, Flow)
    assert torch.equal(again.log_prob(x), prior.log_prob(x))
    assert again.image_format == prior.image_format
    assert again.gray_levels == prior.gray_levels
    with pytest.raises(FileError, match="'flow'"):
        ig.priors.Diffusion.load(tmp_path / "flow.safetensors")


#: Trains until the third loss, and is killed in there.
KILLED = """
import os, signal, sys, torch
from invgen.priors import Flow
from invgen.priors.training import Training, train
torch.set_num_threads(1)

class Killed(Flow):
    calls = 0

    def loss(self, *arguments):
        Killed.calls += 1
        if Killed.calls == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().loss(*arguments)

prior = Killed.untrained((2, 2), width=8, blocks=1, bins=5, levels=4, scales=1)
images, training = list(torch.load(sys.argv[2])), Training(8, learning_rate=1e-3, warmup=2, save_seconds=0)
train(prior, images, folder=sys.argv[1], batch_size=16, training=training)
"""


@pytest.mark.slow
def test_a_training_that_is_killed_and_resumed_gives_the_same_weights(tmp_path, set_threads):
    set_threads(1)
    training = Training(8, learning_rate=1e-3, warmup=2, save_seconds=0)
    torch.save(levels(), tmp_path / "images.pt")

    def trained(folder):
        prior = flow((2, 2), scales=1)
        return train(prior, list(levels()), folder=folder, batch_size=16, training=training)

    whole = trained(tmp_path / "whole")
    command = [sys.executable, "-c", KILLED, str(tmp_path / "killed"), str(tmp_path / "images.pt")]
    for step in (2, 4):  # twice
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ})
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert torch.load(tmp_path / "killed" / "state.pt", weights_only=True)["step"] == step
    resumed = trained(tmp_path / "killed")
    one, other = (prior.networks()["network"].state_dict() for prior in (whole, resumed))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_other_images_and_latents_are_refused():
    prior = flow()
    with pytest.raises(ShapeError, match=r"\(4, 4\)"):
        prior.log_prob(torch.zeros(4, 6))
    with pytest.raises(DataError, match=r"Flow\.encode"):
        prior.encode(torch.full((4, 4), math.nan))
    with pytest.raises(ShapeError, match=r"latents \(\*batch, 16\); got \(4, 4\)"):
        prior.decode(torch.zeros(4, 4))
    with pytest.raises(ShapeError):
        prior.decode(torch.zeros(()))
    with pytest.raises(DataError):
        prior.decode(torch.full((16,), math.inf))
    with pytest.raises(DtypeError):
        prior.decode([0.0] * 16)
    with pytest.raises(DtypeError):
        prior.latent_log_prob(torch.zeros(16, dtype=torch.int64))
    with pytest.raises(ParameterError, match="temperature"):
        prior.sample(1, seed=0, temperature=-1)
    with pytest.raises(ParameterError, match="number of images"):
        prior.sample(1.5, seed=0)


def test_what_no_flow_can_be_of_is_refused():
    with pytest.raises(ShapeError, match="multiples of 4; got 28 x 30"):
        Flow.untrained((28, 30))
    with pytest.raises(ShapeError, match=r"\(H, W\) or \(C, H, W\)"):
        Flow.untrained((28,))
    with pytest.raises(ParameterError, match="levels"):
        flow(levels=1)
    network = flow().networks()["network"]
    with pytest.raises(DtypeError, match="real images"):
        Flow(network, ImageFormat((4, 4), field="complex"))
    with pytest.raises(ShapeError, match="one shape"):
        Flow(network, ImageFormat(channels=1, field="real"))


def test_training_images_of_another_size_or_range_are_refused(tmp_path):
    with pytest.raises(ShapeError, match=r"images \(4, 4\); got \(2, 2\)"):
        train(flow(), list(levels()), folder=tmp_path)
    with pytest.raises(DataError, match="image 0 goes from"):
        train(flow(), [torch.full((4, 4), 2.0)] * 80, folder=tmp_path)
