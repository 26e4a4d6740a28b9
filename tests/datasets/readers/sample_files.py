"""Small synthetic files of each format, as instruments write them, with a known waveform in them.

`SAMPLES` contains the bytes by file name, `EXPECTED` the contents.
"""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np

N = 12
STEP, START = 2e-9, -8e-9
TIME = START + STEP * np.arange(N)
A = np.round(np.sin(np.arange(N) / 2), 4)
B = np.round(0.5 * np.cos(np.arange(N) / 3), 4)
SLOW_TIME = np.round(0.1 * np.arange(N), 3)


def rows(*columns: Any, delimiter: str = ",", end: str = "\n", form: str = "{!r}", tail: str = "") -> str:
    return "".join(delimiter.join(form.format(float(x)) for x in row) + tail + end for row in zip(*columns, strict=True))


def with_crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode("latin-1")


def text_samples() -> dict[str, bytes]:
    files: dict[str, str | bytes] = {}
    files["tek_mso.csv"] = (
        "Model,MSO54\nFirmware Version,1.28\nWaveform Type,ANALOG\nPoint Format,Y\nHorizontal Units,s\nHorizontal Scale,4e-09\n"
        "Sample Interval,2e-09\nRecord Length,12\nVertical Units,V,,V\nLabels,,\nTIME,CH1,CH3\n" + rows(TIME, A, B)
    )
    files["tek_tds2000.csv"] = with_crlf(
        "".join(
            f"{key},{value},,{t:018.12f},{v:10.5f},\n"
            for (key, value), t, v in zip(
                [
                    ("Record Length", "1.200000e+01"), ("Sample Interval", "2.000000e-09"), ("Trigger Point", "4"), ("", ""),
                    ("Source", "CH2"), ("Vertical Units", "V"), ("Vertical Scale", "5e-1"), ("Horizontal Units", "s"),
                    ("Model Number", "TDS2024"), ("", ""), ("", ""), ("", ""),
                ],
                TIME, A, strict=True,
            )
        )
    )  # fmt: skip
    files["keysight_1ch.csv"] = "x-axis,1\nsecond,Volt\n" + rows(TIME, A, form="{:+.6E}")
    files["keysight_infiniium.csv"] = (
        "Revision,0\nModel,DSOS104A\nType,raw\nXUnits,Second\nYUnits,Volt\nXInc,2.0E-09\nXOrg,-8.0E-09\nPoints,12\nData\n"
        + rows(A)
    )
    files["rigol_ds1000z.csv"] = with_crlf(
        f"X,CH1,CH2,Start,Increment,\nSequence,Volt,Volt,{START:e},{STEP:e}\n"
        + "".join(f"{k},{a:.2e},{b:.2e},\n" for k, (a, b) in enumerate(zip(A, B, strict=True)))
    )
    files["rigol_mso5000.csv"] = f"CH1V,CH2V,t0 = {START:e}s, tInc = {STEP:e},\n" + rows(A, B, tail=",,")
    files["siglent_sds1104xe.csv"] = (
        "Record Length,Analog:12\nSample Interval,Analog:2.000000e-09\nVertical Units,CH1:V,CH2:V\nVertical "
        "Scale,CH1:0.50,CH2:1.00\n"
        "Vertical Offset,CH1:0.00,CH2:0.00\nHorizontal Units,S\nHorizontal Scale,0.000000004\nModel Number,SDS1104X-E\n"
        "Serial Number,SDSMMEBC1R0000\nSoftware Version,7.1.6.1.33\nSource,CH1,CH2\nSecond,Volt,Volt\n" + rows(TIME, A, B)
    )
    files["lecroy_ascii.csv"] = (
        "LECROYWS64Xs-A,15843,Waveform\nSegments,1,SegmentSize,12\nSegment,TrigTime,TimeSinceSegment1\n"
        "#1,03-Mar-2010 13:12:26,0\nTime,Ampl\n" + rows(TIME, A)
    )
    files["rs_rtb2000.csv"] = "in s,C1 in V,C2 in V\n" + rows(TIME, A, B, form="{:E}")
    files["gwinstek.csv"] = (
        "Memory Length,12,\nTrigger Level,0.0,\nSource,CH1,\nProbe,1X,\nVertical Units,V,\nSampling Period,2.0E-09,\n"
        "Firmware,V1.20,\nWaveform Data,\n" + rows(A, tail=",")
    )
    files["picoscope.csv"] = "Time,Channel A,Channel B\n(ns),(V),(V)\n\n" + rows(TIME * 1e9, A, B)
    files["waveforms_ad2.csv"] = (
        "#Digilent WaveForms Oscilloscope Acquisition\n#Device Name: Discovery2\n#Serial Number: SN:210321A\n"
        "#Date Time: 2026-05-04 10:11:12.000\n#Sample rate: 5e+08Hz\n#Samples: 12\n\nTime (s),Channel 1 (V),Channel 2 (V)\n"
        + rows(TIME, A, B)
    )
    files["yokogawa.csv"] = (
        '"Header Size",9\n"Model Name","DLM2024"\n"Model Version",1.3\n"HResolution",2.0e-09\n"HOffset",-8.0e-09\n'
        '"HUnit","s"\n"VUnit","V"\n"TraceName","CH1"\n' + rows(A, tail=",")
    )
    files["german_comma.csv"] = "Zeit in s;Spannung in V\n" + rows(TIME, A, delimiter=";").replace(".", ",")
    files["keithley_dmm6500.csv"] = "Index,Reading,Unit,Date,Time,Fractional Seconds\n" + "".join(
        f"{k + 1},{a:.4f},Volt DC,03/02/2021,12:59:{58 + k // 10:02d},{k % 10 / 10:.1f}\n" if k < 20 else ""
        for k, a in enumerate(A)
    )
    files["kickstart.csv"] = (
        "Instruments,2450 #1\nModel,2450\nStart,2021-05-06 10:11:12\n\nIndex,Time (s),Voltage (V),Current (uA)\n"
        + "".join(f"{k + 1},{0.1 * k:.1f},{a},{b}\n" for k, (a, b) in enumerate(zip(A, B, strict=True)))
    )
    files["clarius_4200.csv"] = "Time,AnodeI,AnodeV\n" + rows(1 + 0.1 * np.arange(N), A * 1e-6, B)
    files["pymeasure.csv"] = (
        "#Procedure: <lab.Sweep>\n#Parameters:\n#\tDelay: 0.1 s\n#\tNotes: sample 7\n#Data:\nTime (s),Voltage (V),Current (A)\n"
        + rows(0.1 * np.arange(N), A, B)
    )
    files["qcodes.dat"] = '# gate\tcurrent\n# "gate (mV)"\t"current (nA)"\n# 12\n' + rows(A, B, delimiter="\t")
    files["iso_times.csv"] = "Timestamp,Temperature (degC)\n" + "".join(
        f"2026-01-02T03:04:{k / 2:06.3f},{20 + a}\n" for k, a in enumerate(A)
    )
    files["mumax_table.txt"] = "# t (s)\tmx ()\tmz ()\n" + rows(STEP * np.arange(N), A, B, delimiter="\t")
    files["oommf.odt"] = (
        "# ODT 1.0\n# Table Start\n# Title: synthetic\n"
        "# Columns: {Oxs_EulerEvolve::Total energy} Oxs_TimeDriver::mx {Oxs_TimeDriver::Simulation time}\n"
        "# Units: J {} s\n" + rows(A, B, STEP * np.arange(N), delimiter=" ") + "# Table End\n"
    )
    files["labview.lvm"] = with_crlf(
        "LabVIEW "
        "Measurement\t\nWriter_Version\t2\nReader_Version\t2\nSeparator\tTab\nDecimal_Separator\t.\nMulti_Headings\tNo\n"
        "X_Columns\tNo\nTime_Pref\tAbsolute\nOperator\tme\nDate\t2026/01/02\nTime\t03:04:05\n***End_of_Header***\t\n\t\n"
        "Channels\t2\t\t\nSamples\t12\t12\t\nDate\t2026/01/02\t2026/01/02\t\nY_Unit_Label\tVolts\tg\t\n"
        f"X_Dimension\tTime\tTime\t\nX0\t{START:E}\t{START:E}\t\nDelta_X\t{STEP:E}\t{STEP:E}\t\n***End_of_Header***\t\t\t\n"
        "X_Value\tVoltage\tAcceleration\tComment\n" + "".join(f"\t{a}\t{b}\n" for a, b in zip(A, B, strict=True))
    )
    files["b1500.csv"] = with_crlf(
        "\nSetupTitle, Pulse\nPrimitiveTest, I/V-t Sampling\nTestParameter, Context.MainFrame, B1500A\n"
        "TestParameter, Channel.VName, V1, V2\nTestParameter, Channel.IName, I1, I2\nTestParameter, Channel.Time, Time\n"
        "Dimension1, 12, 12, 12\nDimension2, 1, 1, 1\nDataName, Time, V1, I1\n"
        + "".join(f"DataValue, {t!r}, {a}, {b}\n" for t, a, b in zip((0.1 * np.arange(N)).tolist(), A, B, strict=True))
    )
    files["field.s1p"] = "! synthetic\n# GHz S RI R 50\n" + rows(1 + np.arange(N), A, B, delimiter=" ")
    files["ngspice_text.raw"] = (
        "Title: rc\nDate: today\nPlotname: Transient Analysis\nFlags: real\nNo. Variables: 3\nNo. Points: 12\nVariables:\n"
        "\t0\ttime\ttime\n\t1\tv(s)\tvoltage\n\t2\ti(v1)\tcurrent\nValues:\n"
        + "".join(
            f" {k}\t{t!r}\n\t{a!r}\n\t{b!r}\n\n"
            for k, (t, a, b) in enumerate(zip(SLOW_TIME.tolist(), A.tolist(), B.tolist(), strict=True))
        )
    )
    files["xyce.prn"] = (
        "Index       TIME           V(S)          I(V1)\n"
        + "".join(f"{k}   {t:.8e}   {a:.8e}   {b:.8e}\n" for k, (t, a, b) in enumerate(zip(SLOW_TIME, A, B, strict=True)))
        + "End of Xyce(TM) Simulation\n"
    )
    files["qucs.dat"] = (
        f"<Qucs Dataset 0.0.19>\n<indep time {N}>\n"
        + "".join(f"  {t:+.15e}\n" for t in SLOW_TIME)
        + "</indep>\n<dep out.Vt time>\n"
        + "".join(f"  {a:+.15e}\n" for a in A)
        + "</dep>\n"
    )
    files["spectre.psf"] = (
        'HEADER\n"PSFversion" "1.00"\nTYPE\n"sweep" FLOAT DOUBLE PROP(\n"key" "sweep"\n"units" "s"\n)\n"V" FLOAT DOUBLE PROP(\n'
        '"units" "V"\n"key" "node"\n)\nSWEEP\n"time" "sweep" PROP(\n"sweep_direction" 0\n)\nTRACE\n"out" "V"\n"group" GROUP 1\n'
        "VALUE\n"
        + "".join(f'"time" {t!r}\n"out" {a!r}\n' for t, a in zip(SLOW_TIME.tolist(), A.tolist(), strict=True))
        + "END\n"
    )
    files["gamry.DTA"] = (
        "EXPLAIN\nTAG\tCV\nTITLE\tLABEL\tCyclic Voltammetry\tTest\nAREA\tQUANT\t1.0\tArea\nCURVE1\tTABLE\t12\n"
        "\tPt\tT\tVf\tIm\tOver\n\t#\ts\tV vs. Ref.\tA\tbits\n"
        + "".join(f"\t{k}\t{t:.4f}\t{a}\t{b}\t...........\n" for k, (t, a, b) in enumerate(zip(SLOW_TIME, A, B, strict=True)))
    )
    files["ec_lab.mpt"] = with_crlf(
        "EC-Lab ASCII FILE\nNb header lines : 5                          \n\nCyclic Voltammetry\n"
        "mode\ttime/s\tcontrol/V/mA\tEwe/V\t<I>/mA\t\n"
        + "".join(f"2\t{t:.6E}\t0.5\t{a}\t{b}\n" for t, a, b in zip(SLOW_TIME, A, B, strict=True)).replace(".", ",")
    )
    return {name: text if isinstance(text, bytes) else text.encode("latin-1") for name, text in files.items()}


