"""What tests of the benchmark share."""

import pytest

from invgen.bench.grid import Grid, run_grid
from invgen.bench.jobs import Limits
from invgen.bench.store import Results


@pytest.fixture
def benchmark(tmp_path):
    """Run suites into a folder; returns the records of test images."""

    def run(suite, folder="results", entries=None, limits=None, **more):
        grid_of = {name: more.pop(name) for name in ("seeds", "trials", "rounds", "retry") if name in more}
        grid = Grid([(suite, entries or suite.entries)], **grid_of)
        with Results(tmp_path / folder) as results:
            run_grid(grid, results, limits or Limits(60.0, 8 * 2**30), **{"workers": 1, **more})
            return results.records()

    return run
