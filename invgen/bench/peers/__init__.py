"""Other packages on the problems of this one: each entry converts geometry, orientation and units exactly.

Where a package has a projector or a Fourier transform of its own, it uses that; its knob is tuned like any
other. Packages are imported when an entry runs, and an entry whose package is not there says what to install.
"""

from invgen.bench.peers.cartesian import CARTESIAN
from invgen.bench.peers.imaging import DEBLURRING, DENOISING, IMAGING, INPAINTING
from invgen.bench.peers.parallel import PARALLEL
from invgen.bench.suite import Entry

__all__ = ["peers"]

_FIELDS = {
    "imaging": IMAGING,
    "denoising": IMAGING + DENOISING,
    "inpainting": IMAGING + INPAINTING,
    "deblurring": IMAGING + DEBLURRING,
    "parallel": PARALLEL,
    "cartesian": CARTESIAN,
}


def peers(field: str) -> tuple[Entry, ...]:
    """Entries of other packages.

    Parameters
    ----------
    field : str
        "imaging", any linear operator on real images; "denoising", "inpainting" and "deblurring", with what
        is for these alone; "parallel", parallel-beam CT; "cartesian", MRI.
    """
    return _FIELDS[field]
