"""Bad input of the commands for driven devices: one sentence, exit code 2, and no file left behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import spinode
from spinode.datasets import sample_path
from spinode.datasets.write import write_csv

TABLE = str(sample_path("macrospin.csv"))
ROLES = ["--drive", "Ku", "--output", "mz"]
#: Options with which nothing is searched.
FAST = "--start 0 --stop 4e-9 --effort quick --embedding derivative -k 2 --ridge 3e-7 --restarts 1 --hidden 3 --quiet".split()  # noqa: SIM905


def listing(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def write_damaged(macrospin, name):
    """Write a file with one defect, by its name."""
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


def fit_of(name):
    return ["fit", name, *ROLES, "-k", "2", "--save", "m.safetensors"]


BAD = {
    "missing file": (["fit", "nothing.csv", *ROLES, "--save", "m"], "there is no file nothing.csv"),
    "folder": (["fit", ".", *ROLES, "--save", "m"], "taken is empty"),
    "missing column": (["fit", TABLE, "--drive", "Ku", "--output", "mx", "--save", "m"], "has no column 'mx'"),
    "no output": (["fit", TABLE, "--drive", "Ku", "--save", "m"], "no --output was given"),
    "wrong unit": (["fit", TABLE, *ROLES, "--unit", "Ku=parsec", "--save", "m"], "parsec"),
    "time in volts": (["fit", TABLE, *ROLES, "--unit", "time=V", "--save", "m"], "not a unit of time"),
    "unit without =": (["fit", TABLE, *ROLES, "--unit", "mV", "--save", "m"], "has no '='"),
    "NaN": (fit_of("nan.csv"), "'mz' has 1 NaN or infinite values"),
    "constant drive": (fit_of("constant.csv"), "drive 'Ku' is constant"),
    "constant output": (fit_of("still.csv"), "output 'mz' is constant"),
    "duplicate time": (fit_of("double.csv"), "time repeats after sample 99"),
    "backward time": (fit_of("back.csv"), "time runs backwards"),
    "short": (fit_of("short.csv"), "at least 200 are needed"),
    "part outside": (["fit", TABLE, *ROLES, "--start", "1", "--stop", "2", "--save", "m"], "leaves the recording"),
    "part reversed": (["fit", TABLE, *ROLES, "--start", "2e-9", "--stop", "1e-9", "--save", "m"], "must lie before stop"),
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
    "evaluate two drives": (["evaluate", "GOOD", TABLE, "--drive", "Ku", "--drive", "mz"], "2 drive channels were named"),
    "evaluate parameter": (["evaluate", "GOOD", TABLE, "--parameter", "mz=1"], "used twice"),
    "simulate volts": (["simulate", "GOOD", "volts.csv", "--save", "o.csv"], "is in V"),
    "simulate NaN": (["simulate", "GOOD", "nan.csv", "--output", "mz", "--save", "o.csv"], "NaN or infinite"),
    "simulate column": (["simulate", "GOOD", TABLE, "--drive", "K", "--save", "o.csv"], "no channel 'K'"),
    "simulate unwritable": (["simulate", "GOOD", TABLE, "--save", "nowhere/o.csv"], "does not exist"),
    "report unwritable": (["report", "GOOD", TABLE, "--save", "nowhere/r.html"], "does not exist"),
    "report NaN": (["report", "GOOD", "nan.csv", "--save", "r.html"], "NaN or infinite"),
    "export suffix": (["export", "GOOD", "m.pt"], "expected .onnx (whole rollouts, for an ONNX runtime) or .pt2"),
    "export unwritable": (["export", "GOOD", "nowhere/m.pt2"], "does not exist"),
    "export no surrogate": (["export", TABLE, "m.pt2"], "cannot be read as a surrogate"),
    "export kind": (["export", "GOOD", "m.pt2", "--interpolation", "Ku=cubic"], "interpolation of 'Ku' is 'cubic'"),
    "export drive": (["export", "GOOD", "m.pt2", "--interpolation", "K=held"], "'K', which is not a drive"),
    "export without =": (["export", "GOOD", "m.pt2", "--interpolation", "held"], "such as --interpolation V=held"),
    "demo": (["demo", "--folder", "taken"], "cannot create the folder taken"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_ends_in_one_message(run, here, macrospin, fitted_file, name):
    words, message = BAD[name]
    for word in words:
        if word.endswith(".csv") and word != TABLE and not word.startswith(("o.", "no")):
            write_damaged(macrospin, word)
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
def test_wrong_words_end_in_one_sentence(run, here, words):
    code, out, err = run(*words)
    assert code == 2
    assert out == ""
    assert err.startswith("spinode: error: ")
    assert len(err.strip().splitlines()) == 1
    assert "Traceback" not in err


def test_damaged_checkpoint_ends_in_one_message(run, here):
    Path("m.safetensors.checkpoint").write_bytes(b"rubbish")
    code, _, err = run(*FIT)
    assert code == 2
    assert "resuming" not in err
    assert "cannot be read" in err
    assert "Traceback" not in err
    assert listing(here) == ["m.safetensors.checkpoint"]


def test_input_file_is_never_overwritten(run, here):
    Path("t.csv").write_bytes(Path(TABLE).read_bytes())
    before = Path("t.csv").read_bytes()
    for words in (("fit", "t.csv", "--drive", "Ku", "--output", "mz", "--save", "t.csv"),):
        code, _, err = run(*words)
        assert code == 2
        assert "is the file that is read" in err
        assert Path("t.csv").read_bytes() == before
