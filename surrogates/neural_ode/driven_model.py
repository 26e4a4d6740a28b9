"""`DrivenModel`: a surrogate that runs block by block, as reservoirs need it (`spinode.contracts.driven_device.DrivenDevice`).

The state at sample s of an embedding that looks L samples ahead contains the outputs y_s .. y_{s+L}, and a step from it needs the
drives u_s .. u_{s+L}. Block by block, the state therefore stays L samples behind the drive: a block that ends with u_n leads to
x_{n-L+1}, whose latest output is y_{n+1}, the response at the end of u_n. No later drive is needed. The memory contains the
state and the last L drives.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...contracts.driven_device import Response
from ...errors import ConfigError
from .inputs import broadcast_batches
from .model import SurrogateModel


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
        states = torch.stack([self._resting_states(inputs, member) for member in range(len(self.members))])
        return self._packed(states, inputs.expand(*inputs.shape[:-2], self.embedding.lookahead, -1))

    def step_block(self, memory: Tensor, drive: Tensor, *, generator: torch.Generator | None = None) -> Response:
        """Continue by a block of held samples; see `DrivenDevice`.

        The states are those of `simulate`. So are the outputs, if the embedding is causal. Outputs of `simulate` under a delay
        embedding of order L + 1 use drives of L later samples; here the output at a sample is the last one of the state L
        samples before, which is the prediction of the same model from drives up to that sample.

        With a generator, the measurement noise of the fitted recordings is added.

        Raises:
            ConfigError: a surrogate with parameters, or an embedding that cannot be read at its latest sample.
            TraceError: a drive of another shape, or with NaN.
        """
        self._check_ports()
        inputs, kinds = self.assemble_inputs(drive, None, dict.fromkeys(self.ports.drive, "held"))
        states, line = self._unpacked(memory, inputs)
        u, steps, ahead = self.scales.drive(line), inputs.shape[-2], self.embedding.lookahead
        # One more sample, of which only the start counts: the end of the block.
        stages = self.drive_stages(torch.cat([u, u[..., -1:, :]], -2), kinds)[..., :steps, :, :]
        starts = torch.stack(self._starts(line, states, per_member=True))
        run = self.integrate(starts, stages)
        latest = self.embedding.latest(run[..., 1:, :], self.scales.state_scale)
        mean = self.read_members(latest, u[..., ahead:, :]).mean(0)
        if generator is not None:
            mean = mean + self.noise * torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
        outside = self.outside_domain(run[..., :-1, :], u[..., :steps, :])
        if ahead:  # the domain is one of states and drives of the same sample; drives are judged as soon as they act
            outside = outside | self.domain.outside_inputs(u[..., ahead:, :])
        return Response(mean, self._packed(run[..., -1, :], line[..., steps:, :]), outside)

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
        recent = memory[0, ..., self.state_size :].unflatten(-1, (ahead, inputs.shape[-1]))
        batch = broadcast_batches(recent.shape[:-2], "memory", inputs.shape[:-2], "drive")
        line = torch.cat([each.expand(*batch, *each.shape[-2:]) for each in (recent.to(inputs), inputs)], -2)
        return memory[..., : self.state_size], line
