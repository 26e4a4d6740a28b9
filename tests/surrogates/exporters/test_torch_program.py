"""Exported steps compute what the surrogate computes, without spinode."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from spinode.surrogates.testing import resonator

LAYOUTS = ["relaxation", "three drives", "ensemble with parameters", "delay", "autonomous"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_loaded_step_rolls_out_like_the_surrogate_with_the_same_gradients(exports, tmp_path, layout):
    surrogate = exports.build_surrogate(layout)
    surrogate.export(tmp_path / "x.pt2")
    step = exports.load_program(tmp_path / "x.pt2")[0].module()
    for batch, *kinds in ((1, "held", "linear", "spline"), (5, "spline", "held", "linear"), (3, "linear", "held", "linear")):
        named = exports.name_kinds(surrogate, *kinds)
        drive, midway, parameters, state = [part.requires_grad_() for part in exports.cubic_runs(surrogate, batch, 12)]
        outputs = surrogate.scales.output(exports.roll_out(step, surrogate, named, drive, midway, parameters, state))
        expected = surrogate.scales.output(exports.simulate(surrogate, named, drive, parameters, state))
        assert torch.allclose(outputs, expected, rtol=0, atol=1e-10)
    # Gradients are compared in the last of the three: without a spline the drive midway is not an input of its own.
    own_weights, weights = dict(surrogate.named_parameters()), dict(step.named_parameters())
    assert set(weights) == set(own_weights)
    weighting = torch.linspace(-1, 1, expected.numel(), dtype=torch.float64).reshape(expected.shape)
    inputs = (drive, parameters, state)
    of_program, of_surrogate = (
        torch.autograd.grad(
            (run * weighting).sum(),
            [*inputs, *(named[name] for name in own_weights)],
            materialize_grads=True,
            allow_unused=True,
        )
        for run, named in ((outputs, weights), (expected, own_weights))
    )
    for gradient, own in zip(of_program, of_surrogate, strict=True):
        assert torch.allclose(gradient, own, rtol=1e-9, atol=1e-12 * float(own.abs().max()) if own.numel() else 0.0)


def test_gradients_of_a_loaded_step_match_finite_differences(exports, tmp_path):
    surrogate = exports.build_surrogate("ensemble with parameters")
    surrogate.export(tmp_path / "x.pt2")
    step = exports.load_program(tmp_path / "x.pt2")[0].module()
    generator = torch.Generator().manual_seed(0)
    state, *inputs = (torch.randn(2, size, generator=generator, dtype=torch.float64) for size in (6, 4, 4, 4))

    def run(state, *inputs):
        return step(state, *(z * surrogate.scales.drive_scale + surrogate.scales.drive_mean for z in inputs))

    assert torch.autograd.gradcheck(run, [part.requires_grad_() for part in (state, *inputs)])


WITHOUT_SPINODE = """
import sys
sys.modules["spinode"] = None  # from here on `import spinode` fails
import json, torch
facts = {"spinode.json": ""}
step = torch.export.load("x.pt2", extra_files=facts).module()
facts = json.loads(facts["spinode.json"])
state = torch.tensor([facts["rest"]["state"]], dtype=torch.float64)
u = torch.full((1, 1), facts["ranges"]["u0"][1], dtype=torch.float64, requires_grad=True)
outputs = []
for _ in range(30):
    state, before, after = step(state, u, u, u)
    outputs.append(after.item())
