"""Checks of a denoiser against the rules of its protocol."""

from __future__ import annotations

from collections.abc import Collection

import torch

from invgen.core.errors import CapabilityError, DataError, DtypeError, ParameterError, ShapeError
from invgen.operators import Space
from invgen.priors.base import Denoiser
from invgen.priors.image_format import format_of
from invgen.testing.report import Checks, Report, distance, pickled, refuses_change, same_bits

__all__ = ["check_denoiser"]

#: Powers of two, by which numbers change without rounding.
_FACTORS = (2.0**-20, 2.0**20)


def check_denoiser(
    prior: Denoiser,
    *,
    image_shape: tuple[int, ...] = (12, 13),
    field: str = "real",
    sigma: float = 0.1,
    tolerance: float = 0.0,
    seed: int = 0,
    skip: Collection[str] = (),
) -> Report:
    """Check a denoiser against the rules that plug-and-play and diffusion solvers rely on.

    Its image format, where it has one, is that of the images; the result has the shape and the precision of
    the argument; a batch gives what its elements give, each with its own noise level; the same call gives the
    same bits, and changes nothing; without a value range, the result for ``c x`` and ``c sigma`` is c times
    that for x and sigma; its score is that of Tweedie's formula; a denoised phantom is nearer to the clean
    one; noise levels that are not positive, and images that are not finite, are refused.

    Parameters
    ----------
    prior : Denoiser
    image_shape : tuple of int
        Shape of the images, small, without batch axes.
    field : {"real", "complex"}
    sigma : float
        Noise level of the check, which also takes half of it; the images have values from zero to one.
    tolerance : float
        Largest distance of a batch from its elements and of one call from the next, relative to the image.
        Zero requires equal bits; rounding in networks depends on the batch size, 1e-5 in single precision.
    seed : int
        Of the noise.
    skip : collection of str
        Rules to leave out, by the names in the report, such as ``{"scale"}`` for a prior of images in a unit
        of its own, and ``{"denoises"}`` for a prior of other images.

    Returns
    -------
    Report

    Raises
    ------
    CheckError
        Names the rule that is violated and the measured figure.
    """
    if not isinstance(prior, Denoiser):
        raise CapabilityError(f"check_denoiser expects an object with denoise; got {type(prior).__name__}.")
    checks = Checks(prior, skip, _RULES)
    noisy = _Noisy(Space(image_shape, field), sigma, tolerance, seed)
    for rule, check in _RULES.items():
        checks.run(rule, lambda check=check: check(prior, noisy, checks))  # type: ignore[misc]
    return checks.report()


