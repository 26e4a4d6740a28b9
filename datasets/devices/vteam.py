"""`VTEAM`, the voltage-threshold memristor: a state that drifts at a rate set by the voltage, exactly within a pulse."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ...contracts.synapse import Pulses, State, SynapseModel
from ...contracts.synapse_registry import register_synapse
from ...errors import ConfigError
from .population import check, lognormal

WINDOWS = ("none", "joglekar", "biolek")
_SATURATED = 40.0  # window times after which every window has brought the state to its end


@register_synapse("vteam-memtorch", summary="voltage-threshold memristor with the parameters of MemTorch")
@dataclass(frozen=True, eq=False)
class VTEAM(SynapseModel):
    """Voltage ThrEshold Adaptive Memristor model: the position x of a boundary, 0 .. D, moves beyond a threshold only.

    dx/dt = k_off (v / v_off - 1)^alpha_off f(x)    for v >= v_off    (RESET, the resistance grows)
    dx/dt = k_on  (v / v_on  - 1)^alpha_on  f(x)    for v <= v_on     (SET, it falls)
    R = r_on + (r_off - r_on) x / D   (linear),   R = r_on (r_off / r_on)^(x / D)   (exponential)

    A SET pulse of amplitude V has v = -V, a RESET pulse v = +V. Without a window f the rate is constant during a pulse, so
    a train is one exact step; x stops at 0 and D. The windows have order p and, with z = x / D,

    joglekar: f = 1 - (2 z - 1)^(2 p)
    biolek:   f = 1 - z^(2 p) in RESET,   f = 1 - (1 - z)^(2 p) in SET

    and are integrated by classical Runge-Kutta. Joglekar's leaves a device that reached an end there for good.

    The state holds "position", z of each device, and what a spread makes its own: "k_off" .. "v_on", factors around 1.

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
        substep: Longest Runge-Kutta step under a window, in units of D / (p rate).
        start: z of a fresh device.
        spread_k_off: Device-to-device spread of k_off: standard deviation over mean of a lognormal factor.
        spread_k_on: Of k_on.
        spread_v_off: Of v_off.
        spread_v_on: Of v_on.
        noise: Cycle-to-cycle noise s: a pulse moves a device by (1 + s xi) times its step, xi ~ N(0, 1), a train of n pulses
            by (n + s sqrt(n) xi) steps, never backwards.
        voltage: Usual amplitudes [V] of SET and RESET: both move z by 0.01 in 3 ns with the other defaults.
        width: Usual width [s].

    Raises:
        ConfigError: a parameter outside its range.

    Source: equations and defaults: S. Kvatinsky et al., IEEE Trans. Circuits Syst. II 62, 786 (2015), with the parameters
    of MemTorch's VTEAM; windows: Y. N. Joglekar and S. J. Wolf, Eur. J. Phys. 30, 661 (2009), Z. Biolek et al.,
    Radioengineering 18, 210 (2009). Noise, spreads and usual pulses are ours.
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
        check(self, ("r_on",), unit="ohm")
        check(self, ("r_off",), self.r_on, unit="ohm")
        check(self, ("length",), unit="m")
        check(self, ("k_off",), unit="m/s")
        check(self, ("v_off",), unit="V")
        check(self, ("width",), unit="s")
        check(self, ("alpha_off", "alpha_on"))
        check(self, ("substep",), high=0.5)
        check(self, ("start",), high=1.0, closed=True)
        check(self, ("spread_k_off", "spread_k_on", "spread_v_off", "spread_v_on", "noise"), closed=True)
        for name in ("k_on", "v_on"):
            value = getattr(self, name)
            if not (value < 0 and math.isfinite(value)):
                raise ConfigError(f"{name} is {value!r}; expected a number below zero: SET lowers x under a negative voltage.")
        if self.resistance not in ("linear", "exponential"):
            raise ConfigError(f"resistance is {self.resistance!r}; expected 'linear' or 'exponential'.")
        if self.window not in WINDOWS:
            raise ConfigError(f"window is {self.window!r}; expected one of {', '.join(map(repr, WINDOWS))}.")
        if not (isinstance(self.window_order, int) and self.window_order >= 1):
            raise ConfigError(f"window_order is {self.window_order!r}; expected a whole number of at least 1.")
        if self.window == "joglekar" and self.start in (0.0, 1.0):
            raise ConfigError(
                f"start is {self.start:g}, where Joglekar's window holds a device for good; start between the ends, or take "
                "window='biolek'."
            )
        object.__setattr__(self, "low", 1 / self.r_off)
        object.__setattr__(self, "high", 1 / self.r_on)

    def _initial(self, shape: tuple[int, ...], generator: torch.Generator | None, dtype: torch.dtype) -> State:
        spreads = {name: getattr(self, f"spread_{name}") for name in ("k_off", "k_on", "v_off", "v_on")}
        state = {"position": torch.full(shape, self.start, dtype=dtype)}
        return state | {name: lognormal(shape, spread, generator, dtype) for name, spread in spreads.items() if spread}

    def _program(self, state: State, pulses: Pulses, generator: torch.Generator | None) -> State:
        trains = pulses.count.abs()
        if generator is not None and self.noise:
            xi = torch.randn(trains.shape, generator=generator, dtype=trains.dtype)
            trains = (trains + self.noise * trains.sqrt() * xi).clamp_(min=0)
        return state | {"position": self._moved(state, pulses, trains * self._path(state, pulses))}

    def energy(self, state: State, pulses: Pulses) -> Tensor:
        """Energy [J] of the pulses in each device without noise, V^2 times the integral of G over time, shape (devices...).

        The integral is exact without a window; with one the position is taken to move evenly during the train.
        """
        complete = self._complete(state, pulses)
        path = complete.count.abs() * self._path(state, complete)
        before, after = state["position"], self._moved(state, complete, path)
        # Share of the train that the boundary moves for: it stops at its ends, and a window only slows it.
        moves = torch.ones_like(path)
        if self.window == "none":
            moves = torch.where(path > 0, (after - before).abs() / path.clamp(min=1e-30), 0.0).clamp_(max=1)
        first, last = (self._read({"position": z}, None) for z in (before, after))
        mean = _logarithmic_mean(first, last)
        if self.resistance == "linear":
            mean = first * last / mean
        volts, width = _like(before, complete.voltage), _like(before, complete.width)
        return volts**2 * width * complete.count.abs() * torch.lerp(last, mean, moves)

    def _read(self, state: State, generator: torch.Generator | None) -> Tensor:
        if self.resistance == "linear":
            return 1 / (self.r_on + (self.r_off - self.r_on) * state["position"])
        return torch.exp(-math.log(self.r_off / self.r_on) * state["position"]) / self.r_on

    def _path(self, state: State, pulses: Pulses) -> Tensor:
        """|change of z| in one pulse without a window or an end."""
        position = state["position"]
        volts = _like(position, pulses.voltage)

        def one(k: str, v: str, alpha: float) -> Tensor:
            relative = volts / abs(getattr(self, v))
            if v in state:
                relative = relative / state[v]
            rate: Tensor = (relative - 1).clamp_(min=0).pow_(alpha).mul_(abs(getattr(self, k)) / self.length)
            return rate * state[k] if k in state else rate

        set_rate, reset_rate = one("k_on", "v_on", self.alpha_on), one("k_off", "v_off", self.alpha_off)
        return torch.where(pulses.count > 0, set_rate, reset_rate) * _like(position, pulses.width)

    def _moved(self, state: State, pulses: Pulses, path: Tensor) -> Tensor:
        """Position z after a path."""
        down = pulses.count > 0
        if self.window != "none":
            return self._windowed(state["position"], path, down)
        return (state["position"] + torch.where(down, -path, path)).clamp_(0, 1)

    def _windowed(self, position: Tensor, path: Tensor, down: Tensor) -> Tensor:
        """Position z after a path that the window slows: dz/ds = -+ f(z), one equation for all, over paths of their own."""
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
    """A number or tensor in the type of a tensor; a number by way of single precision would lose digits."""
    return torch.as_tensor(value, dtype=tensor.dtype, device=tensor.device)


def _logarithmic_mean(a: Tensor, b: Tensor) -> Tensor:
    """Mean of what runs exponentially from a to b, (b - a) / ln(b / a), and a where they are the same."""
    change = (b - a) / a
    even = change.abs() < 1e-4
    return a * torch.where(even, 1 + change / 2, change / torch.log1p(torch.where(even, 1.0, change)))
