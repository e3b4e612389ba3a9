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
from invgen.priors.training import read_log

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
    np.save(tmp_path / "nan.npy", np.full((3, 8, 8), np.nan, np.float32))
    assert "NaN" in fails(data=tmp_path / "nan.npy")
    result = invgen("train", "diffusion", images, "-o", output, "--widths", "8;16")
    assert result.exit_code == 2
    assert not output.exists()
