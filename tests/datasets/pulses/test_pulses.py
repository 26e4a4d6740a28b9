import gzip
import json
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from spinode import Trace, TraceSet
from spinode.datasets import PulseLayout, read_trace, write_pulses
from spinode.errors import ConfigError, SpinodeError, TraceError, TraceWarning, UnitError

LONG = """device_id,cycle,pulse_index,direction,conductance_s,pulse_voltage_v,pulse_width_s,note
A7,0,1,SET,1e-6,1.2,1e-7,first
A7,0,2,SET,2e-6,1.2,1e-7,
A7,0,3,SET,3e-6,1.3,1e-7,
A7,0,4,RESET,2.5e-6,-1.1,2e-7,
B1,0,1,potentiation,4e-6,1.2,1e-7,
B1,0,2,depression,3e-6,-1.2,1e-7,
A7,1,1,up,5e-6,1.2,1e-7,
A7,1,2,down,4e-6,-1.2,1e-7,
"""


@pytest.fixture
def write(tmp_path):
    """Write a file and give its path."""

    def make(content, name="pulses.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make


@pytest.fixture
def read(write):
    """Write a file and read it as pulses."""
    return lambda content, pulses="long", **options: read_trace(write(content), pulses=pulses, **options)


def rows(*lines, header="device,cycle,pulse,direction,G (uS)"):
    return "\n".join([header, *lines]) + "\n"


def equal(trace, **expected):
    for name, values in expected.items():
        got = trace.time if name == "time" else trace.channels[name]
        np.testing.assert_array_equal(got, values, err_msg=name)


# --- the long form ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pulses", ["auto", "long", PulseLayout(), PulseLayout("long")])
def test_a_long_file_is_one_trace_for_each_device_and_cycle(read, pulses):
    traces = read(LONG, pulses)
    assert isinstance(traces, TraceSet)
    assert [(t.parameters["device"], t.parameters["cycle"]) for t in traces] == [(0, 0), (0, 1), (1, 0)]
    assert [t.provenance["device"] for t in traces] == ["A7", "A7", "B1"]
    equal(
        traces[0],
        time=[1, 2, 3, 4],
        conductance=[1e-6, 2e-6, 3e-6, 2.5e-6],
        # The pulse of row k + 1 stands in sample k; the first row's is no part of the dynamics.
        SET=[1, 1, 0, 0],
        RESET=[0, 0, 1, 0],
        voltage=[1.2, 1.3, 1.1, 1.1],
        width=[1e-7, 1e-7, 2e-7, 2e-7],
    )
    assert dict(traces[0].units) == {
        **{"time": "", "conductance": "S", "SET": "", "RESET": "", "voltage": "V", "width": "s", "device": "", "cycle": ""}
    }
    assert set(traces[0].interpolation.items()) == {(name, "held") for name in ("SET", "RESET", "voltage", "width")}
    assert list(traces[0].drive) == ["SET", "RESET", "voltage", "width"]


def test_provenance_says_where_a_trace_comes_from(read):
    said = dict(read(LONG)[0].provenance)
    assert (said["file"], said["reader"], said["layout"], said["rows"], said["time"]) == (
        "pulses.csv",
        "delimited",
        "long",
        8,
        None,
    )
    assert said["columns"]["voltage"] == "pulse_voltage_v"
    assert said["raw_units"]["pulse_width_s"] == "s"
    assert said["raw_units"]["note"] is None
    assert said["assumed"] == []
    assert json.loads(json.dumps(said)) == said


@pytest.mark.parametrize(
    "header",
    [
        "device,cycle,pulse,direction,G (uS)",
        "Cell;Ramp;Pulse number;Polarity;Conductance [uS]",
        "addr\trun\tn\ttype\tconductance_us",
        "addr run n type g/uS",
        "# addr,run,n,type,g (uS)",
        "addr,run,n,type,g\n,,,,uS",
    ],
)
def test_names_and_delimiters_of_every_laboratory(read, header):
    delimiter = next((mark for mark in ("\t", ";", ",") if mark in header), " ")
    lines = [delimiter.join(cells) for cells in (("7", "3", "1", "p", "1.5"), ("7", "3", "2", "d", "1.25"))]
    trace = read(rows(*lines, header=header), "auto" if "#" not in header else "long")[0]
    equal(trace, conductance=[1.5e-6, 1.25e-6], SET=[0, 0], RESET=[1, 0])
    assert dict(trace.parameters) == {"device": 7, "cycle": 3}
    assert "device" not in trace.provenance


@pytest.mark.parametrize(
    ("word", "sign"),
    [(word, 1) for word in ("SET", "set", "Up", "p", "potentiation", "LTP", "+1", "1", "1.0", "+")]
    + [(word, -1) for word in ("RESET", "down", "D", "Depression", "ltd", "-1", "-1.0", "-", "\u2212")],
)
def test_words_for_the_polarity(read, word, sign):
    trace = read(rows("1,0,1,SET,1", f"1,0,2,{word},2"))[0]
    equal(trace, SET=[max(sign, 0), 0], RESET=[max(-sign, 0), 0])


def test_quoted_cells_blanks_and_a_delimiter_at_the_end(read):
    traces = read('device,direction,G (S)\n"chip 1, A" , SET ,1e-6,\n"chip 1, A",RESET,2e-6,\n')
    assert traces[0].provenance["device"] == "chip 1, A"
    equal(traces[0], RESET=[1, 0])


def test_semicolons_in_a_remark_are_no_delimiter(read):
    equal(read("direction,G (S),note\nSET,1,a;b\nSET,2,c;d\n")[0], conductance=[1, 2])


def test_decimal_commas_between_semicolons(read):
    trace = read("device;direction;G (uS)\nA,1;SET;1,5\nA,1;SET;2,25\n")[0]
    assert trace.provenance["device"] == "A,1"
    equal(trace, conductance=[1.5e-6, 2.25e-6])
    with pytest.raises(TraceError, match=r"'1,500' can be decimal marks or thousands separators"):
        read("device;direction;G (uS)\nA;SET;1,500\nA;SET;2,250\n")


def test_interleaved_devices_come_apart(read):
    lines = [f"{device},0,{pulse},SET,{10 * device + pulse}" for pulse in range(1, 5) for device in (3, 1)]
    traces = read(rows(*lines))
    assert [t.parameters["device"] for t in traces] == [3, 1]
    for trace in traces:
        equal(trace, time=[1, 2, 3, 4])
        np.testing.assert_allclose(trace.output["conductance"], (10 * trace.parameters["device"] + trace.time) * 1e-6)


def test_numbers_of_devices_written_in_two_ways_are_one_device(read):
    assert len(read(rows("1,0,1,SET,1", "1.0,0,2,SET,2"))) == 1


def test_without_columns_for_them_there_is_one_device_and_one_cycle(read):
    trace = read("direction,G (uS)\nSET,1\nSET,2\nRESET,1\n")[0]
    assert dict(trace.parameters) == {"device": 0, "cycle": 0}
    equal(trace, time=[1, 2, 3], SET=[1, 0, 0], RESET=[0, 1, 0])


def test_a_first_read_before_all_pulses_begins_at_zero(read):
    equal(read(rows("1,0,0,none,1", "1,0,1,SET,2", "1,0,2,SET,3"))[0], time=[0, 1, 2], SET=[1, 1, 0])


def test_an_index_that_skips_counts_the_pulses(read):
    trace = read(rows("1,0,10,SET,1", "1,0,20,SET,2", "1,0,25,RESET,3"))[0]
    equal(trace, time=[1, 11, 16], SET=[10, 0, 0], RESET=[0, 5, 0])
    assert any("skips" in said for said in trace.provenance["assumed"])


def test_an_index_that_starts_again_where_the_direction_changes_is_another_branch(read):
    trace = read(rows("1,0,0,SET,1", "1,0,1,SET,2", "1,0,0,RESET,2", "1,0,1,RESET,1", "1,0,0,SET,1"))[0]
    equal(trace, time=[1, 2, 3, 4, 5], SET=[1, 0, 0, 1, 0], RESET=[0, 1, 1, 0, 0])
    assert any("starts again" in said for said in trace.provenance["assumed"])


def test_branches_sorted_by_name_go_back_into_the_order_of_their_time(read):
    lines = ["1,0,0,depression,4,3", "1,0,1,depression,3,4", "1,0,0,potentiation,1,1", "1,0,1,potentiation,2,2"]
    trace = read(rows(*lines, header="device_id,cycle,pulse_index,direction,conductance_s,timestamp_s"))[0]
    equal(trace, time=[1, 2, 3, 4], conductance=[1, 2, 4, 3], SET=[1, 0, 0, 0], RESET=[0, 1, 1, 0])
    assert trace.unit("time") == "s"
    assert trace.provenance["time"] == "timestamp_s"
    assert any("sorted by their time" in said for said in trace.provenance["assumed"])


def test_reads_without_pulses_keep_seconds(read):
    lines = ["1,0,1,SET,5,0", "1,0,1,none,4,10", "1,0,1,wait,3,100", "1,0,2,SET,6,101"]
    text = rows(*lines, header="device,cycle,pulse,direction,G (uS),time (ms)")
    equal(read(text)[0], time=[0, 0.01, 0.1, 0.101], SET=[0, 0, 1, 0], RESET=[0, 0, 0, 0])
    with pytest.raises(TraceError, match=r"line 3: a read without a pulse before it needs a time"):
        read(text, PulseLayout(columns={"time": ""}))
    equal(read(text, PulseLayout(columns={"time": ""}), time=0.5)[0], time=[0, 0.5, 1.0, 1.5])


def test_amplitudes_have_no_gaps_where_no_pulse_is(read):
    lines = ["1,none,1,0,", "1,none,1,1,0", "1,SET,2,2,-1.5", "1,none,2,3,", "1,RESET,1,4,1.25", "2,none,1,0,", "2,none,1,1,"]
    traces = read(rows(*lines, header="device,direction,G (uS),t (s),V (V)"))
    equal(traces[0], SET=[0, 1, 0, 0, 0], RESET=[0, 0, 0, 1, 0], voltage=[1.5, 1.5, 1.5, 1.25, 1.25])
    assert (traces[1].drive["voltage"] > 0).all()


@pytest.mark.parametrize(("column", "reads"), [("R (kOhm)", ("1000", "500")), ("I_read (uA)", ("0.1", "0.2"))])
def test_conductance_from_resistance_and_current(read, column, reads):
    text = f"direction,{column},read_voltage (mV)\n" + "".join(f"SET,{value},100\n" for value in reads)
    np.testing.assert_allclose(read(text)[0].output["conductance"], [1e-6, 2e-6], rtol=1e-14)
    assert read(text)[0].unit("conductance") == "S"


def test_the_voltage_of_the_reads_can_be_passed(read):
    text = "direction,read_current_a\nSET,1e-7\nSET,2e-7\n"
    np.testing.assert_allclose(read(text, PulseLayout(read_voltage=0.1))[0].output["conductance"], [1e-6, 2e-6], rtol=1e-14)
    with pytest.raises(TraceError, match=r"'read_current_a' are currents at an unknown voltage.*read_voltage=0\.1"):
        read(text)


def test_a_conductance_goes_before_a_resistance_and_a_current(read):
    trace = read("direction,i,r,g (uS)\nSET,1,2,3\nSET,1,2,4\n")[0]
    np.testing.assert_allclose(trace.output["conductance"], [3e-6, 4e-6])
    other = read("direction,i,r (Ohm),g (uS)\nSET,1,2,3\nSET,1,4,4\n", PulseLayout(columns={"resistance": "r"}))[0]
    equal(other, conductance=[0.5, 0.25])


def test_signed_voltages_are_a_direction(read):
    trace = read("G (uS),V (V)\n1,1\n2,1.5\n1,-2\n")[0]
    equal(trace, SET=[1, 0, 0], RESET=[0, 1, 0], voltage=[1.5, 2, 2])
    assert any("polarity" in said for said in trace.provenance["assumed"])


def test_the_polarity_of_a_file_that_does_not_tell_can_be_passed(read):
    equal(
        read("pulse,G (uS),V (V)\n1,1,1\n2,2,1\n", PulseLayout(polarity="RESET"))[0], RESET=[1, 0], SET=[0, 0], voltage=[1, 1]
    )


def test_units_come_from_the_caller_the_header_and_the_name(read):
    text = "direction,conductance_us,width_ns,V\nSET,1,50,800\nSET,2,50,900\n"
    trace = read(text, units={"V": "mV"})[0]
    equal(trace, conductance=[1e-6, 2e-6], width=[5e-8, 5e-8], voltage=[0.9, 0.9])
    equal(read(text, units={"V": "mV", "conductance_us": "nS"})[0], conductance=[1e-9, 2e-9])
    equal(read(text, PulseLayout(conductance_unit="%"), units={"V": "mV"})[0], conductance=[0.01, 0.02])


def test_a_conductance_without_a_unit_is_normalised(read):
    trace = read("direction,G\nSET,-0.5\nSET,0\nSET,0.5\n")[0]
    assert trace.unit("conductance") == ""
    assert any("normalised" in said for said in trace.provenance["assumed"])
    with pytest.warns(TraceWarning, match=r"'G' has no unit and is taken as normalised, but its values are small"):
        read("direction,G\nSET,1e-6\nSET,2e-6\n")


def test_parameters_come_with_every_trace(read):
    traces = read("# parameter T (degC) = 27\n" + LONG, parameters={"area": 1e-14})
    assert all(t.parameters["T"] == pytest.approx(300.15) and t.parameters["area"] == 1e-14 for t in traces)


def test_a_file_of_one_device_can_be_numbered(read):
    text = "cycle,direction,G (S)\n" + "".join(f"{cycle},SET,{pulse}\n" for cycle in (4, 5) for pulse in (1, 2))
    assert [dict(t.parameters) for t in read(text, parameters={"device": 3})] == [{"device": 3, "cycle": c} for c in (4, 5)]
    with pytest.raises(TraceError, match=r"the parameter 'cycle' is 1, but the file contains 2 of them"):
        read(text, parameters={"cycle": 1})


def test_npz_has_directions_in_numbers(tmp_path):
    path = tmp_path / "pulses.npz"
    units = json.dumps({"conductance": "uS"})
    np.savez(path, device=[2, 2, 1, 1], pulse=[1, 2, 1, 2], direction=[1, -1, 1, 1], conductance=[1.0, 2, 3, 4], units=units)
    traces = read_trace(path, pulses="auto")
    assert [t.parameters["device"] for t in traces] == [2, 1]
    equal(traces[0], conductance=[1e-6, 2e-6], RESET=[1, 0])
    np.savez(path, direction=[1, 2.0], conductance=[1.0, 2])
    with pytest.raises(TraceError, match=r"row 2: pulses of unknown polarity: column 'direction' contains '2\.0'"):
        read_trace(path, pulses="auto")


def test_gzip_is_opened(write):
    packed = gzip.compress(LONG.encode())
    assert (
        read_trace(write(packed, "a.csv.gz"), pulses="auto").fingerprint()
        == read_trace(write(LONG), pulses="auto").fingerprint()
    )
    with pytest.raises(TraceError, match=r"b\.csv\.gz: the gzip archive is damaged or cut off"):
        read_trace(write(packed[:-30], "b.csv.gz"), pulses="auto")


def test_rows_beyond_one_chunk_are_read_in_order(read):
    count = 5000
    text = "device,direction,G (S)\n" + "".join(f"d{k % 3},SET,{k + 1}\n" for k in range(count))
    traces = read(text)
    for device, trace in enumerate(traces):
        equal(trace, conductance=np.arange(device, count, 3) + 1)
    with pytest.raises(TraceError, match=r"line 4003, column 3 \('G'\): 'x' is not a number"):
        read(text.replace("d2,SET,4002", "d2,SET,x"))


# --- what is wrong with a long file -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ("1,0,1,SET,1", "1,0,2,STE,2"),
            r"line 3: pulses of unknown polarity: column 'direction' contains 'STE'; accepted are: SET, up",
        ),
        (("1,0,1,,1", "1,0,2,SET,2"), r"line 2: pulses of unknown polarity: column 'direction' contains ''"),
        (("1,0,1,SET,1", "1,0,2,unknown,2"), r"line 3: pulses of unknown polarity: 'unknown' is allowed in the first read"),
        (("1,0,1,SET,1", "1,0,2,SET,"), r"line 3: the conductance in column 'G' is nan, which gives no finite conductance"),
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
def test_a_bad_row_is_refused_by_its_line(read, lines, message):
    with pytest.raises(TraceError, match=r"^pulses\.csv: .*" + message):
        read(rows(*lines))


