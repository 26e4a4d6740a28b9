"""Task streams by name: each registers itself where it is defined; the command line and recipes find it here.

A new stream is one file in `datasets/streams`, with a function that builds it from sets of images:

    register_stream("permuted-mnist", build_permuted, images=["mnist"], summary="MNIST with permuted pixels")

`spinode.datasets.streams` imports every file in its folder, so that the registry is complete once that package is imported.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..errors import ConfigError
from .task_stream import TaskStream


class BuildStream(Protocol):
    """Function that builds a stream from sets of images."""

    def __call__(self, images: Sequence[Any], tasks: int | None, seed: int, settings: Mapping[str, Any]) -> TaskStream:
        """Return the stream.

        Args:
            images: The sets of images that the name of the stream refers to.
            tasks: Number of tasks of a stream that can have any length; None for its default.
            seed: Seed, unless `settings` contain one.
            settings: Arguments of the class of the stream.
        """
        ...


@dataclass(frozen=True)
class StreamEntry:
    """One name of the registry.

    Attributes:
        name: The name that the command line and recipes use, such as "permuted-mnist".
        build: Function that builds the stream.
        images: Names of the sets of images that it needs.
        permuted: True if every task is a permutation of the same images that depends only on seed and task. Such a stream can
            also provide out-of-distribution tests for another one.
        summary: One line of what it contains.
    """

    name: str
    build: BuildStream
    images: tuple[str, ...]
    permuted: bool = False
    summary: str = ""


_ENTRIES: dict[str, StreamEntry] = {}


def register_stream(name: str, build: BuildStream, *, images: Sequence[str], permuted: bool = False, summary: str = "") -> None:
    """Register a stream under a name.

    Args:
        name: The name that the command line and recipes use.
        build: Function that builds the stream.
        images: Names of the sets of images that it needs: "mnist", "fashion-mnist" or "made-digits".
        permuted: True if every task is a permutation of the same images that depends only on seed and task.
        summary: One line of what it contains, for help texts.

    Raises:
        ConfigError: the name belongs to another function.

    Example:
        >>> from spinode.datasets import Subsets
        >>> def build_halves(images, tasks, seed, settings):
        ...     return construct_stream(Subsets, images[0], {"parts": 2, "seed": seed, **settings})
        >>> register_stream("halves", build_halves, images=["made-digits"], summary="generated digits in two halves")
        >>> registered_streams()["halves"].summary
        'generated digits in two halves'
        >>> unregister_stream("halves")
    """
    known = _ENTRIES.get(name)
    # A module that is reloaded defines the same function again.
    if known is not None and _qualified(known.build) != _qualified(build):
        raise ConfigError(f"the stream name {name!r} belongs to {_qualified(known.build)}; choose another one.")
    _ENTRIES[name] = StreamEntry(name, build, tuple(images), permuted, summary)


def unregister_stream(name: str) -> None:
    """Remove a name from the registry, if it is there."""
    _ENTRIES.pop(name, None)


def registered_streams() -> dict[str, StreamEntry]:
    """Return all entries by name, sorted."""
    return dict(sorted(_ENTRIES.items()))


def construct_stream(cls: Callable[..., TaskStream], source: Any, settings: Mapping[str, Any]) -> TaskStream:
    """Return a stream of a class, after checking the names of its settings.

    Args:
        cls: Class of the stream.
        source: Its first argument: images, sets of images or a stream.
        settings: Its other arguments by name.

    Raises:
        ConfigError: a setting that the class does not have or does not accept.
    """
    known = list(inspect.signature(cls).parameters)[1:]
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ConfigError(f"{cls.__name__} has no setting {', '.join(unknown)}; its settings are: {', '.join(known)}.")
    return cls(source, **settings)


def _qualified(build: BuildStream) -> str:
    return f"{getattr(build, '__module__', '')}.{getattr(build, '__qualname__', repr(build))}"
