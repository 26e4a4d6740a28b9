"""Layers with weights in devices: gradients at the weights that were read, and the handle that optimisers see."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from spinode import ConfigError, Pulses
from spinode.datasets import WeakReset
from spinode.surrogates import (
    DeviceConv2d,
    DeviceLinear,
    IdealSynapse,
    ProportionalProgrammer,
    SignProgrammer,
    StochasticProgrammer,
)
from spinode.surrogates.zoo import open_synapse

NOISY = WeakReset(read_noise=0.05)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def inputs(*shape):
    return torch.randn(*shape, generator=seeded(1), dtype=torch.float64)


def linear(synapse=NOISY, **settings):
    return DeviceLinear(7, 4, synapse, **{"seed": 0, "dtype": torch.float64, **settings})


def conv(synapse=NOISY, **settings):
    return DeviceConv2d(4, 6, 3, synapse, **{"seed": 0, "dtype": torch.float64, **settings})


@pytest.mark.parametrize("kind", ["pair", "sign"])
@pytest.mark.parametrize("training", [True, False])
def test_outputs_and_gradients_are_those_at_the_read_weights(kind, training):
    """A copy of the layer's generator predicts which weights the next pass will read."""
    layer = linear(kind=kind).train(training)
    x = inputs(5, 7).requires_grad_()
    read = copy.deepcopy(layer).weights.read().requires_grad_()
    expected = functional.linear(x, read, layer.bias).square().sum()
    expected_gradients = torch.autograd.grad(expected, (read, x, layer.bias))
    loss = layer(x).square().sum()
    torch.testing.assert_close(loss, expected)
    for gradient, reference in zip(torch.autograd.grad(loss, (layer.weight, x, layer.bias)), expected_gradients, strict=True):
        torch.testing.assert_close(gradient, reference)
    if kind == "pair":
        assert not torch.equal(read, layer.weight)


@pytest.mark.parametrize(
    "settings", [{}, {"stride": 2, "padding": 1}, {"groups": 2}, {"dilation": 2}, {"padding": 1, "padding_mode": "circular"}]
)
def test_convolution_is_that_of_torch_at_the_read_weights(settings):
    layer = conv(**settings)
    plain = nn.Conv2d(4, 6, 3, dtype=torch.float64, **settings)
    plain.load_state_dict({"weight": copy.deepcopy(layer).weights.read(), "bias": layer.bias})
    x = inputs(2, 4, 9, 9)
    out, expected = layer(x), plain(x)
    torch.testing.assert_close(out, expected)
    out.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(layer.weight.grad, plain.weight.grad)


def test_noisy_weights_are_read_in_each_pass_and_noiseless_ones_never():
    """Count the reads of the synapse: each costs as much as a pass of a small batch."""

    class Counting(IdealSynapse):
        reads = 0

        def _read(self, state, generator):
            Counting.reads += 1
            if generator is not None and self.bounded:
                return state["g"] + 0.01 * torch.randn(state["g"].shape, generator=generator, dtype=state["g"].dtype)
            return state["g"]

    for bounded, expected in ((True, 3), (False, 0)):
        layer = linear(Counting(bounded=bounded))
        Counting.reads = 0
        for _ in range(3):
            layer(inputs(2, 7)).sum().backward()
        assert Counting.reads == expected


def test_reads_differ_from_pass_to_pass_in_training_and_evaluation():
    layer = linear()
    x = inputs(2, 7)
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    assert not torch.equal(layer(x), layer(x))
    quiet = linear(noise=("devices", "pulses"))
    assert torch.equal(quiet(x), quiet(x))


def test_the_sign_gradient_passes_everywhere_unless_clipped():
    free = linear(kind="sign", noise=("devices",))
    clipped = linear(kind="sign", noise=("devices",), clip=0.02)
    latent = free.weights.latent()
    inside = latent.abs() <= 0.02
    assert bool(inside.any())
    assert not bool(inside.all())
    for layer in (free, clipped):
        layer(inputs(5, 7)).square().sum().backward()
    assert bool((free.weight.grad != 0).all())
    torch.testing.assert_close(clipped.weight.grad, free.weight.grad * inside)


