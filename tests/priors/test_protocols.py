"""What priors can do: capabilities by their methods, gradients of energies, and messages."""

from dataclasses import dataclass

import pytest
import torch

from invgen.core.errors import CapabilityError
from invgen.priors import (
    Denoiser,
    Density,
    Energy,
    Gaussian,
    Generator,
    NonLocalMeans,
    Sampler,
    TotalVariation,
)
from invgen.priors.base import energy_gradient, require

from ..contracts.numbers import normal


@dataclass(frozen=True)
class Linear:
    """Images ``A z`` of standard Gaussian latent variables."""

    A: torch.Tensor

    @property
    def latent_shape(self):
        return (self.A.shape[1],)

    def decode(self, z):
        return z @ self.A.mT

    def latent_log_prob(self, z):
        return torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)


class Quartic:
    """``sum |x|^4``."""

    def energy(self, x):
        return x.abs().pow(4).flatten(-2).sum(-1)


class QuarticByHand(Quartic):
    def energy_gradient(self, x):
        return 4 * x.abs().square() * x


class Detached(Quartic):
    def energy(self, x):
        return super().energy(x.detach())


def test_capabilities_are_methods():
    generator = Linear(normal(5, 2))
    assert isinstance(generator, Generator)
    assert not isinstance(generator, Energy | Density | Sampler | Denoiser)
    assert isinstance(Quartic(), Energy)
    assert not isinstance(Gaussian(torch.zeros(2), 1.0), Generator)
    assert isinstance(Gaussian(torch.zeros(2), 1.0), Density)
    z = normal(3, 4, 2)
    assert generator.decode(z).shape == (3, 4, 5)
    assert generator.latent_log_prob(z).shape == (3, 4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_the_gradient_of_an_energy_is_pytorchs_or_its_own(dtype):
    x = normal(3, 4, 5, dtype=dtype)
    exact = 4 * x.abs().square() * x
    torch.testing.assert_close(energy_gradient(Quartic(), x), exact)
    torch.testing.assert_close(energy_gradient(QuarticByHand(), x), exact)
    with torch.no_grad():
        torch.testing.assert_close(energy_gradient(Quartic(), x), exact)
    assert not x.requires_grad


def test_an_energy_without_derivative_is_refused():
    with pytest.raises(CapabilityError, match=r"Detached.*energy_gradient\(x\)"):
        energy_gradient(Detached(), normal(4, 5))


@pytest.mark.parametrize(
    ("prior", "capabilities", "message"),
    [
        (
            NonLocalMeans(),
            (Generator,),
            r"Generator \(decode, latent_log_prob, latent_shape\); .* has denoise",
        ),
        (
            Linear(normal(5, 2)),
            (Energy,),
            r"Energy \(energy\); Linear has decode, latent_log_prob, latent_shape",
        ),
        (Linear(normal(5, 2)), (Density, Sampler), r"Density \(log_prob\) or Sampler \(sample\)"),
        (Quartic(), (Denoiser,), r"Denoiser \(denoise\); Quartic has energy\."),
        (TotalVariation(), (Denoiser,), r"Wrap it: priors\.ProxDenoiser"),
        (3, (Denoiser,), "int has none of these"),
    ],
)
def test_what_is_missing_is_named_with_what_is_there(prior, capabilities, message):
    with pytest.raises(CapabilityError, match=message):
        require(prior, "Solver", *capabilities)


def test_what_is_there_passes():
    require(Linear(normal(5, 2)), "Solver", Energy, Generator)
