"""Fitted surrogates in reservoirs, networks and reservoirpy: every embedding, weights that stay, and the domain."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from spinode.dynamics.scales import Scales
from spinode.errors import ConfigError, DomainError, DomainWarning
from spinode.surrogates import Feedback, OscillatorNetwork, Reservoir, WithFastResponse, reservoirpy_node
from spinode.surrogates.neural_ode.domain import Domain
from spinode.surrogates.neural_ode.embedding import Embedding
from spinode.surrogates.neural_ode.latent.layout import LatentLayout
from spinode.surrogates.neural_ode.latent.member import LatentMember
from spinode.surrogates.neural_ode.ports import Ports
from spinode.surrogates.neural_ode.surrogate import Surrogate
from spinode.surrogates.testing import small_surrogate

pytestmark = pytest.mark.filterwarnings("ignore::spinode.DomainWarning")


def latent_modes():
    """Return two damped modes behind one output."""
    layout = LatentLayout(modes=2, inputs=1, outputs=1, drives=1, hidden=2, readout=1)
    generator = torch.Generator().manual_seed(0)
    arrays = layout.split(0.1 * torch.randn(layout.weights, generator=generator, dtype=torch.float64))
    arrays["log_decay"] = arrays["log_decay"] - 1.5
    arrays["frequency"] = torch.tensor([0.2, 0.5], dtype=torch.float64)
    one = torch.ones(1, dtype=torch.float64)
    points = torch.randn(200, layout.state + 1, generator=generator, dtype=torch.float64)
    return Surrogate(
        ports=Ports(("u0",), ("y0",), units={"u0": "V", "y0": "T"}),
        embedding=Embedding("latent", 2),
        interval=2e-12,
        scales=Scales(0 * one, one, one[None], one, one),
        members=[LatentMember(layout, layout.join(arrays))],
        domain=Domain(points, 3.0),
        noise=0 * one,
    )


DEVICES = {
    "derivative": lambda: small_surrogate(kind="derivative", order=3),
    "delay": lambda: small_surrogate(kind="delay", order=4, members=2),
    "delay of one sample": lambda: small_surrogate(kind="delay", order=1),
    "latent": latent_modes,
    "delay with fast response": lambda: WithFastResponse(
        small_surrogate(kind="delay", order=3), 0.1 * torch.arange(1.0, 4.0, dtype=torch.float64)[:, None, None]
    ),
}


@pytest.fixture(params=DEVICES)
def device(request):
    return DEVICES[request.param]()


def scales_of(device):
    scales = (device if isinstance(device, Surrogate) else device.surrogate).scales
    return float(scales.drive_mean), float(scales.drive_scale)


def reservoir(device, **settings):
    mean, scale = scales_of(device)
    defaults = {"nodes": 4, "hold": 2 * device.interval, "scale": 0.3 * scale, "offset": mean}
    return Reservoir(device, **{**defaults, **settings})


def network(device, **settings):
    mean, scale = scales_of(device)
    return OscillatorNetwork(device, 3, 1, bias=mean, input_scale=0.3 * scale, coupling_scale=0.1 * scale, **settings)


def inputs(length=9):
    return torch.rand(length, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("feedback", [None, 3, 5])
def test_a_reservoir_does_not_depend_on_its_blocks(device, feedback):
    scale = scales_of(device)[1]
    made = reservoir(device, feedback=Feedback(feedback, 0.2 * scale) if feedback else None)
    with torch.no_grad():
        whole, parts = made(inputs()), torch.cat(list(made.stream(inputs(), block=2)))
    torch.testing.assert_close(parts, whole, rtol=1e-11, atol=1e-12)


def test_the_nodes_of_a_reservoir_are_outputs_of_the_free_run(device):
    """Each node is the output of `step_block` over the whole drive at the end of its hold."""
    made, x = reservoir(device), inputs()
    drive = (made.offset + made.scale * x * made.mask[0, :, 0]).flatten().repeat_interleave(2)[:, None]
    output = device.step_block(device.initial_state(made.offset.reshape(1)), drive).output[1::2, 0]
    torch.testing.assert_close(made(x).flatten(), output, rtol=1e-11, atol=1e-12)


def test_a_reservoir_is_differentiable_in_mask_and_scale(device):
    scale = scales_of(device)[1]
    made, x = reservoir(device, trained=("mask", "scale")), inputs(3)

    def states(mask, relative):
        return torch.func.functional_call(made, {"mask": mask, "scale": scale * relative}, (x,))

    leaves = made.mask.detach().requires_grad_(), torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(states, leaves, eps=1e-5, atol=1e-6, rtol=1e-4)


def test_a_network_runs_and_learns(device):
    made = network(device)
    outputs = made(inputs().expand(2, 9, 1))
    assert outputs.shape == (2, 9, 3)
    made.coupling.data.zero_()
    drive = (made.bias + inputs() @ made.input_weight.T).T[..., None]
    start = device.initial_state(made.bias[:, None])
    torch.testing.assert_close(made(inputs()).T[..., None], device.step_block(start, drive).output, rtol=1e-11, atol=1e-12)
    made(inputs()).square().sum().backward()
    assert all(bool(weight.grad.any()) for weight in (made.bias, made.input_weight, made.coupling))


def test_a_node_of_reservoirpy_continues(device):
    pytest.importorskip("reservoirpy.nodes", reason="reservoirpy is not installed: pip install 'spinode[reservoirpy]'")
    made, x = reservoir(device), inputs().numpy()
    node = reservoirpy_node(made)
    parts = [node.run(x[:4]), np.stack([node(each) for each in x[4:6]]), node.run(x[6:])]
    np.testing.assert_allclose(np.concatenate(parts), made(inputs()).detach().numpy(), rtol=1e-10, atol=1e-12)


# Training


@pytest.mark.parametrize("build", [reservoir, network])
def test_training_leaves_the_device_of_the_caller_as_it_was(build, device):
    before, wanted = copy.deepcopy(device.state_dict()), [weight.requires_grad for weight in device.parameters()]
    made = build(device)
    model = nn.Sequential(made, nn.Linear(made(inputs()).shape[-1], 1, dtype=torch.float64))
    held = copy.deepcopy(made.state_dict())
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, weight_decay=1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        model(inputs()).square().sum().backward()
        optimizer.step()
    for name, value in device.state_dict().items():
        assert torch.equal(value, before[name])
    assert [weight.requires_grad for weight in device.parameters()] == wanted
    fixed = [name for name, value in made.named_parameters() if not value.requires_grad]
    assert fixed or not wanted
    assert all(torch.equal(made.state_dict()[name], held[name]) for name in fixed)
    made.float()
    assert next(device.parameters()).dtype == torch.float64


@pytest.mark.parametrize("build", [reservoir, network])
def test_the_device_is_trained_if_requested(build):
    device = DEVICES["delay"]()
    before = copy.deepcopy(device.state_dict())
    made = build(device, train_device=True)
    optimizer = torch.optim.Adam(made.parameters(), lr=1e-3)
    made(inputs()).square().sum().backward()
    optimizer.step()
    assert any(not torch.equal(value, before[name]) for name, value in device.state_dict().items())
    with pytest.raises(ConfigError, match="train_device is 'yes'; expected True or False"):
        build(device, train_device="yes")


def test_a_device_that_occurs_twice_is_copied_once():
    device = DEVICES["delay"]()
    made = Reservoir([device, device], nodes=2, offset=float(device.scales.drive_mean))
    assert made.devices[0] is made.devices[1] is not device


# Domain


@pytest.mark.filterwarnings("error::spinode.DomainWarning")
@pytest.mark.parametrize("build", [reservoir, network])
def test_leaving_the_domain_warns_once_a_run_and_again_if_much_more_of_it_is_outside(build):
    device = DEVICES["delay"]()
    made, x = build(device), torch.zeros(40, 1, dtype=torch.float64)
    made(x)
    some, more = x.clone(), x.clone()
    some[-2:], more[-20:] = 100.0, 100.0
    for drive in (some, more):
        with pytest.warns(DomainWarning, match="of the steps lie outside the domain that the device of the") as caught:
            made(drive)
        assert len(caught) == 1
        made(drive)  # a warning would be an error here
        with pytest.raises(DomainError, match=r"outside the domain .* Or pass strict=False"):
            made(drive, strict=True)
    made(x, strict=True)


@pytest.mark.filterwarnings("error::spinode.DomainWarning")
def test_a_stream_warns_once_and_is_strict_if_requested():
    made = reservoir(DEVICES["delay"]())
    x = torch.zeros(40, 1, dtype=torch.float64)
    x[10:] = 100.0
    with pytest.warns(DomainWarning) as caught:
        list(made.stream(x, block=1))
    assert len(caught) == 1
    blocks = made.stream(x, block=10, strict=True)
    assert next(blocks).shape == (10, 4)
    with pytest.raises(DomainError):
        next(blocks)
    with pytest.raises(DomainError):
        made.continue_runs(made.start(), x, strict=True)
