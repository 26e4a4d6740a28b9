"""`SurrogateModel`: the numerics of a surrogate, tensors in and tensors out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from ...dynamics.integrate import adaptive_rollout
from ...dynamics.scales import Scales
from ...errors import DomainError, TraceError
from ...random import check_generator
from ...tensors import all_finite, has_values, real_tensor
from ..extrapolation import FITTED_DOMAIN, REDUCE_DRIVE, warn_of_extrapolation
from .domain import Domain
from .drive_interpolation import settled_drive, stage_drive
from .embedding import Embedding
from .inputs import assemble_inputs, broadcast_batches
from .member import Member, median_of_members, roll_members
from .output_map import apply_output_map
from .ports import Ports
from .predicted_spread import SpreadModel
from .resting_states import RestingStates


class SurrogateModel(nn.Module):
    """A Neural-ODE model of a device: dx/dt = f(x, u), y = b_0 + D u, one fourth-order Runge-Kutta step per sample.

    `spinode.Surrogate` adds runs along recordings and files, and documents the attributes.
    """

    noise: Tensor
    spread_factor: Tensor
    spread_floor: Tensor

    def __init__(
        self,
        *,
        ports: Ports,
        embedding: Embedding,
        interval: float,
        scales: Scales,
        members: Sequence[Member],
        domain: Domain,
        noise: Tensor,
        spread_factor: Tensor | float = 1.0,
        spread_floor: Tensor | None = None,
        spread: SpreadModel | None = None,
        record: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.ports = ports
        self.embedding = embedding
        self.interval = float(interval)
        self.scales = scales
        self.members: Sequence[Member] = cast(Sequence[Member], nn.ModuleList(members))
        self.domain = domain
        floor = torch.zeros_like(noise) if spread_floor is None else spread_floor
        self.register_buffer("noise", noise.detach().clone())
        self.register_buffer("spread_factor", torch.as_tensor(spread_factor, dtype=noise.dtype).clone())
        self.register_buffer("spread_floor", floor.detach().clone())
        self.spread = SpreadModel.none(len(ports.output)) if spread is None else spread
        self.record: dict[str, Any] = dict(record or {})

    # --- simulation: tensors in, tensors out -------------------------------------------------------------------------

    def simulate(
        self,
        drive: Tensor,
        *,
        state: Tensor | None = None,
        parameters: Mapping[str, float] | Tensor | None = None,
        interpolation: Mapping[str, str] | None = None,
        noise: bool = False,
        generator: torch.Generator | None = None,
        strict: bool = False,
        solver: str = "rk4",
    ) -> Tensor:
        """Run the device freely under a sampled drive.

        Integrates dx/dt = f(x, u) with one fourth-order Runge-Kutta step per sample. Differentiable in drive, state,
        parameters and weights. A resting state that is computed because no state was given counts as a constant.

        Args:
            drive: Samples every `self.interval`, shape (..., time, drives), in `self.ports.units`.
            state: Initial embedded state of member 0, shape (..., state), from `state_from`; the resting state under the
                first drive sample if omitted. Other members start from the same outputs, by their own feedthrough. Latent modes
                of several members have coordinates of their own: shape (members, ..., state).
            parameters: Constants of this device by name, or a tensor of shape (..., parameters).
            interpolation: How drives run between samples, "held", "linear" or "spline", by name; drives that are not named
                run as in the fitted recordings.
            noise: Add the measurement noise of the fitted recordings; otherwise return the mean response.
            generator: Source of the noise.
            strict: Raise an error where the run leaves the domain of validity, instead of a warning.
            solver: "rk4" (a member's own step for latent modes), or an adaptive method of torchdiffeq such as "dopri5".

        Returns:
            Outputs, shape (..., time, outputs), in `self.ports.units`.

        Raises:
            TraceError: a drive of another shape, or with NaN.
            ConfigError: a missing parameter, an unknown interpolation or solver.
            DomainError: `strict` is set and the run leaves the domain that the surrogate was fitted on; or there is no
                resting state.

        Example:
            >>> import torch
            >>> from spinode.surrogates.testing import resonator
            >>> voltage = torch.zeros(100, 1, dtype=torch.float64)
            >>> voltage[20:] = 0.4
            >>> resonator(gain=0.5, damping=0.5).simulate(voltage)[[0, 99], 0].detach().round(decimals=4)
            tensor([0.0000, 0.2000], dtype=torch.float64)
        """
        check_generator(generator)
        outputs, states, outside = self.run_members(drive, state, parameters, interpolation, solver)
        if has_values(outside) and bool(outside.any()):
            u = self.scales.drive(self.assemble_inputs(drive, parameters, interpolation)[0])
            self._warn_of_extrapolation(outside, self.domain.farthest(self._points(states, u)), strict)
        result = median_of_members(outputs)
        if noise:
            result = result + self.noise * torch.randn(
                result.shape, generator=generator, dtype=result.dtype, device=result.device
            )
        return result

    def forward(self, drive: Tensor, **settings: Any) -> Tensor:
        """Run the device freely under a sampled drive; the same as `simulate`, so that a surrogate can be a layer.

        Args:
            drive: As in `simulate`.
            **settings: Other arguments of `simulate`.

        Example:
            >>> import torch
            >>> from spinode.surrogates.testing import resonator
            >>> network = torch.nn.Sequential(resonator(), torch.nn.Linear(1, 3, dtype=torch.float64))
            >>> network(torch.zeros(8, 50, 1, dtype=torch.float64)).shape
            torch.Size([8, 50, 3])
        """
        return self.simulate(drive, **settings)

    def step(self, state: Tensor, drive: Tensor, dt: float | None = None, *, member: int = 0) -> Tensor:
        """Take one step under a constant drive.

        Args:
            state: Embedded state in deviations, shape (..., state).
            drive: Drives followed by parameters, SI units, shape (..., drives + parameters).
            dt: Length of the step [s]; `self.interval` if omitted.
            member: Number of the member of an ensemble.

        Returns:
            State after the step, shape (..., state).
        """
        u = self.scales.drive(drive)
        stages = self.embedding.constant_field_drive(u.unsqueeze(-2).expand(*u.shape[:-1], 3, u.shape[-1]))
        return self.members[member].step(state, stages, 1.0 if dt is None else dt / self.interval)

    def read(self, state: Tensor, drive: Tensor, *, member: int = 0) -> Tensor:
        """Compute the outputs of a state under a drive: y = b_0 + D u.

        A sample of a held drive acts from its instant on: the output at that instant has responded to the sample before it.

        Args:
            state: Embedded state in deviations, shape (..., state).
            drive: Drives, optionally followed by parameters, SI units, shape (..., drives + parameters).
            member: Number of the member of an ensemble.

        Returns:
            Outputs in SI units, shape (..., outputs).
        """
        u = self.scales.drive(drive)[..., : len(self.ports.drive)]
        return apply_output_map(self.ports, self.scales.output_si(self.members[member].read(state, u)))

    def state_from(
        self,
        output: Tensor,
        drive: Tensor,
        *,
        parameters: Mapping[str, float] | Tensor | None = None,
        interpolation: Mapping[str, str] | None = None,
        member: int = 0,
    ) -> Tensor:
        """Embed measured samples.

        Args:
            output: Samples every `self.interval`, SI units, shape (time, outputs); at least 8.
            drive: Samples at the same instants, SI units, shape (time, drives).
            parameters: Constants of this device.
            interpolation: As in `simulate`.
            member: Number of the member of an ensemble (members differ in their feedthrough).

        Returns:
            States, shape (time - lookahead, state); row 0 is the initial state that `simulate` takes.

        Raises:
            TraceError: outputs of another shape, with NaN, or too few.

        Example:
            >>> import torch
            >>> from spinode.surrogates.testing import resonator
            >>> device, ramp = resonator(), torch.arange(20, dtype=torch.float64)[:, None]
            >>> states = device.state_from(ramp, torch.zeros(20, 1, dtype=torch.float64))
            >>> device.read(states[5], torch.zeros(1, dtype=torch.float64)).detach()
            tensor([5.], dtype=torch.float64)
        """
        output, drive = real_tensor("output", output, TraceError), real_tensor("drive", drive, TraceError)
        expected = (drive.shape[:1].numel(), len(self.ports.output))
        if tuple(output.shape) != expected or not all_finite(output):
            raise TraceError(
                f"output has shape {tuple(output.shape)}; expected finite samples of shape {expected}, (time, outputs), one "
                "for each drive sample, in SI units."
            )
        inputs, kinds = self.assemble_inputs(drive, parameters, interpolation)
        u, count = self.scales.drive(inputs), len(self.ports.drive)
        if self.embedding.recursive:
            return self.members[member].observe(
                self.scales.output(output).to(u),
                self.drive_stages(u, kinds),
                settled_drive(u, kinds)[:, :count],
                self.noise / self.scales.output_scale,
                self.domain.points[:, : self.state_size],
            )
        values = self.embedding.embed(output.detach().cpu().numpy()).values
        state = self.scales.blocks(torch.as_tensor(values, dtype=self.noise.dtype))
        drive_blocks = self.embedding.drive_blocks(u[:, :count], kinds[:count])
        shift: Tensor = self.scales.feedthrough_blocks(drive_blocks) @ self.members[member].feedthrough.reshape(-1)
        return state + shift

    def resting_state(self, drive: Tensor, *, parameters: Mapping[str, float] | None = None, member: int = 0) -> Tensor:
        """Find the stable fixed point f(x, u) = 0 under a constant drive, by Newton's method from the fitted states.

        Args:
            drive: Drives, SI units, shape (drives,).
            parameters: Constants of this device.
            member: Number of the member of an ensemble.

        Returns:
            State, shape (state,).

        Raises:
            DomainError: no stable fixed point near the fitted states, as for a self-sustained oscillator.
        """
        inputs, _ = self.assemble_inputs(real_tensor("drive", drive, TraceError).reshape(1, -1), parameters, None)
        return self._resting.under(self.members[member].field, inputs)[0]

    def describe(self) -> str:
        """Return a few lines of text: ports with units, state, step, members.

        Example:
            >>> from spinode.surrogates.testing import resonator
            >>> print(resonator().describe())
            drive:      V [V]
            output:     y [T]
            parameters: none
            state:      derivative embedding of order 2, 2 values
            step:       1e-11 s
            members:    1
        """
        units = self.ports.units

        def with_units(names: Sequence[str]) -> str:
            return ", ".join(f"{name} [{units.get(name) or '1'}]" for name in names) or "none"

        lines = [
            f"drive:      {with_units(self.ports.drive)}",
            f"output:     {with_units(self.ports.output)}",
            f"parameters: {with_units(self.ports.parameters)}",
            f"state:      {self.embedding.kind} embedding of order {self.embedding.order}, {self.state_size} values",
            f"step:       {self.interval:.6g} {units.get('time', 's') or '(of the sample number)'}",
            f"members:    {len(self.members)}",
        ]
        return "\n".join(lines)

    # --- for the other files of this package -----------------------------------------------------------------------------

    @property
    def state_size(self) -> int:
        """Number of state values."""
        return self.embedding.state_size(len(self.ports.output))

    def drive_stages(self, drive: Tensor, interpolation: tuple[str, ...]) -> Tensor:
        """Return what the vector field sees of the drive in each step, shape (..., time - 1, 3, inputs)."""
        return self.embedding.field_drive(stage_drive(drive, interpolation))

    def assemble_inputs(
        self,
        drive: Tensor,
        parameters: Mapping[str, float] | Tensor | None,
        interpolation: Mapping[str, str] | None,
    ) -> tuple[Tensor, tuple[str, ...]]:
        """Return drives and parameters side by side, shape (..., time, inputs), and how each runs between samples."""
        return assemble_inputs(self.ports, drive, parameters, interpolation, self.noise)

    def run_members(
        self,
        drive: Tensor,
        state: Tensor | None,
        parameters: Mapping[str, float] | Tensor | None,
        interpolation: Mapping[str, str] | None,
        solver: str,
        per_member: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Run all members freely; the arguments are those of `simulate`.

        With `per_member`, `state` has a first dimension of members.

        Returns:
            Outputs in SI units, shape (members, ..., time, outputs); states in deviations, shape (members, ..., time, state);
            and True at the steps outside the domain of validity, shape (..., time).
        """
        inputs, kinds = self.assemble_inputs(drive, parameters, interpolation)
        u = self.scales.drive(inputs)
        settled = settled_drive(u, kinds)[..., : len(self.ports.drive)]
        several = state is not None and not per_member and len(self.members) > 1
        one_for_each = several and self.embedding.method.own_coordinates
        if one_for_each:
            self._check_one_for_each(state)
        starts = torch.stack(self._starts(inputs, state, per_member or one_for_each))
        if several and not self.embedding.recursive and self.ports.drive:
            shifts = self._feedthrough_shifts(u, kinds)
            starts = starts + shifts.reshape(len(shifts), *[1] * (starts.ndim - shifts.ndim), *shifts.shape[1:])
        states = self.integrate(starts, self.drive_stages(u, kinds), solver)
        return self.read_members(states, settled), states, self.outside_domain(states, u)

    def integrate(self, starts: Tensor, stages: Tensor, solver: str = "rk4") -> Tensor:
        """Return the states of all members, shape (members, ..., steps + 1, state).

        Args:
            starts: Initial states, shape (members, ..., state).
            stages: What the vector field sees of the drive in each step, from `drive_stages`.
            solver: As in `simulate`.
        """
        if not stages.shape[-3]:
            return starts.unsqueeze(-2)  # one sample: no step to take
        if solver == "rk4":
            return roll_members(self.members, starts, stages)
        wide = stages.expand(*starts.shape[1:-1], *stages.shape[-3:])
        fields = [member.field for member in self.members]
        runs = [adaptive_rollout(field, start, wide, method=solver) for field, start in zip(fields, starts, strict=True)]
        return torch.stack(runs)

    def read_members(self, states: Tensor, settled: Tensor) -> Tensor:
        """Return the outputs of all members in SI units, shape (members, ..., time, outputs).

        Args:
            states: Shape (members, ..., time, state).
            settled: Drives to which the samples have responded, in deviations, shape (..., time, drives).

        Raises:
            DomainError: outputs that are NaN or infinite.
        """
        read = [member.read(each, settled) for member, each in zip(self.members, states, strict=True)]
        outputs = apply_output_map(self.ports, torch.stack([self.scales.output_si(each) for each in read]))
        if not all_finite(outputs):
            raise DomainError("the run produced NaN or infinite values: the vector field is not finite along it.")
        return outputs

    def outside_domain(self, states: Tensor, u: Tensor) -> Tensor:
        """Return True at the samples outside the domain of validity, shape (..., time).

        Args:
            states: Shape (members, ..., time, state).
            u: Inputs in deviations, shape (..., time, inputs).
        """
        points = self._points(states, u)
        if not has_values(points):  # nothing could be said about them
            return torch.zeros(points.shape[:-1], dtype=torch.bool, device=points.device)
        return self.domain.outside(points)

    def _points(self, states: Tensor, u: Tensor) -> Tensor:
        """Return the median states with the inputs beside them, shape (..., time, state + inputs)."""
        median = median_of_members(states)
        return torch.cat([median, u.expand(*median.shape[:-1], u.shape[-1])], -1)

    def _starts(self, inputs: Tensor, state: Tensor | None, per_member: bool) -> list[Tensor]:
        """Return the initial state of each member, shape (..., state); resting states if none is given."""
        starts = []
        for index in range(len(self.members)):
            if state is None:
                start = self._resting.of_batch(self.members[index].field, inputs)
            else:
                given = real_tensor("state", state, TraceError)
                start = (given[index] if per_member else given).to(inputs)
                if not start.ndim and self.state_size == 1:
                    start = start.reshape(1)
                if not start.ndim or start.shape[-1] != self.state_size:
                    raise TraceError(
                        f"state has {start.shape[-1] if start.ndim else 1} values; expected {self.state_size}, as "
                        "`state_from` returns them."
                    )
                if not all_finite(start):
                    raise TraceError("state contains NaN or infinite values; take it from finite samples, by `state_from`.")
            batch = broadcast_batches(start.shape[:-1], "state", inputs.shape[:-2], "drive")
            starts.append(start.expand(*batch, self.state_size))
        return starts

    @property
    def _resting(self) -> RestingStates:
        return RestingStates(self.ports, self.embedding, self.scales, self.domain)

    def _check_one_for_each(self, state: Any) -> None:
        """Check that there is a state for each member of latent modes."""
        count = len(self.members)
        given = real_tensor("state", state, TraceError)
        if given.ndim < 2 or len(given) != count:
            raise TraceError(
                f"state has shape {tuple(given.shape)}; expected one for each of the {count} members, whose latent modes have "
                "coordinates of their own: torch.stack([surrogate.state_from(output, drive, member=m)[0] for m in "
                f"range({count})])."
            )

    def _feedthrough_shifts(self, u: Tensor, kinds: tuple[str, ...]) -> Tensor:
        """Return the first state of each member less that of member 0 for the same outputs, shape (members, ..., state).

        With b_0 = y - D u, members of different D have different states.
        """
        count = len(self.ports.drive)
        jacobian = self.scales.feedthrough_blocks(self.embedding.first_drive_blocks(u[..., :count], kinds[:count]))
        changes = [(member.feedthrough - self.members[0].feedthrough).reshape(-1) for member in self.members]
        return torch.stack([jacobian @ change for change in changes])

    def _warn_of_extrapolation(self, outside: Tensor, distance: float, strict: bool) -> None:
        """Warn, or raise, of steps outside the domain of validity."""
        first = int(outside.reshape(-1, outside.shape[-1]).any(0).nonzero()[0])
        warn_of_extrapolation(
            self,
            float(outside.double().mean()),
            FITTED_DOMAIN,
            REDUCE_DRIVE,
            strict=strict,
            first=f"the first at sample {first} (t = {first * self.interval:.4g} s)",
            distance=distance,
            stacklevel=4,
        )
