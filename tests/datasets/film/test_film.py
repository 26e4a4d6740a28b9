"""Films: energies and their derivatives, analytic textures, thermal equilibrium, comparison with other simulators."""

from __future__ import annotations

import itertools
import math
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from spinode import kernels
from spinode.datasets import (
    Film,
    Macrospin,
    disc,
    grained,
    read_trace,
    rectangle,
    simulate_with_magnum,
    skyrmion_device,
    skyrmions,
)
from spinode.datasets.film.stray import StrayField, _newell, _quadrature, demagnetising_tensor
from spinode.datasets.film.terms import Drives, pad, unpad
from spinode.errors import ConfigError, TraceWarning

MU0 = 4e-7 * math.pi
CELL = 1e-9


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_state(film, seed=0):
    m = torch.randn(*film.shape.shape, 3, generator=generator(seed), dtype=torch.float64)
    return m / m.norm(dim=-1, keepdim=True)


def small_film(**settings):
    return Film(**{"shape": disc(12e-9, cell=CELL), "D": 3.5e-3, "Ku": 8e5, **settings})


def grained_film(**settings):
    return grained(small_film(**settings), 4e-9, tilt=0.1, generator=generator())


# The stray field


def test_demagnetising_tensor_has_unit_trace_and_the_dipole_limit():
    tensor = demagnetising_tensor((30, 40), 2e-9, 1e-9)
    trace = tensor[:3].sum(0)
    assert trace[0, 0] == pytest.approx(1, abs=1e-12)
    assert np.abs(trace.ravel()[1:]).max() < 1e-11
    np.testing.assert_allclose(demagnetising_tensor((1, 1), 1e-9, 1e-9)[:, 0, 0], [1 / 3, 1 / 3, 1 / 3, 0], atol=1e-12)
    x, y = np.array([20.0, 15.0, 0.0]), np.array([3.0, 15.0, 25.0])
    for height in (0.3, 1.0, 2.0):
        near, far = _newell(x, y, height), _quadrature(x, y, height)
        np.testing.assert_allclose(near, far, rtol=1e-6, atol=1e-6 * np.abs(far).max())


def test_stray_field_by_fft_equals_the_sum_over_all_pairs():
    rows, columns, Ms = 5, 8, 3.0
    m = torch.randn(3, rows, columns, generator=generator(), dtype=torch.float64)
    xx, yy, zz, xy = demagnetising_tensor((rows, columns), 2e-9, 1e-9)
    expected = np.zeros((3, rows, columns))
    for i, j in np.ndindex(rows, columns):
        for k, n in np.ndindex(rows, columns):
            a, b = abs(i - k), abs(j - n)
            odd = xy[a, b] * np.sign(i - k) * np.sign(j - n)
            tensor = np.array([[xx[a, b], odd, 0], [odd, yy[a, b], 0], [0, 0, zz[a, b]]])
            expected[:, i, j] -= Ms * tensor @ m[:, k, n].numpy()
    np.testing.assert_allclose(StrayField((rows, columns), 2e-9, 1e-9, Ms)(m).numpy(), expected, atol=1e-13)


# The terms


def test_field_is_the_derivative_of_the_energy():
    film = grained_film()
    terms, stray, drives = film._terms(), film._stray_field(), Drives(anisotropy=1e5, dmi=2e-4, field=(1e4, 2e4, -3e4))
    m = pad(film._initial_state(random_state(film))).requires_grad_()
    stray_field = pad(stray(unpad(m, 12)))
    (gradient,) = torch.autograd.grad(terms.energy(m, drives, stray_field), m)
    field = terms.local_field(m.detach(), drives) + stray_field.detach()
    inside = pad(film.shape.to(torch.float64)) > 0
    torch.testing.assert_close(field[:, inside], -gradient[:, inside], rtol=1e-12, atol=1e-12 * float(field.abs().max()))


