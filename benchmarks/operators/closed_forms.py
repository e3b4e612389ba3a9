"""What a closed-form solve costs, beside one forward and one adjoint operator, and that it solves."""

from __future__ import annotations

import torch

from benchmarks.report import Report, race
from invgen.operators import (
    MRI,
    Blur,
    Downsample,
    GaussianMatrix,
    Grayscale,
    LinearOperator,
    Mask,
    SinglePixel,
    SubsampledTransform,
    kernels,
    masks,
)

SHAPE = (512, 512)


def operators() -> dict[str, LinearOperator]:
    """At realistic size; 320x320 for MRI, as of a knee."""
    gaussian = kernels.gaussian_kernel(2.0)
    lines = torch.arange(320) % 4 == 0
    points = masks.random_pixels((320, 320), 0.25, seed=0)
    return {
        "Mask": Mask(masks.random_pixels(SHAPE, 0.5, seed=0)),
        "Grayscale": Grayscale((3, *SHAPE)),
        'Downsample(2, "block")': Downsample(SHAPE, 2),
        'Downsample(4, "block")': Downsample(SHAPE, 4),
        'Downsample(4, "bicubic")': Downsample(SHAPE, 4, "bicubic"),
        'Downsample(2, "lanczos")': Downsample(SHAPE, 2, "lanczos"),
        'Blur("circular")': Blur(SHAPE, gaussian),
        'Blur("reflect")': Blur(SHAPE, gaussian, "reflect"),
        "MRI, lines": MRI((320, 320), lines),
        "MRI, points": MRI((320, 320), points),
        'SubsampledTransform("dct")': SubsampledTransform(SHAPE, 512 * 128),
        'SubsampledTransform("hadamard")': SubsampledTransform(SHAPE, 512 * 128, "hadamard"),
        'SubsampledTransform("fourier")': SubsampledTransform(SHAPE, 512 * 128, "fourier", field="complex"),
        "SinglePixel(64x64, 1024)": SinglePixel((64, 64), 1024),
        "GaussianMatrix(64x64, 1024)": GaussianMatrix((64, 64), 1024, seed=0),
    }


def solve(report: Report) -> None:
    """float32: seconds of ``solve(b, shift)`` over those of ``A.H(A(x))``, and its residual in float64."""
    for name, A in operators().items():
        x = A.domain.random(seed=0, dtype=torch.float32)
        y = A(x)
        b = A.H(y)
        shift = 0.1 * A.norm() ** 2
        forward, adjoint, closed = race(lambda: A(x), lambda: A.H(y), lambda: A.solve(b, shift))
        ratio = closed / (forward + adjoint)
        report.row(
            f"`{name}`: solve over forward + adjoint",
            f"{ratio:.1f} ({closed * 1e3:.2f} ms over {(forward + adjoint) * 1e3:.2f} ms)",
            "3 times",
            ratio <= 3,
        )
        b = b.to(torch.promote_types(b.dtype, torch.float64))
        z = A.solve(b, shift)
        error = float(A.domain.norm(A.gram(z) + shift * z - b) / A.domain.norm(b))
        report.row(f"`{name}`: residual of solve, float64", f"{error:.1e}", "1e-12", error < 1e-12)
