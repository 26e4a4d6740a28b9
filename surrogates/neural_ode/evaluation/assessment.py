"""`assess`: how far a surrogate can be trusted, as graded sentences that follow from its scores.

Each check looks at one aspect and returns remarks; the headline follows from the worst of them. The thresholds and the reasons
for them are in the modules of the checks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from ....reporting.remarks import BAD, CARE, GOOD, NOTE, Assessment, Remark
from ..surrogate import Surrogate
from .accuracy_remarks import (
    baseline_remarks,
    change_remarks,
    describe_closeness,
    describe_score,
    divergence_remarks,
    error_remarks,
    horizon_remarks,
    spectrum_remarks,
)
from .evaluate import Evaluation
from .remedies import Names
from .scores import restart_disagreement
from .structure_remarks import assess_structure, fit_remarks, is_linear, structure_remarks
from .validity_remarks import (
    AGREEMENT,
    agreement_remarks,
    coverage_remarks,
    data_remarks,
    domain_remarks,
    noise_remarks,
    overlap_remarks,
    resampling_remarks,
    restart_remarks,
    validation_remarks,
)
from .wording import CLEAN, CLOSE, ROUGH, score, time_of

#: The checks, in the order in which remarks of the same grade are listed.
CHECKS: tuple[Callable[[Surrogate, Evaluation], Iterator[Remark]], ...] = (
    change_remarks,
    divergence_remarks,
    error_remarks,
    horizon_remarks,
    spectrum_remarks,
    structure_remarks,
    baseline_remarks,
    domain_remarks,
    validation_remarks,
    coverage_remarks,
    restart_remarks,
    noise_remarks,
    overlap_remarks,
    data_remarks,
    resampling_remarks,
)

#: Maximum number of reasons in a headline.
MAX_REASONS = 3


def assess(surrogate: Surrogate, evaluation: Evaluation, *, names: Names | None = None) -> Assessment:
    """Assess how far a surrogate can be trusted.

    Args:
        surrogate: The model.
        evaluation: Its scores on a recording, preferably one that the fit has not used.
        names: Files and options for the commands of the remedies; placeholders if omitted.

    Example:
        >>> import spinode
        >>> from spinode.datasets import read_trace, sample_path
        >>> surrogate = spinode.load(spinode.surrogates.zoo.path("macrospin"))
        >>> trace = read_trace(sample_path("macrospin.csv"), drive="Ku", output="mz")
        >>> print(assess(surrogate, spinode.evaluate(surrogate, trace.between(10e-9, 12e-9))).headline)
        Use it with care: the fit has used this recording.
    """
    remarks = [_named(remark, names) for check in CHECKS for remark in check(surrogate, evaluation)]
    remarks.sort(key=lambda remark: -max(remark.grade, NOTE))
    worst = max(remark.grade for remark in remarks)
    grade = worst if worst >= CARE else GOOD
    return Assessment(grade, _headline(surrogate, evaluation, grade, remarks), tuple(remarks))


def _named(remark: Remark, names: Names | None) -> Remark:
    return remark if names is None else replace(remark, remedy=names.fill(remark.remedy))


def assess_fit(surrogate: Surrogate, *, names: Names | None = None) -> tuple[Remark, ...]:
    """Return the remarks that follow from the fit alone, when no recording has been evaluated yet: structure and restarts.

    Args:
        surrogate: A fitted model.
        names: Files and options for the commands of the remedies; placeholders if omitted.

    Example:
        >>> import spinode
        >>> remarks = assess_fit(spinode.load(spinode.surrogates.zoo.path("macrospin")))
        >>> any("probe drive" in remark.text for remark in remarks)
        True
    """
    remarks = (assess_structure(surrogate), *fit_remarks(surrogate), *agreement_remarks(surrogate))
    return tuple(_named(remark, names) for remark in remarks)


def _headline(surrogate: Surrogate, evaluation: Evaluation, grade: int, remarks: Sequence[Remark]) -> str:
    if grade == GOOD:
        difference = restart_disagreement(surrogate.record)
        cross_checked = not surrogate.ports.drive or (difference is not None and difference <= AGREEMENT)
        where = "within its domain" if cross_checked else "for drives like the fitted one"
        model = "the linear model follows" if is_linear(surrogate) else "the free run follows"
        limits = _reasons(remarks, NOTE)
        return (
            f"Trust it {where}: {model} the recording {describe_closeness(evaluation)} ({describe_score(evaluation)})"
            f"{f'; note that {limits}' if limits else ', and no score gives reason for doubt'}."
        )
    if evaluation.regime_change_at is not None:
        return _headline_of_change(evaluation, evaluation.regime_change_at, remarks)
    return f"{'Use it with care' if grade == CARE else 'Do not rely on it'}: {_reasons(remarks, grade)}."


def _headline_of_change(evaluation: Evaluation, changed_at: float, remarks: Sequence[Remark]) -> str:
    """Return the headline for a device that changes: the model may be valid up to the change."""
    at, before = time_of(evaluation, changed_at), evaluation.nrmse_before_change
    shown = "" if before is None else f"NRMSE {score(before)}"
    if before is not None and evaluation.noise_floor > CLEAN:
        shown, before = f"NRMSE at most {score(before)}", evaluation.without_noise(before)
    independent = [remark for remark in remarks if not remark.after_change]
    worst = max((remark.grade for remark in independent), default=GOOD)
    diverged_before = evaluation.diverged_at is not None and evaluation.diverged_at < changed_at
    if before is None or before > ROUGH or worst == BAD or diverged_before:
        return f"Do not rely on it: {_reasons(remarks, BAD)}."
    if before > CLOSE or worst == CARE:
        reasons = "; ".join(filter(None, [f"{shown} before that", _reasons(independent, CARE)]))
        return f"Use it with care up to t = {at}, and not beyond, where the device has changed: {reasons}."
    return (
        f"Trust it up to t = {at} and not beyond, where the device has changed: {shown} before that, "
        f"{score(evaluation.nrmse)} over the whole recording."
    )


def _reasons(remarks: Sequence[Remark], grade: int) -> str:
    """Return the first few reasons of a grade; the sentences below the headline contain all of them."""
    reasons = [remark.reason for remark in remarks if remark.grade == grade and remark.reason]
    more = f"; and {len(reasons) - MAX_REASONS} more" if len(reasons) > MAX_REASONS else ""
    return "; ".join(reasons[:MAX_REASONS]) + more
