"""The commands, one file each: `SUMMARY`, `add_arguments(parser)` and `run(arguments)`. A new file is a new command.

The name of the command is that of the file, with dashes. A command imports what it needs in `add_arguments` and `run`, so that
`spinode --help` imports nothing heavy.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from ..parser import Parser


class Command(Protocol):
    """Interface of a file in this folder."""

    #: One line for `spinode --help`.
    SUMMARY: str

    def add_arguments(self, parser: Parser) -> None:
        """Add the options of the command."""

    def run(self, arguments: Any) -> None:
        """Run the command; `SpinodeError` for bad input."""


def names() -> tuple[str, ...]:
    """Return the names of all commands, sorted.

    Example:
        >>> from spinode.cli import commands
        >>> "fit-synapse" in commands.names()
        True
    """
    return tuple(sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__)))


def load(name: str) -> Command:
    """Import a command by its name."""
    return cast("Command", import_module(f".{name.replace('-', '_')}", __name__))


def build_parser(name: str) -> Parser:
    """Return the parser of a command.

    Example:
        >>> from spinode.cli import commands
        >>> parser = commands.build_parser("simulate")
        >>> parser.parse_args(["sk.safetensors", "drive.csv", "--save", "out.csv", "--seed", "3"]).seed
        3
    """
    from ..parser import Parser

    command = load(name)
    summary = command.SUMMARY
    parser = Parser(name, (command.__doc__ or summary).strip())
    command.add_arguments(parser)
    return parser
