"""The structure of the package: ``python -m benchmarks.structure`` prints lines, files and levels of folders.

A level is a step of the longest chain of imports among the files of a folder, those below it included.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]

#: Folders of the repository, as they install.
FOLDERS = {
    "invgen": "invgen",
    "operators": "invgen.operators",
    "priors": "invgen.priors",
    "solvers": "invgen.solvers",
}

#: The order of imports, from the ground up: each module may import its own rank and those before.
RANKS = (
    ("invgen.core",),
    ("invgen.operators",),
    ("invgen.noise", "invgen.problem"),
    ("invgen.convex",),
    ("invgen.priors", "invgen.reconstruction", "invgen.chains"),
    ("invgen.solvers",),
    ("invgen.io", "invgen.metrics", "invgen.figures", "invgen.phantoms", "invgen.simulate"),
    # commands warn where a scan does not fit its prior, and give intervals, so that the pipeline needs them
    ("invgen.plausibility", "invgen.calibration"),
    ("invgen.pipeline",),
    ("invgen.bench", "invgen.certification", "invgen.testing"),
    ("invgen.cli",),
)


def modules(root: Path = ROOT) -> dict[str, Path]:
    """Source files by the name that they are imported by."""
    found = {}
    for folder, package in FOLDERS.items():
        for path in sorted((root / folder).rglob("*.py")):
            parts = (package, *path.relative_to(root / folder).with_suffix("").parts)
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


def imports(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Names of the package's modules that a file imports: at its top, in functions, and for types alone."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module in known:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in known else node.module


def graph(root: Path = ROOT) -> dict[str, set[str]]:
    """What each module imports; the front, `invgen` itself, loads everything by name and is left out."""
    known = modules(root)
    found = {name: set(imports(path, known)) - {name, "invgen"} for name, path in known.items()}
    return {name: targets for name, targets in found.items() if name != "invgen"}


def rank(name: str) -> int | None:
    """Place of a module in the order; None for one that has none."""
    for place, names in enumerate(RANKS):
        if any(name == known or name.startswith(known + ".") for known in names):
            return place
    return None


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Groups of files that import one another in a circle: strongly connected components (Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in sorted(arrows[name]):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                found.append(sorted(group))

    for name in arrows:
        if name not in index:
            visit(name)
    return found


def levels(arrows: dict[str, set[str]], names: set[str]) -> int:
    """Length of the longest chain of imports among these modules."""
    known: dict[str, int] = {}

    def depth(name: str) -> int:
        if name not in known:
            known[name] = 0  # a circle would go on for ever
            known[name] = 1 + max((depth(other) for other in arrows[name] & names), default=0)
        return known[name]

    return max(map(depth, names))


def main() -> None:
    """Print the table."""
    known, arrows = modules(), graph()
    lines = {name: path.read_text().count("\n") for name, path in known.items()}
    folders = sorted({path.parent.relative_to(ROOT) for path in known.values()})
    print(f"{'folder':<34}{'files':>6}{'below':>7}{'lines':>8}{'longest':>9}{'levels':>8}")
    for folder in folders:
        below = {n for n, path in known.items() if path.is_relative_to(ROOT / folder)}
        here = {n for n in below if known[n].parent == ROOT / folder}
        total, longest = sum(lines[n] for n in below), max(lines[n] for n in below)
        depth = levels(arrows, below & set(arrows))
        print(f"{folder!s:<34}{len(here):>6}{len(below):>7}{total:>8}{longest:>9}{depth:>8}")
    print(f"circles of imports: {circles(arrows) or 'none'}")


if __name__ == "__main__":
    main()
