import contextlib
import json
import time as clock
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings, strategies as st

from spinode import Trace
from spinode.datasets import read_trace, write_csv
from spinode.datasets.readers import all_readers
from spinode.errors import SpinodeError, TraceError, TraceWarning, UnitError

MUMAX = """# t (s)\tmx ()\tmz ()\tKu1.region100 (J/m3)
0\t1e-9\t0.5\t800000
1e-12\t2e-9\t0.6\t810000
2e-12\t3e-9\t0.7\t820000
"""


@pytest.fixture
def write(tmp_path):
    """Write a file and give its path."""

    def make(content, name="file.dat", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return path

    return make


@pytest.fixture
def read(write):
    """Write a file and read it."""
    return lambda content, encoding="utf-8", **options: read_trace(write(content, encoding=encoding), **options)


# --- MuMax3 -----------------------------------------------------------------------------------------------------------


def test_mumax_table(read):
    trace = read(MUMAX, drive="Ku1.region100", output=["mz"])
    assert trace.time.tolist() == [0, 1e-12, 2e-12]
    assert trace.drive["Ku1.region100"].tolist() == [8e5, 8.1e5, 8.2e5]
    assert list(trace.output) == ["mz"]
    assert dict(trace.units) == {"time": "s", "Ku1.region100": "J/m3", "mz": ""}
    assert trace.provenance["reader"] == "mumax"


@pytest.mark.filterwarnings("ignore:.*the times run back")
def test_mumax_header_written_again_by_a_restarted_run(read):
    first, *rows = MUMAX.splitlines(keepends=True)
    assert len(read(MUMAX + first + rows[0])) == 4


def test_mumax_second_table_with_other_columns(read):
    with pytest.raises(TraceError, match=r"line 5 starts a second table with other columns .*one table per run"):
        read(MUMAX + "# t (s)\tmy ()\n0\t1\n")


def test_mumax_truncated_last_line(read):
    with pytest.raises(TraceError, match=r"line 4 has 2 cells, expected 4: .* the file was cut off; remove that line"):
        read(MUMAX[:-11].rstrip("\t0.7"))


# --- delimited text ---------------------------------------------------------------------------------------------------

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
def test_commas_that_can_be_either_mark_are_refused(read, body):
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


def test_units_row_that_is_unknown(read):
    with pytest.raises(UnitError, match=r"column 't': 'fortnight' is no unit.*units=\{'t': 'ms'\}"):
        read("t,V\nfortnight,V\n1,2\n3,4\n")
    with pytest.raises(UnitError, match=r"column 'V1': 'furlong' is no unit.*units=\{'V1': 'mV'\}"):
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


def test_missing_cells_stay_missing(read):
    values = read("t,V\n0,1\n1,\n2,nan\n3,NA\n4,--\n5,6\n").output["V"]
    assert np.isnan(values).tolist() == [False, True, True, True, True, False]


def test_trailing_delimiters_make_no_column(read):
    assert list(read("t,V,\n0,1,\n1,2,\n").output) == ["V"]
    assert list(read("t,V,\n0,1\n1,2\n").output) == ["V"]


def test_quoted_names_hold_delimiters(read):
    assert list(read('t,"V, gate (mV)"\n0,1\n1,2\n').output) == ["V, gate"]


def test_columns_of_one_name_are_told_apart(read):
    assert list(read("t,V,V\n0,1,2\n1,2,3\n").output) == ["V#1", "V#2"]
    with pytest.raises(TraceError, match=r"no column 'V'; its columns are: t, V#1, V#2. Did you mean 'V#"):
        read("t,V,V\n0,1,2\n1,2,3\n", output="V")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("t,V\n0,1\n1,abc\n2,3\n", r"line 3, column 2 \('V'\): 'abc' is not a number"),
        ("t,V\n0,1\n1,1_000\n", r"line 3, column 2 .*'1_000' is not a number"),
        ("t,V\n0,1\n1,2,3\n2,3\n", r"line 3 has 3 cells, expected 2: '1,2,3'"),
        ("# note\n\nt,V\n0,1\n\n1\n2,3\n", r"line 6 has 1 cells, expected 2"),
        ("t,V\n0,1\n1,2\n2", r"line 4 has 1 cells, expected 2.*no end: the file was cut off"),
        ("t,V\n", r"header \(t, V\) but no rows"),
        ("# only\n# comments\n", "only comments or empty lines"),
        ("0,1\nabc,2\n3,4\n", r"line 2, column 1 \('column 1'\): 'abc'"),
        ("volts,0.5,V\n1,2,3\n", r"line 1 mixes words and numbers \('0.5' in column 2\)"),
        ("t,V\n0," + "x" * 10000 + "\n", r"'x{40}\.\.\.' is not a number"),
        ('t,V\n"0,1\n1,2\n', "line 2 has 1 cells, expected 2"),
        ('t,V\n0,"' + "x" * 200_000 + "\n1,2\n", r"line 2, column 2 .*is not a number"),
        ("t\n0\n1\n", "no column beside the time 't'"),
        ("This is a letter,\nand no table at all.\n", "line 2"),
        ("t,V\n0,1\n0x10,2\n", "'0x10' is not a number"),
        ("t,V\n0,1\n1,2+3j\n", r"'2\+3j' is not a number"),
    ],
)
def test_bad_text_is_refused_with_its_place(read, content, message):
    with pytest.raises(TraceError, match=message):
        read(content, time="t" if content.startswith(("t", "#")) else "column 1")


