"""Free runs of an oscillator with an exact solution: known physics in SI units, and the initial state from a short run."""

import numpy as np
import pytest
import torch

from spinode import ConfigError, SIRate, Trace
from spinode.dynamics.field import ChainField, bind_physics
from spinode.dynamics.scales import Scales
from spinode.surrogates.neural_ode.domain import Domain
from spinode.surrogates.neural_ode.embedding import Embedding
from spinode.surrogates.neural_ode.free_run import estimate_initial_state, run_along
from spinode.surrogates.neural_ode.member import Member
from spinode.surrogates.neural_ode.ports import Ports
from spinode.surrogates.neural_ode.surrogate import Surrogate

OMEGA, STEP = 2 * np.pi * 1e9, 2e-11
ORIGIN = 3.0


def exact(time, phase=0.4):
    """y = 3 + cos(omega t + phase) [V], a free oscillation about an offset."""
    return ORIGIN + np.cos(OMEGA * time + phase)


def oscillator() -> Surrogate:
    """Return the exact oscillator as a surrogate: its rate is written in SI units, the scales are arbitrary."""
    f64 = {"dtype": torch.float64}
    scales = Scales(
        torch.tensor([2.0], **f64),
        torch.tensor([0.5], **f64),
        torch.tensor([[0.5], [0.07]], **f64),
        torch.tensor([1.0], **f64),
        torch.tensor([4.0], **f64),
    )
    physics = SIRate(lambda blocks, drive: -(OMEGA**2) * (blocks[..., 0, :] - ORIGIN) + 0.0 * drive)
    field = ChainField(physics, scales.ratios)
    bind_physics(field, scales, STEP)
    return Surrogate(
        ports=Ports(("u",), ("y",), interpolation={"u": "linear"}),
        embedding=Embedding("derivative", 2),
        interval=STEP,
        scales=scales,
        members=[Member(field, torch.zeros(1, 1, **f64))],
        domain=Domain(torch.zeros(1, 3, **f64), 1e9),
        noise=torch.zeros(1, **f64),
    )


def recording(count=400, noise=0.0, seed=0):
    time = 1e-9 + STEP * np.arange(count)
    output = exact(time) + noise * np.random.default_rng(seed).standard_normal(count)
    return Trace(time, {"u": np.ones(count)}, {"y": output}, interpolation={"u": "linear"})


def test_physics_in_si_reproduces_the_exact_oscillation():
    run = run_along(oscillator(), recording())
    # One Runge-Kutta step is off by (omega dt)^5 / 120 of the amplitude; 400 steps add up at most.
    assert float((run.output[:, 0] - torch.as_tensor(exact(recording().time))).abs().max()) < 400 * (OMEGA * STEP) ** 5 / 120


def test_physics_without_scales_is_refused():
    with pytest.raises(ConfigError, match="no scales yet"):
        SIRate(lambda blocks, drive: drive)(torch.zeros(1, 2), torch.zeros(1, 1))


def test_initial_state_of_a_noisy_recording_is_better_than_its_edge_derivative():
    surrogate, clean = oscillator(), recording()
    truth = torch.tensor([(exact(1e-9) - 2.0) / 0.5, -OMEGA * STEP * np.sin(OMEGA * 1e-9 + 0.4) / 0.07])
    surrogate.noise.fill_(0.05)
    from_edge, from_run = [], []
    for seed in range(20):
        noisy = recording(noise=0.05, seed=seed)
        drive, output = (torch.as_tensor(np.array(c))[:, None] for c in (noisy.drive["u"], noisy.output["y"]))
        from_edge.append(surrogate.state_from(output, drive, interpolation={"u": "linear"})[0].detach() - truth)
        from_run.append(estimate_initial_state(surrogate, noisy) - truth)
    assert float(torch.stack(from_run).square().mean()) < 0.5 * float(torch.stack(from_edge).square().mean())
    # Without noise the state is found to the accuracy of the integration.
    assert float((estimate_initial_state(surrogate, clean) - truth).abs().max()) < 1e-3
