"""Small instances of the operators of magnetic resonance imaging."""

import torch

from invgen.operators import MRI, Fourier, NonCartesianMRI, trajectories

from .numbers import normal


def sampled(*shape, part=0.5):
    """A mask of points or lines, with the middle of k-space among them."""
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(4)) < part
    mask[tuple(n // 2 for n in shape)] = True
    return mask


def maps(*shape):
    return normal(*shape, seed=5, dtype=torch.complex128)


def scattered(*shape):
    """Samples anywhere in k-space."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(6), dtype=torch.float64) - 0.5


def dark(*shape):
    """Maps of coils that do not see all of the image."""
    x = maps(*shape)
    x[..., :2] = 0
    return x


#: Each class by its name in `invgen.operators`, with the instances that stand for it.
RESONANCE = {
    "Fourier": {
        "odd": lambda: Fourier((5, 7)),
        "even": lambda: Fourier((4, 6)),
        "mixed": lambda: Fourier((6, 5)),
        "line": lambda: Fourier((9,)),
        "volume": lambda: Fourier((2, 3, 4)),
        "one axis": lambda: Fourier((4, 5), axes=(-1,)),
        "two of three axes": lambda: Fourier((3, 4, 3), axes=(0, 2)),
        "single row": lambda: Fourier((1, 6)),
    },
    "MRI": {
        "odd": lambda: MRI((5, 7), sampled(5, 7)),
        "even": lambda: MRI((6, 6), sampled(6, 6)),
        "rectangular": lambda: MRI((4, 9), sampled(4, 9)),
        "full": lambda: MRI((5, 6), True),
        "lines": lambda: MRI((5, 8), sampled(8)),
        "lines along the rows": lambda: MRI((7, 6), sampled(7, 1)),
        "many lines": lambda: MRI((5, 8), sampled(8, part=0.9)),
        "weights": lambda: MRI((4, 5), normal(4, 5).clamp(min=0)),
        "weights of lines": lambda: MRI((4, 7), normal(7).clamp(min=0)),
        "one coil with a map": lambda: MRI((5, 6), sampled(5, 6), maps(1, 5, 6)),
        "coils": lambda: MRI((5, 4), sampled(5, 4), maps(3, 5, 4)),
        "coils, full": lambda: MRI((4, 5), True, maps(2, 4, 5)),
        "coils, lines": lambda: MRI((4, 7), sampled(7), maps(2, 4, 7)),
        "coils, lines along the rows": lambda: MRI((6, 5), sampled(6, 1), maps(2, 6, 5)),
        "volume": lambda: MRI((3, 4, 5), sampled(3, 4, 5)),
        "volume, lines": lambda: MRI((3, 4, 5), sampled(4, 5), maps(2, 3, 4, 5)),
        "volume, planes": lambda: MRI((3, 4, 5), sampled(5), maps(2, 3, 4, 5)),
        "volume, lines in the middle": lambda: MRI((3, 5, 4), sampled(5, 1)),
        "volume, lines across two ends": lambda: MRI((3, 4, 5), sampled(3, 1, 5)),
    },
    "NonCartesianMRI": {
        "odd": lambda: NonCartesianMRI((5, 7), trajectories.radial(4, 7)),
        "even": lambda: NonCartesianMRI((6, 6), trajectories.spiral(3, 9, 2)),
        "rectangular": lambda: NonCartesianMRI((4, 9), trajectories.radial(5, 8, "uniform")),
        "scattered": lambda: NonCartesianMRI((6, 5), scattered(23, 2)),
        "coils": lambda: NonCartesianMRI((5, 6), trajectories.radial(3, 6), maps(3, 5, 6)),
        "one coil with a map": lambda: NonCartesianMRI((6, 4), scattered(4, 7, 2), maps(1, 6, 4)),
        "coils that do not see all": lambda: NonCartesianMRI((5, 7), scattered(31, 2), dark(2, 5, 7)),
        "volume": lambda: NonCartesianMRI((3, 4, 5), trajectories.koosh_ball(30, 5)),
        "volume, coils": lambda: NonCartesianMRI((4, 3, 4), scattered(2, 3, 5, 3), maps(2, 4, 3, 4)),
        "single row": lambda: NonCartesianMRI((1, 6), scattered(9, 2)),
    },
}
