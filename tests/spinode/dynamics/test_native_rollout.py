"""The compiled rollout and its gradient. The plain-torch loop in double precision is the oracle throughout."""

import copy
import itertools
import math
import random
import threading

import pytest
import torch
from torch import nn

from spinode import kernels
from spinode.dynamics import operators as ops
from spinode.dynamics.field import ACTIVATIONS, ChainField, MLPField
from spinode.dynamics.integrate import STEPS, linear_interpolation, torch_rollout, zero_order_hold
from spinode.dynamics.layout import kernel_layout, packed_weights
from spinode.dynamics.rollout import rollout, rollouts
from spinode.errors import ConfigError
from spinode.kernels import native

pytestmark = pytest.mark.skipif(not native.built, reason=f"this installation has no compiled kernels: {native.reason}")

F32, F64 = torch.float32, torch.float64
OFFERED = native.BUILD_INFO["simd_offered"]


@pytest.fixture(params=["portable", "avx2", "avx512"])
def simd(request, monkeypatch):
    """Run the test with each instruction set."""
    if request.param not in OFFERED:
        pytest.skip(f"this machine or build has no {request.param}")
    monkeypatch.setenv("SPINODE_SIMD", request.param)
    return request.param


@pytest.fixture(autouse=True)
def native_only():
    """Raise an error for runs that the kernels do not support, unless a test chooses another mode."""
    with kernels.use("native"):
        yield


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def randn(generator, *shape, dtype=F64):
    """Return random numbers that are the same in single and double precision."""
    return torch.randn(*shape, generator=generator).to(dtype)


def make_field(state=2, drive=1, rates=None, *, seed=0, ratios=0.7, **settings):
    """Return a field with strong hidden layers and rates of order one, exactly representable in single precision."""
    rates = state if rates is None else rates
    field = MLPField(state, drive, rates, **{"hidden": (5,), "generator": seeded(seed), **settings})
    with torch.no_grad():
        field.out.weight.mul_(7)
    if rates < state:
        field = ChainField(field, torch.linspace(0.5, 1, state - rates, dtype=F64) * ratios)
    return field.float().double()


def relative_error(ours, truth, floor=0.0):
    """Return the largest error relative to the largest entry, or to `floor`; infinite for NaN, or errors of zeros."""
    if not truth.numel():
        return 0.0
    ours, truth = ours.detach(), truth.detach()
    error, size = float((ours.double() - truth).abs().max()), max(floor, float(truth.abs().max()))
    if math.isnan(error):  # Python's `max` and `min` may ignore it
        return math.inf
    return error / size if size else (math.inf if error else 0.0)


def largest_error(gradients, expected):
    """Return the largest relative error of several gradients by name.

    The gradient of a weight may cancel in the sum over the batch, so errors of weights are relative to a common floor.
    """
    inputs = ("state", "stages", "noise")
    floor = 0.03 * max(float(value.abs().max()) for name, value in expected.items() if name not in inputs)
    return max(relative_error(value, expected[name], 0.0 if name in inputs else floor) for name, value in gradients.items())


def run_with_gradients(field, state, stages, noise, cotangent, **settings):
    """Return the states, and the gradients in state, stages, noise and weights by name."""
    leaves = {"state": state, "stages": stages} | ({} if noise is None else {"noise": noise})
    leaves = {name: value.detach().clone().requires_grad_() for name, value in leaves.items()}
    states = rollout(field, leaves["state"], leaves["stages"], noise=leaves.get("noise"), **settings)
    leaves |= dict(field.named_parameters())
    return states.detach(), dict(zip(leaves, torch.autograd.grad((states * cotangent).sum(), leaves.values()), strict=True))


# Not every combination of two settings is needed, but each value many times.

LANES = (1, 2, 3, 4, 5, 8, 9, 15, 16, 17, 31, 32, 33, 64, 65, 127, 128, 129, 200)
COLUMNS = {
    "lanes": LANES,
    "activation": tuple(ACTIVATIONS),
    "method": tuple(STEPS),
    "sizes": ((1, 1), (2, 2), (3, 3), (6, 6), (2, 1), (3, 1), (4, 2), (17, 2)),
    "drive": (0, 1, 2, 5),
    "hidden": (
        (1,), (7,), (33,), (200,), (300,), (16, 16), (7, 33), (33, 1, 7), (50, 50), (1, 1, 1), (5, 4, 3, 2), (96, 40),
        (48, 24, 8),
    ),
    "skip": (True, False),
    "noise": (True, False),
    "initial": (True, True, False),
    "steps": (1, 2, 5),
    "members": (None, None, None, 1, 3),
    "tape": (True, False),
}  # fmt: skip


def cases(count, seed):
    """Return combinations in which each value of a setting is equally frequent, in random order."""
    order = random.Random(seed)
    columns = {}
    for name, values in COLUMNS.items():
        column = [values[i % len(values)] for i in range(count)]
        order.shuffle(column)
        columns[name] = column
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def label(case):
    return "-".join(str(value).replace(" ", "") for value in case.values())


