"""`NoiseModel`: accumulating, correlated, telegraph and read noise of a memory device in a few parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...contracts.synapse import SET
from ...typing import Array
from .kalman import Noise
from .pulse_data import PulseData

#: Parameters of the accumulating noise of one polarity: the polynomial coefficients of the logarithm of its deviation.
POLYNOMIAL = ("log accumulating", "its slope", "its curvature")
#: The same of noise that is proportional to the step; the first is that of the constant part in addition, which may be missing.
RELATIVE = ("log relative", "its slope", "its curvature")
#: Standard deviation of the prior of slopes and curvatures, the dependence of noise on the state.
SLOPE_PRIOR = 0.5
#: Smallest noise, in standard deviations of the state: simulated recordings may have none.
FLOOR = 1e-7
#: Initial ratio of relative noise to the step.
START_RELATIVE = 0.2
#: Bounds of the logarithm of any standard deviation: from that floor to the whole range.
LOG_BOUNDS = (-16.1, 1.0)


@dataclass(frozen=True)
class NoiseModel:
    """The form of the noise; the unit of all standard deviations is the standard deviation of the state.

        accumulating, per pulse of polarity p:  exp(a_p + b_p x + c_p x^2)
        or, if it is relative to the step D:    |D| exp(a_p + b_p x + c_p x^2), and exp(f_p) in addition unless it is pure
        white read noise:                       exp(d + e x)
        correlated read noise:                  exp(m), forgotten as exp(-n / tau) over n pulses

    Attributes:
        polarities: Polarities, each with its own accumulating noise.
        memory: True with correlated read noise.
        telegraph: True with random telegraph noise of depth N(m, exp(s)^2).
        relative: True if accumulating noise is proportional to the step, as where strong pulses scatter more than weak ones.
        pure: True if relative noise has no constant part, so that it never reverses a step.

    Example:
        >>> NoiseModel(("SET",)).names
        ('log accumulating SET', 'its slope SET', 'its curvature SET', 'log read', 'its slope')
    """

    polarities: tuple[str, ...]
    memory: bool = False
    telegraph: bool = False
    relative: bool = False
    pure: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters, in their order."""
        parts = (*RELATIVE, *(() if self.pure else POLYNOMIAL[:1])) if self.relative else POLYNOMIAL
        process = [f"{coefficient} {name}" for name in self.polarities for coefficient in parts]
        memory = ("log correlated read", "log memory") if self.memory else ()
        return (*process, "log read", "its slope", *memory, *(("depth", "log depth deviation") if self.telegraph else ()))

    @property
    def bounds(self) -> list[tuple[float, float]]:
        """Lower and upper bound of each parameter: noise is at most as large as the range and varies gradually."""
        special = {"log memory": (-1.0, 7.0), "depth": (-6.0, 6.0), "log depth deviation": (-8.0, 1.5)}
        slopes = {"its slope": (-5.0, 5.0), "its curvature": (-2.0, 2.0)}
        default = [next((pair for key, pair in slopes.items() if name.startswith(key)), LOG_BOUNDS) for name in self.names]
        return [special.get(name, pair) for name, pair in zip(self.names, default, strict=True)]

    def start(self, accumulating: float, read: float, repeated: float | None = None) -> Array:
        """Return initial parameters from standard deviations.

        Args:
            accumulating: Of accumulating noise.
            read: Of the noise of reads with pulses between them.
            repeated: Of reads without a pulse between them; half of the noise is correlated if this is not known.
        """
        absolute = np.log(max(accumulating, FLOOR))
        parts = (
            [np.log(START_RELATIVE), 0.0, 0.0, *([] if self.pure else [absolute])] if self.relative else [absolute, 0.0, 0.0]
        )
        process = parts * len(self.polarities)
        correlated, lasts = (0.5 * read, 5.0) if repeated is None else (math.sqrt(max(read**2 - repeated**2, 0.0)), 1.0)
        memory = [np.log(correlated + FLOOR), np.log(lasts)] if self.memory else []
        white = read if repeated is None else repeated
        telegraph = [0.0, np.log(5 * (accumulating + read))] if self.telegraph else []
        return np.array([*process, np.log(max(white, FLOOR)), 0.0, *memory, *telegraph])

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
            elif name.startswith("log relative"):
                total = total - 0.5 * ((value - np.log(START_RELATIVE)) / 2.0) ** 2
            else:
                total = total - 0.5 * ((value + 4.0) / 4.0) ** 2
        return total

    def variances(self, parameters: Array, data: PulseData, reference: Array, drift: Array | None = None) -> Noise:
        """Return the variances along the recordings for several sets of parameters.

        Args:
            parameters: Shape (sets, parameters).
            data: The recordings.
            reference: State x^ at each read, shape (reads, lanes).
            drift: Change D of each step, shape (reads - 1, lanes); zero if omitted. Relative noise depends on it.

        Returns:
            Variances with sets * lanes lanes, set by set.
        """
        sets = parameters.clip(-30, 10)
        by_name = dict(zip(self.names, sets.T, strict=True))
        x = reference.clip(-6, 6)
        change = np.zeros_like(data.pulses) if drift is None else np.abs(drift) / np.maximum(data.pulses, 1)
        first = RELATIVE if self.relative else POLYNOMIAL
        process = []
        read = []
        decay = []
        for index in range(len(sets)):
            value = {name: column[index] for name, column in by_name.items()}
            q = np.zeros_like(data.pulses)
            for name in self.polarities:
                sign = 1 if name == SET else -1
                base, slope, curvature = (value[f"{part} {name}"] for part in first)
                log = base + slope * x[:-1] + curvature * x[:-1] ** 2
                variance = np.exp(2 * log.clip(*LOG_BOUNDS))
                if self.relative:
                    constant = value.get(f"{POLYNOMIAL[0]} {name}", LOG_BOUNDS[0])
                    variance = variance * change**2 + np.exp(2 * constant)
                q = np.where(data.polarity == sign, variance, q)
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
