"""`StepStatistics` on a device whose statistics are known in closed form."""

import math

import pytest
import torch

from spinode import ConfigError
from spinode.contracts.step_statistics import StepStatistics
from spinode.contracts.synapse import SynapseModel


class Linear(SynapseModel):
    """Steps of (1 + 0.2 z) 0.02 SET and -(1 + 0.2 z) 0.01 RESET at any conductance, with noise of half a typical SET step."""

    unit = ""

    def at(self, conductance):
        return {"g": conductance.clone(), "z": torch.zeros_like(conductance)}

    def _initial(self, shape, generator, dtype):
        z = torch.zeros(shape, dtype=dtype) if generator is None else torch.randn(shape, generator=generator, dtype=dtype)
        return {"g": torch.full(shape, 0.2, dtype=dtype), "z": z}

    def _program(self, state, pulses, generator):
        step = torch.where(pulses.count > 0, 0.02, 0.01) * pulses.count * (1 + 0.2 * state["z"])
        if generator is not None:
            step = step + 0.01 * torch.randn(step.shape, generator=generator, dtype=step.dtype)
        return {"g": state["g"] + step, "z": state["z"]}

    def _read(self, state, generator):
        return state["g"].clone()


def test_statistics_agree_with_their_closed_form():
    """Five standard errors of 40 000 devices."""
    count = 40_000
    found = StepStatistics.measure(Linear(), 0.6, devices=count)
    for name, step in (("SET", 0.02), ("RESET", -0.01)):
        spread = 0.2 * abs(step)
        assert abs(found.mean[name] - step) < 5 * spread / math.sqrt(count)
        assert found.spread[name] == pytest.approx(spread, rel=5 / math.sqrt(2 * count))
        assert found.noise[name] == pytest.approx(0.01, rel=5 / math.sqrt(2 * count))
        # The step is normal with this mean and deviation.
        share = 0.5 * math.erfc(abs(step) / math.hypot(spread, 0.01) / math.sqrt(2))
        assert abs(found.wrong_way[name] - share) < 5 * math.sqrt(share * (1 - share) / count)
    assert abs(found.drift - 0.01) < 5 * 0.002 / math.sqrt(count)
    assert found.drift_spread == pytest.approx(0.002, rel=5 / math.sqrt(2 * count))
    assert found.correlation == pytest.approx(1.0)


def test_a_device_without_a_method_at_is_refused():
    with pytest.raises(ConfigError, match="cannot be placed at a conductance"):
        StepStatistics.measure(type("Other", (Linear,), {"at": None})(), 0.5)
