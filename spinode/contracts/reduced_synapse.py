"""`ReducedSynapse`: a memory device without some of its imperfections, made from the device by means of the contract alone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor

from .relaxation import retains
from .step_profile import StepProfile
from .synapse import RESET, SET, Pulses, State, Synapse

D2D, C2C, READ, DRIFT = "device-to-device", "cycle-to-cycle", "read noise", "drift"
#: Imperfections that can be removed from any synapse.
GENERAL = (D2D, C2C, READ, "asymmetry", "nonlinearity", "range", "number of pulses", DRIFT)
#: Those of the mean response; the others are noise.
SHAPE = ("asymmetry", "nonlinearity", "range", "number of pulses", DRIFT)

#: Pulses of a device of fine steps that stand for one of the device.
FINENESS = 16
#: Most pulses that compensate one where the step is small.
MAX_COMPENSATION = 10.0
#: Part of the range at either end where a device of unlimited range is exchanged for a fresh one.
EDGE = 0.1

#: Devices on which parameters that differ are looked for.
_SAMPLES = 64
_CARRY, _FRESH = "carry", "fresh "


class ReducedSynapse:
    """A synapse without some of the general imperfections. Use `spinode.contracts.imperfections.without` to make one.

    - "device-to-device": `initial` receives no generator; "device-to-device NAME": the entry NAME of its state is that of the
      typical device.
    - "cycle-to-cycle", "read noise": `program` and `read` receive no generator.
    - "asymmetry", "nonlinearity": each pulse counts as r pulses, such that the typical device moves by the mean of its SET and
      RESET steps, or by the same step over its range: r = wanted step / step at its conductance, see `StepProfile`. r is at
      most 10, at least a tenth. Part of a pulse moves the state by that part, with the noise of its square root.
    - "number of pulses": one pulse moves a device by a sixteenth of its step.
    - "range": a device that has moved into the outer tenth of its range is exchanged for its fresh twin, and the difference is
      carried in the read: the weight goes on, with the steps of the inner range.
    - "drift": `relax` changes nothing.

    Attributes:
        inner: The device with all that is not removed here.
        off: The names of what is removed.
    """

    def __init__(self, inner: Synapse, off: Collection[str]) -> None:
        self.inner, self.off = inner, frozenset(off)
        self.low, self.high, self.unit, self.polarities = inner.low, inner.high, inner.unit, inner.polarities
        self._parameters = tuple(name.removeprefix(f"{D2D} ") for name in sorted(self.off) if name.startswith(f"{D2D} "))
        self._fine = FINENESS if "number of pulses" in self.off else 1
        self._unlimited = "range" in self.off
        self._moving = moving_entries(inner)
        self._profile: StepProfile | None = None
        if self.off & {"asymmetry", "nonlinearity"}:
            self._profile = StepProfile.of(inner)
            self._factors = self._profile.compensation(
                linear="nonlinearity" in self.off, symmetric="asymmetry" in self.off, largest=MAX_COMPENSATION
            )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name in ("inner", "imperfections"):
            raise AttributeError(name)
        return getattr(self.inner, name)

    def __repr__(self) -> str:
        return f"{self.inner!r} without {', '.join(sorted(self.off))}"

    @property
    def retention(self) -> Any:
        """The device's retention; None if it has none or it was removed."""
        return getattr(self.inner, "retention", True) if retains(self.inner) and DRIFT not in self.off else None

    # --- the contract ------------------------------------------------------------------------------------------------

    def initial(
        self, shape: Sequence[int], *, generator: torch.Generator | None = None, dtype: torch.dtype = torch.float32
    ) -> State:
        """Return fresh devices, see `Synapse.initial`."""
        state = self.inner.initial(shape, generator=None if D2D in self.off else generator, dtype=dtype)
        if self._parameters and generator is not None and D2D not in self.off:
            typical = self.inner.initial(shape, dtype=dtype)
            for name in self._parameters:
                _set_parameter(state, name, typical)
        if self._unlimited:
            state |= {f"{_FRESH}{name}": state[name].clone() for name in self._moving}
            state[_CARRY] = torch.zeros_like(self.inner.read(state))
        return state

    def program(self, state: State, pulses: Pulses, *, generator: torch.Generator | None = None) -> State:
        """Apply pulses, see `Synapse.program`."""
        source = None if C2C in self.off else generator
        before = self._own(state)
        if self._fine == 1 and self._profile is None:
            after = self.inner.program(before, pulses, generator=source)
        else:
            after = self._program_parts(before, pulses, source)
        return self._carried(state, after) if self._unlimited else after

    def _program_parts(self, state: State, pulses: Pulses, generator: torch.Generator | None) -> State:
        """Apply a number of pulses that is not whole: the whole ones, and then a part of one more."""
        devices = next(iter(state.values()))
        if pulses.count.shape != devices.shape:  # the device itself says what is wrong
            return self.inner.program(state, pulses, generator=generator)
        count = Pulses(pulses.count).count.to(devices)
        if self._profile is None:
            exact = count / self._fine
        else:
            conductance = self.inner.read(state)
            factors = [self._profile.at(self._factors[p], conductance) for p in (SET, RESET) if p in self._factors]
            exact = count * (factors[0] if len(factors) == 1 else torch.where(count > 0, factors[0], factors[1])) / self._fine
        whole = exact.trunc()
        after = self.inner.program(state, Pulses.unchecked(whole, pulses.voltage, pulses.width), generator=generator)
        part = (exact - whole).abs()
        one = Pulses.unchecked(count.sign() * (part > 0), pulses.voltage, pulses.width)
        if not bool((part > 0).any()):
            return after
        mean = self.inner.program(after, one)
        noisy = mean if generator is None else self.inner.program(after, one, generator=generator)
        result = dict(noisy)
        for name in self._moving:
            share = part.reshape(part.shape + (1,) * (after[name].dim() - part.dim()))
            result[name] = after[name] + share * (mean[name] - after[name])
            if generator is not None:
                result[name] = result[name] + share.sqrt() * (noisy[name] - mean[name])
        return result

    def _carried(self, state: State, after: State) -> State:
        """Exchange devices near the ends of their range for fresh ones, and carry the difference."""
        fresh = {name: state[f"{_FRESH}{name}"] for name in self._moving}
        now, start = self.inner.read(after), self.inner.read({**after, **fresh})
        margin = EDGE * (self.high - self.low)
        used = ((now > self.high - margin) & (now > start + margin)) | ((now < self.low + margin) & (now < start - margin))
        after = dict(after)
        for name, value in fresh.items():
            mask = used.reshape(used.shape + (1,) * (value.dim() - used.dim()))
            after[name] = torch.where(mask, value, after[name])
            after[f"{_FRESH}{name}"] = value
        after[_CARRY] = state[_CARRY] + torch.where(used, now - start, torch.zeros_like(now))
        return after

    def read(self, state: State, *, generator: torch.Generator | None = None) -> Tensor:
        """Return the conductance of each device, see `Synapse.read`."""
        conductance = self.inner.read(self._own(state), generator=None if READ in self.off else generator)
        return conductance + state[_CARRY] if self._unlimited else conductance

    def energy(self, state: State, pulses: Pulses) -> Tensor | None:
        """Return the energy that the pulses would take in the device itself; None if some stand for others."""
        return self.inner.energy(self._own(state), pulses) if self._fine == 1 and self._profile is None else None

    def relax(self, state: State, seconds: float, *, generator: torch.Generator | None = None) -> State:
        """Return the devices after a pause, see `Relaxing.relax`; unchanged without drift."""
        if self.retention is None:
            return dict(state)
        after: State = self.inner.relax(self._own(state), seconds, generator=generator)  # type: ignore[attr-defined]
        return {**state, **after}

    def _own(self, state: State) -> State:
        """Return the state of the device itself."""
        if not self._unlimited:
            return state
        return {name: value for name, value in state.items() if name != _CARRY and not name.startswith(_FRESH)}


