"""What goes through memory in multi-coil MRI, compiled for the CPU: as fast as memory, in one pass each.

Complex numbers lie as real and imaginary part side by side, arrays of the image's rows as (rows, 2 W). Maps
have their rows in another `order` than images, and their columns begin at another one, `first`. Each thread
writes its own rows: the same bits with any number of threads.
"""

from __future__ import annotations

from numba import njit, prange


@njit(parallel=True, cache=True, error_model="numpy")
def spread(maps, x, order, first, y):
    """Write ``maps_c x``, (coils, rows, 2 W), in the order of the maps."""
    for row in prange(len(order)):
        image = x[order[row]]
        for c in range(len(maps)):
            rest = len(image) - 2 * first
            _multiply(maps[c, row, :rest], image[2 * first :], y[c, row, :rest])
            _multiply(maps[c, row, rest:], image[: 2 * first], y[c, row, rest:])


@njit(parallel=True, cache=True, error_model="numpy")
def combine(maps, z, order, first, x):
    """Add ``sum_c conj(maps_c) z_c`` to `x` (rows, 2 W), in the order of images."""
    for row in prange(len(order)):
        image = x[order[row]]
        for c in range(len(maps)):
            rest = len(image) - 2 * first
            _add_product(maps[c, row, :rest], z[c, row, :rest], image[2 * first :])
            _add_product(maps[c, row, rest:], z[c, row, rest:], image[: 2 * first])


@njit(cache=True, error_model="numpy")
def _multiply(s, x, y):
    for i in range(len(y) // 2):
        y[2 * i] = s[2 * i] * x[2 * i] - s[2 * i + 1] * x[2 * i + 1]
        y[2 * i + 1] = s[2 * i] * x[2 * i + 1] + s[2 * i + 1] * x[2 * i]


@njit(cache=True, error_model="numpy")
def _add_product(s, z, x):
    for i in range(len(x) // 2):
        x[2 * i] += s[2 * i] * z[2 * i] + s[2 * i + 1] * z[2 * i + 1]
        x[2 * i + 1] += s[2 * i] * z[2 * i + 1] - s[2 * i + 1] * z[2 * i]
