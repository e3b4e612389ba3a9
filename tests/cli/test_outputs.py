"""An output destroys nothing: each kind of target, of each command, is refused before any work."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import stat
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from invgen.core.errors import FileError
from invgen.core.files import atomic_path
from invgen.io import ReconstructionWriter


class Worked(BaseException):
    """A command has gone beyond its checks."""


@pytest.fixture
def place(original, tmp_path, monkeypatch):
    """A folder with one of each file that commands read."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(original, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture(scope="session")
def original(tmp_path_factory):
    """What is copied for each test."""
    folder = tmp_path_factory.mktemp("original")
    with contextlib.chdir(folder):
        _write_files()
    return folder


def _write_files():
    Path("pictures").mkdir()
    image = Image.fromarray((np.indices((16, 16)).sum(0) * 8).astype(np.uint8))
    for path in ("picture.png", "mask.png", "pictures/a.png", "pictures/b.png"):
        image.save(path)
    for name, values in {
        "projections": np.ones((12, 3, 16), "f4"),
        "flats": np.ones((2, 3, 16), "f4"),
        "darks": np.zeros((2, 3, 16), "f4"),
        "angles": np.linspace(0, 180, 12, endpoint=False),
        "kspace": np.ones((2, 16, 16), "c8"),
        "samples": np.ones((64, 4, 2), "c8"),
        "trajectory": np.zeros((64, 4), "c8"),
        "mask": np.ones((16, 16), bool),
        "images": np.random.default_rng(0).random((8, 16, 16), dtype="f4"),
        "labels": np.zeros(8, "u1"),
    }.items():
        np.save(f"{name}.npy", values)
    Path("angles.txt").write_text(" ".join(str(15 * i) for i in range(12)))
    with h5py.File("scan.h5", "w") as file:
        shadow = 0.5 + 0.5 * (abs(np.arange(16) - 8) > 4)
        file["exchange/data"] = np.random.default_rng(0).poisson(1e4 * shadow, (12, 3, 16)).astype("u2")
        file["exchange/data_white"] = np.full((2, 3, 16), 10_000, "u2")
        file["exchange/data_dark"] = np.zeros((2, 3, 16), "u2")
        file["exchange/theta"] = np.linspace(0, 180, 12, endpoint=False)
        file["exchange/theta"].attrs["units"] = "deg"
        file["truth/image"] = np.ones((3, 16, 16), "f4")
    for name in ("image.h5", "other.h5"):
        settings = {"rows": [0, 1, 2], "solver": "fbp"}
        shape = {"slices": 3, "image_shape": (16, 16), "pixel_size": 1.0, "unit": "pixel"}
        about = {"angles": np.zeros(1), "center": 1.0, "source": "scan.h5", "settings": settings}
        with ReconstructionWriter(name, **shape, **about) as writer:
            for i in range(3):
                writer.write(i, np.random.default_rng(i).random((16, 16), dtype="f4"))
    prior = Path(__file__).parents[2] / "invgen" / "weights" / "digits.safetensors"
    Path("prior.safetensors").write_bytes(prior.read_bytes())
    Path("run").mkdir()


@pytest.fixture
def idle(monkeypatch):
    """Whatever a command does after its checks raises."""

    def work(*_, **__):
        raise Worked

    for name in (
        "invgen.pipeline.work.Work.settle",
        "invgen.pipeline.work.Work.solver",
        "invgen.priors.Diffusion.sample",
        "invgen.priors.training.Training.jointly",
        "invgen.simulate.ct.observe",
        "invgen.pipeline.demonstration.simulate_ct",
        "invgen.figures.montage",
        "invgen.bench.benchmark.run_grid",
    ):
        monkeypatch.setattr(name, work)
    monkeypatch.setattr("invgen.simulate.mri.torch.Generator", work)


PLAIN = ("recon", "projections.npy", "--axes", "angle,row,column", "--quantity", "transmission")
NUMBERS = (*PLAIN, "--angles", "angles.txt", "--angle-unit", "deg")
SAMPLES = ("recon", "samples.npy", "--axes", "sample,shot,coil", "--matrix", "16x16")
TRAIN = ("train", "diffusion", "images.npy", "--steps", 2, "--widths", 8)

