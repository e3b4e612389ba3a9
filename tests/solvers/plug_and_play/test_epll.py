"""Expected patch log-likelihood: the mixture of patches, and restoration by it."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data
from skimage.color import rgb2gray
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle
from skimage.util import img_as_float32

import invgen as ig
from invgen.noise import Gaussian as Noise
from invgen.noise import Poisson
from invgen.operators import Blur, Identity, Mask, MatrixOperator, kernels
from invgen.priors import Gaussian, PatchMixture
from invgen.priors.densities.patch_geometry import zero_mean_basis
from invgen.priors.files.checkpoints import write
from invgen.solvers import EPLL


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def spd(k, n, seed=0):
    B = normal(k, n, n, seed=seed)
    return 0.05 * B @ B.mT / n + 1e-3 * torch.eye(n, dtype=torch.float64)


def double(number):
    return torch.tensor(number, dtype=torch.float64)


WEIGHTS = [0.2, 0.5, 0.3]


def all_patches(x, p):
    return x.unfold(0, p, 1).unfold(1, p, 1).reshape(-1, p * p)


def psnr(a, b):
    return float(-10 * torch.log10((a - b).square().mean()))


def test_basis_is_that_of_patches_without_mean():
    for p in (2, 5):
        B = zero_mean_basis(p)
        torch.testing.assert_close(B @ B.T, torch.eye(p * p - 1, dtype=B.dtype), rtol=0, atol=1e-13)
        assert float(B.sum(1).abs().max()) < 1e-12


def test_value_is_minus_the_mean_likelihood_of_all_patches():
    """Patch by patch, by the mixture itself; each of its p^2 places in the patch counts a pixel once."""
    p, prior = 3, PatchMixture(spd(3, 9), WEIGHTS)
    x = normal(2, 6, 8)
    for image, value in zip(x, prior.value(x), strict=True):
        c = all_patches(image, p) @ zero_mean_basis(p).T
        torch.testing.assert_close(value, -prior.mixture.log_prob(c).sum() / p**2, rtol=1e-10, atol=0)
    # the mean of a patch does not count
    torch.testing.assert_close(prior.value(x + 5), prior.value(x), rtol=1e-10, atol=0)
    assert torch.autograd.gradcheck(prior.value, x.requires_grad_(), fast_mode=True)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_restoration_is_the_average_of_wiener_filtered_patches(stride):
    """Patch by patch: the most probable component under noise, its filter, and the mean kept."""
    p, sigma, prior = 3, 0.2, PatchMixture(spd(3, 9), WEIGHTS)
    x, B = normal(7, 9), zero_mean_basis(p)
    total, count = torch.zeros_like(x), torch.zeros_like(x)
    rows, columns = ({*range(0, n - p + 1, stride), n - p} for n in x.shape)
    covariances = B @ spd(3, 9) @ B.T
    eye = torch.eye(8, dtype=torch.float64)
    used = set()
    for i in rows:
        for j in columns:
            patch = x[i : i + p, j : j + p].flatten()
            c = B @ patch
            logs = [
                math.log(w)
                + float(
                    torch.distributions.MultivariateNormal(
                        torch.zeros(8).double(), C + sigma**2 * eye
                    ).log_prob(c)
                )
                for w, C in zip(WEIGHTS, covariances, strict=True)
            ]
            k = int(np.argmax(logs))
            used.add(k)
            z = B.T @ covariances[k] @ torch.linalg.solve(covariances[k] + sigma**2 * eye, c) + patch.mean()
            total[i : i + p, j : j + p] += z.reshape(p, p)
            count[i : i + p, j : j + p] += 1
    assert len(used) > 1
    torch.testing.assert_close(prior.restore(x, sigma, stride), total / count, rtol=1e-10, atol=1e-10)


def test_batch_is_its_elements_to_the_bit():
    prior, x, sigma = (
        PatchMixture(spd(3, 9), WEIGHTS),
        normal(2, 3, 6, 7).float(),
        torch.tensor([[0.1], [0.3]]),
    )
    batch = prior.restore(x, sigma)
    for i in range(2):
        for j in range(3):
            assert torch.equal(batch[i, j], prior.restore(x[i, j], sigma[i, 0]))


def test_with_one_component_and_one_patch_the_solution_is_a_wiener_filter():
    """At the fixed point for one penalty: that of the covariance C + 1 / beta."""
    p, beta, std = 4, 300.0, 0.1
    C = spd(1, 16)
    B = zero_mean_basis(p)
    y = 0.5 + 0.2 * normal(p, p)
    problem = ig.Problem(Identity((p, p)), y, Noise(double(std)))
    x = EPLL(PatchMixture(C, [1.0]), betas=(beta,) * 200, scale=1.0, iterations=200)(problem).x
    within = B @ C[0] @ B.T + torch.eye(15, dtype=torch.float64) / beta
    expected = Gaussian(torch.zeros(15, dtype=torch.float64), within).denoise(B @ y.flatten(), std)
    torch.testing.assert_close(x.flatten(), B.T @ expected + y.mean(), rtol=1e-8, atol=1e-8)


def test_image_step_minimises_its_objective():
    """With a weight for each measurement, and without a closed form."""
    A, std = normal(20, 30), 0.1 + normal(20, seed=1).abs()
    y = normal(20, seed=2)
    problem = ig.Problem(MatrixOperator(A, (5, 6)), y, Noise(std))
    prior = PatchMixture(spd(3, 9), WEIGHTS)
    start = normal(5, 6, seed=3)
    x = EPLL(prior, betas=(4.0,), scale=1.0)(problem, x0=start).x
    z = prior.restore(start, 0.5).flatten()
    W = torch.diag(std**-2)
    expected = torch.linalg.solve(A.T @ W @ A + 4 * torch.eye(30, dtype=torch.float64), A.T @ W @ y + 4 * z)
    # conjugate gradients stop at 1e-4 of the residual at z, by the system's condition
    torch.testing.assert_close(x.flatten(), expected, rtol=0, atol=1e-3 * float(expected.abs().max()))


def test_penalties_and_scale_are_reported():
    noise = Noise(0.1)
    y = 2 * torch.rand(9, 10, generator=torch.Generator().manual_seed(0))
    stats = EPLL(PatchMixture(spd(3, 9), WEIGHTS))(ig.Problem(Identity((9, 10)), y, noise)).stats
    # what is white in a rough image, which is a little smoother than the data
    assert isinstance(stats["scale"], float)
    assert 0.98 * float(y.max()) < stats["scale"] <= float(y.max())
    expected = torch.tensor([1.0, 4, 8, 16, 32, 64]) / 0.1**2 * stats["scale"] ** 2
    torch.testing.assert_close(stats["betas"], expected, rtol=1e-4, atol=0)
    assert stats["iterations"] == 6


def photographs():
    grays = data.camera(), data.coins(), rgb2gray(data.astronaut()), rgb2gray(data.coffee())
    return [torch.from_numpy(img_as_float32(image)) for image in grays]


@pytest.fixture(scope="module")
def learned():
    """A small mixture, learned in a second."""
    return PatchMixture.fit(photographs(), 8, 30, patches=20_000, iterations=10, seed=0)


@pytest.fixture(scope="module")
def photograph():
    """A crop of another photograph: the cat's eye."""
    return torch.from_numpy(img_as_float32(rgb2gray(data.chelsea())))[80:176, 90:186]


