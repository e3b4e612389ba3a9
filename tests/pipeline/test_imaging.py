"""Images that were measured: the numbers are those of the operators and solvers that are named."""

from __future__ import annotations

import json
import pickle

import h5py
import numpy as np
import pytest
import torch
from skimage.io import imread, imsave

import invgen as ig
from invgen.core.errors import (
    CapabilityError,
    DataError,
    DtypeError,
    FileError,
    InvgenError,
    ParameterError,
    ShapeError,
)
from invgen.io import read_images
from invgen.pipeline import Reading, Recipe
from invgen.pipeline.jobs import jobs_of, run_here, work_on
from invgen.pipeline.panels import draw_slices
from invgen.priors.nets import EDM, UNet

STD = 0.05


def scene(height, width, channels=()):
    """Blocks on a slope, within 0 and 1."""
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    image = 0.3 * x + 0.4 * ((y > 0.3) & (x < 0.6)) + 0.2 * (x + y > 1.2)
    return torch.stack([image * (1 - 0.3 * i) for i in range(3)]) if channels else image


def noisy(y, seed=0):
    return y + STD * torch.randn(y.shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A mask and a kernel."""
    path = tmp_path_factory.mktemp("images")
    known = np.random.default_rng(0).random((24, 20)) < 0.6
    imsave(path / "mask.png", (200 * known).astype(np.uint8), check_contrast=False)
    imsave(path / "kernel.png", np.array([[0, 10, 0], [40, 100, 60], [0, 30, 0]], np.uint8))
    return path


@pytest.fixture(scope="module")
def color_prior(tmp_path_factory):
    """A network of color images before its training."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("prior") / "color.safetensors"
    ig.priors.Diffusion(EDM(UNet(3, 3, widths=(8,), blocks=1), 0.5), channels=3, sigma_data=0.5).save(path)
    return path


def operators(folder):
    """What is typed, and what it is in Python."""
    known = torch.from_numpy(imread(folder / "mask.png") > 0)
    kernel = torch.from_numpy(imread(folder / "kernel.png").astype(float))
    ops, gaussian = ig.operators, ig.operators.kernels.gaussian_kernel
    return {
        "denoise": ops.Identity((24, 20)),
        f"inpaint:{folder / 'mask.png'}": ops.Mask(known),
        "blur:1.2": ops.Blur((24, 20), gaussian(1.2), "reflect"),
        "blur:1.2,circular": ops.Blur((24, 20), gaussian(1.2)),
        f"blur:{folder / 'kernel.png'}": ops.Blur((24, 20), kernel / kernel.sum(), "reflect"),
        "super-resolution:2": ops.Downsample((24, 20), 2),
        "super-resolution:2,bicubic": ops.Downsample((24, 20), 2, kind="bicubic"),
    }


@pytest.mark.parametrize("i", range(7))
def test_total_variation_is_that_of_python(folder, tmp_path, i):
    text, A = list(operators(folder).items())[i]
    y = noisy(A(scene(24, 20)))
    np.save(tmp_path / "y.npy", y)
    summary = ig.reconstruct(tmp_path / "y.npy", operator=text, noise_std=STD)
    expected = ig.solvers.PDHG(ig.priors.TotalVariation())(ig.Problem(A, y, ig.noise.Gaussian(STD)))
    torch.testing.assert_close(summary.images[0], expected.x, rtol=0, atol=1e-6)
    assert summary.recipe.weight == pytest.approx(float(expected.stats["weight"]))
    assert ig.metrics.psnr(summary.images[0], scene(24, 20)) > 20


def test_colors_share_their_edges(tmp_path):
    y = noisy(scene(24, 20, "rgb"))
    np.save(tmp_path / "y.npy", y.movedim(0, -1)[None])
    summary = ig.reconstruct(tmp_path / "y.npy", operator="denoise", noise_std=STD)
    problem = ig.Problem(ig.operators.Identity((3, 24, 20)), y, ig.noise.Gaussian(STD))
    expected = ig.solvers.PDHG(ig.priors.TotalVariation(joint=-3))(problem).x
    torch.testing.assert_close(summary.images[0], expected, rtol=0, atol=1e-6)
    assert summary.image_shape == (3, 24, 20)


@pytest.mark.parametrize(
    ("solver", "build"),
    [
        ("cg", lambda: ig.solvers.CG()),
        ("admm", lambda: ig.solvers.ADMM(ig.priors.TotalVariation(weight=20.0), iterations=20)),
        ("lasso", lambda: ig.solvers.Lasso(weight=0.5, iterations=20)),
    ],
)
def test_other_solvers_are_those_of_python(tmp_path, solver, build):
    A = ig.operators.Downsample((24, 20), 2)
    y = noisy(A(scene(24, 20)))
    np.save(tmp_path / "y.npy", y)
    options = {"cg": {}, "admm": {"weight": 20.0}, "lasso": {"weight": 0.5}}[solver]
    if solver != "cg":
        options["iterations"] = 20
    found = ig.reconstruct(
        tmp_path / "y.npy", operator="super-resolution:2", noise_std=STD, solver=solver, **options
    )
    expected = build()(ig.Problem(A, y, ig.noise.Gaussian(STD))).x
    torch.testing.assert_close(found.images[0], expected, rtol=0, atol=1e-6)


class TestPriors:
    @pytest.mark.parametrize("solver", ["diffpir", "ddrm", "dps"])
    def test_samples_are_those_of_python(self, prior, tmp_path, solver):
        kind = {"diffpir": ig.solvers.DiffPIR, "ddrm": ig.solvers.DDRM, "dps": ig.solvers.DPS}[solver]
        A = ig.operators.Downsample((16, 12), 2)
        y = noisy(A(scene(16, 12)))
        np.save(tmp_path / "y.npy", y)
        summary = ig.reconstruct(
            tmp_path / "y.npy",
            operator="super-resolution:2",
            noise_std=STD,
            solver=solver,
            prior=prior,
            samples=3,
            seed=4,
            iterations=3,
        )
        problem = ig.Problem(A, y, ig.noise.Gaussian(STD))
        expected = kind(ig.priors.load(prior), scale=1.0, iterations=3)(problem, samples=3, seed=4)
        torch.testing.assert_close(summary.samples[:, 0], expected.samples, rtol=0, atol=1e-6)
        torch.testing.assert_close(summary.images[0], expected.x, rtol=0, atol=1e-6)
        assert summary.recipe.scale == 1.0

    def test_a_denoiser_without_samples(self, prior, tmp_path):
        y = noisy(scene(16, 12))
        np.save(tmp_path / "y.npy", y)
        given = {"operator": "denoise", "noise_std": STD, "solver": "pnp-hqs", "prior": prior}
        summary = ig.reconstruct(tmp_path / "y.npy", **given, iterations=4)
        problem = ig.Problem(ig.operators.Identity((16, 12)), y, ig.noise.Gaussian(STD))
        expected = ig.solvers.PnPHQS(ig.priors.load(prior), scale=1.0, iterations=4)(problem)
        torch.testing.assert_close(summary.images[0], expected.x, rtol=0, atol=1e-6)
        assert summary.samples is None
        with pytest.raises(ParameterError, match="--samples means nothing to the solver pnp-hqs"):
            ig.reconstruct(tmp_path / "y.npy", **given, samples=3)

    def test_colors_of_a_gray_image(self, color_prior, tmp_path):
        A = ig.operators.Grayscale((3, 16, 12))
        y = noisy(A(scene(16, 12, "rgb")))
        np.save(tmp_path / "y.npy", y)
        given = {"operator": "gray", "noise_std": STD, "solver": "diffpir", "iterations": 3}
        summary = ig.reconstruct(
            tmp_path / "y.npy", tmp_path / "out.h5", **given, prior=color_prior, samples=2
        )
        problem = ig.Problem(A, y, ig.noise.Gaussian(STD))
        expected = ig.solvers.DiffPIR(ig.priors.load(color_prior), scale=1.0, iterations=3)(
            problem, samples=2, seed=0
        )
        with h5py.File(summary.path) as file:
            assert file["samples"].shape == (2, 1, 3, 16, 12)
            assert np.allclose(file["samples"][:, 0], expected.samples, atol=1e-6)
            assert np.allclose(file["reconstruction"][0], expected.x, atol=1e-6)
            assert np.allclose(file["std"][0], expected.std, atol=1e-5)
        draw_slices(summary.path, tmp_path / "view.png")
        assert imread(tmp_path / "view.png").ndim == 3

    def test_those_that_do_not_fit_are_refused(self, prior, color_prior, tmp_path):
        gray, color, high = tmp_path / "gray.npy", tmp_path / "color.npy", tmp_path / "high.npy"
        np.save(gray, scene(16, 12))
        np.save(color, scene(16, 12, "rgb").movedim(0, -1)[None])
        np.save(high, 255 * scene(16, 12))
        complex_prior = tmp_path / "complex.safetensors"
        torch.manual_seed(0)
        network = EDM(UNet(2, 2, widths=(8,), blocks=1), 0.5)
        ig.priors.Diffusion(network, field="complex", sigma_data=0.5).save(complex_prior)
        signed = tmp_path / "signed.safetensors"
        network = EDM(UNet(1, 1, widths=(8,), blocks=1), 0.5)
        ig.priors.Diffusion(network, value_range=(-1.0, 1.0), sigma_data=0.5).save(signed)
        given = {"operator": "denoise", "noise_std": STD, "solver": "diffpir", "iterations": 2, "samples": 1}
        for path, model, kind, message in (
            (color, prior, ShapeError, "of gray images; this is a color image"),
            (gray, color_prior, ShapeError, "of color images; this is a gray image"),
            (gray, complex_prior, DtypeError, "of complex images, and these are real"),
            (
                gray,
                "digits",
                ShapeError,
                "28 x 28 pixels; these have 16 x 12: take one of",
            ),
            (gray, signed, ParameterError, "from -1 to 1; black is 0"),
            (high, prior, DataError, "Image 0: the values are from 0 to .* 1 is white: --scale"),
            (gray, "digits-gan", (CapabilityError, ShapeError), "."),
        ):
            with pytest.raises(kind, match=message):
                ig.reconstruct(path, **given, prior=model)
        assert ig.reconstruct(high, **given, prior=prior, scale=255).recipe.scale == 255
        np.save(tmp_path / "both.npy", 2 * scene(16, 12).numpy() - 1)
        for std in (STD, 0.2):  # of which six deviations reach below -1
            with pytest.raises(DataError, match="from -1 to 1 give"):
                ig.reconstruct(tmp_path / "both.npy", **{**given, "noise_std": std}, prior=prior)
        with pytest.raises(ParameterError, match="knows no colors"):
            ig.reconstruct(gray, operator="gray", noise_std=STD)
        with pytest.raises(ShapeError, match="finds colors of a gray image, and this one has them"):
            ig.reconstruct(color, **{**given, "operator": "gray"}, prior=color_prior)


class TestSensing:
    @pytest.mark.parametrize(
        ("text", "build"),
        [
            ("sense:0.4,3", lambda: ig.operators.SubsampledTransform((16, 8), 51, seed=3)),
            ("sense:0.4,hadamard", lambda: ig.operators.SubsampledTransform((16, 8), 51, "hadamard")),
            ("sense:0.4,3,gaussian", lambda: ig.operators.GaussianMatrix((16, 8), 51, 3)),
            ("sense:0.4,single-pixel", lambda: ig.operators.SinglePixel((16, 8), 51)),
        ],
    )
    def test_vectors_of_measurements(self, tmp_path, text, build):
        A = build()
        y = noisy(A(torch.stack([scene(16, 8), 0.5 * scene(16, 8)])))
        np.save(tmp_path / "y.npy", y)
        options = {"operator": text, "noise_std": STD, "size": (16, 8), "weight": 3.0, "iterations": 30}
        found = ig.reconstruct(tmp_path / "y.npy", **options).images
        solver = ig.solvers.PDHG(ig.priors.TotalVariation(weight=3.0), iterations=30)
        for image, each in zip(found, y, strict=True):
            expected = solver(ig.Problem(A, each, ig.noise.Gaussian(STD))).x
            torch.testing.assert_close(image, expected, rtol=0, atol=1e-6)

    def test_what_is_missing_is_said(self, tmp_path):
        vector, picture = tmp_path / "y.npy", tmp_path / "photo.png"
        np.save(vector, np.zeros(51, np.float32))
        imsave(picture, np.zeros((16, 8), np.uint8), check_contrast=False)
        with pytest.raises(ParameterError, match="takes the size of the image: --size HxW"):
            ig.reconstruct(vector, operator="sense:0.4", noise_std=STD)
        with pytest.raises(ShapeError, match=r"of 16 x 10 pixels gives 64 measurements; .* holds 51"):
            ig.reconstruct(vector, operator="sense:0.4", noise_std=STD, size=(16, 10))
        with pytest.raises(ParameterError, match=r"cannot be estimated .* --noise-std"):
            ig.reconstruct(vector, operator="sense:0.4", size=(16, 8))
        with pytest.raises(ParameterError, match=r"takes a file of measurements.*--simulate"):
            ig.reconstruct(picture, operator="sense:0.4", noise_std=STD)
        with pytest.raises(ParameterError, match="--size is of images that vectors were measured of"):
            ig.reconstruct(picture, operator="denoise", noise_std=STD, size=16)


class TestSimulation:
    def test_it_is_measured_with_the_noise_that_is_stated(self, tmp_path):
        """Least squares without a weight return the measurement itself."""
        truth = scene(60, 50)
        np.save(tmp_path / "x.npy", truth)
        options = {"operator": "denoise", "simulate": True, "solver": "cg", "weight": 0.0}
        y = [
            ig.reconstruct(tmp_path / "x.npy", **options, noise_std=std, seed=seed)
            for std, seed in ((0.1, 0), (0.1, 0), (0.1, 1), (0.2, 0))
        ]
        noise = [each.images[0] - truth for each in y]
        assert torch.equal(noise[0], noise[1])
        assert float(noise[0].std()) == pytest.approx(0.1, rel=0.05)
        torch.testing.assert_close(noise[3], 2 * noise[0])
        correlation = torch.corrcoef(torch.stack([noise[0].flatten(), noise[2].flatten()]))[0, 1]
        assert abs(float(correlation)) < 0.06
        assert y[0].statistics["psnr"] == pytest.approx(20, abs=0.3)

    def test_it_is_not_the_noise_that_samplers_draw(self, tmp_path):
        truth = scene(60, 50)
        np.save(tmp_path / "x.npy", truth)
        found = ig.reconstruct(
            tmp_path / "x.npy",
            operator="denoise",
            simulate=True,
            solver="cg",
            weight=0.0,
            noise_std=0.1,
            seed=3,
        )
        drawn = torch.randn(60, 50, generator=torch.Generator().manual_seed(3))
        noise = found.images[0] - truth
        assert abs(float(torch.corrcoef(torch.stack([noise.flatten(), drawn.flatten()]))[0, 1])) < 0.06

    @pytest.mark.parametrize("text", ["sense:0.5", "super-resolution:2", "blur:1", "sense:0.5,gaussian"])
    def test_how_near_it_comes_is_reported(self, tmp_path, text):
        images = torch.stack([scene(15, 12), scene(15, 12).flip(0)])  # 2 does not divide 15
        np.save(tmp_path / "x.npy", images)
        summary = ig.reconstruct(
            tmp_path / "x.npy",
            tmp_path / "out.h5",
            operator=text,
            simulate=True,
            noise_std=STD,
            iterations=50,
        )
        with h5py.File(tmp_path / "out.h5") as file:
            found = torch.from_numpy(file["reconstruction"][:])
            reports = file["report"].asstr()[:].tolist()
        psnr = ig.metrics.psnr(found, images, data_range=1.0)
        assert summary.statistics["psnr"] == pytest.approx(float(psnr.mean()))
        for report, each in zip(reports, psnr, strict=True):
            assert f"simulated: {summary.statistics['operator']}, noise" in report
            assert f"PSNR {float(each):.2f} dB" in report

    def test_it_takes_an_operator_and_the_noise(self, tmp_path):
        np.save(tmp_path / "x.npy", scene(15, 12))
        with pytest.raises(ParameterError, match="--simulate takes the noise to add: --noise-std"):
            ig.reconstruct(tmp_path / "x.npy", operator="denoise", simulate=True)
        with pytest.raises(ParameterError, match="--simulate measures an image by --operator, denoise"):
            ig.reconstruct(tmp_path / "x.npy", simulate=True)
        with pytest.raises(ShapeError, match="takes a color image; this one is gray"):
            ig.reconstruct(
                tmp_path / "x.npy",
                operator="gray",
                simulate=True,
                noise_std=STD,
                solver="diffpir",
                prior="denoiser-color",
            )


class TestNoise:
    def test_it_is_estimated_and_kept(self, tmp_path):
        clean = scene(60, 50)
        np.save(tmp_path / "y.npy", noisy(torch.stack([clean, clean, clean.flip(1)])))
        found = []
        summary = ig.reconstruct(tmp_path / "y.npy", operator="denoise", notice=found.append)
        assert summary.recipe.noise_std == pytest.approx(STD, rel=0.1)
        assert "estimated from the image, chosen on image 1 and kept for all." in found[0]
        given = {"noise_std": summary.recipe.noise_std, "weight": summary.recipe.weight}
        again = ig.reconstruct(tmp_path / "y.npy", operator="denoise", **given)
        assert torch.equal(again.images, summary.images)

    def test_lost_pixels_tell_nothing_of_it(self, tmp_path):
        mask = np.random.default_rng(1).random((60, 50)) < 0.6
        np.save(tmp_path / "mask.npy", mask)
        np.save(tmp_path / "y.npy", np.where(mask, noisy(scene(60, 50)), 0.9))
        given = {"operator": f"inpaint:{tmp_path / 'mask.npy'}", "weight": 5.0, "iterations": 5}
        summary = ig.reconstruct(tmp_path / "y.npy", **given)
        assert summary.recipe.noise_std == pytest.approx(STD, rel=0.2)

    def test_where_it_cannot_be_it_is_asked_for(self, tmp_path):
        np.save(tmp_path / "y.npy", np.full((30, 30), 0.5, np.float32))
        with pytest.raises(ParameterError, match=r"cannot be estimated .* --noise-std"):
            ig.reconstruct(tmp_path / "y.npy", operator="denoise")
        with pytest.raises(ParameterError, match="--noise-std is positive; got 0"):
            ig.reconstruct(tmp_path / "y.npy", operator="denoise", noise_std=0)


#: How files are restored where only they matter.
GIVEN = {"operator": "denoise", "noise_std": STD, "weight": 5.0, "iterations": 20}


class TestFiles:
    @pytest.mark.parametrize("color", [False, True])
    @pytest.mark.parametrize("suffix", [".png", ".tif", ".npy", ".h5"])
    def test_every_output_holds_the_image(self, tmp_path, suffix, color):
        image = scene(15, 12, "rgb" if color else ())
        levels = (255 * image).round().byte()
        imsave(tmp_path / "in.png", (levels.movedim(0, -1) if color else levels).numpy())
        out = tmp_path / f"out{suffix}"
        expected = ig.reconstruct(tmp_path / "in.png", **GIVEN).images[0]
        summary = ig.reconstruct(tmp_path / "in.png", out, **GIVEN)
        assert summary.path == out
        if suffix == ".h5":
            with h5py.File(out) as file:
                found = file["reconstruction"][:]
        else:
            found = read_images(out)
        assert len(found) == 1
        tolerance = 0.5 / 255 + 1e-6 if suffix == ".png" else 0
        limited = expected.clamp(0, 1) if suffix == ".png" else expected
        np.testing.assert_allclose(found[0], limited, rtol=0, atol=tolerance)
        assert len(list(tmp_path.iterdir())) == 2

    def test_a_folder_of_pictures(self, tmp_path):
        pictures = tmp_path / "pictures"
        pictures.mkdir()
        for i in range(3):
            imsave(pictures / f"{i}.png", (50 * (i + 1) * scene(15, 12)).byte().numpy(), check_contrast=False)
        found = ig.reconstruct(pictures, **GIVEN).images
        for i, image in enumerate(found):
            assert torch.equal(image, ig.reconstruct(pictures / f"{i}.png", **GIVEN).images[0])
        assert torch.equal(ig.reconstruct(pictures, **GIVEN, slices=slice(1, 3)).images, found[1:])
        with pytest.raises(FileError, match=r"out.png holds one image, and these are 3: choose"):
            ig.reconstruct(pictures, tmp_path / "out.png", **GIVEN)
        ig.reconstruct(pictures, tmp_path / "out.npy", **GIVEN)
        assert np.array_equal(np.load(tmp_path / "out.npy"), found)
        imsave(pictures / "3.png", scene(15, 13).byte().numpy(), check_contrast=False)
        with pytest.raises(ShapeError, match=r"\(15, 12\) and \(15, 13\); those of one run have the same"):
            ig.reconstruct(pictures, **GIVEN)
        with pytest.raises(FileError, match="is what the command reads"):
            ig.reconstruct(pictures, pictures / "1.png", **GIVEN, slices=0)

    def test_a_gray_picture_with_three_channels_is_gray(self, tmp_path):
        levels = (255 * scene(15, 12)).byte().numpy()
        imsave(tmp_path / "gray.png", levels)
        imsave(tmp_path / "rgb.png", np.stack([levels] * 3, axis=-1))
        gray, rgb = (ig.reconstruct(tmp_path / f"{n}.png", **GIVEN).images for n in ("gray", "rgb"))
        assert torch.equal(gray, rgb)

    def test_the_record_repeats_it(self, folder, tmp_path):
        imsave(tmp_path / "in.png", (255 * scene(24, 20)).byte().numpy())
        given = {**GIVEN, "operator": f"inpaint:{folder / 'mask.png'}"}
        ig.reconstruct(tmp_path / "in.png", tmp_path / "out.h5", **given)
        with h5py.File(tmp_path / "out.h5") as file:
            settings = json.loads(file.attrs["settings"])
        assert settings["reading"] == {"operator": f"inpaint:{folder / 'mask.png'}"}
        assert f"--operator inpaint:{folder / 'mask.png'} " in settings["command"]
        assert "--noise-std 0.05 --weight 5.0" in settings["command"]

    def test_scans_have_no_operator(self, scans, tmp_path):
        imsave(tmp_path / "in.png", (255 * scene(24, 20)).byte().numpy())
        with pytest.raises(ParameterError, match=r"is a picture: how it was measured .* --operator, den"):
            ig.reconstruct(tmp_path / "in.png")
        with pytest.raises(ParameterError, match="--noise-std is for images; this is a CT scan"):
            ig.reconstruct(scans["parallel"], noise_std=0.1)
        with pytest.raises(ParameterError, match="--views is for CT scans; this is an image"):
            ig.reconstruct(tmp_path / "in.png", operator="denoise", views=slice(2))
        with pytest.raises(ParameterError, match="--axes is for scans; --operator is for images"):
            ig.reconstruct(tmp_path / "in.png", operator="denoise", axes="angle,column")
        with pytest.raises(ParameterError, match="--solver epll is for images; this is an MRI scan"):
            ig.reconstruct(scans["grid"], solver="epll", prior="patches-gray")
        with pytest.raises(ParameterError, match="--solver rss is for MRI scans; this is an image"):
            ig.reconstruct(tmp_path / "in.png", operator="denoise", solver="rss")

    def test_what_cannot_be_an_image_is_refused(self, folder, tmp_path):
        nan, complex_, small = (tmp_path / f"{name}.npy" for name in ("nan", "complex", "small"))
        np.save(nan, np.where(np.eye(20) > 0, np.nan, 1.0))
        np.save(complex_, np.zeros((20, 20), np.complex64))
        np.save(small, np.zeros((20, 20)))
        with pytest.raises(DataError, match=r"Image 0 of .* holds 20 NaN .*: row 0, column 0"):
            ig.reconstruct(nan, **GIVEN)
        with pytest.raises(DataError, match="holds complex numbers; images are real"):
            ig.reconstruct(complex_, **GIVEN)
        given = {**GIVEN, "operator": f"inpaint:{folder / 'mask.png'}"}
        with pytest.raises(ShapeError, match="24 x 20 pixels, and the image 20 x 20"):
            ig.reconstruct(small, **given)
        np.save(tmp_path / "black.npy", np.zeros((20, 20)))
        for text, message in (
            (f"inpaint:{tmp_path / 'black.npy'}", "is black everywhere"),
            (f"blur:{tmp_path / 'black.npy'}", "has the sum 0"),
            (f"blur:{tmp_path / 'absent.png'}", "absent.png does not exist"),
            (f"inpaint:{complex_}", "holds complex numbers"),
        ):
            with pytest.raises(InvgenError, match=message):
                ig.reconstruct(small, **{**GIVEN, "operator": text})


def test_a_job_alone_is_what_it_is_among_others(folder, tmp_path):
    """It opens the images, and makes the operator and the solver from the recipe."""
    np.save(tmp_path / "x.npy", torch.stack([scene(24, 20), scene(24, 20).flip(0)]))
    reading = Reading(operator=f"inpaint:{folder / 'mask.png'}", simulate=True)
    with reading.open(tmp_path / "x.npy") as images:
        work = work_on(images, reading, Recipe(noise_std=STD, iterations=20))
        work.settle(work.first(1, lambda text: None), 1, lambda text: None)
        jobs = jobs_of(tmp_path / "x.npy", reading, work, range(2))
        for job, expected in zip(jobs, run_here(jobs, work, lambda done: None), strict=True):
            found = pickle.loads(pickle.dumps(job))()
            assert torch.equal(found.images, expected.images)
            assert (found.reports, found.psnr) == (expected.reports, expected.psnr)
