"""The metaplastic update against torch's Adam and its equation, and compiled against plain torch."""

import pytest
import torch

from spinode import kernels
from spinode.errors import ConfigError
from spinode.kernels import native
from spinode.training.rules.metaplastic_update import metaplastic_update

OFFERED = native.BUILD_INFO["simd_offered"]
compiled = pytest.mark.skipif(not native.built, reason=f"this installation has no compiled kernels: {native.reason}")
MODES = pytest.mark.parametrize("mode", ["torch", pytest.param("native", marks=compiled)])

SETTINGS = [
    {"m": 0.0},
    {"m": 1.35, "decay": 1e-3},
    {"m": 3.0, "interval": (0.3, 5)},
    {"m": 3.0, "interval": (0.4, 2), "decay": 0.01},
    {"m": 0.0, "interval": (0.25, 4)},
]


def tensors(count, dtype=torch.float64, seed=0):
    """Return weight, gradient, and running averages of typical size."""
    g = torch.Generator().manual_seed(seed)
    weight, gradient, average = (torch.randn(count, generator=g, dtype=torch.float64).to(dtype) for _ in range(3))
    return weight, gradient, 0.3 * average, (0.2 + torch.rand(count, generator=g, dtype=torch.float64)).to(dtype)


def step_copy(mode, given, *, quantised=True, **settings):
    """Return weight, averages and the quantised weight after a step, without changing the given tensors."""
    weight, gradient, average, square = (value.clone() for value in given)
    quantised_after = torch.full_like(weight, 7) if quantised else None
    with kernels.use(mode):
        metaplastic_update(
            weight, gradient, average, square, **{"step": 7, "rate": 0.05, **settings}, quantised=quantised_after
        )
    return [weight, average, square, *([quantised_after] if quantised else [])]


@MODES
@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-13), (torch.float32, 2e-6)])
def test_without_metaplasticity_it_is_adam(mode, dtype, close):
    """Twenty steps with decay, on the same gradients."""
    g = torch.Generator().manual_seed(1)
    start = torch.randn(37, generator=g).to(dtype)
    theirs = torch.nn.Parameter(start.clone())
    adam = torch.optim.Adam([theirs], lr=0.02, weight_decay=0.1, betas=(0.8, 0.95), eps=1e-6)
    weight, average, square = start.clone(), torch.zeros_like(start), torch.zeros_like(start)
    for step in range(1, 21):
        theirs.grad = torch.randn(37, generator=g).to(dtype)
        with kernels.use(mode):
            metaplastic_update(
                weight, theirs.grad, average, square, step=step, rate=0.02, betas=(0.8, 0.95), eps=1e-6, decay=0.1
            )  # fmt: skip
        adam.step()
    torch.testing.assert_close(weight, theirs.detach(), rtol=close, atol=close)


@MODES
def test_a_step_follows_its_equation(mode):
    """Element by element, as published; both directions of both signs occur."""
    given = tensors(50)
    weight, average, square, quantised = step_copy(mode, given, m=1.35, decay=0.02, betas=(0.9, 0.99), eps=1e-3)
    damped = 0
    for i in range(50):
        w, g, a, q = (float(value[i]) for value in given)
        g += 0.02 * w
        a, q = 0.9 * a + 0.1 * g, 0.99 * q + 0.01 * g * g
        f = 1 - float(torch.tensor(1.35 * abs(w), dtype=torch.float64).tanh()) ** 2 if w * a > 0 else 1
        damped += w * a > 0
        moved = w - 0.05 / (1 - 0.9**7) * f * a / ((q / (1 - 0.99**7)) ** 0.5 + 1e-3)
        assert float(average[i]) == pytest.approx(a, rel=1e-12)
        assert float(square[i]) == pytest.approx(q, rel=1e-12)
        assert float(weight[i]) == pytest.approx(moved, rel=1e-11)
    assert 10 < damped < 40
    assert torch.equal(quantised, weight.sign())


