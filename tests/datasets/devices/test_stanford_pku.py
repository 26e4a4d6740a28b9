"""The Stanford-PKU model against its equations, integrated by an adaptive stiff solver."""

import itertools
import math
import sys

import numpy as np
import pytest
import torch
from scipy import constants
from scipy.integrate import quad, solve_ivp

from spinode.contracts.synapse import Pulses
from spinode.datasets.devices.stanford_pku import StanfordPKU
from spinode.errors import ConfigError
from spinode.testing import SynapseContract


class TestStanfordPKU(SynapseContract):
    def make(self):
        return StanfordPKU(spread=0.1)


class TestWithoutNoise(SynapseContract):
    def make(self):
        return StanfordPKU(delta_g=0.0, start=0.3)


def at(model, gap):
    gap = torch.as_tensor(gap, dtype=torch.float64)
    return {"gap": gap}


def moved(model, gap, count, **pulse):
    """Return the gap [nm] after a train, from a gap [nm]."""
    start = torch.as_tensor([gap], dtype=torch.float64) * 1e-9
    return float(model.program(at(model, start), Pulses(torch.full((1,), float(count)), **pulse))["gap"]) * 1e9


def velocity(m, g, v):
    """Return dg/dt [m/s], written independently in joules and coulombs."""
    current = m.I0 * math.exp(-g / m.g0) * math.sinh(v / m.V0)
    kt = constants.k * (m.T0 + abs(v * current) * m.R_th)
    gamma = m.gamma0 - m.beta * (g / 1e-9) ** 3
    if gamma * abs(v) / m.t_ox < m.F_min:
        return 0.0
    barrier = math.exp(-m.Ea * constants.e / kt)
    return -m.v0 * barrier * math.sinh(gamma * m.a0 * constants.e * v / (m.t_ox * kt))


def reference(m, gap, v, time):
    """Return the gap [nm] from the equations, with the limits as events."""
    low, high = (g * 1e9 for g in m.gaps)

    def rate(_, y):
        inside = (y[0] > low or v < 0) and (y[0] < high or v > 0)
        return [velocity(m, y[0] * 1e-9, v) * 1e9 if inside else 0.0]

    # The least field is a jump of the rate, which an adaptive solver steps over with its smallest steps.
    run = solve_ivp(rate, (0, time), [gap], method="RK45", rtol=1e-9, atol=1e-10, max_step=time / 50)
    return float(np.clip(run.y[0, -1], low, high))


def test_gaps_follow_from_the_resistances():
    """The 542 and 218586 ohm of the reference correspond to gaps of 0.2 and 1.7 nm at 0.1 V."""
    closed, opened = StanfordPKU().gaps
    assert closed == pytest.approx(0.2e-9, rel=1e-3)
    assert opened == pytest.approx(1.7e-9, rel=1e-3)


def test_reads_are_current_over_voltage():
    model = StanfordPKU()
    gap = torch.linspace(*model.gaps, 5, dtype=torch.float64)
    expected = [1e-3 * math.exp(-g / 0.25e-9) * math.sinh(0.4) / 0.1 for g in gap.tolist()]
    assert model.read(at(model, gap)).tolist() == pytest.approx(expected, rel=1e-12)
    assert model.low == pytest.approx(expected[-1], rel=1e-12)
    assert model.high == pytest.approx(expected[0], rel=1e-12)


@pytest.mark.parametrize(
    ("gap", "count", "volts", "width"),
    [
        (0.2, -1, 1.1, 20e-9),
        (0.2, -10, 1.2, 5e-9),
        (0.3, -1, 1.4, 2e-10),  # hot: the rate falls by orders of magnitude within the pulse
        (1.2, -3, 1.3, 1e-8),
        (1.0, 1, 1.2, 5e-9),
        (1.6, 1, 1.4, 5e-7),
        (1.69, 1, 1.6, 1e-8),  # runaway from the open state, short of its end
        (0.6, 4, 1.25, 1e-9),
    ],
)
def test_a_train_follows_the_equations(gap, count, volts, width):
    """To a thousandth of the range of 1.5 nm, and to a hundredth of the distance."""
    model = StanfordPKU()
    truth = reference(model, gap, math.copysign(volts, count), abs(count) * width)
    assert abs(truth - gap) > 0.005
    found = moved(model, gap, count, voltage=volts, width=width)
    assert found == pytest.approx(truth, abs=min(1.5e-3, 0.01 * abs(truth - gap)))


