"""`SynapseSurrogate`: the contract, and each kind of noise against its distribution, on surrogates with given parameters."""

import copy
import math

import numpy as np
import pytest
import torch

from spinode import ConfigError, DomainError, DomainWarning, Pulses
from spinode.surrogates.synapses.drift import Drift, Latents
from spinode.surrogates.synapses.model import SynapseSurrogate
from spinode.surrogates.synapses.noise import NoiseModel
from spinode.surrogates.synapses.population import Population
from spinode.surrogates.synapses.pulse_data import Inputs, Scale
from spinode.surrogates.synapses.retention import Retention
from spinode.surrogates.synapses.telegraph import TelegraphNoise
from spinode.testing import SynapseContract

BOTH = ("SET", "RESET")
ACCUMULATING, READ, CORRELATED, MEMORY = 0.02, 0.05, 0.1, 8.0
TELEGRAPH = TelegraphNoise(fill=0.02, leave=0.05, depth=0.6, depth_deviation=0.1)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def noise_of(model, **values):
    parameters = {
        "log accumulating SET": math.log(ACCUMULATING), "log accumulating RESET": math.log(ACCUMULATING),
        "log read": math.log(READ), "log correlated read": math.log(CORRELATED), "log memory": math.log(MEMORY),
        "depth": TELEGRAPH.depth, "log depth deviation": math.log(TELEGRAPH.depth_deviation), **values,
    }  # fmt: skip
    return torch.tensor([parameters.get(name, 0.0) for name in model.names], dtype=torch.float64)


def relaxing(latents, extra=0, *, rate=0.03, kappa=0.1):
    """Return dx/dn = kappa sinh(N), N = (rate / kappa) (p - x + voltage / 2): towards +1 under SET, -1 under RESET."""
    drift = Drift(latents, extra, kappa, hidden=(4,), generator=seeded())
    with torch.no_grad():
        for weight in drift.field.parameters():
            weight.zero_()
        row = torch.zeros_like(drift.field.skip.weight)
        row[0, 0], row[0, 1] = -rate / kappa, rate / kappa
        if extra:
            row[0, 2] = 0.5 * rate / kappa
        drift.field.skip.weight.copy_(row)
    return drift


def still(latents=None):
    """Return a drift of zero."""
    drift = relaxing(latents or Latents((), False, 0, window=False))
    with torch.no_grad():
        drift.field.skip.weight.zero_()
    return drift


def build(drift=None, *, memory=False, telegraph=None, noise=None, polarities=BOTH, inputs=None, scale=None, **settings):
    drift = drift or relaxing(Latents((), False, 0, window=False))
    model = NoiseModel(polarities, memory, telegraph is not None)
    return SynapseSurrogate(
        drift=drift, noise_model=model, noise=noise_of(model, **(noise or {})), scale=scale or Scale("linear", 0.5, 0.25),
        inputs=inputs or Inputs((), (), (), {}, {}), polarities=polarities, unit="S", telegraph=telegraph,
        **{"state_range": (-1.0, 1.0), "first": 0.0, **settings},
    )  # fmt: skip


def one_device(**settings):
    """Return a surrogate of one device with both polarities and the voltage as an input."""
    inputs = Inputs(("voltage",), (1.5,), (0.3,), {"voltage": (1.0, 2.0), "width": (1e-6, 1e-6)},
                    {"voltage": (1.5, 1.5), "width": (1e-6, 1e-6)})  # fmt: skip
    return build(relaxing(Latents((), False, 0, window=False), 1), inputs=inputs, memory=True, **settings)


def population(size, deviation=0.2, *, first=-0.5):
    """Return forty devices whose parameters have exactly this mean and standard deviation."""
    r = np.random.default_rng(0)
    values = r.normal(size=(40, 4, size)).clip(-2.5, 2.5)
    values = deviation * (values - values.mean((0, 1))) / values.std((0, 1))
    values[:, :, 0] += first
    return Population(values)


def many_devices(**settings):
    latents = Latents(BOTH, True, 0)
    return build(
        relaxing(latents), memory=True, telegraph=TELEGRAPH, population=population(5), of_devices=True, chunk=4.0,
        state_range=(-2.0, 2.0), **settings,
    )  # fmt: skip


