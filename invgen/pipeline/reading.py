"""What is said on the command line about how to read a scan."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from invgen.cli.options import AngleUnit, Axis, Format, Quantity, Rotation, TrajectoryUnit

if TYPE_CHECKING:
    import numpy as np

    from invgen.io import MRIScan, Scan


@dataclass(frozen=True)
class Reading:
    """What was said about how to read a scan; None where the file is asked."""

    dataset: str | None = None
    axes: str | None = None
    angles: str | None = None
    angle_unit: AngleUnit | None = None
    flats: str | None = None
    darks: str | None = None
    quantity: Quantity | None = None
    format: Format | None = None
    rotation: Rotation | None = None
    trajectory: str | None = None
    trajectory_unit: TrajectoryUnit | None = None
    field_of_view: str | None = None
    matrix: str | None = None
    mask: str | None = None
    remove_oversampling: Axis | None = None

    @classmethod
    def of(cls, context: typer.Context) -> Reading:
        """Take the options of a command that has them all, by their names."""
        return cls(**{field.name: context.params[field.name] for field in fields(cls)})

    def open(self, path: Path) -> Scan | MRIScan:
        """Open the scan."""
        from invgen.io import open_scan

        angles = None if self.angles is None else _typed_angles(self.angles, self.angle_unit)
        return open_scan(
            path,
            dataset=self.dataset,
            axes=self.axes,
            angles=angles,
            angles_dataset=self.angles if angles is None else None,
            angle_unit=None if self.angle_unit is None else self.angle_unit.value,
            flats=self.flats,
            darks=self.darks,
            quantity=None if self.quantity is None else self.quantity.value,
            rotation=(self.rotation or Rotation.counterclockwise).value,
            trajectory=self.trajectory,
            trajectory_unit=None if self.trajectory_unit is None else self.trajectory_unit.value,
            field_of_view=_lengths(self.field_of_view),
            matrix=_sizes(self.matrix),
            mask=self.mask,
            remove_oversampling=None if self.remove_oversampling is None else self.remove_oversampling.value,
            format=None if self.format is None else self.format.value,
        )

    def located(self) -> Reading:
        """Return the same with whole paths for names of files, so that they are found from any folder."""

        def whole(name: str | None) -> str | None:
            return str(Path(name).resolve()) if name is not None and Path(name).is_file() else name

        return replace(
            self,
            angles=whole(self.angles),
            flats=whole(self.flats),
            darks=whole(self.darks),
            trajectory=whole(self.trajectory),
            mask=whole(self.mask),
        )


def _lengths(text: str | None) -> float | tuple[float, ...] | None:
    """Read a length, or several with commas between them."""
    if text is None:
        return None
    try:
        lengths = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no length in m, nor lengths such as 0.24,0.2.", param_hint="--field-of-view"
        ) from None
    return lengths[0] if len(lengths) == 1 else lengths


def _sizes(text: str | None) -> tuple[int, ...] | None:
    """Read ``HxW`` or ``DxHxW``."""
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split("x"))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no HxW, such as 256x192.", param_hint="--matrix") from None


def _typed_angles(text: str, unit: AngleUnit | None) -> np.ndarray | None:
    """Angles in radians from a range or a file; None where the text can only be the name of an array."""
    import numpy as np

    if span := re.fullmatch(r"([^:/]+):([^:/]+):(\d+)", text):
        try:
            start, stop, count = float(span[1]), float(span[2]), int(span[3])
        except ValueError:
            return None
        return np.deg2rad(np.linspace(start, stop, count, endpoint=False))
    path = Path(text)
    return _angles_of_file(path, unit) if path.is_file() else None


def _angles_of_file(path: Path, unit: AngleUnit | None) -> np.ndarray:
    import numpy as np

    from invgen.core.errors import FileError
    from invgen.io.ct.angles import angles_in_radians

    try:
        if path.suffix == ".npy":
            values = np.load(path, allow_pickle=False)
        else:
            values = np.array(re.split(r"[\s,;]+", path.read_text().strip()), dtype=np.float64)
    except (OSError, ValueError) as error:  # also text that is no UTF-8, and a pickle
        raise FileError(f"{path} is no list of angles: {error}") from error
    return angles_in_radians(values, stated=None, option=unit, what=str(path))
