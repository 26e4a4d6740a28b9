"""Random telegraph noise: planted captures are found, none where there are none, and the chain is a chain."""

import itertools

import numpy as np
import pytest

from spinode.surrogates.synapses import kalman
from spinode.surrogates.synapses.kalman import Noise, Steps
from spinode.surrogates.synapses.telegraph import TelegraphNoise, most_likely

TRAP = TelegraphNoise(fill=0.01, leave=0.02, depth=1.0, depth_deviation=0.1)


def recording(filled, *, process=0.02, read=0.15, trap=TRAP, seed=0, missing=0.0):
    """Reads of a drifting state with captures as planted, shape (reads, lanes): one pulse a step."""
    r = np.random.default_rng(seed)
    reads, lanes = filled.shape
    drift = np.full((reads - 1, lanes), 0.005)
    x = np.cumsum(np.vstack([r.normal(size=(1, lanes)), drift + process * r.normal(size=drift.shape)]), 0)
    h = np.zeros((reads, lanes))
    for k in range(reads):
        fresh = trap.depth + trap.depth_deviation * r.normal(size=lanes)
        before = filled[k - 1] if k else np.zeros(lanes, bool)
        h[k] = np.where(filled[k], np.where(before, h[k - 1], fresh), 0.0)
    seen = r.random((reads, lanes)) >= missing
    seen[0] = True
    y = np.where(seen, x + h + read * r.normal(size=x.shape), 0.0)
    steps = Steps(y, seen, drift, np.ones_like(drift), x[:-1], np.zeros_like(filled))
    depth, spread = np.full(lanes, trap.depth), np.full(lanes, trap.depth_deviation**2)
    noise = Noise(
        np.full_like(drift, process**2), np.full_like(y, read**2), np.zeros(lanes), np.ones_like(drift), depth, spread
    )
    return steps, noise, np.ones_like(drift)


def planted(reads, *stretches):
    filled = np.zeros((reads, len(stretches)), bool)
    for lane, stretch in enumerate(stretches):
        for start, stop in stretch:
            filled[start:stop, lane] = True
    return filled


@pytest.mark.parametrize("depth", [1.0, -1.0])
@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_planted_captures_are_found_within_one_read(depth, missing):
    """More than six deviations of a read deep; every change of the trap within one read (of those that were taken)."""
    trap = TelegraphNoise(0.01, 0.02, depth, 0.1)
    truth = planted(300, [(40, 90), (200, 215)], [(0, 60)], [(150, 300)], [])
    steps, noise, pulses = recording(truth, trap=trap, missing=missing)
    found, _ = most_likely(steps, noise, pulses, trap)
    for lane in range(truth.shape[1]):
        changes = [np.flatnonzero(np.diff(path[:, lane].astype(int))) for path in (truth, found)]
        assert len(changes[0]) == len(changes[1])
        for right, at in zip(*changes, strict=True):
            early, late = sorted((right, at))
            assert steps.seen[early + 1 : late + 1, lane].sum() <= 1


def test_few_alarms_where_there_is_no_trap():
    """Each read would have to be some six deviations off: of 200 recordings of 200 reads at most one is accused (1 in 200)."""
    steps, noise, pulses = recording(np.zeros((200, 200), bool), seed=3)
    found, _ = most_likely(steps, noise, pulses, TelegraphNoise(1e-3, 0.02, 1.0, 0.1))
    accused = found[1:].any(0) & ~found.all(0)
    assert accused.sum() <= 1


@pytest.mark.parametrize("seed", range(4))
def test_the_history_is_the_most_likely_of_all(seed):
    """Eight reads have 256 histories: the filter scores each, and the beam finds the best and its log probability."""
    reads = 8
    truth = planted(reads, [(3, 6)])
    trap = TelegraphNoise(0.1, 0.2, 1.0, 0.3)
    steps, noise, pulses = recording(truth, trap=trap, read=0.3, seed=seed)
    pulses[2] = 3.0
    chain = np.log(trap.transitions(pulses))[:, :, :, 0]
    start = np.log([1 - trap.occupancy, trap.occupancy])
    histories = np.array(list(itertools.product([False, True], repeat=reads))).T
    wide = steps.tiled(histories.shape[1])
    wide = Steps(wide.reads, wide.seen, wide.drift, wide.slope, wide.reference, histories)
    many = Noise(*(np.tile(v, 2**reads) if v.ndim == 1 else np.tile(v, (1, 2**reads)) for v in vars(noise).values()))
    code = histories.astype(int)
    prior = start[code[0]] + sum(chain[code[k], code[k + 1], k] for k in range(reads - 1))
    scores = kalman.run(wide, many).loglik + prior
    path, score = most_likely(steps, noise, pulses, trap)
    assert score[0] == pytest.approx(scores.max(), rel=1e-9)
    np.testing.assert_array_equal(path[:, 0], histories[:, scores.argmax()])


def test_lanes_do_not_see_each_other():
    truth = planted(100, [(20, 50)], [], [(60, 80)])
    steps, noise, pulses = recording(truth, seed=5)
    together, score = most_likely(steps, noise, pulses, TRAP)
    for lane in range(3):
        one = [lane]
        part = Steps(*(value[:, one] for value in vars(steps).values()))
        own = Noise(*(value[..., one] for value in vars(noise).values()))
        alone, its = most_likely(part, own, pulses[:, one], TRAP)
        np.testing.assert_array_equal(alone[:, 0], together[:, lane])
        assert its[0] == pytest.approx(score[lane], rel=1e-9)


@pytest.mark.parametrize("count", [0, 1, 2, 7, 100])
def test_transitions_are_the_power_of_the_matrix(count):
    single = np.array([[1 - TRAP.fill, TRAP.fill], [TRAP.leave, 1 - TRAP.leave]])
    expected = np.linalg.matrix_power(single, count)
    np.testing.assert_allclose(TRAP.transitions(np.array([float(count)]))[..., 0], expected, rtol=1e-12, atol=1e-15)


def test_the_occupancy_is_where_the_chain_settles():
    settled = TRAP.transitions(np.array(1e5))
    np.testing.assert_allclose(settled, [[1 - TRAP.occupancy, TRAP.occupancy]] * 2, rtol=1e-12)
    assert TRAP.occupancy == pytest.approx(1 / 3)
