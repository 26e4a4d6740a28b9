"""The error of a free run less the measurement noise of the recording: the error of the model, with an interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ....typing import Array
from .measurement_noise import ComparedRun, measurement_noise
from .metrics import QUANTILE_90

#: Smallest share of the variance of a recording that counts as its signal.
MIN_SIGNAL = 0.05

#: Share of noise in the deviation of a recording from which nothing else can be seen in it.
NOISE_ALONE = 0.97

#: What an NRMSE without the noise is relative to.
DENOMINATOR = "the standard deviation of the output without noise"


@dataclass(frozen=True, eq=False)
class ModelError:
    """Error of a model, separated from the measurement noise of the recording.

        NRMSE = sqrt(max(0, mse - noise variance) / (variance - noise variance))

    The denominator is the variance of the output without noise, at least 0.05 of that of the recording. An output in which
    nothing beyond the noise was found has no such score; it counts with its error, noise included, over its own variance.

    Attributes:
        nrmse: Over all outputs (rms); 0 where the error does not exceed the noise.
        low: Lower end of its 90 % interval.
        high: Upper end of its 90 % interval.
        by_output: NRMSE of each output.
        noise: Standard deviation of the noise of each output, SI units, shape (outputs,).
        floor: Noise over the standard deviation of the recording, rms over the outputs: the NRMSE of a perfect model.
        method: What the noise was estimated from.
        noise_alone: True if nothing beyond the noise was found in any output.
    """

    nrmse: float
    low: float
    high: float
    by_output: dict[str, float]
    noise: Array
    floor: float
    method: str
    noise_alone: bool = False

    @property
    def resolved(self) -> bool:
        """True if the model error can be distinguished from zero."""
        return self.low > 0

    def to_dict(self) -> dict[str, Any]:
        """Return the values in plain JSON form."""
        return {
            "nrmse": self.nrmse,
            "interval_90": [self.low, self.high],
            "by_output": self.by_output,
            "noise": [float(value) for value in self.noise],
            "noise_floor": self.floor,
            "noise_method": self.method,
            "noise_alone": self.noise_alone,
        }


def model_error(names: tuple[str, ...], run: ComparedRun) -> ModelError:
    """Separate the error of a free run into model error and measurement noise.

    The interval is that of the mean of squared errors, whose effective number follows from their autocorrelation, and of the
    variance of the noise. Its upper end is at most that of the error with the noise. Nothing beyond the noise is found where
    the noise is `NOISE_ALONE` of the deviation; or where the variance of the output exceeds neither that of the noise nor that
    of the error by more than their uncertainty.

    Args:
        names: Names of the outputs.
        run: The run and the recording.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> wave = np.sin(np.arange(3000) ** 1.2 / 40)[:, None]
        >>> noisy = wave + 0.2 * rng.standard_normal((3000, 1))
        >>> error = model_error(("y",), ComparedRun(noisy, 0.95 * wave, wave[:, :0]))
        >>> round(error.nrmse, 2), error.low < 0.05 < error.high, round(error.floor, 2)
        (0.05, True, 0.27)
    """
    noise = measurement_noise(run)
    variance = np.maximum(run.truth.var(0), 1e-300)
    signal = np.maximum(variance - noise.variance, MIN_SIGNAL * variance)
    squared = np.minimum((run.predicted - run.truth) ** 2, 1e12 * variance)
    mean = squared.mean(0)
    deviation_of_mean = np.array([_deviation_of_mean(column) for column in squared.T])
    unexplained = variance - mean <= QUANTILE_90 * deviation_of_mean
    unseen = variance - noise.variance <= QUANTILE_90 * noise.deviation_of_variance
    alone = (noise.variance >= NOISE_ALONE**2 * variance) | (unexplained & unseen)
    scale, beyond = np.where(alone, variance, signal), mean - np.where(alone, 0, noise.variance)
    shares = np.maximum(beyond, 0) / scale
    deviation = np.hypot(deviation_of_mean, noise.deviation_of_variance)
    uncertainty, of_mean = (
        QUANTILE_90 * float(np.sqrt(np.mean((each / scale) ** 2))) for each in (deviation, deviation_of_mean)
    )
    share = float(np.mean(shares))
    lowest = 0.0 if alone.all() else float(np.mean(beyond / scale)) - uncertainty
    return ModelError(
        nrmse=float(np.sqrt(share)),
        low=float(np.sqrt(max(lowest, 0.0))),
        high=float(np.sqrt(min(share + uncertainty, float(np.mean(mean / scale)) + of_mean))),
        by_output=dict(zip(names, map(float, np.sqrt(shares)), strict=True)),
        noise=np.sqrt(noise.variance),
        floor=float(np.sqrt(np.mean(noise.variance / variance))),
        method=noise.method[int(np.argmax(noise.variance / variance))],
        noise_alone=bool(alone.all()),
    )


def without_noise(nrmse: float, floor: float) -> float:
    """Return an NRMSE less the noise: the NRMSE in terms of the signal.

    Args:
        nrmse: Root mean square error over the standard deviation of the recording.
        floor: Noise over the standard deviation of the recording.

    Example:
        >>> round(without_noise(0.5, 0.3), 2), without_noise(0.2, 0.3)
        (0.42, 0.0)
    """
    return float(np.sqrt(max(nrmse**2 - floor**2, 0.0) / max(1 - min(floor, 1.0) ** 2, MIN_SIGNAL)))


def _deviation_of_mean(values: Array) -> float:
    """Return the standard error of the mean of autocorrelated values, by the initial positive part of their correlation."""
    length = len(values)
    centred = values - values.mean()
    covariance = np.fft.irfft(np.abs(np.fft.rfft(centred, 2 * length)) ** 2)[:length] / length
    if not covariance[0] > 0:
        return 0.0
    below = np.flatnonzero(covariance <= 0)
    stop = int(below[0]) if len(below) else length
    factor = 2 * float(np.sum(covariance[:stop])) / float(covariance[0]) - 1
    return float(np.sqrt(covariance[0] * max(1.0, factor) / length))
