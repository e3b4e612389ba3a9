"""Rules of priors that draw images, and of those that decode latent variables."""

from __future__ import annotations

import math
import pickle
import random

import numpy as np
import torch
from torch import Tensor

from invgen.core.errors import DataError, ParameterError, ShapeError
from invgen.testing.report import distance, same_bits
from invgen.testing.subject import ROUNDING, SINGLE, Rule, Subject, check_gradient, single

__all__ = ["GENERATOR", "SAMPLER"]

#: How far values may be from the value range, or from their levels, in the unit of networks.
_OUTSIDE = 1e-5

#: Samples of networks in single precision, drawn together and alone.
_ALONE = 1e-4


def _check_samples(subject: Subject) -> None:
    checks, seed = subject.checks, subject.seed
    drawn = subject.drawn
    shape = (3, *subject.space.shape)
    meaning = f"3 samples have the shape {tuple(drawn.shape)}, and not {shape}"
    checks.true("samples: shape", drawn.shape == shape, meaning)
    field = "complex" if drawn.is_complex() else "real"
    kept = drawn.dtype.to_real() in (torch.float32, torch.float64) and field == subject.space.field
    checks.true("samples: dtype", kept, f"{subject.space.field} images are drawn as {drawn.dtype}")
    checks.true("samples: finite", bool(torch.isfinite(drawn).all()), "samples are not finite")
    checks.true("samples: graph", not drawn.requires_grad, "samples require gradients")
    again = subject.draw(3, seed)
    checks.true("samples: repeat", same_bits(again, drawn), "the same seed gives other samples")
    checks.true("samples: differ", not same_bits(drawn[0], drawn[1]), "samples are all the same")
    other = subject.draw(3, seed + 3)
    checks.true("samples: seed", not same_bits(other, drawn), "other seeds give the same samples")
    with checks.raises("samples: errors", ParameterError, "1.5 samples must be refused"):
        subject.draw(1.5, seed)  # type: ignore[arg-type]


def _check_global_state(subject: Subject) -> None:
    checks, drawn = subject.checks, []
    with torch.random.fork_rng(devices=()):
        for seed in (1, 2):
            torch.manual_seed(seed)
            before = _global_state()
            drawn.append(subject.draw(2, subject.seed))
            kept = _global_state() == before
            checks.true("global state: kept", kept, "sample changes the state of a global generator")
    meaning = "samples depend on the state of PyTorch's global generator"
    checks.true("global state: unused", same_bits(*drawn), meaning)


def _global_state() -> bytes:
    """Of the generators of PyTorch, NumPy and Python."""
    return pickle.dumps((torch.get_rng_state().tolist(), np.random.get_state(), random.getstate()))  # noqa: NPY002


def _check_seeds(subject: Subject) -> None:
    for i in range(3):
        apart = distance(subject.draw(1, subject.seed + i)[0], subject.drawn[i])
        meaning = "sample i of a seed is not the sample of seed + i alone"
        subject.checks.at_most("seeds", apart, _ALONE, meaning)


def _check_sampled_range(subject: Subject) -> None:
    images = subject.images
    if images.value_range is None:
        subject.checks.leave_out("range", "it has no value range")
        return
    drawn = images.to_network(subject.drawn)
    _check_within(drawn, "range: samples", subject)
    if images.levels is not None:
        steps = (drawn.double() + 1) / 2 * (images.levels - 1)
        apart = (steps - steps.round()).abs().max()
        meaning = f"samples are not of the {images.levels} levels that it states"
        subject.checks.at_most("range: levels", apart, _OUTSIDE * images.levels, meaning)


def _check_within(channels: Tensor, name: str, subject: Subject) -> None:
    outside = (channels.abs().max() - 1).clamp(min=0)
    meaning = f"images leave the value range {subject.images.value_range}"
    subject.checks.at_most(name, outside, _OUTSIDE, meaning)


