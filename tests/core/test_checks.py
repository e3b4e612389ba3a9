"""Whole numbers, wherever they are given."""

import dataclasses
import inspect

import numpy as np
import pytest
import torch

import invgen as ig
from invgen.core.checks import as_count, is_count
from invgen.core.errors import ParameterError
from invgen.priors import Gaussian, TotalVariation


@pytest.mark.parametrize("value", [5, np.int64(5), np.uint8(5)])
def test_whole_numbers_of_python_and_numpy_are_taken(value):
    found = as_count(value, "steps")
    assert found == 5
    assert type(found) is int


@pytest.mark.parametrize("value", [True, np.True_, 5.0, np.float64(5), "5", None, 0, -1])
def test_others_are_refused_by_name(value):
    with pytest.raises(ParameterError, match="steps is a whole number of at least 1"):
        as_count(value, "steps")
    assert not is_count(value)


def test_limits_are_included():
    assert as_count(0, "passes", least=0) == 0
    assert as_count(3, "level", most=3) == 3
    with pytest.raises(ParameterError, match="from 1 to 3"):
        as_count(4, "level", most=3)


#: Those that are no algorithm of their own.
BASES = ("DiffusionSolver", "LatentSolver", "PosteriorSampler")


def counted():
    """Each solver with each of its whole numbers."""
    for name in ig.solvers.__all__:
        solver = getattr(ig.solvers, name)
        if not dataclasses.is_dataclass(solver) or name in BASES:
            continue
        fields = {field.name for field in dataclasses.fields(solver)}
        for parameter in {"iterations", "chunk_size", *solver.counts} & fields:
            yield name, parameter


def prior_for(solver, options):
    """A prior that the solver takes."""
    generators = (
        ig.priors.VAE.untrained((8, 8), latent=2, widths=(8,)),
        ig.priors.Flow.untrained((8, 8), scales=1, width=8),
    )
    gaussian, patches = Gaussian(torch.zeros(2, 2), 1.0), ig.priors.load("patches-gray")
    for prior in (TotalVariation(0.1), gaussian, patches, *generators):
        try:
            solver(prior, **options)
        except ig.errors.CapabilityError:
            continue
        return prior
    raise AssertionError(f"no prior for {solver}")


@pytest.mark.parametrize(("name", "parameter"), sorted(counted()))
def test_solvers_take_numpys_numbers_and_no_truth_values(name, parameter):
    solver = getattr(ig.solvers, name)
    known = {"sigma_range": (0.1, 2.0), "rho_range": (0.1, 2.0), "sigma": 0.1, "std": 1.0}
    options = {key: value for key, value in known.items() if key in inspect.signature(solver).parameters}
    arguments = [prior_for(solver, options)] if "prior" in inspect.signature(solver).parameters else []
    made = solver(*arguments, **options, **{parameter: np.int64(4)})
    assert type(getattr(made, parameter)) is int
    for wrong in (True, 4.0):
        with pytest.raises(ParameterError, match=parameter):
            solver(*arguments, **options, **{parameter: wrong})