def test_one_row_is_a_trace_of_one_sample(read):
    assert len(read("t,V\n0,1\n")) == 1


@pytest.mark.filterwarnings("ignore:.*the times run back")
def test_a_long_table_is_read_fast(write):
    values = np.random.default_rng(0).normal(size=(30_000, 6))
    path = write("# t (s)\ta ()\tb ()\tc ()\td ()\te ()\n" + "\n".join("\t".join(map(repr, row)) for row in values.tolist()))
    begin = clock.perf_counter()
    trace = read_trace(path)
    # 0.06 s on a free machine; the bound leaves room for a busy one.
    assert clock.perf_counter() - begin < 1.0
    assert trace.output["e"].tolist() == values[:, 5].tolist()


# --- time, roles and units --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header", ["t", "Time", "TIME (s)", "time [s]", "Timestamp", "Smu1.Time[1][1]", "Simulation time (s)", "X (s)"]
)
def test_the_time_is_recognised(read, header):
    assert list(read(f"{header},V\n0,1\n1,2\n").output) == ["V"]


def test_an_exact_name_goes_before_a_word(read):
    assert list(read("Rise time (s),t (s)\n0,1\n1,2\n").output) == ["Rise time"]


def test_two_times(read):
    with pytest.raises(TraceError, match=r"'t' and 'time' can each be the time; say which: time='t'"):
        read("t,time,V\n0,1,2\n1,2,3\n")
    assert list(read("t,time,V\n0,1,2\n1,2,3\n", time="time").output) == ["t", "V"]


def test_a_sweep_without_times_runs_over_its_samples_and_says_so(read):
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


def test_a_thickness_is_no_time(read):
    with pytest.warns(TraceWarning, match="no time column"):
        read("t (nm),V\n0,1\n1,2\n")
    with pytest.raises(UnitError, match=r"'t' is in 'nm', which is no unit of time.*units=\{'t': 's'\}"):
        read("t (nm),V\n0,1\n1,2\n", time="t")


def test_units_are_overridden(read):
    trace = read("t,V (furlong)\n0,1\n1,2\n", units={"V": "mV", "time": "us"})
    assert (trace.time[1], trace.output["V"][1]) == (1e-6, 2e-3)
    with pytest.raises(TraceError, match=r"no column 'I'; its columns are: t, V"):
        read("t,V\n0,1\n1,2\n", units={"I": "A"})


def test_unknown_units_matter_only_where_they_are_used(read):
    assert list(read("t,V (V),x (foo)\n0,1,2\n1,2,3\n", output="V").output) == ["V"]
    with pytest.raises(UnitError, match=r"column 'x': 'foo' is no unit .*units=\{'x': ''\}"):
        read("t,V (V),x (foo)\n0,1,2\n1,2,3\n")


def test_a_column_without_unit_is_remembered_as_such(read):
    trace = read("t (s),V\n0,1\n1,2\n")
    assert trace.units["V"] == ""
    assert trace.provenance["raw_units"]["V"] is None


def test_roles_and_nearest_name(read):
    trace = read(MUMAX, drive=["Ku1.region100"])
    assert (list(trace.drive), list(trace.output)) == (["Ku1.region100"], [])
    with pytest.raises(TraceError, match=r"no column 'MZ'; its columns are: t, mx, mz, Ku1.region100. Did you mean 'mz'"):
        read(MUMAX, output="MZ")


def test_stretch_and_parameters(read):
    trace = read(MUMAX, output="mz", start=0.9e-12, stop=2e-12, parameters={"thickness": 1e-9})
    assert trace.time.tolist() == [1e-12, 2e-12]
    assert dict(trace.parameters) == {"thickness": 1e-9}


