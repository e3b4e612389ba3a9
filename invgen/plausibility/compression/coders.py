"""Entropy coders of `constriction`, by whole-number frequencies, and their words as bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from invgen.core.errors import CapabilityError, FileError

__all__ = ["Decoder", "Encoder", "Stack", "less_one"]


class Encoder:
    """A range coder, Martin (1979), that symbols are written to in the order in which they are read."""

    def __init__(self) -> None:
        self._coder, self._model = _constriction().queue.RangeEncoder(), _model()

    def write(self, symbols: np.ndarray, frequencies: np.ndarray) -> None:
        """Append symbols (n,), each by the frequencies (n, k) less one, as of `less_one`."""
        self._coder.encode(symbols, self._model, frequencies)

    def bytes(self) -> bytes:
        """All that was written."""
        return _as_bytes(self._coder.get_compressed())


class Decoder:
    """The way back."""

    def __init__(self, data: bytes) -> None:
        self._coder, self._model = _constriction().queue.RangeDecoder(_words(data)), _model()

    def read(self, frequencies: np.ndarray) -> np.ndarray:
        """The next symbols (n,), by the frequencies (n, k) less one.

        Raises
        ------
        FileError
            Where no symbols have such a code.
        """
        try:
            return self._coder.decode(self._model, frequencies)
        except AssertionError as error:
            raise FileError("The compressed pixels contradict themselves.") from error

    def check_end(self) -> None:
        """Raise where more than the symbols that were read is left."""
        if not self._coder.maybe_exhausted():
            raise FileError("The compressed pixels go on after the last one.")


class Stack:
    """Asymmetric numeral systems, Duda (2009): the symbol that was pushed last is the first to be popped.

    What is popped from a stack can be pushed again, which restores it: symbols can be drawn by its bits.
    """

    def __init__(self, data: bytes = b"") -> None:
        try:
            self._coder = _constriction().stack.AnsCoder(_words(data) if data else None)
        except ValueError as error:  # it begins with zeros
            raise FileError("The compressed pixels are no stack of bits.") from error
        self._model = _model()

    def push(self, symbols: np.ndarray, frequencies: np.ndarray) -> None:
        """Push symbols (n,), the last one first."""
        self._coder.encode_reverse(symbols, self._model, frequencies)

    def pop(self, frequencies: np.ndarray) -> np.ndarray:
        """Pop symbols, in the order (n,) in which `push` had them."""
        return self._coder.decode(self._model, frequencies)

    @property
    def bits(self) -> int:
        """Number of bits that are there."""
        return self._coder.num_valid_bits()

    def bytes(self) -> bytes:
        """All of it."""
        return _as_bytes(self._coder.get_compressed())


def less_one(frequencies: Tensor) -> np.ndarray:
    """Frequencies (..., k) that add up to 2 ** 24, as the coders take them: (n, k), float32.

    The fast models of `constriction` give each of k symbols one of 2 ** 24, share the rest in proportion to
    what they are given, and round down. This rest is given here, in whole numbers: it is not changed.
    """
    return (frequencies - 1).reshape(-1, frequencies.shape[-1]).float().numpy()


def _constriction() -> Any:
    try:
        import constriction
    except ImportError as error:
        raise CapabilityError("Compression needs constriction: pip install 'invgen[compression]'.") from error
    return constriction.stream


def _model() -> Any:
    return _constriction().model.Categorical(perfect=False)


def _as_bytes(words: np.ndarray) -> bytes:
    return words.astype("<u4").tobytes()


def _words(data: bytes) -> np.ndarray:
    if len(data) % 4:
        raise FileError("The compressed pixels are no whole number of words of 32 bits.")
    return np.frombuffer(data, "<u4").astype(np.uint32)
