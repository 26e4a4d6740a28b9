"""Inputs of commands: recordings, pulse files, NAME=VALUE pairs; and where they may write."""

from __future__ import annotations

import contextlib
import itertools
import math
import shlex
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..durations import in_words
from ..errors import ConfigError, SpinodeError, TraceError, TraceWarning
from ..files import check_writable
from ..traces.trace import Trace, TraceSet
from ..validation import number
from .progress import show_transient
from .settings import parse_value

if TYPE_CHECKING:
    from ..surrogates.neural_ode.surrogate import Surrogate

_EXAMPLES = {"units": "V=mV", "parameters": "T=300", "interpolation": "V=held", "columns": "conductance=G"}


def read(arguments: Any, table: str, drive: Sequence[str] = (), output: Sequence[str] = ()) -> Trace:
    """Read the recording in a file."""
    from ..datasets import read_trace

    with show_transient() as progress:
        trace: Trace = read_trace(table, progress=progress, **reading_arguments(arguments, drive, output))
    return trace


def read_all(arguments: Any, tables: Sequence[str], drive: Sequence[str] = (), output: Sequence[str] = ()) -> TraceSet:
    """Read the recordings of files, folders and patterns."""
    from ..datasets import read_traces

    with show_transient() as progress:
        return read_traces(
            list(tables), pattern=arguments.pattern, progress=progress, **reading_arguments(arguments, drive, output)
        )


def load_surrogate(path: str) -> Surrogate:
    """Load a surrogate that `spinode fit` wrote.

    Raises:
        ConfigError: the path is a folder.
        FileFormatError: no such file, a damaged one, or a model of another kind.
    """
    from ..surrogates.neural_ode.surrogate import Surrogate

    check_not_a_folder(path)
    return Surrogate.load(path)


def check_not_a_folder(path: str) -> None:
    """Check that the path of a surrogate is not a folder.

    Raises:
        ConfigError: it is.
    """
    if Path(path).is_dir():
        raise ConfigError(f"{path} is a folder; expected the file of a surrogate, such as {Path(path) / 'NAME.safetensors'}.")


def read_with_roles(arguments: Any) -> TraceSet:
    """Read the recordings to fit, with drives and outputs.

    Raises:
        TraceError: no output was named; the message lists the channels.
    """
    if not arguments.output:
        channels = ", ".join(read_all(arguments, arguments.tables[:1])[0].channels)
        raise TraceError(
            f"no --output was given; name the channel that the device responds with. The channels are: {channels}."
        )
    traces = read_all(arguments, arguments.tables, arguments.drive, arguments.output)
    for sentence in [*_objections(arguments), *_unlabelled_times(traces[0])]:
        warnings.warn(sentence, TraceWarning, stacklevel=2)
    return traces


def _objections(arguments: Any) -> list[str]:
    """Return objections against the roles of the channels in the first file; none where it cannot be read as a whole."""
    from ..traces.advice import challenge

    with warnings.catch_warnings(), contextlib.suppress(SpinodeError):
        warnings.simplefilter("ignore")
        return challenge(read_all(arguments, arguments.tables[:1])[0], arguments.drive, arguments.output)
    return []


def _unlabelled_times(trace: Trace) -> list[str]:
    """Return a sentence about times without a unit."""
    clock = trace.provenance.get("time")
    if clock is None or trace.provenance.get("raw_units", {}).get(clock, "s") is not None or len(trace) < 2:
        return []
    return [
        f"the file gives no unit for the times {clock!r}: they are taken as seconds, so that the recording lasts "
        f"{in_words(trace.duration)}; pass --unit {shlex.quote(f'{clock}=ms')} if that is wrong"
    ]


def reading_options(arguments: Any) -> list[str]:
    """Return the reading options that were given, as the words of a command."""
    words: list[str] = []
    for name in ("time", "part", "start", "stop", "pattern", "layout", "polarity", "read_voltage", "conductance_unit"):
        if getattr(arguments, name, None) is not None:
            words += [f"--{name.replace('_', '-')}", str(getattr(arguments, name))]
    for name, usual in (("missing", "refuse"), ("reads", "before")):
        if getattr(arguments, name, usual) != usual:
            words += [f"--{name}", getattr(arguments, name)]
    for name in ("columns", "units", "parameters"):
        words += [word for value in getattr(arguments, name, []) for word in (f"--{name}", value)]
    return words


def grouped_options(arguments: Any, *, channels: bool = False) -> tuple[tuple[str, ...], ...]:
    """Return the reading options that were given, each with its value; with `channels` those of drives and outputs instead."""
    if channels:
        return tuple((f"--{role}", name) for role in ("drive", "output") for name in getattr(arguments, role))
    words = reading_options(arguments)
    return tuple(zip(words[::2], words[1::2], strict=True))


def another_name(path: str) -> str:
    """Return the first of NAME-2, NAME-3, ... that is not the name of a file."""
    file = Path(path)
    names = (file.with_stem(f"{file.stem}-{number}") for number in itertools.count(2))
    return str(next(name for name in names if not name.exists()))


