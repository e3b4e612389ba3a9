"""Lossless compression with priors that assign a probability to images.

==================  ====================================================================================
file                holds
==================  ====================================================================================
`codec`             `compress`, `decompress`, and the same through files
`coding`            which code a prior has, and which axes of an array are images
`container`         the format of these files, byte by byte
`autoregressive`    range codes of `Autoregressive`, and of maps by its networks
`context_table`     range codes of `ContextTable`
`bits_back`         codes of `VAE` and `HierarchicalVAE`
`codebook`          codes of `VQVAE`
`pixels`            independent pixels given what these decode
`frequencies`       whole numbers in place of probabilities
`exact`, `tables`   networks in arithmetic without any rounding that depends on the machine
`coders`            the entropy coders of `constriction`
`tiles`             images of other sizes than the prior's
`fingerprints`      by which files know their prior
`memory`            how many images are in memory at a time
==================  ====================================================================================
"""

from invgen.plausibility.compression.codec import CompressedImages, compress, decompress, write_compressed

__all__ = ["CompressedImages", "compress", "decompress", "write_compressed"]
