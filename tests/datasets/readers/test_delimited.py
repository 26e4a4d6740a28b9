"""Delimited text: delimiters, headers, units, decimal marks, words, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings, strategies as st

from spinode.datasets import read_trace
from spinode.errors import TraceError, TraceWarning, UnitError

EXPECTED = [[0.0, 1.5, -2.0], [1e-9, 2.5, 3e-3], [2e-9, -1.0, 4.0]]


ROWS = [["0", "1.5", "-2"], ["1e-9", "2.5", "3e-3"], ["2e-9", "-1", "+4."]]


HEADERS = [["t (s)", "V (V)", "m ()"], ["t [s]", "V [V]", "m []"], ["t/s", "V/V", "m"], ["time", "V", "m"]]


def table(rows, delimiter):
    return "".join(delimiter.join(row) + "\n" for row in rows)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", " ", "   ", ", "])
@pytest.mark.parametrize("header", HEADERS, ids=" ".join)
def test_every_delimiter_and_header(read, delimiter, header):
    trace = read(table([header, *ROWS], delimiter))
    got = np.column_stack([trace.time, *trace.output.values()])
    assert got.tolist() == EXPECTED


@pytest.mark.parametrize("delimiter", [",", ";", "\t", " "])
def test_without_header(read, delimiter):
    trace = read(table(ROWS, delimiter), time="column 1")
    assert trace.output["column 3"].tolist() == [-2.0, 3e-3, 4.0]


@pytest.mark.parametrize("delimiter", [";", "\t", " "])
def test_decimal_comma(read, delimiter):
    trace = read(table([["t", "V", "m"], *([cell.replace(".", ",") for cell in row] for row in ROWS)], delimiter))
    assert trace.output["V"].tolist() == [1.5, 2.5, -1.0]
    assert trace.provenance["metadata"]["decimal_mark"] == ","


@pytest.mark.parametrize("body", ["0\t1,234\n1\t12,500\n", "0;1,234,567\n1;2,000,000\n"])
def test_ambiguous_commas_are_refused(read, body):
    with pytest.raises(
        TraceError,
        match=r"line \d: the commas of '.*' can be decimal marks or thousands separators.*write it with",
    ):
        read(body, time="column 1")


def test_thousands_separators_are_refused(read):
    with pytest.raises(TraceError, match=r"line 2, column 2 \('V'\): '1,234.5' is not a number.*thousands"):
        read("t;V\n0;1,234.5\n1;2.5\n")


def test_units_row_and_prefixes(read):
    trace = read("time;V1;T\nns;mV;degC\n1;2;26.85\n3;4;0\n")
    assert trace.time.tolist() == [1e-9, 3e-9]
    assert trace.output["V1"].tolist() == [2e-3, 4e-3]
    assert trace.output["T"] == pytest.approx([300.0, 273.15])
    assert trace.units["T"] == "K"
    assert dict(trace.provenance["raw_units"]) == {"time": "ns", "V1": "mV", "T": "degC"}


def test_unknown_units_in_the_units_row(read):
    with pytest.raises(UnitError, match=r"column 't': 'fortnight' is not a known unit.*units=\{'t': 'ms'\}"):
        read("t,V\nfortnight,V\n1,2\n3,4\n")
    with pytest.raises(UnitError, match=r"column 'V1': 'furlong' is not a known unit.*units=\{'V1': 'mV'\}"):
        read("time,V1\ns,furlong\n1,2\n3,4\n")


@pytest.mark.parametrize(
    ("cell", "name", "unit"),
    [
        ("Smu1.V[1][1]", "Smu1.V[1][1]", None),
        ("Ku1.region100 (J/m3)", "Ku1.region100", "J/m3"),
        ("I_A", "I_A", None),
        ("dE/dt", "dE/dt", None),
        ("V/I", "V/I", None),
        ("I/V", "I/V", None),
        ("I/uA", "I", "uA"),
        ("Vout/mV", "Vout", "mV"),
        ("f (x) (V)", "f (x)", "V"),
        ('"Gate (V)"', "Gate", "V"),
    ],
)
def test_names_and_units_in_headers(read, cell, name, unit):
    trace = read(f"t\t{cell}\n0\t1\n1\t2\n")
    assert list(trace.output) == [name]
    assert trace.provenance["raw_units"][name] == unit


@pytest.mark.parametrize("comment", ["#", "%"])
def test_header_in_the_last_comment(read, comment):
    trace = read(f"{comment} measured by hand\n{comment} t (ns)\tV (mV)\n0\t1\n1\t2\n")
    assert trace.time.tolist() == [0, 1e-9]
    assert trace.provenance["metadata"]["comments"][0] == "measured by hand"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends(read, encoding, end):
    trace = read(end.join(["t (µs),T (°C)", "0,20", "1,21", ""]), encoding)
    assert trace.time.tolist() == [0, 1e-6]
    assert trace.units["T"] == "K"


def test_typographic_minus(read):
    assert read("t,V\n0,\u22121.5\n1,2e\u22123\n").output["V"].tolist() == [-1.5, 2e-3]


def test_missing_cells_are_nan(read):
    values = read("t,V\n0,1\n1,\n2,nan\n3,NA\n4,--\n5,6\n").output["V"]
    assert np.isnan(values).tolist() == [False, True, True, True, True, False]


def test_trailing_delimiters_add_no_column(read):
    assert list(read("t,V,\n0,1,\n1,2,\n").output) == ["V"]
    assert list(read("t,V,\n0,1\n1,2\n").output) == ["V"]


def test_quoted_names_can_contain_delimiters(read):
    assert list(read('t,"V, gate (mV)"\n0,1\n1,2\n').output) == ["V, gate"]


def test_columns_with_the_same_name_are_numbered(read):
    assert list(read("t,V,V\n0,1,2\n1,2,3\n").output) == ["V#1", "V#2"]
    with pytest.raises(TraceError, match=r"no column 'V'; its columns are: t, V#1, V#2. Did you mean 'V#"):
        read("t,V,V\n0,1,2\n1,2,3\n", output="V")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("t,V\n0,1\n1,abc\n2,3\n", r"line 3, column 2 \('V'\): 'abc' is not a number"),
        ("t,V\n0,1\n1,1_000\n", r"line 3, column 2 .*'1_000' is not a number"),
        ("t,V\n0,1\n1,2,3\n2,3\n", r"line 3 has 3 cells, expected 2: '1,2,3'"),
        ("# note\n\nt,V\n0,1\n\n1\n2,3\n", r"line 6 has 1 cell, expected 2"),
        ("t,V\n0,1\n1,2\n2", r"line 4 has 1 cell, expected 2.*no line break: the file was cut off"),
        ("t,V\n", r"header \(t, V\) but no rows"),
        ("# only\n# comments\n", "only comments or empty lines"),
        ("0,1\nabc,2\n3,4\n", r"line 2, column 1 \('column 1'\): 'abc'"),
        ("volts,0.5,V\n1,2,3\n", r"line 1 mixes words and numbers \('0.5' in column 2\)"),
        ("t,V\n0," + "x" * 10000 + "\n", r"'x{40}\.\.\.' is not a number"),
        ('t,V\n"0,1\n1,2\n', "line 2 has 1 cell, expected 2"),
        ('t,V\n0,"' + "x" * 200_000 + "\n1,2\n", r"line 2, column 2 .*is not a number"),
        ("t\n0\n1\n", "no column besides the time 't'"),
        ("This is a letter,\nand no table at all.\n", "line 2"),
        ("t,V\n0,1\n0x10,2\n", "'0x10' is not a number"),
        ("t,V\n0,1\n1,2+3j\n", r"'2\+3j' is not a number"),
    ],
)
def test_bad_text_is_refused_with_line_and_column(read, content, message):
    with pytest.raises(TraceError, match=message):
        read(content, time="t" if content.startswith(("t", "#")) else "column 1")


def test_one_row_is_a_trace_of_one_sample(read):
    assert len(read("t,V\n0,1\n")) == 1


@pytest.mark.parametrize(
    ("text", "channels"),
    [
        ('"Record Length",2,"Points",0.0,0.5\n"Sample Interval",1,s,1.0,0.25\n', {"CH1": [0.5, 0.25]}),  # Tektronix TDS3000
        ("XInc:\t1.0\nXOrg:\t0\nYUnits:\tVolt\nDate:\t1 JAN 2020\nData:\n0.5\n0.25\n", {"Data": [0.5, 0.25]}),  # Infiniium
        (",t,V\n0,0.0,0.5\n1,1.0,0.25\n", {"column 1": [0, 1], "V": [0.5, 0.25]}),  # pandas
        ("Time (s),V (V),Time (s),I (A)\n0,0.5,0,2\n1,0.25,1,3\n", {"V": [0.5, 0.25], "I": [2, 3]}),
        ("time\tV(out)\tI(R1)\n0\t0.5\t2\n1\t0.25\t3\n", {"V(out)": [0.5, 0.25], "I(R1)": [2, 3]}),  # SPICE
        ("sep=;\nt (s);U (V)\n0,0;0,5\n1,0;0,25\n2,0;0,5\n", {"U": [0.5, 0.25, 0.5]}),  # Excel in German
        ('"Time","Value"\n"0.0","0.5"\n"1.0","0.25"\n', {"Value": [0.5, 0.25]}),
        ("Title\nsample 12\n\nTime/s   Voltage/V\n0.0  0.5\n1.0  0.25\n2.0  0.5\n", {"Voltage": [0.5, 0.25, 0.5]}),
    ],
)
def test_tables_of_other_programs(tmp_path, text, channels):
    (tmp_path / "a.csv").write_text(text)
    trace = read_trace(tmp_path / "a.csv")
    assert trace.time.tolist() == [0, 1, 2][: len(trace)]
    assert {name: values.tolist() for name, values in trace.output.items()} == channels


@pytest.mark.parametrize("name", ["par1", "PAR1", "AG10", "ag01 (V)", "fea1", "arrow1", "SQLite format 3"])
def test_headers_that_begin_like_signatures_of_other_formats(tmp_path, name):
    (tmp_path / "a.csv").write_text(f"{name},t\n0.5,0\n0.25,1\n")
    assert read_trace(tmp_path / "a.csv").time.tolist() == [0, 1]
    (tmp_path / "b.csv").write_text("Resolution;1e-9\nRecordLength;2\nModel;X1\nt (s);V (V)\n0;1\n1;2\n")
    assert read_trace(tmp_path / "b.csv").output["V"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("text", "options", "error", "message"),
    [
        ("t,time,V\n0,1,2\n1,2,3\n", {}, TraceError, "'t' and 'time' can each be the time; choose one"),
        ("t,V (furlong)\n0,1\n1,2\n", {}, UnitError, r"'furlong' is not a known unit\..*units=\{'V': ''\}"),
        ("t,V\n0,1 mV\n1,2 V\n2,3 V\n", {}, TraceError, "column 'V' mixes the units mV, V; write all its cells in one"),
        ("t,V,Unit\n0,1,mV\n1,2,V\n", {}, TraceError, "column 'V' mixes the units mV, V; cut the file"),
        ("t;V\n0;1,234\n1;2,345\n", {}, TraceError, "can be decimal marks or thousands separators"),
        ("date,V\n01/02/2026 03:04:05,1\n03/02/2026 03:04:05,2\n", {}, TraceError, "can have the day or the month first"),
        ("t,V\n0,1\n1,x\n2,3\n", {}, TraceError, r"line 3, column 2 \('V'\): 'x' is not a number"),
        ("Model,X1\nDate,today\nFirmware,2\nt,V\n0,1\n1,2\n2\n", {}, TraceError, "line 7 has 1 cell, expected 2"),
    ],
)
def test_ambiguous_text_is_refused(tmp_path, text, options, error, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(error, match=message):
        read_trace(tmp_path / "a.csv", **options)


def test_units_in_cells_dates_and_words(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("t,V,note\n0,1 mV,good\n1,2 mV,bad\n")
    trace = read_trace(path)
    assert (trace.output["V"].tolist(), trace.unit("V")) == ([1e-3, 2e-3], "V")
    assert trace.provenance["metadata"]["text"] == {"note": ["good", "bad"]}
    path.write_text("clock,V\n23:59:59.5,1\n00:00:00.5,2\n")
    assert read_trace(path, time="clock").time.tolist() == [0, 1]
    path.write_text("when,V\n13/02/2026 00:00:00,1\n14/02/2026 00:00:00,2\n")
    assert read_trace(path, time="when").time.tolist() == [0, 86400]


def test_file_without_header_reports_which_column_is_taken_as_the_time(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("0,5\n1,4\n2,6\n")
    with pytest.warns(TraceWarning, match=r"'column 1', which grows from row to row.*time='sample'"):
        assert read_trace(path).time.tolist() == [0, 1, 2]
    assert list(read_trace(path, time="sample").output) == ["column 1", "column 2"]
    path.write_text("0,5\n1,6\n2,7\n")  # either may be the time
    with pytest.warns(TraceWarning, match="no time column"):
        assert list(read_trace(path).output) == ["column 1", "column 2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("t (s),I (A),V (V)\n0,1.5u,1\n1,2.5u,2\n", r"the column 'I' contains '1\.5u', which is not a number"),
        ("t,R,V\n0,1.5u,1\n1,2.5u,2\n", r"the column 'R' contains '1\.5u', which is not a number"),
        ("t1 (s),V1 (V),t2 (s),V2 (V)\n0,1,0,5\n1,2,1.5,6\n", "'t1' and 't2' can each be the time, and they differ"),
    ],
)
def test_unreadable_channels_and_second_time_columns_are_refused(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(TraceError, match=message):
        read_trace(tmp_path / "a.csv")


def test_marks_for_missing_values_are_nan(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("t (s),I (A)\n0,1e-6\n1,9.91e37\n2,2e-6\n")
    with pytest.warns(TraceWarning, match=r"1 samples of 'I' are 9\.91e\+37, by which instruments mark an overrange"):
        assert np.isnan(read_trace(path).output["I"]).tolist() == [False, True, False]
    path.write_text("t (s),I (A)\n0,1e-6\n1,OVLD\n2,-\u221e\n,\n", encoding="utf-8")
    assert read_trace(path).output["I"].tolist() == pytest.approx([1e-6, math.nan, -math.inf], nan_ok=True)


finite = st.floats(allow_nan=False, width=64)
rows_of_numbers = st.integers(2, 5).flatmap(
    lambda width: st.lists(st.lists(finite, min_size=width, max_size=width), min_size=1, max_size=6)
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    rows=rows_of_numbers,
    delimiter=st.sampled_from([",", ";", "\t", " ", "  ,"]),
    header=st.booleans(),
    decimal_comma=st.booleans(),
)
def test_delimited_numbers_are_read_back_exactly(tmp_path, rows, delimiter, header, decimal_comma):
    # Instruments mark missing values by these numbers; see test_marks_for_missing_values_are_nan.
    assume(not any(abs(x) in (9.9e37, 9.91e37, 1.99999e101, 1.99999e102) for row in rows for x in row))
    decimal_comma = (
        decimal_comma and "," not in delimiter and len(rows) > 0 and any("." in repr(x) for row in rows for x in row)
    )
    lines = [[repr(x).replace(".", ",") if decimal_comma else repr(x) for x in row] for row in rows]
    if header:
        lines.insert(0, ["t", *(f"c{index}" for index in range(1, len(rows[0])))])
    path = tmp_path / "numbers.dat"
    path.write_text(table(lines, delimiter))
    try:
        trace = read_trace(path, time="t" if header else "column 1")
    except TraceError as error:
        # Three digits after every comma can be read in two ways.
        assert decimal_comma
        assert "can be" in str(error)  # noqa: PT017
        return
    got = np.column_stack([trace.time, *trace.output.values()])
    assert got.tolist() == rows


def test_pairs_without_header_have_one_time(read):
    """ngspice's `wrdata` writes the times before each vector."""
    rows = [[time, a, time, b] for time, a, b in ROWS]
    with pytest.warns(TraceWarning, match="taken as the time in seconds"):
        trace = read(table(rows, " "))
    assert trace.time.tolist() == [0.0, 1e-9, 2e-9]
    assert list(trace.output) == ["column 2", "column 4"]
    with pytest.raises(TraceError, match="'column 3' was left out: it repeats 'column 1'"):
        read(table(rows, " "), drive="column 3", time="column 1")


def test_ids_above_the_labels_are_names_too(read):
    """QCoDeS writes the ids of its parameters above their labels."""
    text = '# time\tdac_1\tdmm_2\n# "time (s)"\t"Gate (mV)"\t"Output (nA)"\n# 3\n' + table(ROWS, "\t")
    trace = read(text, drive="dac_1", output="dmm_2", units={"dac_1": "V"})
    assert trace.drive["Gate"].tolist() == [1.5, 2.5, -1.0]
    assert trace.output["Output"] == pytest.approx([-2e-9, 3e-12, 4e-9])