class _Noisy:
    """A batch of three phantoms of two parts, with noise."""

    def __init__(self, space: Space, sigma: float, tolerance: float, seed: int) -> None:
        clean = torch.full((3, *space.shape), 0.2, dtype=torch.float64)
        clean[..., : space.shape[-1] // 2] = 0.8
        clean = clean * torch.tensor([1.0, 0.9, 0.8], dtype=torch.float64).reshape(
            3, *(1,) * len(space.shape)
        )
        self.clean = torch.complex(clean, 1 - clean) if space.field == "complex" else clean
        noise = space.random((3,), seed=seed, dtype=torch.float64)
        if self.clean.is_complex():  # of unit variance in each part
            noise = noise * 2**0.5
        self.space, self.sigma, self.tolerance = space, sigma, tolerance
        self.x = self.clean + sigma * noise

    @property
    def single(self) -> torch.Tensor:
        """In single precision."""
        return self.x.to(torch.complex64 if self.x.is_complex() else torch.float32)

    def same(self, a: torch.Tensor, b: torch.Tensor, name: str, meaning: str, checks: Checks) -> None:
        """Require equal bits, or a distance within the tolerance."""
        if self.tolerance == 0:
            checks.true(name, same_bits(a, b), meaning)
        else:
            checks.at_most(name, distance(a, b), self.tolerance, meaning)


def _check_format(prior: Denoiser, noisy: _Noisy, checks: Checks) -> None:
    images = format_of(prior)
    images.check(noisy.x, "image_format")
    checks.true("format: same", format_of(prior) == images, "image_format differs from call to call")


def _check_precision(prior: Denoiser, noisy: _Noisy, checks: Checks) -> None:
    for x in (noisy.x, noisy.single):
        z = prior.denoise(x, noisy.sigma)
        fits = (z.shape, z.dtype, z.device) == (x.shape, x.dtype, x.device)
        checks.true("precision", fits, f"{tuple(x.shape)} {x.dtype} gave {tuple(z.shape)} {z.dtype}")
        checks.true("precision: finite", bool(torch.isfinite(z).all()), "the result is not finite")
    apart = distance(
        prior.denoise(noisy.single, noisy.sigma).to(noisy.x), prior.denoise(noisy.x, noisy.sigma)
    )
    checks.at_most("precision: single", apart, 1e-3, "single and double precision disagree")


def _check_batch(prior: Denoiser, noisy: _Noisy, checks: Checks) -> None:
    levels = noisy.sigma * torch.tensor([1.0, 0.5, 0.75], dtype=torch.float64)
    for x in (noisy.x, noisy.single):
        together = prior.denoise(x, noisy.sigma)
        alone = torch.stack([prior.denoise(one, noisy.sigma) for one in x])
        noisy.same(together, alone, "batch: elements", "a batch differs from one by one", checks)
        each = prior.denoise(x, levels)
        alone = torch.stack([prior.denoise(one, level) for one, level in zip(x, levels, strict=True)])
        noisy.same(each, alone, "batch: sigma", "a batch with noise levels differs from one by one", checks)
        axes = prior.denoise(x[:, None], levels[:, None])[:, 0]
        noisy.same(axes, each, "batch: axes", "the result depends on the number of batch axes", checks)
        empty = prior.denoise(x[:0], noisy.sigma)
        checks.true("batch: empty", empty.shape == x[:0].shape, "an empty batch gives another shape")


def _check_immutability(prior: Denoiser, noisy: _Noisy, checks: Checks) -> None:
    checks.true("immutability: attributes", refuses_change(prior), "attributes can be set after construction")
    x, random = noisy.x.clone(), torch.get_rng_state()
    first = prior.denoise(x, noisy.sigma)
    checks.true("immutability: input", same_bits(x, noisy.x), "denoise changed x")
    kept = first.clone()
    first.fill_(7)
    checks.true("immutability: memory", same_bits(x, noisy.x), "the result shares memory with x")
    again = prior.denoise(x, noisy.sigma)
    noisy.same(again, kept, "immutability: repeat", "the second call gave another result", checks)
    checks.true(
        "immutability: random",
        torch.equal(torch.get_rng_state(), random),
        "denoise draws global random numbers",
    )


def _check_pickling(prior: Denoiser, noisy: _Noisy, checks: Checks) -> None:
    copy = pickled(prior)
    checks.true("pickling: attributes", refuses_change(copy), "the copy's attributes can be set")
    again, first = (one.denoise(noisy.x, noisy.sigma) for one in (copy, prior))
    noisy.same(again, first, "pickling: result", "a pickled copy gives another result", checks)


def _check_scale(prior: Denoiser, noisy: _Noisy, checks: Checks) -> None:
    if format_of(prior).value_range is not None:
        checks.leave_out("scale", "it has a value range")
        return
    z = prior.denoise(noisy.x, noisy.sigma)
    for factor in _FACTORS:
        scaled = prior.denoise(factor * noisy.x, factor * noisy.sigma) / factor
        meaning = f"{factor:.0e} * x and {factor:.0e} * sigma do not give {factor:.0e} times the result"
        checks.at_most("scale", distance(scaled, z), 1e-6, meaning)


def _check_score(prior: Denoiser, noisy: _Noisy, checks: Checks) -> None:
    score = getattr(prior, "score", None)
    if score is None:
        checks.leave_out("score", "it has none")
        return
    expected = (prior.denoise(noisy.x, noisy.sigma) - noisy.x) / noisy.sigma**2
    apart = distance(score(noisy.x, noisy.sigma), expected)
    checks.at_most("score", apart, 1e-8, "the score is not that of Tweedie's formula")


def _check_denoises(prior: Denoiser, noisy: _Noisy, checks: Checks) -> None:
    for sigma in (noisy.sigma, noisy.sigma / 2):
        x = noisy.clean + (noisy.x - noisy.clean) * (sigma / noisy.sigma)
        error = noisy.space.norm(prior.denoise(x, sigma) - noisy.clean) / noisy.space.norm(x - noisy.clean)
        checks.at_most("denoises", error.max(), 1.0, "a denoised phantom is no nearer to the clean one")


def _check_errors(prior: Denoiser, noisy: _Noisy, checks: Checks) -> None:
    x, sigma = noisy.x, noisy.sigma
    for level in (0.0, -sigma, float("nan"), float("inf")):
        with checks.raises("errors: sigma", ParameterError, f"sigma={level} must be refused"):
            prior.denoise(x, level)
    with checks.raises("errors: sigma's shape", ShapeError, "four sigmas for three images must be refused"):
        prior.denoise(x, torch.full((4,), sigma))
    spoiled = x.clone()
    spoiled.view(-1)[-1] = float("nan")
    with checks.raises("errors: NaN", DataError, "NaN must be refused"):
        prior.denoise(spoiled, sigma)
    with checks.raises("errors: integers", DtypeError, "integers must be refused"):
        prior.denoise(torch.ones(x.shape, dtype=torch.int64), sigma)
    with checks.raises("errors: array", DtypeError, "a NumPy array must be refused"):
        prior.denoise(x.numpy(), sigma)


_RULES = {
    "format": _check_format,
    "precision": _check_precision,
    "batch": _check_batch,
    "immutability": _check_immutability,
    "pickling": _check_pickling,
    "scale": _check_scale,
    "score": _check_score,
    "denoises": _check_denoises,
    "errors": _check_errors,
}
