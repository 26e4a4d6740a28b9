"""`score_steps`: a surrogate agrees with its own recordings, and each deviation appears in the score that is meant for it."""

import copy
import dataclasses

import pytest
import torch

from spinode.datasets import pulse_traces
from spinode.reporting.remarks import CARE, GOOD
from spinode.surrogates.synapses.assessment import assess
from spinode.surrogates.synapses.evaluation import evaluate_synapse
from spinode.surrogates.synapses.population import Population
from spinode.surrogates.synapses.step_scores import score_steps


@pytest.fixture
def device(make_synapse):
    """Return a device without traps whose SET and RESET rates have a deviation of 0.4 and a correlation of about 0.9."""
    return with_rates(make_synapse(telegraph=False, memory=False), 0.4, 0.9)


def with_rates(device, deviation, correlation):
    generator = torch.Generator().manual_seed(0)
    samples = torch.zeros(200, 4, 6, dtype=torch.float64)
    samples[:, :, 0] = -0.5 + 0.02 * torch.randn(200, 4, generator=generator, dtype=torch.float64)
    up, other = torch.randn(2, 200, 1, generator=generator, dtype=torch.float64)
    samples[:, :, 3], samples[:, :, 4] = deviation * up, deviation * (correlation * up + (1 - correlation**2) ** 0.5 * other)
    changed = copy.copy(device)
    changed._modules = dict(device._modules)
    changed.population = Population(samples)
    return changed


def recorded(device, *, devices=80, steps=160, seed=0):
    count = torch.where(torch.arange(steps) // 10 % 2 == 0, 1.0, -1.0).expand(devices, -1)
    generator = torch.Generator().manual_seed(seed)
    voltage = 1.0 + 0.2 * torch.rand(devices, steps, generator=generator, dtype=torch.float64)
    return pulse_traces(device, count, devices=devices, voltage=voltage, generator=generator)


def step_remarks(device, traces):
    """Return the remarks about steps alone."""
    found = evaluate_synapse(device, traces[:2])
    found = dataclasses.replace(found, step_scores=score_steps(device, traces))
    words = ("Mean steps", "Steps against", "SET plus RESET", "Devices differ", "Sizes of SET")
    return [remark for remark in assess(device, found).remarks if remark.text.startswith(words)]


def test_a_device_agrees_with_its_own_recordings(device):
    scores = score_steps(device, recorded(device))
    assert len(scores.cells) == 6
    for cell in scores.cells:
        assert abs(cell.mean[0] - cell.mean[1]) < 4.5 * cell.error
    for recorded_spread, virtual in scores.spread.values():
        # Three standard errors of the spread of 80 devices, of both.
        assert abs(virtual - recorded_spread) < 3 * 2**0.5 * recorded_spread / (2 * 80) ** 0.5
    assert abs(scores.correlation[0] - scores.correlation[1]) < 0.25
    assert {remark.grade for remark in step_remarks(device, recorded(device))} == {GOOD}


def test_a_wrong_drift_is_found_in_mean_and_balance(device):
    traces = recorded(device)
    wrong = copy.deepcopy(device)
    with torch.no_grad():
        wrong.drift.field.out.bias += 0.5  # more SET, less RESET
    scores = score_steps(wrong, traces)
    assert sum(cell.mean[1] - cell.mean[0] for cell in scores.cells) > 4.5 * sum(cell.error**2 for cell in scores.cells) ** 0.5
    assert scores.drift[1] > scores.drift[0] + 0.2
    assert {remark.grade for remark in step_remarks(wrong, traces)} > {GOOD}


@pytest.mark.parametrize(("deviation", "correlation", "text"), [(0.8, 0.9, "Devices differ"), (0.4, -0.9, "Sizes of SET")])
def test_a_wrong_population_is_found_with_a_remedy(device, deviation, correlation, text):
    wrong = with_rates(device, deviation, correlation)
    remarks = [remark for remark in step_remarks(wrong, recorded(device)) if remark.grade >= CARE]
    assert any(remark.text.startswith(text) and remark.remedy for remark in remarks)


def test_only_steps_near_the_pulse_of_use_count(device):
    """Weak pulses elsewhere would halve the mean."""
    device.voltage = (1.15, 1.15)
    near = score_steps(device, recorded(device)).cells
    device.voltage = (1.05, 1.05)
    far = score_steps(device, recorded(device)).cells
    assert sum(abs(cell.mean[0]) for cell in near) != sum(abs(cell.mean[0]) for cell in far)
    assert sum(cell.number for cell in near) <= 0.25 * 80 * 160 + 10


def test_scores_are_plain_json(device):
    import json

    scores = score_steps(device, recorded(device, devices=4))
    stored = json.loads(json.dumps(scores.to_dict(), allow_nan=False))
    assert stored["correlation"] == [None, None]
    assert len(stored["cells"]) == len(scores.rows("S"))
