"""Scores of a surrogate on recordings whose error is known."""

from __future__ import annotations

import json

import numpy as np
import pytest

from spinode import ConfigError, TraceError, evaluate
from spinode.surrogates.testing import resonator


def test_perfect_model_scores_zero_and_constant_model_scores_one(recorder):
    surrogate = resonator(interval=recorder.interval)
    trace = recorder.record(surrogate, 1000, 0)
    perfect = evaluate(surrogate, trace)
    assert perfect.nrmse < 1e-3
    assert perfect.r2 > 0.999
    assert perfect.spectrum_error < 1e-2
    assert perfect.diverged_at is None
    constant = evaluate(resonator(interval=recorder.interval, gain=0.0, damping=0.9), trace)
    assert constant.nrmse == pytest.approx(1.0, abs=0.05)
    assert constant.r2 == pytest.approx(1 - constant.nrmse**2)


def test_scores_are_consistent(device, recorder):
    scores = evaluate(device, recorder.record(device, 1500, 3))
    assert scores.r2 == pytest.approx(1 - scores.nrmse**2)
    assert scores.horizon[-1] == (pytest.approx(scores.trace.duration), pytest.approx(scores.nrmse))
    error = scores.prediction - scores.truth
    assert scores.nrmse == pytest.approx(np.sqrt(np.mean(error**2)) / scores.truth.std())
    assert json.loads(json.dumps(scores.to_dict(), allow_nan=False))["samples"] == 1500


def test_90_percent_interval_contains_90_percent_of_the_samples(device, recorder):
    """The error of a perfect model is the noise: 1500 independent samples, 90 % within 4 standard errors of 0.8 %."""
    assert evaluate(device, recorder.record(device, 1500, 5)).coverage == pytest.approx(0.9, abs=4 * 0.008)


def test_steps_outside_the_domain_are_counted(device, recorder):
    drive = recorder.random_drive(1000, 0)
    drive[600:] += 40.0
    scores = evaluate(device, recorder.record(device, 1000, 0, drive=drive))
    assert scores.outside_domain == pytest.approx(0.4, abs=0.02)


def test_only_a_surrogate_and_one_recording_are_scored(recorder):
    for trace, message in ((None, "trace is None"), ([], "trace is a list"), (np.zeros(5), "trace is a ndarray")):
        with pytest.raises(TraceError, match=f"{message}; expected one spinode.Trace"):
            evaluate(resonator(), trace)
    with pytest.raises(ConfigError, match=r"surrogate is a str; expected a Surrogate, such as spinode.load"):
        evaluate("path", None)
