"""Arguments of the operators of MRI, in all forms that users have them in."""

import pytest
import torch

import invgen as ig
from invgen.core.errors import DataError, DtypeError
from invgen.operators import MRI, NonCartesianMRI, trajectories

SHAPE = (9, 12)
MASK = torch.arange(12) % 2 == 0
TRAJECTORY = trajectories.radial(7, 12)
MAPS = torch.randn(3, *SHAPE, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))

cartesian_and_not = pytest.mark.parametrize(
    "make",
    [lambda maps: MRI(SHAPE, MASK, maps), lambda maps: NonCartesianMRI(SHAPE, TRAJECTORY, maps)],
    ids=["Cartesian", "radial"],
)


@cartesian_and_not
@pytest.mark.parametrize(
    "view",
    [
        lambda maps: maps.conj().resolve_conj().conj(),
        lambda maps: maps.permute(1, 2, 0).contiguous().permute(2, 0, 1),
        lambda maps: maps.clone().requires_grad_(),
        lambda maps: maps.numpy(),
        lambda maps: torch.stack([maps, maps], dim=-1)[..., 1],
    ],
    ids=["conjugated", "permuted", "differentiated", "NumPy", "part"],
)
def test_maps_are_the_same_however_they_lie_in_memory(make, view):
    operator, plain = make(view(MAPS)), make(MAPS)
    x = plain.domain.random(seed=1, dtype=torch.float32)
    y = plain(x)
    assert torch.equal(operator(x), y)
    assert torch.equal(operator.H(y), plain.H(y))
    assert torch.equal(operator.gram(x), plain.gram(x))


def test_a_mask_and_a_trajectory_may_be_differentiated():
    """Tensors that require a gradient are accepted; the operator is not differentiated by them."""
    x = torch.ones(SHAPE, dtype=torch.complex64)
    assert torch.equal(MRI(SHAPE, MASK.float().requires_grad_())(x), MRI(SHAPE, MASK)(x))
    k = TRAJECTORY.clone().requires_grad_()
    assert torch.equal(NonCartesianMRI(SHAPE, k)(x), NonCartesianMRI(SHAPE, TRAJECTORY)(x))


@cartesian_and_not
def test_coils_that_see_nothing_in_places_are_no_obstacle(make):
    maps = MAPS.clone()
    maps[:, :4] = 0
    operator = make(maps)
    x = operator.domain.random(seed=2, dtype=torch.float32)
    rec = ig.solvers.CG(weight=1e-3, iterations=5)(ig.Problem(operator, operator(x)))
    assert not bool(rec.x[:4].any())
    assert bool(rec.x[4:].any())


@cartesian_and_not
def test_maps_that_are_no_numbers_are_refused(make):
    maps = MAPS.clone()
    maps[0, 0, 0] = complex("nan")
    with pytest.raises(DataError, match="coil maps got 1 NaN"):
        make(maps)


def test_real_and_imaginary_parts_apart_are_refused_with_what_joins_them():
    operator, y = MRI(SHAPE, MASK), torch.zeros(*SHAPE, 2)
    with pytest.raises(DtypeError, match="view_as_complex"):
        ig.Problem(operator, y)
    ig.Problem(operator, torch.view_as_complex(y))