# --- the handle ---


def test_the_handle_is_the_weights_without_noise():
    layer = linear()
    torch.testing.assert_close(layer.weight.detach(), layer.weights.read(noisy=False), rtol=0, atol=0)
    layer.weights.pulse(torch.full((4, 7), 50.0))
    layer(inputs(2, 7))
    torch.testing.assert_close(layer.weight.detach(), layer.weights.read(noisy=False), rtol=0, atol=0)


def test_a_handle_changed_without_the_devices_is_refused():
    layer = linear()
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    layer(inputs(2, 7)).sum().backward()
    optimizer.step()
    with pytest.raises(ConfigError, match="wrap the optimiser in DeviceOptimizer"):
        layer(inputs(2, 7))


def test_changed_data_of_the_handle_does_not_reach_the_output():
    layer = linear(IdealSynapse())
    before = layer(inputs(2, 7))
    layer.weight.data.add_(1)
    with pytest.raises(ConfigError, match="was changed without the devices"):
        layer(inputs(2, 7))
    layer.sync()
    torch.testing.assert_close(layer(inputs(2, 7)), before, rtol=0, atol=0)


def test_copies_and_loaded_layers_compute_the_same():
    layer = linear()
    layer.weights.pulse(torch.full((4, 7), 50.0))
    other = linear(seed=9)
    other.load_state_dict(layer.state_dict())
    twin = copy.deepcopy(layer)
    x = inputs(3, 7)
    expected = layer(x)
    torch.testing.assert_close(other(x), expected, rtol=0, atol=0)
    torch.testing.assert_close(twin(x), expected, rtol=0, atol=0)


def test_a_layer_can_change_its_precision():
    layer = linear().float()
    out = layer(inputs(3, 7).float())
    assert out.dtype == torch.float32
    torch.testing.assert_close(layer.weight.detach(), layer.weights.read(noisy=False), rtol=0, atol=0)


def test_a_layer_is_an_instance_of_the_layer_of_torch():
    """Code that looks for nn.Linear or nn.Conv2d finds it; its state dict is that of a module."""
    assert isinstance(linear(), nn.Linear)
    assert isinstance(conv(), nn.Conv2d)
    assert {"weight", "bias", "weights.state_pulses", "weights.wear"} <= set(linear().state_dict())
    assert linear(bias=False).bias is None


# --- initial weights ---


def test_initial_weights_are_uniform_like_those_of_torch():
    """Up to one step of the device; a Kolmogorov-Smirnov statistic of 1.95 / sqrt(n) has a chance of 1e-3."""
    layer = DeviceLinear(100, 100, IdealSynapse(step=1e-4), seed=0)
    bound = 0.1
    values = layer.weight.detach().flatten().sort().values
    expected = torch.linspace(-bound, bound, values.numel())
    assert float((values - expected).abs().max()) / (2 * bound) < 1.95 / math.sqrt(values.numel()) + layer.weights.step / bound
    assert float(layer.bias.detach().abs().max()) <= bound
    assert layer.weights.w_max == pytest.approx(0.4)


def test_initial_weights_can_be_those_of_fresh_devices():
    layer = linear(initial="devices")
    assert layer.weights.pulses == 0
    assert linear(kind="sign").weights.pulses == 0
    assert float(layer.weight.detach().std()) > 0


def test_the_seed_determines_everything_and_the_global_generator_is_not_used():
    x = inputs(3, 7)
    assert torch.equal(linear()(x), linear()(x))
    assert not torch.equal(linear()(x), linear(seed=1)(x))
    generator = seeded()
    assert not torch.equal(linear(seed=generator)(x), linear(seed=generator)(x))
    before = torch.random.get_rng_state()
    linear()(x), conv()
    assert torch.equal(before, torch.random.get_rng_state())


