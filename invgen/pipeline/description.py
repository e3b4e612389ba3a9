"""What is in a file: a scan, an image, a reconstruction, or a prior."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from invgen.core.errors import FileError, InvgenError
from invgen.io import KSpace, MeasuredImages, MRIScan, Reconstructed, is_nifti, is_picture, open_images
from invgen.io.entries import SeveralScans
from invgen.pipeline.measuring import WORDS
from invgen.pipeline.outputs import open_reconstruction
from invgen.pipeline.reading import Reading
from invgen.priors.files.checkpoints import about, shipped

__all__ = ["Description", "describe"]


@dataclass(frozen=True)
class Description:
    """What is in a file.

    Attributes
    ----------
    facts : dict
        Plain data that JSON can hold. Its "format" is that of the scan, "images", "reconstruction" or
        "prior".
    kspace : KSpace or None
        Of the middle slice of an MRI scan, where its samples can be used.
    """

    facts: dict[str, Any]
    kspace: KSpace | None = None


def describe(path: Path, reading: Reading) -> Description:
    """Describe a file, or a prior by its name.

    Raises
    ------
    FileError
        For what is none of these.
    """
    facts = _prior(path) or _reconstruction(path)
    if facts is not None:
        return Description(facts)
    if reading.operator is None and (is_picture(path) or is_nifti(path)):
        return Description(_images(path))
    try:
        scan, several = reading.open(path), None
    except SeveralScans as found:
        scan, several = replace(reading, index=(0,)).open(path), found.count
    with scan:
        if isinstance(scan, MeasuredImages):
            return Description(_images(path, reading.dataset))
        facts = scan.info()
        if several is not None:
            note = f"the array holds {several} frames, of which this is the first: --index chooses another"
            facts["notes"] = [*facts["notes"], note]
        if isinstance(scan, MRIScan) and facts["samples"]:
            return Description(facts, scan.kspace(scan.slices // 2))
        return Description(facts)


def _images(path: Path, dataset: str | None = None) -> dict[str, Any]:
    """Describe images by the first of them: its size, its values, and what noise may be in it."""
    import torch

    from invgen.operators.imaging.noise_level import white_noise_level

    with open_images(path, dataset=dataset) as images:
        first = torch.from_numpy(images.measured(0))
        level = white_noise_level(first)
        return {
            **images.info(),
            "noise_std": None if level is None else float(level),
            "operators": {each.form: each.about for each in WORDS.values()},
        }


def _prior(path: Path) -> dict[str, Any] | None:
    """Describe a prior by its card; None for what is none."""
    if path.suffix != ".safetensors" and (path.exists() or str(path) not in shipped()):
        return None
    card = {name: value for name, value in about(path).items() if value is not None}
    return {"path": str(path), **card, **_in_short(card), **_measured(path, card), "format": "prior"}


def _in_short(card: dict[str, Any]) -> dict[str, Any]:
    """Entries that hold thousands of numbers, by what these are."""
    found: dict[str, Any] = {}
    learned, calibration = card.get("training_data"), card.get("calibration")
    if isinstance(learned, dict):
        found["training_data"] = f"{learned.get('count')} different images"
    if isinstance(calibration, dict):
        found["calibration"] = sorted(calibration)
    if isinstance(scans := card.get("scan_calibrations"), dict):
        found["scan_calibrations"] = [
            str(each.get("about")) if isinstance(each, dict) else "damaged" for each in scans.values()
        ]
    return found


def _measured(path: Path, header: dict[str, Any]) -> dict[str, Any]:
    """What a file does not state of itself: parameters of its networks, and shape of the latent variables.

    Where it cannot be loaded, what is written in it is all that is known, and "error" says why.
    """
    from invgen.priors import Generator, load

    described = header.get("architectures", {})
    if "architecture" in header:
        described = {"network": header["architecture"]}
    try:
        prior = load(path)
        counts = {name: _parameters(architecture) for name, architecture in described.items()}
    except InvgenError as error:
        return {"error": str(error)}
    found: dict[str, Any] = {"parameters": sum(counts.values())} if counts else {}
    if isinstance(prior, Generator):
        found["latent_shape"] = list(prior.latent_shape)
    return found


def _parameters(architecture: dict[str, Any]) -> int:
    """The number of parameters of a network that a file describes."""
    import torch

    from invgen.priors.nets.architectures import ARCHITECTURES

    settings = dict(architecture)
    kind = ARCHITECTURES[settings.pop("name")]
    with torch.random.fork_rng(devices=()):
        return sum(parameter.numel() for parameter in kind(**settings).parameters())


def _reconstruction(path: Path) -> dict[str, Any] | None:
    """Describe an output of invgen recon; None for any other file."""
    try:
        with open_reconstruction(path) as file:
            settings = dict(file.settings)
            slices, *channels, height, width = file.volume.shape
            return {
                "path": str(path),
                "format": "reconstruction",
                **({} if file.frames is None else {"frames": file.frames}),
                "slices": slices,
                "height": height,
                "width": width,
                **({"channels": channels[0]} if channels else {}),
                "values": "complex" if file.is_complex else "real",
                "pixel_size": file.pixel_size,
                "unit": file.unit,
                **({} if file.angles is None else {"views": len(file.angles), "center": file.center}),
                **_posterior(file),
                **_intervals(file),
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
    samples: dict[str, Any] = {"samples": len(found.samples)}
    if not found.quantiles:
        return samples
    return samples | {"quantiles": list(found.quantiles), "estimator": found.estimator}


#: What each guarantee promises, in words.
_PROMISES = {"average": "of {} on average", "each": "of each of {}", "all": "of all {} at once"}


def _intervals(file: Reconstructed) -> dict[str, Any]:
    """Describe the intervals of a file, where it has some."""
    found = file.intervals
    if found is None:
        return {}
    of = "pixels" if found.of_pixels else f"{found.lower.shape[1]} regions"
    promise = _PROMISES.get(found.guarantee, "").format(of)
    sure = "" if found.confidence is None else f", with confidence {found.confidence:g}"
    about = f": {found.about}" if found.about else ""
    return {
        "intervals": f"{100 * found.level:g} % {promise}{sure}, calibrated by {found.images} images{about}"
    }
