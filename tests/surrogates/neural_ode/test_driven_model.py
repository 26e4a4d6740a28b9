"""Runs in blocks: batches, gradients, the mask of the domain, and the causality of a delay embedding that stays behind."""

from __future__ import annotations

import pytest
import torch

from spinode.surrogates.neural_ode import driven_model
from spinode.surrogates.testing import small_surrogate

KINDS = [("derivative", 3), ("delay", 1), ("delay", 2), ("delay", 5)]
parametrize = pytest.mark.parametrize(("kind", "order"), KINDS)


def device_and_drive(kind, order, steps=13, batch=(), amplitude=0.3, **sizes):
    device = small_surrogate(kind=kind, order=order, **{"drives": 2, "outputs": 2, **sizes})
    noise = torch.randn(*batch, steps, len(device.drives), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    noise[..., 0, :] *= 0.1  # a run begins at rest, well within the domain
    return device, device.scales.drive_mean + amplitude * device.scales.drive_scale * noise


def run_in_blocks(device, drive, sizes):
    memory, responses = device.initial_state(drive[..., 0, :]), []
    for block in drive.split(sizes, -2):
        responses.append(device.step_block(memory, block))
        memory = responses[-1].memory
    outputs = torch.cat([response.output for response in responses], -2)
    return outputs, torch.cat([response.outside for response in responses], -1), memory


@parametrize
@pytest.mark.parametrize("sizes", [1, [1, 1, 7, 4], [12, 1]])
def test_the_size_of_the_blocks_does_not_matter(kind, order, sizes):
    """Nor for the mask of the domain: about half of these samples lie outside."""
    device, drive = device_and_drive(kind, order, batch=(4,), amplitude=3.0, members=2)
    whole, parts = run_in_blocks(device, drive, 13), run_in_blocks(device, drive, sizes)
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-12, atol=1e-12)
    assert 0 < int(whole[1].sum()) < whole[1].numel()


@parametrize
def test_states_are_those_of_the_whole_run(kind, order):
    device, drive = device_and_drive(kind, order)
    ahead, held = order - 1 if kind == "delay" else 0, dict.fromkeys(device.drives, "held")
    memory = run_in_blocks(device, drive, 4)[2]
    extended = torch.cat([drive[:1].expand(ahead, -1), drive, drive[-1:]])
    _, states, outside = device.run_members(extended, None, None, held, "rk4")
    torch.testing.assert_close(memory[..., : device.state_size], states[..., len(drive), :])
    torch.testing.assert_close(memory[0, device.state_size :].reshape(ahead, 2), drive[len(drive) - ahead :])
    if not ahead:
        assert torch.equal(run_in_blocks(device, drive, 4)[1], outside[:-1])


@parametrize
def test_outputs_are_those_of_simulate_where_the_drive_is_constant_long_enough(kind, order):
    device, levels = device_and_drive(kind, order, steps=4)
    ahead, hold = device.embedding.lookahead, 7
    drive = levels.repeat_interleave(hold, 0)
    extended = torch.cat([drive[:1].expand(ahead, -1), drive, drive[-1:]])
    simulated = device.simulate(extended, interpolation=dict.fromkeys(device.drives, "held"))[ahead + 1 :]
    outputs = run_in_blocks(device, drive, 3)[0]
    known = torch.arange(len(drive)) % hold < hold - ahead
    known[-hold:] = True  # after its last sample a drive is held
    torch.testing.assert_close(outputs[known], simulated[known])
    if ahead:
        assert not torch.allclose(outputs[~known], simulated[~known])


@parametrize
def test_outputs_do_not_depend_on_later_drives(kind, order):
    device, drive = device_and_drive(kind, order)
    changed = torch.cat([drive[:6], drive[6:].flip(0)])
    one, other = run_in_blocks(device, drive, 13)[0], run_in_blocks(device, changed, 13)[0]
    torch.testing.assert_close(other[:6], one[:6], rtol=1e-12, atol=0)
    assert not torch.allclose(other[6], one[6])


@parametrize
def test_runs_in_blocks_are_differentiable(kind, order):
    """In the drive and in the memory, through several blocks, which agree with the gradient of one block."""
    device, drive = device_and_drive(kind, order, steps=6)
    scales, memory = device.scales, device.initial_state(drive[0]).detach()
    z = scales.drive(drive).detach()

    def run(z, x, sizes=2):
        now, outputs = torch.cat([x, memory[:, device.state_size :]], -1), []
        for block in (z * scales.drive_scale + scales.drive_mean).split(sizes):
            response = device.step_block(now, block)
            now = response.memory
            outputs.append(scales.output(response.output))
        return torch.cat(outputs)

    leaves = z.requires_grad_(), memory[:, : device.state_size].requires_grad_()
    assert torch.autograd.gradcheck(run, leaves, eps=1e-5, atol=1e-6, rtol=1e-4)
    gradients = [torch.autograd.grad(run(*leaves, sizes).square().sum(), leaves) for sizes in (1, 6)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_many_short_runs_go_in_parts(monkeypatch):
    device, drive = device_and_drive("delay", 3, batch=(2,))
    whole = run_in_blocks(device, drive, 13)[0]
    monkeypatch.setattr(driven_model, "MAX_VALUES", 1)
    torch.testing.assert_close(run_in_blocks(device, drive, 13)[0], whole, rtol=1e-12, atol=1e-12)


def test_a_drive_outside_the_domain_is_reported_at_once():
    device, drive = device_and_drive("delay", 4, amplitude=0.1)
    drive[9] += 50 * device.scales.drive_scale
    outside = run_in_blocks(device, drive, 13)[1]
    assert outside[9]
    assert not bool(outside[:9].any())


def test_noise_is_that_of_the_fitted_recordings():
    device, drive = device_and_drive("delay", 2)
    memory = device.initial_state(drive[0])
    mean = device.step_block(memory, drive).output
    noisy = device.step_block(memory, drive, generator=torch.Generator().manual_seed(1)).output
    draws = torch.randn(mean.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(noisy - mean, device.noise * draws)
