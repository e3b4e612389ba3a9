"""Statistics against closed forms of Gaussian priors, linear generators and real compressors."""

import bz2
import io
import math

import pytest
import torch
from PIL import Image
from sklearn.covariance import EmpiricalCovariance
from torch import nn

import invgen as ig
from invgen.core.errors import CapabilityError, DataError, DtypeError, FileError, ParameterError, ShapeError
from invgen.plausibility.anomaly import (
    STATISTICS,
    BatchTypicality,
    InputComplexity,
    LikelihoodRatio,
    LogLikelihood,
    ReconstructionError,
    ScoreNorms,
    SymmetryAndStates,
    SymmetryRatio,
    Typicality,
)
from invgen.plausibility.anomaly.ratios import COMPRESSORS, code_lengths, mutated
from invgen.priors import ContextTable, Gaussian, ImageFormat

SHAPE = (4, 5)
STD = 0.5


def draws(n, seed, std=STD):
    return std * torch.randn(n, *SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def levels(n, seed, shape=SHAPE):
    """Images of 8 bits whose neighbors are alike."""
    steps = torch.randint(-9, 10, (n, *shape), generator=torch.Generator().manual_seed(seed))
    return (128 + steps.cumsum(-1)).clamp(0, 255).float() / 255


PRIOR = Gaussian(torch.zeros(SHAPE, dtype=torch.float64), STD**2)
#: Entropy of the Gaussian.
ENTROPY = 20 / 2 * math.log(2 * math.pi * math.e * STD**2)


def test_log_likelihood_is_that_of_a_gaussian():
    x = draws(7, 0)
    wanted = x.flatten(1).square().sum(1) / (2 * STD**2) + 20 / 2 * math.log(2 * math.pi * STD**2)
    torch.testing.assert_close(LogLikelihood().values(PRIOR, x), wanted)


def test_typicality_is_the_distance_from_the_entropy():
    fitted = Typicality().fitted(PRIOR, draws(20_000, 1))
    # the standard deviation of -log p is sqrt(10) nats
    assert abs(fitted.entropy - ENTROPY) < 4 * math.sqrt(10 / 20_000)
    x = torch.zeros(1, *SHAPE, dtype=torch.float64)
    assert float(Typicality(ENTROPY).values(PRIOR, x)[0]) == pytest.approx(10.0)  # the mode is not typical
    few = torch.stack([draws(6, 2), draws(6, 3)])
    mean = LogLikelihood().values(PRIOR, few.flatten(0, 1)).reshape(2, 6).mean(1)
    found = BatchTypicality(6, ENTROPY).values(PRIOR, few)
    torch.testing.assert_close(found, (mean - ENTROPY).abs())


def test_a_group_shows_what_one_image_does_not():
    """A standard deviation that is 20 % too large: certain from 30 images, not from one."""
    wide = draws(30, 4, 1.2 * STD)
    one, many = Typicality(ENTROPY), BatchTypicality(30, ENTROPY)
    singles = one.values(PRIOR, draws(300, 5)), one.values(PRIOR, wide)
    groups = many.values(PRIOR, draws(600, 6).reshape(20, 30, *SHAPE)), many.values(PRIOR, wide[None])
    assert float((singles[0] > singles[1].median()).double().mean()) > 0.1
    assert bool((groups[0] < groups[1]).all())


def test_the_likelihood_ratio_of_two_gaussians_is_quadratic():
    background = Gaussian(torch.zeros(SHAPE, dtype=torch.float64), 1.0)
    x = draws(5, 0)
    squares = x.flatten(1).square().sum(1)
    wanted = squares / 2 * (1 / STD**2 - 1) + 20 * math.log(STD)
    torch.testing.assert_close(LikelihoodRatio(background).values(PRIOR, x), wanted)


def test_the_background_is_fitted_to_mutated_images():
    images = levels(60, 0)
    prior = ContextTable.fit(levels(60, 1))
    fitted = LikelihoodRatio(mutation=0.3, seed=5).fitted(prior, images)
    changed = mutated(images, 0.3, (0.0, 1.0), 256, 5)
    same = ContextTable.fit(changed)
    torch.testing.assert_close(
        fitted.values(prior, images), same.log_prob(images).double() - prior.log_prob(images).double()
    )
    replaced = float((changed != images).double().mean())
    assert abs(replaced - 0.3 * 255 / 256) < 4 * math.sqrt(0.3 * 0.7 / images.numel())
    assert LikelihoodRatio(prior).fitted(prior, images).background is prior


def test_lengths_are_those_of_the_files():
    images = levels(3, 0, (16, 12))
    pixels = (images * 255).round().byte().numpy()

    def png(array):
        file = io.BytesIO()
        Image.fromarray(array).save(file, format="PNG", optimize=True)
        return 8 * len(file.getvalue())

    unit = ImageFormat((16, 12), field="real", value_range=(0.0, 1.0))
    empty = 0 * pixels[0]
    wanted = [png(array) - png(empty) for array in pixels]
    assert code_lengths(images, unit, ("png",)).tolist() == wanted
    short = [
        8 * (len(bz2.compress(array.tobytes())) - len(bz2.compress(empty.tobytes()))) for array in pixels
    ]
    both = code_lengths(images, unit, ("png", "bz2")).tolist()
    assert both == [min(pair) for pair in zip(wanted, short, strict=True)]


@pytest.mark.parametrize("name", COMPRESSORS)
def test_every_compressor_finds_constants_simple_and_noise_not(name):
    unit = ImageFormat((3, 16, 16), 3, "real", (0.0, 1.0))
    noise = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    found = code_lengths(torch.cat([torch.full_like(noise, 0.5), noise]), unit, (name,))
    assert abs(float(found[0])) < 0.05 * 8 * 768
    assert float(found[1]) > 0.9 * 8 * 768


def test_input_complexity_is_bits_less_bits():
    images, prior = levels(4, 0), ContextTable.fit(levels(60, 1))
    bits = -prior.log_prob(images).double() / math.log(2)
    found = InputComplexity(("png",)).values(prior, images)
    torch.testing.assert_close(found, bits - code_lengths(images, prior.image_format, ("png",)))


def test_score_norms_are_distances_of_the_logarithms():
    """Against scikit-learn's Mahalanobis distance; a denoiser of a Gaussian has them in closed form."""
    prior = Gaussian(torch.zeros(SHAPE).double(), torch.linspace(0.01, 2.0, 20).double().reshape(SHAPE))
    sigmas = (0.1, 0.5, 2.0)
    fitted = ScoreNorms(sigmas).fitted(prior, prior.sample(200, seed=0))
    x = prior.sample(9, seed=1000)
    logs = [
        torch.stack([(s * prior.score(y, s)).flatten(1).norm(dim=1).log() for s in sigmas], dim=1)
        for y in (prior.sample(200, seed=0), x)
    ]
    wanted = EmpiricalCovariance().fit(logs[0].numpy()).mahalanobis(logs[1].numpy()) * 199 / 200
    torch.testing.assert_close(fitted.values(prior, x), torch.from_numpy(wanted), rtol=1e-4, atol=1e-6)
    one = ScoreNorms((0.3,)).fitted(PRIOR, draws(500, 0))
    assert one.cloud.mean[0] == pytest.approx(
        float((draws(500, 0).flatten(1).norm(dim=1) * 0.3 / (0.3**2 + STD**2)).log().mean())
    )


def test_the_nearest_image_of_a_linear_generator_is_the_projection():
    torch.manual_seed(0)
    matrix = torch.linalg.qr(torch.randn(20, 3, dtype=torch.float64)).Q
    decoder = nn.Sequential(nn.Linear(3, 20, bias=False).double(), nn.Unflatten(1, SHAPE))
    decoder[0].weight.data = matrix
    prior = ig.priors.from_module(decoder, (3,), value_range=(-4.0, 4.0))
    x = draws(6, 0)
    off = x.flatten(1) - x.flatten(1) @ matrix @ matrix.T
    found = ReconstructionError(steps=400).values(prior, x)
    torch.testing.assert_close(found, off.square().sum(1) / 16, rtol=1e-3, atol=1e-6)


def test_the_error_of_a_denoiser_is_that_of_the_wiener_filter():
    """E |D(x + n) - x|^2 with D shrinking by w is (1 - w)^2 |x|^2 + w^2 sigma^2 N."""
    x, sigma = draws(3, 0), 0.7
    w = STD**2 / (STD**2 + sigma**2)
    found = ReconstructionError(sigma=sigma, draws=2000).values(PRIOR, x)
    wanted = (1 - w) ** 2 * x.flatten(1).square().sum(1) + w**2 * sigma**2 * 20
    torch.testing.assert_close(found, wanted, rtol=0.03, atol=0)


def test_an_autoencoder_reconstructs():
    prior = ig.priors.VAE.untrained((8, 8), latent=2, widths=(4,), blocks=1)
    x = levels(3, 0, (8, 8))
    wanted = 4 * (prior.reconstruct(x) - x).double().flatten(1).square().sum(1)  # half width 1/2
    torch.testing.assert_close(ReconstructionError().values(prior, x), wanted, rtol=1e-5, atol=1e-7)


NAMED = {"name": "log-likelihood", "settings": {}}
FITTED = {"statistics": [NAMED], "points": [[1.0, 2.0]]}
DENSITY = ContextTable.fit(levels(60, 1))
CASES = {
    "log-likelihood": (LogLikelihood(), DENSITY),
    "typicality": (Typicality(), DENSITY),
    "likelihood-ratio": (LikelihoodRatio(), DENSITY),
    "input-complexity": (InputComplexity(), DENSITY),
    "symmetry-and-states": (SymmetryAndStates(), DENSITY),
    "score-norms": (ScoreNorms((0.1, 1.0)), PRIOR),
    "reconstruction-error": (ReconstructionError(), PRIOR),
}


@pytest.mark.parametrize("name", CASES)
def test_a_value_does_not_depend_on_the_other_images(name, monkeypatch):
    statistic, prior = CASES[name]
    fitted = statistic.fitted(prior, levels(50, 2).double())
    x = levels(5, 3).double()
    whole = fitted.values(prior, x)
    assert whole.shape == (5,)
    assert whole.dtype == torch.float64
    alone = torch.cat([fitted.values(prior, each[None]) for each in x])
    torch.testing.assert_close(whole, alone, rtol=1e-9, atol=1e-9)
    monkeypatch.setattr("invgen.plausibility.anomaly.base._PIXELS", 40)
    torch.testing.assert_close(whole, fitted.values(prior, x), rtol=1e-9, atol=1e-9)
    assert fitted.values(prior, x[:0]).shape == (0,)


@pytest.mark.parametrize(
    "statistic",
    [LogLikelihood(), InputComplexity(), SymmetryRatio(), ScoreNorms((0.1, 1.0)), ReconstructionError()],
    ids=lambda each: each.name,
)
def test_complex_images_have_statistics(statistic):
    """Those of the modulus and phase together: a turned phase changes nothing under a centered Gaussian."""
    prior = Gaussian(torch.zeros(4, 4, dtype=torch.complex128), 0.25)
    x = prior.sample(30, seed=0)
    fitted = statistic.fitted(prior, x[5:])
    found = fitted.values(prior, x[:5])
    assert bool(torch.isfinite(found).all())
    if statistic.name in ("log-likelihood", "score-norms"):
        torch.testing.assert_close(fitted.values(prior, x[:5] * 1j), found)


class Smoothing:
    """A denoiser that turns with the image, as it averages over neighbors; unless it has a slant."""

    def __init__(self, shape, slant=0.0):
        self.image_format = ImageFormat(shape, field="real", value_range=(-1.0, 1.0))
        self._slant = slant

    def denoise(self, x, sigma):
        neighbors = sum(x.roll(step, axis) for step in (1, -1) for axis in (-2, -1))
        return (x + neighbors + self._slant * x.roll(1, -1)) / (5 + self._slant)


@pytest.mark.parametrize("shape", [(6, 6), (4, 6)])
def test_a_denoiser_that_turns_with_the_image_prefers_none(shape):
    """Although errors of denoising are random: the noise turns, too."""
    x = levels(5, 0, shape).double()
    alike = SymmetryRatio().values(Smoothing(shape), x)
    torch.testing.assert_close(alike, torch.zeros(5, dtype=torch.float64), rtol=0, atol=1e-9)
    other = SymmetryRatio().values(Smoothing(shape, slant=1.0), x)
    assert bool((other.abs() > 1e-6).all())


def test_an_estimated_density_has_the_same_random_numbers_for_each_image():
    class Estimated:
        image_format = ImageFormat(SHAPE, field="real", value_range=(0.0, 1.0))
        log_prob_kind = "estimate"

        def log_prob(self, x):
            noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=x.dtype)
            return (x * noise).flatten(1).sum(1)

    x = levels(4, 0)
    found = LogLikelihood().values(Estimated(), x.flip(0))
    assert torch.equal(found.flip(0), LogLikelihood().values(Estimated(), x))


