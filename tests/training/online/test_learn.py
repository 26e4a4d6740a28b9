"""Online learning: gradients against autograd of the loss, rules against their equations, compiled against plain torch."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from spinode import kernels
from spinode.random import counter_normals, philox
from spinode.errors import ConfigError, FitError
from spinode.kernels import native
from spinode.training.online import updates as online_torch
from spinode.training.online.learn import OnlineBGD, OnlineBiMU, OnlineMESU, OnlineSGD, learn_online, run_online

OFFERED = native.BUILD_INFO["simd_offered"]
compiled = pytest.mark.skipif(not native.built, reason=f"this installation has no compiled kernels: {native.reason}")

RULES = [
    OnlineSGD(0.02),
    OnlineSGD(0.02, penalty=0.3),
    OnlineSGD(0.02, penalty=0.5, stream_decay=0.2),
    OnlineMESU(memory=500, prior_mean=0.1, prior_sigma=0.5, mean_rate=0.8, sigma_rate=1.3, samples=4),
    OnlineMESU(memory=math.inf, samples=1),
    OnlineMESU(memory=500, samples=6, clamp=0.02),
    OnlineBGD(samples=5),
    OnlineBGD(samples=5, published_code=True),
    *[
        OnlineBiMU(2.0, 0.1, 3.0, memory=50, samples=samples, activation=activation, normalise=normalise, relaxed=relaxed)
        for samples, activation, normalise in ((5, "relu", False), (2, "relu", True), (3, "gate", False), (6, "gate", True))
        for relaxed in (False, True)
    ],
]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def made(rule, hidden=7, features=11, classes=4, *, steps=9, dtype=torch.float64, seed=0):
    """A state, samples and noise."""
    g = seeded(seed)
    shapes = ((hidden, features), (classes, hidden))
    state = {}
    for layer, shape in enumerate(shapes):
        weight = torch.randn(shape, generator=g, dtype=torch.float64) / shape[1] ** 0.5
        if isinstance(rule, OnlineSGD):
            state[f"weight{layer}"] = weight
            for name in ("importance", "anchor", "fisher", "path"):
                state[f"{name}{layer}"] = torch.rand(shape, generator=g, dtype=torch.float64)
        elif isinstance(rule, OnlineBiMU):
            state[f"lambda{layer}"] = 2 * shape[1] ** 0.5 * weight
        else:
            state[f"mean{layer}"] = weight
            state[f"sigma{layer}"] = (0.1 + 0.4 * torch.rand(shape, generator=g, dtype=torch.float64)) / shape[1] ** 0.5
    state = {name: value.to(dtype) for name, value in state.items()}
    inputs = torch.randn(steps, features, generator=g).to(dtype)
    labels = torch.randint(classes, (steps,), generator=g)
    noise = torch.randn(steps, rule.samples, hidden + classes, generator=g).to(dtype) if rule.samples else None
    return state, inputs, labels, noise


def learned(rule, state, inputs, labels, noise, mode="torch"):
    """State and losses after learning; the given state is kept."""
    state = {name: value.clone() for name, value in state.items()}
    with kernels.use(mode):
        losses = learn_online(rule, state, inputs, labels, noise=noise)
    return state, losses


# Gradients and rules


def loss_of(mean0, sigma0, mean1, sigma1, x, label, noise):
    """Mean cross entropy over the draws, written as the equations are."""
    total = 0
    for draw in noise:
        deviation = torch.stack([(sigma0[i] ** 2 * x**2).sum().sqrt() for i in range(len(mean0))])
        h = torch.relu(mean0 @ x + deviation * draw[: len(mean0)])
        deviation = torch.stack([(sigma1[i] ** 2 * h**2).sum().sqrt() for i in range(len(mean1))])
        total = total - torch.log_softmax(mean1 @ h + deviation * draw[len(mean0) :], 0)[label]
    return total / len(noise)


def test_gradients_are_those_of_autograd():
    rule = OnlineMESU(samples=3)
    state, inputs, labels, noise = made(rule)
    tensors = [state[name].requires_grad_() for name in ("mean0", "sigma0", "mean1", "sigma1")]
    loss = loss_of(*tensors, inputs[0], labels[0], noise[0])
    expected = torch.autograd.grad(loss, tensors)
    with torch.no_grad():
        found, gradients = online_torch.gaussian_gradients(*tensors, inputs[0], int(labels[0]), noise[0])
    torch.testing.assert_close(found, loss.detach())
    for ours, truth in zip(gradients, expected, strict=True):
        torch.testing.assert_close(ours, truth, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("clamp", [0.0, 0.01])
def test_mesu_is_the_published_rule(clamp):
    rule = OnlineMESU(0.7, 1.4, prior_mean=0.2, prior_sigma=0.6, memory=50, samples=3, clamp=clamp)
    state, inputs, labels, noise = made(rule, steps=1)
    after, _ = learned(rule, state, inputs, labels, noise)
    tensors = [state[name].requires_grad_() for name in ("mean0", "sigma0", "mean1", "sigma1")]
    grads = torch.autograd.grad(loss_of(*tensors, inputs[0], labels[0], noise[0]), tensors)
    cut = 0
    for layer in (0, 1):
        mu, s = (value.detach() for value in tensors[2 * layer : 2 * layer + 2])
        dmu, ds = grads[2 * layer : 2 * layer + 2]
        if clamp:
            cut += int((dmu.abs() > clamp / s).sum() + (ds.abs() > clamp / s).sum())
            dmu, ds = (torch.minimum(torch.maximum(g, -clamp / s), clamp / s) for g in (dmu, ds))
        mean = mu + 0.7 * (-(s**2) * dmu + s**2 * (0.2 - mu) / (50 * 0.6**2))
        sigma = s + 1.4 * 0.5 * (-(s**2) * ds + s * (0.6**2 - s**2) / (50 * 0.6**2))
        torch.testing.assert_close(after[f"mean{layer}"], mean, rtol=1e-13, atol=1e-14)
        torch.testing.assert_close(after[f"sigma{layer}"], sigma, rtol=1e-13, atol=1e-14)
    assert bool(cut) == bool(clamp)


def test_bgd_is_the_published_rule_and_its_slip_the_codes():
    rule = OnlineBGD(0.9, samples=3)
    state, inputs, labels, noise = made(rule, steps=1)
    after, _ = learned(rule, state, inputs, labels, noise)
    slipped, _ = learned(replace(rule, published_code=True), state, inputs, labels, noise)
    tensors = [state[name].requires_grad_() for name in ("mean0", "sigma0", "mean1", "sigma1")]
    grads = torch.autograd.grad(loss_of(*tensors, inputs[0], labels[0], noise[0]), tensors)
    for layer in (0, 1):
        mu, s = (value.detach() for value in tensors[2 * layer : 2 * layer + 2])
        dmu, g = grads[2 * layer : 2 * layer + 2]
        torch.testing.assert_close(after[f"mean{layer}"], mu - 0.9 * s**2 * dmu, rtol=1e-13, atol=1e-15)
        right = s * (1 + (s * g / 2) ** 2).sqrt() - s**2 * g / 2
        torch.testing.assert_close(after[f"sigma{layer}"], right, rtol=1e-13, atol=1e-15)
        wrong = s - (s**2 * g / 2 + s * ((1 + s**2 * g**2 / 4).sqrt() - 1))
        torch.testing.assert_close(slipped[f"sigma{layer}"], wrong, rtol=1e-13, atol=1e-15)


def relaxed_by_integration(value):
    """Mean and variance of tanh(l + logit(u) / 2), integrated over xi = logit(u) / 2, of density sech(xi)^2 / 2.

    The trapezoidal rule converges exponentially: its error is about exp(-pi^2 / step), the tails beyond 20 hold exp(-40).
    """
    step = 0.2
    xi = torch.arange(-100, 101, dtype=torch.float64) * step
    weights = step / (2 * torch.cosh(xi).square())
    drawn = torch.tanh(value[..., None] + xi)
    mean = (drawn * weights).sum(-1)
    return mean, ((drawn - mean[..., None]).square() * weights).sum(-1)


@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-12), (torch.float32, 2e-6)])
def test_moments_of_relaxed_weights(dtype, close):
    """Against integration over u and, by autograd of that, their derivatives; on both sides of where the closed form begins."""
    value = torch.cat([torch.linspace(-3, 3, 601), torch.tensor([0.0, 1e-9, -1e-4, 0.5493, 0.5494, 0.8813, 0.8814])])
    exact = value.double().requires_grad_()
    mean, variance = relaxed_by_integration(exact)
    slopes = [torch.autograd.grad(each.sum(), exact, retain_graph=True)[0] for each in (mean, variance / 2)]
    found = online_torch.relaxed_moments(value.to(dtype))
    for ours, truth in zip(found, (mean.detach(), variance.detach(), *slopes), strict=True):
        torch.testing.assert_close(ours.double(), truth, rtol=0, atol=close)
    assert float(found[1][601]) == pytest.approx(1 / 3)  # uniform on -1 .. 1 at lambda = 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_relaxed_weights_far_out_are_certain(dtype):
    value = torch.tensor([7.9, 8.0, 8.1, 9.5, 19.9, 20.1, 1e30, math.inf], dtype=dtype)
    for sign in (1, -1):
        mean, variance, slope, spread = online_torch.relaxed_moments(sign * value)
        assert bool((variance >= 0).all())
        assert float(variance.max()) < 1e-6
        assert float((mean - sign).abs().max()) < 1e-5
        for each in (slope, spread):
            assert float(each.abs().max()) < 1e-4  # fails on NaN


@pytest.mark.parametrize("mode", ["torch", pytest.param("native", marks=compiled)])
@pytest.mark.parametrize("rule", [rule for rule in RULES if isinstance(rule, OnlineBiMU)], ids=str)
def test_a_step_without_gradients_forgets_nothing(rule, mode):
    """Inputs of zero leave every unit of the hidden layer at zero; the step after one is learned as if it had not been."""
    state, inputs, labels, noise = made(rule, 9, 20, 5, steps=3)
    blank = inputs.clone()
    blank[1] = 0
    after, _ = learned(rule, state, blank, labels, noise, mode)
    kept = [0, 2]
    expected, _ = learned(rule, state, inputs[kept], labels[kept], noise[kept], mode)
    idle, _ = learned(rule, state, blank[1:2], labels[1:2], noise[1:2], mode)
    for name, value in expected.items():
        assert torch.equal(after[name], value), name
        assert torch.equal(idle[name], state[name]), name
        assert not torch.equal(value, state[name]), name


@compiled
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_compiled_relaxed_weights_far_out(dtype):
    """Weights that are certain, beside ones that are not: no NaN, and what plain torch gives."""
    rule = OnlineBiMU(2.0, 0.1, 3.0, memory=50, samples=3)
    state, inputs, labels, noise = made(rule, 9, 40, 5, steps=4, dtype=dtype)
    state["lambda0"][:, ::3] = 1e6
    state["lambda0"][:, 1::6] = -30
    expected, losses = learned(rule, state, inputs, labels, noise)
    found, ours = learned(rule, state, inputs, labels, noise, "native")
    torch.testing.assert_close(ours, losses, rtol=1e-3, atol=1e-3)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("relaxed", [False, True])
@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gate"])
def test_bimu_is_the_published_rule(activation, normalise, relaxed):
    """dC/dlambda by autograd of normal pre-activations; the gate by a function whose derivative is the one it is given."""
    rule = OnlineBiMU(2.0, 0.1, 3.0, 0.7, 40, samples=4, activation=activation, normalise=normalise, relaxed=relaxed)
    state, inputs, labels, noise = made(rule, steps=1)
    after, losses = learned(rule, state, inputs, labels, noise)
    tensors = [state[f"lambda{layer}"].requires_grad_() for layer in (0, 1)]

    def drawn(layer, x, e):
        mean = tensors[layer].tanh()
        mean, variance = relaxed_by_integration(tensors[layer]) if relaxed else (mean, 1 - mean**2)
        a = x @ mean.T + (x**2 @ variance.T).sqrt() * e
        return torch.nn.functional.layer_norm(a, a.shape[1:]) if normalise else a

    a = drawn(0, inputs.expand(4, -1), noise[0, :, :7])
    edges = a.abs().clamp(0.5, 1.5)  # its derivative is sign(a) for 1/2 < |a| < 3/2
    h = torch.relu(a) if activation == "relu" else (a.abs() > 1).double() + (edges - edges.detach())
    loss = torch.nn.functional.cross_entropy(drawn(1, h, noise[0, :, 7:]), labels.expand(4))
    torch.testing.assert_close(losses[0], loss.detach())
    for layer, gradient in enumerate(torch.autograd.grad(loss, tensors)):
        value = tensors[layer].detach()
        g, s = 3 * gradient, 0.7 * (1 - value.tanh() ** 2)
        moved = value - (2 * g + s * value / 40) / (s + 2 * g * value.tanh() + 2 * g.abs() + 1 / 0.1)
        torch.testing.assert_close(after[f"lambda{layer}"], moved, rtol=1e-11, atol=1e-13)


def test_descent_with_penalty_and_sums():
    rule = OnlineSGD(0.03, penalty=0.4)
    state, inputs, labels, _ = made(rule, steps=1)
    after, losses = learned(rule, state, inputs, labels, None)
    weights = [state[f"weight{layer}"].requires_grad_() for layer in (0, 1)]
    logits = weights[1] @ torch.relu(weights[0] @ inputs[0])
    loss = torch.nn.functional.cross_entropy(logits[None], labels)
    torch.testing.assert_close(losses[0], loss.detach())
    for layer, g in enumerate(torch.autograd.grad(loss, weights)):
        w = weights[layer].detach()
        moved = w - 0.03 * (g + 0.4 * state[f"importance{layer}"] * (w - state[f"anchor{layer}"]))
        torch.testing.assert_close(after[f"weight{layer}"], moved)
        torch.testing.assert_close(after[f"fisher{layer}"], state[f"fisher{layer}"] + g**2)
        torch.testing.assert_close(after[f"path{layer}"], state[f"path{layer}"] - g * (moved - w))
        assert torch.equal(after[f"importance{layer}"], state[f"importance{layer}"])
        assert torch.equal(after[f"anchor{layer}"], state[f"anchor{layer}"])


def test_the_stream_follows_the_weights():
    """Two steps by hand: the penalty of the second pulls along the change of the first."""
    rule = OnlineSGD(0.03, penalty=2.0, stream_decay=0.2)
    state, inputs, labels, _ = made(rule, steps=2)
    for layer in (0, 1):
        state[f"importance{layer}"].zero_()
    after, _ = learned(rule, state, inputs, labels, None)
    w = [state[f"weight{layer}"] for layer in (0, 1)]
    _, g = online_torch.point_gradients(*w, inputs[0], int(labels[0]))
    v = [a - 0.03 * b for a, b in zip(w, g, strict=True)]
    _, f = online_torch.point_gradients(*v, inputs[1], int(labels[1]))
    for layer in (0, 1):
        moved = v[layer] - 0.03 * (f[layer] + 2 * g[layer] ** 2 * (v[layer] - w[layer]))
        torch.testing.assert_close(after[f"weight{layer}"], moved)
        torch.testing.assert_close(after[f"importance{layer}"], 0.2 * g[layer] ** 2 + f[layer] ** 2)
        assert torch.equal(after[f"anchor{layer}"], v[layer])


@pytest.mark.parametrize("mode", ["torch", pytest.param("native", marks=compiled)])
def test_a_penalty_pulls_to_the_anchor(mode):
    """Without a gradient (inputs of zero) the distance shrinks by 1 - rate penalty importance in each step."""
    rule = OnlineSGD(0.1, penalty=2.0)
    state, inputs, labels, _ = made(rule, steps=20)
    after, _ = learned(rule, state, 0 * inputs, labels, None, mode)
    left = (1 - 0.2 * state["importance0"]) ** 20
    expected = state["anchor0"] + left * (state["weight0"] - state["anchor0"])
    torch.testing.assert_close(after["weight0"], expected)


@pytest.mark.parametrize("mode", ["torch", pytest.param("native", marks=compiled)])
def test_what_mesu_sees_no_evidence_of_returns_to_the_prior(mode):
    """With inputs of zero: d s / dt = s (p^2 - s^2) / (2 N p^2), whose solution is known; the steps are small beside N."""
    memory, steps, prior = 2000.0, 1500, 0.5
    rule = OnlineMESU(prior_mean=0.3, prior_sigma=prior, memory=memory, samples=1)
    state, inputs, labels, noise = made(rule, 3, 4, 2, steps=steps)
    after, _ = learned(rule, state, 0 * inputs, labels, noise, mode)
    start = state["sigma0"] ** 2
    growth = math.exp(steps / memory)
    square = prior**2 * start * growth / (prior**2 + start * (growth - 1))
    torch.testing.assert_close(after["sigma0"], square.sqrt(), rtol=1e-3, atol=0)
    # d mu / dt = s^2 (m - mu) / (N p^2), and the integral of s^2 / (N p^2) is log(1 + s0^2 (growth - 1) / p^2).
    left = 1 / (1 + start * (growth - 1) / prior**2)
    torch.testing.assert_close(after["mean0"], 0.3 + (state["mean0"] - 0.3) * left, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("mode", ["torch", pytest.param("native", marks=compiled)])
def test_mesu_settles_where_prior_and_curvature_balance(mode):
    """sigma^2 = 1 / (1 / prior^2 + N H), with H = <dC/dsigma> / sigma.

    One hidden unit that is surely on and has no uncertainty of its own to speak of; two classes that are as likely one as the
    other, so that the mean stays at zero. For logits of small spread, dC/dsigma = sigma p (1 - p) h^2 = sigma h^2 / 4.
    """
    memory, prior, h = 200.0, 0.5, 1.0
    rule = OnlineMESU(mean_rate=0.0, sigma_rate=1.0, prior_sigma=prior, memory=memory, samples=50)
    steps = 3000
    state = {
        "mean0": torch.tensor([[h]]).double(), "sigma0": torch.tensor([[1e-12]]).double(),
        "mean1": torch.zeros(2, 1).double(), "sigma1": torch.full((2, 1), 0.3).double(),
    }  # fmt: skip
    inputs, labels = torch.ones(steps, 1).double(), torch.arange(steps) % 2
    noise = torch.randn(steps, 50, 3, generator=seeded(), dtype=torch.float64)
    with kernels.use(mode):
        learn_online(rule, state, inputs[: steps // 2], labels[: steps // 2], noise=noise[: steps // 2])
        kept = []
        for start in range(steps // 2, steps, 10):
            piece = slice(start, start + 10)
            learn_online(rule, state, inputs[piece], labels[piece], noise=noise[piece])
            kept.append(state["sigma1"].square().mean())
    expected = 1 / (1 / prior**2 + memory * h**2 / 4)
    # p (1 - p) falls below 1/4 by var(logit difference) / 16 = 2 expected / 16 of 1/4 or so, 1 %; the noise of the mean is 2 %.
    assert float(torch.stack(kept).mean()) == pytest.approx(expected, rel=0.08)


def test_mesu_that_never_forgets_is_bgd_to_first_order():
    """The rules differ by sigma u^2 / 2 with u = sigma dC/dsigma / 2: halving all sigma divides that by more than four."""
    off = []
    for scale in (0.2, 0.1, 0.05):
        state, inputs, labels, noise = made(OnlineBGD(samples=4), steps=1)
        for layer in (0, 1):
            state[f"sigma{layer}"] *= scale
        ours, _ = learned(OnlineMESU(memory=math.inf, samples=4), state, inputs, labels, noise)
        theirs, _ = learned(OnlineBGD(samples=4), state, inputs, labels, noise)
        torch.testing.assert_close(ours["mean0"], theirs["mean0"], rtol=1e-14, atol=1e-16)
        off.append(float(((ours["sigma1"] - theirs["sigma1"]) / state["sigma1"]).abs().max()))
        change = float(((ours["sigma1"] - state["sigma1"]) / state["sigma1"]).abs().max())
        assert off[-1] < change**2  # second order in the change itself
    assert off[0] / off[1] > 3.5
    assert off[1] / off[2] > 3.5


def test_local_draws_have_the_distribution_of_drawn_weights():
    """Losses of one sample, pre-activations drawn or all weights drawn; two-sample test at a false-alarm rate of 1e-4."""
    draws = 4000
    rule = OnlineMESU(0.0, 0.0, memory=math.inf, samples=1)
    state, inputs, labels, _ = made(rule, 5, 6, 3, steps=1)
    for layer in (0, 1):
        state[f"sigma{layer}"] *= 3
    noise = torch.randn(draws, 1, 8, generator=seeded(3), dtype=torch.float64)
    losses = learn_online(rule, state, inputs.expand(draws, -1), labels.expand(draws), noise=noise)
    g = seeded(4)
    first, second = (
        state[f"mean{i}"] + state[f"sigma{i}"] * torch.randn(draws, *state[f"mean{i}"].shape, generator=g, dtype=torch.float64)
        for i in (0, 1)
    )
    logits = (second @ torch.relu(first @ inputs[0])[..., None])[..., 0]
    drawn = torch.nn.functional.cross_entropy(logits, labels.expand(draws), reduction="none")
    assert kstest(losses.numpy(), drawn.numpy()).pvalue > 1e-4


# Compiled and plain


@compiled
@pytest.mark.parametrize("simd", ["portable", "avx2", "avx512"])
@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-11), (torch.float32, 2e-4)])
@pytest.mark.parametrize("sizes", [(1, 1, 1), (3, 5, 2), (16, 32, 16), (17, 70, 10), (33, 129, 21)])
def test_compiled_is_plain(simd, rule, dtype, close, sizes, monkeypatch):
    if simd not in OFFERED:
        pytest.skip(f"this machine or build has no {simd}")
    monkeypatch.setenv("SPINODE_SIMD", simd)
    state, inputs, labels, noise = made(rule, *sizes, dtype=dtype, seed=sum(sizes))
    expected, losses = learned(rule, state, inputs, labels, noise)
    found, ours = learned(rule, state, inputs, labels, noise, "native")
    torch.testing.assert_close(ours, losses, rtol=close, atol=close)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=close, atol=close, msg=lambda text, name=name: f"{name}: {text}")


@compiled
def test_a_large_spread_takes_the_exact_root():
    """Both branches of the float32 rule, see online_rules.hpp: |u| beyond 1/8 and below."""
    for scale in (1.0, 8.0):
        rule = OnlineBGD(samples=3)
        state, inputs, labels, noise = made(rule, 9, 40, 5, steps=2, dtype=torch.float32)
        for layer in (0, 1):
            state[f"sigma{layer}"] *= scale
        expected, _ = learned(rule, state, inputs, labels, noise)
        found, _ = learned(rule, state, inputs, labels, noise, "native")
        change = (expected["sigma0"] / state["sigma0"]).log().abs().max()
        assert (change > 0.2) == (scale > 1)
        torch.testing.assert_close(found["sigma0"], expected["sigma0"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("mode", ["torch", pytest.param("native", marks=compiled)])
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_pieces_give_what_the_whole_gives(rule, mode):
    state, inputs, labels, noise = made(rule, 9, 50, 5, steps=23, dtype=torch.float32)
    whole, losses = learned(rule, state, inputs, labels, noise, mode)
    parts = []
    for start, end in ((0, 1), (1, 9), (9, 9), (9, 23)):
        piece = None if noise is None else noise[start:end]
        state, found = learned(rule, state, inputs[start:end], labels[start:end], piece, mode)
        parts.append(found)
    assert torch.equal(torch.cat(parts), losses)
    for name, value in whole.items():
        assert torch.equal(state[name], value), name


@compiled
@pytest.mark.parametrize("rule", [OnlineMESU(samples=3), OnlineSGD(0.1, penalty=0.2)], ids=str)
def test_views_are_changed_in_place(rule):
    state, inputs, labels, noise = made(rule, steps=700)
    expected, losses = learned(rule, state, inputs, labels, noise, "native")
    turned = {name: value.T.contiguous().T for name, value in state.items()}
    noise = noise if noise is None else noise.repeat_interleave(2, 2)[:, :, ::2]
    with kernels.use("native"):
        ours = learn_online(rule, turned, inputs.T.contiguous().T, labels.repeat_interleave(2)[::2], noise=noise)
    assert torch.equal(ours, losses)
    for name, value in expected.items():
        assert torch.equal(turned[name], value), name


# Noise


def test_philox_gives_the_words_of_its_authors():
    """Known answers for the counter and key of zeros, and of ones."""
    zero, one = torch.zeros(1, dtype=torch.int64), torch.full((1,), 0xFFFFFFFF)
    assert [int(w) for w in philox((zero,) * 4, 0)] == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert [int(w) for w in philox((one,) * 4, 2**64 - 1)] == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]


def test_noise_is_normal_and_independent():
    """Kolmogorov-Smirnov and correlations of 240 000 numbers, at false-alarm rates of 1e-4 (3.9 standard errors) each."""
    values = counter_normals(2**61 + 17, 5, 400, 600).double()
    assert kstest(values.flatten().numpy(), "norm").pvalue > 1e-4
    for shifted in (values[:, 1:] * values[:, :-1], values[1:] * values[:-1], values[:, 150:] * values[:, :-150]):
        assert abs(float(shifted.mean())) < 3.9 / shifted.numel() ** 0.5
    square = values.square() - 1
    for shifted in (square[:, 1:] * square[:, :-1], square[:, 150:] * square[:, :-150]):
        assert abs(float(shifted.mean())) < 3.9 * 2 / shifted.numel() ** 0.5


@compiled
@pytest.mark.parametrize("simd", ["portable", "avx2", "avx512"])
@pytest.mark.parametrize("count", [1, 3, 4, 17, 63, 64, 65, 127, 128, 129, 600, 2050])
def test_compiled_noise_is_plain(simd, count, monkeypatch):
    if simd not in OFFERED:
        pytest.skip(f"this machine or build has no {simd}")
    monkeypatch.setenv("SPINODE_SIMD", simd)
    from spinode.kernels.online import normals as ours

    torch.testing.assert_close(
        ours(2**62 + 3, 2**33 - 2, 4, count), counter_normals(2**62 + 3, 2**33 - 2, 4, count), rtol=2e-6, atol=2e-6
    )


@compiled
def test_drawing_on_the_way_is_the_same_on_both_paths():
    """Over more steps than the plain path draws for at once; and the generator moves on by the same."""
    rule = OnlineMESU(samples=3)
    results = []
    for mode in ("torch", "native"):
        state, inputs, labels, _ = made(rule, steps=600, dtype=torch.float32)
        generator = seeded(5)
        with kernels.use(mode):
            losses = run_online(rule, state, inputs, labels, generator=generator)
        results.append((losses, state["sigma0"], torch.rand(1, generator=generator)))
    for ours, truth in zip(*results, strict=True):
        torch.testing.assert_close(ours, truth, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("mode", ["torch", pytest.param("native", marks=compiled)])
def test_a_run_goes_on_from_the_state_of_the_generator(mode):
    rule = OnlineBGD(samples=2)
    state, inputs, labels, _ = made(rule, steps=20)
    generator = seeded(1)
    with kernels.use(mode):
        run_online(rule, state, inputs, labels, generator=generator)
        saved, kept = generator.get_state(), {name: value.clone() for name, value in state.items()}
        losses = run_online(rule, state, inputs, labels, generator=generator)
        again = torch.Generator()
        again.set_state(saved)
        assert torch.equal(run_online(rule, kept, inputs, labels, generator=again), losses)
    assert torch.equal(kept["mean0"], state["mean0"])
    assert not torch.equal(losses, run_online(rule, kept, inputs, labels, generator=again))


def test_learning_lowers_the_loss():
    """Two separable clouds, each rule: a last tenth with less than half of the first loss."""
    for rule in (OnlineSGD(0.05), OnlineMESU(samples=4), OnlineBGD(samples=4)):
        state, inputs, labels, _ = made(rule, 8, 6, 2, steps=600, seed=2)
        inputs = 0.3 * inputs + (2.0 * labels[:, None] - 1)
        losses = run_online(rule, state, inputs, labels, generator=seeded())
        assert losses[-60:].mean() < losses[:10].mean() / 2, rule


# Errors


@pytest.mark.parametrize("mode", ["torch", pytest.param("native", marks=compiled)])
@pytest.mark.parametrize("rule", [OnlineSGD(0.1), OnlineMESU(samples=3)], ids=str)
def test_divergence_names_the_step_and_keeps_the_state_before(rule, mode):
    state, inputs, labels, noise = made(rule, 9, 20, 5, steps=12, dtype=torch.float32)
    expected, _ = learned(rule, state, inputs[:7], labels[:7], None if noise is None else noise[:7], mode)
    inputs[7, 3] = math.nan
    with kernels.use(mode), pytest.raises(FitError, match="loss of step 7 is nan"):
        learn_online(rule, state, inputs, labels, noise=noise)
    for name, value in expected.items():
        assert torch.equal(state[name], value), name


@pytest.mark.parametrize("mode", ["torch", pytest.param("native", marks=compiled)])
def test_an_infinite_weight_is_noticed_after_the_last_step(mode):
    rule = OnlineSGD(1e30)
    state, inputs, labels, _ = made(rule, steps=1, dtype=torch.float32)
    with (
        kernels.use(mode),
        pytest.raises(FitError, match=r"(fisher|path|weight)[01] holds infinite values or NaN after 1 steps"),
    ):
        learn_online(rule, state, 1e20 * inputs, labels)


@compiled
def test_divergence_on_the_way_is_named_alike():
    rule = OnlineMESU(samples=2)
    state, inputs, labels, _ = made(rule, steps=600)
    inputs[555] = math.inf
    for mode in ("torch", "native"):
        copy = {name: value.clone() for name, value in state.items()}
        with kernels.use(mode), pytest.raises(FitError, match="loss of step 555 is nan"):
            run_online(rule, copy, inputs, labels, generator=seeded())


def broken(**change):
    rule = change.pop("rule", OnlineMESU(samples=3))
    state, inputs, labels, noise = made(rule)
    state.update(change.pop("state", {}))
    for name in change.pop("without", ()):
        del state[name]
    return lambda: learn_online(rule, state, **{"inputs": inputs, "labels": labels, "noise": noise, **change})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (broken(without=["sigma1"]), r"needs sigma1; the state holds mean0, sigma0, mean1"),
        (broken(rule=OnlineSGD(0.1, 1.0), without=["anchor0"]), r"needs anchor0"),
        (broken(state={"mean1": torch.zeros(4, 8).double()}), r"shapes \(7, 11\) and \(4, 8\); expected \(hidden, features\)"),
        (broken(state={"sigma1": torch.zeros(4, 8).double()}), r"sigma1 is torch.float64 of shape \(4, 8\)"),
        (broken(state={"sigma0": torch.zeros(7, 11)}), r"sigma0 is torch.float32"),
        (broken(rule=OnlineSGD(0.1), state={"fisher1": torch.zeros(4, 8).double()}), r"fisher1 is torch.float64 of shape"),
        (broken(inputs=torch.zeros(9, 12).double()), r"inputs is torch.float64 of shape \(9, 12\)"),
        (broken(inputs=torch.zeros(9, 11)), r"inputs is torch.float32"),
        (broken(labels=torch.full((9,), 4)), r"labels range from 4 to 4; expected 0 to 3"),
        (broken(labels=torch.full((9,), -1)), r"labels range from -1 to -1"),
        (broken(labels=torch.zeros(9)), r"labels are torch.float32 of shape \(9,\); expected int64"),
        (broken(noise=None), r"noise for OnlineMESU.* is missing; expected shape \(9, 3, 11\)"),
        (broken(noise=torch.zeros(9, 2, 11).double()), r"noise is torch.float64 of shape \(9, 2, 11\)"),
        (broken(rule=OnlineSGD(0.1), noise=torch.zeros(9, 1, 11).double()), r"noise for OnlineSGD.* is given; expected none"),
        (lambda: learn_online("mesu", {}, torch.zeros(1, 1), torch.zeros(1).long()), r"the rule is 'mesu'; expected OnlineSGD"),
        (lambda: run_online(OnlineBGD(), *made(OnlineBGD())[:3]), r"no generator came"),
        (lambda: OnlineSGD(-1.0), r"rate and penalty of at least 0"),
        (lambda: OnlineSGD(1.0, stream_decay=1.5), r"stream_decay from 0 to 1"),
        (lambda: OnlineMESU(mean_rate=math.nan), r"rates of at least 0"),
        (lambda: OnlineMESU(memory=0), r"a memory above 0 steps"),
        (lambda: OnlineMESU(prior_sigma=0), r"a finite prior"),
        (lambda: OnlineMESU(samples=0), r"at least one sample"),
        (lambda: OnlineBGD(samples=0), r"at least one sample"),
        (lambda: OnlineBiMU(activation="tanh"), r"'gate' or 'relu'"),
        (lambda: OnlineBiMU(largest_rate=0), r"largest_rate and memory above 0"),
        (lambda: OnlineBiMU(divergence=-1), r"rate, likelihood and divergence of at least 0"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(call, message):
    with pytest.raises(ConfigError, match=message):
        call()


def test_no_steps_change_nothing():
    for rule in RULES:
        state, inputs, labels, noise = made(rule, steps=0)
        after, losses = learned(rule, state, inputs, labels, noise, "auto")
        assert losses.shape == (0,)
        assert all(torch.equal(after[name], value) for name, value in state.items())


def test_parameters_may_be_a_state():
    rule = OnlineSGD(0.1)
    state, inputs, labels, _ = made(rule)
    held = {name: torch.nn.Parameter(state[name].clone()) for name in ("weight0", "weight1")}
    learn_online(rule, held, inputs, labels)
    assert not np.allclose(held["weight0"].detach(), state["weight0"])
