"""Training on incomplete measurements alone: the network completes images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from invgen.core.checks import as_count
from invgen.core.errors import ParameterError, ShapeError
from invgen.priors.image_format import ImageFormat
from invgen.problem import Problem

__all__ = ["Splitting"]


@dataclass(frozen=True)
class Splitting:
    """Error of samples that the network predicts from the others: SSDU, Yaman et al. (2020), eq. 6.

    At each step the samples of a scan are split at random: the network sees the adjoint's image of one part,
    and the loss is its error in the other, ``|A D(A.H y_seen) - y|^2`` there. Noise that is independent from
    sample to sample, and aliasing that differs from step to step, cannot be predicted. The paper's network
    contains steps of data consistency; this is any network, with the squared error, whose minimizer is the
    posterior mean. The trained network removes the artifacts of ``A.H y``, and is a prior as in Liu et al.
    (2020), RARE.

    Parameters
    ----------
    problems : sequence of Problem
        Of images ``(H, W)`` or ``(C, H, W)`` of one shape, real or complex (two channels), in the network's
        units (`Problem.scaled`); one measurement each, without batch axes.
    masks : sequence of bool tensors
        True where samples were measured: each broadcasts to its measurement, such as ``(H, W)`` for k-space
        ``(coils, H, W)``, whose coils are then split alike.
    level : float
        The noise level that is passed to the network, always the same: about the distance of ``A.H y`` from
        the image.
    batch_size : int
    fraction : float
        Fraction of the samples that are predicted.
    always_seen : bool tensor, optional
        Samples that the network always sees, such as the center of k-space.
    """

    problems: Sequence[Problem]
    masks: Sequence[Tensor]
    level: float
    batch_size: int = 4
    fraction: float = 0.4
    always_seen: Tensor | None = None

    def __post_init__(self) -> None:
        if not len(self.problems):
            raise ParameterError("There are no problems: there is nothing to learn.")
        if len(self.masks) != len(self.problems):
            raise ShapeError(
                f"{len(self.problems)} problems need one mask each; got {len(self.masks)} masks."
            )
        as_count(self.batch_size, "batch_size")
        if not (0 < self.fraction < 1 and self.level > 0):
            raise ParameterError(
                f"Splitting needs a fraction between 0 and 1 and a positive level; got {self.fraction} and "
                f"{self.level}."
            )
        for i, (problem, mask) in enumerate(zip(self.problems, self.masks, strict=True)):
            shape, space = tuple(problem.measurement.shape), problem.linear_operator.range
            if shape != space.shape or not _broadcasts(tuple(mask.shape), shape):
                raise ShapeError(
                    f"Problem {i} has a measurement {shape} of the range {space.shape}, and a mask "
                    f"{tuple(mask.shape)}: one measurement, to which the mask broadcasts."
                )
            if mask.dtype != torch.bool or int(mask.sum()) < 2:
                raise ParameterError(f"Mask {i} is one of bool, true where at least two samples are.")

    def split(self, mask: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The samples that the network sees, and those that it predicts, as masks."""
        free = mask if self.always_seen is None else mask & ~self.always_seen.to(mask.device)
        chance = torch.rand(mask.shape, generator=generator, device=generator.device).to(mask.device)
        predicted = free & (chance < self.fraction)
        return mask & ~predicted, predicted

    def __call__(self, module: nn.Module, generator: torch.Generator) -> Tensor:
        """The loss of one batch."""
        chosen = torch.randint(
            len(self.problems), (self.batch_size,), generator=generator, device=generator.device
        ).tolist()
        problems = [self.problems[i] for i in chosen]
        parts = [self.split(self.masks[i], generator) for i in chosen]
        operators = [problem.linear_operator for problem in problems]
        backs = [
            A.H(seen * problem.measurement).to(generator.device)
            for A, problem, (seen, _) in zip(operators, problems, parts, strict=True)
        ]
        images = ImageFormat(axes=len(operators[0].domain.shape))
        inputs = torch.cat([images.as_channels(back) for back in backs])
        outputs = module(inputs, torch.full((len(inputs),), self.level, device=inputs.device), None, None)
        errors = []
        for A, problem, back, output, (_, predicted) in zip(
            operators, problems, backs, outputs, parts, strict=True
        ):
            measured = problem.measurement.to(back.device)
            error = A(images.as_images(output[None].to(back.dtype.to_real()), back)) - measured
            predicted = predicted.to(back.device).expand(measured.shape)
            errors.append((predicted * error).abs().square().sum() / predicted.sum().clamp(min=1))
        return torch.stack(errors).mean()


def _broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    fits = all(a in (1, b) for a, b in zip(shape[::-1], to[::-1], strict=False))
    return len(shape) <= len(to) and fits
