"""`export` selects the exporter by suffix, checks its input, and writes only programs that agree with the surrogate."""

from __future__ import annotations

import json
import logging
import sys

import pytest
import torch

from spinode import ConfigError, ExportError, TraceError
from spinode.surrogates import exporters
from spinode.surrogates.exporters import registry


@pytest.fixture
def own_registry(monkeypatch):
    """Exporters registered by a test are forgotten after it."""
    exporters.find_exporter("x.pt2")
    monkeypatch.setattr(registry, "_EXPORTERS", dict(registry._EXPORTERS))


# --- new targets ----------------------------------------------------------------------------------------------------------


def test_function_registered_in_a_test_is_an_exporter(exports, tmp_path, own_registry):
    @exporters.register(".json", "the scales")
    def write_scales(surrogate, interpolation, *, indent=None):
        assert interpolation == ("held", "held", "spline", "held")  # three drives and a parameter
        return json.dumps(surrogate.scales.drive_mean.tolist(), indent=indent).encode()

    surrogate = exports.build_surrogate("ensemble with parameters")
    path = tmp_path / "x.json"
    surrogate.export(path, interpolation={"u0": "held", "u1": "held"}, indent=2)
    assert path.read_text().startswith("[\n  ")
    assert json.loads(path.read_text()) == surrogate.scales.drive_mean.tolist()
    with pytest.raises(
        ConfigError, match=r"an export to \.json has no option 'width'; its options are: interpolation, indent\."
    ):
        surrogate.export(path, width=3)
    with pytest.raises(ConfigError, match=r"expected \.json \(the scales\) or \.onnx .* or \.pt2"):
        surrogate.export(tmp_path / "x.txt")


NEW_FILE = """
from spinode.surrogates.exporters.registry import register

@register(".names", "names of the outputs")
def write_names(surrogate, interpolation):
    return " ".join(surrogate.ports.output).encode()
"""


def test_new_file_in_the_folder_is_a_new_target(exports, tmp_path, own_registry, monkeypatch):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "output_names.py").write_text(NEW_FILE)
    monkeypatch.setattr(exporters, "__path__", [*exporters.__path__, str(folder)])
    try:
        exports.build_surrogate("three drives").export(tmp_path / "x.names")
    finally:
        sys.modules.pop("spinode.surrogates.exporters.output_names", None)
    assert (tmp_path / "x.names").read_text() == "y0 y1"


def test_suffix_of_another_exporter_is_refused(own_registry):
    with pytest.raises(ConfigError, match=r"'\.pt2' belongs to the exporter in spinode\.surrogates\.exporters\.torch_program"):
        exporters.register(".pt2", "another program")(lambda surrogate, interpolation: b"")


# --- input ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model.txt", "model", ".onnx", "pt2"])
def test_unknown_suffix_is_refused_with_the_known_ones(exports, tmp_path, name):
    with pytest.raises(ConfigError, match=r"expected \.onnx .* or \.pt2"):
        exports.build_surrogate("relaxation").export(tmp_path / name)


def test_suffix_may_be_in_capitals(exports, tmp_path):
    exports.build_surrogate("relaxation").export(tmp_path / "X.PT2")
    assert exports.load_program(tmp_path / "X.PT2")[1]["drive"] == ["u0"]


def test_path_that_cannot_be_written_is_refused_first(exports, tmp_path):
    with pytest.raises(TraceError, match="does not exist"):
        exports.build_surrogate("relaxation").export(tmp_path / "nowhere" / "x.pt2")


def test_unknown_settings_and_invalid_numbers_are_refused(exports, tmp_path):
    with pytest.raises(ConfigError, match="interpolation of 'u0' is 'cubic'"):
        exports.build_surrogate("relaxation").export(tmp_path / "x.onnx", interpolation={"u0": "cubic"})
    with pytest.raises(ConfigError, match=r"an export to \.pt2 has no option 'opset'; its options are: interpolation\."):
        exports.build_surrogate("relaxation").export(tmp_path / "x.pt2", opset=18)
    with pytest.raises(ConfigError, match=r"is in torch\.float16; expected float64 or float32"):
        exports.build_surrogate("relaxation").half().export(tmp_path / "x.onnx")
    surrogate = exports.build_surrogate("relaxation")
    with torch.no_grad():
        surrogate.members[0].field.top.out.bias.fill_(float("nan"))
    with pytest.raises(ConfigError, match=r"'members\.0\.field\.top\.out\.bias' of the surrogate contains NaN"):
        surrogate.export(tmp_path / "x.pt2")
    assert not list(tmp_path.iterdir())


# --- output ---------------------------------------------------------------------------------------------------------------

WRONG = {
    "state": ("advance", lambda next_state: next_state * (1 + 1e-4), "the outputs .* differ"),
    "outputs": ("read", lambda output: output + 1e-4, "the outputs .* differ"),
    "gradients": ("advance", lambda next_state: next_state.detach(), "the gradients in the drive .* differ"),
}


@pytest.mark.parametrize("name", WRONG)
def test_step_that_differs_from_the_surrogate_is_not_written(exports, tmp_path, change_step, name):
    method, function, message = WRONG[name]
    change_step(method, function)
    (tmp_path / "old.pt2").write_bytes(b"old")
    message += r" from those of the surrogate by \d\.\de-\d\d .*allowed: 1e-06.*no file was written"
    for target in ("x.pt2", "old.pt2"):
        with pytest.raises(ExportError, match=message):
            exports.build_surrogate("relaxation").export(tmp_path / target)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_export_prints_nothing_and_leaves_logging_alone(exports, tmp_path, capfd):
    before = logging.root.manager.disable
    exports.build_surrogate("autonomous").export(tmp_path / "x.pt2")
    branching = exports.Spring(lambda rate: rate if rate.sum() > 0 else 2 * rate)
    for target in ("y.pt2", "y.onnx"):
        with pytest.raises(ExportError, match="cannot be exported"):
            exports.with_field(branching).export(tmp_path / target)
    assert capfd.readouterr() == ("", "")
    assert logging.root.manager.disable == before
