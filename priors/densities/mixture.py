"""Gaussian mixtures: density, samples, denoiser and posterior in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch

from invgen.core.checks import as_count
from invgen.core.errors import CapabilityError, DataError, DtypeError, ParameterError, ShapeError
from invgen.core.frozen import Constant, Frozen
from invgen.core.space import check_finite
from invgen.operators import Space
from invgen.priors.base import Denoising
from invgen.priors.densities.conditioning import condition
from invgen.priors.densities.covariances import Covariance, Dense, as_covariance
from invgen.priors.image_format import ImageFormat
from invgen.problem import Problem

__all__ = ["GaussianMixture"]

#: Numbers that one block of images, each next to each component, may take.
_BLOCK = 2**24

#: Samples that the noise range is found by, and the numbers in all of them together, at most.
_SAMPLES, _NUMBERS = 100, 2**26


class GaussianMixture(Denoising, Frozen):
    """A mixture of k Gaussian densities of images: ``p(x) = sum w_i N(x; m_i, C_i)``.

    Everything is in closed form, which makes it the ground truth for other priors and for samplers. With
    ``s = sigma^2``, noisy images x have the mixture of ``N(m_i, C_i + s)`` as their density; one is of
    component i with the probability ``r_i(x)``, and the denoiser is
    ``sum r_i (m_i + C_i (C_i + s)^-1 (x - m_i))``.

    Parameters
    ----------
    means : real or complex tensor, shape (k, *shape)
        Samples have its precision and device.
    covariances : tensor, number, or `invgen.priors.densities.covariances.Covariance`
        Variances of the shape of `means`; matrices ``(k, n, n)`` for n pixels; one variance; or `LowRank` and
        `Stationary` ones. For complex images those of the real and of the imaginary part, which are alike and
        independent (circular), ``E[n n.H] / 2``. A direction may have no variance; there is then no density
        without noise.
    weights : non-negative numbers, shape (k,), optional
        Divided by their sum; equal by default.

    Raises
    ------
    ShapeError, DtypeError, DataError, ParameterError
        Where the arguments do not describe a mixture.
    """

    def __init__(self, means: Any, covariances: Any, weights: Any = None) -> None:
        means = torch.as_tensor(means)
        if not (means.is_floating_point() or means.is_complex()):
            raise DtypeError(f"means are floating-point numbers; got {means.dtype}.")
        if means.ndim < 1 or not len(means):
            raise ShapeError(f"means have the shape (k, *image); got {tuple(means.shape)}.")
        check_finite(means, f"{type(self).__name__}'s means")
        k = len(means)
        weights = (
            torch.ones(k, dtype=torch.float64)
            if weights is None
            else torch.as_tensor(weights, dtype=torch.float64)
        )
        if weights.shape != (k,):
            raise ShapeError(f"{k} components need as many weights; got the shape {tuple(weights.shape)}.")
        if not (bool((weights >= 0).all()) and 0 < float(weights.sum()) < math.inf):
            raise ParameterError("weights must be finite, not negative, and not all zero.")
        self.space = Space(tuple(means.shape[1:]), "complex" if means.is_complex() else "real")
        self.covariances: Covariance = as_covariance(covariances, self.space, k)
        self._means, self._weights = Constant(means), Constant(weights / weights.sum())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.means)} x {self.space})"

    @property
    def means(self) -> torch.Tensor:
        """Means of the components, shape (k, *shape)."""
        return self._means.value

    @property
    def weights(self) -> torch.Tensor:
        """Probabilities of the components, float64, shape (k,)."""
        return self._weights.value

    @cached_property
    def image_format(self) -> ImageFormat:
        """Shape and field of the images, their standard deviation, and the noise levels of samplers.

        The standard deviation is exact. The noise levels are far below and far above the distance of a
        hundred samples from the mean.
        """
        return replace(self._images, noise_range=self._noise_range(), std=self._std() or None)

    @property
    def _images(self) -> ImageFormat:
        # without the noise range, for which samples are drawn
        return ImageFormat(self.space.shape, field=self.space.field)

    def _noise_range(self) -> tuple[float, float]:
        count = max(1, min(_SAMPLES, _NUMBERS // max(1, self.space.size)))
        away = (self.sample(count, seed=0) - self.mean()).reshape(count, -1)
        radius = float(torch.linalg.vector_norm(away, dim=1).max()) or 1.0
        return 1e-3 * radius / self.space.size**0.5, 10 * radius

    def _std(self) -> float:
        """Root mean of the pixels' variances: those within the components and that of their means."""
        away = (self.means - self.mean()).reshape(len(self.means), -1)
        between = torch.linalg.vector_norm(away, dim=1).double().square() / self._parts
        total = self.weights.to(between) @ (self.covariances.traces().to(between) + between)
        return math.sqrt(float(total) / self.space.size)

    @property
    def _parts(self) -> int:
        """Real numbers of a pixel."""
        return 2 if self.space.field == "complex" else 1

    def mean(self) -> torch.Tensor:
        """Mean of all images, shape (*shape)."""
        means = self.means
        return torch.tensordot(self.weights.to(means), means, dims=1)

    def covariance(self) -> torch.Tensor:
        """Covariance of all images as a matrix, float64, shape (n, n)."""
        m = (self.means - self.mean()).flatten(1)
        m = m.to(torch.promote_types(m.dtype, torch.float64))
        w, C = self.weights, self.covariances.matrices()
        within = torch.tensordot(w, C.real, dims=1) if not C.is_complex() else (w[:, None, None] * C).sum(0)
        return within + (w[:, None] * m).mT @ m.conj() / self._parts

    def log_prob(self, x: torch.Tensor, sigma: float | torch.Tensor | None = None) -> torch.Tensor:
        """Logarithm of the density, shape of the batch.

        Parameters
        ----------
        x : tensor, shape (*batch, *shape)
        sigma : positive number, or tensor of the batch's shape, optional
            The density is then that of noisy images ``x0 + sigma n``.

        Raises
        ------
        CapabilityError
            Where a component has no variance in some direction, and there is no noise.
        """
        self._check(x, "log_prob")
        if sigma is None and self.covariances.singular:
            raise CapabilityError(
                "A singular covariance has no density; give sigma for that of noisy images."
            )
        level = x.real.new_zeros((1,) * x.ndim) if sigma is None else self._level(sigma, x)
        return self._blockwise(lambda x, s: torch.logsumexp(self._log_components(x, s), -1), x, level)

    def value(self, x: torch.Tensor) -> torch.Tensor:
        """Minus the logarithm of the density: with it, minimizers are maxima of the posterior."""
        return -self.log_prob(x)

    def resolve(self, problem: Problem) -> GaussianMixture:
        """The prior itself: a density has no weight to be found."""
        return self

    def responsibilities(self, x: torch.Tensor, sigma: float | torch.Tensor) -> torch.Tensor:
        """Probability of each component given a noisy image, shape (*batch, k)."""
        self._check(x, "responsibilities")
        level = self._level(sigma, x)
        return self._blockwise(lambda x, s: torch.softmax(self._log_components(x, s), -1), x, level)

    def _denoise(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        def mean(x: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
            logs, t = self._components(x, s)
            return self._mixed(logs, self._means.like(x) + self.covariances.apply(t))

        return self._blockwise(mean, x, sigma)

    def score(self, x: torch.Tensor, sigma: float | torch.Tensor) -> torch.Tensor:
        """Gradient of the logarithm of the density of ``x0 + sigma n``: ``-sum r_i (C_i + s)^-1 (x - m_i)``.

        For complex images with respect to the real and to the imaginary part.
        """
        self._check(x, "score")
        # not by Tweedie's formula: for small sigma its difference cancels
        return self._blockwise(self._score, x, self._level(sigma, x))

    def sample(self, n: int, seed: int) -> torch.Tensor:
        """Draw n images, shape (n, *shape), the same on every device."""
        n = as_count(n, "n, the number of images,", least=0)
        generator, means = torch.Generator().manual_seed(seed), self.means
        which = torch.multinomial(self.weights.cpu(), max(n, 1), replacement=True, generator=generator)[:n]
        which = which.to(means.device)
        z = torch.randn(n, *self.space.shape, generator=generator, dtype=means.dtype)
        z = (z * self._parts**0.5).to(means.device)
        if self.covariances.count == 1:
            return means[which] + self.covariances.root(z[:, None])[:, 0]
        x = means[which]
        for i in which.unique().tolist():
            drawn = which == i
            x[drawn] += self.covariances.component(i).root(z[drawn][:, None])[:, 0]
        return x

    def posterior(self, problem: Problem) -> GaussianMixture:
        """The exact posterior of one measurement with Gaussian noise: again a mixture.

        By explicit matrices: of up to 4096 pixels.

        Raises
        ------
        CapabilityError
            Where the operator is not linear, the noise not Gaussian or unknown, or the matrices too large.
        ShapeError
            Where the problem has batch axes, or images of another shape.
        """
        means, covariances, log_evidence = condition(problem, self.means, self.covariances)
        weights = torch.softmax(torch.log(self.weights.to(log_evidence)) + log_evidence, 0)
        return self._conditioned(means, Dense(covariances, self.space), weights)

    def _conditioned(
        self, means: torch.Tensor, covariances: Covariance, weights: torch.Tensor
    ) -> GaussianMixture:
        return GaussianMixture(means, covariances, weights)

    @classmethod
    def fit(
        cls,
        data: torch.Tensor,
        components: int,
        covariance: str = "full",
        *,
        seed: int = 0,
        iterations: int = 100,
        tolerance: float = 1e-3,
        floor: float = 1e-6,
    ) -> GaussianMixture:
        """Fit a mixture to images by scikit-learn's expectation-maximization.

        Parameters
        ----------
        data : real tensor, shape (n, *shape)
        components : int
        covariance : {"full", "diag"}
        seed : int
        iterations, tolerance
            At most, and until the mean log-likelihood rises by less than the tolerance.
        floor : positive number
            Added to the variances, relative to that of the data.

        Raises
        ------
        ParameterError, ShapeError, DataError
            Where the data or the numbers do not fit.
        """
        from sklearn.mixture import GaussianMixture as EM

        if covariance not in ("full", "diag"):
            raise ParameterError(f"covariance is 'full' or 'diag'; got {covariance!r}.")
        components = as_count(components, "components")
        iterations = as_count(iterations, "iterations")
        if data.is_complex() or not data.is_floating_point():
            raise DtypeError(f"fit takes real images; got {data.dtype}.")
        check_finite(data, "fit")
        if data.ndim < 2 or components > len(data):
            raise ShapeError(
                f"fit needs images of the shape (n, *image), at least as many as components: {components}; "
                f"got {tuple(data.shape)}."
            )
        variance = float(data.double().var(0).mean())
        if not variance > 0:
            raise DataError("All images are alike: they have no variance.")
        rows = data.detach().cpu().double().flatten(1).numpy()
        em = EM(
            components,
            covariance_type=covariance,
            random_state=seed,
            max_iter=iterations,
            tol=tolerance,
            reg_covar=floor * variance,
        ).fit(rows)
        shape = (components, *data.shape[1:])
        covariances = torch.from_numpy(em.covariances_)
        return GaussianMixture(
            torch.from_numpy(em.means_).reshape(shape).to(data),
            covariances if covariance == "full" else covariances.reshape(shape),
            torch.from_numpy(em.weights_),
        )

    def _check(self, x: Any, who: str) -> None:
        self.space.check(x, f"{type(self).__name__}.{who}")

    def _components(self, x: torch.Tensor, sigma: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """``log w_i N(x; m_i, C_i + s)``, (b, k), and ``(C_i + s)^-1 (x - m_i)``, (b, k, *shape)."""
        space, s = self.space, sigma.square()[:, None]
        r = x[:, None] - self._means.like(x)
        t = self.covariances.solve(r, s)
        squares = space.inner(r, t).real
        logdet = self.covariances.logdet(s) + space.size * math.log(2 * math.pi)
        return torch.log(self._weights.like(x)) - squares / 2 - self._parts / 2 * logdet, t

    def _log_components(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """``log w_i N(x; m_i, C_i + s)``, shape (b, k)."""
        return self._components(x, sigma)[0]

    def _score(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return -self._mixed(*self._components(x, sigma))

    def _mixed(self, logs: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """Average over the components, by their probabilities."""
        return (self.space.per_sample(torch.softmax(logs, -1)) * images).sum(1)

    @property
    def _at_once(self) -> int:
        """Images of a block."""
        return max(1, _BLOCK // (len(self.means) * max(1, self.space.size)))

    def _blockwise(
        self,
        function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        x: torch.Tensor,
        sigma: torch.Tensor,
    ) -> torch.Tensor:
        """Apply to a flat batch, in blocks that fit into memory."""
        flat, batch = self.space.flatten(x)
        sigma = sigma.expand(*batch, *(1,) * len(self.space.shape)).reshape(-1, *(1,) * len(self.space.shape))
        blocks = zip(flat.split(self._at_once), sigma.split(self._at_once), strict=True)
        parts = [function(*block) for block in blocks]
        result = torch.cat(parts)
        return result.reshape(batch + result.shape[1:])
