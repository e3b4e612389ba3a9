"""The fully sampled region around the origin of k-space."""

import itertools

import pytest
import torch

from invgen.operators import sampling
from invgen.operators.mri.calibration import calibrated


def box(mask, size):
    """The part of the mask in a box around the origin."""
    return mask[
        tuple(slice(n // 2 - w // 2, n // 2 - w // 2 + w) for n, w in zip(mask.shape, size, strict=True))
    ]


@pytest.mark.parametrize("shape", [(12, 13), (13, 12), (5, 6, 7)])
@pytest.mark.parametrize("seed", range(3))
def test_box_is_the_largest_without_a_gap(shape, seed):
    """Against all possible boxes, in a mask with random gaps away from the middle."""
    mask = sampling.gaussian(shape, 1.3, 0.4, seed=seed)
    sizes = itertools.product(*(range(1, n + 1) for n in shape))
    largest = max(box(mask, size).numel() for size in sizes if bool(box(mask, size).all()))
    found = box(mask, calibrated(mask))
    assert found.all()
    assert found.numel() == largest


def test_known_masks():
    lines = sampling.equispaced_lines((8, 40), 4, center_fraction=0.25, offset=0)
    assert calibrated(lines.expand(8, 40)) == (8, 10)
    assert calibrated(torch.ones(5, 4, dtype=torch.bool)) == (5, 4)
    assert calibrated(torch.zeros(5, 4, dtype=torch.bool)) == (0, 0)
    mask = torch.zeros(9, 9, dtype=torch.bool)
    mask[4, 4] = True
    assert calibrated(mask) == (1, 1)


def test_the_window_chooses_among_boxes():
    """A cross of 2 x 12 and 4 x 4: the first has more entries, but no place for a window of three."""
    mask = torch.zeros(12, 12, dtype=torch.bool)
    mask[5:7] = True
    mask[4:8, 4:8] = True
    assert calibrated(mask) == (2, 12)
    assert calibrated(mask, window=3) == (4, 4)
    assert calibrated(mask, window=5) == (2, 12)  # which has no place in either
    assert calibrated(mask, limits=(12, 6)) == (4, 4)
