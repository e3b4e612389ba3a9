"""Published networks: the layouts of their files, made here name by name, and what the networks then compute.

Each architecture is stated a second time, by functions of the file's tensors as the original code goes
through them; the numbers in the names are spelled out, so that a part in another place is found.
"""

import json
import math

import pytest
import torch
from torch.nn import functional as F

import invgen as ig
from invgen.errors import FileError, ParameterError, ShapeError

CLOSE = {"rtol": 1e-4, "atol": 1e-5}


class State(dict):
    """Tensors by name, drawn as they are named."""

    def __init__(self):
        super().__init__()
        self.generator = torch.Generator().manual_seed(0)

    def draw(self, name, *shape):
        spread = 0.3 if len(shape) == 1 else math.prod(shape[1:]) ** -0.5
        self[name] = spread * torch.randn(shape, generator=self.generator)
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


def attention(q, k, v):
    """Of (..., channels, pixels)."""
    weights = torch.softmax(q.transpose(-1, -2) @ k / q.shape[-2] ** 0.5, dim=-1)
    return v @ weights.transpose(-1, -2)


def rates(count, divisor):
    return torch.tensor([10000 ** (-i / divisor) for i in range(count)])


# guided-diffusion: width 32, multipliers (1, 2), one block, attention at the coarser resolution


def guided(classes, updown, scale_shift):
    state = State()

    def residual(name, inputs, outputs):
        state.layer(f"{name}.in_layers.0", inputs)
        state.layer(f"{name}.in_layers.2", outputs, inputs, 3, 3)
        state.layer(f"{name}.emb_layers.1", 2 * outputs if scale_shift else outputs, 128)
        state.layer(f"{name}.out_layers.0", outputs)
        state.layer(f"{name}.out_layers.3", outputs, outputs, 3, 3)
        if inputs != outputs:
            state.layer(f"{name}.skip_connection", outputs, inputs, 1, 1)

    def attends(name):
        state.layer(f"{name}.norm", 64)
        state.layer(f"{name}.qkv", 192, 64, 1)
        state.layer(f"{name}.proj_out", 64, 64, 1)

    state.layer("time_embed.0", 128, 32)
    state.layer("time_embed.2", 128, 128)
    if classes:
        state.draw("label_emb.weight", classes, 128)
    state.layer("input_blocks.0.0", 32, 3, 3, 3)
    residual("input_blocks.1.0", 32, 32)
    if updown:
        residual("input_blocks.2.0", 32, 32)
    else:
        state.layer("input_blocks.2.0.op", 32, 32, 3, 3)
    residual("input_blocks.3.0", 32, 64)
    attends("input_blocks.3.1")
    residual("middle_block.0", 64, 64)
    attends("middle_block.1")
    residual("middle_block.2", 64, 64)
    residual("output_blocks.0.0", 128, 64)
    attends("output_blocks.0.1")
    residual("output_blocks.1.0", 96, 64)
    attends("output_blocks.1.1")
    if updown:
        residual("output_blocks.1.2", 64, 64)
    else:
        state.layer("output_blocks.1.2.conv", 64, 64, 3, 3)
    residual("output_blocks.2.0", 96, 32)
    residual("output_blocks.3.0", 64, 32)
    state.layer("out.0", 32)
    state.layer("out.2", 6, 32, 3, 3)  # noise and its variance
    return state


