"""Runs that are continued on purpose, tasks that end early, and what a run refuses to resume."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import CSVLogger

from spinode.datasets import PermutedTasks, made_digits
from spinode.errors import ConfigError
from spinode.training import BayesianLearner, MetaplasticBNN, OnlineLearner, PlainLearner, StreamConfig, train, train_seeds
from spinode.training.passes import Passes
from spinode.training.resume import CHECKPOINT_FILE
from spinode.training.trainer_arguments import REFUSED

DIGITS = made_digits(train=60, test=30)
CONFIG = StreamConfig(batch_size=20, epochs=2, recent=2)

LEARNERS = {
    "ewc": lambda stream, **own: PlainLearner(stream, rule="ewc", hidden=[6], **own),
    "online si": lambda stream, **own: OnlineLearner(stream, rule="si", hidden=6, **own),
    "online mesu": lambda stream, **own: OnlineLearner(stream, rule="mesu", hidden=6, **own),
    "bnn": lambda stream, **own: MetaplasticBNN(stream, hidden=[6], **own),
    "bayesian": lambda stream, **own: BayesianLearner(stream, hidden=[6], samples=2, test_samples=2, **own),
}


def digits(tasks, **settings):
    return PermutedTasks(DIGITS, tasks=tasks, seed=1, **settings)


def adam(stream, **settings):
    return PlainLearner(stream, **{"rule": "adam", "hidden": [6], **settings})


def batches(name):
    return {"batch_size": 1 if name.startswith("online") else 20}


def assert_same(one, other):
    for view, matrix in one.accuracies.items():
        np.testing.assert_array_equal(matrix.values, other.accuracies[view].values)
    assert one.detection.keys() == other.detection.keys()
    for name, values in one.detection.items():
        assert torch.equal(values, other.detection[name]), name


# More tasks


@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.parametrize("evaluate", ["seen", "recent"])
def test_a_stream_continued_with_more_tasks_equals_one_of_all(name, evaluate, tmp_path):
    make, settings = LEARNERS[name], {**batches(name), "evaluate": evaluate}
    if (name, evaluate) == ("bayesian", "recent"):
        settings["ood"] = digits(4, scale="standard")
    first = {**settings, "ood": digits(2, scale="standard")} if "ood" in settings else settings
    train(make(digits(2)), digits(2), CONFIG, checkpoint=tmp_path / "a", **first)
    continued = train(make(digits(4)), digits(4), CONFIG, checkpoint=tmp_path / "b", continue_from=tmp_path / "a", **settings)
    assert_same(continued, train(make(digits(4)), digits(4), CONFIG, **settings))
    assert len(continued.seconds) == 4
    assert "from task 3 on: " in continued.continued[0]
    assert "stream.tasks 2 -> 4" in continued.continued[0]


def test_five_tasks_become_eight_in_the_same_folder_and_an_interrupted_continuation_resumes(tmp_path):
    class Kill(Callback):
        def on_train_epoch_start(self, trainer, _):
            if trainer.current_epoch == 6:
                raise RuntimeError("killed")

    once = {"epochs": 1, "checkpoint": tmp_path, "checkpoint_every": 0.0}
    train(adam(digits(5)), digits(5), CONFIG, **once)
    with pytest.raises(RuntimeError, match="killed"):
        train(adam(digits(8)), digits(8), CONFIG, continue_from=tmp_path, trainer={"callbacks": [Kill()]}, **once)
    lines = []
    continued = train(adam(digits(8)), digits(8), CONFIG, continue_from=tmp_path, progress=lines.append, **once)
    assert [line.split(":")[0] for line in lines] == ["task 7 of 8", "task 8 of 8"]
    assert_same(continued, train(adam(digits(8)), digits(8), CONFIG, epochs=1))
    with pytest.raises(ConfigError, match=r"continued with other settings \(from task 6 on: .*pass continue_from"):
        train(adam(digits(8)), digits(8), CONFIG, **once)


def test_seeds_are_continued_one_by_one(tmp_path):
    def make(tasks):
        return lambda seed: (adam(digits(tasks), seed=seed), digits(tasks))

    train_seeds(make(1), CONFIG, seeds=(0, 1), checkpoint=tmp_path)
    continued = train_seeds(make(2), CONFIG, seeds=(0, 1), continue_from=tmp_path)
    for one, other in zip(continued, train_seeds(make(2), CONFIG, seeds=(0, 1)), strict=True):
        assert_same(one, other)


# More epochs, other settings


def test_more_epochs_of_the_last_task_equal_all_at_once(tmp_path):
    train(adam(digits(1)), digits(1), CONFIG, checkpoint=tmp_path)
    continued = train(adam(digits(1)), digits(1), CONFIG, epochs=5, continue_from=tmp_path)
    assert_same(continued, train(adam(digits(1)), digits(1), CONFIG, epochs=5))
    assert continued.epochs == (5,)
    assert len(continued.seconds) == 1


def test_a_consolidated_task_gets_no_more_epochs(tmp_path):
    make = LEARNERS["ewc"]
    train(make(digits(1)), digits(1), CONFIG, checkpoint=tmp_path)
    with pytest.raises(ConfigError, match="ewc has consolidated it; more epochs would come too late"):
        train(make(digits(1)), digits(1), CONFIG, epochs=5, continue_from=tmp_path)
    later = train(make(digits(2)), digits(2), CONFIG, epochs=5, continue_from=tmp_path)
    assert later.epochs == (2, 5)


def test_another_rate_acts_and_is_written_into_the_result(tmp_path):
    train(adam(digits(2)), digits(2), CONFIG, tasks=1, checkpoint=tmp_path)
    learner = adam(digits(2), rate=0.03)
    continued = train(learner, digits(2), CONFIG, continue_from=tmp_path)
    assert learner.optimiser.param_groups[0]["lr"] == 0.03
    state = next(iter(learner.optimiser.state.values()))
    assert int(state["step"]) == 2 * 2 * 3  # the moments are those of the whole run
    assert "learner.settings.rate 0.001 -> 0.03" in continued.continued[0]
    assert continued.as_dict()["continued"] == list(continued.continued)
    unchanged = train(adam(digits(2)), digits(2), CONFIG)
    assert (continued.accuracy.values[1] != unchanged.accuracy.values[1]).any()
    np.testing.assert_array_equal(continued.accuracy.values[0], unchanged.accuracy.values[0])


@pytest.mark.parametrize(
    ("learner", "stream", "message"),
    [
        ({"seed": 1}, {}, "learner.seed is 0 in the checkpoint and 1 here"),
        ({"rule": "sgd"}, {}, "learner.rule is 'adam' in the checkpoint and 'sgd' here"),
        ({"hidden": [7]}, {}, "the learner has other weights than the run of .*size mismatch"),
        ({}, {"scale": "standard"}, "task 0 of the stream .* is another one"),
        ({}, {"first_identity": True}, "task 0 of the stream .* is another one"),
    ],
)
def test_seeds_data_and_layers_cannot_change_on_the_way(learner, stream, message, tmp_path):
    train(adam(digits(1)), digits(1), CONFIG, checkpoint=tmp_path)
    before = (tmp_path / CHECKPOINT_FILE).read_bytes()
    other = adam(digits(2), **learner)
    weights = {name: value.clone() for name, value in other.state_dict().items()}
    with pytest.raises(ConfigError, match=message):
        train(other, digits(2, **stream), CONFIG, continue_from=tmp_path, checkpoint=tmp_path)
    assert (tmp_path / CHECKPOINT_FILE).read_bytes() == before
    assert all(torch.equal(value, weights[name]) for name, value in other.state_dict().items())


def test_a_folder_without_a_run_cannot_be_continued(tmp_path):
    with pytest.raises(ConfigError, match=r"continue_from names .*, which has no checkpoint\.ckpt"):
        train(adam(digits(1)), digits(1), CONFIG, continue_from=tmp_path)


def test_a_continuation_that_would_change_nothing_is_refused(tmp_path):
    train(adam(digits(2)), digits(2), CONFIG, checkpoint=tmp_path)
    with pytest.raises(ConfigError, match="a run of the same settings, tasks and epochs: there is nothing to continue it with"):
        train(adam(digits(2)), digits(2), CONFIG, continue_from=tmp_path)
    with pytest.raises(ConfigError, match=r"finished its 2 tasks, .* config\.epochs is 2 .* and 1 here would change nothing"):
        train(adam(digits(2)), digits(2), CONFIG, epochs=1, continue_from=tmp_path)


# Resuming


def test_a_learner_that_a_run_has_changed_resumes_that_run(tmp_path):
    """As in a notebook, where an interrupted cell is run again."""
    learner, stream = adam(digits(2)), digits(2)
    first = train(learner, stream, CONFIG, checkpoint=tmp_path / "a")
    assert_same(first, train(learner, stream, CONFIG, checkpoint=tmp_path / "a"))
    train(adam(digits(2)), stream, CONFIG, checkpoint=tmp_path / "b")
    with pytest.raises(ConfigError, match=r"belongs to another run: learner\.optimiser\.state\.0 is absent in the checkpoint"):
        train(learner, stream, CONFIG, checkpoint=tmp_path / "b")  # that run began from fresh weights


def test_a_checkpoint_without_an_identity_is_refused(tmp_path):
    train(adam(digits(1)), digits(1), CONFIG, checkpoint=tmp_path)
    stored = torch.load(tmp_path / CHECKPOINT_FILE, weights_only=True)
    del stored["stream"]["identity"]
    torch.save(stored, tmp_path / CHECKPOINT_FILE)
    with pytest.raises(ConfigError, match="of an earlier version of spinode, which did not record data, seeds and code"):
        train(adam(digits(1)), digits(1), CONFIG, checkpoint=tmp_path)


# Early stopping


def test_early_stopping_ends_each_task_and_not_the_stream():
    impatient = EarlyStopping("train/loss", min_delta=10.0, patience=2)  # the loss never falls by 10
    result = train(adam(digits(3)), digits(3), CONFIG, epochs=6, trainer={"callbacks": [impatient]})
    assert result.epochs == (3, 3, 3)
    assert result.as_dict()["epochs by task"] == [3, 3, 3]
    values = result.accuracy.values
    assert not np.isnan(values[np.tril_indices(3)]).any()
    assert len(result.seconds) == 3


class StopAfter(Callback):
    """Stops within a pass of the second task, once."""

    def __init__(self, batches):
        self.batches = batches

    def on_train_batch_end(self, trainer, *_):
        self.batches -= 1
        if self.batches == 0:
            trainer.should_stop = True


@pytest.mark.parametrize("killed_in", [2, 3])
def test_a_run_with_a_task_that_ended_early_resumes_to_the_same_result(killed_in, tmp_path):
    class Kill(Callback):
        def on_train_epoch_start(self, trainer, _):
            if trainer.current_epoch == killed_in:
                raise RuntimeError("killed")

    stopped = train(adam(digits(2)), digits(2), CONFIG, epochs=3, trainer={"callbacks": [StopAfter(5)]})
    assert stopped.epochs == (2, 3)  # in the second batch of the second pass
    arguments = {"epochs": 3, "checkpoint": tmp_path, "checkpoint_every": 0.0}
    with pytest.raises(RuntimeError, match="killed"):
        train(adam(digits(2)), digits(2), CONFIG, trainer={"callbacks": [StopAfter(5), Kill()]}, **arguments)
    resumed = train(adam(digits(2)), digits(2), CONFIG, **arguments)
    assert resumed.epochs == (2, 3)
    assert_same(resumed, stopped)


def test_passes_of_several_lengths():
    passes = Passes([1, 3, 2])
    assert [passes.locate(epoch) for epoch in range(7)] == [(0, 0), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 1)]
    passes.stop(1, 1)
    assert (passes.total, passes.locate(2)) == (4, (2, 0))


# Arguments of the Trainer


@pytest.mark.parametrize("name", REFUSED)
def test_arguments_of_the_trainer_that_cannot_act_are_refused(name):
    with pytest.raises(ConfigError, match=f"trainer contains {name}=3, which cannot act: "):
        train(adam(digits(1)), digits(1), CONFIG, trainer={name: 3})


def test_loggers_receive_the_hyperparameters(tmp_path):
    logger = CSVLogger(tmp_path, name="run", version="log")
    train(adam(digits(1), seed=5), digits(1), CONFIG, trainer={"logger": logger})
    stored = yaml.safe_load((tmp_path / "run" / "log" / "hparams.yaml").read_text())
    assert stored["learner"]["rate"] == 0.001
    assert (stored["learner"]["seed"], stored["learner"]["rule"]) == (5, "adam")
    assert stored["config"]["epochs"] == 2
    assert stored["stream"]["name"] == "permuted made digits"