#: Commands, and what is read by each: its first word of all is the option for the output.
COMMANDS = {
    "recon": (("recon", "scan.h5"), ["scan.h5"]),
    "recon of plain arrays": (
        (*NUMBERS, "--flats", "flats.npy", "--darks", "darks.npy"),
        ["projections.npy", "flats.npy", "darks.npy", "angles.txt"],
    ),
    "recon with angles": ((*PLAIN, "--angles", "angles.npy", "--angle-unit", "deg"), ["angles.npy"]),
    "recon with a prior": (
        ("recon", "scan.h5", "--solver", "dds", "--prior", "prior.safetensors"),
        ["prior.safetensors"],
    ),
    "recon of k-space": (
        ("recon", "kspace.npy", "--axes", "coil,y,x", "--mask", "mask.npy"),
        ["kspace.npy", "mask.npy"],
    ),
    "recon of samples": ((*SAMPLES, "--trajectory", "trajectory.npy"), ["samples.npy", "trajectory.npy"]),
    "recon of a picture": (
        ("recon", "picture.png", "--operator", "inpaint:mask.png", "--noise-std", 0.1),
        ["picture.png", "mask.png"],
    ),
    "recon of a kernel": (
        ("recon", "picture.png", "--operator", "blur:mask.png,zero", "--noise-std", 0.1),
        ["mask.png"],
    ),
    "recon of a folder": (
        ("recon", "pictures", "--operator", "denoise", "--noise-std", 0.1),
        ["pictures/a.png", "pictures/b.png"],
    ),
    "sample": (("sample", "prior.safetensors"), ["prior.safetensors"]),
    "train": ((*TRAIN, "--labels", "labels.npy"), ["images.npy", "labels.npy"]),
    "train of a folder": (("train", "denoiser", "pictures", "--noise-std", 0.1), ["pictures/a.png"]),
    "simulate ct": (("simulate", "ct", "picture.png"), ["picture.png"]),
    "simulate mri": (("simulate", "mri", "picture.png"), ["picture.png"]),
    "view": (("view", "image.h5"), ["image.h5"]),
    "view beside": (("view", "image.h5", "--compare", "other.h5"), ["image.h5", "other.h5", "scan.h5"]),
    "certify": (("certify", "dds", "--problem", "mixture-8-1"), []),
}


