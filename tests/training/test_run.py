"""A run over a stream: tests, notifications of the learner, and exact resume of killed runs."""

from __future__ import annotations

import json
import os
import signal
import stat
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from torch import nn

from spinode.contracts.task_stream import Task
from spinode.errors import ConfigError
from spinode.training import Learner, PlainLearner, StreamConfig, train, train_seeds
from spinode.training.data import batch_share
from spinode.training.results.result import summary
from spinode.training.resume import CHECKPOINT_FILE

CONFIG = StreamConfig(epochs=2, batch_size=20, evaluate="all")


class ToyStream:
    """A different random linear problem in each task."""

    name, shape, classes, boundaries = "toy", (8,), 3, True

    def __init__(self, tasks=4, samples=300, boundaries=True, far=0.0):
        self.tasks, self.samples, self.boundaries, self.far = tasks, samples, boundaries, far

    def __len__(self):
        return self.tasks

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        truth = torch.randn(8, 3, generator=generator)
        inputs = torch.randn(self.samples + 100, 8, generator=generator)
        labels = (inputs @ truth).argmax(1)
        inputs = inputs * (1 + self.far)
        return Task(f"toy {index}", inputs[:-100], labels[:-100], inputs[-100:], labels[-100:])

    def test(self, index):
        task = self[index]
        return task.test_inputs, task.test_labels


class ToyLearner(Learner):
    """Adam on a linear layer with noisy inputs, so that a wrong generator state changes the result."""

    rule = "toy"

    def __init__(self, seed=0, rate=0.1, views=("shared",)):
        super().__init__(seed=seed)
        self.views, self.rate = views, rate
        self.net = nn.Linear(8, 3)
        self.events = []
        with torch.no_grad():
            self.net.weight.normal_(generator=self.generator)
            self.net.bias.zero_()

    def settings(self):
        return {"rate": self.rate}

    def configure_optimizers(self):
        return torch.optim.Adam(self.net.parameters(), lr=self.rate)

    def begin_task(self, index):
        self.events.append(("begin", index))

    def end_task(self, index, task):
        self.events.append(("end", index, task.name))

    def learn(self, inputs, labels, batch_size):
        optimiser = self.optimizers()
        optimiser.zero_grad()
        noise = 0.1 * torch.randn(inputs.shape, generator=self.generator)
        loss = nn.functional.cross_entropy(self.net(inputs + noise), labels)
        self.manual_backward(loss)
        optimiser.step()
        return loss.detach()

    def log_probabilities(self, inputs, *, generator, task, view):
        noise = torch.randn(3, *inputs.shape, generator=generator)
        return self.net(inputs + 0.2 * noise).log_softmax(-1)


@pytest.fixture(scope="module")
def uninterrupted():
    """An uninterrupted run."""
    return train(ToyLearner(), ToyStream(), CONFIG, ood=ToyStream(far=3.0))


def assert_same(one, other):
    """Assert that two results are equal."""
    for view, matrix in one.accuracies.items():
        np.testing.assert_array_equal(matrix.values, other.accuracies[view].values)
        np.testing.assert_array_equal(matrix.untrained, other.accuracies[view].untrained)
    assert one.detection.keys() == other.detection.keys()
    for name, values in one.detection.items():
        assert torch.equal(values, other.detection[name])


# Tests and notifications


def test_learns_and_is_tested_on_all_tasks(uninterrupted):
    values, untrained = uninterrupted.accuracy.values, uninterrupted.accuracy.untrained
    assert not np.isnan(values).any()
    assert not np.isnan(untrained).any()
    assert np.diag(values).min() > 0.8 > untrained.max()  # chance is 1/3
    assert uninterrupted.accuracy.backward_transfer < -0.1  # without any protection
    assert len(uninterrupted.seconds) == 4
    assert (uninterrupted.rule, uninterrupted.stream, uninterrupted.seed, uninterrupted.recent) == ("toy", "toy", 0, 4)


