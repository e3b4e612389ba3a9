"""Small classifiers of digits, which attacks are made on."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import invgen as ig
from invgen.plausibility.attacks import Classify

__all__ = ["classifiers"]


def classifiers(weights: Path | None) -> dict[str, Classify]:
    """The package's own, and a published LeNet-5 where its file is there."""
    found: dict[str, Classify] = {"digit-features": ig.metrics.digit_features().classify}
    if weights is not None:
        found["LeNet-5"] = _lenet(weights)
    return found


def _lenet(path: Path) -> Classify:
    """LeCun et al. (1998), as of gan-vae-pretrained-pytorch; it sees digits resized to 32 x 32 pixels."""
    network = nn.Sequential(
        *(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 120, 5), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
    )
    # in the order of the layers
    published = torch.load(path, weights_only=True)
    network.load_state_dict(dict(zip(network.state_dict(), published.values(), strict=True)))
    network.requires_grad_(False)

    def classify(x: Tensor) -> Tensor:
        return network(F.interpolate(x[:, None], (32, 32), mode="bilinear", align_corners=False))

    return classify
