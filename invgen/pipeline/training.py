"""The training of a prior: images, a folder that remembers, pictures on the way, and the prior's file."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invgen.core.errors import FileError, InvgenError, InvgenWarning, ParameterError
from invgen.core.files import atomic_path, sweep
from invgen.core.text import brief, parse_json, read_text
from invgen.pipeline.learning import FAMILIES, Learning
from invgen.pipeline.options import recorded
from invgen.pipeline.outputs import check_output

if TYPE_CHECKING:
    from invgen.priors import Learned

__all__ = ["Stopped", "learn"]

#: The number of times that pictures are drawn in a run.
_SHOWS = 10

#: Files of a run.
_OF_RUN = ("run.json", "state.pt", "log.csv")

#: What may change from one start of a run to the next.
_APART = ("steps", "precision")


class Stopped(KeyboardInterrupt):
    """An interrupted run that has its state, and can go on."""


def learn(
    data: Path,
    output: Path,
    options: Learning,
    folder: Path | None = None,
    *,
    notice: Callable[[str], None],
    progress: bool = False,
) -> dict[str, float] | None:
    """Train a prior and write it.

    Parameters
    ----------
    data : Path
        Of images, as `invgen.io.read_images` takes it.
    output : Path
    options : Learning
        Of one of the `FAMILIES`, by its class.
    folder : Path, optional
        Of the log, pictures and the state; by default the output's name with ``.run``.
    notice : callable(str)
        Called once, with what is learned from.
    progress : bool
        Show a progress bar.

    Returns
    -------
    dict or None
        The loss, and that on images held out, of each network; None on all processes but the main one.

    Raises
    ------
    Stopped
        Where Ctrl-C stops a run that has its state: the same call goes on from there.
    FileError, ParameterError, ShapeError, DtypeError, DataError
        For what cannot be learned from, and a folder of something else.
    """
    from accelerate import PartialState

    from invgen.pipeline.fits import Data, fit
    from invgen.priors.training import Training

    check_output(output, data, options)
    folder = folder or output.with_suffix(".run")
    kept = [folder, *(folder / name for name in _OF_RUN)]
    if os.path.realpath(output) in map(os.path.realpath, kept):
        raise ParameterError(f"{output} is where the run keeps its state: give another name for the prior.")
    check_output(output, *kept[1:])
    known = Data.read(data, options)
    fitted = fit(options, known)
    training = Training(
        options.steps,
        options.learning_rate,
        warmup=min(500, options.steps // 10),
        precision="bf16" if options.precision == "bf16" else "no",
        seed=options.seed,
        validate_every=max(1, options.steps // _SHOWS),
    )
    settings = {"family": _name(options), "data": str(data), **recorded(options)}
    _claim(folder, {name: value for name, value in settings.items() if name not in _APART})
    main = PartialState().is_main_process
    if main:
        parts = f"patches of {fitted.patch} pixels" if fitted.patch else "whole"
        notice(f"Learning from {len(known.images)} images, {parts}; the log and pictures are in {folder}.")

    def show(prior: Learned, step: int) -> None:
        try:
            fitted.show(prior, folder / f"step-{step:06d}.png")
        except FileError as error:  # no reason to lose what has been learned
            warnings.warn(f"There is no picture of step {step}: {error}", InvgenWarning, stacklevel=2)

    try:
        prior = fitted.train(folder=folder, training=training, show=show, progress=progress)
    except InvgenError:
        _release(folder)
        raise
    except KeyboardInterrupt:
        if not (folder / "state.pt").exists():
            raise
        raise Stopped(f"Stopped; {folder} has the state. The same command goes on from there.") from None
    if not main:
        return None
    about = {"batch": fitted.batch} | ({"patch": fitted.patch} if "patch" in settings else {})
    return _write(prior, output, folder, settings | about, len(known.images), len(known.held_out))


def _name(options: Learning) -> str:
    """Of the family that the options are for."""
    return next(name for name, kind in FAMILIES.items() if kind is type(options))


def _claim(folder: Path, settings: dict[str, Any]) -> None:
    """Make a folder this run's own, or find that it is.

    Raises
    ------
    FileError
        When it holds something else.
    ParameterError
        When it holds a run with other settings.
    """
    path = folder / "run.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        if not path.exists():
            if any(entry != path for entry in folder.iterdir()):
                raise FileError("it holds something other than a run.")
            with atomic_path(path) as beside:
                beside.write_text(json.dumps(settings, indent=2))
        kept = parse_json(read_text(path, "the settings of a run"), path.name)
        if not isinstance(kept, dict):
            raise FileError(f"{path.name} holds no settings.")
    except OSError as error:
        raise FileError(f"{folder} cannot be used for the run: {error.strerror or error}.") from error
    except FileError as error:
        raise FileError(f"{folder} cannot be used for the run, give another --folder: {error}") from error
    differing = [name for name, value in settings.items() if kept.get(name) != value]
    if differing:
        # another family has other options, and is the only one worth mentioning
        differing = ["family"] if "family" in differing else differing
        others = ", ".join(f"{name} {brief(kept.get(name), 40)}, not {settings[name]}" for name in differing)
        raise ParameterError(
            f"{folder} holds a run of other options ({others}): go on with the same ones, or give another "
            "--folder."
        )


def _release(folder: Path) -> None:
    """Leave a folder to other runs, where nothing was learned in it."""
    if [entry.name for entry in folder.iterdir()] == ["run.json"]:
        (folder / "run.json").unlink(missing_ok=True)


def _write(
    prior: Learned, output: Path, folder: Path, settings: dict[str, Any], learned: int, held_out: int
) -> dict[str, float]:
    """Write the prior with its card; returned is how well it does."""
    from invgen import __version__
    from invgen.priors.training import read_log

    last = ([{}, *read_log(folder)])[-1]
    names = {key: Path(settings[key]).name for key in ("data", "labels") if settings.get(key)}
    measured = {
        name: float(value) for name, value in last.items() if value and name not in ("step", "seconds")
    }
    prior.save(
        output,
        data={"file": names["data"], "images": learned, "held_out": held_out},
        training=settings | names,  # folders are nobody else's business
        seconds=round(float(last.get("seconds") or 0)),
        quality=measured,
        made_with=f"invgen {__version__}",
    )
    return measured
