"""The surrogate: the contract for every layout, and known equations."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from spinode import ConfigError, DomainError, Trace, TraceError
from spinode.surrogates.testing import SurrogateContract, resonator, small_surrogate

LAYOUTS = {
    "Relaxation": {"order": 1},
    "Resonator": {"order": 2},
    "ThirdOrder": {"order": 3, "outputs": 2},
    "TwoDrivesOneParameter": {"order": 2, "drives": 2, "parameters": 1},
    "Autonomous": {"order": 2, "drives": 0},
    "AutonomousWithParameters": {"order": 2, "drives": 0, "parameters": 2},
    "Delay": {"kind": "delay", "order": 3, "drives": 2, "outputs": 2, "parameters": 1},
    "Ensemble": {"order": 2, "members": 3},
    "DelayEnsemble": {"kind": "delay", "order": 2, "members": 2},
}


def _contract(name: str, layout: dict) -> type:
    return type(f"Test{name}", (SurrogateContract,), {"make": lambda self: small_surrogate(**layout), "__module__": __name__})


for _name, _layout in LAYOUTS.items():
    globals()[f"Test{_name}"] = _contract(_name, _layout)


class TestLinearResonator(SurrogateContract):
    def make(self):
        return resonator(noise=0.01)


# --- known equations ----------------------------------------------------------------------------------------------------


def ring_down(period, damping, steps):
    """y'' + 2 z w y' + w^2 y = 0 with y(0) = 1, y'(0) = 0, at whole samples."""
    omega = 2 * np.pi / period
    damped = omega * np.sqrt(1 - damping**2)
    t = np.arange(steps)
    return np.exp(-damping * omega * t) * (np.cos(damped * t) + damping * omega / damped * np.sin(damped * t))


def test_ring_down_follows_the_analytical_solution_to_fourth_order():
    errors = []
    for period in (20, 40, 80):
        device = resonator(period=period, damping=0.1)
        run = device.simulate(torch.zeros(2 * period, 1), state=torch.tensor([1.0, 0.0]))[:, 0].detach().numpy()
        errors.append(np.abs(run - ring_down(period, 0.1, 2 * period)).max())
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert errors[0] < 5e-3
    assert np.all(np.abs(orders - 4) < 0.3), orders


def test_constant_drive_moves_the_resting_state_by_the_gain():
    device = resonator(gain=0.5)
    for volts in (-1.0, 0.0, 0.7):
        state = device.resting_state(torch.tensor([volts], dtype=torch.float64))
        assert device.read(state, torch.tensor([volts])).item() == pytest.approx(0.5 * volts, abs=1e-9)


def test_length_of_a_step_is_in_seconds():
    device = resonator(period=20, damping=0.1, interval=1e-11)
    state, drive = torch.tensor([1.0, 0.0], dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    full = device.step(state, drive)
    two_halves = device.step(device.step(state, drive, 0.5e-11), drive, 0.5e-11)
    assert torch.allclose(device.step(state, drive, 1e-11), full)
    assert torch.allclose(two_halves, full, atol=1e-4)
    assert not torch.allclose(device.step(state, drive, 2e-11), full, atol=1e-2)


def test_unstable_device_has_no_resting_state():
    with pytest.raises(DomainError, match=r"no stable resting state.*state_from"):
        resonator(damping=-0.05).simulate(torch.zeros(5, 1))


def test_noise_has_the_given_deviation():
    """Sample deviation of 10 000 samples within 4 standard errors: a correct one fails in 6e-5 of seeds (the seed is fixed)."""
    device = resonator(noise=0.02)
    drive, start = torch.zeros(500, 20, 1), torch.zeros(2, dtype=torch.float64)
    mean = device.simulate(drive, state=start)
    noisy = device.simulate(drive, state=start, noise=True, generator=torch.Generator().manual_seed(0))
    assert float((noisy - mean).detach().std()) == pytest.approx(0.02, rel=4 / np.sqrt(20_000))


@pytest.mark.parametrize("order", [1, 3])
def test_members_start_from_the_same_outputs_although_their_states_differ(order):
    """Of a derivative embedding b_0 = y - D u: a given state is that of member 0, others differ by their feedthrough."""
    ensemble = small_surrogate(order=order, members=3, drives=2)
    time = torch.linspace(0, 3, 40, dtype=torch.float64)[:, None]
    drive = 1e5 + 1e4 * torch.cat([torch.sin(time), torch.cos(2 * time)], -1)
    output = ensemble.scales.output_mean + torch.sin(time + 1)
    own = torch.stack([ensemble.state_from(output, drive, member=m)[0] for m in range(3)])
    given, _, _ = ensemble.run_members(drive, own[0], None, None, "rk4")
    expected, _, _ = ensemble.run_members(drive, own, None, None, "rk4", per_member=True)
    assert torch.allclose(given, expected, rtol=1e-9)
    assert torch.allclose(given[:, 0], output[0].expand(3, 1))
    batch, _, _ = ensemble.run_members(drive.expand(2, 5, 40, 2), own[0], None, None, "rk4")
    assert torch.allclose(batch, given[:, None, None].expand_as(batch))


def test_a_run_twice_as_far_outside_is_reported_again():
    device, ones = resonator(), torch.ones(60, 1, dtype=torch.float64)
    rest = torch.zeros(2, dtype=torch.float64)
    reports = []
    for height in (30.0, 31.0, 90.0, 100.0):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            device.simulate(height * ones, state=rest)
        reports.append([str(each.message) for each in caught])
    assert [len(each) for each in reports] == [1, 0, 1, 0]
    assert "radii of that domain from the fitted data" in reports[2][0]


def test_first_step_outside_is_reported_with_its_time():
    device = resonator(interval=1e-11)
    drive = torch.zeros(20, 1, dtype=torch.float64)
    drive[12:] = 50.0
    with pytest.raises(DomainError, match=r"first at sample 12 \(t = 1.2e-10 s\)"):
        device.simulate(drive, state=torch.zeros(2), interpolation={"V": "held"}, strict=True)


def test_diverging_run_stays_finite_and_reports_its_time():
    device = resonator(damping=-0.3)
    t = 1e-11 * np.arange(100)
    trace = Trace(t, {"V": np.zeros(100)}, {"y": 0.5 * np.cos(0.3 * np.arange(100))}, interpolation={"V": "held"})
    run = device.run(trace)
    assert torch.isfinite(run.output).all()
    assert run.diverged_at is not None
    first = int(np.abs(t - run.diverged_at).argmin())
    assert first > 20
    assert 20 <= float(run.output[first:].abs().max()) <= 30
    assert bool(run.outside[first:].all())


def test_run_of_an_ensemble_returns_median_and_spread():
    device = small_surrogate(members=3)
    count = 50
    drive = device.scales.drive_mean * torch.ones(count, 1)
    trace = Trace(2e-12 * np.arange(count), {"u0": drive[:, 0].numpy()}, {}, interpolation={"u0": "held"})
    run = device.run(trace)
    assert run.members.shape == (3, count, 1)
    assert torch.equal(run.output, run.members.median(0).values)
    expected = (1.5**2 * run.members.var(0) + (0.02 * device.scales.output_scale) ** 2).sqrt()
    assert torch.allclose(run.spread, expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"time": 1.3e-11 * np.arange(30)}, "sampled every 1.3e-11 s, the surrogate steps every 1e-11 s; resample"),
        ({"drive": {"U": np.zeros(30)}}, "no drive 'V'; its drive channels are: U"),
        ({"drive": {"V": np.full(30, np.nan)}}, "'V' has 30 NaN"),
        ({"output": {"y": np.full(30, np.inf)}}, "'y' has 30 NaN or infinite"),
        ({"time": 1e-11 * np.r_[0:15, 14:29]}, "time repeats after sample 14"),
    ],
)
def test_trace_that_does_not_fit_the_surrogate_is_refused(change, message):
    parts = {"time": 1e-11 * np.arange(30), "drive": {"V": np.zeros(30)}, "output": {"y": np.sin(np.arange(30))}}
    with pytest.raises(TraceError, match=message):
        resonator().run(Trace(**(parts | change)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"drive": None}, "drive is None; expected a tensor or array of real numbers"),
        ({"drive": np.array([[object()]])}, "drive is an array of object; expected"),
        ({"drive": torch.zeros(0, 5, 1)}, r"drive has shape \(0, 5, 1\); expected"),
        ({"drive": 1j * torch.zeros(5, 1)}, "expected a dense tensor of real numbers"),
        ({"drive": torch.zeros(5, 1, device="meta")}, "expected a dense tensor of real numbers"),
        ({"state": "x"}, "state is a str; expected a tensor or array"),
        ({"state": 3.0}, "state has 1 values; expected 2"),
        ({"drive": torch.zeros(3, 5, 1), "state": torch.zeros(2, 2)}, r"state is a batch of shape \(2,\), drive one of \(3,\)"),
    ],
)
def test_drive_or_state_that_is_not_an_array_of_numbers_is_refused(arguments, message):
    with pytest.raises(TraceError, match=message):
        resonator().simulate(**{"drive": torch.zeros(5, 1), **arguments})


def test_settings_of_a_run_of_other_types_are_refused():
    for arguments, message in (
        ({"generator": 3}, "generator is 3; expected a torch.Generator"),
        ({"parameters": 3}, "parameters is an int; expected numbers by name"),
        ({"interpolation": "held"}, "interpolation is 'held'; expected kinds by the names of drives"),
    ):
        with pytest.raises(ConfigError, match=message):
            resonator().simulate(torch.zeros(5, 1), **arguments)


def test_drive_and_state_may_be_numpy_arrays():
    drive, state = np.linspace(0, 1, 8)[:, None], np.array([0.1, 0.2])
    expected = resonator().simulate(torch.from_numpy(drive), state=torch.from_numpy(state))
    assert torch.equal(resonator().simulate(drive, state=state), expected)


@pytest.mark.parametrize("trace", [None, 3, "recording.csv", torch.zeros(5, 1)])
def test_only_a_recording_can_be_run(trace):
    with pytest.raises(TraceError, match=r"trace is .*; expected one spinode.Trace"):
        resonator().run(trace)


@pytest.mark.parametrize(
    ("output", "drive"),
    [
        (torch.zeros(9, 1), torch.zeros(10, 1)),
        (torch.zeros(10), torch.zeros(10, 1)),
        (torch.full((10, 1), float("nan")), torch.zeros(10, 1)),
    ],
)
def test_samples_without_a_state_are_refused(output, drive):
    with pytest.raises(TraceError, match="expected finite samples of shape"):
        resonator().state_from(output, drive)


def test_too_few_samples_for_a_state_are_refused():
    with pytest.raises(TraceError, match="at least 8 are needed"):
        resonator().state_from(torch.zeros(5, 1), torch.zeros(5, 1))


def test_single_precision_agrees_with_double():
    double = small_surrogate(parameters=1)
    single = small_surrogate(parameters=1).float()
    drive = double.scales.drive_mean[0] + 1e3 * torch.sin(torch.arange(20.0))[:, None]
    constants = {"p0": float(double.scales.drive_mean[1])}
    runs = [device.simulate(drive, state=torch.zeros(2), parameters=constants) for device in (double, single)]
    assert runs[1].dtype == torch.float32
    assert torch.allclose(runs[0].float(), runs[1], atol=1e-4)


@pytest.mark.parametrize("kind", ["derivative", "delay"])
def test_drive_of_one_sample_gives_one_output(kind):
    device = small_surrogate(kind=kind)
    drive = device.scales.drive_mean.reshape(1, 1)
    assert device.simulate(drive, state=torch.zeros(2)).shape == (1, 1)


def test_description_names_ports_state_and_step():
    text = small_surrogate(drives=2, parameters=1, members=2).describe()
    for part in ("u0 [V], u1 [V]", "y0 [T]", "p0 [K]", "order 2, 2 values", "2e-12 s", "members:    2"):
        assert part in text


def test_surrogate_is_a_layer():
    """Calling it is `simulate` with all its settings, and hooks of `torch.nn.Module` run."""
    device = small_surrogate(drives=2, parameters=1)
    drive = device.scales.drive_mean[:2].expand(3, 20, 2)
    settings = {"state": torch.zeros(2), "parameters": device.scales.drive_mean[2:], "interpolation": {"u0": "held"}}
    expected = device.simulate(drive, **settings)
    calls = []
    device.register_forward_hook(lambda module, arguments, output: calls.append(output.shape))
    assert torch.equal(device(drive, **settings), expected)
    assert calls == [(3, 20, 1)]
    network = torch.nn.Sequential(resonator(), torch.nn.Linear(1, 3, dtype=torch.float64))
    voltage = torch.zeros(4, 10, 1, dtype=torch.float64, requires_grad=True)
    network(voltage).sum().backward()
    assert bool(voltage.grad[:, :-1].any())


def test_block_that_cannot_be_run_is_refused():
    with pytest.raises(TraceError, match="memory has 3 values; expected 5, 3 of the state and the last 2 drives"):
        small_surrogate(kind="delay", order=3).step_block(torch.zeros(1, 3), torch.zeros(4, 1))
    with pytest.raises(ConfigError, match=r"parameters \(p0\) cannot be run block by block"):
        small_surrogate(parameters=1).step_block(torch.zeros(1, 2), torch.zeros(4, 1))


def test_a_state_counts_for_all_members_without_a_drive() -> None:
    """Without a drive there is no feedthrough in which members could differ."""
    ensemble = small_surrogate(members=3, drives=0)
    state = 0.1 * torch.ones(ensemble.state_size, dtype=torch.float64)
    silent = torch.zeros(20, 0, dtype=torch.float64)
    given = ensemble.simulate(silent, state=state)
    each = ensemble.run_members(silent, torch.stack([state] * 3), None, None, "rk4", per_member=True)[0]
    torch.testing.assert_close(given, each.median(0).values)
