"""The compiled free runs of latent modes against the plain-torch twin, and the twin against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from spinode.dynamics.integrate import adaptive_rollout
from spinode.errors import ConfigError
from spinode.kernels import native
from spinode.surrogates.neural_ode.latent.field import LatentField, integrator_coefficients
from spinode.surrogates.neural_ode.latent.layout import LatentLayout
from spinode.surrogates.neural_ode.latent.member import LatentMember
from spinode.surrogates.neural_ode.latent.rollout import Slopes, native_rollout, run_with_slopes, torch_rollout

needs_kernel = pytest.mark.skipif(not native.built, reason="the compiled kernels are not built")
LAYOUTS = [
    LatentLayout(modes=2, inputs=1, outputs=1, drives=1),
    LatentLayout(modes=3, inputs=2, outputs=2, drives=2, hidden=5, readout=3),
    LatentLayout(modes=1, inputs=2, outputs=1, drives=1, hidden=9, readout=1),
]


def weights(layout: LatentLayout, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    theta = 0.3 * torch.randn(layout.weights, generator=generator, dtype=torch.float64)
    places = layout.places()
    theta[places["log_decay"]] -= 3
    theta[places["frequency"]] += torch.linspace(0, 0.9, layout.modes, dtype=torch.float64)
    return theta


def drives(layout: LatentLayout, steps: int, lanes: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Return initial states, stages of three and settled drives."""
    generator = torch.Generator().manual_seed(1)
    state = torch.randn(lanes, layout.state, generator=generator, dtype=torch.float64)
    stages = torch.randn(lanes, steps, 3, layout.inputs, generator=generator, dtype=torch.float64)
    settled = torch.randn(lanes, steps + 1, layout.drives, generator=generator, dtype=torch.float64)
    return state, stages, settled


@needs_kernel
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("substeps", [1, 3])
def test_kernel_runs_as_the_twin(layout: LatentLayout, substeps: int) -> None:
    theta = weights(layout)
    state, stages, settled = drives(layout, 30, lanes=4)
    member = LatentMember(layout, theta, substeps=substeps)
    states = torch_rollout(member.field, state, stages)
    found, outputs = native_rollout(layout, theta, state, stages[..., ::2, :].contiguous(), settled, substeps=substeps)
    torch.testing.assert_close(found, states.detach(), rtol=1e-10, atol=1e-11)
    torch.testing.assert_close(outputs, member.read(states, settled).detach(), rtol=1e-10, atol=1e-11)


@needs_kernel
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("substeps", [1, 2])
def test_slopes_are_those_of_autograd(layout: LatentLayout, substeps: int) -> None:
    theta = weights(layout)
    (state,), (stages,), (settled,) = drives(layout, 12)

    def run(theta: Tensor, state: Tensor) -> Tensor:
        member = LatentMember(layout, theta, substeps=substeps)
        arrays = layout.split(theta)
        values = {f"field.{name}": arrays[name] for name in LatentField.NAMES}
        values |= {name: arrays[name] for name in LatentMember.NAMES}

        class Whole(torch.nn.Module):
            def forward(self) -> Tensor:
                states = torch_rollout(member.field, state, stages)
                return member.read(states, settled)

        whole = Whole()
        whole.member = member
        return torch.func.functional_call(whole, {f"member.{name}": value for name, value in values.items()}, ())

    expected = torch.cat(torch.func.jacrev(run, (0, 1))(theta, state), -1)
    slopes = Slopes.start(layout, state)
    pair = stages[:, ::2].contiguous()
    first = run_with_slopes(layout, theta, slopes, pair[:5].contiguous(), settled[:5].contiguous(), substeps=substeps)
    second = run_with_slopes(layout, theta, slopes, pair[5:].contiguous(), settled[5:12].contiguous(), substeps=substeps)
    assert first is not None
    assert second is not None
    torch.testing.assert_close(torch.cat([first[0], second[0]]), run(theta, state)[:12].detach(), rtol=1e-10, atol=1e-11)
    torch.testing.assert_close(torch.cat([first[1], second[1]]), expected[:12].detach(), rtol=1e-8, atol=1e-10)


