"""Generators and problems whose answers are known."""

import torch

import invgen as ig
from invgen.noise import Gaussian
from invgen.operators import MatrixOperator
from invgen.priors import from_module

LATENTS, SHAPE, ROWS = 4, (3, 4), 6


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Affine(torch.nn.Module):
    """Images ``W z + b``, Gaussian for standard normal z."""

    def __init__(self, latents=LATENTS, shape=SHAPE):
        super().__init__()
        self.shape, size = shape, shape[0] * shape[1]
        self.register_buffer("W", normal(size, latents))
        self.register_buffer("b", 0.5 * normal(size, seed=9))

    def forward(self, z):
        return (z @ self.W.T + self.b).unflatten(-1, self.shape)


class Curved(Affine):
    """Not linear, as networks are not."""

    def forward(self, z):
        return torch.tanh(super().forward(z)) + 0.3 * super().forward(z)


def generator(network=None):
    return from_module(network or Affine(), (LATENTS,), image_shape=SHAPE, value_range=(-3.0, 3.0))


def measured(prior, std=0.1, batch=(2,), known=True):
    """Some random projections of an image that the generator makes."""
    A = MatrixOperator(normal(ROWS, SHAPE[0] * SHAPE[1], seed=1), SHAPE)
    noise = Gaussian(std)
    y = noise.sample(A(prior.decode(normal(*batch, LATENTS, seed=2))), seed=3)
    return ig.Problem(A, y, noise if known else None)


def posterior_mean(problem, network, std, weight=1.0):
    """The most probable latent variables of an affine generator, (*batch, d): linear algebra."""
    A, W, b = problem.operator, network.W, network.b
    M = A(W.T.reshape(-1, *SHAPE)).T
    precision = M.T @ M / std**2 + weight * torch.eye(W.shape[1], dtype=torch.float64)
    residual = problem.measurement - A(b.reshape(SHAPE))
    return torch.linalg.solve(precision, (residual @ M / std**2)[..., None])[..., 0]
