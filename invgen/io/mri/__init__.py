"""MRI scans: fastMRI, ISMRMRD, and plain arrays of k-space."""

from invgen.io.mri.contents import KSpace
from invgen.io.mri.scan import MRIScan

__all__ = ["KSpace", "MRIScan"]
