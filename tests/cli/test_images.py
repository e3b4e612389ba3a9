"""``invgen recon`` of images: a picture goes in, a picture or a file with everything comes out."""

from __future__ import annotations

import json
import shlex

import numpy as np
import pytest
import torch
from skimage.io import imread, imsave

import invgen as ig
from invgen import figures
from invgen.io import read_reconstruction
from invgen.priors.nets import EDM, UNet


@pytest.fixture
def photo(tmp_path):
    """A picture of 24 x 20 pixels with noise, its mask, the true picture in color."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:24, 0:20]
    scene = 0.2 + 0.02 * x + 0.3 * (y > 10)
    noisy = np.clip(scene + 0.05 * rng.standard_normal(scene.shape), 0, 1)
    imsave(tmp_path / "photo.png", (255 * noisy).astype(np.uint8))
    known = 255 * (rng.random(scene.shape) < 0.7)
    imsave(tmp_path / "mask.png", known.astype(np.uint8), check_contrast=False)
    color = np.stack([scene, 0.5 * scene, 1 - scene], axis=-1)
    imsave(tmp_path / "color.png", (255 * color).astype(np.uint8))
    return tmp_path / "photo.png"


def test_a_picture_becomes_a_picture(invgen, photo, tmp_path):
    mask = photo.with_name("mask.png")
    words = ("--operator", f"inpaint:{mask}", "--noise-std", 0.05)
    result = invgen("recon", photo, "-o", tmp_path / "out.png", *words)
    assert result.exit_code == 0, result.output
    for line in (
        f"operator  inpaint:{mask}",
        "noise  0.05",
        "solver  tv (PDHG)",
        "1 (0 to 0), 24 x 20 pixels",
    ):
        assert line in result.output
    found = imread(tmp_path / "out.png") / 255
    expected = ig.reconstruct(photo, operator=f"inpaint:{mask}", noise_std=0.05).images[0]
    np.testing.assert_allclose(found, expected.clamp(0, 1), rtol=0, atol=0.5 / 255 + 1e-6)


def test_the_file_has_the_command_that_makes_it_again(invgen, photo, tmp_path):
    first, second = tmp_path / "first.h5", tmp_path / "second.h5"
    words = ("--operator", "super-resolution:2,bicubic", "--simulate", "--noise-std", 0.02, "--seed", 3)
    result = invgen("recon", photo.with_name("color.png"), "-o", first, *words)
    assert result.exit_code == 0, result.output
    assert "24 x 20 pixels in color" in result.output
    assert "PSNR  " in result.output
    with read_reconstruction(first) as file:
        command = shlex.split(file.settings["command"])
        images = file.volume[:]
    assert images.shape == (1, 3, 24, 20)
    command[command.index(str(first))] = str(second)
    assert invgen(*command[1:]).exit_code == 0
    with read_reconstruction(second) as file:
        assert (file.volume[:] == images).all()
    described = json.loads(invgen("info", first, "--json").output)
    assert (described["format"], described["channels"]) == ("reconstruction", 3)
    assert "simulated: super-resolution:2,bicubic" in described["report"][0]


@pytest.fixture
def montages(monkeypatch):
    """The titles and labels of pictures that are drawn."""
    drawn, found = figures.montage, []

    def montage(images, titles, **about):
        found.append((titles, about["label"]))
        return drawn(images, titles, **about)

    monkeypatch.setattr(figures, "montage", montage)
    return found


def test_they_are_viewed_and_compared_with_the_true_picture(invgen, photo, tmp_path, montages):
    color, out = photo.with_name("color.png"), tmp_path / "out.h5"
    words = ("--operator", "denoise", "--simulate", "--noise-std", 0.02, "--weight", 1, "--iterations", 30)
    assert invgen("recon", color, "-o", out, *words).exit_code == 0
    result = invgen("view", out, "-o", tmp_path / "view.png")
    assert result.exit_code == 0, result.output
    assert montages.pop() == (["image 0"], "value")
    pixels = imread(tmp_path / "view.png")[..., :3].astype(int)
    assert (np.abs(pixels[..., 0] - pixels[..., 2]) > 50).any()
    for other in (color, out):  # whose source is the truth
        result = invgen("view", out, "-o", tmp_path / "view.png", "--compare", other)
        assert result.exit_code == 0, result.output
        titles, _ = montages.pop()
        assert titles[-1] == "truth\nslice 0"
        assert " dB, SSIM " in titles[0]


def test_a_measured_picture_is_no_truth(invgen, photo, tmp_path, montages):
    out = tmp_path / "out.h5"
    words = ("--operator", "denoise", "--weight", 1, "--iterations", 5)
    assert invgen("recon", photo, "-o", out, *words).exit_code == 0
    result = invgen("view", out, "-o", tmp_path / "view.png", "--compare", out)
    assert result.exit_code == 0, result.output
    assert montages.pop()[0] == ["out, slice 0", "out, slice 0"]


def test_info_says_what_it_is_and_what_can_be_done(invgen, photo):
    output = " ".join(invgen("info", photo).output.split())
    for text in ("24 x 20 pixels, gray", "inpaint:FILE", "super-resolution:N[,KIND]", "sense:FRACTION"):
        assert text in output
    described = json.loads(invgen("info", photo, "--json").output)
    assert described["noise_std"] == pytest.approx(0.05, rel=0.3)
    assert set(described["operators"]) >= {"denoise", "gray"}
    array = photo.with_name("array.npy")
    np.save(array, np.zeros((2, 9, 7)))
    described = json.loads(invgen("info", array, "--operator", "denoise", "--json").output)
    assert (described["images"], described["height"], described["noise_std"]) == (2, 9, None)


class TestWhatIsWrong:
    def test_operators(self, invgen, refused, photo, tmp_path):
        out = tmp_path / "out.png"
        for text in ("sharpen", "sense:1.5", "blur:-1", "super-resolution:0.5"):
            result = invgen("recon", photo, "-o", out, "--operator", text)
            assert result.exit_code == 2
            assert "--operator" in result.output
        assert "how it was measured is stated by --operator" in refused("recon", photo, "-o", out)
        mask = tmp_path / "small.png"
        imsave(mask, np.full((20, 20), 255, np.uint8), check_contrast=False)
        message = refused("recon", photo, "-o", out, "--operator", f"inpaint:{mask}", "--noise-std", 0.1)
        assert "20 x 20 pixels, and the image 24 x 20" in message
        assert not out.exists()

    def test_priors(self, refused, photo, tmp_path):
        color, out = photo.with_name("color.png"), tmp_path / "out.png"
        words = ("--operator", "denoise", "--noise-std", 0.1, "--solver", "diffpir")
        assert "--prior NAME|FILE" in refused("recon", photo, "-o", out, *words)
        message = refused("recon", color, "-o", out, *words, "--prior", "denoiser-gray")
        assert "is of gray images; this is a color image: denoiser-color" in message
        message = refused("recon", photo, "-o", out, *words, "--prior", "digits")
        assert "28 x 28 pixels; these have 24 x 20" in message

    def test_noise(self, refused, tmp_path):
        flat = tmp_path / "flat.png"
        imsave(flat, np.full((20, 20), 99, np.uint8), check_contrast=False)
        assert "--noise-std" in refused("recon", flat, "-o", tmp_path / "out.png", "--operator", "denoise")

    def test_files(self, refused, photo, tmp_path):
        words, out = ("--operator", "denoise", "--noise-std", 0.1), tmp_path / "out.png"
        short, nan, text = tmp_path / "short.png", tmp_path / "nan.npy", tmp_path / "text.png"
        short.write_bytes(photo.read_bytes()[:200])
        np.save(nan, np.full((9, 9), np.nan))
        text.write_text("no picture")
        assert "cannot be read as a picture" in refused("recon", short, "-o", out, *words)
        assert "cannot be read as a picture" in refused("info", text)
        assert "row 0, columns 0 to 8" in refused("recon", nan, "-o", out, *words)
        assert "does not exist" in refused("recon", tmp_path / "absent.png", "-o", out, *words)
        assert "ends with none of .h5" in refused("recon", photo, "-o", tmp_path / "out.jpg", *words)
        assert not out.exists()

    def test_nothing_that_is_read_is_replaced(self, refused, photo, tmp_path):
        mask = photo.with_name("mask.png")
        words = ("--operator", f"inpaint:{mask}", "--noise-std", 0.1)
        for path in (photo, mask):
            before = path.read_bytes()
            assert "is what the command reads" in refused("recon", photo, "-o", path, *words)
            assert path.read_bytes() == before


def test_the_prior_is_not_replaced(refused, photo, tmp_path):
    torch.manual_seed(0)
    prior = tmp_path / "prior.safetensors"
    ig.priors.Diffusion(EDM(UNet(1, 1, widths=(8,), blocks=1), 0.5), sigma_data=0.5).save(prior)
    alias = tmp_path / "alias.h5"
    alias.symlink_to(prior)
    words = ("--operator", "denoise", "--noise-std", 0.1, "--solver", "dds", "--prior", prior)
    assert "is what the command reads" in refused("recon", photo, "-o", alias, *words)
