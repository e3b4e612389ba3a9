"""What all tests share."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

import pytest
import torch

# Without a GPU, Triton's kernels are tested in its interpreter: chosen before Triton is imported.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

# Tests are of small tensors, for which threads only wait; those about threads choose their number. Operators
# that are built while tests are collected keep the number of then.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def measured_file():
    """Find a measured scan by its path in the folder of data, ``INVGEN_DATA`` or the one beside; or skip."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("INVGEN_DATA") or beside)

    def find(name: str) -> Path:
        if not (folder / name).exists():
            pytest.skip(f"measured data {name} are not in {folder} (set INVGEN_DATA)")
        return folder / name

    return find


@pytest.fixture(scope="session")
def chromium():
    """Chromium without a window."""
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("chromium is not installed")
    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def toy():
    """The toy suite of benchmarks, a module that worker processes get by value: it is not installed."""
    import cloudpickle

    spec = importlib.util.spec_from_file_location("bench_toy", Path(__file__).parent / "bench" / "toy.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    cloudpickle.register_pickle_by_value(module)
    return module


@pytest.fixture
def set_threads():
    """Set the number of PyTorch's threads; that of before is set again after the test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def pytest_collection_modifyitems(items):
    """Of a test whose cases are slow, the first case is the small version that stays in the fast run."""
    seen = set()
    for item in items:
        if item.get_closest_marker("cases_are_slow"):
            name = item.nodeid.partition("[")[0]
            if name in seen:
                item.add_marker(pytest.mark.slow)
            seen.add(name)
