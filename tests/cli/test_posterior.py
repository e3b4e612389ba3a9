"""Samples of the posterior from scans: what is drawn, what is written, and that it can be drawn again."""

from __future__ import annotations

import json
import shlex

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

import invgen as ig
from invgen.io import open_scan, read_reconstruction
from invgen.priors.base import Generator
from invgen.priors.nets import EDM, UNet
from invgen.simulate import simulate_ct, simulate_mri
from invgen.solvers.methods import BEAMS, KSPACE, used_for

SAMPLERS = used_for("certify")


def fresh(field="real", **facts):
    """A network before its training, whose last layer is zero.

    Its denoiser is ``x s^2 / (s^2 + sigma^2)`` around gray: the prior is normal and white.
    """
    torch.manual_seed(0)
    channels = 2 if field == "complex" else facts.get("channels", 1)
    network = EDM(UNet(channels, channels, widths=(8,), blocks=1), 0.5)
    return ig.priors.Diffusion(network, **{"field": field, "sigma_data": 0.5, **facts})


@pytest.fixture(scope="session")
def priors(tmp_path_factory):
    """Files of a prior of real images, of one of complex ones, and of a generator."""
    folder = tmp_path_factory.mktemp("priors")
    generator = ig.priors.VAE.untrained((24, 24), latent=4, widths=(8,))
    generator.save(folder / "generator.safetensors")
    for field in ("real", "complex"):
        fresh(field).save(folder / f"{field}.safetensors")
    return {name: folder / f"{name}.safetensors" for name in ("real", "complex", "generator")}


@pytest.fixture(scope="session")
def ct(tmp_path_factory):
    path = tmp_path_factory.mktemp("ct") / "scan.h5"
    simulate_ct(path, "shepp-logan", size=24, views=20, slices=3)
    return path


@pytest.fixture(scope="session")
def brain(tmp_path_factory):
    path = tmp_path_factory.mktemp("mri") / "scan.h5"
    simulate_mri(path, size=(28, 24), coils=3, acceleration=2, calibration=12, slices=2)
    return path


@pytest.fixture(scope="session")
def one_coil(tmp_path_factory):
    path = tmp_path_factory.mktemp("coil") / "scan.h5"
    simulate_mri(path, size=(28, 24), coils=1, acceleration=2, calibration=12)
    return path


@pytest.fixture
def drawn(invgen, tmp_path):
    """Draw samples into a file, whose path is returned."""

    def run(scan, prior, *words, solver="dds", samples=3, iterations=4, name="out.h5"):
        words = (
            "--solver",
            solver,
            "--prior",
            prior,
            "--samples",
            samples,
            "--iterations",
            iterations,
            *words,
        )
        result = invgen("recon", scan, "-o", tmp_path / name, *words)
        assert result.exit_code == 0, result.output
        return tmp_path / name

    return run


def read(path, *names):
    with h5py.File(path) as file:
        return [file[name][:] for name in names]


def all_of(path):
    names = ("reconstruction", "samples", "std", "quantiles/0.05", "quantiles/0.5", "quantiles/0.95")
    return dict(zip(names, read(path, *names), strict=True))


