"""Every public prior keeps the rules that solvers rely on."""

from dataclasses import dataclass, replace

import pytest
import torch

import invgen as ig
from invgen.convex.functions import GroupL1
from invgen.operators import DCT as Cosines
from invgen.operators import Gradient, Hadamard, MatrixOperator
from invgen.operators import Wavelet as Details
from invgen.priors import (
    BM3D,
    DCT,
    L1,
    Box,
    CycleSpunWavelets,
    DenoisingAutoencoder,
    Diffusion,
    EnergyModel,
    Gaussian,
    GaussianMixture,
    GroupSparsity,
    ImageFormat,
    NetworkDenoiser,
    NonLocalMeans,
    NonNegative,
    PatchMixture,
    Planes,
    ProxDenoiser,
    Tikhonov,
    TotalVariation,
    TVDenoiser,
    Wavelet,
    format_of,
)
from invgen.testing import CheckError, check_denoiser, check_prior

from .generative import GENERATIVE, Guided, Wiener
from .numbers import spd

MIXTURE = GaussianMixture(torch.tensor([0.0, 1.0]).double()[:, None, None].expand(2, 12, 13), 0.02)

#: Each public prior with the parameter sets, and where they need them the images, that stand for it.
PRIORS = {
    "TotalVariation": {
        "automatic": (TotalVariation(), {}),
        "isotropic": (TotalVariation(0.7), {}),
        "anisotropic": (TotalVariation(0.7, isotropic=False), {}),
        "non-negative": (TotalVariation(0.7, nonnegative=True), {}),
        "complex": (TotalVariation(0.7), {"field": "complex"}),
        "complex anisotropic": (TotalVariation(0.7, isotropic=False), {"field": "complex"}),
        "lines": (TotalVariation(0.7, axes=(-1,)), {"image_shape": (9,)}),
        "rows of an image": (TotalVariation(0.7, axes=(-1,)), {}),
        "columns of an image": (TotalVariation(0.7, axes=(-2,)), {}),
        "volume": (TotalVariation(0.7, axes=(-3, -2, -1)), {"image_shape": (3, 4, 5)}),
        "slices of a volume": (TotalVariation(0.7), {"image_shape": (3, 4, 5)}),
        "every other axis": (TotalVariation(0.7, axes=(-3, -1)), {"image_shape": (3, 4, 5)}),
        "channels": (TotalVariation(0.7, joint=-3), {"image_shape": (3, 4, 5)}),
        "channels, each direction": (
            TotalVariation(0.7, isotropic=False, joint=-3),
            {"image_shape": (3, 4, 5), "field": "complex"},
        ),
    },
    "L1": {
        "automatic": (L1(), {}),
        "pixels": (L1(0.7), {}),
        "complex pixels": (L1(0.7), {"field": "complex"}),
        "line": (L1(0.7), {"image_shape": (9,)}),
        "volume": (L1(0.7), {"image_shape": (3, 4, 5)}),
        "orthonormal": (L1(0.7, Hadamard((4, 8))), {"image_shape": (4, 8)}),
        "orthonormal, automatic": (L1(transform=Cosines((6, 7))), {}),
        "gradient": (L1(0.7, Gradient((6, 7))), {}),
        "matrix": (L1(0.7, MatrixOperator(torch.eye(9)[:5].double() + 0.3, (3, 3))), {"image_shape": (3, 3)}),
        "biorthogonal": (L1(0.7, Details((6, 8), "bior2.2", 1)), {"image_shape": (6, 8)}),
    },
    "GroupSparsity": {
        "automatic": (GroupSparsity(), {"image_shape": (3, 4, 5)}),
        "channels": (GroupSparsity(0.7), {"image_shape": (3, 4, 5)}),
        "complex channels": (GroupSparsity(0.7), {"image_shape": (3, 4, 5), "field": "complex"}),
        "rows": (GroupSparsity(0.7, axis=-1), {}),
        "orthonormal": (
            GroupSparsity(0.7, Details((3, 4, 6), "haar", 1), axis=-3),
            {"image_shape": (3, 4, 6)},
        ),
        "gradient": (GroupSparsity(0.7, Gradient((6, 7))), {}),
    },
    "Wavelet": {
        "automatic": (Wavelet(levels=1), {"image_shape": (6, 8)}),
        "closed form": (Wavelet(0.7, levels=2), {"image_shape": (8, 12)}),
        "complex": (Wavelet(0.7, "haar", levels=1), {"image_shape": (6, 8), "field": "complex"}),
        "padded": (Wavelet(0.7, "db2", levels=2), {}),
        "biorthogonal": (Wavelet(0.7, "bior2.2", levels=1), {"image_shape": (6, 8)}),
        "volume": (Wavelet(0.7, "db2", 1, axes=(-3, -2, -1)), {"image_shape": (2, 4, 6)}),
        "slices": (Wavelet(0.7, "db2", 1), {"image_shape": (3, 4, 6)}),
        "approximation": (Wavelet(0.7, approximation=True), {"image_shape": (6, 8)}),
    },
    "DCT": {
        "automatic": (DCT(), {}),
        "image": (DCT(0.7), {}),
        "complex": (DCT(0.7), {"field": "complex"}),
        "slices": (DCT(0.7), {"image_shape": (3, 4, 5)}),
        "volume": (DCT(0.7, axes=(-3, -2, -1)), {"image_shape": (3, 4, 5), "field": "complex"}),
    },
    "Tikhonov": {
        "automatic": (Tikhonov(), {}),
        "pixels": (Tikhonov(0.7), {"field": "complex"}),
        "volume": (Tikhonov(0.7), {"image_shape": (3, 4, 5)}),
        "orthonormal": (Tikhonov(0.7, Cosines((6, 7))), {}),
        "gradient": (Tikhonov(0.7, Gradient((6, 7))), {}),
        "gradient, automatic": (Tikhonov(transform=Gradient((6, 7))), {}),
        "matrix": (
            Tikhonov(0.7, MatrixOperator(torch.eye(9)[:5].double() + 0.3, (3, 3))),
            {"image_shape": (3, 3)},
        ),
    },
    "NonNegative": {"image": (NonNegative(), {}), "line": (NonNegative(), {"image_shape": (9,)})},
    "Box": {"image": (Box(-0.5, 6), {}), "volume": (Box(-0.5, 6), {"image_shape": (3, 4, 5)})},
    "PatchMixture": {
        "image": (PatchMixture(spd(3, 16), [0.2, 0.3, 0.5]), {}),
        "complex": (PatchMixture(spd(3, 16), [0.2, 0.3, 0.5]), {"field": "complex"}),
        "slices": (PatchMixture(spd(3, 9), [0.2, 0.3, 0.5]), {"image_shape": (3, 4, 5)}),
    },
    "Sum": {
        "automatic": (TotalVariation(nonnegative=True) + 0.3 * Tikhonov(), {}),
        "automatic last": (NonNegative() + 0.1 * DCT() + L1(), {}),
        "wavelets that are not negative": (0.1 * Wavelet(levels=1) + NonNegative(), {"image_shape": (6, 8)}),
        "pixels that are not negative": (L1(0.7) + NonNegative(), {}),
        "pixels in a box": (Tikhonov(0.7) + L1(0.4) + Box(-0.1, 6), {}),
        "elastic net": (DCT(0.7) + Tikhonov(0.4), {"field": "complex"}),
        "slices and volume": (Wavelet(0.7, levels=1) + L1(0.4), {"image_shape": (3, 4, 6)}),
        "constraints": (NonNegative() + Box(-1, 6), {}),
    },
}

