"""Checks of a prior against the rules of the protocols that it has."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from invgen.core.errors import CapabilityError
from invgen.operators import Space
from invgen.priors.base import Density, Energy, Generator, Prior, Sampler
from invgen.priors.image_format import format_of
from invgen.testing.density import DENSITY, ENERGY, INTEGRAL, SAME_DENSITY
from invgen.testing.generative import GENERATOR, SAMPLER
from invgen.testing.report import Checks, Report, pickled, refuses_change, same_bits
from invgen.testing.subject import Rule, Subject
from invgen.testing.variational import VARIATIONAL, check_variational, resolved

__all__ = ["check_prior"]

#: Images of priors that say nothing of their size.
_SHAPE = (6, 7)


def check_prior(
    prior: Any,
    *,
    image_shape: tuple[int, ...] | None = None,
    field: str | None = None,
    images: Tensor | None = None,
    sampling: Mapping[str, Any] | None = None,
    integrate: bool = False,
    seed: int = 0,
    skip: Collection[str] = (),
) -> Report:
    """Check a prior against the rules that solvers rely on: those of each protocol that it has.

    Its image format, where it has one, is that of the images. Attributes cannot be set, a call changes
    neither its argument nor what the next one gives, and a pickled copy gives the same. Further, of a

    `Prior`
        The value of a batch is that of its elements; `resolve` gives a prior with a number for its weight,
        which a second `resolve` keeps; a closed-form proximal map is the minimizer of its objective; the
        terms of a composite prior add up to its value, and their conjugate proximal maps satisfy Moreau's
        identity.
    `Sampler`
        Samples are images of its format, within the value range and of the stated levels; sample i follows
        from seed + i alone; the global random state is neither used nor changed.
    `Generator`
        Decoding a batch is decoding its elements, with any batch axes, in the precision of the latent
        variables; its derivative, and that of the latent density, are those of central differences; a latent
        density that is standard normal in its slope or at its peak is so everywhere; latent variables of
        another shape are refused with ShapeError, NaN with DataError.
    `Density`, `Energy`
        One finite real number for each image, of a batch those of its elements, in the precision of the
        images; the derivative is that of central differences (not for densities of images of levels);
        log_prob + energy is a constant; images of another shape, and NaN, are refused.

    `check_denoiser` has the rules of denoisers.

    Parameters
    ----------
    prior : Prior, Sampler, Generator, Density or Energy
    image_shape : tuple of int, optional
        Shape of the images, small; by default that of the image format, or (6, 7).
    field : {"real", "complex"}, optional
        By default that of the image format, or "real".
    images : tensor, shape (3, *image_shape), optional
        Images to take the density of. By default samples of the prior, or else random images.
    sampling : mapping, optional
        Keyword arguments of the prior's `sample`, such as ``{"steps": 3}``.
    integrate : bool
        Also sum the probabilities of all images, of which there are at most 4096: a prior of levels in a few
        pixels.
    seed : int
        Of images, latent variables and samples.
    skip : collection of str
        Rules to leave out, by the names in the report: ``{"log_prob batch"}`` for estimates by random probes.

    Returns
    -------
    Report

    Raises
    ------
    CheckError
        Names the rule that is violated and the measured figure.
    """
    if not isinstance(prior, (Prior, *_PROTOCOLS)):
        raise CapabilityError(
            "check_prior expects an object with value and resolve, sample, decode, log_prob or energy; got "
            f"{type(prior).__name__}."
        )
    own = format_of(prior)
    space = Space(image_shape or own.shape or _SHAPE, field or own.field or "real")
    checks = Checks(prior, skip, _KNOWN)
    # a weight for each element of a batch does not fit images of other batches: one element gives it
    one = resolved(prior, space, seed) if isinstance(prior, Prior) else prior
    subject = Subject(one, space, checks, seed, sampling or {}, images)
    rules = [_COMMON, *(rules for protocol, rules in _PROTOCOLS.items() if isinstance(prior, protocol))]
    rules += [SAME_DENSITY] if isinstance(prior, Density) and isinstance(prior, Energy) else []
    rules += [INTEGRAL] if integrate else []
    for name, rule in (item for group in rules for item in group.items()):
        checks.run(name, partial(rule, subject))
    if isinstance(prior, Prior):
        check_variational(prior, one, space, seed, checks)
    return checks.report()


def _check_format(subject: Subject) -> None:
    found, x = format_of(subject.prior), subject.space.random((3,), seed=subject.seed, dtype=torch.float64)
    found.check(x, "image_format")
    same = format_of(subject.prior) == found
    subject.checks.true("format: same", same, "image_format differs from call to call")


def _check_immutability(subject: Subject) -> None:
    checks, prior = subject.checks, subject.prior
    checks.true("immutability: attributes", refuses_change(prior), "attributes can be set after construction")
    for name, (call, at) in _calls(subject).items():
        kept, random = at.clone(), torch.get_rng_state()
        first, second = call(prior, at), call(prior, at)
        checks.true("immutability: input", same_bits(at, kept), f"{name} changed its argument")
        meaning = f"{name} changed from call to call"
        checks.true("immutability: repeat", same_bits(first, second), meaning)
        unused = torch.equal(torch.get_rng_state(), random)
        checks.true("immutability: random", unused, f"{name} draws global random numbers")
        apart = first.untyped_storage().data_ptr() != at.untyped_storage().data_ptr()
        checks.true("immutability: memory", apart, f"the result of {name} shares memory with its argument")


def _check_pickling(subject: Subject) -> None:
    copy = pickled(subject.prior)
    for name, (call, at) in _calls(subject).items():
        same = same_bits(call(copy, at), call(subject.prior, at))
        subject.checks.true("pickling", same, f"{name} of a pickled copy gives other values")


def _calls(subject: Subject) -> dict[str, tuple[Callable[[Any, Tensor], Tensor], Tensor]]:
    """What the prior computes, each with an argument."""
    found: dict[str, tuple[Callable[[Any, Tensor], Tensor], Tensor]] = {}
    if isinstance(subject.prior, Generator):
        found["decode"] = lambda prior, z: prior.decode(z), subject.z()
        found["latent_log_prob"] = lambda prior, z: prior.latent_log_prob(z), subject.z()
    if isinstance(subject.prior, Density):
        found["log_prob"] = lambda prior, x: prior.log_prob(x), subject.x()
    if isinstance(subject.prior, Energy):
        found["energy"] = lambda prior, x: prior.energy(x), subject.x()
    if isinstance(subject.prior, Prior):
        found["value"] = lambda prior, x: prior.value(x), subject.x()
    return found


#: The rules of all priors, and of those that have a protocol; in this order.
_COMMON: dict[str, Rule] = {
    "format": _check_format,
    "immutability": _check_immutability,
    "pickling": _check_pickling,
}
_PROTOCOLS: dict[type, dict[str, Rule]] = {
    Sampler: SAMPLER,
    Generator: GENERATOR,
    Density: DENSITY,
    Energy: ENERGY,
}
_GROUPS = (_COMMON, *_PROTOCOLS.values(), SAME_DENSITY, INTEGRAL)
_KNOWN = tuple(dict.fromkeys([*(name for group in _GROUPS for name in group), *VARIATIONAL]))
