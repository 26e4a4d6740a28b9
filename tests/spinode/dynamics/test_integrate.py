"""Integration: order of convergence, exact solutions, gradients, clipping at the limit."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from spinode.dynamics.field import MLPField
from spinode.dynamics.integrate import ADAPTIVE, STATE_LIMIT, adaptive_rollout, rk4_step
from spinode.dynamics.rollout import rollout
from spinode.errors import ConfigError, DomainError
from spinode.surrogates.neural_ode.drive_interpolation import stage_drive

A = torch.tensor([[-0.1, 1.0], [-1.0, -0.3]], dtype=torch.float64)
B = torch.tensor([[0.0], [1.0]], dtype=torch.float64)


def linear(x, u):
    return x @ A.T + u @ B.T


def stages_of(function, steps, dt):
    """Return the exact drive at the start, middle and end of each step of length dt."""
    start = dt * torch.arange(steps, dtype=torch.float64)
    return torch.stack([function(start), function(start + dt / 2), function(start + dt)], -1)[..., None]


def slope(steps, errors):
    """Return the exponent p of errors ~ step^p."""
    return np.polyfit(np.log(steps), np.log(errors), 1)[0]


def run(field, state, stages, dt):
    """Run a field in its own time, with samples of length dt."""
    return rollout(lambda x, u: dt * field(x, u), state, stages)


# Order


def test_fourth_order_convergence_for_a_linear_system():
    start, stop = torch.tensor([1.0, -0.5], dtype=torch.float64), 4.0
    exact = torch.as_tensor(expm(A.numpy() * stop)) @ start
    counts = np.array([10, 20, 40, 80])
    errors = [
        float((run(linear, start, torch.zeros(int(n), 3, 1, dtype=torch.float64), stop / n)[-1] - exact).norm()) for n in counts
    ]
    assert slope(stop / counts, errors) == pytest.approx(4, abs=0.1)
    assert errors[-1] < 1e-6


def driven_exact(start, stop):
    """Return the solution of x' = A x + B sin(1.3 t), with the drive as part of an autonomous state."""
    block = np.zeros((4, 4))
    block[:2, :2], block[:2, 2:3] = A.numpy(), B.numpy()
    block[2, 3], block[3, 2] = 1.3, -1.3
    return torch.as_tensor((expm(block * stop) @ np.array([*start, 0.0, 1.0]))[:2])


def test_fourth_order_convergence_with_a_drive():
    start, stop = torch.tensor([1.0, -0.5], dtype=torch.float64), 4.0
    exact = driven_exact(start.tolist(), stop)
    counts = np.array([10, 20, 40, 80])
    errors = [
        float((run(linear, start, stages_of(lambda t: torch.sin(1.3 * t), int(n), stop / n), stop / n)[-1] - exact).norm())
        for n in counts
    ]
    assert slope(stop / counts, errors) == pytest.approx(4, abs=0.15)


def test_fourth_order_convergence_for_a_sampled_drive_with_spline_stages():
    """As in a fit, only samples of the drive are known."""
    start, stop = torch.tensor([1.0, -0.5], dtype=torch.float64), 4.0
    exact = driven_exact(start.tolist(), stop)
    counts = np.array([20, 40, 80])
    errors = {}
    for kind in ("spline", "linear"):
        errors[kind] = []
        for n in counts:
            times = stop / n * torch.arange(n + 1, dtype=torch.float64)
            stages = stage_drive(torch.sin(1.3 * times)[:, None], (kind,))
            errors[kind].append(float((run(linear, start, stages, stop / n)[-1] - exact).norm()))
    assert slope(stop / counts, errors["spline"]) == pytest.approx(4, abs=0.2)
    assert slope(stop / counts, errors["linear"]) == pytest.approx(2, abs=0.2)


