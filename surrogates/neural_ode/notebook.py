"""What a surrogate shows in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...errors import DomainError
from ...reporting.canvas import CYCLE, add_legend, axis_label, choose_prefix, new_axes, style_axes
from ...reporting.notebook import notebook_html

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Samples of the response to a step, of which the first quarter is before the step.
SAMPLES = 400


def surrogate_html(surrogate: Any) -> str:
    """Return the description of a `Surrogate` and its response to a step of its first drive.

    Args:
        surrogate: A `Surrogate`; not annotated as such, because its file imports this one.
    """
    lines = (line.partition(":") for line in surrogate.describe().splitlines())
    rows = [(name.strip(), value.strip()) for name, _, value in lines]
    draw = None if surrogate.ports.parameters or not surrogate.ports.drive else lambda: _plot_step(surrogate)
    return notebook_html("Surrogate", rows, draw, "response to a step of the first drive by one standard deviation")


def _plot_step(surrogate: Any) -> Axes:
    drives = len(surrogate.ports.drive)
    mean = surrogate.scales.drive_mean[:drives].double()
    drive = mean.expand(SAMPLES, -1).clone()
    drive[SAMPLES // 4 :, 0] += surrogate.scales.drive_scale[0]
    with torch.no_grad():
        output = surrogate.simulate(drive).numpy()
    if not np.isfinite(output).all():
        raise DomainError("the response to a step of the drive diverges.")
    ax = new_axes(7.0, 2.6)
    factor, time_unit = choose_prefix(np.array([SAMPLES * surrogate.interval]), "s")
    time = surrogate.interval * np.arange(SAMPLES) / factor
    for number, name in enumerate(surrogate.ports.output[: len(CYCLE)]):
        unit = surrogate.ports.units.get(name, "")
        divisor, shown = choose_prefix(output[:, number], unit)
        ax.plot(time, output[:, number] / divisor, color=CYCLE[number], label=axis_label(name, shown))
    style_axes(ax, axis_label("time", time_unit), "output", f"step of {surrogate.ports.drive[0]}")
    add_legend(ax)
    return ax
