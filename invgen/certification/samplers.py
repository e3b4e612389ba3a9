"""The samplers of the table of methods, as what makes them of a prior."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from invgen.solvers.methods import used_for

__all__ = ["Sampler"]

#: Noise level of ULA's prior, over the standard deviation of a pixel: its default is 5 / 255 of a value
#: range, which problems here do not have; one of five standard deviations stands for it.
_ULA_LEVEL = 25 / 255


@dataclass(frozen=True)
class Sampler:
    """A method with hyper-parameters: all of a sampler but its prior.

    Attributes
    ----------
    method : str
        One that `invgen.solvers.methods` has for "certify".
    settings : mapping
        Hyper-parameters.
    """

    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def build(self, prior: Any) -> Any:
        """The sampler with a prior."""
        solver: Any = used_for("certify")[self.method].solver
        level = {"sigma": _ULA_LEVEL * prior.image_format.std} if self.method == "ula" else {}
        return solver(prior, **{**level, **self.settings})
