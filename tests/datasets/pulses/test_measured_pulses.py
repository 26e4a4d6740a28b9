"""Published measurements of memory devices."""

from __future__ import annotations

import numpy as np
import pytest

from spinode.datasets import PulseLayout, read_trace
from spinode.errors import TraceWarning


def assert_equal(trace, **expected):
    for name, values in expected.items():
        got = trace.time if name == "time" else trace.channels[name]
        np.testing.assert_array_equal(got, values, err_msg=name)


def lag_one(values):
    values = values - values.mean()
    return (values[1:] * values[:-1]).sum() / (values**2).sum()


def test_up_down_columns_of_gong_2018(shared):
    traces = read_trace(shared / "data/devices/ibm_gong2018_reram/gong_et_al.csv", pulses="up-down")
    steps = [np.diff(trace.output["conductance"]) for trace in traces]
    assert [len(trace) for trace in traces] == [1000, 1000]
    assert [step.std(ddof=1) for step in steps] == pytest.approx([0.163, 0.169], abs=0.001)
    assert [lag_one(step) for step in steps] == pytest.approx([-0.44, -0.44], abs=0.01)


@pytest.mark.parametrize(("polarity", "ramps", "length"), [("SET", 39, 190), ("RESET", 40, 152)])
def test_ramps_of_sandia_crosssim(shared, polarity, ramps, length):
    path = shared / f"data/devices/sandia_crosssim_ramps/{polarity.lower()}.csv"
    traces = read_trace(path, pulses=PulseLayout("ramps", polarity=polarity, read_voltage=0.1))
    assert len(traces) == ramps
    assert [trace.parameters["cycle"] for trace in traces] == list(range(ramps))
    assert np.mean([len(trace) for trace in traces]) == pytest.approx(length, abs=2)
    conductance = np.concatenate([trace.output["conductance"] for trace in traces])
    assert (conductance.min(), conductance.max()) == pytest.approx((1.6e-3, 2.5e-3), abs=0.05e-3)
    assert all(trace.drive[polarity].sum() == len(trace) - 1 for trace in traces)


@pytest.mark.parametrize(("name", "low"), [("techB_relaxdata_10k", 0), ("techC_relaxdata", 1)])
def test_long_table_of_the_stanford_relaxation_data(shared, name, low):
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
        rows = table[table[:, 0] == trace.parameters["device"]]
        assert_equal(trace, time=rows[:, 1], conductance=rows[:, 2], SET=0 * rows[:, 1], RESET=0 * rows[:, 1])
        assert trace.unit("time") == "s"
