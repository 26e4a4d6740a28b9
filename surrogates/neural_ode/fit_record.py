"""The record of a fit, as a file holds it: a look at what scores and reports compute with, before they do."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .ports import Ports

Check = Callable[[Any], bool]


def checked_record(stored: Any, ports: Ports) -> dict[str, Any]:
    """The record as it is.

    A surrogate from elsewhere need not have one, or may keep further entries; those with the names of a fit must have the
    form that a fit gives them.

    Raises:
        ValueError: an entry of another form, by name.
    """
    if not isinstance(stored, dict):
        raise ValueError("the record is no table")
    for name, right in _ENTRIES.items():
        if stored.get(name) is not None and not right(stored[name]):
            raise ValueError(f"{name!r} in the record has not the form of a fit")
    kept, made = stored.get("kept") or [], stored.get("validation") or []
    if not all(0 <= index < len(made) for index in kept):
        raise ValueError("the record keeps restarts that were never made")
    level = stored.get("residual_level")
    if level is not None and not (len(level) == len(ports.output) and min(level) > 0):
        raise ValueError("'residual_level' in the record is not one positive number per output")
    if stored.get("arx") is not None and not _is_linear_model(stored["arx"], ports):
        raise ValueError("'arx' in the record is no linear model of these outputs and inputs")
    return stored


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300 and math.isfinite(value)


def _number_or_none(value: Any) -> bool:
    return value is None or _number(value)


def _whole(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**31


def _list(of: Check) -> Check:
    return lambda value: isinstance(value, list) and all(of(item) for item in value)


def _table(**columns: Check) -> Check:
    """A mapping whose named entries are there and right."""
    return lambda value: isinstance(value, dict) and all(name in value and of(value[name]) for name, of in columns.items())


_ENTRIES: Mapping[str, Check] = {
    "config": _table(),
    "versions": _table(),
    "fingerprint": lambda value: isinstance(value, str),
    "order_scan": _list(_table(order=_whole, error=_number_or_none)),
    "history": _list(_table(restart=_whole, stage=_whole, validation=_number_or_none, residual=_number_or_none)),
    "validation": _list(_number_or_none),
    "disagreement": _list(_number_or_none),
    "kept": _list(_whole),
    "residual_level": _list(_number),
    "residual_steps": lambda value: _whole(value) and 1 <= value <= 1000,
    "data": _list(_table(start=_number, stop=_number, samples=_whole, provenance=_table())),
}


def _is_linear_model(model: Any, ports: Ports) -> bool:
    if not _table(order=_whole, coefficients=_list(_list(_number)), mean=_list(_list(_number)), scale=_list(_list(_number)))(
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
