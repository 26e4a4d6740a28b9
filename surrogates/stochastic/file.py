"""Files of neural SDEs: one safetensors file with JSON metadata. Never pickle: loading executes nothing."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as to_bytes
from torch import Tensor

from ...domain import Domain
from ...errors import ConfigError, FileFormatError
from ...files import write_atomically
from ...persist import _plain, _read, _shaped
from ...surrogate import Ports
from .model import Law, StochasticSurrogate

SCHEMA = 1
KEY = "spinode-stochastic"
_WIDEST = 4096


def save(surrogate: StochasticSurrogate, path: str | Path) -> None:
    """Write a neural SDE, whole or not at all.

    Raises:
        TraceError: the path cannot be written.
        ConfigError: the surrogate holds NaN or infinite numbers.
    """
    ports = surrogate.ports
    meta = {
        "schema": SCHEMA,
        "drive": list(ports.drive),
        "output": list(ports.output),
        "units": dict(ports.units),
        "interval": surrogate.interval,
        "order": surrogate.order,
        "hidden": list(surrogate.law.hidden),
        "record": _plain(surrogate.record),
    }
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in surrogate.state_dict().items()}
    bad = [name for name, value in tensors.items() if not bool(torch.isfinite(value).all())]
    if bad:
        raise ConfigError(f"{bad[0]!r} of the surrogate holds NaN or infinite numbers; `load` would refuse the file. Fit anew.")
    write_atomically(Path(path), to_bytes(tensors, {KEY: json.dumps(meta, allow_nan=False)}))


def load(path: str | Path) -> StochasticSurrogate:
    """Read a neural SDE.

    Raises:
        FileFormatError: no such file, damaged, of a newer schema, another kind of file, or contradicting itself.
    """
    where = Path(path)
    meta, tensors = _read(where, KEY, SCHEMA)
    try:
        return _build(meta, tensors)
    except (KeyError, TypeError, ValueError, IndexError, RuntimeError, AttributeError, OverflowError, RecursionError) as error:
        raise FileFormatError(
            f"{where} is damaged: its header and its numbers contradict each other ({type(error).__name__}: {error}). "
            "Get the file again, or fit anew."
        ) from None


def _build(meta: Any, tensors: dict[str, Tensor]) -> StochasticSurrogate:
    drives, outputs = tuple(map(str, meta["drive"])), tuple(map(str, meta["output"]))
    order, hidden, interval = meta["order"], meta["hidden"], float(meta["interval"])
    if not drives or not outputs or not isinstance(order, int) or not 1 <= order <= 16 or not 0 < interval < math.inf:
        raise ValueError(f"drives {drives}, outputs {outputs}, order {order}, interval {interval}")
    if not hidden or not all(isinstance(width, int) and 0 < width <= _WIDEST for width in hidden):
        raise ValueError(f"hidden layers {hidden}")
    inputs = order * len(outputs) + len(drives)
    points = _shaped(tensors, "domain.points", (len(tensors["domain.points"]), inputs))
    made = StochasticSurrogate(
        ports=Ports(drives, outputs, (), dict(meta["units"]), dict.fromkeys(drives, "held")),
        interval=interval,
        order=order,
        law=Law(inputs, len(outputs), hidden).requires_grad_(False),
        drive_scale=_shaped(tensors, "drive_scale", (2, len(drives))),
        output_scale=_shaped(tensors, "output_scale", (2, len(outputs))),
        step_scale=_shaped(tensors, "step_scale", (len(outputs),)),
        domain=Domain(points, 0.0),
        rest=_shaped(tensors, "rest", (len(outputs),)),
        record=meta["record"],
    )
    made.load_state_dict(tensors, strict=True)
    if not all(bool(torch.isfinite(value).all()) for value in made.state_dict().values()):
        raise ValueError("numbers that are not finite")
    if not bool((made.drive_scale[1] > 0).all() and (made.output_scale[1] > 0).all()):
        raise ValueError("a scale that is not positive")
    return made
