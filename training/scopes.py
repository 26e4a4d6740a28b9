"""`Scope`: with which other settings a setting has an effect, so that one that would change nothing is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigError


@dataclass(frozen=True)
class Scope:
    """Settings that have an effect with some values of others only.

    Attributes:
        names: The settings.
        applies: Called with all settings by name; returns True if these have an effect.
        needs: What they belong to and how to get it, as the end of the sentence "... is a setting of".

    Example:
        >>> Scope(("dt",), lambda each: each["by"] == "ep", "equilibrium propagation; use by='ep'").applies({"by": "bp"})
        False
    """

    names: tuple[str, ...]
    applies: Callable[[Mapping[str, Any]], bool]
    needs: str


def unused_settings(scopes: Sequence[Scope], values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings that have no effect, with what they belong to; those at their defaults are not counted.

    Args:
        scopes: Scopes of a learner.
        values: All settings by name.
        defaults: Their defaults.

    Example:
        >>> scope = Scope(("dt",), lambda each: each["by"] == "ep", "equilibrium propagation; use by='ep'")
        >>> unused_settings([scope], {"by": "bp", "dt": 0.5}, {"by": "bp", "dt": 0.2})
        {'dt': "equilibrium propagation; use by='ep'"}
    """
    unused: dict[str, str] = {}
    for scope in scopes:
        given = [name for name in scope.names if name in values and values[name] != defaults[name]]
        if given and not scope.applies(values):
            unused |= {name: scope.needs for name in given if name not in unused}
    return unused


def refuse_unused(scopes: Sequence[Scope], values: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Check that all settings have an effect.

    Args:
        scopes: Scopes of a learner.
        values: All settings by name.
        defaults: Their defaults.

    Raises:
        ConfigError: a setting other than its default that would change nothing.

    Example:
        >>> scope = Scope(("dt",), lambda each: each["by"] == "ep", "equilibrium propagation; use by='ep'")
        >>> refuse_unused([scope], {"by": "bp", "dt": 0.5}, {"by": "bp", "dt": 0.2})
        Traceback (most recent call last):
        ...
        spinode.errors.ConfigError: dt is a setting of equilibrium propagation; use by='ep'. Here dt=0.5 would have no effect.
    """
    for name, needs in unused_settings(scopes, values, defaults).items():
        raise ConfigError(f"{name} is a setting of {needs}. Here {name}={values[name]!r} would have no effect.")
