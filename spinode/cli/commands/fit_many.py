"""Fit a Neural-ODE surrogate to each of many devices of one kind, side by side, with one table of results.

The same command continues after an interrupt: what is stored for the same files and settings is not computed again.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..parser import Parser

SUMMARY = "fit a surrogate to each of many devices, such as those of a wafer (experimental)"

#: Outliers that are printed; all are in outliers.txt.
SHOWN = 10


def add_arguments(parser: Parser) -> None:
    """Add the options."""
    from ...surrogates.neural_ode.fitting.config import FitConfig
    from ..options import add_channels, add_progress, add_reading
    from ..settings import add_settings, parse_value

    parser.add_argument("tables", metavar="TABLE", nargs="+", help="folder or pattern of files, one device each: 'wafer/*.csv'")
    parser.add_argument("--save", required=True, metavar="FOLDER", help="folder of table, pictures and surrogates")
    parser.add_argument(
        "--pattern", metavar="TEXT", help="numbers in the names of the files, columns of the table: 'die{x}_{y}.csv'"
    )
    group = parser.add_argument_group("engine")
    group.add_argument(
        "--engine",
        default="serial",
        metavar="NAME",
        help="serial, processes, slurm, submitit-local or dask:ADDRESS (default: serial)",
    )
    for name, default, text in (
        ("workers", 1, "number of processes or jobs at a time"),
        ("chunk", 64, "number of devices of a task"),
        ("pilots", 6, "number of devices on which structure and first weights are found"),
    ):
        group.add_argument(f"--{name}", type=parse_value, default=default, metavar="N", help=f"{text} (default: {default})")
    parser.add_config()
    add_channels(parser)
    add_settings(parser, FitConfig, "settings of the fits", short={"order": "-k"})
    add_reading(parser)
    add_progress(parser)


def run(arguments: Any) -> None:
    """Run the command."""
    from ...experiments.fleet import fit_files
    from ...experiments.tasks.engines.choose import open_engine
    from ...surrogates.neural_ode.fitting.config import FitConfig
    from ..inputs import make_folder, reading_arguments
    from ..progress import show_progress
    from ..settings import read_settings

    config = read_settings(arguments, FitConfig)
    folder = make_folder(arguments.save)
    reading = reading_arguments(arguments, arguments.drive, arguments.output)
    with (
        show_progress(arguments) as progress,
        open_engine(arguments.engine, workers=arguments.workers, folder=folder / "jobs") as engine,
    ):
        fitted = fit_files(
            arguments.tables,
            folder,
            config,
            pattern=arguments.pattern,
            reading=reading,
            engine=engine,
            chunk=arguments.chunk,
            pilots=arguments.pilots,
            progress=progress,
        )
    verdicts = Counter(row.get("verdict", "failed") for row in fitted.rows.values())
    print(f"{len(fitted.rows)} devices: " + ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items())))
    for name, reasons in list(fitted.outliers.items())[:SHOWN]:
        print(f"outlier {name}: {'; '.join(reasons)}")
    if len(fitted.outliers) > SHOWN:
        print(f"and {len(fitted.outliers) - SHOWN} more outliers, in outliers.txt")
    print(f"saved {folder}: {', '.join(fitted.written)}")
