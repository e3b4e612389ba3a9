"""Every public posterior sampler, with the problems that stand for it."""

import torch

from invgen.priors import Diffusion, from_module
from invgen.priors import Gaussian as Normal
from invgen.solvers import (
    DAPS,
    DDNM,
    DDRM,
    DDS,
    DPS,
    FPS,
    ULA,
    AnnealedLangevin,
    DiffPIR,
    LatentHMC,
    LatentLangevin,
    MCGDiff,
    PiGDM,
    PreconditionedLangevin,
    PredictorCorrector,
    REDdiff,
    SplitGibbs,
    TwistedSMC,
)

from .problems import FEW, counts, denoising, inpainting, lost, resonance, saturated, single_coil


class Wiener(torch.nn.Module):
    """A network that knows a normal prior around one half."""

    def forward(self, x, sigma, label=None, extra=None):
        return 0.5 + (x - 0.5) / (1 + 4 * sigma.reshape(-1, 1, 1, 1) ** 2)


class Decoder(torch.nn.Module):
    """Images from zero to one, or their two parts, of three latent variables."""

    def __init__(self, *shape):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        size = torch.Size(shape).numel()
        self.weight = torch.nn.Parameter(0.3 * torch.randn(3, size, generator=generator))
        self.shape = shape

    def forward(self, z):
        return torch.sigmoid(z @ self.weight).unflatten(-1, self.shape)


