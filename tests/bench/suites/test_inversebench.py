"""The protocol of InverseBench, on files that the test writes in its format."""

import math
import pickle

import numpy as np
import pytest
import torch
from scipy.special import hankel1
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

import invgen as ig
from invgen.bench.suites import inversebench
from invgen.core.errors import DataError, FileError
from invgen.phantoms import random

lmdb = pytest.importorskip("lmdb", reason="pip install 'invgen[inversebench]'")

SIZE, COILS = 320, 3


def store(folder, arrays):
    """An LMDB as the repository writes them: plain bytes by the number of each."""
    folder.mkdir(parents=True, exist_ok=True)
    with lmdb.open(str(folder), map_size=2**27) as database, database.begin(write=True) as transaction:
        for i, array in enumerate(arrays):
            transaction.put(str(i).encode(), np.ascontiguousarray(array).tobytes())


def cells(seeds):
    return [
        random(seed, half_width=64).image((128, 128), 1.0).clamp(0, 1).numpy().astype(np.float32)[None]
        for seed in seeds
    ]


def centered(x, transform):
    return np.fft.fftshift(transform(np.fft.ifftshift(x, axes=(-2, -1)), norm="ortho"), axes=(-2, -1))


def knee(seed):
    """Image, maps and k-space, with noise, in the units of a scanner."""
    generator = np.random.default_rng(seed)
    rows, columns = np.meshgrid(*(np.linspace(-1, 1, SIZE),) * 2, indexing="ij")
    turns = 2 * np.pi * np.arange(COILS) / COILS
    maps = np.stack([np.exp(-((rows - np.sin(t)) ** 2) - (columns - np.cos(t)) ** 2 + 1j * t) for t in turns])
    maps /= np.linalg.norm(maps, axis=0)
    image = 3e-4 * random(seed, half_width=160).image((SIZE, SIZE), 1.0).numpy() * np.exp(1j * rows)
    noise = generator.standard_normal((2, COILS, SIZE, SIZE))
    kspace = centered(maps * image, np.fft.fft2) + 6e-6 * (noise[0] + 1j * noise[1])
    whole = (centered(kspace, np.fft.ifft2) * maps.conj()).sum(0)
    return whole.astype(np.complex64)[None], maps.astype(np.complex64), kspace.astype(np.complex64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("data")
    for split, seeds in (("test", (1, 2)), ("val", (3, 4, 5, 6))):
        store(found / "inversebench" / f"inv-scatter-{split}", cells(seeds))
    for split, seeds in (("test", (1,)), ("val", (2,))):
        for part, arrays in zip(
            ("mvue", "s_maps", "kspace"), zip(*map(knee, seeds), strict=True), strict=True
        ):
            store(found / "inversebench" / f"knee_{split}_lmdb" / part, arrays)
    return found


@pytest.fixture
def scattering(folder):
    return inversebench.Scattering(folder)


@pytest.fixture
def mri(folder):
    return inversebench.KneeMRI(folder)


class TestScattering:
    """Linear inverse scattering."""

    def test_images_are_those_of_both_splits(self, scattering):
        suite = pickle.loads(pickle.dumps(scattering))
        assert [task.axes["receivers"] for task in suite.tasks] == [360, 180, 60]
        for task in suite.tasks:
            assert task.test == ("test/0", "test/1")
            assert task.tuning == ("val/0", "val/1", "val/2")

    def test_data_are_the_sums_of_the_published_formula(self, scattering):
        """Entry by entry, for some transmitters and receivers, with what the paper's code sums."""
        found = scattering.instance(scattering.tasks[2], "test/1", 0)
        A = found.problem.operator
        assert A.range.shape == (20, 60)
        k, pixel = 2 * math.pi / (6 * 0.18 / 128), 0.18 / 128
        x, y = np.meshgrid(*(np.linspace(-64, 63, 128) * pixel,) * 2)
        given = cells([2])[0][0].astype(np.float64)

        def field(count, i):
            angle = np.linspace(0, 359, count)[i] * np.pi / 180
            r = np.sqrt((x - 1.6 * np.cos(angle)) ** 2 + (y - 1.6 * np.sin(angle)) ** 2)
            return 0.25j * hankel1(0, k * r)

        data = A(found.truth.double())
        for t, r in ((0, 0), (3, 17), (19, 59), (7, 30)):
            expected = pixel**2 * k**2 * np.sum(np.conj(given * field(20, t)) * field(60, r))
            assert complex(data[t, r]) == pytest.approx(expected, rel=1e-9, abs=1e-12 * abs(expected))

    def test_noise_is_of_complex_numbers(self, scattering):
        found = scattering.instance(scattering.tasks[1], "test/0", 0)
        problem = found.problem
        error = problem.measurement - problem.operator(found.truth)
        assert float(error.abs().square().mean().sqrt()) == pytest.approx(1e-4, rel=0.05)
        assert float(problem.noise.std.value) == pytest.approx(1e-4 / math.sqrt(2))

    def test_measures_are_of_clipped_images(self, scattering):
        task = scattering.tasks[2]

        class Solved:
            def __call__(self, problem, settings, seed):
                generator = torch.Generator().manual_seed(0)
                return problem.zeros() + 0.5 + 0.6 * torch.randn(128, 128, generator=generator)

        entry = inversebench.Entry("noise", Solved())
        outcome = scattering.judge(entry, {}, task, "test/0", 0)
        truth, x = (outcome.arrays[name].double().numpy() for name in ("truth", "image"))
        window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        assert outcome.measures["psnr"] == pytest.approx(
            peak_signal_noise_ratio(truth, x.clip(0, 1), data_range=1), abs=1e-5
        )
        assert outcome.measures["ssim"] == pytest.approx(
            structural_similarity(truth, x.clip(0, 1), data_range=1, **window)
        )

    def test_entries_say_how_weights_are_made(self, scattering):
        for part in ("in-scatter-5m.pt", "releases/tag/diffusion-prior", "invgen.priors.load"):
            assert part in scattering.entry("dps", None).missing
        assert scattering.entry("tv", None).missing is None
        assert scattering.entry("dps", "mine.safetensors").missing is None

    @pytest.mark.slow
    def test_total_variation_finds_the_cell(self, scattering):
        quick = scattering.quick()
        task = quick.tasks[0]
        least, sparse = (
            quick.judge(quick.entry(name, None), {}, task, "test/0", 0).measures["psnr"]
            for name in ("cg", "tv")
        )
        assert sparse > least

    def test_other_files_are_refused(self, tmp_path):
        suite = inversebench.Scattering(tmp_path)
        with pytest.raises(FileError, match=r"data\.caltech\.edu"):
            _ = suite.tasks
        place = tmp_path / "inversebench" / "inv-scatter-test"
        place.mkdir(parents=True)
        (place / "data.mdb").write_bytes(b"no database")
        with pytest.raises(FileError, match="no LMDB"):
            _ = suite.tasks
        (place / "data.mdb").unlink()
        store(place, [np.full((1, 128, 128), 255, np.float32), np.zeros((1, 64, 64), np.float32)])
        store(tmp_path / "inversebench" / "inv-scatter-val", cells([1]))
        task = suite.tasks[2]
        with pytest.raises(DataError, match="outside of 0 to 1"):
            suite.instance(task, "test/0", 0)
        with pytest.raises(DataError, match="16384 bytes"):
            suite.instance(task, "test/1", 0)


class TestKneeMRI:
    """Multi-coil MRI."""

    @pytest.mark.parametrize(("acceleration", "first", "last"), [(4, 147, 171), (8, 154, 165)])
    def test_masks_have_their_lines_in_the_middle(self, acceleration, first, last):
        mask = inversebench.lines(320, acceleration, 0)
        assert int(mask.sum()) == 320 // acceleration
        assert bool(mask[first : last + 1].all())
        np.random.seed(0)  # noqa: NPY002  the protocol's own words
        outer = [i for i in range(320) if not first <= i <= last]
        drawn = np.random.choice(outer, 320 // acceleration - (last - first + 1), replace=False)  # noqa: NPY002
        assert bool(mask[drawn].all())

    def test_images_have_a_quantile_of_one(self, mri):
        found = mri.instance(mri.tasks[0], "test/0", 0)
        assert np.quantile(found.truth.abs().numpy(), 0.99) == pytest.approx(1, rel=1e-5)
        assert found.data_range == float(found.truth.abs().max())

    def test_simulated_data_are_explained_by_the_truth_and_measured_ones_up_to_their_noise(self, mri):
        simulated, measured = (mri.instance(mri.tasks[i], "test/0", 0) for i in (0, 2))
        for found, bound in ((simulated, 1e-5), (measured, 0.5)):
            A, y = found.problem.operator, found.problem.measurement
            assert y.shape == (COILS, SIZE, SIZE)
            assert float((A(found.truth) - y).norm() / y.norm()) < bound
        whole, _, _ = knee(1)
        true = 6e-6 / float(np.quantile(np.abs(whole), 0.99))
        assert float(measured.problem.noise.std.value) == pytest.approx(true, rel=0.15)

    def test_k_space_is_that_of_the_file_on_the_lines_of_the_mask(self, mri):
        whole, _, kspace = knee(1)
        found = mri.instance(mri.tasks[3], "test/0", 0)
        mask = inversebench.lines(320, 8, 0).numpy()
        expected = mask * kspace / np.quantile(np.abs(whole), 0.99)
        np.testing.assert_allclose(found.problem.measurement.numpy(), expected, rtol=1e-5, atol=1e-7)

    def test_the_seed_is_that_of_the_mask(self, mri):
        task = mri.tasks[0]
        first, second = (mri.instance(task, "test/0", seed).problem.operator.observed for seed in (0, 1))
        assert bool((first != second).any())

    def test_measures_are_of_the_clipped_modulus(self, mri):
        task = mri.tasks[1]
        outcome = mri.judge(mri.entry("zero-filled", None), {}, task, "test/0", 0)
        truth, x = (outcome.arrays[name].abs().double().numpy() for name in ("truth", "image"))
        peak = truth.max()
        expected = peak_signal_noise_ratio(truth, x.clip(0, peak), data_range=peak)
        assert outcome.measures["psnr"] == pytest.approx(expected, abs=1e-3)

    def test_slices_without_coils_maps_are_refused(self, tmp_path):
        whole, maps, kspace = knee(1)
        place = tmp_path / "inversebench" / "knee_test_lmdb"
        for part, array in (("mvue", whole), ("s_maps", maps[:2]), ("kspace", kspace)):
            store(place / part, [array])
        store(tmp_path / "inversebench" / "knee_val_lmdb" / "mvue", [whole])
        suite = inversebench.KneeMRI(tmp_path)
        with pytest.raises(DataError, match="2 maps of 3 coils"):
            suite.instance(suite.tasks[0], "test/0", 0)


def test_its_checkpoints_become_priors_of_complex_images(tmp_path):
    """Running means of a training state, of a network with a channel each for real and imaginary parts."""
    from invgen.priors.nets.dhariwal import DhariwalUNet

    torch.manual_seed(0)
    networks = [DhariwalUNet(8, 2, 64, (1, 2), 1, attention=(1,)) for _ in range(2)]
    states = [{f"model.{name}": value for name, value in net.state_dict().items()} for net in networks]
    torch.save(
        {"net": states[0], "ema": states[1], "optimizer": {"state": {}}, "scheduler": {"lr_lambdas": [None]}},
        tmp_path / "mri-knee.pt",
    )
    ig.priors.load(tmp_path / "mri-knee.pt", field="complex").save(tmp_path / "mri-knee.safetensors")
    prior = ig.priors.load(tmp_path / "mri-knee.safetensors")
    x, sigma = torch.randn(8, 8, dtype=torch.complex64), 0.7
    total = sigma**2 + 0.5**2
    channels = torch.view_as_real(x).movedim(-1, 0)[None]
    out = networks[1](channels / math.sqrt(total), torch.tensor([math.log(sigma) / 4]))
    expected = 0.5**2 / total * channels + 0.5 * sigma / math.sqrt(total) * out
    found = torch.view_as_real(prior.denoise(x, sigma)).movedim(-1, 0)[None]
    torch.testing.assert_close(found, expected.detach(), rtol=1e-4, atol=1e-5)
