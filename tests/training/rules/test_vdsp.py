"""The switching law: its values, signs, bounds and fixed points; and imperfections of devices."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, strategies as st

from spinode.errors import ConfigError
from spinode.training import DeviceVariation, SwitchingLaw
from spinode.training.rules.vdsp import LAWS

DOUBLE = torch.float64


def step(law, weight, potential):
    return float(law.step(torch.tensor([weight], dtype=DOUBLE), torch.tensor([potential], dtype=DOUBLE)))


def test_values_of_the_ideal_law():
    law = SwitchingLaw(rate=0.01)
    assert step(law, 0.25, -0.7) == pytest.approx(0.01 * 0.75 * (math.exp(0.7) - 1), rel=1e-14)
    assert step(law, 0.25, 0.7) == pytest.approx(-0.01 * 0.25 * (math.exp(0.7) - 1), rel=1e-14)
    assert step(law, 0.25, 0.0) == 0.0


def test_values_of_the_published_titanium_oxide():
    """Independently from the constants: both thresholds, ratios of RESET to SET, and the overdrive at a potential of 1."""
    set_threshold, reset_threshold = 1.43233, 1.43233 * 1.09212
    rise = (1 - 0.3) ** 1.67958 * math.expm1(0.67896 * 0.05 * set_threshold)
    fall = 0.3 ** (1.67958 * 0.94386) * math.expm1(0.67896 * 1.12480 * 0.11 * reset_threshold)
    assert step(LAWS["tio2"], 0.3, -1.0) == pytest.approx(rise, rel=1e-12)
    assert step(LAWS["tio2"], 0.3, 1.0) == pytest.approx(-fall, rel=1e-12)


@pytest.mark.parametrize("name", ["tio2", "hzo", "hfo2"])
def test_a_device_does_not_switch_below_its_threshold(name):
    law = LAWS[name]
    for side, sign in ((0, -1.0), (1, 1.0)):
        edge = law.threshold[side] / law.scale[side]
        assert step(law, 0.5, sign * edge * 0.999) == 0.0
        assert -sign * step(law, 0.5, sign * edge * 1.001) > 0


def test_full_depression_takes_finitely_many_pulses():
    law, weight, potential = LAWS["tio2"], torch.tensor([0.5], dtype=DOUBLE), torch.tensor([1.0], dtype=DOUBLE)
    for _ in range(200):
        weight = (weight + law.step(weight, potential)).clamp(0, 1)
    assert float(weight) == 0.0


def test_fixed_point_of_alternating_potentials():
    """A share p of potentials -V and 1 - p of V lead to W = p: there the mean step of the ideal law vanishes."""
    law, share = SwitchingLaw(rate=0.01), 0.3
    assert share * step(law, share, -0.8) + (1 - share) * step(law, share, 0.8) == pytest.approx(0, abs=1e-16)
    assert share * step(law, share - 0.1, -0.8) + (1 - share) * step(law, share - 0.1, 0.8) > 0


@given(
    name=st.sampled_from(sorted(LAWS)),
    weight=st.floats(0, 1),
    potential=st.floats(-1, 1),
)
def test_steps_have_the_sign_of_the_potential(name, weight, potential):
    change = step(LAWS[name], weight, potential)
    assert math.isfinite(change)
    assert change * potential <= 0


def test_the_number_of_pulses():
    assert LAWS["tio2"].pulses(torch.tensor([-1.0, -0.5, 0.95, 1.0, 0.0])) == (1, 2)
    assert SwitchingLaw().pulses(torch.tensor([-1.0, -0.5, 0.9, 0.0])) == (2, 1)


def test_factors_of_devices():
    weights = torch.rand(200, 100, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    variation = DeviceVariation(device_spread=0.5, stuck_low=0.1, stuck_high=0.05)
    factors = variation.factors(weights, torch.Generator().manual_seed(1))
    stuck, count = factors == 0, weights.numel()
    for value, share in ((0.0, 0.1), (1.0, 0.05)):
        found = int((weights[stuck] == value).sum())
        assert abs(found - share * count) < 5 * math.sqrt(share * count)  # fails once in a million
    moving = factors[~stuck]
    assert 0.5 <= float(moving.min()) < 0.51
    assert 1.49 < float(moving.max()) <= 1.5
    assert float(moving.std()) == pytest.approx(0.5 / math.sqrt(3), rel=0.03)


def test_devices_without_spread_have_no_factors():
    weights = torch.tensor([[0.1, 0.6]], dtype=DOUBLE)
    assert DeviceVariation(cycle_spread=0.5, levels=3).factors(weights, torch.Generator()) is None
    assert weights.tolist() == [[0.0, 0.5]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SwitchingLaw(rate=-1.0), "rate of the switching law is -1"),
        (lambda: SwitchingLaw(gamma=(1.0,)), "gamma of the switching law is .*; expected two numbers"),
        (lambda: SwitchingLaw(low=1.0), "low of the switching law is 1"),
        (lambda: DeviceVariation(levels=1), "a device of one state stores nothing"),
        (lambda: DeviceVariation(stuck_low=0.6, stuck_high=0.6), "at most 1 together"),
        (lambda: DeviceVariation(cycle_spread=1.5), "cycle_spread of devices is 1.5"),
    ],
)
def test_bad_constants(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_exponents_that_overflow_are_refused():
    with pytest.raises(ConfigError, match="alpha is 10000"):
        SwitchingLaw(alpha=(1.0, 1e4))
    assert torch.isfinite(SwitchingLaw(alpha=(50.0, 50.0)).step(torch.tensor([0.0, 1.0]), torch.tensor([-1.0, 1.0]))).all()
