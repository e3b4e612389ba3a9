"""Proximal gradients, plain and accelerated: the data term explicitly, the prior by its proximal map."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Protocol

import torch

from invgen.convex.dual_step import dual_step
from invgen.convex.metric import MetricProx
from invgen.convex.momentum import momentum
from invgen.convex.splitting import constrained, total
from invgen.core.errors import CapabilityError, DivergenceError
from invgen.operators import Identity
from invgen.priors.base import Composite, Proximable, has_closed_form, require
from invgen.problem import Problem
from invgen.solvers.base import Solver
from invgen.solvers.state import State

__all__ = ["FISTA", "ISTA"]


@dataclass(frozen=True)
class ProximalGradient(Solver):
    """What `ISTA` and `FISTA` share: their parameters, and the step that both repeat."""

    prior: Proximable | Composite
    _: KW_ONLY
    iterations: int = 300
    tolerance: float = 1e-4
    inner_steps: int = 20
    backtracking: bool = False

    counts: ClassVar[dict[str, int]] = {"inner_steps": 1}

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.prior, self.name, Proximable, Composite)

    def prepare(self, problem: Problem) -> ProximalStep:
        """The proximal gradient step."""
        if not has_closed_form(self.prior, problem.operator.domain):
            if self.backtracking:
                raise CapabilityError(
                    f"{self.name} finds step sizes by backtracking for priors with a closed-form proximal "
                    f"map; {type(self.prior).__name__} has none for these images. Leave backtracking off."
                )
            scalar = isinstance(problem.linear_operator.gram, Identity) and problem.uniform_weight is not None
            return (_Denoising if scalar else _InMetric)(problem, self.prior, self.inner_steps)
        return _Backtracking(problem, self.prior) if self.backtracking else _ClosedForm(problem, self.prior)


@dataclass(frozen=True, kw_only=True)
class ISTA(ProximalGradient):
    """Iterative shrinkage-thresholding, Daubechies, Defrise and De Mol (2004): proximal gradient steps.

    Minimises ``-log p(y | A x) + prior.value(x)``; the objective never rises. `FISTA` needs about the square
    root of its iterations, and the same parameters explain it.

    In single precision the image of a small CT problem was 2e-3 from that in double, relative to its norm
    (``python -m benchmarks.scale drift``): nearly all of it in directions that the data hardly determine,
    where the rounding of the gradients adds up and nothing takes it back.

    Parameters
    ----------
    prior : Proximable or Composite
    iterations, tolerance
        Stops where the gradient map ``L (x - x')`` is below the tolerance, relative to ``L |x'|``.
    inner_steps : int
        For composite priors; see `FISTA`.
    backtracking : bool
        See `FISTA`. Here it makes data terms whose curvature is not bounded safe, such as that of Poisson
        noise: from an `x0` of which the data are possible, every step is shortened until they remain so.
    """

    def steps(self, problem: Problem, step: ProximalStep, state: State) -> Iterator[State]:
        """Yield the iterates of the algorithm."""
        x = state.get("unconstrained", lambda: state.x)
        memory = state.get("memory", lambda: step.start(x))
        while True:
            x_old = x
            x, memory = step(x, memory)
            yield State(
                x=step.image(x), optimality=_relative(problem, x_old - x, x), unconstrained=x, memory=memory
            )


@dataclass(frozen=True, kw_only=True)
class FISTA(ProximalGradient):
    """Accelerated proximal gradient, Beck and Teboulle (2009a), eqs. 4.1 to 4.3.

    Minimises ``-log p(y | A x) + prior.value(x)``. A prior with a closed-form proximal map is taken as it is,
    with the step size ``1 / L``. For a composite one, such as total variation, the map is found by
    `inner_steps` of an iteration of its own that needs no projections; the step size is then a matrix,
    diagonal in Fourier space where the operator has a `spectrum`, which saves most of the outer iterations:
    see `invgen.convex.metric.MetricProx`.

    In single precision the image of a small CT problem was 3e-3 from that in double, relative to its norm
    (``python -m benchmarks.scale drift``): nearly all of it in directions that the data hardly determine,
    where the rounding of the gradients adds up and nothing takes it back.

    Parameters
    ----------
    prior : Proximable or Composite
    iterations, tolerance
        Stops where the gradient map ``L (z - x)`` is below the tolerance, relative to ``L |x|``, z being the
        image that the step to x began from. (With a matrix for L, both are seen through its inverse.)
    inner_steps : int
        For composite priors.
    backtracking : bool
        Find L by trial, doubled as often as the data term is not below its quadratic model (sec. 4, p. 194),
        from a bound below it, for each batch element. It is not asked of the operator then, which need not be
        linear. For priors with a closed-form proximal map.
    monotone : bool
        Keep the better of old and new image, Beck and Teboulle (2009b), sec. 3, MFISTA: at the cost of one
        projection in each iteration the objective never rises.
    restart : bool
        Drop the momentum where it points uphill, O'Donoghue and Candes (2015), sec. 3.2, for each batch
        element: near a well-conditioned minimum convergence then is linear.
    """

    monotone: bool = False
    restart: bool = False

    def steps(self, problem: Problem, step: ProximalStep, state: State) -> Iterator[State]:
        """Yield the iterates of the algorithm."""
        space, x = problem.operator.domain, state.get("unconstrained", lambda: state.x)
        z, t = state.get("z", lambda: x), state.get("t", lambda: torch.ones_like(space.norm(x)))
        memory = state.get("memory", lambda: step.start(x))
        least = state.get("least", lambda: torch.full_like(t, torch.inf))
        while True:
            p, memory = step(z, memory)  # 4.1
            x_old, x = x, p
            if self.monotone:
                image = step.image(p)
                objective = problem.negative_log_likelihood(image) + self.penalty(problem, image)
                # what rounding makes of the same objective is no worse
                better = objective <= least + 10 * torch.finfo(t.dtype).eps * objective.abs()
                x = torch.where(space.per_sample(better), p, x_old)
                least = torch.minimum(objective, least)
            if self.restart:
                uphill = space.inner(step.scaled(z - p, memory), p - x_old).real > 0
                t = torch.where(uphill, 1.0, t)
            optimality = _relative(problem, z - p, p)
            t_old, (t, beyond) = t, momentum(t)  # 4.2
            # 4.3; the last term is that of MFISTA, and else zero
            z = x + space.per_sample(beyond) * (x - x_old) + space.per_sample(t_old / t) * (p - x)
            yield State(
                x=step.image(x), optimality=optimality, unconstrained=x, z=z, t=t, memory=memory, least=least
            )


def _relative(problem: Problem, change: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    space = problem.operator.domain
    return space.norm(change) / space.norm(x).clamp(min=torch.finfo(x.dtype).tiny)


class ProximalStep(Protocol):
    """``x = prox(z - L^-1 grad f(z))``, with what one step hands to the next."""

    def start(self, x: torch.Tensor) -> list[Any]:
        """What the first step is handed."""

    def __call__(self, z: torch.Tensor, memory: list[Any]) -> tuple[torch.Tensor, list[Any]]:
        """The next image, and what to hand on."""

    def scaled(self, d: torch.Tensor, memory: list[Any]) -> torch.Tensor:
        """``L d``, the gradient map of a difference."""

    def image(self, x: torch.Tensor) -> torch.Tensor:
        """The image that an iterate stands for."""


class _ClosedForm:
    """With one number for L, that of the operator; nothing is handed on."""

    def __init__(self, problem: Problem, prior: Any) -> None:
        self.problem, self.prior = problem, prior

    def start(self, x: torch.Tensor) -> list[Any]:
        return [self.problem.lipschitz()]

    def __call__(self, z: torch.Tensor, memory: list[Any]) -> tuple[torch.Tensor, list[Any]]:
        step = self.problem.operator.domain.per_sample(1 / memory[0])
        return self.prior.prox(z - step * self.problem.gradient(z), step), memory

    def scaled(self, d: torch.Tensor, memory: list[Any]) -> torch.Tensor:
        return self.problem.operator.domain.per_sample(memory[0]) * d

    def image(self, x: torch.Tensor) -> torch.Tensor:
        return x


class _Backtracking(_ClosedForm):
    """With a number for L that is doubled until it suffices; it is handed on, and never falls."""

    #: From a bound below it, no curvature is further away.
    _DOUBLINGS = 100

    def start(self, x: torch.Tensor) -> list[Any]:
        # a function that is nowhere below zero has |grad f|^2 <= 2 L f; half of the misfit is one
        slope = self.problem.operator.domain.norm(self.problem.gradient(x)).square()
        bound = slope / self.problem.misfit(x)
        return [torch.where((bound > 0) & torch.isfinite(bound), bound, 1.0)]

    def __call__(self, z: torch.Tensor, memory: list[Any]) -> tuple[torch.Tensor, list[Any]]:
        problem, space = self.problem, self.problem.operator.domain
        L, slope, at_z = memory[0], problem.gradient(z), problem.negative_log_likelihood(z)
        rounding = 10 * torch.finfo(L.dtype).eps * at_z.abs()
        for _ in range(self._DOUBLINGS):
            step = space.per_sample(1 / L)
            x = self.prior.prox(z - step * slope, step)
            model = at_z + space.inner(slope, x - z).real + L / 2 * space.norm(x - z).square()
            enough = problem.negative_log_likelihood(x) <= model + rounding
            # what comes next depends on this trial: a GPU is waited for, once for each
            possible, suffices = torch.stack([torch.isfinite(at_z).all(), enough.all()]).tolist()
            if not possible:
                raise CapabilityError(
                    "Momentum has led to an image of which the data are impossible. Use ISTA with "
                    "backtracking."
                )
            if suffices:
                return x, [L]
            L = torch.where(enough, L, 2 * L)
        raise DivergenceError(
            "No step is short enough for the data term to fall. Is A.H, or the gradient of the noise model, "
            "the derivative? Check an operator of your own by invgen.testing.check_operator."
        )


class _InMetric:
    """With a matrix for L, the prior's map being found by iterations; these hand on their dual variables."""

    def __init__(self, problem: Problem, prior: Any, iterations: int) -> None:
        self._prox = MetricProx(problem, prior, iterations)
        self._functions = [g for _, g in prior.terms(problem.operator.domain)]

    def start(self, x: torch.Tensor) -> list[Any]:
        return self._prox.start()

    def __call__(self, z: torch.Tensor, memory: list[Any]) -> tuple[torch.Tensor, list[Any]]:
        return self._prox(self._prox.descend(z), memory, self._functions)

    def scaled(self, d: torch.Tensor, memory: list[Any]) -> torch.Tensor:
        return self._prox.space.filter(self._prox.curvature, d)

    def image(self, x: torch.Tensor) -> torch.Tensor:
        return constrained(x, zip(self._prox.maps, self._functions, strict=True))


#: Of the first step of `_Denoising`, what is left after about sixty.
_SLOW = 1 / 60


class _Denoising(_InMetric):
    """Where the Hessian is a number c: Chambolle and Pock (2011), algorithm 2, from the data's own image u.

    The step is the whole problem then, wherever it begins: its iterations go on from call to call,

        y_i' = prox_{sigma_i g_i*}(y_i + sigma_i K_i (x + theta (x - x_old)))
        x' = (x + c tau (u - sum K_i.H y_i' / c)) / (1 + c tau)
        theta = 1 / sqrt(1 + 2 c tau),   tau' = theta tau

    with ``tau = 1 / c`` at first and ``sigma_i = 1 / (n tau |K_i|^2)`` for n terms. Its steps become shorter
    and shorter, ``c tau`` by a sequence that is the same for all: once they have, the restarts of the other
    method converge faster.
    """

    def __init__(self, problem: Problem, prior: Any, iterations: int) -> None:
        super().__init__(problem, prior, iterations)
        self._iterations, self._maps = iterations, self._prox.maps
        self._u, self._c = self._prox.guess(), problem.lipschitz()
        self._squares = [len(self._maps) * K.norm() ** 2 for K in self._maps]

    def start(self, x: torch.Tensor) -> list[Any]:
        return [*super().start(x), self._u, self._u, 1 / self._c, 1.0]

    def __call__(self, z: torch.Tensor, memory: list[Any]) -> tuple[torch.Tensor, list[Any]]:
        *duals, x, ahead, tau, left = memory
        space, u = self._prox.space, self._u
        if left < _SLOW:
            x, duals = self._prox(u, duals, self._functions)
            return x, [*duals, x, x, tau, left]
        for _ in range(self._iterations):
            duals = [
                dual_step(K, g, y, K.range.per_sample(1 / (square * tau)), ahead)
                for K, g, y, square in zip(self._maps, self._functions, duals, self._squares, strict=True)
            ]
            slope = total(K.H(y) for K, y in zip(self._maps, duals, strict=True))
            target = torch.addcmul(u, slope, -1 / space.per_sample(self._c))
            share = space.per_sample(1 - 1 / (1 + self._c * tau)).to(x.dtype)
            x_old, x = x, torch.lerp(x, target, share)
            theta = (1 + 2 * self._c * tau).rsqrt()
            tau, left = theta * tau, left / math.sqrt(1 + 2 * left)
            ahead = torch.lerp(x_old, x, space.per_sample(1 + theta).to(x.dtype))
        return x, [*duals, x, ahead, tau, left]
