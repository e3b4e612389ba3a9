"""Weights of particles, and what they are worth."""

import math

import torch

from invgen.solvers.particles.reliability import doubts, reliability
from invgen.solvers.particles.weights import effective_number, log_mean, systematic


def test_systematic_resampling_keeps_whole_shares():
    """Each particle is drawn n w times, rounded up or down; Douc, Cappe and Moulines (2005), sec. 2.4."""
    log_weights = torch.randn(3, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    index = systematic(log_weights, 50, torch.full((3,), 0.3, dtype=torch.float64))
    shares = 50 * torch.softmax(log_weights, -1)
    for i in range(3):
        counts = torch.bincount(index[i], minlength=7)
        assert bool(((counts - shares[i]).abs() < 1).all())


def test_the_effective_number_of_equal_weights_is_all_of_them():
    assert torch.allclose(effective_number(torch.zeros(2, 9).double()), torch.tensor(9.0).double())
    one = torch.tensor([0.0, -math.inf, -math.inf]).double()
    assert effective_number(one) == 1


def test_the_logarithm_of_the_mean_of_weights_too_small_for_numbers():
    log_weights = torch.tensor([-2000.0, -2000.0 + math.log(3)], dtype=torch.float64)
    assert math.isclose(float(log_mean(log_weights)), -2000 + math.log(2), rel_tol=1e-12)


def test_the_error_of_families_is_that_of_as_many_independent_particles():
    """Two populations of 50 families of 10 that are alike, of a Gaussian: 100 independent particles."""
    generator, ratios = torch.Generator().manual_seed(0), []
    for _ in range(200):
        x = torch.randn(100, 3, generator=generator, dtype=torch.float64).repeat_interleave(10, 0)
        ancestors = torch.arange(1000) // 10 * 10
        found = reliability(x, torch.zeros(1000).double(), ancestors)
        assert found["distinct_ancestors"] == 100
        assert math.isclose(found["independent_particles"], 100, rel_tol=1e-9)
        ratios.append(found["disagreement"] ** 2)
    # the square of the difference of two means over its estimated variance: one on average
    assert abs(sum(ratios) / len(ratios) - 1) < 4 * (2 / 3 / len(ratios)) ** 0.5


def test_what_is_doubted():
    well = {
        "independent_particles": torch.tensor([400.0, 300.0]),
        "lowest_effective_particles": torch.tensor([200.0, 100.0]),
        "disagreement": torch.tensor([1.0, 2.0]),
        "evidence_disagreement": torch.tensor([0.1, 0.1]),
    }
    assert doubts(well, 500) is None
    assert "700 samples were drawn from 300 independent" in doubts(well, 700)  # of the worst of the batch
    for name, value in (
        ("independent_particles", 5.0),
        ("lowest_effective_particles", 2.0),
        ("disagreement", 9.0),
        ("evidence_disagreement", 3.0),
        ("disagreement", math.nan),
    ):
        assert doubts(well | {name: torch.tensor([value])}, 8) is not None
