"""The record of a fit in a file: a check of all entries that scores and reports compute with, before they do."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .ports import Ports

Check = Callable[[Any], bool]


def checked_record(stored: Any, ports: Ports) -> dict[str, Any]:
    """Check the record of a fit and return it unchanged.

    Entries may be missing, as in a surrogate that `fit` did not make, and there may be further ones; those with the names of
    a fit must have the form that a fit gives them.

    Args:
        stored: The record, as JSON.
        ports: Names of outputs and inputs, for the shapes of the linear model.

    Raises:
        ValueError: an entry of another form, by name.
    """
    if not isinstance(stored, dict):
        raise ValueError("the record is not a mapping")
    for name, has_form in _ENTRIES.items():
        if stored.get(name) is not None and not has_form(stored[name]):
            raise ValueError(f"{name!r} in the record does not have the form that a fit gives it")
    kept, errors = stored.get("kept") or [], stored.get("validation") or []
    if not all(0 <= index < len(errors) for index in kept):
        raise ValueError("the record keeps restarts that have no validation error")
    level = stored.get("residual_level")
    if level is not None and not (len(level) == len(ports.output) and min(level) > 0):
        raise ValueError("'residual_level' in the record is not one positive number per output")
    if stored.get("arx") is not None and not _is_linear_model(stored["arx"], ports):
        raise ValueError("'arx' in the record is not a linear model of these outputs and inputs")
    return stored


def runner_up(search: Sequence[Mapping[str, Any]], kind: str, order: int) -> tuple[str, float] | None:
    """Return the best network of another embedding or order than the chosen one, by name, with its validation error.

    Of each structure its last result counts; linear models and those that diverged are left out.

    Args:
        search: Entries of a structure search, from the record of a fit.
        kind: Embedding that was chosen.
        order: Its order.

    Example:
        >>> entry = {"structure": {"embedding": "delay", "order": 3, "hidden": [16]}, "name": "delay order 3", "error": 0.03}
        >>> runner_up([entry], "derivative", 2)
        ('delay order 3', 0.03)
    """
    others = {}
    for entry in search:
        structure = entry["structure"]
        if structure["hidden"] and (structure["embedding"], structure["order"]) != (kind, order):
            others[entry["name"]] = entry
    usable = [each for each in others.values() if each.get("error") is not None and not each.get("diverged")]
    if not usable:
        return None
    best = min(usable, key=lambda each: float(each["error"]))
    return f"{best['structure']['embedding']} order {best['structure']['order']}", float(best["error"])


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300 and math.isfinite(value)


def _number_or_none(value: Any) -> bool:
    return value is None or _number(value)


def _count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**31


def _list(of: Check) -> Check:
    """Return a check for lists whose items all pass another check."""
    return lambda value: isinstance(value, list) and all(of(item) for item in value)


def _mapping(**columns: Check) -> Check:
    """Return a check for mappings whose named entries exist and pass their own checks."""
    return lambda value: isinstance(value, dict) and all(name in value and of(value[name]) for name, of in columns.items())


_structure = _mapping(embedding=lambda value: isinstance(value, str), order=_count, hidden=_list(_count))

_ENTRIES: Mapping[str, Check] = {
    "config": _mapping(),
    "versions": _mapping(),
    "fingerprint": lambda value: isinstance(value, str),
    "order_scan": _list(_mapping(order=_count, error=_number_or_none)),
    "search": _list(
        _mapping(structure=_structure, name=lambda value: isinstance(value, str), rung=_count, error=_number_or_none)
    ),
    "structure": _structure,
    "linear_validation": _number,
    "effort": lambda value: isinstance(value, str),
    "history": _list(_mapping(restart=_count, stage=_count, validation=_number_or_none, residual=_number_or_none)),
    "validation": _list(_number_or_none),
    "disagreement": _list(_number_or_none),
    "kept": _list(_count),
    "choice": lambda value: isinstance(value, str),
    "residual_level": _list(_number),
    "short_run_share": _number_or_none,
    "residual_steps": lambda value: _count(value) and 1 <= value <= 1000,
    "data": _list(_mapping(start=_number, stop=_number, samples=_count, provenance=_mapping())),
}


def _is_linear_model(model: Any, ports: Ports) -> bool:
    if not _mapping(order=_count, coefficients=_list(_list(_number)), mean=_list(_list(_number)), scale=_list(_list(_number)))(
        model
    ):
        return False
    outputs, inputs, order = len(ports.output), len(ports.inputs), model["order"]
    shapes = {"mean": [outputs, inputs], "scale": [outputs, inputs]}
    if any([len(part) for part in model[name]] != shape for name, shape in shapes.items()):
        return False
    rows = order * outputs + (order + 1) * inputs + 1
    coefficients = np.array(model["coefficients"]) if len(model["coefficients"]) == rows else np.zeros(0)
    return coefficients.shape == (rows, outputs) and all(value > 0 for part in model["scale"] for value in part)