def test_compiled_steps_equal_those_in_torch():
    torques = {
        "polarisation": 0.5,
        "asymmetry": 1.5,
        "field_like": 0.2,
        "beta": 0.04,
        "polariser": (0.3, 0, 1),
        "temperature": 300.0,
    }
    film = grained_film(**torques)
    start, time = random_state(film), torch.tensor([0, 4e-13, 7e-13], dtype=torch.float64)
    drives = {"Ku": [8e5, 9e5, 7e5], "D": [3e-3, 3.5e-3, 3.2e-3], "field": [[0, 0, 0], [1e4, 2e4, 3e4], [0, 0, 0]]}
    drives |= {"current": [1e12, 0, 2e12], "flow": [[1e12, 0], [0, 2e12], [1e12, 1e12]]}
    if not kernels.info()["native"]:
        pytest.skip("the kernels were not built here")
    with kernels.use("native"):
        compiled = film.simulate(time, start, **drives, generator=generator())
    with kernels.use("torch"):
        plain = film.simulate(time, start, **drives, generator=generator())
    torch.testing.assert_close(compiled.m, plain.m, rtol=0, atol=2e-6)  # normal numbers agree in single precision
    cold = replace(film, temperature=0.0)
    with kernels.use("native"):
        compiled = cold.simulate(time, start, **drives)
    with kernels.use("torch"):
        plain = cold.simulate(time, start, **drives)
    torch.testing.assert_close(compiled.m, plain.m, rtol=0, atol=1e-10)
    torch.testing.assert_close(compiled.mean, plain.mean, rtol=0, atol=1e-11)


def test_energy_is_conserved_without_damping_and_decreases_with_it():
    film = grained_film(alpha=0.0, refresh=2e-14)
    start = film.relax(skyrmions(film.shape, [(0, 0)], cell=CELL, radius=3e-9, width=2e-9), tolerance=1.0)
    start = start + torch.tensor([0.3, 0, 0], dtype=torch.float64)
    start = start / start.norm(dim=-1, keepdim=True)
    time = torch.linspace(0, 2e-11, 11, dtype=torch.float64)
    undamped = film.simulate(time, start, observe=film.energy, max_step=5e-15).observed  # RK4 damps the fastest modes
    damped = replace(film, alpha=0.1).simulate(time, start, observe=film.energy).observed
    dissipated = damped[0] - damped[-1]
    assert dissipated > 0
    assert max(abs(energy - undamped[0]) for energy in undamped) < 1e-3 * dissipated
    assert all(after < before for before, after in itertools.pairwise(damped))


def test_extrapolated_stray_field_is_of_second_order():
    film = small_film(alpha=0.02)
    start = skyrmions(film.shape, [(0, 0)], cell=CELL, radius=3e-9, width=2e-9)
    time = torch.tensor([0, 1.6e-12], dtype=torch.float64)

    def final_state(refresh):
        return replace(film, refresh=refresh).simulate(time, start, max_step=5e-15, field=(0, 5e5, 0)).m

    exact = final_state(5e-15)
    errors = [float((final_state(each) - exact).norm()) for each in (8e-14, 4e-14, 2e-14)]
    assert errors[0] / errors[1] > 3
    assert errors[1] / errors[2] > 3


def test_steps_converge_with_fourth_order():
    film = Film(disc(12e-9, cell=CELL), Ms=1.0, A=2e-17, D=5e-9, Ku=1.0)  # Ms makes the stray field negligible
    start, time = random_state(film, 2), torch.tensor([0, 2e-13], dtype=torch.float64)

    def final_state(step):
        return film.simulate(time, start, max_step=step).m

    exact = final_state(2.5e-15)
    errors = [float((final_state(each) - exact).norm()) for each in (2e-14, 1e-14)]
    assert 12 < errors[0] / errors[1] < 20


# Exact results


def test_one_cell_behaves_as_a_macrospin():
    film = Film(
        rectangle(CELL, CELL, cell=CELL), Ku=3e5, alpha=0.05, polarisation=0.4, asymmetry=1.3, field_like=0.1, refresh=1e-14
    )
    magnet = Macrospin(
        Ms=580e3,
        Ku=3e5,
        alpha=0.05,
        demag=(1 / 3, 1 / 3, 1 / 3),
        thickness=1e-9,
        polarisation=0.4,
        asymmetry=1.3,
        field_like=0.1,
        polariser=(0, 0, 1),
    )
    time = torch.linspace(0, 3e-11, 4, dtype=torch.float64)
    drives = {"Ku": 3e5 + 1e5 * torch.sin(time * 3e10), "current": 1e11 * torch.cos(time * 2e10), "field": (2e5, 1e5, 0)}
    m0 = torch.tensor([0.6, 0, 0.8], dtype=torch.float64)
    expected = magnet.simulate(time, m0=m0, **drives, max_step=2e-14)
    mean = film.simulate(time, m0.expand(1, 1, 3), **drives, max_step=2e-14).mean
    torch.testing.assert_close(mean, expected, rtol=0, atol=1e-6)


