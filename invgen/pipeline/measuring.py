"""How images were measured, in a word and its arguments: ``inpaint:mask.png``, ``super-resolution:4``.

Each word is a class: what it takes, which image a measurement is of, and the operator between both. They come
without torch, so that the command line has them at once.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from invgen.core.errors import DataError, ParameterError, ShapeError
from invgen.pipeline.values import Value

if TYPE_CHECKING:
    import torch

    from invgen.operators import LinearOperator

__all__ = ["WORDS", "Measuring", "Operators", "measuring", "operators_in_words"]

#: Shape of an image, (H, W) or in color (3, H, W).
_Shape = tuple[int, ...]

_BOUNDARIES = ("reflect", "circular", "zero")
_RESAMPLERS = ("block", "bicubic", "lanczos")
_SENSING = ("dct", "hadamard", "gaussian", "single-pixel")


class Measuring(ABC):
    """A way of measuring images.

    Attributes
    ----------
    word : str
        The word that it is called by.
    form : str
        The word with its arguments, as it is typed.
    about : str
        What it is, in a line.
    vectors : bool
        A measurement is a vector, not an image.
    finds_colors : bool
        Colors are not measured: they come from the prior alone.
    """

    word: ClassVar[str]
    form: ClassVar[str]
    about: ClassVar[str]
    vectors: ClassVar[bool] = False
    finds_colors: ClassVar[bool] = False
    #: A file that the operator is made of.
    file: str | None = None

    @classmethod
    @abstractmethod
    def of(cls, argument: str) -> Self:
        """Make one of what is typed after the colon.

        Raises
        ------
        ValueError
            With what is wrong with it; it may be empty.
        """

    @property
    @abstractmethod
    def argument(self) -> str:
        """What is typed after the colon; `of` makes the same of it."""

    @property
    def text(self) -> str:
        """How it is typed."""
        return f"{self.word}:{self.argument}" if self.argument else self.word

    def located(self) -> Self:
        """The same with the whole path of its file, so that it is found from any folder."""
        if self.file is None:
            return self
        return replace(self, file=str(Path(self.file).resolve()))  # type: ignore[type-var]

    def image_shape(self, measured: _Shape) -> _Shape:
        """Shape of the image that a measurement of this shape is of."""
        return measured

    @abstractmethod
    def operator(self, image_shape: _Shape) -> LinearOperator:
        """The operator, for images of this shape."""


@dataclass(frozen=True)
class _Plain(Measuring):
    """A word that nothing follows."""

    @classmethod
    def of(cls, argument: str) -> Self:
        if argument:
            raise ValueError("nothing follows it")
        return cls()

    @property
    def argument(self) -> str:
        return ""


@dataclass(frozen=True)
class _Denoise(_Plain):
    word, form, about = "denoise", "denoise", "the image itself, with noise"

    def operator(self, image_shape: _Shape) -> LinearOperator:
        from invgen.operators import Identity

        return Identity(image_shape)


@dataclass(frozen=True)
class _Inpaint(Measuring):
    word, form = "inpaint", "inpaint:FILE"
    about = "pixels are lost where the picture FILE, of the image's size, is black"

    file: str

    @classmethod
    def of(cls, argument: str) -> _Inpaint:
        if not argument:
            raise ValueError("the file of the mask follows it, such as inpaint:mask.png")
        return cls(argument)

    @property
    def argument(self) -> str:
        return self.file

    def operator(self, image_shape: _Shape) -> LinearOperator:
        from invgen.operators import Mask

        known = _gray(self.file, "mask") != 0
        if known.shape != image_shape[-2:]:
            height, width = known.shape
            raise ShapeError(
                f"The mask {self.file} has {height} x {width} pixels, and the image "
                f"{image_shape[-2]} x {image_shape[-1]}: they have the same size."
            )
        if not known.any():
            raise ParameterError(
                f"The mask {self.file} is black everywhere: white, or any other value, marks what is known."
            )
        return Mask(known, image_shape)


@dataclass(frozen=True)
class _Blur(Measuring):
    word, form = "blur", "blur:SIGMA|FILE[,BOUNDARY]"
    about = (
        "convolved with a Gaussian of SIGMA pixels, or with the kernel that FILE is a picture of; beyond its "
        "edges the image goes on by reflect (the default), circular or zero"
    )

    sigma: float | None
    file: str | None
    boundary: str = "reflect"

    @classmethod
    def of(cls, argument: str) -> _Blur:
        what, comma, boundary = argument.rpartition(",")
        if not comma or boundary not in _BOUNDARIES:  # a comma may be part of a name
            what, boundary = argument, "reflect"
        if not what:
            raise ValueError("a width in pixels or the file of a kernel follows it, such as blur:1.6")
        try:
            sigma = float(what)
        except ValueError:
            return cls(None, what, boundary)
        if not 0 < sigma < math.inf:
            raise ValueError(f"the width of the Gaussian is a positive number of pixels; got {what}")
        return cls(sigma, None, boundary)

    @property
    def argument(self) -> str:
        what = f"{self.sigma!r}" if self.file is None else self.file
        return what if self.boundary == "reflect" else f"{what},{self.boundary}"

    def operator(self, image_shape: _Shape) -> LinearOperator:
        from invgen.operators import Blur, kernels

        if self.sigma is not None:
            kernel = kernels.gaussian_kernel(self.sigma)
        else:
            assert self.file is not None, "there is one or the other"
            kernel = _gray(self.file, "kernel").double()
            total = float(kernel.sum())
            if not total > 0:
                raise ParameterError(f"The kernel {self.file} has the sum {total:g}; it is positive.")
            kernel = kernel / total
        height, width = image_shape[-2:]
        if kernel.shape[0] > 2 * height or kernel.shape[1] > 2 * width:
            raise ShapeError(
                f"A kernel of {kernel.shape[0]} x {kernel.shape[1]} pixels is larger than the image of "
                f"{height} x {width} and its surroundings."
            )
        return Blur(image_shape, kernel, self.boundary)


@dataclass(frozen=True)
class _SuperResolution(Measuring):
    word, form = "super-resolution", "super-resolution:N[,KIND]"
    about = (
        "made N times smaller by block averages (the default), or by the bicubic or lanczos filter of PIL; "
        "the output is N times as large"
    )

    factor: int
    kind: str = "block"

    @classmethod
    def of(cls, argument: str) -> _SuperResolution:
        factor, comma, kind = argument.partition(",")
        if not factor.isdecimal() or int(factor) < 1:
            raise ValueError(f"a whole number follows it, such as super-resolution:4; got {factor!r}")
        if comma and kind not in _RESAMPLERS:
            raise ValueError(f"the kind is one of {', '.join(_RESAMPLERS)}; got {kind!r}")
        return cls(int(factor), kind or "block")

    @property
    def argument(self) -> str:
        return f"{self.factor}" if self.kind == "block" else f"{self.factor},{self.kind}"

    def image_shape(self, measured: _Shape) -> _Shape:
        *channels, height, width = measured
        return (*channels, self.factor * height, self.factor * width)

    def operator(self, image_shape: _Shape) -> LinearOperator:
        from invgen.operators import Downsample

        return Downsample(image_shape, self.factor, self.kind)


@dataclass(frozen=True)
class _Gray(_Plain):
    word, form, about = "gray", "gray", "a color image without its colors; takes a prior of color images"
    finds_colors = True

    def image_shape(self, measured: _Shape) -> _Shape:
        if len(measured) != 2:
            raise ShapeError(
                "--operator gray finds colors of a gray image, and this one has them; --simulate takes them "
                "away first."
            )
        return (3, *measured)

    def operator(self, image_shape: _Shape) -> LinearOperator:
        from invgen.operators import Grayscale

        if len(image_shape) != 3:
            raise ShapeError("--operator gray with --simulate takes a color image; this one is gray.")
        return Grayscale(image_shape)


@dataclass(frozen=True)
class _Sense(Measuring):
    word, form = "sense", "sense:FRACTION[,SEED][,KIND]"
    about = (
        "compressed sensing, FRACTION times as many numbers as pixels: coefficients by dct (the default) or "
        "hadamard with random signs, gaussian projections, or a single-pixel camera; the input is a vector "
        "of them, with --size, or with --simulate an image"
    )
    vectors = True

    fraction: float
    seed: int = 0
    kind: str = "dct"

    @classmethod
    def of(cls, argument: str) -> _Sense:
        first, *rest = argument.split(",")
        try:
            fraction = float(first)
        except ValueError:
            fraction = math.nan
        if not 0 < fraction <= 1:
            raise ValueError(f"a fraction above 0, up to 1, follows it, such as sense:0.3; got {first!r}")
        seed = int(rest.pop(0)) if rest and rest[0].isdecimal() else 0
        kind = rest.pop(0) if rest and rest[0] in _SENSING else "dct"
        if rest:
            raise ValueError(f"a seed, and one of {', '.join(_SENSING)}, may follow; got {','.join(rest)!r}")
        return cls(fraction, seed, kind)

    @property
    def argument(self) -> str:
        seed = [str(self.seed)] if self.seed else []
        return ",".join([f"{self.fraction!r}", *seed, *([] if self.kind == "dct" else [self.kind])])

    def operator(self, image_shape: _Shape) -> LinearOperator:
        from invgen.operators import GaussianMatrix, SinglePixel, SubsampledTransform

        m = max(1, round(self.fraction * math.prod(image_shape)))
        if self.kind == "gaussian":
            return GaussianMatrix(image_shape, m, self.seed)
        if self.kind == "single-pixel":
            return SinglePixel(image_shape, m)
        return SubsampledTransform(image_shape, m, self.kind, seed=self.seed)


#: All of them, by their words.
WORDS: dict[str, type[Measuring]] = {
    each.word: each for each in (_Denoise, _Inpaint, _Blur, _SuperResolution, _Gray, _Sense)
}


def measuring(text: str) -> Measuring:
    """The way of measuring that is typed so.

    Raises
    ------
    ValueError
        Whose message says what there is.
    """
    word, _, argument = text.partition(":")
    if word not in WORDS:
        raise ValueError(f"{word!r} is none of {', '.join(each.form for each in WORDS.values())}.")
    try:
        return WORDS[word].of(argument)
    except ValueError as error:
        raise ValueError(f"{WORDS[word].form}: {error}.") from None


def operators_in_words() -> str:
    """All of them with their arguments, in a sentence."""
    return ", ".join(each.form for each in WORDS.values())


class Operators(Value):
    """A way of measuring images, as it is typed."""

    metavar = "WORD[:ARGUMENT]"

    @property
    def syntax(self) -> str:  # type: ignore[override]
        """Each with what it is."""
        return "; ".join(f"{each.form}, {each.about}" for each in WORDS.values()) + "."

    def check(self, value: Any, name: str) -> str:
        """The text, in one form."""
        if not isinstance(value, str):
            raise ParameterError(f"{name} is a text such as 'blur:1.6'; got {value!r}.")
        try:
            return self.read(value)
        except ValueError as error:
            raise ParameterError(f"{name}: {error}") from None

    def read(self, text: str) -> str:
        """The text, in one form."""
        return measuring(text).text


def _gray(file: str, what: str) -> torch.Tensor:
    """The picture that a mask or a kernel is read from, (H, W)."""
    import torch

    from invgen.io import read_images

    images = read_images(file, gray=True)
    if len(images) != 1:
        raise ShapeError(f"The {what} {file} holds {len(images)} images; it is one.")
    if images[0].dtype.kind == "c":
        raise DataError(f"The {what} {file} holds complex numbers; they are real.")
    return torch.from_numpy(images[0].copy())
