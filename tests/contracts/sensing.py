"""Small instances of the operators of compressed sensing, and of nonlinear ones."""

from invgen.operators import GaussianMatrix, Hadamard, SinglePixel, SubsampledTransform

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
}