def test_dt_scales_the_field():
    x, u = torch.tensor([0.3, 0.2], dtype=torch.float64), torch.full((3, 1), 0.7, dtype=torch.float64)
    halves = rk4_step(linear, rk4_step(linear, x, u, 0.5), u, 0.5)
    fine = rk4_step(lambda a, b: 0.5 * linear(a, b), x, u)
    assert torch.equal(fine, rk4_step(linear, x, u, 0.5))
    assert 0 < float((halves - rk4_step(linear, x, u)).norm()) < 0.05


# Comparison with other solvers


def smooth_problem(steps=30):
    field = MLPField(2, 1, 2, hidden=(6,), generator=torch.Generator().manual_seed(0))
    times = torch.arange(steps + 1, dtype=torch.float64)
    drive = torch.sin(0.4 * times)[:, None]
    return field, torch.tensor([0.4, -0.2], dtype=torch.float64), stage_drive(drive, ("spline",))


def parabola(stages, t):
    """Return the drive of `adaptive_rollout`: the parabola through the three stages of a step."""
    index = min(int(t), len(stages) - 1)
    a, b, c = (float(value) for value in stages[index, :, 0])
    s = t - index
    return a * (1 - s) * (1 - 2 * s) + b * 4 * s * (1 - s) + c * s * (2 * s - 1)


def test_rk4_agrees_with_torchdiffeq():
    """Its "rk4" is the 3/8 rule, which differs from ours at fifth order; with short steps the two agree."""
    from torchdiffeq import odeint

    field, start, stages = smooth_problem(10)
    fine = 8
    times = torch.arange(10 * fine, dtype=torch.float64) / fine
    parts = torch.tensor(
        [[[parabola(stages, float(t) + part)] for part in (0, 0.5 / fine, (1 - 1e-12) / fine)] for t in times],
        dtype=torch.float64,
    )
    with torch.no_grad():
        ours = rollout(lambda x, u: field(x, u) / fine, start, parts)[::fine]
        theirs = odeint(
            lambda t, x: field(x, torch.tensor([parabola(stages, float(t))], dtype=torch.float64)),
            start,
            torch.arange(11, dtype=torch.float64),
            method="rk4",
            options={"step_size": 1 / fine},
        )
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-6)


def scipy_run(field, start, stages):
    """Return the solution of SciPy; each step is solved separately because a held drive jumps between steps."""
    states = [start.numpy()]

    def rate(t, x, index):
        u = torch.tensor([parabola(stages[index : index + 1], t)], dtype=torch.float64)
        return field(torch.as_tensor(x), u).numpy()

    with torch.no_grad():
        for index in range(len(stages)):
            solution = solve_ivp(rate, (0, 1), states[-1], method="DOP853", rtol=1e-11, atol=1e-12, args=(index,))
            states.append(solution.y[:, -1])
    return torch.as_tensor(np.stack(states))


@pytest.mark.parametrize("method", ADAPTIVE)
def test_adaptive_solvers_agree_with_scipy(method):
    field, start, stages = smooth_problem(12)
    with torch.no_grad():
        ours = adaptive_rollout(field, start, stages, method=method)
    assert torch.allclose(ours, scipy_run(field, start, stages), rtol=0, atol=1e-7)


def test_held_drive_does_not_reduce_the_accuracy_of_an_adaptive_solver():
    field, start, _ = smooth_problem()
    steps = torch.randn(12, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    stages = stage_drive(steps, ("held",))
    with torch.no_grad():
        assert torch.allclose(adaptive_rollout(field, start, stages), scipy_run(field, start, stages), rtol=0, atol=1e-6)
        # One Runge-Kutta step per sample is less accurate but follows the same trajectory.
        assert torch.allclose(rollout(field, start, stages), scipy_run(field, start, stages), rtol=0, atol=1e-2)


def test_adaptive_gradients_agree_with_those_of_short_fixed_steps():
    field, start, stages = smooth_problem(4)

    def slopes(solve):
        drive = stages.clone().requires_grad_()
        return torch.autograd.grad(solve(drive).square().sum(), [drive, *field.parameters()])

    def fine(drive):
        parts = 10
        states = [start]
        for a, b, c in drive[..., 0]:
            state = states[-1]
            for k in range(parts):
                s = (k + torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)) / parts
                u = a * (1 - s) * (1 - 2 * s) + b * 4 * s * (1 - s) + c * s * (2 * s - 1)
                state = rk4_step(field, state, u[:, None], 1 / parts)
            states.append(state)
        return torch.stack(states, -2)

    for ours, reference in zip(slopes(lambda u: adaptive_rollout(field, start, u)), slopes(fine), strict=True):
        assert torch.allclose(ours, reference, rtol=1e-4, atol=1e-6)


