"""MRI files that are damaged, absurd or malicious give one clear error, and never a crash or a guess."""

from contextlib import suppress

import h5py
import numpy as np
import pytest

from invgen.core.errors import DataError, FileError, InvgenError
from invgen.io import open_scan
from invgen.io.mri.header import parse_header

from .layouts import header, lines, random_complex, readout


@pytest.fixture
def ismrmrd_file(write_ismrmrd):
    """A small scan with a noise scan, several slices and repetitions."""

    def write(trajectory="cartesian"):
        k = np.random.default_rng(0).uniform(-0.5, 0.5, (8, 6, 2))
        readouts = [readout(random_complex((2, 40)), flags=("IS_NOISE_MEASUREMENT",), sample_time_us=2.0)]
        for slice in range(2):
            kspace = random_complex((2, 8, 6), slice)
            for y in range(8):
                path = k[y] if trajectory == "radial" else None
                readouts.append(
                    readout(
                        kspace[:, y], kspace_encode_step_1=y, slice=slice, trajectory=path, sample_time_us=2.0
                    )
                )
        return write_ismrmrd(readouts, header((8, 6), (8, 3), trajectory=trajectory))

    return write


def use(path):
    """Read all that there is."""
    with open_scan(path) as scan:
        scan.info()
        for slice in range(min(scan.slices, 3)):
            for repetition in range(min(scan.repetitions, 3)):
                with suppress(InvgenError):
                    scan.problem(slice, repetition, coils="none")


@pytest.mark.parametrize("seed", range(60))
def test_corrupt_bytes_never_crash(fastmri, ismrmrd_file, seed):
    """Any error but our own fails."""
    kinds = [lambda: fastmri()[0], ismrmrd_file, lambda: ismrmrd_file("radial")]
    path, rng = kinds[seed % 3](), np.random.default_rng(seed)
    content = bytearray(path.read_bytes())
    for place in rng.integers(8, len(content), 1 + seed):
        content[place] = rng.integers(256)
    path.write_bytes(content)
    with suppress(InvgenError):
        use(path)


@pytest.mark.parametrize("seed", range(40))
def test_corrupt_headers_of_readouts_never_crash(ismrmrd_file, seed):
    """Counters, numbers of samples and flags of any value, in a file that is whole."""
    path, rng = ismrmrd_file("radial" if seed % 2 else "cartesian"), np.random.default_rng(seed)
    with h5py.File(path, "a") as file:
        table = file["dataset/data"][:]
        for _ in range(3):
            head = table["head"][rng.integers(len(table))]
            raw = np.frombuffer(bytearray(head.tobytes()), np.uint8).copy()
            raw[rng.integers(0, len(raw), 4)] = rng.integers(0, 256, 4)
            table["head"][rng.integers(len(table))] = np.frombuffer(raw.tobytes(), table["head"].dtype)[0]
        file["dataset/data"][:] = table
    with suppress(InvgenError):
        use(path)


