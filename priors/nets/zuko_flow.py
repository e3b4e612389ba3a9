"""Flows of vectors by zuko, an optional package, as networks that files can hold."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn

from invgen.core.checks import as_count
from invgen.core.errors import CapabilityError, ParameterError

__all__ = ["ZukoFlow"]

#: Standard deviations of the latents that -1 and 1 stand for at the start: zuko's splines go to five.
_SPREAD = 3.0


class ZukoFlow(nn.Module):
    """A flow of `zuko.flows`, for vectors about from -1 to 1.

    Parameters
    ----------
    features : int
        Numbers in a vector.
    flow : str
        Name of a class of `zuko.flows`: "NSF" (Durkan et al. 2019), "MAF" (Papamakarios et al. 2017), ...
    options : dict, optional
        Its further arguments: ``{"transforms": 3, "hidden_features": [64, 64]}``.

    Raises
    ------
    CapabilityError
        Without zuko.
    ParameterError
        Where zuko has no such flow, or it does not take the options.
    """

    def __init__(self, features: int, flow: str = "NSF", options: dict[str, Any] | None = None) -> None:
        super().__init__()
        try:
            from zuko import flows
        except ImportError as error:
            raise CapabilityError(
                "Flows of vectors are those of zuko, which is not installed: pip install 'invgen[flows]'"
            ) from error
        kinds = {
            name: kind
            for name, kind in vars(flows).items()
            if isinstance(kind, type) and issubclass(kind, flows.Flow) and kind is not flows.Flow
        }
        if flow not in kinds:
            raise ParameterError(f"zuko's flows are {', '.join(sorted(kinds))}; got {flow!r}.")
        features = as_count(features, "features, the numbers in a vector,")
        #: The arguments that build it again.
        self.config: dict[str, Any] = {"features": features, "flow": flow, "options": dict(options or {})}
        try:
            self.flow = kinds[flow](features, **self.config["options"])
        except TypeError as error:
            raise ParameterError(f"zuko's {flow} does not take these options: {error}") from error

    def forward(self, x: Tensor) -> Tensor:
        """Logarithm of the density of vectors ``(N, features)``."""
        return self.flow().log_prob(_SPREAD * x) + x.shape[-1] * math.log(_SPREAD)

    def encode(self, x: Tensor) -> Tensor:
        """Latents of vectors."""
        return self.flow().transform(_SPREAD * x)

    def decode(self, z: Tensor) -> Tensor:
        """Vectors of latents."""
        return self.flow().transform.inv(z) / _SPREAD

    def latent_log_prob(self, z: Tensor) -> Tensor:
        """Logarithm of the density of latents."""
        return self.flow().base.log_prob(z)
