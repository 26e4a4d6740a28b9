"""Fit a surrogate to each of many devices of one kind, such as those of a wafer, side by side.

Each file is the recording of one device. The folder of --save receives a model for each device, table.csv with a line for each,
pictures of the distributions and, where --pattern names x and y, maps of the wafer. The same command continues after an
interruption. A file that cannot be read or fitted becomes a line with its reason, and stops nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import ConfigError, SpinodeError, TraceError

if TYPE_CHECKING:
    from ...traces.trace import Trace
    from ..parser import Parser

SUMMARY = "fit a surrogate to each of many devices, such as those of a wafer"
#: Names of the place on a wafer, figures that are drawn there, and outliers that are printed.
PLACE, MAPS, PRINTED = ("x", "y"), 6, 20


def add_arguments(parser: Parser) -> None:
    """Add the options."""
    from ...surrogates.neural_ode.fitting.config import FitConfig
    from ..options import add_channels, add_progress, add_reading
    from ..settings import add_settings, parse_value

    parser.add_argument("tables", metavar="TABLE", nargs="+", help="files, folders or patterns: one recording for each device")
    parser.add_argument("--save", metavar="FOLDER", required=True, help="folder of models, table and pictures")
    parser.add_argument("--pilots", type=parse_value, default=6, metavar="N", help="devices fitted first (default: 6)")
    parser.add_argument("--memory", type=parse_value, default=1e9, metavar="BYTES", help="memory of a batch (default: 1e9)")
    parser.add_config()
    add_channels(parser)
    add_settings(parser, FitConfig, "settings of the fit", short={"order": "-k"})
    add_reading(parser, pattern=True)
    add_progress(parser)


def run(arguments: Any) -> None:
    """Run the command."""
    from ...surrogates.neural_ode.fitting.config import FitConfig
    from ...surrogates.neural_ode.fleet.stored import fit_stored
    from ...surrogates.neural_ode.fleet.table import outliers, write_table
    from ..inputs import make_folder
    from ..progress import show_progress
    from ..settings import read_settings

    config = read_settings(arguments, FitConfig)
    if not arguments.output:
        raise ConfigError("no --output was given; name the channel that the devices respond with.")
    traces, failed, places = _read_devices(arguments)
    folder = make_folder(arguments.save)
    with show_progress(arguments) as progress:
        rows = fit_stored(traces, folder, config, pilots=arguments.pilots, memory=arguments.memory, progress=progress)
    rows |= {name: {"verdict": "failed", "reason": reason} for name, reason in failed.items()}
    rows = {name: {**places.get(name, {}), **row} for name, row in rows.items()}
    write_table(rows, folder / "table.csv")
    positions = tuple(dict.fromkeys(name for each in places.values() for name in each))
    apart = outliers(rows, ignore=positions)
    pictures = _draw(rows, folder, positions, list(apart))
    counts = [
        f"{sum(row['verdict'] == verdict for row in rows.values())} {verdict}" for verdict in ("good", "care", "bad", "failed")
    ]
    print(f"{len(rows)} devices: {', '.join(counts)}")
    for name, reasons in list(apart.items())[:PRINTED]:
        print(f"- {name}: {'; '.join(reasons)}")
    if len(apart) > PRINTED:
        print(f"- and {len(apart) - PRINTED} more that stand apart")
    print(f"saved {folder}: models, table.csv, {', '.join(pictures)}")


def _read_devices(arguments: Any) -> tuple[dict[str, Trace], dict[str, str], dict[str, dict[str, float]]]:
    """Return recordings, reasons of files that cannot be read, and parameters of the file names, by the names of the devices.

    Raises:
        TraceError: no file, or none that can be read.
    """
    from ...datasets.reading.file_names import files_of, parameters_from_name
    from ..inputs import read

    files = list(dict.fromkeys(file for table in arguments.tables for file in files_of(table)))
    stems = [file.stem for file in files]
    names = stems if len(set(stems)) == len(stems) else [str(file.with_suffix("")) for file in files]
    traces: dict[str, Trace] = {}
    failed: dict[str, str] = {}
    places: dict[str, dict[str, float]] = {}
    for name, file in zip(names, files, strict=True):
        try:
            if arguments.pattern is not None:
                places[name] = parameters_from_name(file, arguments.pattern)
            traces[name] = read(arguments, str(file), arguments.drive, arguments.output)
        except SpinodeError as error:
            failed[name] = str(error)
    if not traces:
        first = next(iter(failed.values()), "there are no files")
        raise TraceError(f"none of the {len(files)} files can be read; the first: {first}")
    return traces, failed, places


def _draw(rows: Mapping[str, Mapping[str, Any]], folder: Path, positions: tuple[str, ...], apart: list[str]) -> list[str]:
    """Draw the distributions and, where places are known, maps; return the names of the files."""
    import numpy as np

    from ...surrogates.neural_ode.fleet.table import figures_of
    from ...surrogates.neural_ode.plots.fleet import plot_distributions, plot_wafer

    figures = {name: values for name, values in figures_of(rows).items() if name not in positions}
    if not figures:
        return []
    files = ["distributions.png"]
    plot_distributions(figures).savefig(folder / files[0], dpi=120)
    if set(PLACE) <= set(positions):
        x, y = (np.array([row.get(name, np.nan) for row in rows.values()], dtype=float) for name in PLACE)
        marked = [index for index, name in enumerate(rows) if name in apart]
        for name in list(figures)[:MAPS]:
            axes = plot_wafer(x, y, figures[name], name, marked=marked)
            files.append(f"wafer-{''.join(c if c.isalnum() else '-' for c in name).strip('-')}.png")
            axes.figure.savefig(folder / files[-1], dpi=120)  # type: ignore[union-attr]
    return files
