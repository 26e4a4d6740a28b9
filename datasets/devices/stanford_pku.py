"""`StanfordPKU`, a filament whose tip moves: a gap under field and Joule heat, integrated in steps of the gap."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ...contracts.synapse import Pulses, State, SynapseModel
from ...contracts.synapse_registry import register_synapse
from ...errors import ConfigError
from .population import check, lognormal

BOLTZMANN = 8.617333262e-5  # eV/K: energies are in eV, and q V / k T needs no charge
NM = 1e9  # nanometres of a metre; the gap is in nm inside


@register_synapse("stanford-pku", summary="filament with Joule heating, the Stanford-PKU model")
@dataclass(frozen=True, eq=False)
class StanfordPKU(SynapseModel):
    """Stanford-PKU model of a resistive memory: the gap g between filament and electrode sets the current.

    I = I0 exp(-g / g0) sinh(V / V0),   T = T0 + |V I| R_th,   gamma = gamma0 - beta (g / 1 nm)^3,
    dg/dt = -v0 exp(-Ea / k T) sinh(gamma a0 q V / (t_ox k T)),   none where gamma |V| / t_ox < F_min,

    V > 0 for SET (the gap closes, faster and faster, for the current heats it), V < 0 for RESET (it opens, slower and
    slower, until the field gamma |V| / t_ox is below F_min). g stays between the gaps of `r_on` and `r_off` at
    `read_voltage`.

    During a pulse the rate depends on g only and keeps its sign. So time is integrated over the gap, not the gap over
    time: between neighbours of a grid of spacing `step` the rate is taken as exponential in g, for which the time and its
    inverse are in closed form. No step is too long for the feedback, whatever the voltage; the error is of second order in
    `step`. A train of n pulses is one pulse of n-fold width (the filament cools between pulses at once, as in the model).

    Noise is the term delta_g xi / (1 + exp((T_crit - T) / T_smth)) of dg/dt. A velocity drawn anew at each step of a
    simulator makes a walk whose size depends on that step; here it is held for `noise_time`, so that a time t adds
    sqrt(noise_time t) delta_g xi / (...) to g. A train is then cut into up to `noise_steps` parts, each with its noise
    at its end. There is noise during pulses only.

    The state holds "gap" [m], and "speed", a factor of the rate, if there is a spread.

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
        F_min: Least field [V/m], enhanced, that moves the gap.
        R_th: Thermal resistance [K/W].
        T0: Temperature [K] of the surroundings.
        delta_g: Noise velocity [m/s].
        T_crit: Temperature [K] where the noise sets in.
        T_smth: Width [K] of that onset.
        noise_time: Time [s] for which a noise velocity lasts.
        noise_steps: Most parts of a train with noise.
        r_on: Resistance [ohm] at the smallest gap.
        r_off: Resistance [ohm] at the largest.
        read_voltage: Voltage [V] of a read.
        step: Spacing [m] of the gap's grid.
        start: Gap of a fresh device, 0 (r_on, as after forming) .. 1 (r_off).
        spread: Device-to-device spread of v0: standard deviation over mean of a lognormal factor.
        voltage: Usual amplitudes [V] of SET and RESET.
        width: Usual width [s].

    Raises:
        ConfigError: a parameter outside its range, or field enhancement that does not stay above zero.

    Source: Z. Jiang et al., IEEE Trans. Electron Devices 63, 1884 (2016) (Verilog-A of the Stanford-PKU model), with the
    parameters of MemTorch's Stanford_PKU. noise_time, the spread and the usual pulses are ours.
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
    noise_steps: int = 8
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
            "": ("gamma0", "noise_steps"),
        }.items():
            check(self, names, unit=unit)
        check(self, ("r_off",), self.r_on, unit="ohm")
        check(self, ("beta", "F_min", "R_th", "delta_g", "spread"), closed=True)
        check(self, ("start",), high=1.0, closed=True)
        closed, opened = self.gaps
        if self.gamma0 - self.beta * (opened * NM) ** 3 <= 0:
            raise ConfigError(
                f"the field enhancement gamma0 - beta g^3 is not above zero at the largest gap, {opened * NM:.3g} nm; lower "
                f"beta ({self.beta:g}) or r_off ({self.r_off:g} ohm)."
            )
        if closed <= 0:
            raise ConfigError(
                f"r_on = {self.r_on:g} ohm is less than that of no gap; expected at least {self._resistance(0.0):.4g} ohm."
            )
        object.__setattr__(self, "low", 1 / self.r_off)
        object.__setattr__(self, "high", 1 / self.r_on)

    @property
    def gaps(self) -> tuple[float, float]:
        """Smallest and largest gap [m], those of `r_on` and `r_off`."""
        closed, opened = (self.g0 * math.log(r / self._resistance(0.0)) for r in (self.r_on, self.r_off))
        return closed, opened

    def current(self, gap: Tensor, voltage: Tensor | float) -> Tensor:
        """Current [A] at a gap [m] and a voltage [V], of their common shape."""
        volts = torch.as_tensor(voltage, dtype=gap.dtype)
        return self.I0 * torch.exp(-gap / self.g0) * torch.sinh(volts / self.V0)

    def temperature(self, gap: Tensor, voltage: Tensor | float) -> Tensor:
        """Temperature [K] of the filament at a gap [m] and a voltage [V]."""
        return self.T0 + self.R_th * (torch.as_tensor(voltage, dtype=gap.dtype) * self.current(gap, voltage)).abs()

    # --- the contract ------------------------------------------------------------------------------------------------

    def _initial(self, shape: tuple[int, ...], generator: torch.Generator | None, dtype: torch.dtype) -> State:
        closed, opened = self.gaps
        state = {"gap": torch.full(shape, closed + self.start * (opened - closed), dtype=dtype)}
        return state | {"speed": lognormal(shape, self.spread, generator, dtype)} if self.spread else state

    def _program(self, state: State, pulses: Pulses, generator: torch.Generator | None) -> State:
        active = pulses.count.flatten().nonzero()[:, 0]
        if not len(active):
            return dict(state)
        gap, bias, time, speed = self._trains(state, pulses, active)
        noisy = generator is not None and self.delta_g > 0
        parts = max(1, min(self.noise_steps, int(pulses.count.abs().max()))) if noisy else 1
        closed, opened = (g * NM for g in self.gaps)
        for _ in range(parts):
            gap, _energy = self._moved(gap, bias, time * speed / parts)
            if noisy:
                walk = torch.randn(gap.shape, generator=generator, dtype=gap.dtype)
                walk *= self._noise(gap, bias) * (time / parts).sqrt()
                gap = (gap + walk).clamp_(closed, opened)
        after = state["gap"].flatten().clone()
        after[active] = gap / NM
        return state | {"gap": after.reshape(pulses.count.shape)}

    def _read(self, state: State, generator: torch.Generator | None) -> Tensor:
        return torch.exp(-state["gap"] / self.g0) / self._resistance(0.0)

    def energy(self, state: State, pulses: Pulses) -> Tensor:
        """Energy [J] of the pulses in each device: V I over the time, along the mean course of the gap, shape (devices...)."""
        complete = self._complete(state, pulses)
        active = complete.count.flatten().nonzero()[:, 0]
        energy = torch.zeros_like(state["gap"]).flatten()
        if len(active):
            gap, bias, time, speed = self._trains(state, complete, active)
            energy[active] = self._moved(gap, bias, time * speed, energy=True)[1] / speed
        return energy.reshape(complete.count.shape)

    # --- the equations, in nm ----------------------------------------------------------------------------------------

    def _trains(self, state: State, pulses: Pulses, active: Tensor) -> tuple[Tensor, _Bias, Tensor, Tensor | float]:
        """Gap [nm], bias, time [s] and speed of the devices that get pulses, each in one dimension."""
        shape = pulses.count.shape

        def chosen(value: Tensor | float | None) -> Tensor:
            given = torch.as_tensor(value, dtype=state["gap"].dtype, device=state["gap"].device)
            return given.expand(shape).flatten()[active]

        volts = chosen(pulses.voltage)
        count = chosen(pulses.count)
        # Beyond this gap the field is too low: SET does not begin there, RESET ends there.
        spare = self.gamma0 - self.F_min * self.t_ox / volts
        still = torch.where(spare >= 0, (spare.clamp(min=0) / max(self.beta, 1e-30)) ** (1 / 3), -1.0)
        bias = _Bias(
            volts=volts,
            sign=torch.where(count > 0, -1.0, 1.0).to(volts),
            heat=self.R_th * self.I0 * volts * torch.sinh(volts / self.V0),
            pull=volts * (self.a0 / self.t_ox),
            still=still,
        )
        speed = chosen(state["speed"]) if "speed" in state else 1.0
        return chosen(state["gap"]) * NM, bias, count.abs() * chosen(pulses.width), speed

    def _moved(self, gap: Tensor, bias: _Bias, time: Tensor, *, energy: bool = False) -> tuple[Tensor, Tensor]:
        """The gap [nm] after a time under a bias, and the energy [J] taken, which is zero if not asked for."""
        closed, opened = (g * NM for g in self.gaps)
        grid = self.step * NM
        end = torch.where(bias.sign < 0, closed, bias.still.clamp(max=opened))
        runs = gap <= bias.still
        left, taken = time, torch.zeros_like(gap)
        slow = self._log_slowness(gap, bias)
        for _ in range(math.ceil((opened - closed) / grid) + 1):
            room = torch.where(runs, bias.sign * (end - gap), 0.0).clamp_(0, grid)
            if not bool(((left > 0) & (room > 0)).any()):
                break
            slower = self._log_slowness(gap + bias.sign * room, bias)
            way, spent = _cell(room, slow, slower, left)
            if energy:
                taken += bias.volts * self.current((gap + 0.5 * bias.sign * way) / NM, bias.volts) * spent
            gap = torch.addcmul(gap, bias.sign, way)
            left = left - spent
            slow = slower  # where the way ended within the cell, nothing is left
        if energy:
            taken += bias.volts * self.current(gap / NM, bias.volts) * left
        return gap, taken

    def _log_slowness(self, gap: Tensor, bias: _Bias) -> Tensor:
        """Logarithm of |dt/dg| [s/nm] at a gap [nm]: logarithms do not overflow where the filament is hot."""
        heat = torch.exp(gap / (-self.g0 * NM)).mul_(bias.heat).add_(self.T0)
        per_energy = heat.mul_(BOLTZMANN).reciprocal_()
        gamma = self.gamma0 - self.beta * gap**3
        x = gamma.mul_(bias.pull).mul_(per_energy)
        log_sinh = torch.log1p(-torch.exp(-2 * x)).add_(x)
        return per_energy.mul_(self.Ea).sub_(log_sinh).add_(math.log(2) - math.log(self.v0 * NM))

    def _noise(self, gap: Tensor, bias: _Bias) -> Tensor:
        """Size of the walk [nm] in a second."""
        heat = self.temperature(gap / NM, bias.volts)
        return self.delta_g * NM * math.sqrt(self.noise_time) * torch.sigmoid((heat - self.T_crit) / self.T_smth)

    def _resistance(self, gap: float) -> float:
        return self.read_voltage / (self.I0 * math.exp(-gap / self.g0) * math.sinh(self.read_voltage / self.V0))


