"""`DrivenModel`: a surrogate that runs block by block, as reservoirs need it (`spinode.contracts.driven_device.DrivenDevice`).

A step at sample s of an embedding that looks L samples ahead needs the drives u_s .. u_{s+L}. Block by block the state
therefore stays L samples behind the drive, and the memory contains the state and the last L drives. The output at the end of
u_n follows from L further steps, in which u_n is held on: it is what `simulate` returns under a drive that ends with u_n. These
short runs, one for each sample, are independent of each other and go side by side.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...contracts.driven_device import Response
from ...errors import ConfigError, TraceError
from .inputs import broadcast_batches
from .member import median_of_members
from .model import SurrogateModel

#: Values of the drive that are prepared at once for the short runs of an embedding that looks ahead.
MAX_VALUES = 4_000_000


class DrivenModel(SurrogateModel):
    """A surrogate model that runs block by block under held drives."""

    @property
    def drives(self) -> tuple[str, ...]:
        """Names of the drives."""
        return self.ports.drive

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return self.ports.output

    def initial_state(self, drive: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Return resting states under a drive that has always been constant; see `DrivenDevice`.

        Returns:
            Shape (members, ..., state + lookahead * drives): the states, followed by the last `lookahead` drives in SI units.

        Raises:
            ConfigError: a surrogate with parameters.
            DomainError: no resting state.
        """
        self._check_ports()
        inputs, _ = self.assemble_inputs(drive.unsqueeze(-2), None, None)
        states = torch.stack([self._resting.of_batch(member.field, inputs) for member in self.members])
        return self._packed(states, inputs.expand(*inputs.shape[:-2], self.embedding.lookahead, -1))

    def step_block(self, memory: Tensor, drive: Tensor, *, generator: torch.Generator | None = None) -> Response:
        """Continue by a block of held samples; see `DrivenDevice`.

        The output of each sample is that of `simulate` under a drive that ends with this sample, whatever the size of the
        blocks. With a causal embedding these are the outputs of `simulate` under the whole drive; with a delay embedding of
        order L + 1 they are so where the drive is constant for L more samples, since `simulate` uses L later ones.

        With a generator, the measurement noise of the fitted recordings is added.

        Raises:
            ConfigError: a surrogate with parameters.
            TraceError: a drive of another shape or with NaN, or a memory of another size.
        """
        self._check_ports()
        inputs, kinds = self.assemble_inputs(drive, None, dict.fromkeys(self.ports.drive, "held"))
        states, line = self._unpacked(memory, inputs)
        u, steps = self.scales.drive(line), inputs.shape[-2]
        starts = torch.stack(self._starts(line, states, per_member=True))
        run = self.integrate(starts, self.drive_stages(_held_on(u), kinds)[..., :steps, :, :])
        before, after, now = self._caught_up(run, u, kinds)
        mean = median_of_members(self.read_members(after, now))
        if generator is not None:
            mean = mean + self.noise * torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
        return Response(mean, self._packed(run[..., -1, :], line[..., steps:, :]), self.outside_domain(before, now))

    def _caught_up(self, run: Tensor, u: Tensor, kinds: tuple[str, ...]) -> tuple[Tensor, Tensor, Tensor]:
        """Return the states at the start and at the end of each sample of a block, and its drives.

        Args:
            run: States that are `lookahead` samples behind, shape (members, ..., steps + 1, state).
            u: Drives in deviations, shape (..., lookahead + steps, drives).
            kinds: Interpolation of each drive.
        """
        ahead = self.embedding.lookahead
        if not ahead:
            return run[..., :-1, :], run[..., 1:, :], u
        lanes = u[..., 1:, :].unfold(-2, ahead, 1).transpose(-1, -2)  # (..., steps, lookahead, drives)
        size = max(1, MAX_VALUES // (3 * ahead * math.prod(u.shape[:-2]) * self.embedding.drive_size(u.shape[-1])))
        ends = [
            self.integrate(starts, self.drive_stages(_held_on(part), kinds))[..., -2:, :]
            for starts, part in zip(run[..., 1:, :].split(size, -2), lanes.split(size, -3), strict=True)
        ]
        before, after = torch.cat(ends, -3).unbind(-2)
        return before, after, u[..., ahead:, :]

    def _check_ports(self) -> None:
        if self.ports.parameters:
            raise ConfigError(
                f"a surrogate with parameters ({', '.join(self.ports.parameters)}) cannot be run block by block; fit one "
                "without parameters."
            )

    def _packed(self, states: Tensor, recent: Tensor) -> Tensor:
        """Return states, shape (members, ..., state), followed by the recent drives, shape (..., lookahead, drives)."""
        if not self.embedding.lookahead:
            return states
        flat = recent.flatten(-2)
        return torch.cat([states, flat.expand(*states.shape[:-1], flat.shape[-1])], -1)

    def _unpacked(self, memory: Tensor, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return the states, and the recent drives followed by those of a block, shape (..., lookahead + time, drives)."""
        ahead = self.embedding.lookahead
        if not ahead:
            return memory, inputs
        expected = self.state_size + ahead * inputs.shape[-1]
        if memory.shape[-1] != expected:
            raise TraceError(
                f"memory has {memory.shape[-1]} values; expected {expected}, {self.state_size} of the state and the last "
                f"{ahead} drives, as `initial_state` and `step_block` return them."
            )
        recent = memory[0, ..., self.state_size :].unflatten(-1, (ahead, inputs.shape[-1]))
        batch = broadcast_batches(recent.shape[:-2], "memory", inputs.shape[:-2], "drive")
        line = torch.cat([each.expand(*batch, *each.shape[-2:]) for each in (recent.to(inputs), inputs)], -2)
        return memory[..., : self.state_size], line


def _held_on(u: Tensor) -> Tensor:
    """Return drives with the last one repeated, of which only the start counts: the end of a run."""
    return torch.cat([u, u[..., -1:, :]], -2)
