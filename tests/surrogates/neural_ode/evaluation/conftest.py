"""Recordings of devices that obey the equations of a surrogate, with measurement noise."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import signal

from spinode import Trace
from spinode.surrogates.neural_ode.evaluation.short_runs import short_run_steps
from spinode.surrogates.neural_ode.free_run import short_run_errors
from spinode.surrogates.testing import resonator

INTERVAL, NOISE = 1e-11, 0.01


def random_drive(samples, seed):
    """Low-pass filtered noise."""
    noise = np.random.default_rng(seed).standard_normal(samples)
    return 3 * signal.filtfilt(*signal.butter(3, 0.1), noise)


def record_all(device, drives, seeds, states=None):
    """Recordings of a device, one for each drive; from rest, or from the given states. All runs are one batch."""
    states = torch.zeros(len(drives), 2, dtype=torch.float64) if states is None else states
    device._warned = True
    with torch.no_grad():
        outputs = device.simulate(torch.as_tensor(np.stack(drives))[..., None], state=states)[..., 0].numpy()
    noises = [np.random.default_rng(seed + 10_000).standard_normal(outputs.shape[1]) for seed in seeds]
    return [
        Trace(
            INTERVAL * np.arange(len(u)),
            {"V": u},
            {"y": y + float(device.noise) * noise},
            {},
            {"V": "V", "y": "T"},
            {"V": "spline"},
        )
        for u, y, noise in zip(drives, outputs, noises, strict=True)
    ]


def record(device, samples, seed, *, drive=None):
    """One recording of a device from rest."""
    return record_all(device, [random_drive(samples, seed) if drive is None else drive], [seed])[0]


@pytest.fixture(scope="session")
def recorder():
    """The functions that make recordings, and their sample interval and noise."""
    return SimpleNamespace(interval=INTERVAL, noise=NOISE, random_drive=random_drive, record_all=record_all, record=record)


@pytest.fixture
def device():
    """A resonator whose residual level is known, as a fit would have stored it."""
    surrogate = resonator(noise=NOISE, interval=INTERVAL)
    errors = short_run_errors(surrogate, record(surrogate, 2000, 99), short_run_steps(surrogate))
    surrogate.record["residual_level"] = np.sqrt(np.mean(errors**2, 0)).tolist()
    return surrogate


@pytest.fixture
def other_device():
    """A resonator with another resonance, damping and gain."""
    return resonator(period=6.0, damping=0.3, gain=-0.5, interval=INTERVAL, noise=NOISE)
