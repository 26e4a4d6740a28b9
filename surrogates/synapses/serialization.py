"""Files of synapse surrogates: what is stored of a `SynapseSurrogate`, and how one is built from it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, TypeVar

from torch import Tensor

from ...artifact import MAX_COUNT, Kind, Metadata, Tensors, plain, register, shaped
from ...contracts.synapse import RESET, SET
from .drift import Drift, Latents
from .model import SynapseSurrogate, _last_layer
from .noise import NoiseModel
from .population import Population
from .pulse_data import Inputs, Scale
from .retention import Retention
from .telegraph import TelegraphNoise

KEY = "spinode-synapse"

#: Largest logarithm of a deviation, or coefficient of one, that is believed: its exponential is still a number.
_LARGEST = 500.0

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
        "seen": list(surrogate.seen),
        "first": surrogate.first,
        "chunk": surrogate.chunk,
        "of_devices": surrogate.of_devices,
        "noisy": {"c2c": surrogate.with_noise, "rtn": surrogate.with_traps, "d2d": surrogate.with_spread},
        "scale": asdict(surrogate.scale),
        "inputs": asdict(surrogate.inputs),
        "latents": asdict(latents),
        "drift": {
            "extra": drift.extra,
            "tied": drift.tied,
            "hidden": [layer.out_features for layer in drift.field.layers],
        },
        "noise": asdict(surrogate.noise_model),
        "population": surrogate.population is not None,
        "trap": None if surrogate.trap is None else asdict(surrogate.trap),
        "retention": None if surrogate.retention is None else asdict(surrogate.retention),
        "record": plain(surrogate.record),
    }
    return meta, dict(surrogate.state_dict())


def unpack(meta: Mapping[str, Any], tensors: Tensors) -> SynapseSurrogate:
    """Build a synapse surrogate from a file's metadata and tensors.

    Raises:
        ValueError, KeyError, TypeError: the two contradict each other.
    """
    polarities = _polarities(meta["polarities"])
    low, high = _numbers(meta["seen"], "seen", 2)
    chunk = _number(meta["chunk"], "chunk")
    if not (low < high and chunk >= 1):
        raise ValueError(f"states {low} .. {high}, chunks of {chunk} pulses")
    inputs = _inputs(meta["inputs"])
    drift = _drift(meta, tensors, polarities, inputs)
    model, noise = _noise(meta["noise"], tensors, polarities)
    trap = _part(TelegraphNoise, meta["trap"])
    if (trap is not None) != model.trap:
        raise ValueError("a trap without its noise, or noise of a trap that is not there")
    if trap is not None and not (0 < trap.fill < 1 and 0 < trap.leave < 1 and trap.fill + trap.leave < 1):
        raise ValueError("a trap with impossible rates")
    retention = _part(Retention, meta["retention"])
    if retention is not None and not (retention.onset > 0 and retention.deviation >= 0):
        raise ValueError("retention that is negative")
    size = 1 + len(drift.latents.names)
    there = _flag(meta["population"], "population")
    noisy = {name: _flag(meta["noisy"][name], name) for name in ("c2c", "rtn", "d2d")}
    if not isinstance(meta["record"], dict) or not isinstance(meta["unit"], str):
        raise ValueError("a record that is no table, or a unit that is no text")
    last = _last_layer(drift)
    made = SynapseSurrogate(
        drift=drift,
        noise_model=model,
        noise=noise,
        scale=_scale(meta["scale"]),
        inputs=inputs,
        seen=(low, high),
        polarities=polarities,
        unit=meta["unit"],
        first=_number(meta["first"], "first"),
        population=_population(tensors, size) if there else None,
        of_devices=_flag(meta["of_devices"], "of_devices"),
        trap=trap,
        retention=retention,
        chunk=chunk,
        posterior_noise=shaped(tensors, "posterior_noise", (len(noise), len(noise))),
        posterior_weights=shaped(tensors, "posterior_weights", (last, last)),
        record=meta["record"],
    )
    if not (math.isfinite(made.low) and math.isfinite(made.high) and made.low < made.high):
        raise ValueError("a conductance range that is no range")
    made.load_state_dict(tensors, strict=True)
    made.with_noise, made.with_traps, made.with_spread = noisy["c2c"], noisy["rtn"] and trap is not None, noisy["d2d"] and there
    return made


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
        raise ValueError(f"{extra!r} inputs of the drift for {len(inputs.names)}")
    # The numbers in the file, not the header, say how large the network may be: a header is free, numbers take space.
    widths = [2 + len(inputs.names) + shape, *hidden]
    layers = {f"layers.{i}": (after, before) for i, (before, after) in enumerate(zip(widths[:-1], hidden, strict=True))}
    for name, size in {**layers, "out": (1, widths[-1]), "skip": (1, widths[0])}.items():
        shaped(tensors, f"drift.field.{name}.weight", size)
        shaped(tensors, f"drift.field.{name}.bias", size[:1])
    kappa = float(shaped(tensors, "drift.kappa", ()))
    if not kappa > 0:
        raise ValueError(f"a smallest step of {kappa}")
    return Drift(latents, len(inputs.names), kappa, tied=_flag(parts["tied"], "tied"), hidden=hidden)


def _noise(stored: Mapping[str, Any], tensors: Mapping[str, Tensor], polarities: Sequence[str]) -> tuple[NoiseModel, Tensor]:
    model = NoiseModel(_polarities(stored["polarities"]), _flag(stored["memory"], "memory"), _flag(stored["trap"], "trap"))
    if model.polarities != tuple(polarities):
        raise ValueError("noise of other polarities than the pulses")
    noise = shaped(tensors, "noise", (len(model.names),))
    if float(noise.abs().max()) > _LARGEST:
        raise ValueError("noise beyond all bounds")
    return model, noise


def _population(tensors: Mapping[str, Tensor], size: int) -> Population:
    """Samples from which devices can be drawn."""
    devices, copies = tensors["population.samples"].shape[:2]
    if not (devices and copies):
        raise ValueError("a population of no device")
    samples = shaped(tensors, "population.samples", (devices, copies, size))
    weights = shaped(tensors, "population.weights", (devices,))
    if not (bool((weights >= 0).all()) and abs(float(weights.sum()) - 1) < 1e-6):
        raise ValueError("weights of a population that are none")
    return Population(samples, weights)


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
        raise ValueError("inputs without spread, or ranges that end before they begin")
    return Inputs(names, mean, spread, tables["ranges"], tables["usual"])


def _pair(value: Any, name: str) -> tuple[float, float]:
    low, high = _numbers(value, name, 2)
    if not (low > 0 and high > 0):
        raise ValueError(f"{name} is not positive")
    return low, high


def _part(kind: type[_Part], stored: Mapping[str, Any] | None) -> _Part | None:
    """A dataclass of numbers."""
    if stored is None:
        return None
    names = [each.name for each in fields(kind)]
    if set(stored) != set(names):
        raise ValueError(f"{kind.__name__.lower()} of {sorted(stored)}")
    return kind(**{name: _number(stored[name], name) for name in names})


def _polarities(stored: Any) -> tuple[str, ...]:
    found = tuple(stored)
    if found not in ((SET,), (RESET,), (SET, RESET)):
        raise ValueError(f"polarities {found!r}")
    return found


def _numbers(stored: Any, name: str, count: int) -> tuple[float, ...]:
    if not isinstance(stored, list) or len(stored) != count:
        raise ValueError(f"{name} is no list of {count} numbers")
    return tuple(_number(value, name) for value in stored)


def _number(stored: Any, name: str) -> float:
    if isinstance(stored, bool) or not isinstance(stored, (int, float)) or not abs(stored) < 1e300:
        raise ValueError(f"{name} is {stored!r}, no number")
    return float(stored)


def _flag(stored: Any, name: str) -> bool:
    if not isinstance(stored, bool):
        raise ValueError(f"{name} is {stored!r}, neither true nor false")
    return stored


register(Kind(key=KEY, title="a surrogate of a memory device", cls=SynapseSurrogate, pack=pack, unpack=unpack))
