"""Advice in messages, from arguments in Python to options of the command line."""

from __future__ import annotations

import re
import shlex

_QUOTED = r"'[^']*'|\"[^\"]*\""
_LAYOUT = re.compile(rf"(?:pulses=)?PulseLayout\(((?:[^()'\"]|{_QUOTED})*)\)")
#: An argument of reading that is an option as well, alone or within PulseLayout(...).
_ARGUMENT = re.compile(
    rf"(?<![\w/'\"-])(?P<name>pulses|layout|polarity|read_voltage|conductance_unit|columns|units)="
    rf"(?P<value>{_QUOTED}|\{{(?:[^{{}}'\"]|{_QUOTED})*\}}|-?\d[\d.e+-]*(?<![.]))"
)
_LEFT_OUT = re.compile(r"\bleave (voltage|width)= out")
_ITEM = re.compile(rf"(?P<key>{_QUOTED}): (?P<value>{_QUOTED}|\.\.\.)")


def as_options(message: str) -> str:
    """Return a message in which the arguments of pulses and of reading their files are options.

    Example:
        >>> as_options("pass pulses=PulseLayout(layout='ramps', polarity='SET') or 'RESET'.")
        "pass --layout ramps --polarity SET or 'RESET'."
        >>> as_options("PulseLayout(columns={'cycle': '', 'pulse': ...})")
        '--columns cycle= --columns pulse=NAME'
    """
    message = _LEFT_OUT.sub(r"leave --\1 out", message)
    return _LAYOUT.sub(lambda found: _options(found[1]), _ARGUMENT.sub(_option, message))


def _options(inside: str) -> str:
    """Return the options of a PulseLayout(...) whose arguments are options already, separated by spaces."""
    return re.sub(r", (?=--)", " ", inside.removeprefix("..., ")).replace("columns=...", "--columns ROLE=NAME")


def _option(found: re.Match[str]) -> str:
    name = {"pulses": "layout"}.get(found["name"], found["name"]).replace("_", "-")
    value = found["value"]
    if value.startswith("{"):
        items = [(item["key"][1:-1], item["value"]) for item in _ITEM.finditer(value)]
        pairs = [f"{key}={'NAME' if text == '...' else text[1:-1]}" for key, text in items]
        return " ".join(f"--{name} {shlex.quote(pair)}" for pair in pairs) or found[0]
    text = value[1:-1] if value[0] in ("'", '"') else value
    return f"--{name} {shlex.quote(text)}"
