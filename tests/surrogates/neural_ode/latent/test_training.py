"""Training of latent modes: least squares against autograd, stages, and a device whose modes are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spinode.datasets import ManyModes, ramped_steps
from spinode.kernels import native
from spinode.surrogates.neural_ode.latent.amplitude import amplitude_stages
from spinode.surrogates.neural_ode.latent.layout import LatentLayout
from spinode.surrogates.neural_ode.latent.modal import linear_start, modes_of
from spinode.surrogates.neural_ode.latent.problem import Problem, Run, Unknowns, minimise
from spinode.surrogates.neural_ode.latent.rollout import native_rollout
from spinode.surrogates.neural_ode.latent.state_space import StateSpace
from spinode.surrogates.neural_ode.latent.training import Training

pytestmark = pytest.mark.skipif(not native.built, reason="the compiled kernels are not built")
INTERVAL = 5e-12


def steps(samples: int, seed: int, inputs: int = 1) -> torch.Tensor:
    """Return held random levels, shape (samples, inputs)."""
    generator = torch.Generator().manual_seed(seed)
    levels = 2 * torch.rand(-(-samples // 7), inputs, generator=generator, dtype=torch.float64) - 1
    return levels.repeat_interleave(7, 0)[:samples]


def run_of(layout: LatentLayout, theta: torch.Tensor, start: torch.Tensor, u: torch.Tensor) -> Run:
    """Return the recording of a model under a held drive."""
    stages = torch.stack([u, u], 1).contiguous()
    settled = torch.cat([u[:1], u[:-1]])[:, : layout.drives].contiguous()
    _, outputs = native_rollout(layout, theta, start[None], stages[None, :-1], settled[None])
    return Run(stages, settled, outputs[0], torch.ones_like(outputs[0]))


def model(layout: LatentLayout, seed: int = 0) -> torch.Tensor:
    """Return weights of slowly decaying modes with weak forces."""
    generator = torch.Generator().manual_seed(seed)
    arrays = layout.split(0.1 * torch.randn(layout.weights, generator=generator, dtype=torch.float64))
    arrays["log_decay"] = arrays["log_decay"] - 3.5
    arrays["frequency"] = torch.linspace(0.4, 1.1, layout.modes, dtype=torch.float64)
    arrays["read_matrix"] = arrays["read_matrix"] + 0.5
    return layout.join(arrays)


def test_equations_are_those_of_the_cost() -> None:
    layout = LatentLayout(modes=2, inputs=2, outputs=2, drives=1, hidden=3, readout=2)
    theta = model(layout)
    starts = 0.1 * torch.ones(2, layout.state, dtype=torch.float64)
    runs = [
        run_of(layout, model(layout, 7), starts[0], steps(60, 1, 2)),
        run_of(layout, model(layout, 7), starts[1], steps(40, 2, 2)),
    ]
    problem = Problem(layout, runs, 1, torch.full((layout.weights + 2 * layout.state,), 1e-2, dtype=torch.float64))
    unknowns = Unknowns(theta, starts)
    found = problem.equations(unknowns)
    assert found is not None
    direction = torch.randn(len(found[1]), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    h = 1e-5
    slope = (problem.cost(unknowns.moved(h * direction)) - problem.cost(unknowns.moved(-h * direction))) / (2 * h)
    assert abs(slope - 2 * float(found[1] @ direction)) < 1e-6 * abs(slope)
    assert float(torch.linalg.eigvalsh(found[0]).min()) > 0


def test_units_of_the_modes_do_not_change_the_model() -> None:
    layout = LatentLayout(modes=2, inputs=1, outputs=1, drives=1, hidden=3, readout=2)
    unknowns = Unknowns(model(layout), 0.2 * torch.ones(1, layout.state, dtype=torch.float64))
    other = unknowns.rescaled(layout, torch.tensor([2.0, 0.3], dtype=torch.float64))
    u = steps(80, 4)
    one, two = (run_of(layout, each.theta, each.starts[0], u).outputs for each in (unknowns, other))
    torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-11)


def test_minimisation_recovers_a_model_of_the_same_kind() -> None:
    layout = LatentLayout(modes=2, inputs=1, outputs=1, drives=1)
    truth = model(layout)
    start = torch.zeros(1, layout.state, dtype=torch.float64)
    run = run_of(layout, truth, start[0], steps(400, 5))
    problem = Problem(layout, [run], 1, torch.full((layout.weights + layout.state,), 1e-12, dtype=torch.float64))
    moved = truth + 0.02 * torch.randn(len(truth), generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    active = torch.ones(layout.weights + layout.state, dtype=torch.bool)
    result = minimise(problem, Unknowns(moved, start), active, iterations=40, tolerance=1e-6)
    assert result.cost < 1e-6 * problem.cost(Unknowns(moved, start))


def test_modal_start_is_the_linear_model() -> None:
    """A real pole, two complex pairs, two inputs and two outputs: nothing is lost on the way."""
    rng = np.random.default_rng(0)
    blocks = [0.97 * np.array([[np.cos(w), np.sin(w)], [-np.sin(w), np.cos(w)]]) for w in (0.4, 0.9)]
    a = np.zeros((5, 5))
    a[:2, :2], a[2:4, 2:4], a[4, 4] = *blocks, 0.8
    linear = StateSpace(a, rng.normal(size=(5, 2)), rng.normal(size=(2, 5)), np.zeros((2, 2)), np.zeros(2), np.zeros(2))
    u = steps(300, 8, 2)
    y = torch.as_tensor(linear.simulate(u.numpy(), rng.normal(size=5)))
    run = Run(torch.stack([u, u], 1).contiguous(), torch.cat([u[:1], u[:-1]]), y, torch.ones_like(y))
    modes = modes_of(linear)
    assert sorted(modes.frequency.round(6).tolist()) == [0.0, 0.4, 0.9]
    layout = LatentLayout(modes=3, inputs=2, outputs=2, drives=2)
    unknowns, error = linear_start(layout, modes, [run], 1)
    assert error < 1e-8
    again = run_of(layout, unknowns.theta, unknowns.starts[0], u).outputs
    torch.testing.assert_close(again, y, rtol=0, atol=1e-7)
    fewer, worse = linear_start(LatentLayout(modes=2, inputs=2, outputs=2, drives=2), modes, [run], 1)
    assert worse > 0.01
    assert fewer.starts.shape == (1, 4)


def test_amplitude_stages() -> None:
    generator = torch.Generator().manual_seed(0)
    ramp = ramped_steps(-1, 1, duration=30e-9, interval=INTERVAL, hold=(2e-11, 1e-10), generator=generator).numpy()[:, None]
    assert amplitude_stages([ramp]) == [[1000], [2000], [6000]]
    assert amplitude_stages([ramp[2000:]]) == [[4000]]
    # Recordings of their own amplitude, in any order.
    parts = [ramp[2000:], ramp[:1000], ramp[1000:2000]]
    assert amplitude_stages(parts) == [[0, 1000, 0], [0, 1000, 1000], [4000, 1000, 1000]]


def test_modes_of_a_device_are_found_and_its_motion_is_fitted() -> None:
    device = ManyModes(modes=2, lowest=8e9, highest=12e9, force=0.03)
    generator = torch.Generator().manual_seed(0)
    drive = ramped_steps(-0.6, 0.6, duration=12e-9, interval=INTERVAL, hold=(2e-11, 1e-10), generator=generator)
    trace = device.simulate(drive, INTERVAL)
    y = torch.tensor(trace.output["y"])[:, None]
    u = drive[:, None] / drive.std()
    run = Run(torch.stack([u, u], 1).contiguous(), torch.cat([u[:1], u[:-1]]), y / y.std(), torch.ones_like(y))
    lines: list[str] = []
    trained = Training([run], [2160], hidden=6, iterations=5, progress=lines.append).run()
    assert trained.layout.modes == 2
    frequencies = trained.unknowns.theta[trained.layout.places()["frequency"]] / (2 * np.pi * INTERVAL)
    torch.testing.assert_close(frequencies.sort().values, torch.tensor([8e9, 12e9], dtype=torch.float64), rtol=0.01, atol=0)
    assert trained.error < 0.03 < trained.linear_error
    assert any("network" in line for line in lines)
