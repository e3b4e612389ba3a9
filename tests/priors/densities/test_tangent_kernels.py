"""Kernels along tangent vectors: against explicit matrices, and against images that are really deformed."""

import math

import numpy as np
import pytest
import torch
from scipy.fft import dct
from scipy.stats import multivariate_normal

import invgen as ig
from invgen.noise import Gaussian as Noise
from invgen.operators import MatrixOperator
from invgen.plausibility import BayesClassifier
from invgen.priors import GaussianMixture, KernelDensity, TangentKernelDensity
from invgen.priors.densities.tangents import tangent_vectors

SHAPE, SIZE, K = (4, 5), 20, 3
BANDWIDTH, DEFORMATION, CONTRAST, BLUR = 0.3, 0.7, 0.2, 0.6


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


DATA = normal(K, *SHAPE)
PRIOR = TangentKernelDensity(DATA, BANDWIDTH, DEFORMATION, CONTRAST, BLUR)


def matrices():
    """Covariances by the definition: of deformations, and of noise that is white after the blur."""
    bases = [torch.from_numpy(dct(np.eye(n), axis=0, norm="ortho")) for n in SHAPE]
    gains = [torch.exp(-(BLUR**2) / 2 * (math.pi * torch.arange(n).double() / n) ** 2) for n in SHAPE]
    B = torch.kron(*(C.mT @ torch.diag(g) @ C for C, g in zip(bases, gains, strict=True)))
    T = tangent_vectors(DATA, BLUR).flatten(2)
    widths = torch.tensor([DEFORMATION] * 7 + [CONTRAST], dtype=torch.float64)
    inverse = torch.linalg.inv(B)
    return (T.mT * widths**2) @ T + BANDWIDTH**2 * inverse @ inverse.mT


EXPLICIT = GaussianMixture(DATA, matrices())


@pytest.mark.parametrize("sigma", [None, 0.4])
def test_density_is_the_mean_of_scipys(sigma):
    x = normal(5, *SHAPE, seed=1)
    C = matrices().numpy() + (sigma or 0) ** 2 * np.eye(SIZE)
    each = [
        multivariate_normal(m.flatten().numpy(), c).logpdf(x.flatten(1).numpy())
        for m, c in zip(DATA, C, strict=True)
    ]
    expected = np.logaddexp.reduce(each, 0) - math.log(K)
    np.testing.assert_allclose(PRIOR.log_prob(x, sigma), expected, rtol=1e-9)


@pytest.mark.parametrize("sigma", [0.05, 0.5, 20.0, "each"])
def test_denoiser_and_score_are_those_of_the_matrices(sigma):
    x = normal(2, 3, *SHAPE, seed=2)
    sigma = 0.1 + normal(2, 3, seed=3).abs().round(decimals=1) if sigma == "each" else sigma
    for method in ("denoise", "score", "responsibilities", "log_prob"):
        ours, theirs = (getattr(prior, method)(x, sigma) for prior in (PRIOR, EXPLICIT))
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-10)


def test_gradients_are_those_of_finite_differences():
    x = normal(2, *SHAPE, seed=4).requires_grad_()
    assert torch.autograd.gradcheck(PRIOR.log_prob, x)
    assert torch.autograd.gradcheck(lambda x: PRIOR.denoise(x, 0.3), x)


def test_posterior_and_moments_are_those_of_the_matrices():
    torch.testing.assert_close(PRIOR.covariances.matrices(), matrices())
    torch.testing.assert_close(PRIOR.covariance(), EXPLICIT.covariance())
    assert PRIOR.image_format.std == pytest.approx(EXPLICIT.image_format.std)
    problem = ig.Problem(MatrixOperator(normal(4, SIZE, seed=5), SHAPE), normal(4, seed=6), Noise(0.3))
    ours, theirs = PRIOR.posterior(problem), EXPLICIT.posterior(problem)
    torch.testing.assert_close(ours.means, theirs.means)
    torch.testing.assert_close(ours.weights, theirs.weights)


