"""What learned priors share: their files, whichever networks they have, and what is written in them."""

import json

import pytest
import torch
from torch import nn

import invgen as ig
from invgen.core.errors import CapabilityError, FileError, ParameterError
from invgen.priors import Diffusion, ImageFormat, Learned, PatchMixture
from invgen.priors.files import checkpoints
from invgen.priors.files.loading import FAMILIES
from invgen.priors.nets import EDM, UNet
from invgen.priors.nets.following import Following
from invgen.priors.nets.positions import CHANNELS

from ..contracts.numbers import normal


def unet(seed=0, **changes):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = UNet(**{"widths": (4, 8), "blocks": 1, **changes})
        for parameter in network.parameters():
            nn.init.normal_(parameter, std=0.1)
    return network


class Pair(Learned):
    """Two networks, a number and a tensor: as a family of its own."""

    family = "pair"

    def __init__(self, first, second, scale, shift, image_format):
        super().__init__(image_format)
        self.scale, self.shift = scale, shift
        self.first, self.second = Following(first), Following(second)

    def __call__(self, x, noise):
        return self.scale * self.second.like(x)(self.first.like(x)(x, noise), noise) + self.shift.to(x)

    def _networks(self):
        return {"first": self.first.module, "second": self.second.module}

    def _parameters(self):
        return {"scale": self.scale}

    def _tensors(self):
        return {"shift": self.shift}

    @classmethod
    def _built(cls, contents):
        networks = contents.networks
        return cls(
            networks["first"],
            networks["second"],
            contents.header["scale"],
            contents.tensors["shift"],
            contents.image_format,
        )


IMAGES = ImageFormat((8, 8), field="real", value_range=(0.0, 2.0), noise_range=(0.1, 3.0), std=0.25)


def pair():
    return Pair(unet(1), unet(2, widths=(8,)), 1.5, normal(8, 8, dtype=torch.float32), IMAGES)


def test_a_family_of_two_networks_comes_back_to_the_bit(tmp_path):
    path, prior = tmp_path / "pair.safetensors", pair()
    prior.save(path, data="none", license="CC0", seed=3)
    again = Pair.load(path)
    x, noise = normal(2, 1, 8, 8, dtype=torch.float32), torch.zeros(2)
    assert torch.equal(again(x, noise), prior(x, noise))
    assert again.image_format == IMAGES
    assert dict(again.card) == {"data": "none", "license": "CC0", "seed": 3}
    header = ig.priors.about(path)
    assert header["family"] == "pair"
    assert header["architectures"]["second"]["widths"] == [8]
    assert (header["image_shape"], header["std"], header["scale"]) == ([8, 8], 0.25, 1.5)


def test_the_card_goes_along_and_grows(tmp_path):
    prior = pair().with_card(data="none", quality={"psnr": 30.0})
    assert dict(prior.with_card(data="other").card) == {"data": "other", "quality": {"psnr": 30.0}}
    assert dict(pair().card) == {}
    with pytest.raises(TypeError):
        prior.card["data"] = "changed"
    path = tmp_path / "pair.safetensors"
    prior.save(path)
    Pair.load(path).save(path, seed=0)
    assert dict(Pair.load(path).card) == {"data": "none", "quality": {"psnr": 30.0}, "seed": 0}


def test_the_card_of_a_prior_that_ships_is_what_about_says():
    prior, header = ig.priors.load("digits"), ig.priors.about("digits")
    assert prior.card["data"] == header["data"]
    assert set(prior.card) == {"data", "quality", "training", "training_data", "calibration"}
    assert dict(prior.of_class(3).card) == dict(prior.card)


def test_a_card_cannot_take_the_place_of_the_file_itself(tmp_path):
    with pytest.raises(ParameterError, match=r"\['family'\]"):
        pair().save(tmp_path / "pair.safetensors", family="other")
    with pytest.raises(ParameterError, match="JSON"):
        pair().save(tmp_path / "pair.safetensors", data=torch.zeros(2))
    assert not list(tmp_path.iterdir())


