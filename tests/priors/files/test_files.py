"""Files of unknown origin: nothing in them runs, and what is wrong with them is said."""

import pickle

import pytest
import torch
from safetensors.torch import save_file

import invgen as ig
from invgen.core.errors import FileError, ParameterError
from invgen.priors.files.published import is_hub_name


class Trap:
    def __reduce__(self):
        return (open, ("sprung", "w"))


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".pkl", ".safetensors"])
@pytest.mark.parametrize("family", [None, "guided-diffusion", "score_sde", "edm"])
@pytest.mark.parametrize("kind", ["pickle", "among tensors", "within a training state"])
def test_a_trap_never_springs(tmp_path, monkeypatch, suffix, family, kind):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"weights{suffix}"
    tensors = {"input_blocks.0.0.weight": torch.zeros(2), "map_layer0.weight": torch.zeros(2)}
    if kind == "pickle":
        path.write_bytes(pickle.dumps({"ema": Trap()}))
    elif kind == "among tensors":
        torch.save({**tensors, "trap": Trap()}, path)
    else:
        torch.save({"model": tensors, "ema": {"shadow_params": [Trap()]}}, path)
    with pytest.raises(FileError, match="safetensors"):
        ig.priors.load(path, family=family)
    assert not (tmp_path / "sprung").exists()


def test_edm_pickles_are_refused_with_the_way_to_convert_them(tmp_path):
    path = tmp_path / "edm-cifar10-32x32-uncond-vp.pkl"
    path.write_bytes(pickle.dumps({"ema": 1}))
    with pytest.raises(FileError, match=r"safetensors\.torch\.save_file"):
        ig.priors.load(path)


def test_tensors_that_nobody_knows(tmp_path):
    save_file({"encoder.weight": torch.zeros(2)}, tmp_path / "a.safetensors")
    with pytest.raises(FileError, match=r"no network known here \(encoder\.weight"):
        ig.priors.load(tmp_path / "a.safetensors")
    with pytest.raises(FileError, match="edm"):
        ig.priors.load(tmp_path / "a.safetensors", family="edm")
    torch.save([torch.zeros(2)], tmp_path / "b.pt")
    with pytest.raises(FileError, match="no state of one network"):
        ig.priors.load(tmp_path / "b.pt")
    torch.save({"x": torch.zeros(900)}, tmp_path / "c.pt")
    damaged = bytearray((tmp_path / "c.pt").read_bytes())
    damaged[200:260] = bytes(60)
    (tmp_path / "c.pt").write_bytes(damaged)
    with pytest.raises(FileError, match="safetensors"):
        ig.priors.load(tmp_path / "c.pt")


def test_our_own_files_take_no_settings(tmp_path):
    with pytest.raises(ParameterError, match="takes no schedule"):
        ig.priors.load("patches-gray", schedule="linear")
    with pytest.raises(ParameterError, match="takes no family"):
        ig.priors.load("patches-gray", family="edm")


def test_names_of_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    assert is_hub_name("google/ddpm-cifar10-32")
    for path in ("runs/prior", "elsewhere/prior.safetensors", "a/b/c", "prior", "/tmp/prior", "../prior"):
        assert not is_hub_name(path)


def test_what_is_on_the_hub_needs_a_network(monkeypatch):
    pytest.importorskip("huggingface_hub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FileError, match=r"someone/some-model.*cannot be fetched from the hub"):
        ig.priors.load("someone/some-model")
