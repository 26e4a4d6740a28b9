"""Predictions of reads: calibrated for recordings that the surrogate simulated, and independent of later reads."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from spinode.datasets import pulse_traces
from spinode.errors import ConfigError, TraceError
from spinode.surrogates.synapses.predict import free_runs, predict_one_step, prediction_interval


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def recorded(synapse, *, devices=20, steps=200, seed=0):
    """Simulate recordings of pulse trains of both polarities and two voltages."""
    count = torch.where(torch.arange(steps) // 25 % 2 == 0, 1.0, -1.0)
    voltage = torch.where(torch.arange(steps) // 10 % 2 == 0, 1.05, 1.2) if synapse.inputs.names else None
    return pulse_traces(synapse, count, devices=devices, voltage=voltage, generator=seeded(seed))


def correlation(values):
    """Return the correlation of neighbours over all recordings."""
    first, second = values[1:-1], values[2:]
    finite = np.isfinite(first) & np.isfinite(second)
    return float(np.mean(first[finite] * second[finite])) / float(np.nanvar(values))


@pytest.mark.parametrize(
    "kind", [{"telegraph": False}, {"telegraph": False, "memory": False, "log": False, "voltage": False}, {"telegraph": True}]
)
def test_innovations_of_its_own_recordings_are_standard_normal(make_synapse, kind):
    synapse = make_synapse(spread=False, **kind)
    found = predict_one_step(synapse, recorded(synapse))
    z = found.innovation[np.isfinite(found.innovation)]
    assert len(z) == 20 * 200
    # 4.5 standard errors of each statistic of 4000 independent normal numbers.
    limit = 4.5 / np.sqrt(len(z))
    assert abs(z.mean()) < limit
    assert abs(z.std() - 1) < limit / np.sqrt(2)
    assert abs(correlation(found.innovation)) < limit


def test_telegraph_noise_that_is_not_modelled_shows_in_the_innovations(make_synapse):
    synapse = make_synapse(spread=False)
    found = predict_one_step(make_synapse(spread=False, telegraph=False), recorded(synapse))
    assert stats.kurtosis(found.innovation[1:].ravel()) > 10


@pytest.mark.parametrize("log", [False, True])
def test_the_density_follows_from_mean_and_deviation(make_synapse, log):
    synapse = make_synapse(spread=False, telegraph=False, log=log)
    traces = recorded(synapse, devices=2, steps=20)
    found = predict_one_step(synapse, traces)
    reads = np.stack([trace.output["conductance"] for trace in traces], 1)
    mean, sd = found.mean[1:], found.sd[1:]
    distribution = stats.norm(mean, sd)
    if log:
        variance = np.log1p((sd / mean) ** 2)
        distribution = stats.lognorm(np.sqrt(variance), scale=mean * np.exp(-variance / 2))
    np.testing.assert_allclose(found.loglik[1:], distribution.logpdf(reads[1:]), rtol=1e-9)
    np.testing.assert_allclose(found.innovation[1:], stats.norm.ppf(distribution.cdf(reads[1:])), atol=1e-6)


@pytest.mark.parametrize("telegraph", [False, True])
def test_predictions_do_not_depend_on_later_reads(make_synapse, telegraph):
    synapse = make_synapse(spread=False, telegraph=telegraph)
    traces = recorded(synapse, devices=2, steps=60)
    reads = traces[0].output["conductance"].copy()
    reads[30:] *= 1.5
    changed = [replace(traces[0], output={"conductance": reads}), traces[1]]
    before, after = predict_one_step(synapse, traces), predict_one_step(synapse, changed)
    for first, second in zip(before[:2], after[:2], strict=True):
        np.testing.assert_allclose(first[:31], second[:31], rtol=1e-9)
        assert not np.allclose(first[31:, 0], second[31:, 0], rtol=1e-3)


def test_recordings_may_have_different_lengths(make_synapse):
    synapse = make_synapse(spread=False)
    traces = recorded(synapse, devices=2, steps=60)
    short = traces[1].between(None, float(traces[1].time[40]))
    together, alone = predict_one_step(synapse, [traces[0], short]), predict_one_step(synapse, traces[0])
    np.testing.assert_allclose(together.mean[:, :1], alone.mean, rtol=1e-12)
    assert np.isfinite(together.innovation[:, 1]).sum() == len(short) - 1
    assert not np.isfinite(together.mean[0]).any()


def test_latents_from_first_reads_improve_predictions(make_synapse):
    synapse = make_synapse(telegraph=False)
    traces = recorded(synapse, devices=30, steps=120)
    typical, adapted = predict_one_step(synapse, traces, adapt=0), predict_one_step(synapse, traces, adapt=0.5)
    assert typical.held_out[1:].all()
    assert adapted.held_out.sum(0).tolist() == [121 - 61] * 30
    assert adapted.loglik[adapted.held_out].mean() > typical.loglik[adapted.held_out].mean()


# Free runs


@pytest.mark.parametrize("kind", [{"telegraph": False, "spread": False}, {}])
def test_reads_rank_evenly_among_free_runs(make_synapse, kind):
    synapse = make_synapse(**kind)
    ranks = []
    for index, trace in enumerate(recorded(synapse, devices=40, steps=12, seed=3)):
        runs = free_runs(synapse, [trace], samples=99, draws=0, generator=seeded(index))[0]
        ranks.append(np.mean(runs[:, -1] < trace.output["conductance"][-1]))
    assert stats.kstest(ranks, "uniform").pvalue > 1e-4


def test_intervals_start_at_the_first_read_and_widen_with_the_posterior(make_synapse):
    synapse = make_synapse(telegraph=False)
    trace = recorded(synapse, devices=1, steps=30)[0]
    narrow = prediction_interval(synapse, trace, samples=200, draws=0, generator=seeded(0))
    synapse.posterior_weights *= 300
    wide = prediction_interval(synapse, trace, (0.05, 0.5, 0.95), samples=200, draws=10, generator=seeded(0))
    assert narrow.shape == (2, 31)
    np.testing.assert_allclose(narrow[:, 0], trace.output["conductance"][0])
    assert wide[2, -1] - wide[0, -1] > narrow[1, -1] - narrow[0, -1]
    assert (wide[0] <= wide[1]).all()


def test_the_same_seed_gives_the_same_interval(make_synapse):
    synapse = make_synapse()
    trace = recorded(synapse, devices=1, steps=10)[0]
    first, second, other = (
        prediction_interval(synapse, trace, samples=20, draws=3, generator=seeded(seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


# Bad input


def test_bad_input_is_refused(make_synapse):
    synapse = make_synapse()
    trace = recorded(synapse, devices=1, steps=10)[0]
    without_voltage = replace(trace, drive={name: trace.drive[name] for name in ("SET", "RESET")}, interpolation={})
    for call in (lambda t: predict_one_step(synapse, t), lambda t: prediction_interval(synapse, t, generator=seeded(0))):
        with pytest.raises(TraceError, match="no drive 'voltage'"):
            call(without_voltage)
    with pytest.raises(ConfigError, match="adapt is 2"):
        predict_one_step(synapse, trace, adapt=2)
    with pytest.raises(ConfigError, match="draws is 5; expected a whole number from 0 to 3"):
        prediction_interval(synapse, trace, samples=3, draws=5, generator=seeded(0))
    with pytest.raises(ConfigError, match="levels"):
        prediction_interval(synapse, trace, (0.1, 1.2), generator=seeded(0))