def strip(**settings):
    return Film(rectangle(200e-9, CELL, cell=CELL), **{"Ms": 1e3, "Ku": 6e5, "A": 15e-12, **settings})


def test_edges_are_canted_according_to_the_boundary_condition_of_the_dmi():
    """sin(theta) at an edge is D / (2 sqrt(A K)), and the angle decays as in a domain wall.

    A row of cells has edges along both its sides as well, whose boundary condition adds D^2 / (2 A) to the anisotropy.
    """
    film = strip(D=2e-3)
    m = film.relax(film.uniform(), tolerance=1e-2)
    K = 6e5 + 2e-3**2 / (2 * 15e-12)
    width = math.sqrt(15e-12 / K)
    edge = math.asin(2e-3 / (2 * math.sqrt(15e-12 * K)))
    distance = (np.arange(20) + 0.5) * 1e-9
    expected = 2 * np.arctan(math.tan(edge / 2) * np.exp(-distance / width))
    angle = np.arcsin(m[0, -20:, 0].flip(0).abs().numpy())
    np.testing.assert_allclose(angle, expected, atol=0.01 * edge)
    assert m[0, -1, 0] * m[0, 0, 0] < 0  # both outward, or both inward


def test_wall_moves_with_the_electrons_at_velocity_u_for_beta_equal_to_alpha():
    film = strip(alpha=0.1, beta=0.1, polarisation=0.5, refresh=1e-12)
    width = math.sqrt(15e-12 / 6e5)
    x = (torch.arange(200, dtype=torch.float64) - 100) * 1e-9
    m0 = torch.stack([1 / torch.cosh(x / width), torch.zeros_like(x), torch.tanh(x / width)], -1)[None]
    J = 2e13
    u = 0.5 * 9.2740100783e-24 * J / (1.602176634e-19 * 1e3)
    time = torch.linspace(0, 20e-9 / u, 5, dtype=torch.float64)
    run = film.simulate(time, film.relax(m0, tolerance=1e-2), flow=(J, 0))
    # Each cell that the wall passes changes the sum of m_z by 2; m_z is 1 on the right: the sum grows as the wall moves left.
    moved = (run.mean[:, 2] - run.mean[0, 2]) * 200 / 2 * 1e-9
    # Central differences underestimate the gradient of a wall of five cells by (1 / 5)^2 / 6.
    np.testing.assert_allclose(moved.numpy(), (u * time).numpy() * (1 - 1 / 150), rtol=1e-3, atol=1e-12)


def test_thermal_field_leads_to_the_boltzmann_distribution():
    """Cells are nearly independent, with p(m) ~ exp(Ku V m_z^2 / kT); the mean of m_z^2 over 400 cells and several times."""
    volume, T = 1e-27, 300.0
    time = torch.arange(41, dtype=torch.float64) * 2e-12
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TraceWarning)
        film = Film(rectangle(20e-9, 20e-9, cell=CELL), Ms=2e5, A=1e-20, Ku=6e6, alpha=1.0, temperature=T, refresh=1e-13)
        run = film.simulate(time, film.uniform((0.7, 0, 0.7)), generator=generator(3), observe=lambda m: m[..., 2].square())
    a = 6e6 * volume / (1.380649e-23 * T)
    z = np.linspace(-1, 1, 20001)
    weight = np.exp(a * z**2)
    expected = (z**2 * weight).sum() / weight.sum()
    deviation = math.sqrt((z**4 * weight).sum() / weight.sum() - expected**2)
    samples = torch.stack(run.observed)[10:]
    # 400 cells and at least 10 of 31 independent times: 4 standard errors give a false alarm rate of 6e-5; the stray field
    # adds 1 %.
    assert abs(float(samples.mean()) - expected) < 4 * deviation / math.sqrt(4000) + 0.01 * expected


