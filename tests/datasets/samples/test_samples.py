"""The shipped traces: the program reproduces them, and they need a nonlinear model of second order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from spinode.datasets import sample_names, sample_path
from spinode.datasets.samples import make_macrospin
from spinode.errors import TraceError


@pytest.mark.parametrize(("name", "count"), [("macrospin.csv", 5000), ("macrospin_held.csv", 2000)])
def test_shipped_trace_is_reproduced_by_its_program(name: str, count: int) -> None:
    path = sample_path(name)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "t (s),Ku (J/m3),mz ()"
    assert len(lines) == count + 1
    simulate = make_macrospin.sine_trace if name == "macrospin.csv" else make_macrospin.held_trace
    trace = simulate(301)
    shipped = np.loadtxt(path, delimiter=",", skiprows=1)[:301]
    assert np.allclose(shipped[:, 0], trace.time, rtol=1e-8, atol=0)
    assert np.allclose(shipped[:, 1], trace.drive["Ku"], rtol=1e-8, atol=0)
    # The file has nine digits; another machine may differ in the last one.
    assert np.allclose(shipped[:, 2], trace.output["mz"], rtol=0, atol=2e-9)


def test_program_writes_the_shipped_files(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sine, steps = make_macrospin.sine_trace(3), make_macrospin.held_trace(3)
    monkeypatch.setattr(make_macrospin, "sine_trace", lambda: sine)
    monkeypatch.setattr(make_macrospin, "held_trace", lambda: steps)
    make_macrospin.main([str(tmp_path)])
    for name in sample_names():
        if name.startswith("macrospin"):
            written = (tmp_path / name).read_text().splitlines()
            shipped = sample_path(name).read_text().splitlines()[:4]
            assert len(written) == len(shipped)
            assert written[0] == shipped[0]
            assert np.allclose(np.loadtxt(written[1:], delimiter=","), np.loadtxt(shipped[1:], delimiter=","), rtol=1e-8)


def polynomial_features(values: np.ndarray[Any, Any], degree: int) -> np.ndarray[Any, Any]:
    """Return all monomials up to a degree of three standardised columns."""
    a, b, c = ((column - column.mean()) / column.std() for column in values.T)
    span = range(degree + 1)
    return np.stack([a**i * b**j * c**k for i in span for j in span for k in span if i + j + k <= degree], axis=1)


def test_shipped_trace_is_second_order_and_nonlinear() -> None:
    _, Ku, mz = np.loadtxt(sample_path("macrospin"), delimiter=",", skiprows=1).T
    # Central differences of fourth order, per sample.
    first = (8 * (mz[3:-1] - mz[1:-3]) - (mz[4:] - mz[:-4])) / 12
    second = (16 * (mz[3:-1] + mz[1:-3]) - 30 * mz[2:-2] - (mz[4:] + mz[:-4])) / 12
    state = np.stack([mz[2:-2], first, Ku[2:-2]], axis=1)

    def unexplained(basis: np.ndarray[Any, Any], target: np.ndarray[Any, Any]) -> float:
        """Return the share of the variance that a linear fit on the first 60 % leaves unexplained in the rest."""
        half = len(target) * 6 // 10
        weights = np.linalg.lstsq(basis[:half], target[:half], rcond=None)[0]
        return float(np.var(target[half:] - basis[half:] @ weights) / np.var(target[half:]))

    assert unexplained(polynomial_features(state, 5), second) < 1e-3
    assert unexplained(polynomial_features(state, 1), second) > 0.1
    # mz and Ku alone do not determine dmz/dt.
    assert unexplained(polynomial_features(state[:, [0, 2, 2]], 3), first) > 0.9


def test_unknown_sample_is_refused() -> None:
    assert sample_path("macrospin") == sample_path("macrospin.csv")
    with pytest.raises(TraceError, match=r"there is no sample 'magnet'; the samples are: .*macrospin\.csv"):
        sample_path("magnet")
