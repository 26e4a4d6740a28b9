"""The report of a synapse surrogate: sentences follow from scores, and the page is self-contained."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

from spinode.contracts.synapse import Pulses
from spinode.datasets import pulse_traces
from spinode.errors import TraceError
from spinode.reporting.remarks import BAD, CARE, GOOD, NOTE
from spinode.surrogates.synapses import evaluation
from spinode.surrogates.synapses.assessment import assess
from spinode.surrogates.synapses.evaluation import SynapseEvaluation, evaluate_synapse, shorten
from spinode.surrogates.synapses.plots import have_same_schedule, plot_correlation, plot_drift
from spinode.surrogates.synapses.predict import OneStepPrediction
from spinode.surrogates.synapses.report import synapse_report
from spinode.traces.trace import Trace, TraceSet


@pytest.fixture(autouse=True)
def few_runs(monkeypatch):
    """Use two posterior samples instead of eight: free runs take most of the time."""
    monkeypatch.setattr(evaluation, "DRAWS", 2)
    monkeypatch.setattr(evaluation, "SAMPLES", 80)


def recorded(synapse, *, devices=3, steps=40, seed=0):
    count = torch.where(torch.arange(steps) // 10 % 2 == 0, 1.0, -1.0)
    voltage = 1.1 if synapse.inputs.names else None
    return pulse_traces(synapse, count, devices=devices, voltage=voltage, generator=torch.Generator().manual_seed(seed))


def with_scores(traces, *, z=None, coverage=0.9, outside=0.0, fitted=False):
    """Return an evaluation with given scores; the innovations `z` may be those of other recordings than the traces."""
    z = np.random.default_rng(0).standard_normal((len(traces[0]), len(traces))) if z is None else z
    held_out = np.ones(z.shape, dtype=bool)
    held_out[0] = False
    steps = OneStepPrediction(np.ones_like(z), np.ones_like(z), np.zeros_like(z), z, held_out)
    return SynapseEvaluation(traces, fitted, steps, (0,), (np.ones((2, len(traces[0]))),), coverage, outside)


# The page


def test_the_page_is_complete_and_loads_nothing(make_synapse, tmp_path):
    synapse = make_synapse(telegraph=False)
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


def test_the_title_is_escaped(make_synapse):
    synapse = make_synapse(spread=False, telegraph=False)
    evaluation = evaluate_synapse(synapse, recorded(synapse, devices=1))
    page = synapse_report(synapse, evaluation, title="<b>&")
    assert "<h1>&lt;b&gt;&amp;</h1>" in page


def test_recordings_of_other_channels_are_refused(make_synapse, tmp_path):
    with pytest.raises(TraceError, match="drives SET and RESET"):
        synapse_report(make_synapse(), Trace([0.0, 1.0], {"V": [0.0, 1.0]}, {"I": [0.0, 1.0]}), tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


# Scores and sentences


def test_scores_on_simulated_recordings_are_good(make_synapse):
    synapse = make_synapse(spread=False, telegraph=False)
    found = evaluate_synapse(synapse, recorded(synapse, devices=6, steps=150))
    # 4.5 standard errors of 900 independent normal numbers.
    assert abs(found.innovation.std() - 1) < 4.5 / np.sqrt(2 * 900)
    assert abs(found.correlation(1)) < 4.5 / np.sqrt(900)
    assert found.coverage > 0.75
    assert found.shown == (0, 2, 5)
    assert all(np.isfinite(interval).all() for interval in found.intervals)


def test_coverage_counts_more_recordings_than_are_shown(make_synapse):
    """One recording that is unlike the others, the first, does not decide; it is named."""
    synapse = make_synapse(spread=False, telegraph=False)
    traces = list(recorded(synapse, devices=12))
    reads = traces[0].output["conductance"].copy()
    reads[1:] += 3 * (synapse.high - synapse.low)
    traces[0] = replace(traces[0], output={"conductance": reads})
    found = evaluate_synapse(synapse, TraceSet(traces))
    assert (len(found.shown), len(found.intervals), found.runs) == (3, 3, 10)
    assert found.worst == (0.0, 0)
    assert found.coverage > 0.7
    assert any(remark.text.startswith("Recording 0 is unlike the others") for remark in assess(synapse, found).remarks)


@pytest.mark.parametrize(("error", "grade"), [(0.001, GOOD), (0.2, BAD)])
def test_wrong_noise_is_a_note_where_free_runs_are_accurate(make_synapse, error, grade):
    """Of recordings without noise, what is left are the errors of the drift: correlated, but of no size."""
    synapse = make_synapse(spread=False, telegraph=False)
    traces = recorded(synapse, devices=1, steps=200)
    reads = traces[0].output["conductance"]
    correlated = np.cumsum(np.random.default_rng(0).standard_normal((len(reads), 1)), 0) / 5
    offset = error * reads.std()
    found = with_scores(traces, z=correlated, coverage=0.3)
    found = replace(found, intervals=(np.stack([reads + 0.9 * offset, reads + 1.1 * offset]),))
    assessment = assess(synapse, found)
    assert assessment.grade == grade
    assert found.free_run_error == pytest.approx(error)
    assert "no score gives reason for doubt" not in assessment.headline


def test_too_little_noise_is_reported(make_synapse):
    synapse = make_synapse(spread=False, telegraph=False)
    traces = recorded(synapse, devices=6, steps=150)
    synapse.noise[synapse.noise_model.names.index("log correlated read")] -= 3.0
    synapse.noise[synapse.noise_model.names.index("log read")] -= 3.0
    found = assess(synapse, traces)
    assert any(remark.grade == BAD and "too small" in remark.text for remark in found.remarks)
    assert found.grade == BAD
    assert found.sentences == [found.headline, *(remark.sentence for remark in found.remarks)]
    assert all(remark.remedy for remark in found.remarks if remark.grade >= CARE)


@pytest.mark.parametrize(
    ("change", "grade", "words"),
    [
        ({}, GOOD, "Trust it"),
        ({"coverage": 0.8}, CARE, "somewhat narrow"),
        ({"coverage": 0.5}, BAD, "intervals of free runs are too narrow"),
        ({"coverage": 0.99}, GOOD, "Trust it"),
        ({"outside": 0.1}, CARE, "outside"),
        ({"outside": 0.5}, BAD, "50 % of the reads lie outside the fitted range"),
        ({"scale": 1.3}, BAD, "the predicted noise of one step is too small"),
        ({"scale": 0.85}, CARE, "the predicted noise of one step is too large"),
        ({"repeat": 1}, BAD, "one-step errors are correlated"),
    ],
)
def test_the_headline_follows_from_the_scores(make_synapse, change, grade, words):
    synapse = make_synapse(telegraph=False)
    traces = recorded(synapse, devices=1, steps=5)
    z = np.random.default_rng(1).standard_normal((201, 50)) * change.pop("scale", 1.0)
    if change.pop("repeat", 0):
        z[1:] = (z[1:] + z[:-1]) / np.sqrt(2)
    found = assess(synapse, with_scores(traces, z=z, **change))
    assert found.grade == grade
    assert words in found.headline


@pytest.mark.parametrize("shift", [-1.0, 0.0])
def test_first_pulses_that_behave_differently_are_named(make_synapse, shift):
    synapse = make_synapse(spread=False, telegraph=False)
    traces = recorded(synapse, devices=2, steps=390)
    sign = np.sign(traces[0].drive["SET"] - traces[0].drive["RESET"])[:-1]
    z = np.random.default_rng(0).standard_normal((len(sign) + 1, 2))
    first = 1 + np.flatnonzero(np.diff(sign) != 0)
    z[first + 1] += shift * sign[first, None]
    found = [remark.text for remark in assess(synapse, with_scores(traces, z=z)).remarks if "change of polarity" in remark.text]
    if shift:
        assert len(found) == 1
        assert "less than the pulses that follow" in found[0]
    else:
        assert found == []


def test_remarks_list_what_is_not_known(make_synapse):
    one = make_synapse(spread=False, telegraph=False, voltage=False)
    texts = [remark.text for remark in assess(one, with_scores(recorded(one, devices=1))).remarks]
    assert any("does not determine the spread from device to device" in text for text in texts)
    assert any("do not contain the voltage" in text for text in texts)
    many = make_synapse()
    texts = [remark.text for remark in assess(many, with_scores(recorded(many))).remarks]
    assert any("from the posteriors of 40 measured devices" in text for text in texts)
    assert any("All pulses had the width" in text for text in texts)


def test_few_reads_are_reported(make_synapse):
    synapse = make_synapse(spread=False, telegraph=False)
    found = assess(synapse, with_scores(recorded(synapse, devices=1, steps=5))).remarks
    assert found[0].grade == CARE
    assert "only 5 reads" in found[0].text
    assert NOTE in {remark.grade for remark in found}


def test_long_recordings_are_shortened(make_synapse):
    synapse = make_synapse(spread=False, telegraph=False)
    trace = recorded(synapse, devices=1, steps=500)[0]
    assert len(shorten(trace)) == 400
    assert shorten(shorten(trace)).fingerprint() == shorten(trace).fingerprint()


# Figures


def test_the_plotted_drift_is_the_change_by_one_pulse(make_synapse):
    synapse = make_synapse()
    ax = plot_drift(synapse)
    line = next(line for line in ax.get_lines() if line.get_label() == "SET")
    state = synapse.initial((len(line.get_xdata()),), dtype=torch.float64)
    state["state"] = torch.linspace(-2, 2, len(line.get_xdata()), dtype=torch.float64)
    before = synapse.read(state)
    change = synapse.read(synapse.program(state, Pulses(torch.ones_like(before)))) - before
    np.testing.assert_allclose(line.get_ydata() * 1e-6, change.numpy(), rtol=1e-9)
    np.testing.assert_allclose(line.get_xdata() * 1e-6, before.numpy(), rtol=1e-9)


def test_plotted_correlations_are_those_of_the_innovations(make_synapse):
    synapse = make_synapse(spread=False)
    traces = recorded(synapse, devices=1, steps=5)
    z = np.random.default_rng(0).standard_normal((301, 50))
    z[2:] += 0.5 * z[:-2]
    ax = plot_correlation(with_scores(traces, z=z))
    values = next(line for line in ax.get_lines() if line.get_label() == "one-step errors").get_ydata()
    assert len(values) == 20
    assert values[1] == pytest.approx(0.4, abs=0.03)
    assert np.abs(np.delete(values, [1, 3])).max() < 0.06


def test_only_recordings_under_the_same_pulses_are_compared(make_synapse):
    synapse = make_synapse(spread=False, voltage=False)
    traces = recorded(synapse, devices=12)
    other = recorded(synapse, devices=1, steps=30)
    assert have_same_schedule(traces)
    assert not have_same_schedule(TraceSet([*traces, *other]))
    assert not have_same_schedule(TraceSet(list(traces)[:9]))
