"""Written traces are read back exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from spinode import Trace
from spinode.datasets import read_trace, write_csv, write_trace
from spinode.errors import TraceError

numbers = st.floats(allow_nan=False, width=64)


@pytest.mark.parametrize("ending", [".csv", ".npz", ".h5", ".nc"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
@given(
    values=st.lists(st.tuples(numbers, numbers, numbers), min_size=2, max_size=6),
    units=st.sampled_from(["V", "J/m3", "", "A/m"]),
    constant=numbers,
    names=st.lists(
        st.text("abVI_ (/[", min_size=1, max_size=6).map(lambda name: " ".join(name.split())).filter(bool),
        min_size=2,
        max_size=2,
        unique=True,
    ),
)
def test_written_trace_is_read_back_exactly(tmp_path, ending, values, units, constant, names):
    drive, output = names
    t, u, y = (np.array(column) for column in zip(*values, strict=True))
    if {"time", "temperature"} & set(names):
        return
    trace = Trace(
        t, {drive: u}, {output: y}, {"temperature": constant}, {drive: units, output: "V", "temperature": "K", "time": "s"},
        {drive: "held"}, {"instrument": {"model": "X1"}},
    )  # fmt: skip
    path = tmp_path / f"trace{ending}"
    write_trace(path, trace)
    read_back = read_trace(path)
    assert read_back.fingerprint() == trace.fingerprint()
    assert dict(read_back.interpolation) == {drive: "held"}
    assert read_back.time.tobytes() == t.tobytes()
    if ending != ".csv":
        assert read_back.provenance["instrument"] == {"model": "X1"}


def test_write_trace_refuses_bad_endings_and_names(tmp_path):
    trace = Trace([0.0, 1.0], output={"V": [1.0, 2.0]})
    with pytest.raises(TraceError, match=r"ends in '\.txt'; expected one of \.csv, \.npz"):
        write_trace(tmp_path / "a.txt", trace)
    with pytest.raises(TraceError, match="'time', like the column of the times"):
        write_trace(tmp_path / "a.npz", Trace([0.0, 1.0], output={"time": [1.0, 2.0]}))
    with pytest.raises(TraceError, match="No such file or directory"):
        write_trace(tmp_path / "nowhere" / "a.npz", trace)


names = st.text("abcdefgVI_ ,;()[]/\"'%#µ.1", min_size=1, max_size=12).map(str.strip).filter(bool)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    data=st.dictionaries(names, st.lists(st.floats(), min_size=3, max_size=3), min_size=2, max_size=4),
    units=st.sampled_from(["V", "", "J/m3", "A/m"]),
    constant=numbers,
)
def test_csv_round_trip_is_exact(tmp_path, data, units, constant):
    names = [" ".join(name.split()) for name in data]
    if len(set(names)) < len(names) or "temperature" in names:
        return
    channels = dict(zip(names, data.values(), strict=True))
    *drives, output = channels
    trace = Trace(
        [0.0, 0.1, 0.30000000000000004],
        {name: channels[name] for name in drives},
        {output: channels[output]},
        {"temperature": constant},
        dict.fromkeys(names, units) | {"temperature": "K"},
    )
    path = tmp_path / "out.csv"
    write_csv(path, trace)
    read_back = read_trace(path, time="time", drive=drives, output=[output])
    assert read_back.time.tobytes() == trace.time.tobytes()
    for name in names:
        np.testing.assert_array_equal(read_back.channels[name], trace.channels[name])
        assert read_back.units[name] == units
    assert read_back.parameters["temperature"] == constant
    assert read_back.units["temperature"] == "K"


def test_paths_that_cannot_be_written(tmp_path):
    trace = Trace([0.0, 1.0], {}, {"V": [1.0, 2.0]})
    with pytest.raises(TraceError, match="cannot write"):
        write_csv(tmp_path / "absent" / "out.csv", trace)
    (tmp_path / "folder").mkdir()
    with pytest.raises(TraceError, match="cannot write"):
        write_csv(tmp_path / "folder", trace)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder"]


def test_writing_is_atomic(tmp_path, monkeypatch):
    path = tmp_path / "out.csv"
    path.write_text("before")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(TraceError, match="No space left"):
        write_csv(path, Trace([0.0, 1.0], {}, {"V": [1.0, 2.0]}))
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_channel_called_time_cannot_be_written(tmp_path):
    with pytest.raises(TraceError, match="a channel is called 'time'"):
        write_csv(tmp_path / "out.csv", Trace([0.0, 1.0], {}, {"time": [1.0, 2.0]}))
