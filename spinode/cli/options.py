"""Options that commands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NoReturn

#: Exit code of bad input.
BAD_INPUT = 2


class Parser(argparse.ArgumentParser):
    """One sentence for a wrong option, as for any other bad input."""

    def error(self, message: str) -> NoReturn:
        """End with exit code 2."""
        self.exit(BAD_INPUT, f"spinode: error: {message} (see `{self.prog} --help`).\n")


def command(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace], None],
    text: str,
    words: Callable[[str], str] = str,
) -> argparse.ArgumentParser:
    """Register a command; `words` turns messages of the package into those of the command line."""
    made: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    made.set_defaults(run=run, words=words)
    return made


def reading(command: argparse.ArgumentParser) -> None:
    """Options of commands that read a recording."""
    command.add_argument(
        "--time",
        metavar="NAME",
        help="time column; without one the sample interval in seconds, or sample to number the samples",
    )
    command.add_argument("--part", metavar="NAME", help="which recording of a file that holds several, by name or number")
    command.add_argument("--start", type=float, metavar="SECONDS", help="first instant of the stretch")
    command.add_argument("--stop", type=float, metavar="SECONDS", help="last instant of the stretch")
    command.add_argument(
        "--unit", action="append", default=[], metavar="NAME=UNIT", help="unit of a column, e.g. V=mV; may be repeated"
    )
    command.add_argument(
        "--parameter", action="append", default=[], metavar="NAME=VALUE", help="constant of the recording, in SI"
    )


def several(command: argparse.ArgumentParser) -> None:
    """Options of commands that read folders."""
    command.add_argument(
        "--pattern", metavar="TEXT", help="parameters in the names of the files, such as 'device{device}_{amplitude:mV}.csv'"
    )


def pulse_reading(command: argparse.ArgumentParser) -> None:
    """`reading` without the instants between which a recording is cut."""
    command.add_argument("--time", metavar="NAME", help="time column; or the interval between reads in seconds")
    command.add_argument("--part", metavar="NAME", help="which sheet or group of a file that holds several, by name or number")
    for option, shown, text in (
        ("--unit", "NAME=UNIT", "unit of a column, e.g. G=uS; may be repeated"),
        ("--parameter", "NAME=VALUE", "constant of the recordings, in SI"),
    ):
        command.add_argument(option, action="append", default=[], metavar=shown, help=text)


def pulsed(command: argparse.ArgumentParser, layout: str | None) -> None:
    """Options of commands that read files of pulses."""
    command.add_argument(
        "--layout",
        choices=("auto", "long", "up-down", "ramps"),
        default=layout,
        help="how a file of pulses is built: a row for each read, two columns (after SET, after RESET), or a column a ramp",
    )
    command.add_argument("--polarity", choices=("SET", "RESET"), help="of the pulses, where a file does not tell")
    command.add_argument("--read-voltage", type=float, metavar="VOLTS", help="of the reads, where a file has currents")
    command.add_argument("--conductance-unit", metavar="UNIT", help="of the reads, such as uS, kOhm or nA")
    command.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="ROLE=NAME",
        help="column of a role (device, cycle, pulse, direction, conductance, ...), none if NAME is empty; may be repeated",
    )


def channels(command: argparse.ArgumentParser) -> None:
    """Which channels are drive and which output."""
    command.add_argument("--drive", action="append", default=[], metavar="NAME", help="drive channel; may be repeated")
    command.add_argument(
        "--output",
        action="append",
        default=[],
        metavar="NAME",
        help="output channel; may be repeated (in `simulate`: start from its first samples instead of from rest)",
    )
