"""Networks of learned priors: one architecture in each file."""

from invgen.priors.nets.architectures import ARCHITECTURES
from invgen.priors.nets.edm import EDM
from invgen.priors.nets.energies import ImageEnergy, VectorEnergy
from invgen.priors.nets.perceptron import Perceptron
from invgen.priors.nets.unet import UNet

__all__ = ["ARCHITECTURES", "EDM", "ImageEnergy", "Perceptron", "UNet", "VectorEnergy"]