def test_the_result_follows_from_the_seed(uninterrupted):
    again = train(ToyLearner(), ToyStream(), CONFIG, ood=ToyStream(far=3.0))
    assert_same(uninterrupted, again)
    other = train(ToyLearner(), ToyStream(), StreamConfig(epochs=2, batch_size=20, evaluate="all", seed=1))
    assert (other.accuracy.values != uninterrupted.accuracy.values).any()


def test_tests_do_not_change_learning(uninterrupted):
    """A learner that is tested less often learns the same."""
    tested_less = train(ToyLearner(), ToyStream(), StreamConfig(epochs=2, batch_size=20))
    lower = np.tril_indices(4)
    np.testing.assert_array_equal(tested_less.accuracy.values[lower], uninterrupted.accuracy.values[lower])
    assert np.isnan(tested_less.accuracy.values[np.triu_indices(4, 1)]).all()
    assert np.isnan(tested_less.accuracy.untrained).all()
    few = train(ToyLearner(), ToyStream(), StreamConfig(epochs=2, batch_size=20, evaluate="recent", recent=2))
    tested = ~np.isnan(few.accuracy.values)
    expected = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [1, 1, 1, 1]], dtype=bool)
    np.testing.assert_array_equal(tested, expected)
    np.testing.assert_array_equal(few.accuracy.values[tested], uninterrupted.accuracy.values[tested])


def test_the_learner_is_notified_of_boundaries_only_if_the_stream_has_them():
    config = StreamConfig(tasks=2, epochs=2, batch_size=100)
    learner = ToyLearner()
    train(learner, ToyStream(), config)
    assert learner.events == [("begin", 0), ("end", 0, "toy 0"), ("begin", 1), ("end", 1, "toy 1")]
    unnotified = ToyLearner()
    result = train(unnotified, ToyStream(boundaries=False), config)
    assert unnotified.events == []
    assert len(result.seconds) == 2


def test_each_epoch_contains_every_sample_once():
    batches = []

    class Counting(ToyLearner):
        def learn(self, inputs, labels, batch_size):
            batches.append((batch_size, inputs[:, 0].clone()))
            return super().learn(inputs, labels, batch_size)

    train(Counting(), ToyStream(tasks=1, samples=105), StreamConfig(epochs=2, batch_size=20))
    assert [len(each) for _, each in batches] == [20, 20, 20, 20, 20, 5] * 2
    assert {size for size, _ in batches} == {20}
    first, second = (torch.cat([each for _, each in batches[i : i + 6]]) for i in (0, 6))
    assert not torch.equal(first, second)
    assert torch.equal(first.sort().values, second.sort().values)
    assert torch.equal(first.sort().values, ToyStream(samples=105)[0].inputs[:, 0].sort().values)
    batches.clear()
    train(Counting(), ToyStream(tasks=1, samples=105), StreamConfig(batch_size=20, shuffle=False))
    assert torch.equal(torch.cat([each for _, each in batches]), ToyStream(samples=105)[0].inputs[:, 0])


def test_a_block_contains_consecutive_batches():
    class Blocked(ToyLearner):
        block = 4

        def learn(self, inputs, labels, batch_size):
            lengths.append((len(inputs), batch_size))
            for one, other in zip(inputs.split(batch_size), labels.split(batch_size), strict=True):
                loss = super().learn(one, other, batch_size)
            return loss

    lengths: list[tuple[int, int]] = []
    config = StreamConfig(tasks=2, batch_size=20, shuffle=False)
    blocked = train(Blocked(), ToyStream(samples=190), config)
    assert lengths == [(80, 20), (80, 20), (30, 20)] * 2
    assert_same(blocked, train(ToyLearner(), ToyStream(samples=190), config))


def test_views_are_scored_separately():
    class TwoViews(ToyLearner):
        def log_probabilities(self, inputs, *, generator, task, view):
            log_p = super().log_probabilities(inputs, generator=generator, task=task, view=view)
            return log_p if view == "task" else log_p[..., [1, 2, 0]]

    result = train(TwoViews(views=("task", "shared")), ToyStream(), StreamConfig(batch_size=20))
    assert list(result.accuracies) == ["task", "shared"]
    assert result.accuracy is result.accuracies["task"]
    assert result.accuracies["shared"].accuracy < result.accuracy.accuracy
    figures = result.figures()
    assert figures["newest (task)"] == result.accuracy.newest
    assert figures["newest (shared)"] == result.accuracies["shared"].newest


