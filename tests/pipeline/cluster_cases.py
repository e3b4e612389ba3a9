"""Clusters in this process, and what the tests reconstruct on them."""

from __future__ import annotations

from contextlib import contextmanager


@contextmanager
def threads(workers=2):
    """A scheduler and workers in this process, and their client."""
    import distributed

    options = {"processes": False, "protocol": "tcp", "dashboard_address": ":0"}
    with (
        distributed.LocalCluster(n_workers=workers, threads_per_worker=1, **options) as local,
        distributed.Client(local) as client,
    ):
        yield client


CASES = {
    "parallel": {"solver": "tv", "iterations": 5, "center": 14.0},
    "fan": {"solver": "fbp"},
    "cone": {"solver": "sirt", "iterations": 2},
    "grid": {"solver": "tv", "iterations": 4},
    "picture": {"operator": "super-resolution:2", "simulate": True, "noise_std": 0.05, "iterations": 5},
    "samples": {"solver": "dds", "samples": 3, "iterations": 3, "slices": slice(1, 4), "seed": 7},
}
