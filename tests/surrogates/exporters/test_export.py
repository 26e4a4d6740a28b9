"""Exported programs do what the surrogate does, where there is no spinode, or they are not written."""

from __future__ import annotations

import importlib.util
import json
import logging
import subprocess
import sys
from functools import cache

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from spinode import ConfigError, ExportError, TraceError
from spinode.dynamics.field import ChainField, GreyBoxField, MLPField, SIRate, bind_physics
from spinode.surrogates.exporters.export import Step
from spinode.surrogates.testing import resonator, small_surrogate

LAYOUTS = {
    "relaxation": {"order": 1, "drives": 1},
    "three drives": {"order": 2, "drives": 3, "outputs": 2},
    "ensemble with parameters": {"order": 2, "drives": 3, "members": 2, "parameters": 1},
    "delay": {"kind": "delay", "order": 3, "drives": 3, "outputs": 2, "parameters": 1},
    "autonomous": {"order": 2, "drives": 0},
}


def made(name):
    """A surrogate of that layout."""
    surrogate = small_surrogate(**LAYOUTS[name])
    surrogate._warned = True  # whether a made-up run leaves the domain is not the question here
    return surrogate


def kinds_of(surrogate, *kinds):
    """These interpolations for its drives, in turn."""
    return dict(zip(surrogate.ports.drive, kinds, strict=False))


