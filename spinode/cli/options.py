"""Options that several commands share, named like the settings in Python."""

from __future__ import annotations

from typing import Any

from .parser import Parser
from .settings import parse_value


def add_reading(parser: Parser, *, span: bool = True, pattern: bool = False) -> None:
    """Add the options of reading a recording.

    Args:
        parser: Where they are added.
        span: Add `--start`, `--stop`, `--missing` and `--reads`.
        pattern: Add `--pattern`, for commands that read folders.
    """
    group = parser.add_argument_group("reading")
    group.add_argument(
        "--time",
        metavar="NAME",
        help="time column; without one the sample interval in seconds, or sample to number the samples",
    )
    group.add_argument(
        "--part", metavar="NAME", help="recording, sheet or group of a file that contains several, by name or number"
    )
    if span:
        ways = ("refuse", "mask", "split") if pattern else ("refuse", "mask")
        group.add_argument("--start", type=parse_value, metavar="SECONDS", help="first instant of the part to read")
        group.add_argument("--stop", type=parse_value, metavar="SECONDS", help="last instant of the part to read")
        group.add_argument(
            "--missing",
            choices=ways,
            default="refuse",
            help="empty or NaN cells of an output: an error, or missing samples that are left out"
            + ("; split also cuts at gaps of the time" if pattern else "")
            + " (default: refuse)",
        )
        group.add_argument(
            "--reads",
            choices=("before", "after"),
            default="before",
            help="the outputs of a row were read before its held drive was set, or after it, as by source-measure units "
            "(default: before)",
        )
    _add_pairs(group, "units", "NAME=UNIT", "unit of a column, such as V=mV; may be repeated")
    _add_pairs(group, "parameters", "NAME=VALUE", "constant of the recording, in SI units; may be repeated")
    if pattern:
        group.add_argument(
            "--pattern",
            metavar="TEXT",
            help="parameters in the names of the files, such as 'device{device}_{amplitude:mV}.csv'",
        )


def add_pulse_layout(parser: Parser, default: str | None) -> None:
    """Add the options for the layout of a file of pulses."""
    group = parser.add_argument_group("files of pulses")
    group.add_argument(
        "--layout",
        "--pulses",
        choices=("auto", "long", "up-down", "ramps"),
        default=default,
        help="auto; long: a row for each read; up-down: two columns, after SET and after RESET; ramps: a column for each ramp",
    )
    group.add_argument("--polarity", choices=("SET", "RESET"), help="polarity of the pulses, where the file does not give it")
    group.add_argument(
        "--read-voltage", type=parse_value, metavar="VOLTS", help="voltage of the reads, where the file has currents"
    )
    group.add_argument("--conductance-unit", metavar="UNIT", help="unit of the reads, such as uS, kOhm or nA")
    _add_pairs(
        group,
        "columns",
        "ROLE=NAME",
        "column of a role (device, cycle, pulse, direction, conductance, ...); no column if NAME is empty; may be repeated",
    )


def add_channels(parser: Parser, output: str = "output channel; may be repeated") -> None:
    """Add `--drive` and `--output`."""
    group = parser.add_argument_group("channels")
    group.add_argument("--drive", action="append", default=[], metavar="NAME", help="drive channel; may be repeated")
    group.add_argument("--output", action="append", default=[], metavar="NAME", help=output)


def add_save(parser: Parser, text: str) -> None:
    """Add the required `--save`."""
    parser.add_argument("--save", required=True, metavar="FILE", help=text)


def add_seed(parser: Parser, text: str) -> None:
    """Add `--seed`, for commands without a config class."""
    parser.add_argument("--seed", type=parse_value, default=0, metavar="N", help=f"{text} (default: 0)")


def add_progress(parser: Parser) -> None:
    """Add `--progress` and `--quiet`."""
    group = parser.add_argument_group("progress")
    group.add_argument("--progress", action="store_true", help="show live progress even where stderr is not a terminal")
    group.add_argument("--quiet", action="store_true", help="print nothing but the result")


def add_checkpoint(parser: Parser, metavar: str, default: str) -> None:
    """Add `--checkpoint`."""
    parser.add_argument(
        "--checkpoint",
        metavar=metavar,
        help=f"where progress is kept, so that the same command resumes after an interrupt (default: {default})",
    )


def _add_pairs(group: Any, name: str, metavar: str, text: str) -> None:
    group.add_argument(f"--{name}", f"--{name.removesuffix('s')}", action="append", default=[], metavar=metavar, help=text)
