"""`VTEAM`: the voltage-threshold memristor, whose state moves at a rate that the voltage sets; exact within a pulse."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ...contracts.synapse import Pulses, State, SynapseModel
from ...contracts.synapse_registry import register_synapse
from ...errors import ConfigError
from ...validation import number, one_of, whole_number
from .population import check_numbers, checked_amplitudes, spread_factors

WINDOWS = ("none", "joglekar", "biolek")
_SATURATED = 40.0  # path after which the state is at its end under every window


@register_synapse("vteam-memtorch", summary="voltage-threshold memristor with the parameters of MemTorch")
@dataclass(frozen=True, eq=False)
class VTEAM(SynapseModel):
    """The Voltage ThrEshold Adaptive Memristor model: the position x of a boundary, 0 .. D, moves only beyond a threshold.

    dx/dt = k_off (v / v_off - 1)^alpha_off f(x)    for v >= v_off    (RESET, the resistance grows)
    dx/dt = k_on  (v / v_on  - 1)^alpha_on  f(x)    for v <= v_on     (SET, it falls)
    R = r_on + (r_off - r_on) x / D   (linear),   R = r_on (r_off / r_on)^(x / D)   (exponential)

    A SET pulse of amplitude V has v = -V, a RESET pulse v = +V. Without a window f the rate is constant during a pulse, so
    a train is one exact step; x stops at 0 and D. The windows of order p are, with z = x / D,

    joglekar: f = 1 - (2 z - 1)^(2 p)
    biolek:   f = 1 - z^(2 p) in RESET,   f = 1 - (1 - z)^(2 p) in SET

    and are integrated by the classical Runge-Kutta method. Under Joglekar's window a device that has reached an end never
    leaves it.

    The state contains "position", z of each device, and factors around 1, "k_off" .. "v_on", for parameters with a spread.

    Attributes:
        r_on: Resistance [ohm] at x = 0.
        r_off: Resistance [ohm] at x = D.
        length: D [m].
        k_off: Rate [m/s] of RESET, above zero.
        k_on: Rate [m/s] of SET, below zero.
        alpha_off: Exponent of RESET.
        alpha_on: Exponent of SET.
        v_off: Threshold [V] of RESET, above zero.
        v_on: Threshold [V] of SET, below zero.
        resistance: "linear" or "exponential".
        window: "none", "joglekar" or "biolek".
        window_order: p.
        substep: Largest Runge-Kutta step under a window, in units of D / (p rate).
        start: z of a fresh device.
        spread_k_off: Device-to-device spread of k_off: standard deviation over mean of a lognormal factor.
        spread_k_on: The same for k_on.
        spread_v_off: The same for v_off.
        spread_v_on: The same for v_on.
        noise: Cycle-to-cycle noise s: a pulse moves a device by (1 + s xi) times its step, xi ~ N(0, 1), a train of n pulses
            by (n + s sqrt(n) xi) steps, and never backwards.
        voltage: Usual amplitudes [V] of SET and RESET: both move z by 0.01 in 3 ns with the default parameters.
        width: Usual width [s].

    Raises:
        ConfigError: a parameter outside its range.

    Example:
        >>> from spinode import Pulses
        >>> synapse = VTEAM()
        >>> after = synapse.program(synapse.initial((1,)), Pulses(torch.tensor([50.0])))
        >>> round(float(after["position"]), 3)  # 50 SET pulses move the boundary by half the length
        0.5

    Source: equations and defaults: S. Kvatinsky et al., IEEE Trans. Circuits Syst. II 62, 786 (2015), with the parameters
    of MemTorch's VTEAM; windows: Y. N. Joglekar and S. J. Wolf, Eur. J. Phys. 30, 661 (2009), Z. Biolek et al.,
    Radioengineering 18, 210 (2009). Noise, spreads and usual pulses are our additions.
    """

    r_on: float = 50.0
    r_off: float = 1000.0
    length: float = 3e-9
    k_off: float = 5e-4
    k_on: float = -10.0
    alpha_off: float = 1.0
    alpha_on: float = 3.0
    v_off: float = 0.02
    v_on: float = -0.2
    resistance: str = "linear"
    window: str = "none"
    window_order: int = 2
    substep: float = 0.1
    start: float = 1.0
    spread_k_off: float = 0.0
    spread_k_on: float = 0.0
    spread_v_off: float = 0.0
    spread_v_on: float = 0.0
    noise: float = 0.0
    voltage: tuple[float, float] = (0.22, 0.42)
    width: float = 3e-9
    low: float = field(init=False, default=0.0)
    high: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        check_numbers(self, ("r_on",), unit="ohm")
        check_numbers(self, ("r_off",), self.r_on, unit="ohm")
        check_numbers(self, ("length",), unit="m")
        check_numbers(self, ("k_off",), unit="m/s")
        check_numbers(self, ("v_off",), unit="V")
        check_numbers(self, ("width",), unit="s")
        check_numbers(self, ("alpha_off", "alpha_on"))
        check_numbers(self, ("substep",), high=0.5)
        check_numbers(self, ("start",), high=1.0, closed=True)
        check_numbers(self, ("spread_k_off", "spread_k_on", "spread_v_off", "spread_v_on", "noise"), closed=True)
        for name, unit in (("k_on", "m/s"), ("v_on", "V")):  # SET lowers x under a negative voltage
            object.__setattr__(self, name, number(name, getattr(self, name), high=0, below=True, unit=unit))
        object.__setattr__(self, "voltage", checked_amplitudes(self.voltage))
        object.__setattr__(self, "window_order", whole_number("window_order", self.window_order, 1))
        one_of("resistance", self.resistance, ("linear", "exponential"))
        one_of("window", self.window, WINDOWS)
        if self.window == "joglekar" and self.start in (0.0, 1.0):
            raise ConfigError(
                f"start is {self.start:g}, which a device never leaves under Joglekar's window; start between the ends, or use "
                "window='biolek'."
            )
        object.__setattr__(self, "low", 1 / self.r_off)
        object.__setattr__(self, "high", 1 / self.r_on)

    def _initial(self, shape: tuple[int, ...], generator: torch.Generator | None, dtype: torch.dtype) -> State:
        spreads = {name: getattr(self, f"spread_{name}") for name in ("k_off", "k_on", "v_off", "v_on")}
        state = {"position": torch.full(shape, self.start, dtype=dtype)}
        return state | {name: spread_factors(shape, spread, generator, dtype) for name, spread in spreads.items() if spread}

    def _program(self, state: State, pulses: Pulses, generator: torch.Generator | None) -> State:
        trains = pulses.count.abs()
        if generator is not None and self.noise:
            xi = torch.randn(trains.shape, generator=generator, dtype=trains.dtype)
            trains = (trains + self.noise * trains.sqrt() * xi).clamp_(min=0)
        return state | {"position": self._position_after(state, pulses, trains * self._path(state, pulses))}

    def energy(self, state: State, pulses: Pulses) -> Tensor:
        """Return the energy [J] of the pulses in each device without noise, V^2 times the integral of G over time.

        The integral is exact without a window; with one, the position is assumed to change uniformly during the train.
        """
        complete = self._complete(state, pulses)
        path = complete.count.abs() * self._path(state, complete)
        before, after = state["position"], self._position_after(state, complete, path)
        # Share of the train during which the boundary moves: it stops at its ends, while a window only slows it down.
        moving = torch.ones_like(path)
        if self.window == "none":
            moving = torch.where(path > 0, (after - before).abs() / path.clamp(min=1e-30), 0.0).clamp_(max=1)
        first, last = (self._read({"position": z}, None) for z in (before, after))
        mean = _logarithmic_mean(first, last)
        if self.resistance == "linear":
            mean = first * last / mean
        volts, width = _like(before, complete.voltage), _like(before, complete.width)
        return volts**2 * width * complete.count.abs() * torch.lerp(last, mean, moving)

    def _read(self, state: State, generator: torch.Generator | None) -> Tensor:
        if self.resistance == "linear":
            return 1 / (self.r_on + (self.r_off - self.r_on) * state["position"])
        return torch.exp(-math.log(self.r_off / self.r_on) * state["position"]) / self.r_on

    def _path(self, state: State, pulses: Pulses) -> Tensor:
        """Return |change of z| in one pulse, without a window and far from the ends."""
        position = state["position"]
        volts = _like(position, pulses.voltage)

        def change(k: str, v: str, alpha: float) -> Tensor:
            relative = volts / abs(getattr(self, v))
            if v in state:
                relative = relative / state[v]
            rate: Tensor = (relative - 1).clamp_(min=0).pow_(alpha).mul_(abs(getattr(self, k)) / self.length)
            return rate * state[k] if k in state else rate

        set_rate, reset_rate = change("k_on", "v_on", self.alpha_on), change("k_off", "v_off", self.alpha_off)
        return torch.where(pulses.count > 0, set_rate, reset_rate) * _like(position, pulses.width)

    def _position_after(self, state: State, pulses: Pulses, path: Tensor) -> Tensor:
        """Return the position z after a path."""
        down = pulses.count > 0
        if self.window != "none":
            return self._position_under_window(state["position"], path, down)
        return (state["position"] + torch.where(down, -path, path)).clamp_(0, 1)

    def _position_under_window(self, position: Tensor, path: Tensor, down: Tensor) -> Tensor:
        """Return the position z after a path under a window, dz/ds = -+ f(z), each device over its own path."""
        path = path.clamp(max=_SATURATED)
        steps = max(1, math.ceil(float(path.max()) * self.window_order / self.substep))
        h = torch.where(down, -path, path) / steps
        order = 2 * self.window_order

        def slope(z: Tensor) -> Tensor:
            if self.window == "joglekar":
                return h * (1 - (2 * z - 1) ** order)
            return h * (1 - torch.where(down, 1 - z, z) ** order)

        z = position
        for _ in range(steps):
            a = slope(z)
            b = slope(z + a / 2)
            c = slope(z + b / 2)
            z = (z + (a + 2 * b + 2 * c + slope(z + c)) / 6).clamp_(0, 1)
        return z


def _like(tensor: Tensor, value: Tensor | float | None) -> Tensor:
    """Return a number or tensor in the type of a tensor; converting through single precision would lose digits."""
    return torch.as_tensor(value, dtype=tensor.dtype, device=tensor.device)


def _logarithmic_mean(a: Tensor, b: Tensor) -> Tensor:
    """Return the mean of an exponential course from a to b, (b - a) / ln(b / a); a where they are equal."""
    change = (b - a) / a
    even = change.abs() < 1e-4
    return a * torch.where(even, 1 + change / 2, change / torch.log1p(torch.where(even, 1.0, change)))
