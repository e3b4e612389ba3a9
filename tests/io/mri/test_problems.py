"""From the scan to the problem: noise is whitened to the level it has, and maps explain the coils."""

import numpy as np
import pytest
import torch

import invgen as ig
from invgen.core.errors import CapabilityError, DataError, ParameterError, ShapeError
from invgen.io import open_scan

from .layouts import centered_fft, header, lines, random_complex, readout

COILS, SHAPE = 4, (40, 32)


def coil_maps(shape=SHAPE, coils=COILS):
    """Smooth sensitivities with smooth phases, of unit sum of squares."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    places = [(np.cos(t), np.sin(t)) for t in 2 * np.pi * np.arange(coils) / coils]
    maps = np.stack([np.exp(-((y - a) ** 2 + (x - b) ** 2) / 3 + 1j * (a * x - b * y)) for a, b in places])
    return maps / np.sqrt((np.abs(maps) ** 2).sum(0))


def disc(shape=SHAPE):
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    return np.exp(-((y / 0.75) ** 8 + (x / 0.75) ** 8)) * (1 + 0.3 * np.cos(5 * x))


def covariance():
    """Of the noise of coils that are coupled, of different levels; ``E[n n.H] / 2``."""
    factor = np.tril(0.3 * random_complex((COILS, COILS), 3)) + np.diag([1.0, 2.0, 0.5, 1.5])
    return 1e-4 * factor @ factor.conj().T


def noise(shape, seed, matrix=None):
    """Noise (coils, *shape) of that covariance: both parts of its Gaussian numbers have variance 1."""
    factor = np.linalg.cholesky(covariance() if matrix is None else matrix)
    return np.einsum("cd,d...->c...", factor, random_complex((COILS, *shape), seed))


def scan_file(write, *, dwell=1.0, bandwidth=1.0, averages=1, calibration=None, noisy=True, keep=None):
    """A scan of the disc with a noise scan of dwell time 5, whose covariance is `covariance` at 5."""
    clean = centered_fft(coil_maps() * disc())
    scale = 5 / dwell / bandwidth
    readouts = (
        [readout(noise((4000,), 7), flags=("IS_NOISE_MEASUREMENT",), sample_time_us=5.0)] if noisy else []
    )
    for average in range(averages):
        data = clean + noise(SHAPE, 10 + average, covariance() * scale)
        rows = range(SHAPE[0]) if keep is None else keep
        readouts += [
            readout(data[:, y], kspace_encode_step_1=y, average=average, sample_time_us=dwell) for y in rows
        ]
    return write(readouts, header(SHAPE, SHAPE, bandwidth=bandwidth))


@pytest.mark.parametrize(("dwell", "bandwidth"), [(5.0, 1.0), (2.5, 1.0), (5.0, 0.8)])
def test_noise_scan_estimates_the_covariance_of_the_data(write_ismrmrd, dwell, bandwidth):
    """4000 samples: each entry to sqrt(c_ii c_jj / 4000), of which 4 are allowed.

    Noise of half the dwell time has twice the variance (Kellman and McVeigh 2005).
    """
    with open_scan(scan_file(write_ismrmrd, dwell=dwell, bandwidth=bandwidth)) as scan:
        assert scan.has_noise_scan
        found = scan.kspace().covariance.numpy()
    expected = covariance() * 5 / dwell / bandwidth
    power = np.sqrt(np.outer(expected.diagonal().real, expected.diagonal().real))
    assert (np.abs(found - expected) / power).max() < 4 / np.sqrt(4000)


def test_noise_scan_that_is_of_no_use_does_not_keep_the_data(write_ismrmrd):
    """Of three samples, which do not determine the covariance of four coils."""
    short = readout(noise((3,), 7), flags=("IS_NOISE_MEASUREMENT",))
    with open_scan(
        write_ismrmrd([short, *lines(random_complex((COILS, *SHAPE)))], header(SHAPE, SHAPE))
    ) as scan:
        read = scan.kspace()
        assert scan.problem(coils="none").noise is None
    assert read.covariance is None
    assert any("3 noise samples" in line for line in read.report)


def test_whitened_data_have_the_noise_that_the_problem_states(write_ismrmrd):
    """Residual at the truth: its level is that of the noise to 1 / sqrt(2 * 5120), and of the noise scan."""
    maps = torch.from_numpy(coil_maps()).to(torch.complex64)
    truth = torch.from_numpy(disc()).to(torch.complex64)
    with open_scan(scan_file(write_ismrmrd)) as scan:
        for problem in (scan.problem(coils=maps), scan.problem(coils=maps, whiten=False)):
            misfit = float(problem.misfit(truth)) / float(problem.expected_misfit())
            assert misfit == pytest.approx(1, abs=4 / np.sqrt(5120) + 4 / np.sqrt(4000))
        std = float(scan.problem(coils=maps).noise.std.value)
    assert std == pytest.approx(np.linalg.det(covariance() * 5).real ** (1 / 8), rel=0.05)


def test_whitened_and_coupled_problems_have_one_solution(write_ismrmrd):
    maps = torch.from_numpy(coil_maps()).to(torch.complex64)
    with open_scan(scan_file(write_ismrmrd, keep=range(0, SHAPE[0], 2))) as scan:
        solutions = [
            ig.solvers.CG(weight=0.0, iterations=30)(scan.problem(coils=maps, whiten=whiten)).x
            for whiten in (True, False)
        ]
    torch.testing.assert_close(*solutions, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("choice", [{}, {"whiten": False}, {"compress": 3}, {"compress": 3, "whiten": False}])
def test_images_are_not_shaded_however_coils_are_mixed(write_ismrmrd, choice):
    """Root-sum-of-squares values where there is signal, but for noise, maps, and coils left out.

    Maps normalized in whitened coils would be off by 16 %.
    """
    truth = torch.from_numpy(disc())
    with open_scan(scan_file(write_ismrmrd)) as scan:
        x = ig.solvers.CG(weight=0.0, iterations=20)(scan.problem(**choice)).x
    inside = truth > 0.5
    error = (x.abs()[inside] - truth[inside]).norm() / truth[inside].norm()
    assert float(error) < 0.08


@pytest.mark.parametrize("method", ["espirit", "adaptive"])
def test_estimated_maps_explain_all_coils(write_ismrmrd, method):
    """One image takes one of four dimensions of the noise with it; errors of maps may add as much again."""
    with open_scan(scan_file(write_ismrmrd)) as scan:
        problem = scan.problem(coils=method)
    x = ig.solvers.CG(weight=0.0, iterations=20)(problem).x
    before, left = (float(problem.misfit(image) / problem.expected_misfit()) for image in (0 * x, x))
    assert left < 2 * 3 / 4
    assert before > 20 * left


def test_compressed_coils_are_fewer_and_see_the_same(write_ismrmrd):
    maps = torch.from_numpy(coil_maps()).to(torch.complex64)
    with open_scan(scan_file(write_ismrmrd)) as scan:
        problem = scan.problem(coils=maps, compress=3)
        assert problem.operator.range.shape == (3, *SHAPE)
        assert scan.problem(compress=1).operator.range.shape == SHAPE
        full = scan.problem(coils=maps.numpy())  # arrays are welcome, too
        for compress in (5, 0, 2.0, True):
            with pytest.raises(ParameterError, match="virtual coils, is a whole number from 1 to 4"):
                scan.problem(compress=compress)
    residuals = [
        float(p.residual_norm(torch.from_numpy(disc()).to(torch.complex64))) for p in (problem, full)
    ]
    assert residuals[0] < residuals[1]  # the noise of one dimension less


@pytest.mark.parametrize("averages", [1, 4])
def test_averages_lower_the_noise(write_ismrmrd, averages):
    maps = torch.from_numpy(coil_maps()).to(torch.complex64)
    truth = torch.from_numpy(disc()).to(torch.complex64)
    with open_scan(scan_file(write_ismrmrd, averages=averages)) as scan:
        problem = scan.problem(coils=maps)
    assert float(problem.misfit(truth) / problem.expected_misfit()) == pytest.approx(1, abs=0.12)


def test_averages_of_different_numbers_have_noise_of_their_own(write_ismrmrd):
    readouts = [readout(noise((4000,), 7), flags=("IS_NOISE_MEASUREMENT",))]
    data = random_complex((COILS, *SHAPE))
    readouts += [*lines(data[:, :20]), *lines(data[:, :10])]
    with open_scan(write_ismrmrd(readouts, header(SHAPE, SHAPE))) as scan:
        std = scan.problem(coils="none").noise.std.value
        with pytest.raises(CapabilityError, match="whiten=True"):
            scan.problem(coils="none", whiten=False)
    assert float(std[0, 0] * 2**0.5) == pytest.approx(float(std[15, 0]))
    assert torch.isinf(std[20:]).all()


def test_calibration_scan_makes_the_maps(write_ismrmrd):
    """Every third line, which have no calibrated middle; a calibration scan of 20 lines has."""
    data = centered_fft(coil_maps() * disc())
    image = [readout(data[:, y], kspace_encode_step_1=y) for y in range(2, SHAPE[0], 3)]
    calibration = [
        readout(data[:, y], kspace_encode_step_1=y, flags=("IS_PARALLEL_CALIBRATION",)) for y in range(10, 30)
    ]
    text = header(SHAPE, SHAPE)
    with open_scan(write_ismrmrd([*image, *calibration], text)) as scan:
        x = ig.solvers.CG(weight=0.0, iterations=30)(scan.problem()).x
    truth, mask = torch.from_numpy(disc()), torch.from_numpy(disc() > 0.5)
    # a noiseless scan of a smooth object with maps that are smooth: a few percent, the maps' own error
    assert float((x.abs() - truth)[mask].norm() / truth[mask].norm()) < 0.05
    with open_scan(write_ismrmrd(image, text, name="none.h5")) as scan:
        with pytest.raises(ParameterError, match="adaptive"):
            scan.problem()
        with pytest.raises(DataError, match=r'coils="none"'):
            scan.problem(coils="adaptive")


def test_maps_along_trajectories(write_ismrmrd):
    """Spokes enough for the Nyquist rate; the truth is known up to the phase of the maps."""
    k = ig.operators.trajectories.radial(70, 64)
    A = ig.operators.NonCartesianMRI(SHAPE, k, torch.from_numpy(coil_maps()))
    samples = A(torch.from_numpy(disc()).to(torch.complex128)).numpy()
    readouts = [
        readout(samples[:, i], trajectory=path.flip(-1).numpy(), kspace_encode_step_1=i)
        for i, path in enumerate(k)
    ]
    truth, mask = torch.from_numpy(disc()), torch.from_numpy(disc() > 0.5)
    with open_scan(write_ismrmrd(readouts, header(SHAPE, SHAPE, trajectory="radial"))) as scan:
        for method in ("espirit", "adaptive"):
            x = ig.solvers.CG(weight=0.0, iterations=20)(scan.problem(coils=method)).x
            assert float((x.abs() - truth)[mask].norm() / truth[mask].norm()) < 0.05


@pytest.mark.parametrize(("spokes", "enough"), [(26, True), (12, False)])
def test_maps_of_few_spokes_are_of_less_of_the_middle_or_none(write_ismrmrd, spokes, enough):
    """Spokes are closer than a cycle per field of view up to spokes / pi: 8, or 4, where windows take 6."""
    k = ig.operators.trajectories.radial(spokes, 64)
    A = ig.operators.NonCartesianMRI(SHAPE, k, torch.from_numpy(coil_maps()))
    samples = A(torch.from_numpy(disc()).to(torch.complex128)).numpy()
    readouts = [readout(samples[:, i], trajectory=path.flip(-1).numpy()) for i, path in enumerate(k)]
    with open_scan(write_ismrmrd(readouts, header(SHAPE, SHAPE, trajectory="radial"))) as scan:
        if enough:
            assert scan.problem().operator.coil_count == COILS
        else:
            with pytest.raises(DataError, match="undersampled"):
                scan.problem()


def test_maps_that_do_not_fit(write_ismrmrd):
    with open_scan(scan_file(write_ismrmrd)) as scan:
        with pytest.raises(ShapeError, match=r"\(4, 40, 32\).*got \(3, 40, 32\)"):
            scan.problem(coils=torch.ones(3, *SHAPE, dtype=torch.complex64))
        with pytest.raises(ParameterError, match="espirit"):
            scan.problem(coils="walsh")


def test_one_coil_has_no_map(write_ismrmrd):
    with open_scan(write_ismrmrd(lines(random_complex((1, 8, 10))), header((8, 10), (8, 10)))) as scan:
        problem = scan.problem()
    assert problem.operator.coils is None
    assert problem.measurement.shape == (8, 10)
    assert problem.operator.has_closed_form_solve