def test_a_mixture_explains_another_photograph_better_than_one_component(learned, photograph):
    """Natural patches are not normal: contrasts and orientations differ."""
    one = PatchMixture.fit(photographs(), 8, 1, patches=20_000, iterations=1, seed=0)
    assert float(learned.value(photograph)) < float(one.value(photograph))


def test_training_is_the_same_again():
    first, again = (
        PatchMixture.fit(photographs(), 5, 3, patches=2000, iterations=2, seed=0) for _ in range(2)
    )
    assert torch.equal(again.covariances(), first.covariances())


def test_denoising_beats_total_variation_and_nonlocal_means(learned, photograph):
    """At noise of 25 / 255, total variation at its best weight, by the truth, of eight."""
    sigma = 25 / 255
    y = Noise(sigma).sample(photograph, seed=0)
    x = EPLL(learned, scale=1.0)(ig.Problem(Identity(tuple(y.shape)), y, Noise(sigma))).x
    tv = max(
        psnr(torch.from_numpy(denoise_tv_chambolle(y.numpy(), weight=w)), photograph)
        for w in (0.04, 0.06, 0.08, 0.1, 0.12, 0.14, 0.16, 0.2)
    )
    nlm = denoise_nl_means(
        y.numpy(), patch_size=5, patch_distance=6, h=0.8 * sigma, sigma=sigma, fast_mode=True
    )
    assert psnr(x, photograph) > psnr(y, photograph) + 6
    assert psnr(x, photograph) > tv
    assert psnr(x, photograph) > psnr(torch.from_numpy(nlm), photograph)


