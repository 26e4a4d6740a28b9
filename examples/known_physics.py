"""Fit a grey-box model: a known resonance in SI units, and a network for the unknown part."""

import numpy as np
from scipy.integrate import solve_ivp

import spinode

# A driven Duffing oscillator stands in for the device; only its linear part is assumed to be known.
OMEGA, GAMMA = 2 * np.pi * 1e9, 4e8
rng = np.random.default_rng(0)
time = np.arange(2000) * 2e-11
tones = rng.uniform(0.5, 2.5, 6) * 1e9
drive = np.sin(2 * np.pi * tones * time[:, None] + rng.uniform(0, 6, 6)).sum(1)


def duffing(t, y):
    """Return the time derivative of (y, dy/dt)."""
    force = np.interp(t, time, drive)
    return [y[1], -(OMEGA**2) * (y[0] + 0.3 * y[0] ** 3) - GAMMA * y[1] + 0.2 * OMEGA**2 * force]


output = solve_ivp(duffing, (0, time[-1]), [0, 0], t_eval=time, rtol=1e-8, atol=1e-10, max_step=2e-11).y[0]
trace = spinode.Trace(time, {"force": drive}, {"y": output}, interpolation={"force": "linear"})


def resonance(blocks, force):
    """Return the known part of d2y/dt2, in SI units."""
    y, rate = blocks[..., 0, :], blocks[..., 1, :]
    return -(OMEGA**2) * y - GAMMA * rate + 0.2 * OMEGA**2 * force


def grey_box(state, inputs, rates, generator):
    """Build the known part plus a small network."""
    return spinode.GreyBoxField(
        spinode.SIRate(resonance), spinode.MLPField(state, inputs, rates, hidden=(8,), generator=generator)
    )


fitted = trace.between(0, 2e-8)
surrogate = spinode.fit(fitted, vector_field=grey_box, order=2, ridge=3e-7, restarts=1, windows=(1, 8, 40), iterations=8)
scores = spinode.evaluate(surrogate, trace.between(2e-8, time[-1]))
print(f"free-run NRMSE {scores.nrmse:.4f}")
assert scores.nrmse < 0.05
