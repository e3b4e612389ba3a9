"""Suites of one's own images in TOML files."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

from invgen.bench.suites import load_suites
from invgen.bench.toml import read_suite
from invgen.core.errors import FileError
from invgen.operators import Blur, Mask, Radon, kernels

TEXT = """\
name = "leaves"
about = "Test: a and b; tuning: c."

[images]
test = ["test/*.png"]
tuning = "tuning/*.png"
size = 16

[measurement]
operator = "blur:1.6"
noise = [0.05, 0.01]

[[methods]]
name = "tv"

[[methods]]
name = "diffpir"
prior = "denoiser-gray"
samples = 2
settings = { iterations = 3 }
"""


@pytest.fixture
def write(tmp_path):
    """Write the text with a part replaced, beside three images; returns the file."""
    rng = np.random.default_rng(0)
    for name in ("test/a", "test/b", "tuning/c"):
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 24), dtype=np.uint8)).save(path)

    def one(old="", new=""):
        assert old in TEXT
        path = tmp_path / "leaves.toml"
        path.write_text(TEXT.replace(old, new, 1))
        return path

    return one


def refused(path, *parts):
    with pytest.raises(FileError) as error:
        read_suite(path)
    for part in (str(path), *parts):
        assert part in str(error.value)


def test_the_problems_are_those_of_the_operator_in_python(write):
    suite = read_suite(write())
    assert [task.axes for task in suite.tasks] == [{"noise": 0.05}, {"noise": 0.01}]
    assert suite.tasks[0].test == ("test/a.png", "test/b.png")
    assert suite.tasks[0].tuning == ("tuning/c.png",)
    given = suite.instance(suite.tasks[1], "test/a.png", 0)
    # the middle of 20 x 24 pixels
    picture = np.asarray(Image.open(suite.test["test/a.png"]), dtype=np.float32) / 255
    assert torch.equal(given.truth, torch.from_numpy(picture[2:18, 4:20].copy()))
    A = Blur((16, 16), kernels.gaussian_kernel(1.6), "reflect")
    x = torch.rand(16, 16)
    assert torch.equal(given.problem.operator(x), A(x))
    residual = given.problem.measurement - A(given.truth)
    assert 0.007 < float(residual.std()) < 0.013
    assert [(entry.name, entry.prior) for entry in suite.entries] == [
        ("tv", ""),
        ("diffpir", "denoiser-gray"),
    ]


@pytest.mark.slow
def test_methods_are_judged(write):
    quick = read_suite(write()).quick()
    for entry in quick.entries:
        outcome = quick.judge(entry, {}, quick.tasks[0], quick.tasks[0].test[0], 0)
        assert outcome.measures["psnr"] > 5


def test_a_class_of_operators_with_arguments_and_a_file(write, tmp_path):
    mask = np.zeros((16, 16), dtype=np.float32)
    mask[::2] = 1
    np.save(tmp_path / "mask.npy", mask)
    path = write('operator = "blur:1.6"', 'operator = "Mask"\narguments = { mask = "mask.npy" }')
    suite = read_suite(path)
    found = suite.instance(suite.tasks[0], "test/a.png", 0).problem.operator
    x = torch.rand(16, 16)
    assert torch.equal(found(x), Mask(torch.from_numpy(mask))(x))

    path = write('operator = "blur:1.6"', 'operator = "Radon"\narguments = { angles = 7 }')
    path.write_text(path.read_text().partition("[[methods]]")[0] + '[[methods]]\nname = "fbp"\n')
    suite = read_suite(path)
    assert suite.use == "parallel"
    assert torch.equal(
        suite.instance(suite.tasks[0], "test/a.png", 0).problem.operator(x), Radon((16, 16), 7)(x)
    )


def test_it_is_loaded_by_its_path_from_any_folder(write, tmp_path, monkeypatch):
    path = write()
    monkeypatch.chdir("/")
    assert load_suites([str(path)], tmp_path)[0].test == read_suite(path).test


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("noise = [", "nois = [", 11, "did you mean noise"),
        ("size = 16", "size = 16.5", 7, "a positive whole number"),
        ("size = 16", "size = 21", 10, "20 x 24"),
        ('name = "tv"', 'name = "tvv"', 14, "tv"),
        ("iterations = 3", "iteration = 3", 17, "iterations"),
        ('"blur:1.6"', '"blurr:1.6"', 10, "blur:SIGMA"),
        ('"blur:1.6"', '"Blur"', 10, "kernel"),
        ("[0.05, 0.01]", "[0.05, -1]", 11, "positive"),
        ('test = ["test', 'test = ["tests', 5, "no file"),
        ('test = ["test', 'test = ["", "test', 5, "patterns are relative to"),
        ('tuning = "tuning', 'tuning = "test', 6, "test/a.png"),
        ('test = ["test/*.png"]', "test = []", 5, "has no pattern"),
        ("size = 16", "size = -16", 7, "positive whole number; it is -16"),
        ("size = 16", "data_range = 0.0", 7, "positive number; it is 0.0"),
        ("noise = [0.05, 0.01]", "noise = 0.05\nseeds = 0", 12, "positive whole number; it is 0"),
        ('about = "Test', 'primary = "psnrr" # "', 2, "did you mean psnr"),
    ],
)
def test_what_cannot_be_is_refused_with_its_line(write, old, new, line, said):
    path = write(old, new)
    text = path.read_text().splitlines()[line - 1].strip()
    refused(path, f"line {line} ({text})", said)


def test_a_copy_of_a_test_image_is_no_image_for_tuning(write, tmp_path):
    path = write()
    (tmp_path / "tuning" / "d.png").write_bytes((tmp_path / "test" / "a.png").read_bytes())
    refused(path, "tuning/d.png", "test/a.png", "same content")


def test_what_is_missing_is_named(write):
    refused(write('operator = "blur:1.6"\n', ""), "[measurement] lacks operator")
    refused(write("[measurement]", "[measurement"), "is no suite")


def test_seeds_are_the_numbers_of_measurements(write):
    assert read_suite(write("noise = [", "seeds = 3\nnoise = [")).seeds == (0, 1, 2)


def test_the_example_in_the_documentation_has_keys_that_exist():
    from invgen.bench import toml

    keys = set(re.findall(r"^\s*(?:# )?(\w+) = ", toml.__doc__, flags=re.M))
    assert keys <= set(toml._TYPES)
