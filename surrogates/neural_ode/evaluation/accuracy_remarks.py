"""Remarks on the accuracy of a free run: its error, how it grows, and how a linear model compares."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ....reporting.remarks import BAD, CARE, GOOD, NOTE, Remark
from ..surrogate import Surrogate
from .evaluate import Evaluation
from .noise_correction import DENOMINATOR, ModelError
from .remedies import MORE_DATA, OTHER_FIT, better_fit
from .scores import accurate_horizon, corrected_by_output, worst_nrmse
from .structure_remarks import is_linear
from .wording import CLEAN, CLOSE, OUTLINE, ROUGH, closeness, duration_of, percent, score, time_of

#: The error whose horizon is reported: below it the two curves can hardly be distinguished in print.
HORIZON_ERROR = 0.05

#: Error over that of the linear baseline above which a network is hardly, or not at all, worth its complexity.
WEAK_GAIN, NO_GAIN = 0.5, 1.0

#: Error of a saved linear model over that of the linear baseline above which the baseline is clearly better.
CLEARLY_BETTER = 1.5


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
            remedy=f"Check the channels (spinode inspect TABLE); if they are right, {OTHER_FIT[0].lower()}{OTHER_FIT[1:]}",
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
        remedy=f"Fit the part after the change: spinode fit TABLE --start {at:.6g} --save FILE.",
    )


def divergence_remarks(surrogate: Surrogate, evaluation: Evaluation) -> Iterator[Remark]:
    """Report a divergence of the free run."""
    at = evaluation.diverged_at
    if at is None:
        return
    after = time_of(evaluation, at - float(evaluation.trace.time[0]))
    escaped = evaluation.run.diverged_at is not None and at == evaluation.run.diverged_at
    what = (
        "its state reaches the limit of thirty standard deviations"
        if escaped
        else "from there on the error exceeds the standard deviation of the recording"
    )
    yield Remark(
        BAD,
        f"The free run diverges at t = {time_of(evaluation, at)}, {after} after its start: {what}.",
        f"the run diverges after {after}",
        after_change=True,
        remedy=better_fit(surrogate.record),
    )


def error_remarks(surrogate: Surrogate, evaluation: Evaluation) -> Iterator[Remark]:
    """Report the error of the free run less the measurement noise, graded by the least accurate output."""
    scores = corrected_by_output(evaluation)
    worst = worst_nrmse(evaluation)
    name = max(scores, key=lambda key: scores[key])
    worst_output = f" (worst output: '{name}', {score(worst)})" if len(scores) > 1 else ""
    grade = GOOD if worst <= CLOSE else CARE if worst <= OUTLINE else BAD
    noise = evaluation.model_error
    if grade == GOOD and noise is not None and noise.high > OUTLINE:
        grade = CARE  # the recording is too short for its noise: the error may be large
    if is_noise_alone(evaluation):
        yield Remark(
            BAD,
            "Nothing beyond the noise was found in the recording: "
            f"it cannot be distinguished from noise ({percent(min(evaluation.noise_floor, 1.0))} of its "
            f"standard deviation, estimated from {noise.method if noise else 'the error'}): it says nothing about the model.",
            "the recording contains nothing but noise",
            after_change=True,
            remedy=MORE_DATA,
        )
        return
    followed = f"A free run over {duration_of(evaluation)} follows the recording {describe_closeness(evaluation)}"
    error = f"its rms error is {percent(evaluation.nrmse)} of the standard deviation of the recording"
    if noise is None or noise.floor <= CLEAN:
        text = f"{followed}: {error} (NRMSE {score(evaluation.nrmse)}){worst_output}."
    else:
        text = (
            f"{followed}: {error}, of which {percent(noise.floor)} is measurement noise (estimated from {noise.method}). "
            f"Without it the NRMSE is {describe_error(noise)}{worst_output}, relative to {DENOMINATOR}."
        )
    yield Remark(
        grade,
        text,
        f"the free run follows the recording {describe_closeness(evaluation)} ({describe_score(evaluation)})",
        after_change=True,
        remedy="" if grade == GOOD else MORE_DATA if worst <= CLOSE else better_fit(surrogate.record),
    )


def describe_closeness(evaluation: Evaluation) -> str:
    """Return how closely a free run follows the recording, as an adverb, or that no more than its noise is known."""
    return "to within its noise" if _is_within_noise(evaluation) else closeness(worst_nrmse(evaluation))


def describe_score(evaluation: Evaluation) -> str:
    """Return the NRMSE of the model with its name, or its upper limit where it cannot be distinguished from zero."""
    noise = evaluation.model_error
    if noise is not None and _is_within_noise(evaluation):
        return f"NRMSE below {score(noise.high)} without the noise"
    without = " without the noise" if evaluation.noise_floor > CLEAN else ""
    return f"NRMSE {score(worst_nrmse(evaluation))}{without}"


def _is_within_noise(evaluation: Evaluation) -> bool:
    noise = evaluation.model_error
    below = noise is not None and noise.floor > CLEAN and not noise.resolved and worst_nrmse(evaluation) <= CLOSE
    return below and not is_noise_alone(evaluation)


def is_noise_alone(evaluation: Evaluation) -> bool:
    """Return True if the recording contains so much noise that no run can be seen to follow it."""
    return evaluation.noise_alone


def describe_error(error: ModelError) -> str:
    """Return a model error with its interval, or its upper limit where it cannot be distinguished from zero."""
    if not error.resolved:
        return f"below {score(error.high)}"
    return f"{score(error.nrmse)} (90 % interval {score(error.low)} .. {score(error.high)})"


def horizon_remarks(surrogate: Surrogate, evaluation: Evaluation) -> Iterator[Remark]:
    """Report how long the free run stays accurate; nothing if the recording is noise alone."""
    if is_noise_alone(evaluation):
        return
    horizon = accurate_horizon(evaluation, HORIZON_ERROR)
    limit = percent(HORIZON_ERROR) + (" (without the noise)" if evaluation.noise_floor > CLEAN else "")
    if horizon is None:
        text = f"Over the whole run ({duration_of(evaluation)}) the rms error since the start stays below {limit}."
    elif horizon == 0:
        text = f"The rms error exceeds {limit} from the first steps on."
    else:
        errors = [evaluation.without_noise(error) for _, error in evaluation.horizon]
        largest, final = max(errors), errors[-1]
        later = f"then reaches {percent(largest)}" + (f", and is {percent(final)} at the end" if final < 0.9 * largest else "")
        text = f"For the first {time_of(evaluation, horizon)} the rms error since the start stays below {limit}; it {later}."
    yield Remark(GOOD if horizon is None else NOTE, text)


def spectrum_remarks(surrogate: Surrogate, evaluation: Evaluation) -> Iterator[Remark]:
    """Report the error of the amplitude spectrum; nothing if the recording is noise alone."""
    if is_noise_alone(evaluation):
        return
    error = evaluation.spectrum_error
    if worst_nrmse(evaluation) > OUTLINE and error < 0.5 * evaluation.corrected_nrmse:
        yield Remark(
            NOTE,
            f"The amplitude spectrum is more accurate (error {percent(error)}) than the waveform: "
            "part of the error is a phase error.",
        )
    elif evaluation.noise_floor > CLEAN and error <= evaluation.noise_floor:
        yield Remark(GOOD, "The amplitude spectrum of the run differs from the recorded one by no more than its noise does.")
    else:
        yield Remark(
            GOOD if error <= ROUGH else NOTE,
            f"The amplitude spectrum of the run differs from the recorded one by {percent(error)}.",
        )


def baseline_remarks(surrogate: Surrogate, evaluation: Evaluation) -> Iterator[Remark]:
    """Compare the free run with that of a linear model, both less the measurement noise."""
    linear = evaluation.baseline_nrmse if evaluation.baseline_model_error is None else evaluation.baseline_model_error
    if linear is None or not np.isfinite(linear):
        yield Remark(NOTE, "There is no linear model to compare with; it is unknown how nonlinear this device is.")
        return
    own = evaluation.corrected_nrmse
    ratio = own / max(linear, 1e-300)
    within = own <= CLOSE or (evaluation.model_error is not None and evaluation.model_error.low <= linear)
    reached = f"NRMSE {score(linear)}" if linear > 0 else "the noise of the recording"
    comparison = f"a linear ARX model fitted to the same data reaches {reached}"
    if is_noise_alone(evaluation):
        return
    if is_linear(surrogate) and ratio > CLEARLY_BETTER and own > CLOSE and not within:
        yield Remark(
            CARE,
            f"The saved linear model ({score(own)}) is not the best one: {comparison}.",
            f"a linear ARX model is better ({reached})",
            after_change=True,
            remedy=better_fit(surrogate.record),
        )
    elif is_linear(surrogate):
        yield Remark(NOTE, f"For comparison with the saved linear model ({score(own)}), {comparison}.")
    elif ratio > WEAK_GAIN and own <= CLOSE:
        # Both are accurate: the device is linear here, which is no reason to doubt either.
        yield Remark(NOTE, f"A linear model is enough for this recording: {comparison}, the surrogate {score(own)}.")
    elif ratio >= NO_GAIN and not within:
        yield Remark(
            CARE,
            f"It is not better than a linear model: {comparison}, the surrogate {score(own)}.",
            f"a linear model is as good (NRMSE {score(linear)})",
            after_change=True,
            remedy=better_fit(surrogate.record),
        )
    elif ratio >= NO_GAIN:
        text = f"On this recording it cannot be distinguished from a linear model: {comparison}, the surrogate {score(own)}."
        yield Remark(NOTE, text)
    elif ratio > WEAK_GAIN:
        yield Remark(NOTE, f"It is only a little better than a linear model: {comparison}, the surrogate {score(own)}.")
    else:
        times = f"{1 / ratio:.2g} times as much" if ratio > 1e-6 else "the surrogate none that exceeds the noise"
        yield Remark(GOOD, f"For comparison, {comparison}, {times}.")
