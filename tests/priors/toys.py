"""Points of the plane as images of two pixels, and how far two sets of them are apart."""

import math

import torch

#: Value range of the moons.
RANGE = (-1.5, 2.5)


def moons(n, seed, noise=0.1):
    """Two interleaved half circles with Gaussian noise, independent draws ``(n, 1, 2)``."""
    generator = torch.Generator().manual_seed(seed)
    angle = math.pi * torch.rand(n, generator=generator)
    upper = torch.randint(2, (n,), generator=generator) == 0
    x = torch.where(upper, angle.cos(), 1 - angle.cos())
    y = torch.where(upper, angle.sin(), 0.5 - angle.sin())
    return (torch.stack([x, y], 1) + noise * torch.randn(n, 2, generator=generator))[:, None]


def sliced_wasserstein(a, b, directions=50):
    """Mean over directions of the distance W1 between the projections of as many points."""
    angles = torch.linspace(0, math.pi, directions + 1)[:-1]
    lines = torch.stack([angles.cos(), angles.sin()])
    a, b = (points.reshape(-1, 2) @ lines for points in (a, b))
    return float((a.sort(0).values - b.sort(0).values).abs().mean())


class Killed(Exception):
    """What ends a training in the middle of a step."""


def killed_at(prior, update):
    """The prior with a loss that fails at the update of this number, counted from one."""
    count = []

    class Failing(type(prior)):
        def loss(self, networks, images, generator):
            count.append(None)
            if len(count) == update:
                # the forward pass has changed buffers by then
                super().loss(networks, images, generator)
                raise Killed
            return super().loss(networks, images, generator)

    failing = object.__new__(Failing)
    failing.__dict__.update(prior.__dict__)
    return failing