def ovf(version: int, kind: str, values: np.ndarray, time: str = "1e-09") -> bytes:
    head = "# OOMMF: rectangular mesh v1.0\n" if version == 1 else "# OOMMF OVF 2.0\n"
    lines = ["Segment count: 1", "Begin: Segment", "Begin: Header", "Title: m", f"Desc: Total simulation time:  {time}  s"]
    lines += ["meshtype: rectangular", "meshunit: m", "xbase: 0", "ybase: 0", "zbase: 0"]
    lines += ["xnodes: 3", "ynodes: 2", "znodes: 1", "xstepsize: 1e-9", "ystepsize: 1e-9", "zstepsize: 1e-9"]
    lines += (
        ["valueunit: A/m", "valuemultiplier: 2"]
        if version == 1
        else ["valuedim: 3", "valuelabels: m_x m_y m_z", "valueunits: 1 1 1"]
    )
    text = head + "".join(f"# {line}\n" for line in [*lines, "End: Header", f"Begin: Data {kind}"])
    end = f"# End: Data {kind}\n# End: Segment\n".encode()
    if kind == "Text":
        return text.encode() + rows(*values.T, delimiter=" ").encode() + end
    form, check = ("f4", 1234567.0) if kind.endswith("4") else ("f8", 123456789012345.0)
    order = ">" if version == 1 else "<"
    return text.encode() + np.array([check], order + form).tobytes() + values.astype(order + form).tobytes() + b"\n" + end


