"""Folders, patterns, and the parameters in the names of files."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

from spinode.datasets import read_trace, read_traces
from spinode.errors import TraceError, UnitError

sample_files = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "readers" / "sample_files.py")))


def test_folders_and_patterns(tmp_path):
    for device in (2, 10, 1):
        (tmp_path / f"dev{device}_{device}p5mV.csv").write_text(f"t,V\n0,{device}\n1,2\n")
    (tmp_path / ".hidden").write_text("")
    traces = read_traces(tmp_path, pattern="dev{device}_{amplitude:mV}.csv", parameters={"T": 300.0}, drive="V")
    assert [trace.parameters["device"] for trace in traces] == [1, 2, 10]
    assert traces[2].parameters == {"amplitude": 10.5e-3, "device": 10.0, "T": 300.0}
    assert [list(trace.drive) for trace in traces] == [["V"]] * 3
    assert len(read_traces(str(tmp_path / "dev1*.csv"))) == 2
    assert len(read_traces([tmp_path / "dev1_1p5mV.csv", tmp_path / "dev2_2p5mV.csv"])) == 2
    assert [trace.fingerprint() for trace in read_trace(tmp_path)] == [trace.fingerprint() for trace in read_traces(tmp_path)]
    one = read_trace(tmp_path / "dev2_2p5mV.csv", pattern="dev{device}_{amplitude:mV}.csv")
    assert one.parameters == {"device": 2.0, "amplitude": 2.5e-3}
    with pytest.raises(TraceError, match=r"pattern .*none\*\.csv contains no file"):
        read_traces(str(tmp_path / "none*.csv"))
    with pytest.raises(TraceError, match=r"dev1_1p5mV\.csv does not fit the pattern 'run\{n\}\.csv'"):
        read_traces(tmp_path, pattern="run{n}.csv")
    with pytest.raises(TraceError, match="pattern is of type int; expected text"):
        read_traces(tmp_path, pattern=3)
    with pytest.raises(TraceError, match="names no parameter"):
        read_traces(tmp_path, pattern="*.csv")
    with pytest.raises(UnitError, match="'furlong' is not a known unit"):
        read_traces(tmp_path, pattern="dev{device}_{x:furlong}*.csv")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(TraceError, match=r"notes\.txt: .* does not belong to the set, name the others: '.*/\*\.csv'"):
        read_traces(tmp_path)


def test_series_of_vector_fields_is_one_recording(tmp_path):
    for level, name in ((2, "m000002"), (0, "m000000"), (1, "m000001")):
        (tmp_path / f"{name}.ovf").write_bytes(
            sample_files.ovf(2, "Binary 4", sample_files.FIELD * [1, 1, level], f"{level}e-12")
        )
    trace = read_trace(tmp_path)
    assert trace.time.tolist() == [0, 1e-12, 2e-12]
    assert trace.output["m_z"] == pytest.approx([0, 0.16, 0.32])
    assert len(read_traces(str(tmp_path / "m*.ovf"))) == 1
    (tmp_path / "m000003.ovf").write_bytes(sample_files.ovf(1, "Binary 4", sample_files.FIELD))
    with pytest.raises(TraceError, match=r"m000003\.ovf has components"):
        read_trace(tmp_path)
