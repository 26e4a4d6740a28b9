"""`evaluate_synapse`: the scores of a synapse surrogate on recordings, from one-step predictions and free runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ...contracts.synapse import RESET, SET
from ...random import seeded_generator
from ...traces.trace import Trace, TraceSet
from ...typing import Array
from .model import SynapseSurrogate
from .predict import OneStepPrediction, predict_one_step, prediction_intervals
from .step_scores import StepScores, score_steps

#: Number of recordings with free runs that are shown, number of those that are counted, and of reads of each. The first
#: recording of a device is often unlike the others: few recordings, the first among them, do not give the coverage of all.
MAX_RUNS, MAX_COUNTED, MAX_RUN_READS = 3, 10, 400
#: Number of free runs of each recording, and of copies of the surrogate from its posterior that share them.
SAMPLES, DRAWS = 200, 8


@dataclass(frozen=True, eq=False)
class SynapseEvaluation:
    """Scores of a surrogate on recordings.

    Attributes:
        traces: The recordings.
        fitted: True if they are the recordings of the fit.
        steps: One-step predictions of all reads.
        shown: Indices of the recordings with free runs.
        intervals: 5 and 95 % quantiles of free runs along each of these, shape (2, reads).
        coverage: Share of the reads of the recordings that were run freely, these and others, within the interval; NaN if there
            is none.
        outside: Share of all reads outside the range of the fit.
        runs: Number of recordings that were run freely.
        worst: The smallest coverage of one of them, and its index.
        step_scores: Recorded steps beside those of virtual devices, at the pulses of use.
    """

    traces: TraceSet
    fitted: bool
    steps: OneStepPrediction
    shown: tuple[int, ...]
    intervals: tuple[Array, ...]
    coverage: float
    outside: float
    runs: int = 1
    worst: tuple[float, int] | None = None
    step_scores: StepScores = field(default_factory=StepScores)

    @property
    def innovation(self) -> Array:
        """Standardised innovations of all held-out reads, in one dimension."""
        z = self.steps.innovation.T
        return np.asarray(z[self.steps.held_out.T & np.isfinite(z)])

    @property
    def free_run_error(self) -> float:
        """Root mean square distance of the reads from the middle of the interval, over the standard deviation of the reads."""
        reads = [shorten(self.traces[index]).output["conductance"] for index in self.shown]
        errors = [values - interval.mean(0) for values, interval in zip(reads, map(np.asarray, self.intervals), strict=True)]
        deviation = float(np.concatenate(reads).std())
        return float(np.sqrt(np.mean(np.concatenate(errors) ** 2))) / max(deviation, 1e-300)

    def at_changes(self) -> tuple[Array, Array]:
        """Return the innovations after the first pulse of a polarity, and after those that follow it; positive along the pulse.

        The first pulse of a recording is in neither, because the pulses before it are not known.
        """
        first, later = [], []
        for lane, trace in enumerate(self.traces):
            sign = np.sign(trace.drive[SET] - trace.drive[RESET])[:-1]
            pulsed = np.flatnonzero(sign)
            changed = np.diff(sign[pulsed]) != 0
            rows = pulsed[1:]
            z = self.steps.innovation[rows + 1, lane] * sign[rows]
            counts = self.steps.held_out[rows + 1, lane] & np.isfinite(z)
            first.append(z[changed & counts])
            later.append(z[~changed & counts])
        return np.concatenate(first), np.concatenate(later)

    def correlation(self, lag: int) -> float:
        """Return the correlation of innovations that are `lag` reads apart; NaN if there are none."""
        z = np.where(self.steps.held_out, self.steps.innovation, np.nan)
        products = z[lag:] * z[:-lag] if lag < len(z) else np.zeros(0)
        finite = np.isfinite(products)
        return float(products[finite].mean() / np.nanmean(z**2)) if finite.any() else math.nan


def evaluate_synapse(
    surrogate: SynapseSurrogate, traces: TraceSet | Sequence[Trace] | Trace, *, seed: int = 0
) -> SynapseEvaluation:
    """Predict recordings read by read, and some of them in free runs from their first read.

    Args:
        surrogate: The model.
        traces: Recordings, preferably some that the fit has not used.
        seed: Seed of the free runs.

    Raises:
        TraceError: recordings that are not pulse by pulse, or lack a voltage or width that the surrogate needs.
    """
    recordings = traces if isinstance(traces, TraceSet) else TraceSet(traces)
    generator = seeded_generator(seed)
    shown, counted = _evenly(len(recordings), MAX_RUNS), _evenly(len(recordings), MAX_COUNTED)
    intervals, inside, chosen = [], [], sorted({*shown, *counted})
    short = [shorten(recordings[index]) for index in chosen]
    found = prediction_intervals(surrogate, short, samples=SAMPLES, draws=DRAWS, generator=generator)
    for index, trace, interval in zip(chosen, short, found, strict=True):
        (low, high), reads = interval, trace.output["conductance"]
        if index in shown:
            intervals.append(interval)
        inside.append(((reads >= low) & (reads <= high))[1:])
    values = np.concatenate([trace.output["conductance"] for trace in recordings])
    return SynapseEvaluation(
        recordings,
        recordings.fingerprint() == surrogate.record.get("fingerprint"),
        predict_one_step(surrogate, recordings),
        shown,
        tuple(intervals),
        float(np.concatenate(inside).mean()),
        float(((values < surrogate.low) | (values > surrogate.high)).mean()),
        len(inside),
        min((float(each.mean()), index) for each, index in zip(inside, sorted({*shown, *counted}), strict=True)),
        score_steps(surrogate, recordings, seed=seed),
    )


def _evenly(count: int, chosen: int) -> tuple[int, ...]:
    """Return evenly spaced indices, the first and the last among them."""
    return tuple(int(k) for k in np.unique(np.linspace(0, count - 1, min(chosen, count)).round()))


def shorten(trace: Trace) -> Trace:
    """Return the first reads of a recording, as many as free runs are computed for."""
    if len(trace) <= MAX_RUN_READS:
        return trace
    first = slice(0, MAX_RUN_READS)
    return Trace(
        time=trace.time[first],
        drive={name: values[first] for name, values in trace.drive.items()},
        output={name: values[first] for name, values in trace.output.items()},
        parameters=trace.parameters,
        units=trace.units,
        interpolation=trace.interpolation,
        provenance=trace.provenance,
    )
