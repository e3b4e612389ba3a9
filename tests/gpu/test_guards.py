"""The guards find what they are for."""

import pytest
import torch

triton = pytest.importorskip("triton", reason="Triton is not installed")
tl = pytest.importorskip("triton.language")

from invgen.core.launch import kernel  # noqa: E402

from .guards import guarded  # noqa: E402

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, whose tests run on it")


@kernel({"BLOCK": 8})
def _reverse(x, y, n, reads, writes, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    tl.store(y + i, tl.load(x + n - 1 - i, mask=i < reads), mask=i < writes)


def reverse(n, reads, writes):
    x = torch.arange(2.0 * n)[::2].clone()
    y = torch.zeros(n)
    with guarded() as launched:
        _reverse(lambda blocks: (1,), x, y, n, reads, writes)
    assert launched == [_reverse]
    return y


def test_what_stays_within_bounds_computes_the_same():
    assert torch.equal(reverse(5, 5, 5), torch.tensor([8.0, 6.0, 4.0, 2.0, 0.0]))


def test_reads_out_of_bounds_spoil_the_result():
    assert reverse(5, 6, 5).isfinite().all()  # the sixth is not written
    x, y = torch.ones(4), torch.zeros(6)
    with guarded():
        _reverse(lambda blocks: (1,), x, y, 4, 5, 6)
    assert torch.isnan(y[4])


def test_writes_out_of_bounds_are_errors():
    with pytest.raises(AssertionError, match="_reverse writes out of bounds"):
        reverse(5, 5, 6)


def test_strided_and_shared_memory_is_kept():
    x = torch.arange(12.0)
    y = torch.zeros(12)
    with guarded():
        _reverse(lambda blocks: (1,), x[3:8], y[2:7], 5, 5, 5)
    assert torch.equal(y[2:7], x[3:8].flip(0))
    assert not y[:2].any()
    assert not y[7:].any()
