"""Formats of images that are written beside HDF5: NIfTI, DICOM, TIFF, NPY and PNG."""