@pytest.mark.parametrize(
    ("images", "error", "words"),
    [
        (torch.zeros(2, 5, 4), ShapeError, r"\(4, 5\)"),
        (torch.zeros(4, 5), ShapeError, "2 axes each"),
        (torch.zeros(1, 2, 4, 5), ShapeError, "2 axes each"),
        (torch.zeros(2, 4, 5, dtype=torch.uint8), DtypeError, "uint8"),
        (torch.zeros(2, 4, 5, dtype=torch.complex64), DtypeError, "real"),
        (torch.full((2, 4, 5), 128.0), DataError, "from 0 to 1"),
        (torch.full((2, 4, 5), -0.1), DataError, "-0.1"),
        (torch.full((2, 4, 5), math.nan), DataError, "NaN"),
    ],
)
def test_other_images_than_the_priors_are_refused(images, error, words):
    with pytest.raises(error, match=words):
        LogLikelihood().values(DENSITY, images)


def test_priors_without_the_capability_are_refused():
    with pytest.raises(CapabilityError, match="log_prob"):
        LogLikelihood().values(ig.priors.TotalVariation(), torch.zeros(1, 4, 5))
    with pytest.raises(CapabilityError, match="denoise"):
        ScoreNorms((0.1,)).fitted(DENSITY, levels(9, 0))