def test_time_to_a_gap_is_the_integral_of_the_slowness():
    """From the open state at 1.5 V: the time to the gap that is reached is the integral of dg / |dg/dt|, to a thousandth.

    Time is what to compare: the gap runs away a hundred times faster in the end than it sets out.
    """
    model = StanfordPKU()
    closed, opened = (g * 1e9 for g in model.gaps)

    def time(gap):
        return quad(lambda g: -1 / (velocity(model, g * 1e-9, 1.5) * 1e9), gap, opened, epsrel=1e-10)[0]

    for goal in (1.6, 1.0, 0.5):
        reached = moved(model, opened, 1, voltage=1.5, width=time(goal))
        assert time(reached) == pytest.approx(time(goal), rel=1e-3)
    assert moved(model, opened, 1, voltage=1.5, width=2 * time(0.5)) == pytest.approx(closed, abs=1e-9)


def test_the_gap_converges_to_second_order():
    ends = [moved(StanfordPKU(step=h * 1e-9), 0.25, -1, voltage=1.3, width=3e-9) for h in (0.08, 0.04, 0.02, 0.0025)]
    errors = [abs(end - ends[-1]) for end in ends[:-1]]
    for coarse, fine in itertools.pairwise(errors):
        assert math.log2(coarse / fine) == pytest.approx(2, abs=0.5)


def test_a_train_is_one_long_pulse():
    model = StanfordPKU()
    for gap, sign in ((0.3, -1), (0.9, 1)):
        whole = moved(model, gap, 6 * sign)
        assert whole == pytest.approx(moved(model, gap, sign, width=6 * model.width), abs=1e-12)
        assert whole == pytest.approx(moved(model, moved(model, gap, 2 * sign), 4 * sign), abs=2e-3)


def test_the_gap_is_constant_below_the_minimum_field():
    """gamma |V| / t_ox at a gap of 1.5 nm reaches 1.4e9 V/m at 16.8 / (16 - 0.8 * 1.5^3) V."""
    edge = 16.8 / (16 - 0.8 * 1.5**3)
    for sign in (1, -1):
        assert moved(StanfordPKU(), 1.5, sign * 1000, voltage=edge * 0.999) == pytest.approx(1.5, abs=1e-12)
    assert moved(StanfordPKU(), 1.5, 1000, voltage=edge * 1.001) < 1.4
    assert moved(StanfordPKU(), 0.2, -1000, voltage=1.04) == pytest.approx(0.2, abs=1e-12)


def test_reset_stops_where_the_field_is_too_low():
    """At 1.2 V it stops at the cube root of (16 - 1.4e9 * 12e-9 / 1.2) / 0.8, at 1.5 V at the largest gap."""
    assert moved(StanfordPKU(), 0.2, -(10**6), voltage=1.2) == pytest.approx(2.5 ** (1 / 3), abs=1e-6)
    assert moved(StanfordPKU(), 0.2, -(10**6), voltage=1.5) == pytest.approx(StanfordPKU().gaps[1] * 1e9, abs=1e-9)


def test_extreme_voltages_stay_finite():
    """Thousands of kelvin in the closed state; single precision."""
    model = StanfordPKU()
    for volts in (3.0, 5.0):
        for count in (1.0, -1.0):
            state = {"gap": torch.linspace(*model.gaps, 20)}
            pulses = Pulses(torch.full((20,), count), voltage=volts, width=1e-6)
            after = model.program(state, pulses, generator=torch.Generator().manual_seed(0))
            assert bool(torch.isfinite(after["gap"]).all())
            energy = model.energy(state, pulses)
            assert bool(torch.isfinite(energy).all())
            assert bool((energy > 0).all())


