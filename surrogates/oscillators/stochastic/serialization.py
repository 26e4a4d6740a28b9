"""Files of neural SDEs: what is stored of a `StochasticSurrogate`, and how one is built from it."""

from __future__ import annotations

import math
from typing import Any

import torch

from ....artifact import MAX_COUNT, Kind, Metadata, Tensors, plain, register, shaped
from ...neural_ode.domain import Domain
from ...neural_ode.ports import Ports
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
        "hidden": list(surrogate.law.hidden),
        "record": plain(surrogate.record),
    }
    return meta, dict(surrogate.state_dict())


def unpack(meta: Any, tensors: Tensors) -> StochasticSurrogate:
    """Build a neural SDE from a file's metadata and tensors.

    Raises:
        ValueError, KeyError, TypeError: the two contradict each other.
    """
    drives, outputs = tuple(map(str, meta["drive"])), tuple(map(str, meta["output"]))
    order, hidden, interval = meta["order"], meta["hidden"], float(meta["interval"])
    if not drives or not outputs or not isinstance(order, int) or not 1 <= order <= 16 or not 0 < interval < math.inf:
        raise ValueError(f"drives {drives}, outputs {outputs}, order {order}, interval {interval}")
    if not hidden or not all(isinstance(width, int) and 0 < width <= MAX_COUNT for width in hidden):
        raise ValueError(f"hidden layers {hidden}")
    inputs = order * len(outputs) + len(drives)
    points = shaped(tensors, "domain.points", (len(tensors["domain.points"]), inputs))
    made = StochasticSurrogate(
        ports=Ports(drives, outputs, (), dict(meta["units"]), dict.fromkeys(drives, "held")),
        interval=interval,
        order=order,
        law=ConditionalDensity(inputs, len(outputs), hidden).requires_grad_(False),
        drive_scale=shaped(tensors, "drive_scale", (2, len(drives))),
        output_scale=shaped(tensors, "output_scale", (2, len(outputs))),
        step_scale=shaped(tensors, "step_scale", (len(outputs),)),
        domain=Domain(points, 0.0),
        rest=shaped(tensors, "rest", (len(outputs),)),
        record=meta["record"],
    )
    made.load_state_dict(tensors, strict=True)
    if not all(bool(torch.isfinite(value).all()) for value in made.state_dict().values()):
        raise ValueError("numbers that are not finite")
    if not bool((made.drive_scale[1] > 0).all() and (made.output_scale[1] > 0).all()):
        raise ValueError("a scale that is not positive")
    return made


register(Kind(key=KEY, title="a neural SDE of a noisy device", cls=StochasticSurrogate, pack=pack, unpack=unpack))
