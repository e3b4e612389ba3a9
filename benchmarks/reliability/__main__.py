"""Kill commands or fill their disk, and let them go on: ``python -m benchmarks.reliability kills``.

``kills`` kills each command (SIGKILL) at a random moment, and then the one that goes on, until that number of
kills; ``dask`` does so to reconstructions whose slices are computed by two workers of a cluster; ``workers``
kills the workers instead; ``disk`` gives every command that writes a file system of a random size (as root),
for its output and temporary files, and then room.
Each output is compared with that of an undisturbed run, byte by byte. The exit code is 1 where one differs,
where something half-written has the name of an output, or where anything is left behind.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from benchmarks.reliability.cases import CASES, Case, attempt, contents, prepare
from benchmarks.reliability.disk import fill
from benchmarks.reliability.writers import WRITERS
from benchmarks.reliability.writers import prepare as prepare_writers
from invgen.core.files import temporary_folder

_SCHEDULER = """
import sys, time
from distributed import LocalCluster
if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, memory_limit=0, dashboard_address=":0") as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""


def _undisturbed(case: Case) -> tuple[bytes, set[str], float]:
    """The output, all files there are then, and how long it took."""
    began = time.perf_counter()
    said = attempt(case.line(False), None)
    if said:
        raise SystemExit(f"{case.words} fails: {said}")
    found = contents(Path(case.output)), _files(), time.perf_counter() - began
    _clear()
    return found


def _files() -> set[str]:
    return {str(path) for path in Path().rglob("*") if path.is_file()}


def _clear() -> None:
    """Remove all but what commands read."""
    for path in _files() - {"scan.h5", "images.npy", "prior.safetensors"}:
        os.unlink(path)


def _kills(name: str, count: int, rng: random.Random, *more: str) -> list[str]:
    """Kill a command that number of times; what is wrong with what comes of it."""
    case, output = CASES[name], Path(CASES[name].output)
    expected, files, seconds = _undisturbed(case)
    wrong, killed, finished, resume = [], 0, 0, False
    if more:
        began = time.perf_counter()
        attempt(case.line(False, *more), None)
        seconds = time.perf_counter() - began
        _clear()
    while killed < count or resume:
        limit = rng.uniform(0.1, 1.0) * seconds if killed < count else None
        said = attempt(case.line(resume, *more), limit)
        if said is None:
            killed, resume = killed + 1, True
            if output.exists():  # it was killed after its end, before it was gone
                wrong += [] if contents(output) == expected else [f"{name}: {output} is half-written"]
            continue
        finished += 1
        if said:
            wrong.append(f"{name}: {said}")
        elif contents(output) != expected:
            wrong.append(f"{name}: other bytes after {killed} kills")
        elif left := _files() - files:
            wrong.append(f"{name}: left behind: {sorted(left)}")
        resume = False
        _clear()
    how = " by dask" if more else ""
    print(f"{name}{how}: {killed} kills, {finished} runs to their end, {len(wrong)} faults", flush=True)
    return wrong


@contextmanager
def _cluster() -> Iterator[str]:
    """The address of a scheduler with two workers, in processes of their own."""
    with tempfile.NamedTemporaryFile("w", suffix=".py") as script:
        script.write(_SCHEDULER)
        script.flush()
        process = subprocess.Popen(
            [sys.executable, script.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
            process.wait()


def _workers(count: int, rng: random.Random) -> list[str]:
    """Kill workers, one after another, in one run, which goes on where a slice has lost too many of them."""
    from distributed import Client

    case = CASES["TV"]
    case = Case((*case.words, "--set", "tolerance=0", "--iterations", 400), case.output)
    expected, files, _ = _undisturbed(case)
    with _cluster() as address:
        child = os.fork()  # before there are threads of a client
        if child == 0:
            resumed = 0
            while said := attempt(case.line(resumed > 0, "--dask", address), None):
                print(said, flush=True)  # such as that four workers ended with the same slice
                resumed += 1
                if resumed > count:
                    break
            print(f"workers: gone on {resumed} times with --resume", flush=True)
            os._exit(0)
        killed = done = 0
        with Client(address) as client:
            while killed < count and not done:
                time.sleep(rng.uniform(3.0, 8.0))
                if pids := sorted(client.run(os.getpid, on_error="ignore").values()):
                    os.kill(rng.choice(pids), signal.SIGKILL)
                    killed += 1
                done, _ = os.waitpid(child, os.WNOHANG)
            if not done:
                os.waitpid(child, 0)
    wrong = []
    if not Path(case.output).exists() or contents(Path(case.output)) != expected:
        wrong.append("workers: the run has not come to the same bytes")
    elif left := _files() - files:
        wrong.append(f"workers: left behind: {sorted(left)}")
    print(f"workers: {killed} kills in one run: {len(wrong)} faults", flush=True)
    _clear()
    return wrong


def main() -> int:
    """Run a campaign."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reliability", description=__doc__)
    parser.add_argument("campaign", choices=("kills", "dask", "workers", "disk"))
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", nargs="*", help="By default all.")
    given = parser.parse_args()
    known = list(WRITERS if given.campaign == "disk" else CASES)
    if other := set(cases := given.cases or known) - set(known):
        parser.error(f"cases of {given.campaign} are {', '.join(known)}; got {', '.join(sorted(other))}")
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    warnings.simplefilter("ignore")
    rng, wrong = random.Random(given.seed), []
    with temporary_folder() as place:
        os.chdir(place)
        prepare(prepare_writers if given.campaign == "disk" else None)
        if given.campaign == "workers":
            wrong += _workers(given.count, rng)
        elif given.campaign == "dask":
            with _cluster() as address:
                for name in cases:
                    if name != "training":
                        wrong += _kills(name, given.count, rng, "--dask", address)
        elif given.campaign == "disk":
            Path("full").mkdir()
            for name in cases:
                wrong += fill(name, given.count, rng, Path("full"))
        else:
            for name in cases:
                wrong += _kills(name, given.count, rng)
        os.chdir("/")
    print("\n".join(wrong))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
