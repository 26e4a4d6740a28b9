"""Training of a memristive member: free runs through whole recordings, from a few time constants, with blocks left out in turn.

The hidden state has no recorded value to start windows from. Whole recordings from one unknown state each need none, and a
memristive device forgets its errors, so that such runs do not diverge. Their exact slopes cost little: the steps are
differentiated side by side, and only the products of their small matrices follow one another.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ....dynamics.field import MLPField
from ....errors import FitError
from ..latent.problem import FreeRunProblem, Run, Unknowns, minimise
from .member import MemristiveMember, align_states
from .slopes import read_slopes, run_slopes, run_states, step_slopes

#: Largest number of hidden states that is chosen from the data.
MAX_STATES = 2

#: Time constants of the first hidden state from which fits start, in samples, and their ratio to that of the next one.
TIME_CONSTANTS, RATIO = (20.0, 60.0, 200.0), 6.0

#: Penalty on the squared weights of the starts, those tried from there on, and that on c and on initial states.
FIRST_RIDGE, RIDGES, LEAST_RIDGE = 1e-4, (1e-5, 1e-6), 1e-7

#: Samples of the fits from which the best start is chosen, and their steps.
RACE_SAMPLES, RACE_STEPS = 3000, 20

#: Samples below which several blocks are left out in turn, and how many.
ENOUGH_SAMPLES, BLOCKS = 6000, 3

#: Ratio of the error with another state, or with a lower ridge, to that before below which it is kept.
FURTHER_STATE, FURTHER_RIDGE = 0.9, 0.98

#: Error beyond the noise, in deviations, below which no further state is tried.
ENOUGH = 0.03

#: How many times as many steps the fits of all samples may take as a stage of the search.
FULL_FACTOR = 2


@dataclass(frozen=True)
class MemristiveProblem(FreeRunProblem):
    """Free runs of a memristive member as a least-squares problem; the member's weights are those of the last run.

    Attributes:
        member: The model.
        runs: Recordings.
        penalty: Penalty on each squared unknown, shape (weights + recordings * state,).
    """

    member: MemristiveMember
    runs: Sequence[Run]
    penalty: Tensor
    centre: Tensor | None = None
    limit: ClassVar[float] = 20.0

    @property
    def sizes(self) -> tuple[int, int]:
        """Number of weights and of state values."""
        return len(self.member.theta), self.member.field.out.bias.numel()

    def rollouts(self, unknowns: Unknowns) -> list[tuple[Tensor, Tensor]]:
        """Return states and outputs of the free runs, of shape (samples, state) and (samples, outputs)."""
        self.member.set_theta(unknowns.theta)
        states = [run_states(self.member, x, run.stages[:-1]) for run, x in zip(self.runs, unknowns.starts, strict=True)]
        with torch.no_grad():
            return [(x, self.member.read(x, run.settled)) for run, x in zip(self.runs, states, strict=True)]

    def run_equations(self, theta: Tensor, start: Tensor, run: Run) -> tuple[Tensor, Tensor] | None:
        """Return J'J and J'r of one run in its weights and initial state; None if it left its limit."""
        self.member.set_theta(theta)
        states = run_states(self.member, start, run.stages[:-1])
        if not bool(states.abs().max() < self.limit):
            return None
        of_states = run_slopes(states, *step_slopes(self.member, states[:-1], run.stages[:-1]))
        in_state, in_weights = read_slopes(self.member, states, run.settled)
        through = in_state @ of_states
        size = states.shape[-1]
        rows = torch.cat([through[..., :-size], in_weights, through[..., -size:]], -1) * run.weights.unsqueeze(-1)
        with torch.no_grad():
            error = (self.member.read(states, run.settled) - run.outputs) * run.weights
        rows = rows.flatten(0, 1)
        return rows.T @ rows, rows.T @ error.flatten()


@dataclass
class Trained:
    """The result of a training.

    Attributes:
        members: Fits with another block left out each.
        states: Free runs of each along all recordings, shape (samples, state).
        blocks: First sample and end of the block of each recording that each member has not seen.
        error: Error of the free runs in these blocks: rms over the deviation there, of the worst output.
        ridge: Penalty that was chosen.
        history: One entry per stage, in plain JSON.
    """

    members: list[MemristiveMember]
    states: list[list[Tensor]]
    blocks: list[list[tuple[int, int]]]
    error: float
    ridge: float
    history: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class _Fit:
    """Members of one structure with their unknowns, their error on the blocks left out, and the ridge."""

    members: list[MemristiveMember]
    unknowns: list[Unknowns]
    error: float
    ridge: float


class Training:
    """Training on recordings in deviations.

    Args:
        runs: Whole recordings, with drives in the middle of steps.
        validation: Share of each recording in a block that is left out; the last one ends with the recording.
        selector: As for `MemristiveMember`.
        offset: As for `MemristiveMember`.
        constant: First value of c, shape (outputs,).
        noise: Deviation of the measurement noise of the worst output, in deviations.
        states: Number of hidden states; chosen from the data if None.
        hidden: Widths of the network f.
        readout: Widths of the network g.
        iterations: Largest number of steps of a stage.
        seed: Seed of the first weights.
        progress: Receives one line of text after each stage.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        validation: float,
        *,
        selector: Tensor,
        offset: Tensor,
        constant: Tensor,
        noise: float = 0.0,
        states: int | None = None,
        hidden: tuple[int, ...] = (8,),
        readout: tuple[int, ...] = (5,),
        iterations: int = 15,
        seed: int = 0,
        progress: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.runs, self.selector, self.offset, self.constant = list(runs), selector, offset, constant
        self.orders = tuple(range(1, MAX_STATES + 1)) if states is None else (states,)
        self.hidden, self.readout, self.iterations = hidden, readout, iterations
        self.seed, self.noise, self.progress = seed, noise, progress
        total = sum(len(run.outputs) for run in self.runs)
        count = BLOCKS if total < ENOUGH_SAMPLES else 1
        self.blocks = [[_block(len(run.outputs), validation, k, count) for run in self.runs] for k in range(count)]
        self.history: list[dict[str, Any]] = []
        self._begun = time.perf_counter()

    def run(self) -> Trained:
        """Train and return the best members.

        Raises:
            FitError: no run stayed finite.
        """
        best = self._of_order(self.orders[0])
        for order in self.orders[1:]:
            if max(best.error**2 - self.noise**2, 0) < ENOUGH**2:
                break
            found = self._of_order(order)
            if not found.error < FURTHER_STATE * best.error:
                break
            best = found
        if not np.isfinite(best.error):
            raise FitError("no run of a memristive member stayed finite; record more samples, or a smaller drive.")
        states = [[x for x, _ in self._rollouts(*pair)] for pair in zip(best.members, best.unknowns, strict=True)]
        maps = align_states(best.members, [torch.cat(own) for own in states])
        mapped = [[x @ matrix.T + shift for x in own] for own, (matrix, shift) in zip(states, maps, strict=True)]
        return Trained(best.members, mapped, self.blocks, best.error, best.ridge, self.history)

    # --- parts -----------------------------------------------------------------------------------------------------------

    def _of_order(self, order: int) -> _Fit:
        """Return the fit of a number of states with the penalty of the lowest error; each goes on from the one before it."""
        best = last = self._full(self._race(order))
        for ridge in RIDGES:
            last = self._again(last, ridge)
            if last.error < FURTHER_RIDGE * best.error:
                best = last
        return best

    def _race(self, order: int) -> tuple[MemristiveMember, Unknowns]:
        """Return the best of short fits from several time constants."""
        share = min(1.0, RACE_SAMPLES / sum(len(run.outputs) for run in self.runs))
        runs = [run.until(max(2, round(share * len(run.outputs)))) for run in self._without(self.blocks[-1])]
        results = []
        for number, constant in enumerate(TIME_CONSTANTS):
            member = self._member(order, constant, self.seed + number)
            starts = torch.zeros(len(runs), order, dtype=torch.float64)
            problem = self._problem(member, runs, FIRST_RIDGE)
            found = minimise(
                problem,
                Unknowns(member.theta, starts),
                _all(problem),
                iterations=min(RACE_STEPS, FULL_FACTOR * self.iterations),
            )
            results.append((found.cost, number, member, found.unknowns))
            self._note(f"start {constant:g} samples", order, found.cost**0.5, None, FIRST_RIDGE)
        _, _, member, unknowns = min(results, key=lambda result: result[:2])
        return member, unknowns

    def _full(self, start: tuple[MemristiveMember, Unknowns]) -> _Fit:
        """Continue a fit on all samples but one block, for each block."""
        member, unknowns = start
        members = [self._copy(member, unknowns) for _ in self.blocks]
        return self._improved(_Fit(members, [unknowns] * len(members), float("inf"), FIRST_RIDGE))

    def _again(self, fit: _Fit, ridge: float) -> _Fit:
        """Continue fits with another penalty."""
        members = [self._copy(*pair) for pair in zip(fit.members, fit.unknowns, strict=True)]
        return self._improved(replace(fit, members=members, ridge=ridge))

    def _improved(self, fit: _Fit) -> _Fit:
        unknowns, costs = [], []
        for member, first, blocks in zip(fit.members, fit.unknowns, self.blocks, strict=True):
            problem = self._problem(member, self._without(blocks), fit.ridge)
            found = minimise(problem, first, _all(problem), iterations=FULL_FACTOR * self.iterations)
            member.set_theta(found.unknowns.theta)
            unknowns.append(found.unknowns)
            costs.append(found.cost)
        result = replace(fit, unknowns=unknowns, error=self._left_out(fit.members, unknowns))
        self._note("all samples", unknowns[0].starts.shape[-1], float(np.mean(costs)) ** 0.5, result.error, fit.ridge)
        return result

    def _left_out(self, members: Sequence[MemristiveMember], unknowns: Sequence[Unknowns]) -> float:
        """Return the error of the free runs in the blocks left out."""
        errors, truths = [], []
        for member, own, blocks in zip(members, unknowns, self.blocks, strict=True):
            for run, (_, outputs), (first, end) in zip(self.runs, self._rollouts(member, own), blocks, strict=True):
                known = run.weights[first:end] > 0
                errors.append(torch.where(known, outputs[first:end] - run.outputs[first:end], torch.nan))
                truths.append(torch.where(known, run.outputs[first:end], torch.nan))
        error, truth = torch.cat(errors), torch.cat(truths)
        deviation = (truth - truth.nanmean(0)).square().nanmean(0).sqrt()
        value = float((error.square().nanmean(0).sqrt() / deviation.clamp_min(0.05)).max())
        return value if np.isfinite(value) else float("inf")

    def _rollouts(self, member: MemristiveMember, unknowns: Unknowns) -> list[tuple[Tensor, Tensor]]:
        return self._problem(member, self.runs, 0.0).rollouts(unknowns)

    def _without(self, blocks: Sequence[tuple[int, int]]) -> list[Run]:
        """Return the recordings without weight in a block of each."""
        runs = []
        for run, (first, end) in zip(self.runs, blocks, strict=True):
            weights = run.weights.clone()
            weights[first:end] = 0
            runs.append(replace(run, weights=weights))
        return runs

    def _problem(self, member: MemristiveMember, runs: Sequence[Run], ridge: float) -> MemristiveProblem:
        weights, order = len(member.theta), member.field.out.weight.shape[0]
        penalty = torch.full((weights + len(runs) * order,), ridge, dtype=torch.float64)
        penalty[weights - len(self.constant) :] = LEAST_RIDGE
        return MemristiveProblem(member, runs, penalty)

    def _member(self, order: int, constant: float, seed: int) -> MemristiveMember:
        """Return a member whose states follow the drive, each with its time constant, and set the conductance."""
        generator = torch.Generator().manual_seed(seed)
        inputs, (outputs, drives) = self.runs[0].stages.shape[-1], self.selector.shape
        rates = MLPField(order, inputs, order, hidden=self.hidden, generator=generator)
        conductance = MLPField(order, drives, outputs, hidden=self.readout, generator=generator)
        decay = 1 / (constant * RATIO ** -torch.arange(order, dtype=torch.float64))
        with torch.no_grad():
            rates.out.weight *= decay[:, None]
            forces = torch.randn(order, inputs, generator=generator, dtype=torch.float64)
            assert rates.skip is not None
            assert conductance.skip is not None
            rates.skip.weight.copy_(torch.cat([-torch.diag(decay), decay[:, None] * forces], -1))
            rates.skip.bias.zero_()
            conductance.skip.weight[:, :order] = 1.0
        member = MemristiveMember(rates, conductance, self.selector, self.offset)
        with torch.no_grad():
            member.constant.copy_(self.constant)
        return member

    def _copy(self, member: MemristiveMember, unknowns: Unknowns) -> MemristiveMember:
        copied = self._member(unknowns.starts.shape[-1], 1.0, 0)
        copied.set_theta(unknowns.theta)
        return copied

    def _note(self, stage: str, order: int, residual: float, error: float | None, ridge: float) -> None:
        samples, seconds = sum(len(run.outputs) for run in self.runs), time.perf_counter() - self._begun
        entry = {"stage": stage, "order": order, "samples": samples, "ridge": ridge, "residual": residual}
        self.history.append({**entry, "validation": error, "seconds": seconds})
        reached = "" if error is None else f", validation NRMSE {error:.4f}"
        states = "1 hidden state" if order == 1 else f"{order} hidden states"
        self.progress(f"memristive: {stage}, {states}, ridge {ridge:g}: residual {residual:.4f}{reached} ({seconds:.0f} s)")


def _all(problem: MemristiveProblem) -> Tensor:
    return torch.ones(len(problem.penalty), dtype=torch.bool)


def _block(samples: int, validation: float, number: int, count: int) -> tuple[int, int]:
    """Return first sample and end of a block; the last one ends with the recording."""
    end = round(samples * (number + 1) / count)
    return max(0, end - round(samples * validation)), end
