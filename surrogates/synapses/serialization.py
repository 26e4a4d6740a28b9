"""Files of synapse surrogates: conversion of a `SynapseSurrogate` to metadata and tensors, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, TypeVar

from torch import Tensor

from ...artifact import MAX_COUNT, Kind, Metadata, Tensors, plain, register, shaped
from ...contracts.synapse import RESET, SET
from .drift import Drift, Latents
from .model import SynapseSurrogate
from .noise import NoiseModel
from .population import Population
from .pulse_data import Inputs, Scale
from .retention import Retention
from .telegraph import TelegraphNoise

KEY = "spinode-synapse"

#: Largest noise parameter of a valid file; its exponential is finite.
_MAX_PARAMETER = 500.0

_Part = TypeVar("_Part", TelegraphNoise, Retention)


def pack(surrogate: SynapseSurrogate) -> tuple[Metadata, Tensors]:
    """Return metadata and tensors of a synapse surrogate.

    The metadata contain scale, inputs, layout of drift and noise, telegraph noise, retention and the record of the fit; the
    tensors contain weights, noise parameters, posteriors and the population.
    """
    drift, latents = surrogate.drift, surrogate.drift.latents
    meta = {
        "unit": surrogate.unit,
        "polarities": list(surrogate.polarities),
        "seen": list(surrogate.state_range),
        "first": surrogate.first,
        "chunk": surrogate.chunk,
        "use": {
            "voltage": None if surrogate.voltage is None else list(surrogate.voltage),
            "width": surrogate.width,
        },
        "of_devices": surrogate.of_devices,
        "noisy": {"c2c": surrogate.with_noise, "rtn": surrogate.with_telegraph, "d2d": surrogate.with_spread},
        "scale": asdict(surrogate.scale),
        "inputs": asdict(surrogate.inputs),
        "latents": asdict(latents),
        "drift": {
            "extra": drift.extra,
            "tied": drift.tied,
            "hidden": [layer.out_features for layer in drift.field.layers],
            "monotonic": list(drift.monotonic),
            "limits": None if drift.limits is None else list(drift.limits),
        },
        "noise": {
            "polarities": list(surrogate.noise_model.polarities),
            "memory": surrogate.noise_model.memory,
            "trap": surrogate.noise_model.telegraph,
            "relative": surrogate.noise_model.relative,
            "pure": surrogate.noise_model.pure,
        },
        "population": surrogate.population is not None,
        "trap": None if surrogate.telegraph is None else asdict(surrogate.telegraph),
        "retention": None if surrogate.retention is None else asdict(surrogate.retention),
        "record": plain(surrogate.record),
    }
    return meta, dict(surrogate.state_dict())


def unpack(meta: Mapping[str, Any], tensors: Tensors) -> SynapseSurrogate:
    """Build a synapse surrogate from a file's metadata and tensors.

    Raises:
        ValueError, KeyError, TypeError: the two contradict each other.
    """
    meta = _migrated(meta)
    polarities = _polarities(meta["polarities"])
    low, high = _numbers(meta["seen"], "seen", 2)
    chunk = _number(meta["chunk"], "chunk")
    if not (low < high and chunk >= 1):
        raise ValueError(f"states {low} .. {high}, steps of {chunk} pulses")
    inputs = _inputs(meta["inputs"])
    drift = _drift(meta, tensors, polarities, inputs)
    model, noise = _noise(meta["noise"], tensors, polarities)
    telegraph = _telegraph(meta["trap"], model)
    retention = _part(Retention, meta["retention"])
    if retention is not None and not (retention.onset > 0 and retention.deviation >= 0):
        raise ValueError("negative retention")
    size = 1 + len(drift.latents.names)
    has_population = _flag(meta["population"], "population")
    enabled = {name: _flag(meta["noisy"][name], name) for name in ("c2c", "rtn", "d2d")}
    if not isinstance(meta["record"], dict) or not isinstance(meta["unit"], str):
        raise ValueError("a record that is not a mapping, or a unit that is not text")
    linear = sum(weight.numel() for weight in drift.linear_weights)
    surrogate = SynapseSurrogate(
        drift=drift,
        noise_model=model,
        noise=noise,
        scale=_scale(meta["scale"]),
        inputs=inputs,
        state_range=(low, high),
        polarities=polarities,
        unit=meta["unit"],
        first=_number(meta["first"], "first"),
        population=_population(tensors, size) if has_population else None,
        of_devices=_flag(meta["of_devices"], "of_devices"),
        telegraph=telegraph,
        retention=retention,
        chunk=chunk,
        **_pulse_of_use(meta["use"]),
        posterior_noise=shaped(tensors, "posterior_noise", (len(noise), len(noise))),
        posterior_weights=shaped(tensors, "posterior_weights", (linear, linear)),
        record=meta["record"],
    )
    if not (math.isfinite(surrogate.low) and math.isfinite(surrogate.high) and surrogate.low < surrogate.high):
        raise ValueError(f"a conductance range {surrogate.low} .. {surrogate.high}")
    surrogate.load_state_dict(tensors, strict=True)
    surrogate.with_noise, surrogate.with_telegraph = enabled["c2c"], enabled["rtn"] and telegraph is not None
    surrogate.with_spread = enabled["d2d"] and has_population
    return surrogate


# --- parts ------------------------------------------------------------------------------------------------------------


def _drift(meta: Mapping[str, Any], tensors: Mapping[str, Tensor], polarities: Sequence[str], inputs: Inputs) -> Drift:
    stored, parts = meta["latents"], meta["drift"]
    shape = stored["shape"]
    if not (type(shape) is int and 0 <= shape <= MAX_COUNT):
        raise ValueError(f"{shape!r} shape parameters")
    rates = tuple(stored["polarities"])
    if rates not in ((), tuple(polarities)):
        raise ValueError(f"rates of {rates!r}")
    latents = Latents(rates, _flag(stored["centre"], "centre"), shape, _flag(stored["window"], "window"))
    hidden, extra = parts["hidden"], parts["extra"]
    if not isinstance(hidden, list) or not hidden or not all(type(width) is int and width > 0 for width in hidden):
        raise ValueError(f"hidden widths {hidden!r}")
    if extra != len(inputs.names):
        raise ValueError(f"{extra!r} inputs of the drift, expected {len(inputs.names)}")
    # Tensors are compared before the network is built: a damaged header must not cause a huge one.
    sizes = [2 + len(inputs.names) + shape, *hidden]
    layers = {f"layers.{i}": (after, before) for i, (before, after) in enumerate(zip(sizes[:-1], hidden, strict=True))}
    for name, size in {**layers, "out": (1, sizes[-1]), "skip": (1, sizes[0])}.items():
        shaped(tensors, f"drift.field.{name}.weight", size)
        shaped(tensors, f"drift.field.{name}.bias", size[:1])
    kappa = float(shaped(tensors, "drift.kappa", ()))
    if not kappa > 0:
        raise ValueError(f"kappa {kappa}")
    monotonic, limits = tuple(parts["monotonic"]), parts["limits"]
    if not set(monotonic) <= set(polarities) or len(set(monotonic)) != len(monotonic):
        raise ValueError(f"monotonic polarities {monotonic!r} of {tuple(polarities)!r}")
    if limits is not None:
        low, high = limits = _numbers(limits, "limits", 2)
        if not low < high:
            raise ValueError(f"states limited to {low} .. {high}")
    tied = _flag(parts["tied"], "tied")
    return Drift(latents, len(inputs.names), kappa, tied=tied, hidden=hidden, monotonic=monotonic, limits=limits)


def _noise(stored: Mapping[str, Any], tensors: Mapping[str, Tensor], polarities: Sequence[str]) -> tuple[NoiseModel, Tensor]:
    kinds = {name: _flag(stored[name], name) for name in ("memory", "relative", "pure")}
    model = NoiseModel(_polarities(stored["polarities"]), telegraph=_flag(stored["trap"], "trap"), **kinds)
    if model.polarities != tuple(polarities):
        raise ValueError("noise of other polarities than the pulses")
    noise = shaped(tensors, "noise", (len(model.names),))
    if float(noise.abs().max()) > _MAX_PARAMETER:
        raise ValueError("noise parameters out of bounds")
    return model, noise


def _telegraph(stored: Mapping[str, Any] | None, model: NoiseModel) -> TelegraphNoise | None:
    telegraph = _part(TelegraphNoise, stored)
    if (telegraph is not None) != model.telegraph:
        raise ValueError("rates of telegraph noise without its depth, or its depth without its rates")
    if telegraph is not None and not (
        0 < telegraph.fill < 1 and 0 < telegraph.leave < 1 and telegraph.fill + telegraph.leave < 1
    ):
        raise ValueError(f"telegraph noise with the rates {telegraph.fill} and {telegraph.leave}")
    return telegraph


def _population(tensors: Mapping[str, Tensor], size: int) -> Population:
    devices, copies = tensors["population.samples"].shape[:2]
    if not (devices and copies):
        raise ValueError("a population without devices")
    samples = shaped(tensors, "population.samples", (devices, copies, size))
    weights = shaped(tensors, "population.weights", (devices,))
    if not (bool((weights >= 0).all()) and abs(float(weights.sum()) - 1) < 1e-6):
        raise ValueError("population weights that are negative or do not add up to one")
    return Population(samples, weights)


def _migrated(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of a file of schema 1 as those of schema 2: every polarity may reverse, and nothing limits states."""
    if meta["schema"] != 1:
        return dict(meta)
    return {
        **meta,
        "use": {"voltage": None, "width": None},
        "drift": {**meta["drift"], "monotonic": [], "limits": None},
        "noise": {**meta["noise"], "relative": False, "pure": False},
    }


