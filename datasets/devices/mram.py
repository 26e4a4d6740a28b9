"""`STTMRAM`: the spin-transfer-torque MRAM cell, which stores one bit and has write errors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ...contracts.synapse import Pulses, State, SynapseModel
from ...contracts.synapse_registry import register_synapse
from ...validation import whole_number
from .population import check_numbers, checked_amplitudes, spread_factors
from .write_errors import ANISOTROPY_FIELD, DAMPING, STABILITY, log1mexp, log_growth, log_start, random_events, reduced_time


@register_synapse("stt-mram", summary="spin-transfer-torque MRAM cell of one bit, with write errors")
@dataclass(frozen=True, eq=False)
class STTMRAM(SynapseModel):
    """A spin-transfer-torque MRAM cell as a synapse of one bit: parallel (1, SET) or antiparallel (0, RESET).

    G = 1 / R_P if parallel, 1 / (R_P (1 + TMR)) if antiparallel. A pulse of amplitude V drives the current I = V / R through
    the cell in its present state, so with the overdrive i = V / (R Ic0) it fails to switch with probability
    `write_error_rate(i, t)`. The pulses of a train are independent: after n pulses a cell has failed with probability WER^n.
    Pulses towards the present state of a cell have no effect. Without a generator the more likely outcome occurs. TMR and
    Ic0 are those during the pulse; their bias dependence is neglected.

    The state contains "bit", and factors around 1, "stability" and "critical", if there is a spread.

    Attributes:
        r_p: Resistance R_P [ohm] of the parallel state.
        tmr: Tunnel magnetoresistance, (R_AP - R_P) / R_P.
        critical_current: Ic0 [A], the same for both polarities.
        stability: Thermal stability Delta.
        damping: Gilbert damping.
        anisotropy_field: Effective anisotropy field [A/m].
        start: Bit of a fresh cell.
        spread_stability: Device-to-device spread of Delta: standard deviation over mean of a lognormal factor.
        spread_critical: The same for Ic0.
        voltage: Usual amplitudes [V] of SET, from the antiparallel state, and RESET; both correspond to twice Ic0 by default.
        width: Usual width [s].

    Raises:
        ConfigError: a parameter outside its range.

    Example:
        >>> from spinode import Pulses
        >>> cell = STTMRAM()
        >>> state = cell.program(cell.initial((3,)), Pulses(torch.tensor([1.0, 0.0, -1.0])))
        >>> state["bit"].tolist()
        [1.0, 0.0, 0.0]

    Source: `write_error_rate`; the constants are typical for such cells, not those of a measured one.
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
        check_numbers(self, ("r_p",), unit="ohm")
        check_numbers(self, ("critical_current",), unit="A")
        check_numbers(self, ("anisotropy_field",), unit="A/m")
        check_numbers(self, ("width",), unit="s")
        check_numbers(self, ("tmr", "stability", "damping"))
        check_numbers(self, ("spread_stability", "spread_critical"), closed=True)
        object.__setattr__(self, "voltage", checked_amplitudes(self.voltage))
        object.__setattr__(self, "start", whole_number("start", self.start, 0, 1))
        object.__setattr__(self, "low", 1 / (self.r_p * (1 + self.tmr)))
        object.__setattr__(self, "high", 1 / self.r_p)

    def error_rate(self, state: State, pulses: Pulses) -> Tensor:
        """Return the WER of one pulse for each cell, as if it had to switch, float64, shape (devices...).

        Args:
            state: The cells; only their spread matters, not their bits.
            pulses: Pulses, of which only the polarity matters, not the number.

        Raises:
            ConfigError: as `program`.
        """
        return torch.exp(self._log_error(state, self._complete(state, pulses)))

    def imperfections(self) -> dict[str, None]:
        """Return which general imperfections are meaningless for one bit, see `spinode.contracts.imperfections`."""
        return dict.fromkeys(("asymmetry", "nonlinearity", "range", "number of pulses"))

    def _initial(self, shape: tuple[int, ...], generator: torch.Generator | None, dtype: torch.dtype) -> State:
        state = {"bit": torch.full(shape, float(self.start), dtype=dtype)}
        for name in ("stability", "critical"):
            if spread := getattr(self, f"spread_{name}"):
                state[name] = spread_factors(shape, spread, generator, dtype)
        return state

    def _program(self, state: State, pulses: Pulses, generator: torch.Generator | None) -> State:
        bit, count = state["bit"], pulses.count
        fails = torch.exp(count.abs() * self._log_error(state, pulses))
        failed = fails >= 0.5 if generator is None else random_events(fails, bit, generator)
        return state | {"bit": torch.where(failed | (count == 0), bit, (count > 0).to(bit))}

    def _read(self, state: State, generator: torch.Generator | None) -> Tensor:
        return torch.where(state["bit"] > 0.5, self.high, self.low).to(state["bit"].dtype)

    def energy(self, state: State, pulses: Pulses) -> Tensor:
        """Return the mean energy [J] of the pulses in each cell: V^2 t / R for each pulse, with R before or after switching.

        Of n pulses, (1 - WER^n) / (1 - WER) on average find the cell not yet switched.
        """
        complete = self._complete(state, pulses)
        count = complete.count.abs().to(torch.float64)
        log_error = self._log_error(state, complete)
        # For WER = 1 in double precision the formula is 0 / 0; its limit is n.
        before = torch.where(
            log_error > -1e-12, count, torch.expm1(count * log_error) / torch.expm1(log_error).clamp(max=-1e-300)
        )
        switched = torch.where(complete.count > 0, self.high, self.low)
        energy = before * self._read(state, None) + (count - before) * switched
        volts, width = (
            torch.as_tensor(x, dtype=torch.float64, device=count.device) for x in (complete.voltage, complete.width)
        )
        return (energy * volts**2 * width).to(complete.count.dtype)

    def _log_error(self, state: State, pulses: Pulses) -> Tensor:
        """Return the logarithm of the WER of one pulse, in double precision: memories are designed for rates of 1e-15."""
        bit = state["bit"]

        def double(value: Any) -> Tensor:
            return torch.as_tensor(value, device=bit.device).to(torch.float64)

        from_resistance = torch.where(pulses.count > 0, 1 / self.low, 1 / self.high).to(torch.float64)
        i = double(pulses.voltage) / (from_resistance * self.critical_current * double(state.get("critical", 1.0)))
        tau = reduced_time(double(pulses.width), self.damping, self.anisotropy_field)
        start = log_start(self.stability * double(state.get("stability", 1.0)))
        return log1mexp(torch.exp(start - log_growth(i, tau)))