# Other simulators


def test_standard_problem_4():
    """500 x 125 x 3 nm of permalloy, field 1: means at rest and after 1 ns, from MuMax3's own test on this grid.

    m_y changes by 7e-3 per picosecond at that time, and simulators differ: MuMax3 0.126, magnum.np 0.137, this one 0.131.
    """
    cell = 500e-9 / 128
    film = Film(rectangle(500e-9, 125e-9, cell=cell), cell=cell, thickness=3e-9, Ms=8e5, A=13e-12, alpha=0.02, refresh=5e-13)
    rest = film.relax(film.uniform((1, 0.1, 0)), tolerance=1e-4)
    np.testing.assert_allclose(rest.mean((0, 1)).numpy(), [0.966967, 0.125273, 0], atol=1e-3)
    time = torch.linspace(0, 1e-9, 101, dtype=torch.float64)
    run = film.simulate(time, rest, field=(-24.6e-3 / MU0, 4.3e-3 / MU0, 0))
    np.testing.assert_allclose(run.mean[-1].numpy(), [-0.984612, 0.126041, 0.043271], atol=0.01)


@pytest.mark.long
def test_voltage_driven_skyrmion_of_mumax3(shared):
    trace = read_trace(shared / "data/spin_neural_ode/1skyrmion_voltage_table.txt", drive="Ku1.region100", output="mz")
    trace = trace.between(trace.time[0], trace.time[0] + 1e-9)
    Ku, mz = (next(iter(channels.values())) for channels in (trace.drive, trace.output))
    film = Film(disc(80e-9, cell=CELL), D=3.5e-3, Ku=8e5, refresh=4e-13)
    rest = film.relax(skyrmions(film.shape, [(0, 0)], cell=CELL, radius=25e-9, width=5e-9), Ku=float(Ku[0]))
    assert film.charge(rest) == pytest.approx(-0.93, abs=0.05)  # the canted rim carries the remainder
    simulated = film.simulate(trace.time, rest, Ku=Ku).mean[:, 2].numpy()
    assert np.sqrt(np.mean((simulated - mz) ** 2)) / mz.std() < 0.01


# Invalid arguments


def test_coarse_cells_cause_a_warning():
    with pytest.warns(TraceWarning, match=r"cells of 2 nm are larger than a fifth of the wall width.* = 1\.01 nm"):
        Film(disc(80e-9, cell=2e-9), cell=2e-9, D=3.5e-3, Ku=8e5)
    with pytest.warns(TraceWarning, match="larger than the exchange length"):
        Film(rectangle(100e-9, 100e-9, cell=10e-9), cell=10e-9, Ms=8e5, A=13e-12)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shape": torch.ones(12, 12)}, r"shape is a tensor of torch\.float32 .*expected \(rows, columns\) of bool"),
        ({"shape": torch.zeros(12, 12, dtype=torch.bool)}, "with at least one cell True"),
        ({"cell": 0}, r"cell is 0; expected a finite number above 0 \[m\]"),
        ({"Ms": math.nan}, "Ms is nan"),
        ({"alpha": -0.1}, r"alpha is -0\.1"),
        ({"Ku": torch.ones(2, 2)}, r"Ku has shape \(2, 2\); expected a number"),
        ({"D": math.inf}, "D contains NaN or infinite"),
        ({"easy_axis": (0, 0, 0)}, "easy_axis has length zero"),
        ({"polarisation": 2}, "polarisation is 2"),
        ({"refresh": 0.0}, r"refresh is 0\.0"),
    ],
)
def test_invalid_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        small_film(**settings)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"Ku": [8e5, 8e5, 8e5]}, r"Ku has shape \(3,\); expected \(\.\.\., 2\)"),
        ({"Ku": [8e5, math.nan]}, "Ku contains NaN"),
        ({"field": [1.0, 2.0]}, "field has shape"),
        ({"flow": [1.0, 2.0, 3.0]}, "flow has shape"),
        ({"max_step": 1e-12}, "are unstable on this grid"),
        ({"max_step": -1.0}, r"max_step is -1\.0"),
        ({"interpolation": "cubic"}, "interpolation is 'cubic'"),
    ],
)
def test_invalid_arguments_of_simulate_are_refused(arguments, message):
    film = small_film()
    with pytest.raises(ConfigError, match=message):
        film.simulate([0, 1e-12], film.uniform(), **arguments)