def _pulse_of_use(stored: Mapping[str, Any]) -> dict[str, Any]:
    voltage, width = stored["voltage"], stored["width"]
    if width is not None and not _number(width, "width of use") > 0:
        raise ValueError(f"a pulse of use {width} s wide")
    return {"use_voltage": None if voltage is None else _pair(voltage, "voltage of use"), "use_width": width}


def _scale(stored: Mapping[str, Any]) -> Scale:
    kind, centre, spread = stored["kind"], _number(stored["centre"], "centre"), _number(stored["spread"], "spread")
    if kind not in ("linear", "log") or not spread > 0:
        raise ValueError(f"a scale {kind!r} of spread {spread}")
    return Scale(kind, centre, spread)


def _inputs(stored: Mapping[str, Any]) -> Inputs:
    names = tuple(stored["names"])
    if names not in ((), ("voltage",), ("width",), ("voltage", "width")):
        raise ValueError(f"inputs {names!r}")
    mean, spread = (_numbers(stored[part], part, len(names)) for part in ("mean", "spread"))
    tables = {}
    for part in ("ranges", "usual"):
        if not set(names) <= set(stored[part]) <= {"voltage", "width"}:
            raise ValueError(f"{part} of {sorted(stored[part])} for inputs {names}")
        tables[part] = {name: _pair(value, f"{part} of {name}") for name, value in stored[part].items()}
    if min(spread, default=1.0) <= 0 or any(low > high for low, high in tables["ranges"].values()):
        raise ValueError("inputs without spread, or ranges whose ends are reversed")
    return Inputs(names, mean, spread, tables["ranges"], tables["usual"])


