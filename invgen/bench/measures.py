"""What is measured of a reconstruction, each with its definition, unit and direction.

PSNR and SSIM of one image differ by several dB between packages: by the peak that the error is compared with,
and by the window. Both definitions in use are measured, under different names.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from invgen.certification.measures import rank
from invgen.core.checks import nonfinite
from invgen.core.errors import DataError, ShapeError
from invgen.core.fingerprint import fingerprint
from invgen.core.moments import moments
from invgen.core.space import IMAGE_AXES
from invgen.metrics import ssim
from invgen.problem import Problem
from invgen.reconstruction import Reconstruction

__all__ = ["MEASURES", "Instance", "Measure", "as_reconstruction", "measure", "shown"]


@dataclass(frozen=True)
class Measure:
    """A measure of quality: its name, its definition, and which values are good.

    Attributes
    ----------
    title : str
        As tables head it, with the unit.
    definition : str
        In a sentence, with the source.
    better : str
        "higher", "lower", "one" (closest to one), or the probability that is right, such as "0.9"; "uniform"
        for what says something only together with others, from 0 to 1 and uniform if the sampler is right; ""
        for what is neither good nor bad.
    digits : int
        Digits after the point.
    """

    title: str
    definition: str
    better: str
    digits: int = 3

    @property
    def is_ranked(self) -> bool:
        """Whether some values are better than others."""
        return self.better not in ("", "uniform")

    def distance(self, value: float) -> float:
        """How bad a value is: what is smaller is better; zero where no value is better than others."""
        if not self.is_ranked:
            return 0.0
        if self.better in ("higher", "lower"):
            return -value if self.better == "higher" else value
        return abs(value - (1.0 if self.better == "one" else float(self.better)))


#: All of them, by name. Of complex images the modulus counts.
MEASURES: dict[str, Measure] = {
    "psnr": Measure(
        "PSNR / dB",
        "peak_signal_noise_ratio of scikit-image: 10 log10(range^2 / mean squared error), the range being "
        "that which images of the suite can have",
        "higher",
        2,
    ),
    "psnr_fastmri": Measure(
        "PSNR (fastMRI) / dB",
        "the same with the largest value of the truth's volume for the range (Zbontar et al. 2018, "
        "fastmri.evaluate)",
        "higher",
        2,
    ),
    "ssim": Measure(
        "SSIM",
        "structural similarity of Wang et al. (2004): Gaussian window of 1.5 pixels, population covariance, "
        "the same range as PSNR (scikit-image)",
        "higher",
    ),
    "ssim_fastmri": Measure(
        "SSIM (fastMRI)",
        "structural similarity in square windows of 7 pixels, the range being the largest value of the "
        "truth's volume (Zbontar et al. 2018, fastmri.evaluate)",
        "higher",
    ),
    "nmse": Measure("NMSE", "|x - truth|^2 / |truth|^2", "lower", 5),
    "mse": Measure("error per pixel", "mean of |x - truth|^2 over the pixels", "lower", 5),
    "consistency": Measure(
        "misfit / noise",
        "|A x - y| over what noise alone would give at the truth: below one noise is fitted, above one data "
        "are missed; of other noise models the root of the deviance",
        "one",
    ),
    "lpips": Measure(
        "LPIPS",
        "learned perceptual image patch similarity by AlexNet (Zhang et al. 2018), of torchmetrics",
        "lower",
    ),
    "coverage_50": Measure(
        "50 % coverage", "part of the pixels whose truth is within the 50 % credible interval", "0.5"
    ),
    "coverage_90": Measure(
        "90 % coverage", "part of the pixels whose truth is within the 90 % credible interval", "0.9"
    ),
    "crps": Measure(
        "CRPS",
        "continuous ranked probability score, mean over pixels, by the estimator that is fair to few "
        "samples (Ferro 2014), in units of the image",
        "lower",
        5,
    ),
    "spread": Measure(
        "spread / error",
        "root mean variance of a sample and of the mean of all, over the root mean square error of that "
        "mean (Fortin et al. 2014)",
        "one",
    ),
    "rank": Measure(
        "rank",
        "rank of the truth among the samples along a random line, from 0 to 1: uniform for a sampler that "
        "is right (simulation-based calibration, Talts et al. 2018)",
        "uniform",
    ),
    "tarp": Measure(
        "TARP",
        "part of the samples that are closer to a random reference image than the truth: uniform for a "
        "sampler that is right (Lemos et al. 2023)",
        "uniform",
    ),
    # of posteriors that are known, see `invgen.certification.Figures`
    "wasserstein": Measure(
        "distance",
        "sliced Wasserstein-1 distance of the samples from exact ones, in units of the image",
        "lower",
    ),
    "floor": Measure("floor", "the same of exact samples from others, of the same number", ""),
    "excess": Measure(
        "excess", "distance over that of exact samples: one cannot be told from exact", "one", 2
    ),
    "mean_bias": Measure(
        "bias", "bias of the mean in posterior standard deviations, root mean square over pixels", "lower"
    ),
    "variance_ratio": Measure(
        "variance", "variance over that of the posterior, mean over pixels and measurements", "one"
    ),
    "variance_error": Measure(
        "variance, error", "root mean square, over pixels, of how far that ratio is from one", "lower"
    ),
    "mmse_gap": Measure(
        "error of the mean / dB",
        "mean squared error of the samples' mean over that of the posterior's, in dB, averaged over the "
        "measurements (Zach et al. 2026): zero is the least possible",
        "lower",
        2,
    ),
    "calibration": Measure(
        "ranks, p",
        "probability of ranks of the truths as far from uniform as these or further, if the sampler is right",
        "",
    ),
    # of ranks, see `invgen.certification.Ranks`
    "sbc": Measure(
        "SBC, p",
        "probability of ranks as uneven as those of the most uneven statistic, if the sampler is right: "
        "chi-square tests of pixels, likelihood and prior density (Talts et al. 2018), times their number",
        "",
    ),
    "tarp_p": Measure(
        "TARP, p",
        "probability of an expected coverage as far from the diagonal (Lemos et al. 2023), if the sampler is "
        "right: above 0.05 it is in the simultaneous 95 % band",
        "",
    ),
    "tarp_gap": Measure(
        "TARP, gap", "largest distance of the expected coverage from the credible level", "lower"
    ),
    "rank_variance": Measure(
        "ranks, variance",
        "variance of the pixels' ranks over that of uniform ones: above one samples are too narrow or biased",
        "one",
        2,
    ),
    # of operators
    "forward_ms": Measure(
        "forward / ms", "shortest of repeated runs, taken in turns with invgen's", "lower", 2
    ),
    "adjoint_ms": Measure(
        "adjoint / ms", "shortest of repeated runs, taken in turns with invgen's", "lower", 2
    ),
    "gram_ms": Measure(
        "gram / ms",
        "adjoint of forward, in one call where the package has one; shortest of repeated runs, in turns",
        "lower",
        2,
    ),
    "forward_ratio": Measure("forward / invgen's", "time over that of invgen in the same turns", "lower", 2),
    "adjoint_ratio": Measure("adjoint / invgen's", "time over that of invgen in the same turns", "lower", 2),
    "gram_ratio": Measure("gram / invgen's", "time over that of invgen in the same turns", "lower", 2),
    "operator_error": Measure(
        "error",
        "relative l2 distance of the measurement from the reference that the suite's task names",
        "lower",
        7,
    ),
    "adjoint_error": Measure(
        "adjointness", "|<A x, y> - <x, A.H y>| / (|A x| |y|) for white noise x and y", "lower", 8
    ),
}


@dataclass(frozen=True)
class Instance:
    """A measured image, its truth, and what measures of quality need.

    Attributes
    ----------
    problem : Problem
        All that a method sees: a single one, without batch axes.
    truth : tensor, shape (*image)
    data_range : float
        Largest minus smallest value that images of the suite can have.
    volume_peak : float
        Largest modulus of the volume that the truth is a slice of.
    mask : bool tensor, optional
        Pixels that count, such as the disc that every view sees; SSIM counts all.
    """

    problem: Problem
    truth: Tensor
    data_range: float
    volume_peak: float
    mask: Tensor | None = None


def as_reconstruction(found: Any, instance: Instance) -> Reconstruction:
    """What a method returned, checked.

    Raises
    ------
    ShapeError, DataError
        For what is no image of the right shape, and for NaN or Inf.
    """
    result = found if isinstance(found, Reconstruction) else Reconstruction(torch.as_tensor(found))
    shape = tuple(instance.truth.shape)
    if tuple(result.x.shape) != shape:
        raise ShapeError(f"The result has the shape {tuple(result.x.shape)}; the image has {shape}.")
    if result.samples is not None and tuple(result.samples.shape[1:]) != shape:
        raise ShapeError(f"The samples have the shape {tuple(result.samples.shape)}, not (n, *{shape}).")
    for part in (result.x, result.samples):
        if part is not None and (bad := nonfinite(part, IMAGE_AXES)):
            raise DataError(f"The result has {bad}.")
    return result


def measure(result: Reconstruction, instance: Instance, seed: int) -> dict[str, float]:
    """All measures of a result.

    Parameters
    ----------
    result, instance
    seed : int
        Of the random line and of the reference image.

    Returns
    -------
    dict of str to float
        By their names in `MEASURES`; absent are those that a result or an image does not have.

    Raises
    ------
    DataError
        Where one is not finite, other than the PSNR of an image without error.
    """
    x, truth = shown(result.x), shown(instance.truth)
    kept = (
        torch.ones_like(truth, dtype=torch.bool) if instance.mask is None else instance.mask.expand_as(truth)
    )
    square, energy = (float(image[kept].square().mean()) for image in (x - truth, truth))
    found = {
        "psnr": _decibel(instance.data_range**2, square),
        "psnr_fastmri": _decibel(instance.volume_peak**2, square),
        "mse": square,
        "nmse": square / energy if energy > 0 else math.nan,
    }
    if min(truth.shape[-2:]) >= 11:
        found["ssim"] = float(ssim(x, truth, data_range=instance.data_range).mean())
        found["ssim_fastmri"] = _ssim_fastmri(x, truth, instance.volume_peak)
    expected = instance.problem.expected_misfit()
    if expected is not None:
        found["consistency"] = math.sqrt(float(instance.problem.misfit(result.x)) / float(expected))
    perceptual = _lpips()
    if perceptual is not None and min(truth.shape[-2:]) >= 64:
        found["lpips"] = perceptual(x, truth, instance.data_range)
    if result.samples is not None and len(result.samples) > 1:
        found |= _of_samples(result, instance, kept, seed)
    if bad := [name for name, value in found.items() if math.isnan(value) or value == -math.inf]:
        raise DataError(f"{', '.join(bad)} cannot be computed: not a number.")
    return found


def _of_samples(result: Reconstruction, instance: Instance, kept: Tensor, seed: int) -> dict[str, float]:
    assert result.samples is not None
    drawn, truth = shown(result.samples)[:, kept], shown(instance.truth)[kept]
    # whose numbers have nothing to do with those of the same seed that the samples came from
    generator = torch.Generator().manual_seed(int(fingerprint("line and reference", seed)[:12], 16))
    found = moments(drawn, result.antithetic)
    # ranks are among independent samples
    alone = drawn[::2] if result.antithetic else drawn
    error = (found.mean - truth).square().mean().sqrt()
    spread = (found.variance + found.of_mean).mean().sqrt()
    reference = instance.data_range * torch.rand(len(truth), generator=generator, dtype=torch.float64)
    closer = ((alone - reference).norm(dim=1) < (truth - reference).norm()).double().mean()
    crps = _crps(drawn, truth, result.antithetic)
    return {
        **{f"coverage_{level:.0f}": _coverage(result, instance, kept, level / 100) for level in (50, 90)},
        **({} if crps is None else {"crps": crps}),
        "spread": float(spread / error),
        "rank": rank(alone, truth, generator),
        "tarp": float(closer),
    }


def _coverage(result: Reconstruction, instance: Instance, kept: Tensor, level: float) -> float:
    return float(result.coverage(instance.truth.to(result.x), level, kept))


def _crps(drawn: Tensor, truth: Tensor, antithetic: bool) -> float | None:
    """Mean of ``|x_i - t|`` less half the mean of ``|x_i - x_j|`` over independent samples; None without."""
    n, ordered = len(drawn), drawn.sort(0).values
    weights = 2 * torch.arange(n, dtype=torch.float64) - n + 1
    apart, count = (weights[:, None] * ordered).sum(0), n * (n - 1) // 2
    if antithetic:
        partners = drawn[: n // 2 * 2].unflatten(0, (-1, 2))
        apart, count = apart - partners.diff(dim=1).abs().sum((0, 1)), count - n // 2
    return float(((drawn - truth).abs().mean(0) - apart / count / 2).mean()) if count else None


def shown(image: Tensor) -> Tensor:
    """What is compared: the modulus of complex images, in double precision."""
    return (image.abs() if image.is_complex() else image).detach().cpu().double()


def _decibel(peak: float, square: float) -> float:
    return math.inf if square == 0 else 10 * math.log10(peak / square)


def _ssim_fastmri(x: Tensor, truth: Tensor, peak: float) -> float:
    """Mean over the channels."""
    from skimage.metrics import structural_similarity

    planes = (image.reshape(-1, *image.shape[-2:]).numpy() for image in (truth, x))
    return fmean(float(structural_similarity(*pair, data_range=peak)) for pair in zip(*planes, strict=True))


@functools.cache
def _lpips() -> Callable[[Tensor, Tensor, float], float] | None:
    """LPIPS of two images; None where torchmetrics or its weights are not installed."""
    try:
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        network = LearnedPerceptualImagePatchSimilarity(net_type="alex", normalize=True).eval()
    except Exception:  # the weights of AlexNet are fetched from the network at first use
        return None

    @torch.no_grad()
    def distance(x: Tensor, truth: Tensor, data_range: float) -> float:
        pair = [(image / data_range).clamp(0, 1).float() for image in (x, truth)]
        colored = [image.expand(3, *image.shape[-2:])[None] for image in pair]
        network.reset()
        return float(network(*colored))

    return distance
