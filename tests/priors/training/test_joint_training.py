"""Several networks that are trained together, each by its own objective and optimizer."""

import copy
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from invgen.core.errors import DtypeError, FileError, ParameterError
from invgen.priors.training import Training, Update, read_log


def weights(modules):
    return {
        f"{name}.{key}": value.clone()
        for name, module in modules.items()
        for key, value in module.state_dict().items()
    }


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.slow
def test_a_process_that_is_killed_in_a_step_and_resumed_gives_the_same_bits(
    adversarial, set_threads, tmp_path
):
    set_threads(1)
    whole = adversarial.TRAINING.jointly(adversarial.updates(), tmp_path / "whole")
    script = Path(__file__).parent / "adversarial.py"
    command = [sys.executable, str(script), str(tmp_path / "killed"), "8"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ})
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert torch.load(tmp_path / "killed" / "state.pt", weights_only=True)["step"] == 7
    seen = []
    resumed = adversarial.TRAINING.jointly(adversarial.updates(seen=seen), tmp_path / "killed")
    assert seen.count("generator") == 5
    assert same(weights(resumed), weights(whole))
    states = [torch.load(tmp_path / name / "state.pt", weights_only=True) for name in ("whole", "killed")]
    last = [{name: part["weights"] for name, part in state["modules"].items()} for state in states]
    assert all(
        torch.equal(last[0][name][key], last[1][name][key]) for name in last[0] for key in last[0][name]
    )
    logs = [[{**row, "seconds": ""} for row in read_log(tmp_path / name)] for name in ("whole", "killed")]
    assert logs[0] == logs[1]


def test_an_error_between_two_updates_leaves_the_state_of_the_last_whole_step(adversarial, tmp_path):
    """The discriminator has been updated then, and the generator has not: such a state is not saved."""

    class Stop(KeyboardInterrupt):
        pass

    whole = adversarial.TRAINING.jointly(adversarial.updates(), tmp_path / "whole")
    stopped, count = adversarial.updates(), []

    def interrupted(modules, generator):
        count.append(None)
        if len(count) == 6:
            raise Stop
        return adversarial.updates()["generator"].objective(modules, generator)

    stopped["generator"] = Update(
        stopped["generator"].module, interrupted, optimizer=stopped["generator"].optimizer
    )
    with pytest.raises(Stop):
        adversarial.TRAINING.jointly(stopped, tmp_path / "stopped")
    assert torch.load(tmp_path / "stopped" / "state.pt", weights_only=True)["step"] == 5
    resumed = adversarial.TRAINING.jointly(adversarial.updates(), tmp_path / "stopped")
    assert same(weights(resumed), weights(whole))


def test_each_module_is_updated_as_often_as_it_says_in_turn(adversarial, tmp_path):
    seen = []
    Training(2).jointly(adversarial.updates(seen=seen), tmp_path)
    assert seen == 2 * (["discriminator"] * adversarial.COUNT + ["generator"])
    state = torch.load(tmp_path / "state.pt", weights_only=True)["modules"]
    assert {float(s["step"]) for s in state["discriminator"]["optimizer"]["state"].values()} == {6.0}
    assert {float(s["step"]) for s in state["generator"]["optimizer"]["state"].values()} == {2.0}
    assert state["discriminator"]["optimizer"]["param_groups"][0]["betas"] == (0.5, 0.9)
    assert state["generator"]["optimizer"]["param_groups"][0]["alpha"] == 0.9


def test_learning_rates_rise_and_fall_from_each_modules_own(adversarial, tmp_path):
    training = Training(10, learning_rate=0.02, warmup=0, save_seconds=0.0)
    training.jointly(adversarial.updates(), tmp_path)
    state = torch.load(tmp_path / "state.pt", weights_only=True)["modules"]
    fallen = (1 + math.cos(math.pi * 9 / 10)) / 2
    for name, largest in (("discriminator", 0.05), ("generator", 0.02)):
        assert state[name]["optimizer"]["param_groups"][0]["lr"] == pytest.approx(largest * fallen)


