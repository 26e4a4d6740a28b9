"""The noise of a memory device in a few numbers: what accumulates, what is forgotten, what only a read sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...contracts.synapse import SET
from ...typing import Array
from .kalman import Noise
from .pulse_data import PulseData

#: Parameters of the accumulating noise of one polarity: the coefficients of the logarithm of its deviation.
POLYNOMIAL = ("log accumulating", "its slope", "its curvature")
#: Deviation of the prior on how strongly noise depends on the state, per deviation of the state.
STATE_PRIOR = 0.5
#: Faintest noise, in deviations of the state: a simulator's table may have none.
FLOOR = 1e-7
#: Bounds of the logarithm of any deviation: from that floor to the whole range.
LOGS = (-16.1, 1.0)


@dataclass(frozen=True)
class NoiseModel:
    """Standard deviations in deviations of the state.

        accumulating, per pulse of polarity p:  exp(a_p + b_p x + c_p x^2)
        white read noise:                       exp(d + e x)
        correlated read noise:                  exp(m), forgotten as exp(-n / tau) over n pulses

    Attributes:
        polarities: Those with accumulating noise of their own.
        memory: Whether there is correlated read noise.
        trap: Whether there is random telegraph noise: its depth N(m, exp(s)^2) in deviations of the state.
    """

    polarities: tuple[str, ...]
    memory: bool = False
    trap: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """One for each parameter, in their order."""
        process = [f"{what} {name}" for name in self.polarities for what in POLYNOMIAL]
        memory = ("log correlated read", "log memory") if self.memory else ()
        return (*process, "log read", "its slope", *memory, *(("depth", "log depth deviation") if self.trap else ()))

    @property
    def bounds(self) -> list[tuple[float, float]]:
        """Least and greatest value of each parameter: noise is no larger than the range, and no cliff."""
        special = {"log memory": (-1.0, 7.0), "depth": (-6.0, 6.0), "log depth deviation": (-8.0, 1.5)}
        slopes = {"its slope": (-5.0, 5.0), "its curvature": (-2.0, 2.0)}
        by_kind = [next((b for key, b in slopes.items() if name.startswith(key)), LOGS) for name in self.names]
        return [special.get(name, kind) for name, kind in zip(self.names, by_kind, strict=True)]

    def start(self, accumulating: float, read: float) -> Array:
        """Parameters from two deviations."""
        head = [np.log(max(accumulating, FLOOR)), 0.0, 0.0] * len(self.polarities)
        tail = [np.log(0.5 * read + FLOOR), np.log(5.0)] if self.memory else []
        trap = [0.0, np.log(5 * (accumulating + read))] if self.trap else []
        return np.array([*head, np.log(max(read, FLOOR)), 0.0, *tail, *trap])

    def prior(self, parameters: Array) -> Array:
        """Log prior, shape (...), of parameters (..., parameters): weak, so that few reads give wide posteriors, not wild."""
        total = np.zeros(parameters.shape[:-1])
        for i, name in enumerate(self.names):
            value = parameters[..., i]
            if name.startswith("its"):
                total = total - 0.5 * (value / STATE_PRIOR) ** 2
            elif name == "depth":
                total = total - 0.5 * (value / 3.0) ** 2
            elif name == "log memory":
                total = total - 0.5 * ((value - np.log(5.0)) / 2.0) ** 2
            else:
                total = total - 0.5 * ((value + 4.0) / 4.0) ** 2
        return total

    def variances(self, parameters: Array, data: PulseData, reference: Array) -> Noise:
        """Variances along the recordings, for several sets of parameters as further lanes.

        Args:
            parameters: Shape (sets, parameters).
            data: The recordings.
            reference: State x^ at each read, shape (reads, lanes).
        """
        sets = parameters.clip(-30, 10)
        own = dict(zip(self.names, sets.T, strict=True))
        x = reference.clip(-6, 6)
        process = []
        read = []
        decay = []
        for index in range(len(sets)):
            value = {name: column[index] for name, column in own.items()}
            q = np.zeros_like(data.pulses)
            for name in self.polarities:
                sign = 1 if name == SET else -1
                base, slope, curvature = (value[f"{part} {name}"] for part in POLYNOMIAL)
                log = base + slope * x[:-1] + curvature * x[:-1] ** 2
                q = np.where(data.polarity == sign, np.exp(2 * log.clip(*LOGS)), q)
            # What happens in a pause is retention, and not judged here: the state may go anywhere.
            process.append(q * data.pulses + np.where(data.pause > 0, 1.0, FLOOR**2))
            read.append(np.exp(2 * (value["log read"] + value["its slope"] * x).clip(*LOGS)) + FLOOR**2)
            decay.append(np.exp(-data.pulses / np.exp(value["log memory"])) if self.memory else np.ones_like(data.pulses))
        memory = np.exp(2 * own["log correlated read"]) if self.memory else np.zeros(len(sets))
        depth = own["depth"] if self.trap else np.zeros(len(sets))
        deep = np.exp(2 * own["log depth deviation"]) if self.trap else np.zeros(len(sets))
        along = (np.concatenate(process, 1), np.concatenate(read, 1))
        memory, depth, deep = (np.repeat(value, x.shape[1]) for value in (memory, depth, deep))
        return Noise(*along, memory, np.concatenate(decay, 1), depth, deep)
