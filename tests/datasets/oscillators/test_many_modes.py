"""The device with many modes: its linear limit, its drive, and its errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spinode.datasets import ManyModes
from spinode.errors import ConfigError, TraceError


def test_the_linear_limit_is_a_sum_of_damped_oscillations() -> None:
    device = ManyModes(modes=2, lowest=1e9, highest=2e9, decay=1e8, square=0, cubic=0, parametric=0)
    start = np.array([[0.1, 0.0], [0.0, 0.0]])
    interval = 2e-12
    trace = device.simulate(torch.zeros(500, dtype=torch.float64), interval, state=start)
    t = np.arange(500) * interval
    w = np.sqrt((2 * np.pi * 1e9) ** 2 - 1e16)
    expected = 0.05 * np.exp(-1e8 * t) * (np.cos(w * t) + 1e8 / w * np.sin(w * t))
    np.testing.assert_allclose(trace.output["y"], expected, atol=1e-5)


def test_the_drive_acts_on_the_stiffness() -> None:
    plain = ManyModes(force=0.0, square=0, cubic=0)
    start = np.full((2, 8), 1e-3)
    runs = [
        plain.simulate(torch.full((100,), level, dtype=torch.float64), 5e-12, state=start).output["y"] for level in (0.0, 0.5)
    ]
    assert np.abs(runs[0] - runs[1]).max() > 0.05 * np.abs(runs[0]).max()


def test_errors() -> None:
    with pytest.raises(ConfigError, match="lower one first"):
        ManyModes(lowest=2e9, highest=1e9)
    with pytest.raises(TraceError, match="shape"):
        ManyModes().simulate(torch.zeros(3, 1), 1e-12)
    with pytest.raises(TraceError, match="diverge"):
        ManyModes(cubic=-1).simulate(torch.zeros(2000, dtype=torch.float64), 5e-12, state=np.full((2, 8), 5.0))