@pytest.mark.parametrize("part", [0.01, 0.2, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("kind", ["fastmri", "cartesian", "radial"])
def test_files_that_are_cut_short(fastmri, ismrmrd_file, kind, part):
    path = fastmri()[0] if kind == "fastmri" else ismrmrd_file(kind)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(FileError, match=r"truncated|damaged|no HDF5"):
        open_scan(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_no_numbers(write_ismrmrd, bad):
    kspace = random_complex((1, 4, 6))
    kspace[0, 1, 2] = bad
    with (
        open_scan(write_ismrmrd(lines(kspace), header((4, 6), (4, 6)))) as scan,
        pytest.raises(DataError, match="NaN"),
    ):
        scan.kspace()


def test_numbers_of_samples_that_are_not_there(write_ismrmrd):
    path = write_ismrmrd(lines(random_complex((1, 4, 6))), header((4, 6), (4, 6)))
    with h5py.File(path, "a") as file:
        table = file["dataset/data"][:]
        table["data"][1] = table["data"][1][:7]
        file["dataset/data"][:] = table
    with (
        open_scan(path) as scan,
        pytest.raises(DataError, match=r"readout 1: .*6 samples of 1 channels.*there are 7"),
    ):
        scan.kspace()


@pytest.mark.parametrize("coils", [1, 60])
@pytest.mark.parametrize("trajectory", ["cartesian", "radial"])
def test_absurd_matrices_are_refused_before_memory_is_asked_for(write_ismrmrd, coils, trajectory):
    k = np.random.default_rng(0).uniform(-0.5, 0.5, (6, 2))
    one = readout(random_complex((coils, 6)), trajectory=k if trajectory == "radial" else None)
    text = header((65000, 65000), (65000, 65000), steps=((1, 0),), trajectory=trajectory)
    with pytest.raises(DataError, match="more than any scan has"):
        open_scan(write_ismrmrd([one], text))
    huge = header((4, 6), (4, 6)).replace("<x>6</x>", "<x>1000000000</x>")
    with pytest.raises(FileError, match="whole number from 1 to 65536; it is '1000000000'"):
        open_scan(write_ismrmrd([one], huge, name="huge.h5"))


def test_absurd_shapes_of_fastmri(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("kspace", (3, 15, 2**20, 2**20), "c8", chunks=(1, 1, 64, 64))
        file["ismrmrd_header"] = header().encode()
    with pytest.raises(DataError, match="more than any scan has"):
        open_scan(tmp_path / "a.h5")


def test_a_header_of_a_long_type_is_refused_in_a_short_line(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["dataset/data"] = np.zeros(2)
        file["dataset/xml"] = np.zeros(1, [(f"field {i}", "f4") for i in range(200)])
    with pytest.raises(FileError, match="should be one text; it holds") as refused:
        open_scan(tmp_path / "a.h5", format="ismrmrd")
    assert len(str(refused.value)) < 600


def test_readouts_of_another_type(tmp_path):
    for i, (dtype, words) in enumerate(
        [
            (
                [
                    ("head", [("flags", "u8")]),
                    ("traj", h5py.vlen_dtype("f4")),
                    ("data", h5py.vlen_dtype("f4")),
                ],
                "lacks",
            ),
            ([("head", "i4"), ("data", h5py.vlen_dtype("f4"))], "head, traj and data"),
            ([("head", "i4"), ("traj", "f4"), ("data", "f4")], "head, traj and data"),
        ]
    ):
        with h5py.File(tmp_path / f"{i}.h5", "w") as file:
            file.create_dataset("dataset/data", (2,), np.dtype(dtype))
            file["dataset/xml"] = header()
        with pytest.raises(FileError, match=words):
            open_scan(tmp_path / f"{i}.h5")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: "", "no XML"),
        (lambda text: text[:700], "no XML"),
        (lambda text: text.replace("<x>64</x>", "<x>many</x>"), "that is not negative; it is 'many'"),
        (lambda text: text.replace("<x>64</x>", "<x>-64</x>"), "that is not negative"),
        (lambda text: text.replace("<x>64</x>", "<x>0</x>"), "whole number from 1"),
        (lambda text: text.replace("<x>64</x>", "<x>6.5</x>"), "whole number"),
        (lambda text: text.replace("<x>64</x>", "<x>nan</x>"), "a number"),
        (lambda text: text.replace("encodedSpace", "encoded"), "no encodedSpace"),
        (lambda text: text.replace("encoding>", "decoding>"), "no encoding"),
        (lambda text: text.replace("<center>24</center>", ""), "no center"),
        (lambda text: text + " " * 2**24, "characters"),
        (lambda text: text.replace("?>", '?><!DOCTYPE a [<!ENTITY b "c">]>', 1), "document type"),
    ],
)
def test_headers_that_are_none(change, words):
    with pytest.raises(FileError, match=words):
        parse_header(change(header()), "the header")


def test_headers_without_namespace_or_what_is_optional():
    text = header((48, 64), bandwidth=0.8)
    plain = text.replace(' xmlns="http://www.ismrm.org/ISMRMRD"', "")
    assert parse_header(plain, "it") == parse_header(text, "it")
    start, end = text.index("<encodingLimits>"), text.index("</encodingLimits>") + len("</encodingLimits>")
    found = parse_header(text[:start] + text[end:], "it")
    assert found.noise_bandwidth == 0.8
    assert found.encodings[0].limits == {}
    assert found.encodings[0].encoded.matrix == (64, 48, 1)


def test_external_links_out_of_the_folder_are_refused(fastmri, tmp_path):
    path, _ = fastmri()
    (tmp_path / "folder").mkdir()
    linked = tmp_path / "folder" / "linked.h5"
    with h5py.File(linked, "w") as file:
        file["kspace"] = h5py.ExternalLink(str(path), "kspace")
    with pytest.raises(FileError, match="out of the scan's folder"):
        open_scan(linked)
    grouped = tmp_path / "folder" / "group.h5"
    with h5py.File(grouped, "w") as file:
        file.create_group("dataset")["data"] = h5py.ExternalLink(str(path), "kspace")
        file["dataset/xml"] = header()
    with pytest.raises(FileError, match="out of the scan's folder"):
        open_scan(grouped)
