"""Files of neural SDEs: conversion of a `StochasticSurrogate` to metadata and tensors, and back."""

from __future__ import annotations

import math
from typing import Any

import torch

from ....artifact import MAX_COUNT, Kind, Metadata, Tensors, plain, register, shaped
from ....validation import is_whole_number
from ...neural_ode.domain import Domain
from ...neural_ode.ports import Ports
from .config import MAX_ORDER
from .model import ConditionalDensity, StochasticSurrogate

KEY = "spinode-stochastic"


def pack(surrogate: StochasticSurrogate) -> tuple[Metadata, Tensors]:
    """Return metadata and tensors of a neural SDE."""
    ports = surrogate.ports
    meta = {
        "drive": list(ports.drive),
        "output": list(ports.output),
        "units": dict(ports.units),
        "interval": surrogate.interval,
        "order": surrogate.order,
        "hidden": list(surrogate.density.hidden),
        "record": plain(surrogate.record),
    }
    return meta, {_stored(name): value for name, value in surrogate.state_dict().items()}


def unpack(meta: Any, tensors: Tensors) -> StochasticSurrogate:
    """Build a neural SDE from a file's metadata and tensors.

    Raises:
        ValueError, KeyError, TypeError: the two contradict each other.
    """
    drives, outputs = tuple(map(str, meta["drive"])), tuple(map(str, meta["output"]))
    order, hidden, interval = meta["order"], meta["hidden"], float(meta["interval"])
    sized = is_whole_number(order) and 1 <= order <= MAX_ORDER
    if not drives or not outputs or not sized or not 0 < interval < math.inf:
        raise ValueError(f"drives {drives}, outputs {outputs}, order {order}, interval {interval}")
    if not hidden or not all(is_whole_number(width) and 0 < width <= MAX_COUNT for width in hidden):
        raise ValueError(f"hidden layers {hidden}")
    inputs = order * len(outputs) + len(drives)
    points = shaped(tensors, "domain.points", (len(tensors["domain.points"]), inputs))
    surrogate = StochasticSurrogate(
        ports=Ports(drives, outputs, (), dict(meta["units"]), dict.fromkeys(drives, "held")),
        interval=interval,
        order=order,
        density=ConditionalDensity(inputs, len(outputs), hidden).requires_grad_(False),
        drive_scale=shaped(tensors, "drive_scale", (2, len(drives))),
        output_scale=shaped(tensors, "output_scale", (2, len(outputs))),
        step_scale=shaped(tensors, "step_scale", (len(outputs),)),
        domain=Domain(points, 0.0),
        rest=shaped(tensors, "rest", (len(outputs),)),
        record=meta["record"],
    )
    surrogate.load_state_dict({_current(name): value for name, value in tensors.items()}, strict=True)
    if not all(bool(torch.isfinite(value).all()) for value in surrogate.state_dict().values()):
        raise ValueError("numbers that are not finite")
    if not bool((surrogate.drive_scale[1] > 0).all() and (surrogate.output_scale[1] > 0).all()):
        raise ValueError("a scale that is not positive")
    return surrogate


def _stored(name: str) -> str:
    """Return the name of a tensor in the file, where the density is called "law", as it has been since the first version."""
    return f"law.{name.removeprefix('density.')}" if name.startswith("density.") else name


def _current(name: str) -> str:
    """Return the name of a tensor in the module; inverse of `_stored`."""
    return f"density.{name.removeprefix('law.')}" if name.startswith("law.") else name


register(Kind(key=KEY, title="a neural SDE of a noisy device", cls=StochasticSurrogate, pack=pack, unpack=unpack))
