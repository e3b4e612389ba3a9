"""Every public solver in the latent variables of a generator, with the problems that stand for it."""

import math

import torch

from invgen.priors import from_module
from invgen.solvers import LatentOptimization

from .problems import FEW, counts, inpainting, saturated, single_coil, weighted


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


def waves(*shape, field="real", offset=0.0):
    """A generator of images of a shape."""
    network = Waves(shape, 2 if field == "complex" else 1, offset)
    return from_module(network, (4,), image_shape=shape, field=field, value_range=(0.0, 1.0 + offset))


SQUARE, ROWS, SMALL = waves(16, 16), waves(9, 12), waves(12, 12, offset=0.1)
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
}