FIELD = np.array([[0, 0, 1], [0, 0.6, 0.8], [0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, -1]], dtype=float)


def isf(binary: bool = True) -> bytes:
    raw = np.round(A * 1000).astype(">i2")
    form = "BINARY;BN_FMT RI;BYT_OR MSB" if binary else "ASCII;BN_FMT RI;BYT_OR MSB"
    head = (
        f':WFMPRE:BYT_NR 2;BIT_NR 16;ENCDG {form};NR_PT {N};WFID "Ch1, DC coupling";PT_FMT Y;XINCR {STEP:e};PT_OFF 4;XZERO 0.0;'
        'XUNIT "s";YMULT 1.0E-3;YZERO 0.0;YOFF 0.0;YUNIT "V";:CURVE '
    )
    body = b"#2" + f"{raw.nbytes:02d}".encode() + raw.tobytes() if binary else ",".join(map(str, raw.tolist())).encode()
    return head.encode() + body + b"\n"


def trc(segments: int = 1, order: str = "<") -> bytes:
    raw = np.concatenate([np.round(A * 1000) + 10 * k for k in range(segments)]).astype(order + "i2")
    descriptor = bytearray(346)

    def put(offset: int, form: str, value: Any) -> None:
        struct.pack_into(order + form, descriptor, offset, value)

    for offset, text in ((0, b"WAVEDESC"), (16, b"LECROY_2_3"), (76, b"LECROYMADE"), (196, b"V"), (244, b"S")):
        descriptor[offset : offset + len(text)] = text
    for offset, value in (
        (36, 346),
        (48, 16 * segments if segments > 1 else 0),
        (60, raw.nbytes),
        (116, len(raw)),
        (144, segments),
    ):
        put(offset, "i", value)
    put(32, "H", 1)
    put(34, "H", 1 if order == "<" else 0)
    for offset, value in ((156, 1e-3), (160, 0.0), (176, STEP)):
        put(offset, "f", value)
    put(180, "d", START)
    struct.pack_into(order + "dBBBBh", descriptor, 296, 5.5, 4, 3, 2, 1, 2026)
    put(328, "f", 10.0)
    times = b"".join(struct.pack(order + "dd", 1e-3 * k, START + 1e-10 * k) for k in range(segments)) if segments > 1 else b""
    block = bytes(descriptor) + times + raw.tobytes()
    return f"#9{len(block):09d}".encode() + block


