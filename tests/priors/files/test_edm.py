"""EDM: width 16 (ADM: 64), multipliers (1, 2), one block, images of 8 x 8, attention at 4 x 4."""

import math

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

import invgen as ig
from invgen.priors.files import edm
from invgen.priors.nets.dhariwal import DhariwalUNet
from invgen.priors.nets.songunet import SongUNet


def block(state, at, inputs, outputs, e, song, taps, resample=False, attends=False):
    state.layer(f"{at}.norm0", inputs)
    state.layer(f"{at}.conv0", outputs, inputs, 3, 3)
    state.layer(f"{at}.affine", outputs if song else 2 * outputs, e)
    state.layer(f"{at}.norm1", outputs)
    state.layer(f"{at}.conv1", outputs, outputs, 3, 3)
    if inputs != outputs or (resample and song):
        state.layer(f"{at}.skip", outputs, inputs, 1, 1)
    if resample:
        line = torch.tensor([1.0, 1] if taps == 2 else [1.0, 3, 3, 1])
        for part in ("conv0", "skip"):
            state[f"{at}.{part}.resample_filter"] = torch.outer(line, line)[None, None] / line.sum() ** 2
    if attends:
        state.layer(f"{at}.norm2", outputs)
        state.layer(f"{at}.qkv", 3 * outputs, outputs, 1, 1)
        state.layer(f"{at}.proj", outputs, outputs, 1, 1)


