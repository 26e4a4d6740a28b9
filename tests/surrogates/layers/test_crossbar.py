"""Layers with a crossbar: exact without effects and in the limit of many bits, and each effect as defined."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from spinode import ConfigError
from spinode.contracts.imperfections import own_imperfections
from spinode.datasets import TiO2, WeakReset
from spinode.surrogates import Crossbar, DeviceConv2d, DeviceLinear, IdealSynapse, to_devices
from spinode.surrogates.layers.crossbar import convert
from spinode.surrogates.layers.line_resistance import tiled


def linear(crossbar: Crossbar | None, synapse=None, **settings) -> DeviceLinear:
    return DeviceLinear(6, 4, synapse or TiO2(), crossbar=crossbar, seed=0, dtype=torch.float64, **settings)


def inputs(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("crossbar", [Crossbar(), Crossbar(tile=2), Crossbar(line_resistance=0.0)])
def test_a_crossbar_without_effects_changes_nothing(crossbar):
    assert torch.equal(linear(crossbar)(inputs(5, 6)), linear(None)(inputs(5, 6)))


def test_converters_of_many_bits_are_exact():
    exact = linear(None)(inputs(5, 6))
    errors = []
    for bits in (8, 16, 32):
        found = linear(Crossbar(dac_bits=bits, adc_bits=bits, tile=4))(inputs(5, 6))
        errors.append(float((found - exact).detach().abs().max()))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-8


def test_convolutions_pass_the_same_converters():
    settings = {"padding": 1, "stride": 2, "seed": 0, "dtype": torch.float64}
    exact = DeviceConv2d(2, 3, 3, IdealSynapse(), **settings)
    many = DeviceConv2d(2, 3, 3, IdealSynapse(), crossbar=Crossbar(dac_bits=40, adc_bits=40, tile=5), **settings)
    x = inputs(2, 2, 7, 7)
    torch.testing.assert_close(many(x), exact(x), rtol=0, atol=1e-9)


def test_a_converter_rounds_clips_and_passes_gradients_within_its_range():
    values = torch.tensor([-3.0, -0.4, 0.1, 0.3, 0.6, 2.0], requires_grad=True)
    found = convert(values, 3, 1.0)  # levels k / 3
    torch.testing.assert_close(found, torch.tensor([-3, -1, 0, 1, 2, 3]) / 3)
    found.sum().backward()
    assert values.grad.tolist() == [0, 1, 1, 1, 1, 0]
    levels = convert(torch.linspace(-1, 1, 1001), 4, None).unique()
    assert len(levels) == 2**4 - 1


def test_line_resistance_is_that_of_the_tiles():
    layer = linear(Crossbar(line_resistance=300.0, tile=(4, 3)))
    conductance = layer.weights.conductance(noisy=False)
    plus, minus = (tiled(each.T, 4, 3, 300.0).T for each in conductance)
    expected = functional.linear(inputs(5, 6), layer.weights.scale * (plus - minus), layer.bias)
    torch.testing.assert_close(layer(inputs(5, 6)), expected, rtol=1e-10, atol=1e-12)
    assert float((layer(inputs(5, 6)) - linear(None)(inputs(5, 6))).detach().abs().max()) > 1e-3


def test_line_resistance_follows_the_devices():
    layer = linear(Crossbar(line_resistance=300.0, refresh=100)).eval()
    layer(inputs(1, 6))
    layer.weights.program(torch.full((4, 6), 0.3, dtype=torch.float64))
    fresh = linear(Crossbar(line_resistance=300.0)).eval()
    fresh.weights.program(torch.full((4, 6), 0.3, dtype=torch.float64))
    torch.testing.assert_close(layer(inputs(1, 6)), fresh(inputs(1, 6)), rtol=0, atol=0)


def test_stuck_cells_have_their_share_and_stay():
    crossbar = Crossbar(stuck_low=0.2, stuck_high=0.1)
    layer = DeviceLinear(200, 100, IdealSynapse(), crossbar=crossbar, seed=0)
    assert float((layer.stuck == 1).double().mean()) == pytest.approx(0.2, abs=0.01)
    assert float((layer.stuck == 2).double().mean()) == pytest.approx(0.1, abs=0.01)
    everything = DeviceLinear(3, 2, IdealSynapse(), bias=False, crossbar=Crossbar(stuck_high=1.0), seed=0)
    assert everything(torch.ones(1, 3)).tolist() == [[0.0, 0.0]]  # G+ and G- are both at the upper end
    everything.weights.program(torch.full((2, 3), 0.5))
    assert everything(torch.ones(1, 3)).tolist() == [[0.0, 0.0]]


def test_stuck_cells_are_in_the_state_dict():
    crossbar = Crossbar(stuck_low=0.5)
    one = DeviceLinear(5, 4, IdealSynapse(), crossbar=crossbar, seed=0)
    other = DeviceLinear(5, 4, IdealSynapse(), crossbar=crossbar, seed=1)
    other.load_state_dict(one.state_dict())
    assert torch.equal(other(torch.ones(1, 5)), one(torch.ones(1, 5)))


def test_gradients_reach_weights_and_inputs():
    layer = linear(Crossbar(dac_bits=6, adc_bits=6, tile=3, line_resistance=100.0, stuck_low=0.1))
    x = inputs(5, 6).requires_grad_()
    layer(x).square().sum().backward()
    assert float(layer.weight.grad.abs().sum()) > 0
    assert float(x.grad.abs().sum()) > 0


def test_binary_weights_have_converters_and_stuck_cells():
    layer = linear(Crossbar(adc_bits=40, stuck_low=0.5), WeakReset(), kind="sign")
    assert set(layer.reading().abs().unique().tolist()) == {1.0}
    with pytest.raises(ConfigError, match="kind='sign'"):
        linear(Crossbar(line_resistance=1.0), WeakReset(), kind="sign")


def test_to_devices_passes_the_crossbar_on():
    model = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    converted, _ = to_devices(model, IdealSynapse(), crossbar=Crossbar(adc_bits=4), seed=0)
    assert converted[0].crossbar == converted[2].crossbar == Crossbar(adc_bits=4)


def test_each_effect_can_be_removed():
    crossbar = Crossbar(dac_bits=4, adc_bits=5, line_resistance=1.0, stuck_high=0.1, tile=32)
    own = own_imperfections(crossbar)
    assert list(own) == ["input converters", "output converters", "line resistance", "stuck cells"]
    for name in own:
        crossbar = own_imperfections(crossbar)[name]
    assert crossbar == Crossbar(tile=32)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"adc_bits": 1}, "adc_bits"),
        ({"dac_range": 0.0}, "dac_range"),
        ({"tile": 0}, "tile"),
        ({"line_resistance": -1.0}, "line_resistance"),
        ({"stuck_low": 0.6, "stuck_high": 0.6}, "stuck_high"),
        ({"refresh": 0}, "refresh"),
    ],
)
def test_invalid_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        Crossbar(**settings)


def test_line_resistance_needs_siemens_and_small_tiles():
    with pytest.raises(ConfigError, match="siemens"):
        linear(Crossbar(line_resistance=1.0), IdealSynapse())
    with pytest.raises(ConfigError, match="tile=128"):
        DeviceLinear(300, 2, TiO2(), crossbar=Crossbar(line_resistance=1.0), initial="devices", seed=0)
    with pytest.raises(ConfigError, match="expected a Crossbar"):
        linear({"adc_bits": 4})


def test_training_goes_on_from_a_state_dict_with_the_same_line_resistance():
    def step(layer):
        layer.weights.program(torch.full((4, 6), 0.01, dtype=torch.float64))
        return layer(inputs(5, 6)).detach()

    whole, resumed = (linear(Crossbar(line_resistance=300.0, refresh=4)) for _ in range(2))
    for _ in range(6):  # solved again at the fourth
        step(whole)
    resumed(inputs(5, 6))
    resumed.load_state_dict(whole.state_dict())
    assert all(torch.equal(step(resumed), step(whole)) for _ in range(6))


def test_other_devices_have_another_line_resistance():
    first, second = (linear(Crossbar(line_resistance=300.0, refresh=100)) for _ in range(2))
    first(inputs(5, 6))
    second.weights.program(torch.full((4, 6), 0.1, dtype=torch.float64))
    stored = {name: value for name, value in second.state_dict().items() if not name.startswith("line_drop")}
    first.load_state_dict(stored)
    assert torch.equal(first(inputs(5, 6)), second(inputs(5, 6)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("bits", [8, 18, 30])
def test_converters_in_half_precision_are_those_of_single_precision(dtype, bits):
    values, limit = torch.linspace(-1, 1, 41).to(dtype), 1e-3 if bits == 8 else None
    assert torch.equal(convert(values, bits, limit), convert(values.float(), bits, limit).to(dtype))


@pytest.mark.parametrize("tile", [4.0, (1, 2, 3), (None, 2), (), "a", True, (0, 2)])
def test_a_tile_of_another_form_is_refused(tile):
    with pytest.raises(ConfigError, match=r"tile is|a value of tile is"):
        Crossbar(tile=tile)


def test_a_tile_may_be_a_number_of_numpy_or_a_list():
    assert Crossbar(tile=np.int64(2)) == Crossbar(tile=2)
    assert Crossbar(tile=[2, 3]) == Crossbar(tile=(2, 3))