def test_lines_are_counted_as_the_file_has_them(read):
    with pytest.raises(TraceError, match=r"line 7: pulses of unknown polarity"):
        read("# a comment\n\n" + rows("2,0,1,SET,1", "", "1,0,1,SET,1", "2,0,2,?,1"))


def test_the_last_line_of_a_file_that_was_cut_off(read):
    with pytest.raises(TraceError, match=r"line 3 has 2 cells.*the file was cut off"):
        read(rows("1,0,1,SET,1", "1,0").rstrip())
    with pytest.raises(TraceError, match=r"line 3 has 1 cell, expected 5"):
        read(rows("1,0,1,SET,1", "1").rstrip())


@pytest.mark.parametrize("pulses", ["long", "up-down"])
def test_a_last_line_without_an_end_may_be_cut(read, pulses):
    text = rows("1,0,1,SET,1.25", "1,0,2,SET,0.50") if pulses == "long" else "up,down\n1,3\n2,2.5\n"
    with pytest.warns(TraceWarning, match=r"line 3 is the last one and has no line break: its last number may be cut"):
        traces = read(text.rstrip("\n"), pulses)
    assert len(traces[0]) == 2
    assert read(text, pulses).fingerprint() == traces.fingerprint()
    read(text + "# end", pulses)  # a comment ends it


