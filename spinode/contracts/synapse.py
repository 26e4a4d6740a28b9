"""`Synapse`, the contract of memory devices that hold weights, `Pulses`, and the base of the models that keep it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from ..errors import ConfigError, DomainError, DomainWarning
from ..units import readable

#: What a population of devices remembers: named tensors, each beginning with the devices' shape; the first has exactly it.
#: Constants that differ between devices (a threshold, a step size) stand here too, so that a copy of it is the whole device.
State = dict[str, Tensor]

SET, RESET = "SET", "RESET"

#: Most pulses of one programming call for one device; more is a mistake of units or a diverged optimiser.
MAX_PULSES = 1_000_000


@dataclass(frozen=True, eq=False)
class Pulses:
    """Programming pulses for many devices, each device its own number.

    Attributes:
        count: Number of pulses, whole, shape (devices...): above zero SET (the conductance grows), below zero RESET.
        voltage: Amplitude [V] of each pulse, above zero whatever the polarity; a number or shape (devices...). The
            device's own if None.
        width: Width [s] of each pulse, likewise.

    Raises:
        ConfigError: counts that are NaN, infinite, not whole or more than a million; amplitudes or widths that are not
            positive.
    """

    count: Tensor
    voltage: Tensor | float | None = None
    width: Tensor | float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.count, Tensor):
            raise ConfigError(f"the number of pulses is a {type(self.count).__name__}; expected a tensor, one number a device.")
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
    def _trusted(cls, count: Tensor, voltage: Tensor | float | None, width: Tensor | float | None) -> Pulses:
        """Pulses that were checked before: a million counts are not looked at twice."""
        made = object.__new__(cls)
        for name, value in (("count", count), ("voltage", voltage), ("width", width)):
            object.__setattr__(made, name, value)
        return made


def _first_bad(value: Tensor | float) -> str:
    values = torch.as_tensor(value).detach().reshape(-1)
    return f"{float(values[~(values > 0)][0]):g}"


@runtime_checkable
class Synapse(Protocol):
    """A kind of memory device whose conductance holds a weight; its populations are `State`s, of a million devices in one call.

    Noise is drawn where a generator is given, and only there: without one, `initial` makes the typical device, `program`
    takes the mean step and `read` returns the conductance itself.

    Attributes:
        low: Lower end of the usual conductance range, in `unit`.
        high: Upper end.
        unit: SI unit of what `read` returns: "S", or "" for a normalised conductance.
        polarities: Which of "SET" and "RESET" pulses the device answers.
    """

    low: float
    high: float
    unit: str
    polarities: tuple[str, ...]

    def initial(
        self, shape: Sequence[int], *, generator: torch.Generator | None = None, dtype: torch.dtype = torch.float32
    ) -> State:
        """Fresh devices, each with constants of its own if a generator is given."""

    def program(self, state: State, pulses: Pulses, *, generator: torch.Generator | None = None) -> State:
        """The devices after their pulses, with cycle-to-cycle noise if a generator is given; `state` is left as it was."""

    def read(self, state: State, *, generator: torch.Generator | None = None) -> Tensor:
        """Conductance of each device [`unit`], shape (devices...), with read noise if a generator is given."""

    def energy(self, state: State, pulses: Pulses) -> Tensor | None:
        """Energy [J] that the pulses take in each device, shape (devices...); None where the model knows none."""


class SynapseModel:
    """Base of the models: the checks at the door stand here once, a model adds its equations.

    A model sets the attributes of `Synapse` and writes `_initial`, `_program` and `_read`, on tensors that need no check.

    Attributes:
        low: See `Synapse`.
        high: See `Synapse`.
        unit: See `Synapse`.
        polarities: See `Synapse`.
        voltage: Usual amplitudes [V] of SET and RESET pulses, both positive; None where voltage plays no part in the model.
        width: Usual width [s] of a pulse; None where it plays no part.
        voltage_range: Least and greatest amplitude [V] that the model holds for.
        width_range: Least and greatest width [s] that it holds for.
        strict: Raise where a pulse lies outside these ranges; otherwise it is brought to their edge, with one warning.
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

    # --- what a model writes -----------------------------------------------------------------------------------------

    def _initial(self, shape: tuple[int, ...], generator: torch.Generator | None, dtype: torch.dtype) -> State:
        raise NotImplementedError

    def _program(self, state: State, pulses: Pulses, generator: torch.Generator | None) -> State:
        """Pulses are complete here: amplitude and width are numbers or tensors where the model knows them, else None."""
        raise NotImplementedError

    def _read(self, state: State, generator: torch.Generator | None) -> Tensor:
        raise NotImplementedError

    # --- the contract ------------------------------------------------------------------------------------------------

    def initial(
        self, shape: Sequence[int], *, generator: torch.Generator | None = None, dtype: torch.dtype = torch.float32
    ) -> State:
        """Fresh devices, see `Synapse.initial`.

        Args:
            shape: The devices' shape, such as (1000, 784).
            generator: Source of device-to-device differences; the typical device everywhere if omitted.
            dtype: Floating-point type of the state.

        Raises:
            ConfigError: a shape that holds no device, or a type that is not floating-point.
        """
        try:
            sizes = tuple(int(size) for size in shape)
        except TypeError:
            raise ConfigError(f"shape is {shape!r}; expected the devices' shape, such as (1000, 784).") from None
        if any(size < 1 for size in sizes):
            raise ConfigError(f"shape is {sizes}; expected positive sizes, such as (1000, 784).")
        if not dtype.is_floating_point:
            raise ConfigError(f"dtype is {dtype}; expected a floating-point type, such as torch.float32.")
        return self._initial(sizes, generator, dtype)

    def program(self, state: State, pulses: Pulses, *, generator: torch.Generator | None = None) -> State:
        """The devices after their pulses, see `Synapse.program`.

        Args:
            state: What `initial` or an earlier `program` returned; it is left as it was.
            pulses: For each device.
            generator: Source of cycle-to-cycle noise; the mean step if omitted.

        Raises:
            ConfigError: pulses of another shape than the devices, of a polarity that the device does not answer, or with an
                amplitude or width that the model does not know.
            DomainError: if `strict`, a pulse outside the ranges that the model holds for.
        """
        try:
            return self._program(state, self._complete(state, pulses), generator)
        except KeyError as error:
            raise self._foreign(state, error) from None

    def read(self, state: State, *, generator: torch.Generator | None = None) -> Tensor:
        """Conductance [`unit`] of each device, shape (devices...), with read noise if a generator is given."""
        try:
            return self._read(state, generator)
        except KeyError as error:
            raise self._foreign(state, error) from None

    def _foreign(self, state: State, error: KeyError) -> ConfigError:
        return ConfigError(
            f"the state holds {', '.join(state) or 'nothing'} and not {error}: it belongs to another synapse. Pass what "
            f"`initial` of this {type(self).__name__} returned."
        )

    def energy(self, state: State, pulses: Pulses) -> Tensor | None:
        """Energy [J] of the pulses in each device: n V^2 G t, G before the pulses; None without voltage, width or siemens."""
        complete = self._complete(state, pulses)
        if complete.voltage is None or complete.width is None or self.unit != "S":
            return None
        conductance = self._read(state, None)
        return complete.count.abs() * complete.voltage**2 * conductance * complete.width

    # --- the door ----------------------------------------------------------------------------------------------------

    def _complete(self, state: State, pulses: Pulses) -> Pulses:
        """The pulses checked against devices and model, with the model's own amplitude and width where none was given."""
        if not isinstance(pulses, Pulses):
            raise ConfigError(f"pulses is a {type(pulses).__name__}; expected spinode.Pulses(count).")
        devices = next(iter(state.values()))
        count = pulses.count.to(devices)
        if count.shape != devices.shape:
            raise ConfigError(
                f"there are pulses for devices of shape {tuple(count.shape)}, the devices have {tuple(devices.shape)}; "
                "expected one number of pulses for each device."
            )
        given = count.detach()
        for name, sign in ((SET, 1), (RESET, -1)):
            # The extreme first: it takes no copy of a million counts.
            if name not in self.polarities and float((given.amax() if sign > 0 else given.amin()) * sign) > 0:
                raise ConfigError(
                    f"{int((given * sign > 0).sum())} devices are given {name} pulses, and this device knows "
                    f"{', '.join(self.polarities)} only; use two devices for a weight, or `initial` for fresh ones."
                )
        own: Tensor | float | None = None
        if self.voltage is not None:
            up, down = self.voltage
            own = up if up == down else torch.where(count > 0, count.new_tensor(up), count.new_tensor(down))
        voltage = self._inside("voltage", "V", pulses.voltage, own, self.voltage_range, devices)
        return Pulses._trusted(count, voltage, self._inside("width", "s", pulses.width, self.width, self.width_range, devices))

    def _inside(
        self,
        name: str,
        unit: str,
        given: Tensor | float | None,
        own: Tensor | float | None,
        bounds: tuple[float, float] | None,
        devices: Tensor,
    ) -> Tensor | float | None:
        """An amplitude or width within the range of the model."""
        if given is None:
            return own
        if own is None and bounds is None:
            raise ConfigError(f"pulses have a {name}, and this device model knows none; leave {name}= out.")
        if isinstance(given, Tensor):
            given = given.to(devices)
            if torch.broadcast_shapes(given.shape, devices.shape) != devices.shape:
                raise ConfigError(
                    f"{name} has shape {tuple(given.shape)}, the devices {tuple(devices.shape)}; expected one number, or one "
                    "for each."
                )
        if bounds is None:
            return given
        low, high = bounds
        values = torch.as_tensor(given).detach()
        # Single precision must not put a value at the edge outside.
        beyond = (values < low * (1 - 1e-6)) | (values > high * (1 + 1e-6))
        if not bool(beyond.any()):
            return given
        message = (
            f"{int(beyond.sum())} pulses have a {name} such as {readable(float(values[beyond].reshape(-1)[0]), unit)}, outside "
            f"{readable(low, unit)} .. {readable(high, unit)} that the model holds for"
        )
        if self.strict:
            raise DomainError(f"{message}. Program inside that range, or set strict = False to stop at its edge.")
        if not getattr(self, "_warned", False):
            object.__setattr__(self, "_warned", True)
            warnings.warn(f"{message}; they are taken to its edge.", DomainWarning, stacklevel=4)
        return given.clamp(low, high) if isinstance(given, Tensor) else min(max(given, low), high)
