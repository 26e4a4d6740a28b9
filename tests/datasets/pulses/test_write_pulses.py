"""Written pulses are read back exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from spinode import Trace, TraceSet
from spinode.datasets import read_trace, write_pulses
from spinode.errors import TraceError, UnitError

LONG = Path(__file__).with_name("long_table.csv").read_text()


finite = st.floats(-1e12, 1e12, allow_nan=False, allow_subnormal=False)
positive = st.floats(1e-300, 1e300, allow_nan=False)


@st.composite
def recordings(draw):
    """Return sets of traces like those of `read_trace`."""
    timed, unit = draw(st.booleans()), draw(st.sampled_from(["S", ""]))
    amplitudes = draw(st.sets(st.sampled_from(["voltage", "width"])))
    labels = draw(
        st.lists(
            st.tuples(st.integers(-5, 10**9), st.integers(0, 5) | finite.map(lambda x: x + 0.0)),
            min_size=1,
            max_size=4,
            unique=True,
        )
    )
    constants = draw(st.dictionaries(st.sampled_from(["T", "oxide thickness"]), finite, max_size=2))
    traces = []
    for device, cycle in labels:
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
    return TraceSet([trace for trace in traces if set(trace.drive) == set(traces[0].drive)])


def fingerprints(traces):
    """Return the fingerprints by device and cycle."""
    return {(t.parameters["device"], t.parameters["cycle"]): t.fingerprint() for t in traces}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(recordings())
@pytest.mark.filterwarnings("ignore:.*(no unit|small)")
def test_written_pulses_are_read_back_exactly(tmp_path, traces):
    path = tmp_path / "round.csv"
    write_pulses(path, traces)
    for layout in ("auto", "long"):
        assert fingerprints(read_trace(path, pulses=layout)) == fingerprints(traces)


def test_header_and_first_rows_of_a_written_file(tmp_path, read):
    path = tmp_path / "out.csv"
    write_pulses(path, read(LONG))
    lines = path.read_text().splitlines()
    assert lines[:3] == [
        "device_id,cycle,pulse_index,direction,conductance_s,pulse_voltage_v,pulse_width_s",
        "0,0,1,unknown,1e-06,1.2,1e-07",
        "0,0,2,SET,2e-06,1.2,1e-07",
    ]
    assert read_trace(path, pulses="auto").fingerprint() == read(LONG).fingerprint()


def pulse_trace(**changes):
    arguments = {
        "time": [0, 1, 2],
        "drive": {"SET": [1, 0, 0], "RESET": [0, 1, 0]},
        "output": {"conductance": [1, 2, 3]},
        "parameters": {"device": 0, "cycle": 0},
        "units": {"time": ""},
    }
    return Trace(**{**arguments, **changes})


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
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
def test_traces_that_the_long_form_cannot_represent_are_refused(tmp_path, changes, kind, message):
    with pytest.raises(kind, match=message):
        write_pulses(tmp_path / "out.csv", pulse_trace(**changes))
    assert not list(tmp_path.iterdir())


def test_sets_that_the_long_form_cannot_represent_are_refused(tmp_path):
    path = tmp_path / "out.csv"
    drive = {"SET": [1, 0, 0], "RESET": [0, 1, 0], "voltage": [1, -1, 1]}
    with pytest.raises(TraceError, match=r"the voltage is not above zero in every sample"):
        write_pulses(path, pulse_trace(drive=drive, units={"time": "", "voltage": "V"}))
    with pytest.raises(TraceError, match=r"trace 1 is a second one of device 0, cycle 0"):
        write_pulses(path, TraceSet([pulse_trace(), pulse_trace()]))
    different = [pulse_trace(parameters={"device": k, "cycle": 0, "T": 300 + k}) for k in range(2)]
    with pytest.raises(TraceError, match=r"the parameter 'T' differs between the traces"):
        write_pulses(path, TraceSet(different))
    single = Trace([0], {"SET": [0], "RESET": [0]}, {"conductance": [1]}, {"device": 0, "cycle": 0}, {"time": ""})
    with pytest.raises(TraceError, match=r"contains a single read"):
        write_pulses(path, single)
