"""Missing and limited samples in the shooting problem: cost, gradient, and the minimum that Gauss-Newton steps reach."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from spinode.dynamics.field import MLPField
from spinode.surrogates.neural_ode.fitting.levenberg_marquardt import minimise
from spinode.surrogates.neural_ode.fitting.samples import AT_LEAST, AT_MOST, KNOWN, MISSING, Samples, known_errors
from spinode.surrogates.neural_ode.fitting.shooting import ParameterVector, Shooting
from spinode.surrogates.neural_ode.fitting.windows import gather

COUNT, LENGTH = 201, 20


def make_problem(status=None, spoil=0.0, seed=0):
    """Return a shooting problem of a field of one state value; `spoil` is added to the states that are not known."""
    generator = torch.Generator().manual_seed(seed)
    states = torch.sin(0.3 * torch.arange(COUNT, dtype=torch.float64))[:, None]
    states = states + 0.1 * torch.randn(COUNT, 1, generator=generator, dtype=torch.float64)
    if status is not None:
        states = torch.where(status == KNOWN, states, states + spoil)
    stages = torch.cos(0.3 * torch.arange(COUNT, dtype=torch.float64))[:, None, None].expand(-1, 3, 1).contiguous()
    none = torch.zeros(COUNT, 1, 0, dtype=torch.float64)
    samples = Samples(states, stages, none, torch.ones(1, dtype=torch.float64), ((0, COUNT - 1),), 1, status=status)
    field = MLPField(1, 1, 1, hidden=(2,), generator=generator).double()
    theta = ParameterVector(field, torch.zeros(0))
    weights, prior = torch.ones(1, dtype=torch.float64), torch.full((1,), 0.3, dtype=torch.float64)
    # Small weights: a run that reaches the limit of the state has no gradient.
    return Shooting(samples, theta, LENGTH, samples.windows(LENGTH), weights, prior, 1e-3), 0.1 * theta.start


def some_status(code, share=0.3, seed=1):
    chosen = torch.rand(COUNT, 1, generator=torch.Generator().manual_seed(seed)) < share
    chosen[::LENGTH] = False  # states at which windows begin
    return torch.where(chosen, code, KNOWN).to(torch.int8)


def test_values_of_missing_samples_do_not_matter():
    status = some_status(MISSING)
    costs = [p.evaluate(theta, p.no_shifts()).cost for p, theta in (make_problem(status, spoil) for spoil in (0.0, 7.0))]
    assert costs[0] == pytest.approx(costs[1], rel=1e-12)


@pytest.mark.parametrize("code", [MISSING, AT_LEAST, AT_MOST])
def test_gradient_is_that_of_the_cost(code):
    problem, theta = make_problem(some_status(code))
    problem.prior = None
    shifts = problem.no_shifts()
    _, gradient, _ = problem.normal_equations(problem.evaluate(theta, shifts))
    for index in range(0, len(theta), 3):
        step = torch.zeros_like(theta)
        step[index] = 1e-5
        slope = (problem.evaluate(theta + step, shifts).cost - problem.evaluate(theta - step, shifts).cost) / 2e-5
        assert float(gradient[index]) == pytest.approx(slope / 2, rel=1e-4, abs=1e-7)


def test_minimum_with_missing_samples_is_stationary():
    problem, theta = make_problem(some_status(MISSING), spoil=5.0)
    start = problem.evaluate(theta, problem.no_shifts())
    point = minimise(problem, theta, problem.no_shifts(), iterations=150, tolerance=1e-12, patience=20)
    _, before, _ = problem.normal_equations(start)
    _, after, _ = problem.normal_equations(point)
    assert point.cost < 0.5 * start.cost
    assert float(after.norm()) < 1e-3 * float(before.norm())


def test_windows_of_adam_carry_the_status():
    status = some_status(AT_LEAST)
    problem, _ = make_problem(status)
    windows = gather(problem.samples, torch.tensor([0, 20]), LENGTH)
    assert torch.equal(windows.status[1], status[21 : 21 + LENGTH])
    complete = gather(replace(problem.samples, status=None), torch.tensor([0]), LENGTH)
    assert not bool(complete.status.any())


def test_error_beyond_a_limit_is_zero_and_continuous_at_it():
    difference = torch.linspace(-1, 1, 201, dtype=torch.float64)
    least, most = (known_errors(difference, torch.full((201,), code)) for code in (AT_LEAST, AT_MOST))
    assert torch.allclose(least, -most.flip(0), rtol=0, atol=1e-12)
    assert bool((least[101:] == 0).all())
    assert torch.equal(least[:100], difference[:100])
