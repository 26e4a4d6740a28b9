"""How far to trust a surrogate, in plain sentences that follow from its scores.

Each `_about_*` function looks at one thing and returns remarks; the headline is the worst of them. A new reason for doubt
is one more such function. A sentence is never rosier than its number: each threshold stands below, with its reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....traces.resample import recorded_interpolation
from ....units import readable
from ..surrogate import Surrogate
from .evaluate import Evaluation

#: Grades of a remark: it speaks for the model, is to be known, asks for care, says not to rely on it.
GOOD, NOTE, CARE, BAD = 0, 1, 2, 3

#: NRMSE up to which a free run is ... The first two are what published Neural ODEs of real devices reach (0.01 .. 0.05);
#: a linear model of a nonlinear resonator is at 0.3 .. 0.6; the mean of the recording is at 1.
VERY_CLOSE, CLOSE, ROUGH, OUTLINE, MEAN = 0.02, 0.05, 0.15, 0.3, 1.0

#: The error whose horizon is told: below it curves lie on each other in print.
HORIZON_ERROR = 0.05

#: Share of the linear baseline's error above which the network has hardly earned its place, and from which it has not.
WEAK_GAIN, NO_GAIN = 0.5, 1.0

#: Share of steps outside the domain. Its radius leaves 0.1 % of the fitted regime outside, to which a short stretch adds
#: some; beyond a twentieth the scores mix two things; beyond a quarter they are scores of an extrapolation.
FEW_OUTSIDE, SOME_OUTSIDE, MANY_OUTSIDE = 0.005, 0.05, 0.25

#: Coverage of the 90 % interval. Errors of a free run hang together, so that some points up or down are chance; at half
#: of what is promised the interval misleads.
COVERAGE, FAIR, NARROW, MISLEADING, WIDE = 0.9, 0.04, 0.8, 0.6, 0.985

#: A larger order that brings the error of a quick fit below this share is needed, not merely better by chance: quick fits of
#: one order differ by a fifth among seeds.
ORDER_GAIN = 0.7

#: Error of free runs of a few samples, over that of "nothing changes", above which the state does not hold what decides the
#: next samples; a sufficient state is at 0.01 .. 0.1.
SHORT_RUN = 0.3

#: Disagreement of restarts under a probe drive, in deviations of the output. Five fits equal on the training drive that
#: scored 0.04 .. 0.12 under another one were about a twentieth apart; at a fifth the other drive decides which to believe.
AGREE, DISAGREE = 0.05, 0.2

#: Error over that of the validation stretch above which the recording is another situation than the fit saw.
SURPRISE = 3.0

#: Noise over the deviation of the output below which a recording counts as clean.
CLEAN = 2e-3

#: Most reasons that a headline gives.
REASONS = 3


@dataclass(frozen=True)
class Remark:
    """One sentence and what it is worth.

    Attributes:
        grade: How much it counts against the model: GOOD, NOTE, CARE or BAD.
        text: The sentence.
        reason: The same in a few words, for the headline.
        after_change: Whether it may hold only because the device changed on the way, and then not for the time before.
    """

    grade: int
    text: str
    reason: str = ""
    after_change: bool = False


@dataclass(frozen=True)
class Assessment:
    """The grade (GOOD, CARE or BAD), the headline, and the remarks, worst first."""

    grade: int
    headline: str
    remarks: tuple[Remark, ...]


def verdict(surrogate: Surrogate, evaluation: Evaluation) -> list[str]:
    """How far to trust the model, as plain sentences: a headline, then its reasons, the worst first.

    Args:
        surrogate: The model.
        evaluation: Its scores on a recording, best one that the fit has not seen.
    """
    judged = judge(surrogate, evaluation)
    return [judged.headline, *(remark.text for remark in judged.remarks)]


def judge(surrogate: Surrogate, evaluation: Evaluation) -> Assessment:
    """The verdict with its grade."""
    about = (
        _about_order, _about_change, _about_divergence, _about_error, _about_horizon, _about_spectrum, _about_baseline,
        _about_domain, _about_surprise, _about_coverage, _about_restarts, _about_noise, _about_overlap, _about_data,
        _about_notes,
    )  # fmt: skip
    remarks = [remark for ask in about for remark in ask(surrogate, evaluation)]
    remarks.sort(key=lambda remark: -max(remark.grade, NOTE))
    worst = max(remark.grade for remark in remarks)
    grade = worst if worst >= CARE else GOOD
    return Assessment(grade, _headline(surrogate, evaluation, grade, remarks), tuple(remarks))


def _headline(surrogate: Surrogate, evaluation: Evaluation, grade: int, remarks: list[Remark]) -> str:
    if grade == GOOD:
        apart = disagreement(surrogate.record)
        checked = not surrogate.ports.drive or (apart is not None and apart <= AGREE)
        where = "within its domain" if checked else "for drives like the fitted one"
        return (
            f"Trust it {where}: the free run follows the recording {_closeness(worst_nrmse(evaluation))} "
            f"(NRMSE {_score(worst_nrmse(evaluation))}), and no score speaks against it."
        )
    if evaluation.regime_change_at is not None:
        return _headline_of_change(evaluation, evaluation.regime_change_at, remarks)
    return f"{'Use it with care' if grade == CARE else 'Do not rely on it'}: {_reasons(remarks, grade)}."


def _headline_of_change(evaluation: Evaluation, changed: float, remarks: list[Remark]) -> str:
    """A model may be trusted up to the change, if it is good there and nothing else speaks against it."""
    at, before = _time(evaluation, changed), evaluation.nrmse_before_change
    others = [remark for remark in remarks if not remark.after_change]
    worst = max((remark.grade for remark in others), default=GOOD)
    diverged_before = evaluation.diverged_at is not None and evaluation.diverged_at < changed
    if before is None or before > ROUGH or worst == BAD or diverged_before:
        return f"Do not rely on it: {_reasons(remarks, BAD)}."
    if before > CLOSE or worst == CARE:
        why = "; ".join(filter(None, [f"NRMSE {_score(before)} before that", _reasons(others, CARE)]))
        return f"Use it with care up to t = {at}, and not beyond, where the device is another one: {why}."
    return (
        f"Trust it up to t = {at} and not beyond, where the device is another one: NRMSE {_score(before)} before that, "
        f"{_score(evaluation.nrmse)} over the whole stretch."
    )


def _reasons(remarks: list[Remark], grade: int) -> str:
    """The first few reasons of a grade; the sentences below the headline hold all."""
    given = [remark.reason for remark in remarks if remark.grade == grade and remark.reason]
    return "; ".join(given[:REASONS]) + (f"; and {len(given) - REASONS} more" if len(given) > REASONS else "")


# --- what is said -----------------------------------------------------------------------------------------------------


def order_verdict(surrogate: Surrogate) -> list[str]:
    """Whether the embedding order suffices, by what the fit has tried; for the time before there are scores."""
    scan = _scanned(surrogate)
    if scan.grade == NOTE and surrogate.embedding.order == 1 and (validation_of(surrogate.record) or 0.0) > ROUGH:
        scan = _ORDER_ONE
    return [scan.text]


_ORDER_ONE = Remark(
    BAD,
    "Order 1 takes the output alone for the state of the device, and the free run does not follow it: try order=2.",
    "order 1 is probably not enough for this device",
)


def _scanned(surrogate: Surrogate) -> Remark:
    """What quick fits of several orders tell."""
    order = surrogate.embedding.order
    errors = scanned_orders(surrogate.record)
    larger = {k: error for k, error in errors.items() if k > order and np.isfinite(error)}
    own = errors.get(order, float("nan"))
    best = min(larger, key=lambda k: larger[k], default=None)
    if best is None or np.isnan(own):
        return Remark(NOTE, f"No embedding order above {order} was tried, so it is open whether a larger one would do better.")
    if larger[best] < ORDER_GAIN * own:
        held = "output alone does" if order == 1 else f"{order} blocks of the output do"
        return Remark(
            BAD,
            f"Order {order} is not enough for this device: in quick fits a state of order {best} reaches an error of "
            f"{_score(larger[best])}, order {order} {_score(own)}. The {held} not hold the state of the device. "
            f"Fit again with order={best}, or without naming an order.",
            f"order {order} is not enough for this device",
        )
    if min(own, larger[best]) > OUTLINE:
        return Remark(
            NOTE,
            f"In quick fits neither order {order} ({_score(own)}) nor order {best} ({_score(larger[best])}) follows the "
            "device, so it is open which order suffices.",
        )
    return Remark(
        GOOD, f"Order {order} suffices: in quick fits order {best} reaches {_score(larger[best])}, order {order} {_score(own)}."
    )


def _about_order(surrogate: Surrogate, evaluation: Evaluation) -> Iterator[Remark]:
    order, scan = surrogate.embedding.order, _scanned(surrogate)
    short = short_run_share(surrogate, evaluation)
    fails = worst_nrmse(evaluation) > ROUGH
    if scan.grade == BAD:
        yield scan
    elif short is not None and short > SHORT_RUN and fails:
        yield Remark(
            BAD,
            f"Order {order} is not enough for this device: already at the fit, over a few samples, its error is "
            f"{_percent(short)} of what the output changes in them, so its state does not hold what decides the next "
            f"samples. Fit again with order={order + 1} or more, or with a finer interval.",
            f"order {order} is not enough for this device",
        )
    elif order == 1 and scan.grade == NOTE and fails:
        yield _ORDER_ONE
    else:
        yield scan


def _about_change(surrogate: Surrogate, evaluation: Evaluation) -> Iterator[Remark]:
    at, before = evaluation.regime_change_at, evaluation.nrmse_before_change
    if at is None:
        return
    if at <= float(evaluation.trace.time[0]) + 4 * surrogate.interval:
        yield Remark(
            BAD,
            "From the start of this recording the device does not behave as the one that was fitted: it is another device, "
            "another state of it, or the channels are not those of the fit.",
            "the device is not the one that was fitted",
            after_change=True,
        )
        return
    scores = (
        f"up to there its NRMSE is {_score(before)}"
        if before is not None
        else "too little of the recording lies before that for a score"
    )
    yield Remark(
        BAD,
        f"From t = {_time(evaluation, at)} the device no longer behaves as the one that was fitted; {scores}. What the "
        f"model says after that instant is about a device that is no longer there, and the scores over the whole stretch "
        "mix the two.",
        f"the device changes at t = {_time(evaluation, at)}",
        after_change=True,
    )


def _about_divergence(surrogate: Surrogate, evaluation: Evaluation) -> Iterator[Remark]:
    at = evaluation.diverged_at
    if at is None:
        return
    after = _time(evaluation, at - float(evaluation.trace.time[0]))
    yield Remark(
        BAD,
        f"The free run diverges at t = {_time(evaluation, at)}, {after} after its start: from there on the error stays larger "
        "than the recording's own deviation, and nothing is a prediction any more.",
        f"the run diverges after {after}",
        after_change=True,
    )


def _about_error(surrogate: Surrogate, evaluation: Evaluation) -> Iterator[Remark]:
    scores = nrmse_by_output(evaluation)
    worst = worst_nrmse(evaluation)
    name = max(scores, key=lambda key: scores[key])
    whose = f" (worst output: '{name}', {_score(worst)})" if len(scores) > 1 else ""
    grade = GOOD if worst <= CLOSE else CARE if worst <= OUTLINE else BAD
    yield Remark(
        grade,
        f"A free run over {_duration(evaluation)} follows the recording {_closeness(worst)}: its rms error is "
        f"{_percent(evaluation.nrmse)} of the recording's deviation (NRMSE {_score(evaluation.nrmse)}){whose}.",
        f"the free run follows the recording {_closeness(worst)} (NRMSE {_score(worst)})",
        after_change=True,
    )


def _about_horizon(surrogate: Surrogate, evaluation: Evaluation) -> Iterator[Remark]:
    reach = horizon_of(evaluation, HORIZON_ERROR)
    limit = _percent(HORIZON_ERROR)
    if reach is None:
        text = f"Over the whole run ({_duration(evaluation)}) the rms error since the start stays below {limit}."
    elif reach == 0:
        text = f"The rms error exceeds {limit} from the first steps on."
    else:
        most, end = max(score for _, score in evaluation.horizon), evaluation.horizon[-1][1]
        after = f"then reaches {_percent(most)}" + (f", and is {_percent(end)} at the end" if end < 0.9 * most else "")
        text = f"For the first {_time(evaluation, reach)} the rms error since the start stays below {limit}; it {after}."
    yield Remark(GOOD if reach is None else NOTE, text)


def _about_spectrum(surrogate: Surrogate, evaluation: Evaluation) -> Iterator[Remark]:
    error = evaluation.spectrum_error
    if worst_nrmse(evaluation) > OUTLINE and error < 0.5 * evaluation.nrmse:
        yield Remark(
            NOTE,
            f"The amplitude spectrum is closer (error {_percent(error)}) than the waveform: "
            "a part of the error is a matter of phase.",
        )
    else:
        yield Remark(
            GOOD if error <= ROUGH else NOTE,
            f"The amplitude spectrum of the run differs from the recorded one by {_percent(error)}.",
        )


def _about_baseline(surrogate: Surrogate, evaluation: Evaluation) -> Iterator[Remark]:
    linear = evaluation.baseline_nrmse
    if linear is None or not np.isfinite(linear):
        yield Remark(NOTE, "There is no linear model to compare with, so how hard this task is remains open.")
        return
    share = evaluation.nrmse / max(linear, 1e-300)
    told = f"a linear ARX model fitted to the same stretch reaches NRMSE {_score(linear)}"
    if share > WEAK_GAIN and evaluation.nrmse <= CLOSE:
        # Both are accurate: the device is linear here, which is no reason to distrust either.
        yield Remark(NOTE, f"A linear model is enough for this recording: {told}, the surrogate {_score(evaluation.nrmse)}.")
    elif share >= NO_GAIN:
        yield Remark(
            BAD,
            f"It is no better than a linear model: {told}, the surrogate {_score(evaluation.nrmse)}.",
            f"a linear model does as well (NRMSE {_score(linear)})",
            after_change=True,
        )
    elif share > WEAK_GAIN:
        yield Remark(
            CARE,
            f"It has little over a linear model: {told}, the surrogate {_score(evaluation.nrmse)}.",
            f"a linear model is almost as good (NRMSE {_score(linear)})",
            after_change=True,
        )
    else:
        yield Remark(GOOD, f"For comparison, {told}, {1 / max(share, 1e-12):.2g} times as much.")


def _about_domain(surrogate: Surrogate, evaluation: Evaluation) -> Iterator[Remark]:
    share = evaluation.outside_domain
    if share <= FEW_OUTSIDE:
        how = "No step of the run lies" if share == 0 else f"Only {_percent(share)} of the steps lie"
        yield Remark(GOOD, f"{how} outside the domain that the surrogate was fitted on.")
        return
    grade = NOTE if share <= SOME_OUTSIDE else CARE if share <= MANY_OUTSIDE else BAD
    first = int(np.flatnonzero(evaluation.run.outside.numpy())[0]) if bool(evaluation.run.outside.any()) else 0
    error = _error_where(evaluation, evaluation.run.outside.numpy())
    met = "" if error is None else f" (NRMSE {_score(error)} on these steps)"
    yield Remark(
        grade,
        f"{_percent(share)} of the steps lie outside the domain that the surrogate was fitted on, the first at t = "
        f"{_time(evaluation, float(evaluation.trace.time[first]))}{met}: the result there is an extrapolation, which its "
        "fitted data say nothing about.",
        f"{_percent(share)} of the steps lie outside the domain it was fitted on",
    )


def _about_surprise(surrogate: Surrogate, evaluation: Evaluation) -> Iterator[Remark]:
    expected = validation_of(surrogate.record)
    if expected is None or evaluation.regime_change_at is not None:
        return
    if evaluation.nrmse > SURPRISE * expected and evaluation.nrmse > VERY_CLOSE:
        yield Remark(
            CARE,
            f"The error is {evaluation.nrmse / expected:.2g} times that on the validation stretch of the fit (NRMSE "
            f"{_score(expected)}): this recording differs from what the fit saw, or the fit does not carry over.",
            f"the error is {evaluation.nrmse / expected:.2g} times that of the fit's own validation",
        )


def _about_coverage(surrogate: Surrogate, evaluation: Evaluation) -> Iterator[Remark]:
    found = f"The predicted 90 % interval holds {_percent(evaluation.coverage)} of the recorded samples"
    if evaluation.coverage < NARROW:
        yield Remark(
            CARE,
            f"{found}: it is too narrow" + (", by far." if evaluation.coverage < MISLEADING else "."),
            f"the 90 % interval holds only {_percent(evaluation.coverage)}",
            after_change=True,
        )
    elif evaluation.coverage < COVERAGE - FAIR:
        yield Remark(NOTE, f"{found}: somewhat fewer than it promises.")
    elif evaluation.coverage > WIDE:
        yield Remark(NOTE, f"{found}: it is wider than need be.")
    else:
        yield Remark(GOOD, f"{found}: about what it promises.")
    if len(surrogate.members) == 1:
        yield Remark(
            NOTE,
            "With a single member the spread is the error on validation samples, the same at every step: it does not grow "
            "where the model extrapolates. members=3 or more would give a spread that does.",
        )


def _about_restarts(surrogate: Surrogate, evaluation: Evaluation) -> Iterator[Remark]:
    if not surrogate.ports.drive:
        return
    count = len(surrogate.record.get("validation") or [])
    apart = disagreement(surrogate.record)
    if apart is None:
        why = "only one restart was made" if count == 1 else "no two restarts validated equally well"
        yield Remark(
            NOTE,
            f"Nothing tells how it holds under another drive, since {why}: fits that are equal on one drive can differ "
            "severalfold under another. Score it on a recording with the drive it is meant for.",
        )
    elif apart <= AGREE:
        yield Remark(
            GOOD,
            f"Under a probe drive of random steps the restarts agree to {_score(apart)} deviations: it should "
            "hold across drives.",
        )
    else:
        yield Remark(
            NOTE if apart <= DISAGREE else CARE,
            f"Under a probe drive of random steps restarts that are equally good here differ by {_score(apart)} deviations: "
            "expect errors of that size under drives unlike the fitted one.",
            f"restarts disagree by {_score(apart)} deviations under a probe drive",
        )


def _about_noise(surrogate: Surrogate, evaluation: Evaluation) -> Iterator[Remark]:
    for index, name in enumerate(surrogate.ports.output):
        noise = float(surrogate.noise[index])
        share = noise / max(float(surrogate.scales.output_scale[index]), 1e-300)
        unit = surrogate.ports.units.get(name, "")
        if share > CLEAN:
            yield Remark(
                NOTE,
                f"The fitted recording of '{name}' holds measurement noise of about {readable(noise, unit)} "
                f"({_percent(share)} of its deviation); what moves from sample to sample counts as noise too.",
            )


def _about_overlap(surrogate: Surrogate, evaluation: Evaluation) -> Iterator[Remark]:
    """Whether the scores are of data that the fit saw."""
    mine = evaluation.trace.provenance.get("sha256")
    low, high = float(evaluation.trace.time[0]), float(evaluation.trace.time[-1])
    for part in surrogate.record.get("data") or ():
        if mine is None or (part.get("provenance") or {}).get("sha256") != mine:
            continue
        shared = min(high, float(part["stop"])) - max(low, float(part["start"]))
        if shared > 0.01 * (high - low):
            yield Remark(
                CARE,
                f"{_percent(shared / (high - low))} of this stretch is data that the fit has seen: "
                "its scores are not of a held-out stretch.",
                "the fit has seen this stretch",
            )


def _about_data(surrogate: Surrogate, evaluation: Evaluation) -> Iterator[Remark]:
    parts = surrogate.record.get("data") or ()
    clock = evaluation.trace.unit("time")
    if parts:
        total = sum(float(part["stop"]) - float(part["start"]) for part in parts)
        count = sum(int(part["samples"]) for part in parts)
        recordings = "one recording" if len(parts) == 1 else f"{len(parts)} recordings"
        yield Remark(
            NOTE,
            f"The fit saw {readable(total, clock)} of {recordings}: {count} samples "
            f"every {readable(surrogate.interval, clock)}.",
        )
    for name in surrogate.ports.drive:
        fitted = surrogate.ports.interpolation.get(name)
        now = evaluation.trace.interpolation.get(name) or recorded_interpolation(evaluation.trace.drive[name])
        if fitted and fitted != now:
            yield Remark(
                NOTE, f"The drive '{name}' is {_shape(now)} here and was {_shape(fitted)} in the fit: a score across drives."
            )


def _about_notes(surrogate: Surrogate, evaluation: Evaluation) -> Iterator[Remark]:
    for note in evaluation.notes:
        yield Remark(NOTE, f"The recording was {note}" if note.startswith("resampled") else note[:1].upper() + note[1:])


# --- what it is said from ---------------------------------------------------------------------------------------------


def nrmse_by_output(evaluation: Evaluation) -> dict[str, float]:
    """NRMSE of each output over the whole run."""
    error = evaluation.prediction - evaluation.truth
    scale = np.maximum(evaluation.truth.std(0), 1e-300)
    scores = np.sqrt(np.mean((error / scale) ** 2, 0))
    return dict(zip(evaluation.trace.output, map(float, scores), strict=True))


def worst_nrmse(evaluation: Evaluation) -> float:
    """NRMSE of the output that is followed worst, which alone may be judged by; the overall one if it is larger."""
    return max(evaluation.nrmse, *nrmse_by_output(evaluation).values())


def horizon_of(evaluation: Evaluation, error: float) -> float | None:
    """Time [s] for which the NRMSE since the start stays below an error: 0 if it never does, None if it always does."""
    reached = 0.0
    for time, score in evaluation.horizon:
        if not score < error:
            return reached
        reached = time
    return None


def validation_of(record: Mapping[str, Any]) -> float | None:
    """Median validation NRMSE of the kept restarts; None where none is stored."""
    kept, scores = record.get("kept") or [], record.get("validation") or []
    own = [float(scores[i]) for i in kept if i < len(scores) and scores[i] is not None and np.isfinite(scores[i])]
    return float(np.median(own)) if own else None


def scanned_orders(record: Mapping[str, Any]) -> dict[int, float]:
    """Error that each embedding order reached in a quick fit; not finite where none could be run."""
    found = {}
    for entry in record.get("order_scan") or ():
        error = entry.get("error")
        found[int(entry["order"])] = float("inf") if error is None else float(error)
    return found


def short_run_share(surrogate: Surrogate, evaluation: Evaluation) -> float | None:
    """Error of short free runs at the fit over the rms change of the output in as many samples, noise taken out.

    Of the output where it is largest; None where the surrogate's record holds no level.
    """
    level = surrogate.record.get("residual_level")
    if level is None:
        return None
    from .short_runs import steps_of

    scale = surrogate.scales.output_scale.numpy()
    steps = steps_of(surrogate)
    moved = (evaluation.truth[steps:] - evaluation.truth[:-steps]) / scale
    doubled_noise = 2 * (surrogate.noise.numpy() / scale) ** 2
    change = np.mean(moved**2, 0) - doubled_noise
    error = np.square(np.atleast_1d(np.asarray(level, dtype=np.float64))) - doubled_noise
    # Where noise is most of the change nothing can be said.
    told = change > doubled_noise
    return float(np.sqrt(np.max(np.maximum(error, 0)[told] / change[told]))) if told.any() else None


def disagreement(record: Mapping[str, Any]) -> float | None:
    """Largest disagreement of a kept restart with the equally good ones, in deviations; None if there were none."""
    apart, kept = record.get("disagreement") or [], record.get("kept") or []
    found = [float(apart[i]) for i in kept if i < len(apart) and len(apart) > 1]
    # Exactly 0 says that there was nobody to compare with.
    return max(found) if found and max(found) > 0 else None


def _error_where(evaluation: Evaluation, chosen: np.ndarray) -> float | None:
    if not chosen.any():
        return None
    error = (evaluation.prediction - evaluation.truth) / np.maximum(evaluation.truth.std(0), 1e-300)
    return float(np.sqrt(np.mean(error[chosen] ** 2)))


def _closeness(nrmse: float) -> str:
    for limit, words in (
        (VERY_CLOSE, "very closely"),
        (CLOSE, "closely"),
        (ROUGH, "roughly"),
        (OUTLINE, "in outline only"),
        (MEAN, "hardly at all"),
    ):
        if nrmse <= limit:
            return words
    return "worse than its mean value would"


def _shape(kind: str) -> str:
    return {"held": "held between samples", "linear": "a polygon", "spline": "smooth"}.get(kind, kind)


def _score(value: float) -> str:
    """Three digits at most, and never rounded to nought."""
    return f"{value:.2g}" if abs(value) < 0.1 else f"{value:.3g}"


def _percent(share: float) -> str:
    """A share in per cent with two or three digits; nothing but 1 itself becomes 100 %."""
    text = f"{100 * share:.3g}" if share >= 0.1 else f"{100 * share:.2g}"
    return f"{'99.9' if text == '100' and share < 1 else text} %"


def _time(evaluation: Evaluation, value: float) -> str:
    return readable(value, evaluation.trace.unit("time"))


def _duration(evaluation: Evaluation) -> str:
    return _time(evaluation, evaluation.trace.duration)
