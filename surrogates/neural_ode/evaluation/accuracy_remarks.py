"""Remarks on the accuracy of a free run: its error, how it grows, and how a linear model compares."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ....reporting.remarks import BAD, CARE, GOOD, NOTE, Remark
from ..surrogate import Surrogate
from .evaluate import Evaluation
from .scores import accurate_horizon, nrmse_by_output, worst_nrmse
from .wording import CLOSE, OUTLINE, ROUGH, closeness, duration_of, percent, score, time_of

#: The error whose horizon is reported: below it the two curves can hardly be distinguished in print.
HORIZON_ERROR = 0.05

#: Error over that of the linear baseline above which the network is hardly, or not at all, worth its complexity.
WEAK_GAIN, NO_GAIN = 0.5, 1.0


def change_remarks(surrogate: Surrogate, evaluation: Evaluation) -> Iterator[Remark]:
    """Report a change of the device during the recording."""
    at, before = evaluation.regime_change_at, evaluation.nrmse_before_change
    if at is None:
        return
    if at <= float(evaluation.trace.time[0]) + 4 * surrogate.interval:
        yield Remark(
            BAD,
            "From the start of this recording the device does not behave like the fitted one: it is another device, the same "
            "device in another state, or the channels differ from those of the fit.",
            "the device is not the one that was fitted",
            after_change=True,
        )
        return
    scores = (
        f"up to there the NRMSE is {score(before)}"
        if before is not None
        else "the recording before that is too short for a score"
    )
    yield Remark(
        BAD,
        f"From t = {time_of(evaluation, at)} on the device no longer behaves like the fitted one; {scores}. Later predictions "
        "still describe the device before the change, and the scores over the whole recording mix both parts.",
        f"the device changes at t = {time_of(evaluation, at)}",
        after_change=True,
    )


def divergence_remarks(surrogate: Surrogate, evaluation: Evaluation) -> Iterator[Remark]:
    """Report a divergence of the free run."""
    at = evaluation.diverged_at
    if at is None:
        return
    after = time_of(evaluation, at - float(evaluation.trace.time[0]))
    yield Remark(
        BAD,
        f"The free run diverges at t = {time_of(evaluation, at)}, {after} after its start: from there on the error exceeds the "
        "standard deviation of the recording.",
        f"the run diverges after {after}",
        after_change=True,
    )


def error_remarks(surrogate: Surrogate, evaluation: Evaluation) -> Iterator[Remark]:
    """Report the error of the free run, graded by the least accurate output."""
    scores = nrmse_by_output(evaluation)
    worst = worst_nrmse(evaluation)
    name = max(scores, key=lambda key: scores[key])
    worst_output = f" (worst output: '{name}', {score(worst)})" if len(scores) > 1 else ""
    grade = GOOD if worst <= CLOSE else CARE if worst <= OUTLINE else BAD
    yield Remark(
        grade,
        f"A free run over {duration_of(evaluation)} follows the recording {closeness(worst)}: its rms error is "
        f"{percent(evaluation.nrmse)} of the standard deviation of the recording (NRMSE {score(evaluation.nrmse)})"
        f"{worst_output}.",
        f"the free run follows the recording {closeness(worst)} (NRMSE {score(worst)})",
        after_change=True,
    )


def horizon_remarks(surrogate: Surrogate, evaluation: Evaluation) -> Iterator[Remark]:
    """Report how long the free run stays accurate."""
    horizon = accurate_horizon(evaluation, HORIZON_ERROR)
    limit = percent(HORIZON_ERROR)
    if horizon is None:
        text = f"Over the whole run ({duration_of(evaluation)}) the rms error since the start stays below {limit}."
    elif horizon == 0:
        text = f"The rms error exceeds {limit} from the first steps on."
    else:
        largest, final = max(error for _, error in evaluation.horizon), evaluation.horizon[-1][1]
        later = f"then reaches {percent(largest)}" + (f", and is {percent(final)} at the end" if final < 0.9 * largest else "")
        text = f"For the first {time_of(evaluation, horizon)} the rms error since the start stays below {limit}; it {later}."
    yield Remark(GOOD if horizon is None else NOTE, text)


def spectrum_remarks(surrogate: Surrogate, evaluation: Evaluation) -> Iterator[Remark]:
    """Report the error of the amplitude spectrum."""
    error = evaluation.spectrum_error
    if worst_nrmse(evaluation) > OUTLINE and error < 0.5 * evaluation.nrmse:
        yield Remark(
            NOTE,
            f"The amplitude spectrum is more accurate (error {percent(error)}) than the waveform: "
            "part of the error is a phase error.",
        )
    else:
        yield Remark(
            GOOD if error <= ROUGH else NOTE,
            f"The amplitude spectrum of the run differs from the recorded one by {percent(error)}.",
        )


def baseline_remarks(surrogate: Surrogate, evaluation: Evaluation) -> Iterator[Remark]:
    """Compare the free run with that of a linear model."""
    linear = evaluation.baseline_nrmse
    if linear is None or not np.isfinite(linear):
        yield Remark(NOTE, "There is no linear model to compare with; it is unknown how nonlinear this device is.")
        return
    ratio = evaluation.nrmse / max(linear, 1e-300)
    comparison = f"a linear ARX model fitted to the same data reaches NRMSE {score(linear)}"
    if ratio > WEAK_GAIN and evaluation.nrmse <= CLOSE:
        # Both are accurate: the device is linear here, which is no reason to doubt either.
        yield Remark(
            NOTE, f"A linear model is enough for this recording: {comparison}, the surrogate {score(evaluation.nrmse)}."
        )
    elif ratio >= NO_GAIN:
        yield Remark(
            BAD,
            f"It is not better than a linear model: {comparison}, the surrogate {score(evaluation.nrmse)}.",
            f"a linear model is as good (NRMSE {score(linear)})",
            after_change=True,
        )
    elif ratio > WEAK_GAIN:
        yield Remark(
            CARE,
            f"It is only a little better than a linear model: {comparison}, the surrogate {score(evaluation.nrmse)}.",
            f"a linear model is almost as good (NRMSE {score(linear)})",
            after_change=True,
        )
    else:
        yield Remark(GOOD, f"For comparison, {comparison}, {1 / max(ratio, 1e-12):.2g} times as much.")
