"""Exported rollouts in onnxruntime compute what the surrogate computes."""

from __future__ import annotations

import importlib.util
import json
from functools import cache

import onnx
import pytest
import torch

from spinode import ExportError
from spinode.surrogates.testing import resonator, small_surrogate


@pytest.fixture(scope="module")
def model(exports, tmp_path_factory):
    """ONNX files by layout, each written once: the first drive held, the second linear, the third along a spline."""

    @cache
    def write(layout, dtype=torch.float64):
        surrogate = exports.build_surrogate(layout).to(dtype)
        kinds = exports.name_kinds(surrogate, "held", "linear", "spline")
        path = tmp_path_factory.mktemp("onnx") / "x.onnx"
        surrogate.export(path, interpolation=kinds)
        return surrogate, kinds, path

    return write


@pytest.mark.parametrize(
    "layout",
    ["ensemble with parameters", *(pytest.param(name, marks=pytest.mark.long) for name in ("delay", "autonomous"))],
)
@pytest.mark.slow
def test_rollout_is_that_of_the_surrogate_for_any_batch_and_length(exports, model, layout):
    surrogate, kinds, path = model(layout)
    session = exports.open_session(path)
    for batch, time in ((1, 4), (7, 5), (2, 6), (3, 50)):
        drive, _, parameters, state = exports.cubic_runs(surrogate, batch, time)
        outputs, _ = exports.run_onnx(session, surrogate, drive, parameters, state)
        expected = exports.simulate(surrogate, kinds, drive, parameters, state).detach()
        assert outputs.dtype == torch.float64
        assert torch.allclose(surrogate.scales.output(outputs), surrogate.scales.output(expected), rtol=0, atol=1e-11)


@pytest.mark.slow
def test_model_is_one_scan_with_names_units_and_free_sizes(model):
    surrogate, kinds, path = model("ensemble with parameters")
    stored = onnx.load(path)
    onnx.checker.check_model(stored, full_check=True)
    assert [node.op_type for node in stored.graph.node].count("Scan") == 1
    assert [(entry.domain, entry.version) for entry in stored.opset_import] == [("", 18)]

    def sizes(values):
        return {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}

    assert sizes(stored.graph.input) == {"drive": ["batch", "time", 3], "state": ["batch", 6], "parameters": ["batch", 1]}
    assert sizes(stored.graph.output) == {"output": ["batch", "time", 1], "last_state": ["batch", 6]}
    assert stored.graph.input[0].doc_string == "(batch, time, 3), every 2e-12 s: u0 [V], u1 [V], u2 [V]"
    facts = json.loads({entry.key: entry.value for entry in stored.metadata_props}["spinode"])
    assert facts["interpolation"] == kinds
    assert facts["units"] == dict(surrogate.ports.units)
    content = path.read_bytes()
    for file in (b"step.py", b"onnx.py", b"tracing.py"):
        assert file not in content


def test_runs_can_be_continued(exports, model):
    surrogate, _, path = model("autonomous")
    session = exports.open_session(path)
    drive, _, parameters, state = exports.cubic_runs(surrogate, 2, 20)
    whole, last = exports.run_onnx(session, surrogate, drive, parameters, state)
    first, middle = exports.run_onnx(session, surrogate, drive[:, :8], parameters, state)
    second, end = exports.run_onnx(session, surrogate, drive[:, 7:], parameters, middle)
    assert torch.equal(torch.cat([first, second[:, 1:]], 1), whole)
    assert torch.equal(end, last)


def test_run_stays_limited_in_single_precision_and_its_export_prints_nothing(exports, tmp_path, capfd):
    device = resonator(damping=-0.3).float()
    device._warned = True
    device.export(tmp_path / "x.onnx", interpolation={"V": "held"})
    assert capfd.readouterr() == ("", "")
    runs = (torch.zeros(1, 80, 1), torch.zeros(1, 0), torch.tensor([[1.0, 0.0]]))
    outputs, last = exports.run_onnx(exports.open_session(tmp_path / "x.onnx"), device, *runs)
    assert outputs.dtype == last.dtype == torch.float32
    assert float(outputs.abs().max()) == 30
    assert torch.allclose(outputs, exports.simulate(device, {"V": "held"}, *runs), atol=1e-3)


@pytest.mark.long
def test_every_activation_is_exported_in_double_precision(exports, tmp_path):
    surrogate = small_surrogate(order=1, members=3)
    surrogate._warned = True
    for member, activation in zip(surrogate.members, ("silu", "softplus", "relu"), strict=True):
        member.field.top.activation = activation
    surrogate.export(tmp_path / "x.onnx")
    drive, _, parameters, state = exports.cubic_runs(surrogate, 2, 12)
    outputs, _ = exports.run_onnx(exports.open_session(tmp_path / "x.onnx"), surrogate, drive, parameters, state)
    assert torch.allclose(outputs, exports.simulate(surrogate, {}, drive, parameters, state).detach(), rtol=1e-12)


@pytest.mark.slow
def test_operation_without_float64_in_onnxruntime_is_reported_with_the_fix(exports, tmp_path):
    device = exports.with_field(exports.Spring(torch.nn.functional.gelu))
    with pytest.raises(ExportError, match=r"onnxruntime cannot run .*Erf.*surrogate\.float\(\)\.export"):
        device.export(tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_rollout_that_differs_from_the_surrogate_is_not_written(exports, tmp_path, change_step):
    change_step("advance", lambda next_state: next_state * (1 + 1e-4))
    with pytest.raises(ExportError, match="the outputs of the exported program differ"):
        exports.build_surrogate("relaxation").export(tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


def test_missing_library_is_reported_with_the_command_that_installs_it(exports, tmp_path, monkeypatch):
    original = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxscript" else original(name))
    surrogate = exports.build_surrogate("relaxation")
    with pytest.raises(ExportError, match=r'needs onnxscript; run: pip install "spinode\[export\]"'):
        surrogate.export(tmp_path / "x.onnx")
    surrogate.export(tmp_path / "x.pt2")  # needs none of them
    assert [path.name for path in tmp_path.iterdir()] == ["x.pt2"]
