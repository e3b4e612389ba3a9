"""Images that a prior finds probable, near images that someone has changed to fool a classifier.

===========================  =========================================================================
`GreedyPurification`         pixel by pixel the most probable level within a ball: PixelDefend
`AscentPurification`         a maximum of the density within a ball, by projected gradients
`DenoisingPurification`      the same of the density with a little noise, by a denoiser alone
`DiffusionPurification`      noise is added, and the reverse diffusion removes it: DiffPure
`AdaptivePurification`       any of these, for images that are anomalous
===========================  =========================================================================
"""

from invgen.plausibility.purification.adaptive import AdaptivePurification
from invgen.plausibility.purification.ascent import AscentPurification
from invgen.plausibility.purification.base import Purification
from invgen.plausibility.purification.denoising import DenoisingPurification
from invgen.plausibility.purification.diffusion import DiffusionPurification
from invgen.plausibility.purification.greedy import GreedyPurification

__all__ = [
    "AdaptivePurification",
    "AscentPurification",
    "DenoisingPurification",
    "DiffusionPurification",
    "GreedyPurification",
    "Purification",
]