CASES = [(name, case) for name, cases in PRIORS.items() for case in cases]


class Reconstruction(torch.nn.Module):
    """Of the same prior, in the unit of networks: what is added, and a number for the standard deviation."""

    def forward(self, x, noise):
        return torch.cat([-0.04 * x, torch.zeros_like(x)], dim=1)


class Quadratic(torch.nn.Module):
    """The energy of the same prior with noise of a tenth, in the unit of networks."""

    def forward(self, x):
        return x.square().flatten(1).sum(1) / (2 * 1.04)


class Smooth(torch.nn.Module):
    """A network of one convolution that gets the noise level as a channel."""

    def __init__(self, channels):
        super().__init__()
        self.average = torch.nn.Conv2d(
            channels, channels, 3, padding=1, padding_mode="reflect", groups=channels
        )
        torch.nn.init.constant_(self.average.weight, 1 / 9)
        torch.nn.init.zeros_(self.average.bias)

    def forward(self, x):
        x, level = x[:, :-1], x[:, -1:]
        return x + (10 * level).clamp(max=1) * (self.average(x) - x) / 2


def bm3d(**options):
    def build():
        pytest.importorskip("bm3d")
        return BM3D(**options)

    return build


COMPLEX = {"field": "complex"}
UNIT = ImageFormat(field="real", value_range=(0.0, 1.0), axes=2)
#: Each public denoiser with the parameter sets that stand for it, and the options of their checks.
DENOISERS = {
    "TVDenoiser": {
        "defaults": (TVDenoiser(), {}),
        "complex": (TVDenoiser(), COMPLEX),
        "channels": (TVDenoiser(channels=True), {"image_shape": (3, 9, 10)}),
    },
    # of images of their own unit; products of matrices round by how many rows there are
    "Gaussian": {
        "defaults": (
            Gaussian(torch.full((12, 13), 0.5), 0.1),
            {"skip": {"scale"}, "tolerance": 1e-5},
        ),
        "matrix": (
            Gaussian(torch.full((12, 13), 0.5), 0.1 * spd(1, 156)[0]),
            {"skip": {"scale", "denoises"}, "tolerance": 1e-5},
        ),
    },
    "GaussianMixture": {"defaults": (MIXTURE, {"skip": {"scale", "denoises"}, "tolerance": 1e-5})},
    "NonLocalMeans": {
        "defaults": (NonLocalMeans(), {}),
        "complex": (NonLocalMeans(patch_distance=3), COMPLEX),
        "channels": (NonLocalMeans(channels=True, patch_distance=3), {"image_shape": (3, 9, 10)}),
    },
    "CycleSpunWavelets": {
        "defaults": (CycleSpunWavelets(), {}),
        "soft": (CycleSpunWavelets("db2", 2, threshold=1.5, soft=True), {}),
        "complex": (CycleSpunWavelets(levels=2), COMPLEX),
    },
    "Planes": {
        "defaults": (Planes(CycleSpunWavelets(levels=2)), {"image_shape": (4, 9, 10)}),
        "two axes": (Planes(TVDenoiser(), (-3, -1)), {**COMPLEX, "image_shape": (4, 9, 10)}),
    },
    # each call takes the package a second
    "BM3D": {
        "defaults": (
            bm3d(),
            {"image_shape": (8, 9), "skip": {"batch", "immutability", "pickling", "scale", "score"}},
        )
    },
    "ProxDenoiser": {
        "closed form": (ProxDenoiser(DCT(2.0)), {"skip": {"scale"}}),
        "automatic": (ProxDenoiser(DCT()), {"tolerance": 1e-5}),
        "iterated": (ProxDenoiser(TotalVariation(5.0) + NonNegative()), {"skip": {"scale"}}),
        "complex": (ProxDenoiser(TotalVariation(5.0)), {**COMPLEX, "skip": {"scale"}}),
        "volume": (
            ProxDenoiser(TotalVariation(5.0, axes=(-3, -2, -1)), axes=3),
            {"image_shape": (3, 6, 7), "skip": {"scale"}},
        ),
    },
    "Diffusion": {  # of this range, images are in the network's units
        "any size": (Diffusion(Guided(), value_range=(-1, 1)), {"tolerance": 1e-5}),
        "one size, classes": (
            Diffusion(Guided(), (12, 13), value_range=(-1, 1), classes=2).of_class(1),
            {"image_shape": (12, 13), "tolerance": 1e-5},
        ),
        "complex": (Diffusion(Guided(), field="complex"), {**COMPLEX, "tolerance": 1e-5}),
    },
    "DenoisingAutoencoder": {
        "any size": (DenoisingAutoencoder(Reconstruction(), UNIT), {"tolerance": 1e-5}),
        "trainable": (
            DenoisingAutoencoder.untrained((3, 9, 10), widths=(4, 8)),
            {"image_shape": (3, 9, 10), "tolerance": 1e-5, "skip": {"denoises"}},
        ),
    },
    "EnergyModel": {
        "gaussian": (EnergyModel(Quadratic(), replace(UNIT, shape=(12, 13)), sigma=0.1), {"tolerance": 1e-5}),
        "trainable": (
            EnergyModel.untrained((12, 13), widths=(4, 8)),
            {"tolerance": 1e-5, "skip": {"denoises"}},
        ),
    },
    "NetworkDenoiser": {
        "argument": (NetworkDenoiser(Wiener(), (0, 1)), {"tolerance": 1e-5}),
        "channel": (NetworkDenoiser(Smooth(1), (0, 1), noise="channel", multiple=8), {"tolerance": 1e-5}),
        "blind": (NetworkDenoiser(torch.nn.Identity(), (0, 1), noise="none"), {"tolerance": 1e-5}),
        "complex": (NetworkDenoiser(Smooth(1), (0, 1), noise="channel"), {**COMPLEX, "tolerance": 1e-5}),
        "color": (
            NetworkDenoiser(Smooth(3), (0, 1), noise="channel", channels=3),
            {"image_shape": (3, 12, 13), "tolerance": 1e-5},
        ),
    },
}


