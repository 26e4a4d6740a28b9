"""`fit_synapse` on recordings simulated here: what was put in comes out, as sure as it says and no surer."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from spinode import ConfigError, FitError, Trace, TraceError
from spinode.datasets import pulse_traces
from spinode.surrogates.synapses import kalman
from spinode.surrogates.synapses.drift import Latents
from spinode.surrogates.synapses.fit import SynapseConfig, fit_synapse
from spinode.surrogates.synapses.noise import NoiseModel
from spinode.surrogates.synapses.pulse_data import pulse_data
from spinode.surrogates.synapses.state_space_fit import begin, last_layer_columns, moments

ACCUMULATING, READ, RATE = 0.004, 0.01, 0.01
LINEAR = SynapseConfig(scale="linear")
QUICK = SynapseConfig(scale="linear", hidden=(4,), rounds=1, iterations=5)


def simulated(seed, *, up=500, rates=(RATE, RATE), device=0.0, accumulating=ACCUMULATING, read=READ, start=0.1):
    """Soft bounds: SET goes a share of the way to 1, RESET one of the way to 0; a sweep of each."""
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
    """Of all reads but the first, under the model that made them (linear, so exact), per read."""
    x = scale(trace.output["conductance"])[:, None]
    steps = len(x) - 1
    up, ones = trace.drive["SET"][:-1, None] > 0, np.ones((steps, 1))
    zero = -scale.centre / scale.spread
    bound = np.where(up, (1 - scale.centre) / scale.spread, zero)
    seen = np.ones_like(x, dtype=bool)
    linear = kalman.Steps(x, seen, RATE * bound, ones - RATE, np.zeros((steps, 1)), ~seen)
    read = np.full_like(x, (READ / scale.spread) ** 2)
    noise = kalman.Noise(ones * (ACCUMULATING / scale.spread) ** 2, read, np.zeros(1), ones, np.zeros(1), np.zeros(1))
    return float(kalman.run(linear, noise).loglik[0]) / steps


@pytest.fixture(scope="module")
def one():
    """A device of 1001 reads, and its fit."""
    trace = simulated(0)
    return trace, fit_synapse(trace, LINEAR)


# --- one device ------------------------------------------------------------------------------------------------------


def test_the_fit_is_as_likely_as_the_truth(one):
    """A maximum of the likelihood lies above the truth; the ridge may cost a hundredth of a nat a read."""
    trace, surrogate = one
    assert surrogate.record["loglik_per_read"] > true_loglik(trace, surrogate.scale) - 0.01


def test_read_noise_is_recovered(one):
    value, low, high = one[1].uncertainty()["read"]
    assert low < READ < high
    assert low < value < high


def test_the_drift_is_recovered(one):
    """A sweep without noise: within a tenth of the range of the exact one at every pulse."""
    _, surrogate = one
    state = surrogate.at(torch.tensor([0.1], dtype=torch.float64))
    count = torch.repeat_interleave(torch.tensor([1.0, -1.0]), 500)
    found = pulse_traces(surrogate, count, devices=state)[0].output["conductance"]
    k = np.arange(501)
    rise = 1 - 0.9 * (1 - RATE) ** k
    exact = np.concatenate([rise, rise[-1] * (1 - RATE) ** k[1:]])
    assert np.abs(found - exact).max() < 0.1


def test_simulated_increments_are_those_of_the_recording(one):
    """Deviation and correlation of neighbours, which tell accumulating from read noise; 20 simulated devices."""
    trace, surrogate = one
    count = torch.repeat_interleave(torch.tensor([1.0, -1.0]), 500)
    state = surrogate.at(torch.full((20,), 0.1, dtype=torch.float64))
    sweeps = pulse_traces(surrogate, count, devices=state, generator=torch.Generator().manual_seed(0))

    def statistics(traces):
        steps = np.diff([t.output["conductance"] for t in traces], axis=1)
        sign = np.repeat([1.0, -1.0], 500)
        steps = np.where(sign > 0, steps - steps[:, :500].mean(), steps - steps[:, 500:].mean())
        return steps.std(), (steps[:, 1:] * steps[:, :-1]).mean() / steps.var()

    (deviation, correlation), (its, own) = statistics([trace]), statistics(sweeps)
    # Of 1000 increments: 1 / sqrt(2000) with their correlation doubled, and 1 / sqrt(1000); four of each.
    assert its == pytest.approx(deviation, rel=4 * 1.5 / np.sqrt(2000))
    assert abs(own - correlation) < 4 / np.sqrt(1000)


def test_fewer_reads_are_less_sure(one):
    few = fit_synapse(simulated(0, up=60), LINEAR, rounds=3).uncertainty()
    for name in ("read", "accumulating SET"):
        (_, low, high), (_, lower, higher) = one[1].uncertainty()[name], few[name]
        assert higher / lower > high / low


def test_one_device_knows_nothing_of_others(one):
    _, surrogate = one
    assert not surrogate.of_devices
    assert surrogate.population is None
    with pytest.raises(ConfigError, match=r"fitted on 1 device\(s\)"):
        surrogate.devices(5, torch.Generator())
    assert "from one device (or too few)" in surrogate.describe()
    assert surrogate.record["reads"] == 1001


@pytest.mark.slow
def test_noise_is_within_its_stated_intervals():
    """Each of ten recordings has three 95 % intervals; eight of ten recordings must hold each truth (fewer: 1 in 80)."""
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


def test_the_unit_of_the_conductance_does_not_matter():
    """Microsiemens or siemens: the surrogate is the same in its own units."""
    trace = simulated(2, up=20)
    reads = {"conductance": 1e-6 * trace.output["conductance"]}
    small = Trace(trace.time, trace.drive, reads, trace.parameters, trace.units)
    large, tiny = fit_synapse(trace, QUICK), fit_synapse(small, QUICK)
    for name, value in large.uncertainty().items():
        np.testing.assert_allclose(tiny.uncertainty()[name], 1e-6 * np.array(value), rtol=1e-2)


# --- many devices ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many():
    """40 devices whose rates scatter by 0.3 in their logarithm, SET and RESET each by itself; and their fit."""
    drawn = 0.04 * np.exp(0.3 * np.random.default_rng(0).normal(size=(40, 2)))
    traces = [simulated(i, up=60, rates=tuple(rates), device=float(i)) for i, rates in enumerate(drawn)]
    return np.log(drawn), fit_synapse(traces, LINEAR, shape=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["log rate SET", "log rate RESET"])
def test_the_spread_of_rates_is_that_of_the_devices(many, name):
    """Within three bootstrap deviations of the spread that was drawn from, which forty devices show to a ninth."""
    _, surrogate = many
    column = 1 + surrogate.drift.latents.names.index(name)
    generator = torch.Generator().manual_seed(0)
    resampled = np.array([float(surrogate.population.resampled(generator).deviation[column]) for _ in range(50)])
    assert abs(float(surrogate.population.deviation[column]) - 0.3) < 3 * max(resampled.std(), 0.3 / np.sqrt(80))


@pytest.mark.slow
def test_each_device_keeps_its_own_rates(many):
    """Posterior means against the rates that were drawn: the order of the devices is known, and no posterior is too sure."""
    drawn, surrogate = many
    names = surrogate.drift.latents.names
    columns = [1 + names.index(f"log rate {polarity}") for polarity in ("SET", "RESET")]
    samples = surrogate.population.samples[:, :, columns].numpy()
    for found, true in zip(samples.mean(1).T, drawn.T, strict=True):
        assert np.corrcoef(found, true)[0, 1] > 0.8


@pytest.mark.slow
def test_many_devices_are_a_population(many):
    _, surrogate = many
    assert surrogate.of_devices
    assert surrogate.record["devices"] == 40
    assert surrogate.devices(1000, torch.Generator().manual_seed(0)).shape == (1000, 1 + len(surrogate.drift.latents.names))
    assert len(surrogate.population.weights) == 40


def test_cycles_of_one_device_are_no_devices():
    """They may differ in centre and rates, and are a population of cycles from ten on; of fewer nothing is said."""
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
    # Fewer are not drawn from, and yet their mean, not a device of latents zero, is the typical one.
    drawn = few.initial((50,), generator=torch.Generator().manual_seed(0), dtype=torch.float64)["latents"]
    torch.testing.assert_close(drawn, few.population.typical[1:].expand(50, -1))
    assert float(few.population.typical[1:].abs().max()) > 0


# --- pieces ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("accumulating", "read"), [(0.05, 0.05), (0.02, 0.1), (0.1, 0.05)])
def test_moments_tell_accumulating_from_read_noise(accumulating, read):
    """A random walk that is read: var = q + 2 r, neighbours -r; within a tenth for 20 000 reads."""
    r = np.random.default_rng(0)
    x = np.cumsum(accumulating * r.normal(size=(20_000, 1)), 0)
    data = pulse_data(simulated(0, up=10_000 - 1, read=0.0), scale="linear")
    data = replace(data, reads=(x + read * r.normal(size=x.shape))[:19_999], seen=np.ones((19_999, 1), bool))
    found = moments(data)
    assert found[0] == pytest.approx(accumulating, rel=0.1)
    assert found[1] == pytest.approx(read, rel=0.15)


def started(up=20):
    data = pulse_data([simulated(i, up=up, device=float(i)) for i in range(3)], scale="linear")
    latents = Latents(("SET", "RESET"), True, 1)
    fit = begin(data, latents, tied=False, hidden=(5,), memory=True, seed=0, spread=1.0)
    fit.latents = 0.3 * np.random.default_rng(0).normal(size=fit.latents.shape)
    return fit


def test_slopes_in_the_last_weights_are_those_of_differences():
    fit = started()
    columns, _ = last_layer_columns(fit)
    position = 0
    for weight in (fit.drift.field.out.weight, fit.drift.field.out.bias, fit.drift.field.skip.weight):
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


def test_slopes_in_the_latents_are_those_of_differences():
    fit = started()
    columns = fit.latent_columns()
    for index in range(fit.latents.shape[1]):
        values = []
        for shift in (1e-5, -1e-5):
            fit.latents[:, index] += shift
            values.append(fit.steps().drift)
            fit.latents[:, index] -= shift
        np.testing.assert_allclose(columns[index], (values[0] - values[1]) / 2e-5, rtol=1e-5, atol=1e-9)


def test_each_block_raises_the_likelihood():
    fit = started(60)
    fit.relinearise()
    parts = (lambda: fit.improve_network(10), fit.improve_latents, lambda: fit.improve_noise(10))
    for improve in parts:
        before = fit.relinearise()
        improve()
        assert fit.relinearise() > before


def test_fitting_the_network_fits_it():
    """The weights move, and the filter itself confirms it."""
    fit = started(60)
    fit.relinearise()
    before, weights = fit.relinearise(), fit.drift.field.out.weight.detach().clone()
    fit.improve_network(40)
    assert not torch.equal(weights, fit.drift.field.out.weight)
    assert fit.relinearise() > before + 10


def test_the_log_posterior_of_the_groups_is_that_of_all():
    """At the present latents, the path filtered: the likelihood of all reads less the prior's penalty."""
    fit = started(40)
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


