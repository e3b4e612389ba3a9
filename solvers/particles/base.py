"""What the methods that move many weighted particles share."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from invgen.core.draws import Draws
from invgen.core.errors import SamplingWarning
from invgen.problem import Problem
from invgen.reconstruction import Reconstruction
from invgen.solvers.diffusion.base import DiffusionSolver
from invgen.solvers.particles.crowd import POPULATIONS, Cloud, Crowd, elements
from invgen.solvers.particles.reliability import doubts, reliability
from invgen.solvers.run import Run
from invgen.solvers.state import State

__all__ = ["ParticleSampler"]


@dataclass(frozen=True, kw_only=True)
class ParticleSampler(DiffusionSolver):
    """Base of the samplers by sequential Monte Carlo; a subclass gives `data_step`, `begun` and `moved`.

    Many particles go down the noise levels together; weights correct what their steps do wrong, and where few
    carry the weight they are drawn anew (systematic resampling). The samples are drawn from the last ones.

    They are two populations, each of which draws anew from itself alone, so that what they disagree in is an
    estimate of the error. This and more is in the statistics, one number for each batch element:

    - ``effective_particles``, at each level, shape (levels, *batch), ``lowest_effective_particles``;
    - ``distinct_ancestors``, how many particles of the first level the last ones descend from, and
      ``independent_particles``, the effective number of these: about what the samples are worth, as all who
      descend from one share its fate (Lee and Whiteley 2018);
    - ``disagreement`` of the means of the two populations, in standard errors by these ancestors, and
      ``evidence_disagreement``, the difference of the logarithms of their evidence.

    Where they say that the samples cannot be relied on, a `SamplingWarning` says so, and what to do. What all
    particles miss, no number shows.

    Parameters
    ----------
    prior : Denoiser
    iterations : int
        Noise levels.
    particles : int
        Their number, an even one, at least that of the samples; each costs as much as a sample of other
        methods. The samples of one call are drawn from the same ones, so that they all follow from its seed
        together: sample i is not that of the seed plus i.
    chunk_size : int, optional
        Number of particles that the denoiser sees at a time.
    scale, sigma_range
        See `DiffusionSolver`.

    Warns
    -----
    SamplingWarning
    """

    iterations: int = 100
    particles: int = 64

    memory: ClassVar[int] = 2**18
    together: ClassVar[bool] = True
    counts: ClassVar[dict[str, int]] = {"particles": 2}

    #: What to do about samples that cannot be relied on.
    remedies: ClassVar[str]

    #: What there is of particles at a level.
    kind: ClassVar[Any] = Cloud

    def data_step(self, problem: Problem) -> Any:
        """What some particles need of the data, of a problem with one batch axis."""
        raise NotImplementedError

    def begun(self, crowd: Crowd, cloud: Any, sigma: float, draws: Draws) -> Any:
        """The particles at the first level, of noise alone, as `kind`."""
        return cloud

    def moved(
        self, crowd: Crowd, cloud: Any, high: float, low: float, draws: Draws
    ) -> tuple[Any, Tensor, Tensor]:
        """From one noise level to the next, or to zero.

        Returns
        -------
        kind
        tensor, shape (count, *image)
            Images that stand for the particles.
        scalar tensor
            Least effective number of particles on the way, before they were drawn anew.
        """
        raise NotImplementedError

    def prepare(self, problem: Problem) -> list[Crowd]:
        """The particles of each batch element, which do not depend on those of others."""
        count = -(-max(self.particles, problem.batch_shape[0]) // POPULATIONS) * POPULATIONS
        size = problem.operator.domain.size
        each = min(count, self.chunk_size or max(1, self.memory // max(1, size)))
        return [Crowd(one, count, each, self.data_step) for one in elements(problem.element(0))]

    def steps(self, problem: Problem, crowds: list[Crowd], state: State) -> Iterator[State]:
        """Anneal the noise level."""
        levels, first = self.levels(), state.get("k", lambda: 0)
        samples, device, space = problem.batch_shape[0], state.x.device, problem.operator.domain
        rows = state["draws"] if first else state["draws"][:1].expand(len(crowds), -1)
        streams = [Draws(row[None], device=device) for row in rows]
        if first:
            parts = zip(*(state[name] for name in self.kind._fields), strict=True)
            clouds = [self.kind(*part) for part in parts]
            effective = state["effective"]
        else:
            starts = space.flatten(state.x[0])[0]
            clouds = [
                self.begun(crowd, crowd.start(x, levels[0], draws), levels[0], draws)
                for crowd, x, draws in zip(crowds, starts, streams, strict=True)
            ]
            batch = problem.batch_shape[1:]
            effective = torch.full((0, *batch), 0.0, dtype=torch.float64, device=device)
        for k in range(first, self.iterations):
            images, numbers = [], []
            for i, (crowd, draws) in enumerate(zip(crowds, streams, strict=True)):
                clouds[i], seen, number = self.moved(crowd, clouds[i], levels[k], levels[k + 1], draws)
                numbers.append(number)
                images.append(crowd.samples(seen, clouds[i].log_weights, samples, draws))
            here = torch.stack(numbers).reshape(1, *effective.shape[1:])
            effective = torch.cat([effective, here])
            yield State(
                x=torch.stack(images, 1).reshape(problem.zeros().shape),
                k=k + 1,
                draws=torch.cat([draws.state for draws in streams]),
                effective=effective,
                **{
                    name: torch.stack(parts)
                    for name, parts in zip(self.kind._fields, zip(*clouds, strict=True), strict=True)
                },
            )

    def collected(self, problem: Problem, runs: list[Run], samples: int, seed: int) -> Reconstruction:
        """The samples and how far they can be relied on, with a warning where they cannot."""
        result, end = super().collected(problem, runs, samples, seed), runs[0].state
        clouds = zip(end["noisy"], end["log_weights"], end["ancestors"], strict=True)
        rows = [reliability(*cloud) for cloud in clouds]
        effective = end["effective"]
        found = {
            name: torch.tensor([row[name] for row in rows], dtype=torch.float64).reshape(effective.shape[1:])
            for name in rows[0]
        }
        found["lowest_effective_particles"] = effective.amin(0)
        if not self.knows_evidence(problem):
            found.pop("log_evidence")
        if (doubt := doubts(found, samples)) is not None:
            warnings.warn(f"{self.name}: {doubt}; {self.remedies}.", SamplingWarning, stacklevel=3)
        stats = {"particles": end["log_weights"].shape[1], "effective_particles": effective, **found}
        return replace(result, stats=result.stats | stats)

    def knows_evidence(self, problem: Problem) -> bool:
        """Whether the mean of the weights is an estimate of the evidence, and not only of its ratios."""
        return False

    def diagnostics(self, ends: list[State]) -> dict[str, Any]:
        """The cost of each sample, on average over the batch."""
        evaluations = ends[0]["evaluations"].double().mean()
        return {"network_evaluations": float(evaluations) * ends[0]["log_weights"].shape[1] / len(ends[0].x)}
