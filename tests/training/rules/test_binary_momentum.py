"""Flips by averaged gradients: the equation, blocks, scales, state, and what is refused."""

from __future__ import annotations

import pytest
import torch

from spinode.errors import ConfigError
from spinode.training import BinaryMomentum


def test_steps_equal_the_written_rule_over_several_blocks():
    source = torch.Generator().manual_seed(0)
    weight = torch.nn.Parameter(torch.where(torch.rand(300, 250, generator=source) < 0.5, -1.0, 1.0))  # three blocks
    signs, average, flips = weight.detach().clone(), torch.zeros(300, 250), 0
    optimizer = BinaryMomentum([weight], gamma=0.2, threshold=0.3)
    for _ in range(5):
        weight.grad = torch.randn(300, 250, generator=source)
        average = 0.8 * average + 0.2 * weight.grad
        opposed = signs * average > 0.3
        signs = torch.where(opposed, -signs, signs)
        flips += int(opposed.sum())
        optimizer.step()
        assert torch.equal(weight.detach(), signs)
    assert optimizer.flips == [flips]
    assert flips > 0


def test_average_survives_a_flip():
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = BinaryMomentum([weight], gamma=0.5, threshold=0.1)
    for gradient, expected in ((1.0, -1.0), (-0.4, -1.0), (-1.0, 1.0)):  # averages 0.5, 0.05, -0.475
        weight.grad = torch.full((1,), gradient)
        optimizer.step()
        assert weight.item() == expected


def test_scales_take_a_step_that_contains_them():
    scale = torch.nn.Parameter(torch.tensor(0.5))
    optimizer = BinaryMomentum([{"params": [scale], "scale": True, "rate": 0.1}])
    scale.grad = torch.tensor(2.0)
    optimizer.step()
    assert scale.item() == pytest.approx(0.5 - 0.1 * 0.5 * 0.5 * 2.0)


def test_state_is_restored():
    weights = [torch.nn.Parameter(torch.ones(4)) for _ in range(2)]
    first, second = (BinaryMomentum([weight], gamma=0.5, threshold=10.0) for weight in weights)
    weights[0].grad = torch.ones(4)
    first.step()
    second.load_state_dict(first.state_dict())
    assert torch.equal(second.state[weights[1]]["momentum"], torch.full((4,), 0.5))


def test_bad_settings_and_weights_are_refused():
    with pytest.raises(ConfigError, match="besides -1 and 1; pass weight"):
        BinaryMomentum([torch.nn.Parameter(torch.tensor([0.5]))])
    with pytest.raises(ConfigError, match="gamma is 2"):
        BinaryMomentum([torch.nn.Parameter(torch.ones(1))], gamma=2.0)
