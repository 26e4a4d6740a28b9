"""`WeakReset` against its equations, its published distributions and the exact statistics of its noise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from spinode.contracts.synapse import Pulses, State, Synapse
from spinode.datasets import WeakReset
from spinode.datasets.devices import weak_reset as module
from spinode.datasets.devices.pulse_noise import Pink, Telegraph
from spinode.errors import ConfigError
from spinode.testing import SynapseContract

FALSE_ALARM = 1e-6  # of each statistical test here


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def resets(n: int, devices: int) -> Pulses:
    return Pulses(torch.full((devices,), -float(n)))


class TestWeakReset(SynapseContract):
    def make(self) -> Synapse:
        return WeakReset()


class TestWeakResetWithSetPulses(SynapseContract):
    def make(self) -> Synapse:
        return WeakReset(set_pulses=True)


class TestWeakResetMeanOnly(SynapseContract):
    def make(self) -> Synapse:
        return WeakReset(rtn=False, pink=False, d2d=False, read_noise=0.01)


class TestPublishedWeakReset(SynapseContract):
    def make(self) -> Synapse:
        return WeakReset(published=True)

    def test_zero_pulses_change_no_conductance(self) -> None:
        """As published, it does: the amplitude of a filled trap is drawn again in each call; everything else is unchanged."""
        synapse = WeakReset(published=True)
        state = synapse.program(synapse.initial((4000,), generator=seeded(0)), resets(2000, 4000), generator=seeded(1))
        after = synapse.program(state, resets(0, 4000), generator=seeded(2))
        filled = state["trap"] > 0
        assert 0 < int(filled.sum()) < 4000
        assert torch.equal(after["trap"] > 0, filled)
        assert bool((after["trap"][filled] != state["trap"][filled]).all())
        assert all(torch.equal(after[name], state[name]) for name in state if name != "trap")


# --- the mean ----------------------------------------------------------------------------------------------------------


def test_the_mean_is_piecewise_linear_in_the_number_of_pulses() -> None:
    synapse = WeakReset(rtn=False, pink=False)
    state = synapse.initial((500,), generator=seeded(0), dtype=torch.float64)
    m1, m2, c1, corner, r0 = (state[name].numpy() for name in ("m1", "m2", "c1", "corner", "R0"))
    for n in (0, 1, 40, 300, 3000):
        expected = np.where(n < corner, m1 * n + c1, m2 * n + corner * (m1 - m2) + c1)
        after = synapse.program(state, resets(n, 500))
        np.testing.assert_allclose(1 / synapse.read(after).numpy(), r0 * np.exp(expected), rtol=1e-12)


def test_pulses_add_up_over_calls() -> None:
    synapse = WeakReset()
    state = synapse.initial((20,), generator=seeded(0), dtype=torch.float64)
    parts = synapse.program(synapse.program(state, resets(300, 20)), resets(450, 20))
    torch.testing.assert_close(synapse.read(parts), synapse.read(synapse.program(state, resets(750, 20))))


def test_counts_stay_exact_in_half_precision() -> None:
    synapse = WeakReset()
    state = synapse.initial((1,), dtype=torch.bfloat16)
    for _ in range(3):
        state = synapse.program(state, resets(1001, 1))
    assert float(state["pulses"]) == 3003


def test_set_resets_the_mean_and_keeps_constants_and_noise() -> None:
    synapse = WeakReset(set_pulses=True)
    state = synapse.initial((300,), generator=seeded(0))
    worn = synapse.program(state, resets(700, 300), generator=seeded(1))
    fresh = synapse.program(worn, Pulses(torch.full((300,), 3.0)), generator=seeded(2))
    assert bool((worn["pulses"] == 700).all())
    assert bool((fresh["pulses"] == 0).all())
    assert all(torch.equal(fresh[name], worn[name]) for name in worn if name != "pulses")


# --- device to device --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "distribution", "low", "high"),
    [
        ("m1", stats.expon(3.7415768e-5, 6.5646780e-4), 3.74e-5, 7.6e-3),
        ("corner", stats.lognorm(0.80338177, 0, 542.53852), 41, 2000),
        ("c1", stats.norm(5.2931410e-3, 5.3208042e-2), -0.15, 0.15),
        ("m2", stats.expon(0, 2.8890517e-5), 0, 1.3e-4),
        ("R0", stats.norm(6988, 381.7), 6252, 7897),
    ],
)
def test_constants_follow_the_truncated_distributions(
    name: str, distribution: stats.rv_continuous, low: float, high: float
) -> None:
    """Kolmogorov-Smirnov against scipy, and the typical device has the median of the truncated distribution."""

    def truncated(x: np.ndarray) -> np.ndarray:
        below, within = distribution.cdf(low), distribution.cdf(high) - distribution.cdf(low)
        return np.clip((distribution.cdf(x) - below) / within, 0, 1)

    drawn = WeakReset().initial((50_000,), generator=seeded(7), dtype=torch.float64)[name].numpy()
    assert low <= drawn.min()
    assert drawn.max() <= high
    assert stats.kstest(drawn, truncated).pvalue > FALSE_ALARM
    typical = WeakReset(d2d=False).initial((2,), generator=seeded(7), dtype=torch.float64)[name].numpy()
    np.testing.assert_allclose(truncated(typical), 0.5, atol=1e-9)


def test_constants_are_independent_of_each_other() -> None:
    state = WeakReset().initial((20_000,), generator=seeded(3), dtype=torch.float64)
    names = ("R0", "m1", "corner", "c1", "m2", "depth")
    correlation = np.corrcoef(np.stack([stats.rankdata(state[name].numpy()) for name in names]))
    limit = stats.norm.isf(FALSE_ALARM / 30) / math.sqrt(20_000)
    assert np.abs(correlation - np.eye(len(names))).max() < limit


def test_medians_are_those_of_the_published_constants() -> None:
    """Resistances from an independent sampling of the published distributions, to the digits given there (kohm)."""
    synapse = WeakReset(rtn=False, pink=False)
    state = synapse.initial((200_000,), generator=seeded(0), dtype=torch.float64)
    for n, expected in ((0, 7.0), (100, 7.5), (500, 8.6), (1000, 9.0), (2000, 9.4), (5000, 10.3)):
        resistance = 1e-3 / synapse.read(synapse.program(state, resets(n, 200_000)))
        assert float(resistance.median()) == pytest.approx(expected, abs=0.1)


def test_each_imperfection_can_be_disabled() -> None:
    """Without an imperfection its tensors are absent, and without all of them the devices are equal."""
    assert {"trap", "depth"}.isdisjoint(WeakReset(rtn=False).initial((2,)))
    assert {"slow", "white"}.isdisjoint(WeakReset(pink=False).initial((2,)))
    bare = WeakReset(d2d=False, rtn=False, pink=False)
    after = bare.program(bare.initial((9,), generator=seeded(0)), resets(50, 9), generator=seeded(1))
    read = bare.read(after, generator=seeded(2))
    torch.testing.assert_close(read, read[:1].expand(9), rtol=0, atol=0)


# --- random telegraph noise --------------------------------------------------------------------------------------------


def _share(probability: float, n: int) -> tuple[int, int]:
    """Return the interval of counts of n events of this probability, at the stated false-alarm rate."""
    return int(stats.binom.ppf(FALSE_ALARM / 2, n, probability)), int(stats.binom.isf(FALSE_ALARM / 2, n, probability))


@pytest.mark.parametrize("pulses", [1, 7, 400, 100_000])
@pytest.mark.parametrize("filled", [False, True])
def test_n_pulses_are_the_nth_power_of_the_chain(pulses: int, filled: bool) -> None:
    """P(filled) is an entry of T^n, and P(never emptied) that of a chain that cannot fill again."""
    trap, n = Telegraph(0.0008, 0.002), 200_000
    amplitude, depth = torch.full((n,), 0.75 * filled), torch.ones(n)
    after = trap.after(amplitude, depth, torch.full((n,), float(pulses)), seeded(pulses))
    power = np.linalg.matrix_power(np.array([[1 - 0.0008, 0.0008], [0.002, 1 - 0.002]]), pulses)
    low, high = _share(power[int(filled), 1], n)
    assert low <= int((after > 0).sum()) <= high
    low, high = _share(0.998**pulses if filled else 0.0, n)
    assert low <= int((after == 0.75).sum()) <= high


def test_one_step_of_many_pulses_is_many_steps_of_one() -> None:
    trap, n, pulses = Telegraph(0.02, 0.05), 40_000, 12
    start, depth = trap.settled(torch.ones(n), seeded(0)), torch.ones(n)
    singles, once = start, trap.after(start, depth, torch.full((n,), float(pulses)), seeded(1))
    generator = seeded(2)
    for _ in range(pulses):
        singles = trap.after(singles, depth, torch.ones(n), generator)

    def kinds(after: torch.Tensor) -> list[int]:
        was, same = start > 0, after == start
        return [int((was & same).sum()), int((was & ~same & (after > 0)).sum()), int((~was & (after > 0)).sum())]

    outcome = np.array([[*kinds(after), n - sum(kinds(after))] for after in (singles, once)])
    assert stats.chi2_contingency(outcome).pvalue > FALSE_ALARM


def test_a_fresh_population_is_stationary() -> None:
    synapse, n = WeakReset(), 100_000
    state = synapse.initial((n,), generator=seeded(0))
    low, high = _share(2 / 7, n)
    for generator in (seeded(1), seeded(2)):
        assert low <= int((state["trap"] > 0).sum()) <= high
        state = synapse.program(state, resets(333, n), generator=generator)
    published = WeakReset(published=True).initial((n,), generator=seeded(0))
    assert not bool((published["trap"] > 0).any())


def test_dwell_times_are_geometric() -> None:
    """Complete dwell times with one pulse per call: mean 1 / leave in the filled state, 1 / fill in the empty one."""
    trap, n = Telegraph(0.05, 0.125), 3000
    amplitude, generator = trap.settled(torch.ones(n), seeded(0)), seeded(1)
    levels = [amplitude]
    for _ in range(400):
        levels.append(trap.after(levels[-1], torch.ones(n), torch.ones(n), generator))
    filled = torch.stack(levels) > 0
    for state, probability in ((True, trap.leave), (False, trap.fill)):
        at_risk, left = filled[:-1] == state, (filled[:-1] == state) & (filled[1:] != state)
        low, high = _share(probability, int(at_risk.sum()))
        assert low <= int(left.sum()) <= high
    begins = (~filled[:100] & filled[1:101]).nonzero()  # dwells are followed to their end: the memory is of one pulse
    dwell = [int((~filled[k + 1 :, i]).float().argmax()) for k, i in begins[:4000].tolist()]
    observed = np.bincount(np.minimum(dwell, 30), minlength=31)[1:]
    expected = np.append(stats.geom.pmf(np.arange(1, 30), 0.125), stats.geom.sf(29, 0.125)) * len(dwell)
    assert stats.chisquare(observed, expected).pvalue > FALSE_ALARM


def test_the_amplitude_is_constant_until_the_trap_empties() -> None:
    trap, n = Telegraph(0.05, 0.125), 2000
    depth = torch.rand(n, generator=seeded(0))
    amplitude, generator = trap.settled(depth, seeded(1)), seeded(2)
    for _ in range(50):
        after = trap.after(amplitude, depth, torch.ones(n), generator)
        stayed = (amplitude > 0) & (after > 0)
        assert bool(stayed.any())
        assert torch.equal(after[stayed], amplitude[stayed])
        amplitude = after


def test_amplitudes_have_the_published_distribution() -> None:
    """0.5 U U U: -log of the product of uniforms is gamma distributed, shape 3."""
    state = WeakReset().initial((60_000,), generator=seeded(4), dtype=torch.float64)
    first = state["trap"][state["trap"] > 0]
    assert stats.kstest(-np.log(first.numpy() / 0.5), stats.gamma(3).cdf).pvalue > FALSE_ALARM
    again = WeakReset().program(state, resets(100_000, 60_000), generator=seeded(5))["trap"]
    assert stats.kstest(-np.log(again[again > 0].numpy() / 0.5), stats.gamma(3).cdf).pvalue > FALSE_ALARM


# --- pink noise --------------------------------------------------------------------------------------------------------


def exact_autocovariance(lags: int) -> np.ndarray:
    """Return the variance of alpha sum_k b_k u_k for independent u ~ U(0, 1), with Kasdin's weights in closed form."""
    k = np.arange(15)
    b = np.exp([math.lgamma(i + 0.5) - math.lgamma(0.5) - math.lgamma(i + 1) for i in k])
    return np.array([(b[: 15 - j] * b[j:]).sum() if j < 15 else 0.0 for j in range(lags)]) * 0.025**2 / 12


