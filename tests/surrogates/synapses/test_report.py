"""The page about a synapse surrogate: its sentences follow from its scores, and it holds all it shows."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

from spinode.contracts.synapse import Pulses
from spinode.datasets import pulse_traces
from spinode.errors import TraceError
from spinode.reporting.remarks import BAD, CARE, GOOD, NOTE
from spinode.surrogates.synapses import assessment as synapse_scores
from spinode.surrogates.synapses.assessment import Assessment, assess, headline, remarks, stretch
from spinode.surrogates.synapses.plots import alike, plot_correlation, plot_drift
from spinode.surrogates.synapses.predict import OneStepPrediction
from spinode.surrogates.synapses.pulse_data import pulse_data
from spinode.surrogates.synapses.pulse_summary import increments, pulse_summary
from spinode.surrogates.synapses.report import synapse_report
from spinode.traces.trace import Trace, TraceSet


@pytest.fixture(autouse=True)
def few_runs(monkeypatch):
    """Two draws instead of eight: the runs are most of the time."""
    monkeypatch.setattr(synapse_scores, "DRAWS", 2)
    monkeypatch.setattr(synapse_scores, "SAMPLES", 80)


def recorded(synapse, *, devices=3, steps=40, seed=0):
    count = torch.where(torch.arange(steps) // 10 % 2 == 0, 1.0, -1.0)
    voltage = 1.1 if synapse.inputs.names else None
    return pulse_traces(synapse, count, devices=devices, voltage=voltage, generator=torch.Generator().manual_seed(seed))


def scored(traces, *, z=None, coverage=0.9, outside=0.0, fitted=False):
    """An assessment with the scores that a test wants."""
    reads, lanes = len(traces[0]), len(traces)
    z = np.random.default_rng(0).standard_normal((reads, lanes)) if z is None else z
    held = np.ones((reads, lanes), dtype=bool)
    held[0] = False
    steps = OneStepPrediction(np.ones_like(z), np.ones_like(z), np.zeros_like(z), z, held)
    return Assessment(traces, fitted, steps, (0,), (np.ones((2, reads)),), coverage, outside)


# The page


def test_the_page_is_whole_and_loads_nothing(make_synapse, tmp_path):
    synapse = make_synapse(trap=False)
    page = synapse_report(synapse, recorded(synapse, devices=11), tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text("utf-8") == page
    opened: list[str] = []

    class Balance(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag not in ("meta", "img", "br"):
                opened.append(tag)

        def handle_endtag(self, tag):
            assert opened.pop() == tag

    Balance().feed(page)
    assert opened == []
    assert page.count("<img") == 3 + 1 + 3
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    for words in ("40 device(s)", "virtual devices", "accumulating SET", "not those of the fit"):
        assert words in page


def test_the_title_is_text(make_synapse):
    synapse = make_synapse(spread=False, trap=False)
    page = synapse_report(synapse, recorded(synapse, devices=1), title="<b>&")
    assert "<h1>&lt;b&gt;&amp;</h1>" in page


def test_recordings_that_do_not_suit_are_refused(make_synapse, tmp_path):
    with pytest.raises(TraceError, match="drives SET and RESET"):
        synapse_report(make_synapse(), Trace([0.0, 1.0], {"V": [0.0, 1.0]}, {"I": [0.0, 1.0]}), tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


# Scores and sentences


def test_its_own_recordings_speak_for_it(make_synapse):
    synapse = make_synapse(spread=False, trap=False)
    found = assess(synapse, recorded(synapse, devices=6, steps=150))
    # Four and a half standard errors for 900 independent normal numbers.
    assert abs(found.innovation.std() - 1) < 4.5 / np.sqrt(2 * 900)
    assert abs(found.correlation(1)) < 4.5 / np.sqrt(900)
    assert found.coverage > 0.75
    assert found.shown == (0, 2, 5)
    assert all(np.isfinite(prediction_interval).all() for prediction_interval in found.bands)


def test_a_surrogate_with_too_little_noise_is_told_off(make_synapse):
    synapse = make_synapse(spread=False, trap=False)
    traces = recorded(synapse, devices=6, steps=150)
    synapse.noise[synapse.noise_model.names.index("log correlated read")] -= 3.0
    synapse.noise[synapse.noise_model.names.index("log read")] -= 3.0
    found = remarks(synapse, assess(synapse, traces))
    assert any(remark.grade == BAD and "too small" in remark.text for remark in found)
    assert headline(synapse, found)[0] == BAD


@pytest.mark.parametrize(
    ("change", "grade", "words"),
    [
        ({}, GOOD, "Trust it"),
        ({"coverage": 0.8}, CARE, "somewhat too sure"),
        ({"coverage": 0.5}, BAD, "promise more"),
        ({"coverage": 0.99}, GOOD, "Trust it"),
        ({"outside": 0.1}, CARE, "outside"),
        ({"outside": 0.5}, BAD, "50 % of the reads lie outside"),
        ({"scale": 1.3}, BAD, "too small one step ahead"),
        ({"scale": 0.85}, CARE, "too large one step ahead"),
        ({"repeat": 1}, BAD, "hang together"),
    ],
)
def test_the_headline_follows_from_the_scores(make_synapse, change, grade, words):
    synapse = make_synapse(trap=False)
    traces = recorded(synapse, devices=50, steps=200)
    z = np.random.default_rng(1).standard_normal((201, 50)) * change.pop("scale", 1.0)
    if change.pop("repeat", 0):
        z[1:] = (z[1:] + z[:-1]) / np.sqrt(2)
    judged, sentence = headline(synapse, remarks(synapse, scored(traces, z=z, **change)))
    assert judged == grade
    assert words in sentence


def test_what_is_not_known_is_said(make_synapse):
    one = make_synapse(spread=False, trap=False, voltage=False)
    texts = [remark.text for remark in remarks(one, scored(recorded(one, devices=1)))]
    assert any("nothing of the spread from device to device" in text for text in texts)
    assert any("do not tell the voltage" in text for text in texts)
    many = make_synapse()
    texts = [remark.text for remark in remarks(many, scored(recorded(many)))]
    assert any("from what 40 that were measured may have been" in text for text in texts)
    assert any("All pulses had the width" in text for text in texts)


def test_few_reads_are_no_proof(make_synapse):
    synapse = make_synapse(spread=False, trap=False)
    found = remarks(synapse, scored(recorded(synapse, devices=1, steps=5)))
    assert found[0].grade == CARE
    assert "only 5 reads" in found[0].text
    assert NOTE in {remark.grade for remark in found}


def test_long_recordings_are_shown_in_part(make_synapse):
    synapse = make_synapse(spread=False, trap=False)
    trace = recorded(synapse, devices=1, steps=500)[0]
    assert len(stretch(trace)) == 400
    assert stretch(stretch(trace)).fingerprint() == stretch(trace).fingerprint()


# Figures


def test_the_drift_that_is_drawn_is_that_of_a_pulse(make_synapse):
    synapse = make_synapse()
    ax = plot_drift(synapse)
    line = next(line for line in ax.get_lines() if line.get_label() == "SET")
    state = synapse.initial((len(line.get_xdata()),), dtype=torch.float64)
    state["state"] = torch.linspace(-2, 2, len(line.get_xdata()), dtype=torch.float64)
    before = synapse.read(state)
    change = synapse.read(synapse.program(state, Pulses(torch.ones_like(before)))) - before
    np.testing.assert_allclose(line.get_ydata() * 1e-6, change.numpy(), rtol=1e-9)
    np.testing.assert_allclose(line.get_xdata() * 1e-6, before.numpy(), rtol=1e-9)


def test_correlations_are_those_of_the_innovations(make_synapse):
    synapse = make_synapse(spread=False)
    traces = recorded(synapse, devices=50, steps=300)
    z = np.random.default_rng(0).standard_normal((301, 50))
    z[2:] += 0.5 * z[:-2]
    ax = plot_correlation(scored(traces, z=z))
    values = next(line for line in ax.get_lines() if line.get_label() == "errors of prediction").get_ydata()
    assert len(values) == 20
    assert values[1] == pytest.approx(0.4, abs=0.03)
    assert np.abs(np.delete(values, [1, 3])).max() < 0.06


def test_only_like_schedules_are_compared(make_synapse):
    synapse = make_synapse(spread=False, voltage=False)
    traces = recorded(synapse, devices=12)
    other = recorded(synapse, devices=1, steps=30)
    assert alike(traces)
    assert not alike(TraceSet([*traces, *other]))
    assert not alike(TraceSet(list(traces)[:9]))


# The summary before a fit


def test_moments_tell_read_noise_from_noise_that_accumulates():
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