def test_default_programmers():
    assert linear().programmer == StochasticProgrammer(linear().weights.step)
    assert linear(kind="sign").programmer == ProportionalProgrammer()
    assert linear(programmer=SignProgrammer()).programmer == SignProgrammer()


def test_a_layer_cannot_be_reset():
    with pytest.raises(ConfigError, match="build a new layer"):
        linear().reset_parameters()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"initial": "zeros"}, "initial is 'zeros'; expected one of write, devices"),
        ({"clip": 1.0}, r"clip is 1\.0 for kind='pair'; expected kind='sign'"),
        ({"kind": "sign", "clip": 0.0}, r"clip is 0\.0; expected a finite number above 0"),
        ({"dtype": torch.int64}, r"dtype is torch\.int64; expected a floating-point type"),
        ({"programmer": "sign"}, "programmer is 'sign'; expected an instance"),
        ({"programmer": SignProgrammer}, "programmer is <class .*expected an instance"),
        ({"noise": "read"}, r"noise is the string 'read'; expected names in a sequence, \('read',\)"),
        ({"synapse": "weak_reset"}, r"synapse is 'weak_reset'; expected a device model: .* load\(name\)"),
        ({"synapse": WeakReset}, "synapse is <class .*expected a device model"),
        ({"synapse": nn.Identity()}, r"synapse is Identity\(\); expected a device model"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        linear(**settings)


@pytest.mark.parametrize("sizes", [(0, 4), (4, 0), (-1, 4), (4, 2.0)])
def test_sizes_are_positive_whole_numbers(sizes):
    with pytest.raises(ConfigError, match=r"features is (0|-1|2\.0); expected a whole number of at least 1"):
        DeviceLinear(*sizes, NOISY, seed=0)
    with pytest.raises(ConfigError, match=r"a value of kernel_size is 0; expected a whole number of at least 1"):
        DeviceConv2d(1, 2, (3, 0), NOISY, seed=0)


def test_sizes_beyond_memory_and_a_bias_that_is_not_a_flag_are_refused():
    with pytest.raises(ConfigError, match="in_features is 1000000000000; expected a whole number from 1 to 1000000000"):
        DeviceLinear(10**12, 4, NOISY, seed=0)
    with pytest.raises(ConfigError, match="the weights would have 1000000 in_features times 1000000 out_features"):
        DeviceLinear(10**6, 10**6, NOISY, seed=0)
    with pytest.raises(ConfigError, match="bias is 'x'; expected True or False"):
        DeviceLinear(4, 4, NOISY, seed=0, bias="x")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (torch.ones(2, 3), r"the input is torch.float32 of shape \(2, 3\); expected torch.float32 of shape \(..., 4\)"),
        (torch.ones(2, 4, dtype=torch.int64), "the input is torch.int64 of shape"),
        (np.ones((2, 4)), "the input is a ndarray; expected torch.float32"),
        (None, "the input is None; expected torch.float32"),
        (torch.full((2, 4), math.nan), "the input contains NaN or infinite values"),
    ],
)
def test_invalid_inputs_are_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        DeviceLinear(4, 2, NOISY, seed=0)(given)


def nan(stored, name):
    stored[name] = stored[name].clone()
    stored[name].view(-1)[3] = float("nan")


