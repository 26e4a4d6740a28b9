"""What a type checker reports about the code of a user: the public functions have types, none of them is `Any`."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import spinode

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="mypy is not installed"),
]

ROOMS = ("datasets", "surrogates", "training")

#: A script as a user writes it, with the type that a checker must reveal for each expression.
SCRIPT = """
import spinode
import torch
from spinode import Surrogate, Trace
from spinode.datasets import PermutedTasks, made_digits, read_trace
from spinode.surrogates import fit_synapse
from spinode.training import MetaplasticBNN, StreamConfig, roc_auc, train

trace = read_trace("measurement.csv", drive="V", output="I")
reveal_type(trace)  # Trace
model = spinode.fit(trace, seed=1)
reveal_type(model)  # Surrogate
reveal_type(spinode.evaluate(model, trace))  # Evaluation
reveal_type(model.run(trace))  # FreeRun
opened = spinode.load("model.safetensors", expected=Surrogate)
reveal_type(opened)  # Surrogate
synapse = fit_synapse(read_trace("pulses.csv"), seed=1)
reveal_type(synapse)  # SynapseSurrogate
stream = PermutedTasks(made_digits(), tasks=2)
reveal_type(stream)  # PermutedTasks
learner = MetaplasticBNN(stream, hidden=[20])
reveal_type(learner)  # MetaplasticBNN
result = train(learner, stream, StreamConfig(epochs=2), batch_size=20)
reveal_type(result)  # StreamResult
reveal_type(result.accuracy.backward_transfer)  # float
reveal_type(roc_auc(torch.rand(5), torch.rand(5)))  # float
"""


def link_package(folder: Path) -> None:
    """Link the installed package into a folder; an editable installation consists of four folders elsewhere."""
    target = folder / "spinode"
    target.mkdir()
    for entry in Path(spinode.__file__).parent.iterdir():
        if entry.name != "__pycache__":
            (target / entry.name).symlink_to(entry)
    for room in ROOMS:
        if not (target / room).exists():
            (target / room).symlink_to(Path(importlib.import_module(f"spinode.{room}").__file__).parent)


def test_a_users_script_is_checked_without_errors_and_without_any(tmp_path):
    link_package(tmp_path)
    (tmp_path / "script.py").write_text(SCRIPT)
    options = ["--strict", "--follow-imports=silent", "--cache-dir", str(tmp_path / "cache")]
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "script.py"],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    found = re.findall(r'script\.py:(\d+): note: Revealed type is "(.*)"', checked.stdout)
    revealed = {int(line): kind for line, kind in found}
    lines = enumerate(SCRIPT.splitlines(), 1)
    expected = {number: text.partition("  # ")[2] for number, text in lines if text.startswith("reveal_type")}
    assert revealed.keys() == expected.keys()
    for number, kind in expected.items():
        assert revealed[number].rpartition(".")[2] == kind, f"line {number}: {revealed[number]}"
