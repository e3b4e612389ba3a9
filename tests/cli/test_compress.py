"""`compress` and `decompress`: files to files and back."""

import numpy as np
import pytest
from PIL import Image

import invgen as ig
from invgen.priors import Autoregressive


@pytest.fixture
def prior(tmp_path):
    path = tmp_path / "prior.safetensors"
    Autoregressive.untrained((6, 5), mixtures=0, width=4, layers=1).save(path)
    return path


@pytest.fixture
def colors(tmp_path):
    path = tmp_path / "colors.safetensors"
    Autoregressive.untrained((3, 6, 5), mixtures=1, width=4, layers=1).save(path)
    return path


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def round_trip(invgen, tmp_path):
    """Compress a file, and decompress it to another."""

    def run(images, output, prior):
        result = invgen("compress", images, "-o", tmp_path / "it.ivg", "--prior", prior)
        assert result.exit_code == 0, result.output
        length = (tmp_path / "it.ivg").stat().st_size
        assert f"{length:,} bytes" in result.output
        result = invgen("decompress", tmp_path / "it.ivg", "-o", output, "--prior", prior)
        assert result.exit_code == 0, result.output
        return tmp_path / "it.ivg"

    return run


def test_arrays_return_byte_by_byte(round_trip, prior, tmp_path):
    np.save(tmp_path / "images.npy", noise(4, 9, 7))
    compressed = round_trip(tmp_path / "images.npy", tmp_path / "back.npy", prior)
    assert (tmp_path / "back.npy").read_bytes() == (tmp_path / "images.npy").read_bytes()
    assert compressed.read_bytes() == ig.plausibility.compress(noise(4, 9, 7), prior)


def test_folders_of_pictures_return(round_trip, prior, tmp_path):
    images = noise(12, 6, 5)
    (tmp_path / "pictures").mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / "pictures" / f"{i:02}.png")
    round_trip(tmp_path / "pictures", tmp_path / "back", prior)
    files = sorted((tmp_path / "back").iterdir())
    assert [file.name for file in files] == [f"{i:02}.png" for i in range(12)]
    assert all((np.asarray(Image.open(f)) == image).all() for f, image in zip(files, images, strict=True))


def test_a_picture_in_color_returns(round_trip, colors, tmp_path):
    picture = noise(13, 8, 3)
    Image.fromarray(picture).save(tmp_path / "picture.png")
    round_trip(tmp_path / "picture.png", tmp_path / "back.png", colors)
    assert (np.asarray(Image.open(tmp_path / "back.png")) == picture).all()
    np.save(tmp_path / "first.npy", np.moveaxis(picture, -1, 0))
    round_trip(tmp_path / "first.npy", tmp_path / "back.png", colors)
    assert (np.asarray(Image.open(tmp_path / "back.png")) == picture).all()


def test_what_cannot_be_done_is_refused(refused, round_trip, prior, tmp_path):
    np.save(tmp_path / "images.npy", noise(4, 6, 5))
    compressed = round_trip(tmp_path / "images.npy", tmp_path / "back.npy", prior)
    whole = compressed.read_bytes()
    for words, reported in (
        (("compress", tmp_path / "images.npy", "-o", tmp_path / "images.npy"), "what the command reads"),
        (("compress", tmp_path / "images.npy", "-o", prior), "what the command reads"),
        (("decompress", compressed, "-o", tmp_path / "back.jpg"), ".npy"),
        (("decompress", compressed, "-o", tmp_path / "back.png"), "these are 4"),
        (("decompress", prior, "-o", tmp_path / "new.npy"), "does not begin"),
    ):
        assert reported in refused(*words, "--prior", prior)
    assert "give that prior" in refused("decompress", compressed, "-o", tmp_path / "new.npy")
    for length in (0, 30, len(whole) - 1):
        compressed.write_bytes(whole[:length])
        message = refused("decompress", compressed, "-o", tmp_path / "new.npy", "--prior", prior)
        assert str(compressed) in message
    assert not (tmp_path / "new.npy").exists()
    np.save(tmp_path / "images.npy", noise(4, 6, 5) / 255)
    words = ("compress", tmp_path / "images.npy", "-o", tmp_path / "new.ivg", "--prior", prior)
    assert "8 bits" in refused(*words)
    np.save(tmp_path / "images.npy", noise(4, 6, 5))
    assert "Diffusion" in refused(*words[:-1], "digits")
    assert not (tmp_path / "new.ivg").exists()
