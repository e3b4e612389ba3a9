"""A run on a device that is not waited for ends as on the CPU, where every iteration is looked at."""

from dataclasses import dataclass

import pytest
import torch

import invgen as ig
from invgen.core.errors import DataError, DivergenceError
from invgen.operators import MatrixOperator
from invgen.solvers import CG, Solver, State

from .fake_device import FakeDevice, to_cpu, to_device


@dataclass(frozen=True)
class Landweber(Solver):
    """Gradient steps of a length that may be too large."""

    length: float = 1.0
    iterations: int = 40
    tolerance: float = 1e-3

    def steps(self, problem, prepared, state):
        x = state.x
        while True:
            x = x - self.length * problem.gradient(x)
            yield State(x=x)


def problem(on=lambda y: y):
    matrix = torch.diag(torch.tensor([1.0, 0.8, 0.5], dtype=torch.float64))
    y = torch.tensor([[1.0, 2.0, 3.0], [1.0, 0.0, 0.0]], dtype=torch.float64)
    return ig.Problem(MatrixOperator(matrix), on(y))


def test_batch_elements_stop_where_they_would():
    expected, seen = Landweber()(problem()), []
    with FakeDevice():
        found = Landweber()(problem(to_device), callback=lambda iteration, _: seen.append(iteration))
        assert to_cpu(found.stats["iterations"]).tolist() == expected.stats["iterations"].tolist()
        assert torch.equal(to_cpu(found.x), expected.x)
        for name, values in expected.history.items():
            assert torch.equal(to_cpu(found.history[name]), values), name
    last = int(expected.stats["iterations"].max())
    assert last < Landweber().iterations
    # the device is at most one iteration ahead of what the host knows
    assert seen in (list(range(1, last + 1)), list(range(1, last + 2)))


@pytest.mark.parametrize("length", [3.0, 1e80])
def test_divergence_is_reported_at_the_iteration_where_it_happened(length):
    with pytest.raises(DivergenceError) as on_cpu:
        Landweber(length=length)(problem())
    with FakeDevice(), pytest.raises(DivergenceError) as there:
        Landweber(length=length)(problem(to_device))
    assert str(there.value) == str(on_cpu.value)


def test_a_callback_stops_the_run():
    with FakeDevice():
        found = Landweber()(problem(to_device), callback=lambda iteration, _: iteration == 2)
        assert len(found.history["change"]) == 2


def test_nan_in_data_is_refused_when_a_solver_is_called():
    y = torch.tensor([[1.0, torch.nan, 3.0]], dtype=torch.float64)
    with FakeDevice(), pytest.raises(DataError, match="1 NaN or infinite value "):
        CG()(problem(lambda _: to_device(y)))
