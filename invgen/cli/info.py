"""``invgen info``: what is in a file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from invgen.cli import options
from invgen.cli.console import out, say
from invgen.cli.drawing import draw
from invgen.cli.sampling import draw_sampling
from invgen.core.errors import FileError
from invgen.pipeline.outputs import open_reconstruction
from invgen.pipeline.reading import Reading

if TYPE_CHECKING:
    from invgen.io import MRIScan, Reconstructed, Scan

_VALUES = {"transmission": "transmission I / I0", "absorption": "line integrals -log(I / I0)"}


def info(
    context: typer.Context,
    scan: options.ScanFile,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
    dataset: options.Dataset = None,
    axes: options.Axes = None,
    format: options.FileFormat = None,
    angles: options.Angles = None,
    angle_unit: options.Unit = None,
    flats: options.Flats = None,
    darks: options.Darks = None,
    quantity: options.What = None,
    rotation: options.Turn = None,
    trajectory: options.Trajectory = None,
    trajectory_unit: options.UnitOfTrajectory = None,
    field_of_view: options.FieldOfView = None,
    matrix: options.Matrix = None,
    mask: options.Mask = None,
    remove_oversampling: options.Oversampled = None,
) -> None:
    """Tell what a scan is, CT or MRI: shapes, units, angles or samples, and what is missing.

    Of a file that `invgen recon` wrote, it tells how it was made and the command to repeat it; of a prior,
    by its file or name, what it is of, how it was trained, and how well.
    """
    drawing = ""
    described = _prior(scan) or _reconstruction(scan)
    if described is None:
        with Reading.of(context).open(scan) as opened:
            described = opened.info()
            if not as_json:
                drawing = _drawing(opened, described)
    if as_json:
        print(json.dumps(described, indent=2))
    elif described["format"] == "prior":
        _print({name.replace("_", " "): _in_one_line(value) for name, value in described.items()})
    elif described["format"] == "reconstruction":
        command = described.pop("command")
        if quantiles := described.get("quantiles"):
            described["quantiles"] = f"{_in_one_line(quantiles)}, by {described.pop('estimator')}"
        _print(described)
        if command is not None:  # in one piece, to be copied
            out.print(f"made by: {command}", highlight=False, markup=False, soft_wrap=True)
    else:
        _print(_mri_in_words(described) if described.get("kind") == "mri" else _scan_in_words(described))
        if drawing and out.encoding.startswith("utf"):  # others lack the characters
            out.print(f"\n{drawing}", highlight=False, markup=False, soft_wrap=True)
        for note in described["notes"]:
            say("Note", "blue", note)
        for warning in described["warnings"]:
            say("Warning", "yellow", warning)


def _prior(path: Any) -> dict[str, Any] | None:
    """Describe a prior by its card; None for what is none."""
    from invgen.priors.files.checkpoints import about, shipped

    if path.suffix != ".safetensors" and (path.exists() or str(path) not in shipped()):
        return None
    card = {name: value for name, value in about(path).items() if value is not None}
    return {"path": str(path), **card, "format": "prior"}


def _in_one_line(value: Any) -> Any:
    """Numbers of a list, beside each other; others as they are."""
    numbers = isinstance(value, list) and all(isinstance(entry, int | float) for entry in value)
    return ", ".join(f"{entry:g}" for entry in value) if numbers else value


def _reconstruction(path: Any) -> dict[str, Any] | None:
    """Describe an output of invgen recon; None for any other file."""
    try:
        with open_reconstruction(path) as file:
            settings = dict(file.settings)
            slices, height, width = file.volume.shape
            return {
                "path": str(path),
                "format": "reconstruction",
                "slices": slices,
                "height": height,
                "width": width,
                "values": "complex" if file.is_complex else "real",
                "pixel_size": file.pixel_size,
                "unit": file.unit,
                **({} if file.angles is None else {"views": len(file.angles), "center": file.center}),
                **_posterior(file),
                "source": file.source,
                "created": file.created,
                "versions": file.versions,
                "command": settings.pop("command", None),
                "settings": settings,
                "report": list(file.report(slices // 2)),
            }
    except FileError:
        return None


def _posterior(file: Reconstructed) -> dict[str, Any]:
    """Describe the samples of a file, where it has some."""
    found = file.posterior
    if found is None:
        return {}
    told: dict[str, Any] = {"samples": len(found.samples)}
    return told | (
        {"quantiles": list(found.quantiles), "estimator": found.estimator} if found.quantiles else {}
    )


def _drawing(scan: Scan | MRIScan, described: dict[str, Any]) -> str:
    from invgen.io import MRIScan

    if not isinstance(scan, MRIScan):
        return draw(described["geometry"])
    return draw_sampling(scan.kspace(scan.slices // 2)) if described["samples"] else ""


def _mri_in_words(scan: dict[str, Any]) -> dict[str, Any]:
    unit, calibrated = scan["unit"], scan["calibration_region"]
    matrix = _times(scan["matrix"])
    field = "not told"
    if unit != "pixel":
        field = f"{_times(scan['field_of_view'])} {unit}, pixels of {_times(scan['pixel_size'])} {unit}"
    measured = scan["trajectory"]
    if scan["samples"]:
        measured += (
            f", {_times(scan['samples'])} samples of each coil, {scan['acceleration']:.3g}-fold accelerated"
        )
    calibration = "none"
    if calibrated and min(calibrated) > 1:
        calibration = f"the middle {_times(calibrated)} of k-space"
    elif scan["trajectory"] != "cartesian":
        calibration = "the middle of k-space, put on a grid"
    lines = {
        "file": scan["path"],
        "format": f"{scan['format']}, {scan['dataset']}",
        "k-space": f"{scan['coils']} coils, {scan['slices']} slices, {scan['repetitions']} repetitions, "
        f"{scan['dtype']}",
        "image": f"{matrix} pixels; measured {_times(scan['encoded_matrix'])}",
        "field of view": field,
        "sampling": measured,
        "calibration": calibration,
        "noise scan": "there" if scan["noise_scan"] else "none",
        "missing": ", ".join(scan["missing"]) or "nothing",
    }
    return lines | ({"repetitions": scan["frames"]} if scan["repetitions"] > 1 else {})


def _times(numbers: list[float]) -> str:
    return " x ".join(f"{number:.4g}" if isinstance(number, float) else str(number) for number in numbers)


def _scan_in_words(scan: dict[str, Any]) -> dict[str, Any]:
    angles, unit = scan["angles"], scan["unit"]
    size = "not told; lengths are in pixels" if unit == "pixel" else f"{scan['pixel_size']:g} {unit}"
    turn = "not told"
    if angles:
        turn = f"{angles['first']:g} to {angles['last']:g} degrees"
        if angles["step"] is not None:
            turn += f", in {'steps' if angles['uniform'] else 'uneven steps, most'} of {angles['step']:.4g}"
    return {
        "file": scan["path"],
        "format": f"{scan['format']}, {scan['dataset']}",
        "projections": f"{scan['views']} views, {scan['slices']} slices, {scan['columns']} columns, "
        f"{scan['dtype']}",
        "values": _VALUES[scan["quantity"]]
        if not scan["flats"]
        else "raw counts, to be divided by the flats",
        "angles": turn,
        "beam": _beam_in_words(scan["geometry"]),
        "detector": _detector_in_words(scan["geometry"]),
        "column width": size,
        "flats, darks": f"{scan['flats']}, {scan['darks']}",
        "missing": ", ".join(scan["missing"]) or "nothing",
    }


def _beam_in_words(beam: dict[str, Any]) -> str:
    turns = "" if beam["rotation"] == "counterclockwise" else ", turning clockwise"
    if beam["kind"] == "parallel":
        return f"parallel{turns}"
    unit = beam["unit"]
    return (
        f"{beam['kind']}, {beam['source_origin']:g} {unit} from the source to the rotation axis, "
        f"{beam['source_detector']:g} {unit} to the detector: magnification {beam['magnification']:.4g}, "
        f"fan angle {beam['fan_angle_degrees']:.3g} degrees{turns}"
    )


def _detector_in_words(beam: dict[str, Any]) -> str:
    rows, columns = beam["detector_rows"], beam["detector_columns"]
    shape = "" if beam["kind"] == "parallel" else ", curved" if beam["curved"] else ", flat"
    if beam["unit"] == "pixel" and beam["kind"] == "parallel":
        return f"{rows} x {columns} pixels"
    return f"{rows} x {columns} pixels, {beam['detector_spacing']:g} {beam['unit']} wide{shape}"


def _print(lines: dict[str, Any]) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", justify="right")
    table.add_column(overflow="fold")
    for name, value in lines.items():
        for part in _flattened(name, value):
            table.add_row(*part)
    out.print(table)


def _flattened(name: str, value: Any) -> list[tuple[str, Text]]:
    """Rows of a value: one for each entry of a list, those of a dict on one line."""
    if isinstance(value, list):
        return [(name if i == 0 else "", Text(str(entry))) for i, entry in enumerate(value)]
    if isinstance(value, dict):
        return [
            (name, Text(", ".join(f"{key} {entry}" for key, entry in value.items() if entry is not None)))
        ]
    return [(name, Text(str(value)))]
