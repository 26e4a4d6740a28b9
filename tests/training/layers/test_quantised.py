"""Binary and quantised layers: quantised weights and gradients."""

from __future__ import annotations

import pytest
import torch

from spinode.errors import ConfigError
from spinode.training import BinaryLinear, QuantisedActivation, QuantisedLinear, SignActivation


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_binary_layer_sees_signs_and_one_for_zero():
    layer = BinaryLinear(3, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.1, -0.2, 0.0], [-3.0, 1e-30, -1e-30]]))
    assert torch.equal(layer(torch.eye(3)), torch.tensor([[1.0, -1.0, 1.0], [-1.0, 1.0, -1.0]]).T)


@pytest.mark.parametrize("levels", [3, 4, 8])
def test_quantised_layer_sees_the_nearest_level(levels):
    layer = QuantisedLinear(50, 20, levels=levels, init_width=4.0, generator=torch.Generator().manual_seed(0))
    grid = torch.linspace(-1, 1, levels)
    nearest = grid[(layer.weight.detach()[..., None] - grid).abs().argmin(-1)]
    torch.testing.assert_close(layer.quantised(), nearest)
    assert len(layer.quantised().unique()) == levels


def test_two_levels_equal_the_binary_layer():
    binary, levels = (
        cls(5, 4, init_width=1.0, generator=torch.Generator().manual_seed(3), **more)
        for cls, more in ((BinaryLinear, {}), (QuantisedLinear, {"levels": 2}))
    )
    assert torch.equal(binary(draw(6, 5)), levels(draw(6, 5)))
    assert binary.interval is levels.interval is None


@pytest.mark.parametrize("levels", [2, 5])
def test_gradients_equal_those_of_a_linear_layer_with_the_seen_weights(levels):
    layer = QuantisedLinear(5, 4, levels=levels, init_width=3.0, generator=torch.Generator().manual_seed(1))
    quantised = layer.quantised().clone().requires_grad_()
    x, other = draw(7, 5).requires_grad_(), draw(7, 5).requires_grad_()
    (layer(x).sin()).sum().backward()
    (torch.nn.functional.linear(other, quantised).sin()).sum().backward()
    torch.testing.assert_close(layer.weight.grad, quantised.grad)
    torch.testing.assert_close(x.grad, other.grad)
    assert bool(layer.weight.grad.any())


def test_sign_activation_passes_gradients_between_minus_one_and_one():
    x = torch.tensor([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 1.001], requires_grad=True)
    y = SignActivation()(x)
    y.backward(torch.arange(1.0, 8.0))
    assert y.tolist() == [-1, -1, -1, 1, 1, 1, 1]
    assert x.grad.tolist() == [0, 2, 3, 4, 5, 6, 0]


@pytest.mark.parametrize("bits", [1, 2, 5])
def test_quantised_activation_rounds_a_bounded_relu(bits):
    x = torch.linspace(-1, 3, 1001, dtype=torch.float64).requires_grad_()
    y = QuantisedActivation(bits)(x)
    step = 2 / (2**bits - 1)
    assert len(y.unique()) == 2**bits
    assert float((y - x.clamp(0, 2)).detach().abs().max()) <= step / 2 + 1e-12
    torch.testing.assert_close(y / step, (y / step).round(), rtol=0, atol=1e-12)
    y.sum().backward()
    assert torch.equal(x.grad, ((x > 0) & (x <= 2)).double())


@pytest.mark.parametrize(("levels", "places"), [(2, [0.0]), (3, [-0.5, 0.5]), (4, [0.0]), (5, [-0.25, 0.25])])
def test_initial_weights_begin_at_the_inner_transitions(levels, places):
    weight = QuantisedLinear(50, 20, levels=levels, generator=torch.Generator().manual_seed(0)).weight.detach()
    distance = (weight[..., None] - torch.tensor(places)).abs()
    h = 1 / (levels - 1)
    assert 0.045 * h < float(distance.min(-1).values.max()) <= 0.05 * h
    assert distance.argmin(-1).unique().tolist() == list(range(len(places)))


def test_initial_weights_at_all_transitions_are_equally_many():
    generator = torch.Generator().manual_seed(0)
    weight = QuantisedLinear(200, 100, levels=8, init_at="all", init_width=1e-3, generator=generator).weight.detach()
    places = torch.linspace(-6 / 7, 6 / 7, 7)
    distance = (weight[..., None] - places).abs()
    assert float(distance.min(-1).values.max()) <= 1e-3
    counts = distance.argmin(-1).flatten().bincount(minlength=7)
    # 20 000 draws of seven equal places: chi squared of six degrees of freedom, beyond 22.5 once in a thousand seeds.
    assert float(((counts - 20000 / 7) ** 2 / (20000 / 7)).sum()) < 22.5


def test_initial_weights():
    weight = QuantisedLinear(200, 100, levels=8, init_width=0.5, generator=torch.Generator().manual_seed(0)).weight.detach()
    assert 0.249 < float(weight.abs().max()) <= 0.25
    assert float(weight.var()) == pytest.approx(0.5**2 / 12, rel=0.03)


@pytest.mark.parametrize("levels", [1, 0, -2, 2.5, True, "8"])
def test_levels_out_of_range(levels):
    with pytest.raises(ConfigError, match=r"levels is .*expected a whole number of at least 2"):
        QuantisedLinear(3, 2, levels=levels)


@pytest.mark.parametrize("width", [0.0, -1.0, float("nan"), float("inf")])
def test_widths_out_of_range(width):
    with pytest.raises(ConfigError, match="init_width is"):
        BinaryLinear(3, 2, init_width=width)
