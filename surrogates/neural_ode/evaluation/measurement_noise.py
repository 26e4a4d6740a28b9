"""Measurement noise of a recording, estimated from repeats or from the error of a free run, and what it leaves of the error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import signal

from ....typing import Array

#: Names of the methods, to follow "estimated from".
REPEATS, SPECTRUM, UNEXPLAINED = (
    "repeats of the periodic drive",
    "the flat part of the error's spectrum",
    "the part of the error that drive and model do not explain",
)

#: Correlation of neighbouring samples up to which noise is recognised: that of noise behind an anti-aliasing filter.
CORRELATIONS = np.arange(-0.4, 0.71, 0.05)

#: A frequency belongs to the noise if the smoothed spectrum is below this multiple of the fitted one: the ratio scatters by a
#: fifth. Share of all frequencies that a fit begins with, and that it must keep for the correlation to be fitted, too.
NOISE_BAND, FIRST_SHARE, COLOUR_SHARE = 1.7, 0.25, 0.3

#: Largest difference between periods of a drive that repeats itself, in its standard deviations.
PERIODIC = 1e-3

#: Share of the differences between periods that must be flat in the spectrum for all of them to be noise. The estimate of the
#: flat part scatters by a tenth, and motion of the device is a few lines or slow.
BROAD = 0.7

#: Delays of drive and prediction, in steps of the surrogate, and number of random features that may explain an error.
DELAYS, RANDOM_FEATURES = (0, 1, 2, 3, 5, 8, 13, 21, 34), 60

#: Folds of the cross-validation, and samples beyond which a part is enough.
FOLDS, MAX_SAMPLES = 5, 20_000


@dataclass(frozen=True, eq=False)
class MeasurementNoise:
    """Measurement noise of the outputs of a recording.

    Attributes:
        variance: Shape (outputs,), SI units.
        deviation_of_variance: Standard error of the variance, shape (outputs,).
        method: What it was estimated from, one of the names above for each output.
    """

    variance: Array
    deviation_of_variance: Array
    method: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class ComparedRun:
    """A free run beside the recording that it is compared with.

    Attributes:
        truth: Recorded outputs, shape (time, outputs).
        predicted: Outputs of the free run, shape (time, outputs).
        inputs: Drives, shape (time, drives).
        stride: Samples of the recording in a step of the surrogate.
    """

    truth: Array
    predicted: Array
    inputs: Array
    stride: int = 1


def measurement_noise(run: ComparedRun) -> MeasurementNoise:
    """Estimate the measurement noise of a recording with the help of a free run.

    A drive that repeats itself shows the noise without a model: the outputs of its periods differ by it, as far as their
    difference is as broad as noise; a drift, an oscillation of the device's own or a doubled period are not noise. Otherwise
    noise is what is flat, or nearly so, in the spectra of both recording and error: the steps of held drives are in both
    recording and model, and a wrong model errs where the recording moves. The spectrum cannot distinguish an error as broad
    as noise; so what delayed drives and predictions explain of the error (ridge regression on random features,
    cross-validated) is not counted as noise.

    Args:
        run: The run and the recording.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> wave = np.sin(np.arange(3000) ** 1.2 / 40)[:, None]
        >>> noise = measurement_noise(ComparedRun(wave + 0.1 * rng.standard_normal((3000, 1)), 0.9 * wave, wave[:, :0]))
        >>> round(float(noise.variance[0]) ** 0.5, 3), noise.method[0]
        (0.1, "the flat part of the error's spectrum")
    """
    period = drive_period(run.inputs)
    variance, error, method = zip(*(_of_output(run, index, period) for index in range(run.truth.shape[1])), strict=True)
    return MeasurementNoise(np.array(variance), np.array(error), tuple(method))


def _of_output(run: ComparedRun, index: int, period: int | None) -> tuple[float, float, str]:
    truth = run.truth[:, index]
    error = np.clip(run.predicted[:, index] - truth, -1e3 * np.ptp(truth), 1e3 * np.ptp(truth))
    if not np.isfinite(error).all() or not np.ptp(truth) > 0:
        return 0.0, 0.0, SPECTRUM
    total = float(np.mean(error**2))
    if period is not None:
        between, count = _variance_between_periods(truth, period)
        return min(between, total), between * np.sqrt(2 / count), REPEATS
    flat, relative_error = flat_spectrum_level(error, truth)
    unexplained = unexplained_variance(error, np.concatenate([run.inputs, run.predicted], 1), run.stride)
    if unexplained < flat:
        return unexplained, unexplained * max(relative_error, np.sqrt(2 / len(error))), UNEXPLAINED
    return min(flat, total), flat * relative_error, SPECTRUM


def drive_period(inputs: Array) -> int | None:
    """Return the period of drives that repeat themselves at least three times, in samples; None otherwise.

    Example:
        >>> wave = np.random.default_rng(0).standard_normal(50)
        >>> drive_period(np.tile(wave, 4)[:, None]), drive_period(np.arange(200.0)[:, None])
        (50, None)
    """
    length = len(inputs)
    deviation = inputs.std(0)
    moving = deviation > 1e-9 * np.maximum(np.abs(inputs).max(0, initial=0.0), 1e-300)
    if not moving.any():
        return None
    scaled = (inputs[:, moving] - inputs[:, moving].mean(0)) / deviation[moving]
    power = np.abs(np.fft.rfft(scaled[:, 0], 2 * length)) ** 2
    counts = length - np.arange(length // 3 + 1)
    correlation = np.fft.irfft(power)[: length // 3 + 1] / counts
    peaks = signal.find_peaks(correlation, height=0.9)[0]
    for lag in peaks:
        if lag > 3 and np.sqrt(np.mean((scaled[lag:] - scaled[:-lag]) ** 2)) < PERIODIC:
            return int(lag)
    return None


def _variance_between_periods(values: Array, period: int) -> tuple[float, int]:
    """Return the variance of periods around their mean, without the first, a transient, and its degrees of freedom.

    Where the flat part of the spectrum of the differences is much less than that, they are motion of the device, and the flat
    part is the noise.
    """
    count = len(values) // period
    folded = values[period : count * period].reshape(count - 1, period)
    degrees = (count - 2) * period
    differences = folded - folded.mean(0)
    variance = float(np.sum(differences**2) / degrees)
    if not variance > 0:
        return 0.0, degrees
    flat = flat_spectrum_level(differences.ravel(), differences.ravel())[0] * (count - 1) / (count - 2)
    return (variance if flat >= BROAD * variance else flat), degrees


def flat_spectrum_level(error: Array, truth: Array) -> tuple[float, float]:
    """Return the variance of noise whose spectrum is the floor under those of error and recording, and its relative error.

    The spectrum of the noise is that of a first-order autoregression, v (1 - a^2) / (1 + a^2 - 2 a cos w); v and a maximise
    the Whittle likelihood over the frequencies that no motion exceeds, which are found in turn with them.

    Args:
        error: Error of a free run, shape (time,).
        truth: Recorded output, shape (time,).

    Source: Whittle, Ark. Mat. 2, 423 (1953) (the likelihood).
    """
    segment = int(np.clip(len(error) // 8, 32, 1024))
    spectra = [signal.welch(values, nperseg=min(segment, len(error)))[1][1:-1] / 2 for values in (error, truth)]
    density = np.minimum(*spectra) * 1.0
    density = np.maximum(density, 1e-300)
    width = max(3, len(density) // 24)
    smooth = np.convolve(np.pad(density, width // 2, mode="edge"), np.ones(width) / width, mode="valid")[: len(density)]
    omega = np.pi * (1 + np.arange(len(density))) / (len(density) + 1)
    band = smooth <= np.quantile(smooth, FIRST_SHARE)
    level, shape = 0.0, np.ones(len(density))
    for _ in range(20):
        level, shape = _fit_floor(density[band], omega[band], omega, colour=bool(band.mean() >= COLOUR_SHARE))
        inside = smooth <= NOISE_BAND * level * shape
        if inside.sum() < 4 or np.array_equal(inside, band):
            break
        band = inside
    independent = max(1.0, band.sum() * len(error) / (2 * len(density) + 2))
    return level, float(1 / np.sqrt(independent)) if independent > 1 else 1.0


def _fit_floor(density: Array, omega: Array, every: Array, *, colour: bool) -> tuple[float, Array]:
    """Return the level of the floor, and its shape at all frequencies (mean one)."""
    best, result = np.inf, (0.0, np.ones(len(every)))
    for a in CORRELATIONS if colour else (0.0,):
        ratio = density / _autoregression(a, omega)
        level = float(np.mean(ratio))
        likelihood = len(density) * np.log(level) + float(np.sum(np.log(_autoregression(a, omega))))
        if likelihood < best:
            best, result = likelihood, (level, _autoregression(a, every))
    return result


def _autoregression(a: float, omega: Array) -> Array:
    shape: Array = (1 - a**2) / (1 + a**2 - 2 * a * np.cos(omega))
    return shape


def unexplained_variance(error: Array, explaining: Array, stride: int = 1) -> float:
    """Return the mean square of the part of an error that drives and predictions with their past do not explain.

    Args:
        error: Shape (time,).
        explaining: Drives and predictions, shape (time, channels).
        stride: Unit of the delays, in samples.
    """
    total = float(np.mean(error**2))
    delays = [delay * stride for delay in DELAYS if delay * stride < len(error) // 8]
    if not delays or not total > 0:
        return total
    first = delays[-1]
    thin = max(1, (len(error) - first) // MAX_SAMPLES)
    rows = np.arange(first, len(error), thin)
    scaled = np.clip((explaining - explaining.mean(0)) / np.maximum(explaining.std(0), 1e-300), -10, 10)
    linear = np.concatenate([scaled[rows - delay] for delay in delays], 1)
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((linear.shape[1], RANDOM_FEATURES)) * 1.5 / np.sqrt(linear.shape[1])
    features = np.tanh(linear @ weights + rng.uniform(-1, 1, RANDOM_FEATURES))
    design = np.concatenate([np.ones((len(rows), 1)), linear, features], 1)
    target = error[rows]
    left = np.empty(len(rows))
    for fold in np.array_split(np.arange(len(rows)), FOLDS):
        others = np.ones(len(rows), dtype=bool)
        others[fold] = False
        gram = design[others].T @ design[others] + 1e-3 * others.sum() * np.eye(design.shape[1])
        left[fold] = target[fold] - design[fold] @ np.linalg.solve(gram, design[others].T @ target[others])
    return min(total, float(np.mean(left**2)))
