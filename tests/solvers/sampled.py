"""What the tests of samplers share: a run that is interrupted, and an operator that is not linear."""

import pytest

from invgen.operators import Operator


def resumed(solver, problem, samples, path, at=3):
    """What a run gives that is interrupted at an iteration, and goes on from the file at `path`."""

    def interrupt(k, state):
        if k == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        solver(problem, samples=samples, seed=0, callback=interrupt, checkpoint=path)
    return solver(problem, samples=samples, seed=0, checkpoint=path)


class Square(Operator):
    """Intensities: neither linear nor one to one."""

    def __init__(self, shape):
        super().__init__(shape, shape)

    def _apply(self, x):
        return x**2
