"""`fit_synapse` on simulated recordings: the true parameters are recovered within the stated uncertainty."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from spinode import ConfigError, FitError, Pulses, Trace, TraceError
from spinode.datasets import WeakReset, pulse_traces
from spinode.surrogates.synapses import kalman, schedule
from spinode.surrogates.synapses.config import SynapseConfig
from spinode.surrogates.synapses.device_sizes import main_differences
from spinode.surrogates.synapses.drift import Latents
from spinode.surrogates.synapses.fit import fit_synapse
from spinode.surrogates.synapses.growth import grow, with_one_more
from spinode.surrogates.synapses.initial_fit import initial_fit, moments, repeated_read_noise
from spinode.surrogates.synapses.laplace import last_layer_columns
from spinode.surrogates.synapses.noise import NoiseModel
from spinode.surrogates.synapses.population_fit import overconfidence
from spinode.surrogates.synapses.pulse_data import pulse_data
from spinode.surrogates.synapses.state_space_fit import StateFit

ACCUMULATING, READ, RATE = 0.004, 0.01, 0.01
LINEAR = SynapseConfig(scale="linear")
QUICK = SynapseConfig(scale="linear", hidden=(4,), rounds=1, iterations=5)


def simulated(seed, *, up=500, rates=(RATE, RATE), device=0.0, accumulating=ACCUMULATING, read=READ, start=0.1):
    """Simulate one sweep of each polarity with soft bounds: SET moves a share of the way to 1, RESET to 0."""
    r = np.random.default_rng(seed)
    sign = np.repeat([1.0, -1.0], up)
    g = np.full(2 * up + 1, start)
    for k, s in enumerate(sign):
        g[k + 1] = g[k] + (rates[0] * (1 - g[k]) if s > 0 else -rates[1] * g[k]) + accumulating * r.normal()
    drive = {"SET": np.append(sign > 0, False).astype(float), "RESET": np.append(sign < 0, False).astype(float)}
    read_noise = read * r.normal(size=len(g))
    return Trace(
        np.arange(len(g), dtype=float), drive, {"conductance": g + read_noise}, {"device": device},
        {"time": "", "conductance": "S"},
    )  # fmt: skip


def true_loglik(trace, scale):
    """Return the log likelihood per read (without the first) under the true model, which is linear."""
    x = scale(trace.output["conductance"])[:, None]
    steps = len(x) - 1
    up, ones = trace.drive["SET"][:-1, None] > 0, np.ones((steps, 1))
    zero = -scale.centre / scale.spread
    bound = np.where(up, (1 - scale.centre) / scale.spread, zero)
    seen = np.ones_like(x, dtype=bool)
    exact = kalman.Steps(x, seen, RATE * bound, ones - RATE, np.zeros((steps, 1)), ~seen)
    read = np.full_like(x, (READ / scale.spread) ** 2)
    noise = kalman.Noise(ones * (ACCUMULATING / scale.spread) ** 2, read, np.zeros(1), ones, np.zeros(1), np.zeros(1))
    return float(kalman.run(exact, noise).loglik[0]) / steps


@pytest.fixture(scope="module")
def one_device():
    """Return a recording of 1001 reads, and its fit."""
    trace = simulated(0)
    return trace, fit_synapse(trace, LINEAR)


# --- one device ------------------------------------------------------------------------------------------------------


def test_the_fit_is_as_likely_as_the_true_model(one_device):
    """The maximum likelihood is above that of the true model; the ridge may cost 0.01 nats per read."""
    trace, surrogate = one_device
    assert surrogate.record["loglik_per_read"] > true_loglik(trace, surrogate.scale) - 0.01


def test_read_noise_is_recovered(one_device):
    value, low, high = one_device[1].uncertainty()["read"]
    assert low < READ < high
    assert low < value < high


def test_the_drift_is_recovered(one_device):
    """A sweep without noise differs from the exact one by less than a tenth of the range at every pulse."""
    _, surrogate = one_device
    state = surrogate.at(torch.tensor([0.1], dtype=torch.float64))
    count = torch.repeat_interleave(torch.tensor([1.0, -1.0]), 500)
    found = pulse_traces(surrogate, count, devices=state)[0].output["conductance"]
    k = np.arange(501)
    rise = 1 - 0.9 * (1 - RATE) ** k
    exact = np.concatenate([rise, rise[-1] * (1 - RATE) ** k[1:]])
    assert np.abs(found - exact).max() < 0.1


def test_simulated_increments_have_the_statistics_of_the_recording(one_device):
    """Compares deviation and correlation of neighbours, which separate accumulating from read noise; 20 devices."""
    trace, surrogate = one_device
    count = torch.repeat_interleave(torch.tensor([1.0, -1.0]), 500)
    state = surrogate.at(torch.full((20,), 0.1, dtype=torch.float64))
    sweeps = pulse_traces(surrogate, count, devices=state, generator=torch.Generator().manual_seed(0))

    def statistics(traces):
        steps = np.diff([t.output["conductance"] for t in traces], axis=1)
        sign = np.repeat([1.0, -1.0], 500)
        steps = np.where(sign > 0, steps - steps[:, :500].mean(), steps - steps[:, 500:].mean())
        return steps.std(), (steps[:, 1:] * steps[:, :-1]).mean() / steps.var()

    (deviation, correlation), (fitted_deviation, fitted_correlation) = statistics([trace]), statistics(sweeps)
    # Four standard errors of 1000 increments: 1 / sqrt(2000), times 1.5 for their correlation, and 1 / sqrt(1000).
    assert fitted_deviation == pytest.approx(deviation, rel=4 * 1.5 / np.sqrt(2000))
    assert abs(fitted_correlation - correlation) < 4 / np.sqrt(1000)


def test_fewer_reads_give_wider_intervals(one_device):
    few = fit_synapse(simulated(0, up=60), LINEAR, rounds=3).uncertainty()
    for name in ("read", "accumulating SET"):
        (_, low, high), (_, lower, higher) = one_device[1].uncertainty()[name], few[name]
        assert higher / lower > high / low


def test_one_device_gives_no_device_to_device_spread(one_device):
    _, surrogate = one_device
    assert not surrogate.of_devices
    assert surrogate.population is None
    with pytest.raises(ConfigError, match=r"fitted on 1 device\(s\)"):
        surrogate.devices(5, torch.Generator())
    assert "one device (or too few)" in surrogate.describe()
    assert surrogate.record["reads"] == 1001


@pytest.mark.long
def test_noise_is_within_its_stated_intervals():
    """95 % intervals contain the true value in eight of ten recordings or more (fewer by chance: 1 in 80)."""
    inside = {"read": 0, "accumulating SET": 0, "accumulating RESET": 0}
    for seed in range(10):
        found = fit_synapse(simulated(seed), LINEAR).uncertainty()
        for name in inside:
            _, low, high = found[name]
            inside[name] += low < (READ if name == "read" else ACCUMULATING) < high
    assert min(inside.values()) >= 8, inside


def test_the_same_seed_gives_the_same_fit():
    trace = simulated(1, up=20)
    first, second = (fit_synapse(trace, QUICK, seed=3) for _ in range(2))
    torch.testing.assert_close(first.noise, second.noise, rtol=0, atol=0)
    torch.testing.assert_close(first.drift.state_dict(), second.drift.state_dict(), rtol=0, atol=0)


def test_the_fit_does_not_depend_on_the_unit_of_the_conductance():
    """The surrogate is the same for microsiemens and siemens."""
    trace = simulated(2, up=20)
    reads = {"conductance": 1e-6 * trace.output["conductance"]}
    in_siemens = Trace(trace.time, trace.drive, reads, trace.parameters, trace.units)
    large, small = fit_synapse(trace, QUICK), fit_synapse(in_siemens, QUICK)
    for name, value in large.uncertainty().items():
        np.testing.assert_allclose(small.uncertainty()[name], 1e-6 * np.array(value), rtol=1e-2)


# --- many devices ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many():
    """Return the log rates of 40 devices, with independent deviations of 0.3 for SET and RESET, and their fit."""
    drawn = 0.04 * np.exp(0.3 * np.random.default_rng(0).normal(size=(40, 2)))
    traces = [simulated(i, up=60, rates=tuple(rates), device=float(i)) for i, rates in enumerate(drawn)]
    return np.log(drawn), fit_synapse(traces, LINEAR, shape=0)


@pytest.mark.xdist_group("many devices")
@pytest.mark.slow
@pytest.mark.parametrize("name", ["log rate SET", "log rate RESET"])
def test_the_spread_of_rates_is_recovered(many, name):
    """The deviation lies within three bootstrap errors of the true one, which forty devices determine to a ninth."""
    _, surrogate = many
    column = 1 + surrogate.drift.latents.names.index(name)
    generator = torch.Generator().manual_seed(0)
    resampled = np.array([float(surrogate.population.resampled(generator).deviation[column]) for _ in range(50)])
    assert abs(float(surrogate.population.deviation[column]) - 0.3) < 3 * max(resampled.std(), 0.3 / np.sqrt(80))


@pytest.mark.xdist_group("many devices")
@pytest.mark.slow
def test_the_rates_of_each_device_are_recovered(many):
    """Posterior means are correlated with the true rates."""
    drawn, surrogate = many
    names = surrogate.drift.latents.names
    columns = [1 + names.index(f"log rate {polarity}") for polarity in ("SET", "RESET")]
    samples = surrogate.population.samples[:, :, columns].numpy()
    for found, true in zip(samples.mean(1).T, drawn.T, strict=True):
        assert np.corrcoef(found, true)[0, 1] > 0.8


@pytest.mark.xdist_group("many devices")
@pytest.mark.slow
def test_many_devices_give_a_population(many):
    _, surrogate = many
    assert surrogate.of_devices
    assert surrogate.record["devices"] == 40
    assert surrogate.devices(1000, torch.Generator().manual_seed(0)).shape == (1000, 1 + len(surrogate.drift.latents.names))
    assert len(surrogate.population.weights) == 40


def test_cycles_of_one_device_are_not_devices():
    """Cycles may differ in centre and rates, and are sampled from ten on."""
    cycles = [simulated(i, up=8, start=0.1 + 0.01 * i) for i in range(12)]
    cycles = [replace(trace, parameters={"device": 0.0, "cycle": float(i)}) for i, trace in enumerate(cycles)]
    surrogate = fit_synapse(cycles, QUICK)
    assert surrogate.drift.latents.names == ("centre", "log rate SET", "log rate RESET")
    assert surrogate.population.samples.shape[0] == 12
    assert not surrogate.of_devices
    with pytest.raises(ConfigError, match=r"fitted on 1 device\(s\)"):
        surrogate.devices(5, torch.Generator())
    few = fit_synapse(cycles[:6], QUICK, iterations=2)
    assert few.drift.latents.names == surrogate.drift.latents.names
    # Fewer cycles are not sampled; their mean is the typical one, not latents of zero.
    drawn = few.initial((50,), generator=torch.Generator().manual_seed(0), dtype=torch.float64)["latents"]
    torch.testing.assert_close(drawn, few.population.typical[1:].expand(50, -1))
    assert float(few.population.typical[1:].abs().max()) > 0


# --- parts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("accumulating", "read"), [(0.05, 0.05), (0.02, 0.1), (0.1, 0.05)])
def test_moments_separate_accumulating_and_read_noise(accumulating, read):
    """For a random walk with read noise, var = q + 2 r and cov = -r: within 10 and 15 % for 20 000 reads."""
    r = np.random.default_rng(0)
    x = np.cumsum(accumulating * r.normal(size=(20_000, 1)), 0)
    data = pulse_data(simulated(0, up=10_000 - 1, read=0.0), scale="linear")
    data = replace(data, reads=(x + read * r.normal(size=x.shape))[:19_999], seen=np.ones((19_999, 1), bool))
    found = moments(data)
    assert found[0] == pytest.approx(accumulating, rel=0.1)
    assert found[1] == pytest.approx(read, rel=0.15)


@pytest.mark.parametrize("repeated", [True, False])
def test_repeated_reads_tell_noise_of_reads_from_noise_of_pulses(repeated):
    """Pink noise of weak RESET changes with pulses only; without repeated reads, it is taken for noise of the reads."""
    count = torch.full((4, 60), -20.0)
    if repeated:
        count[:, 2::3] = 0
    device = WeakReset(d2d=False, rtn=False)
    traces = pulse_traces(device, count, devices=4, generator=torch.Generator().manual_seed(0))
    fitted = fit_synapse(traces, rounds=1, iterations=2)
    state = fitted.initial((1000,), generator=torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(2)
    first, second = (fitted.read(state, generator=generator).log() for _ in range(2))
    deviation = float((second - first).std())
    assert (deviation < 1e-3) == repeated
    assert fitted.record["repeated_reads"] == (80 if repeated else 0)


def test_moments_leave_out_repeated_reads():
    r = np.random.default_rng(0)
    data = pulse_data(simulated(0, up=10_000 - 1, read=0.0), scale="linear")
    x = np.cumsum(0.05 * r.normal(size=(10_000, 1)), 0) + 0.05 * r.normal(size=(10_000, 1))
    pulses = np.tile([1.0, 0.0], 10_000)[:19_998, None]
    reads = np.repeat(x, 2, axis=0)[:19_999] + 0.01 * r.normal(size=(19_999, 1))
    # The read before the first pulse is the only one that is not repeated.
    data = replace(data, reads=reads[1:], seen=np.ones((19_998, 1), bool), pulses=pulses[:-1], pause=0 * pulses[:-1])
    accumulating, read = moments(data)
    assert accumulating == pytest.approx(0.05, rel=0.1)
    assert read == pytest.approx(np.hypot(0.05, 0.01), rel=0.15)
    assert repeated_read_noise(data) == pytest.approx(0.01, rel=0.05)


def start(up=20):
    """Return a fit of three devices before its first round, with random latents."""
    data = pulse_data([simulated(i, up=up, device=float(i)) for i in range(3)], scale="linear")
    latents = Latents(("SET", "RESET"), True, 1)
    fit = initial_fit(data, latents, tied=False, hidden=(5,), memory=True, seed=0, spread=1.0)
    fit.latents = 0.3 * np.random.default_rng(0).normal(size=fit.latents.shape)
    return fit


def test_derivatives_in_the_last_weights_agree_with_differences():
    fit = start()
    columns = last_layer_columns(fit)
    position = 0
    for weight in fit.drift.linear_weights:
        for i in range(weight.numel()):
            values = []
            for shift in (1e-5, -1e-5):
                with torch.no_grad():
                    weight.view(-1)[i] += shift
                values.append(fit.steps().drift)
                with torch.no_grad():
                    weight.view(-1)[i] -= shift
            np.testing.assert_allclose(columns[position], (values[0] - values[1]) / 2e-5, rtol=1e-4, atol=1e-8)
            position += 1
    assert position == len(columns)


def test_derivatives_in_the_latents_agree_with_differences():
    fit = start()
    columns = fit.latent_columns()
    for index in range(fit.latents.shape[1]):
        values = []
        for shift in (1e-5, -1e-5):
            fit.latents[:, index] += shift
            values.append(fit.steps().drift)
            fit.latents[:, index] -= shift
        np.testing.assert_allclose(columns[index], (values[0] - values[1]) / 2e-5, rtol=1e-5, atol=1e-9)


def test_each_block_raises_the_likelihood():
    fit = start(60)
    fit.relinearise()
    blocks = (lambda: fit.improve_network(10), fit.improve_latents, lambda: fit.improve_noise(10))
    for improve in blocks:
        before = fit.relinearise()
        improve()
        assert fit.relinearise() > before


def test_improving_the_network_changes_the_weights_and_raises_the_likelihood():
    fit = start(60)
    fit.relinearise()
    before, weights = fit.relinearise(), fit.drift.field.out.weight.detach().clone()
    fit.improve_network(40)
    assert not torch.equal(weights, fit.drift.field.out.weight)
    assert fit.relinearise() > before + 2


def test_log_posteriors_of_groups_add_up_to_the_total():
    """At the present latents and the filtered path, their sum is the likelihood of all reads minus the penalty of the prior."""
    fit = start(40)
    for _ in range(4):
        fit.relinearise()
    found = fit.log_posterior(fit.latents)
    penalty = 0.5 * (((fit.latents - fit.middle) / fit.spread) ** 2).sum(1)
    np.testing.assert_allclose(found.sum(), fit.filtered().loglik.sum() - penalty.sum(), rtol=1e-6)
    before = fit.reference.copy(), fit.latents.copy()
    moved = fit.latents.copy()
    moved[0] += 0.3
    other = fit.log_posterior(moved)
    np.testing.assert_allclose(other[1:], found[1:], rtol=1e-12)
    assert abs(other[0] - found[0]) > 0.1
    np.testing.assert_array_equal(fit.reference, before[0])
    np.testing.assert_array_equal(fit.latents, before[1])


def test_the_prior_is_estimated_from_informative_groups():
    """For z ~ N(0.7, 0.4^2) observed as y ~ N(z, v), half with v = 100: mean and deviation within 5 standard errors."""
    r, count, mean, deviation = np.random.default_rng(0), 4000, 0.7, 0.4
    v = np.where(np.arange(count) % 2 == 0, 0.04, 100.0)
    y = mean + deviation * r.normal(size=count) + np.sqrt(v) * r.normal(size=count)
    fit = start()
    fit.middle, fit.spread = np.zeros(1), np.ones(1)
    for _ in range(100):
        variance = 1 / (1 / v + fit.spread**-2)
        fit.latents = (variance * (y / v + fit.middle / fit.spread**2))[:, None]
        fit.covariance = variance[:, None, None]
        fit.improve_spread()
    total = deviation**2 + 0.04
    assert abs(fit.middle[0] - mean) < 5 * np.sqrt(total / (count / 2))
    assert abs(fit.spread[0] ** 2 - deviation**2) < 5 * total * np.sqrt(2 / (count / 2))


@pytest.mark.parametrize(("memory", "telegraph"), [(False, False), (True, True)])
def test_noise_stays_within_its_bounds(memory, telegraph):
    """From any start, and for reads without any noise."""
    fit = start()
    fit.noise_model = NoiseModel(("SET", "RESET"), memory, telegraph)
    low, high = np.array(fit.noise_model.bounds).T
    assert low.shape == (len(fit.noise_model.names),)
    assert (low < high).all()
    fit.noise = fit.noise_model.start(1e-3, 1e-2)
    assert ((fit.noise >= low) & (fit.noise <= high)).all()
    exact = fit.steps().drift.cumsum(0)
    fit.data = replace(fit.data, reads=np.concatenate([fit.reference[:1], fit.reference[:1] + exact]))
    for noise in (fit.noise, high + 50.0, low - 50.0):
        fit.noise = noise
        fit.improve_noise(30)
        assert ((fit.noise >= low) & (fit.noise <= high)).all()
    assert np.isfinite(fit.noise_covariance()).all()


# --- devices under varied pulses -------------------------------------------------------------------------------------


def varied(devices, *, latents=1, steps=60, seed=0):
    """Simulate devices whose steps are relative to their voltage: one factor for both polarities, or one for each."""
    r = np.random.default_rng(seed)
    factors = np.exp(0.5 * r.normal(size=(devices, latents)))
    traces = []
    for device in range(devices):
        sign, voltage, g = r.choice([-1.0, 1.0], steps), r.uniform(1.0, 2.0, steps + 1), np.full(steps + 1, 0.5)
        for k, s in enumerate(sign):
            size = factors[device, 0 if s > 0 else -1] * 0.08 * voltage[k] ** 2 * (1 + 0.1 * r.normal())
            g[k + 1] = g[k] + s * size * (1 - g[k] if s > 0 else g[k])
        drive = {"SET": np.append(sign > 0, False).astype(float), "RESET": np.append(sign < 0, False).astype(float)}
        reads = g + 0.005 * r.normal(size=steps + 1)
        traces.append(
            Trace(np.arange(steps + 1.0), {**drive, "voltage": voltage}, {"conductance": reads}, {"device": float(device)})
        )
    return np.log(factors), traces


def test_the_main_difference_of_devices_is_found_before_the_network_knows_it():
    """It is the common factor of their steps, up to its sign."""
    factors, traces = varied(30)
    data = pulse_data(traces, scale="linear")
    fit = initial_fit(data, Latents((), False, 1, window=False), tied=False, hidden=(6,), memory=False, seed=0, spread=1.0)
    fit.noise = fit.noise_model.start(1e-3, 0.1)
    fit.improve_network(40, joint=False)
    assert not fit.latents.any()
    found = main_differences(fit, 1)
    assert abs(np.corrcoef(found[:, 0], factors[:, 0])[0, 1]) > 0.9
    assert (abs(found.mean(0)) < 1e-9).all()


def test_relative_noise_and_the_pulse_of_use_are_fitted_and_stored(tmp_path):
    """The noise of a tenth of each step is found within a third, and no step of any device reverses."""
    _, traces = varied(12, steps=40)
    surrogate = fit_synapse(traces, LINEAR, hidden=3, rounds=1, iterations=12, shape=1, use_voltage=1.5)
    assert surrogate.voltage == (1.5, 1.5)
    assert surrogate.drift.monotonic == surrogate.polarities == ("SET", "RESET")
    assert surrogate.drift.latents.names == ("shape 1",)
    assert surrogate.noise_model.relative
    low, high = surrogate.drift.limits
    assert (low, high) == surrogate.state_range
    state = surrogate.initial((500,), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for sign in (1.0, -1.0):
        after = surrogate.program(state, Pulses(torch.full((500,), sign)), generator=torch.Generator().manual_seed(1))
        assert bool(((after["state"] - state["state"]) * sign >= 0).all())
    with pytest.raises(ConfigError, match=r"use_voltage is 3 V, outside the recorded pulses"):
        fit_synapse(traces, LINEAR, use_voltage=(1.5, 3.0))
    with pytest.raises(ConfigError, match="do not contain the width"):
        fit_synapse(traces, LINEAR, use_width=1e-6)


def test_overconfidence_is_the_ratio_of_scatter_to_information():
    """It grows fourfold where the noise is taken for half of what it is: the gradient then has 16 times the variance, and the
    information is four times as large."""
    _, traces = varied(20)
    data = pulse_data(traces, scale="linear")
    fit = initial_fit(data, Latents((), False, 1, window=False), tied=False, hidden=(6,), memory=False, seed=0, spread=1e3)
    fit.spread[:] = 1e3
    fit.noise = fit.noise_model.start(1e-3, 0.1)
    for _ in range(2):
        fit.improve_network(40)
        fit.improve_latents()
        fit.improve_noise(20)
    once = overconfidence(fit)
    for index, name in enumerate(fit.noise_model.names):
        if name.startswith("log"):
            fit.noise[index] -= np.log(2.0)
    fit.covariance = fit.covariance / 4
    assert overconfidence(fit) == pytest.approx(4 * once, rel=0.1)


def test_one_more_latent_changes_nothing_at_first_and_is_kept_only_for_a_reason():
    """Its weights outside the hidden layers begin at zero, and at latents of zero the drift is the same."""
    _, traces = varied(12)
    data = pulse_data(traces, scale="linear")
    fit = initial_fit(data, Latents((), False, 1, window=False), tied=False, hidden=(4,), memory=False, seed=0, spread=1.0)
    fit.improve_network(10)
    fit.improve_latents()
    larger = with_one_more(fit, 0)
    assert larger.latents.shape == (12, 2)
    larger.latents[:, 1] = 0.0
    np.testing.assert_allclose(larger.steps().drift, fit.steps().drift, rtol=0, atol=1e-12)

    def improve(trial, label):
        trial.improve_latents()

    # Latents that no weight uses well gain nothing.
    assert grow(fit, improve, seed=0).drift.latents.shape == 1


@pytest.mark.parametrize("voltage", [1.2, (1.2,), [1.2, 1.2]])
def test_one_amplitude_of_use_is_that_of_both_polarities(voltage):
    assert SynapseConfig(use_voltage=voltage).use_voltage == (1.2, 1.2)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"use_voltage": (1.0, 1.2, 1.4)}, "expected two amplitudes"),
        ({"use_voltage": -1.0}, "use_voltage is -1"),
        ({"use_width": 0.0}, "use_width is 0"),
        ({"shape": -1}, "shape is -1"),
    ],
)
def test_wrong_settings_are_named(settings, words):
    with pytest.raises(ConfigError, match=words):
        SynapseConfig(**settings)


# --- checkpoints -----------------------------------------------------------------------------------------------------


class Interrupted(Exception):
    pass


def assert_same_fit(first, second):
    torch.testing.assert_close(dict(first.state_dict()), dict(second.state_dict()), rtol=0, atol=0)
    assert first.record == second.record
    assert (first.telegraph, first.noise_model, first.chunk) == (second.telegraph, second.noise_model, second.chunk)


def interrupt_after(lines):
    """Return a progress function that raises after this number of lines."""
    received = []

    def progress(line):
        received.append(line)
        if len(received) == lines:
            raise Interrupted

    return progress


@pytest.fixture(scope="module")
def uninterrupted():
    """Return recordings with telegraph noise, settings, a fit of them, and its lines of progress."""
    traces = []
    for seed in range(4):
        trace, r = simulated(seed, up=50), np.random.default_rng(seed + 100)
        filled = [False]
        for _ in range(len(trace) - 1):
            filled.append(r.random() > 0.06 if filled[-1] else r.random() < 0.04)
        traces.append(replace(trace, output={"conductance": trace.output["conductance"] + 0.15 * np.array(filled)}))
    settings = {"scale": "linear", "hidden": (3,), "rounds": 1, "iterations": 5}
    lines = []
    return traces, settings, fit_synapse(traces, **settings, progress=lines.append), lines


@pytest.mark.parametrize("share", [pytest.param(0.01, marks=pytest.mark.slow), 0.6, pytest.param(1.0, marks=pytest.mark.slow)])
def test_an_interrupted_fit_resumes_with_the_same_result(uninterrupted, tmp_path, monkeypatch, share):
    """Interrupt after the first, a middle and the last round of a fit that adds telegraph noise; then repeat a finished fit."""
    traces, settings, expected, lines = uninterrupted
    assert expected.telegraph is not None
    path = tmp_path / "fit.checkpoint"
    with pytest.raises(Interrupted):
        fit_synapse(traces, **settings, checkpoint=path, progress=interrupt_after(max(1, int(share * len(lines)))))
    resumed_lines = []
    assert_same_fit(fit_synapse(traces, **settings, checkpoint=path, progress=resumed_lines.append), expected)
    assert resumed_lines == lines
    monkeypatch.setattr(StateFit, "improve_network", None)  # finished rounds are not repeated
    assert_same_fit(fit_synapse(traces, **settings, checkpoint=path), expected)


def test_a_fit_of_thinned_reads_resumes_with_the_same_result(tmp_path, monkeypatch):
    monkeypatch.setattr(schedule, "MAX_READS", 70)
    trace, settings = simulated(3, up=60), {"scale": "linear", "hidden": (3,), "rounds": 1, "iterations": 3}
    lines, path = [], tmp_path / "fit.checkpoint"
    expected = fit_synapse(trace, **settings, progress=lines.append)
    with pytest.raises(Interrupted):
        fit_synapse(trace, **settings, checkpoint=path, progress=interrupt_after(len(lines)))
    assert_same_fit(fit_synapse(trace, **settings, checkpoint=path), expected)


def test_checkpoints_of_other_data_or_settings_are_refused(uninterrupted, tmp_path):
    traces, settings, _, _ = uninterrupted
    path = tmp_path / "fit.checkpoint"
    with pytest.raises(Interrupted):
        fit_synapse(traces, **settings, checkpoint=path, progress=interrupt_after(1))
    before = path.read_bytes()
    for data, changed in (
        (traces[:3], settings),
        (traces, {**settings, "seed": 1}),
        (traces, {**settings, "rounds": 3}),
    ):
        with pytest.raises(FitError, match="belongs to another fit"):
            fit_synapse(data, **changed, checkpoint=path)
    damaged = bytearray(before)
    damaged[-5] ^= 0x10
    path.write_bytes(bytes(damaged))
    with pytest.raises(FitError, match=r"is damaged: its contents do not match their digest\. Delete it to start again"):
        fit_synapse(traces, **settings, checkpoint=path)
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(FitError, match="cannot be read"):
        fit_synapse(traces, **settings, checkpoint=path)


def test_a_checkpoint_that_cannot_be_written_is_refused_before_the_fit(uninterrupted, tmp_path):
    traces, settings, _, _ = uninterrupted
    with pytest.raises(TraceError, match="does not exist"):
        fit_synapse(traces, **settings, checkpoint=tmp_path / "no folder" / "fit.checkpoint")


# --- errors ----------------------------------------------------------------------------------------------------------


def test_recordings_without_pulses_are_refused():
    trace = simulated(0, up=20)
    quiet = Trace(trace.time, {name: 0 * value for name, value in trace.drive.items()}, trace.output, trace.parameters)
    with pytest.raises(FitError, match="no pulse was applied in these recordings"):
        fit_synapse(quiet, QUICK)


def test_reads_that_are_not_finite_are_refused():
    trace = simulated(0, up=20)
    bad = trace.output["conductance"].copy()
    bad[7] = np.nan
    with pytest.raises(TraceError, match="1 values of 'conductance' that are not finite"):
        fit_synapse(Trace(trace.time, trace.drive, {"conductance": bad}, trace.parameters), QUICK)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"scale": "cubic"}, "scale is 'cubic'; expected one of linear, log, None"),
        ({"rounds": 0}, "rounds is 0; expected a whole number of at least 1"),
        ({"iterations": 1.5}, r"iterations is 1\.5; expected a whole number"),
        ({"shape": -1}, "shape is -1; expected a whole number of at least 0"),
        ({"hidden": ()}, r"hidden is \(\); expected whole numbers of at least 1, such as \(16, 16\)"),
        ({"depth": 3}, "fit_synapse has no setting 'depth'; the settings are: scale"),
    ],
)
def test_settings_outside_their_range_are_refused(settings, match):
    with pytest.raises(ConfigError, match=match):
        fit_synapse(simulated(0, up=5), **settings)


def test_settings_may_be_numpy_scalars():
    config = SynapseConfig(rounds=np.int64(2), hidden=np.array([4, 4]), seed=np.int32(1))
    assert (config.rounds, config.hidden, config.seed) == (2, (4, 4), 1)
    assert type(config.rounds) is int
