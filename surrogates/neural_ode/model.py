"""`SurrogateModel`: the numerics of a surrogate, tensors in and tensors out."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from ...contracts.driven_device import Response
from ...dynamics.fixed_points import fixed_point
from ...dynamics.integrate import adaptive_rollout, rk4_step
from ...dynamics.rollout import rollouts
from ...dynamics.scales import Scales
from ...errors import ConfigError, DomainError, DomainWarning, TraceError
from .domain import Domain
from .embedding import Embedding, delayed, drive_blocks, embed, settled_drive, stage_drive
from .member import Member
from .ports import Ports


class SurrogateModel(nn.Module):
    """A Neural-ODE model of a device: dx/dt = f(x, u), y = b_0 + D u, one fourth-order Runge-Kutta step per sample.

    The state x is the embedded output (`spinode.surrogates.neural_ode.embedding`), in deviations. Outputs, drives and parameters are in SI units
    at every public door. Several members make an ensemble: the response is their mean, their spread is calibrated on
    samples that the fit did not see.

    Attributes:
        ports: Names and units of drives, outputs and parameters.
        embedding: Kind and order of the state.
        interval: Sample interval [s] of one step.
        scales: Means and deviations of the fitted data.
        domain: Domain of validity.
        noise: Deviation of the measurement noise of each output, SI units, shape (outputs,).
        spread_factor: Calibration of the ensemble's deviation, shape ().
        spread_floor: Deviation of a free run's error on validation samples, SI units, shape (outputs,).
        record: What it was fitted on and how: configuration, history, scores, data fingerprint, provenance (plain JSON).

    Source: Chen et al., Nat. Commun. 13, 1016 (2022).
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
        self.record: dict[str, Any] = dict(record or {})

    # --- the numerics: tensors in, tensors out -----------------------------------------------------------------------

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
        """Free run of the device under a sampled drive.

        Integrates dx/dt = f(x, u) with one fourth-order Runge-Kutta step per sample. Differentiable in drive, state,
        parameters and weights; a resting state that is found because none was given counts as a constant.

        Args:
            drive: Samples every `self.interval`, shape (..., time, drives), in `self.ports.units`.
            state: Initial embedded state, shape (..., state), from `state_from`; the resting state under the first drive
                sample if omitted.
            parameters: Constants of this device by name, or a tensor of shape (..., parameters).
            interpolation: How each drive runs between samples, "held", "linear" or "spline", by name; as it was fitted
                for drives not named.
            noise: Add the measurement noise that was found in the fitted recording; the mean response otherwise.
            generator: Source of the noise.
            strict: Raise where the run leaves the domain of validity, instead of warning.
            solver: "rk4", or an adaptive method of torchdiffeq such as "dopri5".

        Returns:
            Outputs, shape (..., time, outputs), in `self.ports.units`.

        Raises:
            TraceError: a drive of another shape, or with NaN.
            ConfigError: a missing parameter, an unknown interpolation or solver.
            DomainError: if `strict` and the run leaves the domain that the surrogate was fitted on; or no resting state.
        """
        outputs, _, outside = self.run_members(drive, state, parameters, interpolation, solver)
        self._judge(outside, strict)
        result = outputs.mean(0)
        if noise:
            result = result + self.noise * torch.randn(
                result.shape, generator=generator, dtype=result.dtype, device=result.device
            )
        return result

    def step(self, state: Tensor, drive: Tensor, dt: float | None = None, *, member: int = 0) -> Tensor:
        """One Runge-Kutta step under a constant input.

        Args:
            state: Embedded state in deviations, shape (..., state).
            drive: Drives followed by parameters, SI units, shape (..., drives + parameters).
            dt: Length of the step [s]; `self.interval` if omitted.
            member: Which member of an ensemble.

        Returns:
            State after the step, shape (..., state).
        """
        u = self.scales.drive(drive)
        stages = u.unsqueeze(-2).expand(*u.shape[:-1], 3, u.shape[-1])
        if self.embedding.kind == "delay":
            stages = stages.tile(self.embedding.order)
        return rk4_step(self.members[member].field, state, stages, 1.0 if dt is None else dt / self.interval)

    def read(self, state: Tensor, drive: Tensor, *, member: int = 0) -> Tensor:
        """Outputs in SI units of a state under a drive: y = b_0 + D u, shape (..., outputs).

        A sample of a held drive acts from its instant on: the output at that instant has answered to the sample before it.
        """
        u = self.scales.drive(drive)[..., : len(self.ports.drive)]
        first = state[..., : len(self.ports.output)]
        return self.scales.output_si(first + u @ self.members[member].feedthrough.T)

    def state_from(
        self,
        output: Tensor,
        drive: Tensor,
        *,
        parameters: Mapping[str, float] | Tensor | None = None,
        interpolation: Mapping[str, str] | None = None,
        member: int = 0,
    ) -> Tensor:
        """Embedded states of measured samples.

        Args:
            output: Samples every `self.interval`, SI units, shape (time, outputs); at least 8 for the derivative embedding.
            drive: Samples at the same instants, SI units, shape (time, drives).
            parameters: Constants of this device.
            interpolation: As in `simulate`.
            member: Which member of an ensemble (members differ in their feedthrough).

        Returns:
            States, shape (time - lookahead, state); row 0 is the initial state that `simulate` takes.
        """
        output = torch.as_tensor(output)
        wanted = (len(drive), len(self.ports.output))
        if tuple(output.shape) != wanted or not bool(torch.isfinite(output).all()):
            raise TraceError(
                f"output has shape {tuple(output.shape)}; expected finite samples of shape {wanted}, (time, outputs), one "
                "for each drive sample, in SI units."
            )
        values = embed(self.embedding, output.detach().cpu().numpy()).values
        state = self.scales.blocks(torch.as_tensor(values, dtype=self.noise.dtype))
        if self.embedding.kind == "delay":
            return state
        inputs, kinds = self.assemble_inputs(drive, parameters, interpolation)
        count = len(self.ports.drive)
        jet = drive_blocks(self.scales.drive(inputs)[:, :count], kinds[:count], self.embedding.order)
        taken = self.scales.feedthrough_blocks(jet)
        shift: Tensor = taken @ self.members[member].feedthrough.reshape(-1)
        return state + shift

    def resting_state(self, drive: Tensor, *, parameters: Mapping[str, float] | None = None, member: int = 0) -> Tensor:
        """Stable fixed point f(x, u) = 0 under a constant drive, by Newton's method from the fitted states.

        Args:
            drive: Drives, SI units, shape (drives,).
            parameters: Constants of this device.
            member: Which member of an ensemble.

        Returns:
            State, shape (state,).

        Raises:
            DomainError: no stable fixed point near the fitted states, as for a self-sustained oscillator.
        """
        inputs, _ = self.assemble_inputs(drive.reshape(1, -1), parameters, None)
        u = inputs_u = self.scales.drive(inputs)[0].detach()
        if self.embedding.kind == "delay":
            u = u.tile(self.embedding.order)
        seen = self.domain.points[:, self.state_size :]
        beyond = (inputs_u < seen.amin(0) - 1) | (inputs_u > seen.amax(0) + 1)
        if bool(beyond.any()):
            name = self.ports.inputs[int(beyond.nonzero()[0])]
            raise DomainError(
                f"{name!r} begins at {float(inputs[0, int(beyond.nonzero()[0])]):.6g}, far outside what the surrogate was "
                "fitted on; its resting state there is unknown. Begin within the fitted range, or pass an initial state."
            )
        return fixed_point(self.members[member].field, self.domain.points, u.detach(), self.state_size)

    # --- stretch by stretch, as reservoirs need it: `spinode.contracts.driven_device.DrivenDevice` --------------------------------------------

    @property
    def drives(self) -> tuple[str, ...]:
        """Names of the drives."""
        return self.ports.drive

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return self.ports.output

    def initial_state(self, drive: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Resting states under a drive, shape (members, ..., state); see `spinode.contracts.driven_device.DrivenDevice`."""
        inputs, _ = self.assemble_inputs(drive.unsqueeze(-2), None, None)
        return torch.stack([self._rest_of(inputs, member) for member in range(len(self.members))])

    def step_block(self, memory: Tensor, drive: Tensor, *, generator: torch.Generator | None = None) -> Response:
        """Go on by a stretch of held samples; see `spinode.contracts.driven_device.DrivenDevice`.

        With a generator, the measurement noise that was found in the fitted recording is added.

        Raises:
            ConfigError: an embedding that needs the drive ahead, or parameters of each device.
            TraceError: a drive of another shape, or with NaN.
        """
        if self.embedding.lookahead or self.ports.parameters:
            what = (
                "an embedding by forward samples"
                if self.embedding.lookahead
                else f"parameters ({', '.join(self.ports.parameters)})"
            )
            raise ConfigError(
                f"a surrogate with {what} cannot be run in stretches; fit one with embedding='derivative', without."
            )
        drive = torch.as_tensor(drive)
        # A last sample, of which only the start is looked at: the end of the stretch.
        longer = torch.cat([drive, drive[..., -1:, :]], -2)
        held = dict.fromkeys(self.ports.drive, "held")
        outputs, states, outside = self.run_members(longer, memory, None, held, "rk4", per_member=True)
        mean = outputs.mean(0)[..., 1:, :]
        if generator is not None:
            mean = mean + self.noise * torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
        return Response(mean, states[..., -1, :], outside[..., 1:])

    def describe(self) -> str:
        """A few plain lines: ports with units, state, step, what it was fitted on."""
        units = self.ports.units

        def named(names: Sequence[str]) -> str:
            return ", ".join(f"{name} [{units.get(name) or '1'}]" for name in names) or "none"

        lines = [
            f"drive:      {named(self.ports.drive)}",
            f"output:     {named(self.ports.output)}",
            f"parameters: {named(self.ports.parameters)}",
            f"state:      {self.embedding.kind} embedding of order {self.embedding.order}, {self.state_size} values",
            f"step:       {self.interval:.6g} {self.ports.units.get('time', 's') or '(of the sample number)'}",
            f"members:    {len(self.members)}",
        ]
        return "\n".join(lines)

    # --- inside ------------------------------------------------------------------------------------------------------

    @property
    def state_size(self) -> int:
        return self.embedding.order * len(self.ports.output)

    def drive_stages(self, drive: Tensor, kinds: tuple[str, ...]) -> Tensor:
        """What the vector field sees of the drive in each step, shape (..., time - 1, 3, inputs)."""
        stages = stage_drive(drive, kinds)
        return delayed(stages, self.embedding.order) if self.embedding.kind == "delay" else stages

    def assemble_inputs(
        self,
        drive: Tensor,
        parameters: Mapping[str, float] | Tensor | None,
        interpolation: Mapping[str, str] | None,
    ) -> tuple[Tensor, tuple[str, ...]]:
        """Drives and parameters side by side, (..., time, inputs), and how each runs between samples."""
        drive = torch.as_tensor(drive)
        count = len(self.ports.drive)
        if drive.ndim < 2 or drive.shape[-1] != count or drive.shape[-2] < 1:
            raise TraceError(
                f"drive has shape {tuple(drive.shape)}; expected (..., time, {count}) for the drives "
                f"{', '.join(self.ports.drive) or '(none)'}, in SI units."
            )
        drive = drive.to(dtype=self.noise.dtype, device=self.noise.device)
        if not bool(torch.isfinite(drive).all()):
            raise TraceError("drive holds NaN or infinite values; replace or cut them before simulating.")
        constants = self._constants(parameters, drive)
        # A batch of parameters under one drive is a batch of devices, and the other way round.
        batch = np.broadcast_shapes(drive.shape[:-2], constants.shape[:-1])
        drive = drive.expand(*batch, *drive.shape[-2:])
        extra = constants.unsqueeze(-2).expand(*drive.shape[:-1], constants.shape[-1])
        kinds = dict(self.ports.interpolation)
        for name, kind in (interpolation or {}).items():
            if name not in self.ports.drive:
                raise ConfigError(f"interpolation names {name!r}, which is no drive here; drives: {self.ports.drive}.")
            if kind not in ("held", "linear", "spline"):
                raise ConfigError(f"interpolation of {name!r} is {kind!r}; expected 'held', 'linear' or 'spline'.")
            kinds[name] = kind
        order = tuple(kinds.get(name, "spline") for name in self.ports.drive) + ("held",) * len(self.ports.parameters)
        return torch.cat([drive, extra], -1), order

    def _constants(self, parameters: Mapping[str, float] | Tensor | None, drive: Tensor) -> Tensor:
        """Parameters as a tensor, shape (..., parameters)."""
        names = self.ports.parameters
        if isinstance(parameters, Tensor):
            values = parameters.to(drive)
            if not values.ndim or values.shape[-1] != len(names):
                raise ConfigError(
                    f"parameters have shape {tuple(values.shape)}; expected (..., {len(names)}) for "
                    f"{', '.join(names) or '(none)'}."
                )
        else:
            given = dict(parameters or {})
            missing = [name for name in names if name not in given]
            if missing:
                raise ConfigError(f"parameter {missing[0]!r} is missing; pass parameters={{{missing[0]!r}: value in SI}}.")
            values = torch.tensor([float(given[name]) for name in names], dtype=drive.dtype, device=drive.device)
        if not bool(torch.isfinite(values).all()):
            raise ConfigError(f"parameters hold NaN or infinite values ({', '.join(names)}); pass finite numbers in SI units.")
        return values

    def run_members(
        self,
        drive: Tensor,
        state: Tensor | None,
        parameters: Mapping[str, float] | Tensor | None,
        interpolation: Mapping[str, str] | None,
        solver: str,
        per_member: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Outputs (members, ..., time, outputs), states (members, ..., time, state), steps outside (..., time)."""
        inputs, kinds = self.assemble_inputs(drive, parameters, interpolation)
        u = self.scales.drive(inputs)
        stages = self.drive_stages(u, kinds)
        count = len(self.ports.drive)
        settled = settled_drive(u, kinds)[..., :count]
        firsts = []
        for index in range(len(self.members)):
            if state is None:
                first = self._rest_of(inputs, index)
            else:
                first = (state[index] if per_member else state).to(u)
                if first.shape[-1] != self.state_size:
                    raise TraceError(
                        f"state has {first.shape[-1]} values; expected {self.state_size}, as `state_from` returns them."
                    )
                if not bool(torch.isfinite(first).all()):
                    raise TraceError("state holds NaN or infinite values; take it from finite samples, by `state_from`.")
            firsts.append(first.expand(*np.broadcast_shapes(first.shape[:-1], u.shape[:-2]), self.state_size))
        start = torch.stack(firsts)
        fields = [member.field for member in self.members]
        if not stages.shape[-3]:
            all_states = start.unsqueeze(-2)  # one sample: no step to take
        elif solver == "rk4":
            all_states = rollouts(fields, start, stages)
        else:
            wide = stages.expand(*start.shape[1:-1], *stages.shape[-3:])
            runs = [adaptive_rollout(field, first, wide, method=solver) for field, first in zip(fields, firsts, strict=True)]
            all_states = torch.stack(runs)
        read = all_states[..., : len(self.ports.output)]
        through = [settled @ member.feedthrough.T for member in self.members]
        all_outputs = torch.stack([self.scales.output_si(y + direct) for y, direct in zip(read, through, strict=True)])
        if not bool(torch.isfinite(all_outputs).all()):
            raise DomainError("the run produced NaN or infinite values: the vector field is not finite on it.")
        mean = all_states.mean(0)
        return (
            all_outputs,
            all_states,
            self.domain.outside(torch.cat([mean, u.expand(*mean.shape[:-1], u.shape[-1])], -1)),
        )

    def _rest_of(self, inputs: Tensor, member: int) -> Tensor:
        """Resting state of each batch element under its first input, shape (..., state)."""
        count = len(self.ports.drive)
        if not inputs.shape[-1]:
            return self.resting_state(inputs.new_zeros(0), member=member)  # one device, one rest
        firsts = inputs[..., 0, :].reshape(-1, inputs.shape[-1]).detach()
        unique, inverse = torch.unique(firsts, dim=0, return_inverse=True)
        named = [dict(zip(self.ports.parameters, row[count:].tolist(), strict=True)) for row in unique]
        rests = [
            self.resting_state(row[:count], parameters=names, member=member) for row, names in zip(unique, named, strict=True)
        ]
        return torch.stack(rests)[inverse].reshape(*inputs.shape[:-2], self.state_size)

    def _judge(self, outside: Tensor, strict: bool) -> None:
        share = float(outside.double().mean())
        if share == 0:
            return
        first = int(outside.reshape(-1, outside.shape[-1]).any(0).nonzero()[0])
        message = (
            f"{share:.1%} of the steps lie outside the domain the surrogate was fitted on, the first at sample {first} "
            f"(t = {first * self.interval:.4g} s): the result there is an extrapolation."
        )
        if strict:
            raise DomainError(message + " Reduce the drive, fit on a trace that covers it, or pass strict=False.")
        if not getattr(self, "_warned", False):
            self._warned = True
            warnings.warn(message, DomainWarning, stacklevel=3)
