"""VTEAM against its equations, solved independently."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad, solve_ivp

from spinode.contracts.synapse import Pulses
from spinode.datasets.devices.vteam import VTEAM
from spinode.errors import ConfigError
from spinode.testing import SynapseContract


class TestVTEAM(SynapseContract):
    def make(self):
        return VTEAM(spread_k_off=0.2, spread_k_on=0.2, spread_v_off=0.02, spread_v_on=0.02, noise=0.3)


class TestBiolek(SynapseContract):
    def make(self):
        return VTEAM(window="biolek", resistance="exponential", noise=0.1)


class TestJoglekar(SynapseContract):
    def make(self):
        return VTEAM(window="joglekar", start=0.5)


def at(model, z):
    z = torch.as_tensor(z, dtype=torch.float64)
    return model.initial(z.shape, dtype=torch.float64) | {"position": z}


def moved(model, z, count, **pulse):
    z = torch.as_tensor(z, dtype=torch.float64)
    return model.program(at(model, z), Pulses(torch.full(z.shape, float(count)), **pulse))["position"]


def reference(model, z0, v, time):
    """Return the right-hand side as published, v with its sign."""

    def rate(_, z):
        if v >= model.v_off:
            k = model.k_off * (v / model.v_off - 1) ** model.alpha_off
        elif v <= model.v_on:
            k = model.k_on * (v / model.v_on - 1) ** model.alpha_on
        else:
            k = 0.0
        p = 2 * model.window_order
        if model.window == "joglekar":
            k *= 1 - (2 * z - 1) ** p
        elif model.window == "biolek":
            k *= 1 - (z - (1.0 if k < 0 else 0.0)) ** p
        return k / model.length

    return solve_ivp(rate, (0, time), [z0], rtol=1e-11, atol=1e-13).y[0, -1]


@pytest.mark.parametrize(("window", "tolerance"), [("none", 1e-10), ("biolek", 1e-7), ("joglekar", 1e-7)])
@pytest.mark.parametrize("count", [7, -7])
def test_a_train_follows_the_equation(window, tolerance, count):
    model = VTEAM(window=window, start=0.4, substep=0.02)
    volts = 0.23 if count > 0 else 0.5
    for z0 in (0.35, 0.6):
        z = moved(model, [z0], count, voltage=volts, width=4e-9)
        truth = reference(model, z0, -math.copysign(volts, count), 7 * 4e-9)
        assert abs(truth - z0) > 0.02
        assert float(z) == pytest.approx(truth, abs=tolerance)


def test_the_step_is_the_closed_form():
    """With the defaults, SET at 0.22 V and RESET at 0.42 V both move z by 0.01 per pulse of 3 ns."""
    assert float(moved(VTEAM(), [0.5], 1)) == pytest.approx(0.49, rel=1e-7)
    assert float(moved(VTEAM(), [0.5], -1)) == pytest.approx(0.51, rel=1e-7)


def test_windows_of_order_one_have_closed_solutions():
    """Biolek, RESET: dz/ds = 1 - z^2, a hyperbolic tangent. Joglekar: dz/ds = 4 z (1 - z), the logistic curve."""
    z0, path = 0.3, 0.8
    count = -80
    biolek = moved(VTEAM(window="biolek", window_order=1, substep=0.02), [z0], count, voltage=0.42)
    assert float(biolek) == pytest.approx(math.tanh(math.atanh(z0) + path), abs=1e-8)
    joglekar = moved(VTEAM(window="joglekar", window_order=1, substep=0.02, start=0.5), [z0], count, voltage=0.42)
    odds = z0 / (1 - z0) * math.exp(4 * path)
    assert float(joglekar) == pytest.approx(odds / (1 + odds), abs=1e-6)


def test_the_window_is_integrated_to_fourth_order():
    odds = 0.3 / 0.7 * math.exp(4 * 0.8)
    errors = [
        abs(float(moved(VTEAM(window="joglekar", window_order=1, substep=h, start=0.5), [0.3], -80)) - odds / (1 + odds))
        for h in (0.1, 0.05)
    ]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(4, abs=0.3)


@pytest.mark.parametrize("window", ["none", "biolek"])
def test_a_train_is_one_long_pulse(window):
    model = VTEAM(window=window)
    z = torch.linspace(0.2, 0.8, 7)
    for sign in (1, -1):
        torch.testing.assert_close(moved(model, z, 12 * sign), moved(model, z, sign, width=12 * 3e-9), rtol=0, atol=1e-12)
        torch.testing.assert_close(
            moved(model, z, 12 * sign), moved(model, moved(model, z, 5 * sign), 7 * sign), rtol=0, atol=1e-6
        )


def test_the_state_is_constant_below_the_threshold():
    """SET needs more than 0.2 V, RESET more than 0.02 V."""
    model = VTEAM()
    assert float(moved(model, [0.5], 1000, voltage=0.2)) == 0.5
    assert float(moved(model, [0.5], -1000, voltage=0.02)) == 0.5
    assert float(moved(model, [0.5], 1000, voltage=0.21)) < 0.5
    assert float(moved(model, [0.5], -1000, voltage=0.021)) > 0.5


@pytest.mark.parametrize("window", ["none", "biolek", "joglekar"])
def test_the_state_stops_at_its_ends(window):
    model = VTEAM(window=window, start=0.5)
    for count, end, g in ((10**6, 0.0, model.high), (-(10**6), 1.0, model.low)):
        state = model.program(at(model, [0.01, 0.5, 0.99]), Pulses(torch.full((3,), float(count)), voltage=2.0))
        torch.testing.assert_close(state["position"], torch.full((3,), end, dtype=torch.float64), rtol=0, atol=1e-9)
        torch.testing.assert_close(model.read(state), torch.full((3,), g, dtype=torch.float64), rtol=1e-6, atol=0)


def test_a_device_leaves_its_end_under_bioleks_window_only():
    assert float(moved(VTEAM(window="joglekar", start=0.5), [1.0], 50)) == 1.0
    assert float(moved(VTEAM(window="biolek"), [1.0], 50)) < 0.9


def test_resistance_is_linear_or_exponential():
    z = torch.linspace(0, 1, 5, dtype=torch.float64)
    linear, exponential = VTEAM(), VTEAM(resistance="exponential")
    torch.testing.assert_close(1 / linear.read(at(linear, z)), 50 + 950 * z)
    torch.testing.assert_close(1 / exponential.read(at(exponential, z)), 50 * 20**z)


def test_voltages_and_widths_may_differ_between_devices():
    model, volts, widths = VTEAM(), torch.tensor([0.21, 0.23, 0.25]), torch.tensor([3e-9, 2e-9, 1e-9])
    state = model.program(at(model, [0.9] * 3), Pulses(torch.ones(3), voltage=volts, width=widths))
    alone = [float(moved(model, [0.9], 1, voltage=float(v), width=float(t))) for v, t in zip(volts, widths, strict=True)]
    assert state["position"].tolist() == pytest.approx(alone, abs=1e-7)


@pytest.mark.parametrize("resistance", ["linear", "exponential"])
@pytest.mark.parametrize(("z0", "count"), [(0.9, 3), (0.9, 30), (0.4, -2), (0.4, -60), (1.0, -4), (0.5, 0)])
def test_the_energy_is_the_integral_of_the_power(resistance, z0, count):
    """Also if the state reaches its end within the train; 0.25 V and 0.42 V move z by 0.15625 and 0.01 per pulse of 3 ns."""
    model, volts = VTEAM(resistance=resistance), 0.25 if count > 0 else 0.42
    speed = -0.15625 / 3e-9 if count > 0 else 0.01 / 3e-9

    def power(t):
        z = min(max(z0 + speed * t, 0.0), 1.0)
        r = 50 + 950 * z if resistance == "linear" else 50 * 20**z
        return volts**2 / r

    time = abs(count) * 3e-9
    stop = [((1.0 if speed > 0 else 0.0) - z0) / speed]
    points = stop if 0 < stop[0] < time else None
    expected = quad(power, 0, time, epsrel=1e-12, points=points)[0]
    energy = model.energy(at(model, [z0]), Pulses(torch.tensor([float(count)]), voltage=volts))
    assert float(energy) == pytest.approx(expected, rel=1e-7, abs=1e-30)


def test_noise_of_a_train_has_the_stated_moments():
    """Mean and deviation of 40 000 devices within 5 standard errors: a false-alarm rate below 1e-6."""
    model, devices, count = VTEAM(noise=0.2), 40_000, 9
    state = at(model, torch.full((devices,), 0.5))
    step = model.program(state, Pulses(torch.full((devices,), -9.0)), generator=torch.Generator().manual_seed(0))
    moves = (step["position"] - 0.5) / 0.01
    sd = 0.2 * math.sqrt(count)
    assert float(moves.mean()) == pytest.approx(count, abs=5 * sd / math.sqrt(devices))
    assert float(moves.std()) == pytest.approx(sd, abs=5 * sd / math.sqrt(2 * devices))


def test_spreads_are_lognormal_and_affect_the_rate():
    """ln of the factors: mean 0 and deviation sqrt(ln(1 + s^2)), within 5 standard errors; the rate follows them."""
    model, devices, spread = VTEAM(spread_k_on=0.3, spread_v_on=0.05), 40_000, math.sqrt(math.log1p(0.09))
    state = model.initial((devices,), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert set(state) == {"position", "k_on", "v_on"}
    logs = state["k_on"].log()
    assert float(logs.mean()) == pytest.approx(0, abs=5 * spread / math.sqrt(devices))
    assert float(logs.std()) == pytest.approx(spread, abs=5 * spread / math.sqrt(2 * devices))
    after = model.program(state, Pulses(torch.ones(devices), voltage=0.25))["position"]
    over = np.clip(0.25 / (0.2 * state["v_on"].numpy()) - 1, 0, None)
    expected = np.clip(1 - 10 * state["k_on"].numpy() * over**3 * 3e-9 / 3e-9, 0, 1)
    np.testing.assert_allclose(after.numpy(), expected, rtol=1e-6, atol=1e-8)


def test_a_million_devices_in_one_call():
    model = VTEAM(noise=0.1, spread_k_on=0.1)
    state = model.initial((1000, 1000), generator=torch.Generator().manual_seed(0))
    count = torch.randint(-5, 6, (1000, 1000), generator=torch.Generator().manual_seed(1)).float()
    read = model.read(model.program(state, Pulses(count), generator=torch.Generator().manual_seed(2)))
    assert read.shape == (1000, 1000)
    assert read.dtype == torch.float32
    assert float(read.min()) >= model.low * (1 - 1e-6)
    assert float(read.max()) <= model.high * (1 + 1e-6)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"r_off": 40.0}, "r_off is 40.0; expected a finite number above 50 .ohm."),
        ({"k_on": 10.0}, "k_on is 10.0; expected a finite number below 0"),
        ({"v_on": 0.2}, "v_on is 0.2; expected a finite number below 0"),
        ({"v_off": math.nan}, "v_off is nan"),
        ({"noise": -0.1}, "noise is -0.1; expected a finite number of at least 0"),
        ({"start": 1.5}, "start is 1.5; expected a finite number .* 1"),
        ({"resistance": "log"}, "resistance is 'log'; expected one of linear, exponential"),
        ({"window": "prodromakis"}, "expected one of none, joglekar, biolek"),
        ({"window": "joglekar"}, "a device never leaves under Joglekar's window"),
        ({"window_order": 0}, "whole number of at least 1"),
    ],
)
def test_invalid_parameters_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        VTEAM(**wrong)