class TestWhatIsDrawn:
    @pytest.mark.cases_are_slow
    @pytest.mark.parametrize("solver", [name for name in SAMPLERS if name in used_for(*BEAMS)])
    def test_every_sampler_takes_ct(self, drawn, ct, priors, solver):
        prior = priors["generator" if SAMPLERS[solver].prior is Generator else "real"]
        path = drawn(ct, prior, "--slices", 0, "--size", 24, solver=solver, samples=2, iterations=2)
        (samples,) = read(path, "samples")
        assert np.isfinite(samples).all()
        assert samples[..., 8:16, 8:16].all()

    @pytest.mark.parametrize("solver", [name for name in SAMPLERS if name in used_for(*KSPACE)])
    def test_every_sampler_takes_mri(self, drawn, brain, one_coil, priors, solver):
        scan = one_coil if SAMPLERS[solver].operator == "singular vectors" else brain
        path = drawn(scan, priors["complex"], "--slices", 0, solver=solver, samples=2, iterations=2)
        (samples,) = read(path, "samples")
        assert np.isfinite(samples).all()
        assert samples[..., 8:16, 8:16].all()

    @pytest.mark.parametrize("solver", ["dds", "ula"])
    def test_of_ct_it_is_what_python_draws(self, drawn, ct, priors, solver):
        """In 1/length, not in the prior's unit; the scale is the middle slice's and serves all."""
        path = drawn(ct, priors["real"], "--center", 11.5, "--seed", 5, "--slices", "1:3", solver=solver)
        with read_reconstruction(path) as file:
            scale = file.settings["scale"]
        method = SAMPLERS[solver].solver(fresh(), scale=scale, iterations=4)
        with open_scan(ct) as scan:
            problems = [scan.problem(row, center=11.5) for row in (2, 1)]
        assert float(method.resolved(problems[0]).scale) == pytest.approx(scale)
        assert float(ig.solvers.DDS(fresh()).resolved(problems[0]).scale) == pytest.approx(scale)
        samples, image = read(path, "samples", "reconstruction")
        assert samples.shape == (3, 2, 24, 24)
        expected = method(problems[1], samples=3, seed=5)
        assert np.array_equal(samples[:, 0], expected.samples)
        assert np.array_equal(image[0], expected.x)

    @pytest.mark.parametrize("solver", ["dds", "pigdm"])
    def test_of_mri_it_is_what_python_draws(self, drawn, brain, priors, solver):
        path = drawn(brain, priors["complex"], "--slices", 1, solver=solver)
        with read_reconstruction(path) as file:
            scale = file.settings["scale"]
        method = SAMPLERS[solver].solver(fresh("complex"), scale=scale, iterations=4)
        with open_scan(brain) as scan:
            expected = method(scan.problem(1), samples=3, seed=0)
        samples, image, magnitude = read(path, "samples", "reconstruction", "magnitude")
        assert np.array_equal(samples[:, 0], expected.samples)
        assert np.array_equal(image[0], expected.x)
        assert np.array_equal(magnitude, np.abs(image))

    def test_a_scan_in_other_units_has_the_same_samples_in_them(self, drawn, priors, tmp_path):
        """Half the pixels' size is twice the attenuation per length; line integrals are as they were."""
        found = []
        for size in (1.0, 0.5):
            scan = tmp_path / f"{size}.h5"
            simulate_ct(scan, "shepp-logan", size=24, views=20, pixel_size=size)
            path = drawn(scan, priors["real"], "--center", 11.5, name=f"out{size}.h5")
            found.append({name: values * size for name, values in all_of(path).items()})
        # float32, of which conjugate gradients keep four digits
        for name, values in found[0].items():
            assert np.abs(values - found[1][name]).max() < 1e-3 * np.abs(values).max(), name

    def test_a_cone_beam_has_the_prior_for_each_slice(self, drawn, priors, tmp_path):
        scan = tmp_path / "cone.h5"
        simulate_ct(scan, "shepp-logan", geometry="cone", size=16, views=20, slices=4)
        path = drawn(scan, priors["real"], "--slices", "1:3")
        with h5py.File(scan) as file:
            truth = file["truth/image"][1:3]
        samples, image = read(path, "samples", "reconstruction")
        assert samples.shape == (3, 2, 16, 16)
        assert np.allclose(samples.mean(0), image, atol=1e-6)
        assert np.linalg.norm(image - truth) < 0.6 * np.linalg.norm(truth)  # of 16 pixels, half are edges

    def test_a_slab_of_mri_has_the_prior_for_each_slice(self, drawn, priors, tmp_path):
        rng = np.random.default_rng(0)
        image = rng.standard_normal((6, 20, 16)) + 3
        kspace = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(image), norm="ortho"))
        np.save(tmp_path / "slab.npy", kspace[None].astype(np.complex64))
        path = drawn(tmp_path / "slab.npy", priors["complex"], "--axes", "coil,z,y,x", "--slices", "2:5")
        samples, mean = read(path, "samples", "reconstruction")
        assert samples.shape == (3, 3, 20, 16)
        # fully sampled, and noise of one percent where it is not known
        with read_reconstruction(path) as file:
            assert file.settings["scale"] == pytest.approx(np.quantile(np.abs(image), 0.999), rel=0.1)
        assert np.linalg.norm(np.abs(mean) - image[2:5]) < 0.1 * np.linalg.norm(image[2:5])


