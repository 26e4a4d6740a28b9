"""Helpers of the figures of an evaluation: the output to show and the times to mark."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ....errors import TraceError
from ....reporting.canvas import WRONG
from ..evaluation.evaluate import Evaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def output_index(evaluation: Evaluation, output: str | None) -> tuple[str, int]:
    """Return name and column of an output; the first one if None.

    Raises:
        TraceError: there is no such output.
    """
    names = list(evaluation.trace.output)
    if output is None:
        return names[0], 0
    if output not in names:
        raise TraceError(f"the surrogate has no output {output!r}; its outputs are: {', '.join(names)}.")
    return output, names.index(output)


def mark_events(
    ax: Axes,
    evaluation: Evaluation,
    divisor: float,
    *,
    since_start: bool = False,
    within: tuple[float, float] = (-math.inf, math.inf),
) -> None:
    """Draw vertical lines where the device changes and where the run diverges, if these times [s] are within the limits."""
    origin = float(evaluation.trace.time[0]) if since_start else 0.0
    for at, text, style in (
        (evaluation.regime_change_at, "device changes", "--"),
        (evaluation.diverged_at, "run diverges", ":"),
    ):
        if at is not None and within[0] <= at <= within[1]:
            ax.axvline((at - origin) / divisor, color=WRONG, linestyle=style, linewidth=1.6, label=text)
