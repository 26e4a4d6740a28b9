"""The ideal device: its arithmetic, and the contract of synapses."""

import pytest
import torch

from spinode import ConfigError, Pulses
from spinode.surrogates import IdealSynapse
from spinode.testing import SynapseContract


class TestIdeal(SynapseContract):
    def make(self):
        return IdealSynapse(step=0.01)


class TestUnbounded(SynapseContract):
    def make(self):
        return IdealSynapse(step=0.25, low=-2, high=3, bounded=False)


def test_n_pulses_change_the_weight_by_n_steps_within_the_range():
    synapse = IdealSynapse(step=0.125, low=-1, high=2)
    start = synapse.initial((4,))
    after = synapse.read(synapse.program(start, Pulses(torch.tensor([3.0, -2.0, 100.0, -100.0]))))
    torch.testing.assert_close(after, torch.tensor([0.875, 0.25, 2.0, -1.0]), rtol=0, atol=0)


def test_an_unbounded_device_does_not_saturate():
    synapse = IdealSynapse(step=0.5, bounded=False)
    after = synapse.program(synapse.initial((2,)), Pulses(torch.tensor([1000.0, -1000.0])))
    torch.testing.assert_close(synapse.read(after), torch.tensor([500.0, -500.0]), rtol=0, atol=0)


def test_a_generator_changes_nothing():
    synapse = IdealSynapse()
    state = synapse.initial((5,), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(state["g"], synapse.initial((5,))["g"], rtol=0, atol=0)


@pytest.mark.parametrize("settings", [{"step": 0.0}, {"step": float("nan")}, {"low": 1.0}, {"high": float("inf")}])
def test_invalid_settings_are_refused(settings):
    with pytest.raises(ConfigError, match=r"(step|low|high) is \S+; expected a finite number( above|\.)"):
        IdealSynapse(**settings)