class TestOneDevice(SynapseContract):
    def make(self):
        return one_device()


class TestManyDevicesWithTelegraphNoise(SynapseContract):
    def make(self):
        return many_devices()


class TestLogarithmicResetOnly(SynapseContract):
    def make(self):
        drift = relaxing(Latents(("RESET",), False, 0))
        drift.tied = True
        with torch.no_grad():
            drift.field.skip.weight[0, 0] = 0.0  # it decreases from any first state
        spread = population(3, first=0.8)
        return build(
            drift, polarities=("RESET",), scale=Scale("log", math.log(1e-5), 0.5), population=spread, of_devices=True,
        )  # fmt: skip


# --- the mean --------------------------------------------------------------------------------------------------------


def test_drift_follows_the_equation():
    """Per pulse x' = x + kappa sinh((rate / kappa) (p - x)); the conductance is centre + spread x."""
    synapse = build()
    state = synapse.initial((2,), dtype=torch.float64)
    x = np.zeros(2)
    for count in (1.0, 1.0, -1.0, 1.0):
        state = synapse.program(state, Pulses(torch.tensor([count, -count])))
        p = np.array([count, -count])
        x = x + 0.1 * np.sinh(0.3 * (p - x))
    np.testing.assert_allclose(synapse.read(state).numpy(), 0.5 + 0.25 * x, rtol=1e-12)


def test_several_pulses_equal_single_pulses_if_a_step_is_one_pulse():
    synapse = build(chunk=1.0)
    state = synapse.initial((3,), dtype=torch.float64)
    counts = torch.tensor([7.0, -7.0, 7.0])
    at_once = synapse.read(synapse.program(state, Pulses(counts)))
    for _ in range(7):
        state = synapse.program(state, Pulses(counts.sign()))
    torch.testing.assert_close(synapse.read(state), at_once, rtol=1e-12, atol=0)


def test_steps_of_several_pulses_are_accurate_for_different_counts():
    """Midpoint steps of up to four pulses have an error below 0.001 of the change, for 0, 1, 13 and 40 pulses in one call."""
    counts = torch.tensor([0.0, 1.0, 13.0, -40.0])
    fine, coarse = (
        device.read(device.program(device.initial((4,), dtype=torch.float64), Pulses(counts)))
        for device in (build(chunk=1.0), build(chunk=4.0))
    )
    assert float((coarse - fine).abs().max()) < 1e-3 * float((fine - 0.5).abs().max())


def test_single_precision_agrees_with_double():
    synapse = many_devices()
    state = synapse.initial((200,), generator=seeded(), dtype=torch.float64)
    pulses = Pulses((torch.arange(200) % 41 - 20).double())
    expected = synapse.read(synapse.program(state, pulses))
    single = {name: value.float() for name, value in state.items()}
    found = synapse.read(synapse.program(single, pulses))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-6)


def test_states_are_clamped_a_quarter_of_the_span_beyond_the_fitted_range():
    synapse = build(noise={"log accumulating SET": math.log(10.0)})
    after = synapse.program(synapse.initial((200,)), Pulses(torch.ones(200)), generator=seeded())
    assert float(after["state"].max()) == pytest.approx(1.5)
    assert float(after["state"].min()) == pytest.approx(-1.5)
    saturated = synapse.saturated(after)
    assert torch.equal(saturated, after["state"].abs() > 1)
    assert 0 < int(saturated.sum()) <= 200
    assert not synapse.saturated(synapse.initial((3,))).any()


def test_low_and_high_are_the_ends_of_the_fitted_range():
    synapse = build()
    assert (synapse.low, synapse.high) == (0.25, 0.75)
    log = build(scale=Scale("log", math.log(1e-5), 0.5))
    assert (log.low, log.high) == (pytest.approx(1e-5 * math.exp(-0.5)), pytest.approx(1e-5 * math.exp(0.5)))


# --- gradients -------------------------------------------------------------------------------------------------------


