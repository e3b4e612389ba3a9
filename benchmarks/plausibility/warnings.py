"""Warnings on reconstructions: how often scans are said not to fit that do, and that do not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

import invgen as ig
from benchmarks.plausibility.scans import chest, ct_scan, head, mri_scan, phantom, shrunk
from benchmarks.report import Report
from invgen.plausibility import Calibration, assess, binomial_interval, calibrate

__all__ = ["warnings"]

_LEVEL = 0.05
#: Numbers of scans that fit, and of each kind that does not.
_FITTING, _MISFITS = 100, 24

#: Seeds of the scans that are compared; those below are of calibrations.
_TEST = 1000


def warnings(report: Report) -> None:
    """CT with `ct-phantoms`, then MRI with `brain-mr`, each calibrated here on scans that fit."""
    torch.set_num_threads(1)
    _ct(report)
    _mri(report)


def _ct(report: Report) -> None:
    solver = ig.solvers.DDS(ig.priors.load("ct-phantoms"))
    calibration = calibrate(solver, map(ct_scan, range(120)), about="random phantoms")
    seeds = range(_TEST, _TEST + _FITTING)
    _rate(report, "CT, random phantoms", solver, calibration, seeds, ct_scan, fits=True)
    for factor in (0.5, 2.0):
        what = f"CT, random phantoms, noise level stated {factor:g} times"
        _rate(report, what, solver, calibration, seeds, lambda seed, f=factor: _stated(ct_scan(seed), f))
    few = range(_MISFITS)
    _rate(report, "CT, chests", solver, calibration, few, lambda k: ct_scan(2000 + k, chest(k)))
    _rate(
        report, "CT, heads", solver, calibration, few, lambda k: ct_scan(3000 + k, shrunk(head("chris", k)))
    )


def _mri(report: Report) -> None:
    solver = ig.solvers.DDS(ig.priors.load("brain-mr"), iterations=20)
    calibration = calibrate(solver, (mri_scan(k, head("i", k)) for k in range(60)), about="head I")
    few = range(6000, 6000 + _MISFITS)

    def rate(what: str, scan: Callable[[int], ig.Problem], fits: bool = False) -> None:
        _rate(report, f"MRI, {what}", solver, calibration, few, scan, fits)

    rate("the head of the calibration, other slices and poses", lambda k: mri_scan(k, head("i", k)), True)
    rate("another head", lambda k: mri_scan(k, head("chris", k)), True)
    for factor in (0.5, 2.0):
        what = f"noise level stated {factor:g} times"
        rate(what, lambda k, f=factor: _stated(mri_scan(k, head("i", k)), f))
    rate("rotated heads", lambda k: mri_scan(k, head("i", k, (90, 180, 270)[k % 3])))
    rate("coil maps turned by 10 degrees", lambda k: mri_scan(k, head("i", k), 10.0))
    rate("chests", lambda k: mri_scan(k, phantom("chest", k % 24)))
    rate("ellipses", lambda k: mri_scan(k, phantom("ellipses", k)))


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
