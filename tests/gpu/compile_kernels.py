"""Compile the package's Triton kernels for GPUs that are not there: ``python tests/gpu/compile_kernels.py``.

Prints a line for each kernel and target. What is launched is found by the trials of `Kernels`, and the exit
code is 1 where a kernel of the package is in none of them, or does not compile. Needs Triton's compiler, and
so a process without its interpreter.
"""

from __future__ import annotations

import argparse
import importlib.util
import pkgutil
import sys
from pathlib import Path
from unittest import mock

import torch
import triton
from triton.backends.compiler import GPUTarget

from invgen.core.kernels import Kernels
from invgen.core.launch import Kernel

#: Compute capabilities: A100 and H100.
_TARGETS = (80, 90)

#: What has been compiled: trials launch kernels in the same way more than once.
_DONE: set[tuple[object, ...]] = set()


def main() -> int:
    """Compile, and print what was compiled."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the first block sizes, for the newest target")
    quick = parser.parse_args().quick
    modules = _modules()
    written = {k.name: k for m in modules for k in vars(m).values() if isinstance(k, Kernel)}
    compiled: set[str] = set()

    def compile_only(self: Kernel, grid: object, arguments: tuple[object, ...]) -> None:
        compiled.add(self.name)
        for target in _TARGETS[-1:] if quick else _TARGETS:
            for choice in self.choices[:1] if quick else self.choices:
                for precision in ("fp32",) if quick else ("fp32", "fp64"):
                    _compile(self, choice, arguments, target, precision)

    with mock.patch.object(Kernel, "launch", compile_only):
        for kernels in _served(modules):
            kernels._trial(kernels._gpu(), torch.device("cpu"))
    missing = sorted(set(written) - compiled)
    for name in missing:
        print(f"{name}: in no trial")
    return int(bool(missing))


def _modules() -> list[object]:
    """All modules of the package that GPUs have a part in."""
    names = [
        module.name
        for package in ("operators", "priors", "solvers", "convex")
        for module in pkgutil.walk_packages(
            importlib.import_module(f"invgen.{package}").__path__, f"invgen.{package}."
        )
    ]
    return [importlib.import_module(name) for name in names if name.endswith("_gpu") or _mentions_gpu(name)]


def _mentions_gpu(name: str) -> bool:
    found = importlib.util.find_spec(name)
    return found is not None and found.origin is not None and "_gpu" in Path(found.origin).read_text()


def _served(modules: list[object]) -> list[Kernels]:
    owners = [*modules, *(c for m in modules for c in vars(m).values() if isinstance(c, type))]
    found = {id(k): k for owner in owners for k in vars(owner).values() if isinstance(k, Kernels)}
    return [kernels for kernels in found.values() if kernels._gpu is not None]


def _compile(
    kernel: Kernel, choice: triton.Config, arguments: tuple[object, ...], target: int, precision: str
) -> None:
    names = kernel.compiled.arg_names
    given = dict(zip((name for name in names if name not in choice.kwargs), arguments, strict=True))
    constants = {p.name: given[p.name] for p in kernel.compiled.params if p.is_constexpr and p.name in given}
    constants |= {name: 1 for name, value in given.items() if isinstance(value, int) and value == 1}
    constants |= choice.kwargs  # numbers that are 1 are constants of a launch, too
    signature = {n: "constexpr" if n in constants else _type(given[n], precision) for n in names}
    source = triton.compiler.ASTSource(fn=kernel.compiled, signature=signature, constexprs=constants)
    options = {"num_warps": choice.num_warps, "num_stages": choice.num_stages}
    kind = (kernel, target, str(choice), str(signature), str(constants))
    if kind in _DONE:
        return
    _DONE.add(kind)
    made = triton.compile(source, target=GPUTarget("cuda", target, 32), options=options)
    size = len(made.asm["cubin"])
    print(f"{kernel.name} sm_{target} {precision} {choice.kwargs}: {size} bytes", flush=True)


def _type(argument: object, precision: str) -> str:
    if isinstance(argument, torch.Tensor):
        return (
            "*"
            + {torch.float32: precision, torch.float64: "fp64", torch.int64: "i64", torch.int32: "i32"}[
                argument.dtype
            ]
        )
    assert isinstance(argument, int)
    return "i32" if abs(argument) < 2**31 else "i64"


if __name__ == "__main__":
    sys.exit(main())
