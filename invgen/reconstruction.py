"""The result of a solver."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from invgen.core.errors import CapabilityError, ParameterError, ShapeError
from invgen.core.files import atomic_hdf5
from invgen.core.moments import moments

__all__ = ["Reconstruction"]


@dataclass(frozen=True)
class Reconstruction:
    """An estimate, how certain it is, and how it came about.

    Attributes
    ----------
    x : tensor, shape (*batch, *image)
        The estimate; the mean where there are samples.
    samples : tensor, shape (n, *batch, *image), or None
    std : tensor, shape (*batch, *image), or None
        Standard deviation of the samples; of complex ones that of their distance from the mean.
    history : dict of tensors
        "iteration", and for each recorded iteration "objective" and "residual", shape (records, *batch);
        "change", the relative change of the image in each iteration, and "optimality", what the solver's
        tolerance was compared with, shape (iterations, *batch).
    stats : dict
        "solver", "iterations", "converged", "operator_calls", "seconds", "peak_memory" (bytes) and what
        else the solver reports, such as the weight that "auto" was resolved to.
    antithetic : bool
        Whether samples 2k and 2k + 1 are antithetic pairs, which are independent of one another.
    """

    x: torch.Tensor
    samples: torch.Tensor | None = None
    std: torch.Tensor | None = None
    history: dict[str, torch.Tensor] = field(default_factory=dict)
    stats: dict[str, Any] = field(default_factory=dict)
    antithetic: bool = False

    def quantile(self, q: float) -> torch.Tensor:
        """Quantile of the samples at each pixel, of their modulus where they are complex.

        Of n samples the smallest is at ``1 / (n + 1)`` and the largest at ``n / (n + 1)``, so that a truth of
        the same distribution lies below with probability q (Hyndman and Fan 1996, definition 6). Of
        antithetic pairs that are exactly symmetric the k-th is at ``k / (n + 2)`` up to the middle: that
        makes less than ``1 / (2 n)``, and at the smallest ``1 / n^2``.

        Parameters
        ----------
        q : number from ``1 / (n + 1)`` to ``n / (n + 1)``

        Returns
        -------
        tensor, shape (*batch, *image)

        Raises
        ------
        CapabilityError
            Without samples.
        ParameterError
            When there are too few samples to estimate that quantile.
        """
        drawn = self._drawn().sort(0).values
        place = q * (len(drawn) + 1)
        if not 1 <= place <= len(drawn):
            need = math.ceil(max(1 / q, 1 / (1 - q)) - 1 - 1e-9) if 0 < q < 1 else "infinitely many"
            raise ParameterError(f"The quantile {q} takes {need} samples; there are {len(drawn)}.")
        below = min(math.floor(place), len(drawn) - 1)
        return torch.lerp(drawn[below - 1], drawn[below], place - below)

    def interval(self, level: float = 0.9) -> tuple[torch.Tensor, torch.Tensor]:
        """Ends of the central credible interval at each pixel, of the modulus where samples are complex.

        With enough samples, 19 for 90 percent, the ends are quantiles. With fewer, the interval contains
        another sample with that probability if the samples are Gaussian: ``mean +- t std sqrt(1 + 1/n)``, t
        the quantile of Student's distribution; of antithetic pairs with the variance of their mean for
        ``std^2 / n``, and degrees of freedom after Satterthwaite (1946), whatever the two of a pair have in
        common (of a single pair exact symmetry is assumed, which moduli near zero do not have).

        Parameters
        ----------
        level : number between 0 and 1
        """
        if not 0 < level < 1:
            raise ParameterError(f"level is a probability, such as 0.9; got {level}.")
        drawn, tail = self._drawn(), (1 - level) / 2
        n = len(drawn)
        if tail * (n + 1) >= 1 - 1e-9:
            tail = max(tail, 1 / (n + 1))
            return self.quantile(tail), self.quantile(1 - tail)
        if n < 2:
            raise CapabilityError("An interval takes at least two samples: solver(problem, samples=8).")
        from scipy.special import stdtrit

        found = moments(drawn, self.antithetic)
        t = torch.as_tensor(stdtrit(found.freedom.double().cpu().numpy(), 1 - tail)).to(drawn)
        half = t * (found.variance + found.of_mean).sqrt()
        return found.mean - half, found.mean + half

    def coverage(
        self, truth: torch.Tensor, level: float = 0.9, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Fraction of the pixels whose truth lies in the credible interval: `level` if it is right.

        Parameters
        ----------
        truth : tensor, shape (*batch, *image)
            Its modulus counts where the samples are complex.
        level : number between 0 and 1
        mask : bool tensor that broadcasts to the truth, optional
            Pixels that count.

        Returns
        -------
        scalar tensor, over all pixels of all images
        """
        low, high = self.interval(level)
        if truth.shape != low.shape:
            raise ShapeError(f"truth has the shape {tuple(low.shape)}; got {tuple(truth.shape)}.")
        truth = truth.abs() if self.x.is_complex() else truth
        inside = (low <= truth) & (truth <= high)
        counted = torch.ones_like(inside) if mask is None else mask.expand(inside.shape)
        return inside[counted].double().mean()

    def _drawn(self) -> torch.Tensor:
        """The samples, as real numbers."""
        if self.samples is None:
            raise CapabilityError(
                "There are no samples: use a posterior sampler, such as solvers.DDS(prior)."
            )
        return self.samples.abs() if self.samples.is_complex() else self.samples

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to an HDF5 file, beside and renamed, so that `path` is never half a file."""
        with atomic_hdf5(Path(path)) as file:
            for name in ("x", "samples", "std"):
                if (value := getattr(self, name)) is not None:
                    file[name] = value.cpu().numpy()
            for name, values in self.history.items():
                file[f"history/{name}"] = values.cpu().numpy()
            file.attrs["antithetic"] = self.antithetic
            file.attrs["stats"] = json.dumps(self.stats, default=_plain)

    def __repr__(self) -> str:
        keys = ("solver", "iterations", "seconds")
        stats = ", ".join(f"{key}={self.stats[key]}" for key in keys if key in self.stats)
        return f"Reconstruction(x={tuple(self.x.shape)}, {stats})"


def _plain(value: Any) -> Any:
    """Encode what JSON cannot: tensors become lists, anything else its text."""
    return value.tolist() if isinstance(value, torch.Tensor) else str(value)