def contents(folder):
    """Kind and bytes of everything in a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        mode = os.lstat(path).st_mode
        found[str(path)] = (mode, path.read_bytes() if stat.S_ISREG(mode) else path.is_symlink())
    return found


def assert_refused(refused, place, words, output, *expected):
    before = contents(place)
    line = refused(*words, "-o", output)
    assert line.isprintable()
    assert any(each in line for each in expected), line
    assert contents(place) == before


@pytest.mark.usefixtures("idle")
@pytest.mark.cases_are_slow
@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_read_is_not_written(refused, place, name):
    words, paths = COMMANDS[name]
    for i, path in enumerate(map(Path, paths)):
        symlink, hard = (Path(f"{kind}{i}{path.suffix}") for kind in ("symlink", "hard"))
        symlink.symlink_to(place / path)
        os.link(path, hard)
        with path.open("rb") as file:
            for output in (path, f"run/../{path}", symlink, hard, f"/dev/fd/{file.fileno()}"):
                if Path(output).suffix or "/dev" in str(output):
                    assert_refused(refused, place, words, output, "is what the command reads")


def fifo(place):
    os.mkfifo("fifo.h5")
    return "fifo.h5"


def a_socket(place):
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.h5")
    return "socket.h5"


def link_to(target):
    def make(place):
        Path("link.h5").symlink_to(target)
        return "link.h5"

    return make


def loop(place):
    Path("loop.h5").symlink_to("loop.h5")
    return "loop.h5"


def read_only(place):
    Path("kept.h5").write_text("kept")
    Path("kept.h5").chmod(0o444)
    return "kept.h5"


def own_device(place):
    try:
        os.mknod("null.h5", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root makes devices")
    return "null.h5"


def pipe(place):
    _, writing = os.pipe()
    return f"/dev/fd/{writing}"


#: What is no place for an output, and what is said of it.
TARGETS = {
    "null": (lambda place: "/dev/null", "is a device"),
    "full": (lambda place: "/dev/full", "is a device"),
    "zero": (lambda place: "/dev/zero", "is a device"),
    "own device": (own_device, "is a device"),
    "link to a device": (link_to("/dev/null"), "is a device"),
    "pipe": (fifo, "is a pipe"),
    "link to a pipe": (lambda place: (fifo(place), link_to("fifo.h5")(place))[1], "is a pipe"),
    "descriptor of a pipe": (pipe, "is a pipe"),
    "socket": (a_socket, "is a socket"),
    "folder": (lambda place: "run", "is a folder"),
    "link to a folder": (link_to("run"), "is a folder"),
    "here": (lambda place: ".", "is a folder"),
    "above": (lambda place: "..", "is a folder"),
    "nowhere": (lambda place: "nowhere/out.h5", "cannot be written"),
    "under a file": (lambda place: "scan.h5/out.h5", "cannot be written"),
    "link to nowhere": (link_to("nowhere/out.h5"), "cannot be written"),
    "loop of links": (loop, "cannot be written"),
    "read-only": (read_only, "is read-only"),
    "link to read-only": (lambda place: (read_only(place), link_to("kept.h5")(place))[1], "is read-only"),
    "not a disk": (lambda place: "/proc/out.h5", "cannot be written"),
    "a long name": (lambda place: "x" * 300 + ".h5", "cannot be written"),
    "markup": (lambda place: "nowhere/[red]x[/red].h5", "nowhere/[red]x[/red].h5"),
    "markup that ends nothing": (lambda place: "nowhere/[/]x.h5", "nowhere/[/]x.h5"),
    "two lines": (lambda place: "nowhere/a\nError: b.h5", "nowhere/a\\nError: b.h5"),
    "escape": (lambda place: "nowhere/\x1b[2Jx.h5", "nowhere/\\x1b[2Jx.h5"),
    "right to left": (lambda place: "nowhere/\u202e5h.x", "nowhere/\\u202e5h.x"),
}


@pytest.mark.usefixtures("idle")
@pytest.mark.cases_are_slow
@pytest.mark.parametrize("target", TARGETS)
def test_what_is_no_place_for_an_output(refused, place, target):
    make, expected = TARGETS[target]
    output = make(place)
    for words, _ in COMMANDS.values():
        assert_refused(refused, place, words, output, expected)


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("name", ["[red]x.h5", "[@click=f]x.h5", "a\nb.h5", "\x1b[2Jx.h5", "x" * 250 + ".h5"])
def test_such_names_alone_are_no_reason(invgen, place, name):
    """The command goes on to its work."""
    for words in (COMMANDS["recon"][0], COMMANDS["simulate ct"][0]):
        with pytest.raises(Worked):
            invgen(*words, "-o", name)


def test_files_of_such_names_are_written_and_named_in_one_line(invgen, place):
    for name in ("[red]x.png", "[@click=f]x.png", "a\nb.png", "\x1b[2Jx.png", "x" * 250 + ".png"):
        result = invgen("view", "image.h5", "-o", name)
        assert result.exit_code == 0, result.output
        assert Path(name).read_bytes().startswith(b"\x89PNG")
        assert len(result.output.splitlines()) == 1
        assert "\x1b" not in result.output
    assert "[red]x.png" in invgen("view", "image.h5", "-o", "[red]x.png").output


@pytest.mark.usefixtures("idle")
def test_the_state_of_a_run_is_no_output(refused, invgen, place):
    for name in ("run", "run/state.pt", "run/log.csv", "run/run.json"):
        words = (*TRAIN, "--folder", "run")
        assert_refused(refused, place, words, name, "where the run keeps its state", "is a folder")
    assert_refused(refused, place, TRAIN, "prior.run", "where the run keeps its state")


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("name", ["scan.h5", "tv.h5", "demo.png"])
def test_a_demonstration_replaces_no_device(refused, place, name):
    Path("run", name).symlink_to("/dev/null")
    before = contents(place)
    assert "is a device" in refused("demo", "--output-dir", "run")
    assert contents(place) == before


@pytest.mark.usefixtures("idle")
def test_results_go_to_a_folder(refused, place):
    for output in ("scan.h5", "/dev/null"):
        assert "is no folder for results" in refused("bench", "operators", "-o", output)
    Path("run/report.html").symlink_to("/dev/null")
    assert "is a device" in refused("bench", "operators", "-o", "run")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_writers_in_python_refuse_likewise(place):
    for make, _ in TARGETS.values():
        before = contents(place)
        output = make(place)
        created = contents(place)
        with pytest.raises(FileError), atomic_path(output):
            pytest.fail("there is a file to write")
        assert contents(place) == created
        for path in created.keys() - before.keys():
            Path(path).unlink()
    with pytest.raises(FileError, match="cannot be written"), atomic_path("a\0b"):
        pass


def test_what_becomes_a_device_meanwhile_stays_one(place):
    with pytest.raises(FileError, match="is a pipe"), atomic_path("out.h5"):
        os.mkfifo("out.h5")
    assert stat.S_ISFIFO(os.stat("out.h5").st_mode)
    assert not list(place.glob(".*"))