def test_the_energy_is_voltage_times_current_over_time():
    """Below the minimum field the current is constant; in RESET it is the integral along the gap."""
    model = StanfordPKU()
    state = at(model, [0.5e-9])
    still = model.energy(state, Pulses(-2 * torch.ones(1), voltage=1.0, width=1e-8))
    assert float(still) == pytest.approx(2e-8 * 1e-3 * math.exp(-2) * math.sinh(4), rel=1e-9)
    run = solve_ivp(
        lambda _, y: [
            velocity(model, y[0] * 1e-9, -1.2) * 1e9,
            1.2 * 1e-3 * math.exp(-y[0] / 0.25) * math.sinh(4.8) * 1e9,
        ],
        (0, 5e-8),
        [0.3, 0.0],
        rtol=1e-9,
        atol=1e-12,
    )
    found = model.energy(at(model, [0.3e-9]), Pulses(-torch.ones(1), voltage=1.2, width=5e-8))
    assert float(found) == pytest.approx(run.y[1, -1] * 1e-9, rel=2e-3)


def test_noise_alone_is_a_random_walk_of_the_stated_size():
    """No field, no drift: deviation sqrt(noise_time t) delta_g / (1 + exp(..)) of 20 000 devices, within 5 standard errors."""
    model, devices, gap = StanfordPKU(), 20_000, 1.0e-9
    state = at(model, torch.full((devices,), gap))
    pulses = Pulses(-4 * torch.ones(devices), voltage=1.0, width=1e-8)
    after = model.program(state, pulses, generator=torch.Generator().manual_seed(0))["gap"]
    heat = 298 + 2.1e3 * 1e-3 * math.exp(-4) * math.sinh(4)
    sd = math.sqrt(1e-9 * 4e-8) * 0.02 / (1 + math.exp((450 - heat) / 500))
    assert float(after.mean() - gap) == pytest.approx(0, abs=5 * sd / math.sqrt(devices))
    # The temperature changes a little along the walk: 2 % on top of the standard error.
    assert float(after.std()) == pytest.approx(sd, rel=0.02 + 5 / math.sqrt(2 * devices))