class TestWhatIsWritten:
    @pytest.mark.parametrize("samples", [3, 19])
    def test_spread_and_quantiles_are_those_of_the_samples(self, drawn, brain, priors, samples):
        path = drawn(brain, priors["complex"], "--slices", 0, samples=samples, iterations=2)
        found = {name: torch.from_numpy(values[..., 0, :, :]) for name, values in all_of(path).items()}
        truth = ig.Reconstruction(found["samples"].mean(0), found["samples"])
        low, high = truth.interval(0.9)
        torch.testing.assert_close(found["std"], found["samples"].std(0))
        torch.testing.assert_close(found["quantiles/0.05"], low)
        torch.testing.assert_close(found["quantiles/0.5"], truth.quantile(0.5))
        torch.testing.assert_close(found["quantiles/0.95"], high)
        if samples == 19:  # the smallest and the largest are then the quantiles
            assert torch.equal(found["quantiles/0.05"], found["samples"].abs().amin(0))
        with read_reconstruction(path) as file:
            estimator = "order statistics" if samples == 19 else "Student's distribution"
            assert file.posterior.estimator == estimator
            assert list(file.posterior.quantiles) == [0.05, 0.5, 0.95]

    def test_a_single_sample_has_no_spread(self, drawn, ct, priors, invgen, tmp_path):
        path = drawn(ct, priors["real"], "--slices", 0, samples=1)
        samples, image = read(path, "samples", "reconstruction")
        assert np.array_equal(samples[0], image)
        with read_reconstruction(path) as file:
            assert (file.posterior.std, file.posterior.quantiles) == (None, {})
        assert invgen("view", path, "-o", tmp_path / "view.png").exit_code == 0

    def test_the_output_reports_the_command_that_makes_it_again(self, drawn, invgen, ct, priors, tmp_path):
        """To the bit, with the prior found from any folder."""
        path = drawn(ct, priors["real"], "--seed", 7, "--slices", "0:3:2")
        with read_reconstruction(path) as file:
            command = shlex.split(file.settings["command"])
            assert file.settings["seed"] == 7
        assert command[command.index("--prior") + 1] == str(priors["real"].resolve())
        command[command.index(str(path))] = str(tmp_path / "again.h5")
        assert invgen(*command[1:]).exit_code == 0
        again = all_of(tmp_path / "again.h5")
        for name, values in all_of(path).items():
            assert np.array_equal(values, again[name]), name

    def test_streaming_equals_each_slice_by_itself(self, drawn, ct, priors):
        words = ("--center", 11.5, "--scale", 0.1)
        every = all_of(drawn(ct, priors["real"], *words))
        one = all_of(drawn(ct, priors["real"], *words, "--slices", 2, name="one.h5"))
        for name, values in every.items():
            assert np.array_equal(values[..., 2, :, :], one[name][..., 0, :, :]), name

    def test_the_scale_is_reported(self, invgen, ct, priors, tmp_path):
        words = ("recon", ct, "-o", tmp_path / "out.h5", "--solver", "dds", "--prior", priors["real"])
        result = invgen(*words, "--iterations", 2)
        with read_reconstruction(tmp_path / "out.h5") as file:
            assert f"Scale {file.settings['scale']:.4g}" in result.output
            assert len(file.posterior.samples) == 8
        assert "chosen on slice 1 and kept for all slices" in " ".join(result.output.split())
        assert "samples  8 of each slice, seed 0" in result.output

    def test_room_is_asked_for_all_of_it(self, refused, ct, priors, tmp_path, monkeypatch):
        monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 10**6})())
        words = ("--solver", "dds", "--prior", priors["real"], "--samples", 1000)
        assert "the disk has 977 KiB left" in refused("recon", ct, "-o", tmp_path / "none.h5", *words)


