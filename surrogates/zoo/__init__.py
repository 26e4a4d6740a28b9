"""Shipped surrogates, each with a card that says what it was fitted on, how well it does, and where it holds.

All were fitted on recordings that this package's own reference models made; `benchmarks/make_zoo.py` makes them anew.
"""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from ... import persist
from ...errors import ConfigError, FileFormatError
from ...surrogate import Surrogate
from .. import fast, synapse_file
from ..fast import WithFastResponse
from ..stochastic import StochasticSurrogate, file as stochastic_file
from ..synapse import SynapseSurrogate

_ENDING = ".safetensors"


def zoo() -> tuple[str, ...]:
    """Names of the shipped surrogates, sorted."""
    return tuple(sorted(each.name.removesuffix(_ENDING) for each in files(__name__).iterdir() if each.name.endswith(_ENDING)))


def card(name: str) -> dict[str, Any]:
    """What is known of a shipped surrogate.

    Args:
        name: One of `zoo()`.

    Returns:
        "name", "kind" ("synapse" or "surrogate"), "summary", "fitted_on", "domain" (ranges in SI), "units", "scores" (on
        devices or drives that the fit has not seen), "verdict", "licence", "seed", "version", "generator", and "quick": true
        where a small fit stands in for the real one.

    Raises:
        ConfigError: there is no such surrogate.
    """
    found: dict[str, Any] = json.loads((files(__name__) / f"{_known(name)}.json").read_text("utf-8"))
    return found


def load(name: str | Path) -> SynapseSurrogate | StochasticSurrogate | WithFastResponse | Surrogate:
    """A shipped surrogate by its name, or one from a file; what the file holds decides of which class it is.

    Args:
        name: One of `zoo()`, or the path of a file written by `save`.

    Raises:
        FileFormatError: no such name or file, or one that is damaged or of another kind.
    """
    path = _path(name)
    keys = _keys(path)
    if synapse_file.KEY in keys:
        return synapse_file.load(path)
    if fast.KEY in keys:
        return fast.load(path)
    return stochastic_file.load(path) if stochastic_file.KEY in keys else persist.load(path)


def load_synapse(name: str | Path) -> SynapseSurrogate:
    """Like `load`, where only a synapse will do.

    Raises:
        FileFormatError: as `load`, or a surrogate of another kind.
    """
    found = load(name)
    if not isinstance(found, SynapseSurrogate):
        raise FileFormatError(f"{name} holds a surrogate of a driven device; expected one of a memory device under pulses.")
    return found


def _path(name: str | Path) -> Path:
    if isinstance(name, str) and name in zoo():
        return Path(str(files(__name__) / f"{name}{_ENDING}"))
    path = Path(name)
    if not path.is_file():
        raise FileFormatError(
            f"there is no file {path}, and no shipped surrogate of that name; the shipped ones are: {', '.join(zoo())}."
        )
    return path


def _known(name: str) -> str:
    if name not in zoo():
        raise ConfigError(f"there is no shipped surrogate {name!r}; the shipped ones are: {', '.join(zoo())}.")
    return name


def _keys(path: Path) -> set[str]:
    """Keys of the metadata; none where the file cannot be read, which `persist.load` then says in its words."""
    try:
        with safe_open(path, "pt") as stored:
            return set(stored.metadata() or {})
    except (SafetensorError, OSError, ValueError):
        return set()
