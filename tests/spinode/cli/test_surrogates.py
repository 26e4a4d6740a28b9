"""The command line: the way through, and every bad input as one message with exit code 2 and no file left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

import spinode
from spinode.cli import main
from spinode.datasets import read_trace, sample_path
from spinode.datasets.write import write_csv

TABLE = str(sample_path("macrospin.csv"))
ROLES = ["--drive", "Ku", "--output", "mz"]
FAST = ["--start", "0", "--stop", "4e-9", "-k", "2", "--restarts", "1", "--hidden", "3", "--quiet"]


@pytest.fixture
def run(capsys):
    """Call the command line in this process: exit code, standard output, standard error."""

    def called(*words):
        shown = warnings.showwarning
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            try:
                code = main([str(word) for word in words])
            except SystemExit as stop:  # argparse ends so
                code = stop.code
            finally:
                warnings.showwarning = shown
        out, err = capsys.readouterr()
        return code, out, err

    return called


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def listing(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def drive_file(here, macrospin):
    """The drive of 20 .. 24 ns alone."""
    part = macrospin.between(20e-9, 24e-9)
    write_csv(here / "drive.csv", spinode.Trace(part.time, part.drive, {}, {}, {"Ku": "J/m3"}))
    return here / "drive.csv"


# --- the way through ----------------------------------------------------------------------------------------------------


def test_from_a_table_to_a_report(run, here):
    code, out, err = run("fit", TABLE, *ROLES, *FAST, "--save", "m.safetensors")
    assert (code, err) == (0, "")
    assert "saved m.safetensors" in out
    assert "validation: free-run NRMSE" in out
    assert listing(here) == ["m.safetensors"]
    code, out, err = run("evaluate", "m.safetensors", TABLE, "--start", "4e-9", "--stop", "8e-9", "--json")
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == 1
    scores = json.loads(out)
    wanted = {"nrmse", "r2", "spectrum_error", "horizon", "diverged_at", "outside_domain", "regime_change_at"}
    assert wanted <= set(scores)
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


def test_inspect_names_the_next_command(run):
    code, out, err = run("inspect", TABLE)
    assert (code, err) == (0, "")
    for word in ("mz", "Ku", "J/m3", "5001" if len(read_trace(TABLE)) == 5001 else "5000", "spinode fit"):
        assert word in out


def test_help_and_version(run):
    code, out, _ = run("--version")
    assert (code, out.strip()) == (0, f"spinode {spinode.__version__}")
    for command in ((), ("fit",), ("evaluate",), ("simulate",), ("report",), ("export",), ("inspect",), ("demo",)):
        code, out, _ = run(*command, "--help")
        assert code == 0
        assert "usage: spinode" in out


def test_a_file_that_names_its_columns_otherwise(run, here, fitted_file, macrospin):
    part = macrospin.between(12e-9, 14e-9)
    write_csv("other.csv", spinode.Trace(part.time, {"K": part.drive["Ku"]}, {"m": part.output["mz"]}, {}, {"K": "J/m3"}))
    same = run("evaluate", fitted_file, TABLE, "--start", "12e-9", "--stop", "14e-9", "--json")
    other = run("evaluate", fitted_file, "other.csv", "--drive", "K", "--output", "m", "--json")
    assert same[0] == other[0] == 0
    assert json.loads(other[1])["nrmse"] == pytest.approx(json.loads(same[1])["nrmse"], rel=1e-6)
    code, _, err = run("evaluate", fitted_file, "other.csv")
    assert code == 2
    assert "no channel 'Ku'" in err


def test_simulate_is_the_surrogate_under_that_drive(run, here, fitted, fitted_file, drive_file):
    code, out, _ = run("simulate", fitted_file, drive_file, "--save", "o.csv")
    assert code == 0
    assert "401 samples every 1e-11 s" in out
    back = read_trace("o.csv", output="mz")
    drive = torch.as_tensor(np.array(read_trace(drive_file, drive="Ku").drive["Ku"]))[:, None]
    fitted._warned = True
    assert np.allclose(back.output["mz"], fitted.simulate(drive)[:, 0].detach().numpy(), atol=1e-9)


def test_a_drive_of_another_interval_is_refused_until_it_may_be_resampled(run, here, fitted_file, macrospin):
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


def test_noise_is_that_of_the_seed(run, here, fitted_file, drive_file):
    texts = []
    for words in (("--seed", "1"), ("--seed", "1"), ("--seed", "2")):
        assert run("simulate", fitted_file, drive_file, "--noise", *words, "--save", "o.csv")[0] == 0
        texts.append(Path("o.csv").read_text())
    assert texts[0] == texts[1] != texts[2]


def test_strict_writes_nothing_where_a_run_leaves_the_domain(run, here, fitted_file, macrospin):
    part = macrospin.between(20e-9, 22e-9)
    write_csv("far.csv", spinode.Trace(part.time, {"Ku": 3 * part.drive["Ku"] - 1.4e6}, {}, {}, {"Ku": "J/m3"}))
    code, _, err = run("simulate", fitted_file, "far.csv", "--output", "Ku", "--strict", "--save", "o.csv")
    assert code == 2
    assert "Traceback" not in err
    code, _, err = run("simulate", fitted_file, "far.csv", "--strict", "--save", "o.csv")
    assert code == 2
    assert "nothing was written" in err or "resting" in err
    assert listing(here) == ["far.csv"]


def test_export_writes_what_runs_elsewhere(run, here, fitted, fitted_file):
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
    wanted = fitted.simulate(drive, state=state, interpolation={"Ku": "held"}).detach()
    output, _ = onnxruntime.InferenceSession("m.onnx").run(None, {"drive": drive.numpy(), "state": state.numpy()})
    assert np.allclose(output, wanted.numpy(), rtol=0, atol=1e-9)
    step, moved, volts = torch.export.load("m.pt2").module(), state.float(), drive[:, 0].float()
    for _ in range(39):
        moved, _, output = step(moved, volts, volts, volts)
    assert output.dtype == torch.float32
    assert float(output) == pytest.approx(float(wanted[0, -1]), abs=1e-4)


# --- bad input ------------------------------------------------------------------------------------------------------------


def damaged(macrospin, name):
    """Files that are wrong in one respect, by name."""
    part = macrospin.between(0, 4e-9)
    t, u, y = np.array(part.time), np.array(part.drive["Ku"]), np.array(part.output["mz"])
    if name == "nan.csv":
        y[50] = np.nan
    elif name == "constant.csv":
        u[:] = 7e5
    elif name == "double.csv":
        t[100] = t[99]
    elif name == "back.csv":
        t = t[::-1].copy()
    elif name == "short.csv":
        t, u, y = t[:20], u[:20], y[:20]
    elif name == "still.csv":
        y[:] = 0.5
    write_csv(name, spinode.Trace(t, {"Ku": u}, {"mz": y}, {}, {"Ku": "V" if name == "volts.csv" else "J/m3"}))


FIT = ["fit", TABLE, *ROLES, *FAST, "--save", "m.safetensors"]


def of(name):
    return ["fit", name, *ROLES, "-k", "2", "--save", "m.safetensors"]


BAD = {
    "missing file": (["fit", "nothing.csv", *ROLES, "--save", "m"], "there is no file nothing.csv"),
    "folder": (["fit", ".", *ROLES, "--save", "m"], "taken is empty"),
    "missing column": (["fit", TABLE, "--drive", "Ku", "--output", "mx", "--save", "m"], "has no column 'mx'"),
    "no output": (["fit", TABLE, "--drive", "Ku", "--save", "m"], "no --output was given"),
    "wrong unit": (["fit", TABLE, *ROLES, "--unit", "Ku=parsec", "--save", "m"], "parsec"),
    "time in volts": (["fit", TABLE, *ROLES, "--unit", "time=V", "--save", "m"], "no unit of time"),
    "unit without =": (["fit", TABLE, *ROLES, "--unit", "mV", "--save", "m"], "has no '='"),
    "NaN": (of("nan.csv"), "'mz' holds 1 NaN or infinite values"),
    "constant drive": (of("constant.csv"), "drive 'Ku' is constant"),
    "constant output": (of("still.csv"), "output 'mz' is constant"),
    "duplicate time": (of("double.csv"), "time repeats after sample 99"),
    "backward time": (of("back.csv"), "time runs backwards"),
    "short": (of("short.csv"), "at least 200 are needed"),
    "stretch outside": (["fit", TABLE, *ROLES, "--start", "1", "--stop", "2", "--save", "m"], "leaves the recording"),
    "stretch reversed": (["fit", TABLE, *ROLES, "--start", "2e-9", "--stop", "1e-9", "--save", "m"], "must lie before stop"),
    "unwritable": (["fit", TABLE, *ROLES, "--save", "nowhere/m.safetensors"], "the folder nowhere does not exist"),
    "save is a folder": (["fit", TABLE, *ROLES, "--save", "."], "is a folder"),
    "device file": (["fit", TABLE, *ROLES, "--save", "/proc/m"], "cannot write /proc/m"),
    "checkpoint path": ([*FIT, "--checkpoint", "nowhere/c"], "the folder nowhere does not exist"),
    "order": (["fit", TABLE, *ROLES, "-k", "0", "--save", "m"], "order is 0"),
    "interval": (["fit", TABLE, *ROLES, "--sample-interval", "nan", "--save", "m"], "sample_interval is nan"),
    "finer interval": (["fit", TABLE, *ROLES, "--sample-interval", "1e-13", "--save", "m"], "finer than the recording's own"),
    "embedding": (["fit", TABLE, *ROLES, "--embedding", "fourier", "--save", "m"], "embedding is 'fourier'"),
    "seed": (["fit", TABLE, *ROLES, "--seed", "-1", "--save", "m"], "seed is -1"),
    "parameter": (["fit", TABLE, *ROLES, "--parameter", "T=hot", "--save", "m"], "'hot'"),
    "infinite parameter": (["fit", TABLE, *ROLES, "--parameter", "T=inf", "--save", "m"], "finite number"),
    "no surrogate": (["evaluate", TABLE, TABLE], "cannot be read as a surrogate"),
    "missing surrogate": (["evaluate", "nothing", TABLE], "there is no file nothing"),
    "evaluate NaN": (["evaluate", "GOOD", "nan.csv"], "NaN or infinite"),
    "evaluate short": (["evaluate", "GOOD", "short.csv"], "at least 50 are needed"),
    "evaluate constant": (["evaluate", "GOOD", "still.csv"], "nothing to compare with"),
    "evaluate volts": (["evaluate", "GOOD", "volts.csv"], "'Ku' is in V, the surrogate's 'Ku' is in J/m3"),
    "evaluate two drives": (["evaluate", "GOOD", TABLE, "--drive", "Ku", "--drive", "mz"], "2 drive names came"),
    "evaluate parameter": (["evaluate", "GOOD", TABLE, "--parameter", "mz=1"], "used twice"),
    "simulate volts": (["simulate", "GOOD", "volts.csv", "--save", "o.csv"], "is in V"),
    "simulate NaN": (["simulate", "GOOD", "nan.csv", "--output", "mz", "--save", "o.csv"], "NaN or infinite"),
    "simulate column": (["simulate", "GOOD", TABLE, "--drive", "K", "--save", "o.csv"], "no channel 'K'"),
    "simulate unwritable": (["simulate", "GOOD", TABLE, "--save", "nowhere/o.csv"], "does not exist"),
    "report unwritable": (["report", "GOOD", TABLE, "--save", "nowhere/r.html"], "does not exist"),
    "report NaN": (["report", "GOOD", "nan.csv", "--save", "r.html"], "NaN or infinite"),
    "export suffix": (["export", "GOOD", "m.pt"], "expected .pt2 (one step, for torch) or .onnx"),
    "export unwritable": (["export", "GOOD", "nowhere/m.pt2"], "does not exist"),
    "export no surrogate": (["export", TABLE, "m.pt2"], "cannot be read as a surrogate"),
    "export kind": (["export", "GOOD", "m.pt2", "--interpolation", "Ku=cubic"], "interpolation of 'Ku' is 'cubic'"),
    "export drive": (["export", "GOOD", "m.pt2", "--interpolation", "K=held"], "'K', which is no drive here"),
    "export without =": (["export", "GOOD", "m.pt2", "--interpolation", "held"], "such as --interpolation V=held"),
    "demo": (["demo", "--folder", "taken"], "cannot make the folder taken"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_ends_in_one_message(run, here, macrospin, fitted_file, name):
    words, message = BAD[name]
    for word in words:
        if word.endswith(".csv") and word != TABLE and not word.startswith(("o.", "no")):
            damaged(macrospin, word)
    Path("taken").write_text("")
    before = listing(here)
    code, out, err = run(*(fitted_file if word == "GOOD" else word for word in words))
    assert code == 2
    assert out == ""
    assert err.startswith("spinode: error: ")
    assert message in err
    assert "Traceback" not in err
    assert err.count("spinode: ") == 1
    assert len(err.strip().splitlines()) == 1
    assert listing(here) == before


@pytest.mark.parametrize(
    "words", [(), ("fit",), ("nonsense",), ("fit", TABLE, "--save", "m", "--restarts", "many"), ("evaluate", "x")]
)
def test_words_that_are_no_command_end_in_one_sentence_and_two(run, here, words):
    code, out, err = run(*words)
    assert code == 2
    assert out == ""
    assert err.startswith("spinode: error: ")
    assert len(err.strip().splitlines()) == 1
    assert "Traceback" not in err


def test_a_checkpoint_of_another_fit_is_one_message(run, here):
    Path("m.safetensors.checkpoint").write_bytes(b"rubbish")
    code, _, err = run(*FIT)
    assert code == 2
    assert "cannot be read" in err
    assert "Traceback" not in err
    assert listing(here) == ["m.safetensors.checkpoint"]


# --- as a process ---------------------------------------------------------------------------------------------------------


def command(*words):
    return [sys.executable, "-P", "-m", "spinode", *map(str, words)] if sys.version_info >= (3, 11) else [
        sys.executable, "-m", "spinode", *map(str, words)
    ]  # fmt: skip


def test_bad_input_of_a_process(here):
    done = subprocess.run(command("evaluate", "nothing", TABLE), capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("spinode: error: there is no file nothing")
    assert len(done.stderr.splitlines()) == 1


def test_a_closed_pipe_is_no_error(here):
    process = subprocess.Popen(command("inspect", TABLE), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 0
    assert err == b""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_an_interrupted_fit_resumes_to_the_identical_file(here):
    words = command("fit", TABLE, *ROLES, *FAST, "--stop", "2.2e-9", "--restarts", "60", "--hidden", "8", "--save")
    whole = subprocess.run([*words, "whole.safetensors"], capture_output=True, text=True)
    assert whole.returncode == 0, whole.stderr
    process = subprocess.Popen(
        [*words, "cut.safetensors"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Where the tests themselves run in the background, a shell has told them to ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    checkpoint = here / "cut.safetensors.checkpoint"
    limit = time.monotonic() + 60
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.01)
    assert process.poll() is None, "the fit was over before it could be interrupted"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert "the same command resumes from cut.safetensors.checkpoint" in err
    assert "Traceback" not in err
    assert listing(here) == ["cut.safetensors.checkpoint", "whole.safetensors"]
    again = subprocess.run([*words, "cut.safetensors"], capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert "resuming from cut.safetensors.checkpoint" in again.stderr
    assert (here / "cut.safetensors").read_bytes() == (here / "whole.safetensors").read_bytes()
    assert listing(here) == ["cut.safetensors", "whole.safetensors"]


def test_nothing_is_written_over_what_is_read(run, here):
    Path("t.csv").write_bytes(Path(TABLE).read_bytes())
    before = Path("t.csv").read_bytes()
    for words in (("fit", "t.csv", "--drive", "Ku", "--output", "mz", "--save", "t.csv"),):
        code, _, err = run(*words)
        assert code == 2
        assert "is the file that is read" in err
        assert Path("t.csv").read_bytes() == before


def test_a_drive_is_designed_and_read_back(tmp_path, capsys):
    target = tmp_path / "drive.csv"
    asked = [
        "--low",
        "-2",
        "--high",
        "3",
        "--unit",
        "mA",
        "--name",
        "I",
        "--duration",
        "1e-6",
        "--interval",
        "1e-9",
        "--seed",
        "4",
    ]
    assert main(["design-drive", *asked, "--hold", "5e-9", "--longest", "5e-8", "--save", str(target)]) == 0
    assert "1000 samples every 1e-09 s" in capsys.readouterr().out
    trace = read_trace(target)
    I = trace.channels["I"]  # noqa: E741
    assert len(I) == 1000
    assert trace.units["I"] == "A"
    assert -2e-3 <= I.min() < -1e-3
    assert 2e-3 < I.max() <= 3e-3
    assert main(["design-drive", *asked, "--longest", "1", "--save", str(target)]) == 2
    assert "pass a longer duration" in capsys.readouterr().err
