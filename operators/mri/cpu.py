"""What goes through memory in multi-coil MRI, compiled for the CPU: as fast as memory, in one pass each.

Each thread writes its own rows: the same bits with any number of threads.
"""

from __future__ import annotations

from numba import njit, prange


@njit(parallel=True, cache=True, error_model="numpy")
def accumulate(maps, z, x):
    """Add ``conj(maps) z`` to `x`; real and imaginary parts lie side by side in rows (rows, 2 W)."""
    for row in prange(len(x)):
        _add_product(maps[row], z[row], x[row])


@njit(cache=True, error_model="numpy")
def _add_product(s, z, x):
    for i in range(len(x) // 2):
        x[2 * i] += s[2 * i] * z[2 * i] + s[2 * i + 1] * z[2 * i + 1]
        x[2 * i + 1] += s[2 * i] * z[2 * i + 1] - s[2 * i + 1] * z[2 * i]


@njit(parallel=True, cache=True, error_model="numpy")
def take(y, index, lines):
    """Entries `index` of each row of `y` (rows, W)."""
    for row in prange(len(y)):
        for i in range(len(index)):
            lines[row, i] = y[row, index[i]]


@njit(parallel=True, cache=True, error_model="numpy")
def put(lines, index, y):
    """Adjoint of `take`: the entries in their places, zero elsewhere."""
    for row in prange(len(y)):
        for i in range(y.shape[1]):
            y[row, i] = 0
        for i in range(len(index)):
            y[row, index[i]] = lines[row, i]
