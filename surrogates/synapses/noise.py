"""`NoiseModel`: accumulating, correlated, telegraph and read noise of a memory device in a few parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...contracts.synapse import SET
from ...typing import Array
from .kalman import Noise
from .pulse_data import PulseData

#: Parameters of the accumulating noise of one polarity: the polynomial coefficients of the logarithm of its deviation.
POLYNOMIAL = ("log accumulating", "its slope", "its curvature")
#: Standard deviation of the prior of slopes and curvatures, the dependence of noise on the state.
SLOPE_PRIOR = 0.5
#: Smallest noise, in standard deviations of the state: simulated recordings may have none.
FLOOR = 1e-7
#: Bounds of the logarithm of any standard deviation: from that floor to the whole range.
LOG_BOUNDS = (-16.1, 1.0)


@dataclass(frozen=True)
class NoiseModel:
    """The form of the noise; the unit of all standard deviations is the standard deviation of the state.

        accumulating, per pulse of polarity p:  exp(a_p + b_p x + c_p x^2)
        white read noise:                       exp(d + e x)
        correlated read noise:                  exp(m), forgotten as exp(-n / tau) over n pulses

    Attributes:
        polarities: Polarities, each with its own accumulating noise.
        memory: True with correlated read noise.
        telegraph: True with random telegraph noise of depth N(m, exp(s)^2).

    Example:
        >>> NoiseModel(("SET",)).names
        ('log accumulating SET', 'its slope SET', 'its curvature SET', 'log read', 'its slope')
    """

    polarities: tuple[str, ...]
    memory: bool = False
    telegraph: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters, in their order."""
        process = [f"{coefficient} {name}" for name in self.polarities for coefficient in POLYNOMIAL]
        memory = ("log correlated read", "log memory") if self.memory else ()
        return (*process, "log read", "its slope", *memory, *(("depth", "log depth deviation") if self.telegraph else ()))

    @property
    def bounds(self) -> list[tuple[float, float]]:
        """Lower and upper bound of each parameter: noise is at most as large as the range and varies gradually."""
        special = {"log memory": (-1.0, 7.0), "depth": (-6.0, 6.0), "log depth deviation": (-8.0, 1.5)}
        slopes = {"its slope": (-5.0, 5.0), "its curvature": (-2.0, 2.0)}
        default = [next((pair for key, pair in slopes.items() if name.startswith(key)), LOG_BOUNDS) for name in self.names]
        return [special.get(name, pair) for name, pair in zip(self.names, default, strict=True)]

    def start(self, accumulating: float, read: float) -> Array:
        """Return initial parameters from two standard deviations."""
        process = [np.log(max(accumulating, FLOOR)), 0.0, 0.0] * len(self.polarities)
        memory = [np.log(0.5 * read + FLOOR), np.log(5.0)] if self.memory else []
        telegraph = [0.0, np.log(5 * (accumulating + read))] if self.telegraph else []
        return np.array([*process, np.log(max(read, FLOOR)), 0.0, *memory, *telegraph])

    def prior(self, parameters: Array) -> Array:
        """Return the log prior, shape (...), of parameters (..., parameters); it is weak, and bounds fits of few reads."""
        total = np.zeros(parameters.shape[:-1])
        for i, name in enumerate(self.names):
            value = parameters[..., i]
            if name.startswith("its"):
                total = total - 0.5 * (value / SLOPE_PRIOR) ** 2
            elif name == "depth":
                total = total - 0.5 * (value / 3.0) ** 2
            elif name == "log memory":
                total = total - 0.5 * ((value - np.log(5.0)) / 2.0) ** 2
            else:
                total = total - 0.5 * ((value + 4.0) / 4.0) ** 2
        return total

    def variances(self, parameters: Array, data: PulseData, reference: Array) -> Noise:
        """Return the variances along the recordings for several sets of parameters.

        Args:
            parameters: Shape (sets, parameters).
            data: The recordings.
            reference: State x^ at each read, shape (reads, lanes).

        Returns:
            Variances with sets * lanes lanes, set by set.
        """
        sets = parameters.clip(-30, 10)
        by_name = dict(zip(self.names, sets.T, strict=True))
        x = reference.clip(-6, 6)
        process = []
        read = []
        decay = []
        for index in range(len(sets)):
            value = {name: column[index] for name, column in by_name.items()}
            q = np.zeros_like(data.pulses)
            for name in self.polarities:
                sign = 1 if name == SET else -1
                base, slope, curvature = (value[f"{part} {name}"] for part in POLYNOMIAL)
                log = base + slope * x[:-1] + curvature * x[:-1] ** 2
                q = np.where(data.polarity == sign, np.exp(2 * log.clip(*LOG_BOUNDS)), q)
            # Pauses are described by retention; here the state may change by any amount in them.
            process.append(q * data.pulses + np.where(data.pause > 0, 1.0, FLOOR**2))
            read.append(np.exp(2 * (value["log read"] + value["its slope"] * x).clip(*LOG_BOUNDS)) + FLOOR**2)
            decay.append(np.exp(-data.pulses / np.exp(value["log memory"])) if self.memory else np.ones_like(data.pulses))
        memory = np.exp(2 * by_name["log correlated read"]) if self.memory else np.zeros(len(sets))
        depth = by_name["depth"] if self.telegraph else np.zeros(len(sets))
        depth_variance = np.exp(2 * by_name["log depth deviation"]) if self.telegraph else np.zeros(len(sets))
        memory, depth, depth_variance = (np.repeat(value, x.shape[1]) for value in (memory, depth, depth_variance))
        return Noise(
            np.concatenate(process, 1), np.concatenate(read, 1), memory, np.concatenate(decay, 1), depth, depth_variance
        )