class TestWhatIsShown:
    @pytest.fixture
    def shown(self, monkeypatch):
        """Images, spreads, maps and titles of the pictures that are made."""
        from invgen import figures

        calls, plausibility = [], figures.plausibility

        def spy(means, stds, maps, titles, **options):
            calls.append((means, stds, maps, titles, options))
            return plausibility(means, stds, maps, titles, **options)

        monkeypatch.setattr(figures, "plausibility", spy)
        return calls

    def test_mean_spread_and_plausibility_side_by_side(self, drawn, invgen, brain, priors, tmp_path, shown):
        path, picture = drawn(brain, priors["complex"]), tmp_path / "view.png"
        assert invgen("view", path, "-o", picture, "--window", "0:0.5").exit_code == 0
        (means, stds, maps, titles, options), found = shown.pop(), all_of(path)
        np.testing.assert_allclose(np.stack(means), np.abs(found["reconstruction"]), rtol=1e-6)
        np.testing.assert_array_equal(np.stack(stds), found["std"])
        assert all(one.shape == mean.shape for one, mean in zip(maps, means, strict=True))
        assert [title.split(", p = ")[0] for title in titles] == ["slice 0", "slice 1"]
        assert (options["window"], options["label"]) == ((0, 0.5), "magnitude")
        assert Image.open(picture).width > 600
        for words in (("--phase",), ("--compare", brain)):
            assert invgen("view", path, "-o", picture, *words).exit_code == 0
        assert not shown

    def test_info_reports_the_samples(self, drawn, invgen, ct, priors):
        path = drawn(ct, priors["real"], "--slices", 0)
        reported = json.loads(invgen("info", path, "--json").output)
        assert (reported["samples"], reported["quantiles"]) == (3, [0.05, 0.5, 0.95])
        assert reported["estimator"] == "Student's distribution"
        assert "0.05, 0.5, 0.95, by Student's distribution" in invgen("info", path).output


class TestRefused:
    @pytest.mark.parametrize(
        ("words", "reported"),
        [
            (("--solver", "dds"), "--solver dds takes what images look like from a prior: --prior NAME|FILE"),
            (("--solver", "dds"), "denoiser-gray"),
            (
                ("--solver", "dds", "--prior", "nothing"),
                "neither a file nor a prior that comes with the package",
            ),
            (("--solver", "dds", "--prior", "{complex}"), "is of complex images, and those of CT are real"),
            (("--solver", "dds", "--prior", "{color}"), "with 3 channels"),
            (("--solver", "dds", "--prior", "{sized}"), "choose --size 16"),
            (("--solver", "dds", "--prior", "patches-gray"), "DDS needs a prior that is Denoiser"),
            (("--solver", "dds", "--prior", "{real}", "--scale", -1), "scale must be positive"),
            (("--solver", "dds", "--prior", "{real}", "--iterations", 1), "at least two noise levels"),
            (
                ("--solver", "dds", "--prior", "{real}", "--weight", 1),
                "--weight means nothing to the solver dds",
            ),
            (
                ("--solver", "tv", "--prior", "{real}"),
                "--prior means nothing to the solver tv; it is for csgm",
            ),
            (("--samples", 4), "--samples means nothing to the solver fbp"),
            (("--solver", "sirt", "--scale", 2), "--scale means nothing to the solver sirt"),
        ],
    )
    def test_what_does_not_fit(self, refused, ct, priors, tmp_path, words, reported):
        fresh(image_shape=(16, 16)).save(tmp_path / "sized.safetensors")
        fresh(channels=3).save(tmp_path / "color.safetensors")
        files = priors | {name: tmp_path / f"{name}.safetensors" for name in ("sized", "color")}
        words = [str(word).format(**files) for word in words]
        assert reported in refused("recon", ct, "-o", tmp_path / "out.h5", *words)
        assert not list(tmp_path.glob("out*"))

    def test_a_prior_of_real_images_for_mri(self, refused, brain, tmp_path):
        words = ("--solver", "dds", "--prior", "denoiser-gray")
        message = refused("recon", brain, "-o", tmp_path / "out.h5", *words)
        assert "denoiser-gray is of real images, and those of MRI are complex" in message
        assert "invgen train" in message

    def test_singular_vectors_of_several_coils(self, refused, brain, priors, tmp_path):
        words = ("--solver", "ddrm", "--prior", priors["complex"])
        message = refused("recon", brain, "-o", tmp_path / "out.h5", *words)
        assert "DDRM needs the singular value decomposition" in message

    @pytest.mark.parametrize(
        "option", [("--samples", 0), ("--scale", "white"), ("--solver", "magic"), ("--samples", "many")]
    )
    def test_what_cannot_be_read_is_a_usage_error(self, invgen, ct, priors, tmp_path, option):
        words = ("--solver", "dds", "--prior", priors["real"])
        result = invgen("recon", ct, "-o", tmp_path / "out.h5", *words, *option)
        assert result.exit_code == 2
        assert option[0] in result.output

    def test_every_sampler_has_a_name(self):
        classes = {
            name
            for name in ig.solvers.__all__
            if issubclass(getattr(ig.solvers, name), ig.solvers.PosteriorSampler)
        }
        names = {method.solver.__name__ for method in SAMPLERS.values()}
        assert names == classes - {"PosteriorSampler", "DiffusionSolver"}
