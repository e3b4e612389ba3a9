"""`train`: from images to a prior, stopped and gone on with."""

import json
import re
import signal
import time

import numpy as np
import pytest
import torch
from PIL import Image

import invgen as ig
from invgen.cli.train import add_family, train
from invgen.pipeline.learning import FAMILIES
from invgen.pipeline.options import options
from invgen.priors.training import read_log

from ..pipeline import learning_cases

QUICK = ("--steps", 4, "--widths", 8, "--batch", 4)


@pytest.fixture
def images(tmp_path):
    """Thirty images of 12 x 12 pixels, of three classes, in [0, 1]."""
    path = tmp_path / "images.npy"
    np.save(path, np.random.default_rng(0).random((30, 12, 12)).astype(np.float32))
    np.save(tmp_path / "labels.npy", np.arange(30) % 3)
    return path


def test_a_prior_of_classes_with_its_card(invgen, images, tmp_path):
    output = tmp_path / "prior.safetensors"
    words = ("--labels", tmp_path / "labels.npy", *QUICK)
    result = invgen("train", "diffusion", images, "-o", output, *words)
    assert result.exit_code == 0, result.output
    assert "29 images, whole" in result.output
    prior, card = ig.priors.load(output), ig.priors.about(output)
    images = prior.image_format
    assert (images.shape, prior.classes, images.value_range) == ((12, 12), 3, (0.0, 1.0))
    assert card["data"] == {"file": "images.npy", "images": 29, "held_out": 1}
    assert card["training"]["steps"] == 4
    assert card["training"]["seed"] == 0
    assert card["seconds"] >= 0
    row = read_log(tmp_path / "prior.run")[-1]
    assert card["quality"] == {"loss": float(row["loss"]), "held_out": float(row["held_out"])}
    # five of each class, pixel by pixel
    assert Image.open(tmp_path / "prior.run" / "step-000004.png").width > 4 * 12
    assert str(tmp_path) not in json.dumps(card)
    reported = invgen("info", output).output
    assert re.search("family +diffusion", reported)
    assert re.search("data +file images.npy, images 29", reported)
    assert json.loads(invgen("info", output, "--json").output)["quality"] == card["quality"]


