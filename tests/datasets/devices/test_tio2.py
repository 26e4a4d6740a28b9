"""`TiO2` against its published equations, evaluated independently from the published table."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, strategies
from scipy import stats

from spinode.contracts.synapse import Pulses, State, Synapse
from spinode.datasets import TiO2
from spinode.datasets.devices import tio2 as module
from spinode.errors import ConfigError
from spinode.testing import SynapseContract

FALSE_ALARM = 1e-6
MIDDLES = [math.sqrt(low * high) for low, high in zip(module.EDGES, module.EDGES[1:], strict=False)]


class TestTiO2(SynapseContract):
    def make(self) -> Synapse:
        return TiO2()


class TestSmoothNoisyTiO2(SynapseContract):
    def make(self) -> Synapse:
        return TiO2(smooth=True, write_noise=0.1, read_noise=0.01)


class TestPublishedTiO2(SynapseContract):
    def make(self) -> Synapse:
        return TiO2(published=True)


def device(conductance: float | list[float], xi: float = 0.0) -> State:
    values = torch.atleast_1d(torch.tensor(conductance, dtype=torch.float64))
    return {"conductance": values, "xi": torch.full_like(values, xi)}


def one(polarity: int, volts: float, seconds: float, conductance: float, xi: float = 0.0, **options: bool) -> float:
    """Return the change [S] by one pulse."""
    state, synapse = device(conductance, xi), TiO2(**options)  # type: ignore[arg-type]
    pulse = Pulses(torch.tensor([float(polarity)]), voltage=volts, width=seconds)
    return float(synapse.read(synapse.program(state, pulse))) - conductance


@pytest.mark.parametrize(
    ("polarity", "volts", "seconds", "conductance", "expected", "digit"),
    [
        (1, 1.0, 1e-3, 23.7e-6, 5.1e-6, 0.05e-6),
        (1, 1.0, 1e-6, 23.7e-6, 0.01e-6, 0.005e-6),
        (1, 1.2, 1e-3, 23.7e-6, 18.6e-6, 0.05e-6),
        (-1, 1.2, 1e-3, 133e-6, -4.7e-6, 0.05e-6),
    ],
)
def test_steps_have_the_values_calculated_by_hand(
    polarity: int, volts: float, seconds: float, conductance: float, expected: float, digit: float
) -> None:
    assert one(polarity, volts, seconds, conductance) == pytest.approx(expected, abs=digit)


def published(polarity: int, volts: float, seconds: float, row: int) -> tuple[float, float]:
    """Return step and spread by the two published formulas, one for each polarity."""
    c0, c1, c2, c3, c4, d0, d1, d2, d3, d4 = module._FITTED[row][polarity < 0]
    v, log = polarity * volts, math.log(seconds)
    if polarity > 0:
        step = c0 * (1 - math.tanh(c1 * (log - c2))) * (math.tanh(c3 * v - c4) + 1)
    else:
        step = c0 * (-1 - math.tanh(c1 * (log - c2))) * (math.tanh(c3 * v - c4) - 1)
    return step, d0 + d1 * log**2 + d2 * v * log + d3 * v**2 * log + d4 * v**3


@given(
    polarity=strategies.sampled_from([1, -1]),
    volts=strategies.floats(0.8, 1.4),
    log=strategies.floats(-6, -3),
    row=strategies.integers(0, 7),
    xi=strategies.floats(-3, 3),
)
def test_every_step_follows_the_published_equations(polarity: int, volts: float, log: float, row: int, xi: float) -> None:
    """With a number and with a tensor for the amplitude, which are computed on separate paths."""
    start = MIDDLES[row]
    mean, spread = published(polarity, volts, 10**log, row)
    for factor, options in ((1 + xi * spread, {"published": True}), (max(1 + xi * spread, 0), {})):
        expected = min(max(start + mean * factor, module.EDGES[0]), module.EDGES[-1]) - start
        assert one(polarity, volts, 10**log, start, xi, **options) == pytest.approx(expected, rel=1e-9, abs=1e-18)
        synapse = TiO2(**options)  # type: ignore[arg-type]
        pulse = Pulses(torch.tensor([float(polarity)]), voltage=torch.tensor([volts], dtype=torch.float64), width=10**log)
        after = synapse.read(synapse.program(device(start, xi), pulse))
        assert float(after) - start == pytest.approx(expected, rel=1e-9, abs=1e-18)


def test_the_parameters_are_those_of_the_table() -> None:
    """Sums over the columns of the table: a wrong digit changes one of them."""
    fitted = np.array(module._FITTED)
    assert fitted.shape == (8, 2, 10)
    np.testing.assert_allclose(
        fitted[:, 0].sum(0), [1.24e-3, -3.76, -28.659, 50.613, 57.227, -3.92, -0.035, 2.07, -1.02, 2.24], atol=1e-9
    )
    np.testing.assert_allclose(
        fitted[:, 1].sum(0), [-7.12e-4, 2.93, 33.25, 49.6, -64.24, -0.355, -0.0172, -0.572, -0.565, -0.164], atol=1e-9
    )


def test_steps_grow_with_amplitude_and_width() -> None:
    """Everywhere within the ranges, for SET up and for RESET down, however small."""
    volts = torch.linspace(0.8, 1.4, 13, dtype=torch.float64)[:, None]
    log = torch.linspace(math.log(1e-6), math.log(1e-3), 13, dtype=torch.float64)
    for row in range(8):
        for polarity, parameters in zip((1.0, -1.0), module._FITTED[row], strict=True):
            rows = torch.tensor(parameters, dtype=torch.float64)
            steps = polarity * module._step_and_spread(rows, torch.tensor(polarity, dtype=torch.float64), volts, log)[0]
            assert bool((steps > 0).all())
            assert bool((steps.diff(dim=0) > 0).all())
            assert bool((steps.diff(dim=1) > 0).all())


def test_a_train_is_a_sequence_of_single_pulses() -> None:
    synapse, state = TiO2(), TiO2().initial((40,), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    count = torch.arange(40.0) - 20
    together, singles = synapse.program(state, Pulses(count)), state
    for k in range(20):
        singles = synapse.program(singles, Pulses(torch.where(count.abs() > k, count.sign(), 0.0)))
    torch.testing.assert_close(synapse.read(together), synapse.read(singles), rtol=1e-14, atol=0)


def test_the_conductance_saturates_at_the_ends() -> None:
    synapse = TiO2()
    state = device([4e-6, 50e-6, 300e-6])
    top = synapse.program(state, Pulses(torch.full((3,), 300.0), voltage=1.4, width=1e-3))
    assert synapse.read(top).tolist() == [module.EDGES[-1]] * 3
    bottom = synapse.program(device(3.2e-6, xi=3.0), Pulses(torch.tensor([-1e3]), voltage=1.4, width=1e-3))
    assert float(synapse.read(bottom)) >= module.EDGES[0]


def test_each_range_begins_at_its_lower_edge() -> None:
    for row in range(8):
        step = published(1, 1.0, 1e-5, row)[0]
        assert one(1, 1.0, 1e-5, module.EDGES[row]) == pytest.approx(step, rel=1e-9)
        assert one(1, 1.0, 1e-5, module.EDGES[row + 1] * (1 - 1e-9)) == pytest.approx(
            min(step, module.EDGES[-1] - module.EDGES[row + 1] * (1 - 1e-9)), rel=1e-9
        )


def test_smooth_steps_equal_the_fitted_ones_at_the_centres_and_do_not_jump() -> None:
    even = [module.EDGES[0] * (module.EDGES[-1] / module.EDGES[0]) ** ((k + 0.5) / 8) for k in range(8)]
    for row, middle in enumerate(even):
        assert one(-1, 1.1, 1e-4, middle, smooth=True) == pytest.approx(published(-1, 1.1, 1e-4, row)[0], rel=1e-6)
    for edge in module.EDGES[1:-1]:
        below, above = (one(-1, 1.1, 1e-4, edge * (1 + side), smooth=True) for side in (-1e-7, 1e-7))
        assert below == pytest.approx(above, rel=1e-5)


def test_the_factor_of_a_device_is_normal_and_constant() -> None:
    synapse = TiO2()
    state = synapse.initial((50_000,), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert stats.kstest(state["xi"].numpy(), "norm").pvalue > FALSE_ALARM
    after = synapse.program(state, Pulses(torch.full((50_000,), -3.0)), generator=torch.Generator().manual_seed(2))
    assert torch.equal(after["xi"], state["xi"])


def test_a_device_with_a_negative_factor_does_not_move_unless_as_published() -> None:
    """At 1 V, 1 ms from 23.7 uS the relative spread is about -2.2: xi = 1 gives a factor of about -1.2."""
    assert one(1, 1.0, 1e-3, 23.7e-6, xi=1.0) == 0
    assert one(1, 1.0, 1e-3, 23.7e-6, xi=1.0, published=True) < 0


@pytest.mark.parametrize("pulses", [1, 4])
def test_write_noise_is_relative_to_each_step_and_independent(pulses: int) -> None:
    """Within one range the steps are equal, and n of them have a standard deviation of sqrt(n) times that of one."""
    n, sigma, z = 50_000, 0.3, stats.norm.isf(FALSE_ALARM / 2)
    synapse = TiO2(write_noise=sigma, start=70e-6)
    state = synapse.initial((n,), dtype=torch.float64)
    count = Pulses(torch.full((n,), float(pulses)), voltage=1.0, width=1e-4)
    after = synapse.read(synapse.program(state, count, generator=torch.Generator().manual_seed(3)))
    scaled = ((after - 70e-6) / published(1, 1.0, 1e-4, 5)[0] - pulses) / (sigma * math.sqrt(pulses))
    assert abs(float(scaled.mean())) < z / math.sqrt(n)
    assert abs(float(scaled.var()) - 1) < z * math.sqrt(2 / n)


def test_read_noise_is_relative() -> None:
    n, z = 50_000, stats.norm.isf(FALSE_ALARM / 2)
    synapse = TiO2(read_noise=0.02)
    state = synapse.initial((n,), dtype=torch.float64)
    relative = synapse.read(state, generator=torch.Generator().manual_seed(4)) / synapse.read(state) - 1
    assert abs(float(relative.mean())) < z * 0.02 / math.sqrt(n)
    assert abs(float(relative.var()) / 0.02**2 - 1) < z * math.sqrt(2 / n)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"start": 1e-6}, r"start is 1e-06; expected a finite number from 3\.16e-06 to 0\.000316 \[S\]"),
        ({"write_noise": -1.0}, "write_noise is -1"),
        ({"read_noise": -1.0}, "read_noise is"),
    ],
)
def test_invalid_options_are_refused(options: dict[str, float], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        TiO2(**options)  # type: ignore[arg-type]
