"""The linear baseline: an ARX model fitted to the same recordings as the surrogate and run freely for comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ....traces.trace import Trace
from ....typing import Array
from ..ports import Ports

#: Orders of the ARX models that are compared.
ORDERS = (2, 4, 8, 16)

#: Mean squared error, of variance one, by which a larger order must be better: below it is rounding.
ROUNDING = 1e-18


def fit_arx(
    outputs: Sequence[Array], inputs: Sequence[Array], cuts: Sequence[int], orders: Sequence[int] = ORDERS
) -> dict[str, Any] | None:
    """Fit ARX models of several orders by least squares and return the one whose free run validates best.

        y_t = c + sum_{i=1..p} A_i y_{t-i} + sum_{i=0..p} B_i u_{t-i}

    Args:
        outputs: Per recording, shape (time, outputs).
        inputs: Per recording, drives and parameters, shape (time, inputs).
        cuts: Per recording, the number of samples to fit; the remaining ones validate.
        orders: Orders p to compare.

    Returns:
        The model as plain numbers (order, coefficients, mean, scale), or None if the recordings are too short for any order.

    Example:
        >>> u = np.sin(np.arange(200) ** 1.5)
        >>> y = np.convolve(u, [0.5, 0.25])[:200]
        >>> fit_arx([y[:, None]], [u[:, None]], [150])["order"]
        2
    """
    mean = [np.concatenate([part[:cut] for part, cut in zip(parts, cuts, strict=True)]).mean(0) for parts in (outputs, inputs)]
    scale = []
    for parts, middle in zip((outputs, inputs), mean, strict=True):
        deviation = np.concatenate([part[:cut] for part, cut in zip(parts, cuts, strict=True)]).std(0)
        # The computed deviation of a constant is rounding error; the model must not learn from it.
        scale.append(np.where(deviation > 1e-9 * np.abs(middle), deviation, np.maximum(np.abs(middle), 1.0)))
    ys = [(part - mean[0]) / scale[0] for part in outputs]
    us = [(part - mean[1]) / scale[1] for part in inputs]
    best_error, best_model = np.inf, None
    for order in orders:
        systems = [_regression(y[:cut], u[:cut], order) for y, u, cut in zip(ys, us, cuts, strict=True) if cut > 4 * order]
        tests = [(y[cut:], u[cut:]) for y, u, cut in zip(ys, us, cuts, strict=True) if len(y) - cut > 2 * order]
        if not systems or not tests:
            continue
        design = np.concatenate([regressors for regressors, _ in systems])
        target = np.concatenate([targets for _, targets in systems])
        coefficients = np.linalg.lstsq(design, target, rcond=None)[0]
        error = float(np.mean([np.mean((_free_run(coefficients, order, y, u) - y) ** 2) for y, u in tests]))
        if best_model is None or error < best_error - ROUNDING:
            best_error = error
            best_model = {
                "order": order,
                "coefficients": coefficients.tolist(),
                "mean": [values.tolist() for values in mean],
                "scale": [values.tolist() for values in scale],
            }
    return best_model


def arx_baseline(model: Mapping[str, Any] | None, trace: Trace, ports: Ports) -> float | None:
    """Return the NRMSE of the free run of a stored ARX model on a recording, or None without a model."""
    if not model or len(trace) <= 2 * int(model["order"]):
        return None
    mean, scale = ([np.array(part) for part in model[key]] for key in ("mean", "scale"))
    y = np.stack([trace.output[name] for name in ports.output], -1)
    constants = [np.full(len(trace), trace.parameters[name]) for name in ports.parameters]
    u = np.stack([*[trace.drive[name] for name in ports.drive], *constants], -1) if ports.inputs else np.zeros((len(y), 0))
    scaled = (y - mean[0]) / scale[0]
    run = _free_run(np.array(model["coefficients"]), int(model["order"]), scaled, (u - mean[1]) / scale[1])
    return float(np.sqrt(np.mean(((run - scaled) * scale[0] / y.std(0)) ** 2)))


def _regression(y: Array, u: Array, order: int) -> tuple[Array, Array]:
    """Return the regressors, shape (time - order, coefficients), and the targets, shape (time - order, outputs)."""
    length = len(y)
    past = [y[order - i : length - i] for i in range(1, order + 1)]
    drive = [u[order - i : length - i] for i in range(order + 1)]
    return np.concatenate([*past, *drive, np.ones((length - order, 1))], -1), y[order:]


def _free_run(coefficients: Array, order: int, y: Array, u: Array) -> Array:
    """Run the model freely from the first `order` recorded samples; clipped, since an unstable model would overflow."""
    outputs = y.shape[1]
    feedback, feedforward = coefficients[: order * outputs], coefficients[order * outputs :]
    length = len(y)
    drive = [u[order - i : length - i] for i in range(order + 1)]
    forced = np.concatenate([*drive, np.ones((length - order, 1))], -1) @ feedforward
    run = np.array(y, dtype=float)
    for t in range(order, length):
        recent = run[t - order : t][::-1].reshape(-1)
        run[t] = np.clip(recent @ feedback + forced[t - order], -30, 30)
    return run