GENERATIVE_CASES = [(name, case) for name, cases in GENERATIVE.items() for case in cases]
NOISY_CASES = [(name, case) for name, cases in DENOISERS.items() for case in cases]


@pytest.mark.parametrize(("name", "case"), CASES, ids=[f"{name}-{case}" for name, case in CASES])
def test_prior_keeps_the_rules(name, case):
    prior, images = PRIORS[name][case]
    check_prior(prior, **images)


@pytest.mark.parametrize(
    ("name", "case"), GENERATIVE_CASES, ids=[f"{name}-{case}" for name, case in GENERATIVE_CASES]
)
def test_generative_prior_keeps_the_rules(name, case):
    build, options = GENERATIVE[name][case]
    check_prior(build(), **options)


@pytest.mark.cases_are_slow
@pytest.mark.parametrize(("name", "case"), NOISY_CASES, ids=[f"{name}-{case}" for name, case in NOISY_CASES])
def test_denoiser_keeps_the_rules(name, case):
    prior, options = DENOISERS[name][case]
    check_denoiser(prior() if callable(prior) else prior, **options)


ALL = [(name, case, prior) for name, case in CASES for prior, _ in [PRIORS[name][case]]]
ALL += [(name, case, prior) for name, case in NOISY_CASES for prior, _ in [DENOISERS[name][case]]]
ALL += [(name, case, prior) for name, case in GENERATIVE_CASES for prior, _ in [GENERATIVE[name][case]]]


