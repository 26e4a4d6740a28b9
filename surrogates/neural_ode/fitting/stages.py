"""The stages of multiple shooting: windows of growing length, and the free run that scores them; for every solver."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ....dynamics.field import MLPField, bind_physics
from ....dynamics.rollout import rollout
from ....errors import ConfigError
from ..member import Member
from .config import FitConfig
from .gauss_newton import Samples
from .prepare import Prepared

Progress = Callable[[str], None]
Builder = Callable[[int, int, int, torch.Generator], nn.Module]

#: From this window length on only the outputs are compared and the initial states are free: over short windows the blocks
#: above the first must be compared too, or the one-step problem is singular.
FREE_FROM = 20

#: Penalty on the feedthrough over that on the weights. A slow drive hardly tells its feedthrough from its force; where the
#: data do not ask for one, it should stay near zero, since held steps expose it.
FEEDTHROUGH_RIDGE = 30.0

#: Least deviation of a validation stretch that an error is held against, in deviations of the fitted part.
RESTING = 0.05


@dataclass
class Candidate:
    """One restart: its member, its validation error and how it went."""

    member: Member
    validation: float
    history: list[dict[str, Any]] = field(default_factory=list)


def default_field(config: FitConfig) -> Builder:
    """The network that a fit learns if none is given."""

    def build(state: int, drive: int, rates: int, generator: torch.Generator) -> nn.Module:
        return MLPField(state, drive, rates, hidden=config.hidden, activation=config.activation, generator=generator)

    return build


def new_member(prepared: Prepared, build: Builder, seed: int) -> Member:
    """A member with fresh weights for this embedding."""
    generator = torch.Generator().manual_seed(seed)
    size = prepared.samples.states.shape[-1]
    inputs = prepared.samples.stages.shape[-1]
    outputs = len(prepared.ports.output)
    rates = prepared.embedding.rates(outputs)
    # A field of the user's own may draw its weights from torch's global generator; it follows the seed all the same.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = build(size, inputs, rates, generator).to(torch.float64)
    bind_physics(made, prepared.scales, prepared.interval)
    drives = len(prepared.ports.drive)
    whole = prepared.embedding.vector_field(made, prepared.scales.ratios)
    with torch.no_grad():
        found = whole(prepared.samples.states[:4], prepared.samples.stages[:4, 0])
    if found.shape != (4, size):
        raise ConfigError(
            f"the vector field returned {found.shape[-1] - size + rates} rates for 4 states; expected "
            f"{(4, rates)} from (4, {size}) states and (4, {inputs}) drives."
        )
    return Member(whole, torch.zeros(outputs, drives, dtype=torch.float64))


def stage_lengths(windows: Sequence[int], samples: Samples) -> list[int]:
    """Window lengths that fit: no longer than a quarter of the longest stretch, and each once."""
    longest = max(last - first for first, last in samples.segments)
    return sorted({min(length, max(1, longest // 4)) for length in windows})


def compare_weights(samples: Samples, outputs_only: bool) -> Tensor:
    """Weight of each state value in the residual: one over the deviation of its increments, together of norm one."""
    moves = torch.cat([samples.states[first : last + 1].diff(dim=0) for first, last in samples.segments])
    weights: Tensor = 1 / moves.std(0).clamp_min(1e-12)
    weights = weights / torch.linalg.vector_norm(weights)
    if outputs_only:
        weights = weights.clone()
        weights[samples.outputs :] = 0
    return weights


def free_run(member: Member, prepared: Prepared, first: int, last: int) -> Tensor:
    """Outputs of a free run over samples first .. last, in deviations, shape (time, outputs)."""
    samples, count = prepared.samples, len(prepared.ports.output)
    feedthrough_jacobian = samples.feedthrough_jacobian
    through = member.feedthrough.detach().reshape(-1)[: feedthrough_jacobian.shape[-1]]
    with torch.no_grad():
        state = samples.states[first] + feedthrough_jacobian[first] @ through
        run = rollout(member.field, state, samples.stages[first:last])
        outputs: Tensor = run[:, :count] - (feedthrough_jacobian[first : last + 1] @ through)[:, :count]
        return outputs


def free_run_error(member: Member, prepared: Prepared, segments: Sequence[tuple[int, int]]) -> float:
    """NRMSE of free runs over stretches: rms error over the deviation of the truth, worst output."""
    errors, truths = [], []
    for first, last in segments:
        truth = prepared.outputs[first : last + 1]
        errors.append(free_run(member, prepared, first, last) - truth)
        truths.append(truth)
    error, truth = torch.cat(errors), torch.cat(truths)
    # A device that rests throughout the stretch has no deviation there; that of the fitted part is one.
    return float((error.square().mean(0).sqrt() / truth.std(0).clamp_min(RESTING)).max())
