"""The memory test against a device whose memory is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from spinode import Trace, evaluate
from spinode.errors import ConfigError, TraceError
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


@pytest.mark.parametrize("interval", [1e-12, 1e-9, 1.0])
def test_times_are_compared_on_the_scale_of_the_interval(interval: float) -> None:
    wave = np.sin(np.arange(100.0))

    def at(shift: float) -> Trace:
        return Trace(interval * (1000 + np.arange(100) + shift), {"u": wave}, {"y": wave + 0.1})

    assert memory_floor(at(0.0), at(1e-4)).floor == 0
    with pytest.raises(TraceError, match=r"sample 0 is at .* same instants"):
        memory_floor(at(0.0), at(0.5))


def test_small_differences_of_a_drive_with_an_offset_are_seen() -> None:
    wave = np.sin(np.arange(100.0))
    with pytest.raises(TraceError, match="'u' differs"):
        memory_floor(recording(wave, 1e6 + wave), recording(wave, 1e6 + 1.01 * wave))


def test_other_conditions_are_refused() -> None:
    first = recording(np.sin(np.arange(100.0)))
    with pytest.raises(TraceError, match=r"parameters \{.T.: 300\.0\} and \{.T.: 310\.0\}"):
        memory_floor(replace(first, parameters={"T": 300}), replace(first, parameters={"T": 310}))
    with pytest.raises(TraceError, match=r"'y' is in V in the first recording and in A"):
        memory_floor(replace(first, units={"y": "V"}), replace(first, units={"y": "A"}))
    for bad in (np.nan, np.inf):
        spoilt = np.where(np.arange(100) == 5, bad, np.sin(np.arange(100.0)))
        with pytest.raises(TraceError, match="the second recording: 'y' has 1 NaN or infinite"):
            memory_floor(first, recording(spoilt))
    with pytest.raises(ConfigError, match="start is '1e-9'"):
        memory_floor(first, first, start="1e-9")
    with pytest.raises(TraceError, match="the second recording is a str"):
        memory_floor(first, "x")


def test_missing_samples_are_left_out() -> None:
    rng = np.random.default_rng(0)
    first, second = recording(rng.normal(size=400)), recording(rng.normal(size=400))
    present = rng.random(400) > 0.2
    kept = memory_floor(first.rows(present), second.rows(present))
    assert memory_floor(first.masked(present), second).difference == kept.difference


@pytest.mark.parametrize("scale", [1e-140, 1e140])
def test_the_floor_does_not_depend_on_the_unit(scale: float) -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 100))
    expected = memory_floor(recording(one), recording(other)).floor
    assert memory_floor(recording(scale * one), recording(scale * other)).floor == pytest.approx(expected, rel=1e-12)


def test_the_order_of_outputs_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    first, second = (replace(recording(a), output={"y": a, "z": b}) for a, b in rng.normal(size=(2, 2, 100)))
    swapped = replace(second, output={name: second.output[name] for name in ("z", "y")})
    assert memory_floor(first, swapped).floor == memory_floor(first, second).floor


def test_again_must_be_a_recording() -> None:
    with pytest.raises(TraceError, match=r"again is a str; expected one spinode.Trace"):
        evaluate(resonator(), recording(np.sin(np.arange(100.0))), again="x")