def test_pink_noise_has_the_variance_and_approximately_the_memory_of_the_filter() -> None:
    """Share and coefficient are the least-squares optimum, and as close as the docstring states."""
    pink, exact = Pink(), exact_autocovariance(30)
    lag = np.arange(1, 30)
    assert pink.sd**2 == pytest.approx(exact[0], rel=1e-12)
    difference = pink.slow_share * pink.rho**lag - exact[1:] / exact[0]
    assert np.abs(difference).max() < 0.08
    for gradient in (pink.rho**lag, pink.slow_share * lag * pink.rho ** (lag - 1)):
        assert abs((difference * gradient).sum()) < 1e-5 * np.linalg.norm(gradient)


@pytest.mark.parametrize("pulses", [1, 3, 40])
def test_pink_noise_is_stationary_and_centred(pulses: int) -> None:
    """Mean, variance and covariance over n pulses, each within its own standard error at the stated rate."""
    synapse, n, pink = WeakReset(), 100_000, Pink()
    state = synapse.initial((n,), generator=seeded(0), dtype=torch.float64)
    after = synapse.program(state, resets(pulses, n), generator=seeded(1))
    x, y = ((each["slow"] + each["white"]).numpy() / pink.sd for each in (state, after))
    expected, z = pink.slow_share * pink.rho**pulses, stats.norm.isf(FALSE_ALARM / 2)
    for values in (x, y):
        assert abs(values.mean()) < z / math.sqrt(n)
        assert abs(values.var() - 1) < z * math.sqrt(2 / n)
    assert abs((x * y).mean() - expected) < z * math.sqrt((1 + expected**2) / n)


