"""Learning to complete images from incomplete measurements alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from invgen.core.errors import ParameterError, ShapeError
from invgen.priors.diffusion.model import as_channels, as_images
from invgen.problem import Problem

__all__ = ["Splitting"]


@dataclass(frozen=True)
class Splitting:
    """Error of samples that the network predicts from the others: SSDU, Yaman et al. (2020), eq. 6.

    At each step the samples of a scan are split at random: the network sees the adjoint's image of one part,
    and is judged by the other, ``|A D(A.H y_seen) - y|^2`` there. Noise that is independent from sample to
    sample, and aliasing that is another at each step, cannot be predicted. The paper's network has steps of
    data consistency within; this is any network, and is judged by squares, whose minimiser is the posterior
    mean. What it learns takes artifacts out of ``A.H y``, and is a prior as in Liu et al. (2020), RARE.

    Parameters
    ----------
    problems : sequence of Problem
        Of images ``(H, W)`` or ``(C, H, W)`` of one shape, real or complex (two channels), in the network's
        units (`Problem.scaled`); one measurement each, without batch axes.
    masks : sequence of bool tensors
        Which samples were measured: each broadcasts to its measurement, such as ``(H, W)`` for k-space
        ``(coils, H, W)``, whose coils then stay together.
    level : float
        The noise level that the network is told, always the same: how far ``A.H y`` is from the image, about.
    batch_size : int
    fraction : float
        Of the samples, how many are judged.
    always_seen : bool tensor, optional
        Samples that are never judged, such as the middle of k-space.
    """

    problems: Sequence[Problem]
    masks: Sequence[Tensor]
    level: float
    batch_size: int = 4
    fraction: float = 0.4
    always_seen: Tensor | None = None

    def __post_init__(self) -> None:
        if not len(self.problems):
            raise ParameterError("Nothing to learn from: no problems.")
        if len(self.masks) != len(self.problems):
            raise ShapeError(f"{len(self.problems)} problems have as many masks; got {len(self.masks)}.")
        if not (0 < self.fraction < 1 and self.level > 0 and self.batch_size >= 1):
            raise ParameterError(
                "Splitting needs a fraction between 0 and 1, a positive level and a positive batch_size; got "
                f"{self.fraction}, {self.level} and {self.batch_size}."
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
        """Which samples are seen, and which are judged by."""
        free = mask if self.always_seen is None else mask & ~self.always_seen.to(mask.device)
        chance = torch.rand(mask.shape, generator=generator, device=generator.device).to(mask.device)
        judged = free & (chance < self.fraction)
        return mask & ~judged, judged

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
        axes = len(operators[0].domain.shape)
        inputs = torch.cat([as_channels(back, axes) for back in backs])
        outputs = module(inputs, torch.full((len(inputs),), self.level, device=inputs.device), None, None)
        errors = []
        for A, problem, back, output, (_, judged) in zip(
            operators, problems, backs, outputs, parts, strict=True
        ):
            measured = problem.measurement.to(back.device)
            error = A(as_images(output[None].to(back.dtype.to_real()), back)) - measured
            judged = judged.to(back.device).expand(measured.shape)
            errors.append((judged * error).abs().square().sum() / judged.sum().clamp(min=1))
        return torch.stack(errors).mean()


def _broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    fits = all(a in (1, b) for a, b in zip(shape[::-1], to[::-1], strict=False))
    return len(shape) <= len(to) and fits
