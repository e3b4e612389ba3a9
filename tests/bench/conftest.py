"""What tests of the benchmark share."""

import importlib.util
import sys
from pathlib import Path

import cloudpickle
import pytest

from invgen.bench.jobs import Limits
from invgen.bench.run import Grid, run_grid
from invgen.bench.store import Results


def _toy():
    """The module of the toy suite, whose classes worker processes get by value: it is not installed."""
    spec = importlib.util.spec_from_file_location("bench_toy", Path(__file__).parent / "toy.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    cloudpickle.register_pickle_by_value(module)
    return module


@pytest.fixture(scope="session")
def toy():
    return _toy()


@pytest.fixture
def benchmark(tmp_path):
    """Run suites into a folder; returns the records of test images."""

    def run(suite, folder="results", entries=None, limits=None, **more):
        grid_of = {name: more.pop(name) for name in ("seeds", "trials", "retry") if name in more}
        grid = Grid([(suite, entries or suite.entries)], **grid_of)
        with Results(tmp_path / folder) as results:
            run_grid(grid, results, limits or Limits(60.0, 8 * 2**30), **{"workers": 1, **more})
            return results.records()

    return run