@pytest.mark.parametrize(
    ("other", "change", "message"),
    [
        ({"kind": "sign"}, None, "kind of weights is 'sign' in the state dict and 'pair' in the layer"),
        ({"synapse": IdealSynapse()}, None, "synapse of weights is 'IdealSynapse' in the state dict and 'WeakReset'"),
        ({"synapse": WeakReset(rtn=False)}, None, r"for weights; expected .*state_trap"),
        ({"w_max": 0.7}, None, r"w_max of weights is 0\.7 in the state dict and 1\.51186 in the layer"),
        ({"bias": False}, None, "the state dict lacks bias"),
        ({}, lambda stored: nan(stored, "weights.state_R0"), r"1 of 56 values of weights\.state_R0 .* are NaN or infinite"),
        ({}, lambda stored: stored.update({"weights.wear": torch.zeros(2, 7, 4)}), r"weights\.wear is \(2, 7, 4\) in"),
        ({}, lambda stored: stored.update(bias=torch.zeros(5)), r"bias is \(5,\) in the state dict"),
        ({}, lambda stored: stored["weights._extra_state"].update(scale=math.nan), "scale of weights is nan"),
        ({}, lambda stored: stored["weights._extra_state"].update(generator=torch.zeros(3)), "the generator of weights"),
        ({}, lambda stored: stored.pop("weights.state_R0"), r"for weights; expected .*state_R0"),
    ],
)
def test_a_state_dict_that_does_not_fit_changes_nothing(other, change, message):
    layer, stored = linear(), linear(**{"seed": 1, **other}).state_dict()
    if change is not None:
        change(stored)
    before, follows = copy.deepcopy(layer.state_dict()), copy.deepcopy(layer)
    with pytest.raises(ConfigError, match=message):
        layer.load_state_dict(stored)
    now = layer.state_dict()
    assert all(torch.equal(before[name], now[name]) for name in before if "extra" not in name)
    assert layer.weights.energy == follows.weights.energy
    assert torch.equal(layer(inputs(2, 7)), follows(inputs(2, 7)))  # its generator was not advanced


def test_a_fitted_synapse_is_part_of_the_state_dict_and_must_be_the_same_fit():
    def layer(seed):
        return linear(open_synapse("hfox-weak-reset"), seed=seed)

    one, two = layer(0), layer(1)
    two.load_state_dict(one.state_dict())
    assert torch.equal(one(inputs(3, 7)), two(inputs(3, 7)))
    stored = copy.deepcopy(one.state_dict())
    name = "weights.synapse.drift.field.out.weight"
    stored[name].view(-1)[0] += 0.01
    before = two.weights.read(noisy=False)
    with pytest.raises(ConfigError, match=rf"{name} in the state dict is from another fit than the synapse of the weights"):
        two.load_state_dict(stored)
    assert torch.equal(two.weights.read(noisy=False), before)
    tuned = dict(two.weights.synapse.named_parameters())["drift.field.out.weight"].requires_grad_()
    two.load_state_dict(stored)
    assert torch.equal(tuned.detach(), stored[name])


def test_a_state_dict_of_floating_point_is_refused_and_one_without_names_accepted():
    layer, plain = nn.Sequential(linear()), nn.Sequential(nn.Linear(7, 4, dtype=torch.float64))
    with pytest.raises(ConfigError, match=r"the state dict has nothing for 0\.weights; .* to_devices"):
        layer.load_state_dict(plain.state_dict())
    other = nn.Sequential(linear(seed=1))
    stored = other.state_dict()
    for name in ("kind", "synapse", "unit"):
        del stored["0.weights._extra_state"][name]
    layer.load_state_dict(stored)
    assert torch.equal(layer(inputs(2, 7)), other(inputs(2, 7)))


def test_a_layer_accepts_any_class_with_the_methods_of_a_synapse():
    """A layer needs the protocol, not the base class."""

    class Custom:
        low, high, unit, polarities = 0.0, 1.0, "", ("SET", "RESET")

        def initial(self, shape, *, generator=None, dtype=torch.float32):
            return {"x": torch.full(tuple(shape), 0.5, dtype=dtype), "taps": torch.zeros(*shape, 3, dtype=dtype)}

        def program(self, state, pulses: Pulses, *, generator=None):
            return {"x": (state["x"] + 0.01 * pulses.count).clamp(0, 1), "taps": state["taps"]}

        def read(self, state, *, generator=None):
            return state["x"]

        def energy(self, state, pulses):
            return None

    layer = linear(Custom())
    layer.weights.program(torch.full((4, 7), 0.05, dtype=torch.float64))
    assert layer(inputs(2, 7)).shape == (2, 4)


