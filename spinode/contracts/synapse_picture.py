"""What a synapse shows in a notebook: a few devices under pulses."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..random import seeded_generator
from ..reporting.canvas import MODEL, axis_label, choose_prefix, new_axes, style_axes
from ..reporting.notebook import notebook_html

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Devices in the picture, and pulses of each polarity.
DEVICES, PULSES = 12, 60


def synapse_html(synapse: Any, pulses: Callable[[str, int], Any]) -> str:
    """Return kind, range and polarities of a `SynapseModel`, and a picture of devices under pulses.

    Args:
        synapse: A `SynapseModel`; not annotated as such, because its file imports this one.
        pulses: Returns one pulse of a polarity for so many devices.
    """
    rows = [
        ("range", f"{synapse.low:.4g} .. {synapse.high:.4g} {synapse.unit}".rstrip()),
        ("responds to", ", ".join(synapse.polarities)),
    ]
    caption = f"{DEVICES} devices under {PULSES} pulses of each polarity"
    return notebook_html(type(synapse).__name__, rows, lambda: _plot_pulses(synapse, pulses), caption)


def _plot_pulses(synapse: Any, pulses: Callable[[str, int], Any]) -> Axes:
    generator = seeded_generator(0)
    state, reads = synapse.initial((DEVICES,), generator=generator), []
    with torch.no_grad():
        for polarity in synapse.polarities:
            pulse = pulses(polarity, DEVICES)
            for _ in range(PULSES):
                state = synapse.program(state, pulse, generator=generator)
                reads.append(synapse.read(state, generator=generator).double().numpy())
    values = np.stack(reads)
    divisor, unit = choose_prefix(values, synapse.unit)
    ax = new_axes(7.0, 2.6)
    ax.plot(values / divisor, color=MODEL, alpha=0.5, linewidth=0.9)
    style_axes(ax, f"pulse ({', then '.join(synapse.polarities)})", axis_label("conductance", unit))
    return ax
