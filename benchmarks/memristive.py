"""Free runs of made memristive devices and of one that only looks like them: default fit beside ARX, one JSON line a fit.

    python benchmarks/memristive.py [--only threshold ...] [--seeds 1 2]

Each device is fitted on one recording and scored on three others, with noise, whose sweeps have other random amplitudes. They
were written after the embedding "memristive", and nothing in it was chosen by them:

- "threshold": a memristor whose state moves above a positive and below a negative threshold; a conductance over 1.3 decades;
- "thermistor": a conductance of the temperature, which the device heats itself;
- "shunt": a resistor and a capacitor in series with a nonlinear shunt. Its current vanishes with the voltage in steady state,
  but its state shows in the current: the control.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from _measure import machine

import spinode
from spinode import Trace

INTERVAL = 1e-4
#: Seeds of the recordings that score.
SCORED = (11, 12, 13)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=DEVICES, default=list(DEVICES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2], help="seeds of the fitted recording and of the fit")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    print(json.dumps({"part": "machine", **machine()}))
    for name in options.only:
        for seed in options.seeds:
            print(json.dumps(score(name, seed)), flush=True)


def score(name: str, seed: int) -> dict[str, Any]:
    """Fit one recording and return the scores on the others."""
    begin = time.process_time()
    surrogate = spinode.fit(recording(name, seed), seed=seed)
    seconds = time.process_time() - begin
    scores = [spinode.evaluate(surrogate, recording(name, other)) for other in SCORED]
    return {
        "part": "memristive",
        "device": name,
        "seed": seed,
        "embedding": surrogate.embedding.kind,
        "order": surrogate.embedding.order,
        "nrmse": [round(each.nrmse, 4) for each in scores],
        "arx": [round(each.baseline_nrmse, 4) for each in scores],
        "coverage": [round(float(np.mean(each.coverage)), 3) for each in scores],
        "cpu_seconds": round(seconds, 1),
    }


def recording(name: str, seed: int) -> Trace:
    """Return a recording of a device under sweeps of random amplitudes."""
    device, samples, noise, largest = DEVICES[name]
    random = np.random.default_rng(seed)
    voltage = sweeps(samples, random, largest)
    current = device(voltage)
    current += noise * current.std() * random.standard_normal(samples)
    units = {"v": "V", "i": "A"}
    return Trace(INTERVAL * np.arange(samples), {"v": voltage}, {"i": current}, units=units, interpolation={"v": "linear"})


def sweeps(samples: int, random: np.random.Generator, largest: float) -> Any:
    """Return linear sweeps between random voltages of either sign."""
    values: list[float] = []
    last = 0.0
    while len(values) < samples:
        target = random.uniform(0.4, 1) * largest * random.choice([-1, 1])
        values += list(np.linspace(last, target, random.integers(20, 80), endpoint=False))
        last = target
    return np.array(values[:samples])


def threshold(voltage: Any) -> Any:
    """Return the current of a memristor with thresholds of 0.3 V and -0.25 V."""
    state, current = 0.4, np.zeros(len(voltage))
    for t, v in enumerate(voltage):
        current[t] = v / 10 ** (3 + 1.3 * (1 - state))
        if v > 0.3:
            state += 0.08 * (v / 0.3 - 1) ** 2 * (1 - state)
        elif v < -0.25:
            state -= 0.05 * (v / 0.25 + 1) ** 2 * state
        state = min(max(state, 0.01), 0.99)
    return current


def thermistor(voltage: Any) -> Any:
    """Return the current of a conductance that grows with its temperature."""
    temperature, current = 300.0, np.zeros(len(voltage))
    for t, v in enumerate(voltage):
        current[t] = 1e-3 * np.exp(-1500 * (1 / temperature - 1 / 300)) * v
        temperature += 0.05 * (4e3 * v * current[t] - (temperature - 300))
    return current


def shunt(voltage: Any) -> Any:
    """Return the current of a resistor and a capacitor in series, beside a nonlinear resistor."""
    charge, current = 0.0, np.zeros(len(voltage))
    for t, v in enumerate(voltage):
        current[t] = 1e-3 * (v - charge) + 2e-4 * np.sinh(1.5 * v)
        charge += 0.1 * (v - charge)
    return current


#: Device, samples, noise in deviations of the current, and largest voltage [V].
DEVICES: dict[str, tuple[Callable[[Any], Any], int, float, float]] = {
    "threshold": (threshold, 2000, 0.03, 1.2),
    "thermistor": (thermistor, 1500, 0.02, 3.0),
    "shunt": (shunt, 2000, 0.02, 1.5),
}


if __name__ == "__main__":
    main()
