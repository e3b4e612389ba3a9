"""Distances of distributions against closed forms, and what covers what."""

import math

import pytest
import torch

from invgen.core.errors import DataError, DtypeError, ParameterError, ShapeError
from invgen.metrics import frechet_distance, memorization, precision_recall


def normal(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def with_moments(mean, covariance, n=400, seed=0):
    """Points whose mean and covariance are exactly these."""
    x = normal(n, len(mean), seed)
    x = x - x.mean(0)
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(torch.cov(x.T)), x.T, upper=False)
    return (torch.linalg.cholesky(covariance) @ white).T + mean


def covariance(d, seed):
    a = normal(d, d, seed)
    return a @ a.T + 0.1 * torch.eye(d, dtype=torch.float64)


def test_frechet_distance_of_independent_coordinates():
    """Of variances s^2 and t^2: the sum of (s - t)^2, and the distance of the means."""
    s, t = torch.tensor([1.0, 2.0, 0.5]).double(), torch.tensor([3.0, 0.1, 0.5]).double()
    mean = torch.tensor([1.0, -2.0, 0.0]).double()
    a = with_moments(torch.zeros(3).double(), torch.diag(s**2))
    b = with_moments(mean, torch.diag(t**2), seed=1)
    expected = float((s - t).square().sum() + mean.square().sum())
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-10)


def test_frechet_distance_of_two_gaussians_in_the_plane():
    """The trace of the root of a 2 x 2 matrix M is sqrt(tr M + 2 sqrt(det M))."""
    c, e = covariance(2, 3), covariance(2, 4)
    a, b = with_moments(torch.zeros(2).double(), c), with_moments(torch.zeros(2).double(), e, n=90, seed=1)
    product = c @ e
    root = math.sqrt(float(product.trace()) + 2 * math.sqrt(float(torch.linalg.det(product))))
    assert frechet_distance(a, b) == pytest.approx(float(c.trace() + e.trace()) - 2 * root, rel=1e-9)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-10)


def test_a_shift_adds_its_square_and_rotations_change_nothing():
    a, b = normal(50, 6), 2 * normal(70, 6, seed=1)
    shift = torch.tensor([3.0, 0, 0, 4, 0, 0]).double()
    assert frechet_distance(a, a + shift) == pytest.approx(25, rel=1e-10)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-10)
    rotation = torch.linalg.qr(normal(6, 6, seed=2)).Q
    assert frechet_distance(a @ rotation, b @ rotation) == pytest.approx(frechet_distance(a, b), rel=1e-9)


def test_fewer_images_than_features_are_no_obstacle():
    a = normal(5, 40)
    assert frechet_distance(a, a + 1) == pytest.approx(40, rel=1e-9)


def test_sets_of_one_distribution_are_the_nearer_the_larger_they_are():
    found = [frechet_distance(normal(n, 16), normal(n, 16, seed=1)) for n in (40, 400, 4000)]
    assert found[0] > 5 * found[1] > 25 * found[2] > 0


def test_features_are_of_images():
    images = normal(30, 16).reshape(30, 4, 4)
    found = frechet_distance(images, 2 * images, lambda x: x.mean((1, 2))[:, None])
    means = images.mean((1, 2))
    assert found == pytest.approx(float(means.std() ** 2 + means.mean() ** 2), rel=1e-10)


def test_samples_that_are_the_images_are_precise_and_complete():
    x = normal(200, 5)
    found = precision_recall(x, x)
    assert (found.precision, found.recall) == (1, 1)


def test_samples_elsewhere_are_neither():
    x = normal(200, 5)
    found = precision_recall(x, x + 100)
    assert (found.precision, found.recall) == (0, 0)


def test_half_of_the_modes_is_precise_and_half_of_the_recall():
    near, far = normal(200, 2), normal(200, 2, seed=1) + 100
    real = torch.cat([near, far])
    dropped = precision_recall(real, normal(400, 2, seed=2))
    assert dropped.precision > 0.95
    assert dropped.recall == pytest.approx(0.5, abs=0.02)
    invented = precision_recall(near, torch.cat([near, far]))
    assert invented.precision == pytest.approx(0.5, abs=0.02)
    assert invented.recall == 1


