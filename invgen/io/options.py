"""What the caller of `open_scan` states about a file."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from invgen.core.errors import ParameterError

__all__ = ["AngleUnit", "Divided", "Options", "ReadoutAxis", "Rotation", "TrajectoryUnit"]

AngleUnit = Literal["deg", "rad"]
Divided = Literal["transmission", "absorption"]
Rotation = Literal["counterclockwise", "clockwise"]
TrajectoryUnit = Literal["cycles/pixel", "rad/pixel", "1/m", "cycles/fov"]
ReadoutAxis = Literal["x", "y", "z"]

#: What applies to any file.
_OF_ALL = ("dataset", "axes", "follow_links")


@dataclass(frozen=True)
class Options:
    """What the caller of `open_scan` states about a file, by its names; None where the file is asked.

    Raises
    ------
    ParameterError
        When a word is none of those that are known, or the angles are given twice.
    """

    dataset: str | None = None
    axes: str | None = None
    angles: Any = None
    angles_dataset: str | None = None
    angle_unit: AngleUnit | None = None
    flats: Any = None
    darks: Any = None
    quantity: Divided | None = None
    rotation: Rotation = "counterclockwise"
    trajectory: Any = None
    trajectory_unit: TrajectoryUnit | None = None
    field_of_view: Any = None
    matrix: tuple[int, ...] | None = None
    mask: Any = None
    remove_oversampling: ReadoutAxis | None = None
    kspace_center: Any = None
    image_center: Literal["middle", "corner"] | None = None
    index: Any = None
    follow_links: bool = False

    def __post_init__(self) -> None:
        if self.angles is not None and self.angles_dataset is not None:
            raise ParameterError("give the angles once: either angles=... or angles_dataset=...")
        for name, words in (("angle_unit", AngleUnit), ("quantity", Divided)):
            if getattr(self, name) not in (None, *get_args(words)):
                first, second = get_args(words)
                raise ParameterError(
                    f'{name} should be "{first}" or "{second}"; got {getattr(self, name)!r}.'
                )
        if self.rotation not in get_args(Rotation):
            raise ParameterError(
                f"rotation should be one of {', '.join(get_args(Rotation))}; got {self.rotation!r}."
            )
        if self.trajectory_unit not in (None, *get_args(TrajectoryUnit)):
            raise ParameterError(
                f"trajectory_unit should be one of {', '.join(get_args(TrajectoryUnit))}; "
                f"got {self.trajectory_unit!r}."
            )

    def beyond(self, known: Collection[str]) -> list[str]:
        """Names of what is stated, beside what applies to any array, and not among those that are known."""
        rest = [field for field in fields(self) if field.name not in (*_OF_ALL, *known)]
        return [field.name for field in rest if not _is_default(getattr(self, field.name), field.default)]


def _is_default(value: Any, default: Any) -> bool:
    return value is None or value is default or (isinstance(value, str) and value == default)
