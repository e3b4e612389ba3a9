"""score_sde: width 16, multipliers (1, 2), one block, attention at the coarser resolution."""

import math

import pytest
import torch
from torch.nn import functional as F

import invgen as ig
from invgen.core.errors import FileError, ParameterError
from invgen.priors.files import score_sde
from invgen.priors.nets.ncsnpp import NCSNpp

CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def song(state, kind):
    """Of the kinds "residual" and "skip" (NCSN++), and "plain" (DDPM++)."""
    numbers = iter(range(100))

    def name():
        return f"all_modules.{next(numbers)}"

    def residual(inputs, outputs, resample=False):
        at = name()
        state.layer(f"{at}.GroupNorm_0", inputs)
        state.layer(f"{at}.Conv_0", outputs, inputs, 3, 3)
        state.layer(f"{at}.Dense_0", outputs, 64)
        state.layer(f"{at}.GroupNorm_1", outputs)
        state.layer(f"{at}.Conv_1", outputs, outputs, 3, 3)
        if inputs != outputs or resample:
            state.layer(f"{at}.Conv_2", outputs, inputs, 1, 1)

    def attends():
        at = name()
        state.layer(f"{at}.GroupNorm_0", 32)
        for i in range(4):
            state.draw(f"{at}.NIN_{i}.W", 32, 32)
            state.draw(f"{at}.NIN_{i}.b", 32)

    state["sigmas"] = torch.exp(torch.linspace(math.log(50), math.log(0.01), 1000, dtype=torch.float64))
    if kind != "plain":
        state.draw(f"{name()}.W", 16)
    state.layer(name(), 64, 16 if kind == "plain" else 32)
    state.layer(name(), 64, 64)
    state.layer(name(), 16, 3, 3, 3)
    residual(16, 16)
    residual(16, 16, True)
    if kind == "residual":
        state.layer(f"{name()}.Conv2d_0", 16, 3, 3, 3)
    elif kind == "skip":
        name()  # the filter alone
        state.layer(f"{name()}.Conv_0", 16, 3, 1, 1)
    residual(16, 32)
    attends()
    residual(32, 32)
    attends()
    residual(32, 32)
    residual(64, 32)
    residual(48, 32)
    attends()
    if kind == "skip":
        state.layer(name(), 32)
        state.layer(name(), 3, 32, 3, 3)
    residual(32, 32, True)
    residual(48, 16)
    residual(32, 16)
    if kind == "skip":
        name()
    state.layer(name(), 16)
    state.layer(name(), 3, 16, 3, 3)


def filtered(x, pad, gain=1.0):
    """The filter (1, 3, 3, 1) in both directions, the image padded by zeros before and after."""
    taps = torch.tensor([1.0, 3, 3, 1]) / 8
    kernel = (gain * torch.outer(taps, taps))[None, None].repeat(x.shape[1], 1, 1, 1)
    return F.conv2d(F.pad(x, (*pad, *pad)), kernel, groups=x.shape[1])


def smooth_down(x):
    return filtered(x, (1, 1))[..., ::2, ::2]


def smooth_up(x):
    sparse = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    sparse[..., ::2, ::2] = x
    return filtered(sparse, (2, 1), 4)


def mean_down(x):
    return F.avg_pool2d(x, 2)


def repeated_up(x):
    return x.repeat_interleave(2, -1).repeat_interleave(2, -2)