@dataclass(frozen=True)
class _Bias:
    """What a pulse sets for each device: volts [V], whether the gap opens (1) or closes (-1), the heating [K] and pull [V]
    at no gap, and the gap [nm] beyond which nothing moves.
    """

    volts: Tensor
    sign: Tensor
    heat: Tensor
    pull: Tensor
    still: Tensor


def _cell(room: Tensor, slow: Tensor, slower: Tensor, left: Tensor) -> tuple[Tensor, Tensor]:
    """How far [nm] and how long [s] a device moves in a cell, its slowness dt/dg exponential from one end to the other.

    Args:
        room: Length of the cell [nm], or 0.
        slow: Logarithm of the slowness [s/nm] at the near end.
        slower: At the far end.
        left: Time left [s].
    """
    change = slower - slow
    flat = change.abs() < 1e-3
    change = torch.where(flat, 1.0, change)
    per_nm = torch.exp(slow)
    mean = torch.where(flat, 1 + (slower - slow) / 2, torch.expm1(change) / change)
    whole = room * per_nm * mean
    length = room.clamp(min=1e-30)
    fraction = left / (length * per_nm)
    partial = torch.where(flat, fraction / mean, torch.log1p((fraction * change).clamp(min=-0.999999)) / change)
    through = left >= whole
    return torch.where(through, room, room * partial.clamp(0, 1)), torch.where(through, whole, left)
