"""Further scores of an evaluation, and scores that the record of a fit contains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ....typing import Array
from ..surrogate import Surrogate
from .evaluate import Evaluation
from .noise_correction import without_noise

# --- of an evaluation -----------------------------------------------------------------------------------------------------


def nrmse_by_output(evaluation: Evaluation) -> dict[str, float]:
    """Return the NRMSE of each output over the whole run, measurement noise included."""
    scores = np.sqrt(np.mean(_scaled_error(evaluation) ** 2, 0))
    return dict(zip(evaluation.trace.output, map(float, scores), strict=True))


def corrected_by_output(evaluation: Evaluation) -> dict[str, float]:
    """Return the NRMSE of each output less the measurement noise where that was estimated."""
    return nrmse_by_output(evaluation) if evaluation.model_error is None else evaluation.model_error.by_output


def worst_nrmse(evaluation: Evaluation) -> float:
    """Return the error of the model for the least accurate output, or that over all outputs if it is larger.

    Measurement noise is not counted where it was estimated.
    """
    return max(evaluation.corrected_nrmse, *corrected_by_output(evaluation).values())


def nrmse_of_steps(evaluation: Evaluation, selected: np.ndarray) -> float | None:
    """Return the NRMSE of the selected steps less the noise, shape (time,), bool; None if there are none."""
    if not selected.any():
        return None
    return evaluation.without_noise(float(np.sqrt(np.mean(_scaled_error(evaluation)[selected] ** 2))))


def accurate_horizon(evaluation: Evaluation, limit: float) -> float | None:
    """Return the time [s] for which the error since the start stays below a limit: 0 if never, None if always.

    Measurement noise is not counted where it was estimated.
    """
    reached, interval = 0.0, float(np.median(np.diff(evaluation.trace.time)))
    for time, score in evaluation.horizon:
        # The noise of few samples may by chance exceed its mean: by two standard errors of its variance.
        excess = 1 + 2 * np.sqrt(2 * interval / (time + interval))
        if not without_noise(score, evaluation.noise_floor * np.sqrt(excess)) < limit:
            return reached
        reached = time
    return None


def _scaled_error(evaluation: Evaluation) -> Array:
    scale = np.maximum(evaluation.truth.std(0), 1e-300)
    return np.asarray((evaluation.prediction - evaluation.truth) / scale)


# --- of the record of a fit -----------------------------------------------------------------------------------------------


def validation_nrmse(record: Mapping[str, Any]) -> float | None:
    """Return the median validation NRMSE of the kept restarts; None if none is stored.

    Example:
        >>> validation_nrmse({"kept": [0, 2], "validation": [0.02, 0.5, 0.04]})
        0.03
    """
    kept, scores = record.get("kept") or [], record.get("validation") or []
    finite = [float(scores[i]) for i in kept if i < len(scores) and scores[i] is not None and np.isfinite(scores[i])]
    return float(np.median(finite)) if finite else None


def noise_share_of_fit(surrogate: Surrogate) -> float:
    """Return the measurement noise of the fitted recordings over the standard deviation of their outputs (rms)."""
    return float(np.sqrt(np.mean((surrogate.noise.numpy() / surrogate.scales.output_scale.numpy()) ** 2)))


def restart_disagreement(record: Mapping[str, Any]) -> float | None:
    """Return the largest difference between a kept restart and equally good ones under the probe drive.

    The unit is the standard deviation of the output. None if there was no equally good restart to compare with.
    """
    differences, kept = record.get("disagreement") or [], record.get("kept") or []
    of_kept = [float(differences[i]) for i in kept if i < len(differences) and len(differences) > 1]
    # A stored 0 means that there was no restart to compare with.
    return max(of_kept) if of_kept and max(of_kept) > 0 else None
