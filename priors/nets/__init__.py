"""Networks of learned priors: one architecture in each file."""

from invgen.priors.nets.architectures import ARCHITECTURES
from invgen.priors.nets.autoencoders import VariationalAutoencoder
from invgen.priors.nets.dcgan import DCDiscriminator, DCGenerator
from invgen.priors.nets.edm import EDM
from invgen.priors.nets.energies import ImageEnergy, VectorEnergy
from invgen.priors.nets.hierarchical import HierarchicalAutoencoder
from invgen.priors.nets.masked import GatedMaskedCNN
from invgen.priors.nets.mlp import MLP
from invgen.priors.nets.multiscale import MultiscaleFlow
from invgen.priors.nets.perceptron import Perceptron
from invgen.priors.nets.pyramid import Pyramid
from invgen.priors.nets.unet import UNet
from invgen.priors.nets.vector_quantization import VectorQuantizedAutoencoder

__all__ = [
    "ARCHITECTURES",
    "EDM",
    "MLP",
    "DCDiscriminator",
    "DCGenerator",
    "GatedMaskedCNN",
    "HierarchicalAutoencoder",
    "ImageEnergy",
    "MultiscaleFlow",
    "Perceptron",
    "Pyramid",
    "UNet",
    "VariationalAutoencoder",
    "VectorEnergy",
    "VectorQuantizedAutoencoder",
]
