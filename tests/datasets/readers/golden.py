"""Small files of each format, made here: what instruments write, with a wave of our own in it. `SAMPLES` has name and bytes."""

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


def rows(*columns: Any, mark: str = ",", end: str = "\n", form: str = "{!r}", tail: str = "") -> str:
    return "".join(mark.join(form.format(float(x)) for x in row) + tail + end for row in zip(*columns, strict=True))


def crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode("latin-1")


def text_samples() -> dict[str, bytes]:
    found: dict[str, str | bytes] = {}
    found["tek_mso.csv"] = (
        "Model,MSO54\nFirmware Version,1.28\nWaveform Type,ANALOG\nPoint Format,Y\nHorizontal Units,s\nHorizontal Scale,4e-09\n"
        "Sample Interval,2e-09\nRecord Length,12\nVertical Units,V,,V\nLabels,,\nTIME,CH1,CH3\n" + rows(TIME, A, B)
    )
    found["tek_tds2000.csv"] = crlf(
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
    found["keysight_1ch.csv"] = "x-axis,1\nsecond,Volt\n" + rows(TIME, A, form="{:+.6E}")
    found["keysight_infiniium.csv"] = (
        "Revision,0\nModel,DSOS104A\nType,raw\nXUnits,Second\nYUnits,Volt\nXInc,2.0E-09\nXOrg,-8.0E-09\nPoints,12\nData\n"
        + rows(A)
    )
    found["rigol_ds1000z.csv"] = crlf(
        f"X,CH1,CH2,Start,Increment,\nSequence,Volt,Volt,{START:e},{STEP:e}\n"
        + "".join(f"{k},{a:.2e},{b:.2e},\n" for k, (a, b) in enumerate(zip(A, B, strict=True)))
    )
    found["rigol_mso5000.csv"] = f"CH1V,CH2V,t0 = {START:e}s, tInc = {STEP:e},\n" + rows(A, B, tail=",,")
    found["siglent_sds1104xe.csv"] = (
        "Record Length,Analog:12\nSample Interval,Analog:2.000000e-09\nVertical Units,CH1:V,CH2:V\nVertical "
        "Scale,CH1:0.50,CH2:1.00\n"
        "Vertical Offset,CH1:0.00,CH2:0.00\nHorizontal Units,S\nHorizontal Scale,0.000000004\nModel Number,SDS1104X-E\n"
        "Serial Number,SDSMMEBC1R0000\nSoftware Version,7.1.6.1.33\nSource,CH1,CH2\nSecond,Volt,Volt\n" + rows(TIME, A, B)
    )
    found["lecroy_ascii.csv"] = (
        "LECROYWS64Xs-A,15843,Waveform\nSegments,1,SegmentSize,12\nSegment,TrigTime,TimeSinceSegment1\n"
        "#1,03-Mar-2010 13:12:26,0\nTime,Ampl\n" + rows(TIME, A)
    )
    found["rs_rtb2000.csv"] = "in s,C1 in V,C2 in V\n" + rows(TIME, A, B, form="{:E}")
    found["gwinstek.csv"] = (
        "Memory Length,12,\nTrigger Level,0.0,\nSource,CH1,\nProbe,1X,\nVertical Units,V,\nSampling Period,2.0E-09,\n"
        "Firmware,V1.20,\nWaveform Data,\n" + rows(A, tail=",")
    )
    found["picoscope.csv"] = "Time,Channel A,Channel B\n(ns),(V),(V)\n\n" + rows(TIME * 1e9, A, B)
    found["waveforms_ad2.csv"] = (
        "#Digilent WaveForms Oscilloscope Acquisition\n#Device Name: Discovery2\n#Serial Number: SN:210321A\n"
        "#Date Time: 2026-05-04 10:11:12.000\n#Sample rate: 5e+08Hz\n#Samples: 12\n\nTime (s),Channel 1 (V),Channel 2 (V)\n"
        + rows(TIME, A, B)
    )
    found["yokogawa.csv"] = (
        '"Header Size",9\n"Model Name","DLM2024"\n"Model Version",1.3\n"HResolution",2.0e-09\n"HOffset",-8.0e-09\n'
        '"HUnit","s"\n"VUnit","V"\n"TraceName","CH1"\n' + rows(A, tail=",")
    )
    found["german_comma.csv"] = "Zeit in s;Spannung in V\n" + rows(TIME, A, mark=";").replace(".", ",")
    found["keithley_dmm6500.csv"] = "Index,Reading,Unit,Date,Time,Fractional Seconds\n" + "".join(
        f"{k + 1},{a:.4f},Volt DC,03/02/2021,12:59:{58 + k // 10:02d},{k % 10 / 10:.1f}\n" if k < 20 else ""
        for k, a in enumerate(A)
    )
    found["kickstart.csv"] = (
        "Instruments,2450 #1\nModel,2450\nStart,2021-05-06 10:11:12\n\nIndex,Time (s),Voltage (V),Current (uA)\n"
        + "".join(f"{k + 1},{0.1 * k:.1f},{a},{b}\n" for k, (a, b) in enumerate(zip(A, B, strict=True)))
    )
    found["clarius_4200.csv"] = "Time,AnodeI,AnodeV\n" + rows(1 + 0.1 * np.arange(N), A * 1e-6, B)
    found["pymeasure.csv"] = (
        "#Procedure: <lab.Sweep>\n#Parameters:\n#\tDelay: 0.1 s\n#\tNotes: sample 7\n#Data:\nTime (s),Voltage (V),Current (A)\n"
        + rows(0.1 * np.arange(N), A, B)
    )
    found["qcodes.dat"] = '# gate\tcurrent\n# "gate (mV)"\t"current (nA)"\n# 12\n' + rows(A, B, mark="\t")
    found["iso_times.csv"] = "Timestamp,Temperature (degC)\n" + "".join(
        f"2026-01-02T03:04:{k / 2:06.3f},{20 + a}\n" for k, a in enumerate(A)
    )
    found["mumax_table.txt"] = "# t (s)\tmx ()\tmz ()\n" + rows(STEP * np.arange(N), A, B, mark="\t")
    found["oommf.odt"] = (
        "# ODT 1.0\n# Table Start\n# Title: made here\n"
        "# Columns: {Oxs_EulerEvolve::Total energy} Oxs_TimeDriver::mx {Oxs_TimeDriver::Simulation time}\n"
        "# Units: J {} s\n" + rows(A, B, STEP * np.arange(N), mark=" ") + "# Table End\n"
    )
    found["labview.lvm"] = crlf(
        "LabVIEW "
        "Measurement\t\nWriter_Version\t2\nReader_Version\t2\nSeparator\tTab\nDecimal_Separator\t.\nMulti_Headings\tNo\n"
        "X_Columns\tNo\nTime_Pref\tAbsolute\nOperator\tme\nDate\t2026/01/02\nTime\t03:04:05\n***End_of_Header***\t\n\t\n"
        "Channels\t2\t\t\nSamples\t12\t12\t\nDate\t2026/01/02\t2026/01/02\t\nY_Unit_Label\tVolts\tg\t\n"
        f"X_Dimension\tTime\tTime\t\nX0\t{START:E}\t{START:E}\t\nDelta_X\t{STEP:E}\t{STEP:E}\t\n***End_of_Header***\t\t\t\n"
        "X_Value\tVoltage\tAcceleration\tComment\n" + "".join(f"\t{a}\t{b}\n" for a, b in zip(A, B, strict=True))
    )
    found["b1500.csv"] = crlf(
        "\nSetupTitle, Pulse\nPrimitiveTest, I/V-t Sampling\nTestParameter, Context.MainFrame, B1500A\n"
        "TestParameter, Channel.VName, V1, V2\nTestParameter, Channel.IName, I1, I2\nTestParameter, Channel.Time, Time\n"
        "Dimension1, 12, 12, 12\nDimension2, 1, 1, 1\nDataName, Time, V1, I1\n"
        + "".join(f"DataValue, {t!r}, {a}, {b}\n" for t, a, b in zip((0.1 * np.arange(N)).tolist(), A, B, strict=True))
    )
    found["field.s1p"] = "! made here\n# GHz S RI R 50\n" + rows(1 + np.arange(N), A, B, mark=" ")
    return {name: text if isinstance(text, bytes) else text.encode("latin-1") for name, text in found.items()}


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
        return text.encode() + rows(*values.T, mark=" ").encode() + end
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
    d = bytearray(346)

    def put(place: int, form: str, value: Any) -> None:
        struct.pack_into(order + form, d, place, value)

    d[:8], d[16:26], d[76:86], d[196:197], d[244:245] = b"WAVEDESC", b"LECROY_2_3", b"LECROYMADE", b"V", b"S"
    for place, value in (
        (36, 346),
        (48, 16 * segments if segments > 1 else 0),
        (60, raw.nbytes),
        (116, len(raw)),
        (144, segments),
    ):
        put(place, "i", value)
    put(32, "H", 1)
    put(34, "H", 1 if order == "<" else 0)
    for place, value in ((156, 1e-3), (160, 0.0), (176, STEP)):
        put(place, "f", value)
    put(180, "d", START)
    struct.pack_into(order + "dBBBBh", d, 296, 5.5, 4, 3, 2, 1, 2026)
    put(328, "f", 10.0)
    times = b"".join(struct.pack(order + "dd", 1e-3 * k, START + 1e-10 * k) for k in range(segments)) if segments > 1 else b""
    whole = bytes(d) + times + raw.tobytes()
    return f"#9{len(whole):09d}".encode() + whole


def tdms() -> bytes:
    from nptdms import ChannelObject, GroupObject, RootObject, TdmsWriter

    buffer = io.BytesIO()
    clock = {"wf_increment": STEP, "wf_start_offset": START, "unit_string": "Volts"}
    with TdmsWriter(buffer) as writer:
        channels = [ChannelObject("scope", name, values, properties=clock) for name, values in (("A", A), ("B", B))]
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
    scipy.io.savemat(buffer, {"data": {"t": TIME, "A": A, "B": B, "note": "made here"}})
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

    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "run 1"
    for row in (
        ["Bias test"],
        ["Time (ns)", "A (V)", "B (V)"],
        *zip((TIME * 1e9).tolist(), A.tolist(), B.tolist(), strict=True),
    ):
        sheet.append(list(row))
    book.create_sheet("notes").append(["sample 7"])
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def npz() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, t=TIME, A=A, B=B)
    return buffer.getvalue()


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
    }
