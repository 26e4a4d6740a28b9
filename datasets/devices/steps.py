"""Behavioural models of a pulsed weight as in aihwkit, for comparison: `LinearStep`, `SoftBounds` and `ExponentialStep`.

They differ in how the step of a pulse depends on the weight; spread and noise are common to all and defined in the base class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...contracts.synapse import Pulses, State, SynapseModel
from ...contracts.synapse_registry import register_synapse
from ...validation import number
from .population import check_numbers

#: Trains up to this length are simulated pulse by pulse, longer ones in as many equal parts.
MAX_EXACT = 64


@dataclass(frozen=True, eq=False)
class StepModel(SynapseModel):
    """Base of the models here: a normalised weight between bounds that each pulse changes by a step.

    With d = 1 for SET and -1 for RESET, and constants of each device (xi ~ N(0, 1), independent for each term),

    dw_d = dw_min (1 + d (up_down + up_down_dtod xi) + dw_min_dtod xi), w_max (1 + w_max_dtod xi), w_min (1 + w_min_dtod xi),
    w <- w + d dw_d (f_d(w) + dw_min_std xi_pulse), or w + d dw_d f_d(w) (1 + dw_min_std xi_pulse) with `mult_noise`,

    clipped to the bounds, where f_d depends on the model. A train of more than 64 pulses is simulated in 64 parts: f_d is
    evaluated at the beginning of a part, and the noise of its pulses is one sample of their summed variance.

    Attributes:
        dw_min: Mean step at f = 1.
        up_down: Asymmetry of the steps.
        low: Lower bound w_min, below zero.
        high: Upper bound w_max, above zero.
        dw_min_dtod: Relative device-to-device spread of the step.
        up_down_dtod: Spread of the asymmetry.
        w_min_dtod: Relative spread of the lower bound.
        w_max_dtod: Relative spread of the upper bound.
        dw_min_std: Cycle-to-cycle noise of a step, in steps.
        write_noise_std: Noise of the weight that is read, in units of `dw_min`, drawn after each programming; the underlying
            weight does not contain it.
        mult_noise: Make the cycle-to-cycle noise proportional to f.
        start: Weight of fresh devices.

    Raises:
        ConfigError: bounds that do not enclose zero, a start outside them, a step that is not positive, or negative noise.

    Source: M. J. Rasch et al., "A flexible and fast PyTorch toolkit for simulating training and inference on analog crossbar
    arrays", AICAS 2021, and the documentation of aihwkit's PulsedDevice.
    """

    unit = ""

    dw_min: float = 0.001
    up_down: float = 0.0
    low: float = -1.0
    high: float = 1.0
    dw_min_dtod: float = 0.3
    up_down_dtod: float = 0.01
    w_min_dtod: float = 0.3
    w_max_dtod: float = 0.3
    dw_min_std: float = 0.3
    write_noise_std: float = 0.0
    mult_noise: bool = False
    start: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "low", number("low", self.low, high=0, below=True))
        check_numbers(self, ("high", "dw_min"))
        check_numbers(self, ("start",), self.low, self.high, closed=True)
        spreads = ("dw_min_dtod", "up_down_dtod", "w_min_dtod", "w_max_dtod", "dw_min_std", "write_noise_std")
        check_numbers(self, spreads, closed=True)

    def _initial(self, shape: tuple[int, ...], generator: torch.Generator | None, dtype: torch.dtype) -> State:
        dtype = torch.promote_types(dtype, torch.float32)

        def spread(sd: float) -> Tensor:
            if generator is None or not sd:
                return torch.zeros(shape, dtype=dtype)
            return torch.randn(shape, generator=generator, dtype=dtype).mul_(sd)

        tilt, scale = spread(self.up_down_dtod).add_(self.up_down), spread(self.dw_min_dtod).add_(1)
        # The spread cannot move a bound closer to zero than a hundredth of its mean.
        top = spread(self.w_max_dtod).add_(1).clamp_(min=0.01).mul_(self.high)
        bottom = spread(self.w_min_dtod).add_(1).clamp_(min=0.01).mul_(self.low)
        state = {"weight": torch.full(shape, self.start, dtype=dtype).clamp_(bottom, top)}
        state |= {"up": (scale + tilt).clamp_(min=0).mul_(self.dw_min), "down": (scale - tilt).clamp_(min=0).mul_(self.dw_min)}
        state |= {"top": top, "bottom": bottom, **self._slopes(spread)}
        if self.write_noise_std:
            state["shown"] = state["weight"] + spread(self.write_noise_std * self.dw_min)
        return state

    def _slopes(self, spread: Callable[[float], Tensor]) -> State:
        """Return further constants of the devices."""
        return {}

    def _factor(self, weight: Tensor, up: Tensor, state: State) -> Tensor:
        """Return f_d(w), at least 0, shape (devices...); `up` is True for devices that are SET."""
        raise NotImplementedError

    def _program(self, state: State, pulses: Pulses, generator: torch.Generator | None) -> State:
        up, lengths = pulses.count > 0, pulses.count.abs()
        step = torch.where(up, state["up"], -state["down"])
        longest = int(lengths.max())
        parts = min(longest, MAX_EXACT)
        weight = state["weight"]
        for k in range(parts):
            part = (lengths > k).to(weight.dtype) if longest == parts else lengths / parts
            factor = self._factor(weight, up, state)
            if generator is not None and self.dw_min_std:
                noise = (
                    torch.randn(factor.shape, generator=generator, dtype=factor.dtype).mul_(part.sqrt()).mul_(self.dw_min_std)
                )
                change = (factor * part).add_(noise.mul_(factor) if self.mult_noise else noise)
            else:
                change = factor * part
            weight = (weight + step * change).clamp_(state["bottom"], state["top"])
        after = {**state, "weight": weight}
        if self.write_noise_std:
            shown = weight
            if generator is not None:
                noise = torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
                shown = weight + noise.mul_(self.write_noise_std * self.dw_min)
            after["shown"] = torch.where(lengths > 0, shown, state["shown"])
        return after

    def _read(self, state: State, generator: torch.Generator | None) -> Tensor:
        return state["shown" if self.write_noise_std else "weight"].clone()


@dataclass(frozen=True, eq=False)
class LinearStep(StepModel):
    """A step that decreases linearly with the weight: f = 1 - |gamma_d + gamma_dtod xi| w / b.

    The bound b is `high` for SET and `low` for RESET.

    With gamma = 0.1 the step at the bound is a tenth smaller than at zero; gamma = 0 without spread is a constant step.

    Attributes:
        gamma_up: Slope of SET.
        gamma_down: Slope of RESET.
        gamma_up_dtod: Device-to-device spread of gamma_up.
        gamma_down_dtod: The same for gamma_down.

    The other settings (`dw_min`, `up_down`, `write_noise_std`, `mult_noise`, ...) are those of `StepModel`; w is the
    weight between the bounds, and xi is standard normal.
    """

    gamma_up: float = 0.0
    gamma_down: float = 0.0
    gamma_up_dtod: float = 0.05
    gamma_down_dtod: float = 0.05

    def _slopes(self, spread: Callable[[float], Tensor]) -> State:
        return {
            "slope_up": spread(self.gamma_up_dtod).add_(self.gamma_up).abs_().div_(self.high),
            "slope_down": spread(self.gamma_down_dtod).add_(self.gamma_down).abs_().div_(self.low),
        }

    def _factor(self, weight: Tensor, up: Tensor, state: State) -> Tensor:
        return torch.where(up, state["slope_up"], state["slope_down"]).mul_(weight).neg_().add_(1).clamp_(min=0)


@dataclass(frozen=True, eq=False)
class SoftBounds(StepModel):
    """A step that vanishes at the bound of the device: f = 1 - w / w_max for SET, 1 - w / w_min for RESET."""

    def _factor(self, weight: Tensor, up: Tensor, state: State) -> Tensor:
        return (weight / torch.where(up, state["top"], state["bottom"])).neg_().add_(1).clamp_(min=0)


@dataclass(frozen=True, eq=False)
class ExponentialStep(StepModel):
    """A step that is exponential in the weight: f = max(1 - A_d exp(d gamma_d z), 0), z = 2 a w / (w_max - w_min) + b.

    Attributes:
        A_up: Factor of SET.
        A_down: Factor of RESET.
        gamma_up: Exponent of SET.
        gamma_down: Exponent of RESET.
        a: Slope of z.
        b: Offset of z.
    """

    A_up: float = 0.00081
    A_down: float = 0.36833
    gamma_up: float = 12.44625
    gamma_down: float = 12.78785
    a: float = 0.244
    b: float = 0.2425

    def _factor(self, weight: Tensor, up: Tensor, state: State) -> Tensor:
        z = (2 * self.a * weight / (state["top"] - state["bottom"])).add_(self.b)
        rise, fall = self.A_up * torch.exp(self.gamma_up * z), self.A_down * torch.exp(-self.gamma_down * z)
        return torch.where(up, rise, fall).neg_().add_(1).clamp_(min=0)


#: Models with the constants of aihwkit's presets of the same names (`simulator/presets/devices.py`, IBM/aihwkit).
STEP_PRESETS: dict[str, StepModel] = {}


def _preset(name: str, model: type[StepModel], summary: str, **settings: Any) -> None:
    register_synapse(name, model, settings=settings, summary=f"{summary}, the preset of aihwkit")
    STEP_PRESETS[name] = model(**settings)


# Gong et al., Nat. Commun. 9, 2102 (2018), resistive memory; the second, in aihwkit's own words, a loose fit of a device whose
# symmetry point was shifted to zero.
_preset(
    "ReRamES",
    ExponentialStep,
    "resistive memory with exponential steps",
    dw_min=0.00135,
    up_down=0.259359,
    A_up=-1.18445,
    A_down=-0.081404,
    gamma_up=5.0,
    gamma_down=5.0,
    a=-0.5,
    b=-0.5,
    dw_min_dtod=0.2,
    up_down_dtod=0.05,
    dw_min_std=5.0,
    write_noise_std=75.0,
)
_preset(
    "ReRamSB",
    SoftBounds,
    "resistive memory with soft bounds",
    dw_min=0.002,
    low=-0.75,
    high=1.25,
    w_min_dtod=0.3 / 0.75,
    w_max_dtod=0.3 / 1.25,
    dw_min_std=3.75,
    write_noise_std=56.0,
)
# Li et al., VLSI 2018; its leakage is not part of these models.
_preset(
    "Capacitor",
    LinearStep,
    "capacitor at the gate of a transistor",
    dw_min=0.005,
    gamma_up=0.05,
    gamma_down=0.05,
    gamma_up_dtod=0.01,
    gamma_down_dtod=0.01,
    dw_min_dtod=0.1,
    up_down_dtod=0.06,
    w_min_dtod=0.07,
    w_max_dtod=0.07,
)
_ECRAM: dict[str, Any] = {"mult_noise": True, "dw_min_dtod": 0.1, "w_min_dtod": 0.05, "w_max_dtod": 0.05}
# Tang et al., IEDM 2018, lithium; range shifted so that the symmetry point is at zero.
_preset(
    "EcRam",
    LinearStep,
    "electrochemical memory with lithium",
    dw_min=0.002,
    low=-0.8276,
    high=1.1724,
    gamma_up=0.1153,
    gamma_down=0.5085,
    **_ECRAM,
)
# Kim et al., IEDM 2019, metal oxide; shifted likewise.
_preset(
    "EcRamMO",
    LinearStep,
    "electrochemical memory of a metal oxide",
    dw_min=2.8214e-4,
    low=-0.8286,
    high=1.1714,
    gamma_up=0.4152,
    gamma_down=0.7342,
    dw_min_std=2.0,
    **_ECRAM,
)
# Gokmen and Vlasov, Front. Neurosci. 10, 333 (2016): a specification, not a measurement; the first without asymmetry.
_preset(
    "Idealized",
    LinearStep,
    "specification without asymmetry",
    dw_min=0.0002,
    up_down_dtod=0.0,
    gamma_up_dtod=0.0,
    gamma_down_dtod=0.0,
)
_preset("GokmenVlasov", LinearStep, "specification of Gokmen and Vlasov", dw_min=0.0016, gamma_up_dtod=0.0, gamma_down_dtod=0.0)