#: Samplers get images of a value range, whose scale they find, and images of one unit.
NETWORK, COMPLEX = Diffusion(Wiener()), Diffusion(Wiener(), field="complex")
GENERATOR = from_module(Decoder(1, 16, 16), (3,))
GENERATOR_ROWS = from_module(Decoder(1, 9, 12), (3,))
GENERATOR_COMPLEX = from_module(Decoder(2, 9, 12), (3,), field="complex")
GENERATOR_SMALL = from_module(Decoder(1, 12, 12), (3,), value_range=(0.0, 10.0), output_range=(0.0, 1.0))
NORMAL = Normal(torch.full((16, 16), 0.5, dtype=torch.float64), 0.3)
NORMAL_ROWS = Normal(torch.full((9, 12), 0.5, dtype=torch.float64), 0.3)
NORMAL_SMALL = Normal(torch.full((12, 12), 5.0, dtype=torch.float64), 0.3)
LEVELS = {"iterations": 3}
#: Each public sampler with the parameter sets and problems that stand for it, and the rules that do not
#: apply.
SAMPLERS = {
    "DDS": {
        "defaults": (DDS(NORMAL, **LEVELS), None, ()),
        "network": (DDS(NETWORK, **LEVELS), None, ()),
        "complex": (DDS(COMPLEX, **LEVELS), resonance, ()),
        "weighted data": (DDS(NORMAL_ROWS, eta=0.5, **LEVELS), inpainting, ()),
    },
    "DiffPIR": {
        "defaults": (DiffPIR(NORMAL_ROWS, **LEVELS), denoising, ()),
        "network": (DiffPIR(NETWORK, **LEVELS), denoising, ()),
        "complex": (DiffPIR(COMPLEX, **LEVELS), single_coil, ()),
        "weighted data": (DiffPIR(NORMAL_ROWS, **LEVELS), inpainting, ()),
    },
    "DDRM": {
        "defaults": (DDRM(NORMAL_ROWS, **LEVELS), denoising, ()),
        "network": (DDRM(NETWORK, **LEVELS), lost, ()),
        "complex": (DDRM(COMPLEX, **LEVELS), single_coil, ()),
    },
    "DDNM": {
        "defaults": (DDNM(NORMAL_ROWS, **LEVELS), denoising, ()),
        "network": (DDNM(NETWORK, passes=2, **LEVELS), lost, ()),
        "complex": (DDNM(COMPLEX, **LEVELS), single_coil, ()),
    },
    "PiGDM": {
        "defaults": (PiGDM(NORMAL_ROWS, **LEVELS), denoising, ()),
        "network": (PiGDM(NETWORK, eta=0.5, **LEVELS), lost, ()),
        "complex": (PiGDM(COMPLEX, **LEVELS), single_coil, ()),
        "weighted data": (PiGDM(NORMAL_ROWS, **LEVELS), inpainting, ()),
    },
    "DPS": {
        "defaults": (DPS(NORMAL, std=0.5, **LEVELS), None, ()),
        "network": (DPS(NETWORK, **LEVELS), lost, ()),
        "complex": (DPS(COMPLEX, **LEVELS), single_coil, ()),
        "weighted data": (DPS(NORMAL_ROWS, std=0.5, **LEVELS), inpainting, ()),
        "counts": (DPS(NORMAL_SMALL, std=0.5, **LEVELS), counts, ()),
        "not linear": (DPS(NORMAL_ROWS, std=0.5, **LEVELS), saturated, ()),
    },
    "DAPS": {
        "defaults": (DAPS(NORMAL_ROWS, **LEVELS), denoising, ()),
        "network": (DAPS(NETWORK, **LEVELS), lost, ()),
        "complex": (DAPS(COMPLEX, **LEVELS), single_coil, ()),
        "weighted data": (DAPS(NORMAL_ROWS, ode_steps=1, **LEVELS), inpainting, ()),
        "not linear": (DAPS(NORMAL_ROWS, langevin_steps=2, **LEVELS), saturated, ()),
    },
    "SplitGibbs": {
        "defaults": (SplitGibbs(NORMAL_ROWS, **LEVELS), denoising, ()),
        "network": (SplitGibbs(NETWORK, **LEVELS), lost, ()),
        "complex": (SplitGibbs(COMPLEX, **LEVELS), single_coil, ()),
        "weighted data": (SplitGibbs(NORMAL_ROWS, **LEVELS), inpainting, ()),
        "not linear": (SplitGibbs(NORMAL_ROWS, langevin_steps=2, **LEVELS), saturated, ()),
    },
    "REDdiff": {
        "defaults": (REDdiff(NORMAL_ROWS, **LEVELS), denoising, ()),
        "network": (REDdiff(NETWORK, **LEVELS), lost, ()),
        "complex": (REDdiff(COMPLEX, **LEVELS), single_coil, ()),
        "weighted data": (REDdiff(NORMAL_ROWS, **LEVELS), inpainting, ()),
    },
    # particles: samples come about together
    "TwistedSMC": {
        "defaults": (TwistedSMC(NORMAL_ROWS, particles=4, **LEVELS), denoising, {"seeds"}),
        "network": (TwistedSMC(NETWORK, particles=4, **LEVELS), lost, {"seeds"}),
        "complex": (TwistedSMC(COMPLEX, particles=4, **LEVELS), single_coil, {"seeds"}),
        "weighted data": (TwistedSMC(NORMAL_ROWS, particles=4, **LEVELS), inpainting, {"seeds"}),
    },
    "MCGDiff": {
        "defaults": (MCGDiff(NORMAL_ROWS, particles=4, **LEVELS), denoising, {"seeds"}),
        "network": (MCGDiff(NETWORK, particles=4, **LEVELS), lost, {"seeds"}),
        "complex": (MCGDiff(COMPLEX, particles=4, **LEVELS), single_coil, {"seeds"}),
    },
    "FPS": {
        "defaults": (FPS(NORMAL_ROWS, particles=4, **LEVELS), denoising, {"seeds"}),
        "network": (FPS(NETWORK, particles=4, **LEVELS), lost, {"seeds"}),
        "complex": (FPS(COMPLEX, particles=4, **LEVELS), single_coil, {"seeds"}),
    },
    "AnnealedLangevin": {
        "defaults": (AnnealedLangevin(NORMAL_ROWS, langevin_steps=1, **LEVELS), denoising, ()),
        "network": (AnnealedLangevin(NETWORK, **LEVELS), lost, ()),
        "complex": (AnnealedLangevin(COMPLEX, **LEVELS), single_coil, ()),
        "weighted data": (AnnealedLangevin(NORMAL_ROWS, **LEVELS), inpainting, ()),
    },
    "PreconditionedLangevin": {
        "defaults": (PreconditionedLangevin(NORMAL_ROWS, **LEVELS), denoising, ()),
        "network": (PreconditionedLangevin(NETWORK, **LEVELS), lost, ()),
        "complex": (PreconditionedLangevin(COMPLEX, **LEVELS), single_coil, ()),
        "weighted data": (PreconditionedLangevin(NORMAL_ROWS, **LEVELS), inpainting, ()),
        "adjusted": (PreconditionedLangevin(NORMAL_ROWS, adjusted_steps=2, **LEVELS), inpainting, ()),
    },
    "PredictorCorrector": {
        "defaults": (PredictorCorrector(NORMAL_ROWS, **LEVELS), denoising, ()),
        "network": (PredictorCorrector(NETWORK, **LEVELS), lost, ()),
        "complex": (PredictorCorrector(COMPLEX, **LEVELS), single_coil, ()),
        "weighted data": (PredictorCorrector(NORMAL_ROWS, **LEVELS), inpainting, ()),
    },
    "ULA": {
        "defaults": (ULA(NORMAL, sigma=0.1, **FEW), None, ()),
        "network": (ULA(NETWORK, **FEW), lost, ()),
        "complex": (ULA(COMPLEX, **FEW), single_coil, ()),
        "weighted data": (ULA(NORMAL_ROWS, sigma=0.1, **FEW), inpainting, ()),
        "not linear": (ULA(NORMAL_ROWS, sigma=0.1, **FEW), saturated, ()),
    },
    "LatentLangevin": {
        "defaults": (LatentLangevin(GENERATOR, **FEW), None, ()),
        "rows": (LatentLangevin(GENERATOR_ROWS, **FEW), lost, ()),
        "complex": (LatentLangevin(GENERATOR_COMPLEX, **FEW), single_coil, ()),
        "weighted data": (LatentLangevin(GENERATOR_ROWS, annealed=True, **FEW), inpainting, ()),
        "counts": (LatentLangevin(GENERATOR_SMALL, **FEW), counts, {"scale"}),
        "not linear": (LatentLangevin(GENERATOR_ROWS, **FEW), saturated, {"scale"}),
    },
    "LatentHMC": {
        "defaults": (LatentHMC(GENERATOR, leapfrog_steps=2, **LEVELS), None, ()),
        "rows": (LatentHMC(GENERATOR_ROWS, leapfrog_steps=2, **LEVELS), lost, ()),
        "complex": (LatentHMC(GENERATOR_COMPLEX, leapfrog_steps=2, **LEVELS), single_coil, ()),
        "weighted data": (
            LatentHMC(GENERATOR_ROWS, annealed=True, leapfrog_steps=2, **LEVELS),
            inpainting,
            (),
        ),
        "counts": (LatentHMC(GENERATOR_SMALL, leapfrog_steps=2, **LEVELS), counts, {"scale"}),
        "not linear": (LatentHMC(GENERATOR_ROWS, leapfrog_steps=2, **LEVELS), saturated, {"scale"}),
    },
}
