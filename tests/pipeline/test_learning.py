"""Any family that is trained: by one machinery, from what is asked for to a file that others read."""

import json
import subprocess
import sys
from dataclasses import fields
from inspect import Parameter, signature
from pkgutil import resolve_name

import numpy as np
import pytest
import torch

import invgen as ig
from invgen.core.errors import DataError, DtypeError, FileError, InvgenError, ParameterError, ShapeError
from invgen.pipeline import Reading
from invgen.pipeline.description import describe
from invgen.pipeline.learning import FAMILIES, Learning, own_options
from invgen.pipeline.training import learn
from invgen.priors.files import checkpoints
from invgen.priors.training import read_log

from . import learning_cases
from .learning_cases import CASES, STEPS, options


@pytest.fixture(autouse=True)
def families(monkeypatch):
    """The toy families beside those of the package."""
    learning_cases.register(monkeypatch.setitem)


@pytest.fixture
def images(tmp_path):
    """Thirty images of 8 x 8 pixels, in [0, 1]."""
    path = tmp_path / "images.npy"
    np.save(path, np.random.default_rng(0).random((30, 8, 8)).astype(np.float32))
    return path


def learned(images, name, output, **more):
    return learn(images, output, options(name, **more), notice=lambda text: None)


def rows(folder):
    """The log, but for the time that it took."""
    return [{**row, "seconds": ""} for row in read_log(folder)]


@pytest.mark.parametrize("name", CASES)
def test_a_family_is_learned_shown_and_described(name, images, tmp_path):
    output = tmp_path / "prior.safetensors"
    measured = learned(images, name, output, precision="bf16", flips=True)
    prior = ig.priors.load(output)
    assert type(prior) is resolve_name(FAMILIES[name].prior)
    assert prior.image_format.shape == (8, 8)
    assert prior.image_format.value_range == (0.0, 1.0)
    card = prior.card
    assert card["data"] == {"file": "images.npy", "images": 29, "held_out": 1}
    assert card["training"]["family"] == name
    assert (card["training"]["steps"], card["training"]["batch"]) == (STEPS, 4)
    assert str(tmp_path) not in json.dumps(dict(card))
    assert card["quality"] == measured
    losses = {column for column in measured if column.endswith("loss")}
    assert losses
    assert {column.removesuffix("loss") + "held_out" for column in losses} <= set(measured)
    if isinstance(prior, ig.priors.Sampler):
        assert (tmp_path / "prior.run" / f"step-{STEPS:06d}.png").stat().st_size > 0
    facts = describe(output, Reading()).facts
    assert facts["family"] == prior.family
    assert facts["parameters"] == sum(
        parameter.numel() for network in prior.networks().values() for parameter in network.parameters()
    )
    if isinstance(prior, ig.priors.Generator):
        assert facts["latent_shape"] == list(prior.latent_shape)
    assert facts.get("levels") == prior.image_format.levels


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_killed_twice_and_resumed_it_gives_the_same_weights(name, images, set_threads, tmp_path):
    set_threads(1)
    whole, killed = tmp_path / "whole.safetensors", tmp_path / "killed.safetensors"
    learned(images, name, whole)
    command = [sys.executable, learning_cases.__file__, name, images, killed, "2", "4"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert len(rows(tmp_path / "killed.run")) < len(rows(tmp_path / "whole.run"))
    learned(images, name, killed)
    (_, first), (_, second) = (checkpoints.read(path) for path in (whole, killed))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert rows(tmp_path / "whole.run") == rows(tmp_path / "killed.run")
    # with the networks that the file does not have, and what the optimizers carry
    first, second = (_tensors(_state(path)) for path in (whole, killed))
    assert len(first) == len(second) > 0
    assert all(map(torch.equal, first, second))
    # and not those of another seed
    learned(images, name, tmp_path / "other.safetensors", seed=1)
    assert not all(map(torch.equal, first, _tensors(_state(tmp_path / "other.safetensors"))))


def _state(output):
    """What a run goes on from, but for times."""
    return torch.load(output.with_suffix(".run") / "state.pt", weights_only=True)["modules"]


def _tensors(state):
    """All tensors of nested dicts and lists, in their order."""
    if isinstance(state, torch.Tensor):
        return [state]
    if isinstance(state, dict | list):
        values = state.values() if isinstance(state, dict) else state
        return [tensor for value in values for tensor in _tensors(value)]
    return []


#: All but those of images of any size, which have a training of their own.
TRAINABLE = [name for name in FAMILIES if name not in ("diffusion", "denoiser")]


@pytest.mark.parametrize("name", TRAINABLE)
def test_the_options_of_a_family_are_those_of_its_class(name):
    kind = FAMILIES[name]
    taken = signature(resolve_name(kind.prior).untrained).parameters
    any_keyword = any(each.kind is Parameter.VAR_KEYWORD for each in taken.values())
    own = {field.name for field in fields(kind)} - {field.name for field in fields(Learning)}
    names = {kind.renamed.get(name, name) for name in own}
    assert any_keyword or names <= set(taken)


def test_every_family_has_a_case():
    assert set(CASES) == {*TRAINABLE, *learning_cases.TOYS}


def test_options_that_are_not_given_are_left_to_the_family():
    assert own_options(FAMILIES["affine"]()) == {}
    assert own_options(FAMILIES["affine"](spread=2, batch=3, seed=4)) == {"spread": 2.0}
    assert own_options(FAMILIES["flow"](flow_steps=3, steps=9)) == {"steps": 3}


def test_a_default_batch_is_at_most_all_images(tmp_path):
    path, output = tmp_path / "few.npy", tmp_path / "prior.safetensors"
    np.save(path, np.random.default_rng(0).random((3, 8, 8)))
    learned(path, "affine", output, batch=None)
    assert ig.priors.load(output).card["training"]["batch"] == 3
    with pytest.raises(ParameterError, match="--batch 4 is more than the 3 images to learn from: give"):
        learned(path, "affine", output, batch=4)
    np.save(path, np.random.default_rng(0).random((40, 8, 8)))
    with pytest.raises(ParameterError, match="than the 38 images to learn from, 2 being held out"):
        learned(path, "affine", output, batch=39)


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (np.random.default_rng(0).random((1, 8, 8)), ParameterError, "holds one image"),
        (np.full((4, 8, 8), 0.5), DataError, r"All pixels of all images are 0\.5"),
        (np.full((4, 8, 8), np.nan), DataError, "Image 0 of .* holds 64 NaN .*: row 0, columns 0 to 7"),
        (np.random.default_rng(0).random((4, 8, 8)) * 1j, DtypeError, "complex images; this family learns"),
    ],
)
def test_images_that_cannot_be_learned(values, error, message, tmp_path):
    path = tmp_path / "images.npy"
    np.save(path, values)
    with pytest.raises(error, match=message):
        learned(path, "affine", tmp_path / "prior.safetensors")
    assert [entry.name for entry in tmp_path.iterdir()] == ["images.npy"]


