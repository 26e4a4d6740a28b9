"""The memory test against a device whose memory is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spinode import Trace, evaluate
from spinode.errors import TraceError
from spinode.surrogates.neural_ode.evaluation.memory import measure_memory_floor, memory_floor
from spinode.surrogates.testing import resonator


def recording(output: np.ndarray, drive: np.ndarray | None = None) -> Trace:
    values = np.sin(np.arange(len(output))) if drive is None else drive
    return Trace(np.arange(len(output)) * 1e-9, {"u": values}, {"y": output})


def test_independent_runs_differ_by_the_square_root_of_two() -> None:
    rng = np.random.default_rng(0)
    floor = memory_floor(recording(rng.normal(size=20_000)), recording(rng.normal(size=20_000)))
    assert abs(floor.difference - 2**0.5) < 0.03
    assert abs(floor.floor - 1) < 0.02
    assert len(floor.by_time) == 8


def test_a_forgetful_device_forgets() -> None:
    decay = np.exp(-np.arange(800) / 50)
    wave = np.sin(0.3 * np.arange(800))
    floor = memory_floor(recording(wave), recording(wave + decay))
    assert floor.by_time[0][1] > 50 * floor.by_time[-1][1]
    assert memory_floor(recording(wave), recording(wave + decay), start=400e-9).floor < 1e-3


def test_histories_lead_to_states_of_a_simulator() -> None:
    def simulate(drive: torch.Tensor) -> Trace:
        state, states = 0.0, []
        for value in drive.tolist():
            states.append(state)
            state = 0.99 * state + value
        return recording(np.array(states), drive.numpy())

    drive = torch.sin(0.1 * torch.arange(1000, dtype=torch.float64))
    histories = torch.zeros(100, dtype=torch.float64), torch.ones(100, dtype=torch.float64)
    floor = measure_memory_floor(simulate, drive, histories)
    initial = (1 - 0.99**100) / 0.01
    expected = initial * 0.99 ** np.arange(1000)
    outputs = simulate(torch.cat([histories[0], drive])).output["y"][100:]
    deviation = np.sqrt(0.5 * (outputs.var() + (outputs + expected).var()))
    assert abs(floor.difference - np.sqrt(np.mean(expected**2)) / deviation) < 1e-9


def test_recordings_must_belong_together() -> None:
    wave = np.sin(np.arange(100.0))
    with pytest.raises(TraceError, match="differs"):
        memory_floor(recording(wave), recording(wave, wave**2))
    with pytest.raises(TraceError, match="samples"):
        memory_floor(recording(wave), recording(wave[:50]))
    with pytest.raises(TraceError, match="samples are left"):
        memory_floor(recording(wave), recording(wave), start=95e-9)
    with pytest.raises(TraceError, match="constant"):
        memory_floor(recording(np.ones(100)), recording(np.ones(100)))


def test_an_evaluation_gives_the_floor_beside_the_score() -> None:
    device = resonator(damping=0.3)
    drive = np.sin(0.2 * np.arange(300))

    def record(state: list[float]) -> Trace:
        start = torch.tensor(state, dtype=torch.float64)
        output = device.simulate(torch.as_tensor(drive)[:, None], state=start).detach().numpy()[:, 0]
        return Trace(1e-11 * np.arange(300), {"V": drive}, {"y": output}, interpolation={"V": "held"})

    first, second = record([0.0, 0.0]), record([1.0, 0.0])
    scores = evaluate(device, first, again=second)
    assert scores.memory_floor == memory_floor(first, second).floor
    assert scores.to_dict()["memory_floor"] > scores.nrmse
    assert evaluate(device, first).memory_floor is None
