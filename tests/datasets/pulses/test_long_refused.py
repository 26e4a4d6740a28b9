"""Tables in the long form that are refused, or read with a warning."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from spinode.datasets import read_trace
from spinode.errors import SpinodeError, TraceError, TraceWarning, UnitError

LONG = Path(__file__).with_name("long_table.csv").read_text()


def rows(*lines, header="device,cycle,pulse,direction,G (uS)"):
    return "\n".join([header, *lines]) + "\n"


def assert_equal(trace, **expected):
    for name, values in expected.items():
        got = trace.time if name == "time" else trace.channels[name]
        np.testing.assert_array_equal(got, values, err_msg=name)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ("1,0,1,SET,1", "1,0,2,STE,2"),
            r"line 3: pulses of unknown polarity: column 'direction' contains 'STE'; accepted are: SET, up",
        ),
        (("1,0,1,,1", "1,0,2,SET,2"), r"line 2: pulses of unknown polarity: column 'direction' contains ''"),
        (("1,0,1,SET,1", "1,0,2,unknown,2"), r"line 3: pulses of unknown polarity: 'unknown' is allowed in the first read"),
        (("1,0,1,SET,1", "1,0,2,SET,inf"), r"line 3: the conductance in column 'G' is inf"),
        (
            ("1,0,1,SET,1", "1,0,2,SET,2 mS"),
            r"line 3, column 5 \('G'\): '2 mS' is not a number\. Write plain numbers of one unit",
        ),
        (("1,0,1,SET,1", "1,0,2,SET,1_0"), r"line 3, column 5 \('G'\): '1_0' is not a number"),
        (("1,0,2,SET,1", "1,0,2,SET,2"), r"line 3: the pulse index in column 'pulse' repeats 2 within device and cycle"),
        (("1,0,2,SET,1", "1,0,3,SET,1", "1,0,2,SET,2"), r"line 4: the pulse index in column 'pulse' jumps back to 2"),
        (("1,0,3,SET,1", "1,0,4,SET,1", "1,0,2,RESET,2"), r"line 4: the pulse index in column 'pulse' jumps back to 2"),
        (("1,0,1,SET,1", "1,0,2.5,SET,2"), r"line 3: the pulse index in column 'pulse' is not a whole number"),
        (("1,0,1,SET,1", "1,0,,SET,2"), r"line 3: the pulse index in column 'pulse' is not a whole number"),
        (("1,0,1,SET,1", "1,0,4,none,2"), r"line 3: pulses of unknown polarity: the index in column 'pulse' skips 2 pulses"),
        (("1,0,1,SET,1", ",0,2,SET,2"), r"line 3: column 'device' does not name the device \(''\)"),
        (("1,0,1,SET,1", "1,nan,2,SET,2"), r"line 3: column 'cycle' does not name the cycle \('nan'\)"),
        (("1,0,1,SET,1", "1,0,2,SET"), r"line 3 has 4 cells, expected 5.*Correct or remove that line"),
        (("1,0,1,SET,1", "1,0,2,SET,1,7"), r"line 3 has 6 cells, expected 5"),
        (("1,0,1,SET,1", '1,0,2,"SET,1', '1,0,3,SET,2"'), r"quotation mark opens a cell that does not end on its line"),
        (("1,0,1,SET,1", "1,1,1,SET,1"), r"each of the 2 recordings contains a single read"),
        ((), r"has a header \(device, cycle, pulse, direction, G\) but no rows"),
    ],
)
def test_bad_row_is_refused_with_its_line(read, lines, message):
    with pytest.raises(TraceError, match=r"^pulses\.csv: .*" + message):
        read(rows(*lines))


def test_line_numbers_count_comments_and_empty_lines(read):
    with pytest.raises(TraceError, match=r"line 7: pulses of unknown polarity"):
        read("# a comment\n\n" + rows("2,0,1,SET,1", "", "1,0,1,SET,1", "2,0,2,?,1"))


def test_cut_off_last_line_is_refused(read):
    with pytest.raises(TraceError, match=r"line 3 has 2 cells.*the file was cut off"):
        read(rows("1,0,1,SET,1", "1,0").rstrip())
    with pytest.raises(TraceError, match=r"line 3 has 1 cell, expected 5"):
        read(rows("1,0,1,SET,1", "1").rstrip())


@pytest.mark.parametrize("pulses", ["long", "up-down"])
def test_last_line_without_a_line_break_is_reported(read, pulses):
    text = rows("1,0,1,SET,1.25", "1,0,2,SET,0.50") if pulses == "long" else "up,down\n1,3\n2,2.5\n"
    with pytest.warns(TraceWarning, match=r"line 3 is the last one and has no line break: its last number may be cut"):
        traces = read(text.rstrip("\n"), pulses)
    assert len(traces[0]) == 2
    assert read(text, pulses).fingerprint() == traces.fingerprint()
    read(text + "# end", pulses)  # a comment ends it


def test_empty_direction_before_the_first_pulse(read):
    assert_equal(read(rows("1,0,0,,1", "1,0,1,SET,2", "1,0,2,SET,3"))[0], time=[0, 1, 2], SET=[1, 1, 0])
    with pytest.raises(TraceError, match=r"line 3: pulses of unknown polarity: column 'direction' contains ''"):
        read(rows("1,0,0,,1", "1,0,1,,2", "1,0,2,SET,3"))


def test_single_row_is_refused(read):
    with pytest.raises(TraceError, match=r"the file contains one read only"):
        read(rows("1,0,1,SET,1"))


def test_suggested_column_of_reads_has_no_other_role(read):
    with pytest.raises(TraceError, match=r"the columns are: pulse, direction\..*columns=\{'conductance': \.\.\.\}"):
        read("pulse,direction\n1,SET\n2,SET\n", "auto")
    with pytest.raises(TraceError, match=r"columns=\{'conductance': 'w'\}"):
        read("pulse,w,direction\n1,1,SET\n2,1,SET\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "G (uS),V (V)\n1,1\n2,0\n",
            r"line 3: pulses of unknown polarity: the voltage in column 'V' is 0, and only its sign",
        ),
        ("G (uS),V (V)\n1,1\n2,\n", r"line 3: pulses of unknown polarity: the voltage in column 'V' is nan"),
        ("G (uS),V (V)\n1,1\n2,2\n", r"all voltages in column 'V' are positive, as amplitudes are; pass.*polarity='SET'"),
        ("pulse,G (uS)\n1,1\n2,2\n", r"pulses of unknown polarity: there is no column of directions and no signed voltage"),
        ("pulse,G (uS),t\n1,1,0\n2,2,1\n", r"pulses of unknown polarity.*leave the pulses out: columns=\{'pulse': ''\}"),
        ("direction,R (Ohm)\nSET,5\nSET,0\n", r"line 3: the resistance in column 'R' is 0, which gives no finite conductance"),
        ("direction,I (A),v_read\nSET,5,1\nSET,5,0\n", r"line 3: the read voltage in column 'v_read' is 0 V"),
        (
            "direction,G (uS),V (V)\nSET,5,1\nSET,5,0\n",
            r"line 3: the pulse has the voltage 0 in column 'V'; expected a number above",
        ),
        ("direction,G (uS),width (ns)\nSET,5,1\nSET,5,-1\n", r"line 3: the pulse has the width -1e-09 in column 'width'"),
        ("direction,G (uS),t (s)\nSET,5,1\nSET,5,1\n", r"line 3: device and cycle have another read at the same time, 1 s"),
        ("direction,G (uS),t (s)\nSET,5,1\nSET,5,\n", r"line 3: the time in column 't' is nan; remove the row"),
        (
            "direction,G (uS),conductance_s\nSET,5,1\n",
            r"the columns 'G' and 'conductance_s' can each be the conductance; choose one",
        ),
        ('direction,G (S)\nSET,"5;\nSET,5\n', r"below line 2 a quotation mark opens a cell"),
        ("direction,weight\nSET,5\nSET,5\n", r"no column of conductances is recognised; the columns are: direction, weight"),
    ],
)
def test_contradictory_file_is_refused(read, text, message):
    with pytest.raises(TraceError, match=message):
        read(text)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (
            "direction,G (mV)\nSET,5\nSET,5\n",
            {},
            r"column 'G' is the conductance and in 'mV'; expected a unit of the kind of S",
        ),
        ("direction,G (foo)\nSET,5\nSET,5\n", {}, r"column 'G': 'foo' is not a known unit.*units=\{'G': 'S'\}"),
        (
            "direction,G (S),V ()\nSET,5,1\nSET,5,1\n",
            {},
            r"column 'V' is the voltage and in ''; expected a unit of the kind of V",
        ),
        ("direction,G (S),t (V)\nSET,5,1\nSET,5,2\n", {}, r"column 't' is the time and in 'V'"),
        ("direction,G\nSET,5\nSET,5\n", {"units": {"G": "A"}}, r"column 'G' is the conductance and in 'A'"),
        ("# parameter T (foo) = 1\ndirection,G\nSET,5\nSET,5\n", {}, r"parameter 'T': 'foo' is not a known unit"),
    ],
)
def test_units_of_another_kind_are_refused(read, text, options, message):
    with pytest.raises(UnitError, match=message):
        read(text, **options)


def test_recordings_with_a_single_read_are_left_out_with_a_warning(read):
    with pytest.warns(
        TraceWarning, match=r"1 of 2 recordings contains a single read \(such as device 2, cycle 0\) and is left out"
    ):
        traces = read(rows("1,0,1,SET,1", "1,0,2,SET,1", "2,0,1,SET,1"))
    assert [t.parameters["device"] for t in traces] == [1]


def test_negative_conductances_are_kept_with_a_warning(read):
    with pytest.warns(
        TraceWarning, match=r"1 of 2 conductances in column 'G' are not above zero \(the first in line 3: -1e-06 S\)"
    ):
        assert_equal(read(rows("1,0,1,SET,1", "1,0,2,SET,-1"))[0], conductance=[1e-6, -1e-6])


def test_warning_points_to_the_line_of_the_caller(write):
    with pytest.warns(TraceWarning) as caught:
        read_trace(write(rows("1,0,1,SET,1", "1,0,2,SET,-1")), pulses="long")
    assert [warning.filename for warning in caught] == [__file__]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.integers(0, len(LONG)), st.integers(0, 30), st.text('0123456789,;-+eE.\n\t "#%ASETRnax(u)\x00\u00b5', max_size=12))
@pytest.mark.filterwarnings("ignore::spinode.errors.TraceWarning")
def test_damaged_file_is_read_or_refused_with_a_reason(tmp_path, at, cut, put):
    path = tmp_path / "damaged.csv"
    path.write_text(LONG[:at] + put + LONG[at + cut :])
    try:
        traces = read_trace(path, pulses="auto")
    except SpinodeError as error:
        reason, traces = str(error), []
    else:
        reason = path.name
    assert path.name in reason
    for trace in traces:
        assert all(np.isfinite(values).all() for values in (trace.time, *trace.channels.values()))
        assert trace.drive["SET"][-1] == trace.drive["RESET"][-1] == 0
        assert not (trace.drive["SET"] * trace.drive["RESET"]).any()
