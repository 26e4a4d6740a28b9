"""Parts of all training methods: the stages of multiple shooting, new members, and the free run that validates them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from ....dynamics.field import ChainField, MLPField, bind_physics
from ....dynamics.rollout import rollout
from ....errors import ConfigError, SpinodeError
from ....validation import describe_type
from ..member import Member
from .config import FitConfig
from .prepare import Prepared
from .samples import Samples

#: Builds the learned part of a vector field: (state values, drive values, rates, generator) -> module f(x, u).
FieldBuilder: TypeAlias = Callable[[int, int, int, torch.Generator], nn.Module]

#: Shortest window, in samples, that compares the outputs only and has a free initial state. In shorter windows the blocks
#: above the first must be compared too, or the one-step problem is singular.
MIN_FREE_WINDOW = 20

#: Penalty on the feedthrough over that on the weights. Under a slow drive, feedthrough and force are hard to separate; where
#: the data do not need a feedthrough it should stay near zero, since held steps expose it.
FEEDTHROUGH_RIDGE = 30.0

#: Smallest standard deviation of a validation segment that errors are divided by, in deviations of the fitted part.
MIN_DEVIATION = 0.05


#: Stretches of the validation segments of a split whose errors show how uncertain the validation error is.
STRETCHES = 8


@dataclass
class Candidate:
    """The result of one restart.

    Attributes:
        members: Vector field and feedthrough of the fit to each split of the recordings.
        validation: NRMSE of free runs over the validation segments, each by the member that has not seen it.
        history: One entry per stage of the first member, in plain JSON.
        splits: What each member has fitted, and its validation segments.
        diverged: It runs away along drives like the recorded ones.
        label: Name in messages, where it is no restart.
    """

    members: list[Member]
    validation: float
    history: list[dict[str, Any]] = field(default_factory=list)
    splits: list[Prepared] = field(default_factory=list)
    diverged: bool = False
    label: str = ""

    def stretches(self) -> list[list[float]]:
        """Return the mean squared errors of free runs over stretches of the validation segments, of each split."""
        if not np.isfinite(self.validation):
            return []
        return [
            stretch_errors(member, split, split.validation) for member, split in zip(self.members, self.splits, strict=True)
        ]

    @property
    def member(self) -> Member:
        """The fit of the first split."""
        return self.members[0]


def default_field(config: FitConfig) -> FieldBuilder:
    """Return a builder of the network that a fit learns if no `vector_field` is given."""

    def build(state: int, drive: int, rates: int, generator: torch.Generator) -> nn.Module:
        return MLPField(state, drive, rates, hidden=config.first_hidden, activation=config.activation, generator=generator)

    return build


def linear_field(config: FitConfig) -> FieldBuilder:
    """Return a builder of linear fields, as networks whose hidden layer is zero and stays so: it is a stationary point."""

    def build(state: int, drive: int, rates: int, generator: torch.Generator) -> nn.Module:
        field = MLPField(state, drive, rates, hidden=(1,), activation="tanh", generator=generator)
        with torch.no_grad():
            for layer in (*field.layers, field.out):
                layer.weight.zero_()
                layer.bias.zero_()
        return field

    return build


def network_of(field: nn.Module) -> MLPField | None:
    """Return the network of a vector field, or None for a field of the user's own."""
    learned = field.top if isinstance(field, ChainField) else field
    return learned if isinstance(learned, MLPField) else None


def new_member(prepared: Prepared, build: FieldBuilder, seed: int) -> Member:
    """Build a member with new weights for the embedding of prepared recordings.

    Raises:
        ConfigError: the vector field cannot be built or called, or returns other rates than the embedding needs.
    """
    generator = torch.Generator().manual_seed(seed)
    size = prepared.samples.states.shape[-1]
    inputs = prepared.samples.stages.shape[-1]
    outputs, drives = len(prepared.ports.output), len(prepared.ports.drive)
    rates = prepared.embedding.rates(outputs)
    # A field of the user's own may sample its weights from torch's global generator; these follow the seed as well.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        learned = call_builder(build, size, inputs, rates, generator).to(torch.float64)
    bind_physics(learned, prepared.scales, prepared.interval)
    _check_rates(learned, prepared.samples.states[:4], prepared.samples.stages[:4, 0], rates)
    _check_gradients(learned, prepared.samples.states[:4], prepared.samples.stages[:4, 0])
    vector_field = prepared.embedding.vector_field(learned, prepared.scales.ratios)
    return Member(vector_field, torch.zeros(outputs, drives, dtype=torch.float64))


def call_builder(build: FieldBuilder, state: int, drive: int, rates: int, generator: torch.Generator) -> nn.Module:
    """Return what a builder of the user's own builds.

    Raises:
        ConfigError: it is not callable, raises an error, or returns no module.
    """
    expected = "expected a function of (state, drive, rates, generator) that returns a torch.nn.Module f(x, u)"
    if not callable(build):
        raise ConfigError(f"vector_field is {describe_type(build)}; {expected}.")
    try:
        learned = build(state, drive, rates, generator)
    except SpinodeError:
        raise
    except Exception as error:
        raise ConfigError(f"the builder in vector_field raised {type(error).__name__}: {error}; {expected}.") from error
    if not isinstance(learned, nn.Module):
        raise ConfigError(f"the builder in vector_field returned {describe_type(learned)}; {expected}.")
    return learned


