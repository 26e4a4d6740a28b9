"""`DrivenDevice`, the contract of devices that answer a held drive sample by sample, as reservoirs use them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

#: What a device remembers between two stretches of a run.
Memory = Tensor


@dataclass(frozen=True, eq=False)
class Response:
    """What a device did during a stretch.

    Attributes:
        output: At the end of each sample of the drive, shape (..., time, outputs).
        memory: At the end of the stretch: what the next one begins with.
        outside: Which samples lie outside what the device is known for, shape (..., time), bool.
    """

    output: Tensor
    memory: Memory
    outside: Tensor


@runtime_checkable
class DrivenDevice(Protocol):
    """A device under a drive that is held for a sample at a time: a fitted surrogate, or the physics that it was fitted on.

    Attributes:
        interval: Length of a sample [s].
        drives: Names of the drives.
        outputs: Names of the outputs.
    """

    interval: float

    @property
    def drives(self) -> tuple[str, ...]:
        """Names of the drives."""
        ...

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs."""
        ...

    def initial_state(self, drive: Tensor, *, generator: torch.Generator | None = None) -> Memory:
        """The state in which a run begins: at rest under a drive, or on the limit cycle.

        Args:
            drive: Shape (..., drives), in SI units: one device for each.
            generator: Source of what is drawn; the mean if omitted.
        """
        ...

    def step_block(self, memory: Memory, drive: Tensor, *, generator: torch.Generator | None = None) -> Response:
        """Go on by a stretch.

        Args:
            memory: Where the last one ended, as `initial_state` and `Response.memory` give it.
            drive: Samples, each held for `interval`, shape (..., time, drives), in SI units.
            generator: Source of noise; the mean response if omitted.
        """
        ...