def test_gradients_flow_to_state_voltage_and_weights():
    synapse = one_device(chunk=2.0)
    start = torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64)
    counts = torch.tensor([3.0, -5.0, 1.0], dtype=torch.float64)
    base = synapse.initial((3,), dtype=torch.float64)

    def run(x, voltage):
        return synapse.read(synapse.program({**base, "state": x}, Pulses(counts, voltage=voltage)))

    synapse.drift.requires_grad_()
    given = (start.requires_grad_(), torch.full((3,), 1.6, dtype=torch.float64, requires_grad=True))
    assert torch.autograd.gradcheck(run, given, eps=1e-6, atol=1e-7)
    run(*given).sum().backward()
    assert float(synapse.drift.field.skip.weight.grad.abs().min()) > 0


def test_the_gradient_in_the_number_of_pulses_is_the_step():
    """With a straight-through number of pulses, dx/dn is the rate."""
    synapse = build(chunk=8.0)
    count = torch.tensor([1.0, -1.0], dtype=torch.float64, requires_grad=True)
    after = synapse.program(synapse.initial((2,), dtype=torch.float64), Pulses(count))
    (gradient,) = torch.autograd.grad(after["state"].sum(), count)
    torch.testing.assert_close(gradient, torch.full((2,), 0.1 * math.sinh(0.3)).double())


def test_gradients_of_noisy_runs_are_finite_for_devices_without_pulses():
    """The derivative of sqrt(n) is infinite at zero."""
    synapse = one_device()
    count = torch.tensor([0.0, 3.0, -2.0], dtype=torch.float64, requires_grad=True)
    state = synapse.initial((3,), generator=seeded(), dtype=torch.float64)
    read = synapse.read(synapse.program(state, Pulses(count), generator=seeded(1)))
    (gradient,) = torch.autograd.grad(read.sum(), count)
    assert bool(torch.isfinite(gradient).all())
    assert bool((gradient[1:] != 0).all())


def test_weights_get_gradients_in_both_precisions():
    found = []
    for dtype in (torch.float32, torch.float64):
        synapse = build(chunk=2.0)
        synapse.drift.requires_grad_()
        after = synapse.program(synapse.initial((2,), dtype=dtype), Pulses(torch.tensor([3.0, -5.0])))
        found.append(torch.autograd.grad(after["state"].square().sum(), synapse.drift.field.skip.weight)[0].double())
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-6)


# --- accumulating and read noise -------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1.0, 5.0])
@pytest.mark.parametrize("count", [1, 16])
def test_noise_of_n_pulses_has_n_times_the_variance(count, chunk):
    """Without drift: mean 0, variance n sigma^2, each polarity its own; 5 standard errors."""
    synapse = build(still(), noise={"log accumulating RESET": math.log(0.04)}, chunk=chunk)
    size = 40_000
    for sign, sigma in ((1.0, ACCUMULATING), (-1.0, 0.04)):
        state = synapse.initial((size,), dtype=torch.float64)
        x = synapse.program(state, Pulses(torch.full((size,), sign * count)), generator=seeded(3))["state"]
        expected = sigma * math.sqrt(count)
        assert abs(float(x.mean())) < 5 * expected / math.sqrt(size)
        assert abs(float(x.std()) / expected - 1) < 5 / math.sqrt(2 * size)


def test_accumulating_noise_depends_on_the_state_as_its_polynomial():
    values = {"its slope SET": 0.5, "its curvature SET": -0.3, "its slope": 0.4}
    synapse = build(still(), noise=values)
    size = 20_000
    for x in (-0.8, 0.0, 0.8):
        state = {**synapse.initial((size,), dtype=torch.float64), "state": torch.full((size,), x).double()}
        change = synapse.program(state, Pulses(torch.ones(size)), generator=seeded(4))["state"] - x
        expected = ACCUMULATING * math.exp(0.5 * x - 0.3 * x * x)
        assert abs(float(change.std()) / expected - 1) < 5 / math.sqrt(2 * size)
        read = (synapse.read(state, generator=seeded(5)) - 0.5) / 0.25 - x
        assert abs(float(read.std()) / (READ * math.exp(0.4 * x)) - 1) < 5 / math.sqrt(2 * size)


