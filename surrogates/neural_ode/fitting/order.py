"""Choice of the order of the embedding, by quick fits."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

import numpy as np

from ....errors import FitError
from ....traces.trace import TraceSet
from ....typing import Progress
from ..embedding import Embedding
from ..embeddings.base import embedding_kind
from .checkpoint import Checkpoint
from .config import FitConfig
from .gauss_newton import fit_gauss_newton
from .prepare import prepare
from .stages import default_field, free_run_error

#: Orders that are tried if none is given.
ORDERS = (1, 2, 3)

#: Samples of the free runs that judge an order.
RUN_SAMPLES = 40


def choose_order(
    traces: TraceSet, config: FitConfig, progress: Progress, checkpoint: Checkpoint
) -> tuple[int, list[dict[str, Any]]]:
    """Choose the order of the embedding by the errors of quick fits.

    The error is that of free runs of forty samples through the validation segments. The smallest order is chosen that no
    larger one beats by a factor of two: an order too low costs far more than that, and quick fits scatter by less. If the
    order is given, it and the next one are tried, so that the report can say if it is high enough.

    Args:
        traces: Recordings on a common grid.
        config: Settings.
        progress: Receives one line per order.
        checkpoint: Stores the errors found so far.

    Returns:
        The order, and one entry {"order", "error"} for each order tried.

    Raises:
        FitError: no order gave a finite free run.
    """
    entries = checkpoint.load_note("order_scan") or []
    max_order = embedding_kind(config.embedding).max_order
    candidates = ORDERS if config.order is None else (config.order, config.order + 1)
    for order in list(dict.fromkeys(min(order, max_order) for order in candidates))[len(entries) :]:
        error = quick_error(traces, order, config)
        entries = [*entries, {"order": order, "error": error}]
        checkpoint.save_note("order_scan", entries)
        progress(f"order {order}: error of free runs over {RUN_SAMPLES} samples {error:.4f}")
    if config.order is not None:
        return config.order, entries
    finite = [entry for entry in entries if np.isfinite(entry["error"])]
    if not finite:
        raise FitError("no embedding order gave a finite free run; check the recording with `spinode inspect`.")
    lowest = min(entry["error"] for entry in finite)
    return next(entry["order"] for entry in finite if entry["error"] <= 2 * lowest), entries


def quick_error(traces: TraceSet, order: int, config: FitConfig) -> float:
    """Fit a small network twice, and return the lower error of free runs of forty validation samples."""
    quick = replace(
        config,
        hidden=(12,),
        windows=(1, 8, 40),
        iterations=8,
        max_samples=min(config.max_samples, 6000),
        restarts=1,
        members=1,
    )
    prepared = prepare(traces, Embedding(config.embedding, order), quick)
    segments = [
        (start, min(start + RUN_SAMPLES, last))
        for first, last in prepared.validation
        for start in range(first, max(last - 10, first + 1), RUN_SAMPLES)
    ]
    errors = [float("inf")]
    for restart in range(2):
        # One quick fit in three or four ends in a poor minimum, which must not decide about an order.
        in_memory = Checkpoint(None, {})
        with contextlib.suppress(FitError):
            member = fit_gauss_newton(prepared, quick, default_field(quick), restart, in_memory, lambda line: None).member
            errors.append(free_run_error(member, prepared, segments))
    return min(errors)
