"""What every part stands on, and what stands on nothing else of the package."""

from invgen.core import errors

__all__ = ["errors"]
