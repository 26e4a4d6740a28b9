"""`monotonic_polarities`: reversed steps are found, and noise alone is not taken for them."""

import numpy as np
import pytest

from spinode import Trace
from spinode.surrogates.synapses.pulse_data import pulse_data
from spinode.surrogates.synapses.reversal import monotonic_polarities


def recorded(seed, step, *, read=0.02, steps=600):
    """Simulate alternating blocks of pulses; `step(g, sign, voltage)` is the mean change."""
    r = np.random.default_rng(seed)
    sign = np.where(np.arange(steps) // 20 % 2 == 0, 1.0, -1.0)
    voltage = r.uniform(1.0, 2.0, steps + 1)
    g = np.full(steps + 1, 0.5)
    for k in range(steps):
        g[k + 1] = g[k] + step(g[k], sign[k], voltage[k])
    drive = {"SET": np.append(sign > 0, False).astype(float), "RESET": np.append(sign < 0, False).astype(float)}
    reads = g + read * r.normal(size=steps + 1)
    return Trace(np.arange(steps + 1.0), {**drive, "voltage": voltage}, {"conductance": reads}, {"device": float(seed)})


def towards_bounds(g, sign, voltage):
    return 0.05 * voltage * ((1 - g) if sign > 0 else -g)


def overshooting(g, sign, voltage):
    """Weak SET pulses move the wrong way in the upper part of the range; the mean over all voltages does not."""
    return towards_bounds(g, sign, voltage) * (-1.0 if sign > 0 and g > 0.6 and voltage < 1.3 else 1.0)


@pytest.mark.parametrize("seed", range(5))
def test_noise_of_the_reads_is_not_a_reversal(seed):
    """A read that is high by its noise is followed by a lower one, which must not count as a reversed SET."""
    data = pulse_data([recorded(10 * seed + i, towards_bounds, read=0.1) for i in range(6)], scale="linear")
    assert monotonic_polarities(data) == ("SET", "RESET")


def test_steps_that_reverse_in_one_part_of_range_and_voltage_are_found():
    data = pulse_data([recorded(i, overshooting) for i in range(6)], scale="linear")
    assert monotonic_polarities(data) == ("RESET",)
