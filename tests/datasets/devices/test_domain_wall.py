"""Domain-wall synapses: levels, persistent placement errors, and writes only where needed."""

import math

import pytest
import torch
from scipy.stats import kstest, norm

from spinode.contracts.synapse import Pulses
from spinode.datasets.devices.domain_wall import DomainWall
from spinode.errors import ConfigError
from spinode.testing import SynapseContract


class TestTwoStates(SynapseContract):
    def make(self):
        return DomainWall(states=2)


class TestThreeStates(SynapseContract):
    def make(self):
        return DomainWall(states=3, confined=True)


class TestFiveStates(SynapseContract):
    def make(self):
        return DomainWall(states=5, sigma=(0.01, 0.02, 0.03, 0.02, 0.01), unit="S", low=20e-6, high=100e-6)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("states", [2, 3, 5])
def test_each_pulse_moves_by_one_level(states):
    model = DomainWall(states=states)
    state = model.initial((1,), dtype=torch.float64)
    for count in (1, 1, -1, 3, 7, -2, 0, -100):
        level = min(max(float(state["level"]) + count, 0), states - 1)
        state = model.program(state, Pulses(torch.full((1,), float(count))))
        assert float(state["level"]) == level
        assert float(model.read(state)) == pytest.approx(level / (states - 1), abs=1e-12)


def test_levels_divide_the_conductance_range_evenly():
    model = DomainWall(states=5, unit="S", low=20e-6, high=100e-6)
    state = model.write(model.initial((5,), dtype=torch.float64), torch.arange(5))
    assert model.read(state).tolist() == pytest.approx([20e-6, 40e-6, 60e-6, 80e-6, 100e-6])
    torch.testing.assert_close(model.level_conductance(torch.arange(5.0, dtype=torch.float64)), model.read(state))


def test_placement_is_gaussian_at_each_level():
    """Kolmogorov-Smirnov at a false alarm of 1e-6 for each of five levels, by direct writes and by pulses."""
    sigmas = (0.02, 0.05, 0.01, 0.03, 0.04)
    model = DomainWall(states=5, sigma=sigmas)
    level = torch.arange(5).repeat_interleave(20_000)
    start = model.initial((100_000,), dtype=torch.float64)
    written = model.write(start, level, generator=seeded(0))
    pulsed = model.program(start, Pulses(level.float()), generator=seeded(1))
    for state, levels in ((written, range(5)), (pulsed, range(1, 5))):  # no pulse goes to those at level 0
        for k in levels:
            drawn = state["position"][level == k].numpy()
            assert kstest(drawn, norm(k / 4, sigmas[k]).cdf).pvalue > 1e-6


def test_a_placement_error_persists_until_the_next_write():
    model = DomainWall(states=3)
    state = model.initial((1000,), generator=seeded(0))
    torch.testing.assert_close(model.read(state, generator=seeded(1)), state["position"])
    after = model.program(state, Pulses(torch.cat([torch.zeros(500), -torch.ones(500)])), generator=seeded(2))
    assert torch.equal(after["position"][:500], state["position"][:500])
    assert bool((after["position"][500:] != state["position"][500:]).all())  # written again at the lowest level


def test_errors_of_two_writes_are_independent():
    """Correlation of 40 000 pairs within 5 standard errors of zero."""
    model = DomainWall(states=3)
    first = model.initial((40_000,), generator=seeded(0))
    second = model.program(first, Pulses(torch.ones(40_000)), generator=seeded(1))
    pair = torch.stack([first["position"], second["position"]])
    assert float(torch.corrcoef(pair)[0, 1]) == pytest.approx(0, abs=5 / math.sqrt(40_000))


def test_a_confined_wall_stays_on_the_track():
    """Half of the walls of an outermost level are at its end: 20 000 within 5 standard errors."""
    state = DomainWall(states=2, confined=True).initial((20_000,), generator=seeded(0))
    assert float(state["position"].min()) == 0
    assert float((state["position"] == 0).double().mean()) == pytest.approx(0.5, abs=5 * 0.5 / math.sqrt(20_000))