def _check_rates(field: nn.Module, states: Tensor, drive: Tensor, rates: int) -> None:
    """Refuse a field of the user's own that raises an error, or whose rates are no tensor, of another shape or not finite."""
    expected = (
        f"expected a tensor of shape {(len(states), rates)} from {tuple(states.shape)} states and {tuple(drive.shape)} drives"
    )
    try:
        with torch.no_grad():
            found = field(states, drive)
    except SpinodeError:
        raise
    except Exception as error:
        raise ConfigError(f"the vector field raised {type(error).__name__}: {error}; {expected}.") from error
    if not isinstance(found, Tensor):
        raise ConfigError(f"the vector field returned {describe_type(found)}; {expected}.")
    if found.shape != (len(states), rates):
        raise ConfigError(f"the vector field returned a tensor of shape {tuple(found.shape)}; {expected}.")
    if not bool(torch.isfinite(found).all()):
        raise ConfigError(
            "the vector field returned NaN or infinite rates at recorded states; check its equations and first weights."
        )


def _check_gradients(field: nn.Module, states: Tensor, drive: Tensor) -> None:
    """Refuse a field of the user's own that keeps gradients from a weight, or from the state, on which its rates depend.

    A number without a gradient on which the rates do not depend (a weight that is not used) is left alone.
    """
    weights = {f"the weight {name!r}": value for name, value in field.named_parameters() if value.requires_grad}

    def rates() -> Tensor:
        with torch.random.fork_rng(devices=[]):  # the same random numbers each time, where there are any
            torch.manual_seed(0)
            found: Tensor = field(states, drive)
            return found

    states = states.detach().clone().requires_grad_()
    inputs = {**weights, "the state": states}
    first = rates()
    gradients = torch.autograd.grad(first.sum(), list(inputs.values()), allow_unused=True) if first.requires_grad else None
    for index, (name, value) in enumerate(inputs.items()):
        if gradients is not None and gradients[index] is not None:
            continue
        with torch.no_grad():
            before = value.clone()
            value.mul_(1.01).add_(0.01)
            moved = not torch.equal(rates(), first)
            value.copy_(before)
        if moved:
            raise ConfigError(
                f"the rates of the vector field depend on {name}, but without a gradient, by which it is fitted; leave out "
                "detach(), .data, no_grad() and NumPy in its forward()."
            )


def stage_lengths(windows: Sequence[int], samples: Samples) -> list[int]:
    """Return the window lengths of the stages: at most a quarter of the longest segment, each once, ascending."""
    longest = max(last - first for first, last in samples.segments)
    return sorted({min(length, max(1, longest // 4)) for length in windows})


def compare_weights(samples: Samples, outputs_only: bool) -> Tensor:
    """Return the weight of each state value in the residual: one over the deviation of its increments, together of norm one.

    Args:
        samples: Embedded recordings.
        outputs_only: Leave out all blocks above the first.

    Returns:
        Shape (state,).
    """
    increments = torch.cat([samples.states[first : last + 1].diff(dim=0) for first, last in samples.segments])
    weights: Tensor = 1 / increments.std(0).clamp_min(1e-12)
    weights = weights / torch.linalg.vector_norm(weights)
    if outputs_only:
        weights = weights.clone()
        weights[samples.outputs :] = 0
    return weights


def free_run(member: Member, prepared: Prepared, first: int, last: int) -> Tensor:
    """Run freely over samples first .. last; return the outputs in deviations, shape (time, outputs)."""
    samples, count = prepared.samples, len(prepared.ports.output)
    jacobian = samples.feedthrough_jacobian
    feedthrough = member.feedthrough.detach().reshape(-1)[: jacobian.shape[-1]]
    with torch.no_grad():
        state = samples.states[first] + jacobian[first] @ feedthrough
        states = rollout(member.field, state, samples.stages[first:last])
        return prepared.as_recorded(states[:, :count] - (jacobian[first : last + 1] @ feedthrough)[:, :count])


def free_run_error(member: Member, prepared: Prepared, segments: Sequence[tuple[int, int]]) -> float:
    """Compute the NRMSE of free runs over segments: rms error over the deviation of the truth, of the worst output.

    Args:
        member: Vector field and feedthrough.
        prepared: Embedded recordings.
        segments: First and last sample of each.
    """
    return float(_scaled_errors(member, prepared, segments).square().nanmean(0).sqrt().max())


def stretch_errors(member: Member, prepared: Prepared, segments: Sequence[tuple[int, int]]) -> list[float]:
    """Return the mean square of the errors of `free_run_error` in each of several stretches, of the worst output.

    Args:
        member: Vector field and feedthrough.
        prepared: Embedded recordings.
        segments: First and last sample of each.
    """
    squared = _scaled_errors(member, prepared, segments).square()
    worst = squared[:, int(squared.nanmean(0).argmax())]
    parts = [part.nanmean() for part in worst.tensor_split(STRETCHES)]
    return [float(part) for part in parts if bool(part.isfinite())]


def _scaled_errors(member: Member, prepared: Prepared, segments: Sequence[tuple[int, int]]) -> Tensor:
    """Return the errors of free runs over the deviation of the truth, shape (samples, outputs)."""
    errors, truths = [], []
    for first, last in segments:
        predicted, truth = prepared.at_recorded(free_run(member, prepared, first, last), first, last)
        errors.append(predicted - truth)
        truths.append(truth)
    error, truth = torch.cat(errors), torch.cat(truths)
    # A device that rests throughout the segments has no deviation there; that of the fitted part is one.
    freedom = truth.isfinite().sum(0) - 1
    deviation = ((truth - truth.nanmean(0)).square().nansum(0) / freedom).sqrt().clamp_min(MIN_DEVIATION)
    return error / deviation
