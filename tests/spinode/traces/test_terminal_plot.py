"""Pictures of recordings in a terminal."""

import numpy as np
import pytest

from spinode import Trace
from spinode.traces.channel_roles import likely_drives
from spinode.traces.inspect import summary
from spinode.traces.terminal_plot import picture

RAMP = np.linspace(0, 1, 240)


def test_a_ramp_climbs_from_the_lowest_dot_to_the_highest():
    lines = picture(Trace(RAMP, output={"y": RAMP}))
    assert [line[:3] for line in lines] == ["  |", "y |", "  |"]
    dots = [np.array([ord(mark) - 0x2800 for mark in line[3:-1]]) for line in lines]
    assert all((each >= 0).all() and (each < 256).all() for each in dots)
    # Each third of the picture has its dots in its own third of the time.
    filled = [np.flatnonzero(each) for each in dots]
    assert filled[2].min() == 0
    assert filled[0].max() == 59
    assert filled[2].max() <= filled[1].min() + 1 <= filled[0].min() + 22


def test_plain_text_has_one_line_a_channel():
    (line,) = picture(Trace(RAMP, output={"y": RAMP}), plain=True)
    assert line.startswith("y |")
    assert line.isascii()
    levels = [" .:-=+*#".index(mark) for mark in line[3:-1]]
    assert levels == sorted(levels)
    assert levels[-1] == 7


@pytest.mark.parametrize("plain", [True, False])
def test_what_cannot_be_drawn_is_left_out(plain):
    gap = np.where(np.arange(240) < 120, np.nan, 1.0)
    trace = Trace(RAMP, output={"gap": gap, "empty": np.full(240, np.nan), "flat": np.ones(240)})
    lines = picture(trace, plain=plain)
    assert not any("empty" in line for line in lines)
    assert len(lines) == (2 if plain else 6)
    many = Trace(RAMP, output={f"c{k}": RAMP for k in range(9)})
    assert picture(many, plain=plain)[-1] == "and 3 more"
    assert picture(Trace([0.0, 1.0], output={"y": [0.0, 1.0]}), plain=plain)


def test_a_sweep_of_volts_and_amperes_is_fitted_from_one_to_the_other():
    trace = Trace(
        np.arange(240.0),
        output={"out": np.sin(RAMP), "set": RAMP},
        units={"out": "A", "set": "V", "time": ""},
        provenance={"file": "iv.csv", "sampled_by": "sample number", "metadata": {"header": {"Model": "2450", "Points": 3}}},
    )
    assert likely_drives(trace) == ("set",)
    text = summary(trace, options=["--time", "sample"])
    assert "spinode fit iv.csv --time sample --drive set --output out --save device.safetensors" in text
    assert "recorded  Model: 2450" in text
    assert "the recording runs over the sample number" in text
    alone = summary(Trace(RAMP, output={"y": np.sin(9 * RAMP)}))
    assert "spinode fit TABLE --output y --save" in alone
