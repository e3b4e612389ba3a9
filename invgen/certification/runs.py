"""What each measurement of a sampler begins with: the sampler, truths and their measurements, its samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any, cast

import torch

from invgen.certification.setting import Setting
from invgen.core.errors import DtypeError, ParameterError, ShapeError
from invgen.problem import Problem
from invgen.reconstruction import Reconstruction

__all__ = ["Build", "as_build", "as_rows", "checked", "measured", "seeds_of"]

#: Makes a sampler of a prior: a class, a function.
Build = Callable[[Any], Callable[..., Reconstruction]]


def as_build(sampler: Any) -> Build:
    """What makes a sampler of a prior: a class or function itself, or the same solver with another prior.

    Raises
    ------
    DtypeError
        For what is neither.
    """
    if is_dataclass(sampler) and not isinstance(sampler, type):
        if "prior" not in {field.name for field in fields(sampler)}:
            raise DtypeError(f"{type(sampler).__name__} has no prior: a posterior sampler has.")
        return lambda prior: cast(Any, replace(sampler, prior=prior))
    if not callable(sampler):
        raise DtypeError(
            f"A sampler is a solver with a prior, or what makes one of a prior, such as solvers.DDS; got "
            f"{type(sampler).__name__}."
        )
    return sampler


def seeds_of(seed: int) -> Iterator[int]:
    """Seeds that have nothing to do with each other, as those of neighboring numbers may."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield int(torch.randint(2**31, (), generator=generator))


def measured(setting: Setting, n: int, seeds: Iterator[int]) -> tuple[torch.Tensor, Problem]:
    """Truths, and measurements of them as one batch."""
    prior, A, noise = setting
    truths = prior.sample(n, next(seeds))
    return truths, Problem(A, noise.sample(A(truths), next(seeds)), noise)


def checked(result: Any, samples: int, truths: torch.Tensor) -> Reconstruction:
    """The result, where it has as many samples of the truths' shape.

    Raises
    ------
    ShapeError
        For others.
    ParameterError
        For antithetic pairs.
    """
    shape = (samples, *truths.shape)
    drawn = getattr(result, "samples", None)
    if drawn is None or drawn.shape != shape:
        got = "none" if drawn is None else f"samples of the shape {tuple(drawn.shape)}"
        raise ShapeError(
            f"A sampler gives a Reconstruction with samples of the shape {shape}; it gave {got}."
        )
    if result.antithetic:
        raise ParameterError(
            "Samples are compared with independent ones: leave out antithetic, which changes no sample's own "
            "distribution."
        )
    return result


def as_rows(images: torch.Tensor) -> torch.Tensor:
    """Images ``(n, *shape)`` as rows of real numbers."""
    return (torch.view_as_real(images) if images.is_complex() else images).flatten(1)
