"""`SynapseSurrogate`: a memory device fitted from its pulses, with its noise, its spread and what is not known of them."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...contracts.synapse import RESET, SET, Pulses, State, SynapseModel
from ...errors import ConfigError, DomainError, DomainWarning
from ...random import bernoulli_indices
from ...units import readable
from .. import artifacts
from .drift import Drift
from .noise import LOGS, POLYNOMIAL, NoiseModel
from .population import Population
from .pulse_data import Inputs, Scale
from .retention import Retention
from .telegraph import TelegraphNoise

#: Fewest devices (or cycles of one device) whose spread is believed.
FEWEST = 10


class SynapseSurrogate(SynapseModel, nn.Module):
    """A Neural-ODE model of a memory device under programming pulses, with noise and device-to-device spread.

        dx/dn = f(x, p, V, t; z)                  drift per pulse n of polarity p, see `spinode.surrogates.synapses.drift.Drift`
        x accumulates noise of deviation sigma_p(x) sqrt(n)
        G = T(x + a + h), T linear or exponential

    with a the correlated noise that pulses forget, h random telegraph noise, and white noise at each read. `initial` draws
    devices, `program` advances them by pulses, `read` reads them: see `spinode.Synapse`. Differentiable in state, voltage,
    width, weights and (through a rounding that passes gradients) the number of pulses.

    Attributes:
        drift: The Neural ODE, double precision; a copy in single serves states in single precision. Its weights take no
            gradient until `drift.requires_grad_()` asks for one.
        noise_model: Which noise there is; `noise` holds its parameters.
        population: Distribution over devices (or, from one device, over its cycles); None where they do not differ. Of fewer
            than ten, only the mean is used.
        of_devices: Whether the population is one of devices. From one device it is not: its spread is from cycle to cycle.
        trap: Rates of random telegraph noise, None where none was found.
        retention: Drift between pulses, None where the recordings have no pauses.
        scale: Conductance to state.
        inputs: How voltage and width enter.
        seen: Least and greatest state that was seen; a quarter of that span beyond, states stop.
        chunk: Most pulses of one midpoint step.
        record: What it was fitted on and how, scores and uncertainties (plain JSON).

    Source: the method is this package's own; noise by state-space likelihood as in R. E. Kalman (1960), populations by
    importance resampling, see `Population`.
    """

    noise: Tensor
    posterior_noise: Tensor
    posterior_weights: Tensor

    def __init__(
        self,
        *,
        drift: Drift,
        noise_model: NoiseModel,
        noise: Tensor,
        scale: Scale,
        inputs: Inputs,
        seen: tuple[float, float],
        polarities: Sequence[str],
        unit: str,
        first: float = 0.0,
        population: Population | None = None,
        of_devices: bool = False,
        trap: TelegraphNoise | None = None,
        retention: Retention | None = None,
        chunk: float = 1.0,
        posterior_noise: Tensor | None = None,
        posterior_weights: Tensor | None = None,
        record: Mapping[str, Any] | None = None,
    ) -> None:
        nn.Module.__init__(self)
        self.drift = drift.requires_grad_(False)
        self.noise_model, self.scale, self.inputs = noise_model, scale, inputs
        self.population, self.of_devices, self.trap, self.retention = population, of_devices, trap, retention
        self.first, self.seen, self.chunk = float(first), (float(seen[0]), float(seen[1])), float(chunk)
        self.polarities, self.unit = tuple(polarities), unit
        size, last = len(noise), _last_layer(drift)
        self.register_buffer("noise", noise.detach().clone().double())
        none = torch.zeros(size, size, dtype=torch.float64)
        self.register_buffer("posterior_noise", none if posterior_noise is None else posterior_noise.clone())
        none = torch.zeros(last, last, dtype=torch.float64)
        self.register_buffer("posterior_weights", none if posterior_weights is None else posterior_weights.clone())
        self.record: dict[str, Any] = dict(record or {})
        self.with_noise, self.with_traps = True, trap is not None
        self.with_spread = population is not None and len(population.weights) >= FEWEST
        self.low, self.high = sorted(float(v) for v in self._conductance(torch.tensor(seen, dtype=torch.float64)))
        for name in ("voltage", "width"):
            if name in inputs.ranges:
                setattr(self, f"{name}_range", inputs.ranges[name])
        if "voltage" in inputs.usual:
            self.voltage = inputs.usual["voltage"]
        if "width" in inputs.usual:
            self.width = math.sqrt(inputs.usual["width"][0] * inputs.usual["width"][1])
        self._single: tuple[tuple[int, ...], Drift] | None = None

    # --- variants ----------------------------------------------------------------------------------------------------

    def only(self, *, c2c: bool = True, rtn: bool = True, d2d: bool = True) -> SynapseSurrogate:
        """A copy with some kinds of randomness left out, sharing the weights.

        Args:
            c2c: Accumulating and correlated noise of pulses, and read noise.
            rtn: Random telegraph noise, where the recordings have it.
            d2d: Differences between devices.

        Raises:
            ConfigError: `d2d` of a surrogate that was fitted on one device.
        """
        if d2d:
            self._check_spread()
        made = copy.copy(self)
        made.with_noise, made.with_traps, made.with_spread = c2c, rtn and self.trap is not None, d2d
        return made

    def posterior(self, generator: torch.Generator) -> SynapseSurrogate:
        """A copy whose drift, noise and population are drawn from what the data leave open; few data, wide draws.

        The weights of the network's last layer and the noise parameters are drawn from their Laplace approximations, the
        devices of the population get other weights (a Bayesian bootstrap).
        """
        made = copy.copy(self)
        made._modules = dict(self._modules)
        made._buffers = dict(self._buffers)
        made.drift, made._single = copy.deepcopy(self.drift), None
        shift = _draw(self.posterior_weights, generator)
        position = 0
        with torch.no_grad():
            for weight in _last_weights(made.drift):
                weight.add_(shift[position : position + weight.numel()].reshape(weight.shape))
                position += weight.numel()
        made.noise = self.noise + _draw(self.posterior_noise, generator)
        if self.population is not None:
            made.population = self.population.resampled(generator)
        return made

    def devices(self, count: int, generator: torch.Generator) -> Tensor:
        """Latent parameters of virtual devices (first state, then `drift.latents.names`), shape (count, parameters).

        Raises:
            ConfigError: the surrogate was fitted on one device.
        """
        self._check_spread()
        assert self.population is not None
        if not (isinstance(count, int) and count > 0):
            raise ConfigError(f"count is {count!r}; expected a whole number of devices above zero.")
        return self.population.draw(count, generator)

    def _check_spread(self) -> None:
        if not (self.of_devices and self.population is not None):
            raise ConfigError(
                f"the surrogate was fitted on {self.record.get('devices', 1)} device(s): it knows the spread from cycle to "
                "cycle but not the one from device to device. Fit it on more devices (ten at least), or ask for cycle-to-cycle "
                "noise alone."
            )

    # --- the contract ------------------------------------------------------------------------------------------------

    def _initial(self, shape: tuple[int, ...], generator: torch.Generator | None, dtype: torch.dtype) -> State:
        dtype = torch.promote_types(dtype, torch.float32)
        count = math.prod(shape)
        size = len(self.drift.latents.names)
        if generator is not None and self.population is not None and self.with_spread:
            drawn = self.population.draw(count, generator)
        else:
            typical = torch.zeros(1 + size, dtype=torch.float64) if self.population is None else self.population.typical
            drawn = typical.clone().expand(count, -1).clone()
            if self.population is None:
                drawn[:, 0] = self.first
        return self._state(drawn, shape, generator, dtype)

    def _state(self, drawn: Tensor, shape: tuple[int, ...], generator: torch.Generator | None, dtype: torch.dtype) -> State:
        """A state from first states and latents, with noise that has gone on before."""
        # Devices innermost in memory, as the kernels like it.
        rows = drawn.T.to(dtype).contiguous()
        state = {"state": rows[0].reshape(shape).clone(), "latents": rows[1:].reshape(-1, *shape).movedim(0, -1)}
        if self.drift.tied:
            state["first"] = state["state"].clone()
        noisy = generator is not None and self.with_noise
        if self.noise_model.memory:
            state["flicker"] = _normal(shape, generator, dtype) if noisy else torch.zeros(shape, dtype=dtype)
            state["flicker"] *= math.exp(self._value("log correlated read"))
        if self.trap is not None:
            state["trap"] = torch.zeros(shape, dtype=dtype)
            if generator is not None and self.with_traps:
                filled = torch.rand(shape, generator=generator, dtype=dtype) < self.trap.occupancy
                state["trap"] = torch.where(filled, self._depth(shape, generator, dtype), state["trap"])
        return state

    def at(self, conductance: Tensor, *, generator: torch.Generator | None = None) -> State:
        """Devices that were just read: their state is what the read tells, as uncertain as read noise leaves it.

        Their latent parameters are those of devices of the population that begin there.

        Args:
            conductance: Reads [`unit`], shape (devices...).
            generator: Source of the uncertainty, and of latent parameters; the read itself and typical ones if omitted.

        Raises:
            ConfigError: a read that is not finite, or not positive under a logarithmic scale.
        """
        read = torch.as_tensor(conductance)
        if not bool(torch.isfinite(read).all()) or (self.scale.kind == "log" and not bool((read > 0).all())):
            least = 0.0 if self.scale.kind == "log" else -math.inf
            wrong = ~(torch.isfinite(read) & (read > least))
            raise ConfigError(
                f"{int(wrong.sum())} of {read.numel()} reads cannot be conductances of this device, such as "
                f"{float(read[wrong].reshape(-1)[0]):g}; expected finite numbers in {self.unit or 'its unit'}, above "
                f"{least:g}."
            )
        dtype = torch.promote_types(read.dtype, torch.float32)
        shape = tuple(read.shape)
        x = self._dimensionless(read.to(dtype))
        self._check_range(read, x)
        latents = torch.zeros(x.numel(), len(self.drift.latents.names), dtype=torch.float64)
        if self.population is not None:
            latents = self.population.given(x.reshape(-1), generator if self.with_spread else None)
        state = self._state(torch.cat([x.reshape(-1, 1).double(), latents], 1), shape, generator, dtype)
        if generator is not None and self.with_noise:
            x = x - self._read_deviation(x) * _normal(tuple(x.shape), generator, dtype)
        for name in ("flicker", "trap"):
            if name in state:
                x = x - state[name]
        state["state"] = x.clamp(*self._limits)
        if "first" in state:
            state["first"] = state["state"].clone()
        return state

    def _check_range(self, read: Tensor, x: Tensor) -> None:
        low, high = self._limits
        beyond = (x < low) | (x > high)
        if not bool(beyond.any()):
            return
        message = (
            f"{int(beyond.sum())} of {read.numel()} reads lie far beyond what the surrogate was fitted on "
            f"({readable(self.low, self.unit)} .. {readable(self.high, self.unit)}), such as "
            f"{readable(float(read[beyond].reshape(-1)[0]), self.unit)}"
        )
        if self.strict:
            raise DomainError(f"{message}. Begin inside, fit on recordings that go there, or set strict = False.")
        warnings.warn(f"{message}; they are taken to its edge.", DomainWarning, stacklevel=3)

    def _program(self, state: State, pulses: Pulses, generator: torch.Generator | None) -> State:
        count = pulses.count
        number = count.abs()
        most = float(number.detach().max()) if number.numel() else 0.0
        if most == 0:
            return dict(state)
        x = state["state"]
        if x.dtype != torch.float64 and self._learns:  # weights are double: a single copy would keep their gradients
            wide = Pulses._trusted(count.double(), pulses.voltage, pulses.width)
            found = self._program({name: value.double() for name, value in state.items()}, wide, generator)
            return {name: value.to(x.dtype) for name, value in found.items()}
        drift = self._drift(x.dtype)
        polarity = torch.where(count < 0, -1.0, 1.0).to(x.dtype) if len(self.polarities) > 1 else self._sign
        extra = self._extra(pulses, x)
        # Each device takes as many steps as its own pulses ask for: what others get is nothing to it.
        own = (number.detach() / self.chunk).ceil().clamp(min=1)
        parts = max(1, math.ceil(most / self.chunk))
        share = number / own if parts > 1 else number
        noisy = generator is not None and self.with_noise
        after = dict(state)
        for index in range(parts):
            part = share if index == 0 else torch.where(own > index, share, torch.zeros_like(share))
            step = drift.change(x, part, polarity, extra, state["latents"], state.get("first", x))
            if noisy:
                deviation = self._accumulating(x, polarity) * _root(part)
                step = torch.addcmul(step, deviation, _normal(tuple(x.shape), generator, x.dtype))
            x = (x + step).clamp(*self._limits)
        after["state"] = x
        if noisy and "flicker" in state:
            keep = torch.exp(-number / math.exp(self._value("log memory")))
            size = math.exp(self._value("log correlated read"))
            fresh = _normal(tuple(x.shape), generator, x.dtype).mul_(size)
            after["flicker"] = torch.addcmul(keep * state["flicker"], _root(1 - keep * keep), fresh)
        if generator is not None and self.with_traps and "trap" in state:
            after["trap"] = self._trapped(state["trap"], number, generator)
        return after

    def _read(self, state: State, generator: torch.Generator | None) -> Tensor:
        x = state["state"]
        for name in ("flicker", "trap"):
            if name in state:
                x = x + state[name]
        if generator is not None and self.with_noise:
            x = torch.addcmul(x, self._read_deviation(x), _normal(tuple(x.shape), generator, x.dtype))
        return self._conductance(x)

    def relax(self, state: State, seconds: float, *, generator: torch.Generator | None = None) -> State:
        """The devices after a pause without pulses, see `spinode.surrogates.synapses.retention.Retention`.

        Raises:
            ConfigError: a negative pause, or a surrogate whose recordings had no pauses.
        """
        if self.retention is None:
            raise ConfigError("the recordings had no pauses: nothing is known of retention; fit on traces with waiting times.")
        after = dict(state)
        after["state"] = self.retention.after(state["state"], seconds, generator).clamp(*self._limits)
        return after

    def saturated(self, state: State) -> Tensor:
        """Whether each device is beyond the states that were seen, shape (devices...): there the drift is an extrapolation."""
        low, high = self.seen
        return (state["state"] < low) | (state["state"] > high)

    # --- pieces ------------------------------------------------------------------------------------------------------

    @property
    def _limits(self) -> tuple[float, float]:
        low, high = self.seen
        margin = 0.25 * (high - low)
        return low - margin, high + margin

    @property
    def _sign(self) -> Tensor:
        return torch.tensor(1.0 if self.polarities == (SET,) else -1.0)

    def _drift(self, dtype: torch.dtype) -> Drift:
        """The drift in the precision of the state; the single-precision copy is made once."""
        if dtype == torch.float64:
            return self.drift
        versions = tuple(p._version for p in self.drift.parameters())
        if self._single is None or self._single[0] != versions:  # weights loaded or trained since
            object.__setattr__(self, "_single", (versions, copy.deepcopy(self.drift).to(dtype).requires_grad_(False)))
        assert self._single is not None
        return self._single[1]

    @property
    def _learns(self) -> bool:
        return torch.is_grad_enabled() and any(p.requires_grad for p in self.drift.parameters())

    def _value(self, name: str) -> float:
        return float(self.noise[self.noise_model.names.index(name)])

    def _accumulating(self, x: Tensor, polarity: Tensor) -> Tensor:
        """Deviation of the noise that one pulse adds, shape of x."""
        own = [self._polynomial(x, name) for name in self.noise_model.polarities]
        return own[0] if len(own) == 1 else torch.where(polarity > 0, own[0], own[1])

    def _polynomial(self, x: Tensor, name: str) -> Tensor:
        base, slope, curvature = (self._value(f"{part} {name}") for part in POLYNOMIAL)
        inside = x.clamp(*self.seen)
        if not (slope or curvature):
            return inside.new_tensor(math.exp(min(max(base, LOGS[0]), LOGS[1])))
        return (base + inside * (slope + curvature * inside)).clamp_(*LOGS).exp_()

    def _read_deviation(self, x: Tensor) -> Tensor:
        return (self._value("log read") + self._value("its slope") * x.clamp(*self.seen)).clamp(*LOGS).exp()

    def _extra(self, pulses: Pulses, x: Tensor) -> list[Tensor]:
        values = []
        for name, mean, spread in zip(self.inputs.names, self.inputs.mean, self.inputs.spread, strict=True):
            given = pulses.voltage if name == "voltage" else pulses.width
            value = torch.as_tensor(given, dtype=x.dtype)
            values.append(((value.log() if name == "width" else value) - mean) / spread)
        return values

    def _depth(self, shape: tuple[int, ...], generator: torch.Generator, dtype: torch.dtype) -> Tensor:
        mean, deviation = self._value("depth"), math.exp(self._value("log depth deviation"))
        return mean + deviation * _normal(shape, generator, dtype)

    def _trapped(self, trap: Tensor, number: Tensor, generator: torch.Generator) -> Tensor:
        """The trap after so many pulses: the chain's n-th power; a depth of its own for each capture."""
        assert self.trap is not None
        total = self.trap.fill + self.trap.leave
        most = float(number.detach().max())
        likely = -math.expm1(most * math.log1p(-max(self.trap.fill, self.trap.leave)))
        # Changes are rare: only the devices of a first, coarser draw are looked at.
        at = bernoulli_indices(trap.numel(), likely, generator)
        after = trap.clone(memory_format=torch.contiguous_format)
        flat = after.view(-1)
        filled = flat.index_select(0, at) != 0
        settled = -torch.expm1(number.detach().reshape(-1).index_select(0, at) * math.log1p(-total))
        change = torch.where(filled, self.trap.leave / total, self.trap.fill / total) * settled
        moves = torch.rand(at.shape, generator=generator, dtype=trap.dtype) * likely < change
        flat.index_fill_(0, at[moves & filled], 0)
        new = at[moves & ~filled]
        flat.index_copy_(0, new, self._depth((len(new),), generator, trap.dtype))
        return after

    def _dimensionless(self, conductance: Tensor) -> Tensor:
        g = conductance.log() if self.scale.kind == "log" else conductance
        return (g - self.scale.centre) / self.scale.spread

    def _conductance(self, x: Tensor) -> Tensor:
        g = self.scale.centre + self.scale.spread * x
        return g.exp() if self.scale.kind == "log" else g

    # --- files and words ---------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write one safetensors file with JSON metadata, completely or not at all; `spinode.load` reads it."""
        artifacts.save(self, path)

    def uncertainty(self) -> dict[str, tuple[float, float, float]]:
        """Noise in the unit of the conductance (relative, under a logarithmic scale): value and 95 % interval of each kind.

        "accumulating SET" is what one pulse adds at the middle of the range and stays; "per pulse SET" counts the correlated
        part along, which later pulses forget.
        """
        draws = torch.Generator().manual_seed(0)
        factor = torch.linalg.cholesky(self.posterior_noise + 1e-12 * torch.eye(len(self.noise), dtype=torch.float64))
        normal = torch.randn(4000, len(self.noise), generator=draws, dtype=torch.float64)
        sampled = torch.cat([self.noise[None], self.noise + normal @ factor.T])
        own = dict(zip(self.noise_model.names, sampled.T, strict=True))
        found: dict[str, Tensor] = {"read": own["log read"].exp()}
        fresh = torch.zeros(len(sampled), dtype=torch.float64)
        if self.noise_model.memory:
            found["correlated"] = own["log correlated read"].exp()
            fresh = found["correlated"] ** 2 * (1 - torch.exp(-2 / own["log memory"].exp()))
        for name in self.noise_model.polarities:
            found[f"accumulating {name}"] = own[f"log accumulating {name}"].exp()
            found[f"per pulse {name}"] = (found[f"accumulating {name}"] ** 2 + fresh).sqrt()
        result = {}
        for name, values in found.items():
            scaled = (values * self.scale.spread).numpy()
            low, high = np.quantile(scaled[1:], [0.025, 0.975])
            result[name] = (float(scaled[0]), float(low), float(high))
        return result

    def describe(self) -> str:
        """A few plain lines: what it was fitted on, its noise with 95 % intervals, its spread, and what is not known."""
        record, unit = self.record, self.unit if self.scale.kind == "linear" else ""
        lines = [
            f"device:     {record.get('devices', '?')} device(s), {record.get('recordings', '?')} recording(s), "
            f"{record.get('reads', '?')} reads",
            f"pulses:     {' and '.join(self.polarities)}"
            + "".join(
                f", {name} {readable(low, u)} .. {readable(high, u)}"
                for name, u in (("voltage", "V"), ("width", "s"))
                for low, high in [self.inputs.ranges.get(name, (math.nan, math.nan))]
                if low == low
            ),
            f"range:      {readable(self.low, self.unit)} .. {readable(self.high, self.unit)}",
        ]
        relative = " (relative)" if self.scale.kind == "log" else ""
        for name, (value, low, high) in self.uncertainty().items():
            if name.startswith("per pulse") and not self.noise_model.memory:
                continue  # what accumulates is all there is
            sizes = [readable(each, unit) for each in (value, low, high)]
            lines.append(f"noise:      {name} {sizes[0]}{relative}, 95 % {sizes[1]} .. {sizes[2]}")
        if self.trap is not None:
            lines.append(
                f"telegraph:  depth {self._value('depth') * self.scale.spread:.3g}{relative}, filled {self.trap.occupancy:.0%} "
                f"of the time, fills {self.trap.fill:.2g} and leaves {self.trap.leave:.2g} times a pulse"
            )
        if self.of_devices and self.population is not None:
            lines.append(f"population: posteriors of {len(self.population.weights)} devices")
        else:
            lines.append("population: none: from one device (or too few) only the noise is known, not device-to-device spread")
        if self.retention is not None:
            lines.append(f"retention:  {self.retention.describe(self.scale.spread)}{relative}")
        return "\n".join(lines)


def _normal(shape: tuple[int, ...], generator: torch.Generator | None, dtype: torch.dtype) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=dtype)


def _root(values: Tensor) -> Tensor:
    """Square root, with the slope zero at zero: a device without pulses must not make the gradient of all NaN."""
    if not values.requires_grad:
        return values.sqrt()
    there = values > 0
    return torch.where(there, values, torch.ones_like(values)).sqrt() * there


def _draw(covariance: Tensor, generator: torch.Generator) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    normal = torch.randn(len(values), generator=generator, dtype=torch.float64)
    drawn: Tensor = vectors @ (values.clamp(min=0).sqrt() * normal)
    return drawn


def _last_weights(drift: Drift) -> list[Tensor]:
    """Weights in which the network's output is linear."""
    skip = [] if drift.field.skip is None else [drift.field.skip.weight]
    return [drift.field.out.weight, drift.field.out.bias, *skip]


def _last_layer(drift: Drift) -> int:
    return sum(weight.numel() for weight in _last_weights(drift))


__all__ = ["RESET", "SET", "SynapseSurrogate"]
