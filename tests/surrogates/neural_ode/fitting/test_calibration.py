"""Prediction intervals: nominal coverage on new recordings, for clean and noisy ones, and wider outside the domain."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import signal
from scipy.interpolate import CubicSpline

from spinode.reporting.remarks import NOTE
from spinode.surrogates.neural_ode.domain import Domain
from spinode.surrogates.neural_ode.embedding import Embedding
from spinode.surrogates.neural_ode.evaluation.evaluate import evaluate
from spinode.surrogates.neural_ode.evaluation.validity_remarks import coverage_remarks
from spinode.surrogates.neural_ode.fitting.calibration import calibrate
from spinode.surrogates.neural_ode.fitting.config import FitConfig
from spinode.surrogates.neural_ode.fitting.left_out import (
    LeftOut,
    free_runs,
    left_out_block,
    recorded_outputs,
    samples_of,
    segments_left_out,
)
from spinode.surrogates.neural_ode.fitting.prepare import on_common_grid, prepare
from spinode.surrogates.neural_ode.fitting.splits import splits
from spinode.surrogates.neural_ode.fitting.stages import default_field, new_member
from spinode.surrogates.neural_ode.free_run import run_along
from spinode.surrogates.testing import resonator
from spinode.traces.trace import Trace, TraceSet

INTERVAL = 1e-11


def smooth_drive(samples, seed, scale=1.0):
    noise = np.random.default_rng(seed).standard_normal(samples)
    return 3 * scale * signal.filtfilt(*signal.butter(3, 0.1), noise)


def chirp_drive(samples, seed):
    phase = np.random.default_rng(seed).uniform(0, 2 * np.pi)
    time = np.arange(samples)
    return 0.9 * np.sin(phase + 2 * np.pi * (0.002 * time + 0.03 * time**2 / (2 * samples)))


def recording(drive, seed, noise=0.0, device=None):
    """A recording of a resonator of a period of 20 samples."""
    device = resonator() if device is None else device
    device._warned = True
    state = torch.zeros(2, dtype=torch.float64)
    y = device.simulate(torch.as_tensor(drive)[:, None], state=state)[:, 0].detach().numpy()
    noisy = y + noise * y.std() * np.random.default_rng(seed).standard_normal(len(y))
    units = {"V": "V", "y": "T"}
    return Trace(INTERVAL * np.arange(len(y)), {"V": drive}, {"y": noisy}, {}, units, {"V": "spline"})


def calibrated(noise=0.0, samples=3000, seed=1, **changed):
    """A resonator that differs from the recorded one, with domain and spread of a recording."""
    model = resonator(**({"period": 20.6, "damping": 0.055} | changed))
    model._warned = True
    trace = recording(smooth_drive(samples, seed), seed, noise)
    model.noise.fill_(noise * float(np.std(trace.output["y"])))
    points = run_along(resonator(), recording(smooth_drive(samples, seed), seed)).points  # the recorded states
    cut = int(0.8 * samples)
    model.domain = Domain.around(points[:cut], points[cut:])
    calibrate(model, [trace], 0.2)
    return model


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.0, 0.05, 0.3])
def test_interval_covers_nine_tenths_of_new_recordings(noise):
    models = [calibrated(noise, seed=seed) for seed in (1, 11, 12)]
    new = [recording(smooth_drive(2000, seed), seed, noise) for seed in (2, 3)]
    covered = [evaluate(model, trace).coverage for model in models for trace in new]
    assert 0.85 <= np.mean(covered) <= 0.95


def test_interval_covers_three_quarters_under_another_drive():
    model = calibrated()
    assert evaluate(model, recording(chirp_drive(2000, 3), 3)).coverage >= 0.75


def test_interval_is_wider_outside_the_domain():
    model = calibrated()
    spreads = [float(run_along(model, recording(smooth_drive(2000, 2, scale), 2)).spread.median()) for scale in (1.0, 3.0)]
    assert spreads[1] > 2 * spreads[0]


def test_interval_grows_with_the_time_since_the_start():
    """An error of the period builds up within the memory of a resonator of 20 samples period and quality 10."""
    spread = run_along(calibrated(), recording(smooth_drive(2000, 2), 2)).spread[:, 0]
    assert float(spread[:3].mean()) < 0.5 * float(spread[200:].median())


def test_noise_does_not_grow_with_the_distance():
    """Noise alone: the model is exact, and its interval is that of the noise within and outside the domain."""
    model = calibrated(0.1, period=20.0, damping=0.05)
    for scale in (1.0, 2.0):
        spread = run_along(model, recording(smooth_drive(2000, 2, scale), 2)).spread
        assert float(spread.median() / model.noise) == pytest.approx(1.0, abs=0.25)


@pytest.mark.slow
def test_ensemble_covers_nine_tenths():
    single = [resonator(period=period, damping=0.055) for period in (20.3, 20.6, 21.0)]
    model = single[0]
    model.members = torch.nn.ModuleList([other.members[0] for other in single])
    model._warned = True
    trace = recording(smooth_drive(3000, 1), 1)
    points = run_along(resonator(), trace).points
    model.domain = Domain.around(points[:2400], points[2400:])
    calibrate(model, [trace], 0.2)
    covered = [evaluate(model, recording(smooth_drive(2000, seed), seed)).coverage for seed in range(2, 7)]
    assert 0.85 <= np.mean(covered) <= 0.96


@pytest.mark.parametrize("share", [0.02, 0.5])
def test_short_validation_segment_is_calibrated(share):
    model = calibrated(samples=1200)
    calibrate(model, [recording(smooth_drive(1200, 1), 1)], share)
    assert np.mean([evaluate(model, recording(smooth_drive(2000, seed), seed)).coverage for seed in (2, 3)]) >= 0.85


# --- the domain of a fitted run ---------------------------------------------------------------------------------------------


def periodic_drive(samples, scale=1.0, period=100):
    time = np.arange(samples) / period
    return scale * (np.sin(2 * np.pi * time) + 0.5 * np.sin(2 * np.pi * 3 * time + 1))


@pytest.fixture(scope="module")
def of_repeated_motion():
    """A slightly wrong model whose domain is that of the recorded states of a periodic motion."""
    model = resonator(period=20.3)
    model._warned = True
    trace = recording(periodic_drive(3000), 1)
    points = run_along(resonator(), trace).points
    model.domain = Domain.around(points[600:2400], points[2400:])
    before = float(run_along(model, trace).outside.double().mean())
    calibrate(model, [trace], 0.2)
    return model, trace, before


def test_fitted_run_of_repeated_motion_is_inside(of_repeated_motion):
    model, trace, before = of_repeated_motion
    assert before > 0.3  # recorded states repeat themselves to rounding, those of the model lie beside them
    assert float(run_along(model, trace.between(6e-9, None)).outside.double().mean()) < 0.01


@pytest.mark.parametrize("drive", [periodic_drive(2000, scale=1.6), periodic_drive(2000, period=70)])
def test_other_amplitude_and_frequency_are_outside(of_repeated_motion, drive):
    model = of_repeated_motion[0]
    assert float(run_along(model, recording(drive, 2)).outside.double().mean()) > 0.25


def test_interval_allows_for_the_choice_among_equal_restarts_only():
    """Of equally good restarts the best was lucky; one with twice the error was no competitor. The noise stays."""
    model = calibrated(0.1)
    trace = recording(smooth_drive(3000, 1), 1, 0.1)
    floor, plain = model.spread_floor.clone(), model.spread.curve.clone()
    model.record.update({"validation": [2.0, 0.1, 2.1], "kept": [1]})
    calibrate(model, [trace], 0.2)
    assert torch.allclose(model.spread.curve, plain)
    model.record.update({"validation": [0.1, 0.1, 0.1], "kept": [1]})
    calibrate(model, [trace], 0.2)
    assert float(model.spread.curve[-1]) > float(plain[-1])
    assert torch.equal(model.spread_floor, floor)


def test_segments_left_out_are_run_by_the_fit_that_has_not_seen_them():
    model, worse = calibrated(), calibrated(period=23.0)
    trace = recording(smooth_drive(3000, 1), 1)
    blocks = [samples_of(trace, 600, 1200), samples_of(trace, 2400, 3000)]
    curves = []
    for other in (model, worse):
        calibrate(model, [trace], 0.2, [LeftOut(other, (block,)) for block in blocks])
        curves.append(float(model.spread.curve[-1]))
    assert curves[1] > 1.5 * curves[0]


def test_errors_of_an_observer_are_counted_long_after_its_start(monkeypatch):
    """A run that starts in a block has seen its outputs through the observer; one that comes from before has not."""
    model = calibrated()
    trace = recording(smooth_drive(600, 1), 1)
    monkeypatch.setattr(type(model.embedding), "recursive", property(lambda self: True))
    block = left_out_block(model, [trace], [(400, 600)])
    assert block.lead == (400,)
    assert len(block.traces[0]) == 600
    monkeypatch.undo()
    assert left_out_block(model, [trace], [(400, 600)]).lead == (0,)
    late = free_runs(replace(block, lead=(400,)), 3)
    assert late.error.shape[1] == 100  # of the block only, in runs that begin 400 samples before
    whole = run_along(model, trace.rows(slice(0, 500))).output.numpy() - recorded_outputs(model, trace.rows(slice(0, 500)))
    np.testing.assert_allclose(late.error[0], whole[400:], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("embedding", [Embedding("derivative", 2), Embedding("delay", 3)])
def test_every_split_leaves_out_its_validation_segments(embedding):
    """The blocks of all splits together cover the recordings, and no fitted point is one of their samples."""
    config = FitConfig(hidden=(4,))
    grid = on_common_grid(TraceSet([recording(smooth_drive(n, n), n) for n in (500, 700)]), config)
    parts = splits(prepare(grid, embedding, config))
    fits = [(part, [new_member(part, default_field(config), 0)]) for part in parts]
    found = list(segments_left_out(fits, grid))
    assert len(found) == len(parts) == 4
    for number, trace in enumerate(grid):
        times = np.concatenate([each.traces[number].time for each in found])
        assert len(np.unique(times)) == len(times)
        assert len(trace) - embedding.lookahead == len(times)
    for (part, _), each in zip(fits, found, strict=True):
        first, last = part.validation[0]
        points = torch.cat([part.samples.states, part.drive], -1)[first : last + 1]
        assert each.surrogate.domain.distance(points[len(points) // 2]) > 0
        expected = part.scales.output_si(part.outputs[first : last + 1]).numpy()[:, 0]
        assert each.traces[0].output["y"] == pytest.approx(expected)


def test_rectified_output_is_compared_with_its_magnitude():
    """The grid of a fit has restored signs; the response of the surrogate is what the instrument records."""
    model = calibrated()
    curve = float(model.spread.curve[-1])
    model.ports = replace(model.ports, output_map={"y": "abs"})
    calibrate(model, [recording(smooth_drive(3000, 1), 1)], 0.2)
    assert float(model.spread.curve[-1]) < 1.5 * curve


def test_interval_is_that_of_recorded_samples_where_the_grid_is_coarser():
    """A low-pass removes three quarters of the power of white noise on the way to a grid of a quarter of the samples."""
    rng, noise = np.random.default_rng(0), 0.1
    coarse = recording(smooth_drive(1000, 1), 1)
    time = np.arange(3997) * INTERVAL / 4
    fine = {name: CubicSpline(coarse.time, values)(time) for name, values in (coarse.drive | coarse.output).items()}
    noisy = fine["y"] + noise * rng.standard_normal(len(time))
    trace = Trace(time, {"V": fine["V"]}, {"y": noisy}, {}, coarse.units, {"V": "spline"})
    grid = on_common_grid(TraceSet([trace]), FitConfig(sample_interval=INTERVAL, resampling="band-limited"))
    model = calibrated(period=20.0, damping=0.05)
    model.noise.fill_(noise / 2)
    calibrate(model, grid, 0.2)
    assert float(model.spread_floor) == pytest.approx(noise, rel=0.1)


def test_interval_knows_nothing_of_the_noise_of_another_recording():
    """A perfect model, and a recording with three times the fitted noise: erf(1.645 / 3 / sqrt(2)) = 42 % lie within."""
    model = calibrated(0.05, period=20.0, damping=0.05)
    scores = evaluate(model, recording(smooth_drive(3000, 2), 2, 0.15))
    assert scores.coverage == pytest.approx(0.42, abs=0.08)
    remark = next(each for each in coverage_remarks(model, scores))
    assert remark.grade == NOTE
    assert "noisier than the fitted" in remark.reason
    own = evaluate(model, recording(smooth_drive(3000, 2), 2, 0.05))
    assert "noise" not in next(each for each in coverage_remarks(model, own)).text


def test_other_kind_of_drive_adds_the_difference_of_the_restarts():
    model = calibrated()
    held = recording(smooth_drive(1000, 2), 2)
    held = Trace(held.time, held.drive, held.output, {}, held.units, {"V": "held"})
    before = run_along(model, held).spread
    model.spread.other_drive.fill_(0.1)
    assert torch.allclose(run_along(model, held).spread, (before.square() + 0.01).sqrt())
    smooth = recording(smooth_drive(1000, 2), 2)
    model.spread.other_drive.zero_()
    same = run_along(model, smooth).spread
    model.spread.other_drive.fill_(0.1)
    assert torch.equal(run_along(model, smooth).spread, same)