def test_missing_pixels_and_blur_are_restored(learned, photograph):
    mask = torch.rand(96, 96, generator=torch.Generator().manual_seed(0)) < 0.5
    noise = Noise(0.01)
    for A, least in ((Mask(mask), 8.0), (Blur((96, 96), kernels.gaussian_kernel(1.2)), 2.0)):
        y = noise.sample(A(photograph), seed=0)
        x = EPLL(learned)(ig.Problem(A, y, noise)).x
        assert psnr(x, photograph) > psnr(y, photograph) + least


def test_the_mixture_that_comes_along_denoises_a_photograph_it_has_not_seen():
    prior, x = ig.priors.load("patches-gray"), torch.from_numpy(img_as_float32(data.moon()))[200:296, 200:296]
    y = Noise(25 / 255).sample(x, seed=0)
    restored = EPLL(prior, scale=1.0, stride=2)(ig.Problem(Identity((96, 96)), y, Noise(25 / 255))).x
    tv = max(
        psnr(torch.from_numpy(denoise_tv_chambolle(y.numpy(), weight=w)), x) for w in (0.1, 0.15, 0.2, 0.25)
    )
    assert psnr(restored, x) > tv


@pytest.mark.slow
def test_the_training_script_runs(tmp_path):
    script = Path(__file__).parents[3] / "examples" / "training" / "patches.py"
    small = ["--components", "2", "--patches", "500", "--iterations", "1", "-o", str(tmp_path / "out")]
    done = subprocess.run([sys.executable, str(script), *small], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert ig.priors.load(tmp_path / "out").components == 2


def test_saved_mixture_comes_back(tmp_path):
    prior, x = PatchMixture(spd(3, 16), WEIGHTS), normal(7, 8)
    path = tmp_path / "patches.safetensors"
    prior.save(path, data="none")
    assert ig.priors.about(path)["data"] == "none"
    again = ig.priors.load(path)
    # weights and factors are kept in single precision
    torch.testing.assert_close(again.covariances(), prior.covariances(), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(again.value(x), prior.value(x), rtol=1e-4, atol=0)
    assert [file.name for file in tmp_path.iterdir()] == ["patches.safetensors"]


def test_files_that_hold_no_mixture_are_refused(tmp_path):
    path, factors, weights = tmp_path / "file", torch.ones(2, 36), torch.ones(2)
    for tensors, header in (
        ({"factors": factors}, {"patch": 3}),
        ({"factors": factors, "weights": weights}, {"patch": 4}),
        ({"factors": factors, "weights": weights}, {"patch": 99999999}),
        ({"factors": factors, "weights": weights}, {"patch": "three"}),
        ({"factors": factors, "weights": weights}, {}),
        ({"factors": factors * torch.nan, "weights": weights}, {"patch": 3}),
        ({"factors": factors, "weights": -weights}, {"patch": 3}),
        ({"factors": factors, "weights": torch.ones(3)}, {"patch": 3}),
    ):
        write(path, "patches", tensors, header)
        with pytest.raises(ig.errors.InvgenError):
            ig.priors.load(path)


def test_what_does_not_fit_is_refused():
    prior = PatchMixture(spd(3, 9), WEIGHTS)
    with pytest.raises(ig.errors.ShapeError, match="p\\^2"):
        PatchMixture(spd(3, 8), WEIGHTS)
    with pytest.raises(ig.errors.ParameterError, match="variance in each direction"):
        PatchMixture(torch.zeros(1, 9, 9), [1.0])
    with pytest.raises(ig.errors.ShapeError, match="at least 3 x 3"):
        prior.restore(torch.zeros(2, 9), 0.1)
    with pytest.raises(ig.errors.ParameterError, match="sigma"):
        prior.restore(torch.zeros(9, 9), 0.0)
    with pytest.raises(ig.errors.DataError, match="NaN"):
        prior.value(torch.full((9, 9), torch.nan))
    with pytest.raises(ig.errors.CapabilityError, match="Patchwise"):
        EPLL(ig.priors.TotalVariation())
    with pytest.raises(ig.errors.ParameterError, match="betas"):
        EPLL(prior, betas=(1.0, -1.0))
    with pytest.raises(ig.errors.ParameterError, match="stride"):
        EPLL(prior, stride=4)
    with pytest.raises(ig.errors.CapabilityError, match="Poisson"):
        EPLL(prior)(ig.Problem(Identity((5, 5)), torch.ones(5, 5), Poisson()))
    with pytest.raises(ig.errors.DataError, match="nothing to learn"):
        PatchMixture.fit([torch.ones(9, 9)], 3, 2, patches=10)
    with pytest.raises(ig.errors.ShapeError, match="Photographs"):
        PatchMixture.fit([torch.ones(9, 9, 3)], 4, 2, patches=10)