def tdms() -> bytes:
    from nptdms import ChannelObject, GroupObject, RootObject, TdmsWriter

    buffer = io.BytesIO()
    properties = {"wf_increment": STEP, "wf_start_offset": START, "unit_string": "Volts"}
    with TdmsWriter(buffer) as writer:
        channels = [ChannelObject("scope", name, values, properties=properties) for name, values in (("A", A), ("B", B))]
        writer.write_segment([RootObject({"operator": "me"}), GroupObject("scope"), *channels])
    return buffer.getvalue()


def hdf5() -> bytes:
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, values, unit in (("time", TIME * 1e9, "ns"), ("A", A, "V"), ("B", B, "mV")):
            file.create_dataset(f"run/{name}", data=values[:, None]).attrs["unit"] = unit
        file["run/temperature"] = 300.0
        file.attrs["operator"] = "me"
    return buffer.getvalue()


def mat5() -> bytes:
    import scipy.io

    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {"data": {"t": TIME, "A": A, "B": B, "note": "synthetic"}})
    return buffer.getvalue()


def netcdf() -> bytes:
    import xarray

    dataset = xarray.Dataset(
        {"A": ("time", A, {"units": "V"}), "B": ("time", B, {"units": "mV"})},
        {"time": ("time", TIME * 1e9, {"units": "ns"})},
        {"operator": "me"},
    )
    return bytes(dataset.to_netcdf(engine="scipy"))


