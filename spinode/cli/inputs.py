"""What commands read: recordings, pulse files, NAME=VALUE pairs; and where they may write."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError, TraceError
from ..files import check_writable
from ..traces.trace import Trace, TraceSet


def read(arguments: argparse.Namespace, table: str, drive: Sequence[str] = (), output: Sequence[str] = ()) -> Trace:
    """The recording in a file."""
    from ..datasets import read_trace

    with _showing() as progress:
        trace: Trace = read_trace(table, progress=progress, **_reading(arguments, drive, output))
    return trace


def read_all(
    arguments: argparse.Namespace, tables: Sequence[str], drive: Sequence[str] = (), output: Sequence[str] = ()
) -> TraceSet:
    """The recordings of files, folders and patterns."""
    from ..datasets import read_traces

    pattern = getattr(arguments, "pattern", None)
    with _showing() as progress:
        return read_traces(list(tables), pattern=pattern, progress=progress, **_reading(arguments, drive, output))


def inspected(arguments: argparse.Namespace, table: str) -> TraceSet:
    """The recordings of a folder or a pattern, or the one of a file; a file that holds several is refused with their names."""
    from ..datasets.read_many import is_many

    return read_all(arguments, [table]) if is_many(table) or arguments.pattern else TraceSet(read(arguments, table))


def reading_words(arguments: argparse.Namespace) -> list[str]:
    """The options that say how a file is read, as they were given."""
    words: list[str] = []
    for option in ("time", "part", "start", "stop", "pattern"):
        if getattr(arguments, option, None) is not None:
            words += [f"--{option}", str(getattr(arguments, option))]
    for option in ("unit", "parameter"):
        words += [word for value in getattr(arguments, option) for word in (f"--{option}", value)]
    return words


def _reading(arguments: argparse.Namespace, drive: Sequence[str], output: Sequence[str]) -> dict[str, Any]:
    """Arguments of `read_trace`."""
    for option, names in (("--drive", drive), ("--output", output)):
        if len(set(names)) < len(names):
            raise ConfigError(f"{option} names {next(n for n in names if list(names).count(n) > 1)!r} twice; give each once.")
    clock: str | float | None = arguments.time
    if clock is not None:
        with contextlib.suppress(ValueError):
            clock = float(clock)
    return {
        "drive": drive,
        "output": output,
        "parameters": {name: si_number(name, value) for name, value in pairs("--parameter", arguments.parameter)},
        "time": clock,
        "start": arguments.start,
        "stop": arguments.stop,
        "units": dict(pairs("--unit", arguments.unit)),
        "part": arguments.part,
    }


@contextlib.contextmanager
def _showing() -> Iterator[Callable[[str], None] | None]:
    """Shows the last line of the reading on a terminal, and takes it away at the end."""
    if not sys.stderr.isatty():
        yield None
        return

    def show(line: str) -> None:
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def polarity_of(table: str) -> tuple[str | None, str]:
    """Polarity and name of a file, from SET=FILE, RESET=FILE or FILE; a file of just that name wins."""
    head, _, rest = table.partition("=")
    if rest and head not in ("SET", "RESET") and not Path(table).exists() and Path(rest).exists():
        raise ConfigError(f"there is no file {table}; the polarity before the name of a file is SET= or RESET=: SET={rest}.")
    return (head, rest) if head in ("SET", "RESET") and rest and not Path(table).exists() else (None, table)


def read_pulses(arguments: argparse.Namespace, tables: Sequence[str]) -> TraceSet:
    """The recordings of all files of pulses."""
    from ..datasets import PulseLayout, read_trace

    clock: str | float | None = arguments.time
    if clock is not None:
        with contextlib.suppress(ValueError):
            clock = float(clock)
    found: list[Trace] = []
    for table in tables:
        polarity, file = polarity_of(table)
        layout = PulseLayout(
            layout=arguments.layout,
            polarity=polarity or arguments.polarity,
            read_voltage=arguments.read_voltage,
            conductance_unit=arguments.conductance_unit,
            columns=dict(pairs("--column", arguments.column)),
        )
        parameters = {name: si_number(name, value) for name, value in pairs("--parameter", arguments.parameter)}
        units = dict(pairs("--unit", arguments.unit))
        traces = list(read_trace(file, pulses=layout, parameters=parameters, time=clock, units=units, part=arguments.part))
        if getattr(arguments, "separate", False):
            numbers = sorted({trace.parameters.get("device", 0.0) for trace in traces})
            first = 1 + max((trace.parameters["device"] for trace in found), default=-1.0)
            places = {number: first + place for place, number in enumerate(numbers)}
            traces = [
                replace(t, parameters={**t.parameters, "device": places[t.parameters.get("device", 0.0)]}) for t in traces
            ]
        found += traces
    return TraceSet(found)


def pairs(option: str, values: Sequence[str]) -> list[tuple[str, str]]:
    """Names and texts of an option NAME=VALUE."""
    example = {"--unit": "V=mV", "--parameter": "T=300", "--interpolation": "V=held", "--column": "conductance=G"}[option]
    form = "ROLE=NAME" if option == "--column" else "NAME=VALUE"
    for value in values:
        if "=" not in value:
            raise ConfigError(f"{option} {value!r} has no '='; expected {form}, such as {option} {example}.")
    # The name of a column may hold '=' itself; roles, units and numbers do not.
    cut = str.partition if option == "--column" else str.rpartition
    return [(name, text) for name, _, text in (cut(value, "=") for value in values)]


def si_number(name: str, text: str) -> float:
    """A finite number."""
    try:
        value = float(text)
    except ValueError:
        raise ConfigError(f"the parameter {name!r} is {text!r}; expected a number in SI units.") from None
    if not np.isfinite(value):
        raise ConfigError(f"the parameter {name!r} is {text!r}; expected a finite number.")
    return value


def check_target(target: str, *inputs: str) -> None:
    """Refuse to write where it cannot be done, or over what is read."""
    check_writable(target)
    for path in inputs:
        if Path(target).exists() and Path(path).exists() and Path(target).samefile(path):
            raise TraceError(f"{target} is the file that is read; writing would destroy it. Choose another name.")
