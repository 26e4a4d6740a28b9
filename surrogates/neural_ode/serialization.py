"""Files of surrogates: what is stored of a `Surrogate`, and how one is built from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from ...artifact import MAX_COUNT, Kind, Metadata, Tensors, plain, register, shaped
from ...dynamics.field import ChainField, MLPField, bind_physics
from ...dynamics.scales import Scales
from ...errors import ConfigError
from ...traces.trace import INTERPOLATIONS
from ...validation import is_number
from .domain import Domain
from .embedding import Embedding
from .embeddings.base import Sizes, embedding_names
from .fit_record import checked_record
from .member import Member
from .output_map import parse_output_maps
from .ports import Ports
from .predicted_spread import SpreadModel
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
            **({"output_map": dict(surrogate.ports.output_map)} if surrogate.ports.output_map else {}),
        },
        "embedding": {"kind": surrogate.embedding.kind, "order": surrogate.embedding.order},
        "interval": surrogate.interval,
        "members": len(surrogate.members),
        "network": surrogate.embedding.method.pack_member(surrogate.members[0]) or _network(surrogate.members[0].field),
        "record": plain(surrogate.record),
    }
    return meta, dict(surrogate.state_dict())


def unpack(meta: Mapping[str, Any], tensors: Tensors, *, field: nn.Module | None = None) -> Surrogate:
    """Build a surrogate from a file's metadata and tensors.

    Args:
        meta: From `pack`.
        tensors: From `pack`.
        field: Module of the same layout as the learned part, where it is not the default network; further members
            are copies of it with their own weights.

    Raises:
        ConfigError: the file contains a vector field of the user's own and `field` was not given; or its embedding is not
            registered.
        ValueError, KeyError, TypeError: metadata and tensors contradict each other.
    """
    _check_field(meta, field)
    embedding, ports, interval, count = _embedding(meta["embedding"]), _ports(meta["ports"]), meta["interval"], meta["members"]
    if not (type(count) is int and 1 <= count <= MAX_COUNT):
        raise ValueError(f"{count!r} members")
    if not (is_number(interval) and 0 < interval < math.inf):
        raise ValueError(f"sample interval {interval!r}")
    if not ports.output:
        raise ValueError("no outputs")
    scales = _scales(tensors, embedding, ports)
    noise = torch.zeros(len(ports.output), dtype=torch.float64)
    surrogate = Surrogate(
        ports=ports,
        embedding=embedding,
        interval=interval,
        scales=scales,
        members=[_member(meta, tensors, field, embedding, scales, ports, index) for index in range(count)],
        domain=Domain(_domain_points(tensors, embedding, ports), 0.0, len(ports.parameters)),
        noise=noise,
        spread=_spread(tensors, len(ports.output)),
        record=checked_record(meta["record"], ports),
    )
    for name, shape in {"domain.radius": (), "noise": noise.shape, "spread_factor": (), "spread_floor": noise.shape}.items():
        if not bool((shaped(tensors, name, tuple(shape)) >= 0).all()):
            raise ValueError(f"{name} is negative")
    # In older files the spread is the same at every step.
    constant = {} if _has_spread(tensors) else surrogate.spread.state_dict(prefix="spread.")
    surrogate.load_state_dict({**constant, **tensors})
    return surrogate


def _network(field: nn.Module) -> dict[str, Any] | None:
    """Return the layout of the default network, or None for a field of the user's own."""
    learned = field.top if isinstance(field, ChainField) else field
    if type(learned) is not MLPField:
        return None
    return {"hidden": [layer.out_features for layer in learned.layers], "activation": learned.activation}


def _check_field(meta: Mapping[str, Any], field: nn.Module | None) -> None:
    """Check that a field of the user's own is passed where the file needs one."""
    is_custom = "network" in meta and meta["network"] is None
    if is_custom and field is None:
        raise ConfigError(
            "the file contains a vector field of your own, of which only the weights are stored; "
            "pass load(path, field=module) with a module of the same layout."
        )


def _embedding(stored: Mapping[str, Any]) -> Embedding:
    kind, order = stored["kind"], stored["order"]
    if not isinstance(kind, str):
        raise ValueError(f"embedding {kind!r}")
    if kind not in embedding_names():
        raise ConfigError(
            f"the file uses the embedding {kind!r}, which is not registered; the registered ones are: "
            f"{', '.join(embedding_names())}. Import the module that defines it before loading."
        )
    try:
        return Embedding(kind, order)
    except ConfigError as error:
        raise ValueError(str(error)) from None


def _scales(tensors: Mapping[str, Tensor], embedding: Embedding, ports: Ports) -> Scales:
    outputs, inputs = len(ports.output), len(ports.inputs)
    shapes = {
        "output_mean": (outputs,),
        "output_scale": (outputs,),
        "state_scale": (embedding.blocks(), outputs),
        "drive_mean": (inputs,),
        "drive_scale": (inputs,),
    }
    parts = {name: shaped(tensors, f"scales.{name}", shape) for name, shape in shapes.items()}
    for name in ("output_scale", "state_scale", "drive_scale"):
        if not bool((parts[name] > 0).all()):
            raise ValueError(f"{name} is not positive")
    return Scales(**parts)


