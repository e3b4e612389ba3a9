"""Triton kernels in Triton's interpreter."""

import pytest
import torch

triton = pytest.importorskip("triton", reason="Triton is not installed")
tl = pytest.importorskip("triton.language")

from invgen.core.launch import kernel  # noqa: E402


@triton.jit
def _twice(x):
    return 2 * x


@kernel({"BLOCK": 32, "num_warps": 2}, {"BLOCK": 64}, key=("n",))
def _double(x, y, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + i, _twice(tl.load(x + i, mask=i < n)), mask=i < n)


def grid(block_sizes):
    return (triton.cdiv(70, block_sizes["BLOCK"]),)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, whose tests run on it")
def test_a_kernel_runs_in_the_interpreter():
    x, y = torch.arange(70.0, dtype=torch.float64), torch.zeros(80, dtype=torch.float64)
    _double(grid, x, y, 70)
    assert torch.equal(y[:70], 2 * x)
    assert not y[70:].any()


def test_block_sizes_are_triton_s():
    assert [(choice.kwargs, choice.num_warps) for choice in _double.choices] == [
        ({"BLOCK": 32}, 2),
        ({"BLOCK": 64}, 4),
    ]


def test_numbers_that_would_be_rounded_are_refused():
    with pytest.raises(TypeError, match="single precision"):
        _double(grid, torch.ones(3), torch.ones(3), 0.1)
