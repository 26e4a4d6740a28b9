"""`DrivenDevice`, the contract of devices that respond to a sampled drive, as reservoirs use them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

#: State of a device between two blocks of a run; only the device itself knows its content.
Memory = Tensor


@dataclass(frozen=True, eq=False)
class Response:
    """Response of a device to a block of drive samples.

    Attributes:
        output: Output at the end of each sample, shape (..., time, outputs).
        memory: State at the end of the block, with which the next block begins.
        outside: True for samples outside the domain for which the device is known, shape (..., time).
    """

    output: Tensor
    memory: Memory
    outside: Tensor


@runtime_checkable
class DrivenDevice(Protocol):
    """A device under a zero-order-hold drive: a fitted surrogate, a stochastic surrogate, or a physical model.

    Attributes:
        interval: Length of a sample [s].
        drives: Names of the drives.
        outputs: Names of the outputs.

    Example:
        >>> from spinode.datasets import SpinTorqueOscillator
        >>> isinstance(SpinTorqueOscillator(), DrivenDevice)
        True
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
        """Return the state at the start of a run: at rest under a constant drive, or on the limit cycle.

        Args:
            drive: Constant drive of each device, shape (..., drives), in SI units.
            generator: Source of randomness; the mean state if omitted.

        Returns:
            State of the devices, for `step_block`.
        """
        ...

    def step_block(self, memory: Memory, drive: Tensor, *, generator: torch.Generator | None = None) -> Response:
        """Continue a run by a block of samples.

        Args:
            memory: State at the end of the previous block, from `initial_state` or `Response.memory`.
            drive: Samples, each applied for `interval`, shape (..., time, drives), in SI units.
            generator: Source of noise; the mean response if omitted.

        Returns:
            Outputs and final state of the block.
        """
        ...
