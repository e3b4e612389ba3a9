"""Single passes over the rays of a slice, compiled: what preprocessing does to each ray or to each column.

Arrays of rays are (views, columns), float32; arithmetic is in float64 where a difference of counts is taken.
A pass runs on one thread, and lets go of Python's lock: other slices are computed meanwhile.
"""

from __future__ import annotations

import math

import numpy as np

from invgen.core.threads import serial

__all__ = ["deviations", "divided", "looked_at", "raised", "too_bright"]


@serial
def looked_at(data, means, some, every, constant):
    """Write the mean of each view, whether some and all of its values are finite, and all are the same."""
    for view in range(data.shape[0]):
        row = data[view]
        total, finite, same = 0.0, 0, 0
        for value in row:
            total += value
            finite += math.isfinite(value)
            same += value == row[0]
        means[view] = total / len(row)
        some[view], every[view], constant[view] = finite > 0, finite == len(row), same == len(row)


@serial
def divided(data, dark, flat, reduction, gain, read, of_dark, ratio, std, quanta):
    """Write transmission, its standard deviation and detected quanta: see `FlatField`.

    `dark` is (columns,), `flat` and `reduction`, the variance of its combination relative to that of a frame,
    (views or 1, columns) and (views or 1,). `read` is the variance of a reading, `of_dark` that of the
    dark field.
    """
    for view in range(data.shape[0]):
        combined = flat[view if len(flat) > 1 else 0]
        reduced = reduction[view if len(reduction) > 1 else 0]
        for column in range(data.shape[1]):
            span = combined[column] - dark[column]
            span = span if span > 0 else 1.0
            counts = data[view, column] - dark[column]
            part = counts / span
            of_counts = gain * max(counts, gain) + read
            of_flat = reduced * (gain * span + read)
            variance = of_counts + part * part * of_flat + (1 - part) * (1 - part) * of_dark
            ratio[view, column] = part
            std[view, column] = math.sqrt(variance) / span
            quanta[view, column] = counts / gain


@serial
def deviations(data, std, beam, sums, least):
    """Write sum and least of each column's deviations from the beam of its view, in standard deviations."""
    for view in range(data.shape[0]):
        level = max(beam[view], 1e-6)
        for column in range(data.shape[1]):
            noise = np.float64(std[view, column]) / level
            deviation = (data[view, column] / level - 1) / noise  # zero where the noise is infinite
            sums[column] += deviation
            least[column] = min(least[column], deviation)


@serial
def too_bright(data, limit, found):
    """Mark rays that exceed by more than a limit the medians of five views and of five columns around them.

    `limit` is an array like the data. The median of five is exceeded where three of them are; beyond the ends
    of an axis its values are mirrored.
    """
    views, columns = data.shape
    for view in range(views):
        row, most = data[view], limit[view]
        before, first = data[_mirrored(view - 1, views)], data[_mirrored(view - 2, views)]
        after, last = data[_mirrored(view + 1, views)], data[_mirrored(view + 2, views)]
        for column in range(columns):
            value, bound = row[column], most[column]
            lower = np.int32(bound < 0)
            lower += value - first[column] > bound
            lower += value - before[column] > bound
            lower += value - after[column] > bound
            lower += value - last[column] > bound
            found[view, column] = lower > 2
        for column in range(columns):
            if found[view, column]:
                exceeded = 0
                for place in range(column - 2, column + 3):
                    exceeded += row[column] - row[_mirrored(place, columns)] > most[column]
                found[view, column] = exceeded > 2


@serial
def _mirrored(place, length):
    """An index within the axis, as `invgen.io.ct.defects.mirrored` has it."""
    place = length - 1 - abs(length - 1 - abs(place))
    return min(max(place, 0), length - 1)


@serial
def raised(data, std, floor, out, relative):
    """Write transmission, raised to a floor and where it is finite to its noise, and its relative noise.

    Returns
    -------
    int
        How many rays were raised.
    """
    low = 0
    for view in range(data.shape[0]):
        for column in range(data.shape[1]):
            value, noise = data[view, column], std[view, column]
            least = max(floor, noise) if math.isfinite(noise) else floor
            low += value < least
            value = max(value, least)
            out[view, column] = value
            relative[view, column] = noise / value
    return low
