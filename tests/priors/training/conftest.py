"""Images of a known law, for all tests of training."""

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def gaussian():
    """The module gaussian_images.py."""
    path = Path(__file__).parent / "gaussian_images.py"
    spec = importlib.util.spec_from_file_location("gaussian_images", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