def _check_decode(subject: Subject) -> None:
    prior, checks, z = subject.prior, subject.checks, subject.z()
    images, shape = prior.decode(z), (3, *subject.space.shape)
    meaning = f"3 latent variables give the shape {tuple(images.shape)}, and not {shape}"
    checks.true("decode: shape", images.shape == shape, meaning)
    checks.true("decode: finite", bool(torch.isfinite(images).all()), "images are not finite")
    for at in (z, single(z)):
        decoded = prior.decode(at)
        field = "complex" if decoded.is_complex() else "real"
        kept = decoded.dtype.to_real() == at.dtype and field == subject.space.field
        checks.true("decode: precision", kept, f"{at.dtype} gives {subject.space.field} {decoded.dtype}")
    apart = distance(prior.decode(single(z)).to(images), images)
    checks.at_most("decode: single", apart, SINGLE, "single and double precision disagree")
    alone = torch.stack([prior.decode(one) for one in z])
    checks.true("decode: one", alone.shape == shape, "one latent variable does not give one image")
    checks.at_most("decode: batch", distance(images, alone), ROUNDING, "a batch is not its elements")
    axes = prior.decode(z[:, None])
    checks.true("decode: axes", axes.shape == (3, 1, *shape[1:]), "batch axes are not kept")
    checks.at_most("decode: axes", distance(axes[:, 0], images), ROUNDING, "batch axes change the images")


def _check_decoded_range(subject: Subject) -> None:
    if subject.images.value_range is None:
        subject.checks.leave_out("range", "it has no value range")
        return
    _check_within(subject.images.to_network(subject.prior.decode(subject.z())), "range: decode", subject)


def _check_decode_gradient(subject: Subject) -> None:
    check_gradient("decode gradient", subject.prior.decode, subject.z(), subject)


def _check_latent_density(subject: Subject) -> None:
    prior, checks, z = subject.prior, subject.checks, subject.z()
    value = prior.latent_log_prob(z)
    meaning = f"of a batch of 3 it has the shape {tuple(value.shape)}"
    checks.true("latent density: shape", value.shape == (3,), meaning)
    real = not value.is_complex() and bool(torch.isfinite(value).all())
    checks.true("latent density: number", real, "it is not a finite real number")
    alone = torch.stack([prior.latent_log_prob(one) for one in z])
    checks.at_most("latent density: batch", distance(value, alone), ROUNDING, "a batch is not its elements")
    axes = prior.latent_log_prob(z[:, None])
    checks.true("latent density: axes", axes.shape == (3, 1), "batch axes are not kept")
    check_gradient("latent density: gradient", prior.latent_log_prob, z, subject)
    _check_standard_normal(subject)


def _check_standard_normal(subject: Subject) -> None:
    """Where either value or slope is that of standard normal variables, both are."""
    z, log_prob, checks = subject.z(), subject.prior.latent_log_prob, subject.checks
    n = z[0].numel()
    at = z.clone().requires_grad_()
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(log_prob(at).sum(), at)
    peak = -n / 2 * math.log(2 * math.pi)
    expected = peak - z.square().flatten(1).sum(1) / 2
    apart = distance(slope, -z), abs(float(log_prob(torch.zeros_like(z[0]))) - peak) / abs(peak)
    if min(apart) > ROUNDING:
        checks.leave_out("standard normal", "its latent variables have another density")
        return
    meaning = "the density is not that of standard normal variables, though its slope or its peak is"
    off = distance(log_prob(z), expected)
    checks.at_most("latent density: standard normal", max(*apart, off), ROUNDING, meaning)


def _check_latent_errors(subject: Subject) -> None:
    z, checks = subject.z(), subject.checks
    wrong = torch.zeros(3, *subject.prior.latent_shape[:-1], subject.prior.latent_shape[-1] + 1)
    spoiled = z.clone()
    spoiled.view(-1)[-1] = float("nan")
    for name in ("decode", "latent_log_prob"):
        method = getattr(subject.prior, name)
        with checks.raises("latent errors: shape", ShapeError, f"{name} of another shape must be refused"):
            method(wrong)
        with checks.raises("latent errors: NaN", DataError, f"{name} of NaN must be refused"):
            method(spoiled)


#: The rules of what has `sample`, and of what has `decode`, by name.
SAMPLER: dict[str, Rule] = {
    "samples": _check_samples,
    "global state": _check_global_state,
    "seeds": _check_seeds,
    "range": _check_sampled_range,
}
GENERATOR: dict[str, Rule] = {
    "decode": _check_decode,
    "range": _check_decoded_range,
    "decode gradient": _check_decode_gradient,
    "latent density": _check_latent_density,
    "latent errors": _check_latent_errors,
}
