"""Streams, out-of-distribution streams and synapses by the names that the command line and recipes give them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..contracts.stream_registry import registered_streams
from ..contracts.synapse_registry import build_synapse, registered_synapses
from ..errors import ConfigError
from ..validation import one_of, seed_number
from .image_sets import IMAGE_SETS, load_images

if TYPE_CHECKING:
    from ..contracts.synapse import Synapse
    from ..contracts.task_stream import TaskStream


def make_stream(
    name: str, settings: Mapping[str, Any], *, tasks: int | None, seed: int, images: str | None = None
) -> TaskStream:
    """Return a stream by its name.

    Args:
        name: A name of `spinode.contracts.stream_registry`.
        settings: Further arguments of its class; "train" and "test" are the numbers of images to use, from the first on;
            "test_alone" is the number of test images to train on, with the others for the test.
        tasks: Number of tasks of a stream that can have any length; None for its own length, or 10.
        seed: Seed of permutations and subsets, unless `settings` contain one.
        images: Folder of the image files.

    Raises:
        ConfigError: there is no such stream, or it does not have such settings.

    Example:
        >>> stream = make_stream("made-digits", {"train": 100, "test": 50}, tasks=3, seed=0)
        >>> len(stream), len(stream[0])
        (3, 100)
    """
    from ..datasets import streams as streams  # registers the streams

    entries = registered_streams()
    entry = entries[one_of("stream", name, entries)]
    own = dict(settings)
    train, test, alone = own.pop("train", None), own.pop("test", None), own.pop("test_alone", None)
    loaded = [load_images(each, images) for each in entry.images]
    loaded = [(each if alone is None else each.test_alone(alone)).first(train, test) for each in loaded]
    try:
        return entry.build(loaded, tasks, seed, own)
    except ConfigError as error:
        raise ConfigError(f"stream {name}: {error}") from None


def make_ood_stream(name: str, settings: Mapping[str, Any], *, tasks: int, seed: int, images: str | None = None) -> TaskStream:
    """Return a stream of out-of-distribution tests, one for each task that is learned.

    Args:
        name: A set of images, one of `IMAGE_SETS`, used unchanged; or a permuted stream, permuted like a permuted stream of the
            same seed, so that only the images differ and not their permutation.
        settings: Settings of the stream that is learned; scale and seed are taken from them.
        tasks: Number of tasks that are learned.
        seed: Seed of the run.
        images: Folder of the image files.

    Raises:
        ConfigError: there is no such stream.

    Example:
        >>> len(make_ood_stream("made-digits", {}, tasks=4, seed=0))
        4
    """
    from ..datasets import TaskSequence, streams as streams  # registers the streams

    permuted_streams = [each for each, entry in registered_streams().items() if entry.permuted and each not in IMAGE_SETS]
    one_of("ood", name, [*IMAGE_SETS, *permuted_streams])
    scale = {"scale": settings["scale"]} if "scale" in settings else {}
    if name in permuted_streams:
        seed = seed_number("seed", settings.get("seed", seed))
        return make_stream(name, {**scale, "seed": seed}, tasks=tasks, seed=seed, images=images)
    loaded = load_images(name, images)
    return TaskSequence([loaded] * tasks, names=[f"{name} {i}" for i in range(tasks)], **scale)


def make_synapse(name: str) -> Synapse | None:
    """Return the synapse that weights are made of, by its name; None for exact numbers.

    Args:
        name: "ideal" for exact numbers; a name of `spinode.contracts.synapse_registry`; a synapse of the zoo; a .safetensors
            file; or "physical:NAME" for the model that a synapse of the zoo was fitted on.

    Raises:
        ConfigError: there is no such synapse.

    Example:
        >>> make_synapse("ideal") is None, type(make_synapse("weak-reset")).__name__
        (True, 'WeakReset')
    """
    from ..datasets.devices import weak_reset as weak_reset  # importing the folder registers the physical models
    from ..surrogates import zoo
    from ..surrogates.layers import ideal as ideal  # registers the ideal device

    if name == "ideal":
        return None
    if name in registered_synapses():
        return build_synapse(name)
    shipped = [each for each in zoo.available() if zoo.model_card(each)["kind"] == "synapse"]
    if name in shipped or Path(name).suffix == ".safetensors":
        surrogate: Synapse = zoo.open_synapse(name)
        return surrogate
    if name.startswith("physical:") and name.removeprefix("physical:") in shipped:
        return _fitted_on(name.removeprefix("physical:"))
    raise ConfigError(
        f"there is no synapse {name!r}; expected ideal, a .safetensors file, one of the zoo ({', '.join(shipped)}), "
        f"physical:NAME for the model that one of these was fitted on, or one of: {', '.join(registered_synapses())}."
    )


def _fitted_on(name: str) -> Synapse:
    """Return the physical model that a synapse of the zoo was fitted on, with the settings of its model card."""
    from .. import datasets
    from ..surrogates.zoo import model_card

    fitted_on = model_card(name)["fitted_on"]
    cls = getattr(datasets, fitted_on["device"])
    # The card also lists what the model derives from its settings.
    own = {key: value for key, value in fitted_on["settings"].items() if key in inspect.signature(cls).parameters}
    model: Synapse = cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in own.items()})
    return model
