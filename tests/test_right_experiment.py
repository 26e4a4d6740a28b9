"""Runs that differ in one thing never share a checkpoint: a short form of `benchmarks/reliability/right_experiment`."""

import json
import os
import subprocess
import sys

import pytest


def counts(root, *arguments):
    """Run the script in a new process, as a user does; return its line."""
    script = root / "benchmarks" / "reliability" / "right_experiment.py"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    run = subprocess.run([sys.executable, script, *arguments], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def assert_right(line):
    assert line["wrong"] == []
    assert line["wrongly_accepted"] == line["wrongly_refused"] == line["unnamed"] == line["config_changed"] == 0
    assert line["refused"] + line["accepted"] == line["pairs"]


def test_a_part_of_the_pairs(root):
    line = counts(root, "--every", "5", "--only", "train", "own", "fit_stochastic", "command")
    assert_right(line)
    assert line["refused"] >= 10
    assert line["accepted"] >= 1


@pytest.mark.long
def test_all_pairs(root):
    line = counts(root)
    assert_right(line)
    assert line["pairs"] >= 50
    assert line["refused"] >= 50
