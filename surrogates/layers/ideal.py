"""`IdealSynapse`: a weight that changes by the same step with each pulse, without noise; the reference for real devices."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...contracts.reduced_synapse import FINENESS
from ...contracts.synapse import Pulses, State, SynapseModel
from ...contracts.synapse_registry import register_synapse
from ...validation import number


@register_synapse("ideal-device", summary="the same step at each pulse, without noise")
@dataclass(eq=False)
class IdealSynapse(SynapseModel):
    """A normalised conductance g without noise or differences between devices.

    After n pulses g <- min(max(g + n step, low), high), with n < 0 for RESET. Fresh devices are in the middle of the range.

    Attributes:
        step: Change of g with one pulse.
        low: Lower end of the range of g.
        high: Upper end.
        bounded: Stop at the ends; otherwise `low` and `high` are only the usual range.

    Raises:
        ConfigError: a step that is not positive, or a range that is empty or not finite.

    Example:
        >>> from spinode import Pulses
        >>> synapse = IdealSynapse(step=0.25)
        >>> synapse.read(synapse.program(synapse.initial((3,)), Pulses(torch.tensor([1.0, -2.0, 9.0])))).tolist()
        [0.25, -0.5, 1.0]
    """

    step: float = 1e-3
    low: float = -1.0
    high: float = 1.0
    bounded: bool = True
    unit: str = ""

    def __post_init__(self) -> None:
        self.step = number("step", self.step, 0, above=True)
        self.low = number("low", self.low)
        self.high = number("high", self.high, self.low, above=True)

    def imperfections(self) -> dict[str, IdealSynapse]:
        """Return the device without its two imperfections, the ends of its range and the size of its steps."""
        own = {"number of pulses": replace(self, step=self.step / FINENESS)}
        return own | ({"range": replace(self, bounded=False)} if self.bounded else {})

    def at(self, conductance: Tensor, *, generator: torch.Generator | None = None) -> State:
        """Return devices of these conductances, clamped to the range if it is bounded."""
        return {"g": conductance.clamp(self.low, self.high) if self.bounded else conductance.clone()}

    def _initial(self, shape: tuple[int, ...], generator: torch.Generator | None, dtype: torch.dtype) -> State:
        return {"g": torch.full(shape, (self.low + self.high) / 2, dtype=dtype)}

    def _program(self, state: State, pulses: Pulses, generator: torch.Generator | None) -> State:
        after = torch.add(state["g"], pulses.count, alpha=self.step)
        return {"g": after.clamp(self.low, self.high) if self.bounded else after}

    def _read(self, state: State, generator: torch.Generator | None) -> Tensor:
        return state["g"]
