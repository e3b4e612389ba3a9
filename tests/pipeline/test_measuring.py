"""How images were measured, in words."""

import subprocess
import sys

import pytest

from invgen.core.errors import ParameterError
from invgen.pipeline import Reading
from invgen.pipeline.measuring import measuring


@pytest.mark.parametrize(
    "text",
    [
        "denoise",
        "inpaint:a mask, of mine.png",
        "blur:1.6",
        "blur:1.6,circular",
        "blur:kernel.png",
        "blur:a,b.npy,zero",
        "super-resolution:4",
        "super-resolution:3,lanczos",
        "gray",
        "sense:0.25",
        "sense:0.25,7",
        "sense:0.25,hadamard",
        "sense:1.0,7,single-pixel",
    ],
)
def test_what_is_written_is_read_again(text):
    found = measuring(text)
    assert found.text == text
    assert measuring(found.text) == found
    assert Reading(operator=text).measuring == found


def test_defaults_may_be_spelled_out():
    assert measuring("blur:1.60,reflect").text == "blur:1.6"
    assert measuring("super-resolution:4,block").text == "super-resolution:4"
    assert measuring("sense:0.5,0,dct").text == "sense:0.5"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sharpen", r"'sharpen' is none of denoise, inpaint:FILE, blur"),
        ("", "is none of"),
        ("denoise:2", "nothing follows it"),
        ("inpaint", "inpaint:FILE: the file of the mask follows it"),
        ("blur:", "a width in pixels or the file of a kernel"),
        ("blur:-1", "positive number of pixels; got -1"),
        ("blur:nan", "positive number of pixels"),
        ("super-resolution:2.5", "a whole number follows it, such as super-resolution:4; got '2.5'"),
        ("super-resolution:0", "a whole number"),
        ("super-resolution:2,linear", "one of block, bicubic, lanczos; got 'linear'"),
        ("sense", "a fraction above 0, up to 1"),
        ("sense:0", "a fraction above 0, up to 1, follows it, such as sense:0.3; got '0'"),
        ("sense:1.5", "a fraction above 0"),
        ("sense:0.5,fourier", "got 'fourier'"),
        ("sense:0.5,-1", "got '-1'"),
    ],
)
def test_what_is_wrong_is_said(text, message):
    with pytest.raises(ParameterError, match=message):
        Reading(operator=text)


def test_files_are_found_from_any_folder(tmp_path, monkeypatch):
    (tmp_path / "mask.png").touch()
    monkeypatch.chdir(tmp_path)
    reading = Reading(operator="inpaint:mask.png")
    assert reading.files["operator"].name == "mask.png"
    assert reading.located().operator == f"inpaint:{tmp_path / 'mask.png'}"
    assert Reading(operator="blur:2").located().operator == "blur:2.0"


def test_the_words_come_without_torch():
    code = (
        "import sys; from invgen.pipeline import Reading; Reading(operator='sense:0.5');"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
