"""Exported programs compared with the surrogate before they are written: the same outputs, the same gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ... import kernels
from ...errors import ExportError
from ..neural_ode.member import median_of_members
from ..neural_ode.model import SurrogateModel

#: Largest accepted difference of values and gradients, relative to their size plus one standard deviation. A run of two dozen
#: steps amplifies rounding errors in float32; a wrong program differs by far more.
TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-4}

#: Batch and length of the compared runs; they differ from those that the programs are traced with.
RUNS = ((1, 9), (4, 24))


@dataclass(frozen=True)
class Runs:
    """Inputs of a batch of runs.

    Attributes:
        drive: In SI units, shape (batch, time, drives).
        parameters: In SI units, shape (batch, parameters).
        state: Initial states in deviations, shape (members, batch, values).
    """

    drive: Tensor
    parameters: Tensor
    state: Tensor

    @property
    def stacked_state(self) -> Tensor:
        """Initial states with the members side by side, as exported programs take them, shape (batch, members * values)."""
        return self.state.movedim(0, 1).flatten(1).contiguous()

    def rollout_inputs(self, surrogate: SurrogateModel) -> dict[str, Tensor]:
        """Return the inputs of an exported rollout by name."""
        inputs = {"drive": self.drive, "state": self.stacked_state}
        return inputs | {"parameters": self.parameters} if surrogate.ports.parameters else inputs

    def step_inputs(self, surrogate: SurrogateModel, interpolation: tuple[str, ...]) -> list[tuple[Tensor, ...]]:
        """Return, for each step, the inputs of an exported step at its start, middle and end."""
        parameters = self.parameters.unsqueeze(1).expand(-1, self.drive.shape[1], -1)
        # The stages are linear in the samples and keep constants, so that they can be computed in SI units as well.
        stages = surrogate.drive_stages(torch.cat([self.drive, parameters], -1), interpolation)
        rows = surrogate.embedding.drive_size(1)
        if rows > 1:
            stages = stages.unflatten(-1, (rows, -1))
        return [tuple(stage.unbind(1)) for stage in stages.unbind(1)]

    def run_surrogate(self, surrogate: SurrogateModel, interpolation: tuple[str, ...]) -> Tensor:
        """Run the surrogate itself in plain torch; returns outputs of shape (batch, time, outputs)."""
        kinds = dict(zip(surrogate.ports.drive, interpolation, strict=False))
        with kernels.use("torch"):
            outputs, _, _ = surrogate.run_members(self.drive, self.state, self.parameters, kinds, "rk4", per_member=True)
        return median_of_members(outputs)

    def run_step(self, step: Callable[..., Any], surrogate: SurrogateModel, interpolation: tuple[str, ...]) -> Tensor:
        """Call an exported step repeatedly; returns outputs of shape (batch, time, outputs)."""
        state = self.stacked_state
        outputs: list[Tensor] = []
        for inputs in self.step_inputs(surrogate, interpolation):
            state, before, after = step(state, *inputs)
            outputs += [after] if outputs else [before, after]
        return torch.stack(outputs, 1)


def random_runs(surrogate: SurrogateModel, batch: int, time: int) -> Runs:
    """Return random runs between fitted points; the same ones for the same surrogate and sizes."""
    generator = torch.Generator().manual_seed(time)
    points, size, drives = surrogate.domain.points, surrogate.state_size, len(surrogate.ports.drive)

    def random_points(*shape: int) -> Tensor:
        return points[torch.randint(len(points), shape, generator=generator)]

    ends = random_points(2, batch, 1)[..., size:]
    inputs = ends[0] + torch.rand(batch, time, 1, generator=generator).to(points) * (ends[1] - ends[0])
    si = inputs * surrogate.scales.drive_scale + surrogate.scales.drive_mean
    state = random_points(len(surrogate.members), batch)[..., :size]
    # Contiguous as a user would pass them: a scan is traced for this memory layout.
    return Runs(si[..., :drives].contiguous(), si[:, 0, drives:].contiguous(), state.contiguous())


def check_rollout(
    program: Callable[[Mapping[str, Tensor]], Tensor], surrogate: SurrogateModel, interpolation: tuple[str, ...]
) -> None:
    """Compare an exported rollout with the surrogate.

    Args:
        program: Takes the inputs by name (`Runs.rollout_inputs`), returns the outputs.
        surrogate: The model that was exported.
        interpolation: Kind of interpolation of each drive and parameter.

    Raises:
        ExportError: they differ.
    """
    for batch, time in RUNS:
        runs = random_runs(surrogate, batch, time)
        outputs = program(runs.rollout_inputs(surrogate))
        _check_outputs(outputs, runs.run_surrogate(surrogate, interpolation), surrogate)


def check_step(program: nn.Module, original: nn.Module, surrogate: SurrogateModel, interpolation: tuple[str, ...]) -> None:
    """Compare an exported step with the surrogate over runs: outputs, and gradients in all inputs and weights.

    Args:
        program: The step as it was loaded.
        original: The module that was exported, whose parameters have the same names as those of `program`.
        surrogate: The model that was exported.
        interpolation: Kind of interpolation of each drive and parameter.

    Raises:
        ExportError: they differ.
    """
    for batch, time in RUNS:
        runs = random_runs(surrogate, batch, time)
        outputs = runs.run_step(program, surrogate, interpolation)
        _check_outputs(outputs, runs.run_surrogate(surrogate, interpolation), surrogate)
    _check_gradients(program, original, runs, surrogate, interpolation)


def _check_outputs(outputs: Tensor, expected: Tensor, surrogate: SurrogateModel) -> None:
    _check_difference("the outputs", outputs, expected, surrogate.scales.output_scale + expected.abs())


def _check_gradients(
    program: nn.Module, original: nn.Module, runs: Runs, surrogate: SurrogateModel, interpolation: tuple[str, ...]
) -> None:
    """Compare the gradients of a random linear combination of the outputs."""
    weighting = torch.randn(len(surrogate.ports.output), generator=torch.Generator().manual_seed(0)).to(surrogate.noise)
    loaded = dict(program.named_parameters())
    weights = {name: value for name, value in original.named_parameters() if value.requires_grad and name in loaded}
    drive_scale, parameter_scale = surrogate.scales.drive_scale.split([runs.drive.shape[-1], runs.parameters.shape[-1]])
    inputs = {  # with their scales, which make all gradients comparable
        "the drive": (runs.drive, drive_scale),
        "the parameters": (runs.parameters, parameter_scale),
        "the initial state": (runs.state, torch.ones(())),
    }

    def gradients(run: Callable[[Runs], Tensor], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        leaves = {name: value.clone().requires_grad_() for name, (value, _) in inputs.items()}
        loss = (surrogate.scales.output(run(Runs(*leaves.values()))) * weighting).sum()
        values = torch.autograd.grad(loss, [*leaves.values(), *weights.values()], allow_unused=True, materialize_grads=True)
        by_name = dict(zip([*leaves, *weights], values, strict=True))
        return by_name | {name: by_name[name] * scale for name, (_, scale) in inputs.items()}

    expected = gradients(lambda leaves: leaves.run_surrogate(surrogate, interpolation), weights)
    of_program = gradients(
        lambda leaves: leaves.run_step(program, surrogate, interpolation), {name: loaded[name] for name in weights}
    )
    largest = {name: value.abs().max() if value.numel() else torch.zeros(()) for name, value in expected.items()}
    # Gradients that are only rounding errors are compared on the scale of the largest one.
    floor = 0.01 * max(largest.values())
    for name, value in expected.items():
        _check_difference(f"the gradients in {name}", of_program[name], value, largest[name] + floor)


def _check_difference(what: str, values: Tensor, expected: Tensor, size: Tensor) -> None:
    tolerance = TOLERANCE[expected.dtype]
    difference = float(((values - expected).abs() / size).nan_to_num(torch.inf).max()) if expected.numel() else 0.0
    if difference > tolerance:
        raise ExportError(
            f"{what} of the exported program differ from those of the surrogate by {difference:.1e} of their size (allowed: "
            f"{tolerance:.0e}) in runs of a few steps inside its domain; no file was written. Is the vector field random, or "
            "does it depend on anything but state, drive and weights?"
        )
