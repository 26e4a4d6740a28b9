"""Files of a wafer in, a table with a line a device out; bad files are listed and stop nothing; what is done is kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import spinode
from spinode.datasets.write import write_csv
from spinode.errors import ConfigError
from spinode.experiments.fleet import fit_files
from spinode.surrogates.testing import resonator

SETTINGS = {"embedding": "derivative", "order": 2, "hidden": 2, "ridge": 1e-7, "windows": (8, 40), "restarts": 1}
READING = {"drive": ["V"], "output": ["y"], "time": 1e-11}


def write_device(path, gain: float, seed: int) -> None:  # type: ignore[no-untyped-def]
    voltage = np.repeat(np.random.default_rng(seed).uniform(-1, 1, size=30), 10)
    output = resonator(gain=gain).simulate(torch.as_tensor(voltage)[:, None], interpolation={"V": "held"}).detach().numpy()
    noise = 1e-3 * np.random.default_rng(seed + 1).normal(size=300)
    write_csv(path, spinode.Trace(1e-11 * np.arange(300), {"V": voltage}, {"y": output[:, 0] + noise}))


@pytest.fixture(scope="module")
def wafer(tmp_path_factory):  # type: ignore[no-untyped-def]
    folder = tmp_path_factory.mktemp("wafer")
    for n in range(4):
        write_device(folder / f"die{n % 2}_{n // 2}.csv", 0.4 + 0.05 * n, n)
    (folder / "die5_5.csv").write_text("V,y\n1,nonsense\n")
    (folder / "notes.csv").write_text("a\n")
    return folder


@pytest.mark.slow
def test_a_wafer_becomes_a_table_and_continues(run, wafer, tmp_path) -> None:  # type: ignore[no-untyped-def]
    words = ["--pattern", "die{x}_{y}.csv", "--drive", "V", "--output", "y", "--embedding", "derivative", "--order", "2"]
    words += ["--hidden", "2", "--ridge", "1e-7", "--windows", "8", "40", "--restarts", "1", "--iterations", "5"]
    words += ["--chunk", "2", "--pilots", "1", "--quiet", "--save", str(tmp_path / "out")]
    code, out, err = run("fit-many", f"{wafer}/*.csv", *words)
    assert code == 0, err
    assert "6 devices" in out
    assert "2 failed" in out
    table = (tmp_path / "out" / "table.csv").read_text()
    assert table.splitlines()[0].startswith("device,x,y,")
    lines = {line.split(",")[0]: line for line in table.splitlines()[1:]}
    assert lines["die1_0"].startswith("die1_0,1.0,0.0,")
    assert "does not fit the pattern" in lines["notes"]
    for name in ("outliers.txt", "distributions.png", "wafer-nrmse.png", "surrogates/die1_1.safetensors"):
        assert (tmp_path / "out" / name).stat().st_size
    assert "die5_5: failed" in (tmp_path / "out" / "outliers.txt").read_text()
    stored = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "tasks" / "results").iterdir()}
    assert len(stored) == 4
    assert run("fit-many", f"{wafer}/*.csv", *words)[0] == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "tasks" / "results").iterdir()} == stored
    assert (tmp_path / "out" / "table.csv").read_text() == table
    assert run("fit-many", f"{wafer}/*.csv", *words, "--seed", "1")[0] == 0
    assert len(list((tmp_path / "out" / "tasks" / "results").iterdir())) == 8


def test_without_a_readable_file_there_is_no_fleet(wafer, tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match="none of the 1 files tried"):
        fit_files(wafer / "die5_5.csv", tmp_path, reading=READING, **SETTINGS)
