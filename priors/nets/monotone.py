"""A network whose output rises with its input: conditional distribution functions."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invgen.core.checks import as_count

__all__ = ["MonotoneCDF"]

#: Standard deviations from the mean beyond which coordinates condition others no more.
_REACH = 4.0


class MonotoneCDF(nn.Module):
    """Distribution function of each coordinate of a point, given the coordinates before it.

    One hidden layer of sigmoids, ``F(y) = sum w_k sigmoid(a_k (y - b_k))`` with positive slopes a and
    positive weights w that sum to one: F rises from zero to one whatever the parameters are (cf. Sill 1998),
    and its derivative is known. For the first coordinate w, a and b are parameters; for each other they are
    the output of a network of the coordinates before it.

    Parameters
    ----------
    dimensions : int
        Number D of coordinates.
    hidden : int
        Number of sigmoids of each coordinate.
    width : int
        Width of the two hidden layers of the networks that condition.
    """

    center: Tensor
    scale: Tensor

    def __init__(self, dimensions: int, hidden: int = 6, width: int = 64) -> None:
        super().__init__()
        dimensions, hidden = as_count(dimensions, "dimensions"), as_count(hidden, "hidden")
        width = as_count(width, "width")
        #: The arguments that build it again.
        self.config = {"dimensions": dimensions, "hidden": hidden, "width": width}
        # of the data, whose coordinates the network sees with mean zero and standard deviation one
        self.register_buffer("center", torch.zeros(dimensions))
        self.register_buffer("scale", torch.ones(dimensions))
        # sigmoids side by side, each as wide as the logistic of standard deviation 1/2
        start = torch.stack(
            [
                torch.zeros(hidden),
                torch.linspace(-1.5, 1.5, hidden),
                torch.full((hidden,), math.log(2 * math.pi / math.sqrt(3))),
            ]
        )
        self.first = nn.Parameter(start.clone())
        self.others = nn.ModuleList(_conditioner(d, width, start) for d in range(1, dimensions))

    def forward(self, points: Tensor, values: Tensor) -> Tensor:
        """Distribution functions of the coordinates of values.

        Parameters
        ----------
        points : tensor, shape (N, D)
            Each coordinate's function is that given the coordinates of `points` before it.
        values : tensor, shape (N, T, D)

        Returns
        -------
        tensor, shape (N, T, D)
        """
        found = []
        for d in range(points.shape[1]):
            log_weights, centers, log_slopes = self.sigmoids(points, d)
            z = (values[..., d, None] - centers[:, None]) * log_slopes.exp()[:, None]
            found.append((log_weights.exp()[:, None] * torch.sigmoid(z)).sum(-1))
        return torch.stack(found, -1)

    def sigmoids(self, points: Tensor, coordinate: int) -> tuple[Tensor, Tensor, Tensor]:
        """Logarithms of the weights, centers, and logarithms of the slopes, shape (N, hidden) each.

        In the units of the points, of which the coordinates before `coordinate` are used.
        """
        if coordinate == 0:
            raw = self.first.expand(len(points), *self.first.shape)
        else:
            before = (points - self.center) / self.scale
            # beyond a few standard deviations conditions saturate: slopes must not grow without a bound
            before = _REACH * torch.tanh(before[:, :coordinate] / _REACH)
            raw = self.others[coordinate - 1](before).unflatten(-1, self.first.shape)
        weights, centers, log_slopes = raw.unbind(-2)
        center, scale = self.center[coordinate], self.scale[coordinate]
        return F.log_softmax(weights, -1), center + scale * centers, log_slopes - torch.log(scale)


def _conditioner(inputs: int, width: int, start: Tensor) -> nn.Sequential:
    """A network of two hidden layers that gives `start` for all inputs, before it is trained."""
    network = nn.Sequential(
        nn.Linear(inputs, width),
        nn.SiLU(),
        nn.Linear(width, width),
        nn.SiLU(),
        nn.Linear(width, start.numel()),
    )
    last = cast(nn.Linear, network[-1])
    nn.init.zeros_(last.weight)
    with torch.no_grad():
        last.bias.copy_(start.flatten())
    return network
