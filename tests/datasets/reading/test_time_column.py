"""The time of a recording: found, named, or the sample number."""

from __future__ import annotations

import pytest

from spinode.datasets import read_trace
from spinode.errors import TraceError, TraceWarning, UnitError


@pytest.mark.parametrize(
    "header", ["t", "Time", "TIME (s)", "time [s]", "Timestamp", "Smu1.Time[1][1]", "Simulation time (s)", "X (s)"]
)
def test_time_column_is_recognised(read, header):
    assert list(read(f"{header},V\n0,1\n1,2\n").output) == ["V"]


def test_exact_name_takes_precedence(read):
    assert list(read("Rise time (s),t (s)\n0,1\n1,2\n").output) == ["Rise time"]


def test_two_time_columns(read):
    with pytest.raises(TraceError, match=r"'t' and 'time' can each be the time; choose one: time='t'"):
        read("t,time,V\n0,1,2\n1,2,3\n")
    assert list(read("t,time,V\n0,1,2\n1,2,3\n", time="time").output) == ["t", "V"]


def test_sweep_without_times_is_numbered_with_a_warning(read):
    with pytest.warns(TraceWarning, match=r"no time column .*its columns are: V, I\).*time='sample'.*time=1e-9"):
        trace = read("V,I\n0,1\n1,2\n")
    assert trace.time.tolist() == [0, 1]
    assert (trace.unit("time"), trace.provenance["sampled_by"]) == ("", "sample number")
    assert read("V,I\n0,1\n1,2\n", time="sample").time.tolist() == [0, 1]
    assert read("V,I\n0,1\n1,2\n", time=1e-9).time.tolist() == [0, 1e-9]
    assert read("V,I\n0,1\n1,2\n", time="2e-9").time.tolist() == [0, 2e-9]


@pytest.mark.parametrize("interval", [0.0, -1e-9, float("inf"), float("nan")])
def test_impossible_intervals(read, interval):
    with pytest.raises(TraceError, match="expected a positive number of seconds"):
        read("V,I\n0,1\n1,2\n", time=interval)


def test_column_in_another_unit_is_not_the_time(read):
    with pytest.warns(TraceWarning, match="no time column"):
        read("t (nm),V\n0,1\n1,2\n")
    with pytest.raises(UnitError, match=r"'t' is in 'nm', which is not a unit of time.*units=\{'t': 's'\}"):
        read("t (nm),V\n0,1\n1,2\n", time="t")


def test_units_in_names_of_times_and_temperatures(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("time_us,v_mV,Temp (C)\n0,1,25\n1,2,26\n")
    trace = read_trace(path)
    assert trace.time.tolist() == [0, 1e-6]
    assert (trace.unit("v_mV"), trace.unit("Temp"), trace.output["Temp"][0]) == ("", "K", 298.15)
    path.write_text("timestamp,V\n1577959200000,1\n1577959200500,2\n")
    with pytest.warns(TraceWarning, match=r"taken as seconds that is a date.*units=\{'time': 'ms'\}"):
        read_trace(path)
    path.write_text("t,V\n0,1\n1,2\n0,1\n1,2\n")
    with pytest.warns(
        TraceWarning, match="the times decrease 1 times, first after row 2; if the file contains several recordings"
    ):
        read_trace(path)
    path.write_text("time (V),V (s)\n0,1\n1,2\n")
    with pytest.warns(TraceWarning, match="'time' is in 'V', which is not a unit of time"):
        assert read_trace(path).unit("time") == ""
