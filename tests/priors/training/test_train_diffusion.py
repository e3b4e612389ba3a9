"""A diffusion model in one call, of every kind of images."""

import math

import pytest
import torch

import invgen as ig
from invgen.core.errors import DataError, ParameterError, ShapeError
from invgen.priors.sketch import TrainingData
from invgen.priors.training import Training, read_log, train_diffusion
from invgen.priors.training.collection import Collection

SMALL = {"widths": (8,), "blocks": 1}


def train(images, labels=None, steps=2, **given):
    return train_diffusion(
        images, labels, **{"architecture": SMALL, "batch_size": 4, "training": Training(steps), **given}
    )


@pytest.mark.parametrize(
    ("images", "value_range", "sigma_data"),
    [
        # uniform from 0 to 1 becomes uniform from -1 to 1
        (torch.rand(50, 16, 16), (0.0, 1.0), 1 / math.sqrt(3)),
        (100 + 50 * torch.rand(50, 16, 16), (100.0, 150.0), 1 / math.sqrt(3)),
        # modulus one, in the mean half of it in each part
        (torch.exp(1j * torch.rand(50, 16, 16)), (0.0, 1.0), math.sqrt(0.5)),
    ],
    ids=["unit", "other", "complex"],
)
def test_units_are_measured(images, value_range, sigma_data):
    found = Collection.of(list(images))
    assert found.image_format.value_range == pytest.approx(value_range, abs=0.05 * value_range[1] - 0.05)
    assert found.root_mean_square() == pytest.approx(sigma_data, rel=0.02)
    assert found.image_format.network_channels == (2 if images.is_complex() else 1)
    assert found.image_format.shape == (16, 16)


@pytest.mark.parametrize("kind", ["gray", "color", "complex", "classes", "patches", "phases"])
def test_every_kind_of_images_can_be_learned_saved_and_sampled(kind, tmp_path):
    shape = {"color": (3, 8, 8), "patches": (12, 10)}.get(kind, (8, 8))
    dtype = torch.complex64 if kind == "complex" else torch.float32
    images = list(torch.rand(6, *shape, dtype=dtype))
    given = {
        "classes": {"labels": [0, 1, 2, 0, 1, 2]},
        "patches": {"patch": 8, "positioned": True, "flips": True},
        "phases": {"phases": "smooth"},
        "complex": {"phases": "constant"},
    }.get(kind, {})
    prior = train(images, folder=tmp_path, **given)
    assert prior.image_format.field == ("complex" if kind in ("complex", "phases") else "real")
    assert prior.image_format.shape == (None if kind == "patches" else shape)
    assert prior.classes == (3 if kind == "classes" else 0)
    prior.save(tmp_path / "prior.safetensors")
    again = ig.priors.load(tmp_path / "prior.safetensors")
    learned = TrainingData.from_header(again.card["training_data"])
    assert learned.overlap([*images, images[0].flip(0)], prior.image_format) == (6, 7)
    samples = again.sample(2, seed=0, steps=2, image_shape=shape)
    assert samples.shape == (2, *shape)
    assert torch.equal(samples, prior.sample(2, seed=0, steps=2, image_shape=shape))


def test_what_is_held_out_and_shown_is_in_the_log(tmp_path):
    shown = []

    def show(prior, step):
        shown.append((type(prior), step))
        return {"mine": 1.5}

    images = list(torch.rand(6, 8, 8))
    train(images, folder=tmp_path, held_out=images[:2], show=show)
    assert shown == [(ig.priors.Diffusion, 2)]
    (row,) = read_log(tmp_path)
    assert float(row["mine"]) == 1.5
    assert 0.1 < float(row["held_out"]) < 10


@pytest.mark.parametrize("method", ["sure", "noise2self"])
def test_noisy_images_teach_levels_from_theirs_on(method, tmp_path):
    """Of an image that never changes the error is below the least that pixels without neighbors allow."""
    truth = torch.linspace(0, 1, 8).expand(8, 8)
    noisy = truth + 0.2 * torch.randn(200, 8, 8, generator=torch.Generator().manual_seed(0))
    prior = train(
        list(noisy), steps=150, folder=tmp_path, noise_std=0.2, method=method, positioned=True,
        training=Training(150, 5e-3, warmup=10), batch_size=16,
    )  # fmt: skip
    low, high = prior.image_format.value_range
    assert prior.sigma_range[0] * (high - low) / 2 == pytest.approx(0.2)
    error = float((prior.denoise(noisy[:50], 0.2) - truth).square().mean())
    assert error < 0.8 * 0.04 * float(truth.var()) / (0.04 + float(truth.var()))


def test_the_seed_decides_the_network_and_nothing_global_changes(tmp_path):
    images = list(torch.rand(6, 8, 8))
    found = []
    for name, seed, other in (("a", 0, 1), ("b", 0, 2), ("c", 1, 1)):
        torch.manual_seed(other)
        state = torch.get_rng_state()
        prior = train(images, folder=tmp_path / name, training=Training(2, seed=seed))
        assert torch.equal(torch.get_rng_state(), state)
        found.append(prior.denoise(torch.ones(8, 8), 0.3))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_what_cannot_be_learned(tmp_path):
    images = list(torch.rand(4, 8, 8))
    for error, given in [
        (ParameterError, {"images": []}),
        (ShapeError, {"images": [torch.rand(8, 8), torch.rand(3, 8, 8)]}),
        (ShapeError, {"images": [torch.rand(8, 8), torch.rand(8, 9)]}),
        (DataError, {"images": [torch.full((8, 8), torch.nan)]}),
        (DataError, {"images": [torch.ones(8, 8)]}),
        (DataError, {"images": [-torch.rand(8, 8)]}),
        (ParameterError, {"images": images, "value_range": (1.0, 0.0)}),
        (ParameterError, {"images": images, "phases": "random"}),
        (ParameterError, {"images": images, "noise_std": -1.0}),
        (ParameterError, {"images": images, "noise_std": 10.0}),
        (ParameterError, {"images": images, "noise_std": 0.1, "method": "magic"}),
        (ParameterError, {"images": images, "noise_std": 0.1, "phases": "smooth"}),
        (ParameterError, {"images": images, "noise_std": 0.1, "architecture": {"dropout": 0.1}}),
    ]:
        with pytest.raises(error):
            train(**given, folder=tmp_path)
