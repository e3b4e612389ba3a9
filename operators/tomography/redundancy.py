"""Weights of the rays of a plane, where some lines are measured twice and others once."""

from __future__ import annotations

import math

import torch

from invgen.operators.tomography.geometry import PlanarGeometry, angular_weights, missing_wedges

__all__ = ["ray_weights"]


def ray_weights(geometry: PlanarGeometry, beyond_disc: bool = False) -> torch.Tensor:
    """Quadrature weights of the rays of parallel beams or a fan over all lines, float64 (views, detector).

    The line of view angle t and fan angle g, at u on the detector, is seen again from ``t + pi - 2 g`` at
    ``-u``; g is zero for parallel beams. With a smooth function c that falls to zero at both ends of each arc
    of views, a ray's share is ``c / (c + c')``, c' being the other's (Noo, Defrise, Clackdoyle and Kudo
    2002): one half on a full turn; on a short scan the smooth transition that Parker (1982) and Silver (2000)
    ask for; one where there is no other. The share is multiplied by the angular distance of the views.

    Parameters
    ----------
    geometry : ParallelBeam or FanGeometry
    beyond_disc : bool
        Whether the object reaches beyond the disc that every view sees: where the detector sees more on one
        side than on the other, by more than a bin, c then falls to zero at its nearer edge too, after Wang
        (2002).
    """
    u = geometry.bins()
    g = geometry.fan_angles(u)
    arcs = _arcs(geometry.angles)
    first, last = geometry.ends.tolist()
    widest = float(geometry.fan_angles(geometry.ends).abs().max())
    reach = min(-first, last)
    half_fan = beyond_disc and abs(geometry.detector_offset) > geometry.detector_spacing

    def smooth(t: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        c = torch.full(torch.broadcast_shapes(t.shape, u.shape), 0.0 if arcs else 1.0, dtype=torch.float64)
        for start, arc in arcs:
            width = arc / 2
            if len(arcs) == 1:  # the longest arc of a ray's views that can have partners
                width = min(max(arc - math.pi + 2 * widest, 0.0), width)
            place = (t - start) % (2 * math.pi)
            c = c + _rise((torch.minimum(place, arc - place) / max(width, 1e-9)).clamp(min=0))
        if half_fan:
            near = -u if -first < last else u  # grows towards the nearer edge
            c = c * _rise(((reach - near) / (2 * reach)).clamp(min=0))
        return c

    t = geometry.angles[:, None]
    own, other = smooth(t, u), smooth(t + math.pi - 2 * g, -u)
    total = own + other
    share = torch.where(total > 0, own / total.clamp(min=1e-300), 1.0)
    return share * angular_weights(geometry.angles, 2 * math.pi)[:, None]


def _rise(x: torch.Tensor) -> torch.Tensor:
    return torch.sin(x.clamp(max=1) * (math.pi / 2)) ** 2


def _arcs(angles: torch.Tensor) -> list[tuple[float, float]]:
    """Beginning and length of each arc of views, half a step beyond its first and its last one.

    An empty list where views go all around.
    """
    t = (angles % (2 * math.pi)).sort().values
    _, usual, missing = missing_wedges(angles, 2 * math.pi)
    ends = missing.nonzero().squeeze(1)
    starts = t[(ends.roll(1) + 1) % len(t)]
    lengths = (t[ends] - starts) % (2 * math.pi) + usual
    return list(zip((starts - usual / 2).tolist(), lengths.tolist(), strict=True))
