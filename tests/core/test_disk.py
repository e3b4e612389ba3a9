"""Tensors on disk compute what tensors in memory do, a few slices at a time."""

import os

import pytest
import torch

from invgen.core.disk import OnDisk, Room, by_slabs, loaded, median, on_disk, zeros
from invgen.core.errors import CapabilityError, DataError, FileError
from invgen.core.space import Space
from invgen.operators import Gradient

SHAPE = (7, 5, 6)


def white(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def room(tmp_path):
    """One slice at a time."""
    return Room(tmp_path, 1)


OPERATIONS = {
    "entry by entry": lambda a, b: (2 * a + b / 3 - 1).clamp(min=0).sqrt(),
    "conditions": lambda a, b: torch.where((a > 0) & b.isfinite(), a, 0),
    "a mask of each slice": lambda a, b: a * torch.eye(5, 6),
    "numbers of each slice": lambda a, b: a * torch.arange(7.0)[:, None, None],
    "interpolation": lambda a, b: torch.lerp(a, b, torch.tensor(1.3)),
    "precision": lambda a, b: a.double() ** -2,
    "in place": lambda a, b: a.clone().mul_(b).add_(1),
    "constants": lambda a, b: torch.ones_like(a) + torch.full_like(b, 0.5) + a.new_zeros(SHAPE),
    "sum": lambda a, b: (a.conj() * b).sum((-3, -2, -1)),
    "norm": lambda a, b: Space(SHAPE).norm(a - b),
    "extremes": lambda a, b: a.abs().max() - b.min() + a.amax((-3, -2, -1)),
    "mean over slices": lambda a, b: a[None].mean(1, keepdim=True)[..., 2:4],
    "any and all": lambda a, b: a.any() & a.isfinite().all(),
    "axes before": lambda a, b: a.reshape(-1, *SHAPE)[0].expand(SHAPE).unsqueeze(0),
    "slices": lambda a, b: a[2] + b[-1],
    "every second slice": lambda a, b: a[1:6:2],
    "a row of all slices": lambda a, b: a[:, 3],
    "a window": lambda a, b: a[..., 1:4, 2:],
    "chosen slices": lambda a, b: a.index_select(-3, torch.tensor([5, 0, 3])),
    "masked slices": lambda a, b: a[torch.arange(7) % 3 == 0],
    "slices put": lambda a, b: torch.zeros_like(a).index_copy_(-3, torch.tensor([4, 1]), b[:2]),
    "fourth differences": lambda a, b: torch.diff(a, n=4, dim=-1),
    "median": lambda a, b: median(a.abs(), 3),
    "Fourier filter": lambda a, b: Space(SHAPE).filter(torch.rand(7, 5, 4, generator=generator()) + 0.1, a),
    "differences": lambda a, b: Gradient(SHAPE, (-3, -2, -1))(a),
    "differences within slices": lambda a, b: Gradient(SHAPE)(a),
    "divergence": lambda a, b: Gradient(SHAPE, (-3, -2, -1)).H(torch_gradient(a)),
    "noise": lambda a, b: Space(SHAPE).random_like(a, seed=3),
    "spectrum": lambda a, b: Gradient(SHAPE, (-3, -2, -1)).spectrum.like(a),
}


def generator():
    return torch.Generator().manual_seed(1)


def torch_gradient(a):
    return Gradient(SHAPE, (-3, -2, -1))(a)


@pytest.mark.parametrize("slab", [1, 4000])
@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_operations_are_those_in_memory(operation, slab, tmp_path):
    a, b = white(*SHAPE), white(*SHAPE, seed=1)
    kept = (on_disk(x, Room(tmp_path, slab)) for x in (a, b))
    expected, found = operation(a, b), operation(*kept)
    assert isinstance(found, OnDisk) == (expected.shape[-3:-2] != () and expected.shape[-3] > 1)
    torch.testing.assert_close(loaded(found), expected, rtol=1e-5, atol=1e-6)


def test_neighbors_of_a_slab_are_seen(room):
    x = white(*SHAPE)

    def smoothed(x):
        return x + torch.cat([x[1:], x[-1:]]) + torch.cat([x[:1], x[:-1]])

    assert torch.equal(loaded(by_slabs(smoothed, on_disk(x, room), halo=1)), smoothed(x))


def test_what_needs_all_slices_is_refused(room):
    x = on_disk(white(*SHAPE), room)
    with pytest.raises(CapabilityError, match="no sort"):
        x.sort()
    with pytest.raises(CapabilityError, match="no view"):
        x.flatten()
    with pytest.raises(CapabilityError, match="one slice"):
        x[:, 2] = 0


def test_values_that_are_not_finite_are_named_with_their_place(room):
    x = white(*SHAPE)
    x[4, 2, 3] = x[5, 0, 0] = torch.nan
    for data in (x, on_disk(x, room)):
        with pytest.raises(DataError, match=r"got 2 NaN .* index \(4, 2, 3\)"):
            Space(SHAPE).check(data, "A volume")


def test_nothing_is_left_on_disk_whatever_ends_the_process(room):
    x = on_disk(white(*SHAPE), room)
    assert not os.listdir(room.folder)
    assert loaded(x + zeros(SHAPE, x.dtype, x)).any()


def test_a_full_disk_raises(room, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(FileError, match="No space left"):
        on_disk(white(*SHAPE), room)
