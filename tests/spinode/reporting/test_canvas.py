"""Labels with SI prefixes, and reduction of long lines and scatter plots."""

import numpy as np
import pytest

from spinode.reporting.canvas import axis_label, choose_prefix, envelope_indices, subsample_indices


def test_envelope_keeps_every_extreme_of_a_long_line():
    values = np.zeros(100_000)
    values[[123, 77_777]] = 1.0, -1.0
    indices = envelope_indices(values, 1000)
    assert len(indices) <= 1002
    assert {123, 77_777} <= set(indices)
    assert np.all(np.diff(indices) > 0)
    assert len(envelope_indices(values[:1000], 1000)) == 1000


def test_subsample_is_evenly_spaced_from_first_to_last():
    assert subsample_indices(5, 10).tolist() == [0, 1, 2, 3, 4]
    indices = subsample_indices(10_000, 101)
    assert (indices[0], indices[-1], len(indices)) == (0, 9999, 101)
    assert set(np.diff(indices)) <= {99, 100, 101}


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (5.85e-8, "s", (1e-9, "ns")),
        (0.02, "V", (1e-3, "mV")),
        (8e5, "J/m3", (1e3, "kJ/m3")),
        (0.3, "", (1.0, "")),
        (0.0, "V", (1.0, "V")),
        (5e-4, "m2", (1.0, "m2")),
        (5e-4, "bananas", (1.0, "bananas")),
        (float("nan"), "V", (1.0, "V")),
    ],
)
def test_prefix_has_its_usual_power_or_is_omitted(value, unit, expected):
    assert choose_prefix(value, unit) == expected


def test_labels_print_special_characters_as_text():
    assert axis_label("a$\\frac{", "uV") == "a\\$\\\\frac{ (µV)"
    assert len(axis_label("x" * 500, "")) == 40
