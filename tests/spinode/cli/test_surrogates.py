"""Commands for driven devices: inspect, fit, evaluate, report, simulate, export, design-drive."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

import spinode
from spinode.cli import commands
from spinode.cli.commands.fit import _validation
from spinode.datasets import read_trace, sample_path
from spinode.datasets.write import write_csv
from spinode.surrogates.testing import resonator

TABLE = str(sample_path("macrospin.csv"))
ROLES = ["--drive", "Ku", "--output", "mz"]
#: Options with which nothing is searched.
FAST = "--start 0 --stop 4e-9 --effort quick --embedding derivative -k 2 --ridge 3e-7 --restarts 1 --hidden 3 --quiet".split()  # noqa: SIM905


def listing(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_from_a_table_to_a_report(run, here):
    code, out, err = run("fit", TABLE, *ROLES, *FAST, "--save", "m.safetensors")
    assert (code, err) == (0, "")
    assert "saved m.safetensors" in out
    assert "validation: free-run NRMSE" in out
    assert "on the last part, not fitted" in out
    assert listing(here) == ["m.safetensors"]
    code, out, err = run("evaluate", "m.safetensors", TABLE, "--start", "4e-9", "--stop", "8e-9", "--json")
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == 1
    scores = json.loads(out)
    expected = {"nrmse", "r2", "spectrum_error", "horizon", "diverged_at", "outside_domain", "regime_change_at"}
    assert expected <= set(scores)
    assert scores["horizon"][-1][1] == pytest.approx(scores["nrmse"])
    code, out, err = run("evaluate", "m.safetensors", TABLE, "--start", "4e-9", "--stop", "8e-9")
    assert (code, err) == (0, "")
    assert f"{scores['nrmse']:.4g}" in out
    code, out, err = run("report", "m.safetensors", TABLE, "--start", "4e-9", "--stop", "8e-9", "--save", "r.html")
    assert (code, err) == (0, "")
    assert (here / "r.html").read_text().startswith("<!")
    code, out, err = run("simulate", "m.safetensors", TABLE, "--start", "4e-9", "--stop", "5e-9", "--save", "o.csv")
    assert code == 0
    back = read_trace(here / "o.csv")
    assert len(back) == 101
    assert set(back.channels) == {"Ku", "mz", "mz spread", "outside domain"}
    assert listing(here) == ["m.safetensors", "o.csv", "r.html"]


@pytest.mark.parametrize("command", ["evaluate", "report"])
def test_without_a_second_recording_the_sentence_names_what_is_missing(run, here, fitted_file, command):
    code, out, err = run(command, fitted_file, *(["--save", "r.html"] if command == "report" else []))
    assert (code, out) == (2, "")
    assert "no TABLE was given: a surrogate is scored on a recording that the fit has not used" in err
    assert "--start TIME" in err
    assert len(err.splitlines()) == 1


def test_inspect_prints_the_next_command(run):
    code, out, err = run("inspect", TABLE)
    assert (code, err) == (0, "")
    for word in ("mz", "Ku", "J/m3", "5001" if len(read_trace(TABLE)) == 5001 else "5000", "spinode fit"):
        assert word in out


@pytest.mark.parametrize("options", ["", "--unit Ku=MJ/m3 --start 1e-9 --parameter T=3"])
def test_printed_command_runs_as_typed(run, options):
    """The words after "spinode fit" are options of `fit`, and the reading options are those that were given."""
    out = run("inspect", TABLE, *options.split())[1]
    line = next(line.strip() for line in out.splitlines() if line.strip().startswith("spinode fit "))
    arguments = commands.build_parser("fit").parse_args(shlex.split(line)[2:])
    assert (arguments.tables, arguments.drive, arguments.output) == ([TABLE], ["Ku"], ["mz"])
    assert (arguments.units, arguments.start, arguments.parameters) == (
        (["Ku=MJ/m3"], 1e-9, ["T=3"]) if options else ([], None, [])
    )


def test_evaluate_with_other_column_names(run, here, fitted_file, macrospin):
    part = macrospin.between(12e-9, 14e-9)
    write_csv("other.csv", spinode.Trace(part.time, {"K": part.drive["Ku"]}, {"m": part.output["mz"]}, {}, {"K": "J/m3"}))
    same = run("evaluate", fitted_file, TABLE, "--start", "12e-9", "--stop", "14e-9", "--json")
    other = run("evaluate", fitted_file, "other.csv", "--drive", "K", "--output", "m", "--json")
    assert same[0] == other[0] == 0
    assert json.loads(other[1])["nrmse"] == pytest.approx(json.loads(same[1])["nrmse"], rel=1e-6)
    code, _, err = run("evaluate", fitted_file, "other.csv")
    assert code == 2
    assert "no channel 'Ku'" in err


def test_simulate_equals_surrogate_simulate(run, here, fitted, fitted_file, drive_file):
    code, out, _ = run("simulate", fitted_file, drive_file, "--save", "o.csv")
    assert code == 0
    assert "401 samples every 1e-11 s" in out
    back = read_trace("o.csv", output="mz")
    drive = torch.as_tensor(np.array(read_trace(drive_file, drive="Ku").drive["Ku"]))[:, None]
    fitted._warned = True
    assert np.allclose(back.output["mz"], fitted.simulate(drive)[:, 0].detach().numpy(), atol=1e-9)


def test_drive_of_another_interval_needs_resample(run, here, fitted_file, macrospin):
    part = macrospin.between(20e-9, 24e-9)
    finer = spinode.resample(part, 4e-12)
    write_csv("fine.csv", spinode.Trace(finer.time, finer.drive, {}, {}, {"Ku": "J/m3"}))
    code, _, err = run("simulate", fitted_file, "fine.csv", "--save", "o.csv")
    assert code == 2
    assert "sampled every 4e-12 s, the surrogate steps every 1e-11 s" in err
    assert "--resample" in err
    assert listing(here) == ["fine.csv"]
    assert run("simulate", fitted_file, "fine.csv", "--resample", "--save", "o.csv")[0] == 0
    assert np.allclose(np.diff(read_trace("o.csv").time), 1e-11)


def test_noise_follows_the_seed(run, here, fitted_file, drive_file):
    texts = []
    for words in (("--seed", "1"), ("--seed", "1"), ("--seed", "2")):
        assert run("simulate", fitted_file, drive_file, "--noise", *words, "--save", "o.csv")[0] == 0
        texts.append(Path("o.csv").read_text())
    assert texts[0] == texts[1] != texts[2]


def test_strict_writes_nothing_outside_the_domain(run, here, fitted_file, macrospin):
    part = macrospin.between(20e-9, 22e-9)
    write_csv("far.csv", spinode.Trace(part.time, {"Ku": 3 * part.drive["Ku"] - 1.4e6}, {}, {}, {"Ku": "J/m3"}))
    code, _, err = run("simulate", fitted_file, "far.csv", "--output", "Ku", "--strict", "--save", "o.csv")
    assert code == 2
    assert "Traceback" not in err
    code, _, err = run("simulate", fitted_file, "far.csv", "--strict", "--save", "o.csv")
    assert code == 2
    assert "nothing was written" in err or "resting" in err
    assert listing(here) == ["far.csv"]


@pytest.mark.slow
def test_exported_programs_run_elsewhere(run, here, fitted, fitted_file):
    code, out, err = run("export", fitted_file, "m.pt2", "--float32", "--interpolation", "Ku=held")
    assert (code, err) == (0, "")
    assert out == "saved m.pt2: one step, for torch.export.load; compared with PyTorch\n"
    code, out, err = run("export", fitted_file, "m.onnx", "--interpolation", "Ku=held")
    assert (code, err) == (0, "")
    assert out == "saved m.onnx: whole rollouts, for an ONNX runtime; compared with PyTorch\n"
    assert listing(here) == ["m.onnx", "m.pt2"]
    drive = torch.full((1, 40, 1), float(fitted.scales.drive_mean[0]), dtype=torch.float64)
    state = 0.1 * torch.ones(1, 2, dtype=torch.float64)
    fitted._warned = True
    expected = fitted.simulate(drive, state=state, interpolation={"Ku": "held"}).detach()
    output, _ = onnxruntime.InferenceSession("m.onnx").run(None, {"drive": drive.numpy(), "state": state.numpy()})
    assert np.allclose(output, expected.numpy(), rtol=0, atol=1e-9)
    step, moved, volts = torch.export.load("m.pt2").module(), state.float(), drive[:, 0].float()
    for _ in range(39):
        moved, _, output = step(moved, volts, volts, volts)
    assert output.dtype == torch.float32
    assert float(output) == pytest.approx(float(expected[0, -1]), abs=1e-4)


def test_designed_drive_is_read_back(run, here):
    options = {"low": -2, "high": 3, "unit": "mA", "name": "I", "duration": 1e-6, "interval": 1e-9, "seed": 4}
    words = [word for name, value in options.items() for word in (f"--{name}", value)] + ["--save", "drive.csv"]
    code, out, err = run("design-drive", *words, "--hold", "5e-9", "--longest", "5e-8")
    assert (code, err) == (0, "")
    assert "1000 samples every 1e-09 s" in out
    trace = read_trace("drive.csv")
    current = trace.channels["I"]
    assert len(current) == 1000
    assert trace.units["I"] == "A"
    assert -2e-3 <= current.min() < -1e-3
    assert 2e-3 < current.max() <= 3e-3
    code, _, err = run("design-drive", *words, "--longest", "1")
    assert code == 2
    assert "pass a longer duration" in err


def test_ramp_with_holds_longer_than_a_stretch_is_refused(run, here):
    words = ["--low", "-1", "--high", "1", "--duration", "6e-7", "--interval", "1e-9", "--ramp", "--save", "drive.csv"]
    code, _, err = run("design-drive", *words, "--hold", "2e-7")
    assert code == 2
    assert "the shortest stretch of the ramp 1e-07 s of the 6e-07 s" in err


@pytest.mark.parametrize(("splits", "expected"), [(1, "on the last part, not fitted"), (4, "on parts left out in turn")])
def test_validation_line_says_what_was_not_fitted(splits, expected):
    surrogate = resonator()
    surrogate.record.update(validation=[0.1], kept=[0], splits=splits, config={"embedding": None})
    assert expected in _validation(surrogate)[0]


def test_negative_levels_in_scientific_notation(run, here):
    words = ["--low", "-2e-3", "--high", "2e-3", "--duration", "1e-6", "--interval", "1e-8", "--save", "drive.csv"]
    assert run("design-drive", *words)[0] == 0
    assert read_trace("drive.csv").channels["drive"].min() < -1e-3
