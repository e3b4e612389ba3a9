"""L-BFGS for many problems at once: each has its own line search, an iteration is one evaluation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from invgen.core.batching import chosen
from invgen.solvers.point import Density, Point

__all__ = ["LBFGS"]

#: Constants of the Wolfe conditions, Nocedal and Wright (2006), p. 62: decrease and curvature.
_DECREASE, _CURVATURE = 1e-4, 0.9

#: Lengths that are tried along a direction: a search that finds none has come to the precision's end.
_TRIALS = 25


@dataclass(frozen=True)
class LBFGS:
    """Limited-memory BFGS, Nocedal and Wright (2006), algorithms 7.4 and 7.5.

    A step satisfies the weak Wolfe conditions. It is found by the bracketing of Lewis and Overton (2013),
    algorithm 2.6, which also suits networks with kinks, and near the minimum, where the values of the
    objective are equal to rounding, by the approximate conditions of Hager and Zhang (2005), eq. 4.1. All
    batch elements try one length in an iteration, wherever each is in its own search.

    Parameters
    ----------
    memory : int
        Number of steps that the inverse Hessian is made of.
    """

    memory: int = 10

    def begin(self, point: Point) -> dict[str, Tensor]:
        """An empty memory; the first step has a length of one at most, a standard deviation of latents."""
        pairs = torch.zeros_like(point.x)[..., None, :].repeat_interleave(self.memory, dim=-2)
        scale = 1 / _norm(point.gradient).clamp(min=1)
        direction = -scale[..., None] * point.gradient
        zeros, ones = torch.zeros_like(point.energy), torch.ones_like(point.energy)
        return {
            "steps": pairs,
            "changes": pairs,
            "weights": pairs[..., 0],  # 1 / (s . y) of each pair, zero where there is none
            "scale": scale,
            "direction": direction,
            "decrement": _decrement(point.gradient, direction),
            **_search(zeros, ones),
        }

    def advance(
        self, density: Density, point: Point, memory: dict[str, Tensor]
    ) -> tuple[Point, dict[str, Tensor], Tensor]:
        """The next point, the memory, and Newton's decrement, for one evaluation.

        The decrement ``sqrt(g . H g)``, with the inverse Hessian H that the memory stands for, is the
        distance from the minimum in standard deviations of the posterior. Zero where no lower point can be
        found in the precision at hand.
        """
        direction, length = memory["direction"], memory["length"]
        trial = density(point.x + length[..., None] * direction)
        slope, slope_there = _dot(point.gradient, direction), _dot(trial.gradient, direction)
        rounding = 10 * torch.finfo(slope.dtype).eps * point.energy.abs()
        low_enough = (trial.energy <= point.energy + _DECREASE * length * slope) | (
            (trial.energy <= point.energy + rounding) & (slope_there <= (2 * _DECREASE - 1) * slope)
        )
        accepted = low_enough & (slope_there >= _CURVATURE * slope)
        searching = _narrowed(memory, low_enough, point, trial, slope)
        stuck = ~accepted & (searching["trials"] >= _TRIALS)
        reached = chosen(accepted, trial, point)
        learned = self._learned(memory, point, trial)
        memory = chosen(accepted, learned, {**memory, **searching})
        return reached, memory, chosen(stuck, torch.zeros_like(slope), memory["decrement"])

    def _learned(self, memory: dict[str, Tensor], old: Point, new: Point) -> dict[str, Tensor]:
        """The memory with one step more, and the direction at the new point."""
        step, change = new.x - old.x, new.gradient - old.gradient
        curvature, size = _dot(step, change), _dot(change, change)
        # a step that is rounding only says nothing of the curvature
        known = curvature > torch.finfo(curvature.dtype).eps * _norm(step) * size.sqrt()
        zeros, ones = torch.zeros_like(curvature), torch.ones_like(curvature)
        weight = torch.where(known, 1 / torch.where(known, curvature, 1), 0)
        learned = {
            "steps": torch.cat([memory["steps"][..., 1:, :], step[..., None, :]], -2),
            "changes": torch.cat([memory["changes"][..., 1:, :], change[..., None, :]], -2),
            "weights": torch.cat([memory["weights"][..., 1:], weight[..., None]], -1),
            "scale": torch.where(known, curvature / torch.where(known, size, 1), memory["scale"]),
            **_search(zeros, ones),
        }
        direction = -_inverse_hessian(learned, new.gradient)
        learned |= {"direction": direction, "decrement": _decrement(new.gradient, direction)}
        return learned


def _search(zeros: Tensor, ones: Tensor) -> dict[str, Tensor]:
    """A line search that begins: the longest length that is too short, the shortest that is too long."""
    return {"low": zeros, "high": torch.inf * ones, "length": ones, "trials": zeros}


def _narrowed(
    memory: dict[str, Tensor], low_enough: Tensor, point: Point, trial: Point, slope: Tensor
) -> dict[str, Tensor]:
    """The bracket once a length was tried that is too long, or else too short, and the next length."""
    length = memory["length"]
    low = torch.where(low_enough, length, memory["low"])
    high = torch.where(low_enough, memory["high"], length)
    halfway = torch.where(high.isfinite(), (low + high) / 2, 2 * length)
    # before anything was too short: the minimum of the parabola through both values, at a tenth at least
    excess = trial.energy - point.energy - length * slope
    parabola = (-slope * length / (2 * excess)).clamp(0.1, 0.5) * length
    first = ~low_enough & (memory["low"] == 0)
    return {
        "low": low,
        "high": high,
        "length": torch.where(first, parabola, halfway),
        "trials": memory["trials"] + 1,
    }


def _inverse_hessian(memory: dict[str, Tensor], gradient: Tensor) -> Tensor:
    """``H g`` by two loops over the pairs, algorithm 7.4; eq. 7.20 for the first matrix."""
    steps, changes, weights = memory["steps"], memory["changes"], memory["weights"]
    q, count, shares = gradient, steps.shape[-2], []
    for i in reversed(range(count)):
        share = weights[..., i] * _dot(steps[..., i, :], q)
        q = q - share[..., None] * changes[..., i, :]
        shares.append(share)
    r = memory["scale"][..., None] * q
    for i, share in zip(range(count), reversed(shares), strict=True):
        back = weights[..., i] * _dot(changes[..., i, :], r)
        r = r + (share - back)[..., None] * steps[..., i, :]
    return r


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(-1)


def _norm(a: Tensor) -> Tensor:
    return torch.linalg.vector_norm(a, dim=-1)


def _decrement(gradient: Tensor, direction: Tensor) -> Tensor:
    return (-_dot(gradient, direction)).clamp(min=0).sqrt()
