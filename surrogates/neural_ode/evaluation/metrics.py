"""Metrics of the error of a free run."""

from __future__ import annotations

import numpy as np

from ....typing import Array

#: Half the width of the central 90 % interval of a normal distribution, in standard deviations.
QUANTILE_90 = 1.645


def rms_ratio(error: Array, scale: Array) -> float:
    """Return the root mean square of the errors divided by the scale of their output, over all outputs."""
    return float(np.sqrt(np.mean((error / scale) ** 2)))


def spectrum_error(truth: Array, predicted: Array) -> float:
    """Return the relative error || |Y| - |Y^| || / || |Y| || of the amplitude spectra.

    The means are removed and a Hann window is applied.

    Args:
        truth: Recorded outputs, shape (time, outputs).
        predicted: Predicted outputs, shape (time, outputs).

    Example:
        >>> wave = np.sin(np.arange(1000) / 10)[:, None]
        >>> round(spectrum_error(wave, 1.3 * wave), 6)
        0.3
    """
    window = np.hanning(len(truth))[:, None]
    true_amplitudes = np.abs(np.fft.rfft((truth - truth.mean(0)) * window, axis=0))
    amplitudes = np.abs(np.fft.rfft((predicted - predicted.mean(0)) * window, axis=0))
    return float(np.linalg.norm(true_amplitudes - amplitudes) / max(float(np.linalg.norm(true_amplitudes)), 1e-300))


def horizon_curve(time: Array, scaled_error: Array, points: int = 24) -> list[tuple[float, float]]:
    """Return the rms error of the run up to each of several logarithmically spaced horizons.

    Args:
        time: Sample times [s], shape (time,).
        scaled_error: Errors over the standard deviation of their output, shape (time, outputs).
        points: Maximum number of horizons.

    Returns:
        Pairs (time since the start [s], rms error up to there).
    """
    cumulative = np.cumsum(np.mean(scaled_error**2, -1))
    counts = np.unique(np.geomspace(2, len(time), points).astype(int))
    return [(float(time[n - 1] - time[0]), float(np.sqrt(cumulative[n - 1] / n))) for n in counts]


def divergence_time(time: Array, scaled_error: Array, escaped_at: float | None) -> float | None:
    """Return the time from which on the running error exceeds one standard deviation until the end, or None.

    Args:
        time: Sample times [s], shape (time,).
        scaled_error: Errors over the standard deviation of their output, shape (time, outputs). The running error is the
            rms over a fortieth of the run.
        escaped_at: Time at which the state of the run left its bounds [s]; an earlier divergence takes precedence.
    """
    width = max(5, len(time) // 40)
    running = np.convolve(np.mean(scaled_error**2, -1), np.ones(width) / width, mode="valid")
    above = running > 1.0
    candidates = [] if escaped_at is None else [escaped_at]
    if above[-1]:
        below = np.flatnonzero(~above)
        candidates.append(float(time[0] if not len(below) else time[min(below[-1] + 1, len(time) - 1)]))
    return min(candidates) if candidates else None
