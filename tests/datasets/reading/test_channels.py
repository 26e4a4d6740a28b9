"""Units, roles, names and provenance of the channels."""

from __future__ import annotations

import numpy as np
import pytest

from spinode import resample
from spinode.datasets import read_trace
from spinode.errors import TraceError, UnitError

MUMAX = """# t (s)\tmx ()\tmz ()\tKu1.region100 (J/m3)
0\t1e-9\t0.5\t800000
1e-12\t2e-9\t0.6\t810000
2e-12\t3e-9\t0.7\t820000
"""


def test_units_can_be_given(read):
    trace = read("t,V (furlong)\n0,1\n1,2\n", units={"V": "mV", "time": "us"})
    assert (trace.time[1], trace.output["V"][1]) == (1e-6, 2e-3)
    with pytest.raises(TraceError, match=r"no column 'I'; its columns are: t, V"):
        read("t,V\n0,1\n1,2\n", units={"I": "A"})


def test_unknown_units_matter_only_where_they_are_used(read):
    assert list(read("t,V (V),x (foo)\n0,1,2\n1,2,3\n", output="V").output) == ["V"]
    with pytest.raises(UnitError, match=r"column 'x': 'foo' is not a known unit\..*units=\{'x': ''\}"):
        read("t,V (V),x (foo)\n0,1,2\n1,2,3\n")


def test_missing_unit_is_in_the_provenance(read):
    trace = read("t (s),V\n0,1\n1,2\n")
    assert trace.units["V"] == ""
    assert trace.provenance["raw_units"]["V"] is None


def test_roles_and_closest_name(read):
    trace = read(MUMAX, drive=["Ku1.region100"])
    assert (list(trace.drive), list(trace.output)) == (["Ku1.region100"], [])
    with pytest.raises(TraceError, match=r"no column 'MZ'; its columns are: t, mx, mz, Ku1.region100. Did you mean 'mz'"):
        read(MUMAX, output="MZ")


def test_start_stop_and_parameters(read):
    trace = read(MUMAX, output="mz", start=0.9e-12, stop=2e-12, parameters={"thickness": 1e-9})
    assert trace.time.tolist() == [1e-12, 2e-12]
    assert dict(trace.parameters) == {"thickness": 1e-9}


def test_provenance(write):
    path = write(MUMAX, "table.txt")
    provenance = read_trace(path).provenance
    assert (provenance["file"], provenance["rows"], provenance["time"]) == ("table.txt", 3, "t")
    assert len(provenance["sha256"]) == 64


def test_empty_cells_are_missing_samples_if_requested(tmp_path):
    file = tmp_path / "run.csv"
    file.write_text("t (s),V (V),y\n" + "".join(f"{i},{i % 5},{'' if i in (3, 4) else i * i}\n" for i in range(20)))
    trace = read_trace(file, drive="V", output="y", missing="mask")
    assert np.flatnonzero(~trace.present[:, 0]).tolist() == [3, 4]
    assert resample(trace).output["y"][5] == 25
    refused = read_trace(file, drive="V", output="y")
    with pytest.raises(TraceError, match="--missing mask"):
        resample(refused)
    with pytest.raises(TraceError, match="expected one of refuse, mask"):
        read_trace(file, drive="V", output="y", missing="drop")
