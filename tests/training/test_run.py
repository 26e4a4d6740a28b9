"""A run over a stream: what is tested when, what the learner is told, and that a killed run ends as one that was not."""

from __future__ import annotations

import json
import signal

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from torch import nn

from spinode.contracts.task_stream import Task
from spinode.errors import ConfigError
from spinode.training import Learner, StreamConfig, train, train_seeds
from spinode.training.data import _share
from spinode.training.results.result import summary
from spinode.training.run import CHECKPOINT

CONFIG = StreamConfig(epochs=2, batch_size=20, evaluate="all")


class ToyStream:
    """Random linear problems, another one in each task."""

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
    """Adam on a linear layer, with noise on what it sees, so that a wrong generator state shows."""

    rule = "toy"

    def __init__(self, seed=0, rate=0.1, views=("shared",)):
        super().__init__(seed=seed)
        self.views, self.rate = views, rate
        self.net = nn.Linear(8, 3)
        self.told = []
        with torch.no_grad():
            self.net.weight.normal_(generator=self.generator)
            self.net.bias.zero_()

    def settings(self):
        return {"rate": self.rate}

    def configure_optimizers(self):
        return torch.optim.Adam(self.net.parameters(), lr=self.rate)

    def begin_task(self, index):
        self.told.append(("begin", index))

    def end_task(self, index, task):
        self.told.append(("end", index, task.name))

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


class Killed(Exception):
    """Instead of a signal."""


class Kill(Callback):
    """Ends a run after so many batches, or when an epoch ends."""

    def __init__(self, batches):
        self.left = batches

    def on_train_batch_end(self, *_):
        self.left -= 1
        if self.left == 0:
            raise Killed


@pytest.fixture(scope="module")
def whole():
    """A run that nothing disturbed."""
    return train(ToyLearner(), ToyStream(), CONFIG, ood=ToyStream(far=3.0))


def same(one, other):
    for view, matrix in one.accuracies.items():
        np.testing.assert_array_equal(matrix.values, other.accuracies[view].values)
        np.testing.assert_array_equal(matrix.untrained, other.accuracies[view].untrained)
    assert one.detection.keys() == other.detection.keys()
    for name, values in one.detection.items():
        assert torch.equal(values, other.detection[name])


# What happens


def test_learns_and_is_tested_on_all_tasks(whole):
    values, untrained = whole.accuracy.values, whole.accuracy.untrained
    assert not np.isnan(values).any()
    assert not np.isnan(untrained).any()
    assert np.diag(values).min() > 0.8 > untrained.max()  # chance is 1/3
    assert whole.accuracy.backward_transfer < -0.1  # nothing protects it
    assert len(whole.seconds) == 4
    assert (whole.rule, whole.stream, whole.seed, whole.recent) == ("toy", "toy", 0, 4)


def test_same_seed_same_result_and_another_seed_another(whole):
    again = train(ToyLearner(), ToyStream(), CONFIG, ood=ToyStream(far=3.0))
    same(whole, again)
    other = train(ToyLearner(), ToyStream(), StreamConfig(epochs=2, batch_size=20, evaluate="all", seed=1))
    assert (other.accuracy.values != whole.accuracy.values).any()


def test_tests_disturb_nothing(whole):
    """A learner that is tested less learns the same."""
    seen = train(ToyLearner(), ToyStream(), StreamConfig(epochs=2, batch_size=20))
    lower = np.tril_indices(4)
    np.testing.assert_array_equal(seen.accuracy.values[lower], whole.accuracy.values[lower])
    assert np.isnan(seen.accuracy.values[np.triu_indices(4, 1)]).all()
    assert np.isnan(seen.accuracy.untrained).all()
    few = train(ToyLearner(), ToyStream(), StreamConfig(epochs=2, batch_size=20, evaluate="recent", recent=2))
    tested = ~np.isnan(few.accuracy.values)
    wanted = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [1, 1, 1, 1]], dtype=bool)
    np.testing.assert_array_equal(tested, wanted)
    np.testing.assert_array_equal(few.accuracy.values[tested], whole.accuracy.values[tested])


