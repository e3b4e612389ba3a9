"""The checks of generative priors find what is wrong, and name it."""

import math

import pytest
import torch

import invgen as ig
from invgen.priors import ImageFormat
from invgen.testing import CheckError, check_prior

from ..priors.toy_families import Affine, Pixels

SHAPE = (3, 4)


def affine(kind=Affine, **options):
    return kind.untrained(SHAPE, value_range=(0.0, 5.0), spread=0.05, **options)


def pixels(kind=Pixels):
    return kind.untrained((2, 3))


class OtherShape(Affine):
    def sample(self, n, seed):
        return super().sample(n, seed)[:, None]


class Fixed(Affine):
    def sample(self, n, seed):
        return super().sample(n, 0)


class Repeated(Affine):
    """The same image for all."""

    def sample(self, n, seed):
        return super().sample(n, seed)[:1].expand(n, *SHAPE)


class Complex(Affine):
    def sample(self, n, seed):
        return super().sample(n, seed) + 0j


class WithGraph(Affine):
    def sample(self, n, seed):
        return super().sample(n, seed).requires_grad_()


class Fractions(Affine):
    def sample(self, n, seed):
        return super().sample(round(n), seed)


class Chance(Affine):
    """Draws from PyTorch's own generator."""

    def sample(self, n, seed):
        made = super().sample(n, seed)
        return made + 0.1 * torch.randn(n, *SHAPE)


class Seeding(Affine):
    """Repeatable, at the cost of the global state."""

    def sample(self, n, seed):
        torch.manual_seed(seed)
        return super().sample(n, seed)


class Global(Affine):
    """Depends on the global state, and leaves it alone."""

    def sample(self, n, seed):
        return super().sample(n, seed) + 1e-3 * float(torch.initial_seed() % 2**20)


class OneGenerator(Affine):
    """All samples from one generator."""

    def sample(self, n, seed):
        super().sample(n, seed)
        generator = torch.Generator().manual_seed(seed)
        return 2 + 0.1 * torch.randn(n, *SHAPE, generator=generator)


class Bright(Affine):
    def sample(self, n, seed):
        return super().sample(n, seed) + 5


class BrightDecoder(Affine):
    def decode(self, z):
        return super().decode(z) + 5


class BetweenLevels(Pixels):
    def sample(self, n, seed):
        return 0.9 * super().sample(n, seed)


class Flat(Affine):
    def decode(self, z):
        return super().decode(z).flatten(-2)


class Single(Affine):
    def decode(self, z):
        return super().decode(z).float()


class Centered(Affine):
    """Sees the batch."""

    def decode(self, z):
        return super().decode(z) + (0.1 * z.mean(0, keepdim=True) if z.ndim > 2 else 0 * z)


class NoBatchAxes(Affine):
    def decode(self, z):
        return super().decode(z).reshape(-1, *SHAPE).squeeze(0)


class Detached(Affine):
    def decode(self, z):
        return super().decode(z.detach())


class HalfDerivative(Affine):
    def decode(self, z):
        return (super().decode(z) + super().decode(z).detach()) / 2


class NotNormalized(Affine):
    def latent_log_prob(self, z):
        return super().latent_log_prob(z) + math.log(2)


class TooWide(Affine):
    """The peak of the standard normal density, and half of its slope."""

    def latent_log_prob(self, z):
        peak = -math.prod(SHAPE) / 2 * math.log(2 * math.pi)
        return peak + (super().latent_log_prob(z) - peak) / 2


class SumOfLatents(Affine):
    def latent_log_prob(self, z):
        return super().latent_log_prob(z).sum()


class AnyLatents(Affine):
    def _check(self, z, who):
        pass

    def decode(self, z):
        return super().decode(z[..., : SHAPE[-1]])

    def latent_log_prob(self, z):
        return super().latent_log_prob(z[..., : SHAPE[-1]])


class NaNLatents(Affine):
    def _check(self, z, who):
        super()._check(torch.nan_to_num(z), who)


class SumOfAll(Affine):
    def log_prob(self, x):
        return super().log_prob(x).sum()


class BatchMean(Affine):
    def log_prob(self, x):
        value = super().log_prob(x)
        return value if value.ndim == 0 else value - 0.1 * value.mean()


class SingleDensity(Affine):
    def log_prob(self, x):
        return super().log_prob(x.float())


class Infinite(Affine):
    def log_prob(self, x):
        return super().log_prob(x) - torch.inf


class Inaccurate(Affine):
    def log_prob(self, x):
        value = super().log_prob(x)
        return value if value.dtype == torch.float64 else 1.01 * value


class WrongSlope(Affine):
    def log_prob(self, x):
        value = super().log_prob(x)
        return value.detach() + 0.9 * (value - value.detach())


class Permissive(Affine):
    def log_prob(self, x):
        return super().log_prob(torch.nan_to_num(x))


class AnySize(Affine):
    def log_prob(self, x):
        return super().log_prob(x[..., : SHAPE[-1]])


class WrongEnergySlope(Affine):
    def energy_gradient(self, x):
        return torch.ones_like(x)


class SumOfEnergies(Affine):
    def energy(self, x):
        return super().energy(x).sum()


class MeanEnergy(Affine):
    def energy(self, x):
        return super().energy(x) - 0.1 * super().energy(x).mean() * (x.ndim - 2)


