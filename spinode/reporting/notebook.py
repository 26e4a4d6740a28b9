"""What objects show in a notebook: a title, a few lines, and a picture, as one piece of HTML that loads nothing."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from ..errors import SpinodeError
from ..typing import Array
from .canvas import CYCLE, add_legend, axis_label, choose_prefix, envelope_indices, style_axes
from .page import draw_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Most channels in one picture, and most samples of a line.
MAX_CHANNELS, MAX_POINTS = 6, 1500


def notebook_html(title: str, rows: Sequence[tuple[str, str]], draw: Callable[[], Axes] | None, caption: str) -> str:
    """Return the HTML of an object: title, rows of names and values, and a picture.

    An object must be shown whatever its content is: where the picture cannot be drawn for a reason that the package knows,
    such as a device without a resting state, the sentence stands in its place.

    Args:
        title: One line.
        rows: Names and values.
        draw: Draws the picture and returns its axes; no picture if None.
        caption: Text alternative of the picture.

    Example:
        >>> html = notebook_html("A <device>", [("drive", "V")], None, "")
        >>> "A &lt;device&gt;" in html, "<img" in html
        (True, False)
    """
    left = 'style="text-align:left;padding-right:1em"'
    cells = "".join(f"<tr><th {left}>{escape(name)}</th><td {left}>{escape(value)}</td></tr>" for name, value in rows)
    picture = ""
    if draw is not None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the picture repeats no warnings of a run
                figure = draw_figure(draw, caption)
            picture = f'<img alt="{escape(caption)}" style="max-width:100%" src="data:image/png;base64,{figure.png}">'
        except SpinodeError as error:
            picture = f"<p>No picture: {escape(str(error))}</p>"
    return f"<div><strong>{escape(title)}</strong><table>{cells}</table>{picture}</div>"


def plot_channels(time: Array, channels: Mapping[str, Array], unit: Callable[[str], str]) -> Axes:
    """Plot channels of a recording one above the other.

    Args:
        time: Sample times, shape (time,).
        channels: Values by name, each of shape (time,).
        unit: Returns the unit of a channel, or of "time".
    """
    from matplotlib.figure import Figure

    shown = list(channels.items())[:MAX_CHANNELS]
    figure = Figure(figsize=(7.0, 1.0 + 1.3 * len(shown)), layout="constrained")
    panels = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    factor, time_unit = choose_prefix(time, unit("time"))
    ax: Axes
    for number, (ax, (name, values)) in enumerate(zip(panels, shown, strict=True)):
        indices = envelope_indices(values, MAX_POINTS)
        divisor, shown_unit = choose_prefix(values, unit(name))
        ax.plot(time[indices] / factor, values[indices] / divisor, color=CYCLE[number], linewidth=1.1)
        style_axes(ax, "", axis_label(name, shown_unit))
    ax.set_xlabel(axis_label("time", time_unit))
    return ax


def plot_compared(time: Array, recorded: Array, model: Array, *, name: str, unit: str, time_unit: str) -> Axes:
    """Plot a recording and a model of it, each of shape (time,)."""
    from .canvas import MODEL, TRUTH, new_axes

    ax = new_axes(7.0, 2.8)
    factor, time_unit = choose_prefix(time, time_unit)
    divisor, unit = choose_prefix(recorded, unit)
    for values, color, label in ((recorded, TRUTH, "recorded"), (model, MODEL, "free run")):
        indices = envelope_indices(values, MAX_POINTS)
        ax.plot(time[indices] / factor, values[indices] / divisor, color=color, label=label, linewidth=1.2)
    style_axes(ax, axis_label("time", time_unit), axis_label(name, unit))
    add_legend(ax, above=True)
    return ax
