"""The summary of recordings before a fit, and the moments of their increments."""

import numpy as np
import pytest

from spinode.surrogates.synapses.pulse_data import pulse_data
from spinode.surrogates.synapses.pulse_summary import increments, pulse_summary
from spinode.traces.trace import Trace


def test_moments_separate_read_and_accumulating_noise():
    generator = np.random.default_rng(0)
    count, lanes, read, pulse = 400, 30, 0.02, 0.03
    path = np.cumsum(0.01 + pulse * generator.standard_normal((count, lanes)), 0)
    path = path + read * generator.standard_normal((count, lanes)) + 10
    drive = {"SET": np.ones(count), "RESET": np.zeros(count)}
    traces = [
        Trace(np.arange(count), drive, {"conductance": path[:, k]}, {"device": k, "cycle": 0}, {"conductance": ""})
        for k in range(lanes)
    ]
    found = increments(pulse_data(traces, scale="linear"), "SET")
    assert found.number == lanes * (count - 1)
    assert found.mean == pytest.approx(0.01, abs=1e-3)
    assert found.read == pytest.approx(read, rel=0.06)
    assert found.accumulating == pytest.approx(pulse, rel=0.06)
    assert found.correlation == pytest.approx(-(read**2) / (pulse**2 + 2 * read**2), abs=0.03)
    assert increments(pulse_data(traces, scale="linear"), "RESET") is None
    text = pulse_summary(traces)
    assert "30 of 30 devices" in text
    assert "RESET        no pulse" in text


def test_the_trend_of_a_curve_is_no_noise():
    """Steps of an exponential approach fall from 33 to 0.04 units; the noise that pulses add is 1."""
    generator = np.random.default_rng(1)
    curve = 1000 * (1 - np.exp(-np.arange(200) / 30))
    lanes = [curve + np.cumsum(generator.standard_normal(200)) for _ in range(20)]
    drive = {"SET": np.ones(200), "RESET": np.zeros(200)}
    traces = [Trace(np.arange(200), drive, {"conductance": lane}, {"device": k, "cycle": 0}) for k, lane in enumerate(lanes)]
    found = increments(pulse_data(traces, scale="linear"), "SET")
    assert found.accumulating == pytest.approx(1.0, rel=0.1)
    assert found.read < 0.3
