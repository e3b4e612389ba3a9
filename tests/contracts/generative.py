"""Each public prior that draws, decodes or has a density, and the options of its check."""

import copy

import pytest
import torch

import invgen as ig
from invgen.priors import (
    ContextTable,
    Diffusion,
    Gaussian,
    GaussianMixture,
    Histogram,
    KernelDensity,
    NearestNeighbors,
    NeuralCDF,
    TangentKernelDensity,
    VectorFlow,
    from_module,
)
from invgen.priors.nets.monotone import MonotoneCDF

from .numbers import spd


class Wiener(torch.nn.Module):
    """The denoiser of a Gaussian prior around one half."""

    def forward(self, x, sigma):
        return 0.5 + (x - 0.5) / (1 + 4 * sigma.reshape(-1, 1, 1, 1) ** 2)


class Guided(Wiener):
    """The same with the other arguments of diffusion models."""

    def forward(self, x, sigma, label=None, extra=None):
        return super().forward(x, sigma)


def untrained(family, image_shape, **options):
    """Build a family as it is before training, but with noise in its weights, some of which start at zero."""

    def build():
        prior = getattr(ig.priors, family).untrained(image_shape, **options)
        networks = {name: copy.deepcopy(network) for name, network in prior.networks().items()}
        generator = torch.Generator().manual_seed(0)
        for network in networks.values():
            for parameter in network.parameters():
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
        return prior.with_networks(networks)

    return build


POINTS = {d: Gaussian(torch.zeros(d).double(), 1.0).sample(60, 0) for d in (1, 2)}
LEVELS = torch.randint(4, (50, 3, 4), generator=torch.Generator().manual_seed(0)).double() / 3


def vector_flow():
    pytest.importorskip("zuko")
    return VectorFlow.untrained((3,), transforms=2, hidden_features=[8])