def test_a_blank_direction_before_the_first_pulse_is_none(read):
    equal(read(rows("1,0,0,,1", "1,0,1,SET,2", "1,0,2,SET,3"))[0], time=[0, 1, 2], SET=[1, 1, 0])
    with pytest.raises(TraceError, match=r"line 3: pulses of unknown polarity: column 'direction' contains ''"):
        read(rows("1,0,0,,1", "1,0,1,,2", "1,0,2,SET,3"))


def test_one_row_is_one_read(read):
    with pytest.raises(TraceError, match=r"the file contains one read only"):
        read(rows("1,0,1,SET,1"))


def test_a_column_with_a_role_is_not_offered_for_the_reads(read):
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
def test_a_file_that_contradicts_itself_is_refused(read, text, message):
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


def test_recordings_of_one_read_are_left_out_with_a_warning(read):
    with pytest.warns(
        TraceWarning, match=r"1 of 2 recordings contains a single read \(such as device 2, cycle 0\) and is left out"
    ):
        traces = read(rows("1,0,1,SET,1", "1,0,2,SET,1", "2,0,1,SET,1"))
    assert [t.parameters["device"] for t in traces] == [1]


def test_siemens_below_zero_are_kept_with_a_warning(read):
    with pytest.warns(
        TraceWarning, match=r"1 of 2 conductances in column 'G' are not above zero \(the first in line 3: -1e-06 S\)"
    ):
        equal(read(rows("1,0,1,SET,1", "1,0,2,SET,-1"))[0], conductance=[1e-6, -1e-6])