def test_the_generator_moves_to_the_mean_of_the_data(adversarial, tmp_path):
    maker = Training(200, 0.02, warmup=10, average=0.2).jointly(adversarial.updates(), tmp_path)["generator"]
    with torch.no_grad():
        made = maker(torch.randn(2000, 2, generator=torch.Generator().manual_seed(5)))
    # more than half of the way from zero: where adversarial training ends differs from seed to seed
    assert float((made.mean(0) - adversarial.MEAN).norm()) < float(adversarial.MEAN.norm()) / 2


def test_the_log_has_the_loss_of_each_module_and_validation_sees_all_averages(adversarial, tmp_path):
    def validate(modules, step):
        assert set(modules) == {"discriminator", "generator"}
        assert not any(module.training for module in modules.values())
        return {"twice": 2.0 * step}

    training = Training(4, log_every=2, validate_every=4)
    training.jointly(adversarial.updates(), tmp_path, validate)
    rows = read_log(tmp_path)
    assert list(rows[0]) == ["step", "discriminator_loss", "generator_loss", "seconds", "twice"]
    assert [row["twice"] for row in rows] == ["", "8.0"]


def test_gradients_that_reach_another_module_are_discarded(tmp_path):
    """Each of two numbers falls along its own loss, though both losses depend on both."""

    class Number(nn.Module):
        def __init__(self, value):
            super().__init__()
            self.value = nn.Parameter(torch.tensor(value))

    def product(modules, generator):
        return modules["a"].value * modules["b"].value

    plain = torch.optim.SGD
    updates = {
        "a": Update(Number(2.0), product, 1, 0.1, plain),
        "b": Update(Number(0.5), product, 1, 0.1, plain),
    }
    Training(1, warmup=0).jointly(updates, tmp_path)
    state = torch.load(tmp_path / "state.pt", weights_only=True)["modules"]
    a = 2.0 - 0.1 * 0.5
    assert float(state["a"]["weights"]["value"]) == pytest.approx(a)
    assert float(state["b"]["weights"]["value"]) == pytest.approx(
        0.5 - 0.1 * 1.0
    )  # its gradient, a, is clipped


def test_what_is_no_joint_training(adversarial, tmp_path):
    module = nn.Linear(2, 2)

    def loss(modules, generator):
        return modules["a"].weight.sum()

    for error, given in [
        (DtypeError, (loss, loss)),
        (ParameterError, (module, loss, 0)),
        (ParameterError, (module, loss, True)),
        (ParameterError, (module, loss, 1, -1.0)),
    ]:
        with pytest.raises(error):
            Update(*given)
    with pytest.raises(ParameterError, match="at least one"):
        Training(1).jointly({}, tmp_path)
    Training(1).jointly(adversarial.updates(), tmp_path)
    with pytest.raises(FileError, match="modules discriminator, generator"):
        Training(1).jointly({"a": Update(module, loss)}, tmp_path)
    turned = dict(reversed(adversarial.updates().items()))
    with pytest.raises(FileError, match="another folder"):
        Training(1).jointly(turned, tmp_path)


def test_one_network_is_trained_by_adam_step_by_step(tmp_path):
    """The loop written out: the same bits."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.3), nn.Linear(4, 1))

    def objective(module, generator):
        x = torch.randn(6, 3, generator=generator)
        return (module(x) - x.sum(1, keepdim=True)).square().mean()

    training = Training(7, 0.03, warmup=3, average=0.3, seed=5)
    found = training(module, objective, tmp_path)

    trained, average = copy.deepcopy(module).train(), copy.deepcopy(module)
    optimizer = torch.optim.Adam(trained.parameters(), lr=0.03, betas=(0.9, 0.99))
    for step in range(7):
        numbers = np.random.SeedSequence(5, spawn_key=(step,)).generate_state(2)
        torch.manual_seed(int(numbers[1]))
        loss = objective(trained, torch.Generator().manual_seed(int(numbers[0])))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained.parameters(), 1.0)
        rate = 0.03 * min(1.0, (step + 1) / 3) * (1 + math.cos(math.pi * step / 7)) / 2
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        keep = 0.5 ** (1 / max(1.0, 0.3 * (step + 1)))
        with torch.no_grad():
            for name, value in average.state_dict().items():
                new = trained.state_dict()[name]
                value.lerp_(new, 1 - keep) if value.is_floating_point() else value.copy_(new)
    assert same(weights({"": found}), weights({"": average}))
