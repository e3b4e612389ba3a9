"""Every public solver in the latent variables of a generator, with the problems that stand for it."""

import math

import torch

from invgen import Problem
from invgen.noise import Gaussian
from invgen.operators import DCT, Identity
from invgen.priors import Flow, from_module
from invgen.solvers import (
    PULSE,
    FlowMAP,
    ImageAdaptive,
    IntermediateLayerOptimization,
    LatentOptimization,
    SparseDeviation,
)

from .problems import FEW, counts, denoising, inpainting, saturated, single_coil, weighted


class Waves(torch.nn.Module):
    """Images between zero and one of four latent variables: a sigmoid of sums of smooth functions."""

    def __init__(self, shape, channels=1, offset=0.0):
        super().__init__()
        at = torch.arange(math.prod(shape), dtype=torch.float64)[:, None]
        patterns = torch.cos(at * torch.tensor([0.11, 0.37, 0.73, 1.3], dtype=torch.float64))
        self.register_buffer("patterns", patterns.repeat(channels, 1))
        self.shape, self.offset = (channels, *shape), offset

    def forward(self, z):
        return self.offset + torch.sigmoid(z @ self.patterns.T).unflatten(-1, self.shape)


class Pairs(torch.nn.Module):
    """The same of two rows of latent variables."""

    def __init__(self):
        super().__init__()
        self.waves = Waves((9, 12))

    def forward(self, z):
        return self.waves(z.flatten(1))


def squares():
    """Two small images with noise."""
    x = torch.zeros(2, 4, 4, dtype=torch.float64)
    x[0, 1:3, 1:], x[1, :2] = 1, 0.5
    noise = Gaussian(0.1)
    return Problem(Identity((4, 4)), noise.sample(x, seed=0), noise)


def waves(*shape, field="real", offset=0.0):
    """A generator of images of a shape."""
    network = Waves(shape, 2 if field == "complex" else 1, offset)
    return from_module(network, (4,), image_shape=shape, field=field, value_range=(0.0, 1.0 + offset))


class Layers(torch.nn.Sequential):
    """The same with two layers of weights."""

    def __init__(self, shape):
        waves = Waves(shape).patterns
        first, second = torch.nn.Linear(4, 4), torch.nn.Linear(4, len(waves))
        super().__init__(first, torch.nn.Tanh(), second, torch.nn.Sigmoid(), torch.nn.Unflatten(1, shape))
        with torch.no_grad():
            for layer, matrix in ((first, torch.eye(4)), (second, waves)):
                layer.weight.copy_(matrix)
                layer.bias.zero_()


def layers(*shape):
    """A generator whose weights can be tuned."""
    return from_module(Layers(shape), (4,), image_shape=shape)


SQUARE, ROWS, SMALL = waves(16, 16), waves(9, 12), waves(12, 12, offset=0.1)
PAIRS = from_module(Pairs(), (2, 2), image_shape=(9, 12))
FLOW = Flow.untrained((4, 4), scales=1, steps=1, coupling="affine", levels=None)
COMPLEX = waves(9, 12, field="complex")
LATENT = {"restarts": 3, **FEW}
#: Each solver with the parameter sets and problems that stand for it, and the rules that do not apply.
LATENT_SOLVERS = {
    "LatentOptimization": {
        "defaults": (LatentOptimization(SQUARE, **LATENT), None, ()),
        "adam": (LatentOptimization(SQUARE, optimizer="adam", learning_rate=0.1, **LATENT), None, ()),
        "complex": (LatentOptimization(COMPLEX, **LATENT), single_coil, ()),
        "weighted data": (LatentOptimization(SMALL, **LATENT), weighted, ()),
        "lost pixels": (LatentOptimization(ROWS, **LATENT), inpainting, ()),
        "counts": (LatentOptimization(SMALL, **LATENT), counts, {"scale"}),
        "not linear": (LatentOptimization(ROWS, **LATENT), saturated, {"scale"}),
    },
    "PULSE": {
        "defaults": (PULSE(SQUARE, **LATENT), None, ()),
        "rows": (PULSE(PAIRS, **LATENT), inpainting, ()),
        "not linear": (PULSE(ROWS, **LATENT), saturated, {"scale"}),
    },
    "IntermediateLayerOptimization": {
        "defaults": (IntermediateLayerOptimization(layers(16, 16), layers=1, **LATENT), None, ()),
        "not linear": (
            IntermediateLayerOptimization(layers(9, 12), layers=1, **LATENT),
            saturated,
            {"scale"},
        ),
    },
    "SparseDeviation": {
        "defaults": (SparseDeviation(ROWS, **LATENT), inpainting, ()),
        "transform": (SparseDeviation(ROWS, transform=DCT((9, 12)), **LATENT), denoising, ()),
        "complex": (SparseDeviation(COMPLEX, **LATENT), single_coil, ()),
    },
    "ImageAdaptive": {
        "defaults": (ImageAdaptive(layers(9, 12), first=6, patience=4, **LATENT), inpainting, ()),
        "projections": (ImageAdaptive(layers(16, 16), first=6, **LATENT), None, ()),
    },
    "FlowMAP": {
        # one start, at zero: the seed changes nothing
        "defaults": (FlowMAP(FLOW, **FEW), squares, ()),
        "latent": (FlowMAP(FLOW, density="latent", **FEW), squares, ()),
        "encoded": (FlowMAP(FLOW, start="encoder", **FEW), squares, ()),
    },
}
