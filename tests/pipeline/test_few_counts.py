"""Scans of few quanta: the likelihood of counts takes the place of that of their logarithm."""

import h5py
import numpy as np
import pytest
import torch

import invgen as ig
from invgen.core.errors import DataError
from invgen.io import Bin, StripeSorting, open_scan, to_operator, to_problem
from invgen.noise import Gaussian, Transmission
from invgen.phantoms import ball
from invgen.simulate import simulate_ct
from invgen.solvers.scale import image_scale

COLUMNS, RADIUS, VIEWS = 40, 14, 60
ANGLES = np.arange(VIEWS) * np.pi / VIEWS


@pytest.fixture
def scan(tmp_path):
    """A disc of line integrals up to 3, `photons` in the open beam, and 2 counts of detector noise."""

    def write(photons):
        rng = np.random.default_rng(0)
        s = np.arange(COLUMNS) - (COLUMNS - 1) / 2
        lines = 3 * np.sqrt(np.maximum(RADIUS**2 - s**2, 0)) / RADIUS

        def frames(mean):
            return (rng.poisson(mean) + rng.normal(100, 2, mean.shape)).round().clip(0).astype(np.uint16)

        with h5py.File(tmp_path / "scan.h5", "w") as file:
            file["exchange/data"] = frames(np.tile(photons * np.exp(-lines), (VIEWS, 1, 1)))
            file["exchange/data_white"] = frames(np.full((200, 1, COLUMNS), float(photons)))
            file["exchange/data_dark"] = frames(np.zeros((200, 1, COLUMNS)))
            file["exchange/theta"] = np.rad2deg(ANGLES)
        return tmp_path / "scan.h5"

    return write


def inside(image, radius=RADIUS - 2):
    """Mean over the middle of the disc, whose value is 3 / (2 RADIUS)."""
    y, x = np.indices((COLUMNS, COLUMNS)) - (COLUMNS - 1) / 2
    return float(np.asarray(image)[y**2 + x**2 < radius**2].mean()) * 2 * RADIUS / 3


def test_few_counts_are_reconstructed_without_bias(scan):
    said = []
    options = {"solver": "tv", "weight": 8.0, "iterations": 150, "center": (COLUMNS - 1) / 2}
    summary = ig.reconstruct(scan(100), notice=said.append, **options)
    assert inside(summary.images[0]) == pytest.approx(1, abs=0.03)
    assert any("Few quanta" in sentence and "Poisson likelihood" in sentence for sentence in said)
    with open_scan(scan(100)) as opened:
        problem = opened.problem(0, center=(COLUMNS - 1) / 2)
    assert isinstance(problem.noise, Gaussian)
    logarithm = ig.solvers.PDHG(ig.priors.TotalVariation(1.0, nonnegative=True), iterations=150)(problem)
    assert inside(logarithm.x) < 0.95


@pytest.fixture
def cone(tmp_path):
    """A ball behind which four quanta are left of eighty, between two slices of air."""
    path = tmp_path / "cone.h5"
    geometry = {"geometry": "cone", "size": 16, "views": 40, "slices": 8, "center_offset": 0.0}
    simulate_ct(path, ball(5.0), absorption=3.0, photons=80, flats=200, darks=50, **geometry)
    return path