def test_provenance(write):
    path = write(MUMAX, "table.txt")
    provenance = read_trace(path).provenance
    assert (provenance["file"], provenance["rows"], provenance["time"]) == ("table.txt", 3, "t")
    assert len(provenance["sha256"]) == 64


# --- files that cannot be read ----------------------------------------------------------------------------------------


def test_paths_that_lead_nowhere(tmp_path):
    with pytest.raises(TraceError, match="there is no file"):
        read_trace(tmp_path / "absent.txt")
    with pytest.raises(TraceError, match="holds no file"):
        read_trace(tmp_path)
    with pytest.raises(TraceError, match="cannot be opened"):
        read_trace(tmp_path / ("x" * 5000))
    with pytest.raises(TraceError, match="cannot be opened"):
        read_trace("nul\0byte")


@pytest.mark.parametrize("content", [b"", b"\n\n  \n"])
def test_empty_files(read, content):
    with pytest.raises(TraceError, match="is empty"):
        read(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (bytes(range(256)) * 4, "in no format that is known here"),
        (b"\x89HDF\r\n\x1a\n" + bytes(40), "HDF5 file is damaged"),
        (b"\x1f\x8b\x08" + bytes(40), "gzip archive.*Unpack it"),
        (b"\x93NUMPY\x01\x00" + bytes(40), r"numpy\.savez"),
        (b"PK\x03\x04" + b"xl/workbook.xml" + bytes(40), "Excel workbook is damaged"),
        (b"PK\x03\x04" + b"photo.jpg" + bytes(40), "ZIP archive.*Unpack it"),
        (b"\x80\x04\x95" + bytes(40), "Python pickle, which could run code"),
        (b"# ODT 1.0\n# Table Start\n1 2\n", "no line of names"),
        (b"# OOMMF OVF 2.0\n1\n2\n", "no line '# Begin: Data"),
        (b"t,V\n0,1\n" + b"1,2\n" * 2000 + b"\x00\x01\x02", "holds control characters"),
    ],
)
def test_other_formats_are_refused_by_name(read, content, message):
    with pytest.raises(TraceError, match=message):
        read(content)


def test_the_format_can_be_forced(read):
    assert read(MUMAX, format="delimited").provenance["reader"] == "delimited"
    with pytest.raises(TraceError, match=r"no reader 'csv'; the readers are: npz, .*mumax, .*delimited"):
        read(MUMAX, format="csv")
    with pytest.raises(TraceError, match=r"damaged"):
        read(MUMAX, format="npz")


def test_delimited_text_is_asked_last():
    assert all_readers()[-1].name == "delimited"


# --- npz --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def npz(tmp_path):
    """Save members and read them."""

    def make(options=None, **members):
        np.savez(tmp_path / "file.npz", **members)
        return read_trace(tmp_path / "file.npz", **(options or {}))

    return make


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
        (np.array(["a", "b", "c"]), "no column beside the time"),
        (np.array([1, 2, 3], dtype="M8[s]"), "'V' is of type datetime64"),
        (np.zeros((3, 2, 4)), r"the largest array, 'V', has shape \(3, 2, 4\).*part='/'"),
        (np.zeros((3, 2000)), r"'V' has shape \(3, 2000\); that are more columns"),
        (np.arange(4), r"2 recordings: '/ \(3 rows\)' \(3 rows of t\); '/ \(4 rows\)'.*part='/ \(3 rows\)'"),
    ],
)
def test_npz_members_that_are_no_channels(npz, member, message):
    with pytest.raises(TraceError, match=message):
        npz(t=np.arange(3), V=member)


@pytest.mark.parametrize("units", ["ns", "[1]", '{"t": 1}', "[" * 100_000])
def test_npz_bad_units(npz, units):
    with pytest.raises(TraceError, match="'units' must hold one JSON object"):
        npz(t=np.arange(3), units=units)


def test_npz_columns_of_several_and_complex_numbers(npz):
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


