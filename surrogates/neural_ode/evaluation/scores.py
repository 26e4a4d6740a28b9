"""Further scores of an evaluation, and scores that the record of a fit contains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ....typing import Array
from .evaluate import Evaluation

# --- of an evaluation -----------------------------------------------------------------------------------------------------


def nrmse_by_output(evaluation: Evaluation) -> dict[str, float]:
    """Return the NRMSE of each output over the whole run."""
    scores = np.sqrt(np.mean(_scaled_error(evaluation) ** 2, 0))
    return dict(zip(evaluation.trace.output, map(float, scores), strict=True))


def worst_nrmse(evaluation: Evaluation) -> float:
    """Return the NRMSE of the least accurate output, or that over all outputs if it is larger."""
    return max(evaluation.nrmse, *nrmse_by_output(evaluation).values())


def nrmse_of_steps(evaluation: Evaluation, selected: np.ndarray) -> float | None:
    """Return the NRMSE of the selected steps, shape (time,), bool; None if there are none."""
    if not selected.any():
        return None
    return float(np.sqrt(np.mean(_scaled_error(evaluation)[selected] ** 2)))


def accurate_horizon(evaluation: Evaluation, limit: float) -> float | None:
    """Return the time [s] for which the NRMSE since the start stays below a limit: 0 if never, None if always."""
    reached = 0.0
    for time, score in evaluation.horizon:
        if not score < limit:
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


def order_scan_errors(record: Mapping[str, Any]) -> dict[int, float]:
    """Return the error that a quick fit reached with each embedding order; infinite if the fit failed."""
    errors = {}
    for entry in record.get("order_scan") or ():
        error = entry.get("error")
        errors[int(entry["order"])] = float("inf") if error is None else float(error)
    return errors


def restart_disagreement(record: Mapping[str, Any]) -> float | None:
    """Return the largest difference between a kept restart and equally good ones under the probe drive.

    The unit is the standard deviation of the output. None if there was no equally good restart to compare with.
    """
    differences, kept = record.get("disagreement") or [], record.get("kept") or []
    of_kept = [float(differences[i]) for i in kept if i < len(differences) and len(differences) > 1]
    # A stored 0 means that there was no restart to compare with.
    return max(of_kept) if of_kept and max(of_kept) > 0 else None
