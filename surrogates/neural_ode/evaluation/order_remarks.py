"""Remarks on the embedding order: is the embedded output enough to be the state of the device?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ....reporting.remarks import BAD, GOOD, NOTE, Remark
from ..surrogate import Surrogate
from .evaluate import Evaluation
from .scores import order_scan_errors, validation_nrmse, worst_nrmse
from .short_runs import short_run_steps
from .wording import OUTLINE, ROUGH, percent, score

#: A larger order that reduces the error of a quick fit below this share is needed: the errors of quick fits of the same order
#: differ by a fifth among seeds.
MAX_ERROR_RATIO = 0.7

#: Error of short free runs over the change of the output during them, above which the state does not determine the next
#: samples; a sufficient state is at 0.01 .. 0.1.
MAX_SHORT_RUN_ERROR = 0.3

_ORDER_ONE = Remark(
    BAD,
    "Order 1 uses the output alone as the state of the device, and its free run does not follow the recording: try order=2.",
    "order 1 is probably not enough for this device",
)


def assess_order(surrogate: Surrogate) -> Remark:
    """Return a remark on the embedding order from the fit alone, when no recording has been evaluated yet.

    Example:
        >>> import spinode
        >>> print(assess_order(spinode.load(spinode.surrogates.zoo.path("macrospin"))).text)
        Order 2 is enough: in quick fits order 3 reaches an error of 0.061, order 2 0.02.
    """
    remark = _order_scan_remark(surrogate)
    if remark.grade == NOTE and surrogate.embedding.order == 1 and (validation_nrmse(surrogate.record) or 0.0) > ROUGH:
        return _ORDER_ONE
    return remark


def order_remarks(surrogate: Surrogate, evaluation: Evaluation) -> Iterator[Remark]:
    """Return a remark on the embedding order from the fit and from an evaluation."""
    order, remark = surrogate.embedding.order, _order_scan_remark(surrogate)
    short_run_error = relative_short_run_error(surrogate, evaluation)
    inaccurate = worst_nrmse(evaluation) > ROUGH
    if remark.grade == BAD:
        yield remark
    elif short_run_error is not None and short_run_error > MAX_SHORT_RUN_ERROR and inaccurate:
        yield Remark(
            BAD,
            f"Order {order} is not enough for this device: even on the fitted data, within a few samples, the error is "
            f"{percent(short_run_error)} of the change of the output, so the state does not determine the next samples. "
            f"Fit again with order={order + 1} or more, or with a shorter sample_interval.",
            f"order {order} is not enough for this device",
        )
    elif order == 1 and remark.grade == NOTE and inaccurate:
        yield _ORDER_ONE
    else:
        yield remark


def _order_scan_remark(surrogate: Surrogate) -> Remark:
    """Return a remark on the quick fits of several orders."""
    order = surrogate.embedding.order
    errors = order_scan_errors(surrogate.record)
    larger = {k: error for k, error in errors.items() if k > order and np.isfinite(error)}
    own_error = errors.get(order, float("nan"))
    best_order = min(larger, key=lambda k: larger[k], default=None)
    if best_order is None or np.isnan(own_error):
        return Remark(NOTE, f"No embedding order above {order} was tried; it is unknown whether a larger one would be better.")
    best_error = larger[best_order]
    if best_error < MAX_ERROR_RATIO * own_error:
        state = "The output alone does" if order == 1 else f"{order} blocks of the output do"
        return Remark(
            BAD,
            f"Order {order} is not enough for this device: in quick fits order {best_order} reaches an error of "
            f"{score(best_error)}, order {order} {score(own_error)}. {state} not determine the state of the device. "
            f"Fit again with order={best_order}, or without setting an order.",
            f"order {order} is not enough for this device",
        )
    if min(own_error, best_error) > OUTLINE:
        return Remark(
            NOTE,
            f"In quick fits neither order {order} ({score(own_error)}) nor order {best_order} ({score(best_error)}) follows "
            "the device; it is unknown which order is enough.",
        )
    return Remark(
        GOOD,
        f"Order {order} is enough: in quick fits order {best_order} reaches an error of {score(best_error)}, "
        f"order {order} {score(own_error)}.",
    )


def relative_short_run_error(surrogate: Surrogate, evaluation: Evaluation) -> float | None:
    """Return the error of short free runs on the fitted data over the rms change of the output during them.

    The variance of the measurement noise is subtracted from both. The largest value among the outputs is returned, or None
    if the record of the fit contains no error of short runs or all outputs are mostly noise.
    """
    level = surrogate.record.get("residual_level")
    if level is None:
        return None
    scale = surrogate.scales.output_scale.numpy()
    steps = short_run_steps(surrogate)
    truth = np.stack(list((evaluation.grid or evaluation.trace).output.values()), -1)
    change = (truth[steps:] - truth[:-steps]) / scale
    noise = 2 * (surrogate.noise.numpy() / scale) ** 2  # of the difference of two samples
    change_power = np.mean(change**2, 0) - noise
    error_power = np.square(np.atleast_1d(np.asarray(level, dtype=np.float64))) - noise
    clear = change_power > noise
    if not clear.any():
        return None
    return float(np.sqrt(np.max(np.maximum(error_power, 0)[clear] / change_power[clear])))