def test_weights_are_rounded_to_the_nearest_level():
    weights = torch.tensor([-3.0, 0.0, 0.12, 0.13, 0.6, 0.7, 0.99, 8.0])
    assert DomainWall(states=5).quantise(weights).tolist() == [0, 0, 0, 1, 2, 3, 4, 4]
    assert DomainWall(states=2).quantise(weights).tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    siemens = DomainWall(states=5, unit="S", low=20e-6, high=100e-6)
    assert siemens.quantise(20e-6 + 80e-6 * weights).tolist() == [0, 0, 0, 1, 2, 3, 4, 4]


def test_quantise_returns_the_closest_of_all_levels():
    model = DomainWall(states=5, unit="S", low=20e-6, high=100e-6)
    weights = 15e-6 + 90e-6 * torch.rand(1000, generator=seeded(0), dtype=torch.float64)
    levels = model.level_conductance(torch.arange(5.0, dtype=torch.float64))
    assert torch.equal(model.quantise(weights).long(), (weights[:, None] - levels).abs().argmin(-1))


def test_a_write_is_needed_beyond_the_margin_or_at_another_level():
    """The right level within the margin; the right level beyond it; another level."""
    model = DomainWall(states=3, margin=0.1)
    state = {"position": torch.tensor([0.58, 0.62, 0.5]), "level": torch.ones(3)}
    weights = torch.tensor([0.45, 0.45, 0.9])
    assert model.needs_write(state, weights).tolist() == [False, True, True]
    after, written = model.update(state, weights)
    assert written.tolist() == [False, True, True]
    assert after["position"].tolist() == pytest.approx([0.58, 0.5, 1.0])
    assert after["level"].tolist() == [1, 1, 2]
    assert DomainWall(states=3).needs_write(state, torch.full((3,), 0.5)).tolist() == [False, False, False]


def test_the_share_of_writes_is_that_of_the_normal_distribution():
    """Share of walls beyond the margin: 2 (1 - Phi(m / sigma)), of 40 000 within 5 standard errors."""
    for margin in (0.05, 0.1):
        model = DomainWall(states=3, sigma=0.05, margin=margin, start=1)
        state = model.initial((40_000,), generator=seeded(0))
        share = float(model.needs_write(state, torch.full((40_000,), 0.5)).double().mean())
        p = 2 * norm.sf(margin / 0.05)
        assert share == pytest.approx(p, abs=5 * math.sqrt(p * (1 - p) / 40_000))


def test_every_write_costs_its_energy():
    model = DomainWall(write_energy=2e-15)
    energy = model.energy(model.initial((3,), dtype=torch.float64), Pulses(torch.tensor([3.0, -1.0, 0.0])))
    assert energy.tolist() == pytest.approx([6e-15, 2e-15, 0.0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: DomainWall(states=1), "states is 1; expected a whole number of at least 2"),
        (lambda: DomainWall(start=3), r"start is 3; expected a whole number from 0 to 2"),
        (lambda: DomainWall(sigma=-0.1), "sigma is -0.1"),
        (lambda: DomainWall(states=3, sigma=(0.1, 0.1)), "sigma has 2 values for 3 states; expected one number, or one each"),
        (lambda: DomainWall(margin=-1.0), "margin is -1.0"),
        (lambda: DomainWall(unit="mS"), "unit is 'mS'; expected '' for the normalised position, or 'S'"),
        (lambda: DomainWall(unit="S", low=-1e-6), "low is -1e-06"),
        (lambda: DomainWall(low=2.0), r"high is 1\.0; expected a finite number above 2"),
    ],
)
def test_invalid_parameters_are_refused(call, message):
    with pytest.raises(ConfigError, match=message):
        call()


def test_invalid_levels_are_refused():
    model = DomainWall(states=3)
    state = model.initial((2,))
    for level in (torch.tensor([0.0, 3.0]), torch.tensor([0.5, 1.0]), torch.tensor([math.nan, 1.0])):
        with pytest.raises(ConfigError, match="1 devices have levels"):
            model.write(state, level)
    with pytest.raises(ConfigError, match=r"shape \(3,\) for devices of \(2,\)"):
        model.write(state, torch.zeros(3))
    with pytest.raises(ConfigError, match="Are there NaN weights"):
        model.update(state, torch.full((2,), math.nan))
