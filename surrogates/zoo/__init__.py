"""Shipped surrogates, each with a model card: data of the fit, scores on unseen data, and domain of validity.

All were fitted on recordings of this package's own reference models; `benchmarks/make_zoo.py` reproduces them.
"""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from ... import artifact
from ...errors import ConfigError, FileFormatError
from ...files import as_path
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
        devices or drives that the fit has not seen), for a synapse perhaps "steps" (at the pulse of use, recorded or of the
        device beside those of the surrogate), "assessment" ("close", or "loose" with the reasons), "licence", "seed",
        "version", "generator", and "quick" (true if a small fit replaces the full one).

    Raises:
        ConfigError: there is no such surrogate.

    Example:
        >>> from spinode.surrogates import zoo
        >>> zoo.model_card("vteam")["fitted_on"]["device"]
        'VTEAM'
    """
    card: dict[str, Any] = json.loads((files(__name__) / f"{_known(name)}.json").read_text("utf-8"))
    return card


def path(name: str) -> Path:
    """Return the path of a shipped surrogate's file.

    Raises:
        ConfigError: there is no such surrogate.

    Example:
        >>> from spinode.surrogates import zoo
        >>> zoo.path("vteam").name
        'vteam.safetensors'
    """
    return Path(str(files(__name__) / f"{_known(name)}{_ENDING}"))


def open(name: str) -> Any:  # noqa: A001 - called as zoo.open("macrospin")
    """Return a shipped surrogate, a `Surrogate` or a `SynapseSurrogate`.

    A synapse is driven with the pulse of use of the device that it was fitted on, which its file contains.

    Args:
        name: One of `available()`.

    Raises:
        ConfigError: there is no such surrogate.

    Example:
        >>> from spinode.surrogates import zoo
        >>> zoo.open("tio2-nili").polarities
        ('SET', 'RESET')
    """
    return artifacts.load(path(name))


def open_synapse(name: str | Path) -> SynapseSurrogate:
    """Return a shipped synapse by its name, or one from a file.

    Raises:
        FileFormatError: no such name or file, a damaged file, or a surrogate of another kind.
    """
    if isinstance(name, str) and name in available():
        surrogate = open(name)
        if not isinstance(surrogate, SynapseSurrogate):
            raise FileFormatError(f"{name} is a surrogate of a driven device; expected one of a memory device under pulses.")
        return surrogate
    if not as_path(name, "the surrogate").is_file():
        raise FileFormatError(
            f"there is no file {name}, and no shipped surrogate of that name; the shipped ones are: {', '.join(available())}."
        )
    artifacts.discover()
    return artifact.load(name, expected=SynapseSurrogate)


def _known(name: str) -> str:
    if name not in available():
        raise ConfigError(f"there is no shipped surrogate {name!r}; the shipped ones are: {', '.join(available())}.")
    return name
