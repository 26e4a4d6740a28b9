"""Recordings with other channel names, roles, units and intervals than the surrogate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import spinode
from spinode import Trace, TraceError, evaluate
from spinode.surrogates.neural_ode.evaluation.matching import match_channels
from spinode.surrogates.testing import resonator


def test_channels_with_the_names_of_the_surrogate_are_found_in_any_role(device, recorder):
    trace = recorder.record(device, 100, 0)
    all_outputs = replace(trace, drive={}, output={**trace.drive, **trace.output})
    named = match_channels(device, all_outputs)
    assert list(named.drive) == ["V"]
    assert list(named.output) == ["y"]
    assert named.interpolation == {"V": "spline"}


def test_channels_with_other_names_are_used_if_requested(device, recorder):
    trace = recorder.record(device, 200, 0)
    other = Trace(trace.time, {}, {"a": trace.output["y"], "b": trace.drive["V"]}, interpolation={"b": "spline"})
    scores = evaluate(device, other, drive=["b"], output=["a"])
    assert scores.nrmse == pytest.approx(evaluate(device, trace).nrmse)
    assert list(scores.trace.output) == ["y"]


def test_channels_with_other_names_are_used_only_if_requested(device, recorder):
    trace = recorder.record(device, 200, 0)
    other = Trace(trace.time, {"b": trace.drive["V"]}, {"a": trace.output["y"]})
    with pytest.raises(TraceError, match="no channel 'V' for the drive 'V'"):
        match_channels(device, other)
    with pytest.raises(TraceError, match="no output 'y' to compare with"):
        evaluate(device, other, drive=["b"])
    named = match_channels(device, other, drive=["b"], output=["a"])
    assert np.array_equal(named.drive["V"], trace.drive["V"])
    assert np.array_equal(named.output["y"], trace.output["y"])


@pytest.mark.parametrize(
    ("change", "names", "message"),
    [
        ({"drive": {}}, {}, r"no channel 'V' for the drive 'V'; its channels are: y"),
        ({}, {"drive": ["W"]}, "no channel 'W'"),
        ({}, {"drive": ["V", "y"]}, "2 drive channels were named"),
        ({"output": {"z": np.arange(100.0), "w": np.arange(100.0)}}, {}, "no output 'y' to compare with"),
        ({"units": {"V": "A"}}, {}, "'V' is in A, the surrogate's 'V' is in V"),
        ({"units": {"y": "V"}}, {}, "'y' is in V, the surrogate's 'y' is in T"),
        ({"output": {"y": np.full(100, 0.3)}}, {}, "constant in this recording"),
        ({"output": {"y": np.r_[np.nan, np.arange(99.0)]}}, {}, "'y' has 1 NaN"),
    ],
)
def test_recording_that_does_not_match_is_refused(device, recorder, change, names, message):
    with pytest.raises(TraceError, match=message):
        evaluate(device, replace(recorder.record(device, 100, 0), **change), **names)


def test_recording_too_short_or_too_coarse_for_a_score_is_refused(device, recorder):
    trace = recorder.record(device, 400, 0)
    with pytest.raises(TraceError, match="at least 50 are needed for a score"):
        evaluate(device, trace.between(0, 30 * recorder.interval))
    coarse = replace(trace, time=trace.time[::4], drive={"V": trace.drive["V"][::4]}, output={"y": trace.output["y"][::4]})
    with pytest.raises(TraceError, match="the values between the samples are unknown"):
        evaluate(device, coarse)


def test_recording_with_another_interval_is_resampled_with_a_note(device, recorder):
    trace = recorder.record(resonator(interval=recorder.interval), 800, 0)
    finer = spinode.resample(trace, recorder.interval / 2)
    scores = evaluate(device, finer)
    assert scores.nrmse == pytest.approx(evaluate(device, trace).nrmse, abs=5e-3)
    assert any("resampled from 5 ps to 10 ps" in note for note in scores.notes)
