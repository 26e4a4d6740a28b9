"""STT-MRAM: the error rate against its published form, its inverse, and the statistics of failed bits."""

import math
from fractions import Fraction

import pytest
import torch
from scipy.stats import binom

from spinode.contracts.synapse import Pulses
from spinode.datasets.devices.mram import STTMRAM
from spinode.datasets.devices.write_errors import flip_bits, overdrive_for, write_energy, write_error_rate
from spinode.datasets.macrospin.llg import GAMMA0, MU0
from spinode.errors import ConfigError
from spinode.testing import SynapseContract


class TestSTTMRAM(SynapseContract):
    def make(self):
        return STTMRAM(spread_stability=0.1, spread_critical=0.05)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def tau(width):
    return 0.01 * GAMMA0 * 0.4 / MU0 * width / (1 + 0.01**2)


def plain(i, width, delta=60.0):
    """Return the closed form as published."""
    return 1 - math.exp(-(math.pi**2 * delta * (i - 1) / 4) / (i * math.exp(2 * tau(width) * (i - 1)) - 1))


def inside(hits, trials, p, alarm=1e-6):
    """Return True if a number of hits is within the central 1 - alarm of its binomial distribution."""
    return binom.ppf(alarm / 2, trials, p) <= hits <= binom.ppf(1 - alarm / 2, trials, p)


# The closed form


@pytest.mark.parametrize("i", [0.3, 0.9, 1.2, 1.5, 2.0])
@pytest.mark.parametrize("width", [1e-9, 5e-9])
def test_the_rate_is_the_closed_form(i, width):
    assert float(write_error_rate(i, width)) == pytest.approx(plain(i, width), rel=1e-9, abs=1e-14)


def test_the_rate_is_continuous_at_the_critical_current():
    """At i = 1 the exponent is -pi^2 Delta / 4 / (1 + 2 tau), the limit from both sides."""
    width = 5e-8
    limit = 1 - math.exp(-(math.pi**2) * 15 / (1 + 2 * tau(width)))
    assert limit < 0.99
    for i in (1 - 1e-12, 1.0, 1 + 1e-12):
        assert float(write_error_rate(i, width)) == pytest.approx(limit, rel=1e-9)


def test_small_rates_are_precise():
    """For small rates WER = (pi^2 Delta / 4) (i - 1) / (i e^(2 tau (i - 1))) to a relative error of the rate itself."""
    for i in (4.0, 6.0, 10.0, 40.0):
        y = 2 * tau(1e-8) * (i - 1)
        rate = float(write_error_rate(i, 1e-8))
        assert rate < 1e-8
        assert math.log(rate) == pytest.approx(math.log(math.pi**2 * 15 * (i - 1) / i) - y, abs=1e-8)
    assert 0 < float(write_error_rate(6.0, 1e-8)) < 1e-20


def test_errors_decrease_with_current_and_time():
    i = torch.linspace(0.1, 5, 200)
    rates = write_error_rate(i[:, None], torch.tensor([2e-9, 5e-9, 2e-8]))
    assert rates.shape == (200, 3)
    assert bool((rates.diff(dim=0) <= 0).all())
    assert bool((rates.diff(dim=1) <= 0).all())
    assert bool(((rates >= 0) & (rates <= 1)).all())


@pytest.mark.parametrize("width", [1e-9, 1e-8, 1e-7])
def test_the_overdrive_is_the_inverse(width):
    ber = torch.tensor([0.9, 0.5, 1e-1, 1e-3, 1e-6, 1e-9, 1e-15], dtype=torch.float64)
    i = overdrive_for(ber, width)
    torch.testing.assert_close(write_error_rate(i, width), ber, rtol=1e-9, atol=0)
    assert bool((i.diff() > 0).all())


