"""What methods in one step share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch

from invgen.problem import Problem
from invgen.solvers.base import Solver
from invgen.solvers.state import State

__all__ = ["DirectSolver"]


class DirectSolver(Solver):
    """Base of methods in one step; a subclass gives `image`.

    The image is differentiable: where the measurement requires gradients, the image of a call does too, and
    going back costs one adjoint. What PyTorch trains may thus stand before the method, such as a filter of
    the sinogram, and behind it, such as a network.

    Examples
    --------
    >>> A = ig.operators.Radon((64, 64), angles=30)
    >>> y = A(torch.rand(64, 64)).requires_grad_()
    >>> x = ig.solvers.FBP()(ig.Problem(A, y)).x
    >>> (x.square().sum() / 2).backward()  # y.grad is the adjoint of filtered backprojection, applied to x
    """

    differentiable: ClassVar[bool] = True

    def image(self, problem: Problem) -> torch.Tensor:
        """The image, shape (*batch, *image_shape)."""
        raise NotImplementedError

    def steps(self, problem: Problem, prepared: None, state: State) -> Iterator[State]:
        """Yield the one image; the start plays no role."""
        yield State(x=self.image(problem))
