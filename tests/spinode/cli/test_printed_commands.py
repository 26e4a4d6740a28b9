"""The commands that `spinode inspect` prints run as typed."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace

import numpy as np
import pytest

from spinode.cli import commands, main
from spinode.cli.commands.fit import names_of_fit
from spinode.cli.evaluating import names_of
from spinode.cli.inputs import read_with_roles
from spinode.surrogates.neural_ode.evaluation import remedies
from spinode.surrogates.testing import resonator

h5py = pytest.importorskip("h5py")


@pytest.fixture
def two_runs(tmp_path):
    """Write a file of two recordings with the same channels, in a folder and with names that need quoting."""
    path = tmp_path / "my runs" / "it's one.h5"
    path.parent.mkdir()
    drive = np.repeat(np.random.default_rng(0).uniform(-1, 1, 40), 10)
    with h5py.File(path, "w") as file:
        for run in ("run 1", "run 2"):
            file[f"{run}/time"] = np.arange(400) * 1e-9
            file[f"{run}/time"].attrs["unit"] = "s"
            file[f"{run}/V in"] = drive
            file[f"{run}/I out"] = np.cumsum(drive) * 0.1
    return path


def printed_commands(text: str) -> list[list[str]]:
    return [shlex.split(line) for line in text.splitlines() if line.startswith("  spinode ")]


def test_commands_for_a_file_of_several_recordings_run_as_typed(two_runs, capsys):
    assert main(["inspect", str(two_runs)]) == 2
    inspect_one, fit_all = printed_commands(capsys.readouterr().err)
    assert main(inspect_one[1:]) == 0
    (fit_one,) = printed_commands(capsys.readouterr().out)
    for words, recordings in ((fit_all, 2), (fit_one, 1)):
        assert words[:2] == ["spinode", "fit"]
        traces = read_with_roles(commands.build_parser("fit").parse_args(words[2:]))
        assert len(traces) == recordings
        assert (list(traces[0].drive), list(traces[0].output)) == (["V in"], ["I out"])


def test_recordings_with_different_channels_are_not_offered_together(two_runs, capsys):
    with h5py.File(two_runs, "a") as file:
        del file["run 2/I out"]
    assert main(["inspect", str(two_runs)]) == 2
    message = capsys.readouterr().err
    assert len(printed_commands(message)) == 1
    assert main(["fit", str(two_runs), "--save", str(two_runs.with_suffix(".safetensors"))]) == 2
    assert "by number; their channels differ, so they are separate traces" in capsys.readouterr().err


def test_remedies_are_commands_that_run_as_typed(tmp_path, monkeypatch):
    """The files, channels and settings are those of the command line, in quotes; another --save never exists."""
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{k}e-9,{np.sin(k / 5):.6f},{np.cos(k / 7):.6f}\n" for k in range(200))
    (tmp_path / "my data.csv").write_text("time (s),V in (V),I out (A)\n" + rows)
    (tmp_path / "a model.safetensors").touch()
    settings = ["--effort", "quick", "--hidden", "8", "4", "--feedthrough", "true", "--unit", "V in=mV", "--start", "1e-8"]
    roles, saved = ["--drive", "V in", "--output", "I out"], "a model.safetensors"
    fit = commands.build_parser("fit").parse_args(["my data.csv", *roles, *settings, "--save", saved])
    score = commands.build_parser("evaluate").parse_args([saved, "my data.csv", "--drive", "V in", "--unit", "V in=mV"])
    device = resonator()
    device.ports = replace(device.ports, drive=("V",), output=("I out",), units={}, interpolation={"V": "held"})
    search = {"search": [{}]}
    for names, remedy in (
        (names_of_fit(fit), remedies.better_fit(search)),
        (names_of_fit(fit), remedies.more_restarts(search)),
        (names_of(score, device), remedies.OTHER_FIT),
    ):
        words = shlex.split(names.fill(remedy).rpartition(": ")[2])
        parsed = commands.build_parser("fit").parse_args(words[2:])
        (trace,) = read_with_roles(parsed)
        assert (list(trace.drive), list(trace.output)) == (["V in"], ["I out"])
        assert np.abs(trace.drive["V in"]).max() < 2e-3
        assert parsed.save == "a model-2.safetensors"
        if names.fitted:
            assert (parsed.hidden, parsed.feedthrough, trace.time[0]) == ([8, 4], True, pytest.approx(1e-8))
    words = shlex.split(names.fill(remedies.held_out_part("1e-7")).rpartition(": ")[2])
    parsed = commands.build_parser("evaluate").parse_args(words[2:])
    assert (parsed.surrogate, parsed.table, parsed.start) == (saved, "my data.csv", 1e-7)
    assert (parsed.drive, parsed.output) == (["V in"], ["I out"])


def test_every_placeholder_is_filled():
    """A remedy is filled completely where its names are known, and contains no placeholder where they are not."""
    texts = [value for name, value in vars(remedies).items() if name.isupper() and isinstance(value, str) and name[0] != "_"]
    texts += [
        remedies.better_fit({}),
        remedies.better_fit({"search": [{}]}),
        remedies.more_restarts({}),
        remedies.held_out_part("1"),
    ]
    texts += [remedies.wider_intervals({}, 1, calibrated) for calibrated in (True, False)]
    known = {"table": (("b.csv",), ("--start", "0")), "surrogate": "m.safetensors", "save": "n.safetensors"}
    for names in (remedies.Names((("a.csv",), ("--effort", "quick")), **known), remedies.Names(**known)):
        for text in texts:
            filled = names.fill(text)
            assert not re.search(r"\b(FITTED|TABLE|SURROGATE|FILE)\b", filled), filled
            assert filled.count("--effort") <= 1
            assert filled.count("--start") <= 1


def test_command_for_a_pattern_runs_as_typed(tmp_path, capsys):
    (tmp_path / "a b").mkdir()
    drive = np.repeat(np.random.default_rng(0).uniform(-1, 1, 40), 10)
    for level in (1, 2):
        rows = "".join(f"{k}e-9,{u:.6f},{y:.6f}\n" for k, (u, y) in enumerate(zip(drive, np.cumsum(drive), strict=True)))
        (tmp_path / "a b" / f"run{level}mV.csv").write_text("t (s),V (V),I (A)\n" + rows)
    pattern = str(tmp_path / "a b" / "run*.csv")
    assert main(["inspect", pattern, "--pattern", "run{level:mV}.csv"]) == 0
    (fit,) = printed_commands(capsys.readouterr().out)
    traces = read_with_roles(commands.build_parser("fit").parse_args(fit[2:]))
    assert [trace.parameters["level"] for trace in traces] == [1e-3, 2e-3]
