"""Small instances of the operators of compressed sensing, and of nonlinear ones."""

import torch

from invgen.operators import (
    Blur,
    GaussianMatrix,
    Hadamard,
    PhaseRetrieval,
    Saturation,
    SinglePixel,
    SubsampledTransform,
    random_codes,
)

#: Each class by its name in `invgen.operators`, with the instances that stand for it.
SENSING = {
    "GaussianMatrix": {
        "wide": lambda: GaussianMatrix((3, 4), 7, seed=0),
        "tall": lambda: GaussianMatrix((5,), 8, seed=1),
        "complex": lambda: GaussianMatrix((2, 3), 4, seed=0, field="complex"),
        "volume": lambda: GaussianMatrix((2, 3, 2), 5, seed=2),
    },
    "Hadamard": {
        "natural": lambda: Hadamard((8, 4)),
        "sequency": lambda: Hadamard((4, 8), "sequency"),
        "line": lambda: Hadamard((32,), "sequency"),
        "complex": lambda: Hadamard((2, 8), field="complex"),
        "volume": lambda: Hadamard((2, 4, 2), "sequency"),
        "single pixel": lambda: Hadamard((1,)),
    },
    "SubsampledTransform": {
        "cosines": lambda: SubsampledTransform((5, 6), 11),
        "cosines, no signs": lambda: SubsampledTransform((4, 7), 9, signs=False, seed=1),
        "cosines, complex": lambda: SubsampledTransform((3, 5), 6, field="complex"),
        "cosines, volume": lambda: SubsampledTransform((2, 3, 4), 10, seed=2),
        "cosines, all": lambda: SubsampledTransform((4, 3), 12),
        "rows": lambda: SubsampledTransform((4, 5), rows=[7, 0, 3]),
        "hadamard": lambda: SubsampledTransform((4, 8), 9, "hadamard"),
        "hadamard, complex": lambda: SubsampledTransform((8,), 5, "hadamard", field="complex"),
        "fourier": lambda: SubsampledTransform((5, 4), 8, "fourier", field="complex"),
    },
    "SinglePixel": {
        "hadamard": lambda: SinglePixel((4, 8), 11),
        "hadamard, all": lambda: SinglePixel((4, 4), 16),
        "hadamard, one": lambda: SinglePixel((4, 2), 1),
        "hadamard, two": lambda: SinglePixel((2, 4), 2),
        "hadamard, differential": lambda: SinglePixel((4, 4), 7, differential=True),
        "random": lambda: SinglePixel((5, 3), 8, "random"),
        "random, tall": lambda: SinglePixel((5,), 9, "random", seed=3),
        "random, differential": lambda: SinglePixel((3, 4), 6, "random", seed=1, differential=True),
    },
    "PhaseRetrieval": {
        "one exposure": lambda: PhaseRetrieval((4, 5), oversampling=2),
        "octanary": lambda: PhaseRetrieval((5, 3), random_codes(3, (5, 3), seed=0)),
        "intensities": lambda: PhaseRetrieval((4, 4), random_codes(2, (4, 4), 1, "phase"), squared=True),
        "real": lambda: PhaseRetrieval((4, 3), random_codes(2, (4, 3), seed=2), field="real"),
        "real intensities": lambda: PhaseRetrieval((7,), oversampling=3, squared=True, field="real"),
        "volume": lambda: PhaseRetrieval((2, 3, 4), random_codes(2, (2, 3, 4), seed=0)),
    },
    "Saturation": {
        "image": lambda: Saturation((4, 5), -0.5, 0.8),
        "above": lambda: Saturation((3, 4, 2), high=0.3),
        "below": lambda: Saturation((7,), low=0.0),
        "blur": lambda: Saturation(Blur((5, 4), torch.ones(2, 3)), -1.0, 1.5),
        "matrix": lambda: Saturation(GaussianMatrix((3, 3), 5, seed=0), high=0.2),
    },
}