def guided_noise(state, x, t, label, updown, scale_shift, heads, new_order):
    phases = t[:, None] * rates(16, 16)
    e = state.linear("time_embed.0", torch.cat([phases.cos(), phases.sin()], 1))
    e = state.linear("time_embed.2", F.silu(e))
    if label is not None:
        e = e + state["label_emb.weight"][label]

    def residual(name, x, resample=lambda x: x):
        h = F.silu(state.norm(f"{name}.in_layers.0", x, 32, 1e-5))
        h = state.conv(f"{name}.in_layers.2", resample(h))
        told = state.linear(f"{name}.emb_layers.1", F.silu(e))[:, :, None, None]
        if scale_shift:
            scale, shift = told.chunk(2, 1)
            h = state.norm(f"{name}.out_layers.0", h, 32, 1e-5) * (1 + scale) + shift
        else:
            h = state.norm(f"{name}.out_layers.0", h + told, 32, 1e-5)
        h = state.conv(f"{name}.out_layers.3", F.silu(h))
        x = resample(x)
        skip = f"{name}.skip_connection"
        return h + (state.conv(skip, x) if f"{skip}.weight" in state else x)

    def attends(name, x):
        c, flat = x.shape[1], x.flatten(2)
        h = state.norm(f"{name}.norm", flat, 32, 1e-5)
        qkv = F.conv1d(h, state[f"{name}.qkv.weight"], state[f"{name}.qkv.bias"])
        mixed = []
        for head in range(heads):
            size = c // heads
            if new_order:  # all the queries, then all the keys, then all the values
                q, k, v = (qkv[:, i * c + head * size : i * c + (head + 1) * size] for i in range(3))
            else:  # head after head
                q, k, v = (qkv[:, (3 * head + i) * size : (3 * head + i + 1) * size] for i in range(3))
            mixed.append(attention(q, k, v))
        h = F.conv1d(torch.cat(mixed, 1), state[f"{name}.proj_out.weight"], state[f"{name}.proj_out.bias"])
        return (flat + h).reshape(x.shape)

    def down(x):
        return F.avg_pool2d(x, 2)

    def up(x):
        return x.repeat_interleave(2, -1).repeat_interleave(2, -2)

    kept = [state.conv("input_blocks.0.0", x)]
    kept.append(residual("input_blocks.1.0", kept[-1]))
    if updown:
        kept.append(residual("input_blocks.2.0", kept[-1], down))
    else:
        kept.append(state.conv("input_blocks.2.0.op", kept[-1], stride=2))
    kept.append(attends("input_blocks.3.1", residual("input_blocks.3.0", kept[-1])))
    h = attends("middle_block.1", residual("middle_block.0", kept[-1]))
    h = residual("middle_block.2", h)
    h = residual("output_blocks.0.0", torch.cat([h, kept[3]], 1))
    h = attends("output_blocks.0.1", h)
    h = attends("output_blocks.1.1", residual("output_blocks.1.0", torch.cat([h, kept[2]], 1)))
    h = residual("output_blocks.1.2", h, up) if updown else state.conv("output_blocks.1.2.conv", up(h))
    h = residual("output_blocks.2.0", torch.cat([h, kept[1]], 1))
    h = residual("output_blocks.3.0", torch.cat([h, kept[0]], 1))
    return state.conv("out.2", F.silu(state.norm("out.0", h, 32, 1e-5)))[:, :3]


def images(channels=3, n=2):
    return torch.rand(n, channels, 8, 8, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize(
    ("classes", "updown", "scale_shift", "settings"),
    [
        (4, True, True, {}),
        (0, False, False, {"heads": 2, "new_attention_order": True}),
        (0, True, True, {"heads": 4}),
    ],
)
def test_guided_diffusion(tmp_path, classes, updown, scale_shift, settings):
    state = guided(classes, updown, scale_shift)
    torch.save(dict(state), tmp_path / "model.pt")
    prior = ig.priors.load(tmp_path / "model.pt", **settings)
    label = None
    if classes:
        with pytest.raises(ParameterError, match="of_class"):
            prior.denoise(images(), 0.1)
        prior, label = prior.of_class(3), torch.tensor([3, 3])
    kept = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)
    sigma = float((1 / kept[400] - 1).sqrt())  # in [-1, 1]; half of that in [0, 1]
    x = 2 * images() - 1
    seen = x * float(kept[400].sqrt())
    heads = settings.get("heads", 1)
    noise = guided_noise(
        state, seen, torch.tensor([400.0, 400.0]), label, updown, scale_shift, heads,
        settings.get("new_attention_order", False),
    )  # fmt: skip
    exact = (x - sigma * noise + 1) / 2
    assert torch.allclose(prior.denoise(images(), sigma / 2), exact, rtol=1e-4, atol=1e-4 * sigma)


def test_guided_diffusion_says_what_it_cannot_take(tmp_path):
    path = tmp_path / "model.pt"
    torch.save(dict(guided(0, True, True)), path)
    with pytest.raises(ShapeError, match="multiples of 2"):
        ig.priors.load(path).denoise(torch.rand(3, 7, 8), 0.1)
    with pytest.raises(ParameterError, match=r"\['shedule'\] are no settings.*schedule"):
        ig.priors.load(path, shedule="cosine")
    with pytest.raises(ParameterError, match="'quadratic'"):
        ig.priors.load(path, schedule="quadratic")
    with pytest.raises(ParameterError, match="family is one of"):
        ig.priors.load(path, family="magic")
    state = guided(0, True, True)
    del state["middle_block.1.norm.bias"]
    torch.save(dict(state), path)
    with pytest.raises(FileError, match=r"not laid out as published.*middle_block\.1\.norm\.bias"):
        ig.priors.load(path)


