"""Diagnostics of chains against closed forms: independent draws, autoregressions, chains that stand apart."""

import math

import pytest
import torch

import invgen as ig
from invgen.chains import effective_sample_size, r_hat


def independent(chains, draws, *shape, seed=0):
    return torch.randn(
        chains, draws, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


def autoregression(phi, chains=4, draws=4000, pixels=10):
    """``x_t = phi x_(t-1) + sqrt(1 - phi^2) n``, which has unit variance and the autocorrelations phi^t."""
    x = independent(chains, draws, pixels)
    for t in range(1, draws):
        x[:, t] = phi * x[:, t - 1] + math.sqrt(1 - phi**2) * x[:, t]
    return x


@pytest.mark.parametrize("phi", [-0.5, 0.0, 0.5, 0.9])
def test_an_autoregression_is_worth_its_closed_form(phi):
    chains = autoregression(phi)
    time = (1 + phi) / (1 - phi)
    found = effective_sample_size(chains)
    # estimates of one pixel have a relative error of 0.1 to 0.2, their mean over ten of some percent
    assert float(found.mean()) == pytest.approx(16000 / time, rel=0.1)
    # distances from the median decorrelate as phi^2 does; halves of chains estimate the mean with the
    # variance time / 2000, of which R-hat has one half
    slow = max(time, (1 + phi**2) / (1 - phi**2))
    assert float((r_hat(chains) - 1).abs().mean()) < 2 * slow / 2000 / 2


def test_independent_draws_have_mixed():
    chains = independent(4, 500, 3, 5)
    # the ratio of variances is known to some part in the number of draws
    assert r_hat(chains).shape == (3, 5)
    assert bool(((r_hat(chains) - 1).abs() < 0.02).all())


def test_chains_with_different_means_are_detected_by_the_variance_of_these():
    m, n, apart = 4, 500, 1.0
    chains = independent(m, n, 10)
    chains = chains + apart * torch.arange(m, dtype=torch.float64)[:, None, None]
    # unit variance within; together also that of the halves' means, twice 0, 1, 2, 3
    between = torch.arange(m, dtype=torch.float64).repeat(2).var()
    # rank normalization changes that little
    assert float(r_hat(chains).mean()) == pytest.approx(math.sqrt(1 + float(between)), rel=0.1)


def test_a_drift_is_seen_in_one_chain():
    drift = torch.linspace(-2, 2, 1000, dtype=torch.float64)[None, :, None]
    assert float(r_hat(independent(1, 1000, 1) + drift)) > 1.5


def test_chains_that_differ_in_width_alone_are_detected_by_the_distance_from_the_median():
    chains = independent(4, 2000, 1) * torch.tensor([1.0, 1.0, 1.0, 3.0]).reshape(4, 1, 1)
    assert float(r_hat(chains)) > 1.05


def test_ranks_take_heavy_tails():
    """Ranks of Cauchy draws, which have no variance, are distributed as those of any others."""
    chains = torch.tan(math.pi * (torch.special.ndtr(independent(4, 1000, 1)) - 0.5))
    assert float(r_hat(chains)) == pytest.approx(float(r_hat(independent(4, 1000, 1))), abs=1e-9)


def test_what_does_not_vary_has_mixed_unless_chains_differ():
    same, apart = torch.ones(3, 10, 2), torch.ones(3, 10, 2)
    apart[1] = 2
    assert r_hat(same).tolist() == [1, 1]
    assert effective_sample_size(same).tolist() == [30, 30]
    assert r_hat(apart).tolist() == [math.inf, math.inf]


def test_of_complex_chains_the_worse_part_counts():
    real, imaginary = autoregression(0.9, 2, 500, 3), independent(2, 500, 3, seed=1)
    both = torch.complex(real, imaginary)
    worse = torch.minimum(effective_sample_size(real), effective_sample_size(imaginary))
    torch.testing.assert_close(effective_sample_size(both), worse)
    torch.testing.assert_close(r_hat(both), torch.maximum(r_hat(real), r_hat(imaginary)))


def test_an_odd_number_of_draws_leaves_out_the_one_in_the_middle():
    chains = independent(2, 101, 1)
    without = torch.cat([chains[:, :50], chains[:, 51:]], 1)
    assert torch.equal(r_hat(chains), r_hat(without))


@pytest.mark.parametrize("diagnostic", [r_hat, effective_sample_size])
def test_what_is_no_chain_is_refused(diagnostic):
    with pytest.raises(ig.errors.ShapeError, match="four draws"):
        diagnostic(torch.zeros(3, 3, 2))
    with pytest.raises(ig.errors.ShapeError, match="chains, draws"):
        diagnostic(torch.zeros(8))
    with pytest.raises(ig.errors.DtypeError, match="list"):
        diagnostic([[1.0, 2.0]])
    with pytest.raises(ig.errors.DtypeError, match="int64"):
        diagnostic(torch.zeros(2, 8, 3, dtype=torch.int64))
    with pytest.raises(ig.errors.DataError, match="diverged"):
        diagnostic(torch.full((2, 8, 3), float("nan")))
