"""Images of a known law, and two networks that play against each other, for all tests of training."""

import importlib.util
from pathlib import Path

import pytest


def module(name):
    path = Path(__file__).parent / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture(scope="session")
def gaussian():
    """The module gaussian_images.py."""
    return module("gaussian_images")


@pytest.fixture(scope="session")
def adversarial():
    """The module adversarial.py."""
    return module("adversarial")