class PermissiveEnergy(Affine):
    def energy(self, x):
        return super().energy(torch.nan_to_num(x))


class OtherEnergy(Affine):
    def energy(self, x):
        return -2 * self.log_prob(x)


class SpoilsLatents(Affine):
    def decode(self, z):
        made = super().decode(z)
        z.data.mul_(0.5)
        return made


class SharesMemory(Affine):
    def decode(self, z):
        return z.view(z.shape)


class Counting(Affine):
    """Changes from call to call."""

    def log_prob(self, x):
        self.__dict__["calls"] = self.__dict__.get("calls", 0) + 1
        return super().log_prob(x) + self.calls


class Noisy(Affine):
    def log_prob(self, x):
        torch.rand(())
        return super().log_prob(x)


class Unpickled(Affine):
    def __reduce__(self):
        return Affine.untrained, (SHAPE,)


class Settable(Affine):
    def __setattr__(self, name, value):
        self.__dict__[name] = value


class OfColor(Affine):
    @property
    def image_format(self):
        return ImageFormat(channels=5)


class Unnormalized(Pixels):
    def log_prob(self, x):
        return super().log_prob(x) + 0.01


FAULTS = [
    ("samples: shape", OtherShape),
    ("samples: seed", Fixed),
    ("samples: differ", Repeated),
    ("samples: dtype", Complex),
    ("samples: graph", WithGraph),
    ("samples: errors", Fractions),
    ("samples: repeat", Chance),
    ("global state: kept", Seeding),
    ("global state: unused", Global),
    ("seeds", OneGenerator),
    ("range: samples", Bright),
    ("range: decode", BrightDecoder),
    ("decode: shape", Flat),
    ("decode: precision", Single),
    ("decode: batch", Centered),
    ("decode: axes", NoBatchAxes),
    ("decode gradient", HalfDerivative),
    ("no derivative", Detached),
    ("latent density: standard normal", NotNormalized),
    ("latent density: standard normal", TooWide),
    ("latent density: shape", SumOfLatents),
    ("latent errors: shape", AnyLatents),
    ("latent errors: NaN", NaNLatents),
    ("log_prob: shape", SumOfAll),
    ("log_prob: number", Infinite),
    ("log_prob: precision", SingleDensity),
    ("log_prob: single", Inaccurate),
    ("log_prob batch", BatchMean),
    ("log_prob gradient", WrongSlope),
    ("log_prob errors: NaN", Permissive),
    ("log_prob errors: shape", AnySize),
    ("energy: shape", SumOfEnergies),
    ("energy batch", MeanEnergy),
    ("energy gradient", WrongEnergySlope),
    ("energy errors: NaN", PermissiveEnergy),
    ("same density", OtherEnergy),
    ("immutability: input", SpoilsLatents),
    ("immutability: memory", SharesMemory),
    ("immutability: repeat", Counting),
    ("immutability: random", Noisy),
    ("immutability: attributes", Settable),
    ("pickling", Unpickled),
    ("format", OfColor),
]


@pytest.mark.parametrize(("fault", "kind"), FAULTS, ids=[kind.__name__ for _, kind in FAULTS])
def test_check_prior_names_the_rule_that_is_broken(fault, kind):
    with pytest.raises(CheckError, match=fault):
        check_prior(affine(kind))


def test_a_prior_that_keeps_the_rules():
    report = check_prior(affine())
    assert {"seeds", "range: samples", "decode gradient", "log_prob gradient", "same density"} <= set(
        report.figures
    )
    assert report.figures["latent density: standard normal"][0] < 1e-12
    assert not report.left_out


def test_probabilities_of_all_images_sum_to_one():
    report = check_prior(pixels(), integrate=True)
    assert "log_prob gradient" in report.left_out
    assert report.figures["integral"][0] < 1e-12
    assert "integral" not in check_prior(pixels()).figures
    with pytest.raises(CheckError, match=r"all 4096 images sum to 1\.01"):
        check_prior(pixels(Unnormalized), integrate=True)
    with pytest.raises(CheckError, match="range: levels"):
        check_prior(pixels(BetweenLevels))
    with pytest.raises(CheckError, match="real numbers in 12 pixels"):
        check_prior(affine(), integrate=True)
    with pytest.raises(CheckError, match="4 levels in 7 pixels"):
        check_prior(Pixels.untrained((1, 7)), integrate=True)


class DensityAlone:
    """A Gaussian density with a method, and nothing else."""

    def __setattr__(self, name, value):
        raise AttributeError(name)

    def log_prob(self, x):
        ImageFormat(axes=2).check(x, "log_prob")
        return -(x.square() / 2 + math.log(2 * math.pi) / 2).sum((-2, -1))


def test_images_of_priors_that_draw_none():
    """Random ones, of the shape that is asked for; or those that are given."""
    assert "log_prob gradient" in check_prior(DensityAlone(), image_shape=(2, 3)).figures
    huge = torch.full((3, 2, 3), 1e200, dtype=torch.float64)  # whose squares overflow
    with pytest.raises(CheckError, match="log_prob: number"):
        check_prior(DensityAlone(), image_shape=(2, 3), images=huge)


class DenoiserAlone:
    def denoise(self, x, sigma):
        return x


def test_what_has_no_protocol_is_no_prior():
    with pytest.raises(ig.errors.CapabilityError, match="decode, log_prob or energy; got DenoiserAlone"):
        check_prior(DenoiserAlone())