def test_learner_is_told_of_boundaries_only_where_there_are_some():
    config = StreamConfig(tasks=2, epochs=2, batch_size=100)
    learner = ToyLearner()
    train(learner, ToyStream(), config)
    assert learner.told == [("begin", 0), ("end", 0, "toy 0"), ("begin", 1), ("end", 1, "toy 1")]
    blind = ToyLearner()
    result = train(blind, ToyStream(boundaries=False), config)
    assert blind.told == []
    assert len(result.seconds) == 2


def test_every_sample_once_an_epoch():
    seen = []

    class Counting(ToyLearner):
        def learn(self, inputs, labels, batch_size):
            seen.append((batch_size, inputs[:, 0].clone()))
            return super().learn(inputs, labels, batch_size)

    train(Counting(), ToyStream(tasks=1, samples=105), StreamConfig(epochs=2, batch_size=20))
    assert [len(each) for _, each in seen] == [20, 20, 20, 20, 20, 5] * 2
    assert {size for size, _ in seen} == {20}
    first, second = (torch.cat([each for _, each in seen[i : i + 6]]) for i in (0, 6))
    assert not torch.equal(first, second)
    assert torch.equal(first.sort().values, second.sort().values)
    assert torch.equal(first.sort().values, ToyStream(samples=105)[0].inputs[:, 0].sort().values)
    seen.clear()
    train(Counting(), ToyStream(tasks=1, samples=105), StreamConfig(batch_size=20, shuffle=False))
    assert torch.equal(torch.cat([each for _, each in seen]), ToyStream(samples=105)[0].inputs[:, 0])


def test_block_of_batches_in_a_row():
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
    same(blocked, train(ToyLearner(), ToyStream(samples=190), config))


def test_views_are_scored_side_by_side():
    class Twofold(ToyLearner):
        def log_probabilities(self, inputs, *, generator, task, view):
            log_p = super().log_probabilities(inputs, generator=generator, task=task, view=view)
            return log_p if view == "task" else log_p[..., [1, 2, 0]]

    result = train(Twofold(views=("task", "shared")), ToyStream(), StreamConfig(batch_size=20))
    assert list(result.accuracies) == ["task", "shared"]
    assert result.accuracy is result.accuracies["task"]
    assert result.accuracies["shared"].accuracy < result.accuracy.accuracy
    figures = result.figures()
    assert figures["newest (task)"] == result.accuracy.newest
    assert figures["newest (shared)"] == result.accuracies["shared"].newest


def test_strangers_are_told_by_their_uncertainty(whole):
    """The strangers lie four times as far from the boundaries: a linear network is surer of them, and noise matters less."""
    assert {name for name in whole.detection if name.startswith("auc")} == {"auc epistemic", "auc aleatoric", "auc total"}
    assert whole.detection["auc epistemic"].shape == (4,)
    assert float(whole.detection["auc aleatoric"].max()) < 0.4
    assert whole.figures()["auc epistemic, mean of last 4"] == pytest.approx(float(whole.detection["auc epistemic"].mean()))


def test_progress_is_told_after_each_task():
    lines = []
    train(ToyLearner(), ToyStream(tasks=3), StreamConfig(batch_size=50), say=lines.append)
    assert [line.split(":")[0] for line in lines] == ["task 1 of 3", "task 2 of 3", "task 3 of 3"]
    assert "test/newest 0." in lines[0]
    assert "test/last 3 0." in lines[2]


# Resuming

BATCHES = 15 * 2 * 4  # of 20 samples, two epochs, four tasks


