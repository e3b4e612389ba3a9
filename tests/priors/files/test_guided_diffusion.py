"""guided-diffusion: width 32, multipliers (1, 2), one block, attention at the coarser resolution."""

import json

import pytest
import torch
from torch.nn import functional as F

import invgen as ig
from invgen.core.errors import FileError, ParameterError, ShapeError
from invgen.priors.files import guided_diffusion
from invgen.priors.nets.guided import GuidedUNet


def guided(state, classes, updown, scale_shift):

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


def guided_noise(state, x, t, label, updown, scale_shift, heads, new_order):
    phases = t[:, None] * state.rates(16, 16)
    e = state.linear("time_embed.0", torch.cat([phases.cos(), phases.sin()], 1))
    e = state.linear("time_embed.2", F.silu(e))
    if label is not None:
        e = e + state["label_emb.weight"][label]

    def residual(name, x, resample=lambda x: x):
        h = F.silu(state.norm(f"{name}.in_layers.0", x, 32, 1e-5))
        h = state.conv(f"{name}.in_layers.2", resample(h))
        embedded = state.linear(f"{name}.emb_layers.1", F.silu(e))[:, :, None, None]
        if scale_shift:
            scale, shift = embedded.chunk(2, 1)
            h = state.norm(f"{name}.out_layers.0", h, 32, 1e-5) * (1 + scale) + shift
        else:
            h = state.norm(f"{name}.out_layers.0", h + embedded, 32, 1e-5)
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
            mixed.append(state.attention(q, k, v))
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


@pytest.mark.parametrize(
    ("classes", "updown", "scale_shift", "settings"),
    [
        (4, True, True, {}),
        (0, False, False, {"heads": 2, "new_attention_order": True}),
        (0, True, True, {"heads": 4}),
    ],
)
def test_guided_diffusion(tmp_path, state, images, classes, updown, scale_shift, settings):
    guided(state, classes, updown, scale_shift)
    torch.save(dict(state), tmp_path / "model.pt")
    prior = ig.priors.load(tmp_path / "model.pt", **settings)
    label = None
    if classes:
        with pytest.raises(ParameterError, match="of_class"):
            prior.denoise(images, 0.1)
        prior, label = prior.of_class(3), torch.tensor([3, 3])
    kept = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)
    sigma = float((1 / kept[400] - 1).sqrt())  # in [-1, 1]; half of that in [0, 1]
    x = 2 * images - 1
    seen = x * float(kept[400].sqrt())
    heads = settings.get("heads", 1)
    noise = guided_noise(
        state, seen, torch.tensor([400.0, 400.0]), label, updown, scale_shift, heads,
        settings.get("new_attention_order", False),
    )  # fmt: skip
    exact = (x - sigma * noise + 1) / 2
    assert torch.allclose(prior.denoise(images, sigma / 2), exact, rtol=1e-4, atol=1e-4 * sigma)


def test_guided_diffusion_says_what_it_cannot_take(tmp_path, state):
    path = tmp_path / "model.pt"
    guided(state, 0, True, True)
    torch.save(dict(state), path)
    with pytest.raises(ShapeError, match="multiples of 2"):
        ig.priors.load(path).denoise(torch.rand(3, 7, 8), 0.1)
    with pytest.raises(ParameterError, match=r"\['shedule'\] are no settings.*schedule"):
        ig.priors.load(path, shedule="cosine")
    with pytest.raises(ParameterError, match="'quadratic'"):
        ig.priors.load(path, schedule="quadratic")
    with pytest.raises(ParameterError, match="family is one of"):
        ig.priors.load(path, family="magic")
    guided(state, 0, True, True)
    torch.save({**state, "input_blocks.0.0.weight": torch.zeros(32, 6, 3, 3)}, path)
    with pytest.raises(FileError, match="two images"):
        ig.priors.load(path)
    torch.save({name: value for name, value in state.items() if "output" not in name}, path)
    with pytest.raises(FileError, match="no decoder"):
        ig.priors.load(path)
    torch.save(dict(state), path)
    with pytest.raises(ParameterError, match="64 channels cannot have 3 heads"):
        ig.priors.load(path, heads=3)
    del state["middle_block.1.norm.bias"]
    torch.save(dict(state), path)
    with pytest.raises(FileError, match=r"not have the published layout.*middle_block\.1\.norm\.bias"):
        ig.priors.load(path)


def test_settings_may_lie_beside_the_weights(tmp_path, state, images):
    path = tmp_path / "model.pt"
    guided(state, 0, True, True)
    torch.save(dict(state), path)
    cosine = ig.priors.load(path, schedule="cosine")
    (tmp_path / "model.json").write_text(json.dumps({"family": "guided-diffusion", "schedule": "cosine"}))
    assert torch.equal(ig.priors.load(path).denoise(images, 0.4), cosine.denoise(images, 0.4))
    linear = ig.priors.load(path, schedule="linear")
    assert not torch.allclose(linear.denoise(images, 0.4), cosine.denoise(images, 0.4), atol=1e-3)
    (tmp_path / "model.json").write_text("[1")
    with pytest.raises(FileError, match="no JSON"):
        ig.priors.load(path)


@pytest.mark.parametrize("attends", [(), (1,), (0, 2)])
@pytest.mark.parametrize("residual", [True, False])
def test_the_layout_is_read_from_the_names(attends, residual):
    network = GuidedUNet(1, 1, 64, (32, 64, 64), 2, attention=attends, residual_resampling=residual)
    prior = guided_diffusion.read(network.state_dict(), heads=1, image_shape=(8, 8))
    x = torch.rand(4, 8)  # another size, of one channel
    assert prior.denoise(torch.rand(8, 8), 0.3).shape == (8, 8)
    assert guided_diffusion.read(network.state_dict(), heads=1).denoise(x, 0.3).shape == (4, 8)
    samples = prior.sample(2, 0, steps=3)
    assert samples.shape == (2, 8, 8)
    assert samples.isfinite().all()