def test_the_energy_is_that_of_a_resistor():
    assert float(write_energy(2.0, 1e-8, critical_current=50e-6, resistance=4e3)) == pytest.approx(1e-8 * 4e3 * 1e-8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: write_error_rate(0.0, 1e-8), "overdrive is 0; expected numbers above zero"),
        (lambda: write_error_rate(1.0, -1e-8), "width is -1e-08"),
        (lambda: write_error_rate(math.nan, 1e-8), "overdrive contains NaN"),
        (lambda: overdrive_for(0.0, 1e-8), "infinite current"),
        (lambda: overdrive_for(1.0, 1e-8), "between 0 and 1"),
        (lambda: overdrive_for(0.99, 1e-8, stability=1.0), "the rate without current"),
        (lambda: write_energy(1.0, 1e-8, resistance=0.0), "resistance is 0"),
    ],
)
def test_invalid_numbers_are_refused(call, message):
    with pytest.raises(ConfigError, match=message):
        call()


# Bit errors


def test_bits_flip_as_often_as_stated():
    """False alarm 1e-6 each."""
    weights = torch.where(torch.arange(1_000_000) % 2 == 0, 1.0, -1.0)
    for ber in (1e-5, 1e-3, 0.3):
        flipped = flip_bits(weights, ber, seeded(0))
        assert bool((flipped.abs() == 1).all())
        wrong = flipped != weights
        assert inside(int(wrong.sum()), 1_000_000, ber)
        assert inside(int(wrong[::2].sum()), 500_000, ber)
    assert torch.equal(flip_bits(weights, 0.0, seeded(0)), weights)
    assert torch.equal(flip_bits(weights, 1.0, seeded(0)), -weights)


def test_extremely_rare_errors_do_not_occur():
    """Uniform numbers of single precision would be 0, below any rate, once in 17 million samples."""
    weights = torch.ones(10_000_000, dtype=torch.int8)
    assert int((flip_bits(weights, 1e-15, seeded(1)) != weights).sum()) == 0


def test_bits_may_be_booleans_with_individual_rates():
    bits = torch.zeros(2, 100_000, dtype=torch.bool)
    flipped = flip_bits(bits, torch.tensor([[0.0], [0.25]]), seeded(0))
    assert flipped.dtype == torch.bool
    assert not bool(flipped[0].any())
    assert inside(int(flipped[1].sum()), 100_000, 0.25)
    assert not bool(bits.any())


def test_invalid_bits_and_rates_are_refused():
    with pytest.raises(ConfigError, match=r"outside 0 \.\. 1"):
        flip_bits(torch.ones(3), 1.5, seeded(0))
    with pytest.raises(ConfigError, match=r"pass \+1 and -1"):
        flip_bits(torch.tensor([0.0, 1.0]), 0.1, seeded(0))


# The cell


def test_a_cell_has_two_conductances():
    model = STTMRAM(r_p=4e3, tmr=1.5)
    assert (model.low, model.high) == pytest.approx((1e-4, 2.5e-4))
    state = model.initial((3,), dtype=torch.float64)
    assert model.read(state).tolist() == pytest.approx([1e-4] * 3)
    after = model.program(state, Pulses(torch.tensor([1.0, -1.0, 0.0]), voltage=2.0))
    assert model.read(after).tolist() == pytest.approx([2.5e-4, 1e-4, 1e-4])


@pytest.mark.parametrize("count", [1, 3, -1, -2])
def test_writes_fail_as_often_as_stated(count):
    """Overdrive calculated from the voltage, WER^n for n pulses, binomial at a false-alarm rate of 1e-6."""
    devices, i, width = 200_000, 1.3, 6e-9
    model = STTMRAM(start=int(count < 0))
    resistance = 10e3 if count > 0 else 5e3
    pulses = Pulses(torch.full((devices,), float(count)), voltage=i * 50e-6 * resistance, width=width)
    after = model.program(model.initial((devices,)), pulses, generator=seeded(0))["bit"]
    p = plain(i, width) ** abs(count)
    assert 0.05 < p < 0.97
    assert inside(int((after == float(count < 0)).sum()), devices, p)
    assert float(model.error_rate(model.initial((devices,)), pulses)[0]) == pytest.approx(plain(i, width), rel=1e-5)