def test_one_skyrmion_at_rest_agrees_with_mumax3():
    film, rest = skyrmion_device(1)
    assert float(rest[film.shape][:, 2].mean()) == pytest.approx(0.76809, abs=1e-3)
    with pytest.raises(ConfigError, match="expected 1 or 4"):
        skyrmion_device(2)
    with pytest.raises(ConfigError, match="pass generator"):
        skyrmion_device(4)


def test_magnum_is_optional(monkeypatch):
    monkeypatch.setitem(sys.modules, "magnumnp", None)
    film = small_film()
    with pytest.raises(ConfigError, match=r"magnum\.np is not installed .* pip install 'spinode\[magnum\]'"):
        simulate_with_magnum(film, [0, 1e-12], film.uniform())
    with pytest.raises(ConfigError, match="Ku of each cell, which is not passed on"):
        simulate_with_magnum(grained_film(), [0, 1e-12], film.uniform())


def test_invalid_states_and_calls_are_refused():
    film = small_film()
    with pytest.raises(ConfigError, match="no generator is given"):
        small_film(temperature=300.0).simulate([0, 1e-12], film.uniform())
    with pytest.raises(ConfigError, match=r"m0 has shape \(2, 2, 3\)"):
        film.simulate([0, 1e-12], torch.ones(2, 2, 3))
    with pytest.raises(ConfigError, match="m0 is zero in a magnetic cell"):
        film.simulate([0, 1e-12], torch.zeros(12, 12, 3))
    with pytest.raises(ConfigError, match="output is"):
        film.trace([0, 1e-12], film.uniform(), output=("mx", "mass"))
    with pytest.raises(ConfigError, match="has not reached equilibrium"):
        film.relax(random_state(film), tolerance=1e-9, max_time=1e-12)
    with pytest.raises(ConfigError, match=r"cells of .* across"):
        disc(2e-9, cell=CELL)
    with pytest.raises(ConfigError, match="has values for each cell already"):
        grained(grained_film(), 4e-9, generator=generator())


def test_trace_stores_drives_units_and_the_device():
    film = grained_film()
    trace = film.trace([0, 1e-12, 2e-12], film.uniform(), Ku=[8e5, 9e5, 8e5], field=(0, 0, 1e4), output=("mx", "mz"))
    assert list(trace.drive) == ["Ku", "Hx", "Hy", "Hz"]
    assert list(trace.output) == ["mx", "mz"]
    assert trace.units["Ku"] == "J/m3"
    assert trace.provenance["device"]["Ku"]["deviation"] > 0
    np.testing.assert_array_equal(trace.drive["Hz"], [1e4] * 3)


def test_grains_follow_the_seed_and_have_the_requested_spread():
    film = Film(rectangle(100e-9, 100e-9, cell=CELL), D=3e-3, Ku=8e5)
    first, second = (grained(film, 5e-9, spread=0.2, generator=generator(1)) for _ in range(2))
    assert torch.equal(first.Ku, second.Ku)
    values = first.Ku.unique()
    assert 200 < len(values) < 600
    # 400 grains: the standard error of the relative deviation is 0.2 / sqrt(800) = 0.007; four of them, a false alarm of 6e-5.
    assert float(values.std() / 8e5) == pytest.approx(0.2, abs=0.03)
    assert not torch.equal(first.Ku / 8e5, first.D / 3e-3)


def test_numpy_scalars_are_accepted():
    film = small_film(alpha=np.float64(0.02), Ms=np.int64(580_000), Ku=np.float32(8e5))
    assert (film.alpha, film.Ms) == (0.02, 580e3)
    assert type(film.Ms) is type(film.alpha) is float
    assert disc(np.float64(12e-9), cell=np.float64(CELL)).shape == (12, 12)
