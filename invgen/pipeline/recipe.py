"""What is asked of a reconstruction, and which of it fits a scan."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invgen.core.errors import ParameterError
from invgen.pipeline.options import Kind, given, option, options, recorded, validate, words
from invgen.pipeline.quantities import Degrees
from invgen.pipeline.reading import Reading
from invgen.pipeline.values import LOWEST, Choice, Count, Flag, Name, Number, Settings, Slices

if TYPE_CHECKING:
    from invgen.solvers.methods import Method

__all__ = ["Recipe", "command_line", "kind_of", "settings_of"]

#: The panels of the command line's help.
_DATA, _CT, _MRI = "Data", "Data of CT scans", "Data of MRI scans"
_METHOD, _POSTERIOR = "Method", "Samples of the posterior"

#: The number of samples that are drawn by default.
_SAMPLES = 8


def _of(*names: str) -> Callable[[Method], bool]:
    """Options of these methods."""
    return lambda method: method.name in names


def _of_samplers(method: Method) -> bool:
    return method.samples


def _of_maps(method: Method) -> bool:
    """Options of methods that take coil maps."""
    return method.name != "rss"


def _methods_of_scans() -> list[str]:
    from invgen.solvers.methods import BEAMS, KSPACE, used_for

    return list(used_for(*BEAMS, *KSPACE))


@dataclass(frozen=True)
class Recipe:
    """What is asked of a reconstruction: each field is an option of `invgen recon`.

    None where the program chooses. What it has chosen is in the recipe that comes back.
    """

    solver: str | None = option(
        Choice(_methods_of_scans, syntax="All are listed below."),
        "Method of reconstruction: by default fbp for CT and cg-sense for MRI.",
        panel=_METHOD,
    )
    slices: slice | None = option(  # noqa: RUF009 (a field)
        Slices(),
        "Slices (of CT: detector rows). Of a cone beam or a slab of MRI all are reconstructed, at once, and "
        "these are kept.",
        panel=_DATA,
    )
    views: slice | None = option(  # noqa: RUF009 (a field)
        Slices(), "Views to use, counted by increasing angle.", panel=_CT, scan="CT"
    )
    angles_range: tuple[float, float] | None = option(
        Degrees(),
        "Views to use, by their angle as the file counts; --views then counts within.",
        panel=_CT,
        scan="CT",
    )
    center: float | None = option(
        Number(),
        "Detector column, from 0 and before binning, to which the rotation axis projects; auto finds it.",
        panel=_CT,
        scan="CT",
    )
    bin: int = option(
        Count(),
        "Detector columns to average into one; of a cone beam, rows too.",
        panel=_CT,
        default=1,
        scan="CT",
    )
    size: int | None = option(
        Count(),
        "Width and height of the image in pixels, as wide as a (binned) detector column at the rotation "
        "axis; by default the number of columns, or what the file says.",
        panel=_CT,
        scan="CT",
    )
    remove_stripes: bool = option(
        Flag(),
        "Smooth stripes of the sinogram, which are rings in the image; fine structure suffers.",
        panel=_CT,
        default=False,
        scan="CT",
    )
    repetition: int = option(
        Count(least=0),
        "Which one, from 0, of what was measured of each slice: see invgen info.",
        panel=_MRI,
        default=0,
        scan="MRI",
    )
    maps: str | None = option(
        Choice(("espirit", "adaptive")),
        "Coil maps: espirit, from the calibrated middle of k-space, the default; or adaptive, from images of "
        "low resolution.",
        panel=_MRI,
        scan="MRI",
        methods=_of_maps,
    )
    compress: int | None = option(
        Count(),
        "Number of virtual coils to combine the coils into.",
        panel=_MRI,
        scan="MRI",
        methods=_of_maps,
    )
    whiten: bool = option(
        Flag(),
        "Decorrelate the coils' noise, where the scan has a noise scan.",
        panel=_MRI,
        default=True,
        scan="MRI",
        methods=_of_maps,
    )
    weight: float | None = option(
        Number(),
        "tv: weight of the total variation; auto lets the misfit equal the noise, on the middle slice, and "
        "keeps the weight for all. cg, cg-sense: Tikhonov weight; auto stops at the noise instead.",
        panel=_METHOD,
        methods=_of("tv", "cg", "cg-sense"),
    )
    iterations: int | None = option(
        Count(),
        "tv, cg, sirt, ossart: the largest number of iterations. cg-sense: the number; by default it stops "
        "at the noise, after 10 to 30. Samplers: noise levels, or steps.",
        panel=_METHOD,
        methods=lambda method: method.samples or method.name in ("tv", "cg", "sirt", "ossart", "cg-sense"),
    )
    window: str | None = option(
        Choice(("ram-lak", "shepp-logan", "cosine", "hamming", "hann")),
        "fbp: window on the ramp filter, from sharp to smooth: ram-lak, shepp-logan, cosine, hamming, hann "
        "(the default).",
        panel=_METHOD,
        scan="CT",
        methods=_of("fbp"),
    )
    nonnegative: bool | None = option(
        Flag(),
        "CT with tv, sirt, ossart: allow no negative attenuation; the default.",
        panel=_METHOD,
        scan="CT",
        methods=_of("tv", "sirt", "ossart"),
    )
    prior: str | None = option(
        Name("NAME|FILE"),
        "What images look like: the name of a prior that comes with the package, or a file (see invgen "
        "train); of real images for CT, of complex ones for MRI. Of a volume it is one of each slice.",
        panel=_POSTERIOR,
        methods=_of_samplers,
    )
    samples: int | None = option(
        Count(),
        "Number of samples of each slice, by default 8.",
        panel=_POSTERIOR,
        methods=_of_samplers,
    )
    scale: float | None = option(
        Number(),
        "The value of the image that is white to the prior; auto finds it by a rough reconstruction of the "
        "middle slice, and keeps it for all.",
        panel=_POSTERIOR,
        methods=_of_samplers,
    )
    device: str = option(
        Choice(("auto", "cpu", "cuda"), "auto|cpu|cuda"),
        "Where to compute; auto takes a GPU where there is one.",
        default="auto",
    )
    seed: int = option(
        Count(least=LOWEST),
        "Seed of the random numbers of samplers: sample i of each slice follows from seed + i (of "
        "twisted-smc, all of them from seed together).",
        panel=_POSTERIOR,
        default=0,
    )
    settings: Mapping[str, Any] = option(
        Settings(),
        "Hyper-parameters of the method, such as zeta=0.3 of dps.",
        typed="--set",
        panel=_METHOD,
        default={},
    )

    def __post_init__(self) -> None:
        validate(self)

    def fitting(self, geometry: str, default: str) -> Recipe:
        """The recipe with its solver, or the default one, for a scan of this geometry.

        Settings that are options themselves, such as iterations, are moved there.

        Raises
        ------
        ParameterError
            When something in it is for scans of another kind, or means nothing to the solver; and when a
            sampler has no prior.
        """
        from invgen.pipeline.posterior import usable
        from invgen.solvers.methods import BEAMS, KSPACE, find, used_for

        kind = kind_of(geometry)
        other: Kind = "MRI" if kind == "CT" else "CT"
        article = {"CT": "a CT scan", "MRI": "an MRI scan"}[kind]
        methods, solver = used_for(*(BEAMS if kind == "CT" else KSPACE)), self.solver or default
        if solver not in methods:
            raise ParameterError(
                f"--solver {solver} is for {other} scans; this is {article}: {', '.join(methods)}."
            )
        method = find(solver, geometry)
        recipe = replace(self, solver=solver)._moved(method)
        for each in given(recipe):
            if each.scan not in (None, kind):
                raise ParameterError(f"{each.changed} is for {other} scans; this is {article}.")
            if each.methods is not None and not each.methods(method):
                takers = ", ".join(name for name, taker in methods.items() if each.methods(taker))
                raise ParameterError(
                    f"{each.changed} means nothing to the solver {solver}; it is for {takers}."
                )
        if not method.samples:
            return recipe
        if recipe.prior is None:
            raise ParameterError(
                f"--solver {solver} takes what images look like from a prior: --prior NAME|FILE. "
                f"{usable('complex' if kind == 'MRI' else 'real')}"
            )
        return replace(recipe, samples=recipe.samples or _SAMPLES)

    def _moved(self, method: Method) -> Recipe:
        """Settings that are options of the method are given as such."""
        own = {each.name: each for each in options(self) if each.methods is not None and each.methods(method)}
        moved = {name: value for name, value in self.settings.items() if name in own}
        for name in moved:
            if getattr(self, name) != own[name].default:
                raise ParameterError(f"{name} is given twice, by --set and by {own[name].typed}.")
        rest = {name: value for name, value in self.settings.items() if name not in moved}
        method.check(rest)
        return replace(self, **moved, settings=rest)

    def located(self) -> Recipe:
        """The same with the whole path of a prior that is a file, so that it is found from any folder."""
        from invgen.pipeline.posterior import located

        return self if self.prior is None else replace(self, prior=located(self.prior))


def kind_of(geometry: str) -> Kind:
    """What was measured by a scan of a geometry."""
    from invgen.solvers.methods import BEAMS

    return "CT" if geometry in BEAMS else "MRI"


def command_line(path: Path, output: Path, reading: Reading, recipe: Recipe) -> str | None:
    """Write the command that makes the same reconstruction.

    None of what no command can say, such as uneven angles that came as numbers.
    """
    of_reading, of_recipe = words(reading), words(recipe)
    if of_reading is None or of_recipe is None:
        return None
    return shlex.join(["invgen", "recon", str(path), "-o", str(output), *of_reading, *of_recipe])


def settings_of(path: Path, output: Path, reading: Reading, recipe: Recipe, slices: range) -> dict[str, Any]:
    """Collect what a repetition needs: the command, and the same by name; paths are whole."""
    reading, recipe = reading.located(), recipe.located()
    choices = recorded(recipe)
    if not recipe.settings:
        del choices["settings"]
    return {
        "command": command_line(path.resolve(), output.resolve(), reading, recipe),
        "rows": list(slices),
        "reading": {name: value for name, value in recorded(reading).items() if value is not None},
        **choices,
    }