def test_many_pulses_of_pink_noise_are_equivalent_to_single_pulses() -> None:
    pink, n = Pink(), 50_000
    slow, white = torch.empty(n, dtype=torch.float64), torch.empty(n, dtype=torch.float64)
    pink.settled(slow, white, seeded(0))
    now, generator = (slow, white), seeded(1)
    for _ in range(5):
        now = pink.after(*now, torch.ones(n, dtype=torch.float64), generator)
    measured = float((now[0] * slow).mean() / pink.sd**2 / pink.slow_share)
    z, expected = stats.norm.isf(FALSE_ALARM / 2), pink.rho**5
    assert abs(measured - expected) < z * math.sqrt((1 + expected**2) / n)


def test_noise_changes_only_with_pulses() -> None:
    synapse = WeakReset()
    state = synapse.initial((3000,), generator=seeded(0))
    count = torch.zeros(3000)
    count[::2] = -100
    after = synapse.program(state, Pulses(count), generator=seeded(1))
    for name in ("trap", "slow", "white"):
        assert torch.equal(after[name][1::2], state[name][1::2])
        assert not torch.equal(after[name][::2], state[name][::2])
    again = (synapse.read(after, generator=seeded(2)), synapse.read(after, generator=seeded(3)))
    assert torch.equal(*again)