def test_files_of_other_families_are_refused(tmp_path):
    path = tmp_path / "pair.safetensors"
    pair().save(path)
    with pytest.raises(FileError, match=r"'pair', and not a 'diffusion'"):
        Diffusion.load(path)
    with pytest.raises(
        FileError, match=r"holds a 'pair'; this version reads \[.*'diffusion', .*'patches'.*\]"
    ):
        ig.priors.load(path)
    with checkpoints.located("patches-gray") as shipped:
        assert isinstance(PatchMixture.load(shipped), PatchMixture)


def test_every_learned_prior_is_in_the_table():
    public = {value for name in ig.priors.__all__ if isinstance(value := getattr(ig.priors, name), type)}
    assert {kind for kind in public if issubclass(kind, Learned) and kind is not Learned} == set(
        FAMILIES.values()
    )


def spoiled(header, **changes):
    return {name: value for name, value in (header | changes).items() if value != "missing"}


@pytest.mark.parametrize(
    "changes",
    [
        {"architectures": "missing"},
        {"architectures": {"first": {"name": "UNet"}}},
        {"architectures": {"first": {"name": "Transformer"}, "second": {"name": "UNet"}}},
        {"architectures": ["first", "second"]},
        {"scale": "missing"},
        {"image_shape": [8, "x"]},
        {"value_range": 3},
        {"std": -1.0},
    ],
)
def test_headers_that_do_not_fit_are_refused(changes, tmp_path):
    path = tmp_path / "pair.safetensors"
    pair().save(path)
    header, tensors = checkpoints.read(path)
    card = {name: value for name, value in header.items() if name not in ("format", "family")}
    checkpoints.write(path, "pair", tensors, spoiled(card, **changes))
    with pytest.raises((FileError, ParameterError)):
        Pair.load(path)


def test_networks_that_files_do_not_hold(tmp_path):
    other = Pair(nn.Identity(), unet(), 1.0, torch.zeros(()), IMAGES)
    with pytest.raises(CapabilityError, match=r"UNet.*; this one is Identity"):
        other.save(tmp_path / "pair.safetensors")


def test_files_of_diffusion_models_have_the_layout_of_those_that_ship(tmp_path):
    """Entry by entry and name by name, as the weights of the package were written."""
    network = unet(inputs=1 + CHANNELS, outputs=1)
    header = {
        "data": "none",
        "architecture": {"name": "UNet", **network.config},
        "image_shape": None,
        "channels": None,
        "value_range": [0.0, 2.0],
        "field": "real",
        "positioned": True,
        "classes": 0,
        "sigma_data": 0.7,
        "sigma_range": [0.01, 20.0],
    }
    path = tmp_path / "prior.safetensors"
    checkpoints.write(path, "diffusion", network.state_dict(), header)
    prior = ig.priors.load(path)
    built = Diffusion(
        EDM(network, 0.7), value_range=(0, 2), positioned=True, sigma_data=0.7, sigma_range=(0.01, 20.0)
    )
    x = normal(2, 9, 10, dtype=torch.float32)
    assert torch.equal(prior.denoise(x, 0.3), built.denoise(x, 0.3))
    assert prior.image_format == built.image_format
    built.save(tmp_path / "again.safetensors", data="none")
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()
    assert list(ig.priors.about("digits"))[2:] == [
        "data",
        "quality",
        "training",
        *(name for name in json.loads(json.dumps(header)) if name != "data"),
        "training_data",
        "calibration",
    ]


def test_files_of_patches_have_the_layout_of_those_that_ship(tmp_path):
    """Cholesky factors of the covariances in the basis of cosines, the lower triangle row by row."""
    L = torch.zeros(2, 3, 3, dtype=torch.float64)
    L[:, *torch.tril_indices(3, 3)] = 0.1 + normal(2, 6).abs()
    rows, columns = torch.tril_indices(3, 3)
    path = tmp_path / "patches.safetensors"
    tensors = {"factors": L[:, rows, columns], "weights": torch.tensor([0.25, 0.75])}
    checkpoints.write(path, "patches", tensors, {"patch": 2, "value_range": [0.0, 1.0], "data": ["a"]})
    prior = ig.priors.load(path)
    matrices = prior.mixture.covariances.matrices()
    torch.testing.assert_close(matrices, L @ L.mT)
    assert dict(prior.card) == {"data": ["a"]}
    prior.save(path)
    torch.testing.assert_close(checkpoints.read(path)[1]["factors"], tensors["factors"].float())
