"""Paths of latent variables."""

import math

import pytest
import torch

import invgen as ig
from invgen import figures
from invgen.core.errors import CapabilityError, ParameterError, ShapeError


class Generator:
    """Images that are their latent variables."""

    latent_shape = (2, 3)

    def decode(self, z):
        return 10 * z

    def latent_log_prob(self, z):
        return -z.square().sum((-2, -1)) / 2


def ends(*batch):
    return torch.randn(2, *batch, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_the_arc_leads_from_one_to_the_other_at_equal_angles_and_lengths():
    z0, z1 = ends(4)
    z1 = z1 * (z0.flatten(1).norm(dim=1) / z1.flatten(1).norm(dim=1))[:, None, None]
    path = figures.interpolate(Generator(), z0, z1, 6) / 10
    assert path.shape == (4, 6, 2, 3)
    torch.testing.assert_close(path[:, 0], z0)
    torch.testing.assert_close(path[:, -1], z1)
    flat = path.flatten(2)
    lengths = flat.norm(dim=2)
    torch.testing.assert_close(lengths, lengths[:, :1].expand(4, 6))
    cosines = (flat[:, 1:] * flat[:, :-1]).sum(2) / lengths[:, 1:] ** 2
    torch.testing.assert_close(cosines, cosines[:, :1].expand(4, 5))


def test_the_line_has_its_middle_in_the_middle():
    z0, z1 = ends()
    path = figures.interpolate(Generator(), z0, z1, 3, spherical=False)
    torch.testing.assert_close(path[1], 5 * (z0 + z1))


def test_equal_directions_make_a_line_and_opposite_ones_no_arc():
    z0, _ = ends()
    path = figures.interpolate(Generator(), z0, 3 * z0, 3)
    torch.testing.assert_close(path[1], 20 * z0)
    with pytest.raises(ParameterError, match="opposite"):
        figures.interpolate(Generator(), z0, -z0, 3)


def test_right_angles_turn_evenly():
    z0, z1 = torch.zeros(2, 2, 3)
    z0[0, 0], z1[1, 2] = 1, 1
    middle = figures.interpolate(Generator(), z0, z1, 3)[1]
    torch.testing.assert_close(middle, 10 * math.sqrt(0.5) * (z0 + z1))


def test_rows_of_a_grid(tmp_path):
    rows = figures.interpolate(Generator(), *ends(2), 5)
    figures.save_grid(rows.flatten(0, 1), tmp_path / "grid.png", columns=5)
    assert (tmp_path / "grid.png").stat().st_size


def test_what_is_no_path_is_refused():
    z0, z1 = ends()
    with pytest.raises(CapabilityError, match="decode"):
        figures.interpolate(ig.priors.TotalVariation(), z0, z1)
    with pytest.raises(ShapeError, match="latent"):
        figures.interpolate(Generator(), z0[:, :2], z1[:, :2])
    with pytest.raises(ShapeError, match="latent"):
        figures.interpolate(Generator(), z0, z1[None])
    with pytest.raises(ParameterError, match="steps"):
        figures.interpolate(Generator(), z0, z1, 1)
