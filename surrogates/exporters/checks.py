"""Exported programs against the surrogate they were made from: the same runs, the same gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ... import kernels
from ...errors import ExportError
from ..neural_ode.model import SurrogateModel

#: Largest difference to the surrogate, of values and of gradients, as a share of deviation plus size. In float32 a run of two
#: dozen steps amplifies rounding; a wrong program is off by far more.
TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-4}

#: Batch and length of the runs that are compared; others than the programs are traced with.
RUNS = ((1, 9), (4, 24))


@dataclass(frozen=True)
class Runs:
    """What some runs start from.

    Attributes:
        drive: In SI, shape (batch, time, drives).
        parameters: In SI, shape (batch, parameters).
        state: In deviations, shape (members, batch, values).
    """

    drive: Tensor
    parameters: Tensor
    state: Tensor

    @property
    def side_by_side(self) -> Tensor:
        """Initial states as exported programs take them, shape (batch, members * values)."""
        return self.state.movedim(0, 1).flatten(1).contiguous()

    def arrays(self, surrogate: SurrogateModel) -> dict[str, Tensor]:
        """Inputs of an exported rollout, by name."""
        named = {"drive": self.drive, "state": self.side_by_side}
        return named | {"parameters": self.parameters} if surrogate.ports.parameters else named

    def steps(self, surrogate: SurrogateModel, kinds: tuple[str, ...]) -> list[tuple[Tensor, ...]]:
        """Inputs of an exported step at its start, middle and end, for each step."""
        constants = self.parameters.unsqueeze(1).expand(-1, self.drive.shape[1], -1)
        # What makes stages of samples is linear and keeps constants: it serves SI as well as deviations.
        stages = surrogate.drive_stages(torch.cat([self.drive, constants], -1), kinds)
        if surrogate.embedding.kind == "delay":
            stages = stages.unflatten(-1, (surrogate.embedding.order, -1))
        return [tuple(part.unbind(1)) for part in stages.unbind(1)]

    def by_surrogate(self, surrogate: SurrogateModel, kinds: tuple[str, ...]) -> Tensor:
        """What the surrogate itself answers in plain torch, shape (batch, time, outputs)."""
        named = dict(zip(surrogate.ports.drive, kinds, strict=False))
        with kernels.use("torch"):
            outputs, _, _ = surrogate.run_members(self.drive, self.state, self.parameters, named, "rk4", per_member=True)
        return outputs.mean(0)

    def by_step(self, step: Callable[..., Any], surrogate: SurrogateModel, kinds: tuple[str, ...]) -> Tensor:
        """What repeated calls of an exported step answer, shape (batch, time, outputs)."""
        state = self.side_by_side
        outputs: list[Tensor] = []
        for inputs in self.steps(surrogate, kinds):
            state, before, after = step(state, *inputs)
            outputs += [after] if outputs else [before, after]
        return torch.stack(outputs, 1)


def inside_runs(surrogate: SurrogateModel, batch: int, time: int) -> Runs:
    """Random runs between fitted points; always the same ones."""
    generator = torch.Generator().manual_seed(time)
    points, size, drives = surrogate.domain.points, surrogate.state_size, len(surrogate.ports.drive)

    def fitted(*shape: int) -> Tensor:
        return points[torch.randint(len(points), shape, generator=generator)]

    ends = fitted(2, batch, 1)[..., size:]
    inputs = ends[0] + torch.rand(batch, time, 1, generator=generator).to(points) * (ends[1] - ends[0])
    si = inputs * surrogate.scales.drive_scale + surrogate.scales.drive_mean
    parts = si[..., :drives], si[:, 0, drives:], fitted(len(surrogate.members), batch)[..., :size]
    return Runs(*(part.contiguous() for part in parts))  # as a user would hand them over: a scan is traced for this layout


def check_rollout(program: Callable[[Mapping[str, Tensor]], Tensor], surrogate: SurrogateModel, kinds: tuple[str, ...]) -> None:
    """Compare an exported rollout with the surrogate.

    Args:
        program: Takes `Runs.arrays`, returns outputs.
        surrogate: What it was made from.
        kinds: How each drive and parameter runs between samples.

    Raises:
        ExportError: they differ.
    """
    for batch, time in RUNS:
        runs = inside_runs(surrogate, batch, time)
        _compare_outputs(program(runs.arrays(surrogate)), runs.by_surrogate(surrogate, kinds), surrogate)


def check_step(program: nn.Module, original: nn.Module, surrogate: SurrogateModel, kinds: tuple[str, ...]) -> None:
    """Compare an exported step with the surrogate, over runs: outputs, and gradients in all inputs and weights.

    Args:
        program: The step as loaded.
        original: The module that was exported; it names the surrogate's weights as `program` does.
        surrogate: What it was made from.
        kinds: How each drive and parameter runs between samples.

    Raises:
        ExportError: they differ.
    """
    for batch, time in RUNS:
        runs = inside_runs(surrogate, batch, time)
        _compare_outputs(runs.by_step(program, surrogate, kinds), runs.by_surrogate(surrogate, kinds), surrogate)
    _compare_gradients(program, original, runs, surrogate, kinds)


def _compare_outputs(got: Tensor, wanted: Tensor, surrogate: SurrogateModel) -> None:
    _agree("the outputs", got, wanted, surrogate.scales.output_scale + wanted.abs())


def _compare_gradients(
    program: nn.Module, original: nn.Module, runs: Runs, surrogate: SurrogateModel, kinds: tuple[str, ...]
) -> None:
    """Gradients of a random weighting of all outputs."""
    weighting = torch.randn(len(surrogate.ports.output), generator=torch.Generator().manual_seed(0)).to(surrogate.noise)
    loaded = dict(program.named_parameters())
    own = {name: value for name, value in original.named_parameters() if value.requires_grad and name in loaded}
    drive_scale, parameter_scale = surrogate.scales.drive_scale.split([runs.drive.shape[-1], runs.parameters.shape[-1]])
    inputs = {  # with their deviations, so that all gradients are of one kind
        "the drive": (runs.drive, drive_scale),
        "the parameters": (runs.parameters, parameter_scale),
        "the initial state": (runs.state, torch.ones(())),
    }

    def gradients(answer: Callable[[Runs], Tensor], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        leaves = {name: value.clone().requires_grad_() for name, (value, _) in inputs.items()}
        loss = (surrogate.scales.output(answer(Runs(*leaves.values()))) * weighting).sum()
        found = torch.autograd.grad(loss, [*leaves.values(), *weights.values()], allow_unused=True, materialize_grads=True)
        named = dict(zip([*leaves, *weights], found, strict=True))
        return named | {name: named[name] * scale for name, (_, scale) in inputs.items()}

    wanted = gradients(lambda made: made.by_surrogate(surrogate, kinds), own)
    got = gradients(lambda made: made.by_step(program, surrogate, kinds), {name: loaded[name] for name in own})
    largest = {name: gradient.abs().max() if gradient.numel() else torch.zeros(()) for name, gradient in wanted.items()}
    # Where a gradient is nothing but rounding, the largest of all is the measure.
    floor = 0.01 * max(largest.values())
    for name, gradient in wanted.items():
        _agree(f"the gradients in {name}", got[name], gradient, largest[name] + floor)


def _agree(what: str, got: Tensor, wanted: Tensor, size: Tensor) -> None:
    allowed = TOLERANCE[wanted.dtype]
    error = float(((got - wanted).abs() / size).nan_to_num(torch.inf).max()) if wanted.numel() else 0.0
    if error > allowed:
        raise ExportError(
            f"{what} of the exported program differ from the surrogate's by {error:.1e} of their size (allowed: {allowed:.0e}) "
            "in runs of a few steps from inside its domain; no file was written. Is the vector field random, or does it depend "
            "on anything but state, drive and weights?"
        )
