"""The long form: a row for each read."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from spinode import TraceSet
from spinode.datasets import PulseLayout, read_trace
from spinode.errors import TraceError, TraceWarning

LONG = Path(__file__).with_name("long_table.csv").read_text()


def rows(*lines, header="device,cycle,pulse,direction,G (uS)"):
    return "\n".join([header, *lines]) + "\n"


def assert_equal(trace, **expected):
    for name, values in expected.items():
        got = trace.time if name == "time" else trace.channels[name]
        np.testing.assert_array_equal(got, values, err_msg=name)


@pytest.mark.parametrize("pulses", ["auto", "long", PulseLayout(), PulseLayout("long")])
def test_one_trace_for_each_device_and_cycle(read, pulses):
    traces = read(LONG, pulses)
    assert isinstance(traces, TraceSet)
    assert [(t.parameters["device"], t.parameters["cycle"]) for t in traces] == [(0, 0), (0, 1), (1, 0)]
    assert [t.provenance["device"] for t in traces] == ["A7", "A7", "B1"]
    assert_equal(
        traces[0],
        time=[1, 2, 3, 4],
        conductance=[1e-6, 2e-6, 3e-6, 2.5e-6],
        # The pulse of row k + 1 is in sample k; that of the first row is not part of the dynamics.
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


def test_provenance(read):
    provenance = dict(read(LONG)[0].provenance)
    assert (provenance["file"], provenance["reader"], provenance["layout"], provenance["rows"], provenance["time"]) == (
        "pulses.csv",
        "delimited",
        "long",
        8,
        None,
    )
    assert provenance["columns"]["voltage"] == "pulse_voltage_v"
    assert provenance["raw_units"]["pulse_width_s"] == "s"
    assert provenance["raw_units"]["note"] is None
    assert provenance["assumed"] == []
    assert json.loads(json.dumps(provenance)) == provenance


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
def test_column_names_and_delimiters(read, header):
    delimiter = next((mark for mark in ("\t", ";", ",") if mark in header), " ")
    lines = [delimiter.join(cells) for cells in (("7", "3", "1", "p", "1.5"), ("7", "3", "2", "d", "1.25"))]
    trace = read(rows(*lines, header=header), "auto" if "#" not in header else "long")[0]
    assert_equal(trace, conductance=[1.5e-6, 1.25e-6], SET=[0, 0], RESET=[1, 0])
    assert dict(trace.parameters) == {"device": 7, "cycle": 3}
    assert "device" not in trace.provenance


@pytest.mark.parametrize(
    ("word", "sign"),
    [(word, 1) for word in ("SET", "set", "Up", "p", "potentiation", "LTP", "+1", "1", "1.0", "+")]
    + [(word, -1) for word in ("RESET", "down", "D", "Depression", "ltd", "-1", "-1.0", "-", "\u2212")],
)
def test_words_for_the_polarity(read, word, sign):
    trace = read(rows("1,0,1,SET,1", f"1,0,2,{word},2"))[0]
    assert_equal(trace, SET=[max(sign, 0), 0], RESET=[max(-sign, 0), 0])


def test_quoted_cells_blanks_and_a_delimiter_at_the_end(read):
    traces = read('device,direction,G (S)\n"chip 1, A" , SET ,1e-6,\n"chip 1, A",RESET,2e-6,\n')
    assert traces[0].provenance["device"] == "chip 1, A"
    assert_equal(traces[0], RESET=[1, 0])


def test_semicolons_in_a_remark_are_not_the_delimiter(read):
    assert_equal(read("direction,G (S),note\nSET,1,a;b\nSET,2,c;d\n")[0], conductance=[1, 2])


def test_decimal_commas_between_semicolons(read):
    trace = read("device;direction;G (uS)\nA,1;SET;1,5\nA,1;SET;2,25\n")[0]
    assert trace.provenance["device"] == "A,1"
    assert_equal(trace, conductance=[1.5e-6, 2.25e-6])
    with pytest.raises(TraceError, match=r"'1,500' can be decimal marks or thousands separators"):
        read("device;direction;G (uS)\nA;SET;1,500\nA;SET;2,250\n")


def test_interleaved_devices_are_separated(read):
    lines = [f"{device},0,{pulse},SET,{10 * device + pulse}" for pulse in range(1, 5) for device in (3, 1)]
    traces = read(rows(*lines))
    assert [t.parameters["device"] for t in traces] == [3, 1]
    for trace in traces:
        assert_equal(trace, time=[1, 2, 3, 4])
        np.testing.assert_allclose(trace.output["conductance"], (10 * trace.parameters["device"] + trace.time) * 1e-6)


def test_equal_device_numbers_in_two_notations_are_one_device(read):
    assert len(read(rows("1,0,1,SET,1", "1.0,0,2,SET,2"))) == 1


def test_without_device_and_cycle_columns_there_is_one_of_each(read):
    trace = read("direction,G (uS)\nSET,1\nSET,2\nRESET,1\n")[0]
    assert dict(trace.parameters) == {"device": 0, "cycle": 0}
    assert_equal(trace, time=[1, 2, 3], SET=[1, 0, 0], RESET=[0, 1, 0])


def test_read_before_the_first_pulse_has_time_zero(read):
    assert_equal(read(rows("1,0,0,none,1", "1,0,1,SET,2", "1,0,2,SET,3"))[0], time=[0, 1, 2], SET=[1, 1, 0])


def test_skipping_pulse_index_counts_the_pulses(read):
    trace = read(rows("1,0,10,SET,1", "1,0,20,SET,2", "1,0,25,RESET,3"))[0]
    assert_equal(trace, time=[1, 11, 16], SET=[10, 0, 0], RESET=[0, 5, 0])
    assert any("skips" in each for each in trace.provenance["assumed"])


def test_pulse_index_that_restarts_with_the_direction_is_another_branch(read):
    trace = read(rows("1,0,0,SET,1", "1,0,1,SET,2", "1,0,0,RESET,2", "1,0,1,RESET,1", "1,0,0,SET,1"))[0]
    assert_equal(trace, time=[1, 2, 3, 4, 5], SET=[1, 0, 0, 1, 0], RESET=[0, 1, 1, 0, 0])
    assert any("starts again" in each for each in trace.provenance["assumed"])


def test_rows_are_sorted_by_time(read):
    lines = ["1,0,0,depression,4,3", "1,0,1,depression,3,4", "1,0,0,potentiation,1,1", "1,0,1,potentiation,2,2"]
    trace = read(rows(*lines, header="device_id,cycle,pulse_index,direction,conductance_s,timestamp_s"))[0]
    assert_equal(trace, time=[1, 2, 3, 4], conductance=[1, 2, 4, 3], SET=[1, 0, 0, 0], RESET=[0, 1, 1, 0])
    assert trace.unit("time") == "s"
    assert trace.provenance["time"] == "timestamp_s"
    assert any("sorted by their time" in each for each in trace.provenance["assumed"])


def test_reads_without_pulses_need_times(read):
    lines = ["1,0,1,SET,5,0", "1,0,1,none,4,10", "1,0,1,wait,3,100", "1,0,2,SET,6,101"]
    text = rows(*lines, header="device,cycle,pulse,direction,G (uS),time (ms)")
    assert_equal(read(text)[0], time=[0, 0.01, 0.1, 0.101], SET=[0, 0, 1, 0], RESET=[0, 0, 0, 0])
    with pytest.raises(TraceError, match=r"line 3: a read without a pulse before it needs a time"):
        read(text, PulseLayout(columns={"time": ""}))
    assert_equal(read(text, PulseLayout(columns={"time": ""}), time=0.5)[0], time=[0, 0.5, 1.0, 1.5])


def test_amplitudes_of_reads_without_pulses_are_filled(read):
    lines = ["1,none,1,0,", "1,none,1,1,0", "1,SET,2,2,-1.5", "1,none,2,3,", "1,RESET,1,4,1.25", "2,none,1,0,", "2,none,1,1,"]
    traces = read(rows(*lines, header="device,direction,G (uS),t (s),V (V)"))
    assert_equal(traces[0], SET=[0, 1, 0, 0, 0], RESET=[0, 0, 0, 1, 0], voltage=[1.5, 1.5, 1.5, 1.25, 1.25])
    assert (traces[1].drive["voltage"] > 0).all()


@pytest.mark.parametrize(("column", "reads"), [("R (kOhm)", ("1000", "500")), ("I_read (uA)", ("0.1", "0.2"))])
def test_conductance_from_resistance_and_current(read, column, reads):
    text = f"direction,{column},read_voltage (mV)\n" + "".join(f"SET,{value},100\n" for value in reads)
    np.testing.assert_allclose(read(text)[0].output["conductance"], [1e-6, 2e-6], rtol=1e-14)
    assert read(text)[0].unit("conductance") == "S"


def test_read_voltage_can_be_given(read):
    text = "direction,read_current_a\nSET,1e-7\nSET,2e-7\n"
    np.testing.assert_allclose(read(text, PulseLayout(read_voltage=0.1))[0].output["conductance"], [1e-6, 2e-6], rtol=1e-14)
    with pytest.raises(TraceError, match=r"'read_current_a' are currents at an unknown voltage.*read_voltage=0\.1"):
        read(text)


def test_conductance_takes_precedence_over_resistance_and_current(read):
    trace = read("direction,i,r,g (uS)\nSET,1,2,3\nSET,1,2,4\n")[0]
    np.testing.assert_allclose(trace.output["conductance"], [3e-6, 4e-6])
    other = read("direction,i,r (Ohm),g (uS)\nSET,1,2,3\nSET,1,4,4\n", PulseLayout(columns={"resistance": "r"}))[0]
    assert_equal(other, conductance=[0.5, 0.25])


def test_sign_of_the_voltage_is_the_polarity(read):
    trace = read("G (uS),V (V)\n1,1\n2,1.5\n1,-2\n")[0]
    assert_equal(trace, SET=[1, 0, 0], RESET=[0, 1, 0], voltage=[1.5, 2, 2])
    assert any("polarity" in each for each in trace.provenance["assumed"])


def test_polarity_can_be_given(read):
    assert_equal(
        read("pulse,G (uS),V (V)\n1,1,1\n2,2,1\n", PulseLayout(polarity="RESET"))[0], RESET=[1, 0], SET=[0, 0], voltage=[1, 1]
    )


def test_units_from_the_caller_the_header_and_the_name(read):
    text = "direction,conductance_us,width_ns,V\nSET,1,50,800\nSET,2,50,900\n"
    trace = read(text, units={"V": "mV"})[0]
    assert_equal(trace, conductance=[1e-6, 2e-6], width=[5e-8, 5e-8], voltage=[0.9, 0.9])
    assert_equal(read(text, units={"V": "mV", "conductance_us": "nS"})[0], conductance=[1e-9, 2e-9])
    assert_equal(read(text, PulseLayout(conductance_unit="%"), units={"V": "mV"})[0], conductance=[0.01, 0.02])


def test_conductance_without_a_unit_is_normalised(read):
    trace = read("direction,G\nSET,-0.5\nSET,0\nSET,0.5\n")[0]
    assert trace.unit("conductance") == ""
    assert any("normalised" in each for each in trace.provenance["assumed"])
    with pytest.warns(TraceWarning, match=r"'G' has no unit and is taken as normalised, but its values are small"):
        read("direction,G\nSET,1e-6\nSET,2e-6\n")


def test_every_trace_has_the_parameters(read):
    traces = read("# parameter T (degC) = 27\n" + LONG, parameters={"area": 1e-14})
    assert all(t.parameters["T"] == pytest.approx(300.15) and t.parameters["area"] == 1e-14 for t in traces)


def test_device_number_can_be_given(read):
    text = "cycle,direction,G (S)\n" + "".join(f"{cycle},SET,{pulse}\n" for cycle in (4, 5) for pulse in (1, 2))
    assert [dict(t.parameters) for t in read(text, parameters={"device": 3})] == [{"device": 3, "cycle": c} for c in (4, 5)]
    with pytest.raises(TraceError, match=r"the parameter 'cycle' is 1, but the file contains 2 of them"):
        read(text, parameters={"cycle": 1})


def test_npz_with_directions_as_numbers(tmp_path):
    path = tmp_path / "pulses.npz"
    units = json.dumps({"conductance": "uS"})
    np.savez(path, device=[2, 2, 1, 1], pulse=[1, 2, 1, 2], direction=[1, -1, 1, 1], conductance=[1.0, 2, 3, 4], units=units)
    traces = read_trace(path, pulses="auto")
    assert [t.parameters["device"] for t in traces] == [2, 1]
    assert_equal(traces[0], conductance=[1e-6, 2e-6], RESET=[1, 0])
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
        assert_equal(trace, conductance=np.arange(device, count, 3) + 1)
    with pytest.raises(TraceError, match=r"line 4003, column 3 \('G'\): 'x' is not a number"):
        read(text.replace("d2,SET,4002", "d2,SET,x"))
