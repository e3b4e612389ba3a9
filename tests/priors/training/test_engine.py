"""The loop of training: resumed, averaged, logged, stopped."""

import errno
import math

import pytest
import torch
from torch import nn

from invgen.core.errors import DivergenceError, FileError, InvgenWarning, ParameterError
from invgen.priors.nets import EDM, UNet
from invgen.priors.training import ScoreMatching, Training, read_log

IMAGES = list(torch.randn(12, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
OBJECTIVE = ScoreMatching(IMAGES, batch_size=4)


def network(width=4):
    torch.manual_seed(0)
    return EDM(UNet(widths=(width,), blocks=1, dropout=0.2), sigma_data=1.0)


def weights(module):
    return torch.cat([p.flatten() for p in module.state_dict().values()])


class Killed(BaseException):
    """As if the process were gone: nothing is saved."""


def killed_at(step, error):
    def objective(module, generator, count=[0]):  # noqa: B006
        count[0] += 1
        if count[0] > step:
            raise error
        return OBJECTIVE(module, generator)

    return objective


@pytest.mark.parametrize("error", [Killed, KeyboardInterrupt])
def test_a_run_that_was_stopped_gives_the_bits_of_one_that_was_not(error, tmp_path):
    training = Training(steps=14, warmup=3, log_every=2, save_seconds=0.0)
    undisturbed = training(network(), OBJECTIVE, tmp_path / "a")
    with pytest.raises(error):
        training(network(), killed_at(9, error), tmp_path / "b")
    resumed = training(network(), OBJECTIVE, tmp_path / "b")
    assert torch.equal(weights(resumed), weights(undisturbed))
    a, b = (read_log(tmp_path / name) for name in "ab")
    assert [row["step"] for row in a] == [row["step"] for row in b] == [str(k) for k in range(2, 15, 2)]
    assert a[-1]["loss"] == b[-1]["loss"]


def test_ctrl_c_saves_the_steps_so_far(tmp_path):
    training = Training(steps=14, warmup=3, save_seconds=math.inf)
    with pytest.raises(KeyboardInterrupt):
        training(network(), killed_at(9, KeyboardInterrupt), tmp_path)
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] == 9


def test_rows_after_a_lost_state_are_written_once(tmp_path):
    training = Training(steps=10, log_every=1, save_seconds=math.inf)
    with pytest.raises(KeyboardInterrupt):
        training(network(), killed_at(4, KeyboardInterrupt), tmp_path)
    with pytest.raises(Killed):  # the log is further than the state
        training(network(), killed_at(3, Killed), tmp_path)
    assert len(read_log(tmp_path)) == 7
    training(network(), OBJECTIVE, tmp_path)
    assert [int(row["step"]) for row in read_log(tmp_path)] == list(range(1, 11))


def test_a_run_that_is_finished_is_not_trained_again(tmp_path):
    training = Training(steps=5)
    first = training(network(), OBJECTIVE, tmp_path)
    again = training(network(), killed_at(0, Killed), tmp_path)
    assert torch.equal(weights(first), weights(again))


def test_averages_are_exponential_with_a_half_life_of_a_fraction_of_the_steps(tmp_path):
    seen = []

    def objective(module, generator):
        seen.append(weights(module).clone())
        return OBJECTIVE(module, generator)

    steps, fraction = 40, 0.1
    found = Training(steps, 0.05, warmup=1, average=fraction)(network(), objective, tmp_path)
    last = torch.load(tmp_path / "state.pt", weights_only=True)["modules"]["network"]["weights"]
    expected = seen[0].double()
    for k, value in enumerate([*seen[1:], torch.cat([p.flatten() for p in last.values()])], start=1):
        keep = 2 ** -(1 / max(1.0, fraction * k))
        expected = keep * expected + (1 - keep) * value.double()
    assert torch.allclose(weights(found).double(), expected, atol=1e-6)
    assert not torch.allclose(weights(found), seen[-1], atol=1e-3)


def test_the_module_that_is_given_stays_as_it_is(tmp_path):
    module = network()
    before = weights(module).clone()
    Training(steps=3)(module, OBJECTIVE, tmp_path)
    assert torch.equal(weights(module), before)


def test_the_seed_decides(tmp_path):
    found = [Training(steps=3, warmup=1, seed=s)(network(), OBJECTIVE, tmp_path / n) for n, s in
             (("a", 0), ("b", 0), ("c", 1))]  # fmt: skip
    assert torch.equal(weights(found[0]), weights(found[1]))
    assert not torch.equal(weights(found[0]), weights(found[2]))


def test_global_random_numbers_neither_decide_nor_change(tmp_path):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = Training(steps=3)(module := network(), OBJECTIVE, tmp_path / "a")
    torch.manual_seed(6)
    second = Training(steps=3)(module, OBJECTIVE, tmp_path / "b")
    assert torch.equal(weights(first), weights(second))
    torch.manual_seed(5)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("gradient", [False, True])
def test_what_diverges_raises_and_leaves_the_last_state(gradient, tmp_path):
    steps = []

    def objective(module, generator):
        loss = OBJECTIVE(module, generator)
        steps.append(loss)
        if len(steps) < 5:
            return loss
        # the root of zero is finite, its slope is not
        return (loss - loss.detach()).abs().sqrt() if gradient else loss * math.nan

    with pytest.raises(DivergenceError, match="at step 4"):
        Training(steps=9, save_seconds=0.0)(network(), objective, tmp_path)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert state["step"] == 4
    assert all(bool(value.isfinite().all()) for value in state["modules"]["network"]["weights"].values())


def test_bf16_and_float32_follow_each_other_in_one_process(tmp_path):
    kinds = []

    class Watched(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(2, 2)

        def forward(self):
            result = self.linear(torch.ones(1, 2))
            kinds.append(result.dtype)
            return result.float().square().mean()

    for precision in ("no", "bf16", "no"):
        found = Training(steps=1, precision=precision)(
            Watched(), lambda m, g: m(), tmp_path / str(len(kinds))
        )
        assert found.linear.weight.dtype == torch.float32
    assert kinds == [torch.float32, torch.bfloat16, torch.float32]


def test_a_folder_of_another_network_is_refused(tmp_path):
    Training(steps=2)(network(4), OBJECTIVE, tmp_path)
    with pytest.raises(FileError, match="another folder"):
        Training(steps=2)(network(8), OBJECTIVE, tmp_path)
    (tmp_path / "state.pt").write_bytes(b"nothing")
    with pytest.raises(FileError, match="not the state"):
        Training(steps=2)(network(4), OBJECTIVE, tmp_path)


def test_validation_is_of_the_average_and_logged(tmp_path):
    def validate(module, step):
        assert not module.training
        return {"twice": 2.0 * step}

    found = Training(steps=6, log_every=3, validate_every=4)(network(), OBJECTIVE, tmp_path, validate)
    assert isinstance(found, EDM)
    rows = read_log(tmp_path)
    assert [(row["step"], row["twice"]) for row in rows] == [("3", ""), ("4", "8.0"), ("6", "12.0")]


@pytest.mark.parametrize(
    "given", [{"steps": 0}, {"learning_rate": 0.0}, {"average": 1.0}, {"precision": "fp8"}, {"seed": -1}]
)
def test_what_is_no_training(given):
    with pytest.raises(ParameterError):
        Training(**given)


def test_what_training_gave_can_be_trained_further(tmp_path):
    first = Training(2, precision="no")(network(), OBJECTIVE, tmp_path / "first")
    second = Training(2, precision="no", seed=1)(first, OBJECTIVE, tmp_path / "second")
    assert not torch.equal(weights(second), weights(first))


DAMAGE = {
    "missing": None,
    "empty": b"",
    "cut": b"step,loss,seconds\n1,0.5,0.1\n2,0.",
    "no text": b"\xff\xfe\x00\x00\n\x00,,,\n",
    "no columns": b"a\nb\n",
    "long": b"step,loss,seconds\n1,0.5,0.1,9,9,9\n2,x,0.1\n" + b"9" * 200_000,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_log_is_no_obstacle(tmp_path, damage):
    training = Training(steps=6, warmup=3, log_every=1)
    with pytest.raises(KeyboardInterrupt):
        training(network(), killed_at(3, KeyboardInterrupt), tmp_path)
    path = tmp_path / "log.csv"
    path.unlink()
    if DAMAGE[damage] is not None:
        path.write_bytes(DAMAGE[damage])
    undisturbed = training(network(), OBJECTIVE, tmp_path / "whole")
    assert torch.equal(weights(training(network(), OBJECTIVE, tmp_path)), weights(undisturbed))
    assert [int(row["step"]) for row in read_log(tmp_path)][-3:] == [4, 5, 6]


def test_a_full_disk_does_not_stop_a_training(tmp_path, monkeypatch):
    """Neither the state nor the log can be written; the weights are there."""

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    training = Training(steps=4, warmup=2, log_every=1, save_seconds=0.0)
    undisturbed = training(network(), OBJECTIVE, tmp_path / "whole")
    monkeypatch.setattr("os.replace", full)
    with pytest.warns(InvgenWarning, match="the disk is full"):
        trained = training(network(), OBJECTIVE, tmp_path / "full")
    assert torch.equal(weights(trained), weights(undisturbed))
    assert not list((tmp_path / "full").iterdir())


@pytest.mark.parametrize("content", [b"", b"PK", b"\x80\x04N.", b"\0" * 1000])
def test_a_state_that_is_none_is_refused_in_a_line(tmp_path, content):
    (tmp_path / "state.pt").write_bytes(content)
    with pytest.raises(FileError, match=r"state.pt is (empty|not the state)") as raised:
        Training(steps=2)(network(), OBJECTIVE, tmp_path)
    assert str(raised.value).isprintable()


def test_what_is_learned_is_kept_before_it_is_judged(tmp_path):
    """A run that is killed in its last validation has its weights, and is judged when it goes on."""
    training = Training(steps=3, warmup=2, log_every=2, save_seconds=math.inf)

    def killed(module, step):
        raise Killed

    with pytest.raises(Killed):
        training(network(), OBJECTIVE, tmp_path, killed)
    trained = training(network(), killed_at(0, Killed), tmp_path, lambda module, step: {"quality": 1.0})
    row = read_log(tmp_path)[-1]
    assert (row["step"], row["quality"]) == ("3", "1.0")
    assert torch.equal(weights(trained), weights(training(network(), OBJECTIVE, tmp_path / "whole")))
