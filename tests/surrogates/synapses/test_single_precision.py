"""The cached copy in single precision: it follows the weights, and does not change what a surrogate is."""

import copy

import torch

from spinode import Pulses
from spinode.identity import identity_of
from spinode.surrogates import zoo


def stepped(device, dtype):
    state = device.initial((4,), dtype=dtype)
    return device.read(device.program(state, Pulses(torch.arange(4, dtype=dtype))))


def test_a_used_surrogate_has_the_identity_of_a_new_one():
    device = zoo.open_synapse("vteam")
    before = identity_of(device)
    stepped(device, torch.float32)
    assert identity_of(device) == before


def test_the_copy_follows_the_weights():
    device = copy.deepcopy(zoo.open_synapse("vteam"))
    first = stepped(device, torch.float32)
    with torch.no_grad():
        for weight in device.drift.parameters():
            weight.mul_(1.5)
    second = stepped(device, torch.float32)
    assert not torch.equal(first, second)
    torch.testing.assert_close(second.double(), stepped(device, torch.float64), rtol=1e-4, atol=0)


def test_a_sample_of_the_posterior_has_a_copy_of_its_own():
    device = zoo.open_synapse("vteam")
    first = stepped(device, torch.float32)
    sample = device.posterior(torch.Generator().manual_seed(0))
    torch.testing.assert_close(stepped(sample, torch.float32).double(), stepped(sample, torch.float64), rtol=1e-4, atol=0)
    assert torch.equal(stepped(device, torch.float32), first)
