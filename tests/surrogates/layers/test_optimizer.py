"""The optimiser whose steps are pulses: the limit of plain training, schedulers, resuming, and invalid updates."""

import copy
import math

import pytest
import torch
from torch import nn

from spinode import ConfigError, DeviceWarning
from spinode.datasets import WeakReset
from spinode.surrogates import (
    DeviceLinear,
    DeviceOptimizer,
    IdealSynapse,
    ProportionalProgrammer,
    SignProgrammer,
    StochasticProgrammer,
    WriteVerify,
)

FINE = IdealSynapse(step=1e-6)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def data(size=64):
    x = torch.randn(size, 6, generator=seeded(1), dtype=torch.float64)
    return x, torch.tanh(x @ torch.randn(6, 2, generator=seeded(2), dtype=torch.float64))


def net(synapse=FINE, seed=0, **settings):
    source = seeded(seed)

    def layer(inputs, outputs):
        return DeviceLinear(inputs, outputs, synapse, seed=source, dtype=torch.float64, w_max=2.0, **settings)

    return nn.Sequential(layer(6, 8), nn.Tanh(), layer(8, 2))


def twin(model):
    """Return the same network in floating point."""
    plain = nn.Sequential(nn.Linear(6, 8, dtype=torch.float64), nn.Tanh(), nn.Linear(8, 2, dtype=torch.float64))
    plain.load_state_dict({name: value for name, value in model.state_dict().items() if "weights" not in name})
    return plain


def train(model, optimizer, steps, scheduler=None):
    x, y = data()
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (model(x) - y).square().mean()
        loss.backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        losses.append(float(loss.detach()))
    return losses


@pytest.mark.parametrize("inner", [torch.optim.SGD, torch.optim.Adam])
@pytest.mark.parametrize("programmer", [None, ProportionalProgrammer(1e6 / 2, math.inf), WriteVerify(2e-6, 10**6)])
def test_fine_ideal_devices_train_as_floating_point_does(inner, programmer):
    """Each step errs by at most one device step of 2e-6 a weight; 20 steps of a smooth problem keep that small."""
    model = net()
    plain = twin(model)
    train(model, DeviceOptimizer(inner(model.parameters(), lr=0.02), model, programmer), 20)
    train(plain, inner(plain.parameters(), lr=0.02), 20)
    for i in (0, 2):
        torch.testing.assert_close(model[i].weight, plain[i].weight, rtol=0, atol=2e-4)
        torch.testing.assert_close(model[i].bias, plain[i].bias, rtol=0, atol=2e-4)
    assert float((plain[0].weight - twin(net())[0].weight).detach().abs().max()) > 0.02


def test_one_step_of_sgd_is_exact_up_to_half_a_device_step():
    """Rounding to the nearest: each weight within half a device step of w - lr g."""
    model = net(IdealSynapse(step=1e-3))
    before, weights = twin(model), model[0].weights
    programmer = ProportionalProgrammer(1 / weights.step, math.inf)
    train(model, DeviceOptimizer(torch.optim.SGD(model.parameters(), lr=0.5), model, programmer), 1)
    train(before, torch.optim.SGD(before.parameters(), lr=0.5), 1)
    error = (model[0].weight - before[0].weight).detach().abs().max()
    assert 0 < float(error) <= weights.step / 2 * (1 + 1e-9)


def test_pulses_counts_those_of_the_last_step():
    model = net(IdealSynapse(step=1e-3))
    optimizer = DeviceOptimizer(torch.optim.SGD(model.parameters(), lr=0.1), model, SignProgrammer())
    written = sum(model[i].weights.pulses for i in (0, 2))
    train(model, optimizer, 3)
    assert optimizer.pulses == 2 * (48 + 16)  # one for each device of each pair, whatever the size of a gradient
    assert sum(model[i].weights.pulses for i in (0, 2)) == written + 3 * optimizer.pulses


def test_the_handle_equals_the_weights_of_the_devices():
    model = net(WeakReset(read_noise=0.05))
    train(model, DeviceOptimizer(torch.optim.Adam(model.parameters(), lr=0.02), model), 3)
    for i in (0, 2):
        torch.testing.assert_close(model[i].weight.detach(), model[i].weights.read(noisy=False), rtol=0, atol=0)


