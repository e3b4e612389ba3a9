"""Masks keep the conventions that they name."""

import itertools

import numpy as np
import pytest
import torch

from invgen.core.errors import ParameterError, ShapeError
from invgen.operators import MRI, sampling

MAKERS = {
    "equispaced": lambda seed: sampling.equispaced_lines((40, 320), 4, seed=seed),
    "adjusted": lambda seed: sampling.equispaced_lines((40, 320), 4, adjusted=True, seed=seed),
    "random": lambda seed: sampling.random_lines((40, 320), 4, seed=seed),
    "gaussian": lambda seed: sampling.gaussian((64, 80), 5, seed=seed),
    "gaussian lines": lambda seed: sampling.gaussian((320,), 4, seed=seed),
    "poisson disc": lambda seed: sampling.poisson_disc((64, 80), 5, (8, 8), seed=seed),
}


@pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS.keys())
def test_a_seed_decides(maker):
    mask = maker(0)
    assert mask.dtype == torch.bool
    assert torch.equal(mask, maker(0))
    assert any(not torch.equal(mask, maker(seed)) for seed in (1, 2, 3))
    torch.manual_seed(5)
    state = torch.get_rng_state()
    maker(0)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("width", [320, 321, 368, 15, 16])
@pytest.mark.parametrize("fraction", [0.04, 0.08, 0.2, 0.0])
def test_the_middle_lines_are_where_fastmri_has_them(width, fraction):
    low = round(width * fraction)
    pad = (width - low + 1) // 2
    for mask in (
        sampling.equispaced_lines((width,), 4, fraction),
        sampling.equispaced_lines((width,), 4, fraction, adjusted=True),
        sampling.random_lines((width,), 4, fraction),
    ):
        assert mask.shape == (width,)
        assert bool(mask[pad : pad + low].all())
    if low:
        assert pad <= width // 2 < pad + low, "the origin is among them"


