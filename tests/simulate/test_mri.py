"""Simulated MRI scans: the signal against the Fourier integral, the file against the official reader."""

import math

import h5py
import ismrmrd
import ismrmrd.xsd
import numpy as np
import pytest
import torch

from invgen import phantoms
from invgen.core.errors import DataError, ParameterError, ShapeError
from invgen.io import open_scan
from invgen.operators import MRI, Fourier
from invgen.simulate import simulate_mri
from invgen.simulate.coils import fit, on_grid
from invgen.simulate.readouts import half_cycles, plan
from invgen.simulate.signal import signal_of

ONE_DISC = phantoms.disc(60.0, center=(20.0, -10.0))  # mm


def measured(path):
    """Acquisitions, by the official package: header, noise, and (slices, readouts) of imaging."""
    with ismrmrd.Dataset(path, mode="r") as file:
        header = ismrmrd.xsd.CreateFromDocument(file.read_xml_header())
        everything = [file.read_acquisition(i) for i in range(file.number_of_acquisitions())]
    noise = [a for a in everything if a.is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)]
    imaging = [a for a in everything if not a.is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)]
    return header, noise, imaging


def cartesian(path, slice=0):
    """k-space (coils, H, W) and mask of the lines, the readout oversampling removed."""
    header, _, imaging = measured(path)
    matrix, wanted = header.encoding[0].encodedSpace.matrixSize, header.encoding[0].reconSpace.matrixSize
    kspace = torch.zeros(imaging[0].active_channels, matrix.y, matrix.x, dtype=torch.complex128)
    mask = torch.zeros(matrix.y, dtype=torch.bool)
    for a in imaging:
        if a.idx.slice == slice:
            assert a.center_sample == matrix.x // 2
            kspace[:, a.idx.kspace_encode_step_1] = torch.from_numpy(a.data)
            mask[a.idx.kspace_encode_step_1] = True
    along = Fourier((matrix.y, matrix.x), axes=[-1]).H(kspace)
    start = matrix.x // 2 - wanted.x // 2
    return Fourier((wanted.y, wanted.x), axes=[-1])(along[..., start : start + wanted.x].contiguous()), mask


def truth(path, slice=0):
    with h5py.File(path) as file:
        image, maps = file["truth/image"][slice], file["truth/coils"][slice]
        return torch.from_numpy(image).to(torch.complex128), torch.from_numpy(maps), dict(file["truth"].attrs)


