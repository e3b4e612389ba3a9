"""Cartesian ISMRMRD files, written by the `ismrmrd` package: every sample lies where its counters say."""

import ctypes
import gc

import numpy as np
import pytest
import torch

from invgen.core.errors import DataError, FileError, ParameterError
from invgen.io import open_scan

from .layouts import centered_fft, centered_ifft, header, lines, random_complex, readout


@pytest.mark.parametrize(("height", "width", "crop"), [(12, 16, 8), (11, 16, 8), (12, 15, 7), (9, 14, 7)])
def test_oversampling_is_cropped_in_the_image(write_ismrmrd, height, width, crop):
    """Also where an even number of samples becomes an odd one: the middle stays the middle."""
    kspace = random_complex((3, height, width))
    text = header((height, width), (height, crop))
    with open_scan(write_ismrmrd(lines(kspace), text)) as scan:
        assert (scan.format, scan.coils, scan.slices, scan.repetitions) == ("ismrmrd", 3, 1, 1)
        assert (scan.encoded_shape, scan.image_shape) == ((height, width), (height, crop))
        assert (scan.pixel_size, scan.unit) == ((2.0, 2.0), "mm")
        read = scan.kspace()
        assert scan.acceleration == 1.0
    start = width // 2 - crop // 2
    image = centered_ifft(kspace, (-1,))[..., start : start + crop]
    np.testing.assert_allclose(read.data.numpy(), centered_fft(image, (-1,)), atol=2e-6)


def test_an_object_within_the_field_of_view_loses_nothing_with_the_oversampling(write_ismrmrd):
    """Its k-space on the larger grid is that on the smaller one, interpolated."""
    image = np.zeros((2, 12, 16), complex)
    image[..., 4:12] = random_complex((2, 12, 8))
    with open_scan(write_ismrmrd(lines(centered_fft(image)), header((12, 16), (12, 8)))) as scan:
        read = scan.kspace()
    np.testing.assert_allclose(read.data.numpy(), centered_fft(image[..., 4:12]), atol=2e-6)


def test_removing_oversampling_keeps_the_level_of_white_noise(write_ismrmrd):
    """The transforms are unitary: 24,000 samples of unit variance estimate it to 1 %; 4 sigma are allowed."""
    kspace = random_complex((4, 60, 200))
    with open_scan(write_ismrmrd(lines(kspace), header((60, 200), (60, 100)))) as scan:
        noise = torch.view_as_real(scan.kspace().data)
    assert float(noise.std()) == pytest.approx(1, abs=4 / np.sqrt(2 * noise.numel()))


