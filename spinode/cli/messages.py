"""Messages of the package in the words of the command line, and its progress."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable

_QUOTED = r"""'[^']*'|"[^"]*\""""
# How messages of the package call what the command line has options for; applied in this order.
_OPTIONS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (
        re.compile(rf"(?:pulses=)?PulseLayout\(((?:[^()'\"]|{_QUOTED})*)\)"),
        lambda found: re.sub(r", (?=--)", " ", in_options(found[1].removeprefix("..., "))),
    ),
    (re.compile(rf"\bcolumns=\{{((?:[^{{}}'\"]|{_QUOTED})*)\}}"), lambda found: _pair_options("--column", found[1])),
    (re.compile(rf"\bunits=\{{((?:[^{{}}'\"]|{_QUOTED})*)\}}"), lambda found: _pair_options("--unit", found[1])),
    (
        re.compile(
            rf"(?<![\w-])(?<!--unit )(?<!--column "
            rf")(pulses|layout|polarity|read_voltage|conductance_unit|time|part|pattern)=({_QUOTED}|[-+.\w]*[-+\w])"
        ),
        lambda found: f"{_option(found[1])} {shlex.quote(found[2].strip(found[2][0]) if found[2][0] in _MARKS else found[2])}",
    ),
    (
        re.compile(
            r""
            r"(?<![\w-])(pulses|polarity|read_voltage|conductance_unit|columns|units|time|voltage|width|devices)=(?:\.{3})?(?=[\s.,;:)]|$)"
        ),
        lambda found: _option(found[1]),
    ),
    (re.compile(r"\b(read_voltage|polarity) is "), lambda found: f"{_option(found[1])} is "),
    (re.compile(r"(--polarity SET) or 'RESET'"), r"\1 or RESET"),
    (re.compile(r", or read all with read_traces\b"), ", or fit all of them: spinode fit FILE"),
    (re.compile(r"\bread them with read_traces, which makes a TraceSet of them"), "fit them together: spinode fit"),
    (
        re.compile(r' \(or the layout by name: "long", "up-down", "ramps"\) for a TraceSet with .*?cycle'),
        " (or long, up-down, ramps)",
    ),
)
_MARKS = "'\""


def in_options(message: str) -> str:
    """A message of the package in the words of the command line: `polarity='SET'` becomes `--polarity SET`."""
    for pattern, words in _OPTIONS:
        message = pattern.sub(words, message)
    return message


def _option(name: str) -> str:
    known = {"pulses": "layout", "columns": "column", "units": "unit"}
    return "--" + known.get(name, name).replace("_", "-")


def _pair_options(option: str, pairs: str) -> str:
    """`--column a=b --column c=...` for the inside of a dict with words as keys."""
    found = re.findall(rf"({_QUOTED}): ({_QUOTED}|\.\.\.)", pairs)
    words = [f"{key[1:-1]}={value if value == '...' else value[1:-1]}" for key, value in found]
    return " ".join(f"{option} {shlex.quote(word)}" for word in words) or option


def counted(number: int, word: str) -> str:
    """Such as "1 device", "2 devices"."""
    return f"{number} {word}{'' if number == 1 else 's'}"


class Progress:
    """Progress on one line of a terminal; where there is none, only what ends a restart."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.terminal = sys.stderr.isatty()

    def __call__(self, line: str) -> None:
        """Show a line in place of the last one."""
        if self.quiet:
            return
        if self.terminal:
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
        elif "step" not in line:
            print(line, file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leave the line."""
        if self.terminal and not self.quiet:
            print(file=sys.stderr)