def test_pickled_members_run_nothing(npz, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "exploded"), "w"))

    with pytest.raises(TraceError, match="pickled"):
        npz(t=np.arange(2), V=np.array([Bomb(), 1], dtype=object))
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("compressed", [False, True])
def test_damaged_npz(tmp_path, compressed):
    """Cut and flipped archives are read rightly or refused; they raise nothing else."""
    path = tmp_path / "file.npz"
    (np.savez_compressed if compressed else np.savez)(path, t=np.arange(50.0), V=np.arange(50.0))
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for trial in range(200):
        data = bytearray(whole[: int(rng.integers(1, len(whole)))] if trial % 2 else whole)
        for position in rng.integers(0, len(data), 3):
            data[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        with contextlib.suppress(SpinodeError), warnings.catch_warnings():
            warnings.simplefilter("ignore", TraceWarning)
            read_trace(path)


# --- round trips and attacks ------------------------------------------------------------------------------------------

finite = st.floats(allow_nan=False, width=64)
names = st.text("abcdefgVI_ ,;()[]/\"'%#µ.1", min_size=1, max_size=12).map(str.strip).filter(bool)
columns = st.integers(1, 4).flatmap(
    lambda n: st.lists(st.lists(finite, min_size=n + 1, max_size=n + 1), min_size=1, max_size=6)
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(rows=columns, delimiter=st.sampled_from([",", ";", "\t", " ", "  ,"]), header=st.booleans(), comma=st.booleans())
def test_delimited_numbers_read_back_exactly(tmp_path, rows, delimiter, header, comma):
    # By these instruments say that there is no value; see test_marks_of_instruments_are_no_values.
    assume(not any(abs(x) in (9.9e37, 9.91e37, 1.99999e101, 1.99999e102) for row in rows for x in row))
    comma = comma and "," not in delimiter and len(rows) > 0 and any("." in repr(x) for row in rows for x in row)
    lines = [[repr(x).replace(".", ",") if comma else repr(x) for x in row] for row in rows]
    if header:
        lines.insert(0, ["t", *(f"c{index}" for index in range(1, len(rows[0])))])
    path = tmp_path / "numbers.dat"
    path.write_text(table(lines, delimiter))
    try:
        trace = read_trace(path, time="t" if header else "column 1")
    except TraceError as error:
        # Digits in threes behind a comma and nothing else: two readings, so none.
        assert comma
        assert "can be" in str(error)  # noqa: PT017
        return
    got = np.column_stack([trace.time, *trace.output.values()])
    assert got.tolist() == rows


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    data=st.dictionaries(names, st.lists(st.floats(), min_size=3, max_size=3), min_size=2, max_size=4),
    units=st.sampled_from(["V", "", "J/m3", "A/m"]),
    constant=finite,
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
    again = read_trace(path, time="time", drive=drives, output=[output])
    assert again.time.tobytes() == trace.time.tobytes()
    for name in names:
        np.testing.assert_array_equal(again.channels[name], trace.channels[name])
        assert again.units[name] == units
    assert again.parameters["temperature"] == constant
    assert again.units["temperature"] == "K"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(st.one_of(st.binary(max_size=200), st.text(" \t,;.-+e\"'#%()[]0123456789tVsn\n\r", max_size=120).map(str.encode)))
def test_any_bytes_are_read_or_refused(tmp_path, data):
    path = tmp_path / "any.dat"
    path.write_bytes(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TraceWarning)
            trace = read_trace(path)
    except SpinodeError as error:
        assert str(error)  # noqa: PT017
    else:
        assert all(len(values) == len(trace) for values in trace.channels.values())


# --- writing ----------------------------------------------------------------------------------------------------------


def test_write_to_places_that_do_not_exist(tmp_path):
    trace = Trace([0.0, 1.0], {}, {"V": [1.0, 2.0]})
    with pytest.raises(TraceError, match="cannot write"):
        write_csv(tmp_path / "absent" / "out.csv", trace)
    (tmp_path / "folder").mkdir()
    with pytest.raises(TraceError, match="cannot write"):
        write_csv(tmp_path / "folder", trace)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder"]


def test_writing_is_all_or_nothing(tmp_path, monkeypatch):
    path = tmp_path / "out.csv"
    path.write_text("before")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(TraceError, match="No space left"):
        write_csv(path, Trace([0.0, 1.0], {}, {"V": [1.0, 2.0]}))
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_channel_called_time_cannot_be_written(tmp_path):
    with pytest.raises(TraceError, match="a channel is called 'time'"):
        write_csv(tmp_path / "out.csv", Trace([0.0, 1.0], {}, {"time": [1.0, 2.0]}))


# --- real files -------------------------------------------------------------------------------------------------------


def test_the_skyrmion_table(shared):
    trace = read_trace(
        shared / "data" / "spin_neural_ode" / "1skyrmion_voltage_table.txt",
        drive="Ku1.region100",
        output="mz",
        start=8.5e-9,
    )
    assert trace.units["Ku1.region100"] == "J/m3"
    assert trace.time[0] == pytest.approx(8.5e-9, abs=2.5e-12)
    assert 0.3 < trace.output["mz"].min() < trace.output["mz"].max() < 1.0