def test_a_warning_points_to_the_line_of_the_caller(write):
    with pytest.warns(TraceWarning) as caught:
        read_trace(write(rows("1,0,1,SET,1", "1,0,2,SET,-1")), pulses="long")
    assert [warning.filename for warning in caught] == [__file__]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.integers(0, len(LONG)), st.integers(0, 30), st.text('0123456789,;-+eE.\n\t "#%ASETRnax(u)\x00\u00b5', max_size=12))
@pytest.mark.filterwarnings("ignore::spinode.errors.TraceWarning")
def test_a_damaged_file_is_read_or_refused_with_a_reason(tmp_path, at, cut, put):
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


# --- columns without a description ------------------------------------------------------------------------------------


def test_two_columns_are_the_reads_after_set_and_after_reset(read):
    for pulses in ("up-down", "auto"):
        if pulses == "auto":
            with pytest.warns(TraceWarning, match=r"two columns without a header are taken as reads after SET pulses"):
                traces = read("-1,3\n0,2\n1,\n", pulses)
        else:
            traces = read("-1,3\n0,2\n1,\n", pulses)
        assert [(t.parameters["device"], t.parameters["cycle"]) for t in traces] == [(0, 0), (0, 1)]
        equal(traces[0], time=[1, 2, 3], conductance=[-1, 0, 1], SET=[1, 1, 0], RESET=[0, 0, 0])
        equal(traces[1], time=[1, 2], conductance=[3, 2], SET=[0, 0], RESET=[1, 0])
        assert traces[0].unit("conductance") == ""
        assert traces[0].provenance["layout"] == "up-down"
    assert any("two columns without a header" in said for said in traces[0].provenance["assumed"])