def test_statistics_are_fitted_before_they_are_used():
    for statistic in (Typicality(), BatchTypicality(1 + 1), LikelihoodRatio()):
        with pytest.raises(ParameterError, match="fitted"):
            statistic.values(DENSITY, levels(2, 0)[None] if statistic.group > 1 else levels(2, 0))
    with pytest.raises(ShapeError, match="groups of 3"):
        BatchTypicality(3, 0.0).values(DENSITY, levels(3, 0))
    with pytest.raises(ShapeError, match="at least 4 images"):
        ScoreNorms((0.1, 1.0)).fitted(PRIOR, draws(3, 0))
    with pytest.raises(DataError, match="the same for all"):
        ScoreNorms((0.1, 1.0)).fitted(PRIOR, torch.zeros(9, *SHAPE, dtype=torch.float64))


@pytest.mark.parametrize(
    "build",
    [
        lambda: LogLikelihood("low"),
        lambda: BatchTypicality(1),
        lambda: LikelihoodRatio(mutation=0.0),
        lambda: LikelihoodRatio(side="low"),
        lambda: InputComplexity(("rar",)),
        lambda: InputComplexity(()),
        lambda: InputComplexity(side="low"),
        lambda: ScoreNorms((0.0,)),
        lambda: ReconstructionError(sigma=0.0),
        lambda: ReconstructionError(draws=0),
        lambda: ReconstructionError(side="low"),
    ],
)
def test_settings_that_make_no_sense_are_refused(build):
    with pytest.raises(ParameterError):
        build()


