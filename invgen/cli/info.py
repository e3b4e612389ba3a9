"""``invgen info``: what is in a file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from invgen.cli.console import out, say, show
from invgen.cli.drawing import draw
from invgen.cli.options import ScanFile, typed
from invgen.cli.sampling import draw_sampling
from invgen.core.text import escaped
from invgen.pipeline import Reading

if TYPE_CHECKING:
    from invgen.pipeline.description import Description

__all__ = ["info"]

_COVERAGE = {
    None: "not looked at",
    "whole": "seen whole by every view",
    "half-acquisition": "seen from one side or the other: half-acquisition, the rotation axis is next to an "
    "edge of the detector",
    "region of interest": "wider than the detector: a region of interest is seen",
}
_VALUES = {"transmission": "transmission I / I0", "absorption": "line integrals -log(I / I0)"}


@typed(Reading)
def info(
    scan: ScanFile,
    reading: Reading,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Describe a scan, CT or MRI: shapes, units, angles or samples, and what is missing.

    Of a picture, or of images with --operator, show size and values, and how it may have been measured.

    Of a file that `invgen recon` wrote, show how it was made and the command to repeat it; of a prior, by its
    file or name, what it is of, how it was trained, and how well.
    """
    from invgen.pipeline.description import describe
    from invgen.pipeline.inputs import probe_inputs

    probe_inputs(scan, reading)
    described = describe(scan, reading)
    facts = described.facts
    if as_json:
        print(json.dumps(facts, indent=2))
    elif facts["format"] == "prior":
        _print(_prior_in_words(facts))
    elif facts["format"] == "images":
        _print(_images_of_a_file_in_words(facts))
    elif facts["format"] == "reconstruction":
        command = facts.pop("command")
        if quantiles := facts.get("quantiles"):
            facts["quantiles"] = f"{_in_one_line(quantiles)}, by {facts.pop('estimator')}"
        _print(facts)
        if command is not None:  # in one piece, to be copied
            show(f"made by: {command}")
    else:
        _print(_mri_in_words(facts) if facts.get("kind") == "mri" else _scan_in_words(facts))
        drawing = _drawing(described)
        if drawing and out.encoding.startswith("utf"):  # others lack the characters
            out.print(f"\n{drawing}", highlight=False, markup=False, soft_wrap=True)
        for note in facts["notes"]:
            say("Note", "blue", note)
        for warning in facts["warnings"]:
            say("Warning", "yellow", warning)


def _in_one_line(value: Any) -> Any:
    """Numbers of a list, beside each other; others as they are."""
    numbers = isinstance(value, list) and all(isinstance(entry, int | float) for entry in value)
    return ", ".join(f"{entry:g}" for entry in value) if numbers else value


def _images_of_a_file_in_words(images: dict[str, Any]) -> dict[str, Any]:
    noise, count = images["noise_std"], images["images"]
    color = "in color" if images["channels"] == 3 else "gray"
    return {
        "file": images["path"],
        "format": "an image" if count == 1 else f"{count} images, of which this is the first",
        "image": f"{images['height']} x {images['width']} pixels, {color}",
        "values": "{:.4g} to {:.4g}".format(*images["values"]),
        "noise": "cannot be estimated" if noise is None else f"at most {noise:.3g}, its standard deviation",
        "to restore it": "invgen recon FILE -o OUTPUT --operator, and how it was measured:",
        **images["operators"],
    }


#: Entries of a prior's file that describe its images, and its networks.
_IMAGES = ("image_shape", "channels", "field", "value_range", "levels")
_NETWORKS = ("architecture", "architectures", "parameters")


def _prior_in_words(prior: dict[str, Any]) -> dict[str, Any]:
    """Images, latent variables and networks in a line each; the rest as the file has it."""
    if "error" in prior:  # and may state anything
        return {name.replace("_", " "): _in_one_line(value) for name, value in prior.items()}
    known = {name: prior[name] for name in ("path", "format", "family")}
    known["images"] = _images_in_words(prior)
    if "latent_shape" in prior:
        known["latent variables"] = _times(prior["latent_shape"])
    networks = [f"{name}: {_network(each)}" for name, each in prior.get("architectures", {}).items()]
    if "architecture" in prior:
        networks = [_network(prior["architecture"])]
    if networks:
        known["architecture"] = networks
    if "parameters" in prior:
        known["parameters"] = f"{prior['parameters']:,}"
    shown = (*known, *_IMAGES, *_NETWORKS, "latent_shape")
    rest = {name.replace("_", " "): _in_one_line(value) for name, value in prior.items() if name not in shown}
    return known | rest


def _images_in_words(prior: dict[str, Any]) -> str:
    shape, channels = prior.get("image_shape"), prior.get("channels")
    size = "any size" if shape is None else f"{_times(shape[-2:])} pixels"
    parts = [size, *([f"{channels} channels"] if channels else []), prior.get("field") or "real or complex"]
    if value_range := prior.get("value_range"):
        parts.append("{:g} to {:g}".format(*value_range))
    return ", ".join([*parts, *([f"{prior['levels']} levels"] if prior.get("levels") else [])])


def _network(architecture: dict[str, Any]) -> str:
    """Name and settings."""
    settings = {name: value for name, value in architecture.items() if name != "name"}
    return ", ".join([architecture["name"], *(f"{name} {value}" for name, value in settings.items())])


def _drawing(described: Description) -> str:
    """The geometry of CT, or the samples of MRI where they can be used."""
    if described.facts.get("kind") == "mri":
        return "" if described.kspace is None else draw_sampling(described.kspace)
    return draw(described.facts["geometry"])


def _mri_in_words(scan: dict[str, Any]) -> dict[str, Any]:
    unit, calibrated = scan["unit"], scan["calibration_region"]
    matrix = _times(scan["matrix"])
    field = "not stated"
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
    size = "not stated; lengths are in pixels" if unit == "pixel" else f"{scan['pixel_size']:g} {unit}"
    turn = "not stated"
    if angles:
        turn = f"{angles['first']:g} to {angles['last']:g} degrees"
        if angles["step"] is not None:
            turn += f", in {'steps' if angles['uniform'] else 'uneven steps, most'} of {angles['step']:.4g}"
    return {
        "file": scan["path"],
        "format": f"{scan['format']}, {scan['dataset']}",
        "projections": f"{scan['views']} views, {scan['slices']} slices, {scan['columns']} columns, "
        f"{scan['dtype']}",
        "values": _values_in_words(scan),
        "angles": turn,
        "beam": _beam_in_words(scan["geometry"]),
        "detector": _detector_in_words(scan["geometry"]),
        "column width": size,
        "object": _COVERAGE[scan["coverage"]],
        "flats, darks": f"{scan['flats']}, {scan['darks']}",
        "missing": ", ".join(scan["missing"]) or "nothing",
    }


def _values_in_words(scan: dict[str, Any]) -> str:
    if scan["stored"] != "counts":
        return _VALUES[scan["quantity"]]
    flats = "by the flats" if scan["flats"] else "by flats, which are missing"
    return f"raw counts, to be divided {flats}"


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


def _flattened(name: str, value: Any) -> list[tuple[Text, Text]]:
    """Rows of a value: one for each entry of a list, those of a dict on one line."""
    if isinstance(value, dict):
        value = ", ".join(f"{key} {entry}" for key, entry in value.items() if entry is not None)
    entries = value if isinstance(value, list) else [value]
    return [(Text(escaped(name if i == 0 else "")), Text(escaped(entry))) for i, entry in enumerate(entries)]
