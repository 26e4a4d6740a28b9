"""The linear baseline recovers a linear device and never makes a score fail."""

from __future__ import annotations

import json

import numpy as np
import pytest

from spinode import Trace
from spinode.surrogates.neural_ode.evaluation.linear_baseline import arx_baseline, fit_arx
from spinode.surrogates.neural_ode.ports import Ports

PORTS = Ports(("u",), ("y",))


def linear_device(samples, seed, noise=0.0):
    """y_t = 1.6 y_{t-1} - 0.8 y_{t-2} + 0.3 u_t - 0.1 u_{t-1} + 2."""
    generator = np.random.default_rng(seed)
    u, y = generator.standard_normal(samples), np.full(samples, 10.0)
    for t in range(2, samples):
        y[t] = 1.6 * y[t - 1] - 0.8 * y[t - 2] + 0.3 * u[t] - 0.1 * u[t - 1] + 2.0
    return y + noise * generator.standard_normal(samples), u


def as_trace(y, u):
    return Trace(np.arange(len(y)), {"u": u}, {"y": y})


def test_linear_device_is_recovered_and_predicted():
    y, u = linear_device(500, 0)
    model = fit_arx([y[:, None]], [u[:, None]], [400], orders=(2,))
    sy, su = model["scale"][0][0], model["scale"][1][0]
    coefficients = np.array(model["coefficients"])[:, 0]
    assert np.allclose(coefficients[:2], [1.6, -0.8], atol=1e-8)
    assert np.allclose(coefficients[2:5] * sy / su, [0.3, -0.1, 0.0], atol=1e-8)
    assert arx_baseline(model, as_trace(*linear_device(300, 1)), PORTS) < 1e-6


def test_order_is_that_of_the_best_free_run():
    y, u = linear_device(800, 0, noise=0.01)
    model = fit_arx([y[:, None]], [u[:, None]], [600])
    errors = {
        order: arx_baseline(fit_arx([y[:, None]], [u[:, None]], [600], orders=(order,)), as_trace(y[600:], u[600:]), PORTS)
        for order in (2, 4, 8, 16)
    }
    assert errors[model["order"]] == pytest.approx(min(errors.values()), rel=0.1)


def test_several_recordings_with_two_outputs_and_a_parameter():
    (y, u), (z, v) = linear_device(400, 0), linear_device(300, 1)
    outputs = [np.stack([y, 2 * y], -1), np.stack([z, 2 * z], -1)]
    inputs = [np.stack([u, np.full(400, 5.0)], -1), np.stack([v, np.full(300, 6.0)], -1)]
    model = fit_arx(outputs, inputs, [350, 250])
    trace = Trace(np.arange(400), {"u": u}, {"y": y, "z": 2 * y}, {"T": 5.0})
    assert arx_baseline(model, trace, Ports(("u",), ("y", "z"), ("T",))) < 1e-6


def test_recording_too_short_for_a_fit_has_no_baseline():
    y, u = linear_device(20, 0)
    assert fit_arx([y[:6, None]], [u[:6, None]], [5]) is None
    assert arx_baseline(None, as_trace(y, u), PORTS) is None
    model = fit_arx([linear_device(500, 0)[0][:, None]], [linear_device(500, 0)[1][:, None]], [400], orders=(16,))
    assert arx_baseline(model, as_trace(y, u), PORTS) is None


def test_unstable_model_stays_finite():
    y = 1.02 ** np.arange(300)
    u = np.random.default_rng(0).standard_normal(300)
    model = fit_arx([y[:, None]], [u[:, None]], [250])
    model["coefficients"][0] = [5.0]
    assert np.isfinite(arx_baseline(model, as_trace(y, u), PORTS))


def test_device_without_a_drive():
    y = np.cos(0.2 * np.arange(400)) * np.exp(-np.arange(400) / 300)
    model = fit_arx([y[:, None]], [np.zeros((400, 0))], [300])
    assert arx_baseline(model, Trace(np.arange(400), {}, {"y": y}), Ports((), ("y",))) < 1e-3


def test_model_is_plain_json():
    y, u = linear_device(200, 0)
    model = fit_arx([y[:, None]], [u[:, None]], [150])
    assert json.loads(json.dumps(model)) == model
