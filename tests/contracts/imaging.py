"""Small instances of the operators of imaging."""

import torch

from invgen.operators import (
    DCT,
    Blur,
    Downsample,
    Grayscale,
    LinearScattering,
    Mask,
    cylindrical_waves,
    kernels,
    masks,
)

from .numbers import normal


def waves(count, shape=(4, 5)):
    """Fields of sources on a circle around an image."""
    angles = torch.arange(count) + 0.3
    return cylindrical_waves(shape, 1.0, 4.0, 6 * torch.stack([angles.sin(), angles.cos()], dim=1))


#: Each class by its name in `invgen.operators`, with the instances that stand for it.
IMAGING = {
    "Mask": {
        "odd": lambda: Mask(masks.random_pixels((5, 7), 0.4, seed=0)),
        "even": lambda: Mask(masks.box((6, 4), (2, 3))),
        "colors": lambda: Mask(masks.random_pixels((4, 5), 0.5, seed=1), image_shape=(3, 4, 5)),
        "complex": lambda: Mask(masks.random_pixels((4, 5), 0.5, seed=1), field="complex"),
        "weights": lambda: Mask(normal(4, 5)),
        "float32": lambda: Mask(normal(4, 3, dtype=torch.float32).abs()),
        "volume": lambda: Mask(masks.box((3, 4, 2), (1, 2, 2)), field="complex"),
        "lost": lambda: Mask(torch.zeros(3, 4)),
    },
    "Grayscale": {
        "odd": lambda: Grayscale((3, 5, 7)),
        "even": lambda: Grayscale((3, 4, 2)),
        "complex": lambda: Grayscale((3, 2, 5), field="complex"),
        "weights": lambda: Grayscale((4, 3, 4), weights=(0.5, -1.0, 0.0, 2.0)),
        "volume": lambda: Grayscale((2, 3, 2, 3), weights=(1.0, 1.0)),
    },
    "Downsample": {
        "block": lambda: Downsample((8, 6), 2),
        "block odd": lambda: Downsample((9, 7), 3),
        "block colors": lambda: Downsample((3, 6, 4), (3, 2)),
        "block volume": lambda: Downsample((4, 5, 6), (2, 2, 3)),
        "block complex": lambda: Downsample((5, 4), 2, field="complex"),
        "block line": lambda: Downsample((3, 7), (2,)),
        "bicubic": lambda: Downsample((8, 6), 2, "bicubic"),
        "bicubic odd": lambda: Downsample((9, 5), 3, "bicubic"),
        "bicubic complex": lambda: Downsample((2, 5, 6), 3, "bicubic", field="complex"),
        "bicubic volume": lambda: Downsample((4, 6, 5), (2, 3, 2), "bicubic"),
        "lanczos": lambda: Downsample((12, 4), 4, "lanczos"),
        "lanczos colors": lambda: Downsample((3, 7, 5), (2, 1), "lanczos"),
    },
    "Blur": {
        "circular": lambda: Blur((6, 8), kernels.gaussian_kernel(0.8, truncate=2.0)),
        "circular odd": lambda: Blur((5, 7), normal(3, 2)),
        "circular box": lambda: Blur((6, 4), torch.ones(2, 2) / 4),
        "circular colors": lambda: Blur((3, 4, 5), normal(3, 3)),
        "circular complex": lambda: Blur((5, 4), normal(3, 2, dtype=torch.complex128), field="complex"),
        "circular volume": lambda: Blur((3, 4, 5), normal(3, 2, 3)),
        "circular, large kernel": lambda: Blur((4, 3), normal(7, 8)),
        "reflect": lambda: Blur((7, 6), normal(3, 4), boundary="reflect"),
        "reflect symmetric": lambda: Blur((6, 5), kernels.gaussian_kernel(0.7, truncate=2.0), "reflect"),
        "reflect colors": lambda: Blur(
            (2, 5, 4), kernels.gaussian_kernel((0.6, 0.4), truncate=2.0), "reflect"
        ),
        "reflect complex": lambda: Blur((4, 5), normal(3, 3), "reflect", field="complex"),
        "reflect volume": lambda: Blur((3, 4, 3), kernels.gaussian_kernel(0.5, 3, truncate=2.0), "reflect"),
        "reflect, large kernel": lambda: Blur((3, 4), normal(8, 11), "reflect"),
        "zero": lambda: Blur((7, 6), normal(3, 4), boundary="zero"),
        "zero motion": lambda: Blur((8, 9), kernels.motion_kernel(3.5, 0.4), "zero"),
        "zero complex": lambda: Blur((4, 5), normal(2, 3, dtype=torch.complex128), "zero", field="complex"),
        "zero volume": lambda: Blur((2, 3, 4, 3), normal(3, 2, 1), "zero"),
        "zero line": lambda: Blur((9,), normal(4), "zero"),
    },
    "LinearScattering": {
        "wide": lambda: LinearScattering(waves(2), waves(3)),
        "tall": lambda: LinearScattering(waves(3), waves(5)),
        "complex": lambda: LinearScattering(waves(3).conj(), waves(4), field="complex"),
        "volume": lambda: LinearScattering(normal(2, 2, 3, 2), normal(3, 2, 3, 2, dtype=torch.complex128)),
        "float32": lambda: LinearScattering(waves(2).to(torch.complex64), waves(4).to(torch.complex64)),
    },
    "DCT": {
        "even": lambda: DCT((6, 8)),
        "odd": lambda: DCT((5, 7)),
        "complex": lambda: DCT((4, 3), "complex"),
        "volume": lambda: DCT((3, 4, 5)),
        "one axis": lambda: DCT((4, 6), axes=(0,)),
        "channels": lambda: DCT((2, 3, 4), axes=(-1, -2)),
        "single pixels": lambda: DCT((1, 2)),
    },
}
