"""Reservoirs: node states against runs by hand, read-outs against least squares, memory of what is known."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import torch

from spinode.contracts.driven_device import Response
from spinode.datasets import capacity, delayed, narma, random_bits
from spinode.errors import ConfigError
from spinode.surrogates import EchoState, Feedback, LinearNodes, Reservoir, RidgeStatistics, TanhNodes, mask, reservoirpy_node


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


class Leaky(torch.nn.Module):
    """y(t + dt) = a y(t) + (1 - a) u(t): known in closed form. A second drive is added to the first."""

    interval = 1e-9
    outputs = ("y", "minus")

    def __init__(self, keep=0.5, drives=("u",)):
        super().__init__()
        self.keep, self.drives = keep, drives

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
        return Response(torch.stack([y, -y], -1), memory, drive.sum(-1).abs() > 2)


def reservoir(**settings):
    return Reservoir(**{"device": Leaky(), "nodes": 5, "hold": 3e-9, "scale": 0.5, "offset": 0.2, "output": "y", **settings})


# States


def test_nodes_are_the_answers_at_the_end_of_each_hold():
    made = reservoir()
    x = torch.rand(4, generator=generator(), dtype=torch.float64)
    y, expected = 0.2, []
    for value in x.tolist():
        for weight in made.mask[0, :, 0].tolist():
            u = 0.2 + 0.5 * weight * value
            y = u + (y - u) * 0.5**3
            expected.append(y)
    torch.testing.assert_close(made(x).flatten(), torch.tensor(expected, dtype=torch.float64))
    assert made.outside == 0
    assert made.drive_range(x) == (
        float((0.2 + 0.5 * x[:, None] * made.mask[0].T).min()),
        float((0.2 + 0.5 * x[:, None] * made.mask[0].T).max()),
    )


def test_feedback_adds_the_late_output():
    made = reservoir(feedback=Feedback(delay=6, gain=0.7, rest=0.1))
    x = torch.rand(7, generator=generator(), dtype=torch.float64)
    y, seen = 0.2, [0.1] * 6
    for value in x.tolist():
        for weight in made.mask[0, :, 0].tolist():
            u = 0.2 + 0.5 * weight * value + 0.7 * (seen[-6] - 0.1)
            y = u + (y - u) * 0.5**3
            seen.append(y)
    torch.testing.assert_close(made(x).flatten(), torch.tensor(seen[6:], dtype=torch.float64))
    torch.testing.assert_close(torch.cat(list(made.stream(x, block=2))), made(x), rtol=0, atol=0)


def test_blocks_batches_and_devices_are_each_by_itself():
    one = reservoir(mask="normal", inputs=2)
    x = torch.randn(3, 20, 2, generator=generator(), dtype=torch.float64)
    whole = one(x)
    torch.testing.assert_close(torch.cat(list(one.stream(x, block=7)), 1), whole, rtol=0, atol=0)
    torch.testing.assert_close(torch.stack([one(each) for each in x]), whole, rtol=0, atol=1e-15)
    pair = reservoir(device=[Leaky(), Leaky(0.9)], mask="normal", inputs=2)
    states = pair(x)
    assert states.shape == (3, 20, 10)
    torch.testing.assert_close(states[..., :5], whole, rtol=0, atol=0)
    alone = reservoir(device=Leaky(0.9), mask="normal", inputs=2, seed=1)
    torch.testing.assert_close(states[..., 5:], alone(x), rtol=0, atol=0)
    assert pair.outside > 0


def test_other_drives_are_held_and_other_outputs_read():
    x = torch.rand(6, generator=generator(), dtype=torch.float64)
    two = reservoir(device=Leaky(drives=("u", "bias")), drive="u", others={"bias": 0.3}, output="minus")
    torch.testing.assert_close(two(x), -reservoir(offset=0.5)(x))


def test_noise_comes_from_the_generator():
    made, x = reservoir(), torch.rand(6, generator=generator(), dtype=torch.float64)
    one, two, three = (made(x, generator=generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, three)


def test_mask_and_scale_can_be_trained():
    made = reservoir(trained=("mask", "scale"), feedback=Feedback(6, 0.3))
    assert [name for name, _ in made.named_parameters()] == ["mask", "scale"]
    x = torch.rand(3, generator=generator(), dtype=torch.float64)

    def loss(mask, scale):
        return torch.func.functional_call(made, {"mask": mask, "scale": scale}, (x,)).square().sum()

    assert torch.autograd.gradcheck(loss, (made.mask, made.scale))


def test_a_node_of_reservoirpy_goes_on_and_begins_anew():
    nodes = pytest.importorskip("reservoirpy.nodes", reason="reservoirpy is not installed: pip install 'spinode[reservoirpy]'")
    made = reservoir(feedback=Feedback(6, 0.3))
    x = torch.rand(40, 1, generator=generator(), dtype=torch.float64)
    node = reservoirpy_node(made)
    parts = [node.run(x[:13].numpy()), np.stack([node(each) for each in x[13:16].numpy()]), node.run(x[16:].numpy())]
    np.testing.assert_allclose(np.concatenate(parts), made(x).numpy())
    node.reset()
    np.testing.assert_allclose(node.run(x[:5].numpy()), made(x)[:5].numpy())
    model = reservoirpy_node(made) >> nodes.Ridge(ridge=1e-8)
    y = np.roll(x.numpy(), 1, 0)
    assert model.fit(x.numpy(), y, warmup=5).run(x.numpy()).shape == (40, 1)


def test_reservoirpy_is_not_needed(monkeypatch):
    monkeypatch.setitem(sys.modules, "reservoirpy.node", None)
    with pytest.raises(ConfigError, match=r"pip install 'spinode\[reservoirpy\]'"):
        reservoirpy_node(reservoir())


# The read-out


def test_the_readout_is_that_of_least_squares():
    source = generator()
    states = torch.randn(300, 6, generator=source, dtype=torch.float64) + 3
    targets = states @ torch.randn(6, 2, generator=source, dtype=torch.float64) + torch.randn(
        300, 2, generator=source, dtype=torch.float64
    )
    sums = RidgeStatistics(6, 2, stretch=10)
    for at in (slice(0, 77), slice(77, 300)):
        sums.add(states[at], targets[at])
    found = sums.solve(0.0)
    rows = torch.cat([states, torch.ones(300, 1, dtype=torch.float64)], 1)
    expected = rows @ torch.linalg.lstsq(rows, targets).solution
    torch.testing.assert_close(found(states), expected)
    penalty = 0.1
    centred, wanted = states - states.mean(0), targets - targets.mean(0)
    gram = centred.T @ centred
    ridge = torch.linalg.solve(gram + penalty * gram.diagonal().mean() * torch.eye(6, dtype=torch.float64), centred.T @ wanted)
    torch.testing.assert_close(sums.solve(penalty).weight, ridge.T)


def test_the_regulariser_is_that_of_the_stretches_left_out():
    source = generator(1)
    states = torch.randn(120, 60, generator=source, dtype=torch.float64)
    targets = states[:, :1] + torch.randn(120, 1, generator=source, dtype=torch.float64)
    sums = RidgeStatistics(60, folds=4, stretch=5)
    sums.add(states, targets)
    chosen = sums.solve()
    folds = torch.arange(120) // 5 % 4

    def error(regulariser):
        total = 0.0
        for fold in range(4):
            part = RidgeStatistics(60)
            part.add(states[folds != fold], targets[folds != fold])
            total += float((part.solve(regulariser)(states[folds == fold]) - targets[folds == fold]).square().sum())
        return total

    assert error(chosen.regulariser) <= min(error(each) for each in (1e-3, 1e-2, 0.1, 1.0, 10.0)) + 1e-9
    spread = float((targets - targets.mean()).square().sum())
    assert float(chosen.validation) == pytest.approx(math.sqrt(error(chosen.regulariser) / spread))


def test_a_ring_of_nodes_remembers_more_than_one_device():
    """Memory of bits: alone, a fast device knows the last input; fed back by nodes + 1, several."""

    def memory(made):
        u = random_bits(1500, generator=generator())
        states, targets = made(u), delayed(u, 12)
        sums = RidgeStatistics(made.width, 12)
        sums.add(states[100:1000], targets[100:1000])
        return float(capacity(sums.solve()(states[1000:]), targets[1000:]).sum())

    settings = {"nodes": 20, "hold": 1e-9, "mask": "uniform"}
    alone, ring = memory(reservoir(**settings)), memory(reservoir(**settings, feedback=Feedback(21, 0.9)))
    assert alone < 4
    assert ring > alone + 4


def test_controls_are_what_they_say():
    u, y = narma(1200, generator=generator())

    def error(made):
        states = made(2 * u)
        sums = RidgeStatistics(made.width)
        sums.add(states[100:800], y[100:800])
        return float((sums.solve()(states[800:])[:, 0] - y[800:]).square().mean() / y[800:].var())

    linear, static, echo = (error(each) for each in (LinearNodes(), TanhNodes(100), EchoState(100, scale=0.3)))
    assert linear > 0.7
    assert static > 0.7  # neither knows the past
    assert echo < 0.5
    assert float(torch.linalg.eigvals(EchoState(50, radius=0.7).weight).abs().max()) == pytest.approx(0.7)


# At the door


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"device": "skyrmion"}, "device is 'skyrmion'; expected a fitted Surrogate"),
        ({"device": []}, "expected a fitted Surrogate"),
        ({"mask": torch.ones(4, 1)}, r"the mask has shape \(4, 1\); expected \(nodes, inputs\) with 5 nodes"),
        ({"mask": torch.full((5,), math.nan)}, "mask holds NaN"),
        ({"mask": "cosine"}, "the mask is 'cosine'"),
        ({"nodes": 0}, "nodes is 0"),
        ({"hold": 0.5e-9}, "expected a multiple of it"),
        ({"hold": 0.0}, "expected a multiple of it"),
        ({"output": None}, "output is None; the device has y, minus"),
        ({"drive": "J"}, "drive is 'J'; the device has u"),
        ({"others": {"bias": 1.0}}, "others has bias; the device's other drives are none"),
        ({"trained": ("hold",)}, "trained is"),
        ({"scale": math.inf}, "scale holds NaN or infinite"),
    ],
)
def test_reservoirs_that_cannot_be(settings, message):
    with pytest.raises(ConfigError, match=message):
        reservoir(**settings)


def test_inputs_that_cannot_be():
    made = reservoir()
    for x, message in (
        (torch.ones(3, 2), r"\(3, 2\); expected \(\.\.\., time, 1\)"),
        (torch.ones(0), "has shape"),
        (torch.tensor([1, math.nan]), "NaN"),
    ):
        with pytest.raises(ConfigError, match=message):
            made(x)
    for delay, gain in ((0, 1.0), (1.5, 1.0), (3, math.nan)):
        with pytest.raises(ConfigError, match=r"delay|gain"):
            Feedback(delay, gain)
    sums = RidgeStatistics(3)
    with pytest.raises(ConfigError, match="has seen 0 samples"):
        sums.solve()
    with pytest.raises(ConfigError, match=r"expected \(time, 3\)"):
        sums.add(torch.ones(4, 2), torch.ones(4))
    with pytest.raises(ConfigError, match="NaN"):
        sums.add(torch.full((4, 3), math.nan), torch.ones(4))
    sums.add(torch.rand(300, 3), torch.rand(300))
    with pytest.raises(ConfigError, match="regulariser is -1"):
        sums.solve(-1.0)
    with pytest.raises(ConfigError, match="expected 0"):
        EchoState(5, radius=3.0)
    assert mask("binary", 4, 3).unique().tolist() == [-1.0, 1.0]
    assert np.isfinite(mask("normal", 4).numpy()).all()
