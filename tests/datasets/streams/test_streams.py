"""Task streams: the conformance tests of each, and the contents of their tasks."""

import pickle
import weakref

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, chi2
from torch.utils.data import Dataset, Subset

from spinode.contracts.task_stream import Task
from spinode.datasets import (
    ClassSplit,
    ContinuousTasks,
    PermutedTasks,
    Subsets,
    TaskList,
    TaskSequence,
    images_from_arrays,
    made_digits,
)
from spinode.errors import ConfigError
from spinode.testing import StreamContract

DIGITS = made_digits(0, train=120, test=60)
OTHERS = made_digits(1, train=100, test=40)


def blobs(task, count=40):
    """Return two classes in three dimensions as plain arrays; the first feature identifies task and sample."""
    inputs = np.zeros((count, 3), np.float32)
    inputs[:, 0] = 1_000_000 * task + np.arange(count)  # float32 is exact up to 16 777 216
    labels = np.arange(count) % 2
    return inputs, labels, inputs[:4], labels[:4]


class TestPermuted(StreamContract):
    tasks, boundaries = 5, True

    def make(self):
        return PermutedTasks(DIGITS, tasks=5, seed=1)


class TestPermutedFromIdentity(StreamContract):
    tasks, boundaries = 3, False

    def make(self):
        return PermutedTasks(DIGITS, tasks=3, first_identity=True, scale="standard", boundaries=False)


class TestSequence(StreamContract):
    tasks, boundaries = 2, True

    def make(self):
        return TaskSequence([DIGITS, OTHERS], names=["first", "second"], flatten=False)


class TestClasses(StreamContract):
    tasks, boundaries = 5, True

    def make(self):
        return ClassSplit(DIGITS)


class TestClassesOfGroups(StreamContract):
    tasks, boundaries = 3, True

    def make(self):
        return ClassSplit(DIGITS, groups=((7, 2, 5), (0, 1), (9, 7)), relabel=True, scale="training")


class TestSubsets(StreamContract):
    tasks, boundaries = 7, False

    def make(self):
        return Subsets(DIGITS, parts=7, seed=2)


class TestContinuous(StreamContract):
    tasks, boundaries = 12, False

    def make(self):
        return ContinuousTasks(PermutedTasks(DIGITS, tasks=3), segments_per_task=4, seed=3)


class TestContinuousOfAnySizes(StreamContract):
    tasks, boundaries = 6, False

    def make(self):
        return ContinuousTasks(TaskList([blobs(0), blobs(1, 31), blobs(2, 70)]), segments_per_task=2, beta=1.5)


class TestListed(StreamContract):
    tasks, boundaries = 2, True

    def make(self):
        return TaskList([blobs(0), Task("mine", *map(torch.from_numpy, blobs(1)))], name="blobs")


# The conformance tests themselves


class ShuffledLabels(PermutedTasks):
    def _train(self, index):
        inputs, labels = super()._train(index)
        return inputs, labels[torch.randperm(len(labels))]


class NegativeIndices(PermutedTasks):
    def _check_index(self, index):
        return super()._check_index(index % len(self))


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        (ShuffledLabels, "test_tasks_are_reproducible"),
        (ShuffledLabels, "test_the_global_generator_is_not_used"),
        (NegativeIndices, "test_invalid_indices_are_refused"),
    ],
)
def test_conformance_tests_find_a_broken_stream(kind, check):
    contract = TestPermuted()
    contract.make = lambda: kind(DIGITS, tasks=5)
    with pytest.raises(AssertionError):
        getattr(contract, check)()


def test_loop_over_a_stream_ends():
    stream = PermutedTasks(DIGITS, tasks=3)
    assert [task.name for task in stream] == ["permutation 0", "permutation 1", "permutation 2"]
    with pytest.raises(IndexError, match="there is no task 3; the stream has 3"):
        stream[3]


# Permuted


