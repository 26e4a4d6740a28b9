"""`SynapseSurrogate`: a memory device fitted from its pulses, with noise, device-to-device spread and their uncertainty."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...contracts.synapse import SET, Pulses, State, SynapseModel
from ...errors import ConfigError
from ...validation import whole_number
from .. import artifacts
from .description import describe
from .drift import Drift
from .noise import NoiseModel
from .noise_sampler import NoiseSampler, imperfection_switches, standard_normal
from .population import MIN_DEVICES, Population
from .pulse_data import Inputs, Scale
from .pulsed_devices import DeviceSteps, PulsedDevices
from .read_range import check_range
from .retention import Retention
from .single_precision import SinglePrecision
from .telegraph import TelegraphNoise
from .uncertainty import noise_intervals, sample_normal


class SynapseSurrogate(SynapseModel, nn.Module):
    """A Neural-ODE model of a memory device under programming pulses, with noise and device-to-device spread.

        dx/dn = f(x, p, V, t; z)                  drift per pulse n of polarity p, see `spinode.surrogates.synapses.drift.Drift`
        x accumulates noise of standard deviation sigma_p(x) sqrt(n)
        G = T(x + a + h), T linear or exponential

    with correlated noise a, which decays over pulses, random telegraph noise h, and white noise at each read. `initial` samples
    devices, `program` applies pulses to them, `read` reads them: see `spinode.Synapse`. Differentiable in state, voltage,
    width, weights and (through a rounding that passes gradients) the number of pulses.

    Attributes:
        drift: The Neural ODE in double precision; a copy in single precision is used for states in single precision. Its
            weights take no gradient until `drift.requires_grad_()` is called.
        noise_model: Form of the noise; `noise` contains its parameters.
        first: First state of the typical device of a surrogate without population.
        population: Distribution over devices (or, from one device, over its cycles); None where they do not differ. From fewer
            than ten, only the mean is used.
        of_devices: True if the population is one of devices. From one device it is not: its spread is from cycle to cycle.
        telegraph: Rates of random telegraph noise; None if none was found.
        retention: Drift between pulses; None if the recordings have no pauses.
        scale: Conversion of conductance to state.
        inputs: Scaling of voltage and width.
        state_range: Smallest and largest state of the fitted recordings, within which states stay. (Those of files from before
            `drift.limits` go on for a quarter of its span.)
        chunk: Largest number of pulses in one midpoint step.
        voltage, width: The pulse of use, applied where pulses have no voltage or width of their own; if not given, the median
            of the fitted pulses.
        with_noise, with_read, with_telegraph, with_spread: Kinds of randomness that are simulated: noise of pulses, of reads,
            telegraph noise, spread of devices; see `only` and `imperfections`.
        record: Fitted data, settings, scores and uncertainties (plain JSON).

    Example:
        >>> import torch, spinode
        >>> device = spinode.surrogates.zoo.open_synapse("soft-bounds")
        >>> state = device.initial((3,), generator=torch.Generator().manual_seed(0))
        >>> after = device.program(state, spinode.Pulses(torch.tensor([0.0, 5.0, 50.0])))
        >>> (device.read(after) >= device.read(state)).tolist()
        [True, True, True]

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
        state_range: tuple[float, float],
        polarities: Sequence[str],
        unit: str,
        first: float = 0.0,
        population: Population | None = None,
        of_devices: bool = False,
        telegraph: TelegraphNoise | None = None,
        retention: Retention | None = None,
        chunk: float = 1.0,
        use_voltage: tuple[float, float] | None = None,
        use_width: float | None = None,
        posterior_noise: Tensor | None = None,
        posterior_weights: Tensor | None = None,
        record: Mapping[str, Any] | None = None,
    ) -> None:
        nn.Module.__init__(self)
        self.drift = drift.requires_grad_(False)
        self.noise_model, self.scale, self.inputs = noise_model, scale, inputs
        self.population, self.of_devices, self.telegraph, self.retention = population, of_devices, telegraph, retention
        self.first, self.chunk = float(first), float(chunk)
        self.state_range = (float(state_range[0]), float(state_range[1]))
        self.polarities, self.unit = tuple(polarities), unit
        self.register_buffer("noise", noise.detach().clone().double())
        linear = sum(weight.numel() for weight in drift.linear_weights)
        for name, covariance, size in (
            ("posterior_noise", posterior_noise, len(noise)),
            ("posterior_weights", posterior_weights, linear),
        ):
            zero = torch.zeros(size, size, dtype=torch.float64)
            self.register_buffer(name, zero if covariance is None else covariance.clone())
        self.record: dict[str, Any] = dict(record or {})
        self.with_noise, self.with_read, self.with_telegraph = True, True, telegraph is not None
        self.with_spread = population is not None and len(population.weights) >= MIN_DEVICES
        ends = self.conductance(torch.tensor(self.state_range, dtype=torch.float64))
        self.low, self.high = sorted(float(value) for value in ends)
        for name in ("voltage", "width"):
            if name in inputs.ranges:
                setattr(self, f"{name}_range", inputs.ranges[name])
        if "voltage" in inputs.usual:
            self.voltage = inputs.usual["voltage"] if use_voltage is None else use_voltage
        if "width" in inputs.usual:
            self.width = math.sqrt(inputs.usual["width"][0] * inputs.usual["width"][1]) if use_width is None else use_width
        self._single = SinglePrecision()

    # --- variants ----------------------------------------------------------------------------------------------------

    def only(self, *, c2c: bool = True, rtn: bool = True, d2d: bool = True) -> SynapseSurrogate:
        """Return a copy without some kinds of randomness; it shares the weights.

        Args:
            c2c: Include accumulating and correlated noise of pulses, and read noise.
            rtn: Include random telegraph noise, if the recordings have it.
            d2d: Include differences between devices.

        Raises:
            ConfigError: `d2d` for a surrogate that was fitted on one device.

        Example:
            >>> import torch, spinode
            >>> device = spinode.surrogates.zoo.open_synapse("vteam").only(c2c=False, rtn=False, d2d=False)
            >>> state = device.initial((2,), generator=torch.Generator().manual_seed(0))
            >>> bool(device.read(state)[0] == device.read(state)[1])
            True
        """
        if d2d:
            self._check_spread()
        variant = copy.copy(self)
        variant.with_noise, variant.with_read, variant.with_telegraph = c2c, c2c, rtn and self.telegraph is not None
        variant.with_spread = d2d
        return variant

    def imperfections(self) -> dict[str, SynapseSurrogate]:
        """Return the device without each kind of randomness, see `spinode.contracts.imperfections`."""
        variants = {}
        for name, switches in imperfection_switches(self.of_devices).items():
            if any(getattr(self, switch) for switch in switches):
                variants[name] = copy.copy(self)
                vars(variants[name]).update(dict.fromkeys(switches, False))
        return variants

    def posterior(self, generator: torch.Generator) -> SynapseSurrogate:
        """Return a copy whose drift, noise and population are sampled from their posterior; it is wide for few data.

        The weights of the network's last layer and the noise parameters are sampled from their Laplace approximations, the
        weights of the population's devices by a Bayesian bootstrap.
        """
        sample = copy.copy(self)
        sample._modules = dict(self._modules)
        sample._buffers = dict(self._buffers)
        sample.drift, sample._single = copy.deepcopy(self.drift), SinglePrecision()
        shift = sample_normal(self.posterior_weights, generator)
        position = 0
        with torch.no_grad():
            for weight in sample.drift.linear_weights:
                weight.add_(shift[position : position + weight.numel()].reshape(weight.shape))
                position += weight.numel()
        sample.noise = self.noise + sample_normal(self.posterior_noise, generator)
        if self.population is not None:
            sample.population = self.population.resampled(generator)
        return sample

    def devices(self, count: int, generator: torch.Generator) -> Tensor:
        """Sample latent parameters of virtual devices.

        Args:
            count: Number of devices.
            generator: Source of randomness.

        Returns:
            First state and then `drift.latents.names` of each device, shape (count, parameters).

        Raises:
            ConfigError: the surrogate was fitted on one device.
        """
        self._check_spread()
        assert self.population is not None
        return self.population.draw(whole_number("count", count, 1), generator)

    def _check_spread(self) -> None:
        if not (self.of_devices and self.population is not None):
            raise ConfigError(
                f"the surrogate was fitted on {self.record.get('devices', 1)} device(s), which determines the spread from "
                f"cycle to cycle but not from device to device. Fit it on {MIN_DEVICES} devices or more, or use d2d=False."
            )

    # --- the contract ------------------------------------------------------------------------------------------------

    def _initial(self, shape: tuple[int, ...], generator: torch.Generator | None, dtype: torch.dtype) -> State:
        dtype = torch.promote_types(dtype, torch.float32)
        count = math.prod(shape)
        if generator is not None and self.population is not None and self.with_spread:
            parameters = self.population.draw(count, generator)
        elif self.population is not None:
            parameters = self.population.typical.expand(count, -1).clone()
        else:
            parameters = torch.zeros(count, 1 + len(self.drift.latents.names), dtype=torch.float64)
            parameters[:, 0] = self.first
        return self._state(parameters, shape, generator, dtype)

    def _state(
        self, parameters: Tensor, shape: tuple[int, ...], generator: torch.Generator | None, dtype: torch.dtype
    ) -> State:
        """Return a state from first states and latents, shape (devices, parameters), with stationary noise."""
        # Devices innermost in memory: the fastest layout for the kernels.
        rows = parameters.T.to(dtype).contiguous()
        state = {"state": rows[0].reshape(shape).clone(), "latents": rows[1:].reshape(-1, *shape).movedim(0, -1)}
        if self.drift.tied:
            state["first"] = state["state"].clone()
        if self.noise_model.memory:
            state["flicker"] = self._sampler.initial_correlated(shape, generator if self.with_noise else None, dtype)
        if self.telegraph is not None:
            state["trap"] = torch.zeros(shape, dtype=dtype)
            if generator is not None and self.with_telegraph:
                state["trap"] = self._sampler.initial_telegraph(shape, generator, dtype)
        return state

    def at(self, conductance: Tensor, *, generator: torch.Generator | None = None) -> State:
        """Return the state of devices that were just read, with the uncertainty that read noise causes.

        Their latent parameters are those of devices of the population that begin near this conductance.

        Args:
            conductance: Reads [`unit`], shape (devices...).
            generator: Source of the uncertainty and of latent parameters. If omitted, the read is taken as exact and latent
                parameters are averages.

        Raises:
            ConfigError: a read that is not finite, or not positive under a logarithmic scale.
            DomainError: if `strict`, a read far outside the fitted range.
        """
        read = torch.as_tensor(conductance)
        least = 0.0 if self.scale.kind == "log" else -math.inf
        wrong = ~(torch.isfinite(read) & (read > least))
        if bool(wrong.any()):
            raise ConfigError(
                f"{int(wrong.sum())} of {read.numel()} reads cannot be conductances of this device, such as "
                f"{float(read[wrong].reshape(-1)[0]):g}; expected finite numbers in {self.unit or 'its unit'}, above "
                f"{least:g}."
            )
        dtype = torch.promote_types(read.dtype, torch.float32)
        shape = tuple(read.shape)
        x = self._dimensionless(read.to(dtype))
        check_range(read, x, self._limits, (self.low, self.high), self.unit, strict=self.strict)
        latents = torch.zeros(x.numel(), len(self.drift.latents.names), dtype=torch.float64)
        if self.population is not None:
            latents = self.population.given(x.reshape(-1), generator if self.with_spread else None)
        state = self._state(torch.cat([x.reshape(-1, 1).double(), latents], 1), shape, generator, dtype)
        if generator is not None and self.with_read:
            x = x - self._sampler.read_deviation(x) * standard_normal(tuple(x.shape), generator, dtype)
        for name in ("flicker", "trap"):
            if name in state:
                x = x - state[name]
        state["state"] = x.clamp(*self._limits)
        if "first" in state:
            state["first"] = state["state"].clone()
        return state

    def _program(self, state: State, pulses: Pulses, generator: torch.Generator | None) -> State:
        count = pulses.count
        number = count.abs()
        largest = float(number.detach().max()) if number.numel() else 0.0
        if largest == 0:
            return dict(state)
        x = state["state"]
        if x.dtype != torch.float64 and self._weights_need_gradient:  # a copy in single precision would keep their gradients
            in_double = Pulses.unchecked(count.double(), pulses.voltage, pulses.width)
            result = self._program({name: value.double() for name, value in state.items()}, in_double, generator)
            return {name: value.to(x.dtype) for name, value in result.items()}
        after = dict(state)
        active = PulsedDevices(count)
        steps = DeviceSteps(
            drift=self._single.of(self.drift, x.dtype),
            noise=self._sampler if self.with_noise else None,
            chunk=self.chunk,
            limits=self._limits,
            sign=None if len(self.polarities) > 1 else self._sign,
        )
        own = (active.take(x), active.take(state["latents"], 1), active.take(state.get("first", x)))
        extra = [active.take(value) for value in self._extra(pulses, x)]
        after["state"] = active.put(steps.states_after(*own, active.take(count), largest, extra, generator), x)
        if generator is not None and self.with_noise and "flicker" in state:
            after["flicker"] = self._sampler.correlated_after(state["flicker"], number, generator)
        if generator is not None and self.with_telegraph and "trap" in state:
            after["trap"] = self._sampler.telegraph_after(state["trap"], number, generator)
        return after

    def _read(self, state: State, generator: torch.Generator | None) -> Tensor:
        x = state["state"]
        for name in ("flicker", "trap"):
            if name in state:
                x = x + state[name]
        if generator is not None and self.with_read:
            noise = standard_normal(tuple(x.shape), generator, x.dtype)
            x = torch.addcmul(x, self._sampler.read_deviation(x), noise)
        return self.conductance(x)

    def relax(self, state: State, seconds: float, *, generator: torch.Generator | None = None) -> State:
        """Return the devices after a pause without pulses, see `spinode.surrogates.synapses.retention.Retention`.

        A pause longer than all in the recordings is extrapolated, with a `DomainWarning`.

        Raises:
            ConfigError: a negative pause, or a surrogate whose recordings had no pauses.
            DomainError: if `strict`, a pause longer than all in the recordings.
        """
        if self.retention is None:
            raise ConfigError("the surrogate has no retention model: its recordings had no pauses. Fit on traces with pauses.")
        self.retention.check(seconds, strict=self.strict)
        after = dict(state)
        after["state"] = self.retention.after(state["state"], seconds, generator).clamp(*self._limits)
        return after

    def saturated(self, state: State) -> Tensor:
        """Return True for devices at an end of the fitted range or beyond it, shape (devices...)."""
        low, high = self.state_range
        return (state["state"] <= low) | (state["state"] >= high)

    # --- parts -------------------------------------------------------------------------------------------------------

    @property
    def _limits(self) -> tuple[float, float]:
        if self.drift.limits is not None:
            return self.drift.limits
        low, high = self.state_range
        margin = 0.25 * (high - low)
        return low - margin, high + margin

    @property
    def _sign(self) -> Tensor:
        return torch.tensor(1.0 if self.polarities == (SET,) else -1.0)

    @property
    def _sampler(self) -> NoiseSampler:
        return NoiseSampler(self.noise_model, self.noise, self.state_range, self.telegraph)

    @property
    def _weights_need_gradient(self) -> bool:
        return torch.is_grad_enabled() and any(p.requires_grad for p in self.drift.parameters())

    def _extra(self, pulses: Pulses, x: Tensor) -> list[Tensor]:
        """Return standardised voltage and log width, those of the two that are inputs."""
        values = []
        for name, mean, spread in zip(self.inputs.names, self.inputs.mean, self.inputs.spread, strict=True):
            given = pulses.voltage if name == "voltage" else pulses.width
            value = torch.as_tensor(given, dtype=x.dtype)
            values.append(((value.log() if name == "width" else value) - mean) / spread)
        return values

    def _dimensionless(self, conductance: Tensor) -> Tensor:
        g = conductance.log() if self.scale.kind == "log" else conductance
        return (g - self.scale.centre) / self.scale.spread

    def conductance(self, x: Tensor) -> Tensor:
        """Return the conductance [`unit`] of a dimensionless state, shape of x."""
        g = self.scale.centre + self.scale.spread * x
        return g.exp() if self.scale.kind == "log" else g

    # --- files and text ----------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write one safetensors file with JSON metadata, atomically; `spinode.load` reads it."""
        artifacts.save(self, path)

    def uncertainty(self) -> dict[str, tuple[float, float, float]]:
        """Return each kind of noise with its 95 % interval, in the unit of the conductance (relative for a logarithmic scale).

        "accumulating SET" is the part that one pulse of use adds at the middle of the range and that stays. "per pulse SET"
        includes the correlated part, which decays over later pulses.
        """
        steps = self._middle_steps() if self.noise_model.relative else None
        return noise_intervals(self.noise_model, self.noise, self.posterior_noise, self.scale.spread, steps=steps)

    def _middle_steps(self) -> dict[str, float]:
        """Return the step of the typical device by one pulse of use at the middle of the range, by polarity, in states."""
        steps = {}
        state = self.initial((1,), dtype=torch.float64)
        state["state"] = torch.zeros_like(state["state"])
        with torch.no_grad():
            for name in self.polarities:
                after = self.program(state, Pulses(torch.full((1,), 1.0 if name == SET else -1.0, dtype=torch.float64)))
                steps[name] = float(after["state"] - state["state"])
        return steps

    def describe(self) -> str:
        """Return a few lines of text: fitted data, noise with 95 % intervals, spread, and what is not known."""
        return describe(self, None if self.telegraph is None else self._sampler.value("depth"))
