"""Streams, strangers and synapses by the names that the command line and recipes give them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError

if TYPE_CHECKING:
    from ..contracts.synapse import Synapse
    from ..contracts.task_stream import TaskStream
    from ..datasets import Images


def _images(name: str, folder: str | None) -> Images:
    from ..datasets import fashion_mnist, made_digits, mnist

    if name == "made-digits":
        return made_digits()
    return (mnist if name == "mnist" else fashion_mnist)(folder)


IMAGES = ("mnist", "fashion-mnist", "made-digits")

#: By name: the sets of images, and what makes the stream of them; settings are arguments of the class in `spinode.datasets`.
_Made = Callable[..., Any]
STREAMS: dict[str, tuple[tuple[str, ...], str, str]] = {
    "permuted-mnist": (("mnist",), "permuted", "MNIST, in each task with its pixels in another order"),
    "permuted-fashion": (("fashion-mnist",), "permuted", "the same of Fashion-MNIST"),
    "made-digits": (("made-digits",), "permuted", "the same of images that are made; needs no data"),
    "mnist-fashion": (("mnist", "fashion-mnist"), "sequence", "MNIST, then Fashion-MNIST"),
    "fashion-mnist": (("fashion-mnist", "mnist"), "sequence", "Fashion-MNIST, then MNIST"),
    "mnist": (("mnist",), "sequence", "MNIST as the only task"),
    "split-mnist": (("mnist",), "split", "digits 0 and 1, then 2 and 3, ..., called 0 and 1 in each task"),
    "class-mnist": (("mnist",), "classes", "the same, labels as they are: classes are added"),
    "stream-fashion": (("fashion-mnist",), "subsets", "Fashion-MNIST in 60 subsets"),
    "continuous-mnist": (("mnist",), "continuous", "permuted MNIST whose tasks fade into each other"),
}


def make_stream(
    name: str, settings: Mapping[str, Any], *, tasks: int | None, seed: int, images: str | None = None
) -> TaskStream:
    """A stream by its name.

    Args:
        name: One of `STREAMS`.
        settings: Further arguments of its class; "train" and "test" take only the first so many images.
        tasks: How many are wanted, where a stream can be of any length; None for its own length, 10 if it has none.
        seed: Of permutations and cuts, unless `settings` have one.
        images: Folder of the image files.

    Raises:
        ConfigError: another name, or settings that the stream does not have.
    """
    from .. import datasets

    if name not in STREAMS:
        raise ConfigError(f"there is no stream {name!r}; choose one of: {', '.join(STREAMS)}.")
    sets, kind, _ = STREAMS[name]
    rest = dict(settings)
    train, test = rest.pop("train", None), rest.pop("test", None)
    found = [_images(each, images).first(train, test) for each in sets]

    def made(cls: _Made, *positional: Any, **defaults: Any) -> TaskStream:
        return called(cls, positional, {**defaults, **rest}, f"the stream {name}")  # type: ignore[no-any-return]

    if kind == "permuted":
        return made(datasets.PermutedTasks, found[0], tasks=tasks or 10, seed=seed)
    if kind == "sequence":
        return made(datasets.TaskSequence, found)
    if kind in ("split", "classes"):
        return made(datasets.ClassSplit, found[0], relabel=kind == "split")
    if kind == "subsets":
        return made(datasets.Subsets, found[0], seed=seed)
    inner = {key: rest.pop(key) for key in ("scale", "first_identity") if key in rest}
    segments = rest.get("segments_per_task", 10)
    count = 10 if tasks is None else -(-tasks // segments)
    return made(datasets.ContinuousTasks, datasets.PermutedTasks(found[0], tasks=count, seed=seed, **inner), seed=seed)


def make_ood_stream(name: str, settings: Mapping[str, Any], *, tasks: int, seed: int, images: str | None = None) -> TaskStream:
    """What a learner never sees, a test for each task.

    Args:
        name: A set of images, one of `IMAGES`, as they are; or one of the permuted streams, permuted as a permuted stream of
            the same seed is, so that the image and not its permutation is what is strange.
        settings: Those of the stream that is learned; scale and seed are taken from them.
        tasks: How many tasks are learned.
        seed: Seed of the run.
        images: Folder of the image files.

    Raises:
        ConfigError: another name.
    """
    from ..datasets import TaskSequence

    scale = {"scale": settings["scale"]} if "scale" in settings else {}
    if name in STREAMS and STREAMS[name][1] == "permuted" and name not in IMAGES:
        seed = int(settings.get("seed", seed))
        return make_stream(name, {**scale, "seed": seed}, tasks=tasks, seed=seed, images=images)
    if name not in IMAGES:
        permuted = [each for each, (_, kind, _) in STREAMS.items() if kind == "permuted" and each not in IMAGES]
        raise ConfigError(f"there are no strangers {name!r}; choose one of: {', '.join([*IMAGES, *permuted])}.")
    found = _images(name, images)
    return TaskSequence([found] * tasks, names=[f"{name} {i}" for i in range(tasks)], **scale)


def make_synapse(name: str) -> Synapse | None:
    """What weights are made of, by its name; None for exact numbers.

    Args:
        name: "ideal"; a synapse of the zoo, driven with the pulse of the device that it was fitted on, or a .safetensors file;
            "physical:NAME" for the model that the zoo's synapse was fitted on; or the name of a physical model with its own
            settings.

    Raises:
        ConfigError: another name.
    """
    from .. import datasets
    from ..surrogates import IdealSynapse, zoo
    from ..surrogates.zoo import model_card, open_synapse

    models: dict[str, Callable[[], Any]] = {
        "ideal-device": IdealSynapse,
        "weak-reset": datasets.WeakReset,
        "tio2": datasets.TiO2,
        "stanford-pku": datasets.StanfordPKU,
        "domain-wall": datasets.DomainWall,
        "stt-mram": datasets.STTMRAM,
    }
    if name == "ideal":
        return None
    shipped = [each for each in zoo.available() if model_card(each)["kind"] == "synapse"]
    if name in models or name in datasets.STEP_PRESETS:
        made: Any = models[name]() if name in models else datasets.STEP_PRESETS[name]
        model: Synapse = made
        return model
    if name in shipped or Path(name).suffix == ".safetensors":
        surrogate = open_synapse(name)
        pulse = model_card(name)["fitted_on"]["settings"] if name in shipped else {}
        if None not in (surrogate.voltage, surrogate.width, pulse.get("voltage"), pulse.get("width")):
            # Its own default is a typical pulse of the file; another one has another ratio of SET to RESET.
            surrogate.voltage, surrogate.width = tuple(pulse["voltage"]), float(pulse["width"])
        return surrogate
    physical = name.removeprefix("physical:")
    if physical != name and physical in shipped:
        return _fitted_on(physical)
    raise ConfigError(
        f"there is no synapse {name!r}; pass ideal, a .safetensors file, one of the zoo ({', '.join(shipped)}), physical: "
        f"before one of these for the model it was fitted on, or one of: {', '.join([*models, *datasets.STEP_PRESETS])}."
    )


def _fitted_on(name: str) -> Synapse:
    """The physical model that a synapse of the zoo was fitted on, with the settings that its card gives."""
    from .. import datasets
    from ..surrogates.zoo import model_card

    fitted = model_card(name)["fitted_on"]
    cls = getattr(datasets, fitted["device"])
    # The card also has what the model derives from its settings.
    own = {key: value for key, value in fitted["settings"].items() if key in inspect.signature(cls).parameters}
    model: Synapse = cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in own.items()})
    return model


def called(function: Callable[..., Any], positional: tuple[Any, ...], settings: Mapping[str, Any], what: str) -> Any:
    """`function(*positional, **settings)`, with unknown settings named in one sentence.

    Raises:
        ConfigError: settings that the function does not have.
    """
    known = list(inspect.signature(function).parameters)[len(positional) :]
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ConfigError(f"{what} has no setting {', '.join(unknown)}; its settings are: {', '.join(known)}.")
    return function(*positional, **settings)
