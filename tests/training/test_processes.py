"""Runs in several processes: what is refused before a process starts, and how the failure of one is reported."""

import multiprocessing

import pytest

from spinode.datasets import PermutedTasks, made_digits
from spinode.errors import ConfigError
from spinode.training import OnlineLearner, train
from spinode.training.processes import _failure


def test_learner_without_gradients_is_refused_before_a_process_starts(monkeypatch):
    monkeypatch.setattr(multiprocessing, "get_context", None)
    stream = PermutedTasks(made_digits(train=20, test=20), tasks=2)
    learner = OnlineLearner(stream, rule="sgd", hidden=5)
    with pytest.raises(ConfigError, match=r"^sgd has no gradients that 2 processes could average: it runs in one process"):
        train(learner, stream, batch_size=1, processes=2)


def test_failure_of_a_process_is_one_line():
    try:
        raise MemoryError("no memory for the batch\nsecond line")
    except MemoryError as error:
        message = str(_failure(1, 2, error))
    assert message == (
        "process 1 of 2 failed with MemoryError: no memory for the batch. Run with processes=1 for the whole traceback."
    )
