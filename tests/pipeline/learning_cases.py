"""The families that `invgen train` learns, each with options by which it learns in a moment.

    python learning_cases.py NAME DATA OUTPUT STEP...

trains one, is killed in the middle of the first step, goes on from there, and is killed in the next.
"""

import functools
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

import invgen.priors.training
from invgen.pipeline import training
from invgen.pipeline.learning import FAMILIES, Learning
from invgen.pipeline.options import option
from invgen.pipeline.quantities import Between
from invgen.pipeline.values import Count
from invgen.priors.files import loading
from invgen.priors.nets.architectures import ARCHITECTURES
from invgen.priors.training import engine

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.priors import toy_families

STEPS = 6


@dataclass(frozen=True)
class AffineLearning(Learning):
    """Learn independent Gaussian pixels."""

    prior = "tests.priors.toy_families.Affine"

    spread: float | None = option(Between(), "Of the pixels.")


@dataclass(frozen=True)
class PixelsLearning(Learning):
    """Learn independent pixels of a few levels."""

    prior = "tests.priors.toy_families.Pixels"

    levels: int | None = option(Count(2), "Number of levels.")


#: The two of these tests.
TOYS = {"affine": AffineLearning, "pixels": PixelsLearning}

#: Of each family the options of its own, for images of 8 x 8 pixels.
CASES = {
    "affine": {"spread": 0.3},
    "pixels": {"levels": 4},
    "gan": {"latent": 4, "widths": (8, 4)},
    "vae": {"latent": 3, "widths": (8,)},
    "hierarchical-vae": {"latent": (2, 1), "widths": (8,)},
    "vq-vae": {"codes": 5, "widths": (8, 8)},
    "flow": {"scales": 1, "width": 8},
    "autoregressive": {"width": 8, "layers": 1, "mixtures": 2},
    "energy": {"widths": (8, 8), "langevin_steps": 2},
    "autoencoder": {"widths": (8,)},
}


def register(setitem=dict.__setitem__):
    """Make the toy families known, as those of the package are."""
    for name, kind in TOYS.items():
        setitem(FAMILIES, name, kind)
    for family in (toy_families.Affine, toy_families.Pixels):
        setitem(loading.FAMILIES, family.family, family)
    setitem(ARCHITECTURES, "Table", toy_families.Table)
    # pictures of some families take longer than their steps
    setitem(vars(training), "_SHOWS", 2)


def options(name, **more):
    """The options of a case, of a short run."""
    return FAMILIES[name](**{"steps": STEPS, "batch": 4, **CASES.get(name, {}), **more})


def _kill_in(step):
    """End this process in the middle of a step, with the states of all steps before it saved."""
    update, every_minute = engine._Run._update, invgen.priors.training.Training

    def killing(run, part, turn):
        loss = update(run, part, turn)
        if run.step == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return loss

    engine._Run._update = killing
    invgen.priors.training.Training = functools.partial(every_minute, save_seconds=0.0)


if __name__ == "__main__":
    name, data, output, *steps = sys.argv[1:]
    torch.set_num_threads(1)
    register()
    for step in map(int, steps):
        # nothing has been computed here: a process that is split off starts as this one did
        child = os.fork()
        if child == 0:
            _kill_in(step)
            training.learn(Path(data), Path(output), options(name), notice=print)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL
        state = torch.load(Path(output).with_suffix(".run") / "state.pt", weights_only=True)
        assert state["step"] == step
        assert not Path(output).exists()
