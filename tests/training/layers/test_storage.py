"""Weights in devices: what is read is what was written, what it cost is counted, physical models and surrogates alike."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback

from spinode.datasets import PermutedTasks, SoftBounds, WeakReset, made_digits
from spinode.errors import ConfigError
from spinode.experiments.registry import make_synapse
from spinode.training import MetaplasticBNN, MetaplasticQNN, MetaplasticReal, StreamConfig, train
from spinode.training.layers.storage import StoredLevels, StoredWeights, device_footprint, drawing_from
from spinode.training.rules.metaplastic_step import level

#: Steps of 0.002 on a range of 2, without spread and noise.
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


class Killed(Exception):
    """Instead of a signal."""


class Kill(Callback):
    """Ends a run after so many batches."""

    def __init__(self, batches):
        self.left = batches

    def on_train_batch_end(self, *_):
        self.left -= 1
        if self.left == 0:
            raise Killed


# Levels in devices


@pytest.mark.parametrize("name", NAMES)
def test_signs_are_read_as_they_were_written(name):
    """Fresh devices reach either sign, but for pairs whose ranges hardly meet, which are counted."""
    wished = hidden(30, 20)
    store = StoredLevels(wished, None, make_synapse(name), generator=generator())
    writes, missed = store.counts.tolist()
    assert writes == 600
    assert missed < 0.05 * writes
    wrong = int((store.read(noisy=False) != level(wished)).sum())
    assert wrong <= missed + 0.02 * writes  # a noisy read may have seen the sign that is not there
    assert float((store.read() == level(wished)).float().mean()) > 0.9


def test_signs_have_a_margin_where_devices_go_both_ways():
    wished = hidden(30, 20)
    store = StoredLevels(wished, None, EXACT, generator=generator())
    assert store.counts.tolist() == [600, 0]
    stored = store.weights.latent(noisy=False)
    assert torch.equal(store.read(), level(wished))
    assert float(stored.abs().min()) >= 0.25 - 1e-6
    assert float(stored.abs().max()) <= 0.75 + 1e-6


@pytest.mark.parametrize("levels", [3, 8])
def test_levels_are_read_to_within_the_tolerance(levels):
    interval = (2 / (levels - 1), levels)
    wished = hidden(20, 15, width=1.2)
    store = StoredLevels(wished, interval, EXACT, generator=generator())
    assert store.verify.tolerance == pytest.approx(interval[0] / 4)
    assert float((store.read() - level(wished, interval)).abs().max()) <= store.verify.tolerance
    assert store.counts.tolist() == [300, 0]


def test_only_what_changes_is_written():
    wished = hidden(10, 12)
    store = StoredLevels(wished, None, EXACT, generator=generator())
    wear, writes = store.weights.wear.clone(), int(store.counts[0])
    store.follow(wished * 0.5)  # other hidden weights of the same signs
    assert torch.equal(store.weights.wear, wear)
    turned = wished.clone()
    turned[2, 3], turned[7, 1] = -wished[2, 3], -wished[7, 1]
    store.follow(turned)
    assert int(store.counts[0]) == writes + 2
    assert torch.equal(store.read(noisy=False), level(turned))
    moved = (store.weights.wear != wear).any(0).nonzero().tolist()
    assert moved == [[2, 3], [7, 1]]


def test_levels_out_of_reach_are_counted_not_silent():
    """A device that answers RESET alone is at its end after so many turns of a sign."""
    wished = torch.ones(6, 6)
    store = StoredLevels(wished, None, WeakReset(d2d=False, rtn=False, pink=False), generator=generator())
    narrow = StoredLevels(
        hidden(8, 8, width=1.0), (1.0, 3), SoftBounds(**{**_plain(), "high": 0.4, "low": -0.4}), generator=generator()
    )
    for turn in range(200):
        store.follow(wished if turn % 2 else -wished)
    figures = device_footprint([store])
    assert figures["writes"] == 36 * 201
    assert figures["pulses"] == float(store.weights.wear.sum())
    assert figures["most pulses of a device"] == float(store.weights.wear.max())
    assert device_footprint([narrow])["writes"] == 64


def _plain():
    return {"dw_min": 0.002, "dw_min_dtod": 0.0, "up_down_dtod": 0.0, "w_min_dtod": 0.0, "w_max_dtod": 0.0, "dw_min_std": 0.0}


def test_levels_finer_than_a_step_are_refused():
    with pytest.raises(ConfigError, match="take fewer levels, or a device of finer steps"):
        StoredLevels(hidden(3, 3), (2 / 999, 1000), SoftBounds(**{**_plain(), "dw_min": 0.01}), generator=generator())


# Whole weights in devices


def test_a_step_moves_the_devices_by_itself_in_the_mean():
    """Rounding at random: the mean over many weights, to four standard errors."""
    parameter = torch.nn.Parameter(torch.zeros(100, 100))
    store = StoredWeights(parameter, EXACT, kind="pair", w_max=1.0, generator=generator())
    step = store.weights.step
    with torch.no_grad():
        parameter.add_(0.3 * step)
    store.follow(parameter)
    moved = parameter.detach()
    assert torch.equal(moved, store.weights.latent(noisy=False))
    error = step * math.sqrt(0.3 * 0.7 / 10_000)
    assert float(moved.mean()) == pytest.approx(0.3 * step, abs=4 * error + 0.02 * step)
    assert store.weights.pulses == pytest.approx(2 * 3000, abs=2 * 4 * math.sqrt(0.21 * 10_000))  # both devices of a pair


def test_signs_are_those_of_the_differences():
    parameter = torch.nn.Parameter(hidden(20, 20, width=0.1))
    store = StoredWeights(parameter, WeakReset(), kind="sign", w_max=1.0, generator=generator())
    conductance = store.weights.synapse.read(store.weights.state)
    assert torch.equal(store.read(noisy=False), torch.where(conductance[0] >= conductance[1], 1.0, -1.0))
    assert torch.equal(parameter.detach() >= 0, conductance[0] >= conductance[1])
    assert store.weights.pulses == 0  # devices that differ give the initial weights


def test_devices_that_are_all_alike_get_initial_weights():
    """Signs that are all the same would teach all units the same."""
    wished = hidden(40, 40, width=0.05)
    parameter = torch.nn.Parameter(wished.clone())
    store = StoredWeights(parameter, EXACT, kind="sign", w_max=1.0, generator=generator())
    assert store.weights.pulses > 0
    clear = wished.abs() > 2 * store.weights.step
    assert torch.equal(parameter.detach().sign()[clear], wished.sign()[clear])


def test_updates_that_are_not_finite_touch_no_device():
    parameter = torch.nn.Parameter(hidden(4, 4))
    store = StoredWeights(parameter, EXACT, kind="pair", w_max=1.0, generator=generator())
    before, wear = parameter.detach().clone(), store.weights.wear.clone()
    with torch.no_grad():
        parameter[1, 1] = math.nan
    with pytest.raises(ConfigError, match="NaN or infinite"):
        store.follow(parameter)
    assert torch.equal(parameter.detach(), before)
    assert torch.equal(store.weights.wear, wear)


def test_tests_draw_from_their_own_generator():
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
        assert torch.equal(store.target, layer.seen())


def test_exact_devices_are_exact_numbers(stream):
    """Signs in devices without noise are those of the digital network, step after step."""
    exact = MetaplasticBNN(stream, hidden=[10], metaplasticity=1.0)
    stored = MetaplasticBNN(stream, hidden=[10], metaplasticity=1.0, synapse=EXACT)
    config = StreamConfig(tasks=1, epochs=2, batch_size=20)
    one, two = (train(each, stream, config) for each in (exact, stored))
    for mine, other in zip(exact.layers, stored.layers, strict=True):
        assert torch.equal(mine.weight, other.weight)
    np.testing.assert_array_equal(one.accuracies["task"].values, two.accuracies["task"].values)


@pytest.mark.parametrize("storage", ["digital", "devices"])
@pytest.mark.parametrize("synapse", [lambda: WeakReset(read_noise=0.02), lambda: make_synapse("hfox-weak-reset")])
def test_a_killed_run_on_devices_ends_as_one_that_was_not(synapse, storage, stream, tmp_path):
    def made():
        return MetaplasticBNN(stream, hidden=[8], synapse=synapse(), storage=storage)

    whole, second = made(), made()
    result = train(whole, stream, CONFIG)
    with pytest.raises(Killed):
        train(made(), stream, CONFIG, folder=tmp_path, checkpoint_every=0.0, callbacks=Kill(13))
    again = train(second, stream, CONFIG, folder=tmp_path)
    for one, two in zip(whole.stores, second.stores, strict=True):
        assert torch.equal(one.weights.wear, two.weights.wear)
        for name, value in one.weights.state.items():
            assert torch.equal(value, two.weights.state[name]), name
    for view, matrix in result.accuracies.items():
        np.testing.assert_array_equal(matrix.values, again.accuracies[view].values)
    assert result.footprint == again.footprint


@pytest.mark.parametrize("synapse", ["weak-reset", 5, object(), WeakReset])
@pytest.mark.parametrize("cls", [MetaplasticBNN, MetaplasticQNN])
def test_what_is_no_synapse(cls, synapse, stream):
    with pytest.raises(ConfigError, match="expected a device model"):
        cls(stream, hidden=[8], synapse=synapse)


def test_storages_that_do_not_fit(stream):
    with pytest.raises(ConfigError, match="storage is 'cloud'"):
        MetaplasticBNN(stream, hidden=[8], storage="cloud")
    with pytest.raises(ConfigError, match="needs devices; pass a synapse"):
        MetaplasticBNN(stream, hidden=[8], storage="devices")
    with pytest.raises(ConfigError, match="of a quantised network are 'digital'"):
        MetaplasticQNN(stream, hidden=[8], synapse=WeakReset(), storage="devices")
    with pytest.raises(ConfigError, match="a control on exact numbers"):
        MetaplasticReal(stream, hidden=[8], synapse=WeakReset())
