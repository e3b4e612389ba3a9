"""Results as a benchmark writes them, with names that want to be markup, and images."""

import hashlib

import pytest
import torch

from invgen.bench.record import Cell, Record
from invgen.bench.store import Results, SuiteInfo

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    r"a_b & 50 % of $x$ #1 {y} ~ ^2 \alpha | `c` *d*",
    "</script><script>document.title='broken'</script>",
    "Größe 漢字",
)


def truth(size, number):
    """A disc, of another place and value in every image."""
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    middle = size / 2 + number % 5 - 2
    inside = (rows - middle) ** 2 + (columns - size / 2) ** 2 < (size / 3) ** 2
    return (0.2 + 0.6 * inside + 0.01 * (number % 7)).float()


def fill(
    folder,
    *,
    methods=("FBP", "TV"),
    views=(30, 60),
    images=4,
    seeds=1,
    size=24,
    hostile=True,
    suite="ct-sparse",
):
    """Write results: the first method is worst, each further one 1 dB better, more views 2 dB."""
    results, generator = Results(folder), torch.Generator().manual_seed(0)
    names = [*methods, *(HOSTILE if hostile else ())]
    tasks = {f"{n} views": {"views": n} for n in views}
    test = [f"disc {i}" for i in range(images)]
    splits = {"test": test, "tuning": ["disc 100", "disc 101"]}
    info = SuiteInfo("Discs from few views.", "psnr", {t: {"axes": a, **splits} for t, a in tasks.items()})
    results.describe_suite(suite, info)
    results.describe_run(
        "2026-01-02T03:04:05Z",
        command=f"invgen bench {suite} --seed 0",
        versions={"invgen": "0.1.0", "torch": "2.13.0"},
        hardware={"cpu": "two cores"},
        seeds=list(range(seeds)),
    )
    for task, axes in tasks.items():
        for place, method in enumerate(names):
            for number, image in enumerate(test):
                for seed in range(seeds):
                    cell = Cell(suite, task, image, "test", method, seed, axes=axes)
                    std = 0.1 * 10 ** (-(place + 0.02 * axes["views"]) / 20)
                    _add(results, cell, truth(size, number), std, generator, is_sampler=place % 2 == 1)
    cell = Cell(
        suite, next(iter(tasks)), test[0], "test", "TV", 0, "tuned", {"views": views[0]}, {"weight": 0.0123}
    )
    for number, image in enumerate(test):
        tuned = Cell(**{**vars(cell), "image": image})
        _add(results, tuned, truth(size, number), 0.05, generator)
    for image in splits["tuning"]:
        trial = Cell(**{**vars(cell), "image": image, "split": "tuning", "run": "tuning"})
        results.add(Record(_identity(trial), trial, {"psnr": 20.0}, **MADE))
    for image in test:  # a package that is not there
        peer = Cell(
            suite, cell.task, image, "test", "peer", 0, axes=cell.axes, package="deepinv", kind="peer"
        )
        _fail(results, peer, "deepinv is not installed: pip install deepinv", None)
    best = Cell(**{**vars(cell), "method": "easy ones only", "run": "default", "settings": {}})
    _add(results, best, truth(size, 0), 1e-3, generator)
    for image in test[1:]:
        failed = Cell(**{**vars(best), "image": image})
        _fail(results, failed, "DivergenceError: <b>step 3</b> is 1e+30", 'File "x.py", line 3, in <module>')
    return results


def _add(results, cell, image, std, generator, is_sampler=False):
    found = image + std * torch.randn(image.shape, generator=generator)
    mse = float((found - image).square().mean())
    measures = {"psnr": -10 * torch.tensor(mse).log10().item(), "mse": mse}
    arrays = {"image": found, "truth": image}
    if is_sampler:
        u = torch.rand(4, generator=generator).tolist()
        measures |= {"coverage_50": 0.4 + 0.2 * u[0], "coverage_90": 0.85 + 0.1 * u[1]}
        measures |= {"spread": 0.9 + 0.2 * u[0], "rank": u[2], "tarp": u[3]}
        arrays["std"] = torch.full_like(image, std)
    costs = {"seconds": 0.001 / std, "operator_calls": 20.0, "peak_memory": 2.0**28}
    results.add(Record(_identity(cell), cell, measures, costs, **MADE), arrays)


MADE = {"version": "0.1.0+abc", "machine": "two cores", "finished": "2026-01-02T03:05:00Z"}


def _fail(results, cell, error, traceback):
    results.add(Record(_identity(cell), cell, error=error, traceback=traceback, **MADE))


def _identity(cell):
    return hashlib.sha256(cell.json().encode()).hexdigest()


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    """A small benchmark with hostile names, failures and samplers."""
    with fill(tmp_path_factory.mktemp("results")) as made:
        yield made
