"""NumPy archives."""

from __future__ import annotations

import json

import numpy as np
import pytest

from spinode.datasets import read_trace
from spinode.errors import TraceError


@pytest.fixture
def npz(tmp_path):
    """Return a function that saves members and reads them."""

    def save_and_read(options=None, **members):
        np.savez(tmp_path / "file.npz", **members)
        return read_trace(tmp_path / "file.npz", **(options or {}))

    return save_and_read


def test_npz_channels_parameters_and_units(npz):
    units = json.dumps({"t": "ns", "V": "mV", "T": "degC"})
    trace = npz(t=np.arange(3), V=np.arange(3, dtype=np.float32), T=26.85, name="device 7", units=units)
    assert trace.time.tolist() == [0, 1e-9, 2e-9]
    assert trace.output["V"].tolist() == [0, 1e-3, 2e-3]
    assert trace.parameters["T"] == pytest.approx(300.0)
    assert trace.units["T"] == "K"
    assert trace.provenance["metadata"] == {"name": "device 7"}


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (np.array([{}, [], None], dtype=object), "'V' is a pickled object array, which could run code"),
        (np.array(["a", "b", "c"]), "no column besides the time"),
        (np.array([1, 2, 3], dtype="M8[s]"), "'V' is of type datetime64"),
        (np.zeros((3, 2, 4)), r"the largest array, 'V', has shape \(3, 2, 4\).*part='/'"),
        (np.zeros((3, 2000)), r"'V' has shape \(3, 2000\); a recording does not have that many channels"),
        (np.arange(4), r"2 recordings: '/ \(3 rows\)' \(3 rows of t\); '/ \(4 rows\)'.*part='/ \(3 rows\)'"),
    ],
)
def test_npz_members_that_cannot_be_channels(npz, member, message):
    with pytest.raises(TraceError, match=message):
        npz(t=np.arange(3), V=member)


@pytest.mark.parametrize("units", ["ns", "[1]", '{"t": 1}', "[" * 100_000])
def test_npz_with_bad_units(npz, units):
    with pytest.raises(TraceError, match="'units' must contain one JSON object"):
        npz(t=np.arange(3), units=units)


def test_npz_matrices_and_complex_numbers_become_several_columns(npz):
    trace = npz(t=np.arange(3), V=np.array([[1, 2], [3, 4], [5, 6]]), z=np.arange(3) * 1j)
    assert {name: values.tolist() for name, values in trace.output.items()} == {
        "V[0]": [1, 3, 5],
        "V[1]": [2, 4, 6],
        "z.re": [0, 0, 0],
        "z.im": [0, 1, 2],
    }


def test_npz_without_channels(npz):
    with pytest.raises(TraceError, match="no array here can be the channels"):
        npz(T=300.0)


def test_pickled_members_are_not_executed(npz, tmp_path):
    class RunsOnLoading:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    with pytest.raises(TraceError, match="pickled"):
        npz(t=np.arange(2), V=np.array([RunsOnLoading(), 1], dtype=object))
    assert not (tmp_path / "executed").exists()
