"""Arguments of `read_trace(..., pulses=...)`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from spinode import Trace
from spinode.datasets import PulseLayout, read_trace
from spinode.errors import ConfigError, TraceError, TraceWarning

LONG = Path(__file__).with_name("long_table.csv").read_text()


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
def test_layout_with_bad_values_is_refused(options, message):
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


def test_pulses_must_be_a_layout(write):
    with pytest.raises(ConfigError, match=r"pulses is of type int; expected the name of a layout or a PulseLayout"):
        read_trace(write(LONG), pulses=3)
    with pytest.raises(TraceError, match=r"there is no file"):
        read_trace("nowhere.csv", pulses="auto")


def test_without_pulses_the_warning_suggests_the_argument(write):
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


def test_without_pulses_a_file_is_one_recording(write):
    trace = read_trace(write("t (s),pulse,G (S)\n0,1,2\n1,2,3\n"))
    assert isinstance(trace, Trace)
    assert list(trace.output) == ["pulse", "G"]