def test_permutation_is_the_same_in_training_and_test():
    stream = PermutedTasks(DIGITS, tasks=4, seed=5)
    train, test = DIGITS.train_set()[0], DIGITS.test_set()[0]
    for i, task in enumerate(stream):
        order = stream.permutation(i)
        assert torch.equal(order.sort().values, torch.arange(784))
        assert torch.equal(task.inputs, train[:, order])
        assert torch.equal(task.test_inputs, test[:, order])
        assert torch.equal(task.labels, DIGITS.train_labels)


def test_permutations_depend_on_seed_and_task_only():
    long, short = PermutedTasks(DIGITS, tasks=1000, seed=1), PermutedTasks(DIGITS, tasks=3, seed=1)
    assert torch.equal(long.permutation(2), short.permutation(2))
    orders = [PermutedTasks(DIGITS, tasks=40, seed=seed).permutation(i) for seed in (0, 1, 2) for i in range(40)]
    assert len({tuple(order.tolist()) for order in orders}) == 120
    # Two permutations are independent: their rank correlation has a standard deviation of 1/sqrt(783). All 7140 pairs are
    # within 6.6 standard deviations, at a total false alarm rate of 1e-6.
    ranks = torch.stack(orders).double()
    ranks = (ranks - ranks.mean(1, keepdim=True)) / ranks.std(1, keepdim=True, correction=0)
    correlation = (ranks @ ranks.T / 784).triu(1)
    assert float(correlation.abs().max()) < 6.6 / 783**0.5


def test_first_task_may_keep_its_pixels():
    first, second = PermutedTasks(DIGITS, tasks=2, first_identity=True)
    assert torch.equal(first.inputs, DIGITS.train_set()[0])
    assert torch.equal(second.inputs, PermutedTasks(DIGITS, tasks=2)[1].inputs)


def test_streams_of_one_set_share_its_inputs_and_tasks_are_freed():
    images = made_digits(2, train=50, test=20)
    permuted, sequence = PermutedTasks(images, tasks=300), TaskSequence([images])
    assert sequence[0].inputs.data_ptr() == images.train_set()[0].data_ptr()

    tasks = [weakref.ref(task.inputs) for task in permuted]
    assert len(tasks) == 300
    assert not [task for task in tasks if task() is not None]


def test_stream_is_pickled_without_normalised_inputs():
    images = made_digits(2, train=50, test=20)
    stream = PermutedTasks(images, tasks=3)
    task = stream[1]
    pickled = pickle.dumps(stream)
    assert len(pickled) < 2 * images.train_images.numel()
    assert torch.equal(pickle.loads(pickled)[1].inputs, task.inputs)


# Sequence


def test_sets_follow_in_the_given_order():
    forward, backward = TaskSequence([DIGITS, OTHERS], names=["a", "b"]), TaskSequence([OTHERS, DIGITS], names=["b", "a"])
    assert (forward.name, backward.name) == ("a then b", "b then a")
    assert torch.equal(forward[0].inputs, backward[1].inputs)
    assert torch.equal(forward[1].test_labels, OTHERS.test_labels)
    assert (forward.shape, TaskSequence([DIGITS], flatten=False).shape) == ((784,), (1, 28, 28))


def test_sequence_has_the_largest_number_of_classes():
    few = made_digits(0, train=20, test=10, classes=3)
    assert TaskSequence([few, DIGITS]).classes == 10


def test_sets_that_do_not_match_are_refused():
    small = images_from_arrays(np.zeros((4, 8, 8), np.uint8), [0, 1, 0, 1], np.zeros((2, 8, 8), np.uint8), [0, 1], name="small")
    for sets, settings, message in (
        ([DIGITS, small], {}, r"several shapes \(made digits \(784,\), small \(64,\)\)"),
        ([], {}, "expected a list of Images"),
        (DIGITS, {}, "expected a list of Images"),
        ([DIGITS, "fashion"], {}, "images are a str; expected Images, such as mnist"),
        ([DIGITS, OTHERS], {"names": ["one"]}, "for 2 sets; expected one name for each"),
        ([DIGITS, OTHERS], {"names": "ab"}, "for 2 sets; expected one name for each"),
        ([DIGITS], {"scale": "none"}, "scale is 'none'"),
    ):
        with pytest.raises(ConfigError, match=message):
            TaskSequence(sets, **settings)


