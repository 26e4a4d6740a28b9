"""Remarks on where a surrogate is valid: its domain, its predicted intervals, other drives, and the data of its fit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ....reporting.remarks import BAD, CARE, GOOD, NOTE, Remark
from ....traces.held_drives import infer_interpolation
from ....units import readable
from ..surrogate import Surrogate
from .evaluate import Evaluation
from .metrics import QUANTILE_90
from .noise_correction import without_noise
from .remedies import COVERING_FIT, OTHER_RECORDING, held_out_part, more_restarts, wider_intervals
from .scores import noise_share_of_fit, nrmse_of_steps, restart_disagreement, validation_nrmse
from .structure_remarks import expected_error, is_linear, state_suffices
from .wording import CLEAN, CLOSE, ROUGH, VERY_CLOSE, interpolation_shape, percent, score, time_of

#: Shares of steps outside the domain. The radius of the domain leaves 0.1 % of the fitted data outside, a short recording a
#: few more; beyond 5 % the scores mix interpolation and extrapolation; beyond 25 % they are scores of an extrapolation.
FEW_OUTSIDE, SOME_OUTSIDE, MANY_OUTSIDE = 0.005, 0.05, 0.25

#: Coverage of the 90 % interval: nominal, tolerated deviation, too narrow, misleading. Errors of a free run are correlated, so
#: that deviations of a few per cent are chance.
COVERAGE, TOLERANCE, NARROW, MISLEADING = 0.9, 0.05, 0.75, 0.6

#: Differences of restarts under a probe drive, in standard deviations of the output. Five fits that were equal on the training
#: drive and had errors of 0.04 .. 0.12 under another one differed by about 0.05; at 0.2 the choice of restart matters.
AGREEMENT, DISAGREEMENT = 0.05, 0.2

#: Error over that on the validation data above which the recording differs from the fitted data.
MAX_VALIDATION_RATIO = 3.0

#: Share of a recording behind the fitted part from which on scoring that part is worth advising.
MIN_HELD_OUT = 0.05


def domain_remarks(surrogate: Surrogate, evaluation: Evaluation) -> Iterator[Remark]:
    """Report the share of steps outside the domain of validity."""
    share, outside = evaluation.outside_domain, evaluation.run.outside.numpy()
    if share <= FEW_OUTSIDE:
        subject = "No step of the run lies" if share == 0 else f"Only {percent(share)} of the steps lie"
        yield Remark(GOOD, f"{subject} outside the domain that the surrogate was fitted on.")
        return
    first = int(np.flatnonzero(outside)[0]) if outside.any() else 0
    error = nrmse_of_steps(evaluation, outside)
    nrmse = "" if error is None else f" (NRMSE {score(error)} on these steps)"
    yield Remark(
        NOTE if share <= SOME_OUTSIDE else CARE if share <= MANY_OUTSIDE else BAD,
        f"{percent(share)} of the steps lie outside the domain that the surrogate was fitted on, the first at t = "
        f"{time_of(evaluation, float(evaluation.trace.time[first]))}{nrmse}: the result there is an extrapolation, which the "
        "fitted data do not support.",
        f"{percent(share)} of the steps lie outside the domain it was fitted on",
        remedy="" if share <= SOME_OUTSIDE else COVERING_FIT,
    )


def validation_remarks(surrogate: Surrogate, evaluation: Evaluation) -> Iterator[Remark]:
    """Report an error far above that on the validation data of the fit."""
    expected = expected_error(surrogate)
    if expected is None or evaluation.regime_change_at is not None or evaluation.noise_alone:
        return
    error = evaluation.corrected_nrmse
    ratio = error / max(expected, 1e-300)
    surely = error if evaluation.model_error is None else evaluation.model_error.low
    if surely > MAX_VALIDATION_RATIO * expected and error > VERY_CLOSE:
        times = f"{ratio:.2g} times" if ratio < 100 else "more than 100 times"
        yield Remark(
            # Of an accurate run it is information, not a doubt.
            NOTE if error <= CLOSE else CARE,
            f"The error is {times} that on the validation data of the fit (NRMSE {score(expected)}): this recording "
            "differs from the fitted data, or the fit does not generalise.",
            f"the error is {times} that on the validation data of the fit",
            after_change=True,
            remedy="" if error <= CLOSE else COVERING_FIT,
        )


def coverage_remarks(surrogate: Surrogate, evaluation: Evaluation) -> Iterator[Remark]:
    """Report how many recorded samples lie within the predicted 90 % interval."""
    coverage, members = evaluation.coverage, len(surrogate.members)
    calibrated = float(surrogate.spread.distance) > 0
    text = f"The predicted 90 % interval contains {percent(coverage)} of the recorded samples"
    with_noise = coverage_with_noise(surrogate, evaluation)
    lowest = COVERAGE - TOLERANCE if coverage >= NARROW else NARROW
    if coverage < lowest <= with_noise:
        yield Remark(
            NOTE,
            f"{text}, since this recording contains more measurement noise than the fitted ones: with its noise added the "
            f"interval would contain {percent(with_noise)}.",
            f"the 90 % interval contains only {percent(coverage)}, since this recording is noisier than the fitted ones",
            after_change=True,
            remedy=COVERING_FIT,
        )
    elif coverage < NARROW:
        yield Remark(
            CARE,
            f"{text}: it is {'much ' if coverage < MISLEADING else ''}too narrow.",
            f"the 90 % interval contains only {percent(coverage)}",
            after_change=True,
            remedy=wider_intervals(surrogate.record, members, calibrated),
        )
    elif coverage < COVERAGE - TOLERANCE:
        yield Remark(NOTE, f"{text}: it is somewhat too narrow.", f"the 90 % interval contains only {percent(coverage)}")
    elif coverage > COVERAGE + TOLERANCE:
        yield Remark(NOTE, f"{text}: it is wider than necessary.")
    else:
        yield Remark(GOOD, f"{text}, close to the nominal share.")
    if members == 1 and not calibrated:
        yield Remark(
            NOTE,
            "The predicted spread is the same at every step: it does not grow where the model extrapolates. A new fit "
            "(spinode fit) gives a spread that does.",
        )


def coverage_with_noise(surrogate: Surrogate, evaluation: Evaluation) -> float:
    """Return the coverage that the interval would have with the measurement noise of the recording, if that is larger."""
    if evaluation.model_error is None:
        return evaluation.coverage
    known = surrogate.spread_floor.numpy(force=True)
    excess = np.sqrt(np.maximum(evaluation.model_error.noise**2 - known**2, 0))
    if not excess.any():
        return evaluation.coverage
    spread = np.hypot(evaluation.run.spread.numpy(force=True), excess)
    return float(np.mean(np.abs(evaluation.prediction - evaluation.truth) <= QUANTILE_90 * spread))


def restart_remarks(surrogate: Surrogate, evaluation: Evaluation) -> Iterator[Remark]:
    """Report how much equally good restarts of the fit differ under another drive."""
    yield from agreement_remarks(surrogate)


def agreement_remarks(surrogate: Surrogate) -> Iterator[Remark]:
    """Report how much equally good restarts differ under another drive, from the fit alone."""
    if not surrogate.ports.drive:
        return
    count = len(surrogate.record.get("validation") or [])
    difference = restart_disagreement(surrogate.record)
    if difference is None:
        reason = (
            "fits of a linear model all have the same minimum, so that there are no restarts to compare"
            if is_linear(surrogate)
            else "models with a hidden state are fitted once for each member, without restarts"
            if count == 1 and surrogate.embedding.recursive
            else "the fit had only one restart"
            if count == 1
            else "no two restarts were equally good on the validation data"
        )
        yield Remark(
            NOTE,
            f"The accuracy under another drive is unknown, since {reason}: fits that are equally good under one drive can "
            "differ severalfold under another. Evaluate the surrogate on a recording with the drive of its application.",
        )
    elif difference <= AGREEMENT and not _describes_its_data(surrogate):
        yield Remark(
            NOTE,
            f"Under a probe drive of random steps the restarts agree to within {score(difference)} standard deviations, but "
            "all of them leave much of the fitted device unexplained: expect errors of at least that size under other drives.",
        )
    elif difference <= AGREEMENT:
        yield Remark(
            GOOD,
            f"Under a probe drive of random steps the restarts agree to within {score(difference)} standard deviations: the "
            "surrogate should be valid for other drives as well.",
        )
    else:
        yield Remark(
            NOTE if difference <= DISAGREEMENT else CARE,
            f"Under a probe drive of random steps, restarts that are equally good here differ by {score(difference)} standard "
            "deviations: expect errors of that size under drives unlike the fitted one.",
            f"restarts differ by {score(difference)} standard deviations under a probe drive",
            remedy="" if difference <= DISAGREEMENT else more_restarts(surrogate.record),
        )


def _describes_its_data(surrogate: Surrogate) -> bool:
    error = validation_nrmse(surrogate.record)
    close = error is None or without_noise(error, noise_share_of_fit(surrogate)) <= ROUGH
    return close and state_suffices(surrogate)


def noise_remarks(surrogate: Surrogate, evaluation: Evaluation) -> Iterator[Remark]:
    """Report the measurement noise of the fitted recordings and of this one, which limits the accuracy."""
    here = None if evaluation.model_error is None else evaluation.model_error.noise
    for index, name in enumerate(surrogate.ports.output):
        noise = float(surrogate.noise[index])
        share = noise / max(float(surrogate.scales.output_scale[index]), 1e-300)
        unit = surrogate.ports.units.get(name, "")
        text = f"The fitted recording of '{name}' contains measurement noise of about {readable(noise, unit)}"
        if share > CLEAN:
            also = "" if here is None else f"; this one contains {readable(float(here[index]), unit)}"
            yield Remark(NOTE, f"{text} ({percent(share)} of its standard deviation){also}.")


def overlap_remarks(surrogate: Surrogate, evaluation: Evaluation) -> Iterator[Remark]:
    """Report an overlap of the recording with the data of the fit."""
    checksum = evaluation.trace.provenance.get("sha256")
    low, high = float(evaluation.trace.time[0]), float(evaluation.trace.time[-1])
    for part in surrogate.record.get("data") or ():
        if checksum is None or (part.get("provenance") or {}).get("sha256") != checksum:
            continue
        stop = float(part["stop"])
        shared = min(high, stop) - max(low, float(part["start"]))
        if shared > 0.01 * (high - low):
            yield Remark(
                CARE,
                f"The fit has used {percent(shared / (high - low))} of this recording, for its weights or for its choices: "
                "the scores are not those of held-out data.",
                "the fit has used this recording",
                remedy=held_out_part(f"{stop:.6g}") if high - stop > MIN_HELD_OUT * (high - low) else OTHER_RECORDING,
            )


def data_remarks(surrogate: Surrogate, evaluation: Evaluation) -> Iterator[Remark]:
    """Report the amount of fitted data, and drives of another kind than the fitted ones."""
    parts = surrogate.record.get("data") or ()
    time_unit = evaluation.trace.unit("time")
    if parts:
        total = sum(float(part["stop"]) - float(part["start"]) for part in parts)
        count = sum(int(part["samples"]) for part in parts)
        recordings = "one recording" if len(parts) == 1 else f"{len(parts)} recordings"
        yield Remark(
            NOTE,
            f"The fit used {readable(total, time_unit)} of {recordings}: {count} samples "
            f"every {readable(surrogate.interval, time_unit)}.",
        )
    for name in surrogate.ports.drive:
        fitted = surrogate.ports.interpolation.get(name)
        here = evaluation.trace.interpolation.get(name) or infer_interpolation(evaluation.trace.drive[name])
        if fitted and fitted != here:
            yield Remark(
                NOTE,
                f"The drive '{name}' is {interpolation_shape(here)} here and was {interpolation_shape(fitted)} in the fit: "
                "the scores are for another kind of drive.",
            )


def resampling_remarks(surrogate: Surrogate, evaluation: Evaluation) -> Iterator[Remark]:
    """Report what the resampling changed."""
    for note in evaluation.notes:
        if note.startswith("resampled"):
            yield Remark(NOTE, f"The recording was {note} (spinode simulate does so with --resample.)")
        else:
            yield Remark(NOTE, note[:1].upper() + note[1:])
