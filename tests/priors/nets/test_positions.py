"""Positions as Fourier features."""

import math

import torch

from invgen.priors.nets.positions import CHANNELS, fourier_features, positions


def test_features_are_positions_and_their_waves():
    places = positions(5, 9, torch.empty(0, dtype=torch.float64))
    features = fourier_features(places)
    assert features.shape == (CHANNELS, 5, 9)
    assert torch.equal(features[:2], places)
    rates = (math.pi / 2, math.pi, 2 * math.pi)
    waves = [each(rate * places) for each in (torch.sin, torch.cos) for rate in rates]
    assert torch.allclose(features[2:], torch.cat(waves), atol=1e-12)
    batch = torch.stack([places, -places])
    assert torch.equal(fourier_features(batch)[0], features)


def test_no_two_pixels_have_the_same_features():
    features = fourier_features(positions(16, 12, torch.empty(0, dtype=torch.float64))).flatten(1).mT
    distances = torch.cdist(features, features).fill_diagonal_(math.inf)
    assert float(distances.min()) > 0.1
