"""Slices of heads at random places, angles, sizes and contrasts: what `brain-mr` learns from."""

import math

import nibabel
import numpy as np
import torch
from scipy.ndimage import map_coordinates, spline_filter
from scipy.spatial.transform import Rotation

#: Directions down and to the right on a slice: of right, front and up.
PLANES = {
    "axial": ((0, -1, 0), (1, 0, 0)),
    "coronal": ((0, 0, -1), (1, 0, 0)),
    "sagittal": ((0, 0, -1), (0, 1, 0)),
}


class Head:
    """A volume with its axes to the right, to the front and up; white matter of T1 is at about 0.7.

    Its slices have so many pixels, of a side in mm.
    """

    def __init__(self, path, shape=(256, 192), pixel=0.9):
        self.pixels, self.pixel = shape, pixel
        image = nibabel.as_closest_canonical(nibabel.load(path))
        volume = image.get_fdata(dtype=np.float32)
        volume /= np.percentile(volume, 99.8)
        self.spacing = np.array(image.header.get_zooms())
        self.shape, self.splines = volume.shape, spline_filter(volume, order=3)
        self.center = np.array([np.average(n, weights=volume > 0.2) for n in np.indices(volume.shape)])
        #: The axis across the slices of a scan that has few.
        self.across = int(np.argmax(self.spacing)) if self.spacing.max() > 1.2 else None

    def planes(self):
        """Those that it can be seen in, and how often."""
        if self.across is None:
            return ["axial", "axial", "axial", "coronal", "sagittal"]
        return [["sagittal", "coronal", "axial"][self.across]]

    def slice(self, plane, index, angles=(0.0, 0.0, 0.0), size=1.0, shift=(0.0, 0.0), step=1):
        """One slice at a voxel along its normal, turned by angles in degrees, the last one in its plane.

        Of pixels of `step` times the side.
        """
        down, right = np.array(PLANES[plane], dtype=float)
        normal = np.cross(down, right)
        turn = Rotation.from_rotvec(np.deg2rad(angles) @ np.stack([down, right, normal]))
        pixel = self.pixel * size * step
        rows, columns = ((np.arange(n) - (n - 1) / 2) * pixel for n in np.array(self.pixels) // step)
        rows, columns = rows[:, None, None] + shift[0], columns[None, :, None] + shift[1]
        center = self.center.copy()
        center[np.argmax(np.abs(normal))] = index
        places = center + (rows * turn.apply(down) + columns * turn.apply(right)) / self.spacing
        found = map_coordinates(self.splines, np.moveaxis(places, -1, 0), order=3, prefilter=False)
        return torch.from_numpy(found.clip(0)).float()

    def indices(self, plane):
        """Of the slices that show more than a little of the head."""
        axis = int(np.argmax(np.abs(np.cross(*PLANES[plane]))))
        return [i for i in range(self.shape[axis]) if (self.slice(plane, i) > 0.2).float().mean() > 0.1]


class HeadSlices:
    """Any slice of any head of several, in a pose and a size that another head could have."""

    def __init__(self, heads):
        self._heads = heads
        self._seen = {(head, plane): head.indices(plane) for head in heads for plane in set(head.planes())}

    def __call__(self, generator, step=1):
        """One slice, of pixels of `step` times the side."""
        head = self._heads[int(generator.integers(len(self._heads)))]
        plane = str(generator.choice(head.planes()))
        tilt = 8.0 if head.across is None else 0.0
        angles = generator.normal(0, (tilt, tilt, 6.0))
        # from front to back a head is longer than from side to side
        size = math.exp(generator.normal(0, 0.06)) * (1.2 if plane == "sagittal" else 1.0)
        index, shift = generator.choice(self._seen[head, plane]), generator.normal(0, 4.0, 2)
        image = head.slice(plane, index, angles, size, shift, step)
        return image if generator.random() < 0.5 else image.flip(-1)


def in_random_contrast(images, generator):
    """Moduli (n, 1, H, W) in a random contrast and brightness."""

    def normal(scale):
        return scale * torch.randn(len(images), 1, 1, 1, generator=generator, device=images.device)

    value = images.clamp(min=1e-4) ** torch.exp(normal(0.25))
    bright = 1 + normal(0.25) * torch.cos(math.pi * value) + normal(0.2) * torch.cos(2 * math.pi * value)
    return torch.exp(normal(0.25)) * (value * bright).abs()