def excel() -> bytes:
    import openpyxl

    workbook = openpyxl.Workbook()
    sheet = workbook.active
    sheet.title = "run 1"
    for row in (
        ["Bias test"],
        ["Time (ns)", "A (V)", "B (V)"],
        *zip((TIME * 1e9).tolist(), A.tolist(), B.tolist(), strict=True),
    ):
        sheet.append(list(row))
    workbook.create_sheet("notes").append(["sample 7"])
    buffer = io.BytesIO()
    workbook.save(buffer)
    return buffer.getvalue()


def npz() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, t=TIME, A=A, B=B)
    return buffer.getvalue()


def npy() -> bytes:
    buffer = io.BytesIO()
    table = np.zeros(N, dtype=[("t", "f8"), ("A", "f8"), ("B", "f4")])
    table["t"], table["A"], table["B"] = TIME, A, B
    np.save(buffer, table)
    return buffer.getvalue()


def wav() -> bytes:
    import scipy.io.wavfile

    buffer = io.BytesIO()
    scipy.io.wavfile.write(buffer, 8000, np.column_stack([np.round(A * 1000), np.round(B * 1000)]).astype(np.int16))
    return buffer.getvalue()


def parquet(feather: bool = False) -> bytes:
    import polars

    buffer = io.BytesIO()
    frame = polars.DataFrame({"t (ns)": TIME * 1e9, "A (V)": A, "B (mV)": B, "note": ["good"] * N})
    frame.write_ipc(buffer) if feather else frame.write_parquet(buffer)
    return buffer.getvalue()


