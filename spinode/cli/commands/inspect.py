"""Show what is in a measurement file, in what units, what is unusual about it, and the command that comes next."""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import ConfigError, SpinodeError, TraceError

if TYPE_CHECKING:
    from ...traces.trace import Trace
    from ..parser import Parser

SUMMARY = "show what is in a file, in what units, and what is unusual about it"


def add_arguments(parser: Parser) -> None:
    """Add the options."""
    from ..options import add_pulse_layout, add_reading

    parser.add_argument("table", metavar="TABLE", help="measurement file, folder, or pattern in quotes")
    parser.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object, without samples, to quote where a file is not read as it should",
    )
    add_reading(parser, pattern=True)
    add_pulse_layout(parser, None)


def run(arguments: Any) -> None:
    """Run the command."""
    title = _title_of_model(arguments.table)
    if title is not None and not arguments.json:
        command = "simulate-synapse" if "memory" in title else "evaluate" if "driven" in title else "simulate"
        print(f"{arguments.table}: {title}, not a recording; see `spinode {command} --help`")
        return
    if arguments.json:
        print(json.dumps(_facts(arguments, title), indent=1, ensure_ascii=False))
        return
    if arguments.layout is not None:
        _inspect_pulses(arguments)
        return
    for name in ("polarity", "read_voltage", "conductance_unit", "columns"):
        if getattr(arguments, name) not in (None, []):
            raise ConfigError(f"{name} is only for a file of pulses; pass --layout too, such as --layout auto.")
    _inspect_recordings(arguments)


def _title_of_model(path: str) -> str | None:
    """Return the kind of model in a file that this package saved; None for any other file."""
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        return None
    try:
        with safe_open(path, "numpy") as stored:
            keys = stored.metadata() or {}
    except (SafetensorError, OSError, ValueError):
        return None
    from ...artifact import kinds
    from ...surrogates.artifacts import discover

    discover()
    return next((kind.title for kind in kinds() if kind.key in keys), None)


def _facts(arguments: Any, title: str | None) -> dict[str, Any]:
    """Return versions, and what was read of the file or the sentence of its error; no samples and no path of folders."""
    import platform

    import torch

    from ... import kernels
    from ...version import __version__

    versions = {"spinode": __version__, "python": platform.python_version(), "torch": torch.__version__}
    facts: dict[str, Any] = {"versions": versions, "platform": platform.platform(), "kernels": kernels.info()}
    facts["file"] = Path(arguments.table).name
    if title is not None:
        return {**facts, "model": title}
    try:
        if arguments.layout is not None:
            from ..inputs import read_pulses

            traces = read_pulses(arguments, [arguments.table])
        else:
            traces = _recordings(arguments)
    except SpinodeError as error:
        return {**facts, "error": str(error).replace(str(arguments.table), facts["file"])}
    return {**facts, "recordings": len(traces), "first": _contents(traces[0])}


def _contents(trace: Trace) -> dict[str, Any]:
    """Return names, units, ranges and problems of one recording."""
    import dataclasses

    import numpy as np

    from ...traces.inspect import diagnose

    def column(name: str, values: Any) -> dict[str, Any]:
        finite = values[np.isfinite(values)]
        ends = {"least": float(finite.min()), "largest": float(finite.max())} if len(finite) else {}
        return {"unit": trace.unit(name), **ends, "missing": len(values) - len(finite)}

    return {
        "samples": len(trace),
        "time": column("time", trace.time),
        "drive": {name: column(name, values) for name, values in trace.drive.items()},
        "output": {name: column(name, values) for name, values in trace.output.items()},
        "parameters": dict(trace.parameters),
        "interpolation": dict(trace.interpolation),
        "reader": trace.provenance.get("reader"),
        "issues": [dataclasses.asdict(issue) for issue in diagnose(trace)],
    }


def _recordings(arguments: Any) -> Any:
    """Return the recordings of a file, folder or pattern."""
    from ...datasets import is_set_of_files
    from ...traces.trace import TraceSet
    from ..inputs import read, read_all

    many = is_set_of_files(arguments.table) or arguments.pattern or arguments.missing == "split"
    return read_all(arguments, [arguments.table]) if many else TraceSet(read(arguments, arguments.table))


def _inspect_recordings(arguments: Any) -> None:
    from ...datasets import SeveralParts
    from ...datasets.pulses.hints import pulse_hint
    from ...traces.inspect import summary
    from ..inputs import reading_options

    try:
        traces = _recordings(arguments)
    except SeveralParts as error:
        raise TraceError(f"{error}\n{_commands_for_parts(arguments, error.parts)}") from None
    if len(traces) > 1:
        print(f"{len(traces)} recordings in {arguments.table}; the first:\n")
        for name in traces[0].parameters:
            values = [trace.parameters[name] for trace in traces]
            print(f"parameter {name} from {min(values):g} to {max(values):g}")
    plain = not (sys.stdout.encoding or "").casefold().startswith("utf")
    print(summary(traces[0], file=arguments.table, options=reading_options(arguments), plain=plain))
    if pulse_hint([str(traces[0].provenance.get("time") or ""), *traces[0].channels]):
        words = ["spinode", "inspect", arguments.table, "--layout", "auto"]
        print(f"\nIts columns are those of a memory device read pulse by pulse. To read it so:\n  {shlex.join(words)}")


def _commands_for_parts(arguments: Any, parts: Sequence[str]) -> str:
    """Return the commands for one recording of a file that contains several, and for all of them if they are alike."""
    from ...traces.inspect import next_command
    from ..inputs import read_all, reading_options

    options = reading_options(arguments)
    words = ["spinode", "inspect", arguments.table, *options, "--part", parts[0]]
    lines = ["To inspect one of them:", f"  {shlex.join(words)}"]
    with contextlib.suppress(SpinodeError):  # recordings with different channels cannot be fitted together
        traces = read_all(arguments, [arguments.table])
        lines += ["All of them have the same channels.", next_command(traces[0], file=arguments.table, options=options)]
    return "\n".join(lines)


def _inspect_pulses(arguments: Any) -> None:
    from ...surrogates.synapses.pulse_summary import pulse_summary
    from ..inputs import read_pulses, reading_options

    if arguments.start is not None or arguments.stop is not None:
        raise ConfigError("start and stop cannot be used with --layout: a file of pulses is read completely; leave them out.")
    print(pulse_summary(read_pulses(arguments, [arguments.table])))
    words = ["spinode", "fit-synapse", arguments.table, *reading_options(arguments), "--save", "device.safetensors"]
    print(f"To fit a model:\n  {shlex.join(words)}")
