"""Flows of vectors by zuko."""

import builtins
import math

import pytest
import torch

import invgen as ig
from invgen.core.errors import CapabilityError, DataError, ParameterError, ShapeError
from invgen.priors import Density, Generator, Sampler, VectorFlow
from invgen.priors.training import Training, train

from ...contracts.numbers import normal

SMALL = {"transforms": 2, "hidden_features": [16]}


@pytest.fixture(autouse=True)
def zuko(request):
    return None if "without" in request.node.name else pytest.importorskip("zuko")


@pytest.mark.parametrize("kind", ["NSF", "MAF", "RealNVP"])
def test_vectors_are_decoded_to_what_was_encoded_and_densities_are_those_of_the_jacobian(kind):
    prior = VectorFlow.untrained((3,), value_range=(-2, 4), flow=kind, **SMALL)
    x = 3 * torch.rand(2, 5, 3, generator=torch.Generator().manual_seed(0)).double()
    z = prior.encode(x)
    torch.testing.assert_close(prior.decode(z), x, rtol=0, atol=1e-8)
    jacobian = torch.autograd.functional.jacobian(prior.encode, x[0, 0])
    expected = prior.latent_log_prob(z[0, 0]) + torch.linalg.slogdet(jacobian).logabsdet
    torch.testing.assert_close(prior.log_prob(x)[0, 0], expected)
    assert torch.autograd.gradcheck(prior.decode, 0.3 * normal(2, 3).requires_grad_(), atol=1e-4)
    assert isinstance(prior, Density)
    assert isinstance(prior, Generator)
    assert isinstance(prior, Sampler)


@pytest.mark.slow
def test_a_flow_learns_a_correlated_gaussian(tmp_path):
    covariance = torch.tensor([[1.0, 0.8], [0.8, 1.0]])
    exact = torch.distributions.MultivariateNormal(torch.tensor([0.3, -0.2]), covariance)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        data, fresh = exact.sample((4000,)).clamp(-6, 6), exact.sample((1000,))
    prior = VectorFlow.untrained((2,), value_range=(-6, 6), **SMALL)
    training = Training(300, learning_rate=5e-3, warmup=20)
    prior = train(prior, list(data), folder=tmp_path, batch_size=256, training=training)
    with torch.no_grad():
        divergence = float((exact.log_prob(fresh) - prior.log_prob(fresh)).mean())
    assert abs(divergence) < 0.05
    drawn = prior.sample(4000, seed=0)
    torch.testing.assert_close(torch.cov(drawn.T), covariance, rtol=0, atol=0.15)


def test_a_flow_comes_back_from_its_file_and_samples_follow_from_seeds(tmp_path):
    prior = VectorFlow.untrained((3,), value_range=(-2, 4), seed=1, **SMALL)
    prior.save(tmp_path / "flow.safetensors")
    again = ig.priors.load(tmp_path / "flow.safetensors")
    drawn = prior.sample(4, seed=2)
    assert isinstance(again, VectorFlow)
    assert torch.equal(again.sample(4, seed=2), drawn)
    assert torch.equal(again.log_prob(drawn), prior.log_prob(drawn))
    torch.testing.assert_close(prior.sample(1, seed=4)[0], drawn[2])
    assert not torch.equal(drawn, VectorFlow.untrained((3,), value_range=(-2, 4), **SMALL).sample(4, seed=2))


def test_what_is_not_a_vector_flow_is_refused(tmp_path):
    prior = VectorFlow.untrained((3,), **SMALL)
    with pytest.raises(ShapeError):
        prior.log_prob(torch.zeros(2))
    with pytest.raises(DataError):
        prior.log_prob(torch.full((3,), math.nan))
    with pytest.raises(ShapeError, match=r"\(\*batch, 3\)"):
        prior.decode(torch.zeros(4))
    with pytest.raises(ParameterError, match="NSF"):
        VectorFlow.untrained((3,), flow="Glow")
    with pytest.raises(ParameterError, match="options"):
        VectorFlow.untrained((3,), hidden=3)
    with pytest.raises(ShapeError):
        VectorFlow.untrained((3, 3))
    with pytest.raises(ShapeError, match=r"Vectors are all \(D,\).*\(4, 4\)"):
        train(prior, [torch.zeros(4, 4)] * 80, folder=tmp_path)
    with pytest.raises(ShapeError, match=r"\(3,\); got \(4,\)"):
        train(prior, [torch.zeros(4)] * 80, folder=tmp_path)


def test_without_zuko_the_error_says_how_to_install_it(monkeypatch):
    find = builtins.__import__

    def without(name, *arguments, **options):
        if name.startswith("zuko"):
            raise ImportError(name)
        return find(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(CapabilityError, match=r"pip install 'invgen\[flows\]'"):
        VectorFlow.untrained((3,))
