"""Networks of oscillators: their equation, their gradients, domain warnings, and a task that they learn."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from spinode.datasets import SpinTorqueOscillator
from spinode.errors import ConfigError, DomainWarning
from spinode.surrogates import OscillatorNetwork

DEVICE = SpinTorqueOscillator(interval=100e-9, substeps=2, scale=1.0)


def network(size=3, inputs=2, **settings):
    arguments = {
        "bias": 6.5e-3,
        "spread": 2e-4,
        "input_scale": 1e-3,
        "coupling_scale": 2e-3,
        "rest": 0.3,
        "output": "V",
        **settings,
    }
    return OscillatorNetwork(DEVICE, size, inputs, **arguments)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_devices_are_driven_by_bias_input_and_each_other():
    oscillators = network(hold=2)
    x = torch.rand(4, 2, generator=generator(), dtype=torch.float64)
    memory, previous, expected = DEVICE.initial_state(oscillators.bias[:, None]), torch.full((3,), 0.3, dtype=torch.float64), []
    for now in x:
        drive = oscillators.bias + oscillators.input_weight @ now + oscillators.coupling @ (previous - 0.3)
        response = DEVICE.step_block(memory, drive[:, None, None].expand(3, 2, 1))
        memory, previous = response.memory, response.output[:, -1, 0]
        expected.append(previous)
    torch.testing.assert_close(oscillators(x), torch.stack(expected))
    batch = torch.stack([x, 2 * x])
    torch.testing.assert_close(oscillators(batch)[1], oscillators(2 * x))


def test_gradients_with_respect_to_couplings_and_operating_points():
    oscillators = network()
    x = torch.rand(3, 2, generator=generator(), dtype=torch.float64)
    scales = (1e-3, 1e-3, 1e-3)

    def loss(*scaled):
        names = ("bias", "input_weight", "coupling")
        values = {name: value * scale for name, value, scale in zip(names, scaled, scales, strict=True)}
        return torch.func.functional_call(oscillators, values, (x,)).square().sum()

    start = [(value / scale).detach().requires_grad_() for value, scale in zip(oscillators.parameters(), scales, strict=True)]
    assert torch.autograd.gradcheck(loss, start)


def test_the_drive_stays_within_the_limits():
    oscillators = network(limits=(5.5e-3, 7.5e-3), input_scale=1.0)
    seen = []

    class Recording:
        interval, drives, outputs = DEVICE.interval, DEVICE.drives, DEVICE.outputs

        def initial_state(self, drive, *, generator=None):
            return DEVICE.initial_state(drive)

        def step_block(self, memory, drive, *, generator=None):
            seen.append(drive.detach())
            return DEVICE.step_block(memory, drive)

    oscillators.device = Recording()
    oscillators(torch.randn(20, 2, generator=generator(), dtype=torch.float64))
    drives = torch.cat([each.flatten() for each in seen])
    assert 5.5e-3 <= float(drives.min()) < float(drives.max()) <= 7.5e-3


def test_a_network_learns_a_task_that_is_not_linearly_separable():
    """The parity of two successive pulses: a network of five devices, trained with Adam."""
    torch.manual_seed(0)
    bits = torch.randint(2, (64, 2), generator=generator())
    x = (2.0 * bits - 1).double().repeat_interleave(2, 1).unsqueeze(-1)
    parity = bits.sum(1) % 2
    oscillators, head = network(5, 1, spread=5e-4, hold=3), nn.Linear(5, 2, dtype=torch.float64)
    groups = [{"params": oscillators.parameters(), "lr": 1e-4}, {"params": head.parameters(), "lr": 0.05}]
    optimizer = torch.optim.Adam(groups)
    for _ in range(150):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(head(10 * (oscillators(x)[:, -1] - 0.35)), parity)
        loss.backward()
        optimizer.step()
    assert float((head(10 * (oscillators(x)[:, -1] - 0.35)).argmax(1) == parity).double().mean()) == 1


class Limited(SpinTorqueOscillator):
    """An oscillator that is valid up to 7 mA only."""

    def step_block(self, memory, drive, *, generator=None):
        return replace(super().step_block(memory, drive, generator=generator), outside=drive[..., 0] > 7e-3)


def test_a_device_that_leaves_its_domain_warns_once():
    oscillators = OscillatorNetwork(Limited(interval=100e-9), 2, 1, bias=6.5e-3, output="V")
    with torch.no_grad():
        oscillators.input_weight.copy_(torch.tensor([[1e-3], [-1e-3]]))
    x = torch.tensor([[0.1], [0.2], [0.6], [0.8]])
    with pytest.warns(DomainWarning, match=r"25\.0% of the steps lie outside .* of the network") as caught:
        oscillators(x)
    assert len(caught) == 1
    assert oscillators.outside == 0.25
    oscillators(x)  # warnings are errors here: there is no second one


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 0}, "size is 0"),
        ({"bias": math.nan}, "bias is nan"),
        ({"output": None}, "output is None; the device has V, phase"),
        ({"limits": (7e-3, 8e-3)}, "limits are"),
        ({"hold": 0}, "hold is 0"),
        ({"spread": -1.0}, r"spread is -1.0; expected a finite number of at least 0"),
        ({"limits": "x"}, "limits are 'x'"),
        ({"size": 10**6}, "the couplings would have 1000000 rows times 1000000 columns"),
        ({"seed": -1}, "seed is -1; expected a whole number from 0 to 4294967295"),
    ],
)
def test_invalid_networks_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        network(**settings)


def test_invalid_inputs_are_refused():
    with pytest.raises(ConfigError, match="expected a fitted Surrogate"):
        OscillatorNetwork("oscillator", 3, 1, bias=1.0)
    with pytest.raises(ConfigError, match="the input is None; expected a tensor or array"):
        network()(None)
    with pytest.raises(ConfigError, match="has shape"):
        network()(torch.ones(3))
    with pytest.raises(ConfigError, match="NaN"):
        network()(torch.full((3, 2), math.nan))
