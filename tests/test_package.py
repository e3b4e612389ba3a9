"""The package as a whole: what imports what, what an import costs, and that nothing global changes."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import invgen as ig

ROOT = Path(__file__).parents[1]

#: Modules by rank, the longest prefix deciding; each may import its own rank and those before.
RANKS = [
    ["invgen.core"],
    ["invgen.operators"],
    ["invgen.noise"],
    ["invgen.problem"],
    ["invgen.convex"],
    ["invgen.priors", "invgen.reconstruction", "invgen.chains"],
    ["invgen.solvers"],
    ["invgen.io", "invgen.metrics", "invgen.phantoms", "invgen.simulate", "invgen.figures"],
    ["invgen.pipeline"],
    ["invgen.certification"],
    ["invgen.testing"],
    ["invgen.cli"],
]


def modules():
    """Every source file with the name that it is imported by."""
    for folder in ("invgen", "operators", "priors", "solvers"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts if folder == "invgen" else ("invgen", *parts))
            yield name.removesuffix(".__init__"), path


def rank(name):
    """Place of a module in the order, or None for the front, `invgen` itself."""
    for place, names in enumerate(RANKS):
        if any(name == known or name.startswith(known + ".") for known in names):
            return place
    return None


def imports(name, path):
    """Names of invgen's modules that a file imports, at its top or within a function, not only for types."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively; spell out the name"
            yield from (
                [f"invgen.{a.name}" for a in node.names] if node.module == "invgen" else [node.module]
            )


def test_every_module_has_a_place_in_the_order():
    homeless = [name for name, _ in modules() if name != "invgen" and rank(name) is None]
    assert not homeless, f"give these a place in RANKS: {homeless}"


@pytest.mark.parametrize(
    ("name", "path"), [m for m in modules() if m[0] != "invgen"], ids=lambda value: str(value)
)
def test_imports_go_one_way(name, path):
    for imported in imports(name, path):
        if imported.startswith("invgen.") and (place := rank(imported)) is not None:
            assert place <= rank(name), f"{name} imports {imported}, which stands above it"
        assert imported.split(".")[0] not in ("operators", "priors", "solvers"), f"{name} imports {imported}"


def test_solvers_ask_for_capabilities_and_not_for_classes():
    families = ("penalties", "densities", "denoisers", "files", "training", "nets")
    for name, path in modules():
        if name.startswith("invgen.solvers"):
            for imported in imports(name, path):
                assert imported != "invgen.priors", f"{name} imports all priors"
                assert not imported.startswith(tuple(f"invgen.priors.{f}" for f in families)), (
                    name,
                    imported,
                )


def python(code, folder):
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_importing_invgen_is_light(tmp_path):
    code = "import sys, invgen; print(*sys.modules)"
    result = python(code, tmp_path)
    assert result.returncode == 0, result.stderr
    loaded = set(result.stdout.split())
    assert "invgen" in loaded
    heavy = {"odl", "matplotlib", "numba", "skimage", "scipy", "h5py", "finufft", "typer", "rich", "tifffile"}
    assert not heavy & loaded


def test_odl_matplotlib_and_scikit_image_are_imported_by_use_only(tmp_path):
    code = (
        "import sys, torch, invgen as ig\n"
        "A = ig.operators.Radon((16, 16), 8)\n"
        "ig.solvers.CG()(ig.Problem(A, A(torch.ones(16, 16))))\n"
        "print(*sys.modules)"
    )
    result = python(code, tmp_path)
    assert result.returncode == 0, result.stderr
    assert not {"odl", "matplotlib", "numba", "skimage"} & set(result.stdout.split())


@pytest.mark.parametrize("name", ["operators", "priors", "solvers"])
def test_the_parts_are_importable_as_invgen_only(name, tmp_path):
    assert python(f"import invgen.{name}", tmp_path).returncode == 0
    result = python(f"import {name}", tmp_path)
    assert "ModuleNotFoundError" in result.stderr


def test_importing_changes_nothing_global(tmp_path):
    code = (
        "import torch\n"
        "def state():\n"
        "    return (torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads(),\n"
        "        torch.get_float32_matmul_precision(), torch.get_rng_state().tolist(),\n"
        "        torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark)\n"
        "torch.manual_seed(3)\n"
        "before = state()\n"
        "import invgen as ig\n"
        "for name in ig.__all__: getattr(ig, name)\n"
        "A = ig.operators.Radon((16, 16), 8, method='joseph')\n"
        "y = ig.noise.Gaussian(0.1).sample(A(torch.ones(16, 16)), seed=0)\n"
        "ig.solvers.SIRT(iterations=3)(ig.Problem(A, y))\n"
        "assert state() == before, 'changed'"
    )
    result = python(code, tmp_path)
    assert result.returncode == 0, result.stderr


def test_every_public_name_is_there_and_documented():
    for name in ig.__all__:
        assert getattr(ig, name).__doc__, name
    for module in (ig.operators, ig.priors, ig.solvers, ig.noise, ig.testing):
        for name in module.__all__:
            assert getattr(module, name).__doc__, f"{module.__name__}.{name}"
    with pytest.raises(AttributeError, match="nonsense"):
        ig.nonsense  # noqa: B018


@pytest.mark.parametrize(
    "thing",
    [
        ig.operators.Radon((8, 8), 4),
        ig.operators.Radon((8, 8), 4).geometry,
        ig.operators.Space((3,)),
        ig.noise.Gaussian(1.0),
        ig.noise.Poisson(),
        ig.noise.Transmission(10.0),
        ig.priors.TotalVariation(),
        ig.solvers.CG(),
        ig.Problem(ig.operators.Identity((3,)), torch.ones(3)),
        ig.Reconstruction(torch.zeros(3)),
    ],
    ids=lambda thing: type(thing).__name__,
)
def test_public_objects_do_not_change(thing):
    for name in [*vars(thing), "a_new_name"]:
        with pytest.raises(AttributeError):
            setattr(thing, name, None)
        with pytest.raises(AttributeError):
            delattr(thing, name)
