"""Samplers of the posterior on the command line: their prior, and whether it fits the images of a scan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invgen.core.errors import DtypeError, ShapeError

if TYPE_CHECKING:
    from invgen.operators import Space
    from invgen.pipeline.recipe import Recipe
    from invgen.problem import Problem
    from invgen.solvers import PosteriorSampler

#: Solvers that draw samples of the posterior, with the names of their classes.
SAMPLERS = {
    "dds": "DDS",
    "diffpir": "DiffPIR",
    "pigdm": "PiGDM",
    "dps": "DPS",
    "daps": "DAPS",
    "split-gibbs": "SplitGibbs",
    "red-diff": "REDdiff",
    "annealed-langevin": "AnnealedLangevin",
    "predictor-corrector": "PredictorCorrector",
    "ula": "ULA",
    "twisted-smc": "TwistedSMC",
    "ddnm": "DDNM",
    "ddrm": "DDRM",
}
#: Those that need singular vectors, which of all scans only samples of one coil on a grid have.
SPECTRAL = ("ddnm", "ddrm")


def load(recipe: Recipe) -> Any:
    """The prior of a recipe, before anything is computed; None where its solver takes none.

    Raises
    ------
    FileError
        Where there is no such prior.
    """
    from invgen import priors

    return None if recipe.prior is None else priors.load(recipe.prior)


def sampler(prior: Any, recipe: Recipe, problem: Problem) -> PosteriorSampler:
    """The sampler of a recipe, for problems such as this one.

    Raises
    ------
    CapabilityError, DtypeError, ShapeError
        Where the prior is no denoiser, or is one of other images.
    """
    from invgen import solvers

    assert recipe.solver is not None, "as settled"
    _check(prior, str(recipe.prior), problem.operator.domain)
    given: dict[str, Any] = {} if recipe.iterations is None else {"iterations": recipe.iterations}
    scale = "auto" if recipe.scale is None else recipe.scale
    return getattr(solvers, SAMPLERS[recipe.solver])(prior, scale=scale, **given)


def located(recipe: Recipe) -> Recipe:
    """The same with the whole path of a prior that is a file, so that it is found from any folder."""
    from invgen.priors.files.checkpoints import shipped

    name = recipe.prior
    if name is None or name in shipped() or not Path(name).exists():
        return recipe
    return replace(recipe, prior=str(Path(name).resolve()))


def usable(field: str) -> str:
    """Tell which priors can be given for real images, or for complex ones."""
    from invgen.priors.files.checkpoints import about, shipped

    fitting = [name for name in shipped() if about(name).get("field") == field]
    listed = f"With the package come, of {field} images, {', '.join(fitting)}" if fitting else ""
    train = f"invgen train makes others{' of complex images' if field == 'complex' else ''}"
    return f"{listed}; {train}." if listed else f"None of {field} images comes with the package; {train}."


def _check(prior: Any, name: str, space: Space) -> None:
    """Refuse a prior of images that are not those of a scan; on a volume it is one of each slice."""
    field, channels = getattr(prior, "field", space.field), getattr(prior, "channels", None)
    if field != space.field:
        kind, needed = ("MRI", "complex") if space.field == "complex" else ("CT", "real")
        raise DtypeError(
            f"--prior {name} is of {field} images, and those of {kind} are {needed}. {usable(needed)}"
        )
    if channels is not None:
        raise ShapeError(f"--prior {name} is of images with {channels} channels; those of a scan have one.")
    shape = getattr(prior, "image_shape", None)
    height, width = space.shape[-2:]
    if shape is not None and tuple(shape) != (height, width):
        remedy = "take one of images of any size"
        if space.field == "real" and shape[0] == shape[1]:
            remedy = f"choose --size {shape[0]}, and --bin to keep the object inside, or {remedy}"
        raise ShapeError(
            f"--prior {name} is of images of {shape[0]} x {shape[1]} pixels; these have {height} x {width}: "
            f"{remedy}."
        )
