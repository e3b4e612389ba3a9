"""A network that several threads denoise with, while its owner trains it."""

import copy
import threading

import pytest
import torch
from torch import nn

from invgen.priors import Diffusion, NetworkDenoiser
from invgen.priors.nets.following import Following

from ...contracts.numbers import normal


class Net(nn.Module):
    """Batch statistics and dropout: in training it would give other images, and other ones each time."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.norm, self.dropout = nn.BatchNorm2d(4), nn.Dropout(0.5)
        self.last = nn.Conv2d(4, 1, 3, padding=1)

    def forward(self, x, sigma, label=None, extra=None):
        return self.last(self.dropout(self.norm(self.first(x)).relu()))


@pytest.mark.parametrize(
    "make", [lambda net: NetworkDenoiser(net, (0, 1)), Diffusion], ids=["NetworkDenoiser", "Diffusion"]
)
def test_denoising_while_the_owner_trains_gives_the_same_bits_and_leaves_the_mode(make):
    torch.manual_seed(0)
    net = Net()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
    x = normal(2, 12, 13, dtype=torch.float32)
    plain = copy.deepcopy(net)
    prior = make(net)
    expected = {dtype: make(plain).denoise(x.to(dtype), 0.1) for dtype in (torch.float32, torch.float64)}
    stop, wrong = threading.Event(), []

    def hammer(dtype):
        for _ in range(150):
            if not torch.equal(prior.denoise(x.to(dtype), 0.1), expected[dtype]):
                wrong.append(dtype)
        stop.set()

    threads = [threading.Thread(target=hammer, args=(dtype,)) for dtype in (*expected, *expected)]
    for thread in threads:
        thread.start()
    modes = set()
    while not (modes and stop.is_set()):
        net.train()
        optimizer.zero_grad()
        net(normal(3, 1, 8, 8, dtype=torch.float32), None).square().mean().backward()
        optimizer.step()
        modes.add(net.training)
    for thread in threads:
        thread.join()
    assert not wrong
    assert modes == {True}
    assert all(parameter.requires_grad for parameter in net.parameters())
    assert not torch.equal(net.first.weight, plain.first.weight)  # the owner has trained
    assert not any(module.training for module in prior._network.module.modules())


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_of_the_owners_network_is_what_it_was(training):
    net = Net().train(training)
    prior = NetworkDenoiser(net, (0, 1))
    prior.denoise(normal(4, 5), 0.1)
    assert net.training == training
    assert all(module.training == training for module in net.modules())


def test_there_is_one_copy_for_each_precision_and_none_for_its_own():
    following = Following(Net())
    assert following.like(torch.zeros(1)) is following.module
    double = following.like(torch.zeros(1, dtype=torch.float64))
    assert double is following.like(torch.ones(2, dtype=torch.float64))
    assert next(double.parameters()).dtype == torch.float64
    assert next(following.module.parameters()).dtype == torch.float32


def test_threads_that_come_at_the_same_time_share_a_copy():
    following, found, start = Following(Net()), [], threading.Barrier(6)

    def ask():
        start.wait()
        found.append(following.like(torch.zeros(1, dtype=torch.float64)))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(module is found[0] for module in found)
