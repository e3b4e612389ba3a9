"""Small instances of the operators of tomography."""

import math

from invgen.operators import ConeBeam, FanBeam, Radon

UNEVEN = [0.1, 0.9, 1.0, 2.2, 4.0, -0.7]


def radon(shape=(9, 8), angles=7, **parameters):
    return Radon(shape, angles, **parameters)


def fan(shape=(9, 8), angles=7, source_origin=20.0, source_detector=31.0, **parameters):
    return FanBeam(shape, angles, source_origin, source_detector, **parameters)


def cone(shape=(4, 5, 6), angles=3, source_origin=12.0, source_detector=20.0, **parameters):
    return ConeBeam(shape, angles, source_origin, source_detector, **parameters)


#: Each class by its name in `invgen.operators`, with the instances that stand for it.
TOMOGRAPHY = {
    "Radon": {
        "odd": lambda: radon((9, 9), 8),
        "even": lambda: radon((8, 8), 7),
        "rectangular": lambda: radon((6, 11), 9),
        "tall": lambda: radon((11, 6), UNEVEN),
        "one view": lambda: radon((6, 7), 1),
        "units": lambda: radon(pixel_size=0.3, detector_spacing=0.21, detector_offset=0.1),
        "coarse detector": lambda: radon(detector_spacing=1.7, detector_offset=-0.6),
        "disc": lambda: radon((10, 10), 9, detector_count=10),
        "disc with offset": lambda: radon((10, 9), 9, detector_count=11, detector_offset=0.8),
        "wide disc": lambda: radon((8, 8), 5, detector_count=16, fov="disc"),
        "truncated": lambda: radon((10, 10), 9, detector_count=7, fov="image"),
        "truncated with offset": lambda: radon(
            (9, 8), UNEVEN, detector_count=6, detector_offset=1.1, fov="image"
        ),
        "joseph": lambda: radon(method="joseph"),
        "joseph rectangular": lambda: radon((6, 11), UNEVEN, method="joseph"),
        "joseph units": lambda: radon(
            method="joseph", pixel_size=0.3, detector_spacing=0.21, detector_offset=0.1
        ),
        "joseph coarse detector": lambda: radon(method="joseph", detector_spacing=2.3, detector_offset=-0.6),
        "joseph disc": lambda: radon((10, 10), 9, detector_count=10, method="joseph"),
        "joseph truncated": lambda: radon((10, 10), 9, detector_count=7, fov="image", method="joseph"),
        "joseph axes": lambda: radon((5, 6), [0.0, math.pi / 2, math.pi / 4, math.pi], method="joseph"),
    },
    "FanBeam": {
        "odd": lambda: fan((9, 9), 8),
        "even": lambda: fan((8, 8), 7),
        "rectangular": lambda: fan((6, 11), UNEVEN),
        "tall": lambda: fan((11, 6), UNEVEN, source_origin=7.0, source_detector=7.0),
        "one view": lambda: fan((6, 7), 1),
        "units": lambda: fan((9, 8), 7, 5.0, 8.0, pixel_size=0.3, detector_spacing=0.21, detector_offset=0.1),
        "coarse detector": lambda: fan(detector_spacing=3.7, detector_offset=-0.6),
        "curved": lambda: fan(curved=True),
        "curved with offset": lambda: fan((8, 9), 5, 7.0, 9.0, curved=True, detector_offset=0.8),
        "wide fan": lambda: fan((8, 8), 5, source_origin=5.8, source_detector=6.0),
        "disc": lambda: fan((10, 10), 9, detector_count=12),
        "truncated": lambda: fan((10, 10), 9, detector_count=9, detector_offset=1.1, fov="image"),
        "far source": lambda: fan((7, 8), 6, source_origin=1e6, source_detector=1e6),
    },
    "ConeBeam": {
        "odd": lambda: cone((5, 7, 7), 3),
        "even": lambda: cone((4, 6, 6), 4),
        "rectangular": lambda: cone((3, 4, 7), UNEVEN[:4]),
        "one slice": lambda: cone((1, 5, 6), 3),
        "units": lambda: cone(
            (3, 5, 4), 3, 4.0, 5.0, voxel_size=0.3, detector_spacing=(0.2, 0.25), detector_offset=(0.1, -0.2)
        ),
        "coarse detector": lambda: cone(detector_spacing=2.9),
        "few rows": lambda: cone((6, 5, 5), 3, detector_shape=(3, 9), detector_offset=(1.2, 0.0)),
        "disc": lambda: cone((3, 7, 7), 3, detector_shape=(5, 8)),
        "far source": lambda: cone((3, 4, 5), 3, 1e6, 1e6),
    },
}
