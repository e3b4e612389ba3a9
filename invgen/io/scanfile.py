"""What scans of every modality share: a file that stays open while they are used."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Self

from invgen.core.checks import is_count
from invgen.core.errors import FileError, InvgenWarning, ParameterError
from invgen.io.source import Source

__all__ = ["ScanFile"]


class ScanFile:
    """A scan in a file; close it, or use it in a ``with`` statement.

    Parameters
    ----------
    path : Path
    source : Source, optional
        What it is read from, which is closed with it.
    """

    def __init__(self, path: Path, source: Source | None = None):
        self.path, self._source, self._open = path, source, True
        self._doubted = False

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that it is read from, those among them that links lead to."""
        return (self.path,) if self._source is None else self._source.files

    @property
    def contradictions(self) -> tuple[str, ...]:
        """What the samples contradict of what the file states: a sentence each."""
        return ()

    def _doubts(self) -> tuple[str, ...]:
        """The `contradictions`, of which the caller's caller is warned once."""
        found = self.contradictions
        if not self._doubted:
            self._doubted = True
            for sentence in found:
                warnings.warn(sentence, InvgenWarning, stacklevel=3)
        return found

    def _index(self, index: int, count: int, what: str) -> int:
        """Place of a slice or the like, of which there are `count`; negative numbers count from the end.

        Raises
        ------
        FileError
            When the file is closed.
        ParameterError
            When there is none of that number.
        """
        if not self._open:
            raise FileError(
                f"{self.path} is closed; read from it within the `with` block, or before close()."
            )
        if not is_count(index, count - 1, least=-count):
            raise ParameterError(f"there is no {what} {index}: the scan has {count}, 0 to {count - 1}.")
        return int(index) % count

    def close(self) -> None:
        """Close the file."""
        self._open = False
        if self._source is not None:
            self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
