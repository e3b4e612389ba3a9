"""What methods in one step share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch

from invgen.core.errors import DivergenceError
from invgen.problem import Problem
from invgen.reconstruction import Reconstruction
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

    @torch.no_grad()
    def estimate(self, problem: Problem) -> Reconstruction:
        """The reconstruction of a call without its history, the residual of which takes a projection.

        Raises
        ------
        DataError, CapabilityError, DivergenceError
            As a call does.
        """
        self._checked_call(problem, 1, 0)
        x = self.confined(problem, self.image(problem))
        if not bool(torch.isfinite(problem.operator.domain.norm(x)).all()):
            raise DivergenceError(f"{self.name} diverged: the image is not finite. {self.remedy}")
        return Reconstruction(x, stats={"solver": self.name, "iterations": 1})

    def steps(self, problem: Problem, prepared: None, state: State) -> Iterator[State]:
        """Yield the one image; the start plays no role."""
        yield State(x=self.image(problem))
