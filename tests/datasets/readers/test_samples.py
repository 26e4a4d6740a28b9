"""A small file of each format, with a known waveform in it."""

from __future__ import annotations

import importlib
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from spinode.datasets import read_trace, read_traces
from spinode.datasets.parsing.parts import SeveralParts
from spinode.errors import TraceError, TraceWarning

sample_files = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("sample_files.py"))))

SAMPLES, EXPECTED = sample_files.SAMPLES, sample_files.EXPECTED
A = sample_files.A


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.filterwarnings("ignore:.*no time column")
def test_sample_of_each_format(sample, name):
    reader, times, channels = EXPECTED[name]
    trace = read_trace(sample(name))
    assert trace.provenance["reader"] == reader
    if times is None:
        assert (trace.unit("time"), trace.provenance["sampled_by"]) == ("", "sample number")
    else:
        np.testing.assert_allclose(trace.time, times, rtol=1e-6, atol=1e-15)
        assert trace.unit("time") == "s"
    for channel, (values, unit) in channels.items():
        np.testing.assert_allclose(trace.channels[channel], values, rtol=1e-6, atol=1e-12)
        assert trace.unit(channel) == unit


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("name", sample_files.text_samples())
@pytest.mark.filterwarnings("ignore:.*no time column")
def test_line_ends_and_byte_order_marks_change_nothing(sample, tmp_path, name, end):
    plain = read_trace(sample(name))
    text = SAMPLES[name].replace(b"\r\n", b"\n").decode("latin-1")
    path = tmp_path / f"other_{name}"
    path.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", end).encode())
    again = read_trace(path)
    assert again.time.tobytes() == plain.time.tobytes()
    assert {k: v.tolist() for k, v in again.channels.items()} == {k: v.tolist() for k, v in plain.channels.items()}


def test_settings_of_the_instrument_are_in_the_metadata(sample):
    header = read_trace(sample("siglent_sds1104xe.csv")).provenance["metadata"]["header"]
    assert (header["Model Number"], header["Serial Number"]) == ("SDS1104X-E", "SDSMMEBC1R0000")
    header = read_trace(sample("wave.trc")).provenance["metadata"]["header"]
    assert (header["instrument"], header["trigger_time"], header["probe_attenuation"]) == (
        "LECROYMADE",
        "2026-01-02 03:04:05.500000",
        10,
    )
    assert read_trace(sample("labview.lvm")).provenance["metadata"]["header"]["Operator"] == "me"
    assert read_trace(sample("wave.tdms")).provenance["metadata"]["header"] == {"operator": "me"}
    assert read_trace(sample("wave.h5")).parameters == {"temperature": 300.0}


def test_rohde_schwarz_settings_in_lines(tmp_path):
    (tmp_path / "run.Wfm.csv").write_text("0.5\n0.25\n")
    (tmp_path / "run.csv").write_text("Type:RefCurve:\nResolution:1e-09:\nRecordLength:2:\nXStart:-1e-09:\nBaseUnit:V:\n")
    for name in ("run.Wfm.csv", "run.csv"):
        trace = read_trace(tmp_path / name)
        assert trace.time == pytest.approx([-1e-9, 0], abs=1e-18)
        assert trace.output["CH1"].tolist() == [0.5, 0.25]
    (tmp_path / "run.csv").write_text("Resolution:1e-09:\nRecordLength:2:\nXStart:5:\n")
    assert read_trace(tmp_path / "run.csv").time[0] == 5
    (tmp_path / "run.Wfm.csv").unlink()
    with pytest.raises(TraceError, match=r"the file of values \(name\.Wfm\.csv\) is not in the same folder"):
        read_trace(tmp_path / "run.csv")


def test_tdms_channels_are_grouped_by_length_and_matlab_4_is_read(tmp_path):
    nptdms, scipy = pytest.importorskip("nptdms"), pytest.importorskip("scipy.io")
    path = tmp_path / "two.tdms"
    with nptdms.TdmsWriter(str(path)) as writer:
        for name, rows in (("A", 4), ("B", 6)):
            writer.write_segment([nptdms.ChannelObject("g", name, np.arange(float(rows)), properties={"wf_increment": 0.5})])
    with pytest.raises(SeveralParts, match=r"'g \(4 rows, every 0\.5 s\)'"):
        read_trace(path)
    assert read_trace(path, part=2).time.tolist() == [0, 0.5, 1, 1.5, 2, 2.5]
    path = tmp_path / "old.mat"
    scipy.savemat(path, {"t": np.arange(4.0)[:, None], "V": np.arange(4.0)[:, None]}, format="4")
    assert read_trace(path).output["V"].tolist() == [0, 1, 2, 3]


