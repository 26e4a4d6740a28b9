"""Weights in devices, physical models and surrogates alike: written and read levels, updates as pulses, and their cost."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from spinode.datasets import PermutedTasks, SoftBounds, WeakReset, made_digits
from spinode.errors import ConfigError
from spinode.experiments.registry import make_synapse
from spinode.training import MetaplasticBNN, MetaplasticQNN, MetaplasticReal, StreamConfig, train
from spinode.training.layers import storage as storage_module
from spinode.training.layers.storage import StoredLevels, StoredWeights, device_footprint, drawing_from
from spinode.training.rules.levels import nearest_level

#: Steps of 0.002 on a range of 2, without variation and noise.
EXACT = SoftBounds(dw_min=0.002, dw_min_dtod=0.0, up_down_dtod=0.0, w_min_dtod=0.0, w_max_dtod=0.0, dw_min_std=0.0)
NAMES = ["physical:hfox-weak-reset", "hfox-weak-reset"]
CONFIG = StreamConfig(tasks=2, epochs=1, batch_size=20, evaluate="seen", test_batch=50)


@pytest.fixture(scope="module")
def stream():
    return PermutedTasks(made_digits(train=200, test=100), tasks=2, seed=1)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def hidden(*shape, width=1.0, seed=0):
    return (torch.rand(*shape, generator=generator(seed)) - 0.5) * 2 * width


@pytest.fixture
def few_pulses(monkeypatch):
    """At most 200 pulses per write: a pair whose ranges do not overlap would otherwise take 10 000 each time."""
    monkeypatch.setattr(storage_module, "MAX_PULSES", 200)


# Levels in devices


@pytest.mark.parametrize("name", NAMES)
def test_most_signs_are_read_as_written(name):
    """Fresh devices reach either sign, except pairs whose ranges hardly overlap, which are counted."""
    target = hidden(80, 60)
    store = StoredLevels(target, None, make_synapse(name), generator=generator())
    writes, missed = store.counts.tolist()
    assert writes == 4800
    assert missed < 0.05 * writes
    wrong = int((store.read(noisy=False) != nearest_level(target)).sum())
    assert wrong <= missed + 0.02 * writes  # a noisy read may show the wrong sign
    assert float((store.read() == nearest_level(target)).float().mean()) > 0.9


def test_signs_have_a_margin_in_bidirectional_devices():
    target = hidden(30, 20)
    store = StoredLevels(target, None, EXACT, generator=generator())
    assert store.counts.tolist() == [600, 0]
    stored = store.weights.latent(noisy=False)
    assert torch.equal(store.read(), nearest_level(target))
    assert float(stored.abs().min()) >= 0.25 - 1e-6
    assert float(stored.abs().max()) <= 0.75 + 1e-6


@pytest.mark.parametrize("levels", [3, 8])
def test_levels_are_read_to_within_the_tolerance(levels):
    interval = (2 / (levels - 1), levels)
    target = hidden(20, 15, width=1.2)
    store = StoredLevels(target, interval, EXACT, generator=generator())
    assert store.verify.tolerance == pytest.approx(interval[0] / 4)
    assert float((store.read() - nearest_level(target, interval)).abs().max()) <= store.verify.tolerance
    assert store.counts.tolist() == [300, 0]


def test_only_changed_levels_are_written():
    target = hidden(10, 12)
    store = StoredLevels(target, None, EXACT, generator=generator())
    wear, writes = store.weights.wear.clone(), int(store.counts[0])
    store.update(target * 0.5)  # other hidden weights of the same signs
    assert torch.equal(store.weights.wear, wear)
    changed = target.clone()
    changed[2, 3], changed[7, 1] = -target[2, 3], -target[7, 1]
    store.update(changed)
    assert int(store.counts[0]) == writes + 2
    assert torch.equal(store.read(noisy=False), nearest_level(changed))
    pulsed = (store.weights.wear != wear).any(0).nonzero().tolist()
    assert pulsed == [[2, 3], [7, 1]]


def test_unreached_levels_are_counted():
    """A device with RESET only is exhausted after many changes of a sign."""
    target = torch.ones(6, 6)
    store = StoredLevels(target, None, WeakReset(d2d=False, rtn=False, pink=False), generator=generator())
    narrow = StoredLevels(
        hidden(8, 8, width=1.0), (1.0, 3), SoftBounds(**{**_plain(), "high": 0.4, "low": -0.4}), generator=generator()
    )
    for turn in range(200):
        store.update(target if turn % 2 else -target)
    figures = device_footprint([store])
    assert figures["writes"] == 36 * 201
    assert figures["pulses"] == float(store.weights.wear.sum())
    assert figures["most pulses of a device"] == float(store.weights.wear.max())
    assert device_footprint([narrow])["writes"] == 64


def _plain():
    return {"dw_min": 0.002, "dw_min_dtod": 0.0, "up_down_dtod": 0.0, "w_min_dtod": 0.0, "w_max_dtod": 0.0, "dw_min_std": 0.0}


def test_levels_finer_than_a_step_are_refused():
    with pytest.raises(ConfigError, match="use fewer levels, or a device of finer steps"):
        StoredLevels(hidden(3, 3), (2 / 999, 1000), SoftBounds(**{**_plain(), "dw_min": 0.01}), generator=generator())


# Whole weights in devices


def test_an_update_changes_the_devices_by_its_value_on_average():
    """Stochastic rounding: the mean over many weights, to four standard errors."""
    parameter = torch.nn.Parameter(torch.zeros(100, 100))
    store = StoredWeights(parameter, EXACT, kind="pair", w_max=1.0, generator=generator())
    step = store.weights.step
    with torch.no_grad():
        parameter.add_(0.3 * step)
    store.update(parameter)
    moved = parameter.detach()
    assert torch.equal(moved, store.weights.latent(noisy=False))
    error = step * math.sqrt(0.3 * 0.7 / 10_000)
    assert float(moved.mean()) == pytest.approx(0.3 * step, abs=4 * error + 0.02 * step)
    assert store.weights.pulses == pytest.approx(2 * 3000, abs=2 * 4 * math.sqrt(0.21 * 10_000))  # both devices of a pair


def test_signs_equal_those_of_the_conductance_differences():
    parameter = torch.nn.Parameter(hidden(20, 20, width=0.1))
    store = StoredWeights(parameter, WeakReset(), kind="sign", w_max=1.0, generator=generator())
    conductance = store.weights.synapse.read(store.weights.state)
    assert torch.equal(store.read(noisy=False), torch.where(conductance[0] >= conductance[1], 1.0, -1.0))
    assert torch.equal(parameter.detach() >= 0, conductance[0] >= conductance[1])
    assert store.weights.pulses == 0  # devices that differ give the initial weights


def test_identical_devices_are_pulsed_to_initial_weights():
    """Equal signs would make all units learn the same."""
    target = hidden(40, 40, width=0.05)
    parameter = torch.nn.Parameter(target.clone())
    store = StoredWeights(parameter, EXACT, kind="sign", w_max=1.0, generator=generator())
    assert store.weights.pulses > 0
    is_large = target.abs() > 2 * store.weights.step
    assert torch.equal(parameter.detach().sign()[is_large], target.sign()[is_large])


def test_updates_that_are_not_finite_change_no_device():
    parameter = torch.nn.Parameter(hidden(4, 4))
    store = StoredWeights(parameter, EXACT, kind="pair", w_max=1.0, generator=generator())
    before, wear = parameter.detach().clone(), store.weights.wear.clone()
    with torch.no_grad():
        parameter[1, 1] = math.nan
    with pytest.raises(ConfigError, match="NaN or infinite"):
        store.update(parameter)
    assert torch.equal(parameter.detach(), before)
    assert torch.equal(store.weights.wear, wear)


def test_tests_use_their_own_generator():
    store = StoredLevels(hidden(20, 20), None, WeakReset(read_noise=0.2), generator=generator())
    state = store.weights.get_extra_state()["generator"]
    with drawing_from([store], generator(7)):
        first = store.read()
    with drawing_from([store], generator(7)):
        assert torch.equal(store.read(), first)
    assert torch.equal(store.weights.get_extra_state()["generator"], state)


# Learners


@pytest.mark.parametrize("storage", ["digital", "devices"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("few_pulses")
def test_binary_networks_learn_in_physical_devices_and_in_their_surrogate(name, storage, stream):
    learner = MetaplasticBNN(stream, hidden=[20], synapse=make_synapse(name), storage=storage)
    result = train(learner, stream, StreamConfig(tasks=1, epochs=4, batch_size=20, test_batch=100))
    assert result.accuracies["task"].values[0, 0] > 0.3  # chance is 0.1
    figures = result.footprint
    weights = 784 * 20 + 20 * 10
    assert figures["devices"] == 2 * weights
    assert figures["pulses"] == sum(float(store.weights.wear.sum()) for store in learner.stores) > 0
    assert 0 <= figures["devices at a bound [share]"] <= 1
    assert ("writes" in figures) == (storage == "digital")
    if storage == "devices":
        for layer, store in zip(learner.layers, learner.stores, strict=True):
            assert torch.equal(layer.weight.detach(), store.weights.latent(noisy=False))


@pytest.mark.parametrize("name", ["physical:tio2-nili", "tio2-nili"])
def test_quantised_networks_learn_in_physical_devices_and_in_their_surrogate(name, stream):
    learner = MetaplasticQNN(stream, hidden=[10], metaplasticity=1.0, synapse=make_synapse(name))
    result = train(learner, stream, StreamConfig(tasks=1, epochs=3, batch_size=20, test_batch=100))
    assert result.accuracies["task"].values[0, 0] > 0.3
    assert 0 <= result.footprint["writes out of tolerance [share]"] <= 1
    for layer, store in zip(learner.layers, learner.stores, strict=True):
        assert torch.equal(store.target, layer.quantised())


def test_levels_in_exact_devices_train_like_exact_levels_and_count_every_pulse(stream):
    """Hidden weights agree in the first step, whose levels are read to within the tolerance; writes are the changed levels."""
    exact, stored = (MetaplasticQNN(stream, hidden=[10], synapse=synapse) for synapse in (None, EXACT))
    for mine, other, store in zip(exact.layers, stored.layers, stored.stores, strict=True):
        assert torch.equal(mine.weight, other.weight)
        assert float((store.read() - mine.quantised()).abs().max()) <= (2 / 3) / 4
    before = [layer.quantised().clone() for layer in stored.layers]
    wear = [store.weights.wear.clone() for store in stored.stores]
    written = stored.footprint()["writes"]
    task = stream[0]
    stored.loss(stored.flat(task.inputs[:50]), task.labels[:50]).backward()
    stored.step()
    counts = [int((layer.quantised() != old).sum()) for layer, old in zip(stored.layers, before, strict=True)]
    figures = stored.footprint()
    assert sum(counts) > 0
    assert figures["writes"] == written + sum(counts)
    for layer, store, old, worn in zip(stored.layers, stored.stores, before, wear, strict=True):
        pulsed = (store.weights.wear != worn).any(0)
        assert not bool((pulsed & (layer.quantised() == old)).any())  # only what changed is worn
    total = sum(float(store.weights.wear.sum()) for store in stored.stores)
    assert figures["pulses"] == total
    assert figures["mean pulses of a device"] == total / figures["devices"]
    assert figures["most pulses of a device"] == max(float(store.weights.wear.max()) for store in stored.stores)


def test_exact_devices_equal_exact_weights(stream):
    """Signs in devices without noise equal those of the digital network."""
    exact = MetaplasticBNN(stream, hidden=[10], metaplasticity=1.0)
    stored = MetaplasticBNN(stream, hidden=[10], metaplasticity=1.0, synapse=EXACT)
    config = StreamConfig(tasks=1, epochs=2, batch_size=20)
    one, two = (train(each, stream, config) for each in (exact, stored))
    for mine, other in zip(exact.layers, stored.layers, strict=True):
        assert torch.equal(mine.weight, other.weight)
    np.testing.assert_array_equal(one.accuracies["task"].values, two.accuracies["task"].values)


@pytest.mark.parametrize("storage", ["digital", "devices"])
@pytest.mark.parametrize("synapse", [lambda: WeakReset(read_noise=0.02), lambda: make_synapse("hfox-weak-reset")])
@pytest.mark.usefixtures("few_pulses")
def test_a_killed_run_on_devices_resumes_to_the_same_result(killed_after, synapse, storage, stream, tmp_path):
    def make():
        return MetaplasticBNN(stream, hidden=[8], synapse=synapse(), storage=storage)

    uninterrupted, resumed = make(), make()
    result = train(uninterrupted, stream, CONFIG)
    with killed_after(13) as kill:
        train(make(), stream, CONFIG, checkpoint=tmp_path, checkpoint_every=0.0, trainer={"callbacks": kill})
    again = train(resumed, stream, CONFIG, checkpoint=tmp_path)
    for one, two in zip(uninterrupted.stores, resumed.stores, strict=True):
        assert torch.equal(one.weights.wear, two.weights.wear)
        for name, value in one.weights.state.items():
            assert torch.equal(value, two.weights.state[name]), name
    for view, matrix in result.accuracies.items():
        np.testing.assert_array_equal(matrix.values, again.accuracies[view].values)
    assert result.footprint == again.footprint


@pytest.mark.parametrize("synapse", ["weak-reset", 5, object(), WeakReset])
@pytest.mark.parametrize("cls", [MetaplasticBNN, MetaplasticQNN])
def test_an_object_that_is_not_a_synapse_is_refused(cls, synapse, stream):
    with pytest.raises(ConfigError, match="expected a device model"):
        cls(stream, hidden=[8], synapse=synapse)


def test_unsuitable_storages_are_refused(stream):
    with pytest.raises(ConfigError, match="storage is 'cloud'"):
        MetaplasticBNN(stream, hidden=[8], storage="cloud")
    with pytest.raises(ConfigError, match="needs devices; pass a synapse"):
        MetaplasticBNN(stream, hidden=[8], storage="devices")
    with pytest.raises(ConfigError, match="storage is 'devices'; expected 'digital', the only one for quantised networks"):
        MetaplasticQNN(stream, hidden=[8], synapse=WeakReset(), storage="devices")
    with pytest.raises(ConfigError, match="a control on exact weights"):
        MetaplasticReal(stream, hidden=[8], synapse=WeakReset())
