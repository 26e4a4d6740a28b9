"""`LinearStep`, `SoftBounds` and `ExponentialStep` against their closed forms, and the spread and noise of their base."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from scipy import stats

from spinode.contracts.synapse import Pulses, Synapse
from spinode.datasets import STEP_PRESETS, ExponentialStep, LinearStep, SoftBounds
from spinode.datasets.devices.steps import MAX_EXACT, StepModel
from spinode.errors import ConfigError
from spinode.testing import SynapseContract

Z = float(stats.norm.isf(5e-7))  # two-sided false-alarm rate of a millionth
QUIET = {"dw_min_dtod": 0.0, "up_down_dtod": 0.0, "w_min_dtod": 0.0, "w_max_dtod": 0.0, "dw_min_std": 0.0}


class TestLinearStep(SynapseContract):
    def make(self) -> Synapse:
        return STEP_PRESETS["EcRam"]


class TestSoftBounds(SynapseContract):
    def make(self) -> Synapse:
        return STEP_PRESETS["ReRamSB"]


class TestExponentialStep(SynapseContract):
    def make(self) -> Synapse:
        return STEP_PRESETS["ReRamES"]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def trained(model: StepModel, pulses: int) -> float:
    """Return the weight of the typical device after a train."""
    state = model.initial((1,), dtype=torch.float64)
    return float(model.read(model.program(state, Pulses(torch.tensor([float(pulses)])))))


def test_constant_steps_count_pulses_within_the_bounds() -> None:
    model = LinearStep(dw_min=0.01, up_down=0.2)
    assert trained(model, 30) == pytest.approx(0.3 * 1.2)
    assert trained(model, -30) == pytest.approx(-0.3 * 0.8)
    assert trained(model, 5000) == 1.0
    assert trained(model, -5000) == -1.0


@pytest.mark.parametrize("pulses", [1, 17, MAX_EXACT])
def test_linear_steps_approach_their_fixed_point_geometrically(pulses: int) -> None:
    """With w <- w + s (1 - g w / b): w_n = (b / g) (1 - (1 - s g / b)^n), from zero."""
    model = LinearStep(dw_min=0.01, low=-0.8, high=1.2, gamma_up=0.4, gamma_down=0.7)
    assert trained(model, pulses) == pytest.approx(1.2 / 0.4 * (1 - (1 - 0.01 * 0.4 / 1.2) ** pulses), rel=1e-12)
    assert trained(model, -pulses) == pytest.approx(-0.8 / 0.7 * (1 - (1 - 0.01 * 0.7 / 0.8) ** pulses), rel=1e-12)


def test_soft_bounds_are_linear_steps_of_slope_one() -> None:
    bounds, linear = SoftBounds(dw_min=0.01, low=-0.7), LinearStep(dw_min=0.01, low=-0.7, gamma_up=1.0, gamma_down=1.0)
    for pulses in (40, -40):
        assert trained(bounds, pulses) == pytest.approx(trained(linear, pulses), rel=1e-12)


@pytest.mark.parametrize("sign", [1, -1])
def test_exponential_steps_have_the_published_form(sign: int) -> None:
    model, weight = (
        ExponentialStep(dw_min=0.01, up_down=0.1, A_up=0.1, A_down=0.2, gamma_up=3.0, gamma_down=2.0, a=0.6, b=0.3),
        0.0,
    )
    for n in range(1, 40):
        z = 2 * 0.6 * weight / 2 + 0.3
        amplitude, gamma = (0.1, 3.0) if sign > 0 else (0.2, 2.0)
        weight += sign * 0.01 * (1 + 0.1 * sign) * max(1 - amplitude * math.exp(sign * gamma * z), 0)
        assert trained(model, sign * n) == pytest.approx(weight, rel=1e-12)


def test_long_trains_in_parts_approximate_the_train_of_single_pulses() -> None:
    """Euler steps of 1 / 64 of a train that ends at 1 - exp(-1): the error of first order is exp(-1) / 128 of the range."""
    model = SoftBounds(dw_min=0.001)
    exact = 1 - 0.999**1000
    assert trained(model, 1000) == pytest.approx(exact, abs=1.1 * math.exp(-1) / (2 * MAX_EXACT))


def test_constants_have_the_requested_spread() -> None:
    n = 50_000
    model = LinearStep(up_down=0.1, up_down_dtod=0.05, dw_min_dtod=0.1, w_max_dtod=0.1, w_min_dtod=0.05, gamma_up=0.5)
    state = model.initial((n,), generator=seeded(0), dtype=torch.float64)
    total, half = math.hypot(0.05, 0.1), math.sqrt(2 / n)
    for values, mean, sd in (
        (state["up"] / 0.001, 1.1, total),
        (state["down"] / 0.001, 0.9, total),
        (state["top"], 1.0, 0.1),
        (state["bottom"], -1.0, 0.05),
        (state["slope_up"], 0.5, 0.05),
    ):
        assert abs(float(values.mean()) - mean) < Z * sd / math.sqrt(n)
        assert abs(float(values.var()) / sd**2 - 1) < Z * half
    shared = float(((state["up"] - state["up"].mean()) * (state["down"] - state["down"].mean())).mean()) / 1e-6
    assert abs(shared - (0.1**2 - 0.05**2)) < Z * total**2 * math.sqrt(2 / n)


@pytest.mark.parametrize("pulses", [1, 9, 640])
@pytest.mark.parametrize("mult_noise", [False, True])
def test_noise_of_pulses_adds_up_in_variance(pulses: int, mult_noise: bool) -> None:
    n, model = (
        20_000,
        replace(LinearStep(dw_min=1e-5, gamma_up_dtod=0.0), **{**QUIET, "dw_min_std": 2.0}, mult_noise=mult_noise),
    )
    state = model.initial((n,), generator=seeded(0), dtype=torch.float64)
    after = model.read(model.program(state, Pulses(torch.full((n,), float(pulses))), generator=seeded(1)))
    scaled = (after / 1e-5 - pulses) / (2 * math.sqrt(pulses))
    assert abs(float(scaled.mean())) < Z / math.sqrt(n)
    assert abs(float(scaled.var()) - 1) < Z * math.sqrt(2 / n)


def test_write_noise_does_not_accumulate_and_changes_with_pulses_only() -> None:
    n, model = 20_000, replace(SoftBounds(dw_min=1e-4, write_noise_std=50.0), **QUIET)
    state = model.initial((n,), generator=seeded(0), dtype=torch.float64)
    count = torch.zeros(n)
    count[::2] = 1
    generator = seeded(1)
    after = state
    for _ in range(20):
        after = model.program(after, Pulses(count), generator=generator)
    assert torch.equal(model.read(after)[1::2], model.read(state)[1::2])
    noise = (model.read(after) - after["weight"]) / 50e-4
    for part in (noise[::2], noise[1::2]):
        assert abs(float(part.mean())) < Z / math.sqrt(n / 2)
        assert abs(float(part.var()) - 1) < Z * math.sqrt(4 / n)
    assert float(after["weight"][0]) == pytest.approx(1 - (1 - 1e-4) ** 20, rel=1e-9)


@pytest.mark.parametrize("name", STEP_PRESETS)
def test_presets_stay_between_the_bounds_of_each_device(name: str) -> None:
    model = replace(STEP_PRESETS[name], write_noise_std=0.0)
    state = model.initial((500,), generator=seeded(0))
    for sign in (1, -1):
        state = model.program(state, Pulses(torch.full((500,), 20_000.0 * sign)), generator=seeded(1))
        read = model.read(state)
        assert bool(((read >= state["bottom"]) & (read <= state["top"])).all())
        assert sign * float(read.mean()) > 0


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"low": 0.1}, r"low is 0\.1; expected a finite number below 0"),
        ({"start": 2.0}, r"start is 2\.0; expected a finite number from -1 to 1"),
        ({"dw_min": 0.0}, r"dw_min is 0\.0; expected a finite number above 0"),
        ({"dw_min_std": -1.0}, "dw_min_std is -1"),
    ],
)
def test_invalid_constants_are_refused(options: dict[str, float], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        SoftBounds(**options)  # type: ignore[arg-type]
