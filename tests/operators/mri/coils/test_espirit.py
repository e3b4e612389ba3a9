"""ESPIRiT against the maps that made the data, against its definition, and against SigPy."""

import numpy as np
import pytest
import torch

from invgen.core.errors import DataError, DtypeError, ParameterError, ShapeError
from invgen.operators import Fourier, coils
from invgen.operators.mri.coils import espirit


def middle(y, *widths):
    for axis, width in enumerate(widths, 1):
        y = y.narrow(axis, y.shape[axis] // 2 - width // 2, width)
    return y


def lines(y, width):
    """k-space of which only the lines in the middle are sampled, along H."""
    kept = torch.zeros_like(y)
    n = y.shape[-1]
    kept[..., n // 2 - width // 2 : n // 2 - width // 2 + width] = middle(y, y.shape[1], width)
    return kept


# what is cut off is up to 2 % of the largest singular value, and so is what it can turn the maps by
@pytest.mark.parametrize("threshold", [0.02, 0.005])
@pytest.mark.parametrize("shape", [(48, 40), (41, 47)])
def test_the_maps_are_those_that_made_the_data(scan, angle, shape, threshold):
    y, truth, inside = scan(shape)
    maps = espirit(y, threshold=threshold)
    assert float(angle(maps, truth)[inside].max()) < threshold
    length = maps.norm(dim=0)
    torch.testing.assert_close(length, (length > 0.5).double())
    assert bool((length[inside] > 0).all())
    assert not bool((length > 0).all())  # there is no signal in the corners


def test_noise_turns_the_maps_by_its_own_level(scan, angle):
    y, truth, inside = scan(std=0.02)  # 2 % of the object's brightness, at full resolution
    assert float(angle(espirit(y), truth)[inside].square().mean().sqrt()) < 0.02


def test_a_volume_has_maps(scan, angle):
    y, truth, inside = scan((12, 14, 13))
    maps = espirit(y, calibration=10, kernel=3)
    assert float(angle(maps, truth)[inside].max()) < 0.02
    assert float(maps[:, inside].norm(dim=0).min()) > 0.5


def test_it_is_the_definition(scan):
    """Dense: windows, their space, and the projection of each pixel's windows onto it."""
    shape, k = (9, 8), 3
    y = scan(shape, coils=2)[0].numpy()
    places = [(i, j) for i in range(shape[0] - k + 1) for j in range(shape[1] - k + 1)]
    windows = np.stack([y[:, i : i + k, j : j + k].ravel() for i, j in places], axis=1)
    basis, values, _ = np.linalg.svd(windows)
    basis = basis[:, : (values > 0.1 * values[0]).sum()]
    assert 2 < basis.shape[1] < 2 * k**2
    maps = espirit(torch.from_numpy(y), calibration=9, kernel=k, threshold=0.1, crop=1e-6).numpy()
    for r in range(shape[0]):
        for s in range(shape[1]):
            row = np.exp(-2j * np.pi * np.arange(k) * (r - 4) / 9)
            column = np.exp(-2j * np.pi * np.arange(k) * (s - 4) / 8)
            wave = np.kron(np.eye(2), np.kron(row, column)).T / k  # orthonormal, one for each coil
            matrix = wave.conj().T @ basis @ basis.conj().T @ wave
            vector = maps[:, r, s]
            value = np.linalg.eigvalsh(matrix)[-1]
            np.testing.assert_allclose(matrix @ vector, value * vector, atol=1e-12)


def test_the_maps_are_sigpys_up_to_the_phase(scan):
    app = pytest.importorskip("sigpy.mri.app", reason="SigPy, the peer, is not installed")
    y = scan(std=0.01)[0].to(torch.complex64)
    theirs = app.EspiritCalib(y.numpy(), show_pbar=False).run()
    theirs = torch.from_numpy(np.ascontiguousarray(theirs))
    ours = espirit(y)
    both = ours.any(0) & theirs.any(0)
    # a hundred steps of the power method end within 1e-3, and pixels near the crop may fall on either side
    assert float((ours.any(0) ^ theirs.any(0)).float().mean()) < 0.01
    assert float((1 - (ours.conj() * theirs).sum(0).abs())[both].max()) < 1e-3


def test_the_brain_is_explained_as_well_as_by_sigpy(brain):
    app = pytest.importorskip("sigpy.mri.app", reason="SigPy, the peer, is not installed")
    theirs = app.EspiritCalib(brain.numpy(), show_pbar=False).run()
    theirs = torch.from_numpy(np.ascontiguousarray(theirs))
    ours, images = espirit(brain), Fourier((230, 180)).H(brain)

    def left(maps):
        return float((images - maps * (maps.conj() * images).sum(0)).norm())

    assert left(ours) < 1.01 * left(theirs)
    assert float((ours[:, 1:] - ours[:, :-1]).norm(dim=0)[ours.any(0)[1:] & ours.any(0)[:-1]].max()) < 0.1


def test_only_the_fully_sampled_middle_is_read(scan):
    y = scan()[0]
    other = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=y.dtype)
    middle(other, 24, 24).copy_(middle(y, 24, 24))
    maps = espirit(y)
    assert torch.equal(espirit(other), maps)
    assert torch.equal(espirit(middle(y, 24, 24), (48, 40)), maps)


@pytest.mark.parametrize("width", [13, 14])
def test_a_middle_of_few_lines_is_used_whole(scan, angle, width):
    y, truth, inside = scan()
    maps = espirit(lines(y, width))
    assert torch.equal(maps, espirit(middle(y, 24, width), (48, 40)))
    assert float(angle(maps, truth)[inside].max()) < 0.02


def test_single_samples_that_are_lost_make_the_middle_smaller(scan):
    y = scan()[0]
    y[:, 24 + 9, 20] = 0  # the box may not reach nine rows down: 17 rows by 24, or 24 by none
    assert torch.equal(espirit(y), espirit(middle(y, 18, 24), (48, 40)))


def test_more_pixels_are_the_same_maps_between(scan):
    y = scan()[0]
    torch.testing.assert_close(espirit(y, (96, 80))[:, ::2, ::2], espirit(y), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("factor", [1e-12, 1e-6, 1e6])
def test_the_scale_of_the_data_does_not_matter(scan, factor):
    y = scan()[0].to(torch.complex64)
    torch.testing.assert_close(espirit(factor * y), espirit(y), rtol=1e-4, atol=1e-4)


def test_precision_is_that_of_the_data(scan):
    y = scan()[0]
    double, single = espirit(y), espirit(y.to(torch.complex64))
    assert (double.dtype, single.dtype) == (torch.complex128, torch.complex64)
    torch.testing.assert_close(single.to(torch.complex128), double, rtol=1e-4, atol=1e-4)


def test_a_unitary_mixture_of_the_coils_mixes_the_maps(scan):
    y = scan()[0]
    matrix = coils.compression_matrix(y, 5)
    mixed, expected = espirit(coils.mix(matrix, y)), coils.mix(matrix, espirit(y))
    # the phase is that of the same virtual coil, but for the one that an eigenvector leaves free
    turn = (mixed.conj() * expected).sum().sgn()
    torch.testing.assert_close(turn * mixed, expected, rtol=1e-8, atol=1e-8)


def test_the_phase_does_not_wind_around_the_zeros_of_the_first_coil(scan, angle):
    y, truth, inside = scan()
    # a mixture of coils with a simple zero inside the object, as arrays have where two lobes meet
    at = truth[:, 20, 18]
    matrix = torch.eye(5, dtype=y.dtype)
    matrix[0] = torch.stack([at[1], -at[0], *torch.zeros(3, dtype=y.dtype)])
    maps = espirit(coils.mix(matrix, y))
    assert float(maps[0, 20, 18].abs()) < 0.01
    steps = (maps[:, 1:] - maps[:, :-1]).norm(dim=0)[inside[1:] & inside[:-1]]
    wound = maps * maps[0].conj().sgn()
    wound = (wound[:, 1:] - wound[:, :-1]).norm(dim=0)[inside[1:] & inside[:-1]]
    assert float(wound.max()) > 1  # opposite phases on the two sides
    assert float(steps.max()) < 0.3


def test_a_single_coil_is_equally_sensitive_wherever_there_is_signal(scan):
    y, _, inside = scan(coils=1)
    torch.testing.assert_close(espirit(y)[0][inside], torch.ones(int(inside.sum()), dtype=y.dtype))


def test_data_without_batch_coils_or_field_are_refused(scan):
    y = scan()[0]
    for wrong in (y[0], y.expand(2, 2, *y.shape), y[:0]):
        with pytest.raises(ShapeError, match="coils, H, W"):
            espirit(wrong)
    with pytest.raises(DtypeError, match="complex"):
        espirit(y.real)
    with pytest.raises(ShapeError, match="2 sizes"):
        espirit(y, (4, 48, 40))
    with pytest.raises(ShapeError, match="positive sizes"):
        espirit(y, (0, 40))


def test_data_that_determine_nothing_are_refused(scan):
    y = scan()[0]
    with pytest.raises(DataError, match="zeros"):
        espirit(torch.zeros_like(y))
    with pytest.raises(DataError, match="NaN"):
        espirit(torch.where(torch.arange(40) == 3, torch.nan, y))
    noise = torch.randn(y.shape, generator=torch.Generator().manual_seed(0), dtype=y.dtype)
    with pytest.raises(DataError, match="not correlated"):
        espirit(noise)
    with pytest.raises(DataError, match="No eigenvalue reaches crop"):
        espirit(noise, threshold=0.9)


@pytest.mark.parametrize("width", [0, 4, 6])
def test_too_few_lines_are_refused_with_what_was_found(scan, width):
    y = lines(scan()[0], width)
    y[:, :, 0] = 1  # something is sampled
    with pytest.raises(ParameterError, match="nothing" if not width else f"24 x {width}"):
        espirit(y)


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({"crop": 0.0}, "crop"),
        ({"crop": 1.0}, "crop"),
        ({"threshold": 0}, "threshold"),
        ({"threshold": 1.5}, "threshold"),
        ({"threshold": float("nan")}, "threshold"),
        ({"kernel": 0}, "kernel"),
        ({"kernel": 25}, "kernel"),
        ({"kernel": 6.0}, "kernel"),
        ({"calibration": 24.5}, "calibration"),
        ({"calibration": 8}, "larger calibration"),
    ],
)
def test_parameters_without_sense_are_refused(scan, parameters, name):
    with pytest.raises(ParameterError, match=name):
        espirit(scan()[0], **parameters)
