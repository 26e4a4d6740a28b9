"""Training of latent modes: amplitude after amplitude, linear terms first, then the bilinear ones, then the network.

Recordings are free runs from one unknown initial state each. The small amplitude gives the linear modes by subspace
identification; each larger one starts from the fit of those before it. The ridge falls step by step, as long as the error of
free runs over the held-out end of the recordings does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ....errors import FitError
from .amplitude import amplitude_stages
from .layout import LatentLayout
from .modal import linear_start, modes_of
from .problem import LIMIT, Minimum, Problem, Run, Unknowns, minimise
from .subspace import choose_order, identify_subspace

#: Largest number of modes that is chosen from the data.
MAX_MODES = 12

#: Penalties on S, a and Y_2 that are tried, one after the other, and those of a second attempt if the network gains nothing.
RIDGES = (1e-3, 3e-4)
FALLBACK_RIDGES = (1e-2, 3e-3)

#: Penalties on S without the network: the first one that beats the linear model over the held-out ends is kept. A recording
#: that is short at its full amplitude needs a larger one, or its model is unstable beyond the fitted part.
STAGE_RIDGES = (1e-2, 1e-1, 1.0)

#: Penalty on all other weights and on initial states, only against null directions.
LEAST_RIDGE = 1e-7

#: Rotation of the fastest mode within a step of the integrator [rad]; faster modes take several steps per sample.
MAX_ROTATION = 0.8

#: A stage at a smaller amplitude is used if its outputs are this many times their noise.
MIN_SIGNAL_TO_NOISE = 2.0

#: Shares of the bilinear forces of the stage before from which a stage may start.
SHARES = (1.0, 0.5, 0.25, 0.1, 0.0)

#: Held-out error of the linear model at small amplitude that is good enough for the number of modes: beyond it, nonlinear terms
#: gain more than further modes.
LINEAR_ERROR = 0.1

#: How many times as many steps the network may take as the other stages; its valley is long.
NETWORK_FACTOR = 2

#: Relative gain of the cost below which, three times in a row, a stage ends.
TOLERANCE = 1e-3

LINEAR = ("log_decay", "frequency", "log_scale", "force", "read_matrix", "feedthrough", "constant")
NETWORK = ("height", "inner", "inner_drive", "inner_bias", "bend", "look", "look_bias")
PENALISED = ("coupling", "height", "bend")


@dataclass
class Trained:
    """The result of a training.

    Attributes:
        layout: Sizes.
        substeps: Steps of the integrator per sample.
        unknowns: Weights and initial states.
        error: Error of the free runs over the held-out ends: rms over the deviation there, of the worst output.
        ridge: Penalty that was chosen.
        linear_error: The same error with linear terms only.
        loud: First sample of each recording at its full amplitude.
        history: One entry per stage, in plain JSON.
    """

    layout: LatentLayout
    substeps: int
    unknowns: Unknowns
    error: float
    ridge: float
    linear_error: float
    loud: list[int]
    history: list[dict[str, Any]] = field(default_factory=list)


class Training:
    """Training of latent modes on recordings in deviations.

    Args:
        runs: Whole recordings.
        cuts: Number of samples of each that are fitted; the others are held out.
        modes: Number of modes; chosen from the data if None.
        hidden: Width of the network in the potential.
        readout: Number of bent directions in the read-out.
        feedthrough: Fit a direct path from drive to output.
        noise: Deviation of the measurement noise of each output, in deviations, shape (outputs,).
        iterations: Largest number of steps of each stage.
        seed: Seed of the network's first weights.
        progress: Receives one line of text after each stage.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        cuts: Sequence[int],
        *,
        modes: int | None = None,
        hidden: int = 16,
        readout: int = 4,
        feedthrough: bool = True,
        noise: Tensor | None = None,
        iterations: int = 15,
        seed: int = 0,
        progress: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.cuts = list(cuts)
        self.iterations, self.seed, self.progress = iterations, seed, progress
        self.feedthrough = feedthrough
        self._sizes = {"hidden": hidden, "readout": readout}
        drives = [run.stages[:cut, 0, : run.settled.shape[-1]].numpy() for run, cut in zip(runs, cuts, strict=True)]
        stages = amplitude_stages(drives)
        clear = [stops for stops in stages[:-1] if _is_clear(runs, stops, noise)]
        buried = [stops for stops in stages[:-1] if stops not in clear]
        self.stages = clear + stages[-1:]
        #: Samples at the beginning of each recording that are below the noise.
        self._buried = buried[-1] if buried else [0] * len(runs)
        self._noise = noise
        self.runs = [_weighted(run, [stage[i] for stage in self.stages], noise) for i, run in enumerate(runs)]
        self.history: list[dict[str, Any]] = []
        self._requested = modes
        self._begun = time.perf_counter()

    def run(self) -> Trained:
        """Train and return the best model.

        Raises:
            FitError: no run stayed finite.
        """
        problem, unknowns = self._linear()
        linear_error = self.held_out(problem, unknowns)
        self._note("linear", unknowns, linear_error, problem, 0.0)
        best = Trained(problem.layout, problem.substeps, unknowns, linear_error, 0.0, linear_error, self._loud(), self.history)
        for stops in self.stages[1:-1]:
            unknowns, _ = self._bilinear(problem, unknowns, stops, STAGE_RIDGES[0])
        calm = unknowns
        for ridge in STAGE_RIDGES:
            unknowns, error = self._bilinear(problem, calm, self.stages[-1], ridge)
            if error < best.error:
                best = replace(best, unknowns=unknowns, error=error, ridge=ridge)
                break
        best = self._ridge_path(problem, unknowns, best)
        if not np.isfinite(best.error):
            raise FitError("no run of the latent modes stayed finite; record a ramp of the amplitude, or a smaller drive.")
        return best

    def _bilinear(self, problem: Problem, unknowns: Unknowns, stops: Sequence[int], ridge: float) -> tuple[Unknowns, float]:
        """Fit linear and bilinear terms to a stage; return the unknowns and their error over the held-out ends."""
        problem = self._problem(problem.layout, stops, problem.substeps, ridge)
        unknowns = self._minimise(problem, self._continued(problem, unknowns), (*LINEAR, "coupling"), self.iterations).unknowns
        unknowns = self._rescaled(problem, unknowns)
        error = self.held_out(problem, unknowns)
        self._note("bilinear", unknowns, error, problem, ridge)
        return unknowns, error

    def _ridge_path(self, problem: Problem, unknowns: Unknowns, best: Trained) -> Trained:
        """Fit everything, with penalties that fall as long as the held-out error does; with larger ones if it never does."""
        first, least = self._with_network(problem.layout, unknowns), best.error
        for path in (RIDGES, FALLBACK_RIDGES):
            unknowns, damping = first, None
            for ridge in path:
                problem = self._problem(problem.layout, self.stages[-1], problem.substeps, ridge)
                # The modes keep their units along the path: with new ones the damping would have to be found again.
                found = self._minimise(
                    problem, unknowns, (*LINEAR, "coupling", *NETWORK), NETWORK_FACTOR * self.iterations, damping
                )
                unknowns, damping = found.unknowns, found.damping
                error = self.held_out(problem, unknowns)
                self._note("network", unknowns, error, problem, ridge)
                if not error < best.error:
                    break
                best = replace(best, unknowns=unknowns, error=error, ridge=ridge)
            if best.error < least:
                break
        return replace(best, unknowns=self._rescaled(problem, best.unknowns))

    def _loud(self) -> list[int]:
        """Return the first sample of each recording after its calmer stages; 0 where these are all of it."""
        if len(self.stages) == 1:
            return [0] * len(self.runs)
        return [calm if calm < cut else 0 for calm, cut in zip(self.stages[-2], self.cuts, strict=True)]

    # --- parts -----------------------------------------------------------------------------------------------------------

    def _linear(self) -> tuple[Problem, Unknowns]:
        """Return the linear problem and its solution, from the first stage, scaled to the whole."""
        first = [run.until(stop) for run, stop in zip(self.runs, self.stages[0], strict=True) if stop > 1]
        skipped = [start for start, stop in zip(self._buried, self.stages[0], strict=True) if stop > 1]
        outputs = [run.outputs[start:].numpy() for run, start in zip(first, skipped, strict=True)]
        drives = [run.stages[start:, 0].numpy() for run, start in zip(first, skipped, strict=True)]
        if self._requested is None:
            model, errors = choose_order(
                outputs,
                drives,
                max_order=2 * MAX_MODES,
                validation=0.2,
                enough=LINEAR_ERROR,
                noise=None if self._noise is None else self._noise.numpy(),
            )
            self.history.append({"stage": "order", "errors": {str(order): error for order, error in errors.items()}})
        else:
            model = identify_subspace(outputs, drives, 2 * self._requested)
        modes = modes_of(model)
        count = self._requested or min(len(modes.decay), MAX_MODES)
        run = self.runs[0]
        layout = LatentLayout(
            modes=count,
            inputs=run.stages.shape[-1],
            outputs=run.outputs.shape[-1],
            drives=run.settled.shape[-1],
            **self._sizes,
        )
        substeps = max(1, int(np.ceil(modes.frequency.max() / MAX_ROTATION)))
        unknowns, _ = linear_start(layout, modes, first, substeps)
        starts = torch.zeros(len(self.runs), layout.state, dtype=torch.float64)
        used = torch.tensor([stop > 1 for stop in self.stages[0]])
        starts[used] = unknowns.starts
        unknowns = Unknowns(unknowns.theta, starts)
        problem = self._problem(layout, self.stages[0], substeps, LEAST_RIDGE)
        unknowns = self._minimise(problem, unknowns, LINEAR, self.iterations).unknowns
        unknowns = self._rescaled(problem, unknowns)
        # e = 1: B alone says how strongly a mode is driven.
        arrays = layout.split(unknowns.theta)
        arrays["force"] = arrays["force"] * arrays["log_scale"].exp().repeat(2)
        arrays["log_scale"] = torch.zeros_like(arrays["log_scale"])
        return problem, Unknowns(layout.join(arrays), unknowns.starts)

    def _continued(self, problem: Problem, unknowns: Unknowns) -> Unknowns:
        """Return the start of a stage: forces that were fitted at a smaller amplitude may be too strong at a larger one."""
        arrays = problem.layout.split(unknowns.theta)
        starts = []
        for share in SHARES:
            theta = problem.layout.join({**arrays, "coupling": share * arrays["coupling"]})
            start = Unknowns(theta, unknowns.starts)
            starts.append((problem.cost(start), start))
        return min(starts, key=lambda pair: pair[0])[1]

    def _rescaled(self, problem: Problem, unknowns: Unknowns) -> Unknowns:
        """Scale the modes to unit deviation along the recordings, as far as the runs are finite."""
        for runs in (self.runs, problem.runs):
            states = torch.cat([states for states, _ in replace(problem, runs=runs).rollouts(unknowns)])
            if float(states.abs().max()) < LIMIT:
                q, p = states.chunk(2, -1)
                scale = ((q.square() + p.square()).mean(0) / 2).sqrt()
                return unknowns.rescaled(problem.layout, scale.clamp_min(1e-6 * float(scale.max()) + 1e-30))
        return unknowns

    def _with_network(self, layout: LatentLayout, unknowns: Unknowns) -> Unknowns:
        """Draw the first weights of the network; its heights stay zero, so that the model is the same."""
        generator = torch.Generator().manual_seed(self.seed)
        theta = unknowns.theta.clone()
        for name, place in layout.places().items():
            if name in ("inner", "inner_drive", "inner_bias", "look", "look_bias"):
                width = layout.state if name in ("inner", "look") else 1
                draw = torch.randn(place.stop - place.start, generator=generator, dtype=torch.float64)
                theta[place] = 0.7 * draw / width**0.5
        return Unknowns(theta, unknowns.starts)

    def _problem(self, layout: LatentLayout, stops: Sequence[int], substeps: int, ridge: float) -> Problem:
        penalty = torch.full((layout.weights + len(self.runs) * layout.state,), LEAST_RIDGE, dtype=torch.float64)
        for name, place in layout.places().items():
            if name in PENALISED:
                penalty[place] = ridge
            elif name in NETWORK:
                penalty[place] = 1e-2 * ridge
        return Problem(layout, self.runs, substeps, penalty).restricted(stops)

    def _minimise(
        self, problem: Problem, unknowns: Unknowns, names: Sequence[str], iterations: int, damping: float | None = None
    ) -> Minimum:
        layout = problem.layout
        active = torch.zeros(layout.weights + unknowns.starts.numel(), dtype=torch.bool)
        for name, place in layout.places().items():
            active[place] = name in names and (name != "feedthrough" or self.feedthrough)
        for index, run in enumerate(problem.runs):
            at = layout.weights + index * layout.state
            active[at : at + layout.state] = bool((run.weights > 0).any())
        return minimise(problem, unknowns, active, iterations=iterations, tolerance=TOLERANCE, damping=damping)

    def held_out(self, problem: Problem, unknowns: Unknowns) -> float:
        """Return the error of the free runs over the held-out ends."""
        whole = replace(problem, runs=self.runs)
        errors, truths = [], []
        for run, cut, (_, outputs) in zip(self.runs, self.cuts, whole.rollouts(unknowns), strict=True):
            errors.append((outputs - run.outputs)[cut:])
            truths.append(run.outputs[cut:])
        error, truth = torch.cat(errors), torch.cat(truths)
        value = float((error.square().mean(0).sqrt() / truth.std(0).clamp_min(0.05)).max())
        return value if np.isfinite(value) else float("inf")

    def _note(self, stage: str, unknowns: Unknowns, error: float, problem: Problem, ridge: float) -> None:
        fitted = problem.cost(unknowns) ** 0.5
        seconds = time.perf_counter() - self._begun
        samples = sum(len(run.stages) for run in problem.runs)
        entry = {
            "stage": stage,
            "samples": samples,
            "ridge": ridge,
            "residual": fitted,
            "validation": error,
            "seconds": seconds,
        }
        self.history.append(entry)
        self.progress(
            f"latent modes: {stage}, {problem.layout.modes} modes, {samples} samples, ridge {ridge:g}: residual {fitted:.4f}, "
            f"validation NRMSE {error:.4f} ({seconds:.0f} s)"
        )


def _is_clear(runs: Sequence[Run], stops: Sequence[int], noise: Tensor | None) -> bool:
    """Return True if the outputs of a stage are clearly larger than the noise."""
    if noise is None:
        return True
    outputs = torch.cat([run.outputs[:stop] for run, stop in zip(runs, stops, strict=True)])
    return bool((outputs.std(0) > MIN_SIGNAL_TO_NOISE * noise).all())


def _weighted(run: Run, stops: Sequence[int], noise: Tensor | None) -> Run:
    """Divide the residuals of each amplitude stretch by the deviation of the outputs there."""
    weights = torch.zeros_like(run.outputs)
    floor = torch.zeros(run.outputs.shape[-1], dtype=torch.float64) if noise is None else noise
    edges = [0, *sorted({stop for stop in stops if stop > 1})]
    edges[-1] = len(run.outputs)
    for first, last in pairwise(edges):
        part = run.outputs[first:last]
        deviation = (part.std(0).square() + floor.square()).sqrt().clamp_min(1e-6)
        weights[first:last] = 1 / deviation
    return replace(run, weights=weights * (run.weights > 0))