def test_binary_weights_of_weak_reset_devices_learn():
    """Adam with updates counted in pulses, as published for these devices: the loss of a teacher task halves."""
    torch.manual_seed(0)
    x = torch.randn(256, 20, generator=seeded(1))
    y = (x @ torch.randn(20, 3, generator=seeded(2))).argmax(-1)
    model = nn.Sequential(
        DeviceLinear(20, 64, WeakReset(), kind="sign", seed=0),
        nn.BatchNorm1d(64),
        nn.Hardtanh(),
        DeviceLinear(64, 3, WeakReset(), kind="sign", seed=1),
        nn.BatchNorm1d(3),
    )
    handles = [model[0].weight, model[3].weight]
    others = [parameter for parameter in model.parameters() if all(parameter is not handle for handle in handles)]
    groups = [{"params": handles, "lr": 5.0}, {"params": others, "lr": 0.01}]  # in pulses, and as usual
    optimizer = DeviceOptimizer(torch.optim.Adam(groups), model)
    losses = []
    for _ in range(80):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 2


# --- the interface of optimisers in torch ---


def test_schedulers_change_the_inner_optimiser():
    model = net()
    optimizer = DeviceOptimizer(torch.optim.SGD(model.parameters(), lr=1.0), model)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.1)
    train(model, optimizer, 4, scheduler)
    assert optimizer.inner.param_groups[0]["lr"] == pytest.approx(0.01)
    assert scheduler.get_last_lr() == [pytest.approx(0.01)]
    torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=10)
    torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)


def test_a_closure_is_evaluated_with_gradients():
    """As Lightning steps: gradients are computed within the step."""
    x, y = data()
    model, other = net(), net()
    optimizer = DeviceOptimizer(torch.optim.SGD(model.parameters(), lr=0.1), model)
    calls = []

    def closure():
        optimizer.zero_grad()
        loss = (model(x) - y).square().mean()
        loss.backward()
        calls.append(float(loss.detach()))
        return loss

    returned = optimizer.step(closure=closure)
    assert [float(returned.detach())] == calls
    train(other, DeviceOptimizer(torch.optim.SGD(other.parameters(), lr=0.1), other), 1)
    torch.testing.assert_close(model[0].weight, other[0].weight, rtol=0, atol=0)


def test_step_hooks_are_called():
    model = net()
    optimizer = DeviceOptimizer(torch.optim.SGD(model.parameters(), lr=0.1), model)
    seen = []
    optimizer.register_step_post_hook(lambda *given: seen.append(given[0]))
    train(model, optimizer, 2)
    assert seen == [optimizer, optimizer]


def test_groups_and_gradients_are_shared_with_the_inner_one():
    model = net()
    inner = torch.optim.SGD(model[0].parameters(), lr=0.1)
    optimizer = DeviceOptimizer(inner, model)
    assert list(optimizer.layers) == ["0"]
    optimizer.add_param_group({"params": [model[2].bias], "lr": 0.5})
    assert [group["lr"] for group in inner.param_groups] == [0.1, 0.5]
    model(data()[0]).sum().backward()
    optimizer.zero_grad()
    assert model[0].weight.grad is None


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path):
    """Devices, their noise, wear, Adam and scheduler are restored exactly."""
    synapse = WeakReset(read_noise=0.05)

    def build(seed):
        model = net(synapse, seed)
        optimizer = DeviceOptimizer(torch.optim.Adam(model.parameters(), lr=0.02), model)
        return model, optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 3, 0.5)

    model, optimizer, scheduler = build(0)
    train(model, optimizer, 4, scheduler)
    parts = {"model": model, "optimizer": optimizer, "scheduler": scheduler}
    torch.save({name: part.state_dict() for name, part in parts.items()}, tmp_path / "run.pt")
    straight = train(model, optimizer, 5, scheduler)

    resumed, optimizer, scheduler = build(1)
    stored = torch.load(tmp_path / "run.pt")
    resumed.load_state_dict(stored["model"])
    optimizer.load_state_dict(stored["optimizer"])
    scheduler.load_state_dict(stored["scheduler"])
    assert train(resumed, optimizer, 5, scheduler) == straight
    for name, value in model.state_dict().items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_copy_of_model_and_optimiser_continues_identically():
    model = net(WeakReset(read_noise=0.05))
    optimizer = DeviceOptimizer(torch.optim.Adam(model.parameters(), lr=0.02), model)
    train(model, optimizer, 2, torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.9))
    other, copied = copy.deepcopy((model, optimizer))
    assert copied.param_groups is copied.inner.param_groups
    assert train(other, copied, 3) == train(model, optimizer, 3)


