"""`pulse_traces`: a simulated measurement of a synapse under programming pulses, one trace for each device."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from ...contracts.synapse import RESET, SET, Pulses, State, Synapse
from ...errors import ConfigError
from ...random import check_generator
from ...traces.trace import Trace, TraceSet
from ...validation import array_size, whole_number
from ..sampled_drive import Values, float64


def pulse_traces(
    synapse: Synapse,
    pulses: Values,
    *,
    devices: int | State = 1,
    voltage: Values | None = None,
    width: Values | None = None,
    every: int = 1,
    generator: torch.Generator | None = None,
) -> TraceSet:
    """Program devices by a schedule and read each of them between the steps.

    Read k + 1 follows the pulses in drive sample k; the last sample contains none. Each trace has

    - `time`: number of pulses that its device has received at each read, 0 at the first; it does not grow in a step without
      pulses,
    - `output`: "conductance" [unit of the synapse],
    - `drive`, with a zero-order hold: "SET" and "RESET", the number of pulses, and "voltage" [V] and "width" [s] where they
      were given (their last sample repeats the one before),
    - `parameters`: "device", its index, and "cycle", 0.

    Args:
        synapse: Any synapse.
        pulses: Signed number of pulses of each step, above zero SET, below RESET; shape (steps,) for all devices or
            (devices, steps).
        devices: Number of fresh devices, or the state of devices in one dimension, which is not changed.
        voltage: Amplitude [V], a number or the shape of the pulses; the synapse's own if omitted.
        width: Width [s], likewise.
        every: Number of steps between reads; there is also a read after the last step. A drive sample contains the pulses of
            all steps up to the next read.
        generator: Random source of device-to-device differences, cycle-to-cycle noise and read noise; none of them if omitted.

    Returns:
        A trace for each device.

    Raises:
        ConfigError: shapes that do not fit, counts that are not whole, pulses that the synapse does not accept, or an
            amplitude that changes between two reads.

    Example:
        >>> from spinode.datasets import ExponentialStep, pulse_traces
        >>> trace = pulse_traces(ExponentialStep(), [3, -2, 0])[0]
        >>> trace.time.tolist(), trace.drive["SET"].tolist(), trace.drive["RESET"].tolist()
        ([0.0, 3.0, 5.0, 5.0], [3.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0])
    """
    if not isinstance(synapse, Synapse):
        raise ConfigError(f"synapse is {synapse!r}; expected a synapse, such as ExponentialStep().")
    check_generator(generator)
    count = _table(pulses, "pulses")
    state = _devices(synapse, devices, count.shape[-1], generator)
    conductance = next(iter(state.values()))
    if count.shape[0] not in (1, len(conductance)):
        raise ConfigError(
            f"pulses has shape {tuple(count.shape)} for {len(conductance)} devices; expected (steps,) or ({len(conductance)}, "
            "steps)."
        )
    every = whole_number("every", every, 1)
    count = count.expand(len(conductance), -1)
    Pulses(count)  # an error in the schedule is reported before the first step
    amplitudes = {name: _amplitude(value, name, count, every) for name, value in (("voltage", voltage), ("width", width))}
    reads = _measure(synapse, state, count, amplitudes, every, generator)
    return _as_traces(synapse, reads, count, amplitudes, every)


def _devices(synapse: Synapse, devices: int | State, steps: int, generator: torch.Generator | None) -> State:
    """Return fresh devices in double precision, or those given."""
    if not isinstance(devices, dict):
        array_size("the reads", devices=whole_number("devices", devices, 1), steps=steps)
        return synapse.initial((devices,), generator=generator, dtype=torch.float64)
    first = next(iter(devices.values()), None)
    if not isinstance(first, Tensor):
        raise ConfigError(f"devices is {devices!r:.80}; expected a number of devices, or a state from `initial`.")
    if first.dim() != 1:
        raise ConfigError(f"the devices have shape {tuple(first.shape)}; expected one dimension, (devices,).")
    return devices


def _table(values: Values, name: str) -> Tensor:
    """Return a schedule as a table, shape (devices or 1, steps)."""
    table = float64(values, name)
    if table.dim() not in (1, 2) or not table.numel():
        raise ConfigError(
            f"{name} has shape {tuple(table.shape)}; expected (steps,) or (devices, steps), with at least one step."
        )
    return table.reshape(-1, table.shape[-1])


def _amplitude(values: Values | None, name: str, count: Tensor, every: int) -> Tensor | None:
    """Return voltages or widths, shape (devices, steps), constant from one read to the next: a trace has one value there."""
    if values is None:
        return None
    given = float64(values, name)
    table = given.expand_as(count) if given.dim() == 0 else _table(given, name)
    if table.shape[0] not in (1, count.shape[0]) or table.shape[1] != count.shape[1]:
        raise ConfigError(
            f"{name} has shape {tuple(given.shape)}; expected a number, or the shape of the pulses: ({count.shape[1]},) or "
            f"{tuple(count.shape)}."
        )
    table = table.expand_as(count)
    step = torch.arange(count.shape[1])
    changed = (table != table[:, step - step % every]).any(0)
    if bool(changed.any()):
        at = int(changed.nonzero()[0])
        raise ConfigError(f"the {name} changes at step {at}, between two reads; read there as well, or more often (every=1).")
    return table


def _measure(
    synapse: Synapse,
    state: State,
    count: Tensor,
    amplitudes: dict[str, Tensor | None],
    every: int,
    generator: torch.Generator | None,
) -> Tensor:
    """Return the conductance at each read, shape (devices, reads)."""
    steps = count.shape[1]
    with torch.no_grad():
        reads = [synapse.read(state, generator=generator)]
        for k in range(steps):
            step_amplitudes = {name: None if table is None else table[:, k] for name, table in amplitudes.items()}
            state = synapse.program(state, Pulses(count[:, k], **step_amplitudes), generator=generator)
            if (k + 1) % every == 0 or k + 1 == steps:
                reads.append(synapse.read(state, generator=generator))
    return torch.stack(reads, 1).to(torch.float64)


def _as_traces(synapse: Synapse, reads: Tensor, count: Tensor, amplitudes: dict[str, Tensor | None], every: int) -> TraceSet:
    edges = torch.tensor([*range(0, count.shape[1], every), count.shape[1]])
    total = torch.nn.functional.pad(count.abs().cumsum(1), (1, 0))[:, edges]
    channels: dict[str, Tensor] = {}
    for name, pulses in ((SET, count.clamp(min=0)), (RESET, (-count).clamp(min=0))):
        summed = torch.nn.functional.pad(pulses.cumsum(1), (1, 0))[:, edges].diff(dim=1)
        channels[name] = torch.nn.functional.pad(summed, (0, 1))
    for name, table in amplitudes.items():
        if table is not None:
            channels[name] = torch.cat((table[:, edges[:-1]], table[:, edges[-2:-1]]), 1)
    units = {
        "time": "",
        "conductance": synapse.unit,
        SET: "",
        RESET: "",
        "voltage": "V",
        "width": "s",
        "device": "",
        "cycle": "",
    }
    units = {name: unit for name, unit in units.items() if name not in amplitudes or name in channels}
    columns = {name: table.numpy() for name, table in channels.items()}
    time, conductance, provenance = total.numpy(), reads.numpy(), _provenance(synapse)
    return TraceSet(
        [
            Trace(
                time=time[i],
                drive={name: table[i] for name, table in columns.items()},
                output={"conductance": conductance[i]},
                parameters={"device": i, "cycle": 0},
                units=units,
                interpolation=dict.fromkeys(columns, "held"),
                provenance=provenance,
            )
            for i in range(len(time))
        ]
    )


def _provenance(synapse: Synapse) -> dict[str, Any]:
    """Return the name of the simulator, and its constants of plain types."""
    kind = type(synapse)
    provenance: dict[str, Any] = {"simulator": f"{kind.__module__}.{kind.__qualname__}"}
    device: Any = synapse
    if is_dataclass(device):
        values = {part.name: getattr(device, part.name) for part in fields(device)}
        plain = (bool, int, float, str, tuple, list, type(None))
        provenance["device"] = {name: value for name, value in values.items() if isinstance(value, plain)}
    return provenance