# --- as published ------------------------------------------------------------------------------------------------------


def _published(pulses: int, n: int = 20_000) -> tuple[State, State, State]:
    synapse = WeakReset(published=True, rtn=False)
    fresh = synapse.initial((n,), generator=seeded(0), dtype=torch.float64)
    full = synapse.program(fresh, resets(15, n), generator=seeded(1))
    return fresh, full, synapse.program(full, resets(pulses, n), generator=seeded(2))


@pytest.mark.parametrize("pulses", [1, 4, 15, 60])
def test_the_published_filter_has_its_exact_statistics(pulses: int) -> None:
    """Mean alpha sum b / 2 in w, from zero at the start; covariance of the moving average."""
    fresh, full, after = _published(pulses)
    exact, z = exact_autocovariance(61), stats.norm.isf(FALSE_ALARM / 2)
    x, y = (Pink().filtered(each["history"]).numpy() for each in (full, after))
    mean, error = 0.025 * sum(Pink().weights) / 2, z * math.sqrt(exact[0] / len(x))
    assert bool((fresh["history"] == 0).all())
    assert abs(x.mean() - mean) < error
    assert abs(y.mean() - mean) < error
    covariance = ((x - mean) * (y - mean)).mean()
    assert abs(covariance - exact[pulses]) < z * math.sqrt(2 / len(x)) * exact[0]


