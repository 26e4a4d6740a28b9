"""Synapses by name: each model registers itself where it is defined; the command line and recipes find it here.

A new device is one file. It registers its class under one name, or under several with settings of their own:

    @register_synapse("my-device", summary="a device of mine")
    class MyDevice(SynapseModel): ...

    register_synapse("my-device-hot", MyDevice, settings={"temperature": 400.0}, summary="the same at 400 K")

`spinode.datasets.devices` imports every file in its folder, so that the registry is complete once that package is imported.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, overload

from ..errors import ConfigError
from .synapse import Synapse

Build = TypeVar("Build", bound=Callable[..., Any])


@dataclass(frozen=True)
class SynapseEntry:
    """One name of the registry.

    Attributes:
        name: The name that the command line and recipes use, such as "weak-reset".
        build: Class or function that returns the synapse.
        settings: Keyword arguments that this name passes to `build`; a caller's own take precedence.
        summary: One line of what it models.
    """

    name: str
    build: Callable[..., Any]
    settings: Mapping[str, Any] = field(default_factory=dict)
    summary: str = ""


_ENTRIES: dict[str, SynapseEntry] = {}


@overload
def register_synapse(
    name: str, build: None = None, *, settings: Mapping[str, Any] | None = None, summary: str = ""
) -> Callable[[Build], Build]: ...
@overload
def register_synapse(name: str, build: Build, *, settings: Mapping[str, Any] | None = None, summary: str = "") -> Build: ...
def register_synapse(
    name: str, build: Build | None = None, *, settings: Mapping[str, Any] | None = None, summary: str = ""
) -> Build | Callable[[Build], Build]:
    """Register a synapse under a name and return its class unchanged; without `build`, return a decorator that does so.

    Args:
        name: The name that the command line and recipes use.
        build: Class or function that returns the synapse.
        settings: Keyword arguments for `build`.
        summary: One line of what it models, for help texts.

    Raises:
        ConfigError: the name belongs to another class.

    Example:
        >>> from spinode.surrogates import IdealSynapse
        >>> _ = register_synapse("coarse", IdealSynapse, settings={"step": 0.25}, summary="eight steps from end to end")
        >>> build_synapse("coarse").step, build_synapse("coarse", step=0.5).step
        (0.25, 0.5)
        >>> unregister_synapse("coarse")
    """

    def add(build: Build) -> Build:
        known = _ENTRIES.get(name)
        # A module that is reloaded defines the same class again.
        if known is not None and _qualified(known.build) != _qualified(build):
            raise ConfigError(f"the synapse name {name!r} belongs to {_qualified(known.build)}; choose another one.")
        _ENTRIES[name] = SynapseEntry(name, build, dict(settings or {}), summary)
        return build

    return add if build is None else add(build)


def unregister_synapse(name: str) -> None:
    """Remove a name from the registry, if it is there."""
    _ENTRIES.pop(name, None)


def registered_synapses() -> dict[str, SynapseEntry]:
    """Return all entries by name, sorted."""
    return dict(sorted(_ENTRIES.items()))


def build_synapse(name: str, **settings: Any) -> Synapse:
    """Return a registered synapse.

    Args:
        name: A name of `registered_synapses()`.
        **settings: Keyword arguments for its class, in addition to those of the name.

    Raises:
        ConfigError: an unknown name, or a setting that the class does not have or does not accept.
    """
    entry = _ENTRIES.get(name)
    if entry is None:
        close = difflib.get_close_matches(name, _ENTRIES, 1)
        guess = f" Did you mean {close[0]!r}?" if close else ""
        raise ConfigError(f"there is no synapse {name!r}; the registered ones are: {', '.join(sorted(_ENTRIES))}.{guess}")
    known = inspect.signature(entry.build).parameters
    unknown = [each for each in settings if each not in known]
    if unknown:
        raise ConfigError(f"the synapse {name} has no setting {', '.join(unknown)}; its settings are: {', '.join(known)}.")
    synapse: Synapse = entry.build(**{**entry.settings, **settings})
    return synapse


def _qualified(build: Callable[..., Any]) -> str:
    return f"{build.__module__}.{build.__qualname__}"