#: Densities of all real numbers leave the range of their images now and then.
UNBOUNDED = {"skip": {"range"}}
#: Closed forms draw all samples from one generator.
TOGETHER = {"skip": {"seeds"}}
#: Each public prior that draws, decodes or has a density: what builds it, and the options of its check.
GENERATIVE = {
    "Gaussian": {
        "pixels": (lambda: Gaussian(torch.ones(6, 7), 0.3), TOGETHER),
        "matrix": (lambda: Gaussian(torch.ones(6, 7), spd(1, 42)[0]), TOGETHER),
        "complex": (lambda: Gaussian(torch.ones(6, 7) + 0j, 0.3), TOGETHER),
    },
    "GaussianMixture": {
        "matrices": (
            lambda: GaussianMixture(torch.arange(126.0).reshape(3, 6, 7) / 50, spd(3, 42)),
            TOGETHER,
        ),
    },
    "KernelDensity": {
        "data": (lambda: KernelDensity(torch.arange(126.0).reshape(3, 6, 7) / 50), TOGETHER),
    },
    "TangentKernelDensity": {
        "data": (
            lambda: TangentKernelDensity(torch.arange(126.0).reshape(3, 6, 7).sin(), 0.3),
            TOGETHER,
        ),
        "channels": (
            lambda: TangentKernelDensity(torch.arange(126.0).reshape(3, 2, 3, 7).sin(), 0.3),
            TOGETHER,
        ),
    },
    "Diffusion": {
        # its log_prob is an estimate by probes that differ from image to image, and has no derivative
        "one size": (
            lambda: Diffusion(Guided(), (4, 5), value_range=(-3, 3)),
            {
                "sampling": {"steps": 3},
                "skip": {"log_prob batch", "log_prob gradient", "range"},
            },
        ),
    },
    "Histogram": {
        # constant within its bins
        "line": (lambda: Histogram.fit(POINTS[1]), {"skip": {"log_prob gradient"}}),
        "plane": (lambda: Histogram.fit(POINTS[2], (3, 4)), {"skip": {"log_prob gradient"}}),
    },
    "NearestNeighbors": {
        "line": (lambda: NearestNeighbors(POINTS[1], 5), {}),
        "plane": (lambda: NearestNeighbors(POINTS[2], 7), {}),
    },
    "NeuralCDF": {
        "line": (lambda: NeuralCDF(MonotoneCDF(1)), {}),
        "plane": (lambda: NeuralCDF(MonotoneCDF(2, 3, 4)), {}),
    },
    "ContextTable": {
        "image": (lambda: ContextTable.fit(LEVELS, levels=4), {}),
        "channels": (lambda: ContextTable.fit(LEVELS[:, None].repeat(1, 2, 1, 1), levels=4), {}),
    },
    "Autoregressive": {
        # the energy is of real numbers, the probability of levels, of which the ends have what is beyond
        "image": (
            untrained("Autoregressive", (2, 3), levels=4, width=8, layers=2, mixtures=3),
            {"integrate": True, "skip": {"same density"}},
        ),
        "channels": (
            untrained("Autoregressive", (3, 4, 5), width=8, layers=1, mixtures=2),
            {"skip": {"same density"}},
        ),
        # whose energy has a kink at each level
        "softmax": (
            untrained("Autoregressive", (2, 3), levels=4, width=8, layers=2, mixtures=0),
            {"integrate": True, "skip": {"same density", "energy gradient"}},
        ),
    },
    "GAN": {
        "image": (untrained("GAN", (8, 8), latent=4, widths=(8, 4)), {}),
        "channels": (
            untrained("GAN", (3, 8, 8), latent=4, widths=(8, 4), loss="wasserstein", value_range=(-1.0, 3.0)),
            {},
        ),
    },
    "ModuleGenerator": {
        "image": (
            lambda: from_module(torch.nn.Linear(3, 20), (3,), image_shape=(4, 5), value_range=(-9.0, 9.0)),
            {},
        ),
    },
    "Flow": {
        "image": (untrained("Flow", (4, 4), scales=1, width=8, blocks=1, bins=6), UNBOUNDED),
        "channels": (
            untrained("Flow", (3, 4, 4), scales=2, width=8, blocks=1, bins=6, value_range=(-1.0, 3.0)),
            UNBOUNDED,
        ),
        "affine": (
            untrained("Flow", (4, 4), scales=1, width=8, blocks=1, coupling="affine", levels=None),
            UNBOUNDED,
        ),
    },
    "VectorFlow": {"vectors": (vector_flow, UNBOUNDED)},
    "VAE": {
        "logistic": (untrained("VAE", (8, 8), latent=3, widths=(8,), blocks=1), {}),
        "bernoulli": (untrained("VAE", (2, 2), latent=2, widths=(8,), blocks=1, observation="bernoulli"), {}),
        "gaussian": (
            untrained("VAE", (3, 4, 4), latent=3, widths=(8,), blocks=1, observation="gaussian"),
            UNBOUNDED,
        ),
    },
    "HierarchicalVAE": {
        # of fewer than 16 numbers, which PyTorch draws alike in both precisions
        "logistic": (untrained("HierarchicalVAE", (8, 8), latent=(1, 1, 1), widths=(8, 8)), {}),
        "bernoulli": (
            untrained("HierarchicalVAE", (2, 2), latent=(2, 1), widths=(8,), observation="bernoulli"),
            {},
        ),
        "gaussian": (
            untrained("HierarchicalVAE", (3, 4, 4), latent=(2, 1), widths=(8,), observation="gaussian"),
            UNBOUNDED,
        ),
    },
    "VQVAE": {
        # the gradient of a decoder that quantizes is none of finite differences
        "logistic": (
            untrained("VQVAE", (4, 8), codes=5, code_width=3, widths=(8, 8), blocks=1, layers=1, levels=4),
            {"skip": {"decode gradient"}},
        ),
    },
    "EnergyModel": {
        "image": (untrained("EnergyModel", (8, 8), widths=(8, 8)), {"sampling": {"steps": 3}, **UNBOUNDED}),
        "points": (untrained("EnergyModel", (1, 2), widths=(8,)), {"sampling": {"steps": 3}, **UNBOUNDED}),
    },
    "DenoisingAutoencoder": {
        "image": (
            untrained("DenoisingAutoencoder", (8, 8), widths=(8,)),
            {"sampling": {"steps": 3}, **UNBOUNDED},
        ),
    },
}
