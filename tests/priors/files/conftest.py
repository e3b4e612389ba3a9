"""Files in the layouts of others are made by tests name by name, each network stated a second time.

By functions of the file's tensors, as the original code goes through them, so that a part in another place is
found.
"""

import math

import pytest
import torch
from torch.nn import functional as F


class State(dict):
    """Tensors by name, drawn as they are named."""

    def __init__(self):
        super().__init__()
        self.generator = torch.Generator().manual_seed(0)

    def draw(self, name, *shape):
        scale = 0.3 if len(shape) == 1 else math.prod(shape[1:]) ** -0.5
        self[name] = scale * torch.randn(shape, generator=self.generator)
        if len(shape) == 1 and "norm" in name.lower():
            self[name] += 1

    def layer(self, name, *shape):
        self.draw(f"{name}.weight", *shape)
        self.draw(f"{name}.bias", shape[0])

    def linear(self, name, x):
        return F.linear(x, self[f"{name}.weight"], self[f"{name}.bias"])

    def conv(self, name, x, **options):
        weight = self[f"{name}.weight"]
        return F.conv2d(x, weight, self[f"{name}.bias"], **{"padding": weight.shape[-1] // 2, **options})

    def norm(self, name, x, groups, eps):
        return F.group_norm(x, groups, self[f"{name}.weight"], self[f"{name}.bias"], eps)

    @staticmethod
    def attention(q, k, v):
        """Of queries, keys and values (..., channels, pixels)."""
        weights = torch.softmax(q.transpose(-1, -2) @ k / q.shape[-2] ** 0.5, dim=-1)
        return v @ weights.transpose(-1, -2)

    @staticmethod
    def rates(count, divisor):
        return torch.tensor([10000 ** (-i / divisor) for i in range(count)])


@pytest.fixture
def state():
    return State()


@pytest.fixture
def images():
    return torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(5))
