"""Numbers as the words and digits of a remark."""

from __future__ import annotations

from ....units import readable
from .evaluate import Evaluation

#: NRMSE up to which a free run follows a recording very closely, closely, ... The first two are what published Neural ODEs of
#: real devices reach (0.01 .. 0.05); a linear model of a nonlinear resonator is at 0.3 .. 0.6; the mean of the recording at 1.
VERY_CLOSE, CLOSE, ROUGH, OUTLINE, MEAN = 0.02, 0.05, 0.15, 0.3, 1.0

#: Noise over the standard deviation of the output up to which a recording counts as clean.
CLEAN = 2e-3


def closeness(nrmse: float) -> str:
    """Return how closely a free run of this NRMSE follows a recording, as an adverb.

    Example:
        >>> closeness(0.01), closeness(0.1)
        ('very closely', 'roughly')
    """
    for limit, adverb in (
        (VERY_CLOSE, "very closely"),
        (CLOSE, "closely"),
        (ROUGH, "roughly"),
        (OUTLINE, "in outline only"),
        (MEAN, "hardly at all"),
    ):
        if nrmse <= limit:
            return adverb
    return "worse than its mean value would"


def interpolation_shape(kind: str) -> str:
    """Return a description of an interpolation kind, to follow "the drive is"."""
    return {"held": "held between samples", "linear": "piecewise linear", "spline": "smooth"}.get(kind, kind)


def score(value: float) -> str:
    """Return a score with at most three significant digits; small values are never rounded to zero.

    Example:
        >>> score(0.01234), score(0.5)
        ('0.012', '0.5')
    """
    return f"{value:.2g}" if abs(value) < 0.1 else f"{value:.3g}"


def percent(share: float) -> str:
    """Return a share in per cent with two or three digits; only 1 itself becomes 100 %.

    Example:
        >>> percent(0.0123), percent(0.9999)
        ('1.2 %', '99.9 %')
    """
    text = f"{100 * share:.3g}" if share >= 0.1 else f"{100 * share:.2g}"
    return f"{'99.9' if text == '100' and share < 1 else text} %"


def time_of(evaluation: Evaluation, value: float) -> str:
    """Return a time or duration in the unit of the recording, with an SI prefix."""
    return readable(value, evaluation.trace.unit("time"))


def duration_of(evaluation: Evaluation) -> str:
    """Return the duration of the recording with its unit."""
    return time_of(evaluation, evaluation.trace.duration)
