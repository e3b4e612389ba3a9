"""A problem: what was measured, through which operator, with which noise."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch

from invgen.core.disk import zeros
from invgen.core.errors import CapabilityError, DtypeError
from invgen.core.frozen import Frozen
from invgen.core.krylov import largest_eigenvalue
from invgen.core.space import Data, check_finite
from invgen.noise import Noise, Unknown
from invgen.operators import LinearOperator, Map, Operator, ProductSpace
from invgen.operators.linear import Gram

__all__ = ["Problem"]

#: What to do about a measurement that is not finite.
_MASK = (
    "Where nothing was measured give any number, such as zero, and an infinite std: "
    "noise.Gaussian(std) with std=inf there; or repair the data."
)


class Problem(Frozen):
    """``measurement = noise(operator(image))``, to be solved for the image.

    Parameters
    ----------
    operator : Operator
    measurement : tensor, shape (*batch, *operator.range.shape)
        Values where the operator observes nothing are not counted as data: zeros take their place.
    noise : Noise, optional
        None where it is unknown; the data term is then ``|A x - y|^2 / 2``.

    Raises
    ------
    ShapeError, DtypeError, DataError
        Where the measurement does not fit the operator, or holds NaN or Inf; on a GPU these are looked for by
        solvers, when they are called.
    """

    def __init__(self, operator: Operator, measurement: Any, noise: Noise | None = None) -> None:
        if not isinstance(operator, Operator):
            raise DtypeError(
                f"Problem expects an operator first; got {type(operator).__name__}. "
                "Wrap a matrix by MatrixOperator, functions by FunctionOperator."
            )
        if noise is not None and not isinstance(noise, Noise):
            raise DtypeError(f"noise is a model such as noise.Gaussian(std); got {type(noise).__name__}.")
        operator.range.check(measurement, "Problem's measurement", _MASK)
        if noise is not None and isinstance(operator.range, ProductSpace):
            raise CapabilityError("Noise models need a single measurement; stack operators of equal ranges.")
        if noise is not None:
            noise.check(measurement)
        self.operator = operator
        self.measurement = measurement
        if self.observed is not None:
            self.measurement = torch.where(self.observed, measurement, 0)
        self.noise = noise
        #: The noise as a model, also where it is unknown.
        self.likelihood: Noise = Unknown() if noise is None else noise

    @property
    def batch_shape(self) -> torch.Size:
        """Leading axes of the measurement."""
        return self.operator.range.batch_shape(self.measurement)

    @property
    def linear_operator(self) -> LinearOperator:
        """The operator, for methods that need a linear one."""
        if not isinstance(self.operator, LinearOperator):
            raise CapabilityError(f"This method needs a linear operator; {self.operator.name} is not linear.")
        return self.operator

    @property
    def is_least_squares(self) -> bool:
        """Whether the data term is a quadratic: of a linear operator, with Gaussian or unknown noise."""
        return isinstance(self.operator, LinearOperator) and self.likelihood.quadratic

    @property
    def observed(self) -> torch.Tensor | None:
        """`Operator.observed`, on the measurement's device."""
        return None if self.operator.observing is None else self.operator.observing.like(self.measurement)

    @property
    def _first(self) -> torch.Tensor:
        return self.measurement[0] if isinstance(self.operator.range, ProductSpace) else self.measurement

    def check_values(self) -> None:
        """Raise where a measurement on a GPU holds NaN or Inf: solvers look once, before they begin."""
        space, y = self.operator.range, self.measurement
        pairs = zip(space.spaces, y, strict=True) if isinstance(space, ProductSpace) else ((space, y),)
        for each, part in pairs:
            if part.is_cuda:
                check_finite(part, "Problem's measurement", each.names, remedy=_MASK, waits=True)

    def zeros(self) -> torch.Tensor:
        """An image of zeros for each batch element, on the measurement's device and in its precision."""
        y, space = self._first, self.operator.domain
        dtype = y.dtype.to_real() if space.field == "real" else y.dtype.to_real().to_complex()
        return zeros((*self.batch_shape, *space.shape), dtype, y)

    @cached_property
    def probe(self) -> torch.Tensor:
        """A random image, the same for each batch element: where estimates of spectra start."""
        like = self.zeros()
        return self.operator.domain.random_like(like, seed=0).expand(like.shape)

    @cached_property
    def uniform_weight(self) -> float | torch.Tensor | None:
        """``1 / std^2`` where it is one number for each batch element: the data term runs on the gram."""
        if isinstance(self.operator.range, ProductSpace):  # whose noise is unknown
            return 1.0
        w = self.likelihood.weights(self.operator.range.axes)
        if w is None or w.ndim == 0:
            return None if w is None else float(w)
        return w.to(self._first.device, self._first.dtype.to_real()).expand(self.batch_shape)

    @cached_property
    def mean_weight(self) -> torch.Tensor:
        """Mean of the noise's weights, as a random image sees them: spectra and closed forms are without."""
        A, space, like, w = self.linear_operator, self.operator.domain, self.zeros(), self.uniform_weight
        if w is not None:
            w = torch.as_tensor(w, dtype=like.dtype.to_real(), device=like.device)
            return w.expand(self.batch_shape)
        v = self.probe
        weighted, plain = (space.inner(v, normal(v)).real for normal in (self.normal, A.gram))
        return torch.where(plain > 0, weighted / plain, 0)  # nothing is measured by an operator that is zero

    def _weighted(self, w: float | torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return self.operator.domain.per_sample(w) * x

    @cached_property
    def backprojection(self) -> torch.Tensor:
        """``A.H W y``: the data, as the gradient needs them."""
        return self.backprojected(self.measurement)

    def backprojected(self, y: torch.Tensor) -> torch.Tensor:
        """``A.H W y`` of any measurement, W the inverse covariance of the noise."""
        A, w = self.linear_operator, self.uniform_weight
        if w is not None:
            return self._weighted(w, A.H(y))
        return A.H(self.likelihood.precision(y))

    def normal(self, x: torch.Tensor) -> torch.Tensor:
        """``A.H W A x``: the Hessian of a Gaussian data term."""
        A, w = self.linear_operator, self.uniform_weight
        if w is not None:
            return self._weighted(w, A.gram(x))
        return A.H(self.likelihood.precision(A(x)))

    def majorant(self, x: torch.Tensor) -> torch.Tensor:
        """A constant map that is never below the Hessian of the data term, applied to `x`.

        For Gaussian noise the Hessian itself; for clipped noise ``A.H A / std^2``; for transmission
        ``I0 A.H A``, valid where line integrals are not negative.
        """
        if self.likelihood.quadratic:
            return self.normal(x)
        if self.likelihood.largest_curvature is not None:
            return self.likelihood.largest_curvature * self.linear_operator.gram(x)
        raise CapabilityError(
            f"{self.likelihood.name} noise has unbounded curvature, so that no step size is safe: "
            "use a method made for it, or describe the data by Gaussian weights."
        )

    def gradient(self, x: torch.Tensor) -> torch.Tensor:
        """Gradient of the negative log-likelihood at `x`, through ``A.gram`` where the noise is uniform."""
        if self.is_least_squares:
            return self.normal(x) - self.backprojection
        return self.operator.vjp(x, self.likelihood.gradient(self.operator(x), self.measurement))

    def value_and_gradient(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`negative_log_likelihood` and `gradient` at `x`, which share a projection where they can.

        Where the value is not finite, the gradient is zero, and where a number was neither seen nor expected,
        what it adds.
        """
        if self.is_least_squares and not isinstance(self.linear_operator.gram, Gram):
            return self.negative_log_likelihood(x), self.gradient(x)
        prediction, y, space = self.operator(x), self.measurement, self.operator.range
        value = self.likelihood.negative_log_likelihood(prediction, y, space.axes, self.observed)
        slope = self.likelihood.gradient(prediction, y)
        known = space.per_sample(value.isfinite()) & slope.isfinite()
        return value, self.operator.vjp(x, torch.where(known, slope, 0))

    def fit(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Negative log-likelihood and residual norm ``|A x - y|``, A x being what the noise model expects.

        Both have the shape of the batch, and share the one projection that they cost.
        """
        return self._fit(self.operator(x))

    def fit_of_zeros(self) -> tuple[torch.Tensor, torch.Tensor]:
        """`fit` of an image of zeros, which a linear operator need not project."""
        zeros = self.zeros()
        if not isinstance(self.operator, LinearOperator):
            return self.fit(zeros)
        return self._fit(self.operator.range.zeros(self.batch_shape, zeros))

    def _fit(self, prediction: Data) -> tuple[torch.Tensor, torch.Tensor]:
        y, space, w, observed = self.measurement, self.operator.range, self.uniform_weight, None
        if isinstance(space, ProductSpace):
            difference: Data = tuple(p - q for p, q in zip(prediction, y, strict=True))
        else:
            difference, observed = self.likelihood.expected(prediction) - y, self.observed
        residual = space.norm(difference if observed is None else torch.where(observed, difference, 0))
        if w is not None:
            return (w**0.5 * residual) ** 2 / 2, residual
        return self.likelihood.negative_log_likelihood(prediction, y, space.axes, observed), residual

    def negative_log_likelihood(self, x: torch.Tensor) -> torch.Tensor:
        """Data term at `x`, shape of the batch."""
        return self.fit(x)[0]

    def residual_norm(self, x: torch.Tensor) -> torch.Tensor:
        """``|A x - y|``, for transmission data of the counts, shape of the batch."""
        return self.fit(x)[1]

    def misfit(self, x: torch.Tensor) -> torch.Tensor:
        """Deviance of the prediction, shape of the batch: for Gaussian noise ``|A x - y|^2 / std^2``."""
        if not self.likelihood.level_known:
            return self.residual_norm(x) ** 2
        prediction, axes = self.operator(x), self.operator.range.axes
        return self.likelihood.deviance(prediction, self.measurement, axes, self.observed)

    def count(self) -> torch.Tensor:
        """The number of real numbers that were measured, float64, shape of the batch."""
        y, space = self.measurement, self.operator.range
        if isinstance(space, ProductSpace):
            sizes = (part.size * (2 if part.field == "complex" else 1) for part in space.spaces)
            count: torch.Tensor | float = float(sum(sizes))
        else:
            count = self.likelihood.count(y, space.axes, self.observed)
        return torch.as_tensor(count, dtype=torch.float64, device=self._first.device).expand(self.batch_shape)

    def expected_misfit(self) -> torch.Tensor | None:
        """Expectation of `misfit` at the truth, shape of the batch; None where the noise is not known."""
        return self._expected_misfit

    @cached_property
    def _expected_misfit(self) -> torch.Tensor | None:
        if self.likelihood.level_known:
            return self.count()
        std = self.operator.estimate_noise(self.measurement)
        return None if std is None else self.count() * std.double() ** 2

    @cached_property
    def _curvature_bound(self) -> torch.Tensor:
        A, w = self.linear_operator, self.uniform_weight
        if w is not None:
            return torch.as_tensor(w, dtype=torch.float64) * A.norm_bound() ** 2
        # the largest Ritz value comes from below; the margin covers what is still to come at 1e-4
        return largest_eigenvalue(self.majorant, self.probe, A.domain, tolerance=1e-4) * 1.001

    def lipschitz(self) -> torch.Tensor:
        """Lipschitz constant of `gradient`, shape of the batch, in the measurement's precision."""
        bound = self._curvature_bound.to(self._first.device, self._first.dtype.to_real())
        return bound.expand(self.batch_shape)

    def repeated(self, n: int) -> Problem:
        """The same problem n times, on a new first axis: for n samples of its posterior."""

        def again(y: torch.Tensor) -> torch.Tensor:
            return y.expand(n, *y.shape)

        y = self.measurement
        return Problem(self.operator, tuple(map(again, y)) if isinstance(y, tuple) else again(y), self.noise)

    def scaled(self, factor: float | torch.Tensor) -> Problem:
        """The same problem for `factor` times the image: data and noise level go along.

        Learned priors have a value range; this is the one place where a problem is brought into it.

        Parameters
        ----------
        factor : positive number, or tensor with one for each batch element
            Of the latter kind for Gaussian noise that is given by its standard deviation.
        """
        numbers = torch.as_tensor(factor)
        if not bool((torch.isfinite(numbers) & (numbers > 0)).all()):
            raise CapabilityError(f"scaled needs a positive factor; got {factor}.")
        if numbers.ndim:
            return self._each_scaled(numbers)
        factor, A = float(factor), self.linear_operator
        if not self.likelihood.scalable:  # the operator undoes the scale
            return Problem(A * (1 / factor), self.measurement, self.noise)
        y = self.measurement
        y = tuple(factor * part for part in y) if isinstance(A.range, ProductSpace) else factor * y
        return Problem(A, y, None if self.noise is None else self.noise.scaled(factor))

    def _each_scaled(self, factors: torch.Tensor) -> Problem:
        space = self.operator.range
        if isinstance(space, ProductSpace) or factors.shape != self.batch_shape:
            raise CapabilityError(
                "One scale for each batch element has the shape of the batch of a single measurement, here "
                f"{tuple(self.batch_shape)}; got {tuple(factors.shape)}. Give one number, as scale=..., for "
                "all."
            )
        each = space.per_sample(factors.to(self._first.device, self._first.dtype.to_real()))
        noise = None if self.noise is None else self.noise.scaled_each(each)
        return Problem(self.linear_operator, each * self.measurement, noise)

    def through(self, generator: Any) -> Problem:
        """The problem in the latent variables of a generator, of the operator ``A @ decode``.

        Solvers that take operators which are not linear then optimise or sample latent variables;
        ``generator.decode`` maps what they find to images.

        Parameters
        ----------
        generator : invgen.priors.Generator
            With ``decode(z)`` and ``latent_shape``; its images are those of the operator's domain.

        Raises
        ------
        CapabilityError
            Where it has no ``decode`` and ``latent_shape``.
        """
        if not (callable(getattr(generator, "decode", None)) and hasattr(generator, "latent_shape")):
            raise CapabilityError(
                f"A generator has decode(z) and latent_shape; {type(generator).__name__} has not. Compose "
                "with a network of your own: Problem(A @ operators.Map(network, latent_shape, A.domain), y)."
            )
        decode = Map(generator.decode, generator.latent_shape, self.operator.domain)
        return Problem(self.operator @ decode, self.measurement, self.noise)

    def element(self, index: int) -> Problem:
        """The problem of one element along the first batch axis."""
        y = self.measurement
        if isinstance(y, tuple):
            return Problem(self.operator, tuple(part[index] for part in y), self.noise)
        noise = None if self.noise is None else self.noise.element(index, y.ndim)
        return Problem(self.operator, y[index], noise)

    def __repr__(self) -> str:
        return f"Problem({self.operator}, batch {tuple(self.batch_shape)}, {self.likelihood.name} noise)"