def test_read_noise_is_new_at_each_read():
    synapse = build(still())
    state = synapse.initial((40_000,), dtype=torch.float64)
    generator = seeded(1)
    first, second = ((synapse.read(state, generator=generator) - 0.5) / 0.25 for _ in range(2))
    assert abs(float(first.std()) / READ - 1) < 5 / math.sqrt(80_000)
    assert abs(float((first * second).mean())) < 5 * READ**2 / math.sqrt(40_000)


# --- correlated noise ------------------------------------------------------------------------------------------------


def test_correlated_noise_is_stationary_and_decays_over_its_memory():
    synapse = build(still(), memory=True)
    size = 40_000
    state = synapse.initial((size,), generator=seeded(0), dtype=torch.float64)
    start = state["flicker"].clone()
    generator = seeded(1)
    total = 0
    for count in (1, 3, 8):
        state = synapse.program(state, Pulses(torch.full((size,), float(count))), generator=generator)
        total += count
        assert abs(float(state["flicker"].std()) / CORRELATED - 1) < 5 / math.sqrt(2 * size)
        correlation = float((start * state["flicker"]).mean()) / CORRELATED**2
        assert abs(correlation - math.exp(-total / MEMORY)) < 5 * math.sqrt(2 / size)


def test_devices_without_pulses_keep_their_correlated_noise():
    synapse = many_devices()
    state = synapse.initial((100,), generator=seeded(0))
    count = (torch.arange(100) % 2).float()
    after = synapse.program(state, Pulses(count), generator=seeded(1))
    for name in ("state", "flicker", "trap"):
        torch.testing.assert_close(after[name][::2], state[name][::2], rtol=0, atol=0)
    assert not torch.equal(after["flicker"][1::2], state["flicker"][1::2])


# --- telegraph noise -------------------------------------------------------------------------------------------------


def test_telegraph_noise_is_stationary():
    synapse = many_devices()
    size = 20_000
    state = synapse.initial((size,), generator=seeded(2), dtype=torch.float64)
    error = math.sqrt(TELEGRAPH.occupancy * (1 - TELEGRAPH.occupancy) / size)
    generator = seeded(3)
    for _ in range(3):
        filled = state["trap"] != 0
        assert abs(float(filled.double().mean()) - TELEGRAPH.occupancy) < 5 * error
        depth = state["trap"][filled]
        assert abs(float(depth.mean()) - 0.6) < 5 * 0.1 / math.sqrt(len(depth))
        assert abs(float(depth.std()) / 0.1 - 1) < 5 / math.sqrt(2 * len(depth))
        state = synapse.program(state, Pulses(torch.full((size,), 5.0)), generator=generator)


@pytest.mark.parametrize("count", [1, 12])
def test_telegraph_noise_follows_the_power_of_the_transition_matrix(count):
    synapse = many_devices()
    size = 40_000
    state = synapse.initial((size,), generator=seeded(2), dtype=torch.float64)
    after = synapse.program(state, Pulses(torch.full((size,), float(count))), generator=seeded(3))
    single = np.array([[1 - TELEGRAPH.fill, TELEGRAPH.fill], [TELEGRAPH.leave, 1 - TELEGRAPH.leave]])
    expected = np.linalg.matrix_power(single, count)
    for start in (0, 1):
        chosen = (state["trap"] != 0) == bool(start)
        share = float((after["trap"][chosen] != 0).double().mean())
        error = math.sqrt(expected[start, 1] * (1 - expected[start, 1]) / int(chosen.sum()))
        assert abs(share - expected[start, 1]) < 5 * error
    kept = (state["trap"] != 0) & (after["trap"] != 0)
    torch.testing.assert_close(after["trap"][kept], state["trap"][kept], rtol=0, atol=0)


# --- variants --------------------------------------------------------------------------------------------------------


