"""One step of a surrogate as a module of plain torch operations: what every exported program consists of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...dynamics.integrate import STATE_LIMIT, rk4_step
from ..neural_ode.member import Member, median_of_members
from ..neural_ode.model import SurrogateModel
from ..neural_ode.output_map import apply_output_map


class Step(nn.Module):
    """One step of every member of a surrogate, with inputs and outputs in SI units.

    The members are side by side in the state. Parameters have the names that they have in the surrogate.

    Args:
        surrogate: The model; fields, feedthroughs and scales are shared with it, not copied.
    """

    def __init__(self, surrogate: SurrogateModel) -> None:
        super().__init__()
        self.ports = surrogate.ports
        self.scales = surrogate.scales
        self.members: Sequence[Member] = surrogate.members
        self.drives = len(surrogate.ports.drive)
        self.outputs = len(surrogate.ports.output)

    def forward(self, state: Tensor, start: Tensor, middle: Tensor, end: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the next state and the outputs at the start and at the end of the step.

        Args:
            state: In standard deviations, shape (batch, members * values).
            start: Drives, then parameters, at the start of the step, in SI units, shape (batch, inputs); with rows of later
                steps (batch, rows, inputs), see `torch_program`.
            middle: The same in the middle of the step.
            end: The same at its end.

        Returns:
            Next state, and outputs in SI units before and after, shape (batch, outputs).
        """
        first, half, last = (self.scales.drive(inputs).flatten(1) for inputs in (start, middle, end))
        next_state = self.advance(state, torch.stack([first, half, last], -2))
        return next_state, self.read(state, first[:, : self.drives]), self.read(next_state, last[:, : self.drives])

    def advance(self, state: Tensor, stages: Tensor) -> Tensor:
        """Compute the next state; state (batch, members * values), stages (batch, 3, drive values), in deviations."""
        parts = state.chunk(len(self.members), -1)
        advanced = [rk4_step(member.field, part, stages) for member, part in zip(self.members, parts, strict=True)]
        return torch.cat(advanced, -1).clamp(-STATE_LIMIT, STATE_LIMIT)

    def read(self, state: Tensor, drive: Tensor) -> Tensor:
        """Compute the outputs in SI units, the median of the members.

        Args:
            state: In deviations, shape (..., members * values).
            drive: In deviations, shape (..., drives).
        """
        parts = state.chunk(len(self.members), -1)
        outputs = [part[..., : self.outputs] + drive @ m.feedthrough.T for m, part in zip(self.members, parts, strict=True)]
        # As in `simulate`, the median of the members is that of what the instrument records.
        return median_of_members(apply_output_map(self.ports, self.scales.output_si(torch.stack(outputs))))


class StateStep(nn.Module):
    """The state update of a step, in deviations, which a rollout repeats.

    Args:
        step: The step.
    """

    def __init__(self, step: Step) -> None:
        super().__init__()
        self.step = step

    def forward(self, state: Tensor, stages: Tensor) -> Tensor:
        """Compute the next state; see `Step.advance`."""
        return self.step.advance(state, stages)
