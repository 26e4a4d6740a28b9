"""Bayesian layers and optimisers: distribution of draws, steps against their equations and against the compiled rules."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from spinode.errors import ConfigError
from spinode.training import BGD, MESU, BayesianLinear, BiMU, BinaryBayesianLinear, GateActivation, TorchMESU, gaussian_pairs
from spinode.training.online import OnlineBGD, OnlineMESU, learn_online


def generator(seed):
    return torch.Generator().manual_seed(seed)


def layer(sampling="weights", inputs=4, outputs=3, spread=0.5):
    return BayesianLinear(inputs, outputs, spread=spread, sampling=sampling, generator=generator(1)).double()


def test_initial_distribution():
    bayesian_layer = BayesianLinear(400, 50, spread=0.25, generator=generator(1))
    limit = 4 / math.sqrt(400)
    assert 0.99 * limit < float(bayesian_layer.mean.detach().abs().max()) <= limit
    assert torch.equal(bayesian_layer.sigma.detach(), torch.full_like(bayesian_layer.sigma, 0.25 * limit))


def test_both_ways_of_sampling_have_the_same_moments():
    x = torch.randn(2, 4, generator=generator(2), dtype=torch.float64)
    expected = x @ layer().mean.T, x.square() @ layer().sigma.square().T
    for sampling in ("weights", "local"):
        with torch.no_grad():
            drawn = layer(sampling)(x, 40000, generator=generator(3))
        assert drawn.shape == (40000, 2, 3)
        error = (expected[1] / 40000).sqrt()
        assert bool(((drawn.mean(0) - expected[0]).abs() < 4.5 * error).all())
        torch.testing.assert_close(drawn.var(0), expected[1].detach(), rtol=0.05, atol=0)


def test_drawn_weights_are_shared_by_the_batch_and_local_draws_are_not():
    x = torch.ones(2, 4, dtype=torch.float64)
    shared, own = (layer(each)(x, 5, generator=generator(3)) for each in ("weights", "local"))
    assert torch.equal(shared[:, 0], shared[:, 1])
    assert not torch.equal(own[:, 0], own[:, 1])


def test_zero_inputs_have_finite_gradients():
    bayesian_layer = layer("local")
    bayesian_layer(torch.zeros(2, 4, dtype=torch.float64), 3, generator=generator(1)).sum().backward()
    assert bool(bayesian_layer.sigma.grad.isfinite().all())


def with_gradients(seed=0, shape=(5, 4)):
    mean = nn.Parameter(torch.randn(shape, generator=generator(seed), dtype=torch.float64))
    sigma = nn.Parameter(torch.rand(shape, generator=generator(seed + 1), dtype=torch.float64) + 0.1)
    mean.grad, sigma.grad = (torch.randn(shape, generator=generator(seed + k), dtype=torch.float64) for k in (2, 3))
    return mean, sigma


@pytest.mark.parametrize("clamp", [0.0, 0.2])
def test_step_of_mesu(clamp):
    mean, sigma = with_gradients()
    m, s, g, h = (each.detach().clone() for each in (mean, sigma, mean.grad, sigma.grad))
    if clamp:
        g, h = g.clamp(-clamp / s, clamp / s), h.clamp(-clamp / s, clamp / s)
    MESU([(mean, sigma)], mean_rate=0.3, sigma_rate=0.7, prior_mean=0.2, prior_sigma=0.5, memory=20, clamp=clamp).step()
    torch.testing.assert_close(mean.detach(), m + 0.3 * (-(s**2) * g + s**2 * (0.2 - m) / (20 * 0.25)))
    torch.testing.assert_close(sigma.detach(), s + 0.7 / 2 * (-(s**2) * h + s * (0.25 - s**2) / (20 * 0.25)))


def test_without_forgetting_mesu_is_bgd_to_first_order():
    pairs = [with_gradients(), with_gradients()]
    for _, sigma in pairs:
        sigma.grad *= 1e-4
    MESU([pairs[0]], memory=math.inf).step()
    BGD([pairs[1]]).step()
    torch.testing.assert_close(pairs[0][0], pairs[1][0])
    torch.testing.assert_close(pairs[0][1], pairs[1][1], rtol=0, atol=1e-8)


def test_without_evidence_mesu_returns_to_its_prior():
    mean, sigma = with_gradients()
    mean.grad.zero_(), sigma.grad.zero_()
    rule = MESU([(mean, sigma)], prior_mean=0.3, prior_sigma=0.4, memory=5)
    for _ in range(300):
        rule.step()
    torch.testing.assert_close(mean.detach(), torch.full_like(mean, 0.3), rtol=1e-6, atol=0)
    torch.testing.assert_close(sigma.detach(), torch.full_like(sigma, 0.4), rtol=1e-6, atol=0)


@pytest.mark.parametrize("published", [False, True])
def test_step_of_bgd(published):
    mean, sigma = with_gradients()
    m, s, g, h = (each.detach().clone() for each in (mean, sigma, mean.grad, sigma.grad))
    BGD([(mean, sigma)], mean_rate=0.4, published_code=published, clamp=0).step()
    u = s * h / 2
    torch.testing.assert_close(mean.detach(), m - 0.4 * s**2 * g)
    root = (1 + u**2).sqrt()
    torch.testing.assert_close(sigma.detach(), s * (2 - u - root if published else root - u))


def test_step_of_torch_mesu():
    mean, sigma = with_gradients()
    m, s, g, h = (each.detach().clone() for each in (mean, sigma, mean.grad, sigma.grad))
    settings = {"mean_rate": 0.3, "sigma_rate": 0.7, "prior_sigma": 0.5, "memory": 20, "ratio_max": 0.05, "bounds": (0.11, 0.9)}
    TorchMESU([(mean, sigma)], **settings).step()
    denominator = 1 + s * h.abs()
    first = -0.3 * (s**2 * g + s**2 * m / (20 * 0.25)) / denominator
    second = -0.7 * (s**2 * h + s * (s**2 - 0.25) / (20 * 0.25)) / denominator
    torch.testing.assert_close(mean.detach(), m + first.clamp(-0.05 * s, 0.05 * s))
    torch.testing.assert_close(sigma.detach(), (s + second.clamp(-0.05 * s, 0.05 * s)).clamp(0.11, 0.9))


@pytest.mark.parametrize(
    ("rule", "online"),
    [
        (lambda pairs: MESU(pairs, mean_rate=0.5, memory=100, clamp=0), OnlineMESU(0.5, memory=100, samples=3)),
        (lambda pairs: BGD(pairs, clamp=0), OnlineBGD(samples=3)),
    ],
)
def test_single_samples_equal_the_compiled_rules(rule, online):
    """The same noise in local draws of torch and in `learn_online`."""
    net = [
        BayesianLinear(6, 5, sampling="local", generator=generator(1)),
        BayesianLinear(5, 3, sampling="local", generator=generator(2)),
    ]
    net = nn.ModuleList(net).double()
    state = {f"{what}{k}": getattr(each, what).detach().clone() for k, each in enumerate(net) for what in ("mean", "sigma")}
    x = torch.randn(8, 6, generator=generator(3), dtype=torch.float64)
    y = torch.randint(3, (8,), generator=generator(4))
    source, noise = generator(5), []
    optimiser = rule(gaussian_pairs(net))
    for sample, label in zip(x, y, strict=True):
        again = torch.Generator()
        again.set_state(source.get_state())
        drawn = [torch.randn(3, 1, units, generator=again, dtype=torch.float64) for units in (5, 3)]
        noise.append(torch.cat(drawn, -1)[:, 0])
        hidden = net[0](sample[None], 3, generator=source).relu()
        log_p = net[1](hidden, 3, generator=source).log_softmax(-1)
        optimiser.zero_grad()
        (-log_p[:, 0, label].mean()).backward()
        optimiser.step()
    learn_online(online, state, x, y, noise=torch.stack(noise))
    for k, each in enumerate(net):
        torch.testing.assert_close(each.mean.detach(), state[f"mean{k}"])
        torch.testing.assert_close(each.sigma.detach(), state[f"sigma{k}"])


def test_binary_weights_in_training_and_in_tests():
    bayesian_layer = BinaryBayesianLinear(3, 2, generator=generator(1)).double()
    with torch.no_grad():
        bayesian_layer.field.copy_(torch.linspace(-1.5, 1.5, 6, dtype=torch.float64).view(2, 3))
        x = torch.eye(3, dtype=torch.float64)
        relaxed = bayesian_layer(x, 40000, generator=generator(2)).transpose(1, 2)
        bayesian_layer.eval()
        binary = bayesian_layer(x, 40000, generator=generator(3)).transpose(1, 2)
    assert float(relaxed.abs().max()) <= 1
    assert set(binary.unique().tolist()) == {-1.0, 1.0}
    mean = bayesian_layer.field.tanh()
    assert bool(((binary.mean(0) - mean).abs() < 4.5 * ((1 - mean**2) / 40000).sqrt()).all())
    # E tanh(l + xi), tanh(xi) uniform: 1 / t - (1 - t^2) l / t^2
    field = bayesian_layer.field
    expected = 1 / mean - (1 - mean**2) * field / mean**2
    assert bool(((relaxed.mean(0) - expected).abs() < 4.5 * relaxed.std(0) / 200).all())


def test_gate_and_its_derivative():
    x = torch.tensor([-2.0, -1.2, -0.7, 0.0, 0.7, 1.2, 2.0], requires_grad=True)
    y = GateActivation()(x)
    y.sum().backward()
    assert y.tolist() == [1, 1, 0, 0, 0, 1, 1]
    assert x.grad.tolist() == [0, -1, -1, 0, 1, 1, 0]


def test_step_of_bimu():
    field = nn.Parameter(torch.randn(5, 4, generator=generator(1), dtype=torch.float64))
    field.grad = torch.randn(5, 4, generator=generator(2), dtype=torch.float64)
    value, g = field.detach().clone(), 3.0 * field.grad
    BiMU([field], rate=2.0, largest_rate=0.1, likelihood=3.0, divergence=0.7, memory=40).step()
    s = 0.7 * (1 - value.tanh() ** 2)
    expected = value - (2 * g + s * value / 40) / (s + 2 * g * value.tanh() + 2 * g.abs() + 10)
    torch.testing.assert_close(field.detach(), expected)
    field.grad.zero_()
    before = field.detach().clone()
    BiMU([field], memory=2).step()
    assert torch.equal(field.detach(), before)  # without evidence nothing is forgotten


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BayesianLinear(3, 2, sampling="some"), "sampling is 'some'; expected one of weights, local"),
        (lambda: BayesianLinear(3, 2, spread=0), "spread is 0; expected a finite number above 0"),
        (lambda: BinaryBayesianLinear(3, 2, temperature=-1), "temperature is -1"),
        (lambda: MESU([]), "expected pairs of a mean and a sigma"),
        (lambda: MESU([with_gradients()], memory=0), "memory of MESU is 0; expected a number above 0"),
        (lambda: MESU([with_gradients()], clamp=float("nan")), "clamp of MESU is nan"),
        (
            lambda: TorchMESU([with_gradients()], momentum=1),
            "momentum of TorchMESU is 1; expected a finite number of at least 0 and below 1",
        ),
        (lambda: BGD([with_gradients()], mean_rate=-1), "mean_rate of BGD is -1; expected a finite number of at least 0"),
        (lambda: BiMU([with_gradients()[0]], largest_rate=0), "largest_rate of BiMU is 0"),
    ],
)
def test_wrong_settings_are_reported(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