@pytest.mark.parametrize(("name", "case", "prior"), ALL, ids=[f"{name}-{case}" for name, case, _ in ALL])
def test_every_prior_reports_its_images_in_one_place(name, case, prior):
    prior = prior() if callable(prior) else prior
    assert prior.image_format == format_of(prior)
    for single in ("value_range", "noise_range", "std", "image_shape", "field", "_image_axes"):
        assert not hasattr(prior, single), f"{name}.{single} is a part of its image_format"


def test_every_public_prior_is_registered():
    protocols = {"Composite", "Denoiser", "Density", "Energy", "Generator", "Prior", "Proximable", "Sampler"}
    others = protocols | {"Sequential", "Staged", "Tunable"}
    others |= {"ImageFormat", "Learned", "about", "format_of", "from_module", "load"}
    assert set(ig.priors.__all__) - others == set(PRIORS) | set(DENOISERS) | set(GENERATIVE)


@dataclass(frozen=True)
class Ridge:
    """``weight / 2 |x|^2`` with its proximal map."""

    weight: float = 2.0
    shrink: float = 1.0

    def value(self, x):
        return self.weight / 2 * x.abs().square().sum((-2, -1))

    def prox(self, x, step):
        return x / (1 + self.shrink * self.weight * step)

    def resolve(self, problem):
        return self


@dataclass(frozen=True)
class HalfTheTerms(TotalVariation):
    def terms(self, space):
        return [(K, GroupL1(g.weight / 2, g._axis)) for K, g in super().terms(space)]


@dataclass(frozen=True)
class NeverResolved(Ridge):
    def resolve(self, problem):
        return replace(self, weight=self.weight * 2)


class OfOtherImages(Ridge):
    image_format = ImageFormat(channels=5)


class Changing(Ridge):
    def value(self, x):
        return super().value(x) + torch.rand(())


def test_a_closed_form_prior_keeps_the_rules():
    assert "prox minimum" in check_prior(Ridge()).figures


@pytest.mark.parametrize(
    ("prior", "rule"),
    [
        (Ridge(shrink=1.1), "prox"),
        (HalfTheTerms(0.5), "terms"),
        (NeverResolved(), "resolve"),
        (Changing(), "resolve|immutability"),
        (OfOtherImages(), "format"),
    ],
)
def test_check_prior_names_the_rule_that_is_broken(prior, rule):
    with pytest.raises(CheckError, match=rule):
        check_prior(prior)


def test_what_has_no_value_is_no_prior():
    with pytest.raises(ig.errors.CapabilityError, match="float"):
        check_prior(0.5)
