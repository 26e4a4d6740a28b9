"""Drift of device layers: the law of their devices, on a copy, counted from the last pulse."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from spinode import ConfigError
from spinode.errors import DomainError, DomainWarning
from spinode.surrogates import DeviceLinear, IdealSynapse, drift, zoo


@pytest.fixture(scope="module")
def device():
    return zoo.open_synapse("reram-retention")


def layer(device, shape=(40, 25)) -> DeviceLinear:
    return DeviceLinear(*shape, device.only(c2c=False, rtn=False, d2d=False), initial="devices", bias=False, seed=0)


def test_the_mean_drift_is_the_law_of_the_retention(device):
    linear = layer(device)
    retention = device.retention
    before = linear.weights.state["state"].double()
    for seconds in (1e-3, 1.0, 1e4):
        later = drift(nn.Sequential(linear), seconds, seed=None)[0]
        expected = before + (retention.mean + retention.slope * before) * math.log1p(seconds / retention.onset)
        torch.testing.assert_close(later.weights.state["state"].double(), expected, rtol=1e-5, atol=1e-6)


def test_deviations_grow_with_the_square_root_of_the_logarithm_of_time(device):
    linear = layer(device)
    for seconds in (1.0, 1e5):
        later, mean = (drift(linear, seconds, seed=seed).weights.state["state"] for seed in (0, None))
        expected = device.retention.deviation * math.sqrt(math.log1p(seconds / device.retention.onset))
        assert float((later - mean).std()) == pytest.approx(expected, rel=0.06)  # 2000 devices: 4 standard errors


def test_drift_is_monotonic_in_time_for_the_same_seed(device):
    linear = layer(device)
    reads = [drift(linear, seconds, seed=3).weights.latent() for seconds in (0.0, 1.0, 1e2, 1e4)]
    sizes = [float((read - reads[0]).abs().mean()) for read in reads]
    assert sizes[0] == 0
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == 4


def test_the_model_itself_is_unchanged_and_the_copy_computes_with_its_drifted_devices(device):
    linear = layer(device)
    weight, x = linear.weight.detach().clone(), torch.ones(1, 40)
    later = drift(linear, 1e4, seed=0)
    assert torch.equal(linear.weight, weight)
    torch.testing.assert_close(later(x), x @ later.weights.read(noisy=False).T)
    assert not torch.equal(later(x), linear(x))
    assert torch.equal(later.weights.wear, linear.weights.wear)


def test_time_counts_from_the_last_pulse(device):
    later = drift(layer(device), 10.0, seed=0)
    with pytest.raises(ConfigError, match="drifted already"):
        drift(later, 10.0, seed=0)
    later.weights.program(torch.full((25, 40), 0.1))
    assert isinstance(drift(later, 10.0, seed=0), DeviceLinear)


def test_a_pulse_of_one_device_does_not_let_the_others_drift_twice(device):
    """The drift of the others would start again at its steep begin: twice ln(1 + t / t0) in place of ln(1 + 2 t / t0)."""
    later = drift(layer(device), 1e4, seed=None)
    one = torch.zeros(25, 40)
    one[0, 0] = 1
    later.weights.pulse(one)
    with pytest.raises(ConfigError, match=r"1998 of 2000 devices have drifted already"):
        drift(later, 1e4, seed=None)
    loaded = layer(device)
    loaded.load_state_dict(later.state_dict())
    assert int(loaded.weights.drifted.sum()) == 1998


def test_the_handle_and_the_state_dict_are_those_of_the_drifted_devices(device):
    linear = layer(device)
    later = drift(nn.Sequential(linear), 1e4, seed=0)
    weights = later[0].weights.read(noisy=False)
    assert not torch.equal(weights, linear.weight)
    assert torch.equal(later[0].weight, weights)
    assert torch.equal(later.state_dict()["0.weight"], weights)


def test_times_beyond_the_recordings_are_extrapolated_with_a_warning(device):
    linear = layer(device)
    assert device.retention.longest == 1e5
    with pytest.warns(DomainWarning, match=r"2e\+05 s is longer than all in the recordings, 1e\+05 s"):
        drift(linear, 2e5, seed=None)
    with pytest.raises(ConfigError, match=r"seconds is 1e\+30; expected"):
        drift(linear, 1e30, seed=None)
    linear.weights.synapse.strict = True
    with pytest.raises(DomainError, match="longer than all"):
        drift(linear, 2e5, seed=None)
    with pytest.raises(ConfigError, match="seed is 'a'"):
        drift(linear, 1.0, seed="a")


def test_a_loaded_model_knows_that_it_has_drifted(device):
    stored = drift(layer(device), 10.0, seed=0).state_dict()
    loaded = layer(device)
    loaded.load_state_dict(stored)
    with pytest.raises(ConfigError, match="drifted already"):
        drift(loaded, 10.0, seed=0)
    loaded.load_state_dict(layer(device).state_dict())
    assert isinstance(drift(loaded, 10.0, seed=0), DeviceLinear)


def test_devices_without_retention_do_not_drift():
    linear = DeviceLinear(3, 2, IdealSynapse(), seed=0)
    assert torch.equal(drift(linear, 1e9, seed=0).weight, linear.weight)


def test_learners_drift_too(device):
    from spinode.datasets import PermutedTasks, made_digits
    from spinode.training import PlainLearner

    stream = PermutedTasks(made_digits(train=20, test=10), tasks=1)
    learner = PlainLearner(stream, hidden=[4], synapse=device.only(c2c=False, rtn=False, d2d=False))
    later = drift(learner, 1e4, seed=0)
    assert not torch.equal(later.stores[0].read(), learner.stores[0].read())


def test_invalid_arguments_are_refused(device):
    with pytest.raises(ConfigError, match="no weights in devices"):
        drift(nn.Linear(2, 2), 1.0, seed=0)
    with pytest.raises(ConfigError, match=r"nn\.Module"):
        drift(device.drift.forward, 1.0, seed=0)
    with pytest.raises(ConfigError, match="seconds"):
        drift(layer(device), -1.0, seed=0)