def test_balls_reach_to_the_kth_neighbor():
    real = torch.tensor([[0.0], [1.0], [3.0], [6.0]])
    # with k = 1 the radii are 1, 1, 2 and 3, and cover -1 to 9; with k = 2 also -3 to 0
    generated = torch.tensor([[-2.0], [-0.5], [8.5], [9.5]])
    assert precision_recall(real, generated, k=1).precision == 0.5
    assert precision_recall(real, generated, k=2).precision == 1


class TestMemorization:
    learned, held_out = normal(2000, 6), normal(500, 6, seed=1)

    def test_copies_are_found(self):
        copies = self.learned[:500] + 1e-3 * normal(500, 6, seed=2)
        found = memorization(copies, self.learned, self.held_out)
        assert found.z < -20
        assert found.p_value < 1e-10
        assert found.share == 1
        assert found.ratio < 0.01

    def test_fresh_samples_are_not(self):
        found = memorization(normal(500, 6, seed=3), self.learned, self.held_out)
        assert abs(found.z) < 3
        assert found.p_value > 1e-3
        assert found.expected_share == 0.8
        assert abs(found.share - 0.8) < 4 * math.sqrt(0.8 * 0.2 / 500)
        assert found.ratio == pytest.approx(1, abs=0.1)

    def test_copies_among_others_are_found(self):
        mixed = torch.cat([normal(350, 6, seed=3), self.learned[:150]])
        found = memorization(mixed, self.learned, self.held_out)
        assert found.z < -3
        assert found.share > 0.8 + 2 * math.sqrt(0.8 * 0.2 / 500)

    def test_smooth_samples_are_near_to_all_images_and_not_to_the_learned_ones(self):
        found = memorization(0.5 * normal(500, 6, seed=3), self.learned, self.held_out)
        assert found.z < -5
        assert abs(found.share - 0.8) < 4 * math.sqrt(0.8 * 0.2 / 500)

    def test_under_equal_distributions_z_is_standard_normal(self):
        z = torch.tensor(
            [memorization(*(normal(60, 2, seed=3 * i + j) for j in range(3))).z for i in range(400)]
        )
        assert abs(float(z.mean())) < 4 / math.sqrt(400)
        # the learned images are shared by both, and their distances still exchangeable
        assert float(z.std()) == pytest.approx(1, abs=4 / math.sqrt(800))

    def test_ranks_with_ties_are_those_of_scipy(self):
        from scipy.stats import mannwhitneyu

        generator = torch.Generator().manual_seed(0)
        learned = torch.zeros(1, 1)
        samples = torch.randint(1, 9, (80, 1), generator=generator).double()
        held_out = torch.randint(2, 9, (60, 1), generator=generator).double()
        expected = mannwhitneyu(
            samples.flatten(), held_out.flatten(), alternative="less", use_continuity=False
        )
        found = memorization(samples, learned, held_out)
        assert found.p_value == pytest.approx(float(expected.pvalue), rel=1e-6)
        assert memorization(torch.ones(9, 1), learned, torch.ones(9, 1)).z == 0


def test_what_cannot_be_compared_is_refused():
    x = normal(20, 4)
    with pytest.raises(ShapeError, match="one shape"):
        frechet_distance(x, x[:, :3])
    with pytest.raises(ShapeError, match="at least 2"):
        frechet_distance(x[:1], x)
    with pytest.raises(DataError, match="samples"):
        memorization(x / 0, x, x)
    with pytest.raises(DtypeError, match="real"):
        frechet_distance(x, x.to(torch.complex128))
    with pytest.raises(DtypeError, match="list"):
        frechet_distance([1.0], x)
    with pytest.raises(ShapeError, match="more than 3"):
        precision_recall(x, x[:3])
    with pytest.raises(ParameterError, match="k is a whole number"):
        precision_recall(x, x, k=0)