@pytest.mark.parametrize(("gap", "sign"), [(0.2, 1), (0.6, 1), (0.2, -1)])
def test_many_pulses_in_one_call_are_as_many_calls(gap, sign):
    """300 calls of one pulse against one call: the usual pulse has more noise than `step`, so both draw the same numbers."""
    model, start = StanfordPKU(), at(StanfordPKU(), torch.full((200,), gap * 1e-9))
    one = Pulses(torch.full((200,), float(sign)))
    generator, single = torch.Generator().manual_seed(0), start
    for _ in range(300):
        single = model.program(single, one, generator=generator)
    together = model.program(start, Pulses(300 * one.count), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(together["gap"], single["gap"], rtol=0, atol=1e-15)


def test_joined_pulses_have_the_law_of_single_ones():
    """Means and deviations of 2000 devices after 100 short pulses, which are joined, within 5 standard errors."""
    model, devices = StanfordPKU(width=2e-10), 2000
    start = at(model, torch.full((devices,), 0.3e-9))
    for sign in (1.0, -1.0):
        one = Pulses(torch.full((devices,), sign))
        generator, single = torch.Generator().manual_seed(0), start
        for _ in range(100):
            single = model.program(single, one, generator=generator)
        a, b = model.program(start, Pulses(100 * one.count), generator=torch.Generator().manual_seed(1))["gap"], single["gap"]
        sd = float(b.std())
        assert abs(float(a.mean() - b.mean())) < 5 * sd * math.sqrt(2 / devices)
        fourth = float(((b - b.mean()) / sd).pow(4).mean())
        assert abs(float(a.std() - b.std())) < 5 * sd * math.sqrt((fourth - 1) / 2 / devices)


def test_a_very_long_train_takes_bounded_time_and_ends_in_the_stationary_law(monkeypatch):
    """Closed devices under SET forget their state within a pulse: 1e5 pulses leave what a few leave, to 5 standard errors."""
    monkeypatch.setattr(sys.modules[StanfordPKU.__module__], "MAX_PARTS", 64)
    model, devices = StanfordPKU(), 2000
    start = model.initial((devices,), dtype=torch.float64)
    gaps = []
    for seed, count in enumerate((5.0, 1e5)):
        pulses = Pulses(torch.full((devices,), count, dtype=torch.float64))
        gaps.append(model.program(start, pulses, generator=torch.Generator().manual_seed(seed))["gap"])
    sd = float(gaps[0].std())
    assert abs(float(gaps[0].mean() - gaps[1].mean())) < 5 * sd * math.sqrt(2 / devices)
    assert float(gaps[1].std()) == pytest.approx(sd, rel=0.2)


def test_noise_does_not_depend_on_how_a_train_is_divided():
    """Means and deviations with 8 and 32 parts agree within 5 standard errors."""
    gaps = []
    for parts in (8, 32):
        model = StanfordPKU(noise_steps=parts)
        state = at(model, torch.full((10_000,), 0.5e-9))
        pulses = Pulses(-40 * torch.ones(10_000), voltage=1.2, width=1e-9)
        gaps.append(model.program(state, pulses, generator=torch.Generator().manual_seed(parts))["gap"])
    a, b = gaps
    sd = float(a.std())
    assert float((a.mean() - b.mean()).abs()) < 5 * sd * math.sqrt(2 / 10_000)
    assert float((a.std() - b.std()).abs()) < 5 * sd / math.sqrt(10_000)


def test_a_faster_device_is_equivalent_to_a_longer_pulse():
    model = StanfordPKU(spread=0.2)
    state = {"gap": torch.full((2,), 0.3e-9, dtype=torch.float64), "speed": torch.tensor([1.0, 1.5], dtype=torch.float64)}
    after = model.program(state, Pulses(-torch.ones(2), width=1e-8))["gap"]
    assert float(after[1]) * 1e9 == pytest.approx(moved(StanfordPKU(), 0.3, -1, width=1.5e-8), abs=1e-9)


def test_many_devices_agree_with_one():
    model = StanfordPKU()
    generator = torch.Generator().manual_seed(0)
    gap = 0.2 + 1.4 * torch.rand(200, generator=generator, dtype=torch.float64)
    count = torch.randint(-5, 6, (200,), generator=generator).double()
    volts = 1.1 + 0.4 * torch.rand(200, generator=generator, dtype=torch.float64)
    together = model.program(at(model, gap * 1e-9), Pulses(count, voltage=volts))["gap"] * 1e9
    alone = [moved(model, float(g), float(n), voltage=float(v)) for g, n, v in zip(gap, count, volts, strict=True)]
    np.testing.assert_allclose(together.numpy(), alone, rtol=0, atol=1e-9)
    single = model.program({"gap": gap.float() * 1e-9}, Pulses(count, voltage=volts))["gap"] * 1e9
    np.testing.assert_allclose(single.numpy(), alone, rtol=0, atol=2e-3)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"r_off": 500.0}, "r_off is 500.0; expected a finite number above 542 .ohm."),
        ({"r_on": 200.0}, "less than the resistance without a gap; expected at least 243.5 ohm"),
        ({"beta": 4.0}, "field enhancement .* not positive at the largest gap, 1.7 nm"),
        ({"T0": 0.0}, "T0 is 0.0; expected a finite number above 0 .K."),
        ({"start": 2.0}, "start is 2.0"),
        ({"delta_g": -1.0}, "delta_g is -1.0; expected a finite number of at least 0"),
        ({"step": math.inf}, "step is inf"),
    ],
)
def test_invalid_parameters_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        StanfordPKU(**wrong)
