"""Files of surrogates: what is stored of a `Surrogate`, and how one is built from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ...artifact import MAX_COUNT, Kind, Metadata, Tensors, plain, register, shaped
from ...dynamics.field import ChainField, MLPField, bind_physics
from ...dynamics.scales import Scales
from ...errors import ConfigError
from .domain import Domain
from .embedding import Embedding
from .fit_record import checked_record
from .member import Member
from .ports import Ports
from .surrogate import Surrogate

KEY = "spinode"


def pack(surrogate: Surrogate) -> tuple[Metadata, Tensors]:
    """Return metadata and tensors of a surrogate.

    The metadata contain ports with units, embedding, interval, the network's layout, and the record of the fit. A vector field
    of your own is stored by its weights only; `load` then needs `field=`.
    """
    meta = {
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
        "record": plain(surrogate.record),
    }
    return meta, dict(surrogate.state_dict())


def unpack(meta: Mapping[str, Any], tensors: Tensors, *, field: nn.Module | None = None) -> Surrogate:
    """Build a surrogate from a file's metadata and tensors.

    Args:
        meta: From `pack`.
        tensors: From `pack`.
        field: Module of the same layout as the learned part, where it is not the default network; one member only.

    Raises:
        ConfigError: the file contains a vector field of the user's own and `field` was not given.
        ValueError, KeyError, TypeError: metadata and tensors contradict each other.
    """
    _check_field(meta, field)
    return _build(meta, tensors, field)


def _network(field: nn.Module) -> dict[str, Any] | None:
    """Layout of the default network, or None for a field of the user's own."""
    top = field.top if isinstance(field, ChainField) else field
    if type(top) is not MLPField:
        return None
    return {"hidden": [layer.out_features for layer in top.layers], "activation": top.activation}


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
    if not (isinstance(count, int) and 1 <= count <= MAX_COUNT):
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
    parts = {name: shaped(tensors, f"scales.{name}", shape) for name, shape in shapes.items()}
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
        if not bool((shaped(tensors, name, shape) >= 0).all()) and name in single:
            raise ValueError(f"{name} is negative")
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
        shaped(tensors, f"members.{index}.field.{top}{name}.weight", shape)
        shaped(tensors, f"members.{index}.field.{top}{name}.bias", shape[:1])
    return MLPField(state, inputs, rates, hidden=hidden, activation=network["activation"])


def _ports(stored: Mapping[str, Any]) -> Ports:
    names = {role: stored[role] for role in ("drive", "output", "parameters")}
    for role, values in names.items():
        if not isinstance(values, list) or not all(isinstance(v, str) for v in values) or len(values) > MAX_COUNT:
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


register(Kind(key=KEY, title="a surrogate of a driven device", cls=Surrogate, pack=pack, unpack=unpack))
