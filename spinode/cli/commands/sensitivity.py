"""Train a network on a device with all, none, each and without each of its imperfections: what to improve in the device."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..parser import Parser

SUMMARY = "find the imperfection of a device that costs a network most"


def add_arguments(parser: Parser) -> None:
    """Add the options."""
    from ...experiments.sensitivity.config import SensitivityConfig
    from ..options import add_progress
    from ..settings import add_settings, parse_value

    parser.add_argument("device", metavar="DEVICE", help="a device by name, one of the zoo, or a .safetensors file")
    parser.add_argument("--images", metavar="FOLDER", help="folder of the image files")
    parser.add_argument("--save", metavar="FOLDER", help="folder of runs, table and picture; the same command continues there")
    parser.add_argument(
        "--processes", type=parse_value, metavar="N", help="number of runs at the same time (default: the cores)"
    )
    parser.add_argument("--json", action="store_true", help="print the table as one JSON object, and nothing else")
    parser.add_config()
    add_settings(parser, SensitivityConfig, "settings")
    add_progress(parser)


def _cores() -> int:
    """Return the number of processor cores that this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)
    return min(len(allowed(0)) if allowed else os.cpu_count() or 1, 64)


def run(arguments: Any) -> None:
    """Run the command."""
    from ...experiments.sensitivity.config import SensitivityConfig
    from ...experiments.sensitivity.study import sensitivity
    from ..inputs import make_folder
    from ..settings import read_settings

    config = read_settings(arguments, SensitivityConfig)
    folder = None if arguments.save is None else make_folder(arguments.save)
    quiet = arguments.json or arguments.quiet
    try:
        table = sensitivity(
            arguments.device,
            config,
            folder=None if folder is None else folder / "runs",
            images=arguments.images,
            processes=_cores() if arguments.processes is None else arguments.processes,
            progress=None if quiet else _print_line,
        )
    except KeyboardInterrupt:
        advice = (
            "with --save FOLDER the same command would continue from here" if folder is None else "run it again to continue"
        )
        print(f"\nspinode: {advice}.", file=sys.stderr)
        raise
    if arguments.json:
        print(json.dumps(table.as_dict()))
    else:
        print("\n".join(("", *table.lines())))
    if folder is not None:
        _save(folder, table)
        if not arguments.json:
            print(f"saved {folder}: sensitivity.csv, sensitivity.json, sensitivity.png")


def _save(folder: Path, table: Any) -> None:
    from ...experiments.sensitivity.plot import plot_sensitivity
    from ...files import write_atomically

    write_atomically(folder / "sensitivity.csv", table.as_csv().encode())
    write_atomically(folder / "sensitivity.json", json.dumps(table.as_dict(), indent=1).encode())
    plot_sensitivity(table).figure.savefig(folder / "sensitivity.png", dpi=150)  # type: ignore[union-attr]


def _print_line(line: str) -> None:
    print(line, flush=True)