def test_unknown_solver_is_refused():
    field, start, stages = smooth_problem(2)
    with pytest.raises(ConfigError, match="solver is 'euler'; expected one of rk4, dopri5"):
        adaptive_rollout(field, start, stages, method="euler")
    assert "dopri5" in ADAPTIVE


def test_singularity_is_reported_with_its_step():
    stages = torch.zeros(3, 3, 1, dtype=torch.float64)
    with pytest.raises(DomainError, match="'dopri5' stopped in step 0"):
        adaptive_rollout(lambda x, u: 3 * x.square(), torch.tensor([0.5], dtype=torch.float64), stages)


# Shapes and gradients


def test_result_begins_with_the_initial_state_and_one_step():
    field, start, stages = smooth_problem(5)
    states = rollout(field, start, stages)
    assert states.shape == (6, 2)
    assert torch.equal(states[0], start)
    torch.testing.assert_close(states[1], rk4_step(field, start, stages[0]), rtol=1e-13, atol=0)


def test_stages_are_used_at_start_middle_and_end():
    """With f = u, a step is Simpson's rule, which weights the three stages differently."""
    stages = torch.tensor([[[1.0], [10.0], [100.0]]], dtype=torch.float64)
    end = rollout(lambda x, u: u, torch.zeros(1, dtype=torch.float64), stages)[-1]
    assert float(end) == pytest.approx((1 + 4 * 10 + 100) / 6)


@pytest.mark.parametrize("solve", [rollout, adaptive_rollout])
def test_batch_equals_loop(solve):
    field, _, _ = smooth_problem()
    generator = torch.Generator().manual_seed(2)
    starts = torch.randn(2, 3, 2, generator=generator, dtype=torch.float64)
    stages = torch.randn(2, 3, 6, 3, 1, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        together = solve(field, starts, stages)
        single = torch.stack([torch.stack([solve(field, starts[i, j], stages[i, j]) for j in range(3)]) for i in range(2)])
    assert together.shape == (2, 3, 7, 2)
    assert torch.allclose(together, single, rtol=0, atol=1e-12 if solve is rollout else 1e-6)


def test_gradients_in_state_drive_and_weights():
    field, start, stages = smooth_problem(4)
    names, values = zip(*field.named_parameters(), strict=True)

    def solve(state, drive, *weights):
        named = dict(zip(names, weights, strict=True))
        return rollout(lambda x, u: torch.func.functional_call(field, named, (x, u)), state, drive)

    inputs = [value.detach().clone().requires_grad_() for value in (start, stages, *values)]
    assert torch.autograd.gradcheck(solve, inputs)


# Limit


def test_diverging_run_stays_finite_at_the_limit():
    stages = torch.zeros(400, 3, 1, dtype=torch.float64)
    start = torch.tensor([[1.0, -1.0], [0.0, 0.0]], dtype=torch.float64)
    states = rollout(lambda x, u: x**3 + 0.5 * x, start, stages)
    assert torch.isfinite(states).all()
    assert states[0, -1].tolist() == [STATE_LIMIT, -STATE_LIMIT]
    assert not states[1].any()


def test_states_below_the_limit_are_not_changed():
    start = torch.tensor([0.99 * STATE_LIMIT], dtype=torch.float64)
    end = rollout(lambda x, u: -0.1 * x, start, torch.zeros(1, 3, 1, dtype=torch.float64))[-1]
    assert float(end) == pytest.approx(0.99 * STATE_LIMIT * np.exp(-0.1), rel=1e-6)
