"""Scans of magnetic resonance imaging: fastMRI, ISMRMRD, and plain arrays of k-space."""
