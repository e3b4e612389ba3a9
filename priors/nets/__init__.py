"""Networks of learned priors: one architecture in each file."""

from invgen.priors.nets.architectures import ARCHITECTURES
from invgen.priors.nets.edm import EDM
from invgen.priors.nets.multiscale import MultiscaleFlow
from invgen.priors.nets.unet import UNet

__all__ = ["ARCHITECTURES", "EDM", "MultiscaleFlow", "UNet"]
