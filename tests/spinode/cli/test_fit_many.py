"""`spinode fit-many`: a folder of devices, with bad files, an outlier and a map, that continues after an interruption."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch

from spinode import kernels
from spinode.cli import main
from spinode.datasets import write_csv
from spinode.surrogates.neural_ode.surrogate import Surrogate
from spinode.surrogates.testing import resonator
from spinode.traces.trace import Trace

pytestmark = pytest.mark.skipif(not kernels.available(), reason="fits side by side need the compiled kernels")

QUICK = [
    "--embedding",
    "derivative",
    "--order",
    "2",
    "--ridge",
    "1e-7",
    "--windows",
    "8",
    "40",
    "--hidden",
    "2",
    "--restarts",
    "1",
]


@pytest.fixture
def wafer(tmp_path):
    """Write nine devices on a grid, the last with twice the gain, and two bad files."""
    voltage = np.repeat(np.random.default_rng(0).normal(0, 0.5, size=24), 10)
    drive = torch.as_tensor(voltage)[:, None]
    folder = tmp_path / "wafer"
    folder.mkdir()
    for number in range(9):
        gain = 1.0 if number == 8 else 0.5 + 0.01 * (number % 3)
        output = resonator(gain=gain).simulate(drive, interpolation={"V": "held"}).detach().numpy()[:, 0]
        trace = Trace(1e-11 * np.arange(240), {"V": voltage}, {"y": output}, interpolation={"V": "held"})
        write_csv(folder / f"die{number % 3}_{number // 3}.csv", trace)
    (folder / "die3_0.csv").write_text("this is no table\n")
    write_csv(folder / "die3_1.csv", trace.between(None, 5e-10))
    return folder


def test_a_wafer_gives_models_a_table_and_pictures(wafer, tmp_path, capsys):
    words = ["fit-many", str(wafer), "--pattern", "die{x}_{y}.csv", "--drive", "V", "--output", "y", "--pilots", "1", *QUICK]
    assert main([*words, "--iterations", "5", "--save", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("11 devices: ")
    assert "2 failed" in printed
    rows = {row["device"]: row for row in csv.DictReader((tmp_path / "out" / "table.csv").read_text().splitlines())}
    assert len(rows) == 11
    assert (float(rows["die2_1"]["x"]), float(rows["die2_1"]["y"])) == (2.0, 1.0)
    assert "no rows of numbers" in rows["die3_0"]["reason"]
    assert "at least 200" in rows["die3_1"]["reason"]
    assert "- die2_2: " in printed
    assert (tmp_path / "out" / "wafer-nrmse.png").stat().st_size > 1000
    assert Surrogate.load(tmp_path / "out" / "models" / "die0_0.safetensors").record["fingerprint"]

    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out" / "models").iterdir()}
    (tmp_path / "out" / "models" / "die1_1.safetensors").unlink()
    assert main([*words, "--iterations", "5", "--save", str(tmp_path / "out")]) == 0
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out" / "models").iterdir()}
    assert [name for name in before if before[name] != after[name]] == ["die1_1.safetensors"]
    (tmp_path / "out" / "lines" / "die1_1.json").write_text("{")
    assert main([*words, "--iterations", "5", "--save", str(tmp_path / "out")]) == 2
    assert "Delete it, and its device is fitted again" in capsys.readouterr().err


def test_bad_input_is_refused(wafer, tmp_path, capsys):
    save = ["--save", str(tmp_path / "out")]
    assert main(["fit-many", str(wafer), *save]) == 2
    assert "no --output was given" in capsys.readouterr().err
    assert main(["fit-many", str(wafer), "--drive", "V", "--output", "z", *save]) == 2
    assert "none of the 11 files can be read; the first: " in capsys.readouterr().err
