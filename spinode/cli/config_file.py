"""`--config FILE`: a YAML file of options, checked against the options of the command before it is applied."""

from __future__ import annotations

import argparse
import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jsonargparse import ActionConfigFile  # type: ignore[attr-defined]

from ..errors import ConfigError
from ..validation import one_of

#: Largest file [bytes], and most values and deepest nesting in it; an alias that refers to itself exceeds both.
_MAX_BYTES = 2**20
_MAX_VALUES = 100_000
_MAX_DEPTH = 20
#: Actions of options without a type, which take text.
_TEXT_ACTIONS = (argparse._StoreAction, argparse._AppendAction)


class ConfigFile(ActionConfigFile):
    """Action of `--config`: reads the file and sets the options that it contains."""

    def __call__(self, parser: Any, cfg: Any, values: Any, option_string: str | None = None) -> None:
        """Set the options that the file contains; a bad file ends in one sentence and exit code 2."""
        actions = {action.dest: action for action in parser._actions if not isinstance(action, ActionConfigFile)}
        for name in ("help", "print_config"):
            actions.pop(name, None)
        try:
            for key, value in _read(values).items():
                name = str(key).replace("-", "_")
                if name not in actions:
                    raise ConfigError(f"the config file {values} has an unknown option {key!r}{parser.guess(f'--{key}')}")
                if value is not None or actions[name].default is not None:
                    cfg[name] = _value(actions[name], f"{name} in {values}", value)
        except ConfigError as error:
            parser.error(str(error))
        cfg[self.dest] = [*(cfg.get(self.dest) or []), str(values)]


def _read(file: str) -> Mapping[Any, Any]:
    """Return the contents of a config file."""
    from ..training.recipe import parse_yaml

    path = Path(file)
    try:
        if not path.is_file():
            problem = "is not a file; expected a YAML file of options" if path.exists() else "does not exist"
            raise ConfigError(f"the config file {file} {problem}")
        if path.stat().st_size > _MAX_BYTES:
            raise ConfigError(f"the config file {file} is larger than 1 MB; expected a YAML file of options")
        content = parse_yaml(path.read_text("utf-8"), f"the config file {file}")
        _check_size(content)
    except ConfigError:
        raise
    except UnicodeDecodeError:
        raise ConfigError(f"the config file {file} is not a text in UTF-8; expected a YAML file of options") from None
    except RecursionError:
        raise ConfigError(
            f"the config file {file} is nested too deeply, or refers to itself; expected options and values"
        ) from None
    except (OSError, ValueError, OverflowError) as error:
        raise ConfigError(f"the config file {file} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not isinstance(content, Mapping):
        found = "empty" if content is None else "a list" if isinstance(content, list) else "a single value"
        raise ConfigError(
            f"the config file {file} is {found}; expected a line `option: value` for each option, such as `seed: 1`"
        )
    return content


def _check_size(content: Any) -> None:
    """Raise RecursionError for values that are nested deeply, contain themselves, or multiply through aliases."""
    pending, count = [(content, 0)], 0
    while pending:
        value, depth = pending.pop()
        count += 1
        if depth > _MAX_DEPTH or count > _MAX_VALUES:
            raise RecursionError
        items = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
        pending += [(item, depth + 1) for item in items]


def _value(action: argparse.Action, name: str, value: Any) -> Any:
    """Return the value of an option; a single one counts as a list of one.

    Raises:
        ConfigError: a value that the option does not accept.
    """
    if action.nargs == 0 and isinstance(action.const, bool):
        if not isinstance(value, bool):
            raise ConfigError(f"{name} is {_shown(value)}; expected true or false")
        return value
    if not isinstance(action, argparse._AppendAction) and action.nargs not in ("+", "*"):
        return _single(action, name, value, f"a single value for {_form(action)}")
    form = _form(action)
    expected = f"one or several values for {form}"
    if "=" in form and isinstance(value, Mapping):
        return [f"{key}={_text(item)}" for key, item in value.items()]
    items = value if isinstance(value, list) else [value]
    return [_single(action, name, item, expected) for item in items]


def _single(action: argparse.Action, name: str, value: Any, expected: str) -> Any:
    plain = isinstance(value, str | int | float) or (value is None and action.type is not None and action.nargs is None)
    if not plain or (isinstance(value, bool) and action.type is None):
        raise ConfigError(f"{name} is {_shown(value)}; expected {expected}")
    if action.choices:
        return one_of(name, value, [str(choice) for choice in action.choices])
    if inspect.isfunction(action.type):
        return action.type(value)
    return str(value) if type(action) in _TEXT_ACTIONS else value


def _text(value: Any) -> str:
    """Return the text of a value of NAME=VALUE, as it would be typed."""
    if isinstance(value, float):
        return repr(value)
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _form(action: argparse.Action) -> str:
    names = [option for option in action.option_strings if option.startswith("--")]
    return " ".join([*names[:1], str(action.metavar or action.dest.upper())])


def _shown(value: Any) -> str:
    """Return a value in the spelling of YAML, cut to one line."""
    try:
        text = json.dumps(value, default=str, ensure_ascii=False)
    except TypeError:  # keys of a mapping that JSON does not have
        text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
