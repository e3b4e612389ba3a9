"""MRI scans: fastMRI, ISMRMRD, and plain arrays of k-space."""

from invgen.io.kspace.contents import KSpace
from invgen.io.kspace.scan import MRIScan

__all__ = ["KSpace", "MRIScan"]
