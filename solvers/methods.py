"""One table of all methods of reconstruction: what each is called, what it needs, and where it is used.

The command line, the certification of samplers, the site's table and benchmarks read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from numbers import Real
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from invgen.core.checks import is_count
from invgen.core.errors import ParameterError
from invgen.priors.base import Composite, Denoiser, Density, Generator, Patchwise, Proximable, Staged, Tunable
from invgen.solvers.base import Solver
from invgen.solvers.density_map import DensityMAP
from invgen.solvers.diffusion import (
    DAPS,
    DDNM,
    DDRM,
    DDS,
    DPS,
    DiffPIR,
    PiGDM,
    REDdiff,
    SplitGibbs,
)
from invgen.solvers.direct import FBP, FDK, Gridding, RootSumOfSquares, ZeroFilled
from invgen.solvers.langevin import ULA, AnnealedLangevin, PreconditionedLangevin, PredictorCorrector
from invgen.solvers.latent import (
    PULSE,
    FlowMAP,
    ImageAdaptive,
    IntermediateLayerOptimization,
    LatentHMC,
    LatentLangevin,
    LatentOptimization,
    LatentSolver,
    SparseDeviation,
)
from invgen.solvers.latent.sampler import LatentSampler
from invgen.solvers.least_squares import CG, MLEM, OSSART, SIRT
from invgen.solvers.partial_fourier import POCS, Homodyne
from invgen.solvers.particles import FPS, MCGDiff, TwistedSMC
from invgen.solvers.plug_and_play import EPLL, RED, PnPADMM, PnPHQS, PnPPGD
from invgen.solvers.proximal import ADMM, FISTA, ISTA, PDHG, BasisPursuit, CondatVu, Lasso
from invgen.solvers.sampling.base import PosteriorSampler

__all__ = ["BEAMS", "KSPACE", "METHODS", "Method", "find", "used_for"]

#: What a method asks of the operator; all but "differentiable" are linear.
OperatorNeed = Literal[
    "differentiable",
    "linear",
    "real",
    "non-negative",
    "singular vectors",
    "projections",
    "parallel or fan beam",
    "cone beam",
    "Cartesian MRI",
    "partial Fourier MRI",
    "non-Cartesian MRI",
]
#: Noise models that a method takes; "ignored" by those that do not look at it. Noise of an unknown level
#: counts as Gaussian, "white" is of one level, and "smooth" is all whose curvature is bounded: not Poisson.
NoiseNeed = Literal["ignored", "any", "smooth", "Gaussian", "white", "Poisson"]

#: Scans by their geometry, CT and MRI.
BEAMS = ("parallel", "fan", "cone")
KSPACE = ("cartesian", "non-cartesian")

_IMAGING = ("imaging",)
_EVERYWHERE = (*BEAMS, *KSPACE, *_IMAGING, "certify")
#: Of generators in files, all of which make single images of real numbers.
_OF_REAL_IMAGES = ("parallel", "fan", *_IMAGING)


@dataclass(frozen=True)
class Method:
    """A method of reconstruction.

    Attributes
    ----------
    name : str
        On the command line. Methods of one name do the same for scans of different geometries.
    solver : type
        Its class.
    about : str
        What it is, in a line.
    operator : str
        What it needs of the operator, see `OperatorNeed`.
    noise : str
        Noise models that it takes, see `NoiseNeed`.
    uses : tuple of str
        Where it is used: scans of the geometries in `BEAMS` and `KSPACE`, "imaging", "certify". A name is
        there once in each.
    prior : type or None
        Protocol of the prior that it needs.
    """

    name: str
    solver: type[Solver]
    about: str
    operator: OperatorNeed
    noise: NoiseNeed
    uses: tuple[str, ...] = _IMAGING
    prior: type | None = None

    @property
    def samples(self) -> bool:
        """Whether it draws samples of the posterior."""
        return issubclass(self.solver, PosteriorSampler)

    @property
    def penalized(self) -> bool:
        """Whether its prior is a penalty: on the command line, total variation."""
        return self.prior in (Composite, Proximable)

    @property
    def loads_prior(self) -> bool:
        """Whether its prior is one that has been learned: on the command line, given by its name or file."""
        return self.prior is not None and not self.penalized

    @property
    def latent(self) -> bool:
        """Whether its prior is a generator, whose latent variables it moves."""
        return issubclass(self.solver, LatentSolver | LatentSampler)

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """Names of those that numbers, words and pairs can set, with the types of their values."""
        if not is_dataclass(self.solver):
            return {}
        hints = get_type_hints(self.solver)
        types = {field.name: _simple(hints[field.name]) for field in fields(self.solver)}
        return {name: found for name, found in types.items() if found and name != "prior"}

    def check(self, settings: Mapping[str, Any]) -> None:
        """Refuse hyper-parameters that the method does not have, and values of another type.

        Raises
        ------
        ParameterError
            Whose message names those that exist, or the types.
        """
        known = self.hyperparameters
        for name, value in settings.items():
            if name not in known:
                listed = f"there are {', '.join(known)}" if known else "it has none"
                raise ParameterError(
                    f"{self.name} ({self.solver.__name__}) has no hyper-parameter {name}; {listed}."
                )
            if not any(_is_of(value, kind) for kind in known[name]):
                expected = " or ".join(
                    dict.fromkeys(_WORDS[get_origin(kind) or kind] for kind in known[name])
                )
                raise ParameterError(f"{name} of {self.name} is {expected}; got {value!r}.")


_WORDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a word",
    tuple: "numbers with commas between them",
    NoneType: "none",
}


def _simple(hint: Any) -> tuple[Any, ...]:
    """Those of the types of an annotation that can be written as text; none where only None is left."""
    kinds = tuple(kind for kind in get_args(hint) or (hint,) if (get_origin(kind) or kind) in _WORDS)
    if get_origin(hint) is tuple:
        kinds = (hint,)
    return () if kinds in ((), (NoneType,)) else kinds


def _is_of(value: Any, kind: Any) -> bool:
    if get_origin(kind) is tuple:
        parts = get_args(kind)
        length = isinstance(value, tuple) and (parts[-1] is Ellipsis or len(value) == len(parts))
        return length and all(_is_of(part, parts[0]) for part in value)
    if kind is int:
        return is_count(value, least=0)
    if kind is float:
        return isinstance(value, Real) and not isinstance(value, bool)
    return isinstance(value, kind)


def _sampler(
    name: str,
    solver: type[Solver],
    about: str,
    operator: OperatorNeed = "linear",
    noise: NoiseNeed = "Gaussian",
    uses: tuple[str, ...] = _EVERYWHERE,
    prior: type = Denoiser,
) -> Method:
    return Method(name, solver, about, operator, noise, uses, prior)


#: All methods, those of scans in the order in which the command line lists them.
METHODS = (
    Method(
        "fbp",
        FBP,
        "filtered backprojection, the fastest",
        "parallel or fan beam",
        "ignored",
        ("parallel", "fan"),
    ),
    Method("fbp", FDK, "filtered backprojection of a cone beam", "cone beam", "ignored", ("cone",)),
    Method(
        "rss",
        RootSumOfSquares,
        "root sum of squares of the coils' images",
        "Cartesian MRI",
        "ignored",
        ("cartesian",),
    ),
    Method(
        "rss",
        Gridding,
        "root sum of squares of the coils' gridded images",
        "non-Cartesian MRI",
        "ignored",
        ("non-cartesian",),
    ),
    Method(
        "zero-filled",
        ZeroFilled,
        "coil images combined by their sensitivities",
        "Cartesian MRI",
        "ignored",
        ("cartesian",),
    ),
    Method(
        "zero-filled",
        Gridding,
        "gridded coil images combined by their sensitivities",
        "non-Cartesian MRI",
        "ignored",
        ("non-cartesian",),
    ),
    Method("cg-sense", CG, "least squares with coil sensitivities", "linear", "Gaussian", KSPACE),
    Method(
        "tv",
        PDHG,
        "total variation, for few or noisy data of objects with sharp edges",
        "linear",
        "any",
        ("parallel", *KSPACE, *_IMAGING),
        Composite,
    ),
    Method(
        "tv",
        FISTA,
        "total variation by accelerated proximal gradients",
        "linear",
        "smooth",
        ("fan", "cone"),
        Proximable,
    ),
    Method(
        "homodyne",
        Homodyne,
        "half of k-space and the phase of its middle, in one step",
        "partial Fourier MRI",
        "ignored",
        ("cartesian",),
    ),
    Method(
        "pocs",
        POCS,
        "half of k-space and the phase of its middle, by turns; also with lines missing",
        "partial Fourier MRI",
        "ignored",
        ("cartesian",),
    ),
    Method(
        "cg",
        CG,
        "least squares by conjugate gradients, stopped at the noise",
        "linear",
        "Gaussian",
        (*BEAMS, *_IMAGING),
    ),
    Method("sirt", SIRT, "least squares by simultaneous iteration", "real", "Gaussian", (*BEAMS, *_IMAGING)),
    Method(
        "ossart",
        OSSART,
        "least squares by subsets of the views, in fewer passes",
        "projections",
        "Gaussian",
        BEAMS,
    ),
    Method("mlem", MLEM, "maximum likelihood of counts", "non-negative", "Poisson"),
    Method("ista", ISTA, "proximal gradients", "linear", "smooth", prior=Proximable),
    Method(
        "admm", ADMM, "alternating direction method of multipliers", "linear", "Gaussian", prior=Composite
    ),
    Method("condat-vu", CondatVu, "primal-dual splitting of a sum", "linear", "smooth", prior=Composite),
    Method("lasso", Lasso, "least squares with an l1 penalty, to a certified distance", "linear", "Gaussian"),
    Method("basis-pursuit", BasisPursuit, "the sparsest image that fits the data", "linear", "white"),
    Method(
        "pnp-hqs", PnPHQS, "plug-and-play by half-quadratic splitting", "linear", "Gaussian", prior=Denoiser
    ),
    Method(
        "pnp-admm",
        PnPADMM,
        "plug-and-play by the alternating direction method",
        "linear",
        "Gaussian",
        prior=Denoiser,
    ),
    Method("pnp-pgd", PnPPGD, "plug-and-play by proximal gradients", "linear", "Gaussian", prior=Denoiser),
    Method("red", RED, "regularization by denoising", "linear", "Gaussian", prior=Denoiser),
    Method("epll", EPLL, "expected log-likelihood of patches", "linear", "Gaussian", prior=Patchwise),
    Method(
        "csgm",
        LatentOptimization,
        "the latent variables of a generator that fit the data",
        "differentiable",
        "any",
        _OF_REAL_IMAGES,
        Generator,
    ),
    Method(
        "pulse",
        PULSE,
        "latent variables on a sphere",
        "differentiable",
        "any",
        _OF_REAL_IMAGES,
        Generator,
    ),
    Method(
        "ilo",
        IntermediateLayerOptimization,
        "latent variables, then what later layers of a generator see",
        "differentiable",
        "any",
        _OF_REAL_IMAGES,
        Staged,
    ),
    Method(
        "sparse-gen",
        SparseDeviation,
        "what a generator makes, and sparse deviations",
        "linear",
        "Gaussian",
        _OF_REAL_IMAGES,
        Generator,
    ),
    Method(
        "image-adaptive",
        ImageAdaptive,
        "a generator whose weights are tuned to the data",
        "differentiable",
        "any",
        _OF_REAL_IMAGES,
        Tunable,
    ),
    Method(
        "flow-map",
        FlowMAP,
        "the most probable image under a flow",
        "differentiable",
        "any",
        _OF_REAL_IMAGES,
        Density,
    ),
    Method(
        "map",
        DensityMAP,
        "the most probable image under a density that has a derivative",
        "differentiable",
        "any",
        (*BEAMS, *_IMAGING),
        Density,
    ),
    _sampler("dds", DDS, "decomposed diffusion sampling"),
    _sampler("diffpir", DiffPIR, "diffusion models for plug-and-play restoration"),
    _sampler("pigdm", PiGDM, "pseudoinverse-guided diffusion"),
    _sampler("dps", DPS, "diffusion posterior sampling", "differentiable", "any"),
    _sampler("daps", DAPS, "decoupled annealing posterior sampling", "differentiable", "smooth"),
    _sampler("split-gibbs", SplitGibbs, "split Gibbs sampling", "differentiable", "smooth"),
    _sampler("red-diff", REDdiff, "variational inference by denoising at random noise levels"),
    _sampler("annealed-langevin", AnnealedLangevin, "annealed Langevin dynamics"),
    _sampler("preconditioned-langevin", PreconditionedLangevin, "preconditioned Langevin dynamics"),
    _sampler("predictor-corrector", PredictorCorrector, "reverse diffusion and Langevin steps"),
    _sampler("ula", ULA, "unadjusted Langevin algorithm", "differentiable", "smooth"),
    _sampler("twisted-smc", TwistedSMC, "twisted sequential Monte Carlo"),
    _sampler(
        "mcgdiff",
        MCGDiff,
        "Monte Carlo guided diffusion",
        "singular vectors",
        "white",
        (*KSPACE, *_IMAGING, "certify"),
    ),
    _sampler(
        "fps",
        FPS,
        "filtering posterior sampling",
        "singular vectors",
        "white",
        (*KSPACE, *_IMAGING, "certify"),
    ),
    _sampler(
        "ddnm",
        DDNM,
        "denoising diffusion null-space model",
        "singular vectors",
        "white",
        (*KSPACE, *_IMAGING, "certify"),
    ),
    _sampler(
        "ddrm",
        DDRM,
        "denoising diffusion restoration",
        "singular vectors",
        "white",
        (*KSPACE, *_IMAGING, "certify"),
    ),
    _sampler(
        "latent-langevin",
        LatentLangevin,
        "Langevin dynamics of latent variables",
        "differentiable",
        "any",
        (*_OF_REAL_IMAGES, "certify"),
        Generator,
    ),
    _sampler(
        "latent-hmc",
        LatentHMC,
        "Hamiltonian Monte Carlo of latent variables",
        "differentiable",
        "any",
        (*_OF_REAL_IMAGES, "certify"),
        Generator,
    ),
)


def used_for(*uses: str) -> dict[str, Method]:
    """Methods that are used for at least one of these, by their names."""
    found: dict[str, Method] = {}
    for method in METHODS:
        if set(uses) & set(method.uses):
            found.setdefault(method.name, method)
    return found


def find(name: str, use: str) -> Method:
    """The method of a name that is used for scans of one geometry, or whatever `use` is.

    Raises
    ------
    ParameterError
        Where there is none.
    """
    methods = used_for(use)
    if name not in methods:
        raise ParameterError(f"There is no method {name!r} for {use}; there are {', '.join(methods)}.")
    return methods[name]
