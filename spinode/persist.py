"""Surrogate files: one safetensors file with JSON metadata. Never pickle: loading executes nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from .domain import Domain
from .embedding import Embedding
from .errors import ConfigError, FileFormatError
from .field import ChainField, MLPField, bind_physics
from .files import write_atomically
from .record import checked_record
from .scales import Scales
from .surrogate import Member, Ports, Surrogate

SCHEMA = 1
KEY = "spinode"

#: Most members and state values of a file that is believed; a hostile header must not make us build a giant.
MOST = 4096


def save(surrogate: Surrogate, path: str | Path) -> None:
    """Write a surrogate, whole or not at all.

    The metadata (key "spinode", JSON) hold schema version, ports with units, embedding, interval, the network's layout,
    and the record of the fit. A vector field of your own is stored by its weights only; `load` then needs `field=`.

    Raises:
        TraceError: the path cannot be written.
        ConfigError: the surrogate holds NaN or infinite numbers.
    """
    meta = {
        "schema": SCHEMA,
        "ports": {
            "drive": list(surrogate.ports.drive),
            "output": list(surrogate.ports.output),
            "parameters": list(surrogate.ports.parameters),
            "units": dict(surrogate.ports.units),
            "interpolation": dict(surrogate.ports.interpolation),
        },
        "embedding": {"kind": surrogate.embedding.kind, "order": surrogate.embedding.order},
        "interval": surrogate.interval,
        "members": len(surrogate.members),
        "network": _network(surrogate.members[0].field),
        "record": _plain(surrogate.record),
    }
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in surrogate.state_dict().items()}
    bad = [name for name, value in tensors.items() if not bool(torch.isfinite(value).all())]
    if bad:
        raise ConfigError(f"{bad[0]!r} of the surrogate holds NaN or infinite numbers; `load` would refuse the file. Fit anew.")
    text = json.dumps(meta, allow_nan=False)
    write_atomically(Path(path), to_bytes(tensors, {KEY: text}))


def _plain(value: Any) -> Any:
    """JSON has no infinities and no tuples; a restart that failed has an infinite error."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, (str, int, bool)) else str(value)


def _network(field: nn.Module) -> dict[str, Any] | None:
    """Layout of the default network, or None for a field of the user's own."""
    top = field.top if isinstance(field, ChainField) else field
    if type(top) is not MLPField:
        return None
    return {"hidden": [layer.out_features for layer in top.layers], "activation": top.activation}


def load(path: str | Path, *, field: nn.Module | None = None) -> Surrogate:
    """Read a surrogate.

    Args:
        path: File written by `save`.
        field: Module of the same layout as the learned part, where it is not the default network; one member only.

    Raises:
        FileFormatError: no such file, damaged or truncated, of a newer schema, no surrogate, or contradicting itself.
        ConfigError: the file holds a vector field of the user's own and `field` was not given.
    """
    where = Path(path)
    meta, tensors = _read(where)
    _check_field(meta, field)
    try:
        return _build(meta, tensors, field)
    except (KeyError, TypeError, ValueError, IndexError, RuntimeError, AttributeError, OverflowError, RecursionError) as error:
        raise FileFormatError(
            f"{where} is damaged: its header and its numbers contradict each other ({type(error).__name__}: {error}). "
            "Get the file again, or fit anew."
        ) from None


def _read(path: Path, key: str = KEY, newest: int = SCHEMA) -> tuple[Mapping[str, Any], dict[str, Tensor]]:
    """Header under a key and tensors of a file, looked at but not believed; `newest` is the highest schema that is known."""
    try:
        if not path.is_file():
            raise FileFormatError(f"there is no file {path}; pass the path of a surrogate written by `save`.")
        with safe_open(path, "pt") as stored:
            metadata = stored.metadata() or {}
            text = metadata.get(key)
            if text is None and "spinode-synapse" in metadata:
                raise FileFormatError(
                    f"{path} is the surrogate of a memory device that was read pulse by pulse; load it with "
                    "`spinode.surrogates.load`, or pulse it with `spinode simulate-synapse`."
                )
            if text is None and "spinode-stochastic" in metadata:
                raise FileFormatError(f"{path} is a neural SDE of a noisy device; load it with `spinode.surrogates.load`.")
            if text is None:
                raise FileFormatError(f"{path} is a safetensors file but no spinode surrogate (no {key!r} metadata).")
            meta = json.loads(text, parse_constant=_refuse_constant)
            schema = meta.get("schema") if isinstance(meta, dict) else None
            if isinstance(schema, int) and schema > newest:
                raise FileFormatError(
                    f"{path} has schema {schema}, this version of spinode reads up to {newest}; upgrade spinode."
                )
            if schema != newest:
                raise FileFormatError(f"{path} has schema {schema!r}; expected {newest}. The file is damaged.")
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - not a mapping
            bad = [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]
    except (SafetensorError, OSError, ValueError, RecursionError, RuntimeError) as error:
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError(
            f"{path} cannot be read as a surrogate: it is truncated, damaged or another kind of file ({error})."
        ) from None
    if bad:
        raise FileFormatError(f"{path} holds NaN or infinite numbers in {bad[0]!r}; the file is damaged.")
    return meta, tensors


def _refuse_constant(name: str) -> None:
    raise ValueError(f"its metadata hold {name}, which is no JSON")


def _check_field(meta: Mapping[str, Any], field: nn.Module | None) -> None:
    own = "network" in meta and meta["network"] is None
    if own and field is None:
        raise ConfigError(
            "the file holds a vector field of your own, of which only the weights are stored; "
            "pass load(path, field=module) with a module of the same layout."
        )
    if own and meta.get("members") != 1:
        raise ConfigError("an ensemble of custom fields cannot be loaded; save its members one by one.")


