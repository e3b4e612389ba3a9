"""How much of the middle of k-space has no gap."""

import numpy as np
import pytest
import torch

from invgen.io.kspace.sampled import calibrated
from invgen.operators import sampling


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("calibration", [(0, 0), (6, 9), (7, 4)])
def test_box_has_no_gap_and_is_as_large_as_what_was_calibrated(seed, calibration):
    mask = sampling.poisson_disc((40, 33), 5, calibration, seed=seed)
    size = calibrated(mask)
    rows, columns = (mask.shape[a] // 2 for a in (0, 1))
    # somewhere around the middle lies a box of that size without a gap
    boxes = torch.nn.functional.unfold(mask[None, None].double(), size).reshape(1, *size, -1).all(1).all(1)
    heights, widths = 40 - size[0] + 1, 33 - size[1] + 1
    top, left = np.divmod(boxes.reshape(heights * widths).nonzero().flatten().numpy(), widths)
    around = (top <= rows) & (rows < top + size[0]) & (left <= columns) & (columns < left + size[1])
    assert around.any()
    assert all(a >= b for a, b in zip(size, calibration, strict=True))


def test_known_masks():
    lines = sampling.equispaced_lines((8, 40), 4, offset=0)
    assert calibrated(torch.ones(5, 4, dtype=torch.bool)) == (5, 4)
    assert calibrated(torch.zeros(5, 4, dtype=torch.bool)) == (0, 0)
    assert calibrated(lines.expand(8, 40))[0] == 8
    mask = torch.zeros(9, 9, dtype=torch.bool)
    mask[4, 4] = True
    assert calibrated(mask) == (1, 1)