def test_the_prior_is_learned_from_the_groups_that_tell():
    """Groups z ~ N(0.7, 0.4^2) seen as y ~ N(z, v), half of them with v = 100: mean and deviation within 5 standard errors."""
    r, count, mean, deviation = np.random.default_rng(0), 4000, 0.7, 0.4
    v = np.where(np.arange(count) % 2 == 0, 0.04, 100.0)
    y = mean + deviation * r.normal(size=count) + np.sqrt(v) * r.normal(size=count)
    fit = started()
    fit.middle, fit.spread = np.zeros(1), np.ones(1)
    for _ in range(100):
        variance = 1 / (1 / v + fit.spread**-2)
        fit.latents = (variance * (y / v + fit.middle / fit.spread**2))[:, None]
        fit.covariance = variance[:, None, None]
        fit.improve_spread()
    total = deviation**2 + 0.04
    assert abs(fit.middle[0] - mean) < 5 * np.sqrt(total / (count / 2))
    assert abs(fit.spread[0] ** 2 - deviation**2) < 5 * total * np.sqrt(2 / (count / 2))


@pytest.mark.parametrize(("memory", "trap"), [(False, False), (True, True)])
def test_noise_stays_within_its_bounds(memory, trap):
    """Wherever the search begins, and where reads without any noise would have it go on to none at all."""
    fit = started()
    fit.noise_model = NoiseModel(("SET", "RESET"), memory, trap)
    low, high = np.array(fit.noise_model.bounds).T
    assert low.shape == (len(fit.noise_model.names),)
    assert (low < high).all()
    fit.noise = fit.noise_model.start(1e-3, 1e-2)
    assert ((fit.noise >= low) & (fit.noise <= high)).all()
    exact = fit.steps().drift.cumsum(0)
    fit.data = replace(fit.data, reads=np.concatenate([fit.reference[:1], fit.reference[:1] + exact]))
    for start in (fit.noise, high + 50.0, low - 50.0):
        fit.noise = start
        fit.improve_noise(30)
        assert ((fit.noise >= low) & (fit.noise <= high)).all()
    assert np.isfinite(fit.noise_covariance()).all()


# --- errors ----------------------------------------------------------------------------------------------------------


def test_pauses_alone_are_not_a_fit():
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
        ({"scale": "cubic"}, "scale is 'cubic'; expected 'linear' or 'log'"),
        ({"rounds": 0}, "rounds is 0; expected a whole number of at least 1"),
        ({"iterations": 1.5}, r"iterations is 1\.5; expected a whole number"),
        ({"shape": -1}, "shape is -1; expected a whole number of at least 0"),
        ({"hidden": ()}, r"hidden is \(\); expected positive widths"),
        ({"depth": 3}, "there is no setting 'depth'; the settings are: scale"),
    ],
)
def test_settings_outside_their_range_are_refused(settings, match):
    with pytest.raises(ConfigError, match=match):
        fit_synapse(simulated(0, up=5), **settings)
