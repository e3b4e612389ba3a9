"""How the network of a prior is evaluated: options of whatever takes a prior by its name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from invgen.core.errors import ParameterError
from invgen.pipeline.options import option, validate
from invgen.pipeline.values import Choice, Flag

__all__ = ["Evaluating", "evaluated", "evaluation"]

_OPTIONS: dict[str, tuple[Any, str, Any]] = {
    "precision": (
        Choice(("bfloat16", "float16")),
        "Half precision of what the prior's network computes, bfloat16 or float16, which changes results by "
        "its last digits; by default single.",
        None,
    ),
    "channels_last": (Flag(), "Keep the channels of a pixel together in the prior's network.", False),
    "compile": (Flag(), "Compile the prior's network, which takes a minute or more.", False),
    "graphs": (
        Flag(),
        "Replay the kernels of the prior's network as a CUDA graph: for small images on a GPU.",
        False,
    ),
}


def evaluation(name: str, **where: Any) -> Any:
    """One of these options as a field of a dataclass; see `invgen.pipeline.options.option`."""
    value, about, default = _OPTIONS[name]
    return option(value, about, default=default, **where)


@dataclass(frozen=True)
class Evaluating:
    """How the network of a prior is evaluated; see `invgen.priors.Diffusion.evaluated`."""

    precision: str | None = evaluation("precision")
    channels_last: bool = evaluation("channels_last")
    compile: bool = evaluation("compile")
    graphs: bool = evaluation("graphs")

    def __post_init__(self) -> None:
        validate(self)


def evaluated(name: str, options: Any) -> Any:
    """The prior of a name or file, with its network evaluated as attributes of `options` say.

    Raises
    ------
    ParameterError
        Where it has no network that can be.
    """
    from invgen import priors
    from invgen.priors.nets.evaluation import Networked

    prior = priors.load(name)
    how = {each: value for each in _OPTIONS if (value := getattr(options, each))}
    if not how:
        return prior
    if not isinstance(prior, Networked):
        typed = ", ".join(f"--{each.replace('_', '-')}" for each in how)
        raise ParameterError(
            f"{name} is a {type(prior).__name__}, whose results are computed in one way: leave out {typed}."
        )
    return prior.evaluated(**how)
