"""How far particles can be relied on, by their ancestors and by two populations."""

from __future__ import annotations

import torch
from torch import Tensor

from invgen.solvers.particles.crowd import POPULATIONS
from invgen.solvers.particles.weights import log_mean

__all__ = ["doubts", "reliability"]

#: Fewer independent particles than these say nothing; of samples they are at least half.
_INDEPENDENT = 10

#: Fewest effective particles on the way.
_LOWEST = 10

#: Largest difference of two populations: of the means in standard errors, of the evidence in its logarithm.
_STANDARD_ERRORS = 4.0
_EVIDENCE = 1.0


def reliability(x: Tensor, log_weights: Tensor, ancestors: Tensor) -> dict[str, float]:
    """What the particles are worth; see `ParticleSampler`.

    With W_a the weight of all who descend from a, the variance of a weighted mean of f is estimated by
    ``sum_a (sum_{i of a} w_i (f_i - mean))^2``, as by Chan and Lai (2013), and of constant weights
    their effective number is ``1 / sum_a W_a^2``.

    Parameters
    ----------
    x : tensor, shape (count, *image)
    log_weights, ancestors : tensor, shape (count,)
    """
    count = len(x)
    rows = (torch.view_as_real(x) if x.is_complex() else x).reshape(POPULATIONS, count // POPULATIONS, -1)
    logs = log_weights.reshape(POPULATIONS, -1)
    own = torch.softmax(logs, -1)
    means = torch.einsum("pn,pni->pi", own, rows.double())
    moved = (own[..., None] * (rows - means[:, None])).reshape(count, -1)
    families = moved.new_zeros(count, moved.shape[1]).index_add_(0, ancestors, moved)
    squares = families.square().sum()
    shares = torch.zeros_like(log_weights).index_add_(0, ancestors, torch.softmax(log_weights, 0))
    evidence = log_mean(logs)
    tiny = torch.finfo(squares.dtype).tiny
    return {
        "distinct_ancestors": len(ancestors.unique()),
        "independent_particles": float(1 / shares.square().sum()),
        "disagreement": float((means[0] - means[1]).norm() / squares.clamp(min=tiny).sqrt()),
        "evidence_disagreement": float((evidence[0] - evidence[1]).abs()),
        "log_evidence": float(log_mean(log_weights)),
    }


def doubts(found: dict[str, Tensor], samples: int) -> str | None:
    """What speaks against the samples, of those of the batch for which most does; None where nothing does."""
    independent = float(found["independent_particles"].min())
    lowest = float(found["lowest_effective_particles"].min())
    apart, evidence = (float(found[name].max()) for name in ("disagreement", "evidence_disagreement"))
    needed = max(_INDEPENDENT, samples / 2)
    said = []
    if not independent >= needed:
        said.append(f"{samples} samples were drawn from {independent:.0f} independent particles")
    if not lowest >= _LOWEST:
        said.append(f"{lowest:.0f} particles carried all the weight on the way")
    if not apart <= _STANDARD_ERRORS:
        said.append(f"the means of two populations are {apart:.2g} standard errors apart")
    if not evidence <= _EVIDENCE:
        said.append(f"the evidence of two populations differs by a factor of e^{evidence:.2g}")
    return " and ".join(said) or None
