"""Networks of oscillators: their equation, their gradients, and a task that they learn."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from spinode.datasets import SpinTorqueOscillator
from spinode.errors import ConfigError
from spinode.surrogates import OscillatorNetwork

DEVICE = SpinTorqueOscillator(interval=100e-9, substeps=2, scale=1.0)


def network(size=3, inputs=2, **settings):
    given = {
        "bias": 6.5e-3,
        "spread": 2e-4,
        "input_scale": 1e-3,
        "coupling_scale": 2e-3,
        "rest": 0.3,
        "output": "V",
        **settings,
    }
    return OscillatorNetwork(DEVICE, size, inputs, **given)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_devices_are_driven_by_bias_input_and_each_other():
    made = network(hold=2)
    x = torch.rand(4, 2, generator=generator(), dtype=torch.float64)
    memory, late, expected = DEVICE.initial_state(made.bias[:, None]), torch.full((3,), 0.3, dtype=torch.float64), []
    for now in x:
        drive = made.bias + made.input_weight @ now + made.coupling @ (late - 0.3)
        answer = DEVICE.step_block(memory, drive[:, None, None].expand(3, 2, 1))
        memory, late = answer.memory, answer.output[:, -1, 0]
        expected.append(late)
    torch.testing.assert_close(made(x), torch.stack(expected))
    batch = torch.stack([x, 2 * x])
    torch.testing.assert_close(made(batch)[1], made(2 * x))


def test_gradients_in_couplings_and_operating_points():
    made = network()
    x = torch.rand(3, 2, generator=generator(), dtype=torch.float64)
    scales = (1e-3, 1e-3, 1e-3)

    def loss(*scaled):
        names = ("bias", "input_weight", "coupling")
        values = {name: value * scale for name, value, scale in zip(names, scaled, scales, strict=True)}
        return torch.func.functional_call(made, values, (x,)).square().sum()

    start = [(value / scale).detach().requires_grad_() for value, scale in zip(made.parameters(), scales, strict=True)]
    assert torch.autograd.gradcheck(loss, start)


def test_limits_bend_the_drive_and_nothing_leaves_them():
    made = network(limits=(5.5e-3, 7.5e-3), input_scale=1.0)
    seen = []

    class Watched:
        interval, drives, outputs = DEVICE.interval, DEVICE.drives, DEVICE.outputs

        def initial_state(self, drive, *, generator=None):
            return DEVICE.initial_state(drive)

        def step_block(self, memory, drive, *, generator=None):
            seen.append(drive.detach())
            return DEVICE.step_block(memory, drive)

    made.device = Watched()
    made(torch.randn(20, 2, generator=generator(), dtype=torch.float64))
    drives = torch.cat([each.flatten() for each in seen])
    assert 5.5e-3 <= float(drives.min()) < float(drives.max()) <= 7.5e-3


def test_it_learns_what_a_linear_readout_of_its_input_cannot():
    """The parity of two pulses in turn: a network of five, trained through, with Adam."""
    torch.manual_seed(0)
    bits = torch.randint(2, (64, 2), generator=generator())
    x = (2.0 * bits - 1).double().repeat_interleave(2, 1).unsqueeze(-1)
    wanted = bits.sum(1) % 2
    made, head = network(5, 1, spread=5e-4, hold=3), nn.Linear(5, 2, dtype=torch.float64)
    groups = [{"params": made.parameters(), "lr": 1e-4}, {"params": head.parameters(), "lr": 0.05}]
    optimizer = torch.optim.Adam(groups)
    for _ in range(150):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(head(10 * (made(x)[:, -1] - 0.35)), wanted)
        loss.backward()
        optimizer.step()
    assert float((head(10 * (made(x)[:, -1] - 0.35)).argmax(1) == wanted).double().mean()) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 0}, "size is 0"),
        ({"bias": math.nan}, "bias is nan"),
        ({"output": None}, "output is None; the device has V, phase"),
        ({"limits": (7e-3, 8e-3)}, "limits are"),
        ({"hold": 0}, "hold is 0"),
    ],
)
def test_networks_that_cannot_be(settings, message):
    with pytest.raises(ConfigError, match=message):
        network(**settings)


def test_inputs_that_cannot_be():
    with pytest.raises(ConfigError, match="expected a fitted Surrogate"):
        OscillatorNetwork("oscillator", 3, 1, bias=1.0)
    with pytest.raises(ConfigError, match="has shape"):
        network()(torch.ones(3))
    with pytest.raises(ConfigError, match="NaN"):
        network()(torch.full((3, 2), math.nan))
