"""Show what is in a measurement file, in what units, what is unusual about it, and the command that comes next."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Any

from ...errors import ConfigError

if TYPE_CHECKING:
    from ..parser import Parser

SUMMARY = "show what is in a file, in what units, and what is unusual about it"


def add_arguments(parser: Parser) -> None:
    """Add the options."""
    from ..options import add_pulse_layout, add_reading

    parser.add_argument("table", metavar="TABLE", help="measurement file, folder, or pattern in quotes")
    add_reading(parser, pattern=True)
    add_pulse_layout(parser, None)


def run(arguments: Any) -> None:
    """Run the command."""
    if arguments.layout is not None:
        _inspect_pulses(arguments)
        return
    for name in ("polarity", "read_voltage", "conductance_unit", "columns"):
        if getattr(arguments, name) not in (None, []):
            raise ConfigError(f"{name} is only for a file of pulses; pass --layout too, such as --layout auto.")
    _inspect_recordings(arguments)


def _inspect_recordings(arguments: Any) -> None:
    from ...datasets import is_set_of_files
    from ...traces.inspect import summary
    from ...traces.trace import TraceSet
    from ..inputs import read, read_all, reading_options

    many = is_set_of_files(arguments.table) or arguments.pattern
    traces = read_all(arguments, [arguments.table]) if many else TraceSet(read(arguments, arguments.table))
    if len(traces) > 1:
        print(f"{len(traces)} recordings in {arguments.table}; the first:\n")
        for name in traces[0].parameters:
            values = [trace.parameters[name] for trace in traces]
            print(f"parameter {name} from {min(values):g} to {max(values):g}")
    plain = not (sys.stdout.encoding or "").casefold().startswith("utf")
    print(summary(traces[0], file=arguments.table, options=reading_options(arguments), plain=plain))


def _inspect_pulses(arguments: Any) -> None:
    from ...surrogates.synapses.pulse_summary import pulse_summary
    from ..inputs import read_pulses, reading_options

    if arguments.start is not None or arguments.stop is not None:
        raise ConfigError("start and stop cannot be used with --layout: a file of pulses is read completely; leave them out.")
    print(pulse_summary(read_pulses(arguments, [arguments.table])))
    words = ["spinode", "fit-synapse", arguments.table, *reading_options(arguments), "--save", "device.safetensors"]
    print(f"To fit a model:\n  {shlex.join(words)}")