slope, = torch.autograd.grad(after.sum(), u)
assert not [name for name, module in sys.modules.items() if name.startswith("spinode") and module]
print(json.dumps([u.item(), outputs, slope.item()]))
"""


def test_step_runs_and_differentiates_where_spinode_cannot_be_imported(exports, tmp_path):
    surrogate = exports.build_surrogate("relaxation")
    surrogate.export(tmp_path / "x.pt2")
    process = subprocess.run([sys.executable, "-c", WITHOUT_SPINODE], cwd=tmp_path, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    volts, outputs, slope = json.loads(process.stdout)
    assert volts == pytest.approx(
        float(surrogate.domain.points[:, 1].max() * surrogate.scales.drive_scale + surrogate.scales.drive_mean)
    )
    drive = torch.full((31, 1), volts, dtype=torch.float64, requires_grad=True)
    rest = surrogate.resting_state(surrogate.scales.drive_mean)
    expected = surrogate.simulate(drive, state=rest, interpolation={"u0": "held"})
    assert np.allclose(outputs, expected[1:, 0].tolist(), rtol=1e-12)
    (gradient,) = torch.autograd.grad(expected[-1].sum(), drive)
    assert slope == pytest.approx(float(gradient.sum()), rel=1e-9)


def test_step_contains_only_torch_operations_and_no_paths(exports, tmp_path):
    surrogate = exports.build_surrogate("three drives")
    surrogate.export(tmp_path / "x.pt2")
    nodes = exports.load_program(tmp_path / "x.pt2")[0].graph.nodes
    called = [str(node.target) for node in nodes if node.op == "call_function"]
    assert "aten.tanh.default" in called
    assert all(name.startswith("aten.") or "getitem" in name for name in called), called
    content = (tmp_path / "x.pt2").read_bytes()
    for file in (b"step.py", b"torch_program.py", b"tracing.py"):
        assert file not in content


def test_file_describes_its_content(exports, tmp_path):
    surrogate = exports.build_surrogate("ensemble with parameters")
    surrogate.export(tmp_path / "x.pt2", interpolation={"u1": "held"})
    program, facts = exports.load_program(tmp_path / "x.pt2")
    assert facts["arguments"] == {
        "state": "(batch, 6): in deviations",
        **dict.fromkeys(("start", "middle", "end"), "(batch, 4): u0 [V], u1 [V], u2 [V], p0 [K]"),
    }
    assert list(facts["results"]) == ["next_state", "output_at_start", "output_at_end"]
    assert facts["interval"] == surrogate.interval
    assert facts["interpolation"] == {"u0": "spline", "u1": "held", "u2": "spline"}
    assert facts["units"] == dict(surrogate.ports.units)
    drive, constant = (torch.tensor(facts["rest"][name], dtype=torch.float64) for name in ("drive", "parameters"))
    at_rest = surrogate.simulate(drive.tile(3, 1), parameters=constant)
    inputs = torch.cat([drive, constant])[None]
    _, output, _ = program.module()(torch.tensor([facts["rest"]["state"]], dtype=torch.float64), inputs, inputs, inputs)
    assert torch.allclose(output, at_rest, rtol=1e-9)


def test_rows_of_a_delay_embedding_are_described(exports, tmp_path):
    surrogate = exports.build_surrogate("delay")
    surrogate.export(tmp_path / "x.pt2")
    _, facts = exports.load_program(tmp_path / "x.pt2")
    assert facts["arguments"]["start"] == "(batch, 3, 4): u0 [V], u1 [V], u2 [V], p0 [K]"


def test_device_without_a_resting_state_is_exported_and_stays_limited(exports, tmp_path):
    device = resonator(damping=-0.3)
    device._warned = True
    device.export(tmp_path / "x.pt2")
    program, facts = exports.load_program(tmp_path / "x.pt2")
    assert facts["rest"] is None
    runs = (torch.zeros(1, 80, 1), torch.zeros(1, 79, 1), torch.zeros(1, 0), torch.tensor([[1.0, 0.0]]))
    runs = [part.double() for part in runs]
    outputs = exports.roll_out(program.module(), device, {"V": "held"}, *runs)
    assert float(outputs.detach().abs().max()) == facts["state_limit"] == 30
    assert torch.allclose(outputs, exports.simulate(device, {"V": "held"}, runs[0], runs[2], runs[3]), atol=1e-9)


def test_single_precision_stays_single(exports, tmp_path):
    surrogate = exports.build_surrogate("three drives").float()
    surrogate.export(tmp_path / "x.pt2")
    kinds = exports.name_kinds(surrogate, "held", "linear", "spline")
    runs = exports.cubic_runs(surrogate, 2, 12, torch.float32)
    outputs = exports.roll_out(exports.load_program(tmp_path / "x.pt2")[0].module(), surrogate, kinds, *runs)
    expected = exports.simulate(surrogate, kinds, runs[0], runs[2], runs[3])
    assert outputs.dtype == torch.float32
    assert torch.allclose(surrogate.scales.output(outputs), surrogate.scales.output(expected), atol=1e-3)
