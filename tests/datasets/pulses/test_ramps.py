"""Columns of reads without further description: ramps, and one column for each polarity."""

from __future__ import annotations

import numpy as np
import pytest

from spinode.datasets import PulseLayout
from spinode.errors import TraceError, TraceWarning, UnitError


def assert_equal(trace, **expected):
    for name, values in expected.items():
        got = trace.time if name == "time" else trace.channels[name]
        np.testing.assert_array_equal(got, values, err_msg=name)


def test_two_columns_are_reads_after_set_and_after_reset(read):
    for pulses in ("up-down", "auto"):
        if pulses == "auto":
            with pytest.warns(TraceWarning, match=r"two columns without a header are taken as reads after SET pulses"):
                traces = read("-1,3\n0,2\n1,\n", pulses)
        else:
            traces = read("-1,3\n0,2\n1,\n", pulses)
        assert [(t.parameters["device"], t.parameters["cycle"]) for t in traces] == [(0, 0), (0, 1)]
        assert_equal(traces[0], time=[1, 2, 3], conductance=[-1, 0, 1], SET=[1, 1, 0], RESET=[0, 0, 0])
        assert_equal(traces[1], time=[1, 2], conductance=[3, 2], SET=[0, 0], RESET=[1, 0])
        assert traces[0].unit("conductance") == ""
        assert traces[0].provenance["layout"] == "up-down"
    assert any("two columns without a header" in each for each in traces[0].provenance["assumed"])


@pytest.mark.filterwarnings("ignore:.*a single read")
def test_ramps_end_at_empty_cells_or_zeros(read):
    layout = PulseLayout("ramps", polarity="RESET", read_voltage=0.1)
    traces = read("rmp1,rmp2,rmp3\n2e-7,4e-7,6e-7\n1e-7,3e-7,0\n,2e-7,0\n", layout, time=0.5)[:2]
    np.testing.assert_allclose(traces[1].output["conductance"], [4e-6, 3e-6, 2e-6], rtol=1e-14)
    assert_equal(traces[1], RESET=[1, 1, 0], SET=[0, 0, 0], time=[0, 0.5, 1])
    assert [(len(t), t.parameters["cycle"], t.unit("conductance"), t.unit("time")) for t in traces] == [
        (2, 0, "S", "s"),
        (3, 1, "S", "s"),
    ]


def test_provenance_of_ramps_lists_given_and_assumed_facts(read):
    provenance = read("a,b,c\n1,2,3\n4,5,6\n", PulseLayout("ramps", polarity="SET", read_voltage=0.5))[0].provenance
    assert provenance["given"] == {"polarity": "SET", "read_voltage": 0.5}
    assert provenance["assumed"] == ["the file gives no unit for 'a': taken in A, and 2 more columns likewise"]


def test_normalised_ramp_can_end_in_zeros(read):
    assert_equal(read("r\n1\n0.5\n0\n", PulseLayout("ramps", polarity="RESET"))[0], conductance=[1, 0.5, 0])


def test_column_of_pulse_numbers_is_not_a_ramp(read):
    layout = PulseLayout("ramps", polarity="SET", conductance_unit="uS")
    traces = read("pulse,a,b\n1,1,3\n2,2,4\n", layout)
    assert len(traces) == 2
    assert_equal(traces[0], conductance=[1e-6, 2e-6])
    with pytest.raises(TraceError, match=r"'pulse' numbers the pulses, but does not count up by one"):
        read("pulse,a,b\n1,1,3\n3,2,4\n", layout)


def test_unit_of_ramps_decides_their_quantity(read):
    for unit, values in (("uS", "1\n2"), ("MOhm", "1\n0.5"), ("nA", "100\n200")):
        layout = PulseLayout("ramps", polarity="SET", read_voltage=0.1 if unit == "nA" else None)
        trace = read(f"ramp 1 ({unit})\n{values}\n", layout)[0]
        np.testing.assert_allclose(trace.output["conductance"], [1e-6, 2e-6], rtol=1e-14)


def test_empty_ramp_is_left_out_with_a_warning(read):
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