def test_order_of_the_file_does_not_matter(write_ismrmrd):
    kspace = random_complex((2, 3, 2, 2, 8, 8))  # slice, repetition, contrast, coil, y, x
    readouts = [
        one
        for slice in range(2)
        for repetition in range(3)
        for contrast in range(2)
        for one in lines(
            kspace[slice, repetition, contrast], slice=slice, repetition=repetition, contrast=contrast
        )
    ]
    text = header((8, 8), (8, 8))
    with open_scan(write_ismrmrd(readouts, text, order=0)) as scan:
        assert (scan.slices, scan.repetitions) == (2, 6)
        assert scan.frames[3] == "repetition 1, contrast 1"
        for slice in range(2):
            for frame in range(6):
                expected = kspace[slice, frame // 2, frame % 2]
                np.testing.assert_array_equal(scan.kspace(slice, frame).data.numpy(), expected)


def test_phases_sets_and_missing_images(write_ismrmrd):
    kspace = random_complex((3, 1, 4, 4))
    readouts = [*lines(kspace[0], phase=0, set=1), *lines(kspace[1], phase=2), *lines(kspace[2], slice=7)]
    with open_scan(write_ismrmrd(readouts, header((4, 4), (4, 4)))) as scan:
        assert scan.frames == ("phase 0, set 0", "phase 0, set 1", "phase 2, set 0")
        assert scan.slices == 2  # counters 0 and 7
        np.testing.assert_array_equal(scan.kspace(0, 2).data.numpy(), kspace[1])
        np.testing.assert_array_equal(scan.kspace(1, 0).data.numpy(), kspace[2])
        with pytest.raises(DataError, match="no readout of slice 7, phase 2, set 0"):
            scan.kspace(1, 2)


def test_volume_has_its_second_encoded_axis_first(write_ismrmrd):
    kspace = random_complex((2, 6, 7, 8))
    text = header((6, 7, 8), (7, 4))
    with open_scan(write_ismrmrd(lines(kspace), text, order=1)) as scan:
        assert (scan.encoded_shape, scan.image_shape) == ((6, 7, 8), (6, 7, 4))
        read = scan.kspace()
    image = centered_ifft(kspace, (-1,))[..., 2:6]
    np.testing.assert_allclose(read.data.numpy(), centered_fft(image, (-1,)), atol=2e-6)


def test_partial_fourier_has_its_middle_in_the_middle(write_ismrmrd):
    """Of 12 lines the first 3 were not measured; the counter begins at 0 and has its centre at 3."""
    kspace = random_complex((2, 9, 8))
    text = header((12, 8), (12, 8), steps=((9, 3),))
    with open_scan(write_ismrmrd(lines(kspace), text)) as scan:
        read = scan.kspace()
        assert scan.acceleration == pytest.approx(12 / 9)
        assert scan.info()["calibration_region"] == [7, 8]  # from 3 lines before the middle to 3 behind
    np.testing.assert_array_equal(read.data[:, 3:].numpy(), kspace)
    assert not read.mask[:3].any()
    assert not read.data[:, :3].any()


def test_partial_echo_leaves_a_part_of_each_line_empty(write_ismrmrd):
    """11 of 16 samples, the 4th of which is the middle; oversampling cannot be removed and is cropped."""
    kspace = random_complex((2, 6, 11))
    text = header((6, 16), (6, 8))
    with open_scan(write_ismrmrd(lines(kspace, center_sample=3), text)) as scan:
        read = scan.kspace()
        assert any("partial echo" in line for line in read.report)
        assert scan.crop(torch.rand(6, 16)).shape == scan.image_shape == (6, 8)
    np.testing.assert_array_equal(read.data[..., 5:].numpy(), kspace)
    np.testing.assert_array_equal(read.mask.numpy(), np.arange(16)[None].repeat(6, 0) >= 5)


def test_samples_to_discard_are_not_measured(write_ismrmrd):
    kspace = random_complex((1, 4, 10))
    text = header((4, 10), (4, 10))
    path = write_ismrmrd(lines(kspace, discard_pre=2, discard_post=1), text)
    with open_scan(path) as scan:
        read = scan.kspace()
    assert (read.mask[0] == torch.tensor([0, 0, 1, 1, 1, 1, 1, 1, 1, 0], dtype=torch.bool)).all()
    np.testing.assert_array_equal(read.data.numpy(), kspace * read.mask.numpy())


def test_reversed_lines_are_turned_around(write_ismrmrd):
    kspace = random_complex((2, 6, 8))
    readouts = [
        readout(line[:, ::-1] if y % 2 else line, kspace_encode_step_1=y, flags=("IS_REVERSE",) * (y % 2))
        for y, line in enumerate(kspace.transpose(1, 0, 2))
    ]
    text = header((6, 8), (6, 8), trajectory="epi")
    with open_scan(write_ismrmrd(readouts, text)) as scan:
        assert scan.trajectory == "epi"
        assert any("ghosts" in note for note in scan.notes)
        np.testing.assert_array_equal(scan.kspace().data.numpy(), kspace)


def test_middle_of_readouts_that_do_not_state_it(write_ismrmrd):
    kspace = random_complex((1, 4, 8))
    with open_scan(write_ismrmrd(lines(kspace, center_sample=0), header((4, 8), (4, 8)))) as scan:
        np.testing.assert_array_equal(scan.kspace().data.numpy(), kspace)
        assert any("center_sample" in note for note in scan.notes)


def test_averages_are_averaged(write_ismrmrd):
    """Three of each line, but two of the last."""
    kspace = random_complex((3, 1, 4, 6))
    readouts = [one for average in range(3) for one in lines(kspace[average], average=average)]
    with open_scan(write_ismrmrd(readouts[:-1], header((4, 6), (4, 6)))) as scan:
        read = scan.kspace()
    np.testing.assert_allclose(read.data[:, :3].numpy(), kspace[:, :, :3].mean(0), atol=1e-6)
    np.testing.assert_allclose(read.data[:, 3].numpy(), kspace[:2, :, 3].mean(0), atol=1e-6)
    assert read.averages[:, 0].tolist() == [3, 3, 3, 2]


def test_readouts_that_are_of_no_image_are_left_out_and_noted(write_ismrmrd):
    kspace, other = random_complex((1, 4, 6)), random_complex((1, 6), 1)
    kinds = {
        "IS_NAVIGATION_DATA": "navigator",
        "IS_PHASECORR_DATA": "phase correction",
        "IS_HPFEEDBACK_DATA": "feedback",
        "IS_DUMMYSCAN_DATA": "dummy",
        "IS_RTFEEDBACK_DATA": "real-time feedback",
        "IS_SURFACECOILCORRECTIONSCAN_DATA": "surface coil correction",
        "IS_PHASE_STABILIZATION_REFERENCE": "phase stabilization",
    }
    readouts = [*lines(kspace), *(readout(other, flags=(flag,)) for flag in kinds)]
    with open_scan(write_ismrmrd(readouts, header((4, 6), (4, 6)), order=2)) as scan:
        np.testing.assert_array_equal(scan.kspace().data.numpy(), kspace)
        for name in kinds.values():
            assert f"1 readouts are left out: {name}" in scan.notes


def test_calibration_lines_are_kept_for_maps_and_out_of_the_image(write_ismrmrd):
    """Of every other line, and all between 4 and 8 for calibration: those of both are in both."""
    kspace = random_complex((2, 12, 8))
    readouts = []
    for y in range(12):
        flags = ("IS_PARALLEL_CALIBRATION",) if y % 2 else ("IS_PARALLEL_CALIBRATION_AND_IMAGING",)
        if 4 <= y < 9 or y % 2 == 0:
            readouts.append(readout(kspace[:, y], kspace_encode_step_1=y, flags=flags if 4 <= y < 9 else ()))
    with open_scan(write_ismrmrd(readouts, header((12, 8), (12, 8)))) as scan:
        read = scan.kspace()
        assert scan.info()["calibration_scan"]
        assert scan.info()["calibration_region"] == [5, 8]
        assert scan.acceleration == 2.0
    np.testing.assert_array_equal(read.data[:, ::2].numpy(), kspace[:, ::2])
    assert not read.data[:, 1::2].any()
    np.testing.assert_array_equal(read.calibration[:, 4:9].numpy(), kspace[:, 4:9])
    assert not read.calibration[:, :4].any()


def test_calibration_of_another_frame_serves_all(write_ismrmrd):
    """Measured once before two repetitions, under a counter of its own."""
    kspace, calibration = random_complex((2, 1, 6, 8)), random_complex((1, 6, 8), 1)
    readouts = [
        *lines(calibration, set=3, flags=("IS_PARALLEL_CALIBRATION",)),
        *lines(kspace[0], repetition=0),
        *lines(kspace[1], repetition=1),
    ]
    with open_scan(write_ismrmrd(readouts, header((6, 8), (6, 8)))) as scan:
        assert scan.repetitions == 2
        for repetition in range(2):
            read = scan.kspace(0, repetition)
            np.testing.assert_array_equal(read.data.numpy(), kspace[repetition])
            np.testing.assert_array_equal(read.calibration.numpy(), calibration)


def test_readouts_of_another_encoding_are_left_out(write_ismrmrd):
    kspace = random_complex((1, 4, 6))
    text = header((4, 6), (4, 6))
    encoding = text[text.index("<encoding>") : text.index("</encoding>") + len("</encoding>")]
    text = text.replace(encoding, encoding + encoding.replace("<x>6</x>", "<x>3</x>"))
    others = [
        readout(random_complex((1, 3)), encoding_space_ref=1, flags=("IS_PARALLEL_CALIBRATION",))
        for _ in "ab"
    ]
    with open_scan(write_ismrmrd([*lines(kspace), *others], text)) as scan:
        np.testing.assert_array_equal(scan.kspace().data.numpy(), kspace)
        assert any(
            note.startswith("2 readouts are left out: they have another matrix") for note in scan.notes
        )


def test_any_group_and_one_of_several(write_ismrmrd):
    first, second = random_complex((1, 4, 6)), random_complex((1, 4, 6), 1)
    text = header((4, 6), (4, 6))
    write_ismrmrd(lines(first), text, group="scan_1")
    path = write_ismrmrd(lines(second), text, group="scan_2")
    with open_scan(path) as scan:
        assert scan.contents.dataset == "/scan_1"
        np.testing.assert_array_equal(scan.kspace().data.numpy(), first)
    with open_scan(path, dataset="scan_2") as scan:
        np.testing.assert_array_equal(scan.kspace().data.numpy(), second)


def test_pixels_that_the_header_interpolates_are_noted(write_ismrmrd):
    text = header((4, 6), (4, 6))
    recon = text.index("<reconSpace>")
    text = text[:recon] + text[recon:].replace("<y>4</y>", "<y>8</y>", 1)
    with open_scan(write_ismrmrd(lines(random_complex((1, 4, 6))), text)) as scan:
        assert scan.image_shape == (4, 6)
        assert any("1 mm along y" in note for note in scan.notes)


def test_counters_that_do_not_fit_the_header(write_ismrmrd):
    kspace = random_complex((1, 4, 6))
    text = header((4, 6), (4, 6))
    for i, (changed, words) in enumerate(
        [
            (readout(kspace[:, 0], kspace_encode_step_1=4), r"y 4, x 0 to 5 .*matrix 4 x 6"),
            (readout(kspace[:, 0], center_sample=1), "x 2 to 7"),
            (readout(random_complex((1, 9)), center_sample=3), "x 0 to 8"),
            (readout(kspace[:, 0], discard_pre=4, discard_post=2), "x 4 to 3"),
            (readout(random_complex((2, 6))), r"\[1, 2\] channels"),
            (readout(kspace[:, 0], encoding_space_ref=3), None),
        ]
    ):
        path = write_ismrmrd([*lines(kspace), changed], text, name=f"{i}.h5")
        if words is None:
            with open_scan(path) as scan:
                assert any("another matrix" in note for note in scan.notes)
            continue
        with pytest.raises(DataError, match=words):
            open_scan(path)


def test_files_without_images_or_header(write_ismrmrd, tmp_path):
    text = header((4, 6), (4, 6))
    noise = [readout(random_complex((1, 6)), flags=("IS_NOISE_MEASUREMENT",))]
    with pytest.raises(DataError, match="no readout of an image among 1: 1 are of noise"):
        open_scan(write_ismrmrd(noise, text, name="noise.h5"))
    with pytest.raises(FileError, match="header and no readouts"):
        open_scan(write_ismrmrd([], text, name="empty.h5"))
    with pytest.raises(FileError, match=r"header 'xml' is missing"):
        open_scan(write_ismrmrd(noise, None, name="bare.h5"))
    packed = [readout(random_complex((1, 6)), flags=("COMPRESSION1",))]
    with pytest.raises(FileError, match="compressed"):
        open_scan(write_ismrmrd(packed, text, name="packed.h5"))
    with pytest.raises(ParameterError, match="mask does not apply"):
        open_scan(write_ismrmrd(lines(random_complex((1, 4, 6))), text, name="mask.h5"), mask="mask")


class Allocated(ctypes.Structure):
    """What glibc's mallinfo2 returns: uordblks and hblkhd are the bytes in use, in arenas and in maps."""

    _names = ("arena", "ordblks", "smblks", "hblks", "hblkhd")
    _names += ("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
    _fields_ = [(name, ctypes.c_size_t) for name in _names]


def test_headers_leave_no_samples_in_memory(write_ismrmrd):
    """h5py reads them along with the headers: what it does not hand out it does not free."""
    allocator = ctypes.CDLL(None)
    if not hasattr(allocator, "mallinfo2"):
        pytest.skip("what is allocated is known by glibc alone")
    allocator.mallinfo2.restype = Allocated

    def allocated():
        gc.collect()
        found = allocator.mallinfo2()
        return found.uordblks + found.hblkhd

    kspace = random_complex((8, 300, 256))
    path = write_ismrmrd(lines(kspace), header((300, 256)))
    amounts = []
    for _ in range(4):
        with open_scan(path) as scan:
            assert scan.coils == 8
        amounts.append(allocated())
    assert amounts[-1] - amounts[0] < 8 * 300 * 256 * 8 / 4
