"""Shipped surrogates, each with a model card: what it was fitted on, how well it does, and where it is valid.

All were fitted on recordings that this package's own reference models made; `benchmarks/make_zoo.py` makes them again.
"""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from ... import artifact
from ...errors import ConfigError, FileFormatError
from .. import artifacts
from ..synapses.model import SynapseSurrogate

_ENDING = ".safetensors"


def available() -> tuple[str, ...]:
    """Return the names of the shipped surrogates, sorted.

    Example:
        >>> from spinode.surrogates import zoo
        >>> "macrospin" in zoo.available()
        True
    """
    return tuple(sorted(each.name.removesuffix(_ENDING) for each in files(__name__).iterdir() if each.name.endswith(_ENDING)))


def model_card(name: str) -> dict[str, Any]:
    """Return the model card of a shipped surrogate.

    Args:
        name: One of `available()`.

    Returns:
        "name", "kind" ("synapse" or "surrogate"), "summary", "fitted_on", "domain" (ranges in SI), "units", "scores" (on
        devices or drives that the fit has not seen), "verdict", "licence", "seed", "version", "generator", and "quick": true
        where a small fit stands in for the full one.

    Raises:
        ConfigError: there is no such surrogate.
    """
    found: dict[str, Any] = json.loads((files(__name__) / f"{_known(name)}.json").read_text("utf-8"))
    return found


def path(name: str) -> Path:
    """Return the file of a shipped surrogate.

    Raises:
        ConfigError: there is no such surrogate.
    """
    return Path(str(files(__name__) / f"{_known(name)}{_ENDING}"))


def open(name: str) -> Any:  # noqa: A001 - zoo.open("macrospin") reads as what it does
    """Return a shipped surrogate, a `Surrogate` or a `SynapseSurrogate`.

    A synapse is driven with the pulse of the device that it was fitted on, as its model card gives it.

    Args:
        name: One of `available()`.

    Raises:
        ConfigError: there is no such surrogate.

    Example:
        >>> from spinode.surrogates import zoo
        >>> zoo.open("tio2-nili").polarities
        ('SET', 'RESET')
    """
    surrogate = artifacts.load(path(name))
    if isinstance(surrogate, SynapseSurrogate):
        pulse = model_card(name)["fitted_on"]["settings"]
        if None not in (surrogate.voltage, surrogate.width, pulse.get("voltage"), pulse.get("width")):
            # Its own default is a typical pulse of the file; another one has another ratio of SET to RESET.
            surrogate.voltage, surrogate.width = tuple(pulse["voltage"]), float(pulse["width"])
    return surrogate


def open_synapse(name: str | Path) -> SynapseSurrogate:
    """Return a shipped synapse by its name, or one from a file.

    Raises:
        FileFormatError: no such name or file, a damaged file, or a surrogate of another kind.
    """
    if isinstance(name, str) and name in available():
        found = open(name)
        if not isinstance(found, SynapseSurrogate):
            raise FileFormatError(f"{name} is a surrogate of a driven device; expected one of a memory device under pulses.")
        return found
    if not Path(name).is_file():
        raise FileFormatError(
            f"there is no file {name}, and no shipped surrogate of that name; the shipped ones are: {', '.join(available())}."
        )
    artifacts.discover()
    return artifact.load(name, expected=SynapseSurrogate)


def _known(name: str) -> str:
    if name not in available():
        raise ConfigError(f"there is no shipped surrogate {name!r}; the shipped ones are: {', '.join(available())}.")
    return name
