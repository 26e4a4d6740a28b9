"""Figures of recording and free run: over time, in the phase plane, and over frequency."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import signal

from ....errors import TraceError
from ....reporting.canvas import (
    MODEL,
    TRUTH,
    WRONG,
    add_legend,
    axis_label,
    choose_prefix,
    envelope_indices,
    new_axes,
    new_stacked_axes,
    style_axes,
)
from ....typing import Array
from ..embeddings.local_polynomial import local_polynomial
from ..evaluation.metrics import QUANTILE_90
from ..evaluation.wording import CLEAN
from .marks import mark_events, output_index

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..evaluation.evaluate import Evaluation

#: Samples of a phase portrait; the loops of more samples would cover each other.
PHASE_SAMPLES = 600

#: Maximum samples of a segment of a spectrum: 10 000 samples then give several segments to average.
MAX_SEGMENT = 2048

#: Range of the spectra below the peak of the recording [dB]; lower values are rounding errors.
DYNAMIC_RANGE = 90.0


def plot_overlay(
    evaluation: Evaluation,
    *,
    output: str | None = None,
    start: float | None = None,
    stop: float | None = None,
    ax: tuple[Axes, Axes] | None = None,
) -> tuple[Axes, Axes]:
    """Plot recording and free run, and below them a strip with their difference.

    The recording is a wide pale line, so that the thin one of the model covers it without hiding it. The predicted 90 %
    interval is a band around the model, and around zero in the strip, where it is visible at any scale; dotted lines there are
    two standard deviations of the measurement noise. A bar at the bottom marks steps outside the domain of validity.

    Args:
        evaluation: From `spinode.evaluate`.
        output: Name of the output; the first if omitted.
        start: First time shown [s].
        stop: Last time shown [s].
        ax: Axes of the curves and of the strip.

    Returns:
        Axes of the curves, Axes of the strip.

    Raises:
        TraceError: there is no such output, or fewer than two samples lie between start and stop.

    Example:
        >>> import spinode
        >>> from spinode.datasets import read_trace, sample_path
        >>> surrogate = spinode.load(spinode.surrogates.zoo.path("macrospin"))
        >>> trace = read_trace(sample_path("macrospin.csv"), drive="Ku", output="mz")
        >>> curves, strip = plot_overlay(spinode.evaluate(surrogate, trace.between(40e-9, 42e-9)))
        >>> strip.get_xlabel()
        'time (ns)'
    """
    name, column = output_index(evaluation, output)
    curves, strip = new_stacked_axes() if ax is None else ax
    shown = _range(evaluation, start, stop)
    time = np.asarray(evaluation.trace.time)[shown]
    truth, model = evaluation.truth[shown, column], evaluation.prediction[shown, column]
    band = QUANTILE_90 * evaluation.run.spread.numpy()[shown, column]
    unit = evaluation.trace.unit(name)
    time_divisor, time_unit = choose_prefix(time, evaluation.trace.unit("time"))
    divisor, own_unit = choose_prefix(truth, unit)
    _band(curves, time / time_divisor, (model - band) / divisor, (model + band) / divisor, alpha=0.25)
    _line(curves, time / time_divisor, truth / divisor, TRUTH, "recorded", linewidth=3.6, alpha=0.3)
    _line(curves, time / time_divisor, model / divisor, MODEL, "model", linewidth=1.1)
    _mark_outside(curves, time / time_divisor, evaluation.run.outside.numpy()[shown])
    _band(strip, time / time_divisor, -band / divisor, band / divisor, alpha=0.25)
    _line(strip, time / time_divisor, (model - truth) / divisor, WRONG, "model - recorded", linewidth=1.0)
    for edge in (-band, band):  # above the error, which in a long recording covers the band
        _line(strip, time / time_divisor, edge / divisor, MODEL, "", linewidth=0.7)
    strip.axhline(0.0, color=TRUTH, linewidth=0.6)
    noise = 0.0 if evaluation.model_error is None else float(evaluation.model_error.noise[column])
    if evaluation.noise_floor > CLEAN:
        for level in (-2 * noise, 2 * noise):
            strip.axhline(level / divisor, color=TRUTH, linewidth=1.0, linestyle=":")
        curves.plot([], [], color=TRUTH, linewidth=1.0, linestyle=":", label="±2 noise (error)")
    _limit_strip(strip, (model - truth) / divisor, band / divisor)
    for axes in (curves, strip):
        mark_events(axes, evaluation, time_divisor, within=(float(time[0]), float(time[-1])))
        axes.set_xlim(time[0] / time_divisor, time[-1] / time_divisor)
    low, high = _limits(evaluation.truth[:, column], truth, model)
    curves.set_ylim(low / divisor, high / divisor)
    style_axes(curves, "", axis_label(name, own_unit))
    style_axes(strip, axis_label("time", time_unit), axis_label("error", own_unit))
    add_legend(curves, above=True)
    return curves, strip


def _band(ax: Axes, x: Array, low: Array, high: Array, *, alpha: float) -> None:
    keep = np.unique(np.concatenate([envelope_indices(low), envelope_indices(high)]))
    ax.fill_between(x[keep], low[keep], high[keep], color=MODEL, alpha=alpha, linewidth=0, label="90 % interval")


def _limit_strip(ax: Axes, error: Array, band: Array) -> None:
    """Set limits that show the error, and the band unless it is far wider in some places."""
    finite = np.abs(error[np.isfinite(error)])
    largest = max(float(finite.max(initial=0.0)), min(float(np.max(band)), 3 * float(np.median(band))))
    if largest > 0:
        ax.set_ylim(-1.15 * largest, 1.15 * largest)


def _limits(recording: Array, truth: Array, model: Array) -> tuple[float, float]:
    """Return limits that show both curves, unless the run escapes: it must not flatten the recording to a line.

    Args:
        recording: The whole recorded output.
        truth: The part that is shown.
        model: The free run in that part.
    """
    excess = 0.3 * float(np.ptp(recording))
    visible = np.concatenate([truth, np.clip(model, recording.min() - excess, recording.max() + excess)])
    low, high = float(visible.min()), float(visible.max())
    margin = 0.12 * max(high - low, 1e-300)
    return low - margin, high + margin


def _range(evaluation: Evaluation, start: float | None, stop: float | None) -> slice:
    """Return the samples between two times [s]."""
    time = np.asarray(evaluation.trace.time)
    first = 0 if start is None else int(np.searchsorted(time, start))
    last = len(time) if stop is None else int(np.searchsorted(time, stop, side="right"))
    if last - first < 2:
        raise TraceError(
            f"fewer than two samples lie between {start} and {stop} s; the run covers {time[0]:.6g} .. {time[-1]:.6g} s."
        )
    return slice(first, last)


def _line(ax: Axes, x: Array, y: Array, color: str, label: str, **style: object) -> None:
    keep = envelope_indices(y)
    ax.plot(x[keep], y[keep], color=color, label=label, **style)  # type: ignore[arg-type]


def _mark_outside(ax: Axes, x: Array, outside: np.ndarray) -> None:
    """Draw a bar at the bottom of the axes below all steps outside the domain."""
    if not outside.any():
        return
    edges = np.flatnonzero(np.diff(np.concatenate([[0], outside.astype(int), [0]])))
    step = float(x[1] - x[0])
    # Bars narrower than a pixel would not be visible.
    min_width = max(step, 0.0015 * float(x[-1] - x[0]))
    spans = [(float(x[a]), max(float(x[b - 1] - x[a]), min_width)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    ax.broken_barh(spans, (0.0, 0.035), transform=ax.get_xaxis_transform(), facecolors=WRONG, label="outside the domain")


def plot_phase(evaluation: Evaluation, *, output: str | None = None, ax: Axes | None = None) -> Axes:
    """Plot the phase portrait of an output: its rate of change against its value, recorded and free run.

    The rates come from the local polynomial of the embedding, which suppresses noise.

    Args:
        evaluation: From `spinode.evaluate`.
        output: Name of the output; the first if omitted.
        ax: Axes to draw into; new ones if omitted.

    Raises:
        TraceError: there is no such output.
    """
    name, column = output_index(evaluation, output)
    ax = new_axes() if ax is None else ax
    time = np.asarray(evaluation.trace.time)
    time_divisor, time_unit = choose_prefix(time - time[0], evaluation.trace.unit("time"))
    step = float(time[1] - time[0]) / time_divisor
    divisor, unit = choose_prefix(evaluation.truth[:, column], evaluation.trace.unit(name))
    shown = slice(0, PHASE_SAMPLES)
    for values, color, label, style in (
        (evaluation.truth, TRUTH, "recorded", "-"),
        (evaluation.prediction, MODEL, "model", (0, (4, 1.2))),
    ):
        blocks = local_polynomial(values[:, column] / divisor, 2)[0][shown]
        ax.plot(blocks[:, 0], blocks[:, 1] / step, color=color, linestyle=style, linewidth=1.0, alpha=0.8, label=label)
    rate = np.gradient(evaluation.truth[:, column][shown] / divisor) / step
    _limit_to_recording(ax, evaluation.truth[shown, column] / divisor, rate)
    style_axes(ax, axis_label(name, unit), axis_label(f"d {name} / dt", f"{unit or '1'}/{time_unit}"))
    add_legend(ax)
    return ax


def _limit_to_recording(ax: Axes, x: Array, y: Array) -> None:
    """Set the limits by the recording, so that it stays visible if the run escapes."""
    for values, set_limits in ((x, ax.set_xlim), (y, ax.set_ylim)):
        low, high = float(np.min(values)), float(np.max(values))
        margin = 0.25 * max(high - low, 1e-300)
        set_limits(low - margin, high + margin)


def plot_spectrum(evaluation: Evaluation, *, output: str | None = None, ax: Axes | None = None) -> Axes:
    """Plot the power spectral density (Welch, Hann) of recording, free run and error, in dB relative to the recorded peak.

    Args:
        evaluation: From `spinode.evaluate`.
        output: Name of the output; the first if omitted.
        ax: Axes to draw into; new ones if omitted.

    Raises:
        TraceError: there is no such output.
    """
    name, column = output_index(evaluation, output)
    ax = new_axes() if ax is None else ax
    truth, model = evaluation.truth[:, column], evaluation.prediction[:, column]
    step = float(np.median(np.diff(np.asarray(evaluation.trace.time))))
    segment = min(MAX_SEGMENT, len(truth))
    frequency, density = signal.welch(truth, 1 / step, nperseg=segment)
    peak = float(max(density.max(), 1e-300))
    in_seconds = evaluation.trace.unit("time") == "s"
    highest = _highest_frequency(frequency, density)
    divisor, unit = choose_prefix(highest, "Hz") if in_seconds else (1.0, f"1/{evaluation.trace.unit('time') or 'step'}")
    lines: tuple[tuple[Array, str, str, dict[str, Any]], ...] = (
        (truth, TRUTH, "recorded", {"linewidth": 3.4, "alpha": 0.3}),
        (model, MODEL, "model", {"linewidth": 1.1}),
        (model - truth, WRONG, "error", {"linewidth": 1.1}),
    )
    for values, color, label, style in lines:
        power = signal.welch(values, 1 / step, nperseg=segment)[1]
        decibel = 10 * np.log10(np.maximum(power / peak, 10 ** (-DYNAMIC_RANGE / 10 - 1)))
        ax.plot(frequency / divisor, decibel, color=color, label=label, **style)
    if evaluation.model_error is not None and evaluation.noise_floor > CLEAN:
        level = 2 * step * float(evaluation.model_error.noise[column]) ** 2 / peak
        ax.axhline(10 * np.log10(max(level, 1e-300)), color=TRUTH, linewidth=1.2, linestyle=":", label="noise floor")
    ax.set_xlim(0, highest / divisor)
    ax.set_ylim(-DYNAMIC_RANGE, 8)
    style_axes(ax, axis_label("frequency", unit), "power density of " + axis_label(name, "dB"))
    add_legend(ax)
    return ax


def _highest_frequency(frequency: Array, density: Array) -> float:
    """Return the highest frequency to draw: twice that below which all but 1e-6 of the power lies."""
    share = np.cumsum(density) / max(float(density.sum()), 1e-300)
    edge = frequency[min(int(np.searchsorted(share, 1 - 1e-6)), len(frequency) - 1)]
    return float(min(frequency[-1], max(2 * edge, frequency[min(8, len(frequency) - 1)])))