def test_images_of_several_sizes_are_refused_in_words(tmp_path):
    from PIL import Image

    for i, side in enumerate((8, 8, 12, 10)):
        pixels = np.random.default_rng(i).integers(0, 256, (side, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    with pytest.raises(ShapeError, match="several sizes, 8x8, 10x8, 12x8; this family learns whole images"):
        learned(tmp_path, "pixels", tmp_path / "prior.safetensors")


def test_a_folder_belongs_to_one_family(images, tmp_path):
    folder, output = tmp_path / "run", tmp_path / "prior.safetensors"

    def again(name, **more):
        return learn(images, output, options(name, **more), folder, notice=lambda text: None)

    again("affine")
    with pytest.raises(ParameterError, match=r"\(family affine, not pixels\).*another --folder"):
        again("pixels")
    with pytest.raises(ParameterError, match=r"\(spread 0.3, not 0.5\)"):
        again("affine", spread=0.5)
    # with its claim and another's state
    state = (folder / "state.pt").read_bytes()
    other = tmp_path / "other"
    learn(images, output, options("pixels"), other, notice=lambda text: None)
    (other / "state.pt").write_bytes(state)
    with pytest.raises(FileError, match="is not the state of this training: It has the modules shift, scale"):
        learn(images, output, options("pixels"), other, notice=lambda text: None)


def test_a_prior_is_not_loaded_as_one_of_another_family(images, tmp_path):
    output = tmp_path / "prior.safetensors"
    learned(images, "affine", output)
    with pytest.raises(FileError, match="holds a 'affine', and not a 'pixels'"):
        resolve_name(FAMILIES["pixels"].prior).load(output)


def test_a_run_that_is_refused_leaves_the_folder_free(images, tmp_path):
    output, folder = tmp_path / "prior.safetensors", tmp_path / "prior.run"
    with pytest.raises(InvgenError, match="do not fit"):
        learn(images, output, FAMILIES["diffusion"](steps=2, patch=9, widths=(8,)), notice=print)
    assert not list(folder.iterdir())
    learned(images, "affine", output)


def test_what_a_file_of_no_known_family_says_of_itself(images, tmp_path):
    output = tmp_path / "prior.safetensors"
    learned(images, "affine", output)
    header, tensors = checkpoints.read(output)
    strange = {name: value for name, value in header.items() if name not in ("format", "family")}
    checkpoints.write(output, "later", tensors, strange | {"image_shape": 3})
    facts = describe(output, Reading()).facts
    assert facts["image_shape"] == 3
    assert "holds a 'later'" in facts["error"]
    assert "latent_shape" not in facts
