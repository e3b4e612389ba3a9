"""What is asked of a reconstruction, and which of it fits a scan."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from invgen.core.errors import ParameterError
from invgen.pipeline.evaluation import evaluation
from invgen.pipeline.options import Kind, given, option, options, recorded, validate, words
from invgen.pipeline.quantities import Angle, Between, Columns, Degrees, Device, FieldOfView, Side, Window
from invgen.pipeline.reading import Reading
from invgen.pipeline.values import LOWEST, Choice, Count, Flag, Name, Names, Number, Settings, Slices

if TYPE_CHECKING:
    from invgen.solvers.methods import Method

__all__ = ["Recipe", "command_line", "kind_of", "methods_of", "settings_of"]

#: The panels of the command line's help.
_DATA, _CT, _MRI, _IMAGES = "Data", "Data of CT scans", "Data of MRI scans", "Data of images"
_METHOD, _POSTERIOR, _NETWORK = "Method", "Samples of the posterior", "Network of the prior"

#: The number of samples that are drawn by default.
_SAMPLES = 8


def _of(*names: str) -> Callable[[Method], bool]:
    """Options of these methods."""
    return lambda method: method.name in names


def _of_samplers(method: Method) -> bool:
    return method.samples


def _of_learned_priors(method: Method) -> bool:
    return method.loads_prior


def _of_weights(method: Method) -> bool:
    """Options of methods that weigh a penalty, or the image's norm."""
    return method.penalized or method.name in ("cg", "cg-sense", "lasso")


def _having(name: str) -> Callable[[Method], bool]:
    """Options of methods that have a hyper-parameter of the name."""
    return lambda method: name in method.hyperparameters


def _of_maps(method: Method) -> bool:
    """Options of methods that take coil maps."""
    return method.name != "rss"


def methods_of(*kinds: Kind) -> dict[str, Method]:
    """Methods for one of these kinds, by their names; without those of counts, which no file here holds."""
    from invgen.solvers.methods import BEAMS, KSPACE, used_for

    uses = {"CT": BEAMS, "MRI": KSPACE, "images": ("imaging",)}
    found = used_for(*(use for kind in kinds for use in uses[kind]))
    return {name: method for name, method in found.items() if method.noise != "Poisson"}


def _stripe_filters() -> list[str]:
    from invgen.io.ct.stripes import STRIPE_FILTERS

    return list(STRIPE_FILTERS)


def _all_methods() -> list[str]:
    return list(methods_of(*_FOR))


#: What each kind is called in messages.
_FOR: dict[Kind, str] = {"CT": "CT scans", "MRI": "MRI scans", "images": "images"}
_THIS: dict[Kind, str] = {"CT": "a CT scan", "MRI": "an MRI scan", "images": "an image"}

#: Why methods of latent variables do not take scans of MRI, and what does.
_OF_REAL_IMAGES = (
    "Generators in files make real images, and those of MRI are complex: from Python, a network of complex "
    "ones is a prior by priors.from_module(network, latent_shape, image_shape=..., field='complex')."
)


