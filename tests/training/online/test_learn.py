"""Online learning: gradients against autograd of the loss, rules against their equations, compiled against plain torch."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from spinode import kernels
from spinode.errors import ConfigError, FitError
from spinode.kernels import native
from spinode.training.online import OnlineBGD, OnlineBiMU, OnlineMESU, OnlineSGD, learn_online, run_online
from spinode.training.online.bimu import relaxed_moments
from spinode.training.online.gradients import point_gradients

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


def seeded_generator(seed=0):
    return torch.Generator().manual_seed(seed)


def make_case(rule, hidden=7, features=11, classes=4, *, steps=9, dtype=torch.float64, seed=0):
    """Return a state, samples and noise."""
    g = seeded_generator(seed)
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
    noise = torch.randn(steps, rule.draws, hidden + classes, generator=g).to(dtype) if rule.draws else None
    return state, inputs, labels, noise


def learn_copy(rule, state, inputs, labels, noise, mode="torch"):
    """Return state and losses after learning, without changing the given state."""
    state = {name: value.clone() for name, value in state.items()}
    with kernels.use(mode):
        losses = learn_online(rule, state, inputs, labels, noise=noise)
    return state, losses


# Gradients and rules


def loss_of(mean0, sigma0, mean1, sigma1, x, label, noise):
    """Return the mean cross entropy over the draws, in the form of the equations."""
    total = 0
    for draw in noise:
        deviation = torch.stack([(sigma0[i] ** 2 * x**2).sum().sqrt() for i in range(len(mean0))])
        h = torch.relu(mean0 @ x + deviation * draw[: len(mean0)])
        deviation = torch.stack([(sigma1[i] ** 2 * h**2).sum().sqrt() for i in range(len(mean1))])
        total = total - torch.log_softmax(mean1 @ h + deviation * draw[len(mean0) :], 0)[label]
    return total / len(noise)


def test_gradients_match_autograd():
    rule = OnlineMESU(samples=3)
    state, inputs, labels, noise = make_case(rule)
    tensors = [state[name].requires_grad_() for name in ("mean0", "sigma0", "mean1", "sigma1")]
    loss = loss_of(*tensors, inputs[0], labels[0], noise[0])
    expected = torch.autograd.grad(loss, tensors)
    with torch.no_grad():
        computed, gradients = rule.gradients(state, inputs[0], int(labels[0]), noise[0])
    torch.testing.assert_close(computed, loss.detach())
    for ours, truth in zip(gradients, expected, strict=True):
        torch.testing.assert_close(ours, truth, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("clamp", [0.0, 0.01])
def test_mesu_matches_the_published_rule(clamp):
    rule = OnlineMESU(0.7, 1.4, prior_mean=0.2, prior_sigma=0.6, memory=50, samples=3, clamp=clamp)
    state, inputs, labels, noise = make_case(rule, steps=1)
    after, _ = learn_copy(rule, state, inputs, labels, noise)
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


def test_bgd_matches_the_published_rule_and_published_code_its_sign_error():
    rule = OnlineBGD(0.9, samples=3)
    state, inputs, labels, noise = make_case(rule, steps=1)
    after, _ = learn_copy(rule, state, inputs, labels, noise)
    slipped, _ = learn_copy(replace(rule, published_code=True), state, inputs, labels, noise)
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
    """Return mean and variance of tanh(l + logit(u) / 2), integrated over xi = logit(u) / 2, of density sech(xi)^2 / 2.

    The trapezoidal rule converges exponentially: its error is about exp(-pi^2 / step), the tails beyond 20 contain exp(-40).
    """
    step = 0.2
    xi = torch.arange(-100, 101, dtype=torch.float64) * step
    weights = step / (2 * torch.cosh(xi).square())
    drawn = torch.tanh(value[..., None] + xi)
    mean = (drawn * weights).sum(-1)
    return mean, ((drawn - mean[..., None]).square() * weights).sum(-1)


@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-12), (torch.float32, 2e-6)])
def test_moments_of_relaxed_weights(dtype, close):
    """Compare with integration over u, and derivatives with its autograd, on both sides of the switch to the closed form."""
    value = torch.cat([torch.linspace(-3, 3, 601), torch.tensor([0.0, 1e-9, -1e-4, 0.5493, 0.5494, 0.8813, 0.8814])])
    exact = value.double().requires_grad_()
    mean, variance = relaxed_by_integration(exact)
    slopes = [torch.autograd.grad(each.sum(), exact, retain_graph=True)[0] for each in (mean, variance / 2)]
    moments = relaxed_moments(value.to(dtype))
    for ours, truth in zip(moments, (mean.detach(), variance.detach(), *slopes), strict=True):
        torch.testing.assert_close(ours.double(), truth, rtol=0, atol=close)
    assert float(moments[1][601]) == pytest.approx(1 / 3)  # uniform on -1 .. 1 at lambda = 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_relaxed_weights_of_large_lambda_are_deterministic(dtype):
    value = torch.tensor([7.9, 8.0, 8.1, 9.5, 19.9, 20.1, 1e30, math.inf], dtype=dtype)
    for sign in (1, -1):
        mean, variance, slope, spread = relaxed_moments(sign * value)
        assert bool((variance >= 0).all())
        assert float(variance.max()) < 1e-6
        assert float((mean - sign).abs().max()) < 1e-5
        for each in (slope, spread):
            assert float(each.abs().max()) < 1e-4  # fails on NaN


@pytest.mark.parametrize("mode", ["torch", pytest.param("native", marks=compiled)])
@pytest.mark.parametrize("rule", [rule for rule in RULES if isinstance(rule, OnlineBiMU)], ids=str)
def test_a_bimu_step_without_gradients_changes_nothing(rule, mode):
    """Zero inputs leave all hidden units at zero; the next step is then the same as without the zero input."""
    state, inputs, labels, noise = make_case(rule, 9, 20, 5, steps=3)
    blank = inputs.clone()
    blank[1] = 0
    after, _ = learn_copy(rule, state, blank, labels, noise, mode)
    others = [0, 2]
    expected, _ = learn_copy(rule, state, inputs[others], labels[others], noise[others], mode)
    idle, _ = learn_copy(rule, state, blank[1:2], labels[1:2], noise[1:2], mode)
    for name, value in expected.items():
        assert torch.equal(after[name], value), name
        assert torch.equal(idle[name], state[name]), name
        assert not torch.equal(value, state[name]), name


@compiled
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_compiled_relaxed_weights_of_large_lambda(dtype):
    """Deterministic weights among others: no NaN, and the result of plain torch."""
    rule = OnlineBiMU(2.0, 0.1, 3.0, memory=50, samples=3)
    state, inputs, labels, noise = make_case(rule, 9, 40, 5, steps=4, dtype=dtype)
    state["lambda0"][:, ::3] = 1e6
    state["lambda0"][:, 1::6] = -30
    expected, losses = learn_copy(rule, state, inputs, labels, noise)
    compiled_state, ours = learn_copy(rule, state, inputs, labels, noise, "native")
    torch.testing.assert_close(ours, losses, rtol=1e-3, atol=1e-3)
    for name, value in expected.items():
        torch.testing.assert_close(compiled_state[name], value, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("relaxed", [False, True])
@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gate"])
def test_bimu_matches_the_published_rule(activation, normalise, relaxed):
    """dC/dlambda by autograd of normal pre-activations, the gate by a function with its straight-through derivative."""
    rule = OnlineBiMU(2.0, 0.1, 3.0, 0.7, 40, samples=4, activation=activation, normalise=normalise, relaxed=relaxed)
    state, inputs, labels, noise = make_case(rule, steps=1)
    after, losses = learn_copy(rule, state, inputs, labels, noise)
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


def test_descent_with_penalty_fisher_and_path():
    rule = OnlineSGD(0.03, penalty=0.4)
    state, inputs, labels, _ = make_case(rule, steps=1)
    after, losses = learn_copy(rule, state, inputs, labels, None)
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


def test_streaming_ewc_takes_two_steps_as_computed_here():
    """The penalty of the second step acts along the change of the first."""
    rule = OnlineSGD(0.03, penalty=2.0, stream_decay=0.2)
    state, inputs, labels, _ = make_case(rule, steps=2)
    for layer in (0, 1):
        state[f"importance{layer}"].zero_()
    after, _ = learn_copy(rule, state, inputs, labels, None)
    w = [state[f"weight{layer}"] for layer in (0, 1)]
    _, g = point_gradients(*w, inputs[0], int(labels[0]))
    v = [a - 0.03 * b for a, b in zip(w, g, strict=True)]
    _, f = point_gradients(*v, inputs[1], int(labels[1]))
    for layer in (0, 1):
        moved = v[layer] - 0.03 * (f[layer] + 2 * g[layer] ** 2 * (v[layer] - w[layer]))
        torch.testing.assert_close(after[f"weight{layer}"], moved)
        torch.testing.assert_close(after[f"importance{layer}"], 0.2 * g[layer] ** 2 + f[layer] ** 2)
        assert torch.equal(after[f"anchor{layer}"], v[layer])


@pytest.mark.parametrize("mode", ["torch", pytest.param("native", marks=compiled)])
def test_the_penalty_relaxes_to_the_anchor(mode):
    """Without a gradient (inputs of zero) the distance shrinks by 1 - rate penalty importance in each step."""
    rule = OnlineSGD(0.1, penalty=2.0)
    state, inputs, labels, _ = make_case(rule, steps=20)
    after, _ = learn_copy(rule, state, 0 * inputs, labels, None, mode)
    remaining = (1 - 0.2 * state["importance0"]) ** 20
    expected = state["anchor0"] + remaining * (state["weight0"] - state["anchor0"])
    torch.testing.assert_close(after["weight0"], expected)


@pytest.mark.parametrize("mode", ["torch", pytest.param("native", marks=compiled)])
def test_mesu_returns_to_the_prior_without_evidence(mode):
    """With inputs of zero: d s / dt = s (p^2 - s^2) / (2 N p^2), whose solution is known, for steps much fewer than N."""
    memory, steps, prior = 2000.0, 1500, 0.5
    rule = OnlineMESU(prior_mean=0.3, prior_sigma=prior, memory=memory, samples=1)
    state, inputs, labels, noise = make_case(rule, 3, 4, 2, steps=steps)
    after, _ = learn_copy(rule, state, 0 * inputs, labels, noise, mode)
    start = state["sigma0"] ** 2
    growth = math.exp(steps / memory)
    square = prior**2 * start * growth / (prior**2 + start * (growth - 1))
    torch.testing.assert_close(after["sigma0"], square.sqrt(), rtol=1e-3, atol=0)
    # d mu / dt = s^2 (m - mu) / (N p^2), and the integral of s^2 / (N p^2) is log(1 + s0^2 (growth - 1) / p^2).
    remaining = 1 / (1 + start * (growth - 1) / prior**2)
    torch.testing.assert_close(after["mean0"], 0.3 + (state["mean0"] - 0.3) * remaining, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("mode", ["torch", pytest.param("native", marks=compiled)])
def test_sigma_of_mesu_settles_where_prior_and_curvature_balance(mode):
    """sigma^2 = 1 / (1 / prior^2 + N H), with H = <dC/dsigma> / sigma.

    One hidden unit that is always active and practically without uncertainty; two equally likely classes, so that the mean
    stays at zero. For logits of small spread, dC/dsigma = sigma p (1 - p) h^2 = sigma h^2 / 4.
    """
    memory, prior, h = 200.0, 0.5, 1.0
    rule = OnlineMESU(mean_rate=0.0, sigma_rate=1.0, prior_sigma=prior, memory=memory, samples=50)
    steps = 3000
    state = {
        "mean0": torch.tensor([[h]]).double(), "sigma0": torch.tensor([[1e-12]]).double(),
        "mean1": torch.zeros(2, 1).double(), "sigma1": torch.full((2, 1), 0.3).double(),
    }  # fmt: skip
    inputs, labels = torch.ones(steps, 1).double(), torch.arange(steps) % 2
    noise = torch.randn(steps, 50, 3, generator=seeded_generator(), dtype=torch.float64)
    with kernels.use(mode):
        learn_online(rule, state, inputs[: steps // 2], labels[: steps // 2], noise=noise[: steps // 2])
        variances = []
        for start in range(steps // 2, steps, 10):
            piece = slice(start, start + 10)
            learn_online(rule, state, inputs[piece], labels[piece], noise=noise[piece])
            variances.append(state["sigma1"].square().mean())
    expected = 1 / (1 / prior**2 + memory * h**2 / 4)
    # p (1 - p) falls below 1/4 by var(logit difference) / 16 = 2 expected / 16 of 1/4 or so, 1 %; the noise of the mean is 2 %.
    assert float(torch.stack(variances).mean()) == pytest.approx(expected, rel=0.08)


def test_mesu_without_forgetting_equals_bgd_to_first_order():
    """The rules differ by sigma u^2 / 2 with u = sigma dC/dsigma / 2: halving all sigma divides that by more than four."""
    differences = []
    for scale in (0.2, 0.1, 0.05):
        state, inputs, labels, noise = make_case(OnlineBGD(samples=4), steps=1)
        for layer in (0, 1):
            state[f"sigma{layer}"] *= scale
        ours, _ = learn_copy(OnlineMESU(memory=math.inf, samples=4), state, inputs, labels, noise)
        theirs, _ = learn_copy(OnlineBGD(samples=4), state, inputs, labels, noise)
        torch.testing.assert_close(ours["mean0"], theirs["mean0"], rtol=1e-14, atol=1e-16)
        differences.append(float(((ours["sigma1"] - theirs["sigma1"]) / state["sigma1"]).abs().max()))
        change = float(((ours["sigma1"] - state["sigma1"]) / state["sigma1"]).abs().max())
        assert differences[-1] < change**2  # second order in the change itself
    assert differences[0] / differences[1] > 3.5
    assert differences[1] / differences[2] > 3.5


def test_local_reparameterisation_has_the_distribution_of_drawn_weights():
    """Compare losses of one sample with drawn pre-activations and drawn weights at a false-alarm rate of 1e-4."""
    draws = 4000
    rule = OnlineMESU(0.0, 0.0, memory=math.inf, samples=1)
    state, inputs, labels, _ = make_case(rule, 5, 6, 3, steps=1)
    for layer in (0, 1):
        state[f"sigma{layer}"] *= 3
    noise = torch.randn(draws, 1, 8, generator=seeded_generator(3), dtype=torch.float64)
    losses = learn_online(rule, state, inputs.expand(draws, -1), labels.expand(draws), noise=noise)
    g = seeded_generator(4)
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
def test_compiled_equals_plain(simd, rule, dtype, close, sizes, monkeypatch):
    if simd not in OFFERED:
        pytest.skip(f"this machine or build has no {simd}")
    monkeypatch.setenv("SPINODE_SIMD", simd)
    state, inputs, labels, noise = make_case(rule, *sizes, dtype=dtype, seed=sum(sizes))
    expected, losses = learn_copy(rule, state, inputs, labels, noise)
    compiled_state, ours = learn_copy(rule, state, inputs, labels, noise, "native")
    torch.testing.assert_close(ours, losses, rtol=close, atol=close)
    for name, value in expected.items():
        torch.testing.assert_close(
            compiled_state[name], value, rtol=close, atol=close, msg=lambda text, name=name: f"{name}: {text}"
        )


@compiled
def test_bgd_with_large_sigma_uses_the_exact_root():
    """Both branches of the float32 rule, see online_rules.hpp: |u| above 1/8 and below."""
    for scale in (1.0, 8.0):
        rule = OnlineBGD(samples=3)
        state, inputs, labels, noise = make_case(rule, 9, 40, 5, steps=2, dtype=torch.float32)
        for layer in (0, 1):
            state[f"sigma{layer}"] *= scale
        expected, _ = learn_copy(rule, state, inputs, labels, noise)
        compiled_state, _ = learn_copy(rule, state, inputs, labels, noise, "native")
        change = (expected["sigma0"] / state["sigma0"]).log().abs().max()
        assert (change > 0.2) == (scale > 1)
        torch.testing.assert_close(compiled_state["sigma0"], expected["sigma0"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("mode", ["torch", pytest.param("native", marks=compiled)])
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_several_calls_equal_a_single_one(rule, mode):
    state, inputs, labels, noise = make_case(rule, 9, 50, 5, steps=23, dtype=torch.float32)
    at_once, losses = learn_copy(rule, state, inputs, labels, noise, mode)
    parts = []
    for start, end in ((0, 1), (1, 9), (9, 9), (9, 23)):
        piece = None if noise is None else noise[start:end]
        state, piece_losses = learn_copy(rule, state, inputs[start:end], labels[start:end], piece, mode)
        parts.append(piece_losses)
    assert torch.equal(torch.cat(parts), losses)
    for name, value in at_once.items():
        assert torch.equal(state[name], value), name


@compiled
@pytest.mark.parametrize("rule", [OnlineMESU(samples=3), OnlineSGD(0.1, penalty=0.2)], ids=str)
def test_non_contiguous_tensors_are_changed_in_place(rule):
    state, inputs, labels, noise = make_case(rule, steps=700)
    expected, losses = learn_copy(rule, state, inputs, labels, noise, "native")
    transposed = {name: value.T.contiguous().T for name, value in state.items()}
    noise = noise if noise is None else noise.repeat_interleave(2, 2)[:, :, ::2]
    with kernels.use("native"):
        ours = learn_online(rule, transposed, inputs.T.contiguous().T, labels.repeat_interleave(2)[::2], noise=noise)
    assert torch.equal(ours, losses)
    for name, value in expected.items():
        assert torch.equal(transposed[name], value), name


# Noise


@compiled
def test_run_online_draws_the_same_noise_compiled_and_plain():
    """More steps than one noise block of the plain loop; the generator advances by the same amount."""
    rule = OnlineMESU(samples=3)
    results = []
    for mode in ("torch", "native"):
        state, inputs, labels, _ = make_case(rule, steps=600, dtype=torch.float32)
        generator = seeded_generator(5)
        with kernels.use(mode):
            losses = run_online(rule, state, inputs, labels, generator=generator)
        results.append((losses, state["sigma0"], torch.rand(1, generator=generator)))
    for ours, truth in zip(*results, strict=True):
        torch.testing.assert_close(ours, truth, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("mode", ["torch", pytest.param("native", marks=compiled)])
def test_a_run_resumes_from_the_state_of_the_generator(mode):
    rule = OnlineBGD(samples=2)
    state, inputs, labels, _ = make_case(rule, steps=20)
    generator = seeded_generator(1)
    with kernels.use(mode):
        run_online(rule, state, inputs, labels, generator=generator)
        saved, copied = generator.get_state(), {name: value.clone() for name, value in state.items()}
        losses = run_online(rule, state, inputs, labels, generator=generator)
        again = torch.Generator()
        again.set_state(saved)
        assert torch.equal(run_online(rule, copied, inputs, labels, generator=again), losses)
    assert torch.equal(copied["mean0"], state["mean0"])
    assert not torch.equal(losses, run_online(rule, copied, inputs, labels, generator=again))


def test_learning_reduces_the_loss():
    """Two separable clouds, each rule: the mean loss of the last tenth is less than half of the first ones."""
    for rule in (OnlineSGD(0.05), OnlineMESU(samples=4), OnlineBGD(samples=4)):
        state, inputs, labels, _ = make_case(rule, 8, 6, 2, steps=600, seed=2)
        inputs = 0.3 * inputs + (2.0 * labels[:, None] - 1)
        losses = run_online(rule, state, inputs, labels, generator=seeded_generator())
        assert losses[-60:].mean() < losses[:10].mean() / 2, rule


# Errors


@pytest.mark.parametrize("mode", ["torch", pytest.param("native", marks=compiled)])
@pytest.mark.parametrize("rule", [OnlineSGD(0.1), OnlineMESU(samples=3)], ids=str)
def test_divergence_names_the_step_and_leaves_the_state_before_it(rule, mode):
    state, inputs, labels, noise = make_case(rule, 9, 20, 5, steps=12, dtype=torch.float32)
    expected, _ = learn_copy(rule, state, inputs[:7], labels[:7], None if noise is None else noise[:7], mode)
    inputs[7, 3] = math.nan
    with kernels.use(mode), pytest.raises(FitError, match="loss of step 7 is nan"):
        learn_online(rule, state, inputs, labels, noise=noise)
    for name, value in expected.items():
        assert torch.equal(state[name], value), name


@pytest.mark.parametrize("mode", ["torch", pytest.param("native", marks=compiled)])
def test_an_infinite_weight_is_detected_after_the_last_step(mode):
    rule = OnlineSGD(1e30)
    state, inputs, labels, _ = make_case(rule, steps=1, dtype=torch.float32)
    with (
        kernels.use(mode),
        pytest.raises(FitError, match=r"(fisher|path|weight)[01] contains infinite values or NaN after 1 steps"),
    ):
        learn_online(rule, state, 1e20 * inputs, labels)


@compiled
def test_divergence_of_run_online_is_reported_alike_compiled_and_plain():
    rule = OnlineMESU(samples=2)
    state, inputs, labels, _ = make_case(rule, steps=600)
    inputs[555] = math.inf
    for mode in ("torch", "native"):
        copy = {name: value.clone() for name, value in state.items()}
        with kernels.use(mode), pytest.raises(FitError, match="loss of step 555 is nan"):
            run_online(rule, copy, inputs, labels, generator=seeded_generator())


def call_with(**change):
    rule = change.pop("rule", OnlineMESU(samples=3))
    state, inputs, labels, noise = make_case(rule)
    state.update(change.pop("state", {}))
    for name in change.pop("without", ()):
        del state[name]
    return lambda: learn_online(rule, state, **{"inputs": inputs, "labels": labels, "noise": noise, **change})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (call_with(without=["sigma1"]), r"needs sigma1; the state contains mean0, sigma0, mean1"),
        (call_with(rule=OnlineSGD(0.1, 1.0), without=["anchor0"]), r"needs anchor0"),
        (call_with(state={"mean1": torch.zeros(4, 8).double()}),
         r"shapes \(7, 11\) and \(4, 8\); expected \(hidden, features\)"),
        (call_with(state={"sigma1": torch.zeros(4, 8).double()}), r"sigma1 is torch.float64 of shape \(4, 8\)"),
        (call_with(state={"sigma0": torch.zeros(7, 11)}), r"sigma0 is torch.float32"),
        (call_with(rule=OnlineSGD(0.1), state={"fisher1": torch.zeros(4, 8).double()}), r"fisher1 is torch.float64 of shape"),
        (call_with(inputs=torch.zeros(9, 12).double()), r"inputs is torch.float64 of shape \(9, 12\)"),
        (call_with(inputs=torch.zeros(9, 11)), r"inputs is torch.float32"),
        (call_with(labels=torch.full((9,), 4)), r"labels range from 4 to 4; expected 0 to 3"),
        (call_with(labels=torch.full((9,), -1)), r"labels range from -1 to -1"),
        (call_with(labels=torch.zeros(9)), r"labels are torch.float32 of shape \(9,\); expected int64"),
        (call_with(noise=None), r"noise for OnlineMESU.* is missing; expected shape \(9, 3, 11\)"),
        (call_with(noise=torch.zeros(9, 2, 11).double()), r"noise is torch.float64 of shape \(9, 2, 11\)"),
        (call_with(rule=OnlineSGD(0.1), noise=torch.zeros(9, 1, 11).double()),
         r"noise for OnlineSGD.* is given; expected none"),
        (lambda: learn_online("mesu", {}, torch.zeros(1, 1), torch.zeros(1).long()),
         r"the rule is 'mesu'; expected an online rule, such as OnlineSGD"),
        (lambda: run_online(OnlineBGD(), *make_case(OnlineBGD())[:3]), r"draws weights, but generator is None"),
        (lambda: OnlineSGD(-1.0), r"rate of OnlineSGD is -1\.0; expected a finite number of at least 0"),
        (lambda: OnlineSGD(1.0, stream_decay=1.5), r"stream_decay of OnlineSGD is 1\.5; expected a finite number from 0 to 1"),
        (lambda: OnlineMESU(mean_rate=math.nan), r"mean_rate of OnlineMESU is nan; expected a finite number of at least 0"),
        (lambda: OnlineMESU(memory=0), r"memory of OnlineMESU is 0; expected a number above 0"),
        (lambda: OnlineMESU(prior_sigma=0), r"prior_sigma of OnlineMESU is 0; expected a finite number above 0"),
        (lambda: OnlineMESU(samples=0), r"samples of OnlineMESU is 0; expected a whole number of at least 1"),
        (lambda: OnlineBGD(samples=0), r"samples of OnlineBGD is 0; expected a whole number of at least 1"),
        (lambda: OnlineBiMU(activation="tanh"), r"activation of OnlineBiMU is 'tanh'; expected one of gate, relu"),
        (lambda: OnlineBiMU(largest_rate=0), r"largest_rate of OnlineBiMU is 0; expected a finite number above 0"),
        (lambda: OnlineBiMU(divergence=-1), r"divergence of OnlineBiMU is -1; expected a finite number of at least 0"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_reported(call, message):
    with pytest.raises(ConfigError, match=message):
        call()


def test_zero_steps_change_nothing():
    for rule in RULES:
        state, inputs, labels, noise = make_case(rule, steps=0)
        after, losses = learn_copy(rule, state, inputs, labels, noise, "auto")
        assert losses.shape == (0,)
        assert all(torch.equal(after[name], value) for name, value in state.items())


def test_parameters_can_serve_as_state():
    rule = OnlineSGD(0.1)
    state, inputs, labels, _ = make_case(rule)
    parameters = {name: torch.nn.Parameter(state[name].clone()) for name in ("weight0", "weight1")}
    learn_online(rule, parameters, inputs, labels)
    assert not np.allclose(parameters["weight0"].detach(), state["weight0"])
