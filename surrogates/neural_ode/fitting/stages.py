"""Parts of all training methods: the stages of multiple shooting, new members, and the free run that validates them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from ....dynamics.field import ChainField, MLPField, bind_physics
from ....dynamics.rollout import rollout
from ....errors import ConfigError
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


@dataclass
class Candidate:
    """The result of one restart.

    Attributes:
        members: Vector field and feedthrough of the fit to each split of the recordings.
        validation: NRMSE of free runs over the validation segments, each by the member that has not seen it.
        history: One entry per stage of the first member, in plain JSON.
        splits: What each member has fitted, and its validation segments.
    """

    members: list[Member]
    validation: float
    history: list[dict[str, Any]] = field(default_factory=list)
    splits: list[Prepared] = field(default_factory=list)

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
        ConfigError: the vector field returns another number of rates than the embedding needs.
    """
    generator = torch.Generator().manual_seed(seed)
    size = prepared.samples.states.shape[-1]
    inputs = prepared.samples.stages.shape[-1]
    outputs, drives = len(prepared.ports.output), len(prepared.ports.drive)
    rates = prepared.embedding.rates(outputs)
    # A field of the user's own may sample its weights from torch's global generator; these follow the seed as well.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        learned = build(size, inputs, rates, generator).to(torch.float64)
    bind_physics(learned, prepared.scales, prepared.interval)
    vector_field = prepared.embedding.vector_field(learned, prepared.scales.ratios)
    with torch.no_grad():
        sample = vector_field(prepared.samples.states[:4], prepared.samples.stages[:4, 0])
    if sample.shape != (4, size):
        raise ConfigError(
            f"the vector field returned {sample.shape[-1] - size + rates} rates for 4 states; expected "
            f"{(4, rates)} from (4, {size}) states and (4, {inputs}) drives."
        )
    return Member(vector_field, torch.zeros(outputs, drives, dtype=torch.float64))


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
    errors, truths = [], []
    for first, last in segments:
        predicted, truth = prepared.at_recorded(free_run(member, prepared, first, last), first, last)
        errors.append(predicted - truth)
        truths.append(truth)
    error, truth = torch.cat(errors), torch.cat(truths)
    # A device that rests throughout the segments has no deviation there; that of the fitted part is one.
    freedom = truth.isfinite().sum(0) - 1
    deviation = ((truth - truth.nanmean(0)).square().nansum(0) / freedom).sqrt().clamp_min(MIN_DEVIATION)
    return float((error.square().nanmean(0).sqrt() / deviation).max())
