"""Several processes that share each batch: the result of a single one, and errors that are reported once."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from spinode.datasets import PermutedTasks, made_digits
from spinode.errors import ConfigError
from spinode.training import StreamConfig, train

#: Each process starts Python, torch and Lightning.
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without processes")]

CONFIG = StreamConfig(tasks=2, epochs=2, batch_size=20, evaluate="seen")


@pytest.fixture(scope="module")
def stream():
    return PermutedTasks(made_digits(train=200, test=100), tasks=2, seed=1)


def make_learner(stream):
    from spinode.training import PlainLearner

    return PlainLearner(stream, hidden=[20], rule="sgd", rate=0.1, seed=0)


def test_two_processes_equal_a_single_one(stream, tmp_path):
    single, shared = make_learner(stream), make_learner(stream)
    lines = []
    one = train(single, stream, CONFIG)
    two = train(shared, stream, CONFIG, processes=2, progress=lines.append, checkpoint=tmp_path)
    np.testing.assert_allclose(two.accuracy.values, one.accuracy.values, atol=0.011)  # one response of 100 may differ
    for mine, other in zip(single.parameters(), shared.parameters(), strict=True):
        # Averaged means of halves of a batch differ by rounding, over 40 steps.
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)
    assert [line.split(":")[0] for line in lines] == ["task 1 of 2", "task 2 of 2"]  # one process reports
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.ckpt"]
    again = train(make_learner(stream), stream, CONFIG, checkpoint=tmp_path)
    np.testing.assert_array_equal(again.accuracy.values, two.accuracy.values)  # a single process accepts their checkpoint


def test_batches_that_cannot_be_shared_are_refused(stream):
    with pytest.raises(ConfigError, match="cannot be shared evenly by 2 processes"):
        train(make_learner(stream), stream, StreamConfig(tasks=1, batch_size=25), processes=2)


@pytest.mark.parametrize("processes", [0, -1, 1.5, 1000])
def test_numbers_of_processes_out_of_range(stream, processes):
    with pytest.raises(ConfigError, match=r"processes is .*; expected a whole number from 1 to 64"):
        train(make_learner(stream), stream, CONFIG, processes=processes)


def test_arguments_that_cannot_be_pickled_are_refused(stream):
    learner = make_learner(stream)
    learner.hook = lambda: None
    with pytest.raises(ConfigError, match="need arguments that can be pickled"):
        train(learner, stream, CONFIG, processes=2)


@pytest.mark.long
def test_from_the_command_line(tmp_path):
    words = ["train", "sgd", "--stream", "made-digits", "--tasks", "2", "--batch-size", "20"]
    words += ["--set-stream", "train=200", "--set-stream", "test=100"]
    command = [sys.executable, "-m", "spinode", *words, "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    two = subprocess.run([*command, "--processes", "2"], capture_output=True, text=True, env=environment)
    assert (two.returncode, two.stderr) == (0, "")
    assert len(two.stdout.splitlines()) == 1
