"""Pulses in a workbook."""

from __future__ import annotations

import pytest

from spinode.datasets import read_trace


def test_pulses_in_an_excel_sheet(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    workbook = openpyxl.Workbook()
    workbook.active.append(["direction", "G (uS)"])
    for count in range(20):
        workbook.active.append(["SET" if count < 10 else "RESET", 5 + min(count, 20 - count)])
    workbook.save(tmp_path / "pulses.xlsx")
    traces = read_trace(tmp_path / "pulses.xlsx", pulses="long")
    assert traces[0].output["conductance"][0] == pytest.approx(5e-6)
    assert traces[0].drive["SET"].sum() + traces[0].drive["RESET"].sum() == 19
