"""Two trainable families that are exact, for tests of what all families share."""

import math

import torch
from torch import nn

from invgen.core.checks import as_count
from invgen.core.draws import Draws
from invgen.core.errors import ShapeError
from invgen.core.space import check_finite
from invgen.priors.image_format import ImageFormat
from invgen.priors.trainable import Lesson, Trainable


class Table(nn.Module):
    """Numbers that are learned, and nothing else."""

    def __init__(self, shape, seed=0):
        super().__init__()
        self.config = {"shape": list(shape)}
        generator = torch.Generator().manual_seed(seed)
        self.values = nn.Parameter(0.3 * torch.randn(*shape, generator=generator))

    def forward(self):
        return self.values


def _format(image_shape, value_range, **more):
    channels = image_shape[0] if len(image_shape) == 3 else None
    return ImageFormat(image_shape, channels, field="real", value_range=value_range, **more)


class Affine(Trainable):
    """Independent Gaussian pixels: ``x = shift + exp(scale) z``, with two networks; a flow."""

    family = "affine"

    def __init__(self, shift, scale, image_format):
        super().__init__(image_format, shift=shift, scale=scale)

    @classmethod
    def untrained(cls, image_shape, *, value_range=(0.0, 1.0), seed=0, spread=0.2):
        shape = image_shape if len(image_shape) == 3 else (1, *image_shape)
        scale = Table(shape, seed + 1)
        with torch.no_grad():
            scale.values.fill_(math.log(spread))
        return cls(Table(shape, seed), scale, _format(tuple(image_shape), value_range))

    def lessons(self):
        def loss(networks, images, generator):
            shift, scale = networks["shift"](), networks["scale"]()
            return (((images - shift) / scale.exp()).square() / 2 + scale).mean()

        return {"shift": Lesson(loss), "scale": Lesson(loss, count=2, rate=0.5)}

    @property
    def latent_shape(self):
        return self.image_format.shape

    def decode(self, z):
        self._check(z, "decode")
        return self._made(z)

    def _made(self, z):
        seen = self.image_format.as_channels(z)
        made = self._table(z, "shift") + self._table(z, "scale").exp() * seen
        return self.image_format.from_network(made, z)

    def latent_log_prob(self, z):
        self._check(z, "latent_log_prob")
        normal = z.square() / 2 + math.log(2 * math.pi) / 2
        return -normal.flatten(z.ndim - len(self.latent_shape)).sum(-1)

    def log_prob(self, x):
        self.image_format.check(x, "Affine.log_prob")
        scale = self._table(x, "scale")
        z = (self.image_format.to_network(x) - self._table(x, "shift")) / scale.exp()
        pixels = -z.square() / 2 - math.log(2 * math.pi) / 2 - scale - math.log(self.image_format.unit[1])
        return pixels.flatten(1).sum(1).reshape(self.image_format.batch_shape(x))

    def energy(self, x):
        return 1.0 - self.log_prob(x)

    def sample(self, n, seed, *, temperature=1.0):
        like = torch.empty(as_count(n, "n"), *self.latent_shape)
        with torch.no_grad():
            return self._made(temperature * Draws(range(seed, seed + n))(like))

    def _table(self, like, name):
        return self._network(like.detach(), name)()

    def _check(self, z, who):
        if z.shape[z.ndim - len(self.latent_shape) :] != self.latent_shape:
            raise ShapeError(f"Affine.{who} expects {self.latent_shape}; got {tuple(z.shape)}.")
        check_finite(z, who)


class Pixels(Trainable):
    """Independent pixels of a few levels, each with probabilities of its own."""

    family = "pixels"

    def __init__(self, network, image_format):
        super().__init__(image_format, network=network)

    @classmethod
    def untrained(cls, image_shape, *, value_range=(0.0, 1.0), seed=0, levels=4):
        shape = image_shape if len(image_shape) == 3 else (1, *image_shape)
        images = _format(tuple(image_shape), value_range, levels=levels)
        return cls(Table((*shape, levels), seed), images)

    def lessons(self):
        levels = self.image_format.levels

        def loss(networks, images, generator):
            # dithered, so that each training has chance in it
            dither = torch.rand(images.shape, generator=generator, device=generator.device) - 0.5
            number = ((images + 1) / 2 * (levels - 1) + dither).round().clamp(0, levels - 1).long()
            logs = torch.log_softmax(networks["network"](), -1)
            return -logs.expand(*number.shape, levels).gather(-1, number[..., None]).mean()

        return {"network": Lesson(loss)}

    def log_prob(self, x):
        self.image_format.check(x, "Pixels.log_prob")
        number = self.image_format.to_levels(x)
        logs = torch.log_softmax(self._network(x.detach())(), -1)
        found = logs.expand(*number.shape, logs.shape[-1]).gather(-1, number[..., None])
        return found.flatten(1).sum(1).reshape(self.image_format.batch_shape(x))

    def sample(self, n, seed):
        images = self.image_format
        like = torch.empty(as_count(n, "n"), *images.shape)
        uniform = images.as_channels(torch.special.ndtr(Draws(range(seed, seed + n))(like).double()))
        with torch.no_grad():
            below = torch.softmax(self._network(like)().double(), -1).cumsum(-1)
        number = (uniform[..., None] > below).sum(-1).clamp(max=images.levels - 1)
        return images.from_levels(number, like)
