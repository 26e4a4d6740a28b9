"""Multiple shooting: the equations against brute-force autograd, and the guarantees of the iterations."""

import math

import pytest
import torch
from torch import nn

from spinode import kernels
from spinode.dynamics.field import ChainField, MLPField
from spinode.dynamics.rollout import rollout
from spinode.errors import ConfigError, FitError
from spinode.surrogates.neural_ode.fitting.levenberg_marquardt import Damping, minimise
from spinode.surrogates.neural_ode.fitting.samples import Samples
from spinode.surrogates.neural_ode.fitting.shooting import ParameterVector, Shooting


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def problem(length: int, *, prior: bool, feedthrough: bool, outputs_only: bool = False, ridge: float = 1e-3, outputs: int = 1):
    """A tiny problem with random data: nothing about it is near a solution, so every term of the equations counts."""
    generator, size = seeded(3), 2 * outputs
    randn = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    samples = Samples(
        states=randn(24, size),
        stages=randn(24, 3, 1),
        feedthrough_jacobian=0.5 * randn(24, size, outputs if feedthrough else 0),
        state_noise=torch.full((size,), 0.1, dtype=torch.float64),
        segments=((0, 9), (10, 23)),
        outputs=outputs,
    )
    ratios = torch.full((1, outputs), 0.7, dtype=torch.float64)
    field = ChainField(MLPField(size, 1, outputs, hidden=(3,), generator=generator), ratios)
    theta = ParameterVector(field, torch.zeros(samples.feedthrough_jacobian.shape[-1], dtype=torch.float64))
    weights = torch.linspace(0.5, 1.0, size, dtype=torch.float64)
    if outputs_only:
        weights[outputs:] = 0
    spread = torch.linspace(0.2, 0.6, size, dtype=torch.float64) if prior else None
    made = Shooting(samples, theta, length, samples.windows(length), weights, spread, ridge)
    point = theta.start + 0.05 * randn(len(theta.start))
    shifts = 0.1 * randn(len(made.starts), size) if prior else made.no_shifts()
    return made, point, shifts, weights, spread


def stacked_residuals(made, theta, shifts, weights, spread):
    """Return all residuals, whose squares add up to count * cost, computed window by window."""
    samples, rows = made.samples, []
    named, through = made.theta.split(theta)
    field = lambda x, u: torch.func.functional_call(made.theta.field, named, (x, u))  # noqa: E731
    for window, start in enumerate(made.starts.tolist()):
        first = samples.states[start] + samples.feedthrough_jacobian[start] @ through + shifts[window]
        run = rollout(field, first, samples.stages[start : start + made.length])
        for step in range(1, made.length + 1):
            truth = samples.states[start + step] + samples.feedthrough_jacobian[start + step] @ through
            rows.append((run[step] - truth) * weights)
        if spread is not None:
            rows.append(shifts[window] / spread)
    rows.append(theta * torch.as_tensor(made.ridge * made.count).sqrt())
    return torch.cat(rows)


cases = pytest.mark.parametrize(
    ("length", "options"),
    [
        (1, {"prior": False, "feedthrough": False}),
        (4, {"prior": False, "feedthrough": True}),
        (5, {"prior": True, "feedthrough": False, "outputs_only": True}),
        (5, {"prior": True, "feedthrough": True, "outputs_only": True}),
        (3, {"prior": True, "feedthrough": True, "outputs": 2}),
        (4, {"prior": False, "feedthrough": True, "ridge": 0.0}),
    ],
)


# The equations


@cases
def test_cost_is_the_mean_square_of_the_stacked_residuals(length, options):
    made, theta, shifts, weights, spread = problem(length, **options)
    rows = stacked_residuals(made, theta, shifts, weights, spread)
    assert made.evaluate(theta, shifts).cost == pytest.approx(float(rows.square().sum()) / made.count, rel=1e-12)