def test_an_exported_network_has_the_weights_as_they_are() -> None:
    layer = DeviceLinear(4, 3, WeakReset(), kind="pair", seed=0)
    given = torch.rand(5, 4)
    program = torch.export.export(nn.Sequential(layer, nn.ReLU()).eval(), (given,))
    torch.testing.assert_close(program.module()(given), (functional.linear(given, layer.weight, layer.bias)).relu())


# Changes of the handle, building in inference mode, and arguments of a convolution


@pytest.mark.parametrize(
    "change",
    [
        lambda layer: layer.weight.data.zero_(),
        lambda layer: nn.utils.vector_to_parameters(torch.zeros(10), layer.parameters()),
        lambda layer: setattr(layer, "weight", nn.Parameter(torch.zeros(2, 4))),
    ],
)
def test_a_change_of_the_handle_that_leaves_its_version_is_seen(change):
    layer = copy.deepcopy(DeviceLinear(4, 2, IdealSynapse(), seed=0))
    layer(torch.ones(1, 4))
    change(layer)
    with pytest.raises(ConfigError, match="was changed without the devices"):
        layer(torch.ones(1, 4))


def test_a_functional_call_with_other_weights_is_refused():
    layer = copy.deepcopy(DeviceLinear(4, 2, IdealSynapse(), seed=0))
    with pytest.raises(ConfigError, match="was changed without the devices"):
        torch.func.functional_call(layer, {"weight": torch.zeros(2, 4)}, (torch.ones(1, 4),))
    assert torch.func.functional_call(layer, dict(layer.named_parameters()), (torch.ones(1, 4),)).shape == (1, 2)


def test_layers_built_and_programmed_in_inference_mode_can_be_trained():
    with torch.inference_mode():
        layer = DeviceLinear(4, 2, IdealSynapse(), seed=0)
        layer.weights.program(torch.full((2, 4), 0.1))
        before = layer(torch.ones(1, 4))
    after = layer(torch.ones(1, 4))
    assert torch.equal(after, before)
    after.sum().backward()
    assert torch.equal(layer.weight.grad, torch.ones(2, 4))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kernel_size": (3, 3, 3)}, "kernel_size is .3, 3, 3.; expected one whole number, or one for height"),
        ({"kernel_size": 3.0}, "kernel_size is 3.0"),
        ({"groups": 3}, "groups is 3, which does not divide in_channels=2"),
        ({"groups": 0}, "groups is 0"),
        ({"stride": 0}, "a value of stride is 0"),
        ({"padding": "x"}, "padding is 'x'; expected one of valid, same"),
        ({"padding": "same", "stride": 2}, "padding is 'same' with stride 2"),
        ({"padding": -1}, "a value of padding is -1"),
        ({"dilation": 0}, "a value of dilation is 0"),
        ({"padding_mode": "x"}, "padding_mode is 'x'; expected one of zeros"),
    ],
)
def test_arguments_of_a_convolution_are_checked(settings, message):
    with pytest.raises(ConfigError, match=message):
        DeviceConv2d(2, 2, **{"kernel_size": 3, "synapse": IdealSynapse(), "seed": 0, **settings})


def test_images_that_a_kernel_does_not_fit_are_refused():
    layer = DeviceConv2d(1, 2, 3, IdealSynapse(), seed=0)
    with pytest.raises(ConfigError, match="its height of 2 with padding 0 is less than the 3 of the kernel"):
        layer(torch.zeros(1, 1, 2, 5))
    with pytest.raises(ConfigError, match="or a batch of such images"):
        layer(torch.zeros(3, 1, 1, 5, 5))
    reflecting = DeviceConv2d(1, 2, 3, IdealSynapse(), padding=3, padding_mode="reflect", seed=0)
    with pytest.raises(ConfigError, match="pads its height of 3 by 3; expected at most 2"):
        reflecting(torch.zeros(1, 3, 3))
    same = DeviceConv2d(1, 2, 3, IdealSynapse(), padding="same", seed=0)
    assert same(torch.zeros(1, 1, 1)).shape == (2, 1, 1)