@pytest.mark.parametrize("kind", ["patches", "complex", "phases", "color", "denoiser"])
def test_kinds_of_images(kind, invgen, images, tmp_path):
    command = ["train", "denoiser" if kind == "denoiser" else "diffusion"]
    extra = {
        "patches": ("--patch", 8, "--positions", "--flips", "--precision", "bf16"),
        "phases": ("--phases", "smooth"),
        "denoiser": ("--noise-std", 0.1, "--method", "noise2self"),
    }.get(kind, ())
    if kind == "complex":
        np.save(images, np.load(images) * np.complex64(1j))
    if kind == "color":
        images = tmp_path / "pictures"
        images.mkdir()
        for i, side in enumerate((20, 16)):
            pixels = np.random.default_rng(i).integers(0, 256, (side, side, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(images / f"{i}.png")
    output = tmp_path / "prior.safetensors"
    result = invgen(*command, images, "-o", output, *extra, *QUICK)
    assert result.exit_code == 0, result.output
    prior = ig.priors.load(output)
    assert prior.image_format.field == ("complex" if kind in ("complex", "phases") else "real")
    assert prior.positioned == (kind == "patches")
    assert (prior.image_format.shape is None) == (kind in ("patches", "color"))
    assert prior.image_format.channels == (3 if kind == "color" else None)
    if kind == "denoiser":
        assert prior.sigma_range[0] == pytest.approx(0.2)  # 0 to 1 are -1 to 1


@pytest.mark.slow
def test_ctrl_c_saves_and_the_same_command_goes_on(start, invgen, images, tmp_path):
    words = ("--steps", 100_000, "--widths", 8, "--batch", 2)
    command = ("train", "diffusion", images, "-o", tmp_path / "prior.safetensors")
    process, log = start(*command, *words), tmp_path / "prior.run" / "log.csv"
    deadline = time.monotonic() + 60
    while not log.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, reported = process.communicate(timeout=60)
    assert process.returncode == 130, reported
    assert "The same command goes on" in reported
    assert "Traceback" not in reported
    step = torch.load(tmp_path / "prior.run" / "state.pt", weights_only=True)["step"]
    assert step >= 50
    assert not (tmp_path / "prior.safetensors").exists()
    # with fewer steps than that, it is done
    result = invgen(*command, "--steps", step, *words[2:])
    assert result.exit_code == 0, result.output
    assert ig.priors.about(tmp_path / "prior.safetensors")["training"]["steps"] == step


@pytest.fixture
def toys(monkeypatch):
    """The toy families as commands."""
    learning_cases.register(monkeypatch.setitem)
    monkeypatch.setattr(train, "registered_commands", [*train.registered_commands])
    for name, table in learning_cases.TOYS.items():
        add_family(name, table)


@pytest.mark.usefixtures("toys")
def test_a_family_is_trained_drawn_from_and_described(invgen, refused, images, tmp_path):
    output, picture = tmp_path / "affine.safetensors", tmp_path / "samples.png"
    result = invgen("train", "affine", images, "-o", output, "--steps", 4, "--spread", 0.5, "--batch", 5)
    assert result.exit_code == 0, result.output
    assert "29 images, whole" in result.output
    assert re.search(
        r"Wrote .*: shift loss .*, scale loss .*, shift held out .*, scale held out", result.output
    )
    assert ig.priors.about(output)["training"]["spread"] == 0.5
    assert ig.priors.about(output)["training"]["batch"] == 5
    described = invgen("info", output).output
    for line in (
        "family +affine",
        "images +12 x 12 pixels, real, 0 to 1",
        "latent variables +12 x 12",
        r"architecture +shift: Table, shape \[1, 12, 12\]",
        "parameters +288",
        "data +file images.npy, images 29, held_out 1",
        "training data +29 different images",
    ):
        assert re.search(line, described), line
    assert json.loads(invgen("info", output, "--json").output)["latent_shape"] == [12, 12]
    drawn = []
    for words in ((), ("--temperature", 0.1)):
        result = invgen("sample", output, "-o", picture, "-n", 4, *words)
        assert result.exit_code == 0, result.output
        drawn.append(np.asarray(Image.open(picture)).copy())
    assert not np.array_equal(*drawn)
    for option, value in (("--steps", 3), ("--method", "heun"), ("--class", 1)):
        assert f"leave out {option}" in refused("sample", output, "-o", picture, option, value)


@pytest.mark.usefixtures("toys")
def test_a_family_of_levels(invgen, refused, images, tmp_path):
    output, picture = tmp_path / "pixels.safetensors", tmp_path / "samples.png"
    result = invgen("train", "pixels", images, "-o", output, "--steps", 4, "--levels", 8)
    assert result.exit_code == 0, result.output
    described = invgen("info", output).output
    assert re.search("images +12 x 12 pixels, real, 0 to 1, 8 levels", described)
    assert "latent" not in described
    assert "Pixels: leave out --temperature" in refused("sample", output, "-o", picture, "--temperature", 1)
    assert "not pixels" in refused(
        "train", "pixels", images, "-o", output, "--folder", _run_of(invgen, images)
    )
    assert invgen("train", "pixels", images, "-o", output, "--levels", 1).exit_code == 2


def _run_of(invgen, images):
    """The folder of a run of another family."""
    output = images.with_name("other.safetensors")
    assert invgen("train", "affine", images, "-o", output, "--steps", 2).exit_code == 0
    return output.with_suffix(".run")


@pytest.mark.parametrize("name", FAMILIES)
def test_each_family_has_the_options_that_apply_to_it(name, invgen):
    result = invgen("train", name, "--help")
    assert result.exit_code == 0, result.output
    assert "Example" in result.output
    assert FAMILIES[name].__doc__.split(":")[0].split(".")[0] in result.output
    offered = set(re.findall(r"--[a-z-]+", result.output))
    own = {option.typed for option in options(FAMILIES[name])}
    common = {"--output", "--folder", "--max-memory", "--help"}
    assert offered - {"--gpus"} == own | common
    if name not in ("diffusion", "denoiser"):
        assert not offered & {"--labels", "--phases", "--positions", "--patch"}


def test_a_folder_of_another_run(refused, invgen, images, tmp_path):
    output = tmp_path / "prior.safetensors"
    assert invgen("train", "diffusion", images, "-o", output, *QUICK).exit_code == 0
    reported = refused("train", "diffusion", images, "-o", output, *QUICK, "--seed", 1)
    assert re.search("seed 0, not 1.*--folder", reported)
    assert "something other" in refused(
        "train", "diffusion", images, "-o", output, *QUICK, "--folder", tmp_path
    )
    (tmp_path / "prior.run" / "run.json").write_text("[")
    assert "cannot be used" in refused("train", "diffusion", images, "-o", output, *QUICK)


def test_what_cannot_be_learned(refused, invgen, images, tmp_path):
    output = tmp_path / "prior.safetensors"

    def fails(*words, data=images, kind="diffusion"):
        return refused("train", kind, data, "-o", output, "--folder", tmp_path / "run", *QUICK, *words)

    np.save(tmp_path / "few.npy", np.arange(3))
    assert "3 labels" in fails("--labels", tmp_path / "few.npy")
    assert "does not exist" in fails(data=tmp_path / "none.npy")
    assert "do not fit" in fails("--patch", 13)
    assert "noise_std" in fails("--noise-std", 5, kind="denoiser")
    assert "give --noise-std" in fails(kind="denoiser")
    np.save(tmp_path / "nan.npy", np.full((3, 8, 8), np.nan, np.float32))
    assert "NaN" in fails(data=tmp_path / "nan.npy")
    result = invgen("train", "diffusion", images, "-o", output, "--widths", "8;16")
    assert result.exit_code == 2
    assert not output.exists()