def network(state, kind):
    """ "ncsnpp" and "ddpmpp", which are SongUNet, and "adm", which is DhariwalUNet."""
    song, taps = kind != "adm", 4 if kind == "ncsnpp" else 2
    w, noise = (16, 32 if kind == "ncsnpp" else 16) if song else (64, 64)
    if kind == "ncsnpp":
        state.draw("model.map_noise.freqs", noise // 2)
    state.draw("model.map_augment.weight", noise, 9)
    state.layer("model.map_layer0", 4 * w, noise)
    state.layer("model.map_layer1", 4 * w, 4 * w)
    if song:
        state.layer("model.map_label", noise, 5)
    else:
        state.draw("model.map_label.weight", 4 * w, 5)

    def add(at, inputs, outputs, **options):
        block(state, f"model.{at}", inputs, outputs, 4 * w, song, taps, **options)

    state.layer("model.enc.8x8_conv", w, 3, 3, 3)
    add("enc.8x8_block0", w, w)
    add("enc.4x4_down", w, w, resample=True)
    if kind == "ncsnpp":
        state.layer("model.enc.4x4_aux_residual", w, 3, 3, 3)
        state["model.enc.4x4_aux_residual.resample_filter"] = state[
            "model.enc.4x4_down.conv0.resample_filter"
        ]
    add("enc.4x4_block0", w, 2 * w, attends=True)
    add("dec.4x4_in0", 2 * w, 2 * w, attends=True)
    add("dec.4x4_in1", 2 * w, 2 * w)
    add("dec.4x4_block0", 4 * w, 2 * w, attends=not song)
    add("dec.4x4_block1", 3 * w, 2 * w, attends=True)
    add("dec.8x8_up", 2 * w, 2 * w, resample=True)
    add("dec.8x8_block0", 3 * w, w)
    add("dec.8x8_block1", 2 * w, w)
    state.layer("model.dec.8x8_aux_norm" if song else "model.out_norm", w)
    state.layer("model.dec.8x8_aux_conv" if song else "model.out_conv", 3, w, 3, 3)


def output(state, kind, x, noise, one_hot):
    song, eps = kind != "adm", 1e-6 if kind != "adm" else 1e-5
    share = math.sqrt(0.5) if song else 1

    def resampled(x, kernel, way):
        pad = (kernel.shape[-1] - 1) // 2
        kernel = kernel.repeat(x.shape[1], 1, 1, 1)
        if way == "down":
            return F.conv2d(x, kernel, groups=x.shape[1], stride=2, padding=pad)
        return F.conv_transpose2d(x, 4 * kernel, groups=x.shape[1], stride=2, padding=pad)

    def groups(at, x):
        return state.norm(at, x, min(32, x.shape[1] // 4), eps)

    if kind == "ncsnpp":
        phases = noise[:, None] * 2 * math.pi * state["model.map_noise.freqs"]
    else:
        half = 8 if song else 32
        phases = noise[:, None] * state.rates(half, half - 1 if song else half)
    if song:  # the embedding is turned round, sines first
        e = torch.cat([phases.sin(), phases.cos()], 1)
        e = e + state.linear("model.map_label", one_hot * math.sqrt(5))
    else:
        e = torch.cat([phases.cos(), phases.sin()], 1)
    e = state.linear("model.map_layer1", F.silu(state.linear("model.map_layer0", e)))
    if not song:
        e = e + one_hot @ state["model.map_label.weight"].T
    e = F.silu(e)

    def through(at, x, way=None):
        at = f"model.{at}"
        h = F.silu(groups(f"{at}.norm0", x))
        h = state.conv(f"{at}.conv0", resampled(h, state[f"{at}.conv0.resample_filter"], way) if way else h)
        embedded = state.linear(f"{at}.affine", e)[:, :, None, None]
        if song:
            h = groups(f"{at}.norm1", h + embedded)
        else:
            scale, shift = embedded.chunk(2, 1)
            h = groups(f"{at}.norm1", h) * (scale + 1) + shift
        h = state.conv(f"{at}.conv1", F.silu(h))
        x = resampled(x, state[f"{at}.skip.resample_filter"], way) if way else x
        x = state.conv(f"{at}.skip", x) if f"{at}.skip.weight" in state else x
        x = (x + h) * share
        if f"{at}.qkv.weight" in state:
            n, c = x.shape[:2]
            heads = 1 if song else c // 64
            qkv = state.conv(f"{at}.qkv", groups(f"{at}.norm2", x)).reshape(n * heads, c // heads, 3, -1)
            mixed = state.attention(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]).reshape(x.shape)
            x = (x + state.conv(f"{at}.proj", mixed)) * share
        return x

    first = state.conv("model.enc.8x8_conv", x)
    second = through("enc.8x8_block0", first)
    third = through("enc.4x4_down", second, "down")
    if kind == "ncsnpp":
        at = "model.enc.4x4_aux_residual"
        small = F.conv2d(x, state[f"{at}.weight"], padding=2)
        small = F.conv2d(small, state[f"{at}.resample_filter"].repeat(16, 1, 1, 1), groups=16, stride=2)
        third = (third + small + state[f"{at}.bias"][:, None, None]) / math.sqrt(2)
    fourth = through("enc.4x4_block0", third)
    h = through("dec.4x4_in1", through("dec.4x4_in0", fourth))
    h = through("dec.4x4_block0", torch.cat([h, fourth], 1))
    h = through("dec.4x4_block1", torch.cat([h, third], 1))
    h = through("dec.8x8_up", h, "up")
    h = through("dec.8x8_block0", torch.cat([h, second], 1))
    h = through("dec.8x8_block1", torch.cat([h, first], 1))
    norm, conv = ("dec.8x8_aux_norm", "dec.8x8_aux_conv") if song else ("out_norm", "out_conv")
    return state.conv(f"model.{conv}", F.silu(groups(f"model.{norm}", h)))


@pytest.mark.parametrize("kind", ["ncsnpp", "ddpmpp", "adm"])
def test_edm(tmp_path, state, images, kind):
    network(state, kind)
    save_file({name: value.clone() for name, value in state.items()}, tmp_path / "edm.safetensors")
    prior = ig.priors.load(tmp_path / "edm.safetensors")
    sigma, x = torch.tensor([0.2, 3.0]), 2 * images - 1
    s = sigma[:, None, None, None]
    total = (s**2 + 0.25).sqrt()
    for label in (2, None):
        one_hot = torch.zeros(2, 5)
        if label is not None:
            one_hot[:, label] = 1
        found = output(state, kind, x / total, sigma.log() / 4, one_hot)
        exact = 0.25 / total**2 * x + 0.5 * s / total * found
        mine = prior.of_class(label).denoise(images, sigma / 2)
        assert torch.allclose(2 * mine - 1, exact, rtol=1e-4, atol=1e-4)
    assert prior.image_format.shape == (3, 8, 8)
    assert prior.classes == 5


@pytest.mark.parametrize("attends", [(), (1,), (0, 2)])
@pytest.mark.parametrize("kind", ["ncsnpp", "ddpmpp", "adm"])
def test_the_layout_is_read_from_the_names(attends, kind):
    if kind == "adm":
        network = DhariwalUNet(8, 1, 64, (1, 1, 2), 2, attention=attends)
    else:
        options = {"features": 32, "fourier": True, "residual": True, "taps": 4} if kind == "ncsnpp" else {}
        network = SongUNet(8, 1, 16, (1, 1, 2), 2, attention=attends, **options)
    prior = edm.read(network.state_dict())
    assert prior.sample(2, 0, steps=3).isfinite().all()