def _has_spread(tensors: Mapping[str, Tensor]) -> bool:
    return any(name.startswith("spread.") for name in tensors)


def _spread(tensors: Mapping[str, Tensor], outputs: int) -> SpreadModel:
    if not _has_spread(tensors):
        return SpreadModel.none(outputs)
    curve = tensors["spread.curve"]
    if curve.ndim != 2 or not 1 <= len(curve) <= MAX_COUNT:
        raise ValueError(f"spread.curve has shape {tuple(curve.shape)}, expected (knots, {outputs})")
    shapes = {"curve": (len(curve), outputs), "steps": (len(curve),), "distance": (), "memory": (), "other_drive": (outputs,)}
    for name, shape in shapes.items():
        if not bool((shaped(tensors, f"spread.{name}", shape) >= 0).all()):
            raise ValueError(f"spread.{name} is negative")
    if not bool((tensors["spread.steps"].diff() > 0).all()):
        raise ValueError("spread.steps do not ascend")
    return SpreadModel.none(outputs, len(curve))


def _domain_points(tensors: Mapping[str, Tensor], embedding: Embedding, ports: Ports) -> Tensor:
    points = tensors["domain.points"]
    width = embedding.state_size(len(ports.output)) + len(ports.inputs)
    if points.ndim != 2 or not len(points) or points.shape[1] != width:
        raise ValueError(f"domain.points has shape {tuple(points.shape)}, expected (points, {width})")
    return shaped(tensors, "domain.points", tuple(points.shape))


def _member(
    meta: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    field: nn.Module | None,
    embedding: Embedding,
    scales: Scales,
    ports: Ports,
    index: int,
) -> Member:
    sizes = Sizes(embedding.order, len(ports.inputs), len(ports.output), len(ports.drive))
    if embedding.recursive:
        member = embedding.method.unpack_member(meta["network"], tensors, f"members.{index}.", sizes)
        if member is None:
            raise ValueError("the embedding has no members of its own")
        return member
    if meta["network"] is None:
        assert field is not None  # see _check_field
        learned = deepcopy(field) if index else field
        bind_physics(learned, scales, float(meta["interval"]))
    else:
        learned = _default_network(meta["network"], tensors, index, embedding, ports)
    feedthrough = torch.zeros(len(ports.output), len(ports.drive), dtype=torch.float64)
    return Member(embedding.vector_field(learned, scales.ratios), feedthrough)


def _default_network(
    network: Mapping[str, Any], tensors: Mapping[str, Tensor], index: int, embedding: Embedding, ports: Ports
) -> MLPField:
    """Build the default network after its size was checked against the tensors of the file."""
    hidden = network["hidden"]
    if not isinstance(hidden, list) or not all(type(width) is int and width > 0 for width in hidden):
        raise ValueError(f"hidden widths {hidden!r}")
    outputs = len(ports.output)
    state, drive, rates = embedding.order * outputs, embedding.drive_size(len(ports.inputs)), embedding.rates(outputs)
    # A header can claim any size at no cost, tensors take space in the file: they say how large the network may be.
    widths = [state + drive, *hidden]
    layers = {f"layers.{i}": (after, before) for i, (before, after) in enumerate(zip(widths[:-1], hidden, strict=True))}
    prefix = f"members.{index}.field.{'top.' if embedding.chain else ''}"
    for name, shape in {**layers, "out": (rates, widths[-1]), "skip": (rates, widths[0])}.items():
        shaped(tensors, f"{prefix}{name}.weight", shape)
        shaped(tensors, f"{prefix}{name}.bias", shape[:1])
    return MLPField(state, drive, rates, hidden=hidden, activation=network["activation"])


def _ports(stored: Mapping[str, Any]) -> Ports:
    names = {role: stored[role] for role in ("drive", "output", "parameters")}
    for role, values in names.items():
        if not isinstance(values, list) or not all(isinstance(v, str) for v in values) or len(values) > MAX_COUNT:
            raise ValueError(f"{role} is not a list of names")
    every = [name for values in names.values() for name in values]
    if len(set(every)) < len(every):
        raise ValueError("a name is used twice")
    maps = {key: stored[key] for key in ("units", "interpolation")}
    for key, mapping in maps.items():
        if not isinstance(mapping, dict) or not all(isinstance(v, str) for v in mapping.values()):
            raise ValueError(f"{key} is not a mapping of names to texts")
    if not all(kind in INTERPOLATIONS for kind in maps["interpolation"].values()):
        raise ValueError("unknown interpolation")
    drive, output, parameters = (tuple(values) for values in names.values())
    output_map = stored.get("output_map", {})
    if not isinstance(output_map, dict) or not set(output_map) <= set(output):
        raise ValueError("output_map is not a mapping of outputs")
    try:
        parse_output_maps(output_map)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return Ports(drive, output, parameters, maps["units"], maps["interpolation"], output_map)


register(Kind(key=KEY, title="a surrogate of a driven device", cls=Surrogate, pack=pack, unpack=unpack))
