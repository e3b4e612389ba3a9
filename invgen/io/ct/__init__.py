"""Scans of computed tomography: from counts in a file to the problem of a slice or a volume."""