@pytest.mark.parametrize("name", sorted(set(CASES) - {"likelihood-ratio"}))
def test_headers_hold_settings_and_what_was_estimated(name):
    import json

    statistic, prior = CASES[name]
    fitted = statistic.fitted(prior, levels(50, 2).double())
    assert STATISTICS[name].from_header(json.loads(json.dumps(fitted.header()))) == fitted


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("typicality", None),
        ("typicality", {"entrop": 3.0}),
        ("score-norms", {"sigmas": [1.0], "cloud": {"mean": [1.0], "covariance": [[-1.0]]}}),
        ("score-norms", {"sigmas": [1.0], "cloud": {"mean": [1.0, 2.0], "covariance": [[1.0]]}}),
        ("score-norms", {"sigmas": [1.0, 2.0], "cloud": {"mean": [1.0], "covariance": [[1.0]]}}),
        ("score-norms", {"sigmas": "high"}),
        ("score-norms", {"sigmas": [10**400]}),
        ("typicality", {"entropy": "high"}),
        ("reconstruction-error", {"draws": 10**9}),
        ("likelihood-ratio", {"background": 3}),
        ("input-complexity", {"compressors": ["rar"]}),
        ("density-of-states", {"statistics": []}),
        ("density-of-states", {"statistics": [{"name": ["log-likelihood"]}]}),
        (
            "density-of-states",
            {"statistics": [NAMED], "points": [[1, 1]]},
        ),
        (
            "density-of-states",
            {"statistics": [NAMED], "points": [["a"]]},
        ),
        ("density-of-states", {"points": [[1.0, 2.0]]}),
        ("density-of-states", {"statistics": [NAMED], "points": [[[1.0], [2.0]]]}),
        ("symmetry-and-states", {"states": 3}),
        ("symmetry-and-states", {"usual": 1.0}),
        ("symmetry-and-states", {"states": FITTED, "ratios": [1.0, 2.0], "usual": "high"}),
        ("symmetry-and-states", {"states": FITTED, "ratios": [1.0, 2.0], "usual": math.nan}),
        ("symmetry-and-states", {"states": FITTED, "ratios": [1.0, 1.0], "usual": 1.0}),
        ("symmetry-and-states", {"states": FITTED, "ratios": [], "usual": 1.0}),
        ("symmetry-and-states", {"states": FITTED, "ratios": ["a", "b"], "usual": 1.0}),
    ],
)
def test_headers_of_something_else_are_refused(name, entry):
    with pytest.raises(FileError, match=name):
        STATISTICS[name].from_header(entry)