def test_only_excludes_kinds_of_noise():
    synapse = many_devices()
    pulses = Pulses(torch.full((300,), 3.0))

    def simulated(**kinds):
        variant = synapse.only(**kinds)
        state = variant.program(variant.initial((300,), generator=seeded(0)), pulses, generator=seeded(1))
        return {**state, "read": variant.read(state, generator=seeded(2)) - variant.read(state)}

    def constant(values):
        return bool((values == values[:1]).all())

    nothing = simulated(c2c=False, rtn=False, d2d=False)
    assert all(constant(value) for value in nothing.values())
    devices = simulated(c2c=False, rtn=False)
    assert not constant(devices["state"])
    assert (devices["flicker"] == 0).all()
    assert (devices["trap"] == 0).all()
    assert (devices["read"] == 0).all()
    cycles = simulated(rtn=False, d2d=False)
    assert constant(cycles["latents"])
    assert (cycles["trap"] == 0).all()
    assert not any(constant(cycles[name]) for name in ("state", "flicker", "read"))
    telegraph = simulated(c2c=False, d2d=False)
    assert not constant(telegraph["trap"])
    assert constant(telegraph["state"])
    everything = simulated()
    assert not any(constant(value) for value in everything.values())


def test_one_device_has_no_device_spread():
    synapse = one_device(record={"devices": 1})
    for call in (lambda: synapse.only(c2c=False), lambda: synapse.devices(3, seeded())):
        with pytest.raises(ConfigError, match=r"fitted on 1 device\(s\), .* not from device to device"):
            call()
    assert synapse.only(d2d=False, c2c=False).with_noise is False
    assert synapse.with_noise is True


def test_devices_are_sampled_from_the_population():
    drawn = many_devices().devices(5000, seeded()).numpy()
    assert drawn.shape == (5000, 5)
    assert abs(drawn[:, 0].mean() + 0.5) < 5 * 0.2 / math.sqrt(5000)
    assert (np.abs(drawn.std(0) / 0.2 - 1) < 5 / math.sqrt(2 * 5000)).all()
    assert np.abs(drawn[:, 1:]).max() <= float(population(5).samples[:, :, 1:].abs().max())


def test_posterior_samples_have_the_posterior_covariance():
    synapse = build()
    size = len(synapse.noise)
    weights = synapse.posterior_weights.shape[0]
    factor = 0.02 * torch.randn(weights, weights, generator=seeded(7), dtype=torch.float64)
    synapse = build(posterior_noise=0.01 * torch.eye(size).double(), posterior_weights=factor @ factor.T)
    generator = seeded(8)
    count = 600
    before = copy.deepcopy(synapse.state_dict())
    draws = [synapse.posterior(generator) for _ in range(count)]
    noise = torch.stack([draw.noise for draw in draws]) - synapse.noise
    assert float(noise.mean(0).abs().max()) < 5 * 0.1 / math.sqrt(count)
    assert float((noise.std(0) / 0.1 - 1).abs().max()) < 5 / math.sqrt(2 * count)

    def flat(drift):
        field = drift.field
        return torch.cat([w.detach().reshape(-1) for w in (field.out.weight, field.out.bias, field.skip.weight)])

    shift = torch.stack([flat(draw.drift) for draw in draws]) - flat(synapse.drift)
    expected = factor @ factor.T
    variance = expected.diagonal()
    assert bool((shift.mean(0).abs() < 5 * (variance / count).sqrt()).all())
    error = ((torch.outer(variance, variance) + expected**2) / count).sqrt()
    assert bool(((shift.T @ shift / count - expected).abs() < 5 * error).all())
    for name, value in synapse.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_posterior_samples_have_dirichlet_weights_of_the_devices():
    synapse, generator = many_devices(), seeded(1)
    before = synapse.population.weights.clone()
    draws = [synapse.posterior(generator).population.weights for _ in range(200)]
    assert not torch.equal(draws[0], draws[1])
    # Dirichlet weights of 40 devices: variance (1 / 40) (1 - 1 / 40) / 41.
    weights, expected = torch.stack(draws), math.sqrt(39 / 40**2 / 41)
    assert float((weights.mean(0) * 40 - 1).abs().max()) < 5 * 40 * expected / math.sqrt(200)
    assert float(weights.std()) == pytest.approx(expected, rel=0.1)
    torch.testing.assert_close(synapse.population.weights, before, rtol=0, atol=0)


