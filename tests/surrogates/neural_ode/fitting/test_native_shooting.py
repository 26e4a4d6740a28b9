"""The compiled Gauss-Newton equations of multiple shooting; the torch route of the same `Shooting` is the oracle."""

import math

import pytest
import torch
from torch import nn

from spinode import kernels
from spinode.dynamics.field import ACTIVATIONS, ChainField, MLPField
from spinode.dynamics.integrate import torch_rollout, zero_order_hold
from spinode.dynamics.layout import chain_ratios, kernel_layout
from spinode.errors import ConfigError
from spinode.kernels import native
from spinode.surrogates.neural_ode.fitting.levenberg_marquardt import minimise
from spinode.surrogates.neural_ode.fitting.native_shooting import MAX_STATE, equations
from spinode.surrogates.neural_ode.fitting.samples import Samples
from spinode.surrogates.neural_ode.fitting.shooting import ParameterVector, Shooting

pytestmark = pytest.mark.skipif(not native.built, reason=f"this installation has no compiled kernels: {native.reason}")

OFFERED = native.BUILD_INFO["simd_offered"]


@pytest.fixture(params=["portable", "avx2", "avx512"])
def simd(request, monkeypatch):
    """Each instruction set in turn."""
    if request.param not in OFFERED:
        pytest.skip(f"this machine or build has no {request.param}")
    monkeypatch.setenv("SPINODE_SIMD", request.param)
    return request.param


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def stable_field(state, outputs, generator, **settings):
    """A damped, slightly nonlinear chain of derivatives."""
    field = MLPField(state, 1, outputs, **{"hidden": (4,), "generator": generator, **settings})
    with torch.no_grad():
        field.out.weight.mul_(3)
        if field.skip is not None:
            field.skip.weight.mul_(2)
            field.skip.weight[:, state - outputs : state] -= 0.4 * torch.eye(outputs, dtype=torch.float64)
            field.skip.weight[:, :outputs] -= 0.2 * torch.eye(outputs, dtype=torch.float64)
    if outputs == state:
        return field
    return ChainField(field, torch.full((state // outputs - 1, outputs), 0.6, dtype=torch.float64))


def problem(
    length, windows, *, order=2, outputs=1, feedthrough=True, free=True, compared="all", field=None, seed=1, **settings
):
    """Windows along a run of the field with other weights, and a point off the solution: every term counts."""
    generator, size = seeded(1), order * outputs
    samples = windows * length + 3
    truth = stable_field(size, outputs, generator, **settings)
    time = torch.arange(samples, dtype=torch.float64)
    drive = (torch.sin(0.31 * time) + 0.5 * torch.sin(0.083 * time**1.1))[:, None]
    stages = zero_order_hold(drive).contiguous()
    with torch.no_grad():
        states = torch_rollout(truth, torch.zeros(size, dtype=torch.float64), stages[:-1])
    through = outputs if feedthrough else 0
    feedthrough_jacobian = 0.3 * torch.randn(samples, size, through, generator=generator, dtype=torch.float64)
    field = field or stable_field(size, outputs, generator, **settings)
    theta = ParameterVector(field, torch.zeros(through, dtype=torch.float64))
    starts = torch.arange(windows) * length
    weights = torch.linspace(0.5, 1.5, size, dtype=torch.float64)
    if compared == "outputs":
        weights[outputs:] = 0
    prior = torch.linspace(0.2, 0.6, size, dtype=torch.float64) if free else None
    everything = Samples(
        states, stages, feedthrough_jacobian, torch.full((size,), 0.1, dtype=torch.float64), ((0, samples - 1),), outputs
    )

    def made():
        return Shooting(everything, theta, length, starts, weights, prior, 1e-3)

    point = theta.start + 0.03 * torch.randn(len(theta.start), generator=generator, dtype=torch.float64)
    shifts = (
        0.1 * torch.randn(windows, size, generator=generator, dtype=torch.float64)
        if free
        else torch.zeros(windows, size).double()
    )
    return made, point, shifts


def relative_error(values, truth):
    """Return the largest error over the largest entry."""
    assert values.shape == truth.shape
    return float((values - truth).abs().max() / truth.abs().max()) if truth.numel() else 0.0


def solved(made, point, shifts, mode):
    """Return cost, and matrix, gradient and blocks of the equations, by one of the two routes."""
    with kernels.use(mode):
        shooting = made()
        assert (shooting.layout is not None) == (mode == "native")
        at = shooting.evaluate(point, shifts)
        matrix, gradient, blocks = shooting.normal_equations(at)
    parts = [torch.cat([block[i] for block in blocks]) for i in range(3)] if blocks else []
    return at.cost, [matrix, gradient, *parts]


@pytest.fixture
def agree(monkeypatch):
    """Compare the routes, the compiled one on every instruction set."""

    def compare(made, point, shifts, close=1e-11):
        expected, truth = solved(made, point, shifts, "torch")
        for name in OFFERED:
            monkeypatch.setenv("SPINODE_SIMD", name)
            cost, compiled = solved(made, point, shifts, "native")
            assert cost == pytest.approx(expected, rel=1e-12), name
            assert len(compiled) == len(truth)
            for found, value in zip(compiled, truth, strict=True):
                assert relative_error(found, value) < close, name

    return compare


@pytest.mark.parametrize("windows", [1, 7, 8, 9, 30])
@pytest.mark.parametrize("length", [1, 7, 40])
@pytest.mark.parametrize("free", [True, False])
def test_equations_are_those_of_torch(length, windows, free, agree):
    agree(*problem(length, windows, free=free))


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("feedthrough", [True, False])
@pytest.mark.parametrize("compared", ["all", "outputs"])
def test_equations_of_every_order_and_number_of_outputs(order, outputs, feedthrough, compared, agree):
    settings = {"order": order, "outputs": outputs, "feedthrough": feedthrough, "compared": compared}
    agree(*problem(5, 9, **settings))
    agree(*problem(5, 9, **settings, free=False))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("hidden", [(1,), (9,), (5, 6), (3, 4, 5)])
@pytest.mark.parametrize("skip", [True, False])
def test_equations_of_every_network(activation, hidden, skip, agree):
    agree(*problem(6, 10, activation=activation, hidden=hidden, skip=skip))


def test_equations_of_many_unknowns_and_many_rows(agree):
    """More than one block of rows is filled, and more unknowns than are summed in parts."""
    agree(*problem(20, 10, hidden=(20, 20)))
    agree(*problem(1, 9, hidden=(38, 38)), close=1e-10)


def test_equations_of_states_larger_than_the_specialised_kernels(agree):
    agree(*problem(4, 9, order=3, outputs=3, hidden=(3,)))


def test_gradient_is_half_that_of_the_cost(simd):
    """The oracle uses no code of the equations: autograd through the rollouts, with fixed initial states."""
    made, point, shifts = problem(11, 9, free=False)
    with kernels.use("native"):
        shooting = made()
        _, gradient, _ = shooting.normal_equations(shooting.evaluate(point, shifts))
    leaf = point.clone().requires_grad_()
    named, through = shooting.theta.split(leaf)
    first = shooting.samples.states[shooting.starts] + shooting.samples.feedthrough_jacobian[shooting.starts] @ through

    def field(x, u):
        return torch.func.functional_call(shooting.theta.field, named, (x, u))

    states = torch_rollout(field, first, shooting.stages)
    steps = shooting.starts[:, None] + torch.arange(1, shooting.length + 1)
    truth = shooting.samples.states[steps] + shooting.samples.feedthrough_jacobian[steps] @ through
    residuals = (states[:, 1:] - truth) * torch.linspace(0.5, 1.5, 2, dtype=torch.float64)
    cost = residuals.square().sum() / shooting.count + shooting.ridge @ leaf.square()
    (slope,) = torch.autograd.grad(cost, leaf)
    assert relative_error(gradient, slope / 2) < 1e-11


@pytest.mark.parametrize("free", [True, False])
def test_number_of_threads_does_not_change_the_result(free, simd):
    made, point, shifts = problem(20, 70, free=free, hidden=(12, 12))
    results = []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            with kernels.use("native"):
                shooting = made()
                at = shooting.evaluate(point, shifts)
                found = equations_of(shooting, at)
            results.append((at.cost, found))
    finally:
        torch.set_num_threads(1)
    (cost, first), *others = results
    for other, found in others:
        assert other == cost
        assert all(torch.equal(a, b) for a, b in zip(found, first, strict=True))


def equations_of(shooting, point):
    """Return the result of the kernel alone: torch's algebra after it may depend on the number of threads."""
    width = point.states.shape[-1]
    weights = torch.zeros(width, dtype=torch.float64).index_put_((shooting.compared,), shooting.weights)
    residuals = torch.zeros(*point.residuals.shape[:2], width, dtype=torch.float64)
    residuals[..., shooting.compared] = point.residuals
    steps = shooting.starts[:, None] + torch.arange(shooting.length + 1)
    theta = point.theta[: shooting.theta.weights]
    found = equations(
        shooting.layout,
        theta,
        chain_ratios(shooting.theta.field, theta),
        shooting.stages,
        point.states,
        shooting.samples.feedthrough_jacobian[steps],
        residuals,
        weights,
        free=shooting.prior is not None,
    )
    return found.matrix, found.gradient, found.blocks, found.coupling, found.pull


def test_both_routes_reach_the_same_cost():
    made, point, shifts = problem(12, 9)
    costs = []
    for mode in ("native", "torch"):
        with kernels.use(mode):
            costs.append(minimise(made(), point, shifts, iterations=5).cost)
    assert costs[0] == pytest.approx(costs[1], rel=1e-6)
    with kernels.use("native"):
        assert costs[0] < 0.1 * made().evaluate(point, shifts).cost


# Fields and inputs that the kernel does not take


def frozen():
    field = stable_field(2, 1, seeded())
    field.top.out.bias.requires_grad_(False)
    return field


def shared():
    field = stable_field(2, 1, seeded(), hidden=(3, 3, 3))
    field.top.layers[2] = field.top.layers[1]
    return field


class Known(nn.Module):
    def __init__(self):
        super().__init__()
        self.stiffness = nn.Parameter(torch.tensor(0.3, dtype=torch.float64))

    def forward(self, x, u):
        return torch.cat([x[..., 1:], u - self.stiffness * x[..., :1] - 0.3 * x[..., 1:]], -1)


@pytest.mark.parametrize("make", [frozen, shared, Known])
def test_field_with_other_than_trained_weights_uses_torch(make):
    made, point, shifts = problem(5, 3, field=make())
    shooting = made()
    assert shooting.layout is None
    matrix, gradient, _ = shooting.normal_equations(shooting.evaluate(point, shifts))
    assert bool(torch.isfinite(matrix).all())
    assert bool(torch.isfinite(gradient).all())


def test_weights_that_are_not_finite_have_infinite_cost_on_both_routes():
    made, point, shifts = problem(5, 3)
    point[0] = math.nan
    for mode in ("native", "torch"):
        with kernels.use(mode):
            assert made().evaluate(point, shifts).cost == math.inf


def test_kernel_checks_shapes_and_types():
    """Wrong ones would read beyond the memory of the tensors."""
    windows, steps, state, through = 4, 5, 2, 1
    field = stable_field(state, 1, seeded())
    layout = kernel_layout(field)
    good = {
        "theta": torch.zeros(layout.weights),
        "ratios": torch.ones(1),
        "stages": torch.zeros(windows, steps, 3, 1),
        "states": torch.zeros(windows, steps + 1, state),
        "feedthrough_jacobian": torch.zeros(windows, steps + 1, state, through),
        "residuals": torch.zeros(windows, steps, state),
        "weights": torch.ones(state),
    }
    good = {name: value.double() for name, value in good.items()}
    equations(layout, **good, free=True)
    for name, value in good.items():
        for wrong in (value[:-1], value.float(), value[None]):
            with pytest.raises(ConfigError, match=r"is torch.float.* of shape .*; expected torch.float64 of shape"):
                equations(layout, **{**good, name: wrong}, free=True)
    wide = MLPField(MAX_STATE + 1, 1, MAX_STATE + 1, hidden=(2,))
    size = MAX_STATE + 1
    with pytest.raises(ConfigError, match=f"has {size} state values .* at most {MAX_STATE} and one member"):
        equations(
            kernel_layout(wide),
            torch.zeros(kernel_layout(wide).weights, dtype=torch.float64),
            good["ratios"][:0],
            good["stages"],
            torch.zeros(windows, steps + 1, size, dtype=torch.float64),
            torch.zeros(windows, steps + 1, size, 0, dtype=torch.float64),
            torch.zeros(windows, steps, size, dtype=torch.float64),
            torch.ones(size, dtype=torch.float64),
            free=False,
        )


@pytest.mark.parametrize("free", [True, False])
def test_no_windows_give_zero_equations(free):
    field = stable_field(2, 1, seeded())
    layout = kernel_layout(field)
    found = equations(
        layout,
        torch.zeros(layout.weights, dtype=torch.float64),
        torch.ones(1, dtype=torch.float64),
        torch.zeros(0, 5, 3, 1, dtype=torch.float64),
        torch.zeros(0, 6, 2, dtype=torch.float64),
        torch.zeros(0, 6, 2, 1, dtype=torch.float64),
        torch.zeros(0, 5, 2, dtype=torch.float64),
        torch.ones(2, dtype=torch.float64),
        free=free,
    )
    assert not found.matrix.any()
    assert not found.gradient.any()
    assert found.coupling.shape == (0, 2, layout.weights + 1)
