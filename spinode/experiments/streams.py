"""Task streams by name. A new one is a function and a line `register_stream(...)` in this file.

A function of this file builds a stream from sets of images. Its settings are the arguments of the class in `spinode.datasets`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import ConfigError
from ..validation import one_of

if TYPE_CHECKING:
    from ..contracts.task_stream import TaskStream
    from ..datasets import Images


class BuildStream(Protocol):
    """Builds a stream from sets of images; `tasks` applies to streams of any length, and `settings` override `seed`."""

    def __call__(self, images: Sequence[Images], tasks: int | None, seed: int, settings: Mapping[str, Any]) -> TaskStream:
        """Return the stream."""
        ...


@dataclass(frozen=True)
class StreamEntry:
    """One name of the registry.

    Attributes:
        name: The name that the command line and recipes use.
        images: Names of the sets of images, each one of `IMAGE_SETS`.
        build: Builds the stream from them.
        summary: One line for help.
    """

    name: str
    images: tuple[str, ...]
    build: BuildStream
    summary: str


#: Sets of images by name; "made-digits" are generated and need no files.
IMAGE_SETS = ("mnist", "fashion-mnist", "made-digits")
#: Registered streams by name.
STREAMS: dict[str, StreamEntry] = {}
#: Tasks of a permuted stream whose length nobody has chosen.
DEFAULT_TASKS = 10


def register_stream(name: str, images: Sequence[str], build: BuildStream, summary: str) -> None:
    """Add a stream to the registry.

    Raises:
        ConfigError: the name is taken.
    """
    if name in STREAMS:
        raise ConfigError(f"there is a stream {name!r} already; choose another name.")
    STREAMS[name] = StreamEntry(name, tuple(images), build, summary)


def load_images(name: str, folder: str | None) -> Images:
    """Return a set of images by its name.

    Args:
        name: One of `IMAGE_SETS`.
        folder: Folder of the files; see `spinode.datasets.mnist`.

    Raises:
        ConfigError: there is no such set, or its files are missing.
    """
    from ..datasets import fashion_mnist, made_digits, mnist

    one_of("images", name, IMAGE_SETS)
    if name == "made-digits":
        return made_digits()
    return (mnist if name == "mnist" else fashion_mnist)(folder)


def permuted(images: Sequence[Images], tasks: int | None, seed: int, settings: Mapping[str, Any]) -> TaskStream:
    """Build tasks whose pixels are in another order each."""
    from ..datasets import PermutedTasks

    return _call(PermutedTasks, images[0], **{"tasks": tasks or DEFAULT_TASKS, "seed": seed, **settings})


def sequence(images: Sequence[Images], tasks: int | None, seed: int, settings: Mapping[str, Any]) -> TaskStream:
    """Build a task of each set of images."""
    from ..datasets import TaskSequence

    return _call(TaskSequence, images, **settings)


def split(images: Sequence[Images], tasks: int | None, seed: int, settings: Mapping[str, Any]) -> TaskStream:
    """Build a task of each pair of classes, labelled 0 and 1 in every task."""
    from ..datasets import ClassSplit

    return _call(ClassSplit, images[0], **{"relabel": True, **settings})


def classes(images: Sequence[Images], tasks: int | None, seed: int, settings: Mapping[str, Any]) -> TaskStream:
    """Build a task of each pair of classes, with the labels that they have."""
    from ..datasets import ClassSplit

    return _call(ClassSplit, images[0], **{"relabel": False, **settings})


def subsets(images: Sequence[Images], tasks: int | None, seed: int, settings: Mapping[str, Any]) -> TaskStream:
    """Build parts of one set of images, without known task boundaries."""
    from ..datasets import Subsets

    return _call(Subsets, images[0], **{"seed": seed, **settings})


def continuous(images: Sequence[Images], tasks: int | None, seed: int, settings: Mapping[str, Any]) -> TaskStream:
    """Build permuted tasks that fade into each other; `tasks` counts the segments of the stream."""
    from ..datasets import ContinuousTasks

    inner = {name: settings[name] for name in ("scale", "first_identity") if name in settings}
    outer = {name: value for name, value in settings.items() if name not in inner}
    count = DEFAULT_TASKS if tasks is None else -(-tasks // outer.get("segments_per_task", 10))
    return _call(ContinuousTasks, permuted(images, count, seed, inner), **{"seed": seed, **outer})


def _call(cls: Callable[..., TaskStream], source: Any, **settings: Any) -> TaskStream:
    known = list(inspect.signature(cls).parameters)[1:]
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ConfigError(f"{cls.__name__} has no setting {', '.join(unknown)}; its settings are: {', '.join(known)}.")
    return cls(source, **settings)


register_stream("permuted-mnist", ["mnist"], permuted, "MNIST, its pixels in another order in each task")
register_stream("permuted-fashion", ["fashion-mnist"], permuted, "Fashion-MNIST, its pixels in another order in each task")
register_stream("made-digits", ["made-digits"], permuted, "generated digits, permuted likewise; needs no files")
register_stream("mnist-fashion", ["mnist", "fashion-mnist"], sequence, "MNIST, then Fashion-MNIST")
register_stream("fashion-mnist", ["fashion-mnist", "mnist"], sequence, "Fashion-MNIST, then MNIST")
register_stream("mnist", ["mnist"], sequence, "MNIST as the only task")
register_stream("split-mnist", ["mnist"], split, "digits 0 and 1, then 2 and 3, ..., labelled 0 and 1 in each task")
register_stream("class-mnist", ["mnist"], classes, "digits 0 and 1, then 2 and 3, ..., with their own labels")
register_stream("stream-fashion", ["fashion-mnist"], subsets, "Fashion-MNIST in 60 subsets")
register_stream("continuous-mnist", ["mnist"], continuous, "permuted MNIST whose tasks fade into each other")