@pytest.mark.parametrize("case", cases(380, 1), ids=label)
def test_values_and_gradients_equal_those_of_plain_torch(case, monkeypatch):
    generator, members, (state, rates) = seeded(2), case["members"], case["sizes"]
    field = make_field(
        state, case["drive"], rates, hidden=case["hidden"], activation=case["activation"], skip=case["skip"], members=members
    )
    batch = (case["lanes"],) if members is None else (members, max(1, case["lanes"] // members))
    x, u = randn(generator, *batch, state), randn(generator, *batch, case["steps"], 3, case["drive"])
    w = 0.1 * randn(generator, *batch, case["steps"], state) if case["noise"] else None
    w = None if w is None else w.float().double()
    c = randn(generator, *batch, case["steps"] + case["initial"], state)
    settings = {"method": case["method"], "dt": 0.25, "initial": case["initial"]}
    with kernels.use("torch"):
        truth, slopes = run_with_gradients(field, x, u, w, c, **settings)
    monkeypatch.setattr(ops, "MAX_TAPE", ops.MAX_TAPE if case["tape"] else 0)
    for name in OFFERED:
        monkeypatch.setenv("SPINODE_SIMD", name)
        for dtype, tolerance, gradient_tolerance in ((F32, 1e-6, 1e-5), (F64, 1e-14, 1e-12)):
            converted = copy.deepcopy(field).to(dtype)
            run = [None if value is None else value.to(dtype) for value in (x, u, w, c)]
            ours, actual = run_with_gradients(converted, *run, **settings)
            assert ours.dtype == dtype
            assert ours.shape == truth.shape
            assert relative_error(ours, truth) < tolerance, (name, dtype)
            assert largest_error(actual, slopes) < gradient_tolerance, (name, dtype)


def test_tape_does_not_change_the_gradient(simd, monkeypatch):
    """With a tape the stages are read back, without it they are evaluated again and summed in another order."""
    generator = seeded(3)
    for lanes, field in ((1, make_field(3, hidden=(20, 9))), (37, make_field(3, activation="silu"))):
        x, u, c = randn(generator, lanes, 3), randn(generator, lanes, 40, 3, 1), randn(generator, lanes, 41, 3)
        monkeypatch.setattr(ops, "MAX_TAPE", 10_000_000)
        _, taped = run_with_gradients(field, x, u, None, c, dt=0.2)
        monkeypatch.setattr(ops, "MAX_TAPE", 0)
        _, recomputed = run_with_gradients(field, x, u, None, c, dt=0.2)
        assert largest_error(taped, recomputed) < 1e-13
        assert torch.equal(taped["state"], recomputed["state"])


@pytest.mark.parametrize("lanes", [1, 5])
def test_gradient_of_a_long_run_is_summed_in_double_precision(lanes, simd):
    """80 000 stages of a driven, damped oscillation: sums in single precision would lose two more digits."""
    field = MLPField(2, 1, 2, hidden=(6,), generator=seeded(4))
    with torch.no_grad():
        field.skip.weight.copy_(torch.tensor([[-0.15, 0.4, 0.0], [-0.4, -0.15, 0.3]]))
    field = field.float().double()
    u = linear_interpolation(torch.sin(0.37 * torch.arange(20_001.0))[:, None] + torch.linspace(-1, 1, lanes)[:, None, None])
    u, x = u.float().double(), torch.zeros(lanes, 2, dtype=F64)
    _, truth = run_with_gradients(field, x, u, None, torch.tensor(1e-4, dtype=F64), dt=0.5)
    _, actual = run_with_gradients(copy.deepcopy(field).float(), x.float(), u.float(), None, torch.tensor(1e-4), dt=0.5)
    assert max(relative_error(actual[name], truth[name]) for name, _ in field.named_parameters()) < 1e-5


# Derivatives


@pytest.mark.parametrize("method", STEPS)
@pytest.mark.parametrize("lanes", [1, 3])
def test_derivatives_equal_finite_differences(method, lanes, simd):
    generator, field = seeded(5), make_field(3, 1, 2, hidden=(4, 3), activation="silu")
    run = [randn(generator, lanes, 3), randn(generator, lanes, 3, 3, 1), 0.1 * randn(generator, lanes, 3, 3)]
    leaves = [value.requires_grad_() for value in run] + list(field.parameters())
    assert torch.autograd.gradcheck(lambda x, u, w, *_: rollout(field, x, u, noise=w, method=method, dt=0.3), leaves)


@pytest.mark.parametrize("noisy", [True, False])
def test_second_derivatives_equal_finite_differences(noisy):
    generator, field = seeded(6), make_field(2, 1, 1, hidden=(2,))
    run = [randn(generator, 1, 2), randn(generator, 1, 2, 3, 1), *([0.1 * randn(generator, 1, 2, 2)] if noisy else [])]
    leaves = [value.requires_grad_() for value in run] + list(field.parameters())

    def states(x, u, *rest):
        return rollout(field, x, u, noise=rest[0] if noisy else None, method="heun", dt=0.3)

    assert torch.autograd.gradgradcheck(states, leaves)
    some = [leaves[0].detach(), *leaves[1:]]  # also if not every derivative is needed
    assert torch.autograd.gradgradcheck(states, some)


def test_only_requested_gradients_are_computed():
    generator, field = seeded(7), make_field(2)
    x, u = randn(generator, 5, 2), randn(generator, 5, 3, 3, 1)
    for parameter in field.parameters():
        parameter.requires_grad_(False)
    assert not rollout(field, x, u).requires_grad
    x.requires_grad_()
    (single,) = torch.autograd.grad(rollout(field, x, u).sum(), x)
    u.requires_grad_()
    together, _ = torch.autograd.grad(rollout(field, x, u).sum(), (x, u))
    assert torch.equal(single, together)
    assert not rollout(field, x.detach(), u.detach()).requires_grad
    with torch.no_grad():
        assert not rollout(field, x, u).requires_grad
    with torch.inference_mode():
        assert rollout(field, x, u).is_inference()


def test_in_place_change_of_a_state_raises_in_the_backward_pass():
    field, x, u = make_field(2), torch.ones(4, 2, dtype=F64), torch.ones(4, 3, 3, 1, dtype=F64)
    states = rollout(field, x, u)
    with torch.no_grad():
        states.mul_(2)
    with pytest.raises(RuntimeError, match=r"modified in-?place"):
        states.sum().backward()


# The limit


@pytest.mark.parametrize("lanes", [1, 40])
def test_states_beyond_the_limit_are_clipped_and_pass_no_gradient(lanes, simd):
    generator, field = seeded(8), make_field(2)
    x, u = 3 * randn(generator, lanes, 2), randn(generator, lanes, 6, 3, 1)
    c = randn(generator, lanes, 7, 2)
    with kernels.use("torch"):
        truth, slopes = run_with_gradients(field, x, u, None, c, dt=0.5, limit=0.8)
    ours, actual = run_with_gradients(field, x, u, None, c, dt=0.5, limit=0.8)
    clipped = (truth[:, 1:].abs() == 0.8).double().mean()
    assert 0.1 < clipped < 0.9
    assert relative_error(ours, truth) < 1e-14
    assert largest_error(actual, slopes) < 1e-12


def test_only_the_first_state_has_a_gradient_if_all_others_are_clipped():
    field, x, u = make_field(2), torch.full((4, 2), 50.0, dtype=F64), torch.zeros(4, 3, 3, 1, dtype=F64)
    with torch.no_grad():
        field.skip.weight.copy_(torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
    ours, actual = run_with_gradients(field, x, u, None, torch.tensor(1.0, dtype=F64), limit=2.0)
    assert torch.equal(ours[:, 1:], torch.full((4, 3, 2), 2.0, dtype=F64))
    assert torch.equal(actual.pop("state"), torch.ones(4, 2, dtype=F64))
    assert all(not value.any() for value in actual.values())


@pytest.mark.parametrize("dtype", [F32, F64])
def test_states_grow_without_a_limit(dtype):
    field = make_field(1, hidden=(1,)).to(dtype).requires_grad_(False)
    with torch.no_grad():
        field.out.weight.zero_(), field.out.bias.zero_(), field.skip.bias.zero_()
        field.skip.weight.copy_(torch.tensor([[1.0, 0.0]]))
    x, u = torch.ones(1, dtype=dtype), torch.zeros(20, 3, 1, dtype=dtype)
    growth = 1 + 1 + 1 / 2 + 1 / 6 + 1 / 24
    for limit in (math.inf, 1e300, 10**400):
        assert float(rollout(field, x, u, limit=limit)[-1]) == pytest.approx(growth**20, rel=1e-5)
    assert float(rollout(field, x, u)[-1]) == 30


def test_states_that_are_not_finite_affect_only_their_own_lane(simd):
    generator, field = seeded(9), make_field(2)
    x, u = randn(generator, 20, 2), randn(generator, 20, 3, 3, 1)
    x[3, 1], x[7, 0], u[11, 1] = math.nan, math.inf, -math.inf
    ours, truth = rollout(field, x, u, dt=0.2), torch_rollout(field, x, u, dt=0.2)
    assert torch.equal(ours.isnan(), truth.isnan())
    torch.testing.assert_close(ours, truth, rtol=1e-13, atol=1e-13, equal_nan=True)


# Members, broadcasting, memory


@pytest.mark.parametrize("lanes", [1, 2, 33])
def test_members_equal_separate_fields(lanes, simd):
    generator, members = seeded(10), 3
    whole = make_field(3, 1, 2, hidden=(6, 4), members=members)
    x, u = randn(generator, members, lanes, 3), randn(generator, members, lanes, 5, 3, 1)
    w, c = 0.1 * randn(generator, members, lanes, 5, 3), randn(generator, members, lanes, 6, 3)
    states, actual = run_with_gradients(whole, x, u, w, c, dt=0.3)
    for member in range(members):
        one = make_field(3, 1, 2, hidden=(6, 4))
        with torch.no_grad():
            for parameter, own in zip(one.parameters(), whole.parameters(), strict=True):
                parameter.copy_(own[member])
        single, slopes = run_with_gradients(one, x[member], u[member], w[member], c[member], dt=0.3)
        assert torch.equal(states[member], single)
        assert all(torch.equal(actual[name][member], slopes[name]) for name in ("state", "stages", "noise"))
        assert largest_error({name: value[member] for name, value in actual.items()}, slopes) < 1e-13


def test_seventy_members():
    """More members than groups of work."""
    generator, field = seeded(11), make_field(1, hidden=(2,), members=70)
    x, u, c = randn(generator, 70, 3, 1), randn(generator, 70, 3, 2, 3, 1), randn(generator, 70, 3, 3, 1)
    ours, actual = run_with_gradients(field, x, u, None, c)
    with kernels.use("torch"):
        truth, slopes = run_with_gradients(field, x, u, None, c)
    assert relative_error(ours, truth) < 1e-14
    assert largest_error(actual, slopes) < 1e-12


@pytest.mark.parametrize(
    "batches",
    [((), (), ()), ((), (4,), ()), ((4,), (), (4,)), ((2, 1), (3,), (1, 1)), ((2, 3, 4), (4,), ()), ((1,), (5,), (1,))],
    ids=str,
)
def test_batches_broadcast(batches):
    generator, field = seeded(12), make_field(2)
    x, u, w = (randn(generator, *b, *s) for b, s in zip(batches, ((2,), (3, 3, 1), (3, 2)), strict=True))
    shape = torch.broadcast_shapes(*batches)
    c = randn(generator, *shape, 4, 2)
    ours, actual = run_with_gradients(field, x, u, w, c, dt=0.4)
    with kernels.use("torch"):
        truth, slopes = run_with_gradients(field, x, u, w, c, dt=0.4)
    assert ours.shape == (*shape, 4, 2)
    assert relative_error(ours, truth) < 1e-14
    assert largest_error(actual, slopes) < 1e-12


def test_members_may_share_one_drive():
    generator, field = seeded(13), make_field(2, members=3)
    x, u = randn(generator, 3, 4, 2), randn(generator, 5, 3, 1)
    assert relative_error(rollout(field, x, u), torch_rollout(field, x, u.expand(3, 4, 5, 3, 1))) < 1e-14


def innermost(value):
    """Return a copy whose first dimension is innermost in memory."""
    return value.movedim(0, -1).contiguous().movedim(-1, 0)


def gaps(value):
    """Return a copy that is every second element of a larger tensor."""
    wide = torch.full([2 * size + 1 for size in value.shape], math.nan, dtype=value.dtype)
    view = wide[tuple(slice(1, None, 2) for _ in value.shape)]
    return view.copy_(value)


def reversed_dims(value):
    dims = tuple(reversed(range(value.ndim)))
    return value.permute(dims).contiguous().permute(dims)


VIEWS = {"innermost": innermost, "gaps": gaps, "reversed": reversed_dims}


@pytest.mark.parametrize("lanes", [1, 6, 40, 150])
@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("view", VIEWS)
def test_any_memory_layout_is_supported(view, dtype, lanes, simd):
    generator, relayout = seeded(14), VIEWS[view]
    field = make_field(3, 2, hidden=(9,), activation="silu").to(dtype)
    x, u, w, c = (randn(generator, lanes, *s, dtype=dtype) for s in ((3,), (4, 3, 2), (4, 3), (5, 3)))
    states, slopes = run_with_gradients(field, x, u, w, c, dt=0.3)
    moved = copy.deepcopy(field)
    for layer in (*moved.layers, moved.out, moved.skip):
        layer.weight = nn.Parameter(relayout(layer.weight.detach()))
        layer.bias = nn.Parameter(relayout(layer.bias.detach()))
    leaves = [relayout(value).requires_grad_() for value in (x, u, w)] + list(moved.parameters())
    ours = rollout(moved, leaves[0], leaves[1], noise=leaves[2], dt=0.3)
    assert torch.equal(ours, states)
    actual = torch.autograd.grad(ours, leaves, relayout(c))
    assert all(torch.equal(a, b) for a, b in zip(actual, slopes.values(), strict=True))


def test_expanded_flipped_and_negated_views_are_read_correctly():
    generator, field = seeded(15), make_field(2)
    samples, x = randn(generator, 7, 1), randn(generator, 1, 2)
    u, many = zero_order_hold(samples).expand(9, 7, 3, 1), x.expand(9, 2)
    assert torch.equal(rollout(field, many, u), rollout(field, many.clone(), u.contiguous()))
    back = zero_order_hold(samples.flip(0))
    assert torch.equal(rollout(field, x[0], back), rollout(field, x[0], back.contiguous()))
    lazy = torch.complex(x, x).conj().imag
    assert lazy.is_neg()
    assert torch.equal(rollout(field, lazy, back), rollout(field, -x, back))


def test_expanded_cotangent_is_read_correctly():
    field, x, u = make_field(2), torch.ones(20, 2, dtype=F64), torch.ones(20, 5, 3, 1, dtype=F64)
    x.requires_grad_()
    (summed,) = torch.autograd.grad(rollout(field, x, u).sum(), x)  # a cotangent with strides of zero
    (spread,) = torch.autograd.grad(rollout(field, x, u), x, torch.ones(20, 6, 2, dtype=F64))
    assert torch.equal(summed, spread)


# Threads


@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("members", [None, 3])
def test_results_do_not_depend_on_the_number_of_threads(members, dtype, simd):
    generator, field = seeded(16), make_field(3, hidden=(16, 16), members=members).to(dtype)
    batch = (300,) if members is None else (members, 90)
    x, u = randn(generator, *batch, 3, dtype=dtype), randn(generator, *batch, 20, 3, 1, dtype=dtype)
    c = randn(generator, *batch, 21, 3, dtype=dtype)
    results = []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            results.append(run_with_gradients(field, x, u, None, c, dt=0.2))
    finally:
        torch.set_num_threads(1)
    (first, slopes), *others = results
    for states, actual in others:
        assert torch.equal(states, first)
        assert all(torch.equal(actual[name], slope) for name, slope in slopes.items())


def test_concurrent_calls_do_not_affect_each_other():
    """A kernel releases the interpreter lock while it runs."""
    generator, field = seeded(17), make_field(3, hidden=(16,))
    runs = [(randn(generator, 40, 3), randn(generator, 40, 30, 3, 1)) for _ in range(8)]
    expected = [rollout(field, *run) for run in runs]
    actual = {}

    def work(index):
        actual[index] = [rollout(field, *runs[index]) for _ in range(5)]

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(runs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(one, expected[index]) for index in range(len(runs)) for one in actual[index])


# Activations

#: Critical arguments of an activation: zero, denormal numbers, the ends of the range of the exponential and beyond.
SPECIAL = (0.0, 1e-45, 1e-40, 1e-38, 1e-30, 1e-20, 1e-8, 1e-4, 0.3466, 7.99, 8.01, 19.99, 20.01, 37.0, 87.0, 89.0, 100.0, 1e30)


def apply_activation(activation, z, *, separate=False):
    """Return a(z) and a'(z) of the kernels for z of shape (lanes,), by one Euler step of length one from zero with drive z."""
    field = MLPField(1, 1, 1, hidden=(1,), activation=activation, skip=False).to(z.dtype)
    with torch.no_grad():
        field.layers[0].weight.copy_(torch.tensor([[0.0, 1.0]]))
        field.layers[0].bias.zero_(), field.out.weight.fill_(1), field.out.bias.zero_()
    u = zero_order_hold(z[:, None, None]).contiguous().requires_grad_()
    runs = u.split(1) if separate else [u]
    settings = {"method": "euler", "limit": math.inf, "initial": False}
    values = torch.cat([rollout(field, torch.zeros(len(run), 1, dtype=z.dtype), run, **settings) for run in runs])
    (slopes,) = torch.autograd.grad(values.sum(), u)
    return values.detach()[:, 0, 0].double(), slopes[:, 0, 0, 0].double()


@pytest.mark.parametrize("separate", [True, False], ids=["one lane", "many"])
@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_and_their_derivatives_equal_those_of_torch(activation, dtype, separate, simd):
    special = torch.tensor(SPECIAL, dtype=F64)
    dense = torch.linspace(-24.99, 24.99, 40 if separate else 4000, dtype=F64)
    z = torch.cat([special, -special, dense, dense / 1000]).to(dtype)
    values, slopes = apply_activation(activation, z, separate=separate)
    argument = z.double().requires_grad_()
    truth = ACTIVATIONS[activation](argument)
    (slope,) = torch.autograd.grad(truth.sum(), argument)
    ulp = torch.finfo(dtype).eps / 2
    # Relative even for small values, except where the exponential underflows.
    size = truth.detach().abs().clamp_min(torch.finfo(dtype).tiny / ulp)
    error = (values - truth.detach()).abs() / size
    assert float(error[z.abs() < 80].max()) < 5 * ulp
    assert relative_error(values[z < 1e3], truth[z < 1e3]) < 5 * ulp
    assert bool(torch.isfinite(values).all())
    assert float((slopes - slope).abs().max()) < 20 * ulp


def test_small_derivatives_of_softplus_are_accurate(simd):
    """The derivative is 1 - exp(-a) of the value a; computed as written, it would lose all digits of a small a."""
    z = torch.linspace(-15, 0, 40)
    _, slopes = apply_activation("softplus", z)
    torch.testing.assert_close(slopes, torch.sigmoid(z.double()), rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", [F32, F64])
def test_tanh_never_exceeds_one(dtype, simd):
    """Otherwise its derivative would change sign in saturation."""
    values, slopes = apply_activation("tanh", torch.linspace(-12, 12, 40_001, dtype=dtype))
    assert float(values.abs().max()) <= 1
    assert float(slopes.min()) >= 0


# torch.func, torch.compile, torch.export


class RolloutModule(nn.Module):
    """A rollout as a module, for `functional_call`."""

    def __init__(self, field, **settings):
        super().__init__()
        self.field, self.settings = field, settings

    def forward(self, state, stages, noise=None):
        return rollout(self.field, state, stages, noise=noise, **self.settings)


def functional_rollout(**settings):
    """Return a rollout as a function of its weights, one and three sets of weights, and state, stages and noise."""
    generator, module = seeded(18), RolloutModule(make_field(2, 1, 2, hidden=(4,)), dt=0.3, **settings)
    weights = {name: value.detach() for name, value in module.named_parameters()}
    several = {name: torch.stack([value, 1.1 * value, 0.9 * value]) for name, value in weights.items()}

    def call(weights, state, stages, noise=None):
        return torch.func.functional_call(module, weights, (state, stages, noise))

    run = randn(generator, 3, 2), randn(generator, 3, 4, 3, 1), 0.1 * randn(generator, 3, 4, 2)
    return call, weights, several, run


def squares(call):
    return lambda *args: call(*args).square().sum()


TRANSFORMS = {
    "vmap over states": lambda call, p, ps, x, u, w: torch.func.vmap(lambda x: call(p, x, u[0]))(x),
    "vmap over the last dimension": lambda call, p, ps, x, u, w: torch.func.vmap(
        lambda x: call(p, x, u[0]), in_dims=1
    )(x.t()),
    "vmap over drives": lambda call, p, ps, x, u, w: torch.func.vmap(lambda u: call(p, x[0], u))(u),
    "vmap over noise": lambda call, p, ps, x, u, w: torch.func.vmap(lambda w: call(p, x, u, w))(w[:, None]),
    "vmap over all of a run": lambda call, p, ps, x, u, w: torch.func.vmap(lambda x, u, w: call(p, x, u, w))(x, u, w),
    "vmap over weights": lambda call, p, ps, x, u, w: torch.func.vmap(call, in_dims=(0, None, None))(ps, x, u),
    "vmap over weights and runs": lambda call, p, ps, x, u, w: torch.func.vmap(call)(ps, x, u, w),
    "vmap over one weight": lambda call, p, ps, x, u, w: torch.func.vmap(
        lambda b: call({**p, "field.out.bias": b}, x, u)
    )(ps["field.out.bias"]),
    "vmap in vmap": lambda call, p, ps, x, u, w: torch.func.vmap(
        lambda p: torch.func.vmap(lambda x, u: call(p, x, u))(x, u)
    )(ps),
    "vmap in chunks": lambda call, p, ps, x, u, w: torch.func.vmap(lambda x, u: call(p, x, u), chunk_size=2)(x, u),
    "grad": lambda call, p, ps, x, u, w: torch.func.grad(squares(call), argnums=(0, 1, 2, 3))(p, x, u, w),
    "jacrev": lambda call, p, ps, x, u, w: torch.func.jacrev(call, argnums=(0, 1, 2, 3))(p, x, u, w),
    "a gradient for each run": lambda call, p, ps, x, u, w: torch.func.vmap(
        torch.func.grad(squares(call)), in_dims=(None, 0, 0, 0)
    )(p, x, u, w),
    "a gradient for each set of weights": lambda call, p, ps, x, u, w: torch.func.vmap(
        torch.func.grad(squares(call)), in_dims=(0, None, None)
    )(ps, x, u),
    "a Jacobian for each run": lambda call, p, ps, x, u, w: torch.func.vmap(
        torch.func.jacrev(call, argnums=(0, 1)), in_dims=(None, 0, 0)
    )(p, x, u),
    "the Hessian": lambda call, p, ps, x, u, w: torch.func.jacrev(
        torch.func.jacrev(lambda x: call(p, x, u).square().sum())
    )(x),
    "a gradient through vmap": lambda call, p, ps, x, u, w: torch.func.grad(
        lambda p: torch.func.vmap(lambda x, u: call(p, x, u).square().sum())(x, u).prod()
    )(p),
}  # fmt: skip


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("initial", [True, False])
def test_transforms_of_torch_func_equal_those_of_plain_torch(name, initial):
    call, weights, several, run = functional_rollout(initial=initial)
    ours = torch.utils._pytree.tree_leaves(TRANSFORMS[name](call, weights, several, *run))
    with kernels.use("torch"):
        truth = torch.utils._pytree.tree_leaves(TRANSFORMS[name](call, weights, several, *run))
    assert len(ours) == len(truth)
    for actual, slope in zip(ours, truth, strict=True):
        assert actual.shape == slope.shape
        assert relative_error(actual, slope) < 1e-11


def test_vmap_over_a_field_with_members():
    generator, field = seeded(19), make_field(2, members=3)
    x, u = randn(generator, 5, 3, 2), randn(generator, 5, 3, 4, 3, 1)
    ours = torch.func.vmap(lambda x, u: rollout(field, x, u, dt=0.3))(x, u)
    truth = torch.stack([torch_rollout(field, *run, dt=0.3) for run in zip(x, u, strict=True)])
    assert relative_error(ours, truth) < 1e-14


def test_gradients_reach_parameters_through_vmap():
    generator, field = seeded(20), make_field(2)
    x, u = randn(generator, 5, 2), randn(generator, 5, 4, 3, 1)
    whole = torch.autograd.grad(rollout(field, x, u).square().sum(), tuple(field.parameters()))
    mapped = torch.autograd.grad(
        torch.func.vmap(lambda x, u: rollout(field, x, u))(x, u).square().sum(), tuple(field.parameters())
    )
    assert all(relative_error(a, b) < 1e-12 for a, b in zip(mapped, whole, strict=True))


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
def test_forward_mode_falls_back_to_torch():
    call, weights, _, run = functional_rollout()
    with kernels.use("auto"):
        forward = torch.func.jacfwd(call, argnums=1)(weights, *run)
        mixed = torch.func.hessian(lambda x: squares(call)(weights, x, *run[1:]))(run[0])
    backward = torch.func.jacrev(call, argnums=1)(weights, *run)
    assert relative_error(forward, backward) < 1e-12
    assert (
        relative_error(mixed, torch.func.jacrev(torch.func.jacrev(lambda x: squares(call)(weights, x, *run[1:])))(run[0]))
        < 1e-10
    )


def operators(graph):
    return [str(node.target) for node in graph.nodes if node.op == "call_function" and "spinode" in str(node.target)]


def test_exported_program_contains_one_operator_and_accepts_any_batch(tmp_path):
    generator, module = seeded(21), RolloutModule(make_field(3, 1, 2))
    x, u = randn(generator, 4, 3), randn(generator, 4, 5, 3, 1)
    batch, steps = torch.export.Dim("batch", max=1000), torch.export.Dim("steps", max=1000)
    program = torch.export.export(module, (x, u), dynamic_shapes=({0: batch}, {0: batch, 1: steps}))
    assert operators(program.graph) == ["spinode.rollout.default"]
    torch.export.save(program, tmp_path / "run.pt2")
    loaded = torch.export.load(tmp_path / "run.pt2").module()
    for shape in ((1, 1), (7, 3), (200, 2)):
        x, u = randn(generator, shape[0], 3).requires_grad_(), randn(generator, *shape, 3, 1)
        ours, truth = loaded(x, u), module(x, u)
        assert relative_error(ours, truth) < 1e-14
        slopes = [torch.autograd.grad(run.square().sum(), x)[0] for run in (ours, truth)]
        assert relative_error(*slopes) < 1e-12


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.torch.jit.script.* is deprecated:DeprecationWarning")
def test_compiled_program_contains_one_operator_and_has_the_same_gradient():
    generator, field, graphs = seeded(22), make_field(3, 1, 2), []

    def backend(module, examples):
        graphs.append(module.graph)
        return module.forward

    def cost(x, u):
        return rollout(field, x, u, dt=0.3).square().sum()

    for compiled in (
        torch.compile(cost, fullgraph=True, backend=backend),
        torch.compile(cost, fullgraph=True, backend="aot_eager", dynamic=True),
        torch.compile(cost, fullgraph=True),
    ):
        for lanes in (4, 9):
            x, u = randn(generator, lanes, 3).requires_grad_(), randn(generator, lanes, 5, 3, 1)
            leaves = (x, *field.parameters())
            actual, slopes = (torch.autograd.grad(run(x, u), leaves) for run in (compiled, cost))
            assert all(relative_error(a, b) < 1e-12 for a, b in zip(actual, slopes, strict=True))
    assert all(operators(graph) == ["spinode.rollout.default"] for graph in graphs)
    assert graphs


def operator_inputs(lanes, dtype, noisy, *, initial=True, keep=False):
    generator = seeded(23)
    field = make_field(3, 1, 2, hidden=(4,)).to(dtype)
    layout = kernel_layout(field)
    x, u = randn(generator, 1, lanes, 3, dtype=dtype), randn(generator, 1, lanes, 4, 3, 1, dtype=dtype)
    w = 0.1 * randn(generator, 1, lanes, 4, 3, dtype=dtype) if noisy else None
    theta = packed_weights(field, layout).detach()
    leaves = [None if value is None else value.requires_grad_() for value in (theta, x, u, w)]
    return (*leaves, field.ratios, layout.encode(), native.METHODS.index("heun"), 0.3, 30.0, initial, keep)


STATIC = ("test_schema", "test_autograd_registration", "test_faketensor")


@pytest.mark.parametrize(("lanes", "noisy", "initial"), [(1, True, True), (20, False, False)])
def test_operators_pass_the_checks_of_torch(lanes, noisy, initial):
    args = operator_inputs(lanes, F64, noisy, initial=initial)
    torch.library.opcheck(ops.rollout, args)
    taped = (*args[:-1], True)  # not with symbolic sizes, for which the length of the tape is unknown
    torch.library.opcheck(ops.rollout, taped, test_utils=STATIC)
    states, tape = ops.rollout(*taped)
    needed = [True, True, False, noisy]
    backward = (torch.ones_like(states).detach(), *args[:5], states.detach(), tape, *args[5:-1], needed)
    torch.library.opcheck(ops.rollout_backward, backward, test_utils=STATIC)


# Invalid input


def call_with(**changes):
    """Call `rollout` with valid arguments except for the changed ones."""
    field = changes.pop("field", None) or make_field(2, 1, 2)
    state = changes.pop("state", torch.ones(3, 2, dtype=F64))
    stages = changes.pop("stages", torch.ones(3, 4, 3, 1, dtype=F64))
    return rollout(field, state, stages, **changes)


def changed_field(change, **settings):
    field = make_field(2, 1, 2, **settings)
    with torch.no_grad():
        change(field)
    return field


def ones(*shape, dtype=F64):
    return torch.ones(*shape, dtype=dtype)


def set_to(name, value):
    def change(field):
        field.get_parameter(name).view(-1)[-1] = value

    return change


def other_layer(field):
    field.layers[0] = nn.Linear(3, 7, dtype=F64)


def other_type(field):
    field.layers[0].float()


BAD = {
    "weights NaN": ({"field": changed_field(set_to("out.bias", math.nan))}, "weights contain NaN or infinite values"),
    "weights infinite": (
        {"field": changed_field(set_to("layers.0.weight", -math.inf))}, "weights contain NaN or infinite values",
    ),
    "a member's weights NaN": (
        {"field": changed_field(set_to("skip.bias", math.nan), members=3)}, "weights contain NaN or infinite values",
    ),
    "layers that do not fit": (
        {"field": changed_field(other_layer)}, r"do not fit together: one has weights \(2, 5\) .* expected \(2, 7\)",
    ),
    "layers of two types": ({"field": changed_field(other_type)}, "field is torch.float32 on cpu, the state torch.float64"),
    "a state too wide": ({"state": ones(3, 4)}, "state has 4 and the drive 1 values; the field takes 2 and 1"),
    "a state too narrow": ({"state": ones(3, 1)}, "state has 1 and the drive 1 values; the field takes 2 and 1"),
    "a state without values": ({"state": ones(3, 0)}, "state has 0 and"),
    "a state without dimensions": ({"state": torch.tensor(1.0)}, r"state has shape \(\); expected at least 1"),
    "a drive too wide": ({"stages": ones(3, 4, 3, 2)}, "state has 2 and the drive 2 values"),
    "a drive of no width": ({"stages": ones(3, 4, 3, 0)}, "state has 2 and the drive 0 values"),
    "samples for stages": (
        {"stages": ones(3, 4, 1)}, r"shape \(3, 4, 1\); .*zero_order_hold\(drive\) or spinode.linear_interpolation",
    ),
    "stages of two dimensions": ({"stages": ones(3, 1)}, "expected at least 3"),
    "no steps": ({"stages": ones(3, 0, 3, 1)}, "at least one step"),
    "noise shorter than the drive": ({"noise": ones(3, 3, 2)}, r"noise has shape \(3, 3, 2\); expected \(\.\.\., 4, 2\)"),
    "noise longer than the drive": ({"noise": ones(3, 5, 2)}, r"expected \(\.\.\., 4, 2\)"),
    "noise for other states": ({"noise": ones(3, 4, 1)}, r"expected \(\.\.\., 4, 2\)"),
    "noise of one dimension": ({"noise": ones(2)}, "noise has shape .* expected at least 2"),
    "batches that do not fit": ({"state": ones(2, 2)}, r"batches of \(2,\), \(3,\), \(2,\); expected shapes that"),
    "noise of another batch": ({"noise": ones(2, 4, 2)}, r"batches of \(3,\), \(3,\), \(2,\)"),
    "fewer members": ({"field": make_field(2, members=5)}, r"field has 5 members, the state shape \(3, 2\)"),
    "members nowhere": (
        {"field": make_field(2, members=5), "state": ones(2), "stages": ones(4, 3, 1)}, r"5 members, the state shape \(2,\)",
    ),
    "an integer state": ({"state": torch.ones(3, 2, dtype=torch.int64)}, r"state is of type torch.int64; .*state.double\(\)"),
    "an integer drive": ({"stages": torch.ones(3, 4, 3, 1, dtype=torch.int32)}, "stages is of type torch.int32"),
    "a complex state": ({"state": ones(3, 2, dtype=torch.complex64)}, "state is of type torch.complex64"),
    "half precision for a double field": (
        {"state": ones(3, 2).half(), "stages": ones(3, 4, 3, 1).half()}, "float64 on cpu, the state torch.float16",
    ),
    "single precision for a double field": (
        {"state": ones(3, 2).float(), "stages": ones(3, 4, 3, 1).float()}, r"the state torch.float32 .*field.to\(state\)",
    ),
    "a drive of another type": ({"stages": ones(3, 4, 3, 1).float()}, r"stages is torch.float32 .*stages.to\(state\)"),
    "noise of another type": ({"noise": ones(3, 4, 2).float()}, "noise is torch.float32"),
    "a list for a state": ({"state": [1.0, 2.0]}, "state is a list; expected a floating-point tensor"),
    "an array for a drive": ({"stages": torch.ones(3, 4, 3, 1).numpy()}, "stages is a ndarray"),
    "a sparse state": ({"state": ones(3, 2).to_sparse()}, r"state is sparse or nested .*to_dense\(\)"),
    "a sparse drive": ({"stages": ones(3, 4, 3, 1).to_sparse()}, "stages is sparse or nested"),
    "a state without memory": ({"state": ones(3, 2).to("meta")}, "the state torch.float64 on meta"),
    "a field without memory": ({"field": make_field(2).to("meta")}, "field is torch.float64 on meta"),
    "an unknown method": ({"method": "rk5"}, "method is 'rk5'; expected one of rk4, euler, heun"),
    "a list for a method": ({"method": ["rk4"]}, r"method is \['rk4'\]; expected one of"),
    "dt NaN": ({"dt": math.nan}, "dt is nan; expected a finite number"),
    "dt infinite": ({"dt": -math.inf}, "dt is -inf"),
    "dt beyond all floats": ({"dt": 10**400}, "expected a finite number"),
    "dt a text": ({"dt": "1"}, "dt is '1'"),
    "dt a tensor": ({"dt": torch.tensor([1.0, 2.0])}, "expected a finite number"),
    "limit zero": ({"limit": 0}, "limit is 0; expected a number above 0"),
    "limit negative": ({"limit": -1.0}, "limit is -1.0"),
    "limit NaN": ({"limit": math.nan}, "limit is nan"),
    "no field": ({"field": 3}, "field is a int; expected a module or function"),
    "a field of too few rates": ({"field": lambda x, u: x[..., :1]}, r"returned shape \(3, 1\) for a state of shape \(3, 2\)"),
    "a field that returns nothing": ({"field": lambda x, u: None}, "returned a NoneType"),
    "a chain too long": (
        {"field": ChainField(MLPField(2, 1, 2, hidden=(3,)), torch.ones(4)), "state": ones(3, 6)},
        "network of the field takes 3 values, fewer than the 6 of its state",
    ),
    "a chain left out": ({"field": MLPField(2, 1, 1, hidden=(3,))}, "has 2 and the drive 1 values; the field takes 1 and 2"),
    "ratios NaN": (
        {"field": ChainField(MLPField(2, 1, 1, hidden=(3,)), torch.tensor([math.nan], dtype=F64))}, "NaN or infinite",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mode", ["auto", "torch"])
@pytest.mark.parametrize("name", BAD)
def test_invalid_input_is_refused(name, mode):
    changes, message = BAD[name]
    with kernels.use(mode), pytest.raises(ConfigError, match=message):
        call_with(**changes)


def test_operator_checks_all_arguments():
    """It can be called directly, and the compiled code does not check."""
    good = list(operator_inputs(4, F64, noisy=True))
    ops.rollout(*good)
    theta, x, u, w, ratios, layout = good[:6]
    for position, wrong, message in (
        (0, theta[:, :-1], "theta is torch.float64 of shape"),
        (0, theta.repeat(2, 1), "theta"),
        (0, theta.float(), "state is torch.float64"),
        (1, x[:, :, :2], "state is"),
        (1, x[:, :3], "state is"),
        (2, u[:, :, :, :2], "stages is"),
        (2, u[:, :, :3], "noise is"),
        (3, w[..., :1], "noise is"),
        (4, ratios[:0], "ratios is"),
        (5, layout[:5], "does not describe a field"),
        (5, layout[:2], "does not describe a field"),
        (5, [*layout[:3], 9, *layout[4:]], "does not describe a field"),
        (5, [*layout[:5], -4], "does not describe a field"),
        (5, [*layout[:5], 5], "theta is"),
        (5, [3, 1, 4, *layout[3:]], "does not describe a field"),
        (6, 7, "method 7 is unknown"),
        (6, -1, "method -1 is unknown"),
    ):
        with pytest.raises(ConfigError, match=message):
            ops.rollout(*good[:position], wrong, *good[position + 1 :])
    states, tape = ops.rollout(*good[:-1], True)
    settings = (*good[5:-1], [True] * 4)
    for grad, saved, saved_tape in (
        (states[:, :, 1:], states, tape),
        (states, states[:, :3], tape),
        (states.float(), states, tape),
        (states, states, tape.float()),
        (states, states, torch.stack([tape, tape], -1)[:, 0]),
    ):
        with pytest.raises(ConfigError, match="expected"):
            ops.rollout_backward(grad, *good[:5], saved, saved_tape, *settings)


@pytest.mark.parametrize("members", [None, 3])
def test_empty_batch_has_an_empty_result_and_zero_gradients(members):
    field = make_field(2, members=members)
    leading = () if members is None else (members,)
    x, u = ones(*leading, 0, 2).requires_grad_(), ones(*leading, 0, 4, 3, 1).requires_grad_()
    states = rollout(field, x, u, noise=ones(*leading, 0, 4, 2))
    assert states.shape == (*leading, 0, 5, 2)
    actual = torch.autograd.grad(states.sum(), (x, u, *field.parameters()))
    assert actual[0].shape == x.shape
    assert actual[1].shape == u.shape
    assert all(not value.any() for value in actual)
    assert rollout(field, ones(2, *leading, 0, 2)[0], u[..., :1, :, :]).shape == (*leading, 0, 2, 2)


def test_zero_sets_of_weights_are_accepted():
    args = list(operator_inputs(4, F64, noisy=False))
    empty = [None if value is None else value[:0] for value in args[:4]]
    states, _ = ops.rollout(*empty, *args[4:])
    assert states.shape == (0, 4, 5, 3)
    assert torch.autograd.grad(states.sum(), args[0])[0].shape == args[0].shape


def test_field_without_drive():
    field, generator = make_field(2, 0), seeded(24)
    x, u = randn(generator, 3, 2), ones(3, 5, 3, 0)
    assert relative_error(rollout(field, x, u), torch_rollout(field, x, u)) < 1e-14


@pytest.mark.skipif(len(native.BUILD_INFO["simd_offered"]) < 2, reason="one instruction set only")
def test_tape_of_another_instruction_set_is_ignored(monkeypatch):
    generator, field = seeded(31), make_field(2)
    x, u = randn(generator, 50, 2).requires_grad_(), randn(generator, 50, 7, 3, 1)
    (expected,) = torch.autograd.grad(rollout(field, x, u).square().sum(), x)
    for first, then in itertools.permutations(native.BUILD_INFO["simd_offered"], 2):
        monkeypatch.setenv("SPINODE_SIMD", first)
        result = rollout(field, x, u).square().sum()
        monkeypatch.setenv("SPINODE_SIMD", then)
        (actual,) = torch.autograd.grad(result, x)
        assert relative_error(actual, expected) < 1e-12


def test_order_of_parameters_within_a_layer_has_no_effect():
    """Pruning and weight normalisation reorder them when they are removed."""
    generator, field = seeded(32), make_field(2)
    x, u = randn(generator, 5, 2), randn(generator, 5, 4, 3, 1)
    expected = rollout(field, x, u)
    field.out._parameters["weight"] = field.out._parameters.pop("weight")
    assert torch.equal(rollout(field, x, u), expected)


def test_replaced_forward_method_is_called():
    field, x = make_field(2), torch.ones(5, 2, dtype=torch.float64)
    field.forward = lambda state, drive: -state
    with kernels.use("auto"):
        end = rollout(field, x, torch.zeros(5, 1, 3, 1, dtype=torch.float64))[:, -1]
    assert torch.allclose(end, torch.full_like(end, 0.375), rtol=0, atol=1e-12)


def test_global_hooks_are_called():
    field, x, u = make_field(2), torch.ones(5, 2, dtype=torch.float64), torch.zeros(5, 1, 3, 1, dtype=torch.float64)
    handle = torch.nn.modules.module.register_module_forward_hook(lambda module, inputs, output: output * 0)
    try:
        with kernels.use("auto"):
            assert torch.equal(rollout(field, x, u)[:, -1], x)
    finally:
        handle.remove()


def test_members_and_batch_are_not_confused():
    generator, field = seeded(33), make_field(2, members=3)
    with pytest.raises(ConfigError, match="cannot be confused"):
        rollout(field, randn(generator, 3, 3, 2), randn(generator, 3, 7, 3, 1))


def make_chain(seed, ratio=0.7, hidden=(5,)):
    return make_field(2, rates=1, seed=seed, hidden=hidden, ratios=ratio)


@pytest.mark.parametrize("batch", [(), (4,), (2, 3)])
@pytest.mark.parametrize(
    ("fields", "calls"),
    [
        ([make_chain(1), make_chain(2), make_chain(3)], 1),
        ([make_chain(1)], 1),
        ([make_chain(1), make_chain(2, hidden=(6,))], 2),
        ([make_chain(1), make_chain(2, ratio=0.5)], 2),
    ],
)
def test_fields_with_one_layout_run_in_one_call(fields, calls, batch, monkeypatch):
    generator = seeded(34)
    x, u = randn(generator, len(fields), *batch, 2).requires_grad_(), randn(generator, *batch, 5, 3, 1)
    expected = torch.stack([rollout(field, first, u) for field, first in zip(fields, x, strict=True)])
    (slope,) = torch.autograd.grad(expected.square().sum(), x)
    recorded, operator = [], ops.rollout
    monkeypatch.setattr(ops, "rollout", lambda *args: recorded.append(args) or operator(*args))
    actual = rollouts(fields, x, u)
    assert len(recorded) == calls
    assert relative_error(actual, expected) < 1e-14
    assert relative_error(torch.autograd.grad(actual.square().sum(), x)[0], slope) < 1e-13


def test_rollouts_of_fields_including_a_function():
    generator, fields = seeded(35), [make_chain(1), lambda state, drive: -state]
    x, u = randn(generator, 2, 4, 2), randn(generator, 4, 5, 3, 1)
    with kernels.use("auto"):
        expected = torch.stack([rollout(field, first, u) for field, first in zip(fields, x, strict=True)])
        assert torch.equal(rollouts(fields, x, u), expected)


@pytest.mark.parametrize("stages", [zero_order_hold, linear_interpolation])
@pytest.mark.parametrize("drive", [[[1.0], [2.0]], torch.ones(3)])
def test_invalid_drive_samples_are_refused(stages, drive):
    with pytest.raises(ConfigError, match="expected a tensor of shape"):
        stages(drive)