@pytest.mark.parametrize("after", [1, 7, 15, 16, 29, 30, 31, 47, 60, 61, 119, BATCHES])
def test_killed_run_ends_as_one_that_was_not(after, whole, tmp_path):
    """In an epoch, at its last batch, at the last of a task, at the first of the next."""
    arguments = {"ood": ToyStream(far=3.0), "folder": tmp_path, "checkpoint_every": 0.0}
    with pytest.raises(Killed):
        train(ToyLearner(), ToyStream(), CONFIG, callbacks=[Kill(after)], **arguments)
    if after > 1:
        assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]
    resumed = train(ToyLearner(), ToyStream(), CONFIG, **arguments)
    same(whole, resumed)
    assert len(resumed.seconds) == 4


def test_killed_twice(whole, tmp_path):
    arguments = {"ood": ToyStream(far=3.0), "folder": tmp_path, "checkpoint_every": 0.0}
    for after in (33, 40):
        with pytest.raises(Killed):
            train(ToyLearner(), ToyStream(), CONFIG, callbacks=[Kill(after)], **arguments)
    same(whole, train(ToyLearner(), ToyStream(), CONFIG, **arguments))


def test_finished_run_is_not_run_again(whole, tmp_path):
    arguments = {"ood": ToyStream(far=3.0), "folder": tmp_path}
    first = train(ToyLearner(), ToyStream(), CONFIG, **arguments)
    lines = []
    again = train(ToyLearner(), ToyStream(), CONFIG, say=lines.append, **arguments)
    assert lines == []
    same(whole, first)
    same(whole, again)
    assert again.seconds == first.seconds


