"""Flows whose weights are not those of the identity."""

import copy

import pytest
import torch


@pytest.fixture(scope="session")
def perturbed():
    def perturb(module, std=0.1):
        """A copy in double precision, with noise in each parameter."""
        module, generator = copy.deepcopy(module).double(), torch.Generator().manual_seed(0)
        for parameter in module.parameters():
            parameter.data += std * torch.randn(parameter.shape, generator=generator)
        return module.requires_grad_(False)

    return perturb


@pytest.fixture(scope="session")
def random_flow(perturbed):
    def build(flow, std=0.1):
        """The same flow with noise in its weights."""
        return flow.with_networks({name: perturbed(each, std) for name, each in flow.networks().items()})

    return build
