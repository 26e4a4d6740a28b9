"""Random telegraph noise: captures are found in synthetic recordings, and none in recordings without."""

import itertools

import numpy as np
import pytest

from spinode.surrogates.synapses import kalman
from spinode.surrogates.synapses.kalman import Noise, Steps
from spinode.surrogates.synapses.telegraph import TelegraphNoise, estimate_rates
from spinode.surrogates.synapses.telegraph_histories import most_likely_history

TELEGRAPH = TelegraphNoise(fill=0.01, leave=0.02, depth=1.0, depth_deviation=0.1)


def recording(filled, *, process=0.02, read=0.15, telegraph=TELEGRAPH, seed=0, missing=0.0):
    """Simulate reads of a drifting state with a given history of the trap, shape (reads, lanes), one pulse per step."""
    r = np.random.default_rng(seed)
    reads, lanes = filled.shape
    drift = np.full((reads - 1, lanes), 0.005)
    x = np.cumsum(np.vstack([r.normal(size=(1, lanes)), drift + process * r.normal(size=drift.shape)]), 0)
    h = np.zeros((reads, lanes))
    for k in range(reads):
        fresh = telegraph.depth + telegraph.depth_deviation * r.normal(size=lanes)
        before = filled[k - 1] if k else np.zeros(lanes, bool)
        h[k] = np.where(filled[k], np.where(before, h[k - 1], fresh), 0.0)
    seen = r.random((reads, lanes)) >= missing
    seen[0] = True
    y = np.where(seen, x + h + read * r.normal(size=x.shape), 0.0)
    steps = Steps(y, seen, drift, np.ones_like(drift), x[:-1], np.zeros_like(filled))
    depth, spread = np.full(lanes, telegraph.depth), np.full(lanes, telegraph.depth_deviation**2)
    noise = Noise(
        np.full_like(drift, process**2), np.full_like(y, read**2), np.zeros(lanes), np.ones_like(drift), depth, spread
    )
    return steps, noise, np.ones_like(drift)


def history(reads, *segments):
    """Return a history of the trap in which it is filled in the segments of each lane."""
    filled = np.zeros((reads, len(segments)), bool)
    for lane, lane_segments in enumerate(segments):
        for start, stop in lane_segments:
            filled[start:stop, lane] = True
    return filled


@pytest.mark.parametrize("depth", [1.0, -1.0])
@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_captures_are_found_within_one_read(depth, missing):
    """At a depth above six standard deviations of a read, every transition is found within one read (missing ones excluded)."""
    telegraph = TelegraphNoise(0.01, 0.02, depth, 0.1)
    truth = history(300, [(40, 90), (200, 215)], [(0, 60)], [(150, 300)], [])
    steps, noise, pulses = recording(truth, telegraph=telegraph, missing=missing)
    found, _ = most_likely_history(steps, noise, pulses, telegraph)
    for lane in range(truth.shape[1]):
        changes = [np.flatnonzero(np.diff(path[:, lane].astype(int))) for path in (truth, found)]
        assert len(changes[0]) == len(changes[1])
        for expected, estimate in zip(*changes, strict=True):
            early, late = sorted((expected, estimate))
            assert steps.seen[early + 1 : late + 1, lane].sum() <= 1


def test_few_false_captures_without_telegraph_noise():
    """A false capture needs an error of six deviations: at most one of 200 recordings of 200 reads has one (1 in 200)."""
    steps, noise, pulses = recording(np.zeros((200, 200), bool), seed=3)
    found, _ = most_likely_history(steps, noise, pulses, TelegraphNoise(1e-3, 0.02, 1.0, 0.1))
    false_captures = found[1:].any(0) & ~found.all(0)
    assert false_captures.sum() <= 1


@pytest.mark.parametrize("seed", range(4))
def test_the_history_is_the_most_likely_of_all(seed):
    """Eight reads have 256 histories: the beam search finds the best one and its log probability."""
    reads = 8
    truth = history(reads, [(3, 6)])
    telegraph = TelegraphNoise(0.1, 0.2, 1.0, 0.3)
    steps, noise, pulses = recording(truth, telegraph=telegraph, read=0.3, seed=seed)
    pulses[2] = 3.0
    chain = np.log(telegraph.transitions(pulses))[:, :, :, 0]
    start = np.log([1 - telegraph.occupancy, telegraph.occupancy])
    histories = np.array(list(itertools.product([False, True], repeat=reads))).T
    tiled = steps.tiled(histories.shape[1])
    tiled = Steps(tiled.reads, tiled.seen, tiled.drift, tiled.slope, tiled.reference, histories)
    many = Noise(*(np.tile(v, 2**reads) if v.ndim == 1 else np.tile(v, (1, 2**reads)) for v in vars(noise).values()))
    code = histories.astype(int)
    prior = start[code[0]] + sum(chain[code[k], code[k + 1], k] for k in range(reads - 1))
    scores = kalman.run(tiled, many).loglik + prior
    path, score = most_likely_history(steps, noise, pulses, telegraph)
    assert score[0] == pytest.approx(scores.max(), rel=1e-9)
    np.testing.assert_array_equal(path[:, 0], histories[:, scores.argmax()])


def test_lanes_are_independent():
    truth = history(100, [(20, 50)], [], [(60, 80)])
    steps, noise, pulses = recording(truth, seed=5)
    together, score = most_likely_history(steps, noise, pulses, TELEGRAPH)
    for lane in range(3):
        one = [lane]
        part = Steps(*(value[:, one] for value in vars(steps).values()))
        own = Noise(*(value[..., one] for value in vars(noise).values()))
        alone, its = most_likely_history(part, own, pulses[:, one], TELEGRAPH)
        np.testing.assert_array_equal(alone[:, 0], together[:, lane])
        assert its[0] == pytest.approx(score[lane], rel=1e-9)


def test_the_log_probability_of_a_history_is_that_of_its_transitions():
    filled = history(6, [(2, 4)])
    seen, pulses = np.ones_like(filled), np.array([[1.0], [2.0], [0.0], [5.0], [1.0]])
    table = np.log(TELEGRAPH.transitions(np.maximum(pulses, 1e-300)))[..., 0]
    path = filled[:, 0].astype(int)
    steps = [table[path[k], path[k + 1], k] for k in (0, 1, 3, 4)]  # no pulse in step 2: the trap stays filled
    expected = np.log(1 - TELEGRAPH.occupancy) + sum(steps)
    assert TELEGRAPH.log_probability(filled, seen, pulses) == pytest.approx(expected)


def test_rates_are_counted_transitions():
    filled = history(2001, [(1000, 1500)])
    fill, leave = estimate_rates(filled, np.ones_like(filled), np.ones((2000, 1)))
    assert fill == pytest.approx(2 / (1500 + 1000))
    assert leave == pytest.approx(2 / (500 + 1000))
