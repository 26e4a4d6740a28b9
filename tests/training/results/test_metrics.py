"""Metrics of the accuracy matrix against their definitions as loops, and tests that are missing."""

import csv
import math

import numpy as np
import pytest

from spinode.errors import ConfigError
from spinode.training import AccuracyMatrix


@pytest.fixture
def full():
    """A matrix with every task tested after every task and before the first."""
    generator = np.random.default_rng(0)
    return AccuracyMatrix(generator.random((5, 5)), generator.random(5))


def triangle(tasks=5):
    """Return a matrix in which only seen tasks are tested."""
    values = np.random.default_rng(1).random((tasks, tasks))
    values[np.triu_indices(tasks, 1)] = np.nan
    return AccuracyMatrix(values, np.full(tasks, np.nan))


def rows_of(path):
    return list(csv.reader(path.read_text().splitlines()))


def test_known_case():
    """Three tasks: the first is half forgotten, the second improves later."""
    values = np.array([[0.9, 0.1, 0.2], [0.6, 0.8, 0.3], [0.4, 0.85, 0.7]])
    matrix = AccuracyMatrix(values, np.array([0.1, 0.1, 0.1]))
    assert matrix.accuracy == pytest.approx((0.4 + 0.85 + 0.7) / 3)
    assert matrix.newest == 0.7
    assert matrix.first == 0.4
    assert matrix.backward_transfer == pytest.approx((-0.5 + 0.05) / 2)
    assert matrix.forward_transfer == pytest.approx((0.0 + 0.2) / 2)
    assert matrix.forgetting("max") == pytest.approx((0.5 - 0.05) / 2)
    assert matrix.forgetting("first") == pytest.approx((0.5 - 0.05) / 2)
    assert matrix.rigidity == pytest.approx(0.2)
    assert matrix.resilience == pytest.approx(5.0)


def test_metrics_equal_their_definitions_as_loops(full):
    values, before = full.values, full.untrained
    tasks = range(5)
    assert full.accuracy == pytest.approx(sum(values[4, i] for i in tasks) / 5)
    assert full.last(2) == pytest.approx((values[4, 3] + values[4, 4]) / 2)
    assert full.backward_transfer == pytest.approx(sum(values[4, i] - values[i, i] for i in range(4)) / 4)
    assert full.forward_transfer == pytest.approx(sum(values[i - 1, i] - before[i] for i in range(1, 5)) / 4)
    # The accuracy on a task before it was learned cannot be forgotten.
    highest = [max(values[t, i] for t in range(i, 4)) for i in range(4)]
    assert full.forgetting("max") == pytest.approx(sum(highest[i] - values[4, i] for i in range(4)) / 4)
    assert full.forgetting("first") == pytest.approx(-full.backward_transfer)
    assert full.past(3) == pytest.approx((values[2, 0] + values[2, 1]) / 2)
    expected = [np.mean([values[t, i] for i in range(max(0, t - 1), t + 1)]) for t in tasks]
    assert full.sliding(2) == pytest.approx(expected)


def test_tests_of_future_tasks_do_not_affect_metrics_of_seen_ones(full):
    lower = full.values.copy()
    lower[np.triu_indices(5, 1)] = np.nan
    without_future = AccuracyMatrix(lower, np.full(5, np.nan))
    for figure in ("accuracy", "newest", "backward_transfer", "rigidity"):
        assert getattr(without_future, figure) == getattr(full, figure)
    assert without_future.forgetting("max") == full.forgetting("max")


def test_two_tasks_forget():
    """With an off-by-one error, as in some published code, forgetting after two tasks would be zero."""
    matrix = AccuracyMatrix(np.array([[0.9, np.nan], [0.5, 0.8]]), np.full(2, np.nan))
    assert matrix.forgetting("max") == pytest.approx(0.4)


def test_metrics_require_their_tests():
    matrix = triangle()
    with pytest.raises(ConfigError, match=r"forward transfer needs tests .*evaluate='all'"):
        _ = matrix.forward_transfer
    recent = matrix.values.copy()
    recent[2, 0] = np.nan
    with pytest.raises(ConfigError, match="forgetting needs tests"):
        AccuracyMatrix(recent, matrix.untrained).forgetting("max")
    with pytest.raises(ConfigError, match="accuracy on past tasks needs tests"):
        AccuracyMatrix(recent, matrix.untrained).past(3)
    with pytest.raises(ConfigError, match="last accuracy needs tests"):
        _ = AccuracyMatrix.empty(3).accuracy


def test_one_task_has_no_transfer():
    matrix = AccuracyMatrix(np.array([[0.9]]), np.array([0.1]))
    assert (matrix.accuracy, matrix.rigidity, matrix.resilience) == (0.9, 0.0, math.inf)
    for figure in (lambda: matrix.backward_transfer, lambda: matrix.forward_transfer, lambda: matrix.forgetting("max")):
        with pytest.raises(ConfigError, match="needs more than one task"):
            figure()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.last(0), r"count is 0; expected a whole number from 1 to 5"),
        (lambda m: m.last(6), "count is 6; expected a whole number from 1 to 5"),
        (lambda m: m.past(1), r"after is 1; expected a whole number from 2 to 5"),
        (lambda m: m.forgetting("mean"), "definition is 'mean'; expected one of max, first"),
        (lambda m: m.save("accuracy.txt"), r"ends in \.npz or \.csv"),
        (lambda m: AccuracyMatrix(m.values[:3], m.untrained), r"expected \(tasks, tasks\)"),
        (lambda m: AccuracyMatrix(m.values, m.untrained[:2]), r"expected \(tasks, tasks\)"),
    ],
)
def test_wrong_arguments_are_reported(full, call, message):
    with pytest.raises(ConfigError, match=message):
        call(full)


def test_files_contain_all_accuracies(full, tmp_path):
    matrix = triangle()
    matrix.save(tmp_path / "accuracy.npz")
    with np.load(tmp_path / "accuracy.npz") as stored:
        np.testing.assert_array_equal(stored["values"], matrix.values)
        np.testing.assert_array_equal(stored["untrained"], matrix.untrained)
    full.save(tmp_path / "accuracy.csv")
    rows = rows_of(tmp_path / "accuracy.csv")
    assert rows[0] == ["after task", *(f"task {i}" for i in range(1, 6))]
    np.testing.assert_array_equal(np.array(rows[1][1:], dtype=float), full.untrained)
    np.testing.assert_array_equal(np.array([row[1:] for row in rows[2:]], dtype=float), full.values)
    matrix.save(tmp_path / "seen.csv")
    assert rows_of(tmp_path / "seen.csv")[2][2:] == [""] * 4
