"""Conversion of trained models: the converted layers, the reported errors, and the models that are refused."""

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from spinode import ConfigError, DeviceWarning
from spinode.datasets import WeakReset
from spinode.surrogates import (
    DeviceConv2d,
    DeviceLinear,
    DeviceOptimizer,
    IdealSynapse,
    SignProgrammer,
    WriteVerify,
    to_devices,
)

FINE = IdealSynapse(step=1e-4)


def model():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2, padding_mode="reflect"),
        nn.BatchNorm2d(4),
        nn.Flatten(),
        nn.Sequential(nn.Linear(36, 8, bias=False), nn.ReLU()),
        nn.Linear(8, 3),
    ).eval()


def images():
    return torch.randn(5, 2, 6, 6, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", ["single", "pair"])
def test_a_model_in_fine_devices_computes_the_same(kind):
    original = model()
    before = {name: value.clone() for name, value in original.state_dict().items()}
    converted, errors = to_devices(original, FINE, kind=kind, seed=0)
    assert [type(converted[0]), type(converted[3][0]), type(converted[4])] == [DeviceConv2d, DeviceLinear, DeviceLinear]
    torch.testing.assert_close(converted(images()), original(images()), rtol=0, atol=2e-3)
    assert not converted.training
    assert list(errors) == ["0", "3.0", "4"]
    assert all(torch.equal(before[name], value) for name, value in original.state_dict().items())
    assert type(original[0]) is nn.Conv2d


def test_reported_errors_are_those_of_the_weights():
    original = model()
    converted, errors = to_devices(original, WeakReset(), seed=0, write=WriteVerify(0.02))
    for name, error in errors.items():
        difference = (converted.get_submodule(name).weight - original.get_submodule(name).weight).detach()
        assert error.rms == pytest.approx(float(difference.square().mean().sqrt()), rel=1e-5)
        assert error.largest == pytest.approx(float(difference.abs().max()), rel=1e-5)
        assert error.relative == pytest.approx(
            error.rms / float(original.get_submodule(name).weight.detach().square().mean().sqrt())
        )
        assert error.unreached == pytest.approx(float((difference.abs() > 0.02).float().mean()))
        assert error.pulses == converted.get_submodule(name).weights.pulses > 0


def test_each_layer_has_its_own_scale():
    original = model()
    converted, _ = to_devices(original, FINE, seed=0, write=False)
    assert converted[4].weights.w_max == pytest.approx(float(original[4].weight.detach().abs().max()))
    signs, _ = to_devices(original, FINE, kind="sign", seed=0)
    assert signs[4].weights.w_max == pytest.approx(float(original[4].weight.detach().abs().mean()))
    torch.testing.assert_close(signs[4].weight, original[4].weight.sign() * original[4].weight.abs().mean())


def test_without_writing_the_devices_are_fresh():
    converted, errors = to_devices(model(), WeakReset(), seed=0, write=False)
    assert all(error.pulses == 0 and error.unreached == 1 for error in errors.values())
    assert converted[4].weights.pulses == 0
    assert not torch.equal(converted[4].weights.state["R0"][0, :, :8], converted[3][0].weights.state["R0"][0, :3, :8])


def test_skipped_modules_stay_unchanged():
    converted, errors = to_devices(model(), FINE, seed=0, skip=("3", "0"))
    assert list(errors) == ["4"]
    assert type(converted[3][0]) is nn.Linear
    again, errors = to_devices(converted, FINE, seed=0, skip=("0",))
    assert list(errors) == ["3.0"]
    assert isinstance(again[4], DeviceLinear)


def test_a_layer_used_twice_is_converted_once():
    shared = nn.Linear(4, 4)
    converted, errors = to_devices(nn.Sequential(shared, nn.ReLU(), shared), FINE, seed=0)
    assert converted[0] is converted[2]
    assert list(errors) == ["0"]


def test_a_single_layer_is_converted():
    layer = nn.Linear(4, 3, dtype=torch.float64)
    layer.bias.requires_grad_(False)
    converted, errors = to_devices(layer, FINE, seed=0, programmer=SignProgrammer())
    assert isinstance(converted, DeviceLinear)
    assert converted.weight.dtype == torch.float64
    assert not converted.bias.requires_grad
    assert converted.programmer == SignProgrammer()
    assert list(errors) == [""]
    torch.testing.assert_close(converted.bias, layer.bias, rtol=0, atol=0)


def test_a_converted_model_can_be_trained_further():
    converted, _ = to_devices(model().train(), IdealSynapse(step=1e-3), seed=0)
    optimizer = DeviceOptimizer(torch.optim.Adam(converted.parameters(), lr=1e-2), converted)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(converted(images()), torch.tensor([0, 1, 2, 0, 1]))
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 2


class Derived(nn.Linear):
    """A layer whose forward may differ."""


def tied():
    two = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    two[1].weight = two[0].weight
    return two


def broken(name="weight"):
    layer = nn.Sequential(nn.Linear(2, 2))
    getattr(layer[0], name).data.view(-1)[0] = float("nan")
    return layer


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (lambda: nn.Sequential(nn.ReLU()), {}, "there is nothing to convert"),
        (model, {"skip": ("0", "3", "4")}, "there is nothing to convert"),
        (model, {"skip": ("head",)}, "skip names 'head'; the model has 0, 1"),
        (model, {"skip": "0"}, "skip is the string '0'"),
        (lambda: nn.Sequential(Derived(2, 2)), {}, "0 is a Derived, derived from Linear"),
        (lambda: nn.Sequential(weight_norm(nn.Linear(2, 2))), {}, "0 is a ParametrizedLinear"),
        (lambda: nn.MultiheadAttention(4, 1), {}, "out_proj is a NonDynamicallyQuantizableLinear"),
        (tied, {}, "1 shares its weights with another layer"),
        (broken, {}, "0.weight contains NaN or infinity"),
        (lambda: broken("bias"), {}, "0.bias contains NaN or infinity"),
        (lambda: model().state_dict(), {}, r"model is a OrderedDict; expected an nn\.Module"),
        (model, {"kind": "triple"}, "kind is 'triple'"),
    ],
)
def test_models_that_cannot_be_converted_are_refused(make, settings, message):
    with pytest.raises(ConfigError, match=message):
        to_devices(make(), FINE, seed=0, **settings)


def test_weights_that_stay_digital_are_listed_and_writes_report():
    torch.manual_seed(0)
    recurrent = nn.ModuleDict({"rnn": nn.LSTM(3, 2), "head": nn.Linear(2, 1)})
    lines = []
    with pytest.warns(DeviceWarning, match=r"weights of rnn \(LSTM, 40\) stay digital"):
        _, errors = to_devices(recurrent, FINE, seed=0, progress=lines.append)
    assert list(errors) == ["head"]
    assert lines[0] == "head: writing 2 weights"
    assert f"head: {errors['head'].pulses} pulses, relative error" in lines[1]
    to_devices(recurrent, FINE, seed=0, skip=["rnn"])  # a warning would be an error here
