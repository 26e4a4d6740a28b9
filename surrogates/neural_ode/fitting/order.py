"""The order of the embedding, by quick fits."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

import numpy as np

from ....errors import FitError
from ....traces.trace import TraceSet
from ..embedding import Embedding
from ..embeddings.base import embedding_kind
from .checkpoint import Checkpoint
from .config import FitConfig
from .gauss_newton_stages import fit_gauss_newton
from .prepare import prepare
from .stages import Progress, default_field, free_run_error

#: Orders that are tried where none is given.
ORDERS = (1, 2, 3)


def choose_order(traces: TraceSet, config: FitConfig, say: Progress, note: Checkpoint) -> tuple[int, list[dict[str, Any]]]:
    """Order of the embedding, and the error that each order tried reaches in a quick fit.

    The error is that of free runs through windows of forty samples of the validation stretch. The smallest order wins
    that no larger one beats by a factor of two: an order too low costs far more than that, and quick fits scatter by less.
    Where the order is given, it and the next one are tried, so that the report can say whether it suffices.
    """
    known = note.read("order_scan") or []
    tried = (
        ORDERS if config.order is None else (config.order, min(config.order + 1, embedding_kind(config.embedding).max_order))
    )
    for order in list(dict.fromkeys(tried))[len(known) :]:
        error = quick_error(traces, order, config)
        known = [*known, {"order": order, "error": error}]
        note.write("order_scan", known)
        say(f"order {order}: error of free runs over 40 samples {error:.4f}")
    if config.order is not None:
        return config.order, known
    finite = [entry for entry in known if np.isfinite(entry["error"])]
    if not finite:
        raise FitError("no embedding order gave a finite free run; check the recording with `spinode inspect`.")
    best = min(entry["error"] for entry in finite)
    return next(entry["order"] for entry in finite if entry["error"] <= 2 * best), known


def quick_error(traces: TraceSet, order: int, config: FitConfig) -> float:
    """Error of free runs over forty validation samples after a short fit with a small network, the better of two."""
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
        (first, min(first + 40, last)) for low, last in prepared.validation for first in range(low, max(last - 10, low + 1), 40)
    ]
    errors = [float("inf")]
    for restart in range(2):
        # One quick fit in three or four ends in a poor minimum; an order must not be judged by that.
        silent = Checkpoint.open(None, {})
        with contextlib.suppress(FitError):
            member = fit_gauss_newton(prepared, quick, default_field(quick), restart, silent, lambda line: None).member
            errors.append(free_run_error(member, prepared, segments))
    return min(errors)
