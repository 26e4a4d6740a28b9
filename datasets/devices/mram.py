"""Spin-transfer-torque MRAM: write errors against write energy, and `STTMRAM`, the cell that holds one bit."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ...errors import ConfigError
from ...synapse import Pulses, State, SynapseModel
from ..llg import GAMMA0, MU0
from ..sampled import Values, float64
from .population import check, lognormal

STABILITY = 60.0  # Delta, barrier over k T
DAMPING = 0.01
ANISOTROPY_FIELD = 0.4 / MU0  # effective H_k [A/m]


def write_error_rate(
    overdrive: Values,
    width: Values,
    *,
    stability: Values = STABILITY,
    damping: float = DAMPING,
    anisotropy_field: float = ANISOTROPY_FIELD,
) -> Tensor:
    """Probability that a write fails, of a perpendicular magnet that stays uniform.

    WER = 1 - exp( -(pi^2 Delta / 4) (i - 1) / (i exp(2 tau (i - 1)) - 1) ),   tau = alpha gamma0 H_k t / (1 + alpha^2)

    with the overdrive i = I / Ic0. It is the error of fast switching, i > 1; below, where thermal activation takes over,
    the expression goes on smoothly (through WER = 1 - exp(-pi^2 Delta / 4 / (1 + 2 tau)) at i = 1) and is an upper bound.
    Precise to small relative errors however small the rate is.

    Args:
        overdrive: i, above zero.
        width: Width t [s] of the pulse, above zero; broadcasts against `overdrive`.
        stability: Delta = barrier / k T.
        damping: Gilbert damping alpha.
        anisotropy_field: Effective anisotropy field H_k [A/m].

    Returns:
        WER, float64, of the common shape.

    Raises:
        ConfigError: values that are not finite and above zero.

    Source: W. H. Butler et al., IEEE Trans. Magn. 48, 4684 (2012).
    """
    i, delta = _above_zero(overdrive, "overdrive"), _above_zero(stability, "stability")
    tau = _tau(_above_zero(width, "width"), damping, anisotropy_field)
    return -torch.expm1(-torch.exp(_log_start(delta) - _log_growth(i, tau)))


def overdrive_for(
    ber: Values,
    width: Values,
    *,
    stability: Values = STABILITY,
    damping: float = DAMPING,
    anisotropy_field: float = ANISOTROPY_FIELD,
) -> Tensor:
    """Overdrive i = I / Ic0 whose `write_error_rate` is a given one, by bisection to the last bit.

    Args:
        ber: Wanted rate, between 0 and 1.
        width: Width [s] of the pulse; broadcasts against `ber`.
        stability: As in `write_error_rate`, like all that follow.
        damping: Gilbert damping.
        anisotropy_field: Effective anisotropy field [A/m].

    Returns:
        i, float64, of the common shape.

    Raises:
        ConfigError: a rate outside 0 .. 1, or one that every current undercuts.
    """
    rate, delta = float64(ber, "ber"), _above_zero(stability, "stability")
    if not bool(((rate > 0) & (rate < 1)).all()):
        raise ConfigError(
            "ber holds a rate that is not between 0 and 1, both excluded; an error rate of 0 takes infinite current."
        )
    tau = _tau(_above_zero(width, "width"), damping, anisotropy_field)
    goal, tau = torch.broadcast_tensors(_log_start(delta) - torch.log(-torch.log1p(-rate)), tau)
    if bool((goal <= 0).any()):
        raise ConfigError(
            f"ber holds a rate above 1 - exp(-pi^2 Delta / 4), the error of no current with Delta = {float(delta.min()):g}; "
            "ask for a lower rate."
        )
    # The growth exceeds 2 tau (i - 1) everywhere, so this current has reached the goal.
    low, high = torch.zeros_like(goal), 1 + goal / (2 * tau)
    for _ in range(64):
        middle = (low + high) / 2
        short = _log_growth(middle, tau) < goal
        low, high = torch.where(short, middle, low), torch.where(short, high, middle)
    return torch.lerp(low, high, 0.5)


def write_energy(overdrive: Values, width: Values, *, critical_current: float = 50e-6, resistance: float = 5e3) -> Tensor:
    """Energy [J] of a write, E = (i Ic0)^2 R t, float64.

    Args:
        overdrive: i = I / Ic0.
        width: Width t [s]; broadcasts against `overdrive`.
        critical_current: Ic0 [A].
        resistance: R [ohm].

    Raises:
        ConfigError: values that are not finite and above zero.
    """
    i, time = _above_zero(overdrive, "overdrive"), _above_zero(width, "width")
    ohm, ampere = _above_zero(resistance, "resistance"), _above_zero(critical_current, "critical_current")
    return (i * ampere) ** 2 * ohm * time


def flip_bits(weights: Tensor, ber: Values, generator: torch.Generator) -> Tensor:
    """Stored binary weights after bit errors: each changes its sign, or its truth, independently with probability `ber`.

    Args:
        weights: Weights of +1 and -1 (or any two values +-w), or bits of type bool; left as they are.
        ber: Bit error rate, 0 .. 1; a number or one that broadcasts against the weights.
        generator: Source of the errors.

    Raises:
        ConfigError: a rate outside 0 .. 1, or weights of 0, which no sign error reaches.
    """
    rate = float64(ber, "ber")
    if not bool(((rate >= 0) & (rate <= 1)).all()):
        raise ConfigError("ber holds a rate outside 0 .. 1.")
    if weights.dtype == torch.bool:
        return weights ^ _happens(rate.to(weights.device), weights, generator)
    if bool((weights == 0).any()):
        raise ConfigError("weights hold 0, which no error of the sign changes; pass +1 and -1, or bits as torch.bool.")
    return torch.where(_happens(rate.to(weights.device), weights, generator), -weights, weights)


@dataclass(frozen=True, eq=False)
class STTMRAM(SynapseModel):
    """A spin-transfer-torque MRAM cell as a synapse of one bit: parallel (1, SET) or antiparallel (0, RESET).

    G = 1 / R_P if parallel, 1 / (R_P (1 + TMR)) if antiparallel. A pulse of amplitude V drives I = V / R through the cell
    as it stands, so a cell of overdrive i = V / (R Ic0) fails to switch with `write_error_rate(i, t)`, each pulse of a
    train anew: n pulses leave it with WER^n. Pulses towards the state that a cell is in change nothing. Without a
    generator the likelier of both happens. TMR and Ic0 are those of the pulse: their bias dependence is left out.

    The state holds "bit", and "stability" and "critical", factors around 1, if there is a spread.

    Attributes:
        r_p: Resistance R_P [ohm] of the parallel state.
        tmr: Tunnel magnetoresistance, (R_AP - R_P) / R_P.
        critical_current: Ic0 [A], that of both polarities.
        stability: Delta.
        damping: Gilbert damping.
        anisotropy_field: Effective anisotropy field [A/m].
        start: Bit of a fresh cell.
        spread_stability: Device-to-device spread of Delta: standard deviation over mean of a lognormal factor.
        spread_critical: Of Ic0.
        voltage: Usual amplitudes [V] of SET, from the antiparallel state, and RESET; both are twice Ic0 by default.
        width: Usual width [s].

    Raises:
        ConfigError: a parameter outside its range.

    Source: `write_error_rate`; the constants are of the usual size for such cells and belong to no measured one.
    """

    r_p: float = 5e3
    tmr: float = 1.0
    critical_current: float = 50e-6
    stability: float = STABILITY
    damping: float = DAMPING
    anisotropy_field: float = ANISOTROPY_FIELD
    start: int = 0
    spread_stability: float = 0.0
    spread_critical: float = 0.0
    voltage: tuple[float, float] = (1.0, 0.5)
    width: float = 10e-9
    low: float = field(init=False, default=0.0)
    high: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        check(self, ("r_p",), unit="ohm")
        check(self, ("critical_current",), unit="A")
        check(self, ("anisotropy_field",), unit="A/m")
        check(self, ("width",), unit="s")
        check(self, ("tmr", "stability", "damping"))
        check(self, ("spread_stability", "spread_critical"), closed=True)
        if self.start not in (0, 1):
            raise ConfigError(f"start is {self.start!r}; expected 0 (antiparallel) or 1 (parallel).")
        object.__setattr__(self, "low", 1 / (self.r_p * (1 + self.tmr)))
        object.__setattr__(self, "high", 1 / self.r_p)

    def error_rate(self, state: State, pulses: Pulses) -> Tensor:
        """WER of one pulse in each cell that is not yet in the state wanted, float64, shape (devices...).

        Args:
            state: The cells; what counts is their spread, not their bits.
            pulses: Of which only the polarity counts, not the number.

        Raises:
            ConfigError: as `program`.
        """
        return torch.exp(self._log_error(state, self._complete(state, pulses)))

    def _initial(self, shape: tuple[int, ...], generator: torch.Generator | None, dtype: torch.dtype) -> State:
        state = {"bit": torch.full(shape, float(self.start), dtype=dtype)}
        for name in ("stability", "critical"):
            if spread := getattr(self, f"spread_{name}"):
                state[name] = lognormal(shape, spread, generator, dtype)
        return state

    def _program(self, state: State, pulses: Pulses, generator: torch.Generator | None) -> State:
        bit, count = state["bit"], pulses.count
        fails = torch.exp(count.abs() * self._log_error(state, pulses))
        failed = fails >= 0.5 if generator is None else _happens(fails, bit, generator)
        return state | {"bit": torch.where(failed | (count == 0), bit, (count > 0).to(bit))}

    def _read(self, state: State, generator: torch.Generator | None) -> Tensor:
        return torch.where(state["bit"] > 0.5, self.high, self.low).to(state["bit"].dtype)

    def energy(self, state: State, pulses: Pulses) -> Tensor:
        """Mean energy [J] of the pulses in each cell: V^2 t / R a pulse, R from before the cell switches, then after.

        Of n pulses a cell takes (1 - WER^n) / (1 - WER) on average before it has switched; a pulse counts whole.
        """
        complete = self._complete(state, pulses)
        count = complete.count.abs().to(torch.float64)
        log_error = self._log_error(state, complete)
        # WER = 1 in double precision would make 0 / 0 of what is n.
        before = torch.where(
            log_error > -1e-12, count, torch.expm1(count * log_error) / torch.expm1(log_error).clamp(max=-1e-300)
        )
        wanted = torch.where(complete.count > 0, self.high, self.low)
        energy = before * self._read(state, None) + (count - before) * wanted
        volts, width = (
            torch.as_tensor(x, dtype=torch.float64, device=count.device) for x in (complete.voltage, complete.width)
        )
        return (energy * volts**2 * width).to(complete.count.dtype)

    def _log_error(self, state: State, pulses: Pulses) -> Tensor:
        """Logarithm of the WER of one pulse, in double precision: rates of 1e-15 are what a memory is built for."""
        bit = state["bit"]

        def double(value: Any) -> Tensor:
            return torch.as_tensor(value, device=bit.device).to(torch.float64)

        from_resistance = torch.where(pulses.count > 0, 1 / self.low, 1 / self.high).to(torch.float64)
        i = double(pulses.voltage) / (from_resistance * self.critical_current * double(state.get("critical", 1.0)))
        tau = _tau(double(pulses.width), self.damping, self.anisotropy_field)
        start = _log_start(self.stability * double(state.get("stability", 1.0)))
        return _log1mexp(torch.exp(start - _log_growth(i, tau)))


# --- the closed form --------------------------------------------------------------------------------------------------


def _tau(width: Tensor, damping: float, anisotropy_field: float) -> Tensor:
    return width * (damping * GAMMA0 * anisotropy_field / (1 + damping**2))


def _log_start(stability: Tensor) -> Tensor:
    """Logarithm of pi^2 Delta / 4: the inverse mean square of the angle that the magnet sets out with."""
    return torch.log(stability * (math.pi**2 / 4))


def _log_growth(i: Tensor, tau: Tensor) -> Tensor:
    """Logarithm of (i e^y - 1) / (i - 1) = e^y + 2 tau (e^y - 1) / y with y = 2 tau (i - 1), which has no pole at i = 1."""
    y = 2 * tau * (i - 1)
    small = y.abs() < 1e-8
    safe = torch.where(small, 1.0, y)
    up = y > 0
    # For y > 0 with e^y taken out: e^y (1 + 2 tau (1 - e^-y) / y) does not overflow.
    ratio = torch.where(small, 1.0, torch.expm1(-safe.abs()) / -safe.abs())
    return torch.where(up, y + torch.log1p(2 * tau * ratio), torch.log(torch.exp(-y.abs()) + 2 * tau * ratio))


def _log1mexp(x: Tensor) -> Tensor:
    """Logarithm of 1 - exp(-x) for x >= 0."""
    return torch.where(x < math.log(2), torch.log(-torch.expm1(-x)), torch.log1p(-torch.exp(-x)))


def _happens(probability: Tensor, like: Tensor, generator: torch.Generator) -> Tensor:
    """Independent events, of the shape of `like`.

    Uniform numbers of single precision are multiples of 2^-24: any rarer event would happen that often.
    """
    return torch.rand(like.shape, generator=generator, dtype=torch.float64, device=like.device) < probability


def _above_zero(values: Values, name: str) -> Tensor:
    tensor = float64(values, name)
    if not bool((tensor > 0).all()):
        raise ConfigError(
            f"{name} is {float(tensor[~(tensor > 0)].reshape(-1)[0]):g}; expected numbers above zero, in SI units."
        )
    return tensor