def test_segments_of_a_lecroy_sequence(sample):
    path = sample("wave.trc", sample_files.trc(segments=3))
    with pytest.raises(SeveralParts, match=r"3 recordings: 'segment 1' \(12 samples, .*part='segment 1', or by number"):
        read_trace(path)
    second = read_trace(path, part="segment 2")
    assert read_trace(path, part=2).fingerprint() == second.fingerprint()
    assert second.time[0] == pytest.approx(sample_files.START + 1e-10)
    assert second.output["C1"] == pytest.approx(np.round(A * 1000) / 1000 + 0.01)
    with pytest.raises(TraceError, match="no part 'segment 9'"):
        read_trace(path, part="segment 9")
    traces = read_traces(path)
    assert [trace.provenance["part"] for trace in traces] == ["segment 1", "segment 2", "segment 3"]


def test_files_with_several_measurements_tables_or_sheets(sample):
    twice = SAMPLES["b1500.csv"] + SAMPLES["b1500.csv"].replace(b"Pulse", b"Again")
    with pytest.raises(SeveralParts, match=r"'Pulse #1'.*'Again #2'"):
        read_trace(sample("b1500.csv", twice))
    assert len(read_traces(sample("b1500.csv", twice))) == 2
    twice = SAMPLES["oommf.odt"] + SAMPLES["oommf.odt"].split(b"\n", 1)[1]
    assert len(read_traces(sample("oommf.odt", twice))) == 2
    openpyxl = pytest.importorskip("openpyxl")
    path = sample("wave.xlsx")
    workbook = openpyxl.load_workbook(path)
    workbook.copy_worksheet(workbook["run 1"]).title = "run 2"
    workbook.save(path)
    with pytest.raises(SeveralParts, match=r"'run 1' .*'run 2'"):
        read_trace(path)
    assert read_trace(path, part="run 2").output["A"] == pytest.approx(A)


def test_missing_library_is_reported_with_the_install_command(sample, monkeypatch):
    import_module = importlib.import_module
    libraries = {"wave.h5": ("h5py", "hdf5"), "wave.tdms": ("nptdms", "tdms"), "wave.xlsx": ("openpyxl", "excel")}
    libraries |= {"wave.nc": ("xarray", "xarray"), "field.s1p": ("skrf", "touchstone")}

    def import_missing(name, *rest):
        if name in {library for library, _ in libraries.values()}:
            raise ImportError(f"No module named {name!r}")
        return import_module(name, *rest)

    monkeypatch.setattr(importlib, "import_module", import_missing)
    for name, (library, extra) in libraries.items():
        with pytest.raises(TraceError, match=rf"which {library} reads.*pip install 'spinode\[{extra}\]'"):
            read_trace(sample(name))


def test_wrong_sample_counts_are_reported(sample):
    short = SAMPLES["tek_tds2000.csv"].rsplit(b"\r\n", 3)[0] + b"\r\n"
    with pytest.warns(TraceWarning, match="header gives 12 samples, but the file has 10"):
        read_trace(sample("tek_tds2000.csv", short))
    short = SAMPLES["siglent_sds1104xe.csv"].rsplit(b"\n", 4)[0] + b"\n"
    with pytest.warns(TraceWarning, match="header gives 12 samples, but the file has 9"):
        read_trace(sample("siglent_sds1104xe.csv", short))
    for name in ("wave.isf", "wave.trc", "field2_bin8.ovf"):
        with pytest.raises(TraceError, match=r"cut off|was the file cut off|no :CURVE|do not end|do not fit"):
            read_trace(sample(name, SAMPLES[name][:-60]))
    with pytest.warns(TraceWarning, match=r"may be cut off or damaged: .*less data than expected"):
        read_trace(sample("wave.tdms", SAMPLES["wave.tdms"][:-8]), part=1)
    corrupted = bytearray(SAMPLES["field2_bin4.ovf"])
    corrupted[corrupted.index(b"Begin: Data Binary 4\n") + 22] ^= 1
    with pytest.raises(TraceError, match="check value of the binary data is"):
        read_trace(sample("field2_bin4.ovf", bytes(corrupted)))
