"""The errors that users see: what was expected, what was given, what to do."""

from __future__ import annotations

__all__ = [
    "CapabilityError",
    "ClusterError",
    "DataError",
    "DivergenceError",
    "DtypeError",
    "FileError",
    "InvgenError",
    "InvgenWarning",
    "MemoryLimitError",
    "ParameterError",
    "SamplingWarning",
    "ShapeError",
]


class InvgenError(Exception):
    """Base of all errors that invgen raises on purpose."""


class ShapeError(InvgenError, ValueError):
    """An array has a shape that the operator, prior or solver does not take."""


class DtypeError(InvgenError, TypeError):
    """An array has a dtype that the operator, prior or solver does not take."""


class DataError(InvgenError, ValueError):
    """Data that no physics explains: NaN, infinities, negative counts, a zero flat field."""


class ParameterError(InvgenError, ValueError):
    """A parameter is outside of the values that make sense."""


class CapabilityError(InvgenError, TypeError):
    """The operator, noise model or prior lacks what the method needs."""


class DivergenceError(InvgenError, ArithmeticError):
    """An iteration left the finite numbers."""


class FileError(InvgenError):
    """A file cannot be read as the kind of file that it should be, or cannot be written."""


class ClusterError(InvgenError):
    """A scheduler cannot be reached, or its workers are lost or run another version."""


class MemoryLimitError(InvgenError, MemoryError):
    """More memory is needed than the limit allows; the file itself may be sound."""


class InvgenWarning(UserWarning):
    """Something that the user should know and that does not stop the work."""


class SamplingWarning(InvgenWarning):
    """Samples cannot be relied on, by the sampler's own diagnostics."""
