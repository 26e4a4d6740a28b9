"""`STTMRAM`, the spin-transfer-torque MRAM cell that holds one bit and fails to be written now and then."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ...contracts.synapse import Pulses, State, SynapseModel
from ...contracts.synapse_registry import register_synapse
from ...errors import ConfigError
from .population import check, lognormal
from .write_errors import ANISOTROPY_FIELD, DAMPING, STABILITY, happens, log1mexp, log_growth, log_start, reduced_time


@register_synapse("stt-mram", summary="spin-transfer-torque MRAM cell of one bit, with write errors")
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
        failed = fails >= 0.5 if generator is None else happens(fails, bit, generator)
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
        tau = reduced_time(double(pulses.width), self.damping, self.anisotropy_field)
        start = log_start(self.stability * double(state.get("stability", 1.0)))
        return log1mexp(torch.exp(start - log_growth(i, tau)))