def test_the_published_filter_shifts_each_device_by_its_own_pulses() -> None:
    history = torch.arange(30.0).reshape(2, 15) + 10
    shifted = Pink().shifted(history, torch.tensor([0.0, 4.0]), seeded(0))
    assert torch.equal(shifted[0], history[0])
    assert torch.equal(shifted[1, 4:], history[1, :11])
    assert bool(((shifted[1, :4] >= 0) & (shifted[1, :4] < 1)).all())


def test_the_published_trap_follows_the_same_chain() -> None:
    n, pulses = 200_000, 300
    after = module.TRAP.redrawn(torch.zeros(n), torch.ones(n), torch.full((n,), float(pulses)), seeded(0))
    low, high = _share(np.linalg.matrix_power([[1 - 0.0008, 0.0008], [0.002, 1 - 0.002]], pulses)[0, 1], n)
    assert low <= int((after > 0).sum()) <= high


# --- reading and options -----------------------------------------------------------------------------------------------


def test_read_noise_is_relative() -> None:
    synapse, n = WeakReset(d2d=False, rtn=False, pink=False, read_noise=0.02), 100_000
    state = synapse.initial((n,), generator=seeded(0), dtype=torch.float64)
    relative = synapse.read(state, generator=seeded(1)) / synapse.read(state) - 1
    z = stats.norm.isf(FALSE_ALARM / 2)
    assert abs(float(relative.mean())) < z * 0.02 / math.sqrt(n)
    assert abs(float(relative.var()) / 0.02**2 - 1) < z * math.sqrt(2 / n)


def test_energy_needs_a_voltage_and_a_width() -> None:
    count = Pulses(torch.tensor([-3.0, 0.0]))
    assert WeakReset().energy(WeakReset().initial((2,)), count) is None
    synapse = WeakReset(voltage=(1.0, 1.5), width=1e-7)
    state = synapse.initial((2,), dtype=torch.float64)
    energy = synapse.energy(state, count)
    assert energy is not None
    torch.testing.assert_close(energy, torch.tensor([3 * 1.5**2 * 1e-7, 0.0]) * synapse.read(state))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"read_noise": -0.1}, r"read_noise is -0\.1; expected"),
        ({"read_noise": "5 %"}, "read_noise is '5 %'; expected"),
        ({"read_noise": math.nan}, "read_noise is nan; expected"),
        ({"low": 1e-4, "high": 1e-4}, r"high is 0\.0001; expected a finite number above 0\.0001 \[S\]"),
        ({"voltage": (1.0, -1.5)}, r"the RESET amplitude in voltage is -1\.5; expected a finite number above 0 \[V\]"),
        ({"width": 0.0}, r"width is 0\.0; expected a finite number above 0 \[s\]"),
    ],
)
def test_invalid_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        WeakReset(**settings)


# --- pulses for few devices, and in turn -------------------------------------------------------------------------------


def _pulsed(share: float, shape: tuple[int, ...]) -> torch.Tensor:
    """Seven pulses for a share of the devices; for pairs, to one of the two."""
    chosen = torch.rand(shape, generator=seeded(9)) < share
    if len(shape) == 2:
        chosen = torch.stack((chosen[0], ~chosen[0])) & (torch.rand(shape[1:], generator=seeded(8)) < 0.9)
    return chosen.double() * 7


