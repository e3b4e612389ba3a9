"""Warnings on reconstructions: how often scans are said not to fit that do, and that do not."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

import torch

import invgen as ig
from benchmarks.plausibility.scans import (
    abdomen,
    chest,
    ct_scan,
    head,
    learned_slices,
    mri_scan,
    phantom,
    shrunk,
)
from benchmarks.report import Report
from invgen.plausibility import Calibration, assess, binomial_interval, calibrate

__all__ = ["warnings"]

_LEVEL = 0.05
#: Numbers of scans: of calibrations, of MRI of each head; that fit; and of each kind that does not. With
#: fewer than those of RESULTS.md less is found.
_CT = {"calibration": 60, "fitting": 12, "others": 6}
_MRI = {"calibration": 20, "fitting": 6, "noise": 6, "turned": 4, "chests": 4, "others": 4}
_CT_FULL = {"calibration": 130, "fitting": 65, "others": 24}
_MRI_FULL = {"calibration": 100, "fitting": 40, "noise": 20, "turned": 24, "chests": 18, "others": 10}

#: Images that the density of coarse ones is fitted to.
_EXAMPLES = 3000

#: Seeds of the scans that are compared, by what they show; those below the first are of calibrations.
_CT_SEEDS = {"phantoms": 1000, "chests": 2000, "heads": 3000, "abdomens": 4000}
_MRI_SEEDS = {"heads": 6000, "turned": 7000, "chests": 8006, "ellipses": 9000, "calibration": 10_000}


def warnings(report: Report) -> None:
    """CT with `ct-phantoms`, then MRI with `brain-mr`, each calibrated here on scans that fit.

    Of few scans, for ten minutes of one core; with ``--full`` of as many as in RESULTS.md.
    """
    torch.set_num_threads(1)
    full = "--full" in sys.argv
    _ct(report, _CT_FULL if full else _CT)
    _mri(report, _MRI_FULL if full else _MRI)


def _solver(name: str, **settings: int) -> ig.solvers.DDS:
    """In bfloat16, which takes half the time; statistics are of the network in full precision in any case."""
    return ig.solvers.DDS(ig.priors.load(name).evaluated("bfloat16"), **settings)


def _ct(report: Report, numbers: dict[str, int]) -> None:
    solver = _solver("ct-phantoms")
    calibration = calibrate(solver, map(ct_scan, range(numbers["calibration"])), about="random phantoms")

    def rate(what: str, objects: str, scan: Callable[[int], ig.Problem]) -> None:
        first, count = _CT_SEEDS[objects], numbers["fitting" if objects == "phantoms" else "others"]
        seeds, fits = range(first, first + count), what == "random phantoms"
        _rate(report, f"CT, {what}", solver, calibration, seeds, scan, fits)

    rate("random phantoms", "phantoms", ct_scan)
    for factor in (0.5, 2.0):
        what = f"random phantoms, noise level stated {factor:g} times"
        rate(what, "phantoms", lambda seed, f=factor: _stated(ct_scan(seed), f))
    rate("chests", "chests", lambda k: ct_scan(k, chest((k - 2000) % 24)))
    rate("heads", "heads", lambda k: ct_scan(k, shrunk(head("chris", k - 3000))))
    rate("abdomens", "abdomens", lambda k: ct_scan(k, abdomen(k - 4000)))


def _mri(report: Report, numbers: dict[str, int]) -> None:
    solver, first = _solver("brain-mr", iterations=20), _MRI_SEEDS["calibration"]
    count = numbers["calibration"]
    seeds = {"i": range(count), "chris": range(first, first + count)}
    scans = (mri_scan(k, head(name, k)) for name in seeds for k in seeds[name])
    calibration = calibrate(solver, scans, about="two heads", examples=learned_slices(_EXAMPLES))

    def rate(what: str, objects: str, scan: Callable[[int], ig.Problem], number: str = "others") -> None:
        first, fits = _MRI_SEEDS[objects], what.startswith("head")
        seeds = range(first, first + numbers[number])
        _rate(report, f"MRI, {what}", solver, calibration, seeds, scan, fits)

    for name in ("i", "chris"):
        what = f"head {name}, other slices, poses, contrasts and phases"
        rate(what, "heads", lambda k, n=name: mri_scan(k, head(n, k)), "fitting")
    for factor in (0.5, 2.0):
        what = f"noise level stated {factor:g} times"
        rate(what, "heads", lambda k, f=factor: _stated(mri_scan(k, head("i", k)), f), "noise")
    rate("coil maps turned by 10 degrees", "heads", lambda k: mri_scan(k, head("i", k), 10.0))
    for name in ("i", "chris"):
        turned = {"a quarter": (90, 270), "a half": (180, 180)}
        for what, turns in turned.items():
            rate(
                f"turned by {what}, head {name}",
                "turned",
                lambda k, n=name, t=turns: mri_scan(k, head(n, k, t[k % 2])),
                "turned",
            )
    # statistics were chosen by the first six chests
    rate("chests", "chests", lambda k: mri_scan(k, phantom("chest", k - 8000)), "chests")
    rate("ellipses", "ellipses", lambda k: mri_scan(k, phantom("ellipses", k)))


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