@dataclass(frozen=True)
class Recipe:
    """What is asked of a reconstruction: each field is an option of `invgen recon`.

    None where the program chooses. What it has chosen is in the recipe that comes back.
    """

    solver: str | None = option(
        Choice(_all_methods, syntax="All are listed below."),
        "Method of reconstruction: by default fbp for CT, cg-sense for MRI and tv for images.",
        panel=_METHOD,
    )
    slices: slice | None = option(  # noqa: RUF009 (a field)
        Slices(),
        "Slices (of CT: detector rows), or images of a folder. Of a cone beam or a slab of MRI all are "
        "reconstructed, at once, and these are kept.",
        panel=_DATA,
    )
    frames: slice | None = option(  # noqa: RUF009 (a field)
        Slices(),
        "Of an array that holds several scans along a further axis, energy, echo, time, contrast or phase: "
        "which of them; by default all. Of MRI scans likewise repetitions, by default one. The volume then "
        "has the axes frame, slice, y, x. Center, weight, scale and coil maps are those of the middle one.",
        panel=_DATA,
        scan=("CT", "MRI"),
    )
    roi: tuple[slice, slice] | None = option(
        Window(),
        "Pixels of the image to keep, rows and columns. The whole image is reconstructed first, since what "
        "is beside them has been measured with them.",
        panel=_DATA,
    )
    preview: bool = option(
        Flag(),
        "A first look, in seconds: at most 16 slices evenly apart, by fbp or, of MRI, rss; of CT from a "
        "detector averaged to at most 256 columns (of a cone beam 128), and from no more views than that "
        "needs. --solver, --bin, --views and --slices replace these choices; without --bin, --slices, --size "
        "and --roi count as in the full reconstruction.",
        panel=_DATA,
        default=False,
        scan=("CT", "MRI"),
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
    tilt: float | None = option(
        Angle(),
        "Angle by which the rotation axis leans on the detector, towards higher columns in later rows; the "
        "center is then that of the middle row. By default found with it, else zero.",
        panel=_CT,
        scan="CT",
    )
    bin: int = option(
        Count(),
        "Detector columns to average into one, before the logarithm; of parallel and cone beams as many "
        "rows, too (all, of a parallel beam that has fewer): slices are then counted in these.",
        panel=_CT,
        default=1,
        scan="CT",
    )
    air: Literal["auto", "off"] | tuple[tuple[int, int], ...] = option(
        Columns(),
        "Detector columns of air beside the object, by which each view's incident beam is normalised; auto "
        "finds them at both edges, and uses them where the beam varies; off does not.",
        panel=_CT,
        default="auto",
        scan="CT",
    )
    size: int | tuple[int, int] | None = option(
        Side(),
        "Height and width of the image in pixels. CT: as wide as a (binned) detector column at the rotation "
        "axis; by default the number of columns, or what the file says; of a half-acquisition all that is "
        "seen. Images: of those that vectors were measured of.",
        panel=_DATA,
        scan=("CT", "images"),
    )
    fov: Literal["image", "disc"] | float | None = option(
        FieldOfView(),
        "Where the object is: image, anywhere in the image; disc, in the disc that every view sees; or in "
        "that of this radius about the axis, in the scan's unit, which may be larger than the image. "
        "By default chosen from the data.",
        panel=_CT,
        scan="CT",
    )
    stripes: str | None = option(
        Choice(_stripe_filters),
        "Filter of the sinogram's stripes, which are rings in the image: sorting, for narrow ones, whole or "
        "partial; filtering, likewise where they are of low frequency; fitting, for wide ones of objects "
        "without edges; large, for pixels whose response is far off; dead, for those that do not respond or "
        "fluctuate; all: dead, large and sorting. Fine structure suffers; by default none.",
        panel=_CT,
        scan="CT",
    )
    paganin: float | None = option(
        Between(metavar="RATIO"),
        "Retrieve the phase of an object of one material, whose edges propagation has enhanced, by "
        "Paganin's filter: its delta / beta at --energy; with --distance.",
        panel=_CT,
        scan="CT",
    )
    distance: float | None = option(
        Between(metavar="M"), "From object to detector, in m, for --paganin.", panel=_CT, scan="CT"
    )
    energy: float | None = option(
        Between(metavar="KEV"), "Of the photons, in keV, for --paganin.", panel=_CT, scan="CT"
    )
    repetition: int = option(
        Count(least=0),
        "Which one, from 0, of what was measured of each slice: see invgen info.",
        panel=_MRI,
        default=0,
        scan="MRI",
    )
    maps: str | None = option(
        Choice(("espirit", "adaptive", "none")),
        "Coil maps: espirit, from the calibrated middle of k-space, the default; adaptive, from images of "
        "low resolution; or none, for homodyne and pocs: each coil alone, and their root sum of squares.",
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
    noise_std: float | None = option(
        Number(),
        "Standard deviation of the noise, in the unit of the image; auto estimates it from the middle image, "
        "in which fine texture counts as noise, and keeps it for all.",
        panel=_IMAGES,
        scan="images",
    )
    weight: float | None = option(
        Number(),
        "tv, ista, admm, condat-vu: weight of the total variation; auto lets the misfit equal the noise, of "
        "few quanta makes the estimated risk least, on the middle slice, and keeps the weight for all. "
        "cg, cg-sense: Tikhonov weight; auto stops at the noise instead. lasso: of the l1 norm.",
        panel=_METHOD,
        methods=_of_weights,
    )
    iterations: int | None = option(
        Count(),
        "The largest number of iterations. cg-sense: the number; by default it stops at the noise, after 10 "
        "to 30. Samplers: noise levels, or steps.",
        panel=_METHOD,
        methods=_having("iterations"),
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
        "tv, ista, admm, condat-vu, sirt, ossart: allow no negative values; the default of CT.",
        panel=_METHOD,
        scan=("CT", "images"),
        methods=lambda method: method.penalized or method.name in ("sirt", "ossart"),
    )
    prior: str | None = option(
        Name("NAME|FILE"),
        "What images look like: the name of a prior that comes with the package, or a file (see invgen "
        "train); of real images for CT, of complex ones for MRI, of gray or of color images for such. Of a "
        "volume it is one of each slice. Of latent variables it is a generator: csgm, pulse, latent-hmc and "
        "others.",
        panel=_METHOD,
        methods=_of_learned_priors,
    )
    calibration: tuple[str, ...] | None = option(
        Names(),
        "A file of invgen calibrate, of one of two kinds. Intervals that cover new images at a level, of any "
        "method. Or (its --plausibility) scans that fit operator, noise and a learned prior, with which this "
        "one is compared, to warn where it does not; by default those that come with the prior.",
        panel=_METHOD,
    )
    samples: int | None = option(
        Count(),
        "Number of samples of each slice, by default 8.",
        panel=_POSTERIOR,
        methods=_of_samplers,
    )
    scale: float | None = option(
        Number(),
        "The value of the image that is white to the prior. Scans: auto finds it by a rough reconstruction "
        "of the middle slice, and keeps it for all. Images: by default 1.",
        panel=_METHOD,
        methods=_having("scale"),
    )
    precision: str | None = evaluation("precision", panel=_NETWORK, methods=_of_learned_priors)
    channels_last: bool = evaluation("channels_last", panel=_NETWORK, methods=_of_learned_priors)
    compile: bool = evaluation("compile", panel=_NETWORK, methods=_of_learned_priors)
    graphs: bool = evaluation("graphs", panel=_NETWORK, methods=_of_learned_priors)
    device: str = option(
        Device(),
        "Where to compute; auto takes a GPU where there is one. Of several, each reconstructs slices of its "
        "own; where there are fewer slices, samples.",
        default="auto",
    )
    deterministic: bool = option(
        Flag(),
        "The same bits whatever the number of threads: PyTorch computes on one of them, and what gives the "
        "same bits on any number, such as projections, on all. With --workers slices are computed in several "
        "processes, with the same bits again. For CPUs.",
        default=False,
    )
    seed: int = option(
        Count(least=LOWEST),
        "Seed of the random numbers of samplers: sample i of each slice follows from seed + i (of "
        "twisted-smc, all of them from seed together; with --set antithetic=true each second one as the one "
        "before); of where csgm, pulse and others start; and of the noise of --simulate.",
        panel=_POSTERIOR,
        default=0,
    )
    image_format: str | None = option(
        Choice(("hdf5", "nifti", "dicom", "tiff", "npy", "zarr", "png"), "FORMAT"),
        "Format of the output: hdf5, which holds everything; nifti, dicom (a folder of a file for each "
        "slice), tiff, npy, zarr (a folder), or of images png; by default what its suffix says, else hdf5. "
        "Of complex images all but hdf5, npy and zarr hold the modulus. Samples stay in hdf5; others have "
        "their standard deviation beside the image, in NAME_std.",
        panel=_DATA,
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
        if len({part is None for part in (self.paganin, self.distance, self.energy)}) > 1:
            raise ParameterError(
                "--paganin, --distance and --energy are given together: delta / beta, the distance from the "
                "object to the detector in m, and the energy of the photons in keV."
            )

    @property
    def phase(self) -> tuple[float, float, float] | None:
        """Delta / beta, distance and energy of phase retrieval."""
        if self.paganin is None or self.distance is None or self.energy is None:
            return None
        return self.paganin, self.distance, self.energy

    @property
    def image_size(self) -> tuple[int, int] | None:
        """Height and width that are asked for."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    def fitting(self, geometry: str, default: str) -> Recipe:
        """The recipe with its solver, or the default one, for a scan of this geometry.

        Settings that are options themselves, such as iterations, are moved there.

        Raises
        ------
        ParameterError
            When something in it is for scans of another kind, or means nothing to the solver; and when a
            method has no prior.
        """
        from invgen.pipeline.posterior import usable
        from invgen.solvers.methods import find, used_for

        kind = kind_of(geometry)
        methods, solver = methods_of(kind), self.solver or default
        if solver not in methods:
            others = [other for other in _FOR if solver in methods_of(other)]
            latent = any(methods_of(other)[solver].latent for other in others)
            remedy = f" {_OF_REAL_IMAGES}" if kind == "MRI" and latent else ""
            raise ParameterError(
                f"--solver {solver} is for {_listed(others)}; this is {_THIS[kind]}: "
                f"{', '.join(methods)}.{remedy}"
            )
        if solver not in used_for(geometry):
            whole = ", ".join(name for name in methods if name in used_for(geometry))
            raise ParameterError(
                f"--solver {solver} makes single slices, and those of a {geometry} beam are measured "
                f"together: {whole}."
            )
        method = find(solver, geometry)
        recipe = replace(self, solver=solver)._moved(method)
        for each in given(recipe):
            if each.scans and kind not in each.scans:
                raise ParameterError(f"{each.changed} is for {_listed(each.scans)}; this is {_THIS[kind]}.")
            if each.methods is not None and not each.methods(method):
                takers = ", ".join(name for name, taker in methods.items() if each.methods(taker))
                raise ParameterError(
                    f"{each.changed} means nothing to the solver {solver}; it is for {takers}."
                )
        if method.loads_prior and recipe.prior is None:
            raise ParameterError(
                f"--solver {solver} takes what images look like from a prior: --prior NAME|FILE. "
                f"{usable('complex' if kind == 'MRI' else 'real', method)}"
            )
        return replace(recipe, samples=recipe.samples or _SAMPLES) if method.samples else recipe

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
        """The same with whole paths of a prior and calibrations, so that they are found from any folder."""
        from invgen.pipeline.posterior import located

        found: dict[str, Any] = {}
        if self.prior is not None:
            found["prior"] = located(self.prior)
        if self.calibration is not None:
            found["calibration"] = tuple(map(located, self.calibration))
        return replace(self, **found)


def kind_of(geometry: str) -> Kind:
    """What a geometry is one of."""
    from invgen.solvers.methods import BEAMS, KSPACE

    return "CT" if geometry in BEAMS else "MRI" if geometry in KSPACE else "images"


def _listed(kinds: Iterable[Kind]) -> str:
    return " and ".join(_FOR[kind] for kind in kinds)


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
    reading, recipe = reading.located(path), recipe.located()
    choices = recorded(recipe)
    if not recipe.settings:
        del choices["settings"]
    return {
        "command": command_line(path.resolve(), output.resolve(), reading, recipe),
        "rows": list(slices),
        "reading": {each.name: recorded(reading)[each.name] for each in given(reading)},
        **choices,
    }
