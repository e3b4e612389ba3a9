"""Where the zero frequency and the image's origin are, in every convention that files are written in."""

import numpy as np
import pytest

from invgen.core.errors import InvgenWarning, ParameterError
from invgen.io import open_scan
from invgen.simulate import simulate_mri

from .layouts import centered_fft, centered_ifft, header, random_complex, readout

SHAPE, AXES = (48, 40), (-2, -1)


def image(shape=SHAPE, coils=3):
    """A disc with a smooth phase, through coils around it."""
    y, x = (np.linspace(-1, 1, n, endpoint=False) for n in shape)
    y, x = y[:, None], x[None]
    disc = ((y + 0.1) ** 2 + x**2 < 0.4) * np.exp(1j * (0.5 * y + x**2))
    angles = 2 * np.pi * np.arange(coils) / coils
    return np.array([np.exp(-((y - np.sin(a)) ** 2) - (x - np.cos(a)) ** 2 + 1j * a) for a in angles]) * disc


IMAGE = image()
CONVENTIONS = {
    "centered": centered_fft(IMAGE),
    "fft2": np.fft.fft2(IMAGE, norm="ortho"),
    "fftshift of fft2": np.fft.fftshift(np.fft.fft2(IMAGE, norm="ortho"), AXES),
    "fft2 of ifftshift": np.fft.fft2(np.fft.ifftshift(IMAGE, AXES), norm="ortho"),
}
STATED = {
    "centered": ("middle", "middle"),
    "fft2": ("corner", "corner"),
    "fftshift of fft2": ("middle", "corner"),
    "fft2 of ifftshift": ("corner", "middle"),
}


@pytest.fixture
def opened(tmp_path):
    """Write an array of k-space, and open it."""

    def write(kspace, **stated):
        np.save(tmp_path / "kspace.npy", kspace.astype(np.complex64))
        return open_scan(tmp_path / "kspace.npy", axes="coil,y,x", **stated)

    return write


def images(kspace):
    return centered_ifft(kspace.data.numpy())


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_every_convention_is_found_and_said(opened, convention):
    with opened(CONVENTIONS[convention]) as scan:
        if convention == "centered":
            kspace = scan.kspace()
        else:
            with pytest.warns(InvgenWarning, match="--kspace-center|--image-center"):
                kspace = scan.kspace()
        assert set(scan.contents.contradictions) <= set(kspace.report)
        assert scan.info()["warnings"] == list(scan.contents.contradictions)
        kspace = scan.kspace()  # warned of once
    assert abs(images(kspace) - IMAGE).max() < 1e-5 * abs(IMAGE).max()


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_every_convention_can_be_stated(opened, convention):
    """Then nothing is looked at, and nothing is said."""
    kspace_center, image_center = STATED[convention]
    with opened(CONVENTIONS[convention], kspace_center=kspace_center, image_center=image_center) as scan:
        assert scan.contents.contradictions == ()
        assert abs(images(scan.kspace()) - IMAGE).max() < 1e-5 * abs(IMAGE).max()


def test_undersampled_kspace_shows_its_origin_too(opened):
    mask = np.zeros(SHAPE[0], bool)
    mask[::2] = mask[16:32] = True
    corner = CONVENTIONS["fft2"] * np.fft.ifftshift(mask)[:, None]
    with opened(corner) as scan, pytest.warns(InvgenWarning):
        kspace = scan.kspace()
    assert np.array_equal(kspace.mask[:, 0], mask)
    assert np.allclose(kspace.data, CONVENTIONS["centered"] * mask[:, None], atol=1e-4)


@pytest.mark.parametrize("stated", [{}, {"kspace_center": (12, 20)}])
def test_partial_fourier_is_put_on_the_whole_grid(opened, stated, recwarn):
    """Lines -12 to 23 of 48 without the zeros of the others."""
    with opened(CONVENTIONS["centered"][:, 12:], **stated) as scan:
        assert scan.image_shape == SHAPE
        kspace = scan.kspace()
        assert bool(scan.contents.contradictions) == (not stated)
    assert not kspace.mask[:12].any()
    assert np.allclose(kspace.data[:, 12:], CONVENTIONS["centered"][:, 12:], atol=1e-5)


def test_noise_contradicts_nothing(opened):
    with opened(random_complex((3, *SHAPE))) as scan:
        assert scan.contents.contradictions == ()


@pytest.mark.parametrize(
    "stated",
    [{"kspace_center": "edge"}, {"kspace_center": (3,)}, {"kspace_center": (48, 0)}, {"image_center": "x"}],
)
def test_origins_that_are_none_are_refused(opened, stated):
    with pytest.raises(ParameterError, match="center"):
        opened(CONVENTIONS["centered"], **stated)


