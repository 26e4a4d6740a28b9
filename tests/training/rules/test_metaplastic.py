"""`MetaplasticAdam` against Adam, its equation, and resumed from its state."""

from __future__ import annotations

import math

import pytest
import torch

from spinode.errors import ConfigError
from spinode.training import MetaplasticAdam


def parameter(*values):
    return torch.nn.Parameter(torch.tensor([values], dtype=torch.float64))


def descend(optimiser, weight, gradients):
    for gradient in gradients:
        weight.grad = gradient.clone()
        optimiser.step()
    return weight.detach().clone()


def gradients(shape, steps, seed=0):
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=g, dtype=torch.float64) for _ in range(steps)]


@pytest.mark.parametrize("interval", [None, (0.5, 5)])
def test_m_zero_equals_adam(interval):
    start, steps = gradients((4, 5), 1, seed=1)[0], gradients((4, 5), 30)
    settings = {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    mine = descend(MetaplasticAdam([ours], m=0.0, interval=interval, **settings), ours, steps)
    torch.testing.assert_close(mine, descend(torch.optim.Adam([theirs], **settings), theirs, steps), rtol=1e-12, atol=1e-12)


def test_parameters_of_one_dimension_take_plain_adam():
    start, steps = gradients((6,), 1, seed=1)[0], gradients((6,), 10)
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    mine = descend(MetaplasticAdam([ours], lr=0.1, m=5.0, interval=(0.3, 4)), ours, steps)
    torch.testing.assert_close(mine, descend(torch.optim.Adam([theirs], lr=0.1), theirs, steps), rtol=1e-12, atol=1e-12)


def test_steps_towards_zero_are_damped_and_steps_away_are_not():
    """The first step of Adam is the rate times minus the sign of the gradient."""
    rate, m = 0.01, 1.7
    weight = parameter(0.8, 0.8, -0.8, -0.8)
    before = weight.detach().clone()
    after = descend(MetaplasticAdam([weight], lr=rate, m=m, eps=0.0), weight, [torch.tensor([[1.0, -1.0, -1.0, 1.0]]).double()])
    damped = rate * (1 - math.tanh(m * 0.8) ** 2)
    expected = torch.tensor([[-damped, rate, damped, -rate]], dtype=torch.float64)
    torch.testing.assert_close(after - before, expected, rtol=1e-9, atol=0)


def test_the_distance_is_in_units_of_half_the_spacing():
    """Levels -1, -1/3, 1/3, 1; transitions -2/3, 0, 2/3. The weight 0.5 lies 1/6 below 2/3: half of half the spacing."""
    rate, m, spacing = 0.01, 1.7, 2 / 3
    damped = rate * (1 - math.tanh(m * (1 / 6) * 2 / spacing) ** 2)
    for gradient, moved in ((-1.0, damped), (1.0, -rate)):
        weight = parameter(0.5)
        optimiser = MetaplasticAdam([weight], lr=rate, m=m, eps=0.0, interval=(spacing, 4))
        after = descend(optimiser, weight, [torch.tensor([[gradient]], dtype=torch.float64)])
        assert float(after) - 0.5 == pytest.approx(moved, rel=1e-9)


def test_two_levels_equal_the_binary_rule():
    start, steps = gradients((4, 5), 1, seed=1)[0], gradients((4, 5), 30)
    binary, levels = (torch.nn.Parameter(start.clone()) for _ in range(2))
    one = descend(MetaplasticAdam([binary], lr=0.05, m=2.0), binary, steps)
    two = descend(MetaplasticAdam([levels], lr=0.05, m=2.0, interval=(2.0, 2)), levels, steps)
    torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-12)
    assert float((one - start).abs().max()) > 0.1


def test_groups_may_have_different_m():
    steps = gradients((3, 3), 5)
    start = torch.full((3, 3), 0.7, dtype=torch.float64)
    both = [torch.nn.Parameter(start.clone()) for _ in range(2)]
    optimiser = MetaplasticAdam([{"params": [both[0]], "m": 0.0}, {"params": [both[1]], "m": 4.0}], lr=0.05)
    for step in steps:
        for each in both:
            each.grad = step.clone()
        optimiser.step()
    for each, m in zip(both, (0.0, 4.0), strict=True):
        alone = torch.nn.Parameter(start.clone())
        assert torch.equal(descend(MetaplasticAdam([alone], lr=0.05, m=m), alone, steps), each.detach())
    assert not torch.equal(*both)


def test_it_resumes_from_its_state():
    steps = gradients((3, 4), 20)
    settings = {"lr": 0.05, "m": 1.35, "interval": (0.5, 4)}
    whole, halves = (torch.nn.Parameter(torch.full((3, 4), 0.2, dtype=torch.float64)) for _ in range(2))
    descend(MetaplasticAdam([whole], **settings), whole, steps)
    first = MetaplasticAdam([halves], **settings)
    descend(first, halves, steps[:9])
    second = MetaplasticAdam([halves], **settings)
    second.load_state_dict(first.state_dict())
    descend(second, halves, steps[9:])
    assert torch.equal(whole, halves)


def test_closure_and_parameters_without_gradient():
    weight, still = parameter(0.5, -0.5), parameter(1.0)

    def closure():
        loss = weight.square().sum()
        weight.grad = None
        loss.backward()
        return loss

    assert MetaplasticAdam([weight, still], lr=0.1).step(closure).item() == 0.5
    assert weight.abs().max().item() < 0.5
    assert still.item() == 1.0


@pytest.mark.parametrize("name", ["lr", "eps", "weight_decay", "m"])
@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf, "2", True])
def test_settings_out_of_range(name, value):
    with pytest.raises(ConfigError, match=rf"{name} is .*expected a finite number of at least 0"):
        MetaplasticAdam([parameter(1.0)], **{name: value})


@pytest.mark.parametrize("interval", [(0.0, 4), (0.5, 1), (-1.0, 4), (0.5,)])
def test_intervals_out_of_range(interval):
    with pytest.raises(ConfigError, match="interval"):
        MetaplasticAdam([parameter(1.0)], interval=interval)
