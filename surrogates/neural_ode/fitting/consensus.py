"""Choice among restarts by consensus: of equally valid ones, those that agree with others under a probe drive are kept.

Fits that are equally good on the training drive can differ manyfold under another one, and no validation segment of the
same recording shows it. Their runs under random held steps within the range of the recorded drive do: good fits agree there.
Agreement decides only between restarts whose validation errors differ by no more than their uncertainty, and against a fit
that runs away or stands alone under the probe drive; otherwise the lower validation error does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from .... import kernels
from ....dynamics.layout import Layout, kernel_layout
from ....dynamics.rollout import rollouts
from ..drive_interpolation import stage_drive
from ..member import Member
from .prepare import Prepared

#: Samples per held probe step, samples per probe, and number of independent probes.
STEP_SAMPLES, PROBE_SAMPLES, PROBES = 10, 800, 4

#: Amplitude of the probe steps, in deviations of the recorded drive (uniform within +-).
AMPLITUDE = 0.6

#: Restarts whose validation error is within this factor of the lowest one may count as equally valid.
EQUALLY_VALID = 1.5

#: Distance from the nearest companions, in deviations, from which on a restart stands alone under the probe drive: good ones
#: lie at 0.05 .. 0.1, bad ones at 0.8 and more (docs/decisions.md).
ALONE = 0.8

#: Largest magnitude, in deviations of the output, that does not count as divergence: under the probe drive, and along drives
#: like the recorded ones, where three times that of the recording is allowed as well.
MAX_PROBE, MAX_ALIKE, MAX_OVER_RECORDED = 30.0, 10.0, 3.0

#: Samples of each segment that are run in reverse: by the kernels, and in plain torch, which takes a thousand times as long.
REVERSED, REVERSED_TORCH = 5000, 400


@dataclass(frozen=True)
class Ranking:
    """Restarts from best to worst.

    Attributes:
        order: Numbers of the restarts, counted from zero.
        disagreement: Distance of each restart from its nearest companions, in deviations of the output.
        reason: Why the first one of `order` was preferred, as one line of text.
    """

    order: list[int]
    disagreement: list[float]
    reason: str


def probe_runs(members: Sequence[Member], prepared: Prepared, *, seed: int) -> Tensor:
    """Run all members under the same random held steps.

    Args:
        members: One of each restart.
        prepared: Embedded recordings.
        seed: Seed of the steps and of the initial states.

    Returns:
        Outputs in deviations, shape (members, probes, time, outputs).
    """
    generator = torch.Generator().manual_seed(seed)
    inputs = prepared.drive.shape[-1]
    drives = len(prepared.ports.drive)
    shape = (PROBES, PROBE_SAMPLES // STEP_SAMPLES, inputs)
    steps = AMPLITUDE * (2 * torch.rand(*shape, generator=generator, dtype=torch.float64) - 1)
    # Parameters keep a recorded value; drives step.
    picked = torch.randint(len(prepared.drive), (PROBES,), generator=generator)
    steps[..., drives:] = prepared.drive[picked][:, None, drives:]
    probe = steps.repeat_interleave(STEP_SAMPLES, dim=1)
    stages = prepared.embedding.constant_field_drive(probe)[:, :, None, :].expand(-1, -1, 3, -1)
    picked = torch.randint(len(prepared.samples.states), (PROBES,), generator=generator)
    states, jacobian = prepared.samples.states[picked], prepared.samples.feedthrough_jacobian[picked]
    count = len(prepared.ports.output)
    with torch.no_grad():
        starts = [states + jacobian @ member.feedthrough.reshape(-1)[: jacobian.shape[-1]] for member in members]
        runs = rollouts([member.field for member in members], torch.stack(starts), stages)[:, :, 1:, :count]
        direct = [probe[..., :drives] @ member.feedthrough.T for member in members]
    return runs + torch.stack(direct)


def reversed_runs(member: Member, prepared: Prepared, *, longest: int) -> list[Tensor]:
    """Run freely along the drives of the fitted segments in reverse order of time, from the last recorded states.

    The drives have the values and the spectrum of the recorded ones, but the fit has seen none of these runs.

    Args:
        member: A fit.
        prepared: Embedded recordings.
        longest: Samples of each segment that are run at most, from its end.

    Returns:
        Outputs in deviations, shape (time, outputs), one tensor for each segment.
    """
    ports, samples = prepared.ports, prepared.samples
    kinds = tuple(ports.interpolation[name] for name in ports.drive) + ("held",) * len(ports.parameters)
    runs = []
    for first, last in samples.segments:
        inputs = prepared.drive[max(first, last - longest) : last + 1].flip(0)
        stages = prepared.embedding.field_drive(stage_drive(inputs, kinds))
        jacobian = samples.feedthrough_jacobian[last]
        with torch.no_grad():
            start = samples.states[last] + jacobian @ member.feedthrough.reshape(-1)[: jacobian.shape[-1]]
            run = rollouts([member.field], start[None, None], stages[None])[0, 0, 1:, : len(ports.output)]
            runs.append(run + inputs[: len(run), : len(ports.drive)] @ member.feedthrough.T)
    return runs


def diverges(member: Member, prepared: Prepared, *, seed: int) -> bool:
    """Return True if a fit runs away under random steps, or along drives that are like the recorded ones.

    Args:
        member: A fit.
        prepared: Embedded recordings.
        seed: Seed of the steps.
    """
    longest = REVERSED if runs_in_kernel(member.field) else REVERSED_TORCH
    probe = probe_runs([member], prepared, seed=seed)
    if not bool(torch.isfinite(probe).all()) or float(probe.abs().max()) > MAX_PROBE:
        return True
    return any(runs_away(run, prepared.outputs) for run in reversed_runs(member, prepared, longest=longest))


def runs_away(run: Tensor, recorded: Tensor) -> bool:
    """Return True if a run is not finite, or leaves ten deviations and three times the range of the recording.

    Args:
        run: Outputs in deviations, along a drive like the recorded one.
        recorded: Recorded outputs in deviations; NaN where one is missing.

    Example:
        >>> import torch
        >>> runs_away(torch.tensor([2.0, 11.0]), torch.tensor([2.0, -3.0, torch.nan]))
        True
    """
    limit = max(MAX_ALIKE, MAX_OVER_RECORDED * float(recorded.nan_to_num(0.0).abs().max()))
    return not bool(torch.isfinite(run).all()) or float(run.abs().max()) > limit


def runs_in_kernel(field: nn.Module) -> bool:
    """Return True if the kernels set up the equations of a vector field."""
    return isinstance(kernel_layout(field), Layout) and kernels.available()


def tolerances(stretches: Sequence[Sequence[Sequence[float]]]) -> list[float]:
    """Return the factor to the lowest validation error within which each restart cannot be distinguished from it.

    The difference of two validation errors, in logarithms and averaged over the splits, has a standard error, by the jackknife
    over stretches of the validation segments: both run through the same stretches, so that a hard one counts for both. The
    factor is one standard error (the rule of one standard error), at most `EQUALLY_VALID`.

    Args:
        stretches: Mean squared error in each stretch, of each split, of each restart; empty for one that failed.

    Source: Breiman et al., Classification and Regression Trees (1984) (the rule); Efron & Stein, Ann. Stat. 9, 586 (1981).

    Example:
        >>> easy, hard = [[1.0, 1.1, 0.9, 1.0]], [[4.0, 4.4, 3.6, 4.0]]  # twice the error in every stretch
        >>> [round(factor, 2) for factor in tolerances([easy, hard, [[0.2, 3.0, 0.1, 2.0]]])]
        [1.0, 1.0, 1.32]
    """
    logs = [_left_out(splits) for splits in stretches]
    best = min((values for values in logs if len(values)), key=lambda values: float(values.mean()), default=np.zeros(0))
    factors = []
    for values in logs:
        if len(values) != len(best) or len(best) < 2:
            factors.append(1.0 if len(best) else EQUALLY_VALID)
            continue
        change = values - best
        error = np.sqrt((len(change) - 1) * float(np.mean((change - change.mean()) ** 2)))
        factors.append(float(np.exp(min(error, np.log(EQUALLY_VALID)))))
    return factors


def _left_out(splits: Sequence[Sequence[float]]) -> np.ndarray:
    """Return the logarithm of the validation error without each stretch in turn, shape (stretches of all splits,)."""
    whole = np.array([np.log(max(float(np.mean(errors)), 1e-300)) for errors in splits])
    return np.array(
        [
            (whole.sum() - whole[split] + np.log(max(float(np.mean(np.delete(errors, index))), 1e-300))) / (2 * len(splits))
            for split, errors in enumerate(splits)
            for index in range(len(errors))
            if len(errors) > 1
        ]
    )


def rank_restarts(
    validation: Sequence[float],
    probes: Tensor,
    *,
    tolerance: Sequence[float] = (),
    diverged: Sequence[bool] = (),
) -> Ranking:
    """Rank restarts: equally valid ones by their disagreement with the others, all others behind them by their error.

    Good fits come close to each other; each bad one is bad in its own way. The nearer half of the companions counts, so
    that two good fits among four find each other; companions are restarts within `EQUALLY_VALID` of the lowest error. Of
    restarts that disagree equally, as the two nearest to each other do, the one with the lower validation error comes first.
    Two restarts cannot outvote each other: the lower error decides. A restart that runs away comes behind all others; so does,
    among its companions, one that stands alone where others do not.

    Args:
        validation: Validation NRMSE of each restart.
        probes: Runs under the probe drive, shape (members, probes, time, outputs).
        tolerance: Factor to the lowest error within which each restart counts as equally valid; `EQUALLY_VALID` if omitted.
        diverged: True for each restart that runs away along drives like the recorded ones.

    Example:
        >>> import torch
        >>> offsets = torch.tensor([2.0, 0.0, 0.1], dtype=torch.float64)  # the first disagrees with the other two
        >>> rank_restarts([0.010, 0.012, 0.011], offsets[:, None, None, None].expand(3, 1, 50, 1)).order
        [2, 1, 0]
    """
    errors = np.array(validation, dtype=float)
    errors[~np.isfinite(errors)] = np.inf
    everyone = range(len(errors))
    away = [bool(diverged[i]) if len(diverged) else False for i in everyone]
    away = [away[i] or not bool(probes[i].isfinite().all()) or float(probes[i].abs().max()) > MAX_PROBE for i in everyone]
    stays = [i for i in everyone if not away[i] and np.isfinite(errors[i])] or [i for i in everyone if np.isfinite(errors[i])]
    lowest = min((errors[i] for i in stays), default=np.inf)
    companions = [i for i in stays if errors[i] <= EQUALLY_VALID * lowest]
    distance = torch.stack([(probes - run).square().mean((1, 2, 3)).sqrt() for run in probes])
    disagreement = [_nearest(distance[i, [j for j in companions if j != i]]) for i in everyone]
    factors = tolerance if len(tolerance) else [EQUALLY_VALID] * len(errors)
    equal = _equally_valid(companions, errors, factors)
    together = [i for i in companions if disagreement[i] < ALONE]
    if len(companions) > 2 and together and not set(equal) & set(together):
        equal = _equally_valid(together, errors, factors)
    by_agreement = len(companions) > 2 and len(equal) > 1
    equal.sort(key=lambda i: (disagreement[i] if by_agreement else 0.0, errors[i]))
    behind = [i for i in everyone if i not in equal]
    behind.sort(key=lambda i: (i not in stays, i not in companions, errors[i]))
    reason = _reason(equal, errors, disagreement, by_agreement)
    passed = [_passed(i, errors, disagreement, away) for i in behind if equal and errors[i] < errors[equal[0]]]
    return Ranking([*equal, *behind], disagreement, "; ".join([reason, *passed]))


def _equally_valid(numbers: Sequence[int], errors: np.ndarray, factors: Sequence[float]) -> list[int]:
    """Return the restarts whose error is no higher than the highest that cannot be distinguished from the lowest."""
    lowest = min((errors[i] for i in numbers), default=np.inf)
    limit = max((errors[i] for i in numbers if errors[i] <= factors[i] * lowest), default=np.inf)
    return [i for i in numbers if errors[i] <= limit]


def _nearest(distances: Tensor) -> float:
    """Return the mean distance to the nearer half of the companions (at least one); zero without any."""
    count = max(1, len(distances) // 2)
    return float(distances.sort().values[:count].mean()) if len(distances) else 0.0


def _reason(equal: Sequence[int], errors: np.ndarray, disagreement: Sequence[float], by_agreement: bool) -> str:
    if not by_agreement:
        of_others = "" if not equal or errors[equal[0]] <= errors.min() else " of the others"
        return f"its validation error is the lowest{of_others}"
    first, second = equal[:2]
    why = f"of {len(equal)} equally valid restarts it disagrees least with the others ({disagreement[first]:.4f} deviations)"
    lowest = min(equal, key=lambda i: errors[i])
    uncertain = lowest != second and errors[lowest] < errors[first]
    if uncertain:
        why += f", less than restart {lowest + 1}, whose error of {errors[lowest]:.4f} is lower by no more than its uncertainty"
    if disagreement[first] == disagreement[second]:
        better = f"and validates better ({errors[first]:.4f} against {errors[second]:.4f})"
        why += f"{', and' if uncertain else ','} as much as restart {second + 1}, {better}"
    return why


def _passed(index: int, errors: np.ndarray, disagreement: Sequence[float], away: Sequence[bool]) -> str:
    """Return why a restart with a lower error was not kept."""
    why = "runs away" if away[index] else f"stands alone under a probe drive ({disagreement[index]:.4f} deviations)"
    return f"restart {index + 1} with {errors[index]:.4f} {why}"