# Classes


@pytest.mark.parametrize("flatten", [True, False])
def test_each_task_has_exactly_the_samples_of_its_classes(flatten):
    stream = ClassSplit(DIGITS, groups=5, flatten=flatten)
    inputs, labels = DIGITS.train_set(flatten=flatten)
    assert len(stream) == 2
    assert stream.classes == 10
    for task, low in zip(stream, (0, 5), strict=True):
        mask = (labels >= low) & (labels < low + 5)
        assert torch.equal(task.inputs, inputs[mask])
        assert torch.equal(task.labels, labels[mask])
        assert set(task.test_labels.tolist()) == set(range(low, low + 5))


def test_new_labels_follow_the_order_of_the_group():
    stream = ClassSplit(DIGITS, groups=((7, 2, 5), (0, 9)), relabel=True)
    assert stream.classes == 3
    assert len(ClassSplit(DIGITS, groups=np.int64(2))) == 5
    old, new = ClassSplit(DIGITS, groups=((7, 2, 5), (0, 9)))[0], stream[0]
    assert torch.equal(old.inputs, new.inputs)
    assert torch.equal(torch.tensor([7, 2, 5])[new.labels], old.labels)
    assert torch.equal(torch.tensor([7, 2, 5])[new.test_labels], old.test_labels)


def test_invalid_groups_are_refused():
    gap = images_from_arrays(
        DIGITS.train_images, DIGITS.train_labels, DIGITS.test_images[:3], DIGITS.test_labels[:3] * 0 + 4, classes=10
    )
    for images, groups, message in (
        (DIGITS, 3, "10 classes do not divide into groups of 3"),
        (DIGITS, 0, "groups is 0; expected a whole number from 1 to 10"),
        (DIGITS, 11, "groups is 11"),
        (DIGITS, ((0, 1), ()), "a group is empty; expected at least one class"),
        (DIGITS, ((0, 0),), "contains a class twice"),
        (DIGITS, ((0, 10),), "expected a whole number from 0 to 9"),
        (DIGITS, ((0, 1.5),), "expected a whole number from 0 to 9"),
        (DIGITS, (), "groups is empty"),
        (DIGITS, "01", "groups is '01'"),
        (gap, 5, r"has no test images of the classes \[0, 1, 2, 3, 5, 6, 7, 8, 9\]"),
    ):
        with pytest.raises(ConfigError, match=message):
            ClassSplit(images, groups)


# Subsets


def test_subsets_are_disjoint_complete_and_stratified():
    stream = Subsets(DIGITS, parts=7, seed=4)
    parts = [stream.samples(i) for i in range(7)]
    assert torch.equal(torch.cat(parts).sort().values, torch.arange(120))
    assert {len(part) for part in parts} == {17, 18}
    for part in parts:
        counts = torch.bincount(DIGITS.train_labels[part], minlength=10)
        assert set(counts.tolist()) <= {1, 2}  # 12 of a class in 7 parts
    for task, part in zip(stream, parts, strict=True):
        assert torch.equal(task.inputs, DIGITS.train_set()[0][part])
        assert torch.equal(task.labels, DIGITS.train_labels[part])
        assert torch.equal(task.test_inputs, DIGITS.test_set()[0])
    assert not torch.equal(parts[0].sort().values, Subsets(DIGITS, parts=7, seed=5).samples(0).sort().values)