# --- errors ---


def devices(model):
    """Return everything stored except the generators: a programmer may have used them before another layer was refused."""
    return {name: value.clone() for name, value in model.state_dict().items() if isinstance(value, torch.Tensor)}


def unchanged(before, model, names):
    return all(torch.equal(before[name], model.state_dict()[name]) for name in before if names(name))


def test_a_nan_gradient_changes_nothing():
    model = net(WeakReset())
    optimizer = DeviceOptimizer(torch.optim.Adam(model.parameters(), lr=0.02), model)
    train(model, optimizer, 1)
    before, moments = devices(model), copy.deepcopy(optimizer.state_dict())
    model[2].weight.grad[1, 3] = float("nan")
    with pytest.raises(ConfigError, match=r"the gradient of 2\.weight contains 1 values that are NaN or infinite"):
        optimizer.step()
    assert unchanged(before, model, lambda name: True)
    now = optimizer.state_dict()["state"]
    assert all(torch.equal(moments["state"][i][name], now[i][name]) for i in now for name in now[i])


@pytest.mark.parametrize("programmer", [None, StochasticProgrammer(1e-3), WriteVerify(1e-3)])
def test_an_infinite_update_programs_no_layer(programmer):
    """The update of the second layer is invalid; the first layer, handles, biases and moments must not change either."""
    model = net(IdealSynapse(step=1e-3))
    groups = [{"params": model[0].parameters(), "lr": 0.1}, {"params": model[2].parameters(), "lr": 1e300}]
    optimizer = DeviceOptimizer(torch.optim.SGD(groups, momentum=0.9), model, programmer)
    before = devices(model)
    model(data()[0]).sum().backward()
    model[2].weight.grad.mul_(1e12)
    with pytest.raises(ConfigError, match=r"16 of 16 values of the update of 2\.weight are NaN or infinite"):
        optimizer.step()
    assert unchanged(before, model, lambda name: True)
    assert not optimizer.state
    model(data()[0])


@pytest.mark.parametrize("inner", [torch.optim.SGD, torch.optim.Adam, torch.optim.Adagrad])
def test_after_a_refused_step_training_continues_with_a_new_optimiser_state(inner):
    """A bias diverges: all parameters are restored, and the next steps are those of a new optimiser."""
    model, other = net(), net()
    parts = [[model[2].bias], [each for each in model.parameters() if each is not model[2].bias]]
    optimizer = DeviceOptimizer(inner([{"params": each} for each in parts], lr=0.02), model)
    before = devices(model)
    model(data()[0]).square().sum().backward()
    model[2].bias.grad.fill_(1e20)
    optimizer.param_groups[0].update(lr=1.7e308, weight_decay=1e308)  # the squares overflow in optimisers that divide by them
    with pytest.raises(ConfigError, match=r"the update of 2\.bias is NaN or infinite"):
        optimizer.step()
    assert unchanged(before, model, lambda name: True)
    optimizer.param_groups[0].update(lr=0.02, weight_decay=0)
    other.load_state_dict(model.state_dict())
    fresh = DeviceOptimizer(inner(other.parameters(), lr=0.02), other)
    assert train(model, optimizer, 3) == train(other, fresh, 3)


@pytest.mark.parametrize(("name", "value"), [("lr", float("nan")), ("lr", float("inf")), ("momentum", float("nan"))])
def test_an_infinite_setting_changes_nothing(name, value):
    model = net(WeakReset())
    optimizer = DeviceOptimizer(torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9), model)
    train(model, optimizer, 1)
    before, moments = devices(model), copy.deepcopy(optimizer.state_dict()["state"])
    optimizer.param_groups[0][name] = value
    with pytest.raises(ConfigError, match=f"{name} of parameter group 0 is {value}"):
        optimizer.step()
    assert unchanged(before, model, lambda name: True)
    now = optimizer.state_dict()["state"]
    assert all(torch.equal(moments[i]["momentum_buffer"], now[i]["momentum_buffer"]) for i in moments)
    assert len(moments) == 4


