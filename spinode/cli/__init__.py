"""The command `spinode`: each file of `commands/` is one command. Bad input ends in one sentence and exit code 2."""

from __future__ import annotations

import argparse
import difflib
import re
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from ..errors import SpinodeError
from ..version import __version__
from . import commands
from .wording import as_options

#: Exit code of bad input.
BAD_INPUT = 2
#: Exit code after an interrupt from the keyboard.
INTERRUPTED = 130

#: Errors of extreme input that no check foresaw. Others are faults of the program and keep their traceback.
_LAST_RESORT = (MemoryError, RuntimeError, ValueError, OverflowError)
#: How PyTorch reports that memory cannot be allocated: as RuntimeError.
_ALLOCATION = re.compile(
    r"can't allocate|cannot allocate|not enough memory|out of memory|storage size calculation overflowed|"
    r"integer multiplication overflow|invalid storage size|array is too big|maximum allowed dimension",
    re.IGNORECASE,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments after the program's name; those of the process if omitted.

    Returns:
        Exit code: 0, or 2 for bad input, or 130 if interrupted.

    Example:
        >>> from spinode.cli import main
        >>> main(["nonsense"])
        2
    """
    words = list(sys.argv[1:] if argv is None else argv)
    showwarning, warnings.showwarning = warnings.showwarning, _print_warning
    _print_any_character()
    try:
        _run(words)
        sys.stdout.flush()
    except SpinodeError as error:
        return _fail(str(error))
    except _LAST_RESORT as error:
        sentence = _describe(error)
        if sentence is None:
            raise
        return _fail(sentence)
    except BrokenPipeError:
        # The reader of a pipe (head, less) has closed it; anything written at exit would raise again.
        sys.stdout = None
        return 0
    except KeyboardInterrupt:
        print("\nspinode: interrupted.", file=sys.stderr)
        return INTERRUPTED
    finally:
        warnings.showwarning = showwarning
    return 0


def _run(words: list[str]) -> None:
    """Run the command that the first word names; only the modules that it needs are imported."""
    if words and words[0] in commands.names():
        command = commands.load(words[0])
        command.run(commands.build_parser(words[0]).parse_args(words[1:]))
        return
    _overview().parse_args([word for word in words if word in ("-h", "--help", "--version")][:1])
    close = difflib.get_close_matches(words[0], commands.names(), 1) if words else []
    guess = f" Did you mean {close[0]}?" if close else ""
    problem = f"there is no command {words[0]}" if words else "no command was given"
    raise SpinodeError(f"{problem}; expected one of: {', '.join(commands.names())}.{guess}")


def _overview() -> argparse.ArgumentParser:
    """Return the parser of `spinode --help` and `spinode --version`, which knows the commands by name and summary only."""
    parser = argparse.ArgumentParser(
        prog="spinode",
        description="A measurement file in, a fast device model out, and a network trained on it.",
        usage="spinode COMMAND [options]",
        epilog="spinode COMMAND --help lists the options of a command.",
    )
    parser.add_argument("--version", action="version", version=f"spinode {__version__}")
    table = parser.add_subparsers(title="commands", metavar="COMMAND", required=False)
    for name in commands.names():
        table.add_parser(name, help=commands.load(name).SUMMARY)
    return parser


def _print_any_character() -> None:
    """Let standard output and error replace characters that their encoding does not have."""
    for stream in (sys.stdout, sys.stderr):
        if getattr(stream, "errors", None) in ("strict", "surrogateescape") and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def _describe(error: Exception) -> str | None:
    """Return the sentence for an error of extreme input; None for a fault of the program."""
    if isinstance(error, MemoryError) or _ALLOCATION.search(str(error)):
        return (
            "there is not enough memory for this; reduce the sizes, select a shorter part of the recording, or pass a longer "
            "sample interval."
        )
    detail = " ".join(str(error).split())[:200]
    if isinstance(error, RecursionError):
        return "the input is nested too deeply, or refers to itself; simplify it."
    if isinstance(error, UnicodeError):
        return f"a text cannot be read or written in its encoding ({detail}); expected UTF-8."
    if isinstance(error, OverflowError):
        return f"a number is too large to be represented ({detail}); pass a smaller one."
    return None


def _fail(message: str) -> int:
    print(f"spinode: error: {as_options(message)}", file=sys.stderr)
    return BAD_INPUT


def _print_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    print(f"spinode: warning: {as_options(str(message))}", file=sys.stderr)
