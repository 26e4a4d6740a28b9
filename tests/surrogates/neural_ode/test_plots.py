"""Figures of an evaluation: they draw its data into the given Axes."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from spinode.dynamics.field import MLPField
from spinode.dynamics.scales import Scales
from spinode.errors import ConfigError, TraceError
from spinode.surrogates.neural_ode import plots
from spinode.surrogates.neural_ode.domain import Domain
from spinode.surrogates.neural_ode.embedding import Embedding
from spinode.surrogates.neural_ode.evaluation.evaluate import Evaluation
from spinode.surrogates.neural_ode.free_run import FreeRun
from spinode.surrogates.neural_ode.member import Member
from spinode.surrogates.neural_ode.plots.errors import coverage_curve
from spinode.surrogates.neural_ode.ports import Ports
from spinode.surrogates.neural_ode.surrogate import Surrogate
from spinode.traces.trace import Trace

OUTPUTS = ("m$z_", "V")


def surrogate_of(drives=("Ku",), outputs=OUTPUTS, order=2, **record):
    one = torch.ones(1, dtype=torch.float64)
    count, size = len(drives), order * len(outputs)
    field = MLPField(size, count, size, hidden=(3,), generator=torch.Generator().manual_seed(0))
    points = torch.randn(50, size + count, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    scales = Scales(
        one.repeat(len(outputs)) * 0.5,
        one.repeat(len(outputs)) * 0.1,
        0.1 * torch.ones(order, len(outputs), dtype=torch.float64),
        7e5 * one.repeat(count),
        1e4 * one.repeat(count),
    )
    return Surrogate(
        ports=Ports(drives, outputs, units={"Ku": "J/m3", "V": "V"}, interpolation=dict.fromkeys(drives, "spline")),
        embedding=Embedding("delay", order),
        interval=5e-12,
        scales=scales,
        members=[Member(field, torch.zeros(len(outputs), count, dtype=torch.float64))],
        domain=Domain(points, 1.0),
        noise=torch.zeros(len(outputs), dtype=torch.float64),
        record=record,
    )


def evaluation_of(count=400, drives=("Ku",), outputs=OUTPUTS, shift=0.01, **scores):
    time = 1e-8 + 5e-12 * np.arange(count)
    phase = 2 * np.pi * 4e9 * (time - time[0])
    truth = np.stack([0.5 + 0.1 * np.sin(phase + k) * 10.0 ** (-3 * k) for k in range(len(outputs))], -1)
    predicted = torch.as_tensor(truth + shift * truth.std(0))
    trace = Trace(
        time,
        drive={name: 7e5 + 1e4 * np.cos(phase) for name in drives},
        output={name: truth[:, k] for k, name in enumerate(outputs)},
        units={"Ku": "J/m3", "V": "V"},
    )
    spread = torch.as_tensor(np.tile(0.02 * truth.std(0), (count, 1)))
    outside = torch.arange(count) >= 0.9 * count
    run = FreeRun(torch.as_tensor(time), predicted, predicted[None], spread, outside, None)
    evaluation = Evaluation(
        trace=trace, run=run, nrmse=shift, r2=1 - shift**2, spectrum_error=0.01,
        horizon=((5e-12, 0.5 * shift), (1e-10, shift), (2e-9, shift)), diverged_at=None, outside_domain=0.1,
        coverage=1.0, regime_change_at=None, nrmse_before_change=None, baseline_nrmse=0.5,
        residuals=np.full((count - 4, len(outputs)), 0.7),
    )  # fmt: skip
    return replace(evaluation, **scores)


def line(ax, label):
    lines = {each.get_label(): each for each in ax.get_lines()}
    assert label in lines, f"{label!r} is not among {list(lines)}"
    return np.asarray(lines[label].get_xdata(), float), np.asarray(lines[label].get_ydata(), float)


def draw(ax):
    FigureCanvasAgg(ax.get_figure(root=True)).draw()
    return ax


def test_overlay_shows_recording_run_and_their_difference_with_si_prefixes():
    evaluation = evaluation_of()
    curves, strip = plots.plot_overlay(evaluation, output="V")
    draw(curves)
    time, recorded = line(curves, "recorded")
    np.testing.assert_allclose(time, evaluation.trace.time / 1e-9)
    np.testing.assert_allclose(recorded, evaluation.trace.output["V"] / 1e-3)
    np.testing.assert_allclose(line(curves, "model")[1], evaluation.prediction[:, 1] / 1e-3)
    np.testing.assert_allclose(
        line(strip, "model - recorded")[1], 1e3 * (evaluation.prediction - evaluation.truth)[:, 1], atol=1e-12
    )
    assert curves.get_ylabel() == "V (mV)"
    assert strip.get_xlabel() == "time (ns)"


def test_overlay_marks_change_divergence_and_steps_outside_the_domain():
    evaluation = evaluation_of(regime_change_at=1.1e-8, diverged_at=1.15e-8)
    curves, _ = plots.plot_overlay(evaluation)
    assert line(curves, "device changes")[0][0] == pytest.approx(11.0)
    assert line(curves, "run diverges")[0][0] == pytest.approx(11.5)
    (bar,) = [each for each in curves.collections if each.get_label() == "outside the domain"]
    left, right = bar.get_paths()[0].vertices[:, 0].min(), bar.get_paths()[0].vertices[:, 0].max()
    np.testing.assert_allclose([left, right], evaluation.trace.time[[360, 399]] / 1e-9)


def test_overlay_shows_only_the_requested_time_range():
    evaluation = evaluation_of()
    curves, _ = plots.plot_overlay(evaluation, start=1.1e-8, stop=1.12e-8)
    time, _ = line(curves, "recorded")
    assert (time.min(), time.max()) == (pytest.approx(11.0, abs=0.006), pytest.approx(11.2, abs=0.006))
    changed = replace(evaluation, regime_change_at=1.15e-8)
    early, _ = plots.plot_overlay(changed, stop=1.1e-8)
    assert "device changes" not in [each.get_label() for each in early.get_lines()]
    with pytest.raises(TraceError, match="fewer than two samples"):
        plots.plot_overlay(evaluation, start=1.0)


def test_recording_stays_visible_if_the_run_escapes():
    evaluation = evaluation_of()
    escaped = evaluation.run.output.clone()
    escaped[200:] = 1e6
    curves, _ = plots.plot_overlay(replace(evaluation, run=replace(evaluation.run, output=escaped)))
    low, high = curves.get_ylim()
    assert 0.3 < low < 0.4 < 0.6 < high < 0.75


def test_every_figure_draws_into_the_given_axes_and_returns_them():
    evaluation, surrogate = evaluation_of(), surrogate_of()
    figure = Figure()
    for index, plot in enumerate(
        (
            plots.plot_horizon, plots.plot_parity, plots.plot_phase, plots.plot_spectrum, plots.plot_coverage,
            plots.plot_residuals, lambda e, ax: plots.plot_domain(surrogate, e, ax=ax),
            lambda e, ax: plots.plot_history(surrogate, ax=ax),
        ),
        start=1,
    ):  # fmt: skip
        ax = figure.add_subplot(3, 4, index)
        assert plot(evaluation, ax=ax) is ax
        assert isinstance(plot(evaluation, ax=None), Axes)
        assert ax.get_xlabel()
        assert ax.get_ylabel()
    pair = figure.add_subplot(3, 4, 11), figure.add_subplot(3, 4, 12)
    assert plots.plot_overlay(evaluation, ax=pair) == pair
    FigureCanvasAgg(figure).draw()


def test_running_residual_keeps_its_level_up_to_the_ends():
    ax = draw(plots.plot_residuals(evaluation_of()))
    np.testing.assert_allclose(line(ax, "running rms")[1], 0.7)


def test_horizon_shows_the_scores_and_the_baseline():
    evaluation = evaluation_of()
    ax = draw(plots.plot_horizon(evaluation))
    time, score = line(ax, "model")
    np.testing.assert_allclose(np.stack([time * 1e-9, score], -1), evaluation.horizon)
    assert line(ax, "linear ARX, whole run")[1][0] == 0.5


def test_phase_portrait_has_the_amplitude_of_the_rate():
    ax = draw(plots.plot_phase(evaluation_of(outputs=("V",))))
    value, rate = line(ax, "recorded")
    # V = 0.5 + 0.1 sin(2 pi 4 GHz t): the rate in mV/ns is 2 pi 4 times the amplitude in mV.
    assert np.max(rate[20:-20]) == pytest.approx(2 * np.pi * 4 * 100, rel=0.02)
    assert np.mean(value) == pytest.approx(500, rel=0.02)
    assert ax.get_ylabel() == "d V / dt (mV/ns)"


def test_spectrum_peaks_at_the_frequency_of_the_recording():
    ax = draw(plots.plot_spectrum(evaluation_of(2000)))
    frequency, power = line(ax, "recorded")
    assert frequency[np.argmax(power)] == pytest.approx(4.0, abs=0.15)
    assert np.max(power) == pytest.approx(0.0, abs=1e-9)
    assert ax.get_xlabel() == "frequency (GHz)"


def test_parity_shows_recorded_and_predicted_samples():
    evaluation = evaluation_of(outputs=("V",))
    ax = draw(plots.plot_parity(evaluation))
    inside, outside = (np.asarray(each.get_offsets()) for each in ax.collections)
    pairs = np.stack([evaluation.truth[:, 0], evaluation.prediction[:, 0]], -1) / 1e-3
    np.testing.assert_allclose(inside, pairs[:360])
    np.testing.assert_allclose(outside, pairs[360:])


def test_coverage_of_gaussian_errors_is_nominal():
    evaluation = evaluation_of(20_000, outputs=("V",))
    noise = np.random.default_rng(0).normal(size=(20_000, 1))
    run = replace(
        evaluation.run,
        output=torch.as_tensor(evaluation.truth + 0.1 * noise),
        spread=torch.full((20_000, 1), 0.1, dtype=torch.float64),
    )
    nominal = np.array([0.1, 0.5, 0.9, 0.99])
    # Four standard errors of a share of 20 000 samples, at the widest, are 0.014.
    np.testing.assert_allclose(coverage_curve(replace(evaluation, run=run), nominal), nominal, atol=0.014)


def test_history_has_a_line_for_each_restart_and_omits_values_that_are_not_finite():
    entries = [
        {"restart": r, "stage": s, "window": w, "validation": v, "residual": 0.1 * v, "steps": 3}
        for r, values in enumerate(((0.5, 0.1), (float("inf"), 0.2)))
        for s, (w, v) in enumerate(zip((1, 8), values, strict=True))
    ]
    ax = draw(plots.plot_history(surrogate_of(history=entries, kept=[0])))
    np.testing.assert_allclose(line(ax, "restart 1, kept"), [[0, 1], [0.5, 0.1]])
    np.testing.assert_allclose(line(ax, "restart 2"), [[1], [0.2]])
    assert [text.get_text() for text in ax.get_xticklabels()] == ["1", "8"]


def test_missing_history_is_reported_in_the_figure():
    ax = draw(plots.plot_history(surrogate_of()))
    assert "no history" in ax.texts[0].get_text()


def test_domain_shows_fitted_points_and_the_steps_outside():
    surrogate, evaluation = surrogate_of(), evaluation_of()
    ax = draw(plots.plot_domain(surrogate, evaluation))
    fitted, inside, outside = (np.asarray(each.get_offsets()) for each in ax.collections)
    points = surrogate.domain.points.numpy()
    np.testing.assert_allclose(fitted[:, 0], (7e5 + 1e4 * points[:, -1]) / 1e3)
    np.testing.assert_allclose(fitted[:, 1], 0.5 + 0.1 * points[:, 0])
    assert (len(inside), len(outside)) == (360, 40)
    np.testing.assert_allclose(outside[:, 1], evaluation.prediction[360:, 0])
    with pytest.raises(ConfigError, match="not a drive or parameter"):
        plots.plot_domain(surrogate, evaluation, drive="B")


@pytest.mark.parametrize("order", [1, 2])
def test_domain_of_an_autonomous_device_needs_no_drive(order):
    ax = draw(plots.plot_domain(surrogate_of(drives=(), order=order), evaluation_of(drives=())))
    assert "change" in ax.get_ylabel()


def test_unknown_output_is_refused_with_the_known_names():
    with pytest.raises(TraceError, match=r"'mx'.*m\$z_, V"):
        plots.plot_parity(evaluation_of(), output="mx")


PYPLOT_FREE = """
import sys
import spinode.surrogates.neural_ode.plots as plots
assert not [name for name in sys.modules if "matplotlib" in name]
sys.path.insert(0, sys.argv[1])
import test_plots
from spinode.reporting.page import png
assert png(plots.plot_overlay(test_plots.evaluation_of())[0])[1:4] == b"PNG"
assert "matplotlib.pyplot" not in sys.modules
"""


def test_matplotlib_is_imported_when_the_first_figure_is_drawn_and_pyplot_never():
    subprocess.run([sys.executable, "-P", "-c", PYPLOT_FREE, str(Path(__file__).parent)], check=True)
