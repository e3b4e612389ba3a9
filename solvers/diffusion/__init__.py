"""Diffusion posterior samplers: one loop, and each method its own step."""

from invgen.solvers.diffusion.base import DiffusionSolver
from invgen.solvers.diffusion.daps import DAPS
from invgen.solvers.diffusion.ddnm import DDNM
from invgen.solvers.diffusion.ddrm import DDRM
from invgen.solvers.diffusion.dds import DDS
from invgen.solvers.diffusion.diffpir import DiffPIR
from invgen.solvers.diffusion.dps import DPS
from invgen.solvers.diffusion.pigdm import PiGDM
from invgen.solvers.diffusion.red_diff import REDdiff
from invgen.solvers.diffusion.split_gibbs import SplitGibbs

__all__ = [
    "DAPS",
    "DDNM",
    "DDRM",
    "DDS",
    "DPS",
    "DiffPIR",
    "DiffusionSolver",
    "PiGDM",
    "REDdiff",
    "SplitGibbs",
]
