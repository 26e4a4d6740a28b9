"""`StanfordPKU`: a conducting filament whose gap changes under field and Joule heat, integrated in steps of the gap."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields

import torch
from torch import Tensor

from ...contracts.synapse import Pulses, State, SynapseModel
from ...contracts.synapse_registry import register_synapse
from ...errors import ConfigError
from ...validation import whole_number
from .population import check_numbers, checked_amplitudes, spread_factors

BOLTZMANN = 8.617333262e-5  # eV/K: energies are in eV, and q V / k T needs no charge
#: Parts of a train with noise after which its start is forgotten: so many walks of 0.02 nm cross the range.
MAX_PARTS = 4096
#: A part is at most the remaining pulses over this number, so that the last ones are single pulses.
SINGLE_PULSES = 16
NM = 1e9  # nanometres per metre; the gap is in nm internally


@register_synapse("stanford-pku", summary="filament with Joule heating, the Stanford-PKU model")
@dataclass(frozen=True, eq=False)
class StanfordPKU(SynapseModel):
    """The Stanford-PKU model of a resistive memory: the gap g between filament and electrode determines the current.

    I = I0 exp(-g / g0) sinh(V / V0),   T = T0 + |V I| R_th,   gamma = gamma0 - beta (g / 1 nm)^3,
    dg/dt = -v0 exp(-Ea / k T) sinh(gamma a0 q V / (t_ox k T)),   zero where gamma |V| / t_ox < F_min,

    where V > 0 for SET (the gap closes, with increasing speed because the current heats it) and V < 0 for RESET (it opens,
    with decreasing speed, until the field gamma |V| / t_ox is below F_min). g stays between the gaps of `r_on` and `r_off`
    at `read_voltage`.

    During a pulse the rate depends on g only and keeps its sign, so time is integrated over the gap instead of the gap over
    time: between neighbouring points of a grid of spacing `step` the rate is approximated as exponential in g, for which time
    and inverse have closed forms. The steps remain stable under the thermal feedback at any voltage; the error is of second
    order in `step`. A train of n pulses is one pulse of n-fold width (the filament cools instantly between pulses, as in the
    model).

    Noise is the term delta_g xi / (1 + exp((T_crit - T) / T_smth)) of dg/dt. If the velocity were drawn at each step of the
    simulation, the random walk would depend on the step; here it is constant for `noise_time`, so a time t adds
    sqrt(noise_time t) delta_g xi / (...) to g, at the end of each pulse: n pulses in one call have the law of n calls. Pulses
    are joined only as long as their noise is below `step`, and the last ones of a train never. After 4096 such parts the noise
    has crossed the range, the start is forgotten, and further pulses are left out. There is noise during pulses only.

    The state contains "gap" [m], and "speed", a factor of the rate, if there is a spread.

    Attributes:
        I0: Current prefactor [A].
        g0: Decay length [m] of the current.
        V0: Voltage scale [V] of the current.
        v0: Velocity prefactor [m/s].
        Ea: Activation energy [eV].
        gamma0: Field enhancement at g = 0.
        beta: Its decrease with (g / 1 nm)^3.
        t_ox: Thickness [m] of the oxide.
        a0: Hopping distance [m].
        F_min: Smallest enhanced field [V/m] that changes the gap.
        R_th: Thermal resistance [K/W].
        T0: Ambient temperature [K].
        delta_g: Noise velocity [m/s].
        T_crit: Temperature [K] at which noise sets in.
        T_smth: Width [K] of that onset.
        noise_time: Time [s] for which the noise velocity is constant.
        noise_steps: If given, a train with noise is divided into at most so many equal parts, however long: faster, but the
            noise of a part that is added after its drift is too large where the drift would have held it back.
        r_on: Resistance [ohm] at the smallest gap.
        r_off: Resistance [ohm] at the largest.
        read_voltage: Voltage [V] of a read.
        step: Spacing [m] of the gap's grid.
        start: Gap of a fresh device, 0 (r_on, as after forming) .. 1 (r_off).
        spread: Device-to-device spread of v0: standard deviation over mean of a lognormal factor.
        voltage: Usual amplitudes [V] of SET and RESET.
        width: Usual width [s].

    Raises:
        ConfigError: a parameter outside its range, or a field enhancement that is not positive for all gaps.

    Example:
        >>> from spinode import Pulses
        >>> synapse = StanfordPKU()
        >>> after = synapse.program(synapse.initial((1,)), Pulses(torch.tensor([-5.0])))
        >>> bool(synapse.read(after) < synapse.read(synapse.initial((1,))))  # RESET lowers the conductance
        True

    Source: Z. Jiang et al., IEEE Trans. Electron Devices 63, 1884 (2016) (Verilog-A of the Stanford-PKU model), with the
    parameters of MemTorch's Stanford_PKU. noise_time, the spread and the usual pulses are our additions.
    """

    I0: float = 1e-3
    g0: float = 0.25e-9
    V0: float = 0.25
    v0: float = 10.0
    Ea: float = 0.6
    gamma0: float = 16.0
    beta: float = 0.8
    t_ox: float = 12e-9
    a0: float = 0.25e-9
    F_min: float = 1.4e9
    R_th: float = 2.1e3
    T0: float = 298.0
    delta_g: float = 0.02
    T_crit: float = 450.0
    T_smth: float = 500.0
    noise_time: float = 1e-9
    noise_steps: int | None = None
    r_on: float = 542.0
    r_off: float = 218586.0
    read_voltage: float = 0.1
    step: float = 0.02e-9
    start: float = 0.0
    spread: float = 0.0
    voltage: tuple[float, float] = (1.25, 1.2)
    width: float = 5e-9
    low: float = field(init=False, default=0.0)
    high: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        for unit, names in {
            "A": ("I0",),
            "m": ("g0", "t_ox", "a0", "step"),
            "V": ("V0", "read_voltage"),
            "m/s": ("v0",),
            "eV": ("Ea",),
            "K": ("T0", "T_crit", "T_smth"),
            "s": ("noise_time", "width"),
            "ohm": ("r_on",),
            "": ("gamma0",),
        }.items():
            check_numbers(self, names, unit=unit)
        if self.noise_steps is not None:
            object.__setattr__(self, "noise_steps", whole_number("noise_steps", self.noise_steps, 1))
        object.__setattr__(self, "voltage", checked_amplitudes(self.voltage))
        check_numbers(self, ("r_off",), self.r_on, unit="ohm")
        check_numbers(self, ("beta", "F_min", "R_th", "delta_g", "spread"), closed=True)
        check_numbers(self, ("start",), high=1.0, closed=True)
        closed, opened = self.gaps
        if self.gamma0 - self.beta * (opened * NM) ** 3 <= 0:
            raise ConfigError(
                f"the field enhancement gamma0 - beta g^3 is not positive at the largest gap, {opened * NM:.3g} nm; lower "
                f"beta ({self.beta:g}) or r_off ({self.r_off:g} ohm)."
            )
        if closed <= 0:
            raise ConfigError(
                f"r_on = {self.r_on:g} ohm is less than the resistance without a gap; expected at least "
                f"{self._resistance(0.0):.4g} ohm."
            )
        object.__setattr__(self, "low", 1 / self.r_off)
        object.__setattr__(self, "high", 1 / self.r_on)

    @property
    def gaps(self) -> tuple[float, float]:
        """Return the smallest and the largest gap [m], those of `r_on` and `r_off`."""
        closed, opened = (self.g0 * math.log(r / self._resistance(0.0)) for r in (self.r_on, self.r_off))
        return closed, opened

    def current(self, gap: Tensor, voltage: Tensor | float) -> Tensor:
        """Return the current [A] at a gap [m] and a voltage [V], of their common shape."""
        volts = torch.as_tensor(voltage, dtype=gap.dtype)
        return self.I0 * torch.exp(-gap / self.g0) * torch.sinh(volts / self.V0)

    def temperature(self, gap: Tensor, voltage: Tensor | float) -> Tensor:
        """Return the temperature [K] of the filament at a gap [m] and a voltage [V]."""
        return self.T0 + self.R_th * (torch.as_tensor(voltage, dtype=gap.dtype) * self.current(gap, voltage)).abs()

    # --- the contract ------------------------------------------------------------------------------------------------

    def _initial(self, shape: tuple[int, ...], generator: torch.Generator | None, dtype: torch.dtype) -> State:
        closed, opened = self.gaps
        state = {"gap": torch.full(shape, closed + self.start * (opened - closed), dtype=dtype)}
        return state | {"speed": spread_factors(shape, self.spread, generator, dtype)} if self.spread else state

    def _program(self, state: State, pulses: Pulses, generator: torch.Generator | None) -> State:
        active = pulses.count.flatten().nonzero()[:, 0]
        if not len(active):
            return dict(state)
        gap, bias, time, speed = self._trains(state, pulses, active)
        if generator is None or self.delta_g == 0:
            gap, _energy = self._gap_after(gap, bias, time * speed)
        else:
            gap = self._noisy_gap(gap, bias, time, pulses.count.flatten()[active].abs(), speed, generator)
        after = state["gap"].flatten().clone()
        after[active] = gap / NM
        return state | {"gap": after.reshape(pulses.count.shape)}

    def _read(self, state: State, generator: torch.Generator | None) -> Tensor:
        return torch.exp(-state["gap"] / self.g0) / self._resistance(0.0)

    def energy(self, state: State, pulses: Pulses) -> Tensor:
        """Return the energy [J] of the pulses in each device: the integral of V I along the mean gap, shape (devices...)."""
        complete = self._complete(state, pulses)
        active = complete.count.flatten().nonzero()[:, 0]
        energy = torch.zeros_like(state["gap"]).flatten()
        if len(active):
            gap, bias, time, speed = self._trains(state, complete, active)
            energy[active] = self._gap_after(gap, bias, time * speed, energy=True)[1] / speed
        return energy.reshape(complete.count.shape)

    # --- the equations, in nm ----------------------------------------------------------------------------------------

    def _trains(self, state: State, pulses: Pulses, active: Tensor) -> tuple[Tensor, _Bias, Tensor, Tensor | float]:
        """Return gap [nm], bias, time [s] and speed of the devices that receive pulses, each with one dimension."""
        shape = pulses.count.shape

        def chosen(value: Tensor | float | None) -> Tensor:
            tensor = torch.as_tensor(value, dtype=state["gap"].dtype, device=state["gap"].device)
            return tensor.expand(shape).flatten()[active]

        volts = chosen(pulses.voltage)
        count = chosen(pulses.count)
        # Beyond this gap the field is too low: SET does not begin, RESET ends.
        excess = self.gamma0 - self.F_min * self.t_ox / volts
        limit = torch.where(excess >= 0, (excess.clamp(min=0) / max(self.beta, 1e-30)) ** (1 / 3), -1.0)
        bias = _Bias(
            volts=volts,
            sign=torch.where(count > 0, -1.0, 1.0).to(volts),
            heat=self.R_th * self.I0 * volts * torch.sinh(volts / self.V0),
            lowering=volts * (self.a0 / self.t_ox),
            limit=limit,
        )
        speed = chosen(state["speed"]) if "speed" in state else 1.0
        return chosen(state["gap"]) * NM, bias, count.abs() * chosen(pulses.width), speed

    def _noisy_gap(
        self, gap: Tensor, bias: _Bias, time: Tensor, count: Tensor, speed: Tensor | float, generator: torch.Generator
    ) -> Tensor:
        """Return the gap [nm] after trains with noise: drift and noise alternate, see the class."""
        closed, opened = (g * NM for g in self.gaps)
        result, place, width = gap.clone(), torch.arange(len(gap), device=gap.device), time / count
        speed = torch.as_tensor(speed, dtype=gap.dtype, device=gap.device).expand_as(gap)
        parts = MAX_PARTS if self.noise_steps is None else min(self.noise_steps, int(count.max()))
        equal, left = count / parts, count
        for remaining_parts in range(parts, 0, -1):
            if self.noise_steps is None:
                joined = (self.step * NM / (self._noise(gap, bias) * width.sqrt())).square().floor().clamp(min=1)
                left = torch.minimum(left, joined * remaining_parts)
                now = torch.minimum(joined, (left / SINGLE_PULSES).floor().clamp(min=1))
            else:
                now = equal
            gap, _energy = self._gap_after(gap, bias, now * width * speed)
            walk = torch.randn(gap.shape, generator=generator, dtype=gap.dtype)
            walk *= self._noise(gap, bias) * (now * width).sqrt()
            gap = (gap + walk).clamp_(closed, opened)
            left = left - now
            result[place] = gap
            if self.noise_steps is None and not bool((left > 0).all()):
                keep = left > 0
                gap, left, place, width, speed = (each[keep] for each in (gap, left, place, width, speed))
                bias = bias.of(keep)
                if not len(gap):
                    break
        return result

    def _gap_after(self, gap: Tensor, bias: _Bias, time: Tensor, *, energy: bool = False) -> tuple[Tensor, Tensor]:
        """Return the gap [nm] after a time under a bias, and the energy [J], which is zero unless requested."""
        closed, opened = (g * NM for g in self.gaps)
        grid = self.step * NM
        end = torch.where(bias.sign < 0, closed, bias.limit.clamp(max=opened))
        moves = gap <= bias.limit
        remaining, consumed = time, torch.zeros_like(gap)
        near = self._log_slowness(gap, bias)
        for _ in range(math.ceil((opened - closed) / grid) + 1):
            length = torch.where(moves, bias.sign * (end - gap), 0.0).clamp_(0, grid)
            if not bool(((remaining > 0) & (length > 0)).any()):
                break
            far = self._log_slowness(gap + bias.sign * length, bias)
            distance, elapsed = _cross_cell(length, near, far, remaining)
            if energy:
                consumed += bias.volts * self.current((gap + 0.5 * bias.sign * distance) / NM, bias.volts) * elapsed
            gap = torch.addcmul(gap, bias.sign, distance)
            remaining = remaining - elapsed
            near = far  # a device that ended within the cell has no time left
        if energy:
            consumed += bias.volts * self.current(gap / NM, bias.volts) * remaining
        return gap, consumed

    def _log_slowness(self, gap: Tensor, bias: _Bias) -> Tensor:
        """Return the logarithm of |dt/dg| [s/nm] at a gap [nm]; the logarithm does not overflow where the filament is hot."""
        heat = torch.exp(gap / (-self.g0 * NM)).mul_(bias.heat).add_(self.T0)
        per_energy = heat.mul_(BOLTZMANN).reciprocal_()
        gamma = self.gamma0 - self.beta * gap**3
        x = gamma.mul_(bias.lowering).mul_(per_energy)
        log_sinh = torch.log1p(-torch.exp(-2 * x)).add_(x)
        return per_energy.mul_(self.Ea).sub_(log_sinh).add_(math.log(2) - math.log(self.v0 * NM))

    def _noise(self, gap: Tensor, bias: _Bias) -> Tensor:
        """Return the random walk [nm] per square root of a second."""
        heat = self.temperature(gap / NM, bias.volts)
        return self.delta_g * NM * math.sqrt(self.noise_time) * torch.sigmoid((heat - self.T_crit) / self.T_smth)

    def _resistance(self, gap: float) -> float:
        return self.read_voltage / (self.I0 * math.exp(-gap / self.g0) * math.sinh(self.read_voltage / self.V0))


@dataclass(frozen=True)
class _Bias:
    """The conditions of a pulse for each device.

    Attributes:
        volts: Amplitude [V].
        sign: 1 if the gap opens, -1 if it closes.
        heat: Joule heating [K] without a gap.
        lowering: Lowering of the barrier [eV] per unit of the field enhancement.
        limit: Gap [nm] beyond which the field is too low to move it.
    """

    volts: Tensor
    sign: Tensor
    heat: Tensor
    lowering: Tensor
    limit: Tensor

    def of(self, devices: Tensor) -> _Bias:
        """Return the conditions of some of the devices."""
        return _Bias(*(getattr(self, each.name)[devices] for each in fields(self)))


def _cross_cell(length: Tensor, near: Tensor, far: Tensor, remaining: Tensor) -> tuple[Tensor, Tensor]:
    """Return how far [nm] and how long [s] a device moves in a cell in which its slowness dt/dg is exponential.

    Args:
        length: Length of the cell [nm], or 0.
        near: Logarithm of the slowness [s/nm] at the near end.
        far: The same at the far end.
        remaining: Remaining time [s].
    """
    change = far - near
    flat = change.abs() < 1e-3
    change = torch.where(flat, 1.0, change)
    per_nm = torch.exp(near)
    mean = torch.where(flat, 1 + (far - near) / 2, torch.expm1(change) / change)
    whole = length * per_nm * mean
    fraction = remaining / (length.clamp(min=1e-30) * per_nm)
    partial = torch.where(flat, fraction / mean, torch.log1p((fraction * change).clamp(min=-0.999999)) / change)
    crosses = remaining >= whole
    return torch.where(crosses, length, length * partial.clamp(0, 1)), torch.where(crosses, whole, remaining)
