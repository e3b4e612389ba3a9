"""The alternating direction method of multipliers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass

import torch

from invgen.convex.splitting import constrained, joint_norm, ratio_of, total
from invgen.core.errors import ParameterError
from invgen.core.krylov import conjugate_gradients
from invgen.operators import Identity, LinearOperator
from invgen.priors.base import Composite, require
from invgen.problem import Problem
from invgen.solvers.base import Solver
from invgen.solvers.state import State

__all__ = ["ADMM"]

#: What a correction of the image leaves of its residual: with a tenth of it ADMM takes as many iterations.
_INNER = 0.1

#: Iterations of conjugate gradients at most, in each of ADMM's.
_STEPS = 50


@dataclass(frozen=True)
class ADMM(Solver):
    """Alternating direction method of multipliers, Boyd et al. (2011), eqs. 3.2 to 3.4.

    Minimises ``-log p(y | A x) + sum g_i(z_i)`` with ``z_i = K_i x``, for Gaussian or unknown noise and a
    composite prior, such as total variation with a constraint:

        (A.H W A + rho sum K_i.H K_i) x' = A.H W y + sum K_i.H (rho z_i - u_i)
        v_i = relaxation K_i x' + (1 - relaxation) z_i
        z_i' = prox_{g_i / rho}(v_i + u_i / rho)
        u_i' = u_i + rho (v_i - z_i')

    The first is solved in closed form where the operator has one and all K are isometries, else by conjugate
    gradients from the image before, preconditioned in Fourier space where the operator has a `spectrum`.

    Parameters
    ----------
    prior : Composite
    iterations, tolerance
        Stops where both residuals of sec. 3.3 are below the tolerance: ``K x - z`` relative to ``K x`` or z,
        and ``rho K.H (z' - z)`` relative to the data term's gradient at zero.
    relaxation : float
        In (0, 2); sec. 3.4.3 recommends 1.5 to 1.8.

    Notes
    -----
    rho starts at a tenth of the data term's curvature over that of the penalty, and is corrected so that both
    relative residuals are alike (sec. 3.4.1, as Wohlberg 2017 normalises them), for each batch element: after
    iterations 1, 2, 4, 8 and so on, more and more rarely, so that it converges as with a fixed one.
    """

    prior: Composite
    _: KW_ONLY
    iterations: int = 300
    tolerance: float = 1e-4
    relaxation: float = 1.6

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.prior, self.name, Composite)
        if not 0 < self.relaxation < 2:
            raise ParameterError(f"relaxation is between 0 and 2; got {self.relaxation}.")

    def prepare(self, problem: Problem) -> _System:
        """The linear system of the image."""
        return _System(problem, [K for K, _ in self.prior.terms(problem.operator.domain)])

    def steps(self, problem: Problem, system: _System, state: State) -> Iterator[State]:
        """Yield the iterates of the algorithm."""
        space, maps = problem.operator.domain, system.maps
        terms = self.prior.terms(space)
        size = space.norm(problem.backprojection)
        x = state.get("unconstrained", lambda: state.x)
        zs = state.get("zs", lambda: [K(x) for K in maps])
        us = state.get("us", lambda: [torch.zeros_like(z) for z in zs])
        rho, k = state.get("rho", lambda: system.balance), state.get("k", lambda: 0)
        while True:
            rhos = [K.range.per_sample(rho) for K in maps]
            pull = total(K.H(r * z - u) for K, z, u, r in zip(maps, zs, us, rhos, strict=True))
            x = system.solve(problem.backprojection + pull, rho, x)
            zs_old, images = zs, [K(x) for K in maps]
            relaxed = [
                self.relaxation * image + (1 - self.relaxation) * z
                for image, z in zip(images, zs, strict=True)
            ]
            zs = [g.prox(v + u / r, 1 / r) for (_, g), v, u, r in zip(terms, relaxed, us, rhos, strict=True)]
            us = [u + r * (v - z) for u, v, z, r in zip(us, relaxed, zs, rhos, strict=True)]
            apart = joint_norm(maps, [image - z for image, z in zip(images, zs, strict=True)])
            primal = ratio_of(apart, torch.maximum(joint_norm(maps, images), joint_norm(maps, zs)))
            moved = total(K.H(r * (z - z_old)) for K, r, z, z_old in zip(maps, rhos, zs, zs_old, strict=True))
            k += 1
            if k & (k - 1) == 0:
                force = space.norm(total(K.H(u) for K, u in zip(maps, us, strict=True)))
                ratio = (ratio_of(primal, ratio_of(space.norm(moved), force))).sqrt()
                rho = torch.where(ratio > 0, rho * ratio.clamp(0.1, 10), rho)
            yield State(
                x=constrained(x, terms),
                optimality=torch.maximum(primal, ratio_of(space.norm(moved), size)),
                unconstrained=x,
                zs=zs,
                us=us,
                rho=rho,
                k=k,
            )


class _System:
    """``(A.H W A + rho sum K.H K) x = b``, W being the noise's inverse covariance."""

    def __init__(self, problem: Problem, maps: list[LinearOperator]) -> None:
        self._problem, self.maps, self._space = problem, maps, problem.operator.domain
        like = problem.zeros()
        self._squares = sum(K.norm() ** 2 for K in maps)
        #: A first rho, shape of the batch.
        self.balance = 0.1 * problem.lipschitz() / self._squares
        self._mean = problem.mean_weight.clamp(min=torch.finfo(like.dtype).tiny)
        self._spectra: tuple[torch.Tensor, torch.Tensor] | None = None
        isometries = all(isinstance(K.gram, Identity) for K in maps)
        spectrum = problem.linear_operator.spectrum
        if spectrum is not None and not (isometries and problem.linear_operator.has_closed_form_solve):
            penalties = (
                self._space.half(K.spectrum.like(like)) if K.spectrum else like.real.new_tensor(K.norm() ** 2)
                for K in maps
            )
            self._spectra = self._space.half(spectrum.like(like)), total(penalties)

    def solve(self, b: torch.Tensor, rho: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Correct `x` by conjugate gradients."""
        problem, r = self._problem, self._space.per_sample(rho)

        def normal(v: torch.Tensor) -> torch.Tensor:
            return problem.normal(v) + r * total(K.gram(v) for K in self.maps)

        return x + conjugate_gradients(
            normal,
            b - normal(x),
            self._space,
            precondition=self._preconditioner(rho),
            tolerance=_INNER,
            iterations=_STEPS,
        )

    def _preconditioner(self, rho: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor] | None:
        """The inverse, exactly so where it has a closed form and all measurements have one weight."""
        A, mean = self._problem.linear_operator, self._space.per_sample(self._mean)
        if self._spectra is not None:
            data, penalty = self._spectra
            inverse = 1 / (mean * (data + 1e-2 * data.max()) + self._space.per_sample(rho) * penalty)
            return lambda r: self._space.filter(inverse, r)
        if A.has_closed_form_solve:
            return lambda r: A.solve(r, rho * self._squares / self._mean) / mean
        return None