def test_the_panel_of_a_cone_has_the_quanta_of_its_rows(cone):
    """Summed over pixels in both directions; their expectation is that of the model of the problem."""
    with open_scan(cone) as scan:
        rows = [scan.line_integrals(i, center=7.5).quanta for i in range(scan.slices)]
        panel, coarse = scan.panel(center=7.5), scan.panel(center=7.5, bin=2)
        problem = scan.volume_problem(center=7.5, counts=True)
    for name in ("counts", "open", "variance"):
        each = torch.stack([getattr(row, name) for row in rows], 1)
        assert torch.equal(getattr(panel.quanta, name), each)
        pairs = each[:, : each.shape[1] // 2 * 2].unflatten(1, (-1, 2)).unflatten(-1, (-1, 2))
        torch.testing.assert_close(getattr(coarse.quanta, name), pairs.sum((2, 4)))
    assert isinstance(problem.noise, Transmission)
    assert problem.measurement.shape == panel.data.shape
    assert float(problem.measurement.min()) >= 0


@pytest.mark.slow
def test_few_counts_of_a_cone_are_reconstructed_without_bias(cone):
    said = []
    summary = ig.reconstruct(cone, notice=said.append, solver="tv", center=7.5)
    with h5py.File(cone) as file:
        truth = torch.from_numpy(file["truth/image"][()])
    found = torch.as_tensor(np.asarray(summary.images))
    found = found[(len(found) - len(truth)) // 2 :][: len(truth)]
    within = truth > 0.99 * truth.max()
    assert any("Few quanta" in sentence and "Poisson likelihood" in sentence for sentence in said)
    assert float(found[within].mean() / truth[within].mean()) == pytest.approx(1, abs=0.03)


@pytest.mark.slow
def test_wavelets_take_counts(scan):
    """FISTA with a closed form, on the quanta of a slice; the weight by the rule for counts."""
    with open_scan(scan(100)) as opened:
        problem = opened.problem(0, center=(COLUMNS - 1) / 2, counts=True, image_shape=(COLUMNS, COLUMNS))
    result = ig.solvers.FISTA(ig.priors.Wavelet(), iterations=100)(problem)
    assert result.stats["weight_rule"] == "sure"
    assert inside(result.x) == pytest.approx(1, abs=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["dps", "daps"])
def test_samplers_take_counts(scan, prior, solver):
    """With the scale that a first image has, of the logarithm of the counts."""
    said = []
    options = {"samples": 1, "seed": 0, "center": (COLUMNS - 1) / 2}
    summary = ig.reconstruct(
        scan(100), notice=said.append, solver=solver, prior=str(prior), iterations=3, **options
    )
    assert any("Poisson likelihood is used" in sentence for sentence in said)
    assert bool(torch.isfinite(torch.as_tensor(np.asarray(summary.images))).all())
    scale = next(float(s.split()[1].rstrip(",")) for s in said if s.startswith("Scale"))
    with open_scan(scan(100)) as opened:
        logarithm = opened.problem(0, center=(COLUMNS - 1) / 2)
    assert scale == pytest.approx(float(image_scale(logarithm)), rel=0.2)


def test_many_counts_keep_the_logarithm(scan):
    said = []
    ig.reconstruct(scan(20000), notice=said.append, solver="fbp", center=(COLUMNS - 1) / 2)
    assert not any("quanta" in sentence for sentence in said)


def test_quanta_go_through_the_steps(scan):
    """Views and columns chosen or summed: expected quanta and readings are those of what is left."""
    with open_scan(scan(200)) as opened:
        whole = opened.line_integrals(0, center=(COLUMNS - 1) / 2)
        half = opened.line_integrals(0, center=(COLUMNS - 1) / 2, bin=2, views=slice(0, 60, 3))
    assert float(whole.quanta.open.mean()) == pytest.approx(200, rel=0.15)
    assert float(whole.quanta.variance.mean()) == pytest.approx(4, rel=0.3)
    summed = whole.quanta.counts[::3].unflatten(1, (-1, 2)).sum(2)
    assert torch.allclose(half.quanta.counts, summed, rtol=1e-5, atol=1e-3)
    problem = to_problem(half, to_operator(half), counts=True)
    assert isinstance(problem.noise, Transmission)
    assert problem.measurement.shape == half.data.shape
    with pytest.raises(DataError, match="quanta"):
        to_problem(StripeSorting()(whole), counts=True)


def test_dead_rays_are_no_counts(scan):
    with open_scan(scan(200)) as opened:
        lines = opened.line_integrals(0, center=(COLUMNS - 1) / 2)
    dead = torch.zeros_like(lines.data, dtype=torch.bool)
    dead[:, 3] = True
    problem = to_problem(Bin(1)(lines.with_dead(dead)), counts=True)
    assert float(problem.count()) == lines.data.numel() - VIEWS
    assert float(problem.likelihood.gradient(lines.data, problem.measurement)[:, 3].abs().max()) == 0
