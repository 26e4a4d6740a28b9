"""The structure search: what it tries, by what it judges, and that it finds the model of devices with known equations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from spinode import FitConfig, Trace, TraceSet, evaluate, fit
from spinode.surrogates.neural_ode.embedding import Embedding
from spinode.surrogates.neural_ode.fitting.checkpoint import Checkpoint
from spinode.surrogates.neural_ode.fitting.prepare import on_common_grid, prepare
from spinode.surrogates.neural_ode.fitting.search import Search
from spinode.surrogates.neural_ode.fitting.splits import BLOCKS, ENOUGH_SAMPLES, splits
from spinode.surrogates.neural_ode.fitting.structure import Structure, embeddings_to_try, variants_to_try

#: Settings with which a search of a few hundred samples takes seconds.
SMALL = {"effort": "quick", "hidden": (6,), "windows": (1, 8, 40), "iterations": 6, "restarts": 1}


def linear_device(samples=600, seed=0):
    """y'' = -0.09 y - 0.1 y' + 0.1 u under steps held for ten samples, integrated exactly."""
    u = np.repeat(np.random.default_rng(seed).uniform(-1, 1, samples // 10), 10)
    system = torch.tensor([[0.0, 1.0, 0.0], [-0.09, -0.1, 0.1], [0.0, 0.0, 0.0]], dtype=torch.float64)
    step = torch.linalg.matrix_exp(system).numpy()
    state, outputs = np.zeros(2), []
    for value in u:
        outputs.append(state[0])
        state = (step @ np.array([*state, value]))[:2]
    return Trace(np.arange(samples) * 1.0, {"u": u}, {"y": np.array(outputs)}, interpolation={"u": "held"})


def prepared_of(traces, order=2):
    config = FitConfig(embedding="derivative", order=order)
    return prepare(on_common_grid(TraceSet(traces), config), Embedding("derivative", order), config)


# --- what is tried ------------------------------------------------------------------------------------------------------------


def test_given_settings_are_not_searched():
    assert embeddings_to_try(FitConfig(embedding="delay", order=7), 1) == [Embedding("delay", 7)]
    kinds = {embedding.kind for embedding in embeddings_to_try(FitConfig(order=2), 1)}
    assert {"derivative", "delay"} <= kinds
    config = FitConfig(embedding="delay", order=2, hidden=5, ridge=1e-4)
    tried = [(each.structure(Embedding("delay", 2)), each.start) for each in variants_to_try(config, linear=True)]
    assert tried == [(Structure("delay", 2, (5,), 1e-4), "linear"), (Structure("delay", 2, (5,), 1e-4), "random")]


@pytest.mark.parametrize(("effort", "fewer"), [("default", "quick"), ("long", "default")])
def test_more_effort_tries_more(effort, fewer):
    more, less = (embeddings_to_try(FitConfig(effort=name), 1) for name in (effort, fewer))
    assert set(less) < set(more)
    assert max(embedding.order for embedding in embeddings_to_try(FitConfig(), 1)) >= 8


def test_size_of_the_state_is_bounded():
    assert max(embedding.order * 6 for embedding in embeddings_to_try(FitConfig(effort="long"), 6)) <= 24


def test_settled_settings_round_trip():
    structure = Structure("delay", 3, (16, 16), 1e-5)
    settled = structure.settle(FitConfig(seed=4))
    assert (settled.embedding, settled.order, settled.hidden, settled.ridge, settled.seed) == ("delay", 3, (16, 16), 1e-5, 4)
    assert Structure(**{**structure.to_dict(), "hidden": tuple(structure.to_dict()["hidden"])}) == structure


# --- by what it is judged -----------------------------------------------------------------------------------------------------


def test_splits_of_short_recordings_cover_the_fitted_part(duffing):
    prepared = prepared_of([duffing(400), duffing(300, seed=1)])
    kept, *others = splits(prepared)
    assert kept is prepared
    assert len(others) == BLOCKS
    left_out = np.concatenate([np.arange(a, b + 1) for split in others for a, b in split.validation])
    fitted = np.concatenate([np.arange(a, b + 1) for a, b in prepared.samples.segments])
    assert np.array_equal(np.sort(left_out), fitted)
    for split in others:
        blocks = np.concatenate([np.arange(a, b + 1) for a, b in split.validation])
        used = np.concatenate([np.arange(a, b + 1) for a, b in split.samples.segments])
        assert not np.intersect1d(blocks, used).size


@pytest.mark.parametrize(("samples", "count"), [(ENOUGH_SAMPLES, 1), (ENOUGH_SAMPLES - 10, 2), (2500, 3), (1900, 4)])
def test_long_recordings_have_fewer_splits(duffing, samples, count):
    assert len(splits(prepared_of([duffing(samples, hold=10)]))) == count


def test_higher_orders_are_tried_while_they_help(duffing):
    search = search_of(duffing(300))

    def arm(order, error):
        made = search._arm(Structure("delay", order, (6,), 3e-7), "random")
        made.climb.error = error
        return made

    next_one = Structure("delay", 4, (6,), 3e-7)
    assert search._promising(next_one, [arm(1, 0.9)])
    assert search._promising(next_one, [arm(1, 0.9), arm(2, 0.5), arm(3, 0.2)])
    assert not search._promising(next_one, [arm(1, 0.9), arm(2, 0.2), arm(3, 0.3)])
    assert not search._promising(next_one, [arm(3, 0.2), arm(4, 0.1)])


def search_of(trace, **settings):
    config = FitConfig(**(SMALL | settings))
    return Search(on_common_grid(TraceSet([trace]), config), config, None, Checkpoint(None, {}), lambda line: None)


def test_diverging_arms_lose_and_the_smallest_of_equals_wins(duffing):
    search = search_of(duffing(300))
    derivative, delay, larger, wild = (
        search._arm(Structure(kind, order, (6,), 3e-7), "random")
        for kind, order in (("derivative", 2), ("delay", 2), ("delay", 3), ("delay", 1))
    )
    for arm, error in ((derivative, 0.109), (delay, 0.105), (larger, 0.10), (wild, 0.01)):
        for climb in arm.climbs:
            climb.error = error
    wild.diverged = True
    assert search._simplest_of_equals([wild, delay, larger, derivative]) is derivative
    for climb in derivative.climbs:
        climb.error = 0.115  # more than a tenth above
    assert search._simplest_of_equals([wild, larger, delay, derivative]) is delay
    assert search._simplest_of_equals([wild]) is None


# --- what it finds ------------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::spinode.DomainWarning")
def test_linear_device_gets_the_linear_model():
    surrogate = fit(linear_device(), **SMALL, embedding="delay", order=2)
    assert surrogate.record["structure"]["hidden"] == []
    assert surrogate.record["linear_validation"] < 1e-3
    assert evaluate(surrogate, linear_device(seed=1)).nrmse < 0.01
    drive = torch.linspace(-1, 1, 50, dtype=torch.float64)[:, None]
    start = torch.zeros(2, dtype=torch.float64)
    once, twice = (surrogate.simulate(scale * drive, state=start, interpolation={"u": "held"}) for scale in (1.0, 2.0))
    none = surrogate.simulate(0 * drive, state=start, interpolation={"u": "held"})
    torch.testing.assert_close(twice - none, 2 * (once - none), rtol=1e-6, atol=1e-9)  # superposition


@pytest.mark.slow
def test_resonator_gets_an_order_of_at_least_two(duffing):
    trace = duffing(800, damping=0.05)
    surrogate = fit(trace, **SMALL)
    errors = {}
    for entry in surrogate.record["search"]:
        key = entry["structure"]["embedding"], entry["structure"]["order"]
        errors[key] = min(errors.get(key, np.inf), entry["error"] or np.inf)
    assert surrogate.embedding.order >= 2
    assert errors["derivative", 1] > 5 * min(errors.values())


@pytest.mark.slow
def test_same_seed_gives_the_same_search(duffing):
    trace = replace(duffing(300), provenance={})
    first, again = (fit(trace, **SMALL, seed=5) for _ in range(2))
    assert first.record == again.record
    after = again.state_dict()
    assert [
        (name, value, after[name]) for name, value in first.state_dict().items() if not torch.equal(value, after[name])
    ] == []