def _pair(value: Any, name: str) -> tuple[float, float]:
    low, high = _numbers(value, name, 2)
    if not (low > 0 and high > 0):
        raise ValueError(f"{name} is not positive")
    return low, high


def _part(kind: type[_Part], stored: Mapping[str, Any] | None) -> _Part | None:
    """Build a dataclass of numbers."""
    if stored is None:
        return None
    names = [each.name for each in fields(kind)]
    if set(stored) != set(names):
        raise ValueError(f"{kind.__name__.lower()} of {sorted(stored)}")
    return kind(**{name: _number(stored[name], name) for name in names})


def _polarities(stored: Any) -> tuple[str, ...]:
    polarities = tuple(stored)
    if polarities not in ((SET,), (RESET,), (SET, RESET)):
        raise ValueError(f"polarities {polarities!r}")
    return polarities


def _numbers(stored: Any, name: str, count: int) -> tuple[float, ...]:
    if not isinstance(stored, list) or len(stored) != count:
        raise ValueError(f"{name} is not a list of {count} numbers")
    return tuple(_number(value, name) for value in stored)


def _number(stored: Any, name: str) -> float:
    if isinstance(stored, bool) or not isinstance(stored, (int, float)) or not abs(stored) < 1e300:
        raise ValueError(f"{name} is {stored!r}, not a number")
    return float(stored)


def _flag(stored: Any, name: str) -> bool:
    if not isinstance(stored, bool):
        raise ValueError(f"{name} is {stored!r}, neither true nor false")
    return stored


register(
    Kind(key=KEY, title="a surrogate of a memory device", cls=SynapseSurrogate, pack=pack, unpack=unpack, schema=2, oldest=1)
)
