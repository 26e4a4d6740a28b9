"""The command `spinode`: composes readers, fit, scores, report and trainers. Bad input ends in one message and exit code 2."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import SpinodeError
from . import demo, drives, surrogates, synapses, train
from .messages import in_options as in_options
from .options import BAD_INPUT, Parser

#: Exit code if interrupted by the user.
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments after the program's name; those of the process if omitted.

    Returns:
        Exit code: 0, or 2 for bad input, or 130 if interrupted.
    """
    arguments = parser().parse_args(argv)
    run: Callable[[argparse.Namespace], None] = arguments.run
    worded: Callable[[str], str] = arguments.words

    def print_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        print(f"spinode: warning: {worded(str(message))}", file=sys.stderr)

    shown, warnings.showwarning = warnings.showwarning, print_warning
    try:
        run(arguments)
        sys.stdout.flush()
    except SpinodeError as error:
        return _fail(worded(str(error)))
    except MemoryError:
        return _fail("there is not enough memory for this; take a shorter stretch or a longer sample interval.")
    except BrokenPipeError:
        # The reader of a pipe (head, less) has seen enough; anything written at exit would complain again.
        sys.stdout = None
        return 0
    except KeyboardInterrupt:
        print("\nspinode: interrupted.", file=sys.stderr)
        return INTERRUPTED
    finally:
        warnings.showwarning = shown
    return 0


def _fail(message: str) -> int:
    print(f"spinode: error: {message}", file=sys.stderr)
    return BAD_INPUT


def parser() -> argparse.ArgumentParser:
    """All commands and options."""
    top = Parser(prog="spinode", description="A measurement file in, a fast device model out, and a network trained on it.")
    from ..version import __version__

    top.add_argument("--version", action="version", version=f"spinode {__version__}")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for group in (surrogates, drives, synapses, train, demo):
        group.add_commands(commands)
    return top