def test_out_of_distribution_samples_are_detected_by_uncertainty(uninterrupted):
    """They lie four times as far from the boundaries, where a linear network is less uncertain and noise matters less."""
    assert {name for name in uninterrupted.detection if name.startswith("auc")} == {
        "auc epistemic",
        "auc aleatoric",
        "auc total",
    }
    assert uninterrupted.detection["auc epistemic"].shape == (4,)
    assert float(uninterrupted.detection["auc aleatoric"].max()) < 0.4
    assert uninterrupted.figures()["auc epistemic, mean of last 4"] == pytest.approx(
        float(uninterrupted.detection["auc epistemic"].mean())
    )


def test_progress_is_reported_after_each_task():
    lines = []
    train(ToyLearner(), ToyStream(tasks=3), StreamConfig(batch_size=50), progress=lines.append)
    assert [line.split(":")[0] for line in lines] == ["task 1 of 3", "task 2 of 3", "task 3 of 3"]
    assert "test/newest 0." in lines[0]
    assert "test/last 3 0." in lines[2]


# Resuming

BATCHES = 15 * 2 * 4  # of 20 samples, two epochs, four tasks


@pytest.mark.parametrize("after", [1, 7, 15, 16, 29, 30, 31, 47, 60, 61, 119, BATCHES])
def test_a_killed_run_resumes_to_the_same_result(killed_after, after, uninterrupted, tmp_path):
    """Killed within an epoch, at its last batch, at the last batch of a task, at the first of the next."""
    arguments = {"ood": ToyStream(far=3.0), "checkpoint": tmp_path, "checkpoint_every": 0.0}
    with killed_after(after) as kill:
        train(ToyLearner(), ToyStream(), CONFIG, trainer={"callbacks": [kill]}, **arguments)
    if after > 1:
        assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT_FILE]
    resumed = train(ToyLearner(), ToyStream(), CONFIG, **arguments)
    assert_same(uninterrupted, resumed)
    assert len(resumed.seconds) == 4


def test_a_run_killed_twice_resumes_to_the_same_result(killed_after, uninterrupted, tmp_path):
    arguments = {"ood": ToyStream(far=3.0), "checkpoint": tmp_path, "checkpoint_every": 0.0}
    for after in (33, 40):
        with killed_after(after) as kill:
            train(ToyLearner(), ToyStream(), CONFIG, trainer={"callbacks": [kill]}, **arguments)
    assert_same(uninterrupted, train(ToyLearner(), ToyStream(), CONFIG, **arguments))


def test_a_finished_run_returns_its_result(uninterrupted, tmp_path):
    arguments = {"ood": ToyStream(far=3.0), "checkpoint": tmp_path}
    first = train(ToyLearner(), ToyStream(), CONFIG, **arguments)
    lines = []
    again = train(ToyLearner(), ToyStream(), CONFIG, progress=lines.append, **arguments)
    assert lines == []
    assert_same(uninterrupted, first)
    assert_same(uninterrupted, again)
    assert again.seconds == first.seconds


