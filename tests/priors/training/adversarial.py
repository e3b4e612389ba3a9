"""A generative adversarial network of vectors, small enough to be trained in a test.

    python adversarial.py FOLDER STEP

trains it, and kills the process in the middle of a step.
"""

import os
import signal
import sys
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from invgen.priors.training import Training, Update

MEAN = torch.tensor([2.0, -1.0])

TRAINING = Training(steps=12, learning_rate=0.02, warmup=3, average=0.2, log_every=3, save_seconds=0.0)

#: Updates of the discriminator in each step.
COUNT = 3


def networks():
    """With a running mean and with dropout, which are state and chance that a resumed run must repeat."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        critic = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 1))
        maker = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    return critic, maker


def updates(killed_at=None, seen=None):
    """The discriminator and the generator of Goodfellow et al. (2014), with the loss that does not saturate.

    Parameters
    ----------
    killed_at : int, optional
        The update of the generator in which the process ends.
    seen : list, optional
        Gets the name of each update.
    """
    seen = [] if seen is None else seen

    def discriminate(modules, generator):
        seen.append("discriminator")
        real = MEAN + torch.randn(8, 2, generator=generator)
        with torch.no_grad():
            made = modules["generator"](torch.randn(8, 2, generator=generator))
        critic = modules["discriminator"]
        return F.softplus(-critic(real)).mean() + F.softplus(critic(made)).mean()

    def generate(modules, generator):
        seen.append("generator")
        if seen.count("generator") == killed_at:
            os.kill(os.getpid(), signal.SIGKILL)
        made = modules["generator"](torch.randn(8, 2, generator=generator))
        return F.softplus(-modules["discriminator"](made)).mean()

    critic, maker = networks()
    fast = partial(torch.optim.Adam, betas=(0.5, 0.9))
    return {
        "discriminator": Update(critic, discriminate, COUNT, 0.05, fast),
        "generator": Update(maker, generate, optimizer=partial(torch.optim.RMSprop, alpha=0.9)),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    TRAINING.jointly(updates(killed_at=int(sys.argv[2])), sys.argv[1])
