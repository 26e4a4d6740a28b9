"""Fixtures of the command line: calls in this process, an empty folder, and files that several tests read."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

import spinode
from spinode.cli import main
from spinode.datasets import SoftBounds, pulse_traces, read_trace, write_pulses
from spinode.datasets.write import write_csv
from spinode.surrogates import SynapseConfig, fit_synapse


@pytest.fixture
def run(capsys):
    """Call the command line in this process; return exit code, standard output, standard error."""

    def call(*words):
        showwarning = warnings.showwarning
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            try:
                code = main([str(word) for word in words])
            except SystemExit as stop:  # how argparse ends
                code = stop.code
            finally:
                warnings.showwarning = showwarning
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Make an empty folder the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def drive_file(here, macrospin):
    """Write the drive of 20 .. 24 ns, without outputs."""
    part = macrospin.between(20e-9, 24e-9)
    write_csv(here / "drive.csv", spinode.Trace(part.time, part.drive, {}, {}, {"Ku": "J/m3"}))
    return here / "drive.csv"


@pytest.fixture(scope="session")
def pulse_folder(tmp_path_factory):
    """Write a long-form file of one device, and a file of ramps for each polarity."""
    folder = tmp_path_factory.mktemp("pulses")
    device = SoftBounds(dw_min=0.02, dw_min_std=0.5, start=-0.5)
    turns = torch.where(torch.arange(160) // 20 % 2 == 0, 1.0, -1.0)
    write_pulses(folder / "one.csv", pulse_traces(device, turns, generator=torch.Generator().manual_seed(0)))
    for name, sign in (("set", 1.0), ("reset", -1.0)):
        start = SoftBounds(dw_min=0.02, dw_min_std=0.5, start=-0.6 * sign)
        traces = pulse_traces(start, sign * torch.ones(60), devices=3, generator=torch.Generator().manual_seed(1))
        columns = np.stack([trace.output["conductance"] for trace in traces], 1) * 50 + 100
        text = "r1,r2,r3\n" + "\n".join(",".join(f"{value:.6g}" for value in row) for row in columns)
        (folder / f"{name}.csv").write_text(text + "\n")
    return folder


@pytest.fixture(scope="session")
def synapse_file(pulse_folder):
    """Fit the long-form file roughly and save the surrogate."""
    path = pulse_folder / "device.safetensors"
    config = SynapseConfig(rounds=1, iterations=3, hidden=(4,))
    fit_synapse(read_trace(pulse_folder / "one.csv", pulses="long"), config).save(path)
    return path
