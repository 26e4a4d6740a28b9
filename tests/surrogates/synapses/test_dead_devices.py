"""Devices that never move are named and left out of a fit, and only they."""

import numpy as np
import pytest

from spinode import Trace, TraceSet
from spinode.errors import DeviceWarning
from spinode.surrogates import fit_synapse
from spinode.surrogates.synapses.dead_devices import without_dead_devices


def ramps(levels, *, moving: float = 1.0, noise: float = 0.005, pulses: int = 30, seed: int = 0) -> list[Trace]:
    """Return a recording for each device: its level at rest if it is given, else a ramp from 0.1 to 0.9."""
    random = np.random.default_rng(seed)
    traces = []
    for device, level in enumerate(levels):
        ramp = 0.1 + 0.8 * moving * np.linspace(0, 1, pulses + 1) if level is None else np.full(pulses + 1, level)
        reads = 1e-4 * (ramp + noise * random.normal(size=pulses + 1))
        drive = {"SET": np.ones(pulses + 1), "RESET": np.zeros(pulses + 1)}
        traces.append(Trace(np.arange(pulses + 1.0), drive, {"conductance": reads}, {"device": device}))
    return traces


def test_dead_devices_are_named_with_their_share_at_each_end():
    recordings = TraceSet(ramps([None] * 8 + [0.12, 0.85]))
    with pytest.warns(DeviceWarning, match=r"2 of 10 devices never move \(device 8, 9\).*stuck_low=0\.1, stuck_high=0\.1"):
        moving, found = without_dead_devices(recordings)
    assert [trace.parameters["device"] for trace in moving] == list(range(8))
    assert found == {"devices": [8.0, 9.0], "stuck_low": 0.1, "stuck_high": 0.1}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "recordings",
    [
        lambda seed: ramps([None] * 10, seed=seed),
        lambda seed: ramps([None] * 9, seed=seed) + list(ramps([None], moving=0.2, seed=seed)),  # weak, not dead
        lambda seed: ramps([None] * 3 + [0.5], seed=seed),  # too few to know what is usual
        lambda seed: ramps([None] * 9 + [0.5], noise=0.3, seed=seed),  # noise hides the motion of all
    ],
    ids=["alive", "weak", "few", "noise"],
)
def test_devices_that_may_move_stay(recordings, seed, recwarn):
    traces = TraceSet(recordings(seed))
    moving, found = without_dead_devices(traces)
    assert len(moving) == len(traces)
    assert not found
    assert not [each for each in recwarn if each.category is DeviceWarning]


def test_a_fit_is_that_of_the_devices_that_move():
    quick = {"hidden": 2, "rounds": 1, "iterations": 1}
    alive, all_of_them = ramps([None] * 6), ramps([None] * 6 + [0.1])
    with pytest.warns(DeviceWarning, match="1 of 7 devices never move"):
        fitted = fit_synapse(TraceSet(all_of_them), **quick)
    assert fitted.record["devices"] == 6
    assert fitted.record["dead"]["devices"] == [6.0]
    other = fit_synapse(TraceSet(alive), **quick)
    assert fitted.record["loglik_per_read"] == pytest.approx(other.record["loglik_per_read"], rel=1e-9)
