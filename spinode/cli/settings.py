"""Options from a config class: one option for each field, with the text of the class docstring as help."""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from .parser import Parser

Config = TypeVar("Config")

_WORDS = {"none": None, "null": None, "true": True, "yes": True, "false": False, "no": False}
_METAVARS = {bool: "true|false", int: "N", float: "NUMBER", str: "NAME"}


def add_settings(
    parser: Parser,
    kind: type,
    title: str,
    *,
    unset: str = "",
    short: Mapping[str, str] | None = None,
) -> None:
    """Add an option for each field of a config class.

    Values are checked by the class itself, so that the command line and Python report a wrong value in the same sentence.

    Args:
        parser: Where they are added.
        kind: A dataclass.
        title: Heading of the options.
        unset: What applies where an option is not given, for help; such options have no default. Defaults of the class if "".
        short: Short options by name of the field.

    Example:
        >>> from spinode.cli.parser import Parser
        >>> from spinode.surrogates import SynapseConfig
        >>> parser = Parser("fit-synapse")
        >>> add_settings(parser, SynapseConfig, "settings")
        >>> read_settings(parser.parse_args(["--rounds", "3"]), SynapseConfig).rounds
        3
    """
    group = parser.add_argument_group(title)
    hints, texts = typing.get_type_hints(kind), field_docs(kind)
    for field in dataclasses.fields(kind):
        types = _plain_types(hints[field.name])
        default = list(field.default) if isinstance(field.default, tuple) else field.default
        names = [f"--{field.name.replace('_', '-')}"]
        if short and field.name in short:
            names.insert(0, short[field.name])
        group.add_argument(
            *names,
            dest=field.name,
            type=parse_value,
            nargs="+" if tuple in types else None,
            default=None if unset else default,
            metavar=next(name for each, name in _METAVARS.items() if each in types),
            help=_help(texts.get(field.name, ""), unset or _shown(default)),
        )


def read_settings(arguments: Any, kind: type[Config]) -> Config:
    """Return the config that options of `add_settings` describe.

    Raises:
        ConfigError: a value that the config class does not accept.
    """
    return kind(**given_settings(arguments, kind))


def given_settings(arguments: Any, kind: type) -> dict[str, Any]:
    """Return the fields of a config class that have a value, by name."""
    found = {}
    for field in dataclasses.fields(kind):
        value = getattr(arguments, field.name)
        if value is not None:
            found[field.name] = tuple(value) if isinstance(value, list) else value
    return found


def settings_options(arguments: Any, kind: type) -> tuple[tuple[str, ...], ...]:
    """Return the options of those fields of a config class whose values are not the defaults, each with its values."""
    defaults = {field.name: field.default for field in dataclasses.fields(kind)}
    groups = []
    for name, value in given_settings(arguments, kind).items():
        if value != defaults[name] and value != ():
            values = value if isinstance(value, tuple) else (value,)
            groups.append((f"--{name.replace('_', '-')}", *(str(each) for each in values)))
    return tuple(groups)


def parse_value(text: Any) -> Any:
    """Return a number, True, False or None for the text that spells it; any other value as it is.

    Example:
        >>> [parse_value(text) for text in ("5e-12", "16", "none", "false", "adam")]
        [5e-12, 16, None, False, 'adam']
    """
    if not isinstance(text, str):
        return text
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return _WORDS.get(text.casefold(), text)


def field_docs(kind: type) -> dict[str, str]:
    """Return the texts of the section "Attributes:" of a class docstring by name.

    Example:
        >>> from spinode.surrogates import SynapseConfig
        >>> sorted(field_docs(SynapseConfig)) == sorted(SynapseConfig.__dataclass_fields__)
        True
    """
    section = (inspect.getdoc(kind) or "").partition("Attributes:\n")[2].partition("\n\n")[0]
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", section, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


def _plain_types(hint: Any) -> set[type]:
    """Return the types that a hint names: {int, tuple} for `tuple[int, ...] | None`."""
    parts = typing.get_args(hint)
    if not parts:
        return {hint}
    origin = typing.get_origin(hint)
    found = set().union(*(_plain_types(part) for part in parts if part is not Ellipsis))
    return found | ({tuple} if origin is tuple else set())


def _help(text: str, default: str) -> str:
    ending = f" (default: {default})" if default else ""
    return (text.rstrip(".") + ending).replace("%", "%%")


def _shown(default: Any) -> str:
    if default is None:
        return ""
    return " ".join(map(str, default)) if isinstance(default, list) else str(default)
