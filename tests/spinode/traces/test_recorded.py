"""Missing samples, and the recorded samples beside those of a grid."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from scipy import signal

from spinode import Trace, TraceError, resample
from spinode.traces.recorded import between_steps, recorded_beside
from spinode.traces.resample import low_pass, resample_with_mask


def wave(time):
    return np.sin(2 * np.pi * time / 25)


def make_trace(present=None, count=500):
    time = np.arange(float(count))
    trace = Trace(time, {"u": np.cos(time / 7)}, {"y": wave(time)}, interpolation={"u": "spline"})
    return trace if present is None else trace.masked(present)


def test_masked_samples_are_nan_and_survive_cuts_copies_and_roles():
    present = np.ones(500, dtype=bool)
    present[10:20] = False
    trace = make_trace(present)
    assert np.array_equal(trace.present[:, 0], present)
    assert np.isnan(trace.output["y"][~present]).all()
    for same in (copy.deepcopy(trace), pickle.loads(pickle.dumps(trace)), trace.assign("u", "y")):
        assert np.array_equal(same.present, trace.present)
        assert same.fingerprint() == trace.fingerprint()
    assert trace.between(5, 30).present.sum() == 16
    assert trace.fingerprint() != make_trace().fingerprint()
    assert make_trace(np.ones(500, dtype=bool)).output["y"].tolist() == make_trace().output["y"].tolist()


@pytest.mark.parametrize("present", [np.ones(3, dtype=bool), np.ones(500), np.ones((500, 2), dtype=bool)])
def test_mask_of_another_shape_or_type_is_refused(present):
    with pytest.raises(TraceError, match="present has shape"):
        make_trace(present)


def test_nan_is_refused_unless_the_trace_is_masked():
    values = wave(np.arange(100.0))
    values[40] = np.nan
    trace = Trace(np.arange(100.0), {}, {"y": values})
    with pytest.raises(TraceError, match=r"'y' has 1 NaN .* missing=\"mask\""):
        resample(trace)
    assert np.flatnonzero(~resample(trace.masked()).present[:, 0]).tolist() == [40]


def test_nan_in_a_drive_is_always_refused():
    drive = np.ones(100)
    drive[3] = np.nan
    trace = Trace(np.arange(100.0), {"u": drive}, {"y": wave(np.arange(100.0))}, missing="mask")
    with pytest.raises(TraceError, match="'u' has 1 NaN"):
        resample(trace)


def test_samples_on_the_grid_are_kept_bit_for_bit_beside_missing_ones():
    present = np.random.default_rng(0).random(500) < 0.7
    present[[0, -1]] = True
    trace = make_trace(present)
    thinned = Trace(trace.time[present], {"u": trace.drive["u"][present]}, {"y": wave(trace.time[present])})
    for incomplete in (trace, thinned):
        on_grid, known = resample_with_mask(incomplete, 1.0)
        assert np.array_equal(known[:, 0], present)
        assert np.array_equal(on_grid.output["y"][present], wave(trace.time[present]))
        assert np.abs(on_grid.output["y"] - wave(on_grid.time)).max() < 0.02


def test_gap_is_unknown_and_not_overshot():
    present = np.ones(500, dtype=bool)
    present[200:260] = False
    on_grid, known = resample_with_mask(make_trace(present), 1.0)
    assert np.array_equal(known[:, 0], present)
    assert np.abs(on_grid.output["y"]).max() < 1.05


def test_recorded_samples_are_those_within_the_span_and_none_on_the_grid_itself():
    fine = make_trace()
    coarse = resample(fine, 4.0)
    beside = recorded_beside(fine, coarse)
    assert beside is not None
    assert beside.time[-1] <= coarse.time[-1]
    assert np.array_equal(beside.output["y"], fine.output["y"][: len(beside)])
    assert recorded_beside(fine, resample(fine, 1.0)) is None
    assert recorded_beside(fine.masked(np.arange(500) != 7), resample(fine, 1.0)) is not None


def test_run_between_steps_converges_with_fourth_order_and_is_exact_at_steps():
    errors = []
    for count in (50, 100, 200):
        steps = np.arange(count + 1.0)
        run = np.sin(2 * np.pi * steps / count * 3)[:, None]
        at = np.random.default_rng(0).uniform(4, count - 4, 500)
        errors.append(np.abs(between_steps(run, at)[:, 0] - np.sin(2 * np.pi * at / count * 3)).max())
        assert np.array_equal(between_steps(run, steps), run)
    assert np.all(np.log2(np.array(errors[:-1]) / errors[1:]) > 3.5)


def test_low_pass_leaves_white_noise_white_on_the_coarse_grid():
    """Neighbours on the new grid are uncorrelated to within 4 standard errors, and the band below it is unchanged."""
    noise = np.random.default_rng(0).normal(size=400_000)
    coarse = low_pass(np.arange(400_000.0), noise, 20.0)[::20]
    correlation = np.corrcoef(coarse[1:], coarse[:-1])[0, 1]
    assert abs(correlation) < 4 / np.sqrt(len(coarse))
    assert np.var(coarse) == pytest.approx(1 / 20, rel=0.15)
    _, power = signal.welch(coarse, nperseg=200)
    assert power[5:-5].max() < 1.5 * power[5:-5].min()
