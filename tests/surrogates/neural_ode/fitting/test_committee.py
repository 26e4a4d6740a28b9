"""Members of a surrogate of a short recording: fits of its splits, continued on all samples, and their median."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spinode import FitConfig, TraceSet, fit
from spinode.surrogates.neural_ode.embedding import Embedding
from spinode.surrogates.neural_ode.fitting.checkpoint import Checkpoint
from spinode.surrogates.neural_ode.fitting.committee import all_samples, committee
from spinode.surrogates.neural_ode.fitting.gauss_newton import Climb
from spinode.surrogates.neural_ode.fitting.prepare import on_common_grid, prepare
from spinode.surrogates.neural_ode.fitting.splits import splits
from spinode.surrogates.neural_ode.fitting.stages import default_field, free_run_error
from spinode.surrogates.neural_ode.member import median_of_members

CONFIG = FitConfig(embedding="derivative", order=2, ridge=1e-7, hidden=(6,), iterations=8)


@pytest.fixture(scope="module")
def climbs(duffing):
    prepared = prepare(on_common_grid(TraceSet([duffing(500)]), CONFIG), Embedding("derivative", 2), CONFIG)
    found = []
    for number, split in enumerate(splits(prepared)):
        climb = Climb(split, CONFIG, default_field(CONFIG), number, Checkpoint(None, {}))
        climb.stage(1, lambda line: None)
        climb.stage(40, lambda line: None)
        found.append(climb)
    return found


def test_all_samples_are_those_of_the_recordings(duffing):
    traces = TraceSet([duffing(500), duffing(300, seed=1)])
    prepared = prepare(on_common_grid(traces, CONFIG), Embedding("derivative", 2), CONFIG)
    whole = all_samples(prepared)
    fitted = [number for first, last in whole.samples.segments for number in range(first, last + 1)]
    assert fitted == list(range(len(prepared.samples.states)))
    assert whole.validation == whole.samples.segments


def test_members_have_fitted_what_they_had_left_out(climbs):
    before = [free_run_error(climb.member, climb.prepared, climb.prepared.validation) for climb in climbs]
    members = committee(climbs, range(10, 14), lambda line: None)
    assert 1 <= len(members) <= len(climbs)
    whole = all_samples(climbs[0].prepared)
    after = [free_run_error(member, whole, whole.validation) for member in members]
    assert max(after) < np.median(before)
    assert max(after) <= 1.5 * min(after)
    assert after == sorted(after)


def test_fits_that_are_continued_stay_as_they_were(climbs):
    """The intervals are calibrated by them, on the blocks that they have not seen."""
    before = [climb.member.state_dict()["feedthrough"].clone() for climb in climbs]
    weights = [climb.best_theta.clone() for climb in climbs]
    committee(climbs, range(20, 24), lambda line: None)
    assert all(torch.equal(climb.member.state_dict()["feedthrough"], old) for climb, old in zip(climbs, before, strict=True))
    assert all(torch.equal(climb.best_theta, old) for climb, old in zip(climbs, weights, strict=True))


def test_a_bad_fit_is_left_out(climbs):
    spoiled = Climb(climbs[1].prepared, climbs[1].config, climbs[1].build, 31, Checkpoint(None, {}))
    spoiled.history = climbs[1].history
    spoiled.config = FitConfig(**(CONFIG.to_dict() | {"hidden": (6,), "iterations": 1}))  # it hardly moves from random weights
    kept = committee([climbs[0], spoiled], (40, 41), lambda line: None)
    assert len(kept) == 1


def test_a_single_split_is_its_own_member(climbs):
    assert committee(climbs[:1], (50,), lambda line: None) == [climbs[0].member]


def test_median_outvotes_one_that_leaves_the_others():
    values = torch.tensor([1.0, 2.0, 3.0, 1e9], dtype=torch.float64)[:, None]
    assert median_of_members(values) == 2.5
    assert median_of_members(values[:2]) == values[:2].mean()
    assert median_of_members(values[3:]) == 1e9
    inputs = torch.randn(5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.equal(median_of_members(inputs), inputs.median(0).values)
    assert torch.autograd.gradcheck(median_of_members, inputs)


@pytest.mark.filterwarnings("ignore::spinode.DomainWarning")
def test_response_is_the_median_of_the_members(duffing):
    settings = {"embedding": "derivative", "order": 2, "hidden": 4, "windows": (1, 20), "iterations": 4, "restarts": 1}
    surrogate = fit(duffing(400), **settings)
    assert len(surrogate.members) > 1
    drive = torch.linspace(-1, 1, 60, dtype=torch.float64)[:, None]
    start = torch.zeros(2, dtype=torch.float64)
    outputs = surrogate.run_members(drive, start, None, None, "rk4")[0]
    torch.testing.assert_close(surrogate.simulate(drive, state=start), median_of_members(outputs))