def test_equispaced_lines_are_every_rth_and_the_middle():
    mask = sampling.equispaced_lines((640, 368), 4, 0.08, offset=3)
    expected = np.zeros(368, dtype=bool)
    expected[3::4] = True
    expected[(368 - 29 + 1) // 2 : (368 - 29 + 1) // 2 + 29] = True
    assert np.array_equal(mask.numpy(), expected)


def test_the_true_acceleration_is_below_the_nominal_one():
    mask = sampling.equispaced_lines((640, 640), 4, 0.08, offset=0)
    # 160 lines, 51 in the middle of which 13 are among the 160 already
    assert int(mask.sum()) == 160 + 51 - 13
    assert sampling.acceleration(mask) == pytest.approx(640 / 198)
    assert sampling.acceleration(mask.expand(3, 640)) == pytest.approx(640 / 198)


@pytest.mark.parametrize(
    ("width", "acceleration", "fraction"), [(368, 4, 0.08), (372, 8, 0.04), (640, 4, 0.08)]
)
def test_adjusted_lines_are_the_fastmri_challenges(width, acceleration, fraction):
    low = round(width * fraction)
    spacing = (acceleration * (low - width)) / (low * acceleration - width)
    for offset in range(round(spacing)):
        mask = sampling.equispaced_lines((width,), acceleration, fraction, offset=offset, adjusted=True)
        expected = np.zeros(width, dtype=bool)
        expected[(width - low + 1) // 2 : (width - low + 1) // 2 + low] = True
        expected[np.around(np.arange(offset, width - 1, spacing)).astype(int)] = True
        assert np.array_equal(mask.numpy(), expected)
        assert sampling.acceleration(mask) == pytest.approx(acceleration, rel=0.05)


def test_random_lines_have_the_number_asked_for_on_average():
    counts = torch.tensor(
        [int(sampling.random_lines((320,), 4, 0.08, seed=s).sum()) for s in range(400)]
    ).double()
    probability = (80 - 26) / (320 - 26)
    deviation = (294 * probability * (1 - probability) / 400) ** 0.5
    assert abs(float(counts.mean()) - 80) < 4 * deviation
    outside = torch.stack([sampling.random_lines((320,), 4, 0.08, seed=s) for s in range(400)])[
        :, :140
    ].double()
    assert float((outside.mean(0) - probability).abs().max()) < 0.12, "each line is as likely as the others"


@pytest.mark.parametrize("shape", [(64, 80), (63, 65), (320,), (20, 21, 22)])
def test_gaussian_masks_have_exactly_the_number_asked_for(shape):
    mask = sampling.gaussian(shape, 6, 0.1, seed=3)
    assert int(mask.sum()) == round(mask.numel() / 6)
    middle = tuple(
        slice((n - round(n * 0.1) + 1) // 2, (n - round(n * 0.1) + 1) // 2 + round(n * 0.1)) for n in shape
    )
    assert bool(mask[middle].all())


def test_gaussian_masks_are_as_wide_as_asked_for():
    for sigma in (0.1, 0.2):
        mean = (
            torch.stack([sampling.gaussian((4001,), 200, 0.0, sigma=sigma, seed=s) for s in range(60)])
            .double()
            .mean(0)
        )
        k = (torch.arange(4001) - 2000) / 2000.5
        measured = float((mean * k**2).sum() / mean.sum()) ** 0.5
        assert measured == pytest.approx(sigma, rel=0.1)


def middle_of(shape, part):
    """Mask of the ellipse around the middle whose radius is a part of half of each axis."""
    axes = [(torch.arange(n) - n // 2) / (n / 2) for n in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij")).norm(dim=0) < part


@pytest.mark.parametrize(
    ("shape", "acceleration", "calibration"),
    [
        ((64, 80), 4, (12, 10)),
        ((65, 63), 8, (6, 7)),
        ((96, 96), 3, (0, 0)),
        ((64, 64), 2, (0, 0)),
        ((64, 64), 1.4, (4, 4)),
        ((40, 90), 12, (9, 9)),
    ],
)
def test_a_poisson_disc_keeps_its_distance_and_its_acceleration(shape, acceleration, calibration):
    mask = sampling.poisson_disc(shape, acceleration, calibration, seed=1)
    assert sampling.acceleration(mask) == pytest.approx(acceleration, rel=0.03)
    starts = [(n - c + 1) // 2 for n, c in zip(shape, calibration, strict=True)]
    middle = tuple(slice(s, s + c) for s, c in zip(starts, calibration, strict=True))
    assert bool(mask[middle].all())
    mask = mask.clone()
    mask[middle] = False
    points = mask.nonzero().double()
    rho = ((points - torch.tensor([n // 2 for n in shape])) / (torch.tensor(shape) / 2)).norm(dim=1)
    assert float(rho.max()) < 1
    between = torch.cdist(points, points).fill_diagonal_(torch.inf)
    # the law is slope rho; of each pair the smaller one is kept, and the nearest pairs are not much farther
    ratio = between / torch.minimum(rho[:, None], rho).clamp(min=1e-9)
    slope = float(ratio.min())
    assert slope > 1, "neighbors stand apart, the more the farther out"
    assert float((ratio.min(1).values[rho > 0.5]).median()) < 1.6 * slope, "and as close as they may"
    assert bool(mask[middle_of(shape, 0.7 / slope)].all()) or max(calibration), "all is sampled in the middle"
    inner, outer = (between.min(1).values[part].mean() for part in (rho < 0.5, rho > 0.7))
    assert float(outer) > 1.02 * float(inner)


def test_points_of_a_poisson_disc_fill_the_plane():
    mask = sampling.poisson_disc((80, 80), 6, crop_corners=False, seed=0)
    quarters = [int(mask[i : i + 40, j : j + 40].sum()) for i, j in itertools.product((0, 40), repeat=2)]
    assert max(quarters) < 1.3 * min(quarters)
    assert bool(mask[:12, :12].any())
    assert not bool(sampling.poisson_disc((80, 80), 6, seed=0)[:11, :11].any())


def test_one_means_everything():
    assert bool(sampling.equispaced_lines((9,), 1).all())
    assert bool(sampling.random_lines((9,), 1).all())
    assert bool(sampling.gaussian((8, 9), 1).all())
    assert bool(sampling.poisson_disc((8, 9), 1, crop_corners=False).all())


@pytest.mark.parametrize("name", ["equispaced", "random", "poisson disc"])
def test_the_operator_takes_them(name):
    mask = MAKERS[name](0)
    A = MRI((64, 80) if mask.ndim == 2 else (40, 320), mask)
    assert torch.equal(A.mask.bool(), mask.expand(A.domain.shape))


def test_errors_say_what_is_expected():
    with pytest.raises(ParameterError, match="at least 1"):
        sampling.random_lines((8,), 0.5)
    with pytest.raises(ParameterError, match="from 0 to 1"):
        sampling.random_lines((8,), 2, 1.5)
    with pytest.raises(ParameterError, match="make the middle smaller"):
        sampling.random_lines((100,), 8, 0.2)
    with pytest.raises(ParameterError, match="make the middle smaller"):
        sampling.equispaced_lines((100,), 8, 0.2, adjusted=True)
    with pytest.raises(ParameterError, match="adjusted=True"):
        sampling.equispaced_lines((100,), 2.5)
    with pytest.raises(ParameterError, match="from 0 to 3"):
        sampling.equispaced_lines((100,), 4, offset=4)
    with pytest.raises(ParameterError, match="make the middle smaller"):
        sampling.gaussian((20, 20), 8, 0.5)
    with pytest.raises(ParameterError, match="positive"):
        sampling.gaussian((20, 20), 2, sigma=0)
    with pytest.raises(ParameterError, match="calibration region"):
        sampling.poisson_disc((20, 20), 8, (10, 10))
    with pytest.raises(ParameterError, match="crop_corners=False"):
        sampling.poisson_disc((20, 20), 1.1)
    with pytest.raises(ParameterError, match="at most"):
        sampling.poisson_disc((20, 20), 4, (21, 2))
    with pytest.raises(ShapeError, match=r"\(H, W\)"):
        sampling.poisson_disc((20,), 4)
    with pytest.raises(ShapeError, match="positive sizes"):
        sampling.gaussian((0, 4), 2)
    with pytest.raises(ParameterError, match="samples nothing"):
        sampling.acceleration(torch.zeros(4))
