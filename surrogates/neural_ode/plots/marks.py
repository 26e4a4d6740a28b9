"""What the figures of an evaluation share: the output that is shown, and the instants that are marked."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ....errors import TraceError
from ....reporting.canvas import WRONG
from ..evaluation.evaluate import Evaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def output_index(evaluation: Evaluation, output: str | None) -> tuple[str, int]:
    """Name and column of an output; the first one if None.

    Raises:
        TraceError: no such output.
    """
    names = list(evaluation.trace.output)
    if output is None:
        return names[0], 0
    if output not in names:
        raise TraceError(f"there is no output {output!r} here; the outputs are: {', '.join(names)}.")
    return output, names.index(output)


def mark_instants(
    ax: Axes,
    evaluation: Evaluation,
    divide: float,
    *,
    since_start: bool = False,
    within: tuple[float, float] = (-math.inf, math.inf),
) -> None:
    """Vertical lines where the device changed and where the run diverged, if these instants [s] are shown."""
    origin = float(evaluation.trace.time[0]) if since_start else 0.0
    for at, text, style in (
        (evaluation.regime_change_at, "device changes", "--"),
        (evaluation.diverged_at, "run diverges", ":"),
    ):
        if at is not None and within[0] <= at <= within[1]:
            ax.axvline((at - origin) / divide, color=WRONG, linestyle=style, linewidth=1.6, label=text)
