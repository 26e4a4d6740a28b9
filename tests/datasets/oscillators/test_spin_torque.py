"""The auto-oscillator against its closed forms: stationary power, relaxation, distribution, phase diffusion."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from spinode.contracts.driven_device import DrivenDevice
from spinode.datasets import SpinTorqueOscillator
from spinode.errors import ConfigError

OSCILLATOR = SpinTorqueOscillator()


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def constant(current, devices, samples):
    return torch.full((devices, samples, 1), current, dtype=torch.float64)


def test_the_oscillator_is_a_driven_device():
    assert isinstance(OSCILLATOR, DrivenDevice)


@pytest.mark.parametrize("current", [6e-3, 8e-3])
def test_the_mean_converges_to_the_stationary_power(current):
    quiet = replace(OSCILLATOR, noise=1e-12)
    memory = torch.tensor([[1e-3, 0.0], [0.9, 0.0]], dtype=torch.float64)
    end = quiet.step_block(memory, constant(current, 2, 500)).memory[:, 0]
    torch.testing.assert_close(end, quiet.power([current, current]), rtol=1e-6, atol=0)
    assert float(quiet.power(4e-3)) == 0


def test_a_small_deviation_decays_at_twice_the_rate_of_the_amplitude():
    """d(p - p0)/dt = -2 Gamma (I / I_c - 1) (p - p0) near p0."""
    quiet, current = replace(OSCILLATOR, noise=0.0), 7e-3
    p0 = float(quiet.power(current))
    path = quiet.step_block(torch.tensor([[1.001 * p0, 0.0]], dtype=torch.float64), constant(current, 1, 10)).output[0, :, 0]
    gap = (path / quiet.scale) ** 2 - p0
    rate = -math.log(float(gap[9] / gap[0])) / (9 * quiet.interval)
    assert rate == pytest.approx(2 * quiet.damping * (current / quiet.critical - 1), rel=1e-3)


@pytest.mark.parametrize("current", [4e-3, 6.5e-3])
def test_the_power_has_the_distribution_of_the_fokker_planck_equation(current):
    """For Q = 0, P(p) ~ exp([a p / 2 - b p^2 / 4] / D); 4000 independent devices, Kolmogorov-Smirnov at 1e-4."""
    noisy = replace(OSCILLATOR, nonlinear_damping=0.0, noise=5e-3, substeps=20)
    drive = constant(current, 4000, 60)
    p = (
        noisy.step_block(noisy.initial_state(drive[:, 0], generator=generator()), drive, generator=generator(1))
        .memory[:, 0]
        .numpy()
    )
    grid = np.linspace(0, 2, 40001)
    relative = current / noisy.critical
    weight = np.exp(
        (noisy.damping * (relative - 1) * grid - noisy.damping * relative * grid**2 / 2) / (noisy.damping * noisy.noise)
    )
    cumulated = np.cumsum(weight) / weight.sum()
    ordered = np.sort(p)
    distance = np.abs(np.interp(ordered, grid, cumulated) - (np.arange(len(p)) + 0.5) / len(p)).max()
    assert distance < 2.2 / math.sqrt(len(p))


def test_phase_diffusion_is_amplified_by_the_nonlinear_shift():
    """The variance of the phase grows by (D / p0) (1 + nu^2) t, nu = 2 N / b; with 3000 devices known to 1 / sqrt(1500)."""
    current = 8e-3
    device = replace(OSCILLATOR, nonlinear_damping=0.0, noise=1e-5, shift=1.5e7, substeps=10)
    drive = constant(current, 3000, 120)
    memory = device.initial_state(drive[:, 0])
    phase = device.step_block(memory, drive, generator=generator()).output[..., 1]
    growth = float(phase[:, 119].var() - phase[:, 39].var()) / (80 * device.interval)
    relative = current / device.critical
    nu = 2 * device.shift / (2 * device.damping * relative)
    expected = device.damping * device.noise / float(device.power(current)) * (1 + nu**2)
    assert growth == pytest.approx(expected, rel=4 * math.sqrt(2 / 1500))


def test_blocks_continue_one_run():
    drive = OSCILLATOR.critical * (1 + torch.rand(3, 40, 1, generator=generator(), dtype=torch.float64))
    memory = OSCILLATOR.initial_state(drive[:, 0])
    whole = OSCILLATOR.step_block(memory, drive)
    first = OSCILLATOR.step_block(memory, drive[:, :15])
    second = OSCILLATOR.step_block(first.memory, drive[:, 15:])
    torch.testing.assert_close(torch.cat([first.output, second.output], 1), whole.output, rtol=0, atol=0)


def test_a_recording_responds_to_the_previous_sample():
    current = torch.tensor([6e-3, 6e-3, 8e-3, 8e-3], dtype=torch.float64)
    trace = OSCILLATOR.trace(current, output=("V", "phase"))
    V = trace.output["V"]
    assert V[2] == pytest.approx(V[0], rel=1e-2)
    assert V[3] > 1.01 * V[2]
    assert trace.interpolation["I"] == "held"
    noisy = [OSCILLATOR.trace(current, generator=generator(seed)).output["V"] for seed in (1, 1, 2)]
    np.testing.assert_array_equal(noisy[0], noisy[1])
    assert not np.array_equal(noisy[0], noisy[2])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SpinTorqueOscillator(damping=0), r"damping is 0; expected a finite number above 0 \[rad/s\]"),
        (lambda: SpinTorqueOscillator(noise=math.nan), "noise is nan"),
        (lambda: SpinTorqueOscillator(substeps=0), "substeps is 0"),
        (lambda: OSCILLATOR.trace([[1e-3]]), "current has shape"),
        (lambda: OSCILLATOR.trace([1e-3, math.inf]), "NaN or infinite"),
        (lambda: OSCILLATOR.trace([1e-3, 1e-3], output=("W",)), "output is"),
        (lambda: OSCILLATOR.step_block(torch.ones(1, 2), torch.ones(1, 3)), "drive has shape"),
    ],
)
def test_invalid_arguments_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
