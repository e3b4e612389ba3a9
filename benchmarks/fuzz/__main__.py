"""Fuzz every reader: ``python -m benchmarks.fuzz --seconds 600``; the exit code is 1 where one failed."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
import warnings
from collections import Counter, defaultdict
from contextlib import nullcontext, suppress
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks.fuzz.mutations import KINDS
from benchmarks.fuzz.runner import FAILURES, Mutant, Verdict, choose, run_mutant
from benchmarks.fuzz.seeds import write_seeds
from benchmarks.fuzz.subjects import SUBJECTS
from invgen.core.errors import FileError
from invgen.core.files import temporary_folder


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="when to stop")
    parser.add_argument("--count", type=int, default=None, help="of mutants, rather than seconds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first mutant")
    parser.add_argument("--subjects", nargs="*", default=(), choices=list(SUBJECTS), help="by default all")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failures"), help="folder of what fails")
    return parser.parse_args()


def main() -> int:
    """Run mutants, and print a table of what they gave."""
    given = _arguments()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    failed, slowest, began = 0, (0.0, ""), time.monotonic()
    with temporary_folder() as place:
        seeds = write_seeds(place / "seeds")
        for subject, paths in seeds.items():
            for path in paths:
                nothing = suppress(FileError) if path.suffix == ".pt" else nullcontext()
                with nothing:  # weights of which nothing says the network are refused
                    SUBJECTS[subject](path)  # what is imported late is there then
        number = given.first
        while (
            number < given.first + given.count
            if given.count is not None
            else time.monotonic() - began < given.seconds
        ):
            mutant, original = choose(seeds, given.seed, number, tuple(given.subjects))
            folder = place / "mutant"
            folder.mkdir()
            verdict = run_mutant(mutant, original, folder)
            counts[mutant.subject, mutant.kind][verdict.name] += 1
            slowest = max(slowest, (verdict.seconds, f"{mutant.number} ({mutant.file}, {mutant.kind})"))
            if verdict.name in FAILURES:
                failed += 1
                _keep(mutant, verdict, folder, given.keep)
            shutil.rmtree(folder)
            number += 1
    _table(counts)
    seconds = time.monotonic() - began
    print(f"{number - given.first} mutants in {seconds:.0f} s, {failed} failures; the slowest: ", end="")
    print(f"{slowest[0]:.1f} s, number {slowest[1]}.")
    if failed:
        print(f"They are in {given.keep}.")
    return int(failed > 0)


def _keep(mutant: Mutant, verdict: Verdict, folder: Path, keep: Path) -> None:
    place = keep / f"{mutant.seed}-{mutant.number}"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(folder, place, symlinks=True)
    (place / "verdict.json").write_text(json.dumps(asdict(mutant) | asdict(verdict), indent=2))
    last = verdict.detail.strip().splitlines()[-1:] or [""]
    print(f"{verdict.name}: {mutant}: {last[0][:300]}", flush=True)


def _table(counts: dict[tuple[str, str], Counter[str]]) -> None:
    names = ("fine", "refused", *FAILURES, "unmade")
    print(f"{'reader':<15}{'damage':<12}" + "".join(f"{name:>11}" for name in names))
    for subject in SUBJECTS:
        for kind in KINDS:
            row = counts.get((subject, kind))
            if row:
                print(f"{subject:<15}{kind:<12}" + "".join(f"{row[name]:>11}" for name in names))
    total = sum(counts.values(), Counter())
    print(f"{'all':<27}" + "".join(f"{total[name]:>11}" for name in names))


if __name__ == "__main__":
    sys.exit(main())
