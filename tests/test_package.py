"""The package as a whole: what imports what, what an import costs, and that nothing global changes."""

import ast
import importlib.util
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch

import invgen as ig

ROOT = Path(__file__).parents[1]


def _structure():
    """The benchmark that measures the structure, which is not installed."""
    spec = importlib.util.spec_from_file_location("structure", ROOT / "benchmarks" / "structure.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


structure = _structure()
ARROWS = structure.graph()


def test_every_module_has_a_place_in_the_order():
    homeless = [name for name in ARROWS if structure.rank(name) is None]
    assert not homeless, f"give these a place in RANKS: {homeless}"


def test_the_order_is_found_broken_where_it_is():
    assert structure.rank("invgen.core.space") < structure.rank("invgen.operators.base")
    assert structure.rank("invgen.cli.app") > structure.rank("invgen.pipeline.recipe")
    assert "invgen.core.errors" in ARROWS["invgen.problem"]
    assert structure.circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == [["b", "c"]]
    assert structure.levels({"a": {"b"}, "b": {"c"}, "c": set()}, {"a", "b", "c"}) == 3


@pytest.mark.parametrize("name", ARROWS)
def test_imports_go_one_way(name):
    for imported in ARROWS[name]:
        assert structure.rank(imported) <= structure.rank(name), (
            f"{name} imports {imported}, which stands above it"
        )


def test_no_files_import_one_another_in_a_circle():
    assert structure.circles(ARROWS) == []


@pytest.mark.parametrize("path", structure.modules().values(), ids=str)
def test_names_are_spelled_out(path):
    """No relative imports, none of a part by itself, and public names are listed."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively; spell out the name"
            assert (node.module or "").split(".")[0] not in ("operators", "priors", "solvers"), path
    public = [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]
    listed = any(
        isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__" for node in tree.body
    )
    assert listed or not public, f"{path} has public names and no __all__: {public}"


def test_every_folder_of_modules_is_installed():
    """An editable install finds folders that a wheel leaves out."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = set()
    for name, path in settings["package-dir"].items():
        for file in (ROOT / path).rglob("*.py"):
            folders.add(".".join((name, *file.parent.relative_to(ROOT / path).parts)))
    assert folders == set(settings["packages"])


@pytest.mark.parametrize("folder", ["operators", "priors", "solvers"])
def test_a_folder_is_read_at_a_glance(folder):
    assert len(list((ROOT / folder).glob("*.py"))) <= 12


def test_solvers_ask_for_capabilities_and_not_for_classes():
    families = ("penalties", "densities", "denoisers", "files", "training", "nets")
    for name in ARROWS:
        if name.startswith("invgen.solvers"):
            for imported in ARROWS[name]:
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


@pytest.mark.slow
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


@pytest.mark.slow
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
