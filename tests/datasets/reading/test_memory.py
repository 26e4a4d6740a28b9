"""Data that are in memory already."""

from __future__ import annotations

import pytest

from spinode.datasets import read_trace
from spinode.errors import TraceError


def test_frames_datasets_and_dictionaries():
    pandas, xarray = pytest.importorskip("pandas"), pytest.importorskip("xarray")
    expected = {"V": [1e-3, 2e-3, 3e-3]}
    frame = pandas.DataFrame({"t (us)": [0, 1, 2], "V (mV)": [1, 2, 3], "note": ["a", "b", "c"]})
    dated = pandas.DataFrame({"V (mV)": [1, 2, 3]}, index=pandas.date_range("2026-01-01", periods=3, freq="us", name="when"))
    dataset = xarray.Dataset({"V": ("time", [1, 2, 3], {"units": "mV"})}, {"time": ("time", [0, 1, 2], {"units": "us"})})
    for source in (frame, dated, dataset, dataset["V"], {"t (us)": [0, 1, 2], "V (mV)": [1, 2, 3]}):
        trace = read_trace(source)
        assert trace.time.tolist() == [0, 1e-6, 2e-6]
        assert {name: values.tolist() for name, values in trace.output.items()} == expected
    with pytest.raises(TraceError, match="path is of type int; expected the name of a file, a frame"):
        read_trace(3)
    with pytest.raises(TraceError, match="no column of numbers"):
        read_trace(pandas.DataFrame({"note": ["a"]}))