@pytest.mark.parametrize(("share", "shape"), [(0.05, (300_000,)), (0.5, (2, 60_000)), (0.7, (60_000,))])
def test_pink_noise_has_the_same_distribution_however_few_devices_have_pulses(share: float, shape: tuple[int, ...]) -> None:
    """Few, alternating, or most of them: each path has the distribution of the autoregression, and leaves other devices."""
    pink, pulses = Pink(), _pulsed(share, shape)
    slow, white = torch.empty(shape, dtype=torch.float64), torch.empty(shape, dtype=torch.float64)
    pink.settled(slow, white, seeded(0))
    before = slow.clone(), white.clone()
    after = pink.after(slow, white, pulses, seeded(1))
    assert torch.equal(slow, before[0])
    assert torch.equal(white, before[1])
    moved = pulses > 0
    decay, variances = pink.rho**7, (pink.sd**2 * pink.slow_share, pink.sd**2 * (1 - pink.slow_share))
    n, z = int(moved.sum()), stats.norm.isf(FALSE_ALARM / 2)
    for old, new, keep, variance in zip(before, after, (decay, 0.0), variances, strict=True):
        assert torch.equal(new[~moved], old[~moved])
        fresh = ((new - keep * old)[moved] / math.sqrt(variance * (1 - keep**2))).numpy()
        assert stats.kstest(fresh, stats.norm.cdf).pvalue > FALSE_ALARM
        assert abs((fresh * old[moved].numpy()).mean()) < z * math.sqrt(variance / n)
    innovations = ((after[0] - decay * before[0])[moved], after[1][moved])
    assert abs(float(torch.corrcoef(torch.stack(innovations))[0, 1])) < z / math.sqrt(n)


def test_each_trap_follows_the_chain_of_its_own_number_of_pulses() -> None:
    """Thinned from the largest number of pulses: shares of each number of pulses, from the empty and from the filled state."""
    trap, n = Telegraph(0.0008, 0.002), 1_000_000
    pulses = (torch.arange(n) % 4).float() * 7
    for filled in (False, True):
        amplitude = torch.full((n,), 0.75 * filled)
        after = trap.after(amplitude, torch.ones(n), pulses, seeded(int(filled)))
        assert torch.equal(after[pulses == 0], amplitude[pulses == 0])
        for number in (7, 14, 21):
            now = after[pulses == number]
            power = np.linalg.matrix_power(np.array([[1 - 0.0008, 0.0008], [0.002, 1 - 0.002]]), number)
            low, high = _share(power[int(filled), 1], len(now))
            assert low <= int((now > 0).sum()) <= high
            low, high = _share(0.998**number if filled else 0.0, len(now))
            assert low <= int((now == 0.75).sum()) <= high


def test_noise_has_no_derivative_with_respect_to_the_number_of_pulses() -> None:
    """That of sqrt(1 - rho^2n) is infinite at n = 0; the mean has the derivative of its equation."""
    synapse = WeakReset()
    state = synapse.initial((2, 50), generator=seeded(0), dtype=torch.float64)
    count = torch.zeros((2, 50), dtype=torch.float64)
    count[0] = -3
    count.requires_grad_()
    synapse.program(state, Pulses(count), generator=seeded(1))["pulses"].sum().backward()
    assert torch.equal(count.grad, torch.full((2, 50), -1.0, dtype=torch.float64))
    read = synapse.read(synapse.program(state, Pulses(count), generator=seeded(1)))
    (gradient,) = torch.autograd.grad(read.sum(), count)
    torch.testing.assert_close(gradient, read.detach() * state["m1"])


@pytest.mark.parametrize("share", [0.05, 1.0])
def test_noise_is_differentiable_in_the_state(share: float) -> None:
    """Also of alternating pairs: the slow part decays as rho^n, and nothing remains of the white part."""
    pulses = _pulsed(1.0, (2, 400)) * (torch.rand(400, generator=seeded(7)) < share)
    slow, white = (torch.zeros((2, 400), dtype=torch.float64, requires_grad=True) for _ in range(2))
    after = Pink().after(slow, white, pulses, seeded(0))
    gradients = torch.autograd.grad(sum(part.sum() for part in after), (slow, white))
    assert bool((pulses > 0).any())
    torch.testing.assert_close(gradients[0], Pink().rho ** pulses)
    torch.testing.assert_close(gradients[1], (pulses == 0).double())