@pytest.fixture
def interrupts():
    """Heard, as in the foreground of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts")
def test_interrupt_from_the_keyboard_is_one(tmp_path):
    class Interrupt(Callback):
        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step == 40:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(ToyLearner(), ToyStream(), CONFIG, folder=tmp_path, callbacks=[Interrupt()])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler  # the next one is heard as well


@pytest.fixture
def half_way(tmp_path):
    with pytest.raises(Killed):
        train(ToyLearner(), ToyStream(), CONFIG, folder=tmp_path, checkpoint_every=0.0, callbacks=[Kill(40)])
    return tmp_path


class Other(ToyLearner):
    rule = "other"


@pytest.mark.parametrize(
    ("learner", "stream", "config", "message"),
    [
        (Other(), ToyStream(), CONFIG, "is a checkpoint of 'toy', and this is 'other'"),
        (ToyLearner(rate=0.02), ToyStream(), CONFIG, r"rate = 0\.1 there, 0\.02 here"),
        (ToyLearner(), ToyStream(), StreamConfig(epochs=3, batch_size=20, evaluate="all"), "epochs = 2 there, 3 here"),
        (ToyLearner(), ToyStream(), StreamConfig(epochs=2, batch_size=20, evaluate="all", seed=4), "seed = 0 there, 4 here"),
        (ToyLearner(), ToyStream(tasks=3), CONFIG, "tasks = 4 there, 3 here"),
    ],
)
def test_checkpoint_of_something_else_is_refused(half_way, learner, stream, config, message):
    before = (half_way / CHECKPOINT).read_bytes()
    with pytest.raises(ConfigError, match=message):
        train(learner, stream, config, folder=half_way)
    assert (half_way / CHECKPOINT).read_bytes() == before


@pytest.mark.parametrize("damage", ["half", "text", "tensors", "empty"])
def test_damaged_checkpoint_is_refused(half_way, damage):
    path = half_way / CHECKPOINT
    whole = path.read_bytes()
    if damage == "tensors":
        torch.save({"weight": torch.ones(3)}, path)
    else:
        path.write_bytes({"half": whole[: len(whole) // 2], "text": b"hello", "empty": b""}[damage])
    with pytest.raises(ConfigError, match=r"is no checkpoint of a spinode trainer|cannot be read as a checkpoint"):
        train(ToyLearner(), ToyStream(), CONFIG, folder=half_way)


def test_checkpoint_runs_no_code(half_way):
    """Read as tensors and plain values alone, whatever the file asks for."""
    path = half_way / CHECKPOINT

    class Evil:
        def __reduce__(self):
            return (path.unlink, ())

    torch.save({"learner": Evil(), "stream": {}}, path)
    with pytest.raises(ConfigError, match="cannot be read as a checkpoint"):
        train(ToyLearner(), ToyStream(), CONFIG, folder=half_way)
    assert path.exists()


# Bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tasks": 0}, "tasks is 0; expected a whole number of at least 1"),
        ({"epochs": 1.5}, r"epochs is 1\.5"),
        ({"batch_size": True}, "batch_size is True"),
        ({"evaluate": "some"}, "expected 'newest', 'recent', 'seen' or 'all'"),
        ({"seed": -1}, r"seed is -1; expected a whole number, 0 \.\."),
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
def test_stream_that_cannot_be_learned(stream, config, message):
    with pytest.raises(ConfigError, match=message):
        train(ToyLearner(), stream, config)


@pytest.mark.parametrize(
    ("ood", "message"),
    [(ToyStream(tasks=3), "has 3"), (WrongShape(), r"the out-of-distribution stream has shape \(9,\), the stream \(8,\)")],
)
def test_strangers_that_do_not_fit(ood, message):
    with pytest.raises(ConfigError, match=message):
        train(ToyLearner(), ToyStream(), ood=ood)


def test_what_stream_and_config_decide_is_no_argument_of_the_trainer():
    with pytest.raises(ConfigError, match="max_epochs of the Trainer follow from stream and config"):
        train(ToyLearner(), ToyStream(), max_epochs=3)


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be made"):
        train(ToyLearner(), ToyStream(), folder=tmp_path / "file" / "run")


@pytest.mark.parametrize("seed", [-1, 1.0, True])
def test_seed_of_a_learner(seed):
    with pytest.raises(ConfigError, match="expected a whole number from 0 on"):
        ToyLearner(seed=seed)


# Processes and seeds


class Sized:
    def __init__(self, batch_size, block=1):
        self.batch_size, self.block = batch_size, block


def test_processes_share_each_batch():
    """Slices of one batch for each process, together the batch."""
    batch = torch.arange(20)
    parts = [batch[_share(rank, 2, Sized(20), 300)] for rank in range(2)]
    assert torch.equal(torch.cat(parts).sort().values, batch)
    assert len(parts[0]) == len(parts[1])
    assert batch[_share(0, 1, Sized(7), 300)] is not None


@pytest.mark.parametrize("data", [(Sized(21), 300), (Sized(20), 305), (Sized(20, block=4), 300)])
def test_batches_that_cannot_be_shared_evenly(data):
    with pytest.raises(ConfigError, match="cannot be shared evenly by 2 processes"):
        _share(0, 2, *data)


def test_several_seeds(tmp_path, whole):
    def make(seed):
        return ToyLearner(seed), ToyStream()

    arguments = {"seeds": (0, 3), "folder": tmp_path, "ood": ToyStream(far=3.0)}
    results = train_seeds(make, CONFIG, **arguments)
    same(results[0], whole)
    assert [each.seed for each in results] == [0, 3]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["seed-0", "seed-3"]
    table = summary(results)
    values = [each.accuracy.accuracy for each in results]
    assert table["all tasks (ACC)"] == pytest.approx((np.mean(values), abs(values[0] - values[1]) / 2**0.5))
    assert np.isnan(summary(results[:1])["newest"][1])
    with pytest.raises(ConfigError, match="there are no results"):
        summary([])


def test_result_is_written(whole, tmp_path):
    whole.save(tmp_path / "run")
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"result.json", "accuracy.csv", "accuracy.npz", "detection.npz"}
    stored = json.loads((tmp_path / "run" / "result.json").read_text())
    assert stored["figures"] == pytest.approx(whole.figures())
    assert stored["tasks"] == 4
    with np.load(tmp_path / "run" / "detection.npz") as arrays:
        np.testing.assert_array_equal(arrays["inside_total"], whole.detection["inside total"].numpy())
