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


@dataclass(frozen=True, eq=False)
class ModelError:
    """Error of a model, separated from the measurement noise of the recording.

        NRMSE = sqrt(max(0, mse - noise variance) / (variance - noise variance))

    Attributes:
        nrmse: Over all outputs (rms); 0 where the error does not exceed the noise.
        low: Lower end of its 90 % interval.
        high: Upper end of its 90 % interval.
        by_output: NRMSE of each output.
        noise: Standard deviation of the noise of each output, SI units, shape (outputs,).
        floor: Noise over the standard deviation of the recording, rms over the outputs: the NRMSE of a perfect model.
        method: What the noise was estimated from.
    """

    nrmse: float
    low: float
    high: float
    by_output: dict[str, float]
    noise: Array
    floor: float
    method: str

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
        }


def model_error(names: tuple[str, ...], run: ComparedRun) -> ModelError:
    """Separate the error of a free run into model error and measurement noise.

    The interval is that of the mean of squared errors, whose effective number follows from their autocorrelation, and of the
    variance of the noise.

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
    shares = np.maximum(mean - noise.variance, 0) / signal
    deviation = np.hypot([_deviation_of_mean(column) for column in squared.T], noise.deviation_of_variance)
    uncertainty = QUANTILE_90 * float(np.sqrt(np.mean((deviation / signal) ** 2)))
    total = float(np.mean((mean - noise.variance) / signal))
    high = min(np.sqrt(max(total, 0.0) + uncertainty), float(np.sqrt(np.mean(mean / signal))))
    nrmse = float(np.sqrt(np.mean(shares)))
    return ModelError(
        nrmse=nrmse,
        low=min(nrmse, float(np.sqrt(max(total - uncertainty, 0.0)))),
        high=max(nrmse, float(high)),
        by_output=dict(zip(names, map(float, np.sqrt(shares)), strict=True)),
        noise=np.sqrt(noise.variance),
        floor=float(np.sqrt(np.mean(noise.variance / variance))),
        method=noise.method[int(np.argmax(noise.variance / variance))],
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