def _build(meta: Mapping[str, Any], tensors: dict[str, Tensor], field: nn.Module | None) -> Surrogate:
    ports = _ports(meta["ports"])
    embedding = Embedding(meta["embedding"]["kind"], meta["embedding"]["order"])
    count = meta["members"]
    if not (isinstance(count, int) and 1 <= count <= MOST):
        raise ValueError(f"{count!r} members")
    interval = meta["interval"]
    if not (isinstance(interval, (int, float)) and 0 < interval < math.inf):
        raise ValueError(f"sample interval {interval!r}")
    outputs, inputs = len(ports.output), len(ports.inputs)
    if not outputs:
        raise ValueError("no outputs")
    shapes = {
        "output_mean": (outputs,),
        "output_scale": (outputs,),
        "state_scale": (embedding.order, outputs),
        "drive_mean": (inputs,),
        "drive_scale": (inputs,),
    }
    parts = {name: _shaped(tensors, f"scales.{name}", shape) for name, shape in shapes.items()}
    for name in ("output_scale", "state_scale", "drive_scale"):
        if not bool((parts[name] > 0).all()):
            raise ValueError(f"{name} is not positive")
    scales = Scales(**parts)
    members = [_member(meta, tensors, field, embedding, scales, ports, index) for index in range(count)]
    points = tensors["domain.points"]
    if points.ndim != 2 or not len(points) or points.shape[1] != embedding.order * outputs + inputs:
        raise ValueError("no domain points, or of another width")
    single = {"domain.radius": (), "noise": (outputs,), "spread_factor": (), "spread_floor": (outputs,)}
    for name, shape in {**single, "domain.points": tuple(points.shape)}.items():
        if not bool((_shaped(tensors, name, shape) >= 0).all()) and name in single:
            raise ValueError(f"{name} is negative")
    if "fast_response" in tensors:
        raise ValueError("a fast response beside the surrogate: load it with spinode.surrogates.load")
    surrogate = Surrogate(
        ports=ports,
        embedding=embedding,
        interval=interval,
        scales=scales,
        members=members,
        domain=Domain(points, 0.0, len(ports.parameters)),
        noise=torch.zeros(outputs, dtype=torch.float64),
        record=checked_record(meta["record"], ports),
    )
    surrogate.load_state_dict(tensors, strict=True)
    return surrogate


def _member(
    meta: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    field: nn.Module | None,
    embedding: Embedding,
    scales: Scales,
    ports: Ports,
    index: int,
) -> Member:
    chain = embedding.kind == "derivative"
    state, outputs = embedding.order * len(ports.output), len(ports.output)
    if meta["network"] is None:
        assert field is not None  # see _check_field
        learned = field
        bind_physics(learned, scales, float(meta["interval"]))
    else:
        learned = _default_network(meta["network"], tensors, index, state, embedding, ports)
    whole = ChainField(learned, scales.ratios) if chain else learned
    return Member(whole, torch.zeros(outputs, len(ports.drive), dtype=torch.float64))


def _default_network(
    network: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    index: int,
    state: int,
    embedding: Embedding,
    ports: Ports,
) -> MLPField:
    hidden, outputs = network["hidden"], len(ports.output)
    inputs = embedding.drive_size(len(ports.inputs))
    top = "top." if embedding.kind == "derivative" else ""
    if not isinstance(hidden, list) or not all(type(width) is int and width > 0 for width in hidden):
        raise ValueError(f"hidden widths {hidden!r}")
    rates = outputs if embedding.kind == "derivative" else state
    # The numbers in the file, not the header, say how large the network may be: a header is free, numbers take space.
    widths = [state + inputs, *hidden]
    layers = {f"layers.{i}": (after, before) for i, (before, after) in enumerate(zip(widths[:-1], hidden, strict=True))}
    for name, shape in {**layers, "out": (rates, widths[-1]), "skip": (rates, widths[0])}.items():
        _shaped(tensors, f"members.{index}.field.{top}{name}.weight", shape)
        _shaped(tensors, f"members.{index}.field.{top}{name}.bias", shape[:1])
    return MLPField(state, inputs, rates, hidden=hidden, activation=network["activation"])


def _shaped(tensors: Mapping[str, Tensor], name: str, shape: tuple[int, ...]) -> Tensor:
    tensor = tensors[name]
    if tuple(tensor.shape) != shape or tensor.dtype != torch.float64:
        raise ValueError(f"{name} has shape {tuple(tensor.shape)} and {tensor.dtype}, expected {shape} and float64")
    return tensor


def _ports(stored: Mapping[str, Any]) -> Ports:
    names = {role: stored[role] for role in ("drive", "output", "parameters")}
    for role, values in names.items():
        if not isinstance(values, list) or not all(isinstance(v, str) for v in values) or len(values) > MOST:
            raise ValueError(f"{role} is no list of names")
    every = [name for values in names.values() for name in values]
    if len(set(every)) < len(every):
        raise ValueError("a name is used twice")
    maps = {key: stored[key] for key in ("units", "interpolation")}
    for key, mapping in maps.items():
        if not isinstance(mapping, dict) or not all(isinstance(v, str) for v in mapping.values()):
            raise ValueError(f"{key} is no table of texts")
    if not all(kind in ("held", "linear", "spline") for kind in maps["interpolation"].values()):
        raise ValueError("unknown interpolation")
    drive, output, parameters = (tuple(values) for values in names.values())
    return Ports(drive, output, parameters, maps["units"], maps["interpolation"])