def sqlite(qcodes: bool = True) -> bytes:
    import sqlite3

    connection = sqlite3.connect(":memory:")
    run = connection.execute
    if qcodes:
        run("CREATE TABLE runs (run_id INTEGER, name TEXT, result_table_name TEXT)")
        run("INSERT INTO runs VALUES (1, 'results', 'results-1-1')")
        run("CREATE TABLE layouts (layout_id INTEGER, run_id INTEGER, parameter TEXT, label TEXT, unit TEXT)")
        for row in ((1, 1, "dac_ch1", "Gate", "mV"), (2, 1, "dmm_A", "A", "V"), (3, 1, "dmm_B", "B", "nA")):
            run("INSERT INTO layouts VALUES (?, ?, ?, ?, ?)", row)
        run('CREATE TABLE "results-1-1" (id INTEGER PRIMARY KEY, dac_ch1 NUMERIC, dmm_A NUMERIC, dmm_B NUMERIC)')
        for k, (a, b) in enumerate(zip(A.tolist(), B.tolist(), strict=True)):
            run('INSERT INTO "results-1-1" (dac_ch1, dmm_A) VALUES (?, ?)', (float(k), a))
            run('INSERT INTO "results-1-1" (dac_ch1, dmm_B) VALUES (?, ?)', (float(k), b))
    else:
        run("CREATE TABLE log (time REAL, A REAL, note TEXT)")
        connection.executemany("INSERT INTO log VALUES (?, ?, 'x')", list(zip(SLOW_TIME.tolist(), A.tolist(), strict=True)))
    connection.commit()
    return bytes(connection.serialize()) if hasattr(connection, "serialize") else _dump(connection)


def _dump(connection: Any) -> bytes:
    import pathlib
    import sqlite3
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "a.db"
        copy = sqlite3.connect(path)
        connection.backup(copy)
        copy.close()
        return path.read_bytes()


def raw(ltspice: bool = True, is_complex: bool = False, steps: int = 1) -> bytes:
    """A binary raw file: LTspice with a header in UTF-16 and single precision, or ngspice."""
    axis = "frequency" if is_complex else "time"
    head = (
        f"Title: * rc\nDate: today\nPlotname: {'AC' if is_complex else 'Transient'} Analysis\n"
        f"Flags: {'complex' if is_complex else 'real'} forward{' stepped' if steps > 1 else ''}\nNo. Variables: 3\n"
        f"No. Points: {N * steps}\nVariables:\n\t0\t{axis}\t{axis}\n\t1\tV(s)\tvoltage\n\t2\tI(C1)\tdevice_current\nBinary:\n"
    )
    x, a, b = (np.tile(values, steps) for values in (SLOW_TIME, A, B))
    if is_complex:
        body = np.column_stack([x, a + 1j * b, b]).astype("<c16").tobytes()
    elif ltspice:
        table = np.zeros(len(x), dtype=[("x", "<f8"), ("y", "<f4", (2,))])
        table["x"], table["y"] = x, np.column_stack([a, b])
        body = table.tobytes()
    else:
        body = np.column_stack([x, a, b]).astype("<f8").tobytes()
    return head.encode("utf-16-le" if ltspice else "ascii") + body


def binary_samples() -> dict[str, bytes]:
    return {
        "field2_text.ovf": ovf(2, "Text", FIELD),
        "field2_bin4.ovf": ovf(2, "Binary 4", FIELD),
        "field2_bin8.ovf": ovf(2, "Binary 8", FIELD),
        "field1_bin4.omf": ovf(1, "Binary 4", FIELD),
        "wave.isf": isf(),
        "wave_text.isf": isf(binary=False),
        "wave.trc": trc(),
        "wave_big.trc": trc(order=">"),
        "wave.tdms": tdms(),
        "wave.h5": hdf5(),
        "wave.mat": mat5(),
        "wave.nc": netcdf(),
        "wave.xlsx": excel(),
        "wave.npz": npz(),
        "wave.npy": npy(),
        "wave.wav": wav(),
        "wave.parquet": parquet(),
        "wave.feather": parquet(feather=True),
        "qcodes.db": sqlite(),
        "log.sqlite": sqlite(qcodes=False),
        "ltspice.raw": raw(),
        "ltspice_ac.raw": raw(is_complex=True),
        "ngspice.raw": raw(ltspice=False),
    }