def test_posterior_samples_use_their_own_weights_in_both_precisions():
    """The cached single-precision copy of the surrogate is not used by the sample."""
    size = build().posterior_weights.shape[0]
    synapse = build(posterior_weights=0.1 * torch.eye(size).double())
    pulses = Pulses(torch.full((4,), 3.0))
    single = synapse.program(synapse.initial((4,)), pulses)
    draw = synapse.posterior(seeded())
    found = draw.program(draw.initial((4,)), pulses)["state"]
    expected = draw.program(draw.initial((4,), dtype=torch.float64), pulses)["state"]
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(found, single["state"], rtol=1e-2)
    again = synapse.program(synapse.initial((4,)), pulses)
    torch.testing.assert_close(again["state"], single["state"], rtol=0, atol=0)


def test_the_single_precision_copy_follows_new_weights():
    """Weights that change after a first run are used."""
    synapse = build()
    pulses = Pulses(torch.ones(2))
    before = synapse.program(synapse.initial((2,)), pulses)["state"]
    with torch.no_grad():
        synapse.drift.field.out.bias += 0.5
        after = synapse.program(synapse.initial((2,)), pulses)["state"]
        expected = synapse.program(synapse.initial((2,), dtype=torch.float64), pulses)["state"]
    assert not torch.allclose(before, after)
    torch.testing.assert_close(after.double(), expected, rtol=1e-5, atol=1e-7)


# --- states from reads -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [one_device, many_devices])
def test_a_state_from_a_read_has_the_same_read(make):
    synapse = make()
    read = torch.linspace(synapse.low, synapse.high, 7, dtype=torch.float64)
    torch.testing.assert_close(synapse.read(synapse.at(read)), read)
    assert synapse.at(read.float())["state"].dtype == torch.float32


def test_a_state_from_a_read_has_the_uncertainty_of_the_read():
    """With a generator, conductance minus read is read noise; correlated and telegraph noise are part of the state."""
    synapse = many_devices()
    read = torch.full((20_000,), 0.5, dtype=torch.float64)
    state = synapse.at(read, generator=seeded())
    again = (synapse.read(state) - 0.5) / 0.25
    assert abs(float(again.std()) / READ - 1) < 5 / math.sqrt(40_000)
    assert float(state["flicker"].std()) == pytest.approx(CORRELATED, rel=5 / math.sqrt(40_000))
    assert abs(float((state["state"] * state["flicker"]).mean()) / -(CORRELATED**2) - 1) < 0.1


