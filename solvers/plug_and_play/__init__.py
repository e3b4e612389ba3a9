"""Denoisers in the place of proximal maps."""

from invgen.solvers.plug_and_play.epll import EPLL
from invgen.solvers.plug_and_play.pnp import PnPADMM, PnPHQS, PnPPGD
from invgen.solvers.plug_and_play.red import RED

__all__ = ["EPLL", "RED", "PnPADMM", "PnPHQS", "PnPPGD"]
