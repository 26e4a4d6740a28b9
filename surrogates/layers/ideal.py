"""`IdealSynapse`: a weight that moves by the same step at each pulse, without noise; the yardstick for real devices."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...contracts.synapse import Pulses, State, SynapseModel
from ...contracts.synapse_registry import register_synapse
from ...errors import ConfigError


@register_synapse("ideal-device", summary="the same step at each pulse, without noise")
@dataclass(eq=False)
class IdealSynapse(SynapseModel):
    """A normalised conductance g without unit, noise or differences between devices.

    g <- min(max(g + n step, low), high) after n pulses, n < 0 for RESET. Fresh devices stand in the middle of the range.

    Attributes:
        step: Change of g by one pulse.
        low: Lower end of the range of g.
        high: Upper end.
        bounded: Stop at the ends; otherwise `low` and `high` only say which range is usual.

    Raises:
        ConfigError: a step that is not positive, or a range that is empty or not finite.
    """

    step: float = 1e-3
    low: float = -1.0
    high: float = 1.0
    bounded: bool = True
    unit: str = ""

    def __post_init__(self) -> None:
        if not (0 < self.step < math.inf):
            raise ConfigError(f"step is {self.step}; expected a positive number, the change by one pulse, such as 1e-3.")
        if not (-math.inf < self.low < self.high < math.inf):
            raise ConfigError(f"the range is {self.low} .. {self.high}; expected finite numbers low < high, such as -1 .. 1.")

    def _initial(self, shape: tuple[int, ...], generator: torch.Generator | None, dtype: torch.dtype) -> State:
        return {"g": torch.full(shape, (self.low + self.high) / 2, dtype=dtype)}

    def _program(self, state: State, pulses: Pulses, generator: torch.Generator | None) -> State:
        moved = torch.add(state["g"], pulses.count, alpha=self.step)
        return {"g": moved.clamp(self.low, self.high) if self.bounded else moved}

    def _read(self, state: State, generator: torch.Generator | None) -> Tensor:
        return state["g"]
