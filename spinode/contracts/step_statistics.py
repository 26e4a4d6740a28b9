"""`StepStatistics`: how the steps of one pulse differ between devices, states and repetitions, measured on any device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import ConfigError
from ..random import seeded_generator
from ..validation import number, whole_number
from .reduced_synapse import moving_entries
from .synapse import RESET, SET, Pulses, State, Synapse


@dataclass(frozen=True)
class StepStatistics:
    """Statistics of the steps of one pulse from one conductance, over many devices; what learning with these devices sees.

    Attributes:
        conductance: Where all devices begin [unit].
        mean: Mean step over devices [unit], by polarity.
        spread: Standard deviation over devices of their mean steps [unit], by polarity.
        noise: Standard deviation of what one pulse adds to the mean step of a device and stays [unit], by polarity.
        wrong_way: Share of pulses after which the conductance has moved against the polarity, by polarity.
        drift: Mean of SET plus RESET step [unit]: where pulses of both polarities alternate, devices move by half of it.
        drift_spread: Standard deviation over devices of that sum [unit].
        correlation: Correlation over devices of the sizes of SET and RESET steps; 0 where they do not differ.

    Example:
        >>> from spinode.datasets import TiO2
        >>> found = StepStatistics.measure(TiO2(write_noise=0.1), 140e-6, devices=4000)
        >>> round(1e6 * found.mean["SET"], 2), round(1e6 * found.mean["RESET"], 2), round(found.correlation, 2)
        (1.44, -1.74, 1.0)
    """

    conductance: float
    mean: dict[str, float]
    spread: dict[str, float]
    noise: dict[str, float]
    wrong_way: dict[str, float]
    drift: float
    drift_spread: float
    correlation: float

    @classmethod
    def measure(
        cls,
        synapse: Synapse,
        conductance: float,
        *,
        voltage: float | None = None,
        width: float | None = None,
        devices: int = 20_000,
        seed: int = 0,
    ) -> StepStatistics:
        """Measure the steps of new devices that are placed at one conductance.

        Args:
            synapse: A device with the method `at`, which places devices at a conductance.
            conductance: Where they begin [unit].
            voltage: Amplitude [V] of both polarities; the device's own if omitted.
            width: Width [s], likewise.
            devices: Number of devices.
            seed: Seed of devices and noise.

        Raises:
            ConfigError: a device that cannot be placed at a conductance.
        """
        conductance = number("conductance", conductance)
        count = whole_number("devices", devices, 2)
        state = placed(synapse, conductance, count, seed)
        start = synapse.read(state)
        steps: dict[str, Tensor] = {}
        noise: dict[str, float] = {}
        wrong_way: dict[str, float] = {}
        with torch.no_grad():
            for polarity in synapse.polarities:
                sign = 1.0 if polarity == SET else -1.0
                pulses = Pulses(torch.full((count,), sign, dtype=torch.float64), voltage, width)
                steps[polarity] = synapse.read(synapse.program(state, pulses)) - start
                noisy = synapse.program(state, pulses, generator=seeded_generator(seed + 1))
                # Noise that later pulses forget, and traps, are no part of the step.
                kept = {name: noisy[name] for name in moving_entries(synapse)}
                moved = synapse.read({**state, **kept}) - start
                noise[polarity] = float((moved - steps[polarity]).std())
                wrong_way[polarity] = float((moved * sign < 0).double().mean())
        total = torch.stack(list(steps.values())).sum(0)
        return cls(
            conductance,
            {name: float(step.mean()) for name, step in steps.items()},
            {name: float(step.std()) for name, step in steps.items()},
            noise,
            wrong_way,
            float(total.mean()),
            float(total.std()),
            _correlation(steps.get(SET), steps.get(RESET)),
        )


def placed(synapse: Synapse, conductance: float, devices: int, seed: int) -> State:
    """Return new devices, all at one conductance.

    Raises:
        ConfigError: the synapse has no method `at`.
    """
    at: Any = getattr(synapse, "at", None)
    if at is None:
        raise ConfigError(
            f"a {type(synapse).__name__} cannot be placed at a conductance; expected a device with the method "
            "at(conductance), which returns the state of devices that were read."
        )
    exact = at(torch.full((devices,), conductance, dtype=torch.float64))
    state = synapse.initial((devices,), generator=seeded_generator(seed), dtype=torch.float64)
    return {
        name: exact[name] if name in (*moving_entries(synapse), "flicker", "trap", "first") else state[name] for name in state
    }


def _correlation(up: Tensor | None, down: Tensor | None) -> float:
    if up is None or down is None or not float(up.std()) > 0 or not float(down.std()) > 0:
        return 0.0
    return float(torch.corrcoef(torch.stack([up, -down]))[0, 1])