@pytest.mark.filterwarnings("ignore:.*a single read")
def test_ramps_end_at_empty_cells_or_zeros(read):
    layout = PulseLayout("ramps", polarity="RESET", read_voltage=0.1)
    traces = read("rmp1,rmp2,rmp3\n2e-7,4e-7,6e-7\n1e-7,3e-7,0\n,2e-7,0\n", layout, time=0.5)[:2]
    np.testing.assert_allclose(traces[1].output["conductance"], [4e-6, 3e-6, 2e-6], rtol=1e-14)
    equal(traces[1], RESET=[1, 1, 0], SET=[0, 0, 0], time=[0, 0.5, 1])
    assert [(len(t), t.parameters["cycle"], t.unit("conductance"), t.unit("time")) for t in traces] == [
        (2, 0, "S", "s"),
        (3, 1, "S", "s"),
    ]


def test_provenance_of_ramps_says_what_was_given_and_assumed(read):
    said = read("a,b,c\n1,2,3\n4,5,6\n", PulseLayout("ramps", polarity="SET", read_voltage=0.5))[0].provenance
    assert said["given"] == {"polarity": "SET", "read_voltage": 0.5}
    assert said["assumed"] == ["the file gives no unit for 'a': taken in A, and 2 more columns likewise"]


def test_a_normalised_ramp_may_end_in_zeros(read):
    equal(read("r\n1\n0.5\n0\n", PulseLayout("ramps", polarity="RESET"))[0], conductance=[1, 0.5, 0])


def test_a_column_that_numbers_the_pulses_is_no_ramp(read):
    layout = PulseLayout("ramps", polarity="SET", conductance_unit="uS")
    traces = read("pulse,a,b\n1,1,3\n2,2,4\n", layout)
    assert len(traces) == 2
    equal(traces[0], conductance=[1e-6, 2e-6])
    with pytest.raises(TraceError, match=r"'pulse' numbers the pulses, but does not count up by one"):
        read("pulse,a,b\n1,1,3\n3,2,4\n", layout)


def test_the_unit_of_ramps_says_what_they_are(read):
    for unit, values in (("uS", "1\n2"), ("MOhm", "1\n0.5"), ("nA", "100\n200")):
        layout = PulseLayout("ramps", polarity="SET", read_voltage=0.1)
        trace = read(f"ramp 1 ({unit})\n{values}\n", layout)[0]
        np.testing.assert_allclose(trace.output["conductance"], [1e-6, 2e-6], rtol=1e-14)


def test_an_empty_ramp_is_left_out_with_a_warning(read):
    with pytest.warns(TraceWarning, match=r"column 'b' contains no reads and is left out"):
        traces = read("a,b,c\n1,,3\n2,,4\n", PulseLayout("ramps", polarity="SET"))
    assert [t.parameters["cycle"] for t in traces] == [0, 2]


