"""Killed runs end with the numbers of whole ones: a short form of `benchmarks/reliability/kills`."""

import json
import os
import subprocess
import sys


def test_runs_that_are_killed_and_resumed_end_with_the_same_numbers(root):
    script = root / "benchmarks" / "reliability" / "kills.py"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    command = [sys.executable, str(script), "--kills", "3", "--only", "fit-stochastic", "train-online"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True, env=environment)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["kills"] for line in lines] == [3, 3]
    for line in lines:
        assert line["finished"] >= 1
        assert (line["different"], line["failed"], line["left"]) == (0, 0, 0)
