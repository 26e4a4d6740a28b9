"""`Synapse`, the contract of memory devices that store weights, `Pulses`, and `SynapseModel`, the base class of models."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from ..errors import ConfigError, DomainError, DomainWarning
from ..units import readable
from ..validation import whole_numbers

#: State of a population of devices: named tensors whose shapes begin with that of the devices; the first has exactly that
#: shape. It includes constants that differ between devices (a threshold, a step size): a copy of it is a complete copy.
State = dict[str, Tensor]

SET, RESET = "SET", "RESET"

#: Largest number of pulses for one device in one call; more indicates a mistake of units or a diverged optimiser.
MAX_PULSES = 1_000_000


@dataclass(frozen=True, eq=False)
class Pulses:
    """Programming pulses for a population of devices, with a separate number for each device.

    Attributes:
        count: Whole number of pulses, shape (devices...): above zero SET (the conductance grows), below zero RESET.
        voltage: Amplitude [V] of the pulses, positive for both polarities; a number or shape (devices...). The device's own
            if None.
        width: Width [s] of the pulses, a number or shape (devices...). The device's own if None.

    Raises:
        ConfigError: counts that are NaN, infinite, not whole or more than a million; amplitudes or widths that are not
            positive.

    Example:
        >>> pulses = Pulses(torch.tensor([2.0, -1.0, 0.0]), voltage=1.5)
        >>> pulses.count.tolist(), pulses.voltage
        ([2.0, -1.0, 0.0], 1.5)
        >>> Pulses(torch.tensor([0.5]))
        Traceback (most recent call last):
        ...
        spinode.errors.ConfigError: 1 of 1 devices are given 0.5 pulses; expected whole numbers of at most 1e+06, above zero
        for SET and below for RESET. Is an update NaN, or not yet rounded?
    """

    count: Tensor
    voltage: Tensor | float | None = None
    width: Tensor | float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.count, Tensor):
            raise ConfigError(
                f"the number of pulses is a {type(self.count).__name__}; expected a tensor, one number per device."
            )
        if self.count.dtype.is_complex or self.count.dtype == torch.bool:
            raise ConfigError(f"the numbers of pulses are {self.count.dtype}; expected whole numbers, such as count.float().")
        count = self.count.detach()
        if not torch.equal(count, count.round()) or (count.numel() and float(count.abs().max()) > MAX_PULSES):
            bad = count[~((count == count.round()) & (count.abs() <= MAX_PULSES))].reshape(-1)
            raise ConfigError(
                f"{bad.numel()} of {count.numel()} devices are given {float(bad[0]):g} pulses; expected whole numbers of at "
                f"most {MAX_PULSES:g}, above zero for SET and below for RESET. Is an update NaN, or not yet rounded?"
            )
        for name, value, unit in (("voltage", self.voltage, "V"), ("width", self.width, "s")):
            if value is not None and not bool((torch.as_tensor(value).detach() > 0).all()):
                raise ConfigError(
                    f"the {name} of a pulse is {_first_bad(value)} {unit}; expected a positive number: the polarity is the "
                    "sign of the count."
                )

    @classmethod
    def unchecked(cls, count: Tensor, voltage: Tensor | float | None = None, width: Tensor | float | None = None) -> Pulses:
        """Return pulses whose values were checked before, which saves the time to check a million counts again."""
        pulses = object.__new__(cls)
        for name, value in (("count", count), ("voltage", voltage), ("width", width)):
            object.__setattr__(pulses, name, value)
        return pulses


def _first_bad(value: Tensor | float) -> str:
    values = torch.as_tensor(value).detach().reshape(-1)
    return f"{float(values[~(values > 0)][0]):g}"


@runtime_checkable
class Synapse(Protocol):
    """Model of a memory device whose conductance stores a weight.

    A population of devices is a `State`; a call handles a million of them. Noise is drawn only where a generator is given:
    without one, `initial` returns typical devices, `program` takes the mean step, and `read` returns the conductance itself.

    Attributes:
        low: Lower end of the usual conductance range, in `unit`.
        high: Upper end of that range.
        unit: SI unit of the conductance: "S", or "" for a normalised conductance.
        polarities: Polarities to which the device responds: "SET", "RESET" or both.

    Example:
        >>> from spinode.datasets import WeakReset
        >>> device = WeakReset()
        >>> isinstance(device, Synapse), device.polarities
        (True, ('RESET',))
        >>> state = device.initial((3,))
        >>> after = device.program(state, Pulses(torch.tensor([0.0, -1.0, -2.0])))
        >>> change = device.read(after) - device.read(state)
        >>> (change / change[1]).round().tolist()
        [-0.0, 1.0, 2.0]
    """

    low: float
    high: float
    unit: str
    polarities: tuple[str, ...]

    def initial(
        self, shape: Sequence[int], *, generator: torch.Generator | None = None, dtype: torch.dtype = torch.float32
    ) -> State:
        """Return fresh devices.

        Args:
            shape: Shape of the population, such as (1000, 784).
            generator: Source of device-to-device variation; all devices are the typical one if omitted.
            dtype: Floating-point type of the state.
        """

    def program(self, state: State, pulses: Pulses, *, generator: torch.Generator | None = None) -> State:
        """Apply pulses and return the new state; `state` is not changed.

        Args:
            state: From `initial` or an earlier `program`.
            pulses: Pulses of each device.
            generator: Source of cycle-to-cycle noise; the mean step if omitted.
        """

    def read(self, state: State, *, generator: torch.Generator | None = None) -> Tensor:
        """Return the conductance of each device [`unit`], shape (devices...).

        Args:
            state: From `initial` or `program`.
            generator: Source of read noise; the conductance itself if omitted.
        """

    def energy(self, state: State, pulses: Pulses) -> Tensor | None:
        """Return the energy [J] that the pulses take in each device, shape (devices...); None if the model does not know it."""


class SynapseModel:
    """Base class of device models: it checks all arguments, a model adds its equations.

    A model sets the attributes of `Synapse` and implements `_initial`, `_program` and `_read`, whose arguments are checked.

    Attributes:
        low: See `Synapse`.
        high: See `Synapse`.
        unit: See `Synapse`.
        polarities: See `Synapse`.
        voltage: Usual amplitudes [V] of SET and RESET pulses, both positive; None if the model does not depend on voltage.
        width: Usual width [s] of a pulse; None if the model does not depend on it.
        voltage_range: Smallest and largest amplitude [V] for which the model is valid.
        width_range: Smallest and largest width [s] for which the model is valid.
        strict: Raise an error for pulses outside these ranges; otherwise clip them to the range, with one warning.

    Example:
        >>> class Step(SynapseModel):
        ...     unit = ""
        ...     def _initial(self, shape, generator, dtype):
        ...         return {"g": torch.full(shape, 0.5, dtype=dtype)}
        ...     def _program(self, state, pulses, generator):
        ...         return {"g": (state["g"] + 0.1 * pulses.count).clamp(0, 1)}
        ...     def _read(self, state, generator):
        ...         return state["g"]
        >>> device = Step()
        >>> device.read(device.program(device.initial((2,)), Pulses(torch.tensor([2.0, -9.0]))))
        tensor([0.7000, 0.0000])
    """

    low: float = 0.0
    high: float = 1.0
    unit: str = "S"
    polarities: tuple[str, ...] = (SET, RESET)
    voltage: tuple[float, float] | None = None
    width: float | None = None
    voltage_range: tuple[float, float] | None = None
    width_range: tuple[float, float] | None = None
    strict: bool = False

    # --- to be implemented by a model --------------------------------------------------------------------------------

    def _initial(self, shape: tuple[int, ...], generator: torch.Generator | None, dtype: torch.dtype) -> State:
        raise NotImplementedError

    def _program(self, state: State, pulses: Pulses, generator: torch.Generator | None) -> State:
        """Return the new state; amplitude and width of the pulses are set if the model depends on them, otherwise None."""
        raise NotImplementedError

    def _read(self, state: State, generator: torch.Generator | None) -> Tensor:
        raise NotImplementedError

    # --- the contract ------------------------------------------------------------------------------------------------

    def initial(
        self, shape: Sequence[int], *, generator: torch.Generator | None = None, dtype: torch.dtype = torch.float32
    ) -> State:
        """Return fresh devices, see `Synapse.initial`.

        Args:
            shape: Shape of the population, such as (1000, 784).
            generator: Source of device-to-device variation; all devices are the typical one if omitted.
            dtype: Floating-point type of the state.

        Raises:
            ConfigError: a shape without devices, or a type that is not floating-point.
        """
        sizes = whole_numbers("shape", shape, 1, empty=True, example=(1000, 784))
        if not dtype.is_floating_point:
            raise ConfigError(f"dtype is {dtype}; expected a floating-point type, such as torch.float32.")
        return self._initial(sizes, generator, dtype)

    def program(self, state: State, pulses: Pulses, *, generator: torch.Generator | None = None) -> State:
        """Apply pulses and return the new state, see `Synapse.program`.

        Args:
            state: From `initial` or an earlier `program`; it is not changed.
            pulses: Pulses of each device.
            generator: Source of cycle-to-cycle noise; the mean step if omitted.

        Raises:
            ConfigError: pulses of another shape than the devices, of a polarity to which the device does not respond, or
                with an amplitude or width on which the model does not depend.
            DomainError: if `strict`, a pulse outside the ranges for which the model is valid.
        """
        try:
            return self._program(state, self._complete(state, pulses), generator)
        except KeyError as error:
            raise self._wrong_state(state, error) from None

    def read(self, state: State, *, generator: torch.Generator | None = None) -> Tensor:
        """Return the conductance [`unit`] of each device, see `Synapse.read`.

        Args:
            state: From `initial` or `program`.
            generator: Source of read noise; the conductance itself if omitted.
        """
        try:
            return self._read(state, generator)
        except KeyError as error:
            raise self._wrong_state(state, error) from None

    def _wrong_state(self, state: State, error: KeyError) -> ConfigError:
        return ConfigError(
            f"the state has {', '.join(state) or 'no entries'} but not {error}: it belongs to another synapse. Pass a state "
            f"from `initial` of this {type(self).__name__}."
        )

    def energy(self, state: State, pulses: Pulses) -> Tensor | None:
        """Return the energy [J] of the pulses in each device, n V^2 G t, with G before the pulses.

        None if the model does not depend on voltage and width, or its conductance is not in siemens.
        """
        complete = self._complete(state, pulses)
        if complete.voltage is None or complete.width is None or self.unit != "S":
            return None
        conductance = self._read(state, None)
        return complete.count.abs() * complete.voltage**2 * conductance * complete.width

    def _repr_html_(self) -> str:
        """Return the kind of device and a picture of a few devices under pulses, for notebooks."""
        from .synapse_picture import synapse_html

        def pulse(polarity: str, devices: int) -> Pulses:
            return Pulses(torch.full((devices,), 1.0 if polarity == SET else -1.0))

        return synapse_html(self, pulse)

    # --- checks ------------------------------------------------------------------------------------------------------

    def _complete(self, state: State, pulses: Pulses) -> Pulses:
        """Check pulses against devices and model, and fill in the model's own amplitude and width where none was given."""
        if not isinstance(pulses, Pulses):
            raise ConfigError(f"pulses is a {type(pulses).__name__}; expected spinode.Pulses(count).")
        devices = next(iter(state.values()))
        count = pulses.count.to(devices)
        if count.shape != devices.shape:
            raise ConfigError(
                f"the pulses have shape {tuple(count.shape)}, the devices {tuple(devices.shape)}; expected one number of "
                "pulses for each device."
            )
        values = count.detach()
        for name, sign in ((SET, 1), (RESET, -1)):
            # The extreme first: it needs no copy of a million counts.
            if name not in self.polarities and float((values.amax() if sign > 0 else values.amin()) * sign) > 0:
                raise ConfigError(
                    f"{int((values * sign > 0).sum())} devices are given {name} pulses, but this device responds to "
                    f"{', '.join(self.polarities)} only; use two devices for a weight, or `initial` for fresh ones."
                )
        own: Tensor | float | None = None
        if self.voltage is not None:
            up, down = self.voltage
            own = up if up == down else torch.where(count > 0, count.new_tensor(up), count.new_tensor(down))
        voltage = self._within_range("voltage", "V", pulses.voltage, own, self.voltage_range, devices)
        return Pulses.unchecked(
            count, voltage, self._within_range("width", "s", pulses.width, self.width, self.width_range, devices)
        )

    def _within_range(
        self,
        name: str,
        unit: str,
        given: Tensor | float | None,
        own: Tensor | float | None,
        bounds: tuple[float, float] | None,
        devices: Tensor,
    ) -> Tensor | float | None:
        """Return an amplitude or width within the range of the model; its own if none was given."""
        if given is None:
            return own
        if own is None and bounds is None:
            raise ConfigError(f"pulses have a {name}, but this device model does not depend on it; leave {name}= out.")
        if isinstance(given, Tensor):
            given = given.to(devices)
            if not _broadcasts_to(given.shape, devices.shape):
                raise ConfigError(
                    f"{name} has shape {tuple(given.shape)}, the devices {tuple(devices.shape)}; expected one number, or one "
                    "for each device."
                )
        if bounds is None:
            return given
        low, high = bounds
        values = torch.as_tensor(given).detach()
        # Rounding to single precision must not move a value at the edge outside.
        outside = (values < low * (1 - 1e-6)) | (values > high * (1 + 1e-6))
        if not bool(outside.any()):
            return given
        example = readable(float(values[outside].reshape(-1)[0]), unit)
        message = (
            f"{int(outside.sum())} pulses have a {name} such as {example}, outside "
            f"the range {readable(low, unit)} .. {readable(high, unit)} of the model"
        )
        if self.strict:
            raise DomainError(f"{message}. Program inside that range, or set strict = False to clip to it.")
        if not getattr(self, "_warned", False):
            object.__setattr__(self, "_warned", True)
            warnings.warn(f"{message}; they are clipped to it.", DomainWarning, stacklevel=4)
        return given.clamp(low, high) if isinstance(given, Tensor) else min(max(given, low), high)


def _broadcasts_to(shape: torch.Size, target: torch.Size) -> bool:
    try:
        return bool(torch.broadcast_shapes(shape, target) == target)
    except RuntimeError:
        return False


def check_synapse(synapse: Any) -> Synapse:
    """Return the synapse, or raise a `ConfigError` if it is not one."""
    if isinstance(synapse, type) or not isinstance(synapse, Synapse):
        raise ConfigError(
            f"synapse is {synapse!r}; expected a device model: an instance such as WeakReset(), or load(name) of a file or "
            "of the zoo."
        )
    return synapse