def test_writes_towards_the_present_state_change_nothing():
    for bit in (0, 1):
        model = STTMRAM(start=bit)
        count = torch.full((1000,), 1.0 if bit else -1.0)
        after = model.program(model.initial((1000,)), Pulses(count, voltage=0.3), generator=seeded(0))
        assert bool((after["bit"] == bit).all())


def test_without_noise_the_more_likely_outcome_occurs():
    """Twice the critical current for 10 ns switches, half of it does not."""
    model = STTMRAM()
    for volts, bit in ((1.0, 1.0), (0.25, 0.0)):
        after = model.program(model.initial((1,)), Pulses(torch.ones(1), voltage=volts))
        assert float(after["bit"]) == bit


def test_the_energy_counts_the_resistance_before_and_after_the_switch():
    """A certain write of 3 pulses: one through R_AP, two through R_P. A failing one: three through R_AP."""
    model = STTMRAM()
    state = model.initial((1,), dtype=torch.float64)
    three = torch.full((1,), 3.0)
    sure = model.energy(state, Pulses(three, voltage=4.0, width=1e-8))
    assert float(sure) == pytest.approx(16 * 1e-8 * (1e-4 + 2 * 2e-4), rel=1e-9)
    hopeless = model.energy(state, Pulses(three, voltage=0.05, width=1e-9))
    assert float(hopeless) == pytest.approx(0.05**2 * 1e-9 * 3e-4, rel=1e-6)
    volts, width = 1.3 * 0.5, 6e-9
    p = Fraction(plain(1.3, width))
    waits = float(1 + p + p * p)
    between = model.energy(state, Pulses(three, voltage=volts, width=width))
    assert float(between) == pytest.approx(volts**2 * width * (waits * 1e-4 + (3 - waits) * 2e-4), rel=1e-6)


def test_spreads_are_lognormal_and_affect_the_error_rate():
    model, devices = STTMRAM(spread_stability=0.2, spread_critical=0.1), 20_000
    state = model.initial((devices,), generator=seeded(2), dtype=torch.float64)
    for name, spread in (("stability", 0.2), ("critical", 0.1)):
        sd = math.sqrt(math.log1p(spread**2))
        logs = state[name].log()
        assert float(logs.mean()) == pytest.approx(0, abs=5 * sd / math.sqrt(devices))
        assert float(logs.std()) == pytest.approx(sd, abs=5 * sd / math.sqrt(2 * devices))
    rates = model.error_rate(state, Pulses(torch.ones(devices), voltage=0.8, width=5e-9))
    first = plain(0.8 / (10e3 * 50e-6 * float(state["critical"][0])), 5e-9, 60 * float(state["stability"][0]))
    assert float(rates[0]) == pytest.approx(first, rel=1e-6)


def test_a_million_cells_in_one_call():
    model = STTMRAM(spread_critical=0.05)
    state = model.initial((1000, 1000), generator=seeded(0))
    count = torch.randint(-1, 2, (1000, 1000), generator=seeded(1)).float()
    bits = model.program(state, Pulses(count), generator=seeded(2))["bit"]
    assert bits.dtype == torch.float32
    assert bool((bits[count < 1] == 0).all())
    assert float(bits[count == 1].mean()) > 0.9


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"r_p": 0.0}, "r_p is 0.0; expected a finite number above 0 .ohm."),
        ({"tmr": -0.5}, "tmr is -0.5"),
        ({"start": 2}, r"start is 2; expected a whole number from 0 to 1"),
        ({"spread_critical": -1.0}, "spread_critical is -1.0"),
    ],
)
def test_invalid_parameters_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        STTMRAM(**wrong)
