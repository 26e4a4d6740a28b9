"""Reservoirs: node states against the closed form of a leaky device, domain warnings, and the node of reservoirpy."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import torch

from spinode.contracts.driven_device import Response
from spinode.datasets import capacity, delayed, random_bits
from spinode.errors import ConfigError, DomainWarning
from spinode.surrogates import Feedback, Reservoir, RidgeStatistics, mask, reservoirpy_node


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


class Leaky(torch.nn.Module):
    """A device with y(t + dt) = a y(t) + (1 - a) u(t), valid for |u| <= limit. A second drive is added to the first."""

    interval = 1e-9
    outputs = ("y", "minus")

    def __init__(self, keep=0.5, drives=("u",), limit=math.inf):
        super().__init__()
        self.keep, self.drives, self.limit = keep, drives, limit

    def initial_state(self, drive, *, generator=None):
        return drive.sum(-1)

    def step_block(self, memory, drive, *, generator=None):
        out = []
        for u in drive.sum(-1).unbind(-1):
            memory = self.keep * memory + (1 - self.keep) * u
            if generator is not None:
                memory = memory + 0.01 * torch.randn(memory.shape, generator=generator, dtype=memory.dtype)
            out.append(memory)
        y = torch.stack(out, -1)
        return Response(torch.stack([y, -y], -1), memory, drive.sum(-1).abs() > self.limit)


def reservoir(**settings):
    return Reservoir(**{"device": Leaky(), "nodes": 5, "hold": 3e-9, "scale": 0.5, "offset": 0.2, "output": "y", **settings})


# States


def test_nodes_are_the_outputs_at_the_end_of_each_hold():
    network = reservoir()
    x = torch.rand(4, generator=generator(), dtype=torch.float64)
    y, expected = 0.2, []
    for value in x.tolist():
        for weight in network.mask[0, :, 0].tolist():
            u = 0.2 + 0.5 * weight * value
            y = u + (y - u) * 0.5**3
            expected.append(y)
    torch.testing.assert_close(network(x).flatten(), torch.tensor(expected, dtype=torch.float64))
    assert network.outside == 0
    assert network.drive_range(x) == (
        float((0.2 + 0.5 * x[:, None] * network.mask[0].T).min()),
        float((0.2 + 0.5 * x[:, None] * network.mask[0].T).max()),
    )


def test_feedback_adds_the_delayed_output():
    network = reservoir(feedback=Feedback(delay=6, gain=0.7, rest=0.1))
    x = torch.rand(7, generator=generator(), dtype=torch.float64)
    y, seen = 0.2, [0.1] * 6
    for value in x.tolist():
        for weight in network.mask[0, :, 0].tolist():
            u = 0.2 + 0.5 * weight * value + 0.7 * (seen[-6] - 0.1)
            y = u + (y - u) * 0.5**3
            seen.append(y)
    torch.testing.assert_close(network(x).flatten(), torch.tensor(seen[6:], dtype=torch.float64))
    torch.testing.assert_close(torch.cat(list(network.stream(x, block=2))), network(x), rtol=0, atol=0)


def test_blocks_batches_and_devices_are_independent():
    """Up to rounding: a matrix product of another size may add up in another order."""
    one = reservoir(mask="normal", inputs=2)
    x = torch.randn(3, 20, 2, generator=generator(), dtype=torch.float64)
    whole = one(x)
    torch.testing.assert_close(torch.cat(list(one.stream(x, block=7)), 1), whole, rtol=0, atol=1e-14)
    torch.testing.assert_close(torch.stack([one(each) for each in x]), whole, rtol=0, atol=1e-14)
    pair = reservoir(device=[Leaky(), Leaky(0.9)], mask="normal", inputs=2)
    states = pair(x)
    assert states.shape == (3, 20, 10)
    torch.testing.assert_close(states[..., :5], whole, rtol=0, atol=1e-14)
    alone = reservoir(device=Leaky(0.9), mask="normal", inputs=2, seed=1)
    torch.testing.assert_close(states[..., 5:], alone(x), rtol=0, atol=1e-14)


def test_other_drives_are_constant_and_other_outputs_are_read():
    x = torch.rand(6, generator=generator(), dtype=torch.float64)
    two = reservoir(device=Leaky(drives=("u", "bias")), drive="u", others={"bias": 0.3}, output="minus")
    torch.testing.assert_close(two(x), -reservoir(offset=0.5)(x))


@pytest.fixture
def leaving():
    """A reservoir, an input that carries its device out of the domain |u| <= 2, and which nodes are outside."""
    network = reservoir(device=Leaky(limit=2.0), scale=2.0, offset=0.0, mask=torch.tensor([0.1, 0.5, 1.0, -1.0, 2.0]))
    x = torch.tensor([0.5, 1.5, 3.0], dtype=torch.float64)
    outside = torch.tensor([[0, 0, 0, 0, 0], [0, 0, 1, 1, 1], [0, 1, 1, 1, 1]]).bool()
    return network, x, outside


def test_a_device_that_leaves_its_domain_warns_once(leaving):
    network, x, _ = leaving
    with pytest.warns(DomainWarning, match=r"46\.7% of the steps lie outside .*extrapolation") as caught:
        network(x)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert network.outside == pytest.approx(7 / 15)
    network(x)  # warnings are errors here: there is no second one
    assert network(0.1 * x).shape == (3, 5)
    assert network.outside == 0


def test_the_mask_of_states_outside_the_domain_is_kept(leaving):
    network, x, outside = leaving
    with pytest.warns(DomainWarning):
        states = network(x)
    assert network.outside_mask.shape == states.shape
    assert torch.equal(network.outside_mask, outside)
    for index, _ in enumerate(network.stream(x, block=1)):
        assert torch.equal(network.outside_mask, outside[index : index + 1])
    pair = reservoir(device=[Leaky(limit=2.0), Leaky(0.9, limit=2.0)], mask=network.mask[0], scale=2.0, offset=0.0)
    with pytest.warns(DomainWarning):
        pair(x.expand(4, 3)[..., None])
    assert torch.equal(pair.outside_mask, torch.cat([outside, outside], -1).expand(4, 3, 10))


@pytest.mark.parametrize("feedback", [2, 5, 7])
def test_the_mask_covers_runs_with_feedback(feedback, leaving):
    network, x, outside = leaving
    fed = reservoir(device=Leaky(limit=2.0), mask=network.mask[0], scale=2.0, offset=0.0, feedback=Feedback(feedback, 0.0))
    with pytest.warns(DomainWarning):
        fed(x)
    assert torch.equal(fed.outside_mask, outside)


@pytest.mark.parametrize(
    "run", [lambda network, x: list(network.stream(x, block=2)), lambda n, x: n.continue_runs(n.start(), x)]
)
def test_runs_in_blocks_warn_as_well(leaving, run):
    network, x, _ = leaving
    with pytest.warns(DomainWarning, match="of the steps lie outside the domain that the device of the reservoir") as caught:
        run(network, x)
    assert len(caught) == 1


def test_noise_comes_from_the_generator():
    network, x = reservoir(), torch.rand(6, generator=generator(), dtype=torch.float64)
    one, two, three = (network(x, generator=generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, three)


def test_mask_and_scale_can_be_trained():
    network = reservoir(trained=("mask", "scale"), feedback=Feedback(6, 0.3))
    assert [name for name, _ in network.named_parameters()] == ["mask", "scale"]
    x = torch.rand(3, generator=generator(), dtype=torch.float64)

    def loss(mask, scale):
        return torch.func.functional_call(network, {"mask": mask, "scale": scale}, (x,)).square().sum()

    assert torch.autograd.gradcheck(loss, (network.mask, network.scale))


def test_feedback_between_nodes_lengthens_the_memory():
    """Memory capacity for bits: without feedback a fast device knows the last input; fed back by nodes + 1, several."""

    def memory(network):
        u = random_bits(1500, generator=generator())
        states, targets = network(u), delayed(u, 12)
        sums = RidgeStatistics(network.width, 12)
        sums.add(states[100:1000], targets[100:1000])
        return float(capacity(sums.solve()(states[1000:]), targets[1000:]).sum())

    settings = {"nodes": 20, "hold": 1e-9, "mask": "uniform"}
    alone, ring = memory(reservoir(**settings)), memory(reservoir(**settings, feedback=Feedback(21, 0.9)))
    assert alone < 4
    assert ring > alone + 4


def test_a_node_of_reservoirpy_continues_and_can_be_reset():
    nodes = pytest.importorskip("reservoirpy.nodes", reason="reservoirpy is not installed: pip install 'spinode[reservoirpy]'")
    network = reservoir(feedback=Feedback(6, 0.3))
    x = torch.rand(40, 1, generator=generator(), dtype=torch.float64)
    node = reservoirpy_node(network)
    parts = [node.run(x[:13].numpy()), np.stack([node(each) for each in x[13:16].numpy()]), node.run(x[16:].numpy())]
    np.testing.assert_allclose(np.concatenate(parts), network(x).numpy())
    node.reset()
    np.testing.assert_allclose(node.run(x[:5].numpy()), network(x)[:5].numpy())
    model = reservoirpy_node(network) >> nodes.Ridge(ridge=1e-8)
    y = np.roll(x.numpy(), 1, 0)
    assert model.fit(x.numpy(), y, warmup=5).run(x.numpy()).shape == (40, 1)


def test_reservoirpy_is_not_needed(monkeypatch):
    monkeypatch.setitem(sys.modules, "reservoirpy.node", None)
    with pytest.raises(ConfigError, match=r"pip install 'spinode\[reservoirpy\]'"):
        reservoirpy_node(reservoir())


# Invalid arguments


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"device": "skyrmion"}, "device is 'skyrmion'; expected a fitted Surrogate"),
        ({"device": []}, "expected a fitted Surrogate"),
        ({"mask": torch.ones(4, 1)}, r"the mask has shape \(4, 1\); expected \(nodes, inputs\) with 5 nodes"),
        ({"mask": torch.full((5,), math.nan)}, "mask contains NaN"),
        ({"mask": "cosine"}, "the kind of the mask is 'cosine'; expected one of binary, uniform, normal"),
        ({"nodes": 0}, "nodes is 0"),
        ({"hold": 0.5e-9}, "expected a multiple of it"),
        ({"hold": 0.0}, "expected a multiple of it"),
        ({"output": None}, "output is None; the device has y, minus"),
        ({"drive": "J"}, "drive is 'J'; the device has u"),
        ({"others": {"bias": 1.0}}, "others has bias; the device's other drives are none"),
        ({"trained": ("hold",)}, "trained is"),
        ({"scale": math.inf}, "scale is inf; expected a finite number"),
        ({"scale": None}, "scale is None; expected a finite number"),
        ({"offset": "x"}, "offset is 'x'; expected a finite number"),
        ({"offset": True}, "offset is True; expected a finite number"),
        ({"feedback": -1}, r"feedback is -1; expected a Feedback\(delay=..., gain=...\), or None"),
        ({"hold": 1e300}, r"hold is 1e\+300; expected a finite number of at most"),
        ({"mask": None}, "mask is None; expected a tensor or array of real numbers"),
        ({"trained": "mask"}, "trained is 'mask'; expected a tuple of some of mask, scale, offset"),
        ({"others": 3}, "others is 3; expected constant values by the names of drives"),
        ({"nodes": 10**30, "mask": "binary"}, "expected a whole number from 1 to 1000000000"),
        ({"seed": 2**64, "mask": "binary"}, "seed is 18446744073709551616; expected a whole number from 0 to 4294967295"),
    ],
)
def test_invalid_reservoirs_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        reservoir(**settings)


def test_invalid_inputs_are_refused():
    network = reservoir()
    for x, message in (
        (torch.ones(3, 2), r"\(3, 2\); expected \(\.\.\., time, 1\)"),
        (torch.ones(0), "has shape"),
        (torch.tensor([1, math.nan]), "NaN"),
        (None, "the input is None; expected a tensor or array"),
        ("x", "the input is a str; expected a tensor or array"),
    ):
        with pytest.raises(ConfigError, match=message):
            network(x)
    for delay, gain in ((0, 1.0), (1.5, 1.0), (3, math.nan)):
        with pytest.raises(ConfigError, match=r"delay|gain"):
            Feedback(delay, gain)


def test_masks_have_the_kinds_that_they_are_named_after():
    assert mask("binary", 4, 3).unique().tolist() == [-1.0, 1.0]
    assert bool(((mask("uniform", 400).abs() <= 1) & (mask("uniform", 400) != 0)).all())
    assert np.isfinite(mask("normal", 4).numpy()).all()
