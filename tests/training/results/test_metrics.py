"""Figures of the accuracy matrix, against their definitions written as loops, and where they cannot be had."""

import csv
import math

import numpy as np
import pytest

from spinode.errors import ConfigError
from spinode.training import AccuracyMatrix


@pytest.fixture
def full():
    """Every task tested after every task and before the first."""
    generator = np.random.default_rng(0)
    return AccuracyMatrix(generator.random((5, 5)), generator.random(5))


def triangle(tasks=5):
    """Only what was seen is tested."""
    values = np.random.default_rng(1).random((tasks, tasks))
    values[np.triu_indices(tasks, 1)] = np.nan
    return AccuracyMatrix(values, np.full(tasks, np.nan))


def rows_of(path):
    return list(csv.reader(path.read_text().splitlines()))


def test_known_case():
    """Three tasks by hand: the first is half forgotten, the second improves later."""
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


def test_definitions_as_loops(full):
    values, before = full.values, full.untrained
    tasks = range(5)
    assert full.accuracy == pytest.approx(sum(values[4, i] for i in tasks) / 5)
    assert full.last(2) == pytest.approx((values[4, 3] + values[4, 4]) / 2)
    assert full.backward_transfer == pytest.approx(sum(values[4, i] - values[i, i] for i in range(4)) / 4)
    assert full.forward_transfer == pytest.approx(sum(values[i - 1, i] - before[i] for i in range(1, 5)) / 4)
    # What was known of a task before it was learned is no knowledge that could be lost.
    best = [max(values[t, i] for t in range(i, 4)) for i in range(4)]
    assert full.forgetting("max") == pytest.approx(sum(best[i] - values[4, i] for i in range(4)) / 4)
    assert full.forgetting("first") == pytest.approx(-full.backward_transfer)
    assert full.past(3) == pytest.approx((values[2, 0] + values[2, 1]) / 2)
    wanted = [np.mean([values[t, i] for i in range(max(0, t - 1), t + 1)]) for t in tasks]
    assert full.sliding(2) == pytest.approx(wanted)


def test_scores_of_future_tasks_do_not_enter_what_is_seen(full):
    seen = full.values.copy()
    seen[np.triu_indices(5, 1)] = np.nan
    bare = AccuracyMatrix(seen, np.full(5, np.nan))
    for figure in ("accuracy", "newest", "backward_transfer", "rigidity"):
        assert getattr(bare, figure) == getattr(full, figure)
    assert bare.forgetting("max") == full.forgetting("max")


def test_two_tasks_forget():
    """Off by one here, and forgetting after two tasks would be zero, as in codes of the field."""
    matrix = AccuracyMatrix(np.array([[0.9, np.nan], [0.5, 0.8]]), np.full(2, np.nan))
    assert matrix.forgetting("max") == pytest.approx(0.4)


def test_figures_need_their_tests():
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
        (lambda m: m.last(0), r"last 0 tasks were asked for; expected 1 \.\. 5"),
        (lambda m: m.last(6), "last 6 tasks"),
        (lambda m: m.past(1), r"expected 2 \.\. 5"),
        (lambda m: m.forgetting("mean"), "expected 'max' or 'first'"),
        (lambda m: m.save("accuracy.txt"), r"ends in \.npz or \.csv"),
        (lambda m: AccuracyMatrix(m.values[:3], m.untrained), r"expected \(tasks, tasks\)"),
        (lambda m: AccuracyMatrix(m.values, m.untrained[:2]), r"expected \(tasks, tasks\)"),
    ],
)
def test_what_makes_no_sense_is_refused(full, call, message):
    with pytest.raises(ConfigError, match=message):
        call(full)


def test_files_hold_all_of_it(full, tmp_path):
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
