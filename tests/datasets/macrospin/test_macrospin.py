"""The macrospin: conservation laws, frequencies, decay, convergence orders, critical currents, thermal equilibrium."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import Tensor

from spinode.datasets import Macrospin
from spinode.datasets.macrospin.llg import (
    BOLTZMANN,
    ELEMENTARY_CHARGE,
    GAMMA0,
    HBAR,
    MU0,
    heun_step,
    landau_lifshitz,
    normalised,
    rk4_step,
    thermal_deviation,
)
from spinode.errors import ConfigError, SpinodeError

MS = 8e5
ZERO = (0.0, 0.0, 0.0)


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def time_axis(samples: int, step: float) -> Tensor:
    return torch.arange(samples, dtype=torch.float64) * step


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def magnet(**changes: Any) -> Macrospin:
    """Return a magnet without shape and crystalline anisotropy, unless `changes` set them."""
    return Macrospin(**{"Ms": MS, "Ku": 0.0, "alpha": 0.02, "demag": ZERO, **changes})


def frequency(signal: Tensor, step: float) -> float:
    """Return the frequency [Hz] from the mean distance of the interpolated upward zero crossings."""
    before, after = signal[:-1], signal[1:]
    at = ((before < 0) & (after >= 0)).nonzero().flatten()
    exact = at + before[at] / (before[at] - after[at])
    return float((len(exact) - 1) / (exact[-1] - exact[0]) / step)


def order(errors: list[float]) -> float:
    """Return the convergence order from errors at steps that are halved each time."""
    logs = np.log2(np.array(errors))
    return float(np.mean(logs[:-1] - logs[1:]))


# Deterministic dynamics


def test_length_is_conserved() -> None:
    device = magnet(Ku=4e5, demag=(0.0, 0.0, 1.0))
    m = device.simulate(time_axis(200, 1e-12), field=(1e5, 2e4, 0.0), current=3e11, m0=(0.3, 0.1, 0.9))
    assert torch.allclose(m.norm(dim=-1), torch.ones(200, dtype=torch.float64), rtol=0, atol=1e-14)


def test_length_drifts_with_the_order_of_the_scheme_unless_restored() -> None:
    alpha, field = tensor(0.0), tensor(0.0, 0.0, 2e5)

    def drift(scheme: Any, steps: int) -> float:
        m = tensor(1.0, 0.0, 0.0)
        for _ in range(steps):
            m = scheme(m, lambda m, _: landau_lifshitz(m, field, alpha), 8e-11 / steps)
        return abs(float(m.norm()) - 1)

    # A rotation by w in a step changes |m|^2 by 1 - w^6 / 72 (RK4) or 1 + w^4 / 4 (Heun); over a fixed time the order is
    # lower by one.
    assert order([drift(rk4_step, n) for n in (20, 40, 80)]) == pytest.approx(5, abs=0.1)
    assert order([drift(heun_step, n) for n in (80, 160, 320)]) == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("alpha", [0.0, 0.01, 0.3])
def test_precession_about_a_field(alpha: float) -> None:
    field = 2e5
    m = magnet(alpha=alpha).simulate(time_axis(1500, 1e-12), field=(0, 0, field), m0=(1.0, 0.0, 0.5))
    expected = GAMMA0 * field / (1 + alpha**2) / (2 * math.pi)
    assert frequency(m[:, 0], 1e-12) == pytest.approx(expected, rel=1e-4)
    # Precession is counter-clockwise about the field: from +x towards +y.
    assert float(m[1, 1]) > 0


@pytest.mark.parametrize("Ku", [0.0, 2e5])
def test_kittel_frequency_in_the_plane(Ku: float) -> None:
    # omega^2 = gamma0^2 H (H + Ms - H_K) for a film magnetised in its plane by a field H, easy axis out of the plane.
    field, step = 3e5, 5e-13
    device = magnet(alpha=0.0, Ku=Ku, demag=(0.0, 0.0, 1.0))
    m = device.simulate(time_axis(2000, step), field=(field, 0, 0), m0=(1.0, 1e-3, 0.0))
    expected = GAMMA0 / (2 * math.pi) * math.sqrt(field * (field + MS - 2 * Ku / (MU0 * MS)))
    assert frequency(m[:, 1], step) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("alpha", [0.02, 0.5])
def test_damped_relaxation_in_a_field(alpha: float) -> None:
    # Exact: tan(theta / 2) decays at gamma0 alpha H / (1 + alpha^2), from any angle.
    field, theta, time = 2e5, 3.0, time_axis(400, 1e-12)
    m = magnet(alpha=alpha).simulate(time, field=(0, 0, field), m0=(math.sin(theta), 0.0, math.cos(theta)))
    decay = torch.exp(-GAMMA0 * alpha * field / (1 + alpha**2) * time)
    exact = torch.cos(2 * torch.atan(math.tan(theta / 2) * decay))
    assert torch.allclose(m[:, 2], exact, rtol=0, atol=1e-7)


def test_runge_kutta_converges_with_order_four_under_time_varying_drives() -> None:
    device = magnet(Ku=4e5, demag=(0.0, 0.0, 1.0), polariser=(0.0, 1.0, 1.0), asymmetry=1.5, field_like=0.3)
    drives: dict[str, Any] = {
        "Ku": tensor(4e5, 5e5, 3.5e5),
        "field": torch.stack([tensor(1e5, 0, 0), tensor(1e5, 5e4, 0), tensor(0, 5e4, 5e4)]),
        "current": tensor(0.0, 1e12, -5e11),
    }
    time = tensor(0.0, 1.5e-11, 4e-11)  # unequal steps on purpose
    ends = [device.simulate(time, m0=(1.0, 0.2, 0.8), max_step=1e-12 / 2**n, **drives)[-1] for n in range(3)]
    exact = device.simulate(time, m0=(1.0, 0.2, 0.8), max_step=1e-12 / 16, **drives)[-1]
    assert order([float((end - exact).norm()) for end in ends]) == pytest.approx(4, abs=0.25)


def test_damping_decreases_the_energy() -> None:
    device = magnet(Ku=4e5, alpha=0.05, demag=(0.0, 0.1, 0.9))
    field = tensor(5e4, 0.0, -2e4)
    m = device.simulate(time_axis(500, 1e-12), field=field, m0=(0.1, 0.2, 1.0))
    shape = MU0 * MS**2 / 2 * (0.1 * m[:, 1] ** 2 + 0.9 * m[:, 2] ** 2)
    energy = -MU0 * MS * (m @ field) - 4e5 * m[:, 2] ** 2 + shape
    assert bool((torch.diff(energy) < 0).all())


# Spin torque


def critical_current(stiffness: float) -> float:
    """Return J_c [A/m2] = 2 e alpha mu0 Ms d H / (hbar P) for alpha 0.02, d 1 nm, P 0.5; H: mean of both stiffness fields."""
    return 2 * ELEMENTARY_CHARGE * 0.02 * MU0 * MS * 1e-9 * stiffness / (HBAR * 0.5)


PERPENDICULAR = magnet(Ku=6e5, demag=(0.0, 0.0, 1.0))
STIFFNESS = 2 * 6e5 / (MU0 * MS) - MS


@pytest.mark.parametrize("in_plane", [False, True])
def test_critical_current(in_plane: bool) -> None:
    # Liouville: the area spanned by two small tilts grows at twice the rate of either, without oscillation, and the rate
    # gamma' (alpha H + a_J) is linear in J. In the plane the stiffness fields are H and H + Ms; their mean enters.
    axis = (1.0, 0.0, 0.0) if in_plane else (0.0, 0.0, 1.0)
    device = magnet(demag=(0.0, 0.0, 1.0), polariser=axis) if in_plane else PERPENDICULAR
    field = (5e4, 0.0, 0.0) if in_plane else ZERO
    critical = critical_current(5e4 + MS / 2 if in_plane else STIFFNESS)
    current = -critical * torch.linspace(0.9, 1.1, 5, dtype=torch.float64)
    tilts = 1e-5 * torch.eye(3, dtype=torch.float64)[1:] if in_plane else 1e-5 * torch.eye(3, dtype=torch.float64)[:2]
    time = tensor(0.0, 1e-10)
    m = device.simulate(time, field=field, current=current[:, None, None], m0=tensor(*axis) + tilts, max_step=5e-13)
    area = torch.linalg.det(m[:, :, -1, 1:] if in_plane else m[:, :, -1, :2])
    growth = torch.log(area / 1e-10) / (2 * time[-1])
    slope, offset = np.polyfit(current.numpy(), growth.numpy(), 1)
    assert -offset / slope == pytest.approx(-critical, rel=1e-4)
    per_ampere = GAMMA0 / (1 + 0.02**2) * 0.25 * HBAR / (ELEMENTARY_CHARGE * MU0 * MS * 1e-9)
    assert slope == pytest.approx(-per_ampere, rel=1e-4)


def test_only_currents_above_the_critical_one_and_of_the_right_sign_switch() -> None:
    critical = critical_current(STIFFNESS)
    current = critical * tensor(-0.95, -1.5, 1.5)[:, None]
    m = PERPENDICULAR.simulate(tensor(0.0, 5e-9), current=current, m0=(0.05, 0.0, 1.0), max_step=2e-12)[:, -1, 2]
    assert m[0] > 0.99
    assert m[1] < -0.99
    assert m[2] > 0.99
    back = PERPENDICULAR.simulate(tensor(0.0, 5e-9), current=current, m0=(0.05, 0.0, -1.0), max_step=2e-12)[:, -1, 2]
    assert back[1] < -0.99
    assert back[2] > 0.99


def test_spin_torque_efficiency_depends_on_the_angle() -> None:
    # dm/dt at m with m.p = c is a_J(c) (p - c m) without damping: eps(c) = P L^2 / (L^2 + 1 + (L^2 - 1) c).
    device, c, big, step = magnet(alpha=0.0, polarisation=0.4, asymmetry=2.0), 0.6, 1e12, 1e-15
    m = device.simulate(tensor(0.0, step), current=big, m0=(0.8, 0.0, c))
    rate = (m[1] - m[0]) / step
    epsilon = 0.4 * 4 / (5 + 3 * c)
    expected = GAMMA0 * epsilon * HBAR * big / (ELEMENTARY_CHARGE * MU0 * MS * 1e-9) * (tensor(0, 0, 1) - c * m[0])
    assert torch.allclose(rate, expected, rtol=1e-3, atol=1e-3 * float(expected.norm()))


def test_field_like_torque_is_a_field_along_the_polariser() -> None:
    scale = 0.25 * HBAR / (ELEMENTARY_CHARGE * MU0 * MS * 1e-9)
    time, m0 = time_axis(200, 1e-12), (1.0, 0.0, 0.1)
    both = magnet(field_like=1e6).simulate(time, current=1e4, m0=m0, max_step=5e-13)
    field = magnet().simulate(time, field=(0, 0, 1e6 * scale * 1e4), m0=m0, max_step=5e-13)
    assert torch.allclose(both, field, rtol=0, atol=1e-5)


# Temperature


def thermal_rate(device: Macrospin, temperature: float) -> float:
    """Return the decay rate of <m> in free diffusion on the sphere: 2 gamma0 alpha kB T / ((1 + alpha^2) mu0 Ms V)."""
    alpha, volume = float(device.alpha), float(device.area) * float(device.thickness)  # type: ignore[arg-type]
    return 2 * GAMMA0 * alpha * BOLTZMANN * temperature / ((1 + alpha**2) * MU0 * MS * volume)


@pytest.mark.parametrize("alpha", [0.05, 1.0])
def test_free_diffusion_decays_at_browns_rate(alpha: float) -> None:
    # An Ito scheme, another prefactor, or gamma in place of gamma0 would fail here.
    devices = 20_000
    device = magnet(alpha=alpha, temperature=300.0, area=1e-16)
    duration = 0.7 / thermal_rate(device, 300.0)
    m0 = tensor(0.0, 0.0, 1.0).expand(devices, 3)
    m = device.simulate(tensor(0.0, duration), m0=m0, generator=generator(1), max_step=duration / 100)
    expected = math.exp(-0.7)
    # <mz^2> = (1 + 2 exp(-3 rate t)) / 3 gives the exact standard error; four of them have a false alarm rate of 6e-5.
    error = math.sqrt(((1 + 2 * math.exp(-2.1)) / 3 - expected**2) / devices)
    assert float(m[:, -1, 2].mean()) == pytest.approx(expected, abs=4 * error)
    assert float(m[:, -1, 0].mean()) == pytest.approx(0.0, abs=4 / math.sqrt(2 * devices))


def boltzmann(barrier: float, tilt: float, values: Tensor) -> np.ndarray[Any, Any]:
    """Return the cumulative distribution of mz under exp(barrier mz^2 + tilt mz)."""
    grid = np.linspace(-1, 1, 4001)
    below = integrate.cumulative_trapezoid(np.exp(barrier * grid**2 + tilt * grid), grid, initial=0)
    return np.asarray(np.interp(values.numpy(), grid, below / below[-1]))


@pytest.mark.parametrize(("current", "seed"), [(None, 0), (5e9, 1)])
def test_equilibrium_is_the_boltzmann_distribution(current: float | None, seed: int) -> None:
    # Energy -Ku V mz^2 - mu0 Ms V H mz. With p = z a current acts as the field a_J / alpha, an equilibrium as well.
    devices, temperature, alpha, volume = 2000, 300.0, 0.5, 1e-24
    unit = BOLTZMANN * temperature / volume
    device = magnet(Ku=1.5 * unit, alpha=alpha, temperature=temperature, area=volume / 1e-9)
    field = 0.4 * unit / (MU0 * MS)
    spin = 0.25 * HBAR * (current or 0.0) / (ELEMENTARY_CHARGE * MU0 * MS * 1e-9)
    tilt = MU0 * MS * (field + spin / alpha) / unit
    m0 = normalised(torch.randn(devices, 3, generator=generator(seed + 10), dtype=torch.float64))
    duration = 12 / thermal_rate(device, temperature)
    m = device.simulate(
        tensor(0.0, duration),
        field=(0, 0, field),
        current=current,
        m0=m0,
        generator=generator(seed),
        max_step=duration / 1200,
    )[:, -1, 2]
    # One value per independent device, so no autocorrelation. False alarm rate: 1e-3.
    assert stats.kstest(boltzmann(1.5, tilt, m), "uniform").pvalue > 1e-3
    # The same sample is rejected without the tilt and at another temperature.
    assert stats.kstest(boltzmann(1.5, 0.0, m), "uniform").pvalue < 1e-6
    assert stats.kstest(boltzmann(1.5 * 0.7, tilt * 0.7, m), "uniform").pvalue < 1e-3


def heun_path(noise: Tensor, deviation: float, step: float, field: Tensor, alpha: Tensor) -> Tensor:
    """Return the end of a path with standard normal `noise` (steps, devices, 3)."""
    m = normalised(tensor(1.0, 0.0, 1.0)).expand(noise.shape[1], 3)
    for draw in noise:

        def rate(m: Tensor, _: float, total: Tensor = field + deviation * draw) -> Tensor:
            return landau_lifshitz(m, total, alpha)

        m = normalised(heun_step(m, rate, step))
    return m


def heun_errors(components: int) -> list[float]:
    """Return strong errors at decreasing steps along the same Brownian paths."""
    steps, duration = 512, 1e-10
    alpha, field = tensor(0.5), tensor(2e4, 0.0, 5e4)
    draws = torch.randn(steps, 400, 3, generator=generator(3), dtype=torch.float64)
    draws[..., : 3 - components] = 0.0

    def end(every: int) -> Tensor:
        # The sum of standard normal draws over `every` steps, scaled to unit variance.
        coarse = draws.reshape(steps // every, every, 400, 3).sum(1) / math.sqrt(every)
        step = duration / steps * every
        deviation = float(thermal_deviation(alpha, tensor(300.0), tensor(MS * 2e-25), step))
        return heun_path(coarse, deviation, step, field, alpha)

    exact = end(1)
    return [float((end(every) - exact).norm(dim=-1).mean()) for every in (16, 8, 4)]


def test_heun_converges_strongly_to_the_stratonovich_solution() -> None:
    # Strong order 1 for noise of one component, whose vector field commutes with itself; 1/2 in general.
    # Both measured orders are slightly high, since the reference has a finite step.
    assert order(heun_errors(1)) == pytest.approx(1.1, abs=0.15)
    assert order(heun_errors(3)) == pytest.approx(0.58, abs=0.1)


@pytest.mark.parametrize("restored", [False, True])
def test_heun_has_weak_order_one(restored: bool) -> None:
    # The mean of one step of free diffusion, by quadrature over the three Gaussian draws instead of by sampling,
    # compared with exp(-rate h): a local error of second order. An Ito scheme that does not restore the length has first order.
    device = magnet(alpha=0.3, temperature=300.0, area=1e-16)
    rate = thermal_rate(device, 300.0)
    nodes, weights = (torch.from_numpy(each) for each in np.polynomial.hermite_e.hermegauss(12))
    draws = torch.cartesian_prod(nodes, nodes, nodes)
    weight = torch.cartesian_prod(weights, weights, weights).prod(-1) / (2 * math.pi) ** 1.5
    alpha, moment = tensor(0.3), tensor(MS * 1e-25)

    def error(step: float) -> float:
        field = float(thermal_deviation(alpha, tensor(300.0), moment, step)) * draws
        m = heun_step(tensor(0.0, 0.0, 1.0).expand_as(field), lambda m, _: landau_lifshitz(m, field, alpha), step)
        mean = float(weight @ (normalised(m) if restored else m)[:, 2])
        return abs(mean - math.exp(-rate * step))

    assert order([error(0.04 / 2**n / rate) for n in range(4)]) == pytest.approx(2, abs=0.15)


def test_heun_has_order_two_without_noise() -> None:
    alpha, field = tensor(0.1), tensor(2e5, 0.0, 1e5)
    ends = [heun_path(torch.zeros(n, 1, 3, dtype=torch.float64), 0.0, 1e-10 / n, field, alpha) for n in (50, 100, 200)]
    exact = heun_path(torch.zeros(6400, 1, 3, dtype=torch.float64), 0.0, 1e-10 / 6400, field, alpha)
    assert order([float((end - exact).norm()) for end in ends]) == pytest.approx(2, abs=0.1)


def test_seed_determines_the_run() -> None:
    device = magnet(temperature=300.0, area=1e-15)
    runs = [device.simulate(time_axis(20, 1e-12), m0=(1, 0, 1), generator=generator(seed)) for seed in (5, 5, 6)]
    assert torch.equal(runs[0], runs[1])
    assert not torch.allclose(runs[0], runs[2])


# Populations and drives


def test_batch_equals_a_loop_over_devices() -> None:
    time = time_axis(30, 2e-12)
    parts = torch.rand(3, 8, generator=generator(), dtype=torch.float64)
    Ku = 4e5 + 1e5 * torch.rand(3, 30, generator=generator(1), dtype=torch.float64)
    device = Macrospin(Ms=7e5 + 1e5 * parts[:, 0], Ku=4e5, alpha=0.1 * parts[:, 1], thickness=1e-9 + 1e-9 * parts[:, 2])
    fields = 1e5 * parts[:, None, 3:6]  # (devices, constant in time, components)
    m = device.simulate(time, Ku=Ku, field=fields, current=2e11, m0=parts[:, 4:7])
    assert m.shape == (3, 30, 3)
    for i, row in enumerate(parts):
        a, b, c = row[:3].tolist()
        one = Macrospin(Ms=7e5 + 1e5 * a, Ku=4e5, alpha=0.1 * b, thickness=1e-9 + 1e-9 * c)
        alone = one.simulate(time, Ku=Ku[i], field=fields[i, 0], current=2e11, m0=row[4:7])
        assert torch.allclose(m[i], alone, rtol=0, atol=1e-12)


def test_parameters_drives_and_states_broadcast() -> None:
    device = Macrospin(Ms=MS, Ku=tensor(4e5, 5e5), alpha=0.05)
    m = device.simulate(time_axis(4, 1e-12), field=torch.full((5, 1, 4, 3), 1e4), m0=(1, 0, 1))
    assert m.shape == (5, 2, 4, 3)


@pytest.mark.parametrize("interpolation", ["held", "linear"])
def test_drives_between_samples(interpolation: str) -> None:
    # The same drive, sampled on the grid of the integrator's steps.
    device, fine = magnet(demag=(0.0, 0.0, 1.0), Ku=4e5), time_axis(81, 5e-13)
    coarse = fine[::20]
    samples = tensor(4e5, 6e5, 5e5, 3e5, 4e5)
    index = torch.arange(81) / 20
    if interpolation == "held":
        fine_drive = samples[index.floor().long()]
    else:
        fine_drive = torch.from_numpy(np.interp(fine.numpy(), coarse.numpy(), samples.numpy()))
    arguments: dict[str, Any] = {"field": (1e5, 0, 0), "m0": (1, 0, 1), "interpolation": interpolation}
    m = device.simulate(coarse, Ku=samples, **arguments)
    expected = device.simulate(fine, Ku=fine_drive, **arguments)[::20]
    assert torch.allclose(m, expected, rtol=0, atol=1e-12)


def test_sample_times_may_be_irregular() -> None:
    time = tensor(0.0, 1e-12, 7.3e-12, 8e-12, 40e-12)
    device = magnet()
    m = device.simulate(time, field=(0, 0, 2e5), m0=(1, 0, 0))
    phase = torch.atan2(m[:, 1], m[:, 0])
    assert torch.allclose(phase, GAMMA0 * 2e5 / (1 + 0.02**2) * time, rtol=1e-5)


def test_gradients_reach_drives_parameters_and_initial_state() -> None:
    time = tensor(0.0, 1e-12, 2e-12)

    def end(Ku: Tensor, alpha: Tensor, m0: Tensor) -> Tensor:
        device = magnet(alpha=alpha, demag=(0.0, 0.0, 1.0))
        return device.simulate(time, Ku=Ku * 1e5, field=(1e5, 0, 0), m0=m0, max_step=1e-12)

    inputs = (tensor(4.0, 5.0, 6.0), tensor(0.1).squeeze(), tensor(0.5, 0.1, 0.7))
    assert torch.autograd.gradcheck(end, tuple(each.requires_grad_() for each in inputs))


# Traces


def test_trace_records_drives_outputs_and_units() -> None:
    device = magnet()
    time = np.linspace(0, 1e-11, 6)
    time.setflags(write=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trace = device.trace(time, Ku=np.full(6, 2e5), field=(1e5, 0, 5e4), current=1e9, output=("mz", "mx"))
    assert list(trace.drive) == ["Ku", "Hx", "Hy", "Hz", "J"]
    assert list(trace.output) == ["mz", "mx"]
    assert trace.units["Ku"] == "J/m3"
    assert trace.units["Hx"] == "A/m"
    assert trace.units["J"] == "A/m2"
    assert trace.units["mz"] == ""
    assert trace.interpolation["Ku"] == "linear"
    assert trace.drive["Hz"].tolist() == [5e4] * 6
    assert trace.provenance["device"]["Ms"] == MS
    m = device.simulate(time, Ku=2e5, field=(1e5, 0, 5e4), current=1e9)
    assert np.array_equal(trace.output["mz"], m[:, 2].numpy())


# Errors


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Ms": 0.0}, "Ms is 0; expected a value above 0"),
        ({"alpha": -0.1}, r"alpha is -0\.1; expected a value of at least 0"),
        ({"polarisation": 1.5}, r"polarisation is 1\.5; expected a value from -1 to 1"),
        ({"Ku": math.nan}, "Ku contains NaN"),
        ({"Ku": "high"}, "Ku contains a value that is not a number"),
        ({"thickness": tensor(1e-9, -1e-9)}, "thickness is -1e-09; expected a value above 0"),
        ({"temperature": -1.0}, "temperature is -1; expected a value of at least 0"),
        ({"easy_axis": ZERO}, "easy_axis has length zero"),
        ({"polariser": (1.0, 0.0)}, r"polariser has shape \(2,\); expected"),
        ({"demag": (0.5, 0.5, 0.5)}, "sum is at most 1"),
    ],
)
def test_invalid_parameters_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        magnet(**changes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"time": [0.0]}, "at least 2 sample times"),
        ({"time": [0.0, 1e-12, 1e-12]}, "time does not increase after sample 1"),
        ({"Ku": [1e5, 1e5]}, r"Ku has shape \(2,\); expected \(\.\.\., 3\)"),
        ({"field": np.zeros((3, 2))}, r"field has shape \(3, 2\); expected \(\.\.\., 3, 3\)"),
        ({"current": [0.0, math.inf, 0.0]}, "current contains NaN or infinite"),
        ({"m0": ZERO}, "m0 has length zero"),
        ({"interpolation": "spline"}, "interpolation is 'spline'"),
        ({"max_step": 0.0}, r"max_step is 0\.0"),
        ({"field": (1e7, 0, 0)}, r"m may turn by 1\.11 rad in a step of 5e-13 s; .* Pass max_step=1e-13"),
        ({"Ku": np.zeros((2, 3)), "field": np.zeros((4, 3, 3))}, r"device shapes \(2,\), \(4,\)"),
    ],
)
def test_invalid_arguments_of_simulate_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        magnet().simulate(**{"time": [0.0, 1e-12, 2e-12], **arguments})


def test_temperature_needs_a_generator() -> None:
    with pytest.raises(ConfigError, match=r"generator=torch\.Generator\(\)\.manual_seed"):
        magnet(temperature=300.0).simulate([0.0, 1e-12])


def test_trace_needs_one_device_and_known_components() -> None:
    with pytest.raises(ConfigError, match=r"devices of shape \(2,\); a trace records a single device"):
        magnet(alpha=tensor(0.1, 0.2)).trace([0.0, 1e-12])
    with pytest.raises(SpinodeError, match="expected one or more of 'mx', 'my', 'mz'"):
        magnet().trace([0.0, 1e-12], output=("m",))
