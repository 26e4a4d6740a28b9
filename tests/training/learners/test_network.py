"""Networks of the user's own as learners: layers that rules need, heads, plugins, devices, checkpoints."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn

from spinode.datasets import ClassSplit, PermutedTasks, Subsets, TaskList, WeakReset, images_from_arrays, made_digits
from spinode.errors import ConfigError, FitError
from spinode.surrogates import Crossbar, DeviceConv2d, DeviceLinear, IdealSynapse
from spinode.training import MetaplasticBNN, NetworkLearner, Replay, StreamConfig, to_bayesian, to_quantised, train
from spinode.training.layers.bayesian_wrapper import Bayesian
from spinode.training.learners.heads import Heads
from spinode.training.network_rules import network_rules

SIDE = 8


def squares(train=80, test=40, classes=4):
    """Return images of bright squares, at a place for each class."""
    draw = np.random.default_rng(0)

    def part(count):
        labels = np.arange(count) % classes
        images = draw.integers(0, 60, (count, SIDE, SIDE))
        for image, label in zip(images, labels, strict=True):
            row, column = 4 * (label // 2), 4 * (label % 2)
            image[row : row + 3, column : column + 3] += 180
        return images.astype(np.uint8), labels

    return images_from_arrays(*part(train), *part(test), name="squares")


IMAGES = squares()
STREAM = ClassSplit(IMAGES, groups=2, flatten=False)


def cnn(outputs=4, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        conv = [nn.Conv2d(1, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU()]
        return nn.Sequential(*conv, nn.Dropout(0.1), nn.Flatten(), nn.Linear(36, outputs))


def linear(inputs, outputs):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Linear(inputs, outputs)


def device_cnn(kind="pair", synapse=None, seed=0):
    generator = torch.Generator().manual_seed(seed)
    synapse = IdealSynapse() if synapse is None else synapse
    arguments = {"kind": kind, "bias": False, "seed": generator}
    return nn.Sequential(
        DeviceConv2d(1, 4, 3, synapse, stride=2, **arguments),
        nn.BatchNorm2d(4),
        nn.Hardtanh(),
        nn.Flatten(),
        DeviceLinear(36, 4, synapse, **arguments),
        nn.BatchNorm1d(4),
    )


WAYS = {
    "sgd": lambda: (cnn(), {"rate": 0.1, "momentum": 0.5}),
    "adam": lambda: (cnn(), {"rate": 0.01}),
    "real": lambda: (cnn(), {"rate": 0.01}),
    "metaplastic": lambda: (to_quantised(cnn()), {"rate": 0.02}),
    "mesu": lambda: (to_bayesian(cnn()), {"draws": 2, "other_rate": 0.01}),
    "torch-mesu": lambda: (to_bayesian(cnn()), {"draws": 2, "other_rate": 0.01}),
    "bgd": lambda: (to_bayesian(cnn()), {"draws": 2, "other_rate": 0.01}),
}
WHOLE = Subsets(IMAGES, parts=1, flatten=False)
RUN = {"epochs": 8, "batch_size": 10}


@pytest.mark.parametrize("rule", WAYS)
def test_every_rule_trains_a_convolutional_network(rule):
    network, settings = WAYS[rule]()
    learner = NetworkLearner(network, WHOLE, rule=rule, **settings)
    result = train(learner, WHOLE, **RUN)
    assert result.accuracy.newest > 0.6  # chance is 0.25
    assert learner.network is network


@pytest.mark.parametrize(
    ("rule", "network"),
    [
        ("adam", lambda: device_cnn("pair")),
        ("real", lambda: device_cnn("pair")),
        ("metaplastic", lambda: device_cnn("sign")),
        ("mesu", lambda: to_bayesian(device_cnn("pair"))),
    ],
)
def test_rules_program_the_devices_of_a_network(rule, network):
    learner = NetworkLearner(network(), WHOLE, rule=rule, seed=1)
    before = learner.footprint()["pulses"]
    result = train(learner, WHOLE, epochs=4, batch_size=10)
    assert result.footprint["pulses"] > before
    assert result.footprint["devices"] == 2 * (4 * 9 + 36 * 4)
    assert result.accuracy.newest > 0.5


@pytest.mark.parametrize("bias", [False, True])
def test_bayesian_layers_in_devices_pass_the_converters_of_their_crossbar(bias):
    crossbar, arguments = Crossbar(dac_bits=4, adc_bits=4, tile=4), {"bias": bias, "seed": 0}
    for layer, shape in (
        (DeviceLinear(9, 4, IdealSynapse(), crossbar=crossbar, **arguments), (5, 9)),
        (DeviceConv2d(1, 4, 3, IdealSynapse(), crossbar=crossbar, **arguments), (5, 1, 6, 6)),
    ):
        x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        bayesian = Bayesian(deepcopy(layer), spread=1e-12)
        torch.testing.assert_close(bayesian(x), layer(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize("levels", [2, 4, 8])
def test_the_rate_of_quantised_layers_is_in_units_of_half_the_spacing(levels):
    network = nn.Sequential(to_quantised(nn.Linear(6, 3), levels=levels), nn.BatchNorm1d(3))
    (optimiser,) = network_rules()["metaplastic"](rate=0.02, other_rate=0.3, metaplasticity=0.0).optimisers(network)
    before = [each.detach().clone() for each in network.parameters()]
    network(torch.randn(8, 6, generator=torch.Generator().manual_seed(0))).pow(3).sum().backward()
    optimiser.step()
    moved = [(each.detach() - old).abs().max() for each, old in zip(network.parameters(), before, strict=True)]
    expected = [0.02 / (levels - 1), 0.3, 0.3]  # the first step of Adam is its rate
    torch.testing.assert_close(torch.stack(moved), torch.tensor(expected), rtol=1e-2, atol=0)


def test_metaplasticity_acts_on_the_latent_weights_of_signs_in_devices():
    """Far from a sign change a step towards it is damped by 1 - tanh(m x)^2; the growth of a weight is not."""
    pulses = {}
    for m in (0.0, 20.0):
        network = device_cnn("sign", WeakReset())
        learner = NetworkLearner(network, WHOLE, rule="metaplastic", metaplasticity=m, rate=0.05)
        train(learner, WHOLE, epochs=2, batch_size=10)
        pulses[m] = learner.footprint()["pulses"]
    assert 0 < pulses[20.0] < 0.9 * pulses[0.0]


def test_ten_tasks_of_one_class_run_and_replay_remembers_them():
    stream = ClassSplit(made_digits(train=400, test=200), groups=1)
    accuracies = {}
    for plugins in ((), ("replay",)):
        learner = NetworkLearner(linear(784, 10), stream, rule="adam", plugins=plugins, rate=0.01)
        accuracies[plugins] = train(learner, stream, epochs=5, batch_size=10).accuracy
    assert len(accuracies[()]) == 10
    assert accuracies[()].newest > 0.9
    assert accuracies[()].accuracy < 0.4  # earlier classes are forgotten
    assert accuracies[("replay",)].accuracy > accuracies[()].accuracy + 0.2


# Heads


def test_heads_of_disjoint_classes_mask_the_others():
    heads = Heads(STREAM, "multi")
    assert heads.masks.tolist() == [[True, True, False, False], [False, False, True, True]]
    assert (heads.outputs, heads.views) == (4, ("task", "shared"))
    logits = torch.zeros(2, 4)
    assert (heads.compete(logits, torch.tensor([0, 1])) == 0).tolist() == heads.masks.tolist()
    assert heads.response(logits, 1, "shared") is logits


def test_tasks_that_share_their_classes_have_outputs_of_their_own():
    stream = PermutedTasks(IMAGES, tasks=3)
    heads = Heads(stream, "multi")
    assert (heads.outputs, heads.offset, heads.views) == (12, [0, 4, 8], ("task",))
    assert heads.response(torch.arange(12.0)[None], 1, "task").tolist() == [[4, 5, 6, 7]]
    learner = NetworkLearner(linear(64, 12), stream, rule="adam", heads="multi", rate=0.01)
    result = train(learner, stream, **RUN)
    assert result.accuracies["task"].first > 0.9  # the head of the first task is not changed by the others


def test_knowing_the_task_never_hurts():
    """The largest logit of all is the largest one of its head."""
    stream = ClassSplit(made_digits(train=200, test=200), groups=5)
    learner = NetworkLearner(linear(784, 10), stream, rule="adam", heads="multi", rate=0.01)
    result = train(learner, stream, epochs=3, batch_size=10)
    task, shared = (result.accuracies[view].values[1] for view in ("task", "shared"))
    assert (task >= shared).all()
    assert task.mean() > shared.mean() + 0.1


# Reproducibility


@pytest.mark.parametrize(
    ("rule", "network", "plugins"),
    [
        ("adam", cnn, ["replay", "lwf"]),
        ("sgd", cnn, ["si"]),
        ("mesu", lambda: to_bayesian(device_cnn()), []),
        ("metaplastic", lambda: to_quantised(cnn(), levels=4), ["ewc"]),
    ],
)
def test_a_killed_run_resumes_with_the_same_result(tmp_path, rule, network, plugins):
    config = StreamConfig(epochs=1, batch_size=10)

    def make():
        return NetworkLearner(network(), STREAM, rule=rule, plugins=plugins, heads="multi")

    whole = train(make(), STREAM, config)

    class Killed(Exception):
        pass

    def kill(line):
        raise Killed

    with pytest.raises(Killed):
        train(make(), STREAM, config, checkpoint=tmp_path, checkpoint_every=0, progress=kill)
    resumed = train(make(), STREAM, config, checkpoint=tmp_path)
    np.testing.assert_array_equal(resumed.accuracy.values, whole.accuracy.values)


def test_the_default_generator_of_torch_is_not_advanced():
    before = torch.get_rng_state()
    learner = NetworkLearner(cnn(), STREAM, rule="adam")
    train(learner, STREAM, epochs=1)
    assert torch.equal(before, torch.get_rng_state())


# Conversions


def test_conversions_leave_the_network_as_it_was():
    network = cnn()
    before = deepcopy(network.state_dict())
    for convert in (to_bayesian, to_quantised):
        copy = convert(network, skip=["5"])
        assert type(copy[5]) is nn.Linear
        assert type(copy[0]) is not nn.Conv2d
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    for convert, message in ((to_bayesian, "nothing to convert"), (to_quantised, "nothing to convert")):
        with pytest.raises(ConfigError, match=message):
            convert(nn.ReLU())
        with pytest.raises(ConfigError, match="skip names '9'; the network has 0, 1"):
            convert(network, skip=["9"])


def test_a_bayesian_layer_draws_its_weights():
    layer = Bayesian(nn.Conv2d(1, 2, 3, bias=False), spread=0.5).double()
    x = torch.ones(1, 1, 3, 3, dtype=torch.float64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        drawn = torch.stack([layer(x) for _ in range(4000)]).squeeze()
    mean, variance = layer.mean.sum((1, 2, 3)), layer.sigma.square().sum((1, 2, 3))
    assert ((drawn.mean(0) - mean).abs() < 5 * (variance / 4000).sqrt()).all()
    torch.testing.assert_close(drawn.var(0), variance, rtol=0.15, atol=0)


# Errors


@pytest.mark.parametrize(
    ("network", "rule", "message"),
    [
        (cnn, "mesu", r"mesu needs Bayesian layers: to_bayesian\(network\).*consists of Conv2d, BatchNorm2d, ReLU"),
        (cnn, "metaplastic", r"metaplastic needs layers of binary or quantised weights.*to_quantised\(network\)"),
        (lambda: nn.Sequential(nn.Flatten(), to_quantised(nn.Linear(64, 4))), "real", "real needs nn.Linear or nn.Conv2d"),
        (lambda: cnn(5), "adam", r"returns \(2, 5\) for two inputs; expected logits of shape \(2, 4\), for 4 classes"),
        (lambda: nn.Linear(64, 4), "adam", r"cannot take inputs of shape \(samples, 1, 8, 8\).*flatten=True"),
        (lambda: nn.Flatten(), "adam", "the network has no parameters"),
        (lambda: cnn().requires_grad_(False), "adam", "no parameter of the network requires a gradient"),
        (lambda: "resnet", "adam", "the network is a str; expected an nn.Module"),
        (cnn, "hebb", "rule is 'hebb'"),
    ],
)
def test_networks_that_do_not_fit_are_refused(network, rule, message):
    with pytest.raises(ConfigError, match=message):
        NetworkLearner(network(), STREAM, rule=rule)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"plugins": ["gem"]}, "a plugin is 'gem'"),
        ({"plugins": "replay"}, "plugins is 'replay'; expected a list"),
        ({"plugins": ["replay", Replay()]}, "plugins contains a name twice"),
        ({"plugins": ["replay"], "bufer": 3}, "there is no setting bufer; the settings are: adam: rate.*; replay: buffer"),
        ({"heads": "double"}, "heads is 'double'"),
    ],
)
def test_invalid_arguments_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        NetworkLearner(cnn(), STREAM, **arguments)


def test_what_does_not_fit_the_stream_or_the_rule_is_refused():
    with pytest.raises(ConfigError, match=r"lwf consolidates where a task ends, and the stream .* has no boundaries"):
        NetworkLearner(cnn(), WHOLE, plugins=["lwf"])
    with pytest.raises(ConfigError, match="several heads need to know the task"):
        NetworkLearner(cnn(), WHOLE, heads="multi")
    with pytest.raises(ConfigError, match="mesu preserves the past by its distributions of weights, on which ewc cannot act"):
        NetworkLearner(to_bayesian(cnn()), STREAM, rule="mesu", plugins=["ewc"])


def test_a_loss_that_diverges_names_the_setting():
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 30), nn.Linear(30, 4))
    with pytest.raises(FitError, match=r"sgd diverged: .* Most likely the cause is rate=1e\+10: try the default, rate=0\.01"):
        train(NetworkLearner(network, STREAM, rule="sgd", rate=1e10), STREAM, batch_size=10)


# What the caller handed over


def rows(samples=24, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(samples) % 3
    return torch.randn(samples, 6, generator=generator), labels, torch.randn(9, 6, generator=generator), torch.arange(9) % 3


def normed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))


@pytest.mark.filterwarnings("ignore:Found .* in eval mode")
def test_each_module_keeps_its_mode():
    stream, network = TaskList([rows(), rows()]), normed()
    network[1].eval()
    learner = NetworkLearner(network, stream, rule="sgd", plugins=["ewc"])
    train(learner, stream, batch_size=8)
    assert [each.training for each in network] == [True, False, True, True]
    assert torch.equal(network[1].running_mean, torch.zeros(5))  # frozen
    network.eval()
    train(NetworkLearner(network, stream, rule="sgd"), stream, batch_size=8)
    assert not any(each.training for each in network.modules())


def test_a_last_batch_of_one_joins_the_one_before_if_batch_norms_need_it():
    stream = TaskList([rows(17)])
    sizes = []
    network = normed()
    network.register_forward_hook(lambda module, given, out: sizes.append(len(given[0])) if module.training else None)
    train(NetworkLearner(network, stream, rule="sgd"), stream, batch_size=8)
    assert sizes == [8, 9]
    sizes.clear()
    plain = nn.Linear(6, 3)
    plain.register_forward_hook(lambda module, given, out: sizes.append(len(given[0])) if module.training else None)
    train(NetworkLearner(plain, stream, rule="sgd"), stream, batch_size=8)
    assert sizes == [8, 8, 1]


@pytest.mark.parametrize("samples", [1, 24])
def test_a_single_sample_for_a_batch_norm_is_refused(samples):
    stream = TaskList([rows(samples)], classes=3)
    with pytest.raises(ConfigError, match="the batch has one sample, which has no variance"):
        train(NetworkLearner(normed(), stream, rule="sgd"), stream, batch_size=1 if samples > 1 else 8)
    with pytest.raises(ConfigError, match="the batch has one sample, which has no variance"):
        train(MetaplasticBNN(stream, hidden=[4]), stream, batch_size=1 if samples > 1 else 8)


@pytest.mark.parametrize("plugin", ["lwf", "replay", "ewc"])
def test_a_network_that_works_in_place_learns_from_unchanged_data(plugin):
    """It equals one that does not, and the stream is as it was."""
    stream, weights = TaskList([rows(), rows(seed=1)]), []
    before = [each.clone() for task in stream for each in (task.inputs, task.test_inputs)]
    for inplace in (True, False):
        network = nn.Sequential(nn.ReLU(inplace=inplace), linear(6, 3))
        train(NetworkLearner(network, stream, rule="sgd", rate=0.1, plugins=[plugin]), stream, batch_size=8, shuffle=False)
        weights.append(network[1].weight.detach())
    assert torch.equal(*weights)
    assert all(map(torch.equal, before, [each for task in stream for each in (task.inputs, task.test_inputs)]))


def test_parameters_that_are_not_finite_are_named():
    stream, network = TaskList([rows()]), normed()
    learner = NetworkLearner(network, stream, rule="sgd")
    network[1].running_var[2] = float("nan")
    with pytest.raises(ConfigError, match=r"1 of 5 values of '1\.running_var' of the network are NaN"):
        train(learner, stream)
    with pytest.raises(ConfigError, match=r"'1\.running_var' of the network"):
        NetworkLearner(network, stream)