@needs_kernel
def test_a_run_with_slopes_ends_at_the_limit_and_a_plain_run_is_clamped() -> None:
    layout = LAYOUTS[0]
    theta = weights(layout)
    theta[layout.places()["force"]] = 1e4
    state, stages, settled = drives(layout, 40)
    pair = stages[..., ::2, :].contiguous()
    assert run_with_slopes(layout, theta, Slopes.start(layout, state[0]), pair[0], settled[0, :40].contiguous()) is None
    states, _ = native_rollout(layout, theta, state, pair, settled)
    assert float(states.abs().max()) == 30.0


@needs_kernel
def test_kernel_refuses_what_does_not_fit() -> None:
    layout = LAYOUTS[0]
    state, stages, settled = drives(layout, 4)
    with pytest.raises(ConfigError, match="state"):
        native_rollout(layout, weights(layout), state[:, 1:], stages[..., ::2, :].contiguous(), settled)
    with pytest.raises(ConfigError, match="modes"):
        LatentLayout(modes=40, inputs=1, outputs=1, drives=1)


def test_linear_modes_are_exact() -> None:
    layout = LatentLayout(modes=1, inputs=1, outputs=1, drives=1)
    theta = layout.join({"log_decay": torch.tensor([math.log(0.1)]), "frequency": torch.tensor([1.3])})
    field = LatentField(layout, theta)
    start = torch.tensor([1.0, 0.0], dtype=torch.float64)
    run = torch_rollout(field, start, torch.zeros(20, 3, 1, dtype=torch.float64)).detach()
    z = torch.exp(torch.complex(torch.tensor(-0.1), torch.tensor(-1.3)).to(torch.complex128) * torch.arange(21))
    torch.testing.assert_close(run, torch.stack([z.real, z.imag], -1), rtol=0, atol=1e-6)


def test_steps_converge_with_second_order() -> None:
    layout = LAYOUTS[1]
    (state,), _, _ = drives(layout, 1)
    held = torch.tensor([0.4, -0.7], dtype=torch.float64).expand(6, 3, 2)
    exact = adaptive_rollout(LatentField(layout, weights(layout)), state, held, method="dopri5")[-1].detach()
    errors = [
        float((torch_rollout(LatentField(layout, weights(layout), substeps=n), state, held)[-1].detach() - exact).norm())
        for n in (8, 16)
    ]
    assert 3.2 < errors[0] / errors[1] < 4.8


def test_forces_do_no_work_of_their_own() -> None:
    layout = LAYOUTS[1]
    field = LatentField(layout, weights(layout))
    generator = torch.Generator().manual_seed(3)
    x, u = (torch.randn(50, size, generator=generator, dtype=torch.float64) for size in (layout.state, layout.inputs))
    scale = field.log_scale.exp().repeat(2)
    work = (field.gradient(x, u) * field.forces(x, u) / scale).sum(-1)
    torch.testing.assert_close(work.detach(), torch.zeros(50, dtype=torch.float64), rtol=0, atol=1e-12)
    assert not bool(field.forces(torch.zeros(layout.state, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)).any())


def test_coefficients_are_continuous_at_zero() -> None:
    small = torch.tensor([-40.0, math.log(0.69), math.log(0.71)], dtype=torch.float64)
    decay, gamma, beta = integrator_coefficients(small, torch.zeros(3, dtype=torch.float64), 1.0)
    z = -small.exp()
    torch.testing.assert_close(decay.real, z.exp())
    torch.testing.assert_close(gamma.real[1:], (z.expm1() / z)[1:], rtol=1e-13, atol=0)
    torch.testing.assert_close(beta.real[1:], ((z.expm1() - z) / z**2)[1:], rtol=1e-13, atol=0)
    assert float(gamma.real[0]) == 1.0
    assert float(beta.real[0]) == 0.5