def test_settings_may_lie_beside_the_weights(tmp_path):
    path = tmp_path / "model.pt"
    torch.save(dict(guided(0, True, True)), path)
    cosine = ig.priors.load(path, schedule="cosine")
    (tmp_path / "model.json").write_text(json.dumps({"family": "guided-diffusion", "schedule": "cosine"}))
    assert torch.equal(ig.priors.load(path).denoise(images(), 0.4), cosine.denoise(images(), 0.4))
    linear = ig.priors.load(path, schedule="linear")
    assert not torch.allclose(linear.denoise(images(), 0.4), cosine.denoise(images(), 0.4), atol=1e-3)
    (tmp_path / "model.json").write_text("[1")
    with pytest.raises(FileError, match="no JSON"):
        ig.priors.load(path)


# score_sde: width 16, multipliers (1, 2), one block, attention at the coarser resolution


def song(kind):
    """Of the kinds "residual" and "skip" (NCSN++), and "plain" (DDPM++)."""
    state, numbers = State(), iter(range(100))

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
    return state


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
        phases = time[:, None] * rates(8, 7)
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

        mixed = attention(*(mix(i, h).flatten(2) for i in range(3))).reshape(x.shape)
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
def test_score_sde_variance_exploding(tmp_path, kind):
    """Data in [0, 1], told sigma in their units, and what comes out divided by it."""
    state = song(kind)
    torch.save(with_averages(state), tmp_path / "checkpoint_24.pth")
    prior = ig.priors.load(tmp_path / "checkpoint_24.pth")
    sigma = torch.tensor([0.3, 2.0])
    score = song_output(state, kind, 2 * images() - 1, sigma) / sigma[:, None, None, None]
    exact = images() + sigma[:, None, None, None] ** 2 * score
    assert torch.allclose(prior.denoise(images(), sigma), exact, **CLOSE)
    assert prior.sigma_range == pytest.approx((0.02, 100.0))  # in [-1, 1], twice those of the file


def test_score_sde_variance_preserving(tmp_path):
    state = song("plain")
    torch.save(with_averages(state), tmp_path / "checkpoint_8.pth")
    prior = ig.priors.load(tmp_path / "checkpoint_8.pth")
    t = torch.tensor([0.1, 0.4], dtype=torch.float64)
    alpha = torch.exp(-(t**2) * 19.9 / 4 - t * 0.05)
    sigma = ((1 - alpha**2).sqrt() / alpha).float()
    x, alpha = 2 * images() - 1, alpha.float()[:, None, None, None]
    noise = song_output(state, "plain", alpha * x, 999 * t.float())
    exact = (x - sigma[:, None, None, None] * noise + 1) / 2
    assert torch.allclose(prior.denoise(images(), sigma / 2), exact, **CLOSE)


def test_score_sde_discrete_variance_exploding_counts_from_the_highest_noise(tmp_path):
    state = song("plain")
    torch.save(with_averages(state), tmp_path / "checkpoint.pth")
    prior = ig.priors.load(tmp_path / "checkpoint.pth", sde="ve-discrete")
    sigma = state["sigmas"][[30, 600]].float()
    output = song_output(state, "plain", 2 * images() - 1, torch.tensor([30.0, 600.0]))
    exact = images() + sigma[:, None, None, None] * output  # the score is the output by sigma
    assert torch.allclose(prior.denoise(images(), sigma), exact, rtol=1e-4, atol=1e-3)


def test_score_sde_says_what_does_not_fit(tmp_path):
    content = with_averages(song("residual"))
    content["ema"]["shadow_params"].pop()
    torch.save(content, tmp_path / "checkpoint.pth")
    with pytest.raises(FileError, match="running means that do not fit"):
        ig.priors.load(tmp_path / "checkpoint.pth")
    torch.save(with_averages(song("residual")), tmp_path / "checkpoint.pth")
    with pytest.raises(ParameterError, match="Fourier"):
        ig.priors.load(tmp_path / "checkpoint.pth", sde="vp")
