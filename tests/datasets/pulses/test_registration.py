"""A layout registers itself: a new one is one new file in the folder, or one call of `register_layout`."""

from __future__ import annotations

import pkgutil

import numpy as np
import pytest

from spinode.datasets import PulseLayout
from spinode.datasets.pulses.layouts import __path__ as folder
from spinode.datasets.pulses.reads import Reads
from spinode.datasets.pulses.registry import all_layouts, register_layout, unregister_layout
from spinode.errors import ConfigError


@pytest.fixture
def alternating():
    """Register a layout of one column, in which SET and RESET pulses alternate; remove it again."""

    def read(columns, time):
        name = columns.table.names[0]
        values = columns.table.columns([name], [])[0][name]
        signs = np.where(np.arange(len(values)) % 2, -1.0, 1.0)
        return Reads(np.array([0, len(values)]), signs, values, "", np.zeros(1), np.zeros(1))

    yield register_layout("alternating", read, recognise=lambda columns: columns.table.names == ("zigzag",))
    unregister_layout("alternating")


@pytest.mark.parametrize("pulses", ["alternating", "auto", "PulseLayout"])
def test_registered_layout_is_used_by_read_trace(read, alternating, pulses):
    trace = read("zigzag\n1\n0.5\n1\n", PulseLayout("alternating") if pulses == "PulseLayout" else pulses)[0]
    assert trace.drive["SET"].tolist() == [0, 1, 0]
    assert trace.drive["RESET"].tolist() == [1, 0, 0]
    assert trace.provenance["layout"] == "alternating"


def test_names_of_layouts_are_unique(alternating):
    with pytest.raises(ConfigError, match="there is a layout 'alternating' of pulse files already"):
        register_layout("alternating", alternating.read)
    with pytest.raises(ConfigError, match="there is no layout 'nobody'"):
        unregister_layout("nobody")


def test_every_file_of_the_folder_is_one_layout():
    modules = {module.name for module in pkgutil.iter_modules(folder)}
    assert {name.replace("-", "_") for name in all_layouts()} == modules
