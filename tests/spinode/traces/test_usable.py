"""Recordings that cannot be fitted or scored are refused by name."""

from __future__ import annotations

import numpy as np
import pytest

from spinode import Trace, TraceError
from spinode.traces.usable import check_usable


def recording(scale: float = 1.0, **settings) -> Trace:
    wave = np.sin(np.arange(100.0))
    return Trace(1e-9 * np.arange(100), {"u": wave}, {"y": scale * wave}, **settings)


@pytest.mark.parametrize("scale", [1e-140, 1.0, 1e140])
def test_scales_whose_squares_are_numbers_are_accepted(scale: float) -> None:
    check_usable(recording(scale), 100)


@pytest.mark.parametrize("scale", [1e-200, 1e-160, 1e160, 1e300])
def test_scales_beyond_are_refused_by_name(scale: float) -> None:
    with pytest.raises(TraceError, match=rf"'y' has magnitudes up to \S*{str(scale)[-3:]}.* 1e-150 to 1e\+150"):
        check_usable(recording(scale))


def test_times_and_parameters_have_scales_too() -> None:
    with pytest.raises(TraceError, match="'T' has magnitudes"):
        check_usable(recording(parameters={"T": 1e200}))
    with pytest.raises(TraceError, match="'time' has magnitudes"):
        check_usable(Trace(1e-200 * np.arange(100), output={"y": np.ones(100)}))


def test_number_of_recorded_samples_is_reported() -> None:
    present = np.arange(100) < 7
    with pytest.raises(TraceError, match="'y' has 7 recorded samples, the other 93 are missing; at least 8") as caught:
        check_usable(recording().masked(present), 8)
    assert "missing=" not in str(caught.value)
    check_usable(recording().masked(present), 7)
    with pytest.raises(TraceError, match="has 0 recorded samples"):
        check_usable(recording().masked(np.zeros(100, dtype=bool)))
