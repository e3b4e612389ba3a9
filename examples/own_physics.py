"""A user's own physics: check that the adjoint is one, then reconstruct with it.

    python examples/own_physics.py [--size 64]

The measurement is a motion blur of which every other row is recorded.
"""

import argparse

import torch

import invgen as ig

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--size", type=int, default=64, help="pixels across the image, an even number")
n = parser.parse_args().size
LENGTH = 5


def forward(x: torch.Tensor) -> torch.Tensor:
    """Average over LENGTH pixels to the left, keep every other row."""
    blurred = sum(torch.nn.functional.pad(x, (k, 0))[..., :n] for k in range(LENGTH)) / LENGTH
    return blurred[..., ::2, :]


def adjoint(y: torch.Tensor) -> torch.Tensor:
    """Zeros where rows were lost, then the average over LENGTH pixels to the right."""
    rows = torch.stack([y, torch.zeros_like(y)], dim=-2).flatten(-3, -2)
    return sum(torch.nn.functional.pad(rows, (0, k))[..., k:] for k in range(LENGTH)) / LENGTH


A = ig.operators.FunctionOperator(forward, adjoint, domain=(n, n), range=(n // 2, n))
ig.testing.check_operator(A)  # raises, with a figure, where the adjoint is not the transpose

truth = ig.phantoms.shepp_logan(half_width=n / 2).image((n, n), pixel_size=1.0).float()
noise = ig.noise.Gaussian(0.01)
problem = ig.Problem(A, noise.sample(A(truth), seed=0), noise)
result = ig.solvers.PDHG(ig.priors.TotalVariation())(problem)
print(f"weight {result.stats['weight']:.3g}, {float(ig.metrics.psnr(result.x, truth)):.1f} dB")