def moving_entries(synapse: Synapse) -> tuple[str, ...]:
    """Return the entries of the state that the mean step of a pulse changes."""
    moving: dict[str, None] = {}
    for polarity in synapse.polarities:
        state = synapse.initial((1,), dtype=torch.float64)
        for sign in (-1.0, 1.0) if len(set(synapse.polarities)) > 1 else (1.0 if polarity == SET else -1.0,):
            with torch.no_grad():
                after = synapse.program(state, Pulses(torch.full((1,), 5 * sign, dtype=torch.float64)))
            moving |= {name: None for name in state if not torch.equal(after[name], state[name])}
            state = after
    return tuple(moving)


def varying_parameters(synapse: Synapse) -> tuple[str, ...]:
    """Return the constants that differ from device to device: entries of the state, or "entry[k]" of one with several."""
    moving = moving_entries(synapse)
    with torch.no_grad():
        devices = synapse.initial((_SAMPLES,), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        count = torch.full((_SAMPLES,), 200.0 if SET in synapse.polarities else -200.0, dtype=torch.float64)
        after = synapse.program(devices, Pulses(count), generator=torch.Generator().manual_seed(1))
    names = []
    for name, value in devices.items():
        if name in moving or not torch.equal(after[name], value):
            continue
        columns = value.reshape(_SAMPLES, -1).unbind(1)
        varying = [k for k, column in enumerate(columns) if bool((column != column[0]).any())]
        names += [name] if varying and len(columns) == 1 else [f"{name}[{k}]" for k in varying]
    return tuple(names)


def _set_parameter(state: State, name: str, typical: State) -> None:
    """Replace a constant of the devices by that of the typical one, in place."""
    entry, _, column = name.partition("[")
    if entry not in state:  # it belongs to another imperfection that was removed
        return
    if not column:
        state[entry] = typical[entry].clone()
        return
    values = state[entry].clone()
    values[..., int(column[:-1])] = typical[entry][..., int(column[:-1])]
    state[entry] = values