def reading_arguments(arguments: Any, drive: Sequence[str], output: Sequence[str]) -> dict[str, Any]:
    """Return the arguments of `read_trace` that the options give, but for the file.

    Raises:
        ConfigError: a channel that is named twice, or a parameter that is not a number.
    """
    for option, names in (("--drive", drive), ("--output", output)):
        if len(set(names)) < len(names):
            raise ConfigError(f"{option} names {next(n for n in names if list(names).count(n) > 1)!r} twice; give each once.")
    return {
        "drive": drive,
        "output": output,
        "parameters": _parameters(arguments),
        "time": _clock(arguments),
        "start": _instant("start", arguments.start),
        "stop": _instant("stop", arguments.stop),
        "units": dict(pairs("units", arguments.units)),
        "part": arguments.part,
        "missing": getattr(arguments, "missing", "refuse"),
        "reads": getattr(arguments, "reads", "before"),
    }


def split_polarity(table: str) -> tuple[str | None, str]:
    """Return polarity and name of a file, from SET=FILE, RESET=FILE or FILE; an existing file of the whole name is a FILE."""
    head, _, name = table.partition("=")
    if name and head not in ("SET", "RESET") and not Path(table).exists() and Path(name).exists():
        raise ConfigError(f"there is no file {table}; the polarity before the name of a file is SET= or RESET=: SET={name}.")
    return (head, name) if head in ("SET", "RESET") and name and not Path(table).exists() else (None, table)


def read_pulses(arguments: Any, tables: Sequence[str]) -> TraceSet:
    """Read the recordings of all files of pulses."""
    from ..datasets import PulseLayout
    from ..datasets.pulses.read import read_pulses as read_file, signs_of_voltages
    from ..datasets.reading.file_names import files_of

    layout = PulseLayout(
        layout=arguments.layout,
        read_voltage=arguments.read_voltage,
        conductance_unit=arguments.conductance_unit,
        columns=dict(pairs("columns", arguments.columns)),
    )
    options: dict[str, Any] = {"units": dict(pairs("units", arguments.units)), "part": arguments.part}
    named = [split_polarity(table) for table in tables]
    files = [(polarity or arguments.polarity, file) for polarity, path in named for file in files_of(path)]
    # The signs of the voltages are the polarity where both occur, in whichever of the files.
    signs = signs_of_voltages([file for _, file in files], layout, **options) if len(files) > 1 else frozenset()
    recordings: list[Trace] = []
    for polarity, file in files:
        own = replace(layout, polarity=polarity)
        constants: dict[str, Any] = {"parameters": _parameters(arguments), "time": _clock(arguments)}
        traces = list(read_file(file, own, signs=signs, **constants, **options))
        recordings += _renumbered(traces, recordings) if getattr(arguments, "separate", False) else traces
    return TraceSet(recordings)


def _renumbered(traces: Sequence[Trace], before: Sequence[Trace]) -> list[Trace]:
    """Return the recordings of a file with device numbers that follow those of the files before it."""
    first = 1 + max((trace.parameters["device"] for trace in before), default=-1.0)
    numbers = sorted({trace.parameters.get("device", 0.0) for trace in traces})
    renumbered = {number: first + index for index, number in enumerate(numbers)}
    return [
        replace(trace, parameters={**trace.parameters, "device": renumbered[trace.parameters.get("device", 0.0)]})
        for trace in traces
    ]


def pairs(name: str, values: Sequence[str]) -> list[tuple[str, str]]:
    """Split the values of an option NAME=VALUE.

    Raises:
        ConfigError: a value without "=".

    Example:
        >>> pairs("units", ["V=mV"])
        [('V', 'mV')]
    """
    # The name of a column may contain "=" itself; roles, units and numbers do not.
    split = str.partition if name == "columns" else str.rpartition
    for value in values:
        if "=" not in value:
            form = "ROLE=NAME" if name == "columns" else "NAME=VALUE"
            raise ConfigError(f"--{name} {value!r} has no '='; expected {form}, such as --{name} {_EXAMPLES[name]}.")
    return [(key, text) for key, _, text in (split(value, "=") for value in values)]


def _clock(arguments: Any) -> str | float | None:
    value = parse_value(arguments.time)
    return value if isinstance(value, float | int) else arguments.time


def _instant(name: str, value: Any) -> float | None:
    return None if value is None else number(name, value, finite=False, unit="s")


def _parameters(arguments: Any) -> dict[str, float]:
    return {name: _si_number(name, text) for name, text in pairs("parameters", arguments.parameters)}


def _si_number(name: str, text: str) -> float:
    value = parse_value(text)
    if not isinstance(value, float | int) or isinstance(value, bool) or not math.isfinite(value):
        raise ConfigError(f"the parameter {name!r} is {text!r}; expected a finite number in SI units.")
    return float(value)


def check_target(target: str | Path, *inputs: str) -> None:
    """Check that a file can be written, and that it is not one of those that are read.

    Raises:
        TraceError: it cannot, or it is.
    """
    check_writable(target)
    for path in inputs:
        if Path(target).exists() and Path(path).exists() and Path(target).samefile(path):
            raise TraceError(f"{target} is the file that is read; writing would destroy it. Choose another name.")


def make_folder(folder: str | Path) -> Path:
    """Create the folder of `--save`, if it does not exist, and return it.

    Raises:
        ConfigError: it cannot be created.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot create the folder {folder}: {error.strerror or error}. Pass another --save.") from None
    return Path(folder)