def test_a_device_that_was_just_read_is_like_those_that_begin_there():
    """Of devices whose log range follows their first state, those at a read have that of the read; a generator spreads it."""
    values = torch.zeros(100, 4, 5, dtype=torch.float64)
    values[:, :, 0] = torch.linspace(-1, 1, 100, dtype=torch.float64)[:, None]
    values[:, :, 2] = 0.3 * values[:, :, 0]
    synapse = build(relaxing(Latents(BOTH, True, 0)), population=Population(values), of_devices=True)
    x = torch.tensor([-0.5, 0.0, 0.5], dtype=torch.float64).repeat(500)
    mean = synapse.at(0.5 + 0.25 * x)["latents"]
    torch.testing.assert_close(mean[:, 1], 0.3 * x, rtol=0, atol=0.01)
    drawn = synapse.at(0.5 + 0.25 * x, generator=seeded())["latents"]
    # Ten of a hundred begin within 0.1 to either side.
    assert float((drawn[:, 1] - 0.3 * x).abs().max()) < 5 * 0.3 * 0.11
    assert len(drawn[:, 1].unique()) > 20
    same = synapse.only(d2d=False).at(0.5 + 0.25 * x, generator=seeded())["latents"]
    torch.testing.assert_close(same, mean, rtol=0, atol=0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_reads_that_are_not_finite_or_not_positive_are_refused(bad):
    with pytest.raises(ConfigError, match="cannot be conductances of this device"):
        build().at(torch.tensor([0.5, bad]))
    with pytest.raises(ConfigError, match="cannot be conductances of this device"):
        build(scale=Scale("log", 0.0, 1.0)).at(torch.tensor([0.5, -1.0]))


# --- ranges, pauses, text --------------------------------------------------------------------------------------------


def test_a_voltage_outside_the_range_is_clamped_with_one_warning():
    synapse = one_device()
    state = synapse.initial((2,), dtype=torch.float64)
    with pytest.warns(DomainWarning, match=r"a voltage such as 3 V, outside the range 1 V \.\. 2 V of the model"):
        beyond = synapse.program(state, Pulses(torch.ones(2), voltage=3.0))
    edge = synapse.program(state, Pulses(torch.ones(2), voltage=2.0))
    torch.testing.assert_close(beyond["state"], edge["state"])
    synapse.program(state, Pulses(torch.ones(2), voltage=3.0))  # no second warning: warnings are errors here


def test_a_strict_surrogate_refuses_a_voltage_outside_the_range():
    synapse = one_device()
    synapse.strict = True
    with pytest.raises(DomainError, match=r"outside the range 1 V \.\. 2 V of the model\. Program inside that range"):
        synapse.program(synapse.initial((2,)), Pulses(torch.ones(2), voltage=3.0))


def test_default_voltage_and_width_are_those_of_the_recordings():
    synapse = one_device()
    assert synapse.voltage == (1.5, 1.5)
    assert synapse.width == pytest.approx(1e-6)
    state = synapse.initial((2,), dtype=torch.float64)
    usual = synapse.program(state, Pulses(torch.ones(2)))
    torch.testing.assert_close(usual["state"], synapse.program(state, Pulses(torch.ones(2), voltage=1.5))["state"])
    assert float(synapse.program(state, Pulses(torch.ones(2), voltage=1.8))["state"][0]) > float(usual["state"][0])
    energy = synapse.energy(state, Pulses(torch.tensor([2.0, -1.0])))
    torch.testing.assert_close(energy, torch.tensor([2.0, 1.0]).double() * 1.5**2 * 0.5 * 1e-6)


def test_pauses_need_recordings_of_pauses():
    with pytest.raises(ConfigError, match="the surrogate has no retention model: its recordings had no pauses"):
        build().relax(build().initial((2,)), 1.0)
    waiting = build(retention=Retention(-0.1, 0.0, 0.05, 1.0, 1e4))
    state = waiting.initial((20_000,), dtype=torch.float64)
    after = waiting.relax(state, 99.0, generator=seeded())["state"]
    log_time = math.log(100.0)
    assert abs(float(after.mean()) + 0.1 * log_time) < 5 * 0.05 * math.sqrt(log_time / 20_000)
    assert (state["state"] == 0).all()
    assert "per decade of time" in waiting.describe()


def test_uncertainty_is_that_of_log_normal_parameters():
    """For exp(N(log v, 0.1^2)), 95 % lie within v exp(+-0.196); correlated noise adds to the noise per pulse."""
    size = len(NoiseModel(BOTH, True, False).names)
    found = build(memory=True, posterior_noise=0.01 * torch.eye(size).double()).uncertainty()
    for name, value in (("read", READ), ("correlated", CORRELATED), ("accumulating SET", ACCUMULATING)):
        expected = 0.25 * value * np.exp(np.array([0.0, -0.196, 0.196]))
        np.testing.assert_allclose(found[name], expected, rtol=0.02)
    per_pulse = 0.25 * math.sqrt(ACCUMULATING**2 + CORRELATED**2 * (1 - math.exp(-2 / MEMORY)))
    assert found["per pulse RESET"][0] == pytest.approx(per_pulse)


def test_the_description_lists_what_is_not_known():
    text = one_device(record={"devices": 1, "recordings": 2, "reads": 1001}).describe()
    assert "1 device(s), 2 recording(s), 1001 reads" in text
    assert "population: none; one device (or too few) determines the noise but not device-to-device spread" in text
    assert "voltage 1 V .. 2 V" in text
    many = many_devices(record={"devices": 40}).describe()
    assert "population: posteriors of 40 devices" in many
    assert f"filled {TELEGRAPH.occupancy:.0%} of the time" in many


# --- relative noise --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pure", [False, True])
@pytest.mark.parametrize("pulses", [1.0, 9.0])
def test_relative_noise_is_proportional_to_the_step(pure, pulses):
    """Its variance is that of independent pulses: n (r D)^2 plus n c^2; five standard errors of 20 000 devices."""
    count, relative, constant = 20_000, 0.2, 0.004
    drift = relaxing(Latents((), False, 0, window=False))
    model = NoiseModel(BOTH, relative=True, pure=pure)
    values = {"log relative SET": math.log(relative), "log relative RESET": math.log(0.1), "log read": -9.0}
    values |= {f"log accumulating {name}": math.log(constant) for name in BOTH}
    synapse = build(drift, chunk=9.0)
    synapse.noise_model = model
    synapse.noise = torch.tensor([values.get(name, 0.0) for name in model.names], dtype=torch.float64)
    synapse.posterior_noise = 1e-4 * torch.eye(len(model.names), dtype=torch.float64)
    state = synapse.initial((count,), dtype=torch.float64)
    given = Pulses(torch.full((count,), pulses))
    mean = float(synapse.program(state, given)["state"][0])
    after = synapse.program(state, given, generator=seeded())["state"]
    expected = math.sqrt(pulses * (relative * mean / pulses) ** 2 + (0.0 if pure else pulses * constant**2))
    assert float(after.std()) == pytest.approx(expected, rel=5 / math.sqrt(2 * count))
    assert abs(float(after.mean()) - mean) < 5 * expected / math.sqrt(count)
    value, low, high = synapse.uncertainty()["accumulating SET"]
    single = float(synapse.program(state, Pulses(torch.ones(count)))["state"][0])
    assert value == pytest.approx(0.25 * math.hypot(relative * single, 0.0 if pure else constant))
    assert low <= value <= high


def test_relative_noise_never_reverses_a_monotonic_device():
    """Noise of twice the step reverses three in ten pulses, unless the device never reverses."""
    drift = relaxing(Latents((), False, 0, window=False))
    synapse = build(drift)
    synapse.noise_model = NoiseModel(BOTH, relative=True, pure=True)
    synapse.noise = torch.tensor([math.log(2.0) if "relative" in name else 0.0 for name in synapse.noise_model.names])
    state = synapse.initial((1000,), dtype=torch.float64)
    for monotonic in ((), BOTH):
        drift.monotonic = monotonic
        for sign in (1.0, -1.0):
            after = synapse.program(state, Pulses(torch.full((1000,), sign)), generator=seeded())["state"]
            assert bool((after * sign < 0).any()) == (not monotonic)


def test_states_stay_within_the_limits():
    drift = relaxing(Latents((), False, 0, window=False), rate=5.0)
    synapse = build(drift, noise={"log accumulating SET": math.log(3.0)}, state_range=(-0.4, 0.7))
    drift.limits = (-0.4, 0.7)
    state = synapse.initial((500,), dtype=torch.float64)
    after = synapse.program(state, Pulses(torch.full((500,), 3.0)), generator=seeded())
    assert float(after["state"].min()) >= -0.4
    assert float(after["state"].max()) == 0.7
    assert bool(synapse.saturated(after).any())


def test_long_trains_without_noise_end_where_nothing_changes_any_more(monkeypatch):
    """A million pulses saturate within some hundred steps; the field is not evaluated at the others."""
    device, calls = build(chunk=4.0), []
    change = Drift.change
    monkeypatch.setattr(Drift, "change", lambda *arguments: (calls.append(1), change(*arguments))[1])
    long = device.program(device.initial((3,)), Pulses(torch.tensor([1e6, -1e6, 0.0])))
    assert len(calls) < 10_000
    short = device.program(device.initial((3,)), Pulses(torch.tensor([4e3, -4e3, 0.0])))
    torch.testing.assert_close(long["state"], short["state"], rtol=0, atol=1e-6)


def test_long_trains_with_noise_are_refused_if_they_would_take_minutes():
    with pytest.raises(ConfigError, match="takes 250000 steps of 4 pulses; expected at most 50000 steps, 200000 pulses"):
        build(chunk=4.0).program(build().initial((1,)), Pulses(torch.tensor([1e6])), generator=seeded())
