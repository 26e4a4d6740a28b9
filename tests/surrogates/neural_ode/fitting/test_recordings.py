"""Recordings on the grid of a fit: decimation, gaps, missing and limited samples, and how residuals treat them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from spinode import Trace, TraceError, TraceSet, evaluate, fit
from spinode.surrogates.neural_ode.embedding import Embedding
from spinode.surrogates.neural_ode.evaluation.recorded_samples import at_recorded_samples, run_at
from spinode.surrogates.neural_ode.fitting.config import FitConfig
from spinode.surrogates.neural_ode.fitting.known_samples import bridgeable_gap
from spinode.surrogates.neural_ode.fitting.prepare import on_common_grid, prepare
from spinode.surrogates.neural_ode.fitting.samples import AT_LEAST, AT_MOST, KNOWN, MISSING
from spinode.surrogates.testing import resonator

# Some runs leave the small domain of the resonator; the tests are not about that.
pytestmark = pytest.mark.filterwarnings("ignore::spinode.DomainWarning")

INTERVAL = 1e-11
QUICK = {
    "effort": "quick",
    "embedding": "derivative",
    "order": 2,
    "ridge": 1e-7,
    "hidden": (2,),
    "restarts": 1,
    "windows": (1, 8, 40),
    "iterations": 8,
}


def record(count=900, seed=0, finer=1):
    """Return a recording of a resonator under a sum of tones, optionally at a much finer interval."""
    generator = np.random.default_rng(seed)
    time = INTERVAL / finer * np.arange(count * finer)
    tones = generator.uniform(0.005, 0.06, 8) / INTERVAL
    drive = np.sin(2 * np.pi * np.outer(time, tones) + generator.uniform(0, 6, 8)).sum(1)
    device = resonator(period=20.0 * finer, interval=INTERVAL / finer, damping=0.1)
    output = device.simulate(torch.as_tensor(drive)[:, None], state=torch.zeros(2, dtype=torch.float64)).detach().numpy()
    return Trace(time, {"V": drive}, {"y": output[:, 0]}, units={"V": "V", "y": "T"}, interpolation={"V": "spline"})


def thinned(trace, share, seed):
    keep = np.random.default_rng(seed).random(len(trace)) < share
    keep[[0, -1]] = True
    columns = {role: {k: v[keep] for k, v in getattr(trace, role).items()} for role in ("drive", "output")}
    return replace(trace, time=trace.time[keep], **columns)


def on_grid(trace, **settings):
    config = FitConfig(**{"embedding": "derivative", "order": 2, **settings})
    return on_common_grid(TraceSet(trace), config), config


def prepared(trace, embedding=None, **settings):
    recordings, config = on_grid(trace, **settings)
    return prepare(recordings, embedding or Embedding("derivative", 2), config)


# --- the grid --------------------------------------------------------------------------------------------------------------


def test_recording_at_a_fitting_rate_is_unchanged_bit_for_bit():
    trace = record()
    recordings, _ = on_grid(trace)
    assert np.array_equal(recordings[0].output["y"], trace.output["y"])
    assert np.array_equal(recordings[0].drive["V"], trace.drive["V"])
    assert (recordings.known, recordings.recorded, recordings.notes) == ((None,), (None,), ())
    assert prepared(trace).comparison is None
    assert prepared(trace).samples.status is None


def test_recording_much_finer_than_its_motion_is_decimated_and_compared_with_its_own_samples():
    trace = record(finer=25)
    lines = []
    recordings = on_common_grid(TraceSet(trace), FitConfig(), lines.append)
    factor = round(len(trace) / len(recordings[0]))
    assert 15 <= factor <= 30
    assert any(f"{factor} recorded samples make one step" in line for line in lines)
    assert np.array_equal(recordings.recorded[0].output["y"], trace.output["y"][: len(recordings.recorded[0])])
    ready = prepare(recordings, Embedding("derivative", 2), FitConfig())
    first, last = ready.validation[0]
    run, truth = ready.at_recorded(ready.outputs[first : last + 1], first, last)
    assert len(truth) == pytest.approx(factor * (last - first), abs=factor)
    # The recording itself, interpolated between the steps, differs from its fine samples by the error of the spline.
    assert float((run - truth).square().mean().sqrt()) < 0.01


def test_interval_that_was_requested_is_used():
    recordings, _ = on_grid(record(finer=25), sample_interval=INTERVAL)
    assert recordings[0].time[1] - recordings[0].time[0] == pytest.approx(INTERVAL)


def test_recording_is_split_at_long_gaps_and_not_at_short_ones():
    present = np.ones(900, dtype=bool)
    present[300:306] = present[500:560] = False
    recordings, _ = on_grid(record().masked(present))
    assert [len(trace) for trace in recordings] == [500, 340]
    assert np.array_equal(recordings.known[0][:, 0], present[:500])
    assert recordings.known[1] is None
    assert "66 of 900 samples are missing" in recordings.notes[0]
    assert "split into 2 parts" in recordings.notes[0]
    assert all(np.isfinite(trace.output["y"]).all() for trace in recordings)


def test_recording_without_rows_is_split_where_its_drive_is_unknown():
    trace = record()
    keep = np.ones(900, dtype=bool)
    keep[400:415] = False
    columns = {role: {k: v[keep] for k, v in getattr(trace, role).items()} for role in ("drive", "output")}
    recordings, _ = on_grid(replace(trace, time=trace.time[keep], **columns))
    assert [len(each) for each in recordings] == [400, 485]


def test_recording_of_gaps_only_is_refused():
    present = np.zeros(900, dtype=bool)
    present[::40] = True
    with pytest.raises(TraceError, match="no stretch of 50 samples"):
        on_grid(record().masked(present | (np.arange(900) % 40 < 10)))


# --- what is known of the embedded samples ---------------------------------------------------------------------------------


def test_missing_samples_have_no_weight_and_states_near_gaps_start_no_window():
    present = np.ones(900, dtype=bool)
    present[100] = False
    present[300:315] = False
    samples = prepared(record().masked(present)).samples
    status = samples.status.reshape(900, 2)
    assert (status[:, 0] == MISSING).numpy().tolist() == (~present).tolist()
    assert bool(samples.startable[100])  # one missing sample is interpolated well
    assert not bool(samples.startable[297:318].any())
    assert bool(samples.startable[:297].all())
    starts = samples.windows(40)
    assert bool(samples.startable[starts].all())
    assert bool((starts.diff() >= 40).all())


def test_delay_states_are_known_where_all_their_samples_are():
    present = np.ones(900, dtype=bool)
    present[300:315] = False
    samples = prepared(record().masked(present), Embedding("delay", 5)).samples
    assert not bool(samples.startable[295:320].any())
    assert bool(samples.startable[:295].all())


def test_bridgeable_gap_grows_with_the_samples_per_period():
    gaps = [bridgeable_gap(np.sin(2 * np.pi * np.arange(2000) / n), np.ones(2000, dtype=bool)) for n in (4, 10, 20, 40)]
    assert gaps == sorted(gaps)
    assert gaps[0] == 0
    assert gaps[-1] >= 5


def test_clipped_samples_are_limits():
    trace = record()
    limit = 0.6 * np.abs(trace.output["y"]).max()
    clipped = replace(trace, output={"y": np.clip(trace.output["y"], -limit, limit)})
    recordings, _ = on_grid(clipped)
    assert recordings.output_map == {"y": f"clip:{-limit}:{limit}"}
    status = prepared(clipped).samples.status.reshape(900, 2)[:, 0].numpy()
    expected = np.where(trace.output["y"] >= limit, AT_LEAST, np.where(trace.output["y"] <= -limit, AT_MOST, KNOWN))
    assert np.array_equal(status, expected)
    assert on_grid(clipped, output_map=())[0].output_map == {}


def test_signs_of_a_rectified_output_are_restored_and_compared_without_them():
    trace = record()
    folded = replace(trace, output={"y": np.abs(trace.output["y"])})
    ready = prepared(folded)
    assert ready.ports.output_map == {"y": "abs"}
    restored = ready.scales.output_si(ready.samples.states[:, :1])[:, 0].numpy()
    # A sample that is nearly zero may have either sign.
    assert np.abs(restored - trace.output["y"]).max() < 1e-3 * np.abs(restored).max()
    assert np.allclose(ready.scales.output_si(ready.outputs)[:, 0], folded.output["y"])


def test_output_map_of_another_channel_is_refused():
    with pytest.raises(TraceError, match="output_map names 'z'; the outputs are: y"):
        on_grid(record(), output_map={"z": "abs"})


def test_output_map_that_contradicts_the_data_is_refused():
    trace = record()
    with pytest.raises(TraceError, match=r"clipped to 100 .. 200, but 'y' lies between -.* T and .* T: 900 samples are beyond"):
        on_grid(trace, output_map={"y": ("clip", 100, 200)})
    with pytest.raises(TraceError, match=r"samples are beyond these limits. Pass the limits of the instrument"):
        on_grid(trace, output_map={"y": ("clip", -2, 2)})
    with pytest.raises(TraceError, match=r"says that \|y\| was recorded, but 'y' lies between -"):
        on_grid(trace, output_map={"y": "abs"})


def test_magnitude_with_a_little_noise_is_accepted():
    trace = record()
    noise = 0.003 * np.ptp(trace.output["y"]) * np.random.default_rng(0).normal(size=len(trace))
    magnitude = replace(trace, output={"y": np.abs(trace.output["y"]) + noise})
    assert magnitude.output["y"].min() < 0
    assert on_grid(magnitude, output_map={"y": "abs"})[0].output_map == {"y": "abs"}


def test_recording_of_which_no_state_is_known_is_refused():
    trace = record()
    low = float(np.quantile(trace.output["y"], 0.5))
    clipped = replace(trace, output={"y": np.clip(trace.output["y"], low, low + 1e-3)})
    with pytest.raises(TraceError, match="the outputs y are missing or at a limit so often"):
        prepared(clipped, output_map={"y": ("clip", low, low + 1e-3)})


def test_missing_outputs_are_reported_with_what_is_left():
    with pytest.raises(TraceError, match="'y' has 0 recorded samples, the other 900 are missing; at least 200"):
        on_grid(record().masked(np.zeros(900, dtype=bool)))


# --- whole fits ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def regular_error():
    return evaluate(fit(record(), **QUICK), record(seed=1)).nrmse


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["70 % of the rows", "30 % missing", "gaps", "jitter"])
def test_incomplete_recording_gives_as_good_a_model(kind, regular_error):
    trace = record()
    present = np.ones(900, dtype=bool)
    for start in range(100, 800, 150):
        present[start : start + 35] = False
    generator = np.random.default_rng(2)
    incomplete = {
        "70 % of the rows": thinned(trace, 0.7, 0),
        "30 % missing": trace.masked(generator.random(900) < 0.7),
        "gaps": trace.masked(present),
        "jitter": thinned(record(finer=10), 0.1, 3),
    }[kind]
    model = fit(incomplete, **QUICK, sample_interval=INTERVAL)
    test = record(seed=1)
    assert evaluate(model, test).nrmse < max(1.2 * regular_error, 0.01)
    scores = evaluate(model, test.masked(generator.random(900) < 0.6))
    assert scores.nrmse < max(1.2 * regular_error, 0.01)
    assert 0.55 * 900 < len(scores.trace) < 0.65 * 900


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["clip", "abs"])
def test_model_of_a_clipped_or_rectified_output_is_that_of_the_output_before(kind, tmp_path):
    def instrument(trace):
        output = trace.output["y"]
        return replace(trace, output={"y": np.abs(output) if kind == "abs" else np.clip(output, -4.0, 3.0)})

    trace, test = record(2000), record(seed=1)
    assert np.mean(instrument(trace).output["y"] != trace.output["y"]) > 0.15
    model = fit(instrument(trace), **QUICK)
    assert evaluate(model, instrument(test)).nrmse < 0.02
    model.save(tmp_path / "device.safetensors")
    loaded = type(model).load(tmp_path / "device.safetensors")
    assert loaded.ports == model.ports
    drive = torch.as_tensor(test.drive["V"].copy())[:, None]
    mapped = loaded.simulate(drive).detach()
    assert torch.equal(mapped, model.simulate(drive))
    loaded.ports = replace(loaded.ports, output_map={})
    signed = loaded.simulate(drive).detach()
    assert float(signed.min()) < float(mapped.min())
    assert float((signed - torch.as_tensor(test.output["y"].copy())[:, None])[200:].square().mean().sqrt()) < 0.15


@pytest.mark.slow
def test_wrong_map_is_ten_times_worse_than_the_right_one():
    trace = record(1200)
    folded = replace(trace, output={"y": np.abs(trace.output["y"])})
    right, wrong = (fit(folded, **QUICK, output_map=maps).record["validation"][0] for maps in ({"y": "abs"}, ()))
    assert wrong > 10 * right


# --- scores at recorded samples --------------------------------------------------------------------------------------------


def test_run_is_scored_at_the_recorded_samples():
    device, fine = resonator(period=20.0, interval=INTERVAL, damping=0.1), record(finer=10)
    scores = evaluate(device, fine)
    assert len(scores.trace) == pytest.approx(len(fine), abs=10)
    assert scores.nrmse < 5e-3
    assert len(scores.grid) == pytest.approx(len(fine) / 10, abs=1)


def test_run_at_its_own_times_is_itself():
    device, trace = resonator(period=20.0, interval=INTERVAL, damping=0.1), record()
    run = device.run(trace)
    again = run_at(run, trace.time)
    assert torch.allclose(run.output, again.output, rtol=0, atol=1e-9)
    assert torch.equal(run.outside, again.outside)
    same_trace, same_run = at_recorded_samples(run, trace, trace)
    assert (same_trace, same_run) == (trace, run)
