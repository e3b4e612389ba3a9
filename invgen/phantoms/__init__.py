"""Phantoms: objects whose images and projections are both known exactly.

Ellipses, ellipsoids, polygons and soft grains have closed-form projections: the sinogram of a phantom is
that of an ideal scanner, without the pixels of a reconstruction. Lengths are in the caller's unit; x runs to
the right, y up, z up along the rotation axis, and the origin is the center of the image.
"""

from invgen.phantoms.blobs import Blobs
from invgen.phantoms.ellipses import Ellipses
from invgen.phantoms.ellipsoids import Ellipsoids
from invgen.phantoms.head import head
from invgen.phantoms.objects import disc, foam, shepp_logan
from invgen.phantoms.objects3d import ball, foam_3d, shepp_logan_3d
from invgen.phantoms.polygons import Polygons
from invgen.phantoms.random import Assembly, random

__all__ = [
    "Assembly",
    "Blobs",
    "Ellipses",
    "Ellipsoids",
    "Polygons",
    "ball",
    "disc",
    "foam",
    "foam_3d",
    "head",
    "random",
    "shepp_logan",
    "shepp_logan_3d",
]