def test_subset_is_not_sorted_by_class():
    """In random order, about one of 11 pairs of consecutive samples, of 119 pairs, has equal labels."""
    labels = Subsets(DIGITS, parts=1)[0].labels
    equal = int((labels[1:] == labels[:-1]).sum())
    assert binomtest(equal, 119, 11 / 119).pvalue > 1e-6


# Continuous


def task_and_number(stream):
    """Return task and number of each sample of each segment, from the first feature of `blobs`."""
    return [(task.inputs[:, 0] // 1_000_000, task.inputs[:, 0] % 1_000_000) for task in stream]


def test_share_of_the_next_task_rises_as_documented():
    count, segments, beta = 20_000, 20, 4.0
    base = TaskList([blobs(i, count) for i in range(3)])
    stream = ContinuousTasks(base, segments_per_task=segments, beta=beta, seed=6)
    statistic, freedom = 0.0, 0
    for i, (source, _) in enumerate(task_and_number(stream)):
        time = (i + (torch.arange(len(source)) + 0.5) / len(source)) / segments
        rise = [(0.5 + beta * (time - k) / 2).clamp(0, 1) for k in (1, 2)]
        for task, probability in enumerate((1 - rise[0], rise[0] - rise[1], rise[1])):
            variance = float((probability * (1 - probability)).sum())
            excess = float((source == task).double().sum() - probability.sum())
            if variance:
                statistic, freedom = statistic + excess**2 / variance, freedom + 1
            else:
                assert abs(excess) < 1e-3  # probabilities are 0 or 1
    # The counts of the two tasks of a segment are complementary, hence half the terms; false alarm rate: 1e-6.
    assert freedom == 2 * 2 * 2 * 5  # two boundaries, five segments (a quarter of a task) on either side, two tasks
    assert chi2.sf(statistic / 2, freedom / 2) > 1e-6


def test_samples_of_an_inner_task_are_learned_once_on_average():
    count = 400
    base = TaskList([blobs(i, count) for i in range(3)])
    counts = torch.zeros(count)
    runs = 60
    for seed in range(runs):
        for source, number in task_and_number(ContinuousTasks(base, segments_per_task=4, seed=seed)):
            counts += torch.bincount(number[source == 1].long(), minlength=count)
    # A sample is drawn with probabilities p and 1 - p, so the variance is at most 0.5; each seed has another order.
    assert float((counts / runs - 1).abs().max()) < 6 * (0.5 / runs) ** 0.5
    assert float(counts.sum() / runs / count - 1) == pytest.approx(0, abs=6 * (0.5 / runs / count) ** 0.5)


def test_infinite_beta_gives_the_tasks_in_pieces():
    base = TaskList([blobs(0), blobs(1, 31)])
    stream = ContinuousTasks(base, segments_per_task=3, beta=float("inf"))
    segments = task_and_number(stream)
    for task, count in ((0, 40), (1, 31)):
        pieces = segments[3 * task : 3 * task + 3]
        assert all(bool((source == task).all()) for source, _ in pieces)
        assert torch.equal(torch.cat([number for _, number in pieces]).sort().values, torch.arange(count).float())
    assert stream[4].name == "segment 1 of task 1"
    assert torch.equal(stream.test(4)[0], base.test(1)[0])


def test_fading_changes_the_task_of_a_sample_but_not_its_position():
    """A sample of either task is the one that this task has at the same position without fading."""
    base = TaskList([blobs(i, 60) for i in range(3)])
    orders = {}
    for seed in (1, 2):
        abrupt = task_and_number(ContinuousTasks(base, segments_per_task=4, beta=float("inf"), seed=seed))
        fading = task_and_number(ContinuousTasks(base, segments_per_task=4, beta=2, seed=seed))
        unmixed = orders[seed] = torch.cat([number for _, number in abrupt]).view(3, 60)
        assert not torch.equal(unmixed[0], unmixed[1])
        source, number = (torch.cat(each).long() for each in zip(*fading, strict=True))
        position = torch.arange(180) % 60
        assert torch.equal(number.float(), unmixed[source, position])
        assert int((source != torch.arange(180) // 60).sum()) > 10
    assert not torch.equal(orders[1], orders[2])


def test_inputs_and_labels_of_a_mixture_match():
    for task in ContinuousTasks(TaskList([blobs(0), blobs(1, 31), blobs(2, 70)]), segments_per_task=2):
        assert torch.equal(task.labels, (task.inputs[:, 0] % 1_000_000 % 2).long())


def test_invalid_settings_of_a_continuous_stream_are_refused():
    base = TaskList([blobs(0, 8), blobs(1, 8)])
    for given, settings, message in (
        (DIGITS, {}, "stream is a Images; expected a task stream"),
        (base, {"segments_per_task": 0}, "segments_per_task is 0"),
        (base, {"beta": 0.5}, "beta is 0.5; expected a number of at least 1"),
        (base, {"beta": float("nan")}, "beta is nan"),
        (base, {"beta": "4"}, "beta is '4'"),
        (base, {"seed": -1}, "seed is -1"),
    ):
        with pytest.raises(ConfigError, match=message):
            ContinuousTasks(given, **settings)
    with pytest.raises(ConfigError, match="'task 0' has 8 samples for 9 segments"):
        ContinuousTasks(base, segments_per_task=9)[0]


# Your own arrays


def test_arrays_become_tasks():
    stream = TaskList([blobs(0), tuple(torch.from_numpy(each) for each in blobs(1))], name="mine", classes=4)
    assert (len(stream), stream.name, stream.shape, stream.classes) == (2, "mine", (3,), 4)
    assert TaskList([blobs(0)]).classes == 2
    np.testing.assert_array_equal(stream[1].inputs.numpy(), blobs(1)[0])
    doubles = TaskList([tuple(each.astype(float) for each in blobs(0))])
    assert torch.equal(doubles[0].inputs, stream[0].inputs)
    assert torch.equal(doubles[0].labels, stream[0].labels)


def test_invalid_arrays_are_refused():
    x, y, a, b = blobs(0)
    for tasks, settings, message in (
        ([], {}, "tasks is empty"),
        (7, {}, "tasks has type int; expected a list"),
        ([(x, y)], {}, r"task 0 is a tuple; expected a Task, \(inputs, labels, test inputs, test labels\), or"),
        ([(x.astype(np.uint8), y, a, b)], {}, r"inputs of task 0 have type torch.uint8.*images_from_arrays"),
        ([(x, y - 1, a, b)], {}, "a label .* is -1"),
        ([(x, y / 2, a, b)], {}, "labels of 'task 0' are not whole numbers"),
        ([(x * np.nan, y, a, b)], {}, "NaN or infinite"),
        ([(x, y[1:], a, b)], {}, "for 40 inputs"),
        ([(x, y, a[:, :2], b)], {}, r"shape \(3,\) and test inputs of shape \(2,\)"),
        ([(x, y, a, b), (x[:, :2], y, a[:, :2], b)], {}, r"inputs of task 'task 1' have shape \(2,\)"),
        (
            [(x, y + 3, a, b)],
            {"classes": 3},
            r"a label of task 'task 0' is 4; expected 0 \.\. 2, the classes of the stream 'tasks'",
        ),
        ([(x, y, a, b)], {"classes": 1}, "classes is 1"),
    ):
        with pytest.raises(ConfigError, match=message):
            TaskList(tasks, **settings)


# Invalid settings of all streams


@pytest.mark.parametrize("kind", [PermutedTasks, ClassSplit, Subsets])
def test_tensors_in_place_of_images_are_refused(kind):
    with pytest.raises(ConfigError, match=r"images are a Tensor; expected Images, such as mnist\(\)"):
        kind(DIGITS.train_images)


def test_invalid_numbers_are_refused():
    for settings, message in (
        ({"tasks": 0}, "tasks is 0; expected a whole number of at least 1"),
        ({"tasks": 2.0}, "tasks is 2.0"),
        ({"seed": -1}, "seed is -1; expected a whole number from 0 to 4294967295"),
        ({"seed": None}, "seed is None"),
        ({"seed": True}, "seed is True"),
        ({"tasks": 10**30}, "tasks is 1000000000000000000000000000000; expected a whole number from 1 to"),
        ({"first_identity": "x"}, "first_identity is 'x'; expected True or False"),
        ({"boundaries": "x"}, "boundaries is 'x'; expected True or False"),
        ({"scale": 255}, "scale is 255; expected one of"),
    ):
        with pytest.raises(ConfigError, match=message):
            PermutedTasks(DIGITS, **settings)
    with pytest.raises(ConfigError, match="seed is 'a'"):
        Subsets(DIGITS, parts=2, seed="a")


# Tasks of one class, labels of any width, datasets of torch


def test_one_class_a_task():
    stream = ClassSplit(DIGITS, groups=1)
    assert (len(stream), stream.classes) == (DIGITS.classes, DIGITS.classes)
    assert [task.labels.unique().tolist() for task in stream] == [[label] for label in range(DIGITS.classes)]
    assert [task.test_labels.unique().tolist() for task in ClassSplit(DIGITS, groups=((2,), (0, 1)))] == [[2], [0, 1]]
    with pytest.raises(ConfigError, match="all groups have one class, and relabel=True would call each of them 0"):
        ClassSplit(DIGITS, groups=1, relabel=True)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64", "float64"])
def test_labels_of_any_width(dtype):
    x, y, a, b = blobs(0)
    task = TaskList([(x, y.astype(dtype), a, b.astype(dtype))])[0]
    assert task.labels.dtype == task.test_labels.dtype == torch.int64
    assert task.labels.tolist() == y.tolist()


class Squares(Dataset):
    """Samples as torchvision returns them: a tensor, and the label as a plain number."""

    def __init__(self, samples, item=lambda i: (torch.full((1, 2, 2), float(i)), i % 3)):
        self.samples, self.item = samples, item

    def __len__(self):
        return self.samples

    def __getitem__(self, index):
        return self.item(index)


def test_datasets_of_torch_become_tasks():
    stream = TaskList([(Squares(7), Squares(4)), (Subset(Squares(9), [8, 1]), Squares(4))])
    assert (stream.shape, stream.classes, len(stream[0]), len(stream[1])) == ((1, 2, 2), 3, 7, 2)
    assert stream[1].inputs[:, 0, 0, 0].tolist() == [8.0, 1.0]
    assert stream[0].labels.tolist() == [0, 1, 2, 0, 1, 2, 0]


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (Squares(0), "has no samples or no length"),
        (
            Squares(2, lambda i: torch.zeros(3)),
            r"sample 0 of the training set of task 0 is a Tensor; expected \(input",
        ),
        (Squares(2, lambda i: ("picture", 1)), r"input 0 .* is a str; expected a tensor: pass transform=ToTensor\(\)"),
        (Squares(2, lambda i: (torch.zeros(i + 1), 0)), r"have the shapes \(1,\) and \(2,\)"),
    ],
)
def test_datasets_without_labelled_tensors_are_refused(dataset, message):
    with pytest.raises(ConfigError, match=message):
        TaskList([(dataset, Squares(4))])


def test_a_list_of_tasks_copies_them():
    """What the caller does with the arrays afterwards does not reach the stream."""
    arrays = [each.clone() for each in map(torch.as_tensor, blobs(0))]
    given = [tuple(arrays), Task("mine", *arrays), tuple(each.numpy() for each in arrays)]
    stream = TaskList(given)
    before = [each.clone() for task in stream for each in (task.inputs, task.labels, task.test_inputs, task.test_labels)]
    for each in arrays:
        each.zero_()
    after = [each for task in stream for each in (task.inputs, task.labels, task.test_inputs, task.test_labels)]
    assert all(map(torch.equal, before, after))