def partial(write_ismrmrd, center, reverse=False, sample=None):
    """Lines -12 to 23 of 48, counted from 0; every other readout in reverse, with a partial echo."""
    kspace = CONVENTIONS["centered"][:, 12:, 8:]
    readouts = []
    for i in range(36):
        back = reverse and i % 2
        data, flags = kspace[:, i], ("IS_REVERSE",) if back else ()
        start = 12 if sample is None or not back else sample
        readouts.append(
            readout(data[:, ::-1] if back else data, kspace_encode_step_1=i, center_sample=start, flags=flags)
        )
    return write_ismrmrd(readouts, header(SHAPE, SHAPE, steps=((36, center),)))


@pytest.mark.parametrize("center", [12, 18, 24, 0])
def test_the_line_in_the_middle_is_where_the_energy_peaks(write_ismrmrd, center, recwarn):
    with open_scan(partial(write_ismrmrd, center)) as scan:
        kspace = scan.kspace()
        assert bool(scan.contents.contradictions) == (center != 12)
    assert np.allclose(kspace.data[:, 12:, 8:], CONVENTIONS["centered"][:, 12:, 8:], atol=1e-5)
    assert bool(recwarn.list) == (center != 12)


def test_the_line_in_the_middle_can_be_stated(write_ismrmrd):
    with open_scan(partial(write_ismrmrd, 0), kspace_center=(12, 12)) as scan:
        assert scan.contents.contradictions == ()
        kspace = scan.kspace()
    assert np.allclose(kspace.data[:, 12:, 8:], CONVENTIONS["centered"][:, 12:, 8:], atol=1e-5)


@pytest.mark.parametrize("sample", [12, 19])
def test_the_middle_of_reversed_readouts_is_where_their_energy_peaks(write_ismrmrd, sample, recwarn):
    """Their center_sample is counted in the order of k-space; here also as they were acquired."""
    with open_scan(partial(write_ismrmrd, 12, reverse=True, sample=sample)) as scan:
        kspace = scan.kspace()
        assert bool(scan.contents.contradictions) == (sample != 12)
    assert np.allclose(kspace.data[:, 12:, 8:], CONVENTIONS["centered"][:, 12:, 8:], atol=1e-5)


def healthy(seed):
    """k-space of any object that lies where it should, under noise, sampled anyhow: (kspace, reading)."""
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(24, 65, 2))
    y, x = (np.linspace(-1, 1, n, endpoint=False) for n in shape)
    y, x, thing = y[:, None], x[None], 0
    for _ in range(rng.integers(1, 6)):
        a, b = rng.uniform(0.1, 0.9, 2)
        cy, cx = rng.uniform(-0.4, 0.4, 2)
        thing = thing + rng.uniform(0.2, 1) * (((y - cy) / a) ** 2 + ((x - cx) / b) ** 2 < 1)
    thing = thing * np.exp(
        1j * (rng.uniform(-2, 2) * y + rng.uniform(-2, 2) * x + rng.uniform(-2, 2) * x * y)
    )
    coils = int(rng.integers(1, 9))
    angles = 2 * np.pi * np.arange(coils) / coils
    maps = [np.exp(-((y - np.sin(a)) ** 2 + (x - np.cos(a)) ** 2) / 2 + 1j * a) for a in angles]
    kspace = centered_fft(np.array(maps) * thing)
    kspace = kspace + abs(kspace).max() * 10 ** rng.uniform(-5, -1.5) * random_complex(kspace.shape, seed)
    mask = rng.random(shape[0]) < rng.choice([1, 0.5, 0.3])
    mask[shape[0] // 2 - 8 : shape[0] // 2 + 8] = True
    if rng.random() < 0.3:
        mask[: shape[0] // 4] = False
    return kspace * mask[:, None]


@pytest.mark.parametrize("seeds", [range(20), pytest.param(range(20, 200), marks=pytest.mark.slow)])
def test_healthy_scans_contradict_nothing(opened, seeds):
    for seed in seeds:
        with opened(healthy(seed)) as scan:
            assert scan.contents.contradictions == (), seed


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_healthy_files_contradict_nothing(tmp_path, seed):
    sampling = ("equispaced", "random", "gaussian", "radial")[seed % 4]
    how = {"sampling": sampling, "acceleration": 2 + seed // 4, "calibration": 16}
    simulate_mri(tmp_path / "scan.h5", size=(56, 48), coils=4, **how, seed=seed)
    with open_scan(tmp_path / "scan.h5") as scan:
        assert scan.info()["warnings"] == []
