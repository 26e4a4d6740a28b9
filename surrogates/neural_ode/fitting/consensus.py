"""Choice among restarts: members that disagree with the others under a probe drive give themselves away.

Fits that are equally good on the training drive can differ manyfold under another one, and no validation stretch of the
same recording tells. Their runs under random held steps within the range of the recorded drive do: good fits agree there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ....dynamics.rollout import rollouts
from ..member import Member
from .prepare import Prepared

#: Samples that a probe step is held, probe length, and number of independent probes.
HOLD, LENGTH, PROBES = 10, 800, 4

#: Amplitude of the probe steps, in deviations of the recorded drive (uniform within +-).
AMPLITUDE = 0.6

#: Restarts within this factor of the best validation error count as equally good.
EQUAL = 1.5


@dataclass(frozen=True)
class Ranking:
    """Restarts from best to worst, and each one's disagreement with the others (deviations of the output)."""

    order: list[int]
    disagreement: list[float]


def probe_runs(members: Sequence[Member], prepared: Prepared, *, seed: int) -> Tensor:
    """Outputs of all members under the same random held steps, shape (members, probes, time, outputs)."""
    generator = torch.Generator().manual_seed(seed)
    inputs = prepared.drive.shape[-1]
    drives = len(prepared.ports.drive)
    steps = AMPLITUDE * (2 * torch.rand(PROBES, LENGTH // HOLD, inputs, generator=generator, dtype=torch.float64) - 1)
    # Parameters keep a recorded value; drives step.
    picks = torch.randint(len(prepared.drive), (PROBES,), generator=generator)
    steps[..., drives:] = prepared.drive[picks][:, None, drives:]
    held = steps.repeat_interleave(HOLD, dim=1)
    stages = prepared.embedding.constant_field_drive(held)[:, :, None, :].expand(-1, -1, 3, -1)
    chosen = torch.randint(len(prepared.samples.states), (PROBES,), generator=generator)
    states, feedthrough_jacobian = prepared.samples.states[chosen], prepared.samples.feedthrough_jacobian[chosen]
    count = len(prepared.ports.output)
    with torch.no_grad():
        starts = [
            states + feedthrough_jacobian @ member.feedthrough.reshape(-1)[: feedthrough_jacobian.shape[-1]]
            for member in members
        ]
        runs = rollouts([member.field for member in members], torch.stack(starts), stages)[:, :, 1:, :count]
        through = [held[..., :drives] @ member.feedthrough.T for member in members]
    return runs + torch.stack(through)


def choose(validation: Sequence[float], probes: Tensor) -> Ranking:
    """Rank restarts: equally valid ones by their distance to their nearest companions under the probes, others behind.

    Good fits come close to each other; each bad one is bad in its own way. The nearer half of the companions counts, so
    that two good fits among four find each other.

    Args:
        validation: Validation NRMSE of each restart.
        probes: Runs under the probe drive, shape (members, probes, time, outputs).

    Returns:
        The ranking.
    """
    errors = np.array(validation, dtype=float)
    errors[~np.isfinite(errors)] = np.inf
    equal = [i for i in range(len(errors)) if errors[i] <= EQUAL * errors.min() and np.isfinite(errors[i])]
    distance = torch.stack([(probes - run).square().mean((1, 2, 3)).sqrt() for run in probes])
    disagreement = [_nearest(distance[i, [j for j in equal if j != i]]) for i in range(len(errors))]
    if len(equal) > 2:
        equal.sort(key=lambda i: disagreement[i])
    else:
        equal.sort(key=lambda i: errors[i])
    rest = sorted((i for i in range(len(errors)) if i not in equal), key=lambda i: errors[i])
    return Ranking([*equal, *rest], disagreement)


def _nearest(distances: Tensor) -> float:
    """Mean distance to the nearer half of the companions (at least one); zero without any."""
    count = max(1, len(distances) // 2)
    return float(distances.sort().values[:count].mean()) if len(distances) else 0.0
