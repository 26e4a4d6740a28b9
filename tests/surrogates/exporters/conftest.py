"""Surrogates of every layout, runs with known drives, and vector fields of a user's own."""

from __future__ import annotations

import json
from types import SimpleNamespace

import onnxruntime
import pytest
import torch
from torch import nn

from spinode.dynamics.field import ChainField, bind_physics
from spinode.surrogates.exporters.step import Step
from spinode.surrogates.neural_ode.member import median_of_members
from spinode.surrogates.testing import resonator, small_surrogate

LAYOUTS = {
    "relaxation": {"order": 1, "drives": 1},
    "three drives": {"order": 2, "drives": 3, "outputs": 2},
    "ensemble with parameters": {"order": 2, "drives": 3, "members": 3, "parameters": 1},
    "delay": {"kind": "delay", "order": 3, "drives": 3, "outputs": 2, "parameters": 1},
    "autonomous": {"order": 2, "drives": 0},
}


def build_surrogate(layout):
    """A surrogate of a layout."""
    surrogate = small_surrogate(**LAYOUTS[layout])
    surrogate._warned = True  # these tests are not about the domain of validity
    return surrogate


def name_kinds(surrogate, *kinds):
    """Kinds of interpolation by the name of the drive."""
    return dict(zip(surrogate.ports.drive, kinds, strict=False))


def cubic_runs(surrogate, batch, time, dtype=torch.float64):
    """Drives that are cubic in time, at the samples and midway between them, (batch, time, drives); parameters; states."""
    generator = torch.Generator().manual_seed(batch)

    def random(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    drives, mean, scale = len(surrogate.ports.drive), surrogate.scales.drive_mean, surrogate.scales.drive_scale
    powers = torch.linspace(-1, 1, 2 * time - 1, dtype=torch.float64)[:, None] ** torch.arange(4)
    fine = mean[:drives] + scale[:drives] * (powers @ random(batch, 4, drives))
    parameters = mean[drives:] + 0.3 * scale[drives:] * random(batch, len(mean) - drives)
    state = 0.3 * random(batch, surrogate.state_size)
    return [part.to(dtype) for part in (fine[:, ::2], fine[:, 1::2], parameters, state)]


def stack_state(surrogate, state):
    """The same state for each member, side by side as exported programs take them."""
    return state.tile(1, len(surrogate.members))


def simulate(surrogate, kinds, drive, parameters, state):
    """Outputs of the surrogate itself, of which each member starts from the same state, as in exported programs."""
    states = state.expand(len(surrogate.members), *state.shape)
    return median_of_members(surrogate.run_members(drive, states, parameters, kinds, "rk4", per_member=True)[0])


def roll_out(step, surrogate, kinds, drive, midway, parameters, state):
    """A rollout as the user of a .pt2 writes it; a spline through samples of a cubic is that cubic."""
    held = torch.tensor([kinds[name] == "held" for name in surrogate.ports.drive], dtype=torch.bool)
    linear = torch.tensor([kinds[name] == "linear" for name in surrogate.ports.drive], dtype=torch.bool)
    start, end = drive[:, :-1], drive[:, 1:]
    middle = torch.where(held, start, torch.where(linear, (start + end) / 2, midway))
    stages = torch.stack([start, middle, torch.where(held, start, end)])
    stages = torch.cat([stages, parameters[:, None].expand(3, -1, stages.shape[2], -1)], -1)
    steps = stages.shape[2]
    if surrogate.embedding.kind == "delay":  # row j belongs to the step j later; after the last sample the drive is constant
        order = surrogate.embedding.order
        stages = torch.cat([stages, stages[2:, :, -1:].expand(3, -1, order - 1, -1)], 2)
        stages = torch.stack([stages[:, :, j : j + steps] for j in range(order)], 3)
    x, outputs = stack_state(surrogate, state), []
    for k in range(steps):
        x, before, after = step(x, *stages[:, :, k])
        outputs += [after] if outputs else [before, after]
    return torch.stack(outputs, 1)


def load_program(path):
    """Program and facts of a .pt2 file."""
    facts = {"spinode.json": ""}
    program = torch.export.load(path, extra_files=facts)
    return program, json.loads(facts["spinode.json"])


def open_session(path):
    """An onnxruntime session of a file."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run_onnx(session, surrogate, drive, parameters, state):
    """Outputs and last state of an ONNX model."""
    inputs = {"drive": drive, "state": stack_state(surrogate, state)}
    if surrogate.ports.parameters:
        inputs["parameters"] = parameters
    return [torch.as_tensor(result) for result in session.run(None, {name: value.numpy() for name, value in inputs.items()})]


class Spring(nn.Module):
    """Rate of the last block of a damped spring, changed by a function that may be hard to export."""

    def __init__(self, change=None):
        super().__init__()
        self.stiffness = nn.Parameter(torch.tensor(0.1, dtype=torch.float64))
        self.change = change

    def forward(self, state, drive):
        rate = -self.stiffness * state[..., :1] - 0.1 * state[..., 1:2] + 0.13 * drive[..., :1]
        return self.change(rate) if self.change else rate


def with_field(field):
    """A resonator with another vector field."""
    device = resonator()
    bind_physics(field, device.scales, device.interval)
    device.members[0].field = ChainField(field, device.scales.ratios)
    device._warned = True
    return device


@pytest.fixture(scope="session")
def exports():
    """The functions and classes above."""
    return SimpleNamespace(
        build_surrogate=build_surrogate,
        name_kinds=name_kinds,
        cubic_runs=cubic_runs,
        simulate=simulate,
        roll_out=roll_out,
        load_program=load_program,
        open_session=open_session,
        run_onnx=run_onnx,
        Spring=Spring,
        with_field=with_field,
    )


@pytest.fixture
def change_step(monkeypatch):
    """Function that changes what a method of `Step` returns."""

    def change(method, function):
        original = getattr(Step, method)
        monkeypatch.setattr(Step, method, lambda self, *arguments: function(original(self, *arguments)))

    return change
