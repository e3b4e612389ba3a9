"""Images between two: along a path of a generator's latent variables."""

from __future__ import annotations

import torch
from torch import Tensor

from invgen.core.checks import as_count
from invgen.core.errors import ParameterError, ShapeError
from invgen.priors.base import Generator, require

__all__ = ["interpolate"]

#: Sine of the angle below which the two latent variables have the same direction, or opposite ones.
_SAME = 1e-6


def interpolate(
    generator: Generator, z0: Tensor, z1: Tensor, steps: int = 8, *, spherical: bool = True
) -> Tensor:
    """Images of latent variables that lead from one to another.

    With t from 0 to 1 and the angle w of the two, ``z = (sin((1 - t) w) z0 + sin(t w) z1) / sin(w)``: the arc
    of a great circle (Shoemake 1985; of generators, White 2016). Its points are as far from the
    origin as Gaussian latent variables are; those of the straight line are nearer, where few images were
    learned from.

    >>> z = torch.randn(2, 5, *generator.latent_shape)
    >>> rows = ig.figures.interpolate(generator, z[0], z[1], steps=10)
    >>> ig.figures.save_grid(rows.flatten(0, 1), "interpolations.png", columns=10)

    Parameters
    ----------
    generator : Generator
    z0, z1 : tensors, shape (*batch, *latent_shape)
    steps : int
        Images, both ends among them.
    spherical : bool
        Whether the path is the arc, or the straight line.

    Returns
    -------
    tensor, shape (*batch, steps, *image)

    Raises
    ------
    CapabilityError
        Where the prior is no generator.
    ShapeError
        If the latent variables are not the generator's, or the shapes differ.
    ParameterError
        If `steps` is below two, or no arc is the shortest: for opposite directions.
    """
    require(generator, "interpolate", Generator)
    steps, latent = as_count(steps, "steps", least=2), tuple(generator.latent_shape)
    axes = len(latent)
    if z0.shape != z1.shape or tuple(z0.shape[z0.ndim - axes :]) != latent:
        raise ShapeError(
            f"interpolate expects two tensors of latent variables (..., {', '.join(map(str, latent))}); got "
            f"{tuple(z0.shape)} and {tuple(z1.shape)}."
        )
    batch = z0.shape[: z0.ndim - axes]
    a, b = (z.reshape(*batch, 1, -1) for z in (z0, z1))
    t = torch.linspace(0, 1, steps, dtype=z0.dtype, device=z0.device)[:, None]
    path = _arc(a, b, t) if spherical else (1 - t) * a + t * b
    with torch.no_grad():
        return generator.decode(path.reshape(*batch, steps, *latent))


def _arc(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Points of the great circle from a to b; of the line where both have the same direction."""
    cosine = torch.nn.functional.cosine_similarity(a, b, dim=-1)[..., None].clamp(-1, 1)
    angle = cosine.acos()
    sine = angle.sin()
    if bool(((sine < _SAME) & (cosine < 0)).any()):
        raise ParameterError("The latent variables are opposite: there is no shortest arc between them.")
    same = sine < _SAME
    safe = torch.where(same, torch.ones_like(sine), sine)
    first = torch.where(same, 1 - t, ((1 - t) * angle).sin() / safe)
    return first * a + torch.where(same, t, (t * angle).sin() / safe) * b
