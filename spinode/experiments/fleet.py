"""`fit_files`: a surrogate for each file of a folder, in chunks that are tasks on any engine, with one table of results."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..datasets import read_trace
from ..datasets.reading.file_names import files_of, parameters_from_name
from ..errors import ConfigError, SpinodeError
from ..files import as_path, write_atomically
from ..surrogates.neural_ode.fitting.config import FitConfig
from ..surrogates.neural_ode.fleet.fit_many import fit_many
from ..surrogates.neural_ode.fleet.start import FleetStart, check_config, find_start
from ..surrogates.neural_ode.fleet.table import figures_of, outliers, write_table
from ..surrogates.neural_ode.plots.fleet import plot_distributions, plot_wafer
from ..typing import Progress
from ..validation import merge_settings, whole_number
from .tasks.run import Engine, run_tasks
from .tasks.task import Task

#: Files that are tried for each pilot, until as many as are needed can be read.
TRIES = 4

#: Columns of which a wafer map is drawn, where the table has them; and those with "d ... / d ..." in their names.
MAPPED = ("nrmse", "frequency [Hz]", "damping [1/s]")


@dataclass
class FleetFiles:
    """What `fit_files` has made of a folder of files.

    Attributes:
        folder: Where table, pictures and surrogates are.
        rows: A line for each device, by name.
        outliers: Devices that stand apart, each with its reasons.
        written: Names of the files that were written into the folder.
    """

    folder: Path
    rows: dict[str, dict[str, Any]]
    outliers: dict[str, list[str]]
    written: list[str]


def fit_files(
    files: str | Path | Sequence[str | Path],
    folder: str | Path,
    config: FitConfig | None = None,
    *,
    pattern: str | None = None,
    reading: Mapping[str, Any] | None = None,
    engine: Engine | None = None,
    chunk: int = 64,
    pilots: int = 6,
    progress: Progress | None = None,
    **settings: Any,
) -> FleetFiles:
    """Fit a surrogate to the device in each file, and write one folder of results.

    The first task finds the structure on pilots, each of the others fits a chunk of devices side by side (`fit_many`). Results
    are files with a fingerprint of contents and settings in their names: the same call continues where it was interrupted.
    A file that cannot be read or fitted gets a line with its reason in the table.

    Args:
        files: Folder, pattern such as "wafer/*.csv", or several names.
        folder: Folder of the results, which gets table.csv, outliers.txt, distributions.png, wafer maps, and surrogates/.
        config: Settings of the fits.
        pattern: Numbers in the names of the files, such as "die{x}_{y}.csv": columns of the table; x and y make wafer maps.
        reading: Arguments of `read_trace`: drive, output, units and so on.
        engine: Where the tasks run, see `run_tasks`; this process if omitted.
        chunk: Number of devices of a task.
        pilots: Number of pilot devices.
        progress: Receives lines of text.
        **settings: Fields of `FitConfig`.

    Raises:
        ConfigError: settings that have no fit side by side, or no pilot that can be read.
        FitError: no pilot could be fitted.
        TraceError: there are no files.
    """
    config = merge_settings(FitConfig, config, settings, what="fit_files")
    check_config(config)
    whole_number("chunk", chunk, 1, 100_000)
    whole_number("pilots", pilots, 1, 100)
    place = as_path(folder, "folder")
    given = [files] if isinstance(files, (str, Path)) else list(files)
    named = _names([path for each in given for path in files_of(each)])
    rows: dict[str, dict[str, Any]] = {name: {} for name in named}
    good: dict[str, Path] = {}
    for name, path in named.items():
        try:
            rows[name].update({} if pattern is None else parameters_from_name(path, pattern))
            good[name] = path
        except SpinodeError as error:
            rows[name].update(verdict="failed", reason=str(error))
    columns = tuple(dict.fromkeys(key for name in good for key in rows[name]))
    digests = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in good.items()}
    shaped = {"reading": dict(reading or {}), "config": config.to_dict(), "pilots": pilots}
    spread = np.linspace(0, len(good) - 1, min(TRIES * pilots, len(good))).round().astype(int) if good else []
    tried = {list(good)[index]: str(good[list(good)[index]]) for index in dict.fromkeys(_interleaved(list(spread)))}
    first = Task(
        "start", find_start_of, (tried, dict(reading or {}), config.to_dict(), pilots), [shaped, [digests[n] for n in tried]]
    )
    report = run_tasks([first], place / "tasks", retries=0, progress=None)
    if report.failed:
        raise ConfigError(f"no structure was found on the pilots: {report.failed['start']}")
    start = next(report.results())
    (place / "surrogates").mkdir(parents=True, exist_ok=True)
    tasks = []
    names = list(good)
    for number, begin in enumerate(range(0, len(names), chunk)):
        part = {name: str(good[name].resolve()) for name in names[begin : begin + chunk]}
        identity = [shaped, start, {name: digests[name] for name in part}]
        arguments = (part, dict(reading or {}), start, str((place / "surrogates").resolve()))
        tasks.append(Task(f"chunk {number}", fit_chunk, arguments, identity))
    report = run_tasks(tasks, (place / "tasks").resolve(), engine=engine, progress=progress)
    for result in report.results():
        for name, row in result.items():
            rows[name].update(row)
    for task in tasks:
        for name in task.arguments[0]:
            if task.name in report.failed:
                rows[name].update(verdict="failed", reason=report.failed[task.name])
    return _write(place, rows, columns)


def find_start_of(files: Mapping[str, str], reading: Mapping[str, Any], config: Mapping[str, Any], pilots: int) -> Any:
    """Return the start of a fleet as plain JSON, from the first files that can be read.

    Args:
        files: Files to try, by name.
        reading: Arguments of `read_trace`.
        config: Settings of the fits, as `FitConfig.to_dict` returns them.
        pilots: Number of pilots.

    Raises:
        ConfigError: none of the files can be read.
        FitError: no pilot could be fitted.
    """
    traces: dict[str, Any] = {}
    reason = "there is no file"
    for name, path in files.items():
        if len(traces) == pilots:
            break
        try:
            traces[name] = read_trace(path, **reading)
        except SpinodeError as error:
            reason = str(error)
    if not traces:
        raise ConfigError(f"none of the {len(files)} files tried as pilots can be read; the last one: {reason}")
    notes, tensors = find_start(traces, FitConfig.from_dict(config), pilots=pilots).to_notes()
    return {"notes": notes, "tensors": {name: [list(each.shape), each.flatten().tolist()] for name, each in tensors.items()}}


def fit_chunk(files: Mapping[str, str], reading: Mapping[str, Any], start: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """Fit the devices of some files side by side, save their surrogates, and return their lines of the table.

    Args:
        files: Files by the name of the device.
        reading: Arguments of `read_trace`.
        start: Result of `find_start_of`.
        folder: Folder of the surrogates.
    """
    tensors = {
        name: torch.tensor(values, dtype=torch.float64).reshape(shape) for name, (shape, values) in start["tensors"].items()
    }
    begin = FleetStart.from_notes(start["notes"], tensors)
    traces, rows = {}, {}
    channels = None
    for name, path in files.items():
        try:
            trace = read_trace(path, **reading)
        except SpinodeError as error:
            rows[name] = {"verdict": "failed", "reason": str(error)}
            continue
        own = (tuple(trace.drive), tuple(trace.parameters), tuple(trace.output))
        channels = channels or own
        if own != channels:
            rows[name] = {"verdict": "failed", "reason": f"its channels are {own}, those of others {channels}"}
            continue
        traces[name] = trace
    if traces:
        fleet = fit_many(traces, begin.config, start=begin)
        for name, surrogate in fleet.surrogates.items():
            surrogate.save(Path(folder) / f"{name}.safetensors")
        rows.update(fleet.rows)
    return {name: {key: _plain(value) for key, value in rows[name].items()} for name in files}


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _names(paths: Sequence[Path]) -> dict[str, Path]:
    """Return the files by a name of each: its stem, or more of its path where stems are equal."""
    named: dict[str, Path] = {}
    stems = [path.stem for path in paths]
    doubled = {stem for stem in stems if stems.count(stem) > 1} if len(set(stems)) < len(stems) else set()
    for path in dict.fromkeys(paths):
        name = re.sub(r"[^\w.+=-]+", "-", path.as_posix()) if path.stem in doubled else path.stem
        named[name] = path
    return named


def _interleaved(places: list[int]) -> list[int]:
    """Return places in an order whose beginning is spread over all of them."""
    return [place for offset in range(TRIES) for place in places[offset::TRIES]]


def _write(folder: Path, rows: dict[str, dict[str, Any]], columns: tuple[str, ...]) -> FleetFiles:
    """Write table, outliers and pictures."""
    written = ["table.csv", "outliers.txt"]
    write_table(rows, folder / "table.csv")
    try:
        write_table(rows, folder / "table.parquet")
        written.append("table.parquet")
    except ImportError:  # without polars the table is CSV only
        pass
    apart = outliers(rows, ignore=columns)
    text = "".join(f"{name}: {'; '.join(reasons)}\n" for name, reasons in apart.items())
    write_atomically(folder / "outliers.txt", text.encode())
    figures = figures_of(rows)
    shown = {name: values for name, values in figures.items() if name not in columns and np.isfinite(values).any()}
    if shown:
        plot_distributions(shown).savefig(folder / "distributions.png", dpi=120)
        written.append("distributions.png")
    if {"x", "y"} <= set(columns):
        marked = [index for index, name in enumerate(rows) if name in apart]
        for name in shown:
            if name in MAPPED or name.startswith("d "):
                target = f"wafer-{re.sub('[^A-Za-z0-9]+', '-', name).strip('-')}.png"
                axes = plot_wafer(figures["x"], figures["y"], shown[name], name, marked=marked)
                axes.figure.savefig(folder / target, dpi=120)  # type: ignore[union-attr]
                written.append(target)
    return FleetFiles(folder, rows, apart, [*written, "surrogates"])
