"""Networks of learned priors: one architecture in each file."""

from invgen.priors.nets.architectures import ARCHITECTURES
from invgen.priors.nets.autoencoders import VariationalAutoencoder
from invgen.priors.nets.edm import EDM
from invgen.priors.nets.unet import UNet
from invgen.priors.nets.vector_quantization import VectorQuantizedAutoencoder

__all__ = ["ARCHITECTURES", "EDM", "UNet", "VariationalAutoencoder", "VectorQuantizedAutoencoder"]