@cases
def test_normal_equations_are_those_of_the_brute_force_jacobian(length, options):
    made, theta, shifts, weights, spread = problem(length, **options)
    matrix, gradient, blocks = made.normal_equations(made.evaluate(theta, shifts))

    residuals = lambda a, b: stacked_residuals(made, a, b, weights, spread)  # noqa: E731
    in_theta, in_shifts = torch.func.jacrev(residuals, argnums=(0, 1))(theta, shifts)
    rows = residuals(theta, shifts)
    full, pull = in_theta.T @ in_theta, in_theta.T @ rows
    if spread is not None:  # eliminate the initial states from the whole system at once
        flat = in_shifts.flatten(1)
        coupling = in_theta.T @ flat @ torch.linalg.inv(flat.T @ flat)
        full, pull = full - coupling @ flat.T @ in_theta, pull - coupling @ flat.T @ rows
    assert torch.allclose(matrix, full / made.count, rtol=1e-9, atol=1e-9)
    assert torch.allclose(gradient, pull / made.count, rtol=1e-9, atol=1e-9)
    assert bool(blocks) == (spread is not None)


@cases
def test_step_solves_the_undamped_system_in_weights_and_initial_states(length, options):
    made, theta, shifts, weights, spread = problem(length, **options)
    matrix, gradient, blocks = made.normal_equations(made.evaluate(theta, shifts))
    extra = 1e-6 * torch.eye(len(theta), dtype=torch.float64)  # three outputs of a tiny net can leave weights undetermined
    move = torch.linalg.solve(matrix + extra, -gradient)
    residuals = lambda a, b: stacked_residuals(made, a, b, weights, spread)  # noqa: E731
    jacobians = torch.func.jacrev(residuals, argnums=(0, 1))(theta, shifts)
    full = torch.cat([part.flatten(1) for part in jacobians], 1) if spread is not None else jacobians[0]
    damped = full.T @ full
    damped[: len(theta), : len(theta)] += made.count * extra
    step = torch.linalg.solve(damped, -full.T @ residuals(theta, shifts))
    assert torch.allclose(move, step[: len(theta)], rtol=1e-6, atol=1e-8)
    if blocks:
        back = [-(part.inverse @ (part.gradient + part.coupling @ move)[..., None])[..., 0] for part in blocks]
        assert torch.allclose(torch.cat(back).flatten(), step[len(theta) :], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("feedthrough", [False, True])
def test_gradient_is_half_that_of_the_cost(feedthrough):
    made, theta, shifts, weights, _ = problem(6, prior=False, feedthrough=feedthrough)
    _, gradient, _ = made.normal_equations(made.evaluate(theta, shifts))
    leaf = theta.clone().requires_grad_()
    cost = stacked_residuals(made, leaf, shifts, weights, None).square().sum() / made.count
    (slope,) = torch.autograd.grad(cost, leaf)
    assert torch.allclose(gradient, slope / 2, rtol=1e-10, atol=1e-12)


def test_chunks_of_windows_add_up(monkeypatch):
    with kernels.use("torch"):
        made, theta, shifts, _, _ = problem(3, prior=True, feedthrough=True)
    at_once = made.normal_equations(made.evaluate(theta, shifts))
    monkeypatch.setattr(
        "spinode.surrogates.neural_ode.fitting.shooting.BATCH", 7
    )  # two windows at a time, and steps split within them
    parts = made.normal_equations(made.evaluate(theta, shifts))
    assert len(parts[2]) > len(at_once[2])
    for summed, reference in zip(parts[:2], at_once[:2], strict=True):
        assert torch.allclose(summed, reference, rtol=1e-12, atol=1e-14)


def test_ridge_is_the_penalty_on_all_weights():
    plain, theta, shifts, _, _ = problem(4, prior=False, feedthrough=True, ridge=0.0)
    ridged = problem(4, prior=False, feedthrough=True, ridge=0.25)[0]
    points = [made.evaluate(theta, shifts) for made in (plain, ridged)]
    assert points[1].cost - points[0].cost == pytest.approx(0.25 * float(theta.square().sum()))
    (matrix, gradient, _), (stiff, pulled, _) = (
        made.normal_equations(point) for made, point in zip((plain, ridged), points, strict=True)
    )
    assert torch.allclose(stiff - matrix, 0.25 * torch.eye(len(theta), dtype=torch.float64))
    assert torch.allclose(pulled - gradient, 0.25 * theta)


# Windows and weights


def test_windows_tile_each_segment_and_stay_inside():
    samples = problem(1, prior=False, feedthrough=False)[0].samples
    assert samples.windows(5).tolist() == [0, 10, 15]
    for length in (1, 4, 9, 12):
        for start in samples.windows(length).tolist():
            assert any(first <= start and start + length <= last for first, last in samples.segments)
    assert samples.windows(14).tolist() == []


def test_weights_to_a_vector_and_back():
    field = MLPField(2, 1, 2, hidden=(3,), generator=seeded())
    layout = ParameterVector(field, torch.tensor([5.0, 6.0], dtype=torch.float64))
    assert len(layout.start) == layout.weights + 2 == sum(p.numel() for p in field.parameters()) + 2
    named, through = layout.split(layout.start)
    assert all(torch.equal(named[name], value) for name, value in field.named_parameters())
    assert through.tolist() == [5, 6]
    layout.write(layout.start + 1)
    assert all(torch.equal(named[name] + 1, value) for name, value in field.named_parameters())


def test_frozen_weights_are_not_trained():
    field = MLPField(2, 1, 2, hidden=(3,), generator=seeded())
    field.skip.requires_grad_(False)
    layout = ParameterVector(field, torch.zeros(0, dtype=torch.float64))
    before = field.skip.weight.clone()
    layout.write(layout.start + 1)
    assert torch.equal(field.skip.weight, before)
    assert layout.weights == sum(p.numel() for p in field.parameters() if p.requires_grad)


# The iterations


class Linear(nn.Module):
    """dx/dt = A x + B u."""

    def __init__(self, a, b):
        super().__init__()
        self.a, self.b = nn.Parameter(a), nn.Parameter(b)

    def forward(self, state, drive):
        return state @ self.a.T + drive @ self.b.T


TRUE_A = torch.tensor([[-0.1, 0.5], [-0.5, -0.2]], dtype=torch.float64)
TRUE_B = torch.tensor([[0.0], [0.4]], dtype=torch.float64)


def linear_problem(length=10, *, noise=0.0, prior=None, ridge=0.0, outputs_only=False):
    generator = seeded(1)
    stages = torch.randn(200, 1, 1, generator=generator, dtype=torch.float64).expand(-1, 3, -1)
    with torch.no_grad():
        states = rollout(Linear(TRUE_A, TRUE_B), torch.tensor([1.0, 0.0], dtype=torch.float64), stages[:-1])
    states = states + noise * torch.randn(states.shape, generator=generator, dtype=torch.float64)
    samples = Samples(states, stages, torch.zeros(200, 2, 0), torch.tensor([noise, noise]), ((0, 199),), 1)
    samples = Samples(states, stages, torch.zeros(200, 2, 0, dtype=torch.float64), samples.state_noise, samples.segments, 1)
    layout = ParameterVector(Linear(torch.zeros_like(TRUE_A), torch.zeros_like(TRUE_B)), torch.zeros(0, dtype=torch.float64))
    weights = torch.tensor([1.0, 0.0 if outputs_only else 1.0], dtype=torch.float64)
    return Shooting(samples, layout, length, samples.windows(length), weights, prior, ridge)


def truth():
    return torch.cat([TRUE_A.flatten(), TRUE_B.flatten()])


@pytest.mark.parametrize("length", [1, 10])
def test_known_system_is_recovered_from_clean_samples(length):
    made = linear_problem(length)
    point = minimise(made, made.theta.start, made.no_shifts(), iterations=30)
    assert torch.allclose(point.theta, truth(), rtol=0, atol=1e-8)
    assert point.cost < 1e-16


def test_known_system_is_recovered_from_its_first_state_alone():
    prior = torch.full((2,), 1.0, dtype=torch.float64)
    made = linear_problem(20, prior=prior, outputs_only=True)
    # At zero the output does not depend on the second state: start with some coupling.
    start = made.theta.start + torch.tensor([0.0, 0.3, -0.3, 0.0, 0.0, 0.1], dtype=torch.float64)
    point = minimise(made, start, made.no_shifts(), iterations=60, tolerance=1e-9)
    assert torch.allclose(point.theta, truth(), rtol=0, atol=1e-5)


def test_free_initial_states_remove_the_bias_of_noisy_ones():
    """One-step errors in variables shrink the dynamics; windows with free initial states do not."""
    noise, errors = 0.2, {}
    for name, prior in (("measured", None), ("free", torch.ones(2, dtype=torch.float64))):
        made = linear_problem(20 if prior is not None else 1, noise=noise, prior=prior)
        point = minimise(made, made.theta.start, made.no_shifts(), iterations=30)
        errors[name] = float((point.theta - truth()).norm())
    assert errors["free"] < 0.5 * errors["measured"]


@pytest.mark.parametrize("prior", [False, True])
def test_cost_falls_with_every_accepted_step(prior):
    made, theta, shifts, _, _ = problem(5, prior=prior, feedthrough=True)
    costs = [made.evaluate(theta, shifts).cost]
    point = minimise(made, theta, shifts, iterations=12, after=lambda point, damping: costs.append(point.cost))
    assert len(costs) > 3
    assert costs == sorted(costs, reverse=True)
    assert point.cost == costs[-1] == made.evaluate(point.theta, point.shifts).cost


def test_optimum_is_kept_and_idle_steps_end_the_iterations():
    made = linear_problem(5, ridge=1e-3)
    steps = []
    first = minimise(made, made.theta.start, made.no_shifts(), iterations=100, after=lambda p, d: steps.append(d.iteration))
    assert len(steps) < 30
    again = minimise(made, first.theta, first.shifts, iterations=100)
    assert again.cost <= first.cost
    assert torch.allclose(again.theta, first.theta, rtol=0, atol=1e-3)
    _, gradient, _ = made.normal_equations(again)
    assert float(gradient.abs().max()) < 1e-6


@pytest.mark.parametrize("stop", [1, 4])
def test_interrupted_run_ends_with_the_same_result(stop):
    made, theta, shifts, _, _ = problem(5, prior=True, feedthrough=True)
    uninterrupted = minimise(made, theta, shifts, iterations=9)

    class Killed(Exception):
        pass

    kept = {}

    def keep(point, damping):
        kept.update(theta=point.theta.clone(), shifts=point.shifts.clone(), damping=Damping(**vars(damping)))
        if damping.iteration == stop:
            raise Killed

    with pytest.raises(Killed):
        minimise(made, theta, shifts, iterations=9, after=keep)
    resumed = minimise(made, kept["theta"], kept["shifts"], iterations=9, damping=kept["damping"])
    assert torch.equal(resumed.theta, uninterrupted.theta)
    assert torch.equal(resumed.shifts, uninterrupted.shifts)


def test_start_that_is_not_finite_is_refused():
    made, theta, shifts, _, _ = problem(3, prior=False, feedthrough=False)
    with pytest.raises(FitError, match="first free run through the windows is not finite"):
        minimise(made, theta * math.nan, shifts, iterations=3)


# Fields that cannot be differentiated sample by sample


class Branching(nn.Module):
    """Control flow that depends on data."""

    def __init__(self):
        super().__init__()
        self.net = MLPField(2, 1, 2, hidden=(3,), generator=seeded())

    def forward(self, state, drive):
        rates = self.net(state, drive)
        return -rates if float(state.detach().sum()) > 0 else rates


class Centred(Branching):
    """Statistics over the batch."""

    def forward(self, state, drive):
        return self.net(state - state.mean(0), drive)


class Counting(Branching):
    """A buffer that is updated in place."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(2, dtype=torch.float64))

    def forward(self, state, drive):
        self.mean.mul_(0.9).add_(0.1 * state)
        return self.net(state, drive) - self.mean


class Random(Branching):
    def forward(self, state, drive):
        return nn.functional.dropout(self.net(state, drive), 0.5)


class Flat(Branching):
    """Written for one batch dimension only."""

    def forward(self, state, drive):
        return self.net(torch.stack([state[:, 0], state[:, 1]], 1), drive)


@pytest.mark.parametrize("field", [Branching, Centred, Counting, Random, Flat])
def test_field_that_vmap_cannot_take_is_refused_with_a_remedy(field):
    samples = problem(1, prior=False, feedthrough=False)[0].samples
    layout = ParameterVector(field(), torch.zeros(0, dtype=torch.float64))
    with pytest.raises(ConfigError, match=r"cannot be differentiated by torch.func.vmap.*Use method='adam'"):
        Shooting(samples, layout, 2, samples.windows(2), torch.ones(2, dtype=torch.float64), None, 0.0)
