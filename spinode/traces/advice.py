"""The command that comes after the inspection of a recording: drives and outputs, or the choice between two of them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

import numpy as np

from .channel_roles import is_counter, is_ramp, likely_drives, likely_outputs
from .checks import Issue
from .sampling import MIN_FIT_SAMPLES
from .trace import Trace

_FREQUENCY = re.compile(r"f|freq\w*", re.IGNORECASE)
_MAX_COMMANDS, _MAX_NAMES = 2, 12


def advise(trace: Trace, issues: Sequence[Issue], file: Sequence[str]) -> list[str]:
    """Return the next command if the roles of the channels are clear, otherwise those to choose from, and why.

    Args:
        trace: The recording, with all its channels.
        issues: Its problems.
        file: Name of the file and the options with which it was read.
    """
    if any(issue.severity == "error" for issue in issues):
        return ["Fix the errors above before you fit a model."]
    if len(trace) < MIN_FIT_SAMPLES:
        return [f"A recording of {len(trace)} samples is too short for `spinode fit`; at least {MIN_FIT_SAMPLES} are needed."]
    swept = [name for name, values in trace.channels.items() if _FREQUENCY.fullmatch(name) and is_ramp(values)]
    if swept and trace.provenance.get("sampled_by"):
        return [f"This is a sweep over {swept[0]!r}, and `spinode fit` learns recordings in time: record the response in time."]
    file = [*file, *(["--time", "sample"] if trace.provenance.get("sampled_by") and "--time" not in file else [])]
    if "--missing" not in file and any(not np.isfinite(values).all() for values in trace.channels.values()):
        file = [*file, "--missing", "mask"]
    if "--reads" not in file and any(issue.code == "read-order" for issue in issues):
        file = [*file, "--reads", "after"]
    drives = tuple(trace.drive) or likely_drives(trace)
    outputs = tuple(name for name in likely_outputs(trace) if name not in drives)
    if not outputs and not drives:
        return [_no_output(trace)]
    if not drives and len(outputs) == 1:
        return [
            "To fit a model of an autonomous device (for a driven device, record its drive as well):",
            f"  {_command(file, (), outputs, issues)}",
        ]
    if not drives:
        return [
            "To fit a model, choose the drive and the output: neither names nor levels show which channel drives the device. "
            "Two of the possibilities:",
            *(f"  {_command(file, (drive,), (output,), issues)}" for drive, output in (outputs[:2], outputs[1::-1])),
            _listed(trace),
        ]
    if len(outputs) == 1:
        return ["To fit a model:", f"  {_command(file, drives, outputs, issues)}"]
    if outputs:
        return [
            f"To fit a model, choose the output; {_names(outputs)} all move:",
            *(f"  {_command(file, drives, (name,), issues)}" for name in outputs[:_MAX_COMMANDS]),
            _listed(trace),
        ]
    others = [name for name, values in trace.channels.items() if name not in drives and np.ptp(values[np.isfinite(values)]) > 0]
    others = [name for name in others if not is_counter(name, trace.channels[name])] if others else []
    if not others:
        return [_no_output(trace)]
    return [
        "To fit a model, choose the output; these look like ramps, steps or settings rather than like a response:",
        *(f"  {_command(file, drives, (name,), issues)}" for name in others[:_MAX_COMMANDS]),
    ]


def challenge(trace: Trace, drive: Sequence[str], output: Sequence[str]) -> list[str]:
    """Return objections against the roles that a user gave: an output that is a ramp, or a likely drive that is not used.

    Example:
        >>> time = np.arange(200.0)
        >>> table = Trace(time, output={"Vin": np.sin(time / 5), "y": np.cos(time / 5), "index": time})
        >>> challenge(table, [], ["y"])
        ['Vin is not used; did you mean --drive Vin?']
        >>> challenge(table, ["Vin"], ["index"])
        ["the output 'index' is a ramp, as a counter, a time or a sweep is; is it the response of the device?"]
    """
    found = [
        f"the output {name!r} is a ramp, as a counter, a time or a sweep is; is it the response of the device?"
        for name in output
        if name in trace.channels and is_ramp(trace.channels[name])
    ]
    if not drive:
        unused = [name for name in likely_drives(trace) if name not in output]
        found += [f"{name} is not used; did you mean --drive {shlex.quote(name)}?" for name in unused[:1]]
    return found


def _no_output(trace: Trace) -> str:
    return (
        "There is nothing for `spinode fit` to learn, since no channel looks like the response of a device: "
        f"{_names(tuple(trace.channels))} {'is' if len(trace.channels) == 1 else 'are'} constant, missing, or ramps."
    )


def _listed(trace: Trace) -> str:
    return f"  channels: {_names(tuple(trace.channels))}"


def _names(names: Sequence[str]) -> str:
    hidden = len(names) - _MAX_NAMES
    return ", ".join(names[:_MAX_NAMES]) + (f" and {hidden} more" if hidden > 0 else "")


def _command(file: Sequence[str], drives: Sequence[str], outputs: Sequence[str], issues: Sequence[Issue]) -> str:
    words = ["spinode", "fit", *file]
    for option, names in (("--drive", drives), ("--output", outputs)):
        for name in names:
            words += [f"{option}={name}"] if name.startswith("-") else [option, name]
    ends = [issue.at for issue in issues if issue.code == "regime-change" and issue.at is not None]
    if ends and "--stop" not in file:
        words += ["--stop", f"{min(ends):.4g}"]
    return shlex.join([*words, "--save", "device.safetensors"])