@pytest.fixture
def interrupts():
    """Handle SIGINT as in the foreground of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts")
def test_a_keyboard_interrupt_is_raised_as_such(tmp_path):
    class Interrupt(Callback):
        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step == 40:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(ToyLearner(), ToyStream(), CONFIG, checkpoint=tmp_path, trainer={"callbacks": [Interrupt()]})
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler  # the next one is handled as well


@pytest.fixture
def interrupted_folder(killed_after, tmp_path):
    with killed_after(40) as kill:
        train(ToyLearner(), ToyStream(), CONFIG, checkpoint=tmp_path, checkpoint_every=0.0, trainer={"callbacks": [kill]})
    return tmp_path


class Other(ToyLearner):
    rule = "other"


@pytest.mark.parametrize(
    ("learner", "stream", "config", "message"),
    [
        (Other(), ToyStream(), CONFIG, "learner.rule is 'toy' in the checkpoint and 'other' here"),
        (ToyLearner(rate=0.02), ToyStream(), CONFIG, r"rate is 0\.1 in the checkpoint and 0\.02 here"),
        (
            ToyLearner(),
            ToyStream(),
            StreamConfig(epochs=3, batch_size=20, evaluate="all"),
            "epochs is 2 in the checkpoint and 3 here",
        ),
        (
            ToyLearner(),
            ToyStream(),
            StreamConfig(epochs=2, batch_size=20, evaluate="all", seed=4),
            "seed is 0 in the checkpoint and 4 here",
        ),
        (ToyLearner(), ToyStream(tasks=3), CONFIG, "tasks is 4 in the checkpoint and 3 here"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(interrupted_folder, learner, stream, config, message):
    before = (interrupted_folder / CHECKPOINT_FILE).read_bytes()
    with pytest.raises(ConfigError, match=message):
        train(learner, stream, config, checkpoint=interrupted_folder)
    assert (interrupted_folder / CHECKPOINT_FILE).read_bytes() == before


@pytest.mark.parametrize("damage", ["half", "text", "tensors", "empty", "one bit of a tensor"])
def test_a_damaged_checkpoint_is_refused(interrupted_folder, damage):
    path = interrupted_folder / CHECKPOINT_FILE
    content = path.read_bytes()
    if damage == "tensors":
        torch.save({"weight": torch.ones(3)}, path)
    elif damage == "one bit of a tensor":
        with zipfile.ZipFile(path) as archive:
            part = max((each for each in archive.infolist() if "/data/" in each.filename), key=lambda each: each.file_size)
        # The data follow the local header: 30 bytes, the name and an extra field that aligns them.
        start = part.header_offset + 30 + int.from_bytes(content[part.header_offset + 26 :][:2], "little")
        start += int.from_bytes(content[part.header_offset + 28 :][:2], "little")
        path.write_bytes(content[:start] + bytes([content[start] ^ 1]) + content[start + 1 :])
    else:
        path.write_bytes({"half": content[: len(content) // 2], "text": b"hello", "empty": b""}[damage])
    with pytest.raises(ConfigError, match=r"is not a checkpoint of spinode\.training|cannot be read as a checkpoint"):
        train(ToyLearner(), ToyStream(), CONFIG, checkpoint=interrupted_folder)


def test_loading_a_checkpoint_executes_no_code(interrupted_folder):
    """It is read as tensors and plain values only."""
    path = interrupted_folder / CHECKPOINT_FILE

    class Malicious:
        def __reduce__(self):
            return (path.unlink, ())

    torch.save({"learner": Malicious(), "stream": {}}, path)
    with pytest.raises(ConfigError, match="cannot be read as a checkpoint"):
        train(ToyLearner(), ToyStream(), CONFIG, checkpoint=interrupted_folder)
    assert path.exists()


# Bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tasks": 0}, "tasks is 0; expected a whole number of at least 1"),
        ({"epochs": 1.5}, r"epochs is 1\.5"),
        ({"batch_size": True}, "batch_size is True"),
        ({"evaluate": "some"}, "evaluate is 'some'; expected one of newest, recent, seen, all"),
        ({"seed": -1}, r"seed is -1; expected a whole number from 0 to"),
    ],
)
def test_settings_outside_their_range(arguments, message):
    with pytest.raises(ConfigError, match=message):
        StreamConfig(**arguments)


class WrongShape(ToyStream):
    shape = (9,)


class WrongClasses(ToyStream):
    classes = 2


@pytest.mark.parametrize(
    ("stream", "config", "message"),
    [
        (ToyStream(tasks=4), StreamConfig(tasks=5), "tasks is 5; expected a whole number from 1 to 4, the tasks of 'toy'"),
        ([1, 2], StreamConfig(), "stream is a list; expected a task stream"),
        (WrongShape(), StreamConfig(), r"have shape \(8,\); expected \(9,\), as in the stream 'toy'"),
        (WrongClasses(), StreamConfig(), r"a label of task 'toy 0' is 2; expected 0 \.\. 1, the classes of the stream 'toy'"),
    ],
)
def test_an_unsuitable_stream_is_refused(stream, config, message):
    with pytest.raises(ConfigError, match=message):
        train(ToyLearner(), stream, config)


@pytest.mark.parametrize(
    ("ood", "message"),
    [
        (ToyStream(tasks=3), "expected a whole number from 1 to 3"),
        (WrongShape(), r"the out-of-distribution stream have shape \(9,\), those of the stream \(8,\)"),
    ],
)
def test_an_unsuitable_out_of_distribution_stream_is_refused(ood, message):
    with pytest.raises(ConfigError, match=message):
        train(ToyLearner(), ToyStream(), ood=ood)


def test_trainer_arguments_that_follow_from_stream_and_config_are_refused():
    with pytest.raises(ConfigError, match="trainer contains max_epochs, which follow from stream and config"):
        train(ToyLearner(), ToyStream(), trainer={"max_epochs": 3})
    with pytest.raises(ConfigError, match=r"lightning\.Trainer refuses the arguments in trainer: .*epochz"):
        train(ToyLearner(), ToyStream(), trainer={"epochz": 3})


def test_settings_take_precedence_over_config(uninterrupted):
    assert_same(
        uninterrupted,
        train(ToyLearner(), ToyStream(), replace(CONFIG, epochs=1), epochs=2, seed=np.int64(0), ood=ToyStream(far=3.0)),
    )
    with pytest.raises(ConfigError, match=r"train has no setting 'epoch'; .*Did you mean 'epochs'"):
        train(ToyLearner(), ToyStream(), epoch=2)
    with pytest.raises(ConfigError, match="config is a dict; expected StreamConfig"):
        train(ToyLearner(), ToyStream(), {"epochs": 2})


def test_a_folder_that_cannot_be_created_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot create the folder"):
        train(ToyLearner(), ToyStream(), checkpoint=tmp_path / "file" / "run")


@pytest.mark.parametrize("seed", [-1, 1.0, True])
def test_seed_of_a_learner(seed):
    with pytest.raises(ConfigError, match="expected a whole number from 0 to"):
        ToyLearner(seed=seed)


# Independence of the machine


def test_a_slurm_job_does_not_change_a_run(uninterrupted, tmp_path, monkeypatch):
    """A stand-in `srun` on the PATH and the variables of a job of two tasks: no warning, no other processes, no other file."""
    srun = tmp_path / "srun"
    srun.write_text("#!/bin/sh\nexit 1\n")
    srun.chmod(srun.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    for name, value in {"SLURM_NTASKS": "2", "SLURM_JOB_ID": "7", "SLURM_PROCID": "1", "SLURM_LOCALID": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SLURM_JOB_NAME", "train")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hpc_ckpt_1.ckpt").write_bytes(b"of another run")
    assert_same(uninterrupted, train(ToyLearner(), ToyStream(), CONFIG, ood=ToyStream(far=3.0)))
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


# Processes and seeds


def test_processes_share_each_batch():
    """The parts of all processes form the batch."""
    batch = torch.arange(20)
    parts = [batch[batch_share(rank, 2, 20, 1, 300)] for rank in range(2)]
    assert torch.equal(torch.cat(parts).sort().values, batch)
    assert len(parts[0]) == len(parts[1])
    assert batch[batch_share(0, 1, 7, 1, 300)] is not None


@pytest.mark.parametrize("data", [(21, 1, 300), (20, 1, 305), (20, 4, 300)])
def test_batches_that_cannot_be_shared_evenly(data):
    with pytest.raises(ConfigError, match="cannot be shared evenly by 2 processes"):
        batch_share(0, 2, *data)


def test_train_seeds(tmp_path, uninterrupted):
    def make(seed):
        return ToyLearner(seed), ToyStream()

    arguments = {"seeds": (0, 3), "checkpoint": tmp_path, "ood": ToyStream(far=3.0)}
    results = train_seeds(make, CONFIG, **arguments)
    assert_same(results[0], uninterrupted)
    assert [each.seed for each in results] == [0, 3]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["seed-0", "seed-3"]
    table = summary(results)
    values = [each.accuracy.accuracy for each in results]
    assert table["all tasks (ACC)"] == pytest.approx((np.mean(values), abs(values[0] - values[1]) / 2**0.5))
    assert np.isnan(summary(results[:1])["newest"][1])
    with pytest.raises(ConfigError, match="there are no results"):
        summary([])


def test_the_result_is_written(uninterrupted, tmp_path):
    uninterrupted.save(tmp_path / "run")
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"result.json", "accuracy.csv", "accuracy.npz", "detection.npz"}
    stored = json.loads((tmp_path / "run" / "result.json").read_text())
    assert stored["figures"] == pytest.approx(uninterrupted.figures())
    assert stored["tasks"] == 4
    with np.load(tmp_path / "run" / "detection.npz") as arrays:
        np.testing.assert_array_equal(arrays["newest_total"], uninterrupted.detection["newest total"].numpy())


# Streams of one's own, whose tests are not what they should be


class OwnTest(ToyStream):
    """A stream of which `test` returns something else."""

    def __init__(self, change):
        super().__init__(tasks=2, samples=40)
        self.change = change

    def test(self, index):
        return self.change(*super().test(index))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x[:, :3], y), r"have shape \(3,\); expected \(8,\)"),
        (lambda x, y: (x, y[:4]), r"have type torch\.int64 and shape \(4,\) for 100 inputs"),
        (lambda x, y: (x, y[:, None]), r"shape \(100, 1\) for 100 inputs"),
        (lambda x, y: (x[:0], y[:0]), r"shape \(0,\) for 0 inputs"),
        (lambda x, y: (x.numpy(), y.numpy()), "are a ndarray; expected a tensor"),
        (lambda x, y: (x / 0, y), "contain NaN or infinite values"),
        (lambda x, y: (x, y + 7), r"a label of the test set of task 0 of the stream 'toy' is 9; expected 0 \.\. 2"),
        (lambda x, y: (x, y - 5), "a label of the test set of task 0 of the stream 'toy' is -5"),
        (lambda x, y: x, r"is a Tensor; expected \(test inputs, test labels\)"),
    ],
)
def test_a_test_set_that_does_not_fit_its_stream_is_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        train(ToyLearner(), OwnTest(change), CONFIG)


class Tuples(ToyStream):
    def __getitem__(self, index):
        task = super().__getitem__(index)
        return task.inputs, task.labels, task.test_inputs, task.test_labels


class NumberAsShape(ToyStream):
    shape = 8


class TextAsClasses(ToyStream):
    classes = "3"


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (Tuples(), r"a task of the stream 'toy' is a tuple; expected Task\("),
        (NumberAsShape(), r"the shape of the stream 'toy' is 8; expected that of one input, such as \(784,\)"),
        (TextAsClasses(), "classes of the stream 'toy' is '3'; expected a whole number"),
    ],
)
def test_a_stream_that_is_none_is_refused(stream, message):
    with pytest.raises(ConfigError, match=message):
        train(ToyLearner(), stream, CONFIG)
    if not isinstance(stream, Tuples):
        with pytest.raises(ConfigError, match=message):
            PlainLearner(stream)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"trainer": 5}, r"trainer is an int; expected arguments of lightning\.Trainer by name"),
        ({"progress": 3}, "progress is an int; expected a function"),
        ({"checkpoint": ""}, "checkpoint is ''; expected the path of a folder"),
        ({"continue_from": " "}, "continue_from is ' '; expected the path of a folder"),
    ],
)
def test_arguments_of_another_type_are_refused_before_the_first_task(arguments, message):
    learner = ToyLearner()
    with pytest.raises(ConfigError, match=message):
        train(learner, ToyStream(), CONFIG, **arguments)
    assert learner.events == []


# Checkpoints with other entries, of two runs, and of interrupted ones


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("stream", "scores"), None),
        (("stream", "scores", "matrices", "shared", "values"), torch.zeros(2, 2)),
        (("stream", "counts"), None),
        (("stream", "counts"), [0, 2, 2, 2]),
        (("stream", "history"), None),
        (("stream", "seconds"), "x"),
        (("loops",), None),
        (("learner", "generators"), None),
        (("learner", "generators", "learner"), torch.zeros(3)),
        (("learner",), 5),
        (("optimizer_states",), [{}]),
        (("state_dict", "net.weight"), torch.zeros(1, 8)),
        (("state_dict", "net.weight"), None),
        (("stream",), ["identity"]),
    ],
)
@pytest.mark.parametrize("how", ["resumed", "continued"])
def test_a_checkpoint_with_other_entries_is_refused(interrupted_folder, path, value, how):
    """One sentence, and the learner is as it was."""
    file = interrupted_folder / CHECKPOINT_FILE
    stored = torch.load(file, weights_only=True)
    entry = stored
    for name in path[:-1]:
        entry = entry[name]
    if value is None:
        del entry[path[-1]]
    else:
        entry[path[-1]] = value
    torch.save(stored, file)
    learner = ToyLearner()
    before = learner.net.weight.clone()
    arguments = {"checkpoint": interrupted_folder} if how == "resumed" else {"continue_from": interrupted_folder, "epochs": 3}
    message = r"is damaged|is not a checkpoint|cannot be restored|other weights than the run of|another version"
    with pytest.raises(ConfigError, match=message):
        train(learner, ToyStream(), CONFIG, **arguments)
    if path != ("optimizer_states",):
        assert torch.equal(learner.net.weight, before)


@pytest.mark.skipif(os.name == "nt", reason="folders cannot be locked")
def test_a_second_run_in_the_same_folder_is_refused_while_the_first_one_runs(tmp_path):
    small = {"stream": ToyStream(tasks=2, samples=40), "checkpoint": tmp_path}
    messages = []

    def second(line):
        for seed in (0, 1):
            with pytest.raises(ConfigError) as caught:
                train(ToyLearner(seed), config=CONFIG, **small)
            messages.append(str(caught.value))

    first = train(ToyLearner(), config=CONFIG, progress=second, **small)
    assert "another run is writing into" in messages[0]
    assert "belongs to another run" in messages[1]
    assert_same(first, train(ToyLearner(), config=CONFIG, **small))
    assert [each.name for each in tmp_path.iterdir()] == [CHECKPOINT_FILE]


@pytest.mark.usefixtures("interrupts")
@pytest.mark.parametrize("how", ["signal", "callback"])
def test_an_interrupted_run_loses_nothing(how, uninterrupted, tmp_path):
    """The first Ctrl-C acts after the batch and saves, whatever the interval of checkpoints is."""
    steps = []

    class Interrupt(Callback):
        def on_train_batch_start(self, trainer, *_):
            steps.append(trainer.global_step)
            if how == "signal" and len(steps) == 35:
                os.kill(os.getpid(), signal.SIGINT)

        def on_train_batch_end(self, trainer, *_):
            if how == "callback" and len(steps) == 35:
                raise KeyboardInterrupt

    arguments = {"ood": ToyStream(far=3.0), "checkpoint": tmp_path, "checkpoint_every": float("inf")}
    with pytest.raises(KeyboardInterrupt):
        train(ToyLearner(), ToyStream(), CONFIG, trainer={"callbacks": [Interrupt()]}, **arguments)
    assert len(steps) == 35
    assert_same(uninterrupted, train(ToyLearner(), ToyStream(), CONFIG, trainer={"callbacks": [Interrupt()]}, **arguments))
    assert len(steps) == 4 * 2 * 15
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_each_finished_task_is_saved(tmp_path):
    def stop(line):
        assert (tmp_path / CHECKPOINT_FILE).exists()
        raise InterruptedError

    lines = []
    with pytest.raises(InterruptedError):
        train(ToyLearner(), ToyStream(), CONFIG, checkpoint=tmp_path, checkpoint_every=float("inf"), progress=stop)
    train(ToyLearner(), ToyStream(), CONFIG, checkpoint=tmp_path, progress=lines.append)
    assert [line[:6] for line in lines] == ["task 2", "task 3", "task 4"]