def cubic_runs(surrogate, batch, time, dtype=torch.float64):
    """Drives cubic in time, at the samples and halfway between, (batch, time, drives); parameters; states."""
    generator = torch.Generator().manual_seed(batch)

    def random(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    drives, mean, scale = len(surrogate.ports.drive), surrogate.scales.drive_mean, surrogate.scales.drive_scale
    powers = torch.linspace(-1, 1, 2 * time - 1, dtype=torch.float64)[:, None] ** torch.arange(4)
    fine = mean[:drives] + scale[:drives] * (powers @ random(batch, 4, drives))
    parameters = mean[drives:] + 0.3 * scale[drives:] * random(batch, len(mean) - drives)
    state = 0.3 * random(batch, surrogate._state_size)
    return [part.to(dtype) for part in (fine[:, ::2], fine[:, 1::2], parameters, state)]


def tiled(surrogate, state):
    """One state for each member, as `simulate` takes it, side by side, as exported programs take them."""
    return state.tile(1, len(surrogate.members))


def answer(surrogate, kinds, drive, parameters, state):
    return surrogate.simulate(drive, state=state, parameters=parameters, interpolation=kinds)


def by_hand(step, surrogate, kinds, drive, between, parameters, state):
    """A rollout as the user of a .pt2 writes it; a spline through samples of a cubic is that cubic."""
    held = torch.tensor([kinds[name] == "held" for name in surrogate.ports.drive], dtype=torch.bool)
    linear = torch.tensor([kinds[name] == "linear" for name in surrogate.ports.drive], dtype=torch.bool)
    start, later = drive[:, :-1], drive[:, 1:]
    middle = torch.where(held, start, torch.where(linear, (start + later) / 2, between))
    stages = torch.stack([start, middle, torch.where(held, start, later)])
    stages = torch.cat([stages, parameters[:, None].expand(3, -1, stages.shape[2], -1)], -1)
    steps = stages.shape[2]
    if surrogate.embedding.kind == "delay":  # row j belongs to the step j later; after the last sample the drive stays
        order = surrogate.embedding.order
        stages = torch.cat([stages, stages[2:, :, -1:].expand(3, -1, order - 1, -1)], 2)
        stages = torch.stack([stages[:, :, j : j + steps] for j in range(order)], 3)
    x, outputs = tiled(surrogate, state), []
    for k in range(steps):
        x, before, after = step(x, *stages[:, :, k])
        outputs += [after] if outputs else [before, after]
    return torch.stack(outputs, 1)


def loaded(path):
    facts = {"spinode.json": ""}
    program = torch.export.load(path, extra_files=facts)
    return program, json.loads(facts["spinode.json"])


# --- .pt2 -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_loaded_step_rolls_out_as_the_surrogate_with_the_same_gradients(tmp_path, layout):
    surrogate = made(layout)
    surrogate.export(tmp_path / "x.pt2")
    step = loaded(tmp_path / "x.pt2")[0].module()
    for batch, *kinds in ((1, "held", "linear", "spline"), (5, "spline", "held", "linear"), (3, "linear", "held", "linear")):
        named = kinds_of(surrogate, *kinds)
        drive, between, parameters, state = [p.requires_grad_() for p in cubic_runs(surrogate, batch, 12)]
        got = surrogate.scales.output(by_hand(step, surrogate, named, drive, between, parameters, state))
        wanted = surrogate.scales.output(answer(surrogate, named, drive, parameters, state))
        assert torch.allclose(got, wanted, rtol=0, atol=1e-10)
    # Without a spline the drive between samples is no input of its own: the last of the three has the gradients compared.
    own, theirs = dict(surrogate.named_parameters()), dict(step.named_parameters())
    assert set(theirs) == set(own)
    weighting = torch.linspace(-1, 1, wanted.numel(), dtype=torch.float64).reshape(wanted.shape)
    fed = (drive, parameters, state)
    slopes = [
        torch.autograd.grad(
            (run * weighting).sum(), [*fed, *(named[name] for name in own)], materialize_grads=True, allow_unused=True
        )
        for run, named in ((got, theirs), (wanted, own))
    ]
    for mine, its in zip(*slopes, strict=True):
        assert torch.allclose(mine, its, rtol=1e-9, atol=1e-12 * float(its.abs().max()) if its.numel() else 0.0)


def test_gradients_of_a_loaded_step_match_finite_differences(tmp_path):
    surrogate = made("ensemble with parameters")
    surrogate.export(tmp_path / "x.pt2")
    step = loaded(tmp_path / "x.pt2")[0].module()
    x, *inputs = torch.randn(4, 2, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def run(x, *inputs):
        return step(x, *(z * surrogate.scales.drive_scale + surrogate.scales.drive_mean for z in inputs))

    assert torch.autograd.gradcheck(run, [part.requires_grad_() for part in (x, *inputs)])


ELSEWHERE = """
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


def test_a_step_runs_and_differentiates_where_spinode_cannot_be_imported(tmp_path):
    surrogate = made("relaxation")
    surrogate.export(tmp_path / "x.pt2")
    done = subprocess.run([sys.executable, "-c", ELSEWHERE], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    volts, outputs, slope = json.loads(done.stdout)
    assert volts == pytest.approx(
        float(surrogate.domain.points[:, 1].max() * surrogate.scales.drive_scale + surrogate.scales.drive_mean)
    )
    drive = torch.full((31, 1), volts, dtype=torch.float64, requires_grad=True)
    rest = surrogate.resting_state(surrogate.scales.drive_mean)
    wanted = surrogate.simulate(drive, state=rest, interpolation={"u0": "held"})
    assert np.allclose(outputs, wanted[1:, 0].tolist(), rtol=1e-12)
    (gradient,) = torch.autograd.grad(wanted[-1].sum(), drive)
    assert slope == pytest.approx(float(gradient.sum()), rel=1e-9)


def test_a_step_holds_operations_of_torch_only_and_no_paths(tmp_path):
    surrogate = made("three drives")
    surrogate.export(tmp_path / "x.pt2")
    nodes = loaded(tmp_path / "x.pt2")[0].graph.nodes
    called = [str(node.target) for node in nodes if node.op == "call_function"]
    assert "aten.tanh.default" in called
    assert all(name.startswith("aten.") or "getitem" in name for name in called), called
    assert b"export.py" not in (tmp_path / "x.pt2").read_bytes()


def test_a_file_says_what_is_in_it(tmp_path):
    surrogate = made("ensemble with parameters")
    surrogate.export(tmp_path / "x.pt2", interpolation={"u1": "held"})
    program, facts = loaded(tmp_path / "x.pt2")
    assert facts["arguments"] == {
        "state": "(batch, 4): in deviations",
        **dict.fromkeys(("start", "middle", "end"), "(batch, 4): u0 [V], u1 [V], u2 [V], p0 [K]"),
    }
    assert list(facts["results"]) == ["next_state", "output_at_start", "output_at_end"]
    assert facts["interval"] == surrogate.interval
    assert facts["interpolation"] == {"u0": "spline", "u1": "held", "u2": "spline"}
    assert facts["units"] == dict(surrogate.ports.units)
    drive, constant = (torch.tensor(facts["rest"][name], dtype=torch.float64) for name in ("drive", "parameters"))
    still = surrogate.simulate(drive.tile(3, 1), parameters=constant)
    given = torch.cat([drive, constant])[None]
    _, output, _ = program.module()(torch.tensor([facts["rest"]["state"]], dtype=torch.float64), given, given, given)
    assert torch.allclose(output, still, rtol=1e-9)


def test_a_device_without_a_resting_state_is_exported_all_the_same_and_stays_confined(tmp_path):
    device = resonator(damping=-0.3)
    device._warned = True
    device.export(tmp_path / "x.pt2")
    program, facts = loaded(tmp_path / "x.pt2")
    assert facts["rest"] is None
    runs = (torch.zeros(1, 80, 1), torch.zeros(1, 79, 1), torch.zeros(1, 0), torch.tensor([[1.0, 0.0]]))
    runs = [part.double() for part in runs]
    got = by_hand(program.module(), device, {"V": "held"}, *runs)
    assert float(got.detach().abs().max()) == facts["state_limit"] == 30
    assert torch.allclose(got, answer(device, {"V": "held"}, runs[0], runs[2], runs[3]), atol=1e-9)


def test_single_precision_stays_single(tmp_path):
    surrogate = made("three drives").float()
    surrogate.export(tmp_path / "x.pt2")
    kinds = kinds_of(surrogate, "held", "linear", "spline")
    runs = cubic_runs(surrogate, 2, 12, torch.float32)
    got = by_hand(loaded(tmp_path / "x.pt2")[0].module(), surrogate, kinds, *runs)
    wanted = answer(surrogate, kinds, runs[0], runs[2], runs[3])
    assert got.dtype == torch.float32
    assert torch.allclose(surrogate.scales.output(got), surrogate.scales.output(wanted), atol=1e-3)


# --- ONNX -----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """ONNX files by layout, each written once: the first drive held, the second linear, the third along a spline."""

    @cache
    def written(layout, dtype=torch.float64):
        surrogate = made(layout).to(dtype)
        kinds = kinds_of(surrogate, "held", "linear", "spline")
        path = tmp_path_factory.mktemp("onnx") / "x.onnx"
        surrogate.export(path, interpolation=kinds)
        return surrogate, kinds, path

    return written


def session_of(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run_onnx(session, surrogate, drive, parameters, state):
    given = {"drive": drive, "state": tiled(surrogate, state)}
    if surrogate.ports.parameters:
        given["parameters"] = parameters
    return [torch.as_tensor(part) for part in session.run(None, {name: part.numpy() for name, part in given.items()})]


@pytest.mark.parametrize("layout", ["ensemble with parameters", "delay", "autonomous"])
def test_an_onnx_rollout_is_that_of_the_surrogate_for_any_batch_and_length(model, layout):
    surrogate, kinds, path = model(layout)
    session = session_of(path)
    for batch, time in ((1, 4), (7, 5), (2, 6), (3, 50)):
        drive, _, parameters, state = cubic_runs(surrogate, batch, time)
        got, _ = run_onnx(session, surrogate, drive, parameters, state)
        wanted = answer(surrogate, kinds, drive, parameters, state).detach()
        assert got.dtype == torch.float64
        assert torch.allclose(surrogate.scales.output(got), surrogate.scales.output(wanted), rtol=0, atol=1e-11)


def test_an_onnx_model_is_one_scan_with_names_units_and_free_sizes(model):
    surrogate, kinds, path = model("ensemble with parameters")
    stored = onnx.load(path)
    onnx.checker.check_model(stored, full_check=True)
    assert [node.op_type for node in stored.graph.node].count("Scan") == 1
    assert [(entry.domain, entry.version) for entry in stored.opset_import] == [("", 18)]

    def sizes(values):
        return {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}

    assert sizes(stored.graph.input) == {"drive": ["batch", "time", 3], "state": ["batch", 4], "parameters": ["batch", 1]}
    assert sizes(stored.graph.output) == {"output": ["batch", "time", 1], "last_state": ["batch", 4]}
    assert stored.graph.input[0].doc_string == "(batch, time, 3), every 2e-12 s: u0 [V], u1 [V], u2 [V]"
    facts = json.loads({entry.key: entry.value for entry in stored.metadata_props}["spinode"])
    assert facts["interpolation"] == kinds
    assert facts["units"] == dict(surrogate.ports.units)
    assert b"export.py" not in path.read_bytes()


def test_onnx_runs_can_be_continued(model):
    surrogate, _, path = model("autonomous")
    session = session_of(path)
    drive, _, parameters, state = cubic_runs(surrogate, 2, 20)
    whole, last = run_onnx(session, surrogate, drive, parameters, state)
    first, middle = run_onnx(session, surrogate, drive[:, :8], parameters, state)
    second, end = run_onnx(session, surrogate, drive[:, 7:], parameters, middle)
    assert torch.equal(torch.cat([first, second[:, 1:]], 1), whole)
    assert torch.equal(end, last)


def test_an_onnx_run_stays_confined_in_single_precision(tmp_path):
    device = resonator(damping=-0.3).float()
    device._warned = True
    device.export(tmp_path / "x.onnx", interpolation={"V": "held"})
    runs = (torch.zeros(1, 80, 1), torch.zeros(1, 0), torch.tensor([[1.0, 0.0]]))
    got, last = run_onnx(session_of(tmp_path / "x.onnx"), device, *runs)
    assert got.dtype == last.dtype == torch.float32
    assert float(got.abs().max()) == 30
    assert torch.allclose(got, answer(device, {"V": "held"}, *runs), atol=1e-3)


def test_every_activation_has_an_onnx_form_in_double_precision(tmp_path):
    surrogate = small_surrogate(order=1, members=3)
    surrogate._warned = True
    for member, activation in zip(surrogate.members, ("silu", "softplus", "relu"), strict=True):
        member.field.top.activation = activation
    surrogate.export(tmp_path / "x.onnx")
    drive, _, parameters, state = cubic_runs(surrogate, 2, 12)
    got, _ = run_onnx(session_of(tmp_path / "x.onnx"), surrogate, drive, parameters, state)
    assert torch.allclose(got, answer(surrogate, {}, drive, parameters, state).detach(), rtol=1e-12)


# --- fields of one's own ----------------------------------------------------------------------------------------------------


class Spring(nn.Module):
    """Rate of the last block of a damped spring; `bend` says what is peculiar about it."""

    def __init__(self, bend=None):
        super().__init__()
        self.stiffness = nn.Parameter(torch.tensor(0.1, dtype=torch.float64))
        self.bend = bend

    def forward(self, state, drive):
        rate = -self.stiffness * state[..., :1] - 0.1 * state[..., 1:2] + 0.13 * drive[..., :1]
        return self.bend(rate) if self.bend else rate


def with_field(field):
    device = resonator()
    bind_physics(field, device.scales, device.interval)
    device.members[0].field = ChainField(field, device.scales.ratios)
    device._warned = True
    return device


@torch.library.custom_op("spinode_tests::twice", mutates_args=())
def twice(x: torch.Tensor) -> torch.Tensor:
    return 2 * x


twice.register_fake(torch.empty_like)

PECULIAR = {
    "a branch on values": (lambda rate: rate if rate.sum() > 0 else 2 * rate, "cannot be exported.*use torch.where"),
    "a number of a tensor": (lambda rate: rate * float(rate.abs().max()), "cannot be exported.*keep tensors"),
    "NumPy": (lambda rate: rate + torch.as_tensor(np.sin(rate.detach().numpy())), "cannot be exported.*torch operations"),
    "one size of batch": (lambda rate: rate.reshape(3, 1) if rate.shape[0] == 3 else rate, r"violated \(batch\).*any size"),
    "an operator of its own": (twice, "calls spinode_tests.twice.default, which torch alone does not have"),
    "chance": (nn.functional.dropout, "the outputs of the exported program differ .*Is the vector field random"),
}


@pytest.mark.parametrize("name", PECULIAR)
def test_a_field_that_cannot_be_exported_is_named_with_the_reason(tmp_path, name):
    bend, message = PECULIAR[name]
    device = with_field(Spring(bend))
    for target in ("x.pt2", "x.onnx") if name != "chance" else ("x.pt2",):
        with pytest.raises(ExportError, match=message) as caught:
            device.export(tmp_path / target)
        assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_an_operation_without_a_double_in_onnxruntime_names_the_way_out(tmp_path):
    device = with_field(Spring(nn.functional.gelu))
    with pytest.raises(ExportError, match=r"onnxruntime cannot run .*Erf.*surrogate\.float\(\)\.export"):
        device.export(tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_known_physics_is_exported_with_its_numbers_in_full(tmp_path):
    """0.3 and 0.13 are no float32 numbers: a model that rounds them is off by 1e-8."""
    physics = SIRate(lambda blocks, drive: 1e21 * (0.13 * drive - 0.3 * blocks[..., 0, :]))
    device = with_field(GreyBoxField(physics, MLPField(2, 1, 1, hidden=(3,), generator=torch.Generator().manual_seed(0))))
    for target in ("x.pt2", "x.onnx"):
        device.export(tmp_path / target, interpolation={"V": "linear"})
    drive, between, parameters, state = cubic_runs(device, 2, 30)
    wanted = answer(device, {"V": "linear"}, drive, parameters, state).detach()
    step = loaded(tmp_path / "x.pt2")[0].module()
    assert torch.allclose(by_hand(step, device, {"V": "linear"}, drive, between, parameters, state), wanted, rtol=0, atol=1e-11)
    assert torch.allclose(
        run_onnx(session_of(tmp_path / "x.onnx"), device, drive, parameters, state)[0], wanted, rtol=0, atol=1e-11
    )


# --- nothing wrong is written -----------------------------------------------------------------------------------------------


def bent(monkeypatch, name, change):
    real = getattr(Step, name)
    monkeypatch.setattr(Step, name, lambda self, *parts: change(real(self, *parts)))


WRONG = {
    "motion": ("advance", lambda moved: moved * (1 + 1e-4), "the outputs .* differ"),
    "reading": ("read", lambda output: output + 1e-4, "the outputs .* differ"),
    "gradients": ("advance", lambda moved: moved.detach(), "the gradients in the drive .* differ"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_step_that_does_something_else_is_not_written(tmp_path, monkeypatch, name):
    where, change, message = WRONG[name]
    bent(monkeypatch, where, change)
    (tmp_path / "old.pt2").write_bytes(b"old")
    for target in ("x.pt2", "old.pt2"):
        with pytest.raises(
            ExportError, match=rf"{message} from the surrogate's by \d\.\de-\d\d .*allowed: 1e-06.*no file was written"
        ):
            made("relaxation").export(tmp_path / target)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


@pytest.mark.slow
def test_a_rollout_that_does_something_else_is_not_written(tmp_path, monkeypatch):
    bent(monkeypatch, "advance", lambda moved: moved * (1 + 1e-4))
    with pytest.raises(ExportError, match="the outputs of the exported program differ"):
        made("relaxation").export(tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


def test_an_export_says_nothing_and_leaves_logging_alone(tmp_path, capfd):
    before = logging.root.manager.disable
    for target in ("x.pt2", "x.onnx"):
        made("autonomous").export(tmp_path / target)
    with pytest.raises(ExportError, match="cannot be exported"):
        with_field(Spring(PECULIAR["a branch on values"][0])).export(tmp_path / "y.pt2")
    assert capfd.readouterr() == ("", "")
    assert logging.root.manager.disable == before


@pytest.mark.parametrize("name", ["model.txt", "model", ".onnx", "pt2"])
def test_another_suffix_names_the_two(tmp_path, name):
    with pytest.raises(ConfigError, match=r"expected \.pt2 .* or \.onnx"):
        made("relaxation").export(tmp_path / name)


def test_a_place_that_cannot_be_written_is_refused_first(tmp_path):
    with pytest.raises(TraceError, match="does not exist"):
        made("relaxation").export(tmp_path / "nowhere" / "x.pt2")


def test_a_missing_library_is_named_with_the_command_that_installs_it(tmp_path, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxscript" else real(name))
    with pytest.raises(ExportError, match=r'needs onnxscript; run: pip install "spinode\[export\]"'):
        made("relaxation").export(tmp_path / "x.onnx")
    made("relaxation").export(tmp_path / "x.pt2")  # needs none of them
    assert [path.name for path in tmp_path.iterdir()] == ["x.pt2"]


def test_bad_settings_and_bad_numbers_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="interpolation of 'u0' is 'cubic'"):
        made("relaxation").export(tmp_path / "x.onnx", interpolation={"u0": "cubic"})
    with pytest.raises(ConfigError, match=r"is in torch\.float16; expected float64 or float32"):
        made("relaxation").half().export(tmp_path / "x.onnx")
    surrogate = made("relaxation")
    with torch.no_grad():
        surrogate.members[0].field.top.out.bias.fill_(float("nan"))
    with pytest.raises(ConfigError, match=r"'members\.0\.field\.top\.out\.bias' of the surrogate holds NaN"):
        surrogate.export(tmp_path / "x.pt2")
    assert not list(tmp_path.iterdir())
