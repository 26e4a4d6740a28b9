"""`assess`: how far a synapse surrogate can be trusted, as graded sentences that follow from its scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from ...reporting.remarks import BAD, CARE, GOOD, NOTE, Assessment, Remark
from ...traces.trace import Trace, TraceSet
from ...units import readable
from .evaluation import SynapseEvaluation, evaluate_synapse
from .initial_fit import MIN_REPEATED
from .model import SynapseSurrogate
from .pulse_summary import not_known
from .step_scores import StepCell, StepScores

#: Difference of the innovations' standard deviation from one: at 0.1 the noise is wrong by a tenth, at 0.25 intervals mislead.
CALIBRATED, MISLEADING = 0.1, 0.25
#: Mean difference of the first innovation after a change of polarity, beyond chance, that is said.
FIRST_PULSE = 0.25
#: Correlation of neighbouring innovations below which they count as white, and above which the model is wrong.
WHITE, CORRELATED = 0.1, 0.2
#: Expected coverage of the 90 % interval, tolerance, and lower limit. Reads of one run are correlated, so that some points
#: of difference are due to chance.
COVERAGE, COVERAGE_TOLERANCE, MIN_COVERAGE = 0.9, 0.06, 0.7
#: Error of free runs, over the standard deviation of the reads, below which nothing depends on how well the noise is described:
#: of recordings without noise, the one-step errors are those of the drift, tiny and correlated.
NEGLIGIBLE = 0.03
#: Ratio of the ends of a 95 % interval above which a noise is hardly known: a factor of three either way.
MAX_INTERVAL_RATIO = 10.0
#: Share of reads outside the fitted range above which to take care, and above which the scores are those of an extrapolation.
SOME_OUTSIDE, MANY_OUTSIDE = 0.02, 0.2
_MORE_FIT = "Fit with more --rounds or a larger --hidden, or on more recordings."
_MORE_RECORDINGS = "Fit on more recordings, of more devices or cycles."
_COVER = "Fit on recordings that cover this range."
#: Smallest number of predicted reads for a score.
MIN_READS = 20
#: Relative error of a mean step, and of the spread of devices, beyond chance, that a network notices and that misleads it.
STEP_ERROR, MISLEADING_STEP = 0.1, 0.3
#: The same of differences of the share of wrong-way steps, of the drift (relative to the step) and of the correlation.
SHARE_ERROR, DRIFT_ERROR, CORRELATION_ERROR = 0.03, 0.1, 0.2


def assess(
    surrogate: SynapseSurrogate,
    recordings: SynapseEvaluation | TraceSet | Sequence[Trace] | Trace,
    *,
    seed: int = 0,
) -> Assessment:
    """Assess how far a synapse surrogate can be trusted.

    Args:
        surrogate: The model.
        recordings: Recordings, preferably some that the fit has not used; or their scores from `evaluate_synapse`.
        seed: Seed of the free runs.

    Returns:
        Grade, headline and remarks; `.sentences` contains them as lines of text.

    Raises:
        TraceError: recordings that are not pulse by pulse, or lack a voltage or width that the surrogate needs.
    """
    if not isinstance(recordings, SynapseEvaluation):
        recordings = evaluate_synapse(surrogate, recordings, seed=seed)
    remarks = [remark for check in CHECKS for remark in check(surrogate, recordings)]
    remarks.sort(key=lambda remark: -max(remark.grade, NOTE))
    grade = max(remark.grade for remark in remarks)
    return Assessment(grade if grade >= CARE else GOOD, _headline(surrogate, grade, remarks), tuple(remarks))


def _headline(surrogate: SynapseSurrogate, grade: int, remarks: Sequence[Remark]) -> str:
    scope = "device-to-device and cycle-to-cycle spread" if surrogate.of_devices else "this one device and its cycles"
    if grade < CARE:
        limits = "; ".join(remark.reason for remark in remarks if remark.reason)
        doubt = (
            f"note that {limits}, which has no consequence at this accuracy" if limits else "no score gives reason for doubt"
        )
        return f"Trust it for {scope}, within the fitted range of conductances and pulses: {doubt}."
    reasons = "; ".join(remark.reason for remark in remarks if remark.grade == grade and remark.reason)
    return f"{'Use it with care' if grade == CARE else 'Do not rely on it'} for {scope}: {reasons}."


# --- checks, one aspect each ------------------------------------------------------------------------------------------


def _error_remarks(surrogate: SynapseSurrogate, evaluation: SynapseEvaluation) -> Iterator[Remark]:
    error = evaluation.free_run_error
    if math.isfinite(error):
        share = f"{100 * error:.2g} % of their standard deviation"
        text = f"The middle of free runs from the first read differs from the reads by {share}."
        yield Remark(GOOD if error <= NEGLIGIBLE else NOTE, text)


def _doubt(evaluation: SynapseEvaluation, grade: int) -> int:
    """Return the grade of a doubt about the noise: a note where free runs are accurate without it."""
    return min(grade, NOTE) if evaluation.free_run_error <= NEGLIGIBLE else grade


def _innovation_remarks(surrogate: SynapseSurrogate, evaluation: SynapseEvaluation) -> Iterator[Remark]:
    z = evaluation.innovation
    which = "the fitted recordings" if evaluation.fitted else "these recordings"
    if len(z) < MIN_READS:
        remedy = "Pass longer recordings."
        yield Remark(CARE, f"There are only {len(z)} reads to test predictions on.", "too few reads to test it", remedy=remedy)
        return
    deviation, chance = float(z.std()), 3 / math.sqrt(2 * len(z))
    excess = max(abs(deviation - 1) - chance, 0.0)
    text = f"One-step errors on {which} have {deviation:.2f} times the predicted standard deviation (ideal: 1)"
    if excess <= CALIBRATED:
        yield Remark(GOOD, f"{text}: the noise is calibrated.")
    else:
        size = "too small" if deviation > 1 else "too large"
        grade = _doubt(evaluation, CARE if excess <= MISLEADING else BAD)
        yield Remark(
            grade, f"{text}: the predicted noise is {size}.", f"the predicted noise of one step is {size}", remedy=_MORE_FIT
        )
    correlation = evaluation.correlation(1)
    if not math.isfinite(correlation):
        return
    excess = max(abs(correlation) - 3 / math.sqrt(len(z)), 0.0)
    text = f"Neighbouring one-step errors have a correlation of {correlation:+.2f} (ideal: 0)"
    if excess <= WHITE:
        yield Remark(GOOD, f"{text}: they are nearly uncorrelated.")
    else:
        grade = _doubt(evaluation, CARE if excess <= CORRELATED else BAD)
        incomplete = f"{text}: the model of the drift or of the noise is incomplete."
        yield Remark(grade, incomplete, "one-step errors are correlated", remedy=_MORE_FIT)


def _change_remarks(surrogate: SynapseSurrogate, evaluation: SynapseEvaluation) -> Iterator[Remark]:
    """Compare the first pulse after a change of polarity with those that follow: a state of its own, which the model lacks."""
    first, later = evaluation.at_changes()
    if min(len(first), len(later)) < MIN_READS:
        return
    difference = float(first.mean() - later.mean())
    chance = 3 * math.sqrt(float(first.var()) / len(first) + float(later.var()) / len(later))
    text = f"The first pulse after a change of polarity moves it by {abs(difference):.2f} standard deviations of a prediction"
    if abs(difference) - chance <= FIRST_PULSE:
        return
    text = f"{text} {'further than the pulses that follow' if difference > 0 else 'less than the pulses that follow'}"
    yield Remark(
        _doubt(evaluation, CARE),
        f"{text}: such pulses behave differently, which the model does not describe.",
        "the first pulse after a change of polarity behaves differently",
        remedy="Where polarities alternate, as in learning, expect this error in every step; record pulses that alternate.",
    )


def _coverage_remarks(surrogate: SynapseSurrogate, evaluation: SynapseEvaluation) -> Iterator[Remark]:
    count, share = evaluation.runs, evaluation.coverage
    if evaluation.worst is not None and count > 1 and evaluation.worst[0] < MIN_COVERAGE <= share:
        worst, index = evaluation.worst
        yield Remark(NOTE, f"Recording {index} is unlike the others: {100 * worst:.0f} % of its reads lie in their interval.")
    text = f"{100 * share:.0f} % of the reads of {count} recording(s) lie in the 90 % interval of free runs from the first read"
    if share < MIN_COVERAGE:
        grade = _doubt(evaluation, BAD)
        narrow = "intervals of free runs are too narrow"
        yield Remark(grade, f"{text}: the interval is too narrow.", narrow, remedy=_MORE_RECORDINGS)
    elif share < COVERAGE - COVERAGE_TOLERANCE:
        grade = _doubt(evaluation, CARE)
        narrow = "intervals of free runs are somewhat narrow"
        yield Remark(grade, f"{text}: the interval is somewhat narrow.", narrow, remedy=_MORE_RECORDINGS)
    elif share > COVERAGE + COVERAGE_TOLERANCE:
        yield Remark(NOTE, f"{text}: the interval is wider than necessary.")
    else:
        yield Remark(GOOD, f"{text}.")


def _step_remarks(surrogate: SynapseSurrogate, evaluation: SynapseEvaluation) -> Iterator[Remark]:
    """Compare what learning in a network depends on, at the pulses of use."""
    scores = evaluation.step_scores
    if not scores.cells:
        return
    yield from _mean_step_remarks(surrogate, scores)
    worst = max(scores.cells, key=lambda cell: abs(cell.wrong_way[1] - cell.wrong_way[0]))
    shares = " against ".join(f"{100 * share:.1f} %" for share in reversed(worst.wrong_way))
    text = f"Steps against their polarity: at most {shares} recorded ({worst.polarity}, {_part(surrogate, worst)})"
    chance = 4 * math.sqrt(max(worst.wrong_way[0] * (1 - worst.wrong_way[0]), 0.01) / worst.number)
    if abs(worst.wrong_way[1] - worst.wrong_way[0]) - chance <= SHARE_ERROR:
        yield Remark(GOOD, f"{text}.")
    else:
        remedy = "Record more pulses in this part of the range, near the pulse of use."
        yield Remark(
            _doubt(evaluation, CARE), f"{text}.", "it moves against the polarity too often or too seldom", remedy=remedy
        )
    recorded, virtual = scores.drift
    if math.isfinite(recorded):
        chance = (
            3
            * math.sqrt(sum(cell.error**2 for cell in scores.cells))
            / max(sum(abs(cell.mean[0]) for cell in scores.cells), 1e-300)
        )
        text = f"SET plus RESET, relative to the size of both: {virtual:+.2f}, recorded {recorded:+.2f}"
        if abs(virtual - recorded) - chance <= DRIFT_ERROR:
            yield Remark(GOOD, f"{text}.")
        else:
            remedy = (
                "Weights of a network would drift otherwise than in the device: record both polarities at all conductances."
            )
            yield Remark(_doubt(evaluation, CARE), f"{text}.", "the balance of SET and RESET is wrong", remedy=remedy)
    yield from _spread_remarks(scores)


def _mean_step_remarks(surrogate: SynapseSurrogate, scores: StepScores) -> Iterator[Remark]:
    def error(cell: StepCell) -> float:
        size = max(abs(each.mean[0]) for each in scores.cells)
        return max(abs(cell.mean[1] - cell.mean[0]) - 3 * cell.error, 0.0) / max(abs(cell.mean[0]), 0.1 * size, 1e-300)

    worst = max(scores.cells, key=error)
    sizes = " against ".join(readable(each, surrogate.unit) for each in reversed(worst.mean))
    text = f"Mean steps at the pulse of use: the worst is {sizes} recorded ({worst.polarity}, {_part(surrogate, worst)})"
    if error(worst) <= STEP_ERROR:
        yield Remark(GOOD, f"{text}, within {100 * STEP_ERROR:.0f} % and chance.")
        return
    remedy = "Record more pulses there, near the pulse of use, or fit with more --rounds or a larger --hidden."
    grade = CARE if error(worst) <= MISLEADING_STEP else BAD
    yield Remark(grade, f"{text}.", "the mean step at the pulse of use is wrong", remedy=remedy)


def _spread_remarks(scores: StepScores) -> Iterator[Remark]:
    chance = 3 / math.sqrt(max(scores.devices, 1))
    for polarity, (recorded, virtual) in scores.spread.items():
        text = f"Devices differ in the size of {polarity} steps by {100 * virtual:.0f} %, recorded {100 * recorded:.0f} %"
        if abs(virtual - recorded) <= (STEP_ERROR + chance) * max(recorded, 0.05):
            yield Remark(GOOD, f"{text}.")
        else:
            remedy = "Record more devices, each at the pulse of use in all parts of the range."
            yield Remark(CARE, f"{text}.", f"the spread of {polarity} steps is wrong", remedy=remedy)
    recorded, virtual = scores.correlation
    if math.isfinite(recorded) and math.isfinite(virtual):
        text = f"Sizes of SET and RESET of a device have a correlation of {virtual:+.2f}, recorded {recorded:+.2f}"
        if abs(virtual - recorded) <= CORRELATION_ERROR + chance:
            yield Remark(GOOD, f"{text}.")
        else:
            remedy = "Record both polarities of more devices."
            yield Remark(CARE, f"{text}.", "SET and RESET of a device are related otherwise than recorded", remedy=remedy)


def _part(surrogate: SynapseSurrogate, cell: StepCell) -> str:
    return f"{readable(cell.low, surrogate.unit)} .. {readable(cell.high, surrogate.unit)}"


def _device_remarks(surrogate: SynapseSurrogate, evaluation: SynapseEvaluation) -> Iterator[Remark]:
    devices = surrogate.record.get("devices")
    if surrogate.of_devices and surrogate.population is not None:
        yield Remark(NOTE, f"It samples virtual devices from the posteriors of {devices} measured devices.")
        return
    for sentence in not_known(int(devices) if isinstance(devices, int) else 1):
        yield Remark(NOTE, f"{sentence[0].upper()}{sentence[1:]}.")


def _noise_remarks(surrogate: SynapseSurrogate, evaluation: SynapseEvaluation) -> Iterator[Remark]:
    unit = surrogate.unit if surrogate.scale.kind == "linear" else ""
    relative = "" if surrogate.scale.kind == "linear" else " of the conductance"
    for name, (value, low, high) in surrogate.uncertainty().items():
        text = f"Noise {name}: {readable(value, unit)}{relative}, 95 % interval {readable(low, unit)} .. {readable(high, unit)}"
        known = high <= MAX_INTERVAL_RATIO * low
        yield Remark(NOTE, f"{text}." if known else f"{text}; the data determine at most the upper end.")
    repeated = surrogate.record.get("repeated_reads")
    if isinstance(repeated, int) and repeated < MIN_REPEATED:
        yield Remark(
            NOTE,
            "The recordings have hardly any repeated reads, so noise that is new in each read cannot be told from noise that "
            "pulses renew; a network reads more often than it writes. Read twice after every fifth pulse or so.",
        )
    if surrogate.telegraph is not None:
        yield Remark(
            NOTE,
            f"It includes random telegraph noise of a trap that is filled {surrogate.telegraph.occupancy:.0%} of the time.",
        )


def _range_remarks(surrogate: SynapseSurrogate, evaluation: SynapseEvaluation) -> Iterator[Remark]:
    low, high = (readable(each, surrogate.unit) for each in (surrogate.low, surrogate.high))
    text, share = f"The fitted conductances range from {low} to {high}", f"{100 * evaluation.outside:.0f} %"
    if evaluation.outside > MANY_OUTSIDE:
        outside = f"{share} of the reads lie outside the fitted range"
        yield Remark(BAD, f"{text}; {share} of the reads lie outside.", outside, remedy=_COVER)
    elif evaluation.outside > SOME_OUTSIDE:
        yield Remark(CARE, f"{text}; {share} of the reads lie outside.", "reads lie outside the fitted range", remedy=_COVER)
    else:
        yield Remark(NOTE, f"{text}; outside, the drift is an extrapolation.")
    for name, unit in (("voltage", "V"), ("width", "s")):
        if name not in surrogate.inputs.ranges:
            yield Remark(NOTE, f"The recordings do not contain the {name} of the pulses; the model is valid for theirs only.")
            continue
        smallest, largest = (readable(each, unit) for each in surrogate.inputs.ranges[name])
        if name in surrogate.inputs.names:
            yield Remark(NOTE, f"It is valid for pulses with a {name} from {smallest} to {largest}.")
        else:
            yield Remark(NOTE, f"All pulses had the {name} {smallest}; the effect of others is not known.")
    for name in ("SET", "RESET"):
        if name not in surrogate.polarities:
            yield Remark(NOTE, f"The recordings have no {name} pulses; the model does not describe them.")


def _retention_remarks(surrogate: SynapseSurrogate, evaluation: SynapseEvaluation) -> Iterator[Remark]:
    if surrogate.retention is None:
        yield Remark(NOTE, "The recordings have no pauses; retention is not known.")
    else:
        relative = " (relative)" if surrogate.scale.kind == "log" else ""
        yield Remark(NOTE, f"Retention: {surrogate.retention.describe(surrogate.scale.spread)}{relative}.")


#: The checks, in the order in which remarks of the same grade are listed.
CHECKS: tuple[Callable[[SynapseSurrogate, SynapseEvaluation], Iterator[Remark]], ...] = (
    _error_remarks,
    _innovation_remarks,
    _change_remarks,
    _coverage_remarks,
    _step_remarks,
    _device_remarks,
    _noise_remarks,
    _range_remarks,
    _retention_remarks,
)
