"""Which views are used and what is done to them: one object, or its fields by name."""

import pickle

import numpy as np
import pytest
import torch

from invgen.core.errors import ParameterError
from invgen.io import MinusLog, Selection, default_steps, open_scan

SELECTION = Selection(center=30.0, views=slice(1, None, 3), angles_range=(0.0, 2.0), bin=2)
FIELDS = {"center": 30.0, "views": slice(1, None, 3), "angles_range": (0.0, 2.0), "bin": 2}


def same(first, second):
    return torch.equal(first.measurement, second.measurement) and torch.equal(
        first.operator.geometry.angles, second.operator.geometry.angles
    )


def test_an_object_and_its_fields_are_one(data_exchange):
    with open_scan(data_exchange()) as scan:
        problem = scan.problem(1, SELECTION)
        assert same(problem, scan.problem(1, **FIELDS))
        assert torch.equal(scan.line_integrals(1, SELECTION).data, scan.line_integrals(1, **FIELDS).data)
        # every third of the 26 views of 4.5 degrees up to 2 radians
        assert problem.measurement.shape == (9, 32)


def test_fields_replace_those_of_the_object(data_exchange):
    with open_scan(data_exchange()) as scan:
        found = scan.problem(1, SELECTION, bin=4)
        assert same(found, scan.problem(1, **FIELDS | {"bin": 4}))
        assert not same(found, scan.problem(1, SELECTION))


def test_fields_that_there_are_not_are_refused(data_exchange):
    with open_scan(data_exchange()) as scan, pytest.raises(TypeError, match="centre"):
        scan.problem(1, centre=30.0)


@pytest.mark.parametrize("bin", [0, -1, True, 2.0, "2", None])
def test_a_bin_is_a_positive_whole_number(bin):
    with pytest.raises(ParameterError, match="bin is a whole number"):
        Selection(bin=bin)


def test_a_bin_of_numpy_is_a_number_too():
    assert type(Selection(bin=np.int64(2)).bin) is int


def test_own_steps_come_before_binning_and_default_ones_around_it():
    assert [type(step).__name__ for step in Selection(bin=2).chain("counts")] == [
        type(step).__name__ for step in default_steps("counts", 2)
    ]
    own = Selection(bin=2, steps=[MinusLog()]).chain("transmission")
    assert [type(step).__name__ for step in own] == ["MinusLog", "Bin"]


def test_a_selection_can_be_sent_to_another_process():
    assert pickle.loads(pickle.dumps(SELECTION)) == SELECTION
