"""Warnings on reconstructions: how often scans are said not to fit that do, and that do not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

import invgen as ig
from benchmarks.plausibility.scans import abdomen, chest, ct_scan, head, mri_scan, phantom, shrunk
from benchmarks.report import Report
from invgen.plausibility import Calibration, assess, binomial_interval, calibrate

__all__ = ["warnings"]

_LEVEL = 0.05
#: Numbers of calibration scans, of CT and of each head, and of those compared: that fit, and of each kind
#: that does not.
_CT, _MRI = 240, 100
_FITTING, _MISFITS = 120, 24

#: Seeds of the scans that are compared, by what they show; those below the first are of calibrations.
_CT_SEEDS = {"phantoms": 1000, "chests": 2000, "heads": 3000, "abdomens": 4000}
_MRI_SEEDS = {"heads": 6000, "rotated": 7000, "chests": 8000, "ellipses": 9000, "calibration": 10_000}


def warnings(report: Report) -> None:
    """CT with `ct-phantoms`, then MRI with `brain-mr`, each calibrated here on scans that fit."""
    torch.set_num_threads(1)
    _ct(report)
    _mri(report)


def _solver(name: str, **settings: int) -> ig.solvers.DDS:
    """In bfloat16, which takes half the time; statistics are of the network in full precision in any case."""
    return ig.solvers.DDS(ig.priors.load(name).evaluated("bfloat16"), **settings)


def _ct(report: Report) -> None:
    solver = _solver("ct-phantoms")
    calibration = calibrate(solver, map(ct_scan, range(_CT)), about="random phantoms")

    def rate(what: str, objects: str, scan: Callable[[int], ig.Problem], count: int = _MISFITS) -> None:
        first, fits = _CT_SEEDS[objects], what == "random phantoms"
        _rate(report, f"CT, {what}", solver, calibration, range(first, first + count), scan, fits)

    rate("random phantoms", "phantoms", ct_scan, _FITTING)
    for factor in (0.5, 2.0):
        what = f"random phantoms, noise level stated {factor:g} times"
        rate(what, "phantoms", lambda seed, f=factor: _stated(ct_scan(seed), f))
    rate("chests", "chests", lambda k: ct_scan(k, chest((k - 2000) % 24)))
    rate("heads", "heads", lambda k: ct_scan(k, shrunk(head("chris", k - 3000))))
    rate("abdomens", "abdomens", lambda k: ct_scan(k, abdomen(k - 4000)))


def _mri(report: Report) -> None:
    solver, first = _solver("brain-mr", iterations=20), _MRI_SEEDS["calibration"]
    scans = (
        *((k, "i") for k in range(_MRI)),
        *((k, "chris") for k in range(first, first + _MRI)),
    )
    calibration = calibrate(solver, (mri_scan(k, head(name, k)) for k, name in scans), about="two heads")

    def rate(what: str, objects: str, scan: Callable[[int], ig.Problem], count: int = _MISFITS) -> None:
        first, fits = _MRI_SEEDS[objects], what.startswith("head")
        _rate(report, f"MRI, {what}", solver, calibration, range(first, first + count), scan, fits)

    for name in ("i", "chris"):
        what = f"head {name}, other slices, poses, contrasts and phases"
        rate(what, "heads", lambda k, n=name: mri_scan(k, head(n, k)), _FITTING // 2)
    for factor in (0.5, 2.0):
        what = f"noise level stated {factor:g} times"
        rate(what, "heads", lambda k, f=factor: _stated(mri_scan(k, head("i", k)), f))
    rate("coil maps turned by 10 degrees", "heads", lambda k: mri_scan(k, head("i", k), 10.0))
    rate("rotated heads", "rotated", _rotated)
    rate("chests", "chests", lambda k: mri_scan(k, phantom("chest", k % 24)))
    rate("ellipses", "ellipses", lambda k: mri_scan(k, phantom("ellipses", k)))


def _rotated(seed: int) -> ig.Problem:
    """A scan of either head, turned by 90, 180 or 270 degrees."""
    name = ("i", "chris")[seed // 3 % 2]
    return mri_scan(seed, head(name, seed, (90, 180, 270)[seed % 3]))


def _stated(problem: ig.Problem, factor: float) -> ig.Problem:
    """The same data, said to have `factor` times the noise."""
    assert problem.noise is not None
    return ig.Problem(problem.operator, problem.measurement, problem.noise.scaled(factor))


def _rate(
    report: Report,
    what: str,
    solver: Any,
    calibration: Calibration,
    seeds: Iterable[int],
    scan: Callable[[int], ig.Problem],
    fits: bool = False,
) -> None:
    """Part of the scans that are said not to fit, with the interval of Clopper and Pearson."""
    said, compared, total = 0, 0, 0
    for seed in seeds:
        problem = scan(seed)
        found = assess(solver, problem, solver(problem, seed=seed), calibration=calibration)
        p = found.p_values.get("scan")
        said += p is not None and float(p) <= _LEVEL
        compared, total = compared + (p is not None), total + 1
    low, high = binomial_interval(said, compared) if compared else (0.0, 1.0)
    measured = f"{said} of {compared}, {100 * low:.1f} to {100 * high:.1f} %"
    other = f"; {total - compared} of another protocol" if compared < total else ""
    wanted = "3 to 7 %" if fits else "90 %"
    part = said / max(1, compared)
    report.row(what, measured + other, wanted, (0.03 <= part <= 0.07) if fits else part >= 0.9)
