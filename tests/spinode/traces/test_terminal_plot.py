"""Plots of recordings as text."""

import numpy as np
import pytest

from spinode import Trace
from spinode.traces.terminal_plot import terminal_plot

RAMP = np.linspace(0, 1, 240)


def test_ramp_rises_from_the_lowest_to_the_highest_dot():
    lines = terminal_plot(Trace(RAMP, output={"y": RAMP}))
    assert [line[:3] for line in lines] == ["  |", "y |", "  |"]
    dots = [np.array([ord(character) - 0x2800 for character in line[3:-1]]) for line in lines]
    assert all((row >= 0).all() and (row < 256).all() for row in dots)
    # Each third of the height has its dots in its own third of the time.
    filled = [np.flatnonzero(row) for row in dots]
    assert filled[2].min() == 0
    assert filled[0].max() == 59
    assert filled[2].max() <= filled[1].min() + 1 <= filled[0].min() + 22


def test_plain_plot_has_one_line_per_channel():
    (line,) = terminal_plot(Trace(RAMP, output={"y": RAMP}), plain=True)
    assert line.startswith("y |")
    assert line.isascii()
    levels = [" .:-=+*#".index(character) for character in line[3:-1]]
    assert levels == sorted(levels)
    assert levels[-1] == 7


@pytest.mark.parametrize("plain", [True, False])
def test_channels_without_values_and_beyond_six_are_omitted(plain):
    gap = np.where(np.arange(240) < 120, np.nan, 1.0)
    trace = Trace(RAMP, output={"gap": gap, "empty": np.full(240, np.nan), "flat": np.ones(240)})
    lines = terminal_plot(trace, plain=plain)
    assert not any("empty" in line for line in lines)
    assert len(lines) == (2 if plain else 6)
    many = Trace(RAMP, output={f"c{k}": RAMP for k in range(9)})
    assert terminal_plot(many, plain=plain)[-1] == "and 3 more"
    assert terminal_plot(Trace([0.0, 1.0], output={"y": [0.0, 1.0]}), plain=plain)