def song_output(state, kind, x, time):
    """What the network puts out for images in [-1, 1], not divided by sigma."""
    numbers = iter(range(100))
    down, up = (mean_down, repeated_up) if kind == "plain" else (smooth_down, smooth_up)

    def name():
        return f"all_modules.{next(numbers)}"

    def groups(at, x):
        return state.norm(at, x, x.shape[1] // 4, 1e-6)

    if kind == "plain":
        phases = time[:, None] * state.rates(8, 7)
    else:
        phases = 2 * math.pi * time.log()[:, None] * state[f"{name()}.W"]
    e = torch.cat([phases.sin(), phases.cos()], 1)
    e = state.linear(name(), e)
    e = state.linear(name(), F.silu(e))

    def residual(x, resample=None):
        at, change = name(), resample or (lambda x: x)
        h = change(F.silu(groups(f"{at}.GroupNorm_0", x)))
        h = state.conv(f"{at}.Conv_0", h) + state.linear(f"{at}.Dense_0", F.silu(e))[:, :, None, None]
        h = state.conv(f"{at}.Conv_1", F.silu(groups(f"{at}.GroupNorm_1", h)))
        x = change(x)
        x = state.conv(f"{at}.Conv_2", x) if f"{at}.Conv_2.weight" in state else x
        return (x + h) / math.sqrt(2)

    def attends(x):
        at = name()
        h = groups(f"{at}.GroupNorm_0", x)

        def mix(i, h):
            columns = torch.einsum("nchw,cd->ndhw", h, state[f"{at}.NIN_{i}.W"])
            return columns + state[f"{at}.NIN_{i}.b"][:, None, None]

        mixed = state.attention(*(mix(i, h).flatten(2) for i in range(3))).reshape(x.shape)
        return (x + mix(3, mixed)) / math.sqrt(2)

    first = state.conv(name(), x)
    second = residual(first)
    third = residual(second, down)
    if kind == "residual":
        at = f"{name()}.Conv2d_0"
        smaller = F.conv2d(filtered(x, (2, 2)), state[f"{at}.weight"], state[f"{at}.bias"], stride=2)
        third = (smaller + third) / math.sqrt(2)
    elif kind == "skip":
        name()
        third = state.conv(f"{name()}.Conv_0", smooth_down(x)) + third
    fourth = attends(residual(third))
    h = residual(attends(residual(fourth)))
    h = residual(torch.cat([h, fourth], 1))
    h = attends(residual(torch.cat([h, third], 1)))
    if kind == "skip":
        at = name()
        shown = F.silu(groups(at, h))
        shown = state.conv(name(), shown)
    h = residual(h, up)
    h = residual(torch.cat([h, second], 1))
    h = residual(torch.cat([h, first], 1))
    if kind == "skip":
        name()
        shown = smooth_up(shown)
    at = name()
    last = state.conv(name(), F.silu(groups(at, h)))
    return last + shown if kind == "skip" else last


def with_averages(state):
    """A training state: weights of the last step, which nobody wants, and their running means as a list."""
    learned = [name for name in state if name not in ("sigmas", "all_modules.0.W")]
    last = {
        f"module.{name}": torch.zeros_like(state[name]) if name in learned else state[name] for name in state
    }
    means = {"decay": 0.999, "num_updates": 7, "shadow_params": [state[name] for name in learned]}
    return {"optimizer": {"state": {}}, "model": last, "ema": means, "step": 7}


@pytest.mark.parametrize("kind", ["residual", "skip"])
def test_score_sde_variance_exploding(tmp_path, state, images, kind):
    """Data in [0, 1], sigma in their units, and the output divided by it."""
    song(state, kind)
    torch.save(with_averages(state), tmp_path / "checkpoint_24.pth")
    prior = ig.priors.load(tmp_path / "checkpoint_24.pth")
    sigma = torch.tensor([0.3, 2.0])
    score = song_output(state, kind, 2 * images - 1, sigma) / sigma[:, None, None, None]
    exact = images + sigma[:, None, None, None] ** 2 * score
    assert torch.allclose(prior.denoise(images, sigma), exact, **CLOSE)
    assert prior.sigma_range == pytest.approx((0.02, 100.0))  # in [-1, 1], twice those of the file


def test_score_sde_variance_preserving(tmp_path, state, images):
    song(state, "plain")
    torch.save(with_averages(state), tmp_path / "checkpoint_8.pth")
    prior = ig.priors.load(tmp_path / "checkpoint_8.pth")
    t = torch.tensor([0.1, 0.4], dtype=torch.float64)
    alpha = torch.exp(-(t**2) * 19.9 / 4 - t * 0.05)
    sigma = ((1 - alpha**2).sqrt() / alpha).float()
    x, alpha = 2 * images - 1, alpha.float()[:, None, None, None]
    noise = song_output(state, "plain", alpha * x, 999 * t.float())
    exact = (x - sigma[:, None, None, None] * noise + 1) / 2
    assert torch.allclose(prior.denoise(images, sigma / 2), exact, **CLOSE)


def test_score_sde_discrete_variance_exploding_counts_from_the_highest_noise(tmp_path, state, images):
    song(state, "plain")
    torch.save(with_averages(state), tmp_path / "checkpoint.pth")
    prior = ig.priors.load(tmp_path / "checkpoint.pth", sde="ve-discrete")
    sigma = state["sigmas"][[30, 600]].float()
    output = song_output(state, "plain", 2 * images - 1, torch.tensor([30.0, 600.0]))
    exact = images + sigma[:, None, None, None] * output  # the score is the output by sigma
    assert torch.allclose(prior.denoise(images, sigma), exact, rtol=1e-4, atol=1e-3)


def test_score_sde_says_what_does_not_fit(tmp_path, state):
    song(state, "residual")
    content = with_averages(state)
    content["ema"]["shadow_params"].pop()
    torch.save(content, tmp_path / "checkpoint.pth")
    with pytest.raises(FileError, match="running means that do not fit"):
        ig.priors.load(tmp_path / "checkpoint.pth")
    torch.save(with_averages(state), tmp_path / "checkpoint.pth")
    with pytest.raises(ParameterError, match="Fourier"):
        ig.priors.load(tmp_path / "checkpoint.pth", sde="vp")


@pytest.mark.parametrize("attends", [(), (1,), (0, 2)])
@pytest.mark.parametrize(
    ("pyramid", "output_pyramid", "fourier"),
    [("residual", False, True), ("input_skip", True, True), ("none", False, False)],
)
def test_the_layout_is_read_from_the_names(attends, pyramid, output_pyramid, fourier):
    options = {"pyramid": pyramid, "output_pyramid": output_pyramid, "fourier": fourier}
    network = NCSNpp(1, 16, (1, 1, 2), 2, attention=attends, **options)
    prior = score_sde.read(network.state_dict(), image_shape=(8, 8))
    assert prior.sample(2, 0, steps=3).isfinite().all()
    assert score_sde.read(network.state_dict()).denoise(torch.rand(4, 8), 0.3).shape == (4, 8)