@pytest.mark.parametrize("shape", [(24, 32), (25, 31)])
def test_signal_is_the_integral_of_object_times_sensitivity(shape):
    """Midpoint sums over a raster eight times as fine as the pixels, origin at pixel N // 2, rows down."""
    fine = 8
    phantom = phantoms.Ellipses([1.0, -0.5], [3.0, 1.0], [-2.0, 4.0], [7.0, 2.0], [4.0, 1.5], [0.5, 0.0])
    phase, weights = fit(3, 0.2, shape[0] / shape[1], 0)
    weights = torch.cat((phase[None], weights))
    places = [((torch.arange(n * fine) + 0.5).double() / fine - n / 2) + (n - 1) / 2 - n // 2 for n in shape]
    image = phantom.image(tuple(n * fine for n in shape), 1 / fine)
    objects = image * on_grid(weights, *(place / n for place, n in zip(places, shape, strict=True)))
    waves = [
        torch.exp(-1j * math.pi / n * half_cycles(n)[:, None] * place)
        for n, place in zip(shape, places, strict=True)
    ]
    expected = torch.einsum("kh,lw,chw->ckl", *waves, objects) / fine**2
    signal = signal_of(phantom, shape, 1.0, 1.0, 0).on_grid(weights, *map(half_cycles, shape))
    # the raster's boxes damp the highest frequency of an axis by 1 - sinc(1 / 16) = 0.64 %
    assert float((signal - expected).norm() / expected.norm()) < 0.0064


@pytest.mark.parametrize("source", [ONE_DISC, torch.arange(20.0).reshape(4, 5)])
def test_points_and_grids_are_one_signal(source):
    shape = (14, 11)
    signal = signal_of(source, shape, 0.8, 240 / 11, 0)
    _, weights = fit(2, 0.0, 1.0, 3)
    rows, columns = half_cycles(14), torch.arange(-11, 11)
    grid = torch.stack(torch.meshgrid(rows / 28, columns / 22, indexing="ij"), dim=-1).reshape(-1, 2)
    expected = signal.on_grid(weights, rows, columns)
    torch.testing.assert_close(
        signal.at(weights, grid).reshape(expected.shape), expected, rtol=0, atol=1e-9 * 40**2
    )


def test_an_image_of_pixels_gives_nearly_the_signal_of_the_phantom_it_shows():
    shape = (32, 32)
    phantom = phantoms.shepp_logan(16.0)
    pixels = phantom.image((256, 256), 1 / 8)
    _, weights = fit(2, 0.0, 1.0, 0)
    sampling = weights, *map(half_cycles, shape)
    exact = signal_of(phantom, shape, 1.0, 1.0, 0).on_grid(*sampling)
    drawn = signal_of(pixels, shape, 1.0, 1.0, 0).on_grid(*sampling)
    assert float((drawn - exact).norm() / exact.norm()) < 0.013  # boxes drawn and measured


@pytest.mark.parametrize("shape", [(48, 40), (37, 45)])
def test_a_full_scan_by_one_uniform_coil_is_the_truth(tmp_path, shape):
    path = tmp_path / "scan.h5"
    simulate_mri(path, size=shape, coils=1, acceleration=1, calibration=0, noise=0)
    kspace, mask = cartesian(path)
    image, maps, _ = truth(path)
    assert bool(mask.all())
    assert image.shape == shape
    reconstruction = Fourier(shape).H(kspace)[0] / maps[0]
    assert float((reconstruction - image).norm() / image.norm()) < 1e-6  # single precision of the file


def test_a_full_scan_by_many_coils_is_the_truth(tmp_path):
    """But for the edges, and that less and less: cutting k-space and multiplying by a map nearly commute.

    They do not by what the map changes within a pixel: with a third of the pixel, about a third is left, more
    or less by where the edges fall on the pixels.
    """
    combined, root = [], []
    for size in (64, 192):
        path = tmp_path / f"{size}.h5"
        simulate_mri(path, size=size, coils=6, acceleration=1, noise=0)
        kspace, mask = cartesian(path)
        image, maps, _ = truth(path)
        assert bool(mask.all())
        torch.testing.assert_close(maps.abs().square().sum(0), torch.ones(size, size))
        coil_images = Fourier((size, size)).H(kspace)
        combined.append(relative((maps.conj() * coil_images).sum(0), image))
        root.append(relative(coil_images.abs().square().sum(0).sqrt(), image.abs()))
    for errors in (combined, root):
        assert errors[0] < 0.03
        assert errors[1] < 0.5 * errors[0]


def relative(x, y):
    return float((x - y).norm() / y.norm())


def test_file_is_what_the_official_reader_expects(tmp_path):
    path = tmp_path / "scan.h5"
    simulate_mri(path, size=(40, 32), coils=3, slices=2, calibration=8, pixel_size=1.5)
    header, noise, imaging = measured(path)
    encoding = header.encoding[0]
    assert (encoding.encodedSpace.matrixSize.x, encoding.encodedSpace.matrixSize.y) == (64, 40)
    assert (encoding.reconSpace.matrixSize.x, encoding.reconSpace.matrixSize.y) == (32, 40)
    assert encoding.encodedSpace.fieldOfView_mm.x == 2 * encoding.reconSpace.fieldOfView_mm.x == 96
    assert encoding.reconSpace.fieldOfView_mm.y == 60
    assert encoding.encodingLimits.kspace_encoding_step_1.center == 20
    assert encoding.encodingLimits.slice.maximum == 1
    assert encoding.trajectory.value == "cartesian"
    assert header.acquisitionSystemInformation.receiverChannels == 3
    assert noise[0].data.shape == imaging[0].data.shape == (3, 64)
    lines = [a.idx.kspace_encode_step_1 for a in imaging if a.idx.slice == 1]
    middle = [
        a.idx.kspace_encode_step_1
        for a in imaging
        if a.idx.slice == 1 and a.is_flag_set(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING)
    ]
    assert middle == list(range(16, 24))
    assert set(range(min(lines), 40, 4)) | set(middle) == set(lines)
    assert [item.name for item in tmp_path.iterdir()] == ["scan.h5"]


def test_noise_has_the_covariance_that_is_stated(tmp_path):
    """Silence, and the rest of the scan once the same without noise is subtracted."""
    for name, noise in (("noisy.h5", 0.03), ("clean.h5", 0.0)):
        simulate_mri(tmp_path / name, size=64, coils=4, noise=noise, acceleration=1)
    image, _, stated = truth(tmp_path / "noisy.h5")
    assert stated["noise_std"] == pytest.approx(0.03 * float(image.abs().max()), rel=1e-6)
    covariance = stated["noise_covariance"]
    assert np.trace(covariance).real / 4 == pytest.approx(stated["noise_std"] ** 2)
    assert np.abs(covariance[0, 1]) > 0.01 * covariance[0, 0].real  # coupled
    _, silence, noisy = measured(tmp_path / "noisy.h5")
    _, none, clean = measured(tmp_path / "clean.h5")
    assert not none
    for n in (
        np.concatenate([a.data for a in silence], 1),
        np.concatenate([a.data - b.data for a, b in zip(noisy, clean, strict=True)], 1),
    ):
        found = n @ n.conj().T / n.shape[1] / 2
        # an entry of a sample covariance deviates by at most its scale over the root of the samples
        atol = 5 * covariance.diagonal().real.max() / math.sqrt(n.shape[1])
        np.testing.assert_allclose(found, covariance, atol=atol)


def test_slices_away_from_the_middle_are_smaller_and_seen_by_other_parts_of_the_coils(tmp_path):
    simulate_mri(tmp_path / "scan.h5", ONE_DISC, size=48, coils=4, slices=3, noise=0)
    areas = [float((truth(tmp_path / "scan.h5", i)[0].abs() > 0.25).sum()) for i in range(3)]
    assert areas[0] == pytest.approx(0.64 * areas[1], rel=0.05)  # a ball cut at 0.6 of its radius
    assert areas[2] == pytest.approx(0.64 * areas[1], rel=0.05)
    first, middle = (truth(tmp_path / "scan.h5", i)[1] for i in (0, 1))
    assert float((first - middle).norm() / middle.norm()) > 0.05
    kspace, mask = cartesian(tmp_path / "scan.h5", slice=2)
    assert not bool(mask.all())
    image, maps, _ = truth(tmp_path / "scan.h5", 2)
    predicted = MRI((48, 48), mask[:, None], maps)(image)
    # a map times a band-limited image is not quite the band-limited product: the difference is at the edges
    assert float((kspace - predicted).norm() / predicted.norm()) < 0.03


def test_slices_of_one_object_differ_by_noise_and_position_only(tmp_path):
    assert truth_bytes(tmp_path / "a.h5", seed=1) == truth_bytes(tmp_path / "b.h5", seed=1)
    assert truth_bytes(tmp_path / "a.h5", seed=1) != truth_bytes(tmp_path / "b.h5", seed=0)


def truth_bytes(path, **settings):
    simulate_mri(path, size=32, coils=2, calibration=4, **settings)
    return path.read_bytes()


@pytest.mark.parametrize("part", [0.625, 0.75])
def test_partial_fourier_leaves_out_the_lowest_frequencies(tmp_path, part):
    for name, settings in (("whole.h5", {}), ("part.h5", {"partial_fourier": part})):
        simulate_mri(tmp_path / name, size=32, coils=1, acceleration=1, calibration=0, noise=0, **settings)
    with open_scan(tmp_path / "whole.h5") as whole, open_scan(tmp_path / "part.h5") as scan:
        kspace, kept = scan.kspace(), whole.kspace().data[:, round((1 - part) * 32) :]
    assert torch.equal(kspace.data[:, -kept.shape[1] :], kept)
    assert not kspace.data[:, : -kept.shape[1]].any()


@pytest.mark.parametrize("sampling", ["radial", "spiral"])
def test_curves_sample_the_signal_where_the_file_says(tmp_path, sampling):
    shape, path = (32, 32), tmp_path / "scan.h5"
    simulate_mri(path, ONE_DISC, size=shape, coils=2, sampling=sampling, noise=0)
    header, _, shots = measured(path)
    assert header.encoding[0].trajectory.value == sampling
    assert len(shots) == plan(sampling, shape, 4.0, 0, 0).steps
    signal = signal_of(ONE_DISC, shape, 1.0, 240 / 32, 0)
    _, weights = fit(2, 0.0, 1.0, 0)
    for a in shots[:2]:
        assert np.abs(a.traj).max() <= 0.5
        np.testing.assert_array_equal(a.traj[a.center_sample], 0)
        k = torch.from_numpy(a.traj).double().flip(-1)
        expected = signal.at(weights, k) / math.sqrt(32 * 32)
        np.testing.assert_allclose(a.data, expected.numpy(), atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize(("sampling", "full"), [("radial", 50), ("spiral", 5)])
def test_curves_are_as_many_as_a_full_scan_needs(sampling, full):
    """pi / 2 N spokes; spirals of 8 turns, in all 1.2 N, of which the outermost lie 1 / 1.2 N apart."""
    assert plan(sampling, (32, 32), 1.0, 0, 0).steps == full
    assert plan(sampling, (32, 32), 2.0, 0, 0).steps == round(full / 2)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"source": "teapot"}, ParameterError, "'head', 'shepp-logan'"),
        ({"source": torch.zeros(3, 4, 5)}, ShapeError, "one grey slice"),
        ({"source": torch.full((4, 4), torch.nan)}, DataError, "finite"),
        ({"coils": 0}, ParameterError, "coils is a whole number"),
        ({"size": (32, 0)}, ParameterError, "size is a number of pixels"),
        ({"size": 16.5}, ParameterError, "size is a number of pixels"),
        ({"size": (8,)}, ParameterError, "size is a number of pixels"),
        ({"noise": -1.0}, ParameterError, "relative standard deviation"),
        ({"sampling": "zigzag"}, ParameterError, "one of equispaced"),
        ({"acceleration": 0.5}, ParameterError, "at least 1"),
        ({"calibration": 100}, ParameterError, "calibration is a whole number from 0 to 32"),
        ({"partial_fourier": 0.5}, ParameterError, "above 1/2, at most 1; got 0.5"),
        ({"partial_fourier": 0.75, "sampling": "radial"}, ParameterError, "radial sampling has none"),
        ({"pixel_size": math.nan}, ParameterError, "pixel_size is a positive"),
    ],
)
def test_what_cannot_be_scanned(tmp_path, settings, error, message):
    with pytest.raises(error, match=message):
        simulate_mri(tmp_path / "scan.h5", **{"source": "head", "size": 32, "calibration": 4} | settings)
    assert not list(tmp_path.iterdir())