@pytest.mark.parametrize(
    ("text", "layout", "kind", "message"),
    [
        ("a,b\n1,2\n", "ramps", TraceError, r"does not contain the polarity of its pulses; pass.*polarity='SET'"),
        (
            "a,b\n1e-4,2e-4\n",
            PulseLayout("ramps", polarity="SET"),
            TraceError,
            r"the small numbers in column 'a' have no unit.*read_voltage=0\.1",
        ),
        (
            "a (A),b (A)\n1,2\n",
            PulseLayout("ramps", polarity="SET"),
            TraceError,
            r"'a' are currents at an unknown voltage",
        ),
        ("a (V),b\n1,2\n", PulseLayout("ramps", polarity="SET"), UnitError, r"column 'a' is the conductance and in 'V'"),
        (
            "a (S),b\n1,2\n",
            PulseLayout("ramps", polarity="SET"),
            UnitError,
            r"column 'a' gives siemens and column 'b' has no unit",
        ),
        ("a,b\n1,\n2,2\n", PulseLayout("ramps", polarity="SET"), TraceError, r"line 2: column 'b' has no read here"),
        ("a,b\n1,2\n1,x\n", PulseLayout("ramps", polarity="SET"), TraceError, r"line 3, column 2 \('b'\): 'x' is not a number"),
        ("a,b\n,\n", PulseLayout("ramps", polarity="SET"), TraceError, r"no column contains a read|no rows"),
        ("1,2,3\n1,2,3\n", "up-down", TraceError, r"'up-down' has two columns.*here are 3"),
        ("1,2\n1,2\n", PulseLayout("up-down", columns={"device": "column 1"}), TraceError, r"belongs to the layout 'long'"),
        (
            "a,b\n1,2\n1,2\n",
            "auto",
            TraceError,
            r"the columns \(a, b\) do not show how the pulses are laid out.*'up-down'.*'ramps'",
        ),
        ("1,2,3\n1,2,3\n", "auto", TraceError, r"\(column 1, column 2, column 3\) do not show"),
    ],
)
def test_bad_columns_are_refused(read, text, layout, kind, message):
    with pytest.raises(kind, match=message):
        read(text, layout)