def test_updates_that_are_rounded_to_no_pulse_cause_one_warning():
    """Binary weights with an ordinary learning rate; with stochastic rounding, small updates are legitimate."""
    model = net(IdealSynapse(step=1e-3), kind="sign")
    optimizer = DeviceOptimizer(torch.optim.Adam(model.parameters(), lr=0.01), model)
    train(model, optimizer, 19)
    with pytest.warns(DeviceWarning, match=r"0\.weight are rounded to no pulse: at most 0\.\d+ pulses.* Stochastic") as caught:
        train(model, optimizer, 30)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    moved = DeviceOptimizer(torch.optim.Adam(model.parameters(), lr=5.0), model)
    train(model, moved, 1)
    moved.param_groups[0]["lr"] = 0.01
    train(model, moved, 25)  # a warning would be an error: small updates are normal at the end of training
    quiet = net(IdealSynapse(step=1e-3), kind="sign", programmer=StochasticProgrammer(1e9))
    train(quiet, DeviceOptimizer(torch.optim.Adam(quiet.parameters(), lr=0.01), quiet), 25)
    assert sum(quiet[i].weights.pulses for i in (0, 2)) == 0


def test_layers_without_a_gradient_are_not_changed():
    model = net(IdealSynapse(step=1e-3))
    optimizer = DeviceOptimizer(torch.optim.SGD(model.parameters(), lr=0.1), model, SignProgrammer())
    model[0].requires_grad_(False)
    before = devices(model)
    train(model, optimizer, 1)
    assert unchanged(before, model, lambda name: name.startswith("0."))
    assert not unchanged(before, model, lambda name: name.startswith("2."))


def test_unsuitable_optimisers_are_refused():
    model = net()
    with pytest.raises(ConfigError, match="no handle of a device layer"):
        DeviceOptimizer(torch.optim.SGD([model[0].bias], lr=0.1), model)
    with pytest.raises(ConfigError, match="no handle of a device layer"):
        DeviceOptimizer(torch.optim.SGD(model.parameters(), lr=0.1), nn.Linear(2, 2))
    with pytest.raises(ConfigError, match="LBFGS tries several weights within a step"):
        DeviceOptimizer(torch.optim.LBFGS(model.parameters()), model)
    with pytest.raises(ConfigError, match=r"optimizer is a generator; expected an optimiser"):
        DeviceOptimizer(model.parameters(), model)
    with pytest.raises(ConfigError, match=r"the model contains a Parameter; expected an nn\.Module"):
        DeviceOptimizer(torch.optim.SGD(model.parameters(), lr=0.1), model.parameters())
    with pytest.raises(ConfigError, match=r"programmer is 'sign'"):
        DeviceOptimizer(torch.optim.SGD(model.parameters(), lr=0.1), model, "sign")


def test_layers_can_be_given_as_a_list():
    model = net()
    optimizer = DeviceOptimizer(torch.optim.SGD(model.parameters(), lr=0.1), [model[0], model[2]])
    assert list(optimizer.layers) == ["layers[0]", "layers[1]"]


def test_a_layer_that_is_given_twice_is_programmed_once():
    changes = []
    for models in (lambda layer: layer, lambda layer: [layer, layer], lambda layer: [nn.Sequential(layer), layer]):
        layer = DeviceLinear(4, 2, IdealSynapse(step=0.01), seed=0)
        before = layer.weight.detach().clone()
        optimizer = DeviceOptimizer(torch.optim.SGD(layer.parameters(), lr=0.1), models(layer))
        layer(torch.ones(2, 4)).sum().backward()
        optimizer.step()
        changes.append((optimizer.pulses, layer.weight.detach() - before))
    assert all(pulses == changes[0][0] and torch.equal(change, changes[0][1]) for pulses, change in changes)
