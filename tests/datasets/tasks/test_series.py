"""Time series: their equations, convergence, published statistics."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from spinode.datasets import mackey_glass, narma, sine_square
from spinode.errors import ConfigError


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_mackey_glass_satisfies_its_equation():
    x = mackey_glass(4000, interval=0.1, substeps=10, tau=17.0)
    slope = (8 * (x[3:-1] - x[1:-3]) - (x[4:] - x[:-4])) / 1.2
    delayed, current = x[2:-172], x[172:-2]
    expected = 0.2 * delayed / (1 + delayed**10) - 0.1 * current
    torch.testing.assert_close(slope[170:], expected, rtol=0, atol=2e-6)


def test_mackey_glass_converges_with_the_fourth_power_of_the_step():
    exact = mackey_glass(40, substeps=80, washout=0)
    errors = [float((mackey_glass(40, substeps=n, washout=0) - exact)[1:].abs().max()) for n in (5, 10)]
    assert 10 < errors[0] / errors[1] < 24


def test_mackey_glass_has_the_statistics_of_the_published_series(shared):
    published = np.loadtxt(shared / "data/spin_neural_ode/mg.txt").ravel()
    series = mackey_glass(10_000).numpy()
    for statistic in (np.mean, np.std, np.max):
        assert statistic(series) == pytest.approx(statistic(published), rel=0.01)


def test_narma_satisfies_its_recursion():
    u, y = narma(300, generator=generator())
    t = 200
    expected = 0.3 * y[t] + 0.05 * y[t] * y[t - 9 : t + 1].sum() + 1.5 * u[t - 9] * u[t] + 0.1
    assert float(y[t + 1]) == pytest.approx(float(expected))
    assert 0 <= float(u.min()) <= float(u.max()) <= 0.5


def test_sine_and_square_waves_match_their_labels():
    wave, kind = sine_square(100, generator=generator())
    assert wave.shape == kind.shape == (800,)
    periods = wave.reshape(100, 8)
    square = kind.reshape(100, 8)[:, 0] == 1
    assert set(periods[square].unique().tolist()) == {-1.0, 1.0}
    torch.testing.assert_close(periods[~square][0], torch.sin(2 * math.pi * torch.arange(8, dtype=torch.float64) / 8))
    assert 25 < int(square.sum()) < 75


@pytest.mark.parametrize(
    ("generate", "message"),
    [
        (lambda: mackey_glass(0), "length is 0"),
        (lambda: mackey_glass(10, tau=0.33), r"tau is 0\.33 .*expected a multiple of the step"),
        (lambda: mackey_glass(10**9), "take 20000010340 integration steps; expected at most 100000000"),
        (lambda: mackey_glass(10, beta="x"), "beta is 'x'; expected a finite number"),
        (lambda: mackey_glass(10, start=1e300), r"the series diverges: x\(t - tau\) is 1e\+300"),
        (lambda: narma(10, generator=3), "generator is 3; expected a torch.Generator"),
        (lambda: narma(10, order=30, generator=generator()), "order is 30"),
        (lambda: sine_square(3, samples=5, generator=generator()), "samples is 5"),
    ],
)
def test_invalid_arguments_are_refused(generate, message):
    with pytest.raises(ConfigError, match=message):
        generate()