@MODES
@pytest.mark.parametrize(
    ("levels", "transitions"), [(2, [0.0]), (3, [-0.2, 0.2]), (4, [-0.4, 0, 0.4]), (5, [-0.6, -0.2, 0.2, 0.6])]
)
def test_steps_towards_a_transition_are_damped_by_the_distance(mode, levels, transitions):
    """An update towards the nearest transition is damped by 1 - tanh(m x)^2, one away from it is not."""
    weight = torch.linspace(-1.3, 1.3, 261, dtype=torch.float64) + 1e-4  # away from the ties half way between transitions
    places = torch.tensor(transitions, dtype=torch.float64)
    distance = weight - places[(weight[:, None] - places).abs().argmin(1)]
    index = (weight[:, None] > places).sum(1)
    for push in (1.0, -1.0):
        average = torch.full_like(weight, push)
        given = (weight, average, average, torch.ones_like(weight))  # the average of equal gradients stays
        moved, *_, level = step_copy(mode, given, m=2.0, interval=(0.4, levels), rate=1e-9, eps=0.0)
        plain, *_ = step_copy(mode, given, rate=1e-9, eps=0.0)
        factor = (moved - weight) / (plain - weight)
        expected = torch.where(distance * push > 0, 1 - (2 * distance).tanh() ** 2, 1)
        torch.testing.assert_close(factor, expected, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(level, 0.4 * (index.double() - (levels - 1) / 2))


@MODES
def test_two_levels_equal_a_sign(mode):
    given = tensors(200)
    signed = step_copy(mode, given, m=1.5)
    levelled = step_copy(mode, given, m=1.5, interval=(2.0, 2))
    for ours, truth in zip(levelled, signed, strict=True):
        torch.testing.assert_close(ours, truth, rtol=1e-12, atol=1e-14)


@compiled
@pytest.mark.parametrize("simd", ["portable", "avx2", "avx512"])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-12), (torch.float32, 3e-6)])
@pytest.mark.parametrize("count", [0, 1, 7, 16, 33, 1000])
@pytest.mark.parametrize("quantised", [True, False])
def test_compiled_equals_plain(simd, settings, dtype, close, count, quantised, monkeypatch):
    if simd not in OFFERED:
        pytest.skip(f"this machine or build has no {simd}")
    monkeypatch.setenv("SPINODE_SIMD", simd)
    given = tensors(count, dtype, seed=count)
    for ours, truth in zip(
        step_copy("native", given, quantised=quantised, **settings),
        step_copy("torch", given, quantised=quantised, **settings),
        strict=True,
    ):
        torch.testing.assert_close(ours, truth, rtol=close, atol=close)


@compiled
def test_threads_give_the_same_result_on_a_large_tensor():
    """Bit for bit, and with a remainder."""
    given = tensors(2**18 + 77, torch.float32)
    alone = step_copy("native", given, m=1.0)
    torch.set_num_threads(3)
    try:
        together = step_copy("native", given, m=1.0)
    finally:
        torch.set_num_threads(1)
    assert all(torch.equal(ours, truth) for ours, truth in zip(together, alone, strict=True))


@MODES
def test_a_strongly_damped_step_keeps_full_precision(mode):
    """At m |x| = 15 the factor is 4 exp(-30); in float32, 1 - tanh^2 would be zero."""
    weight = torch.tensor([1e-6, -1e-6])
    given = (weight, weight.sign(), weight.sign(), torch.ones(2))
    moved, plain = (step_copy(mode, given, m=m, rate=1e9, eps=0.0)[0] for m in (1.5e7, 0.0))
    torch.testing.assert_close((moved - weight) / plain, torch.full((2,), 4 * 9.3576e-14), rtol=1e-3, atol=0)


@MODES
def test_autograd_detects_the_change(mode):
    weight = torch.nn.Parameter(torch.ones(3))
    loss = weight.square().sum()
    with kernels.use(mode):
        metaplastic_update(weight, torch.ones(3), torch.zeros(3), torch.zeros(3), step=1, rate=0.1, m=1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@MODES
def test_non_contiguous_tensors_are_changed_in_place(mode):
    given = [value.view(8, 5) for value in tensors(40)]
    expected = step_copy(mode, given, m=1.0)
    transposed = step_copy(mode, [value.T.contiguous().T for value in given], m=1.0)
    for ours, truth in zip(transposed, expected, strict=True):
        torch.testing.assert_close(ours, truth)


def call(**settings):
    weight, gradient, average, square = tensors(6)
    given = {"weight": weight, "gradient": gradient, "exp_avg": average, "exp_avg_sq": square, "step": 1, "rate": 0.1}
    return lambda: metaplastic_update(**(given | settings))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (call(gradient=torch.zeros(5).double()), r"a tensor is torch.float64 of shape \(5,\)"),
        (call(exp_avg=torch.zeros(6)), r"a tensor is torch.float32 .*expected that of the weight, torch.float64"),
        (call(quantised=torch.zeros(6, dtype=torch.int8)), r"a tensor is torch.int8"),
        (call(step=0), "step is 0; expected a whole number of at least 1"),
        (call(betas=(0.9, 1.0)), "the second of betas is 1.0; expected a finite number of at least 0 and below 1"),
        (call(m=-1.0), "m is -1.0; expected a finite number of at least 0"),
        (call(interval=(0.0, 3)), "the spacing of interval is 0.0; expected a finite number above 0"),
        (call(interval=(0.1, 1)), "the number of levels of interval is 1; expected a whole number of at least 2"),
    ],
)
def test_wrong_arguments_are_reported(wrong, message):
    with pytest.raises(ConfigError, match=message):
        wrong()


def test_integers_are_refused_as_hidden_weights():
    whole = [torch.ones(3, dtype=torch.int64) for _ in range(4)]
    with pytest.raises(ConfigError, match=r"the weight is torch.int64; expected float32 or float64"):
        metaplastic_update(*whole, step=1, rate=0.1)