SAMPLES = {**text_samples(), **binary_samples()}

G = 9.80665  # LabVIEW's g [m/s2]
SLOW = 0.1 * np.arange(N)


def rounded(values):
    return np.array([float(f"{value:.2e}") for value in values])


#: Reader, times (None: the samples are numbered), channels in SI with their units.
EXPECTED = {
    "tek_mso.csv": ("delimited", TIME, {"CH1": (A, "V"), "CH3": (B, "V")}),
    "tek_tds2000.csv": ("tektronix", TIME, {"CH2": (A, "V")}),
    "keysight_1ch.csv": ("delimited", TIME, {"1": (A, "V")}),
    "keysight_infiniium.csv": ("delimited", TIME, {"Data": (A, "V")}),
    "rigol_ds1000z.csv": ("rigol", TIME, {"CH1": (rounded(A), "V"), "CH2": (rounded(B), "V")}),
    "rigol_mso5000.csv": ("rigol", TIME, {"CH1": (A, "V"), "CH2": (B, "V")}),
    "siglent_sds1104xe.csv": ("delimited", TIME, {"CH1": (A, "V"), "CH2": (B, "V")}),
    "lecroy_ascii.csv": ("delimited", TIME, {"Ampl": (A, "")}),
    "rs_rtb2000.csv": ("delimited", TIME, {"C1": (A, "V"), "C2": (B, "V")}),
    "gwinstek.csv": ("delimited", TIME - TIME[0], {"Waveform Data": (A, "V")}),
    "picoscope.csv": ("delimited", TIME, {"Channel A": (A, "V"), "Channel B": (B, "V")}),
    "waveforms_ad2.csv": ("delimited", TIME, {"Channel 1": (A, "V"), "Channel 2": (B, "V")}),
    "yokogawa.csv": ("delimited", TIME, {"column 1": (A, "V")}),
    "german_comma.csv": ("delimited", TIME, {"Spannung": (A, "V")}),
    "keithley_dmm6500.csv": ("delimited", SLOW, {"Reading": (A, "V")}),
    "kickstart.csv": ("delimited", SLOW, {"Voltage": (A, "V"), "Current": (B * 1e-6, "A")}),
    "clarius_4200.csv": ("delimited", 1 + SLOW, {"AnodeI": (A * 1e-6, ""), "AnodeV": (B, "")}),
    "pymeasure.csv": ("delimited", SLOW, {"Voltage": (A, "V"), "Current": (B, "A")}),
    "qcodes.dat": ("delimited", None, {"gate": (A * 1e-3, "V"), "current": (B * 1e-9, "A")}),
    "iso_times.csv": ("delimited", 5 * SLOW, {"Temperature": (293.15 + A, "K")}),
    "mumax_table.txt": ("mumax", TIME - TIME[0], {"mx": (A, ""), "mz": (B, "")}),
    "oommf.odt": ("odt", TIME - TIME[0], {"Oxs_EulerEvolve::Total energy": (A, "J"), "Oxs_TimeDriver::mx": (B, "")}),
    "labview.lvm": ("lvm", TIME, {"Voltage": (A, "V"), "Acceleration": (B * G, "m/s2")}),
    "b1500.csv": ("easyexpert", SLOW, {"V1": (A, "V"), "I1": (B, "A")}),
    "field.s1p": ("touchstone", None, {"frequency": (1e9 * (1 + np.arange(12)), "Hz"), "S11.re": (A, ""), "S11.im": (B, "")}),
    "wave.isf": ("isf", TIME, {"Ch1": (np.round(A * 1000) / 1000, "V")}),
    "wave_text.isf": ("isf", TIME, {"Ch1": (np.round(A * 1000) / 1000, "V")}),
    "wave.trc": ("trc", TIME, {"C1": (np.round(A * 1000) / 1000, "V")}),
    "wave_big.trc": ("trc", TIME, {"C1": (np.round(A * 1000) / 1000, "V")}),
    "wave.tdms": ("tdms", TIME, {"A": (A, "V"), "B": (B, "V")}),
    "wave.h5": ("hdf5", TIME, {"A": (A, "V"), "B": (B * 1e-3, "V")}),
    "wave.mat": ("mat", TIME, {"A": (A, ""), "B": (B, "")}),
    "wave.nc": ("netcdf", TIME, {"A": (A, "V"), "B": (B * 1e-3, "V")}),
    "wave.xlsx": ("excel", TIME, {"A": (A, "V"), "B": (B, "V")}),
    "wave.npz": ("npz", TIME, {"A": (A, ""), "B": (B, "")}),
    "wave.npy": ("npy", TIME, {"A": (A, ""), "B": (B, "")}),
    "wave.wav": ("wav", np.arange(N) / 8000, {f"channel {k}": (np.round(c * 1000) / 32768, "") for k, c in ((1, A), (2, B))}),
    "wave.parquet": ("parquet", TIME, {"A": (A, "V"), "B": (B * 1e-3, "V")}),
    "wave.feather": ("parquet", TIME, {"A": (A, "V"), "B": (B * 1e-3, "V")}),
    "qcodes.db": (
        "sqlite",
        None,
        {"dac_ch1": (np.arange(N) * 1e-3, "V"), "dmm_A": (A, "V"), "dmm_B": (B * 1e-9, "A")},
    ),
    "log.sqlite": ("sqlite", SLOW, {"A": (A, "")}),
    "ltspice.raw": ("spice-raw", SLOW, {"V(s)": (A, "V"), "I(C1)": (B, "A")}),
    "ltspice_ac.raw": (
        "spice-raw",
        None,
        {"frequency": (SLOW, "Hz"), "V(s).re": (A, "V"), "V(s).im": (B, "V"), "I(C1).re": (B, "A"), "I(C1).im": (0 * B, "A")},
    ),
    "ngspice.raw": ("spice-raw", SLOW, {"V(s)": (A, "V"), "I(C1)": (B, "A")}),
    "ngspice_text.raw": ("spice-raw", SLOW, {"v(s)": (A, "V"), "i(v1)": (B, "A")}),
    "xyce.prn": ("delimited", SLOW, {"Index": (np.arange(12.0), ""), "V(S)": (A, "V"), "I(V1)": (B, "A")}),
    "qucs.dat": ("qucs", SLOW, {"out.Vt": (A, "V")}),
    "spectre.psf": ("psf-ascii", SLOW, {"out": (A, "V")}),
    "gamry.DTA": ("gamry", SLOW, {"Pt": (np.arange(12.0), ""), "Vf": (A, "V"), "Im": (B, "A")}),
    "ec_lab.mpt": (
        "ec-lab",
        SLOW,
        {"mode": (np.full(12, 2.0), ""), "control/V/mA": (np.full(12, 0.5), ""), "Ewe": (A, "V"), "<I>": (B * 1e-3, "A")},
    ),
    **dict.fromkeys(
        ("field2_text.ovf", "field2_bin4.ovf", "field2_bin8.ovf"),
        ("ovf", np.array([1e-9]), {"m_x": (np.array([0.2]), ""), "m_y": (np.array([0.32]), ""), "m_z": (np.array([0.16]), "")}),
    ),
    "field1_bin4.omf": (
        "ovf",
        np.array([1e-9]),
        {"mx": (np.array([0.4]), "A/m"), "my": (np.array([0.64]), "A/m"), "mz": (np.array([0.32]), "A/m")},
    ),
}