def test_samples_have_mean_and_covariance():
    m = 20_000
    r = (PRIOR.sample(m, seed=0) - PRIOR.mean()).flatten(1)
    C = PRIOR.covariance()
    d = C.diagonal()
    # five standard errors of Gaussian images
    assert bool(((r.T @ r / m - C).abs() < 5 * (torch.outer(d, d) + C**2).sqrt() / m**0.5).all())
    assert bool((r.mean(0).abs() < 5 * (d / m).sqrt()).all())


def test_channels_are_deformed_together():
    """Gray as three equal channels has the tangent vectors of gray in each."""
    gray = normal(2, 6, 7)
    T = tangent_vectors(gray[:, None].expand(-1, 3, -1, -1), 0.5)
    torch.testing.assert_close(T, tangent_vectors(gray, 0.5)[:, :, None].expand(-1, -1, 3, -1, -1))
    prior = TangentKernelDensity(normal(4, 3, 6, 7), 0.3)
    x = normal(2, 3, 6, 7, seed=1)
    explicit = GaussianMixture(prior.means, prior.covariances.matrices())
    torch.testing.assert_close(prior.log_prob(x), explicit.log_prob(x), rtol=1e-9, atol=0)


def test_without_deformations_and_blur_it_is_the_kernel_density():
    x = normal(5, *SHAPE, seed=7)
    prior = TangentKernelDensity(DATA, 0.5, 1e-7, 1e-7, blur=0)
    torch.testing.assert_close(prior.log_prob(x), KernelDensity(DATA, 0.5).log_prob(x), rtol=1e-9, atol=0)


def test_batches_of_no_images_and_blocks(monkeypatch):
    x, sigma = normal(7, *SHAPE, seed=8), 0.2 + normal(7, seed=9).abs()
    assert PRIOR.log_prob(x[:0]).shape == (0,)
    assert PRIOR.denoise(x[:0], 0.1).shape == (0, *SHAPE)
    whole = PRIOR.log_prob(x), PRIOR.denoise(x, sigma)
    monkeypatch.setattr("invgen.priors.densities.tangent_kernels._BLOCK", 50)
    monkeypatch.setattr("invgen.priors.densities.tangent_kernels._TOGETHER", 2)
    parts = TangentKernelDensity(DATA, BANDWIDTH, DEFORMATION, CONTRAST, BLUR)
    torch.testing.assert_close((parts.log_prob(x), parts.denoise(x, sigma)), whole, rtol=1e-11, atol=1e-11)


def stroke(matrix=((1.0, 0.0), (0.0, 1.0)), shift=(0.0, 0.0), width=2.0, size=28):
    """A Gaussian blob, long, sheared and off center, whose points are moved by a linear map and a shift."""
    at = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    points = torch.stack(torch.meshgrid(at, at, indexing="ij"), -1)
    linear = torch.linalg.inv(torch.tensor(matrix, dtype=torch.float64))
    before = (points - torch.tensor(shift, dtype=torch.float64)) @ linear.mT
    p, q = before[..., 0] - 1.0, before[..., 1] + 2.0
    return torch.exp(-((p + 0.3 * q) ** 2) / (2 * width**2) - q**2 / (2 * 4 * width**2))


def test_tangent_vectors_are_derivatives_of_images_that_are_moved():
    """Along each motion of the points; but for the blur of the derivative, a few percent."""
    size, width = 64, 4.0
    image = stroke(width=width, size=size)
    T = tangent_vectors(image[None], 0.3)[0]
    unit, h = math.sqrt((size**2 - 1) / 12), 1e-5
    eye = torch.eye(2, dtype=torch.float64)
    motions = [(eye, (1.0, 0.0)), (eye, (0.0, 1.0))]
    motions += [(torch.outer(eye[i], eye[j]) / unit, (0.0, 0.0)) for j in range(2) for i in range(2)]
    for tangent, (direction, shift) in zip(T, motions, strict=False):
        linear = direction if shift == (0.0, 0.0) else torch.zeros(2, 2).double()
        ends = [
            stroke((eye + s * h * linear).tolist(), tuple(s * h * each for each in shift), width, size)
            for s in (1, -1)
        ]
        # points move along the field, so that the image changes by minus its slope along it
        expected = -(ends[0] - ends[1]) / (2 * h)
        assert float((tangent - expected).norm() / expected.norm()) < 0.04
    slope = torch.linalg.vector_norm(T[:2], dim=0)
    torch.testing.assert_close(T[6], slope)
    assert torch.equal(T[7], image)