# --- the door ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "wide"}, r"layout is 'wide'; expected one of auto, long, up-down, ramps"),
        ({"polarity": "up"}, r"polarity is 'up'; expected one of SET, RESET"),
        ({"read_voltage": 0.0}, r"read_voltage is 0\.0; expected a finite number above 0 \[V\]"),
        ({"read_voltage": float("nan")}, r"read_voltage is nan"),
        ({"columns": {"weight": "a"}}, r"a role in columns is 'weight'; expected one of device, cycle"),
    ],
)
def test_a_layout_checks_itself(options, message):
    with pytest.raises(ConfigError, match=message):
        PulseLayout(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"drive": "SET"}, r"drive='SET' cannot be given with pulses="),
        ({"output": ["G"]}, r"output=\['G'\] cannot be given with pulses="),
        ({"start": 1.0}, r"start and stop cannot be given with pulses="),
        ({"units": {"W": "S"}}, r"there is no column 'W' for units="),
        ({"time": "clock"}, r"there is no column 'clock' for time="),
        ({"time": -1.0}, r"the interval from read to read is -1\.0; expected a positive number of seconds"),
        (
            {"pulses": PulseLayout(columns={"device": "dev"})},
            r"there is no column 'dev' for the device; the columns are: device_id",
        ),
        ({"pulses": PulseLayout(polarity="SET")}, r"column 'direction' gives directions, and polarity='SET' another"),
        ({"pulses": PulseLayout("ramps", polarity="SET"), "time": "note"}, r"time='note': ramps have no column of times"),
        ({"format": "word"}, r"there is no reader 'word'"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(read, options, message):
    with pytest.raises(TraceError, match=message):
        read(LONG, **{"pulses": "long", **options})


def test_pulses_that_is_no_layout_is_refused(write):
    with pytest.raises(ConfigError, match=r"pulses is of type int; expected the name of a layout or a PulseLayout"):
        read_trace(write(LONG), pulses=3)
    with pytest.raises(TraceError, match=r"there is no file"):
        read_trace("nowhere.csv", pulses="auto")


def test_without_pulses_the_error_names_the_way(write):
    numeric = re.sub(r"(?m)^([AB]\d)", "1", re.sub(r"SET|RESET|up|down|potentiation|depression", "1", LONG)).replace(
        "first", ""
    )
    numeric = "\n".join(line.rpartition(",")[0] for line in numeric.splitlines())
    for text in (numeric, LONG):
        with pytest.warns(
            TraceWarning, match=r'has no time column that can be recognised.*time=1e-9\. Its columns are.*pulses="auto"'
        ):
            read_trace(write(text))
    with pytest.warns(TraceWarning, match=r"time=1e-9\.$"):
        read_trace(write("a,b\n1,2\n3,4\n"))


def test_without_pulses_a_file_reads_as_ever(write):
    trace = read_trace(write("t (s),pulse,G (S)\n0,1,2\n1,2,3\n"))
    assert isinstance(trace, Trace)
    assert list(trace.output) == ["pulse", "G"]


# --- writing ----------------------------------------------------------------------------------------------------------

finite = st.floats(-1e12, 1e12, allow_nan=False, allow_subnormal=False)
positive = st.floats(1e-300, 1e300, allow_nan=False)


@st.composite
def recordings(draw):
    """Sets of traces as `read_trace` makes them."""
    timed, unit = draw(st.booleans()), draw(st.sampled_from(["S", ""]))
    amplitudes = draw(st.sets(st.sampled_from(["voltage", "width"])))
    own = draw(
        st.lists(
            st.tuples(st.integers(-5, 10**9), st.integers(0, 5) | finite.map(lambda x: x + 0.0)),
            min_size=1,
            max_size=4,
            unique=True,
        )
    )
    constants = draw(st.dictionaries(st.sampled_from(["T", "oxide thickness"]), finite, max_size=2))
    traces = []
    for device, cycle in own:
        size = draw(st.integers(2, 6))
        count = draw(st.lists(st.integers(-3, 3).filter(lambda n: timed or n), min_size=size - 1, max_size=size - 1))
        count = np.array([*count, 0])
        if timed:
            time = np.cumsum(draw(st.lists(st.floats(1e-9, 1e3), min_size=size, max_size=size)))
        else:
            time = draw(st.sampled_from([0.0, 1.0])) + np.append(0, np.cumsum(np.abs(count[:-1])))
        drive = {"SET": np.maximum(count, 0), "RESET": np.maximum(-count, 0)}
        for name in sorted(amplitudes) if any(count) else ():
            values = draw(st.lists(positive, min_size=size - 1, max_size=size - 1))
            drive[name] = [*values, values[-1]]
        conductance = draw(st.lists(positive if unit else finite, min_size=size, max_size=size))
        parameters = {**constants, "device": device, "cycle": cycle}
        units = {"time": "s" if timed else "", "conductance": unit, "voltage": "V", "width": "s", "T": "K"}
        traces.append(Trace(time, drive, {"conductance": conductance}, parameters, units))
    same = [trace for trace in traces if set(trace.drive) == set(traces[0].drive)]
    return TraceSet(same)


def by_name(traces):
    """Fingerprints by device and cycle."""
    return {(t.parameters["device"], t.parameters["cycle"]): t.fingerprint() for t in traces}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(recordings())
@pytest.mark.filterwarnings("ignore:.*(no unit|small)")
def test_written_pulses_are_read_back_exactly(tmp_path, traces):
    path = tmp_path / "round.csv"
    write_pulses(path, traces)
    for layout in ("auto", "long"):
        assert by_name(read_trace(path, pulses=layout)) == by_name(traces)


def test_what_is_written_is_the_schema_of_the_field(tmp_path, read):
    path = tmp_path / "out.csv"
    write_pulses(path, read(LONG))
    lines = path.read_text().splitlines()
    assert lines[:3] == [
        "device_id,cycle,pulse_index,direction,conductance_s,pulse_voltage_v,pulse_width_s",
        "0,0,1,unknown,1e-06,1.2,1e-07",
        "0,0,2,SET,2e-06,1.2,1e-07",
    ]
    assert read_trace(path, pulses="auto").fingerprint() == read(LONG).fingerprint()


def made(**changed):
    given_ = {
        "time": [0, 1, 2],
        "drive": {"SET": [1, 0, 0], "RESET": [0, 1, 0]},
        "output": {"conductance": [1, 2, 3]},
        "parameters": {"device": 0, "cycle": 0},
        "units": {"time": ""},
    }
    return Trace(**{**given_, **changed})


@pytest.mark.parametrize(
    ("changed", "kind", "message"),
    [
        ({"output": {"g": [1, 2, 3]}}, TraceError, r"the outputs g; expected SET and RESET.*`write_csv` writes any trace"),
        ({"drive": {"SET": [1, 1, 0]}}, TraceError, r"the drives are SET and the outputs"),
        ({"drive": {"SET": [1, 0, 0], "RESET": [0, 1, 0], "H": [1, 1, 1]}}, TraceError, r"the drives are SET, RESET, H"),
        ({"parameters": {"device": 0}}, TraceError, r"the traces have no parameter 'cycle'"),
        ({"units": {"time": "", "conductance": "A"}}, UnitError, r"'conductance' is in 'A'; expected 'S' or ''"),
        (
            {"drive": {"SET": [1, 0, 0], "RESET": [1, 1, 0]}},
            TraceError,
            r"trace 0 \(device 0, cycle 0\): sample 0 has 1 SET and 1",
        ),
        ({"drive": {"SET": [0.5, 0, 0], "RESET": [0, 1, 0]}}, TraceError, r"sample 0 has 0\.5 SET"),
        ({"drive": {"SET": [1, 0, 1], "RESET": [0, 1, 0]}}, TraceError, r"1 pulse after the last read"),
        ({"drive": {"SET": [1, 0, 0], "RESET": [0, 0, 0]}}, TraceError, r"the time is not the number of pulses received"),
        ({"time": [5, 6, 7]}, TraceError, r"the time is not the number of pulses received"),
        ({"time": [0, 2, 1], "units": {}}, TraceError, r"the time does not grow from read to read"),
        ({"output": {"conductance": [1, np.nan, 3]}}, TraceError, r"'conductance' is not finite in sample 1"),
    ],
)
def test_traces_that_the_long_form_cannot_hold_are_refused(tmp_path, changed, kind, message):
    with pytest.raises(kind, match=message):
        write_pulses(tmp_path / "out.csv", made(**changed))
    assert not list(tmp_path.iterdir())


def test_sets_that_the_long_form_cannot_hold_are_refused(tmp_path):
    path = tmp_path / "out.csv"
    drive = {"SET": [1, 0, 0], "RESET": [0, 1, 0], "voltage": [1, -1, 1]}
    with pytest.raises(TraceError, match=r"the voltage is not above zero in every sample"):
        write_pulses(path, made(drive=drive, units={"time": "", "voltage": "V"}))
    with pytest.raises(TraceError, match=r"trace 1 is a second one of device 0, cycle 0"):
        write_pulses(path, TraceSet([made(), made()]))
    warm = [made(parameters={"device": k, "cycle": 0, "T": 300 + k}) for k in range(2)]
    with pytest.raises(TraceError, match=r"the parameter 'T' differs between the traces"):
        write_pulses(path, TraceSet(warm))
    single = Trace([0], {"SET": [0], "RESET": [0]}, {"conductance": [1]}, {"device": 0, "cycle": 0}, {"time": ""})
    with pytest.raises(TraceError, match=r"contains a single read"):
        write_pulses(path, single)


# --- measured files ---------------------------------------------------------------------------------------------------


def lag_one(values):
    values = values - values.mean()
    return (values[1:] * values[:-1]).sum() / (values**2).sum()


def test_the_two_columns_of_gong(shared):
    traces = read_trace(shared / "data/devices/ibm_gong2018_reram/gong_et_al.csv", pulses="up-down")
    steps = [np.diff(trace.output["conductance"]) for trace in traces]
    assert [len(trace) for trace in traces] == [1000, 1000]
    assert [step.std(ddof=1) for step in steps] == pytest.approx([0.163, 0.169], abs=0.001)
    assert [lag_one(step) for step in steps] == pytest.approx([-0.44, -0.44], abs=0.01)


@pytest.mark.parametrize(("polarity", "ramps", "length"), [("SET", 39, 190), ("RESET", 40, 152)])
def test_the_ramps_of_sandia(shared, polarity, ramps, length):
    path = shared / f"data/devices/sandia_crosssim_ramps/{polarity.lower()}.csv"
    traces = read_trace(path, pulses=PulseLayout("ramps", polarity=polarity, read_voltage=0.1))
    assert len(traces) == ramps
    assert [trace.parameters["cycle"] for trace in traces] == list(range(ramps))
    assert np.mean([len(trace) for trace in traces]) == pytest.approx(length, abs=2)
    conductance = np.concatenate([trace.output["conductance"] for trace in traces])
    assert (conductance.min(), conductance.max()) == pytest.approx((1.6e-3, 2.5e-3), abs=0.05e-3)
    assert all(trace.drive[polarity].sum() == len(trace) - 1 for trace in traces)


@pytest.mark.parametrize(("name", "low"), [("techB_relaxdata_10k", 0), ("techC_relaxdata", 1)])
def test_the_relaxation_of_stanford(shared, name, low):
    path = shared / f"data/devices/stanford_rram_relaxation/{name}.min.tsv.gz"
    columns = {"device": "column 1", "time": "column 2", "conductance": "column 4"}
    layout = PulseLayout("long", columns=columns, conductance_unit="S")
    if low:
        with pytest.warns(TraceWarning, match=r"1 of 89115 conductances in column 'column 4' are not above zero"):
            traces = read_trace(path, pulses=layout)
    else:
        traces = read_trace(path, pulses=layout)
    table = np.loadtxt(path, usecols=(0, 1, 3))
    assert sorted(trace.parameters["device"] for trace in traces) == sorted(set(table[:, 0]))
    for trace in traces[:: len(traces) // 20]:
        own = table[table[:, 0] == trace.parameters["device"]]
        equal(trace, time=own[:, 1], conductance=own[:, 2], SET=0 * own[:, 1], RESET=0 * own[:, 1])
        assert trace.unit("time") == "s"
