"""Conformal intervals in files: read again to the bit, and refused where they are damaged."""

import json

import pytest
import torch

from invgen.calibration import ConformalIntervals, conformal
from invgen.core.errors import FileError
from tests.calibration.conftest import SHAPE, Mean, Sampler

REGIONS = torch.stack([torch.arange(42).reshape(SHAPE) < 20, torch.arange(42).reshape(SHAPE) >= 35])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"guarantee": "each"},
        {"guarantee": "each", "mask": REGIONS[0]},
        {"guarantee": "all", "regions": REGIONS},
        {"guarantee": "each", "regions": REGIONS, "about": "regions of white images"},
        {"confidence": 0.9, "floor": 0.0, "width": "constant"},
    ],
    ids=str,
)
def test_a_file_gives_the_same_intervals(options, problems, tmp_path):
    known = conformal(Mean(), problems, 0.9, **options)
    path = tmp_path / "known.json"
    known.save(path)
    again = ConformalIntervals.load(path)
    for name in vars(known):
        a, b = getattr(known, name), getattr(again, name)
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b
    problem, _ = problems[3]
    for a, b in zip(*(each.apply(Mean(), problem, Mean()(problem)) for each in (known, again)), strict=True):
        assert torch.equal(a.nan_to_num(-1), b.nan_to_num(-1))


@pytest.fixture
def header(problems, tmp_path):
    path = tmp_path / "known.json"
    conformal(Sampler(), problems, 0.9, guarantee="each", mask=REGIONS[0]).save(path)
    return json.loads(path.read_text())


DAMAGES = {
    "another version": {"format": "invgen conformal intervals 2"},
    "of warnings": {"format": "invgen calibration 1"},
    "no level": {"level": None},
    "a level of two": {"level": 2.0},
    "a level that is true": {"level": True},
    "another guarantee": {"guarantee": "most"},
    "a confidence for each": {"confidence": 0.5},
    "another width": {"width": "wide"},
    "a negative floor": {"floor": -1.0},
    "no images": {"images": 0},
    "infinite factors": {"factors": [float("inf")] * 42},
    "negative factors": {"factors": [-1.0] * 42},
    "few factors": {"factors": [1.0] * 41},
    "one factor": {"factors": 1.0},
    "a text": {"factors": ["1"] * 42},
    "another shape": {"shape": [7, 6]},
    "an absurd shape": {"shape": [10**9, 10**9]},
    "a negative shape": {"shape": [-6, -7]},
    "a number of a thousand digits": {"floor": 10**1000},
    "ranges the wrong way": {"ranges": {"noise level": [2.0, 1.0]}},
    "ranges of three": {"ranges": {"noise level": [2.0, 1.0, 3.0]}},
    "a range of nothing": {"ranges": {"noise level": [0.0, float("nan")]}},
    "settings that are a list": {"settings": []},
    "a mask without bits": {"mask": {"shape": [6, 7]}},
    "few bits": {"mask": {"shape": [6, 7], "bits": "AAAA"}},
    "bits that are none": {"mask": {"shape": [6, 7], "bits": "!"}},
    "an absurd mask": {"mask": {"shape": [10**12], "bits": "AAAA"}},
    "a mask and regions": {"regions": {"shape": [1, 6, 7], "bits": "AAAAAAAA"}},
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_refused(damage, header, tmp_path):
    path = tmp_path / "damaged.json"
    path.write_text(json.dumps(header | DAMAGES[damage]))
    with pytest.raises(FileError, match=r"damaged\.json"):
        ConformalIntervals.load(path)


def test_files_of_another_version_say_which(header, tmp_path):
    path = tmp_path / "new.json"
    path.write_text(json.dumps(header | DAMAGES["another version"]))
    with pytest.raises(FileError, match="its format is 'invgen conformal intervals 2', this version reads"):
        ConformalIntervals.load(path)


def test_truncated_and_other_files_are_refused(header, tmp_path):
    whole, path = json.dumps(header), tmp_path / "part.json"
    for length in (0, 1, 30, len(whole) // 2, len(whole) - 1):
        path.write_text(whole[:length])
        with pytest.raises(FileError):
            ConformalIntervals.load(path)
    for content in (b"\x00\x01\xff", b"[" * 5000, b"3", b"[]", b"{}", b'"text"'):
        path.write_bytes(content)
        with pytest.raises(FileError):
            ConformalIntervals.load(path)
    for missing in header:
        path.write_text(json.dumps({name: value for name, value in header.items() if name != missing}))
        if missing != "mask":
            with pytest.raises(FileError):
                ConformalIntervals.load(path)
    with pytest.raises(FileError, match="does not exist"):
        ConformalIntervals.load(tmp_path / "absent.json")
    with pytest.raises(FileError, match="folder"):
        ConformalIntervals.load(tmp_path)