def test_derivatives_are_exact_on_planes_away_from_the_edge():
    row, column = torch.meshgrid(torch.arange(20.0).double(), torch.arange(24.0).double(), indexing="ij")
    for blur in (0.3, 0.7, 1.0):
        T = tangent_vectors((2 * row - 3 * column)[None], blur)[0, :, 8:-8, 8:-8]
        torch.testing.assert_close(T[0], torch.full_like(T[0], 2.0), rtol=1e-9, atol=0)
        torch.testing.assert_close(T[1], torch.full_like(T[1], -3.0), rtol=1e-9, atol=0)


def test_a_deformed_image_is_likelier_than_another_as_far_away():
    image, angle = stroke(), 0.1
    turned = stroke([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], (0.3, -0.4))
    away = (turned - image).norm()
    # something new beside it
    spot = stroke(shift=(9.0, 9.0))
    other = image + away * spot / spot.norm()
    prior = TangentKernelDensity(image[None], 0.1)
    kernels = KernelDensity(torch.stack([image, image]), 0.1)
    torch.testing.assert_close(kernels.log_prob(turned), kernels.log_prob(other))
    assert float(prior.log_prob(turned) - prior.log_prob(other)) > 20


def test_what_makes_no_density_is_refused():
    for arguments, error, words in (
        ((DATA[0], 0.3), ig.errors.ShapeError, "n, H, W"),
        ((DATA[:0], 0.3), ig.errors.ShapeError, "n, H, W"),
        ((DATA.long(), 0.3), ig.errors.DtypeError, "real images"),
        ((DATA + 0j, 0.3), ig.errors.DtypeError, "real images"),
        ((DATA * math.nan, 0.3), ig.errors.DataError, "NaN"),
        ((DATA, 0.0), ig.errors.ParameterError, "bandwidth"),
        ((DATA, math.inf), ig.errors.ParameterError, "bandwidth"),
        ((DATA, "silverman"), ig.errors.ParameterError, "bandwidth is a positive number; got 'silverman'"),
        ((DATA, None), ig.errors.ParameterError, "bandwidth"),
        ((DATA, torch.full((2,), 0.3)), ig.errors.ParameterError, "bandwidth"),
        ((DATA, 0.3, "1"), ig.errors.ParameterError, "deformation"),
        ((DATA, 0.3, -1.0), ig.errors.ParameterError, "deformation"),
        ((DATA, 0.3, 1.0, math.nan), ig.errors.ParameterError, "contrast"),
        ((DATA, 0.3, 1.0, 0.3, "0"), ig.errors.ParameterError, "blur"),
        ((DATA, 0.3, 1.0, 0.3, 3.0), ig.errors.ParameterError, "blur"),
    ):
        with pytest.raises(error, match=words):
            TangentKernelDensity(*arguments)


@pytest.mark.cases_are_slow
@pytest.mark.parametrize(("learned", "most"), [(800, 0.1), (6000, 0.045)])
def test_digits_are_told_apart_better_than_by_round_kernels(measured_file, learned, most):
    """The last of the test digits by some of the first."""
    images = ig.io.read_images(measured_file("digits/mnist8k-images-idx3-ubyte.gz"))
    x = torch.stack([torch.from_numpy(each) for each in images]).float()
    labels = torch.from_numpy(ig.io.read_labels(measured_file("digits/mnist8k-labels-idx1-ubyte.gz"))).long()
    known = [x[:learned][labels[:learned] == k] for k in range(10)]
    test, truth = x[-learned // 4 :], labels[-learned // 4 :]
    errors = [
        float((BayesClassifier(priors).classify(test) != truth).double().mean())
        for priors in (
            [TangentKernelDensity(each, 0.15) for each in known],
            [KernelDensity(each, 0.15) for each in known],
        )
    ]
    assert errors[0] < most
    assert errors[0] < errors[1]
