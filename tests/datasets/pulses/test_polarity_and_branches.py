"""Polarity from signs, unseen reads, tables of LTP and LTD, and reads that contradict their pulses."""

from __future__ import annotations

import numpy as np
import pytest

from spinode.datasets import PulseLayout, read_trace
from spinode.errors import TraceError, TraceWarning

SIGNED = "pulse,pulse_v,conductance (uS)\n" + "".join(
    f"{k},{1 if k % 20 < 10 else -1},{1 + 0.1 * (k % 20 if k % 20 < 10 else 20 - k % 20):.3f}\n" for k in range(200)
)


@pytest.fixture
def file(tmp_path):
    def write(text, name="pulses.csv"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def test_signs_of_voltages_are_the_polarity(file):
    (trace,) = read_trace(file(SIGNED), pulses="auto")
    signs = np.array([1 if k % 20 < 10 else -1 for k in range(1, 200)])
    assert (trace.drive["SET"][:-1] - trace.drive["RESET"][:-1]).tolist() == signs.tolist()
    with pytest.raises(TraceError, match="polarity='SET' contradicts column 'pulse_v': 100 of its 200 voltages are negative"):
        read_trace(file(SIGNED), pulses=PulseLayout(polarity="SET"))


def test_the_whole_set_of_files_decides(file, tmp_path):
    file("pulse,pulse_v,conductance (uS)\n" + "".join(f"{k},1,{1 + k}\n" for k in range(12)), "p1.csv")
    file("pulse,pulse_v,conductance (uS)\n" + "".join(f"{k},-1,{30 - k}\n" for k in range(12)), "p2.csv")
    up, down = read_trace(str(tmp_path / "p*.csv"), pulses="long")
    assert (up.drive["SET"].sum(), down.drive["RESET"].sum()) == (11, 11)
    with pytest.raises(TraceError, match="all voltages in column 'pulse_v' are positive"):
        read_trace(tmp_path / "p1.csv", pulses="long")
    with pytest.raises(TraceError, match="the files have voltages of both signs"):
        read_trace(str(tmp_path / "p*.csv"), pulses=PulseLayout("long", polarity="SET"))


def test_files_of_a_pattern_on_the_command_line(file, tmp_path, capsys):
    from spinode.cli import main

    for name, rows in (("c1.csv", range(1, 9)), ("c2.csv", range(3, 11))):
        file("pulse,direction,conductance (uS)\n" + "".join(f"{k},SET,{r}\n" for k, r in enumerate(rows)), name)
    assert main(["inspect", str(tmp_path / "c*.csv"), "--layout", "long"]) == 0
    assert "recordings   2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([("SET", 20 - k) for k in range(12)] + [("RESET", 9 + k) for k in range(12)], "SET pulses lower.*RESET pulses raise"),
        ([("RESET", 5 + k) for k in range(12)], "RESET pulses raise the conductance"),
        ([("SET", 50 - k) for k in range(12)], "SET pulses lower the conductance"),
    ],
)
def test_reads_that_contradict_their_pulses_are_reported(file, table, message):
    rows = "".join(f"{k},{word},{value}\n" for k, (word, value) in enumerate(table))
    with pytest.warns(TraceWarning, match=message):
        read_trace(file("pulse,direction,conductance (uS)\n" + rows), pulses="long")


def test_reads_that_agree_with_their_pulses_are_not_reported(file):
    assert len(read_trace(file(SIGNED), pulses="long")) == 1


def test_read_voltage_that_is_not_used_is_an_error(file):
    with pytest.raises(TraceError, match=r"read_voltage is 0\.1, but the reads are not currents"):
        read_trace(file(SIGNED), pulses=PulseLayout(read_voltage=0.1))


BRANCHES = {
    "Pulse,LTP,LTD": "{k},{up},{down}",
    "Pulse,Potentiation (uS),Depression (uS)": "{k},{up},{down}",
    "Pulse,LTP,,Pulse,LTD": "{k},{up},,{k},{down}",
    "Device 3,,,,\nmeasured on Monday\nPulse,LTP (uS),,Pulse,LTD (uS)": "{k},{up},,{k},{down}",
}


@pytest.mark.parametrize("header", BRANCHES)
def test_tables_of_ltp_and_ltd(file, header):
    rows = "".join(BRANCHES[header].format(k=k, up=1 + k, down=20 - k) + "\n" for k in range(1, 9))
    up, down = read_trace(file(f"{header}\n{rows}"), pulses="auto")
    scale = 1e-6 if "uS" in header else 1.0
    assert up.output["conductance"] == pytest.approx(scale * np.arange(2.0, 10.0))
    assert down.output["conductance"] == pytest.approx(scale * np.arange(19.0, 11.0, -1))
    assert (up.drive["SET"].sum(), up.drive["RESET"].sum()) == (7, 0)
    assert (down.drive["SET"].sum(), down.drive["RESET"].sum()) == (0, 7)


def test_tables_of_ltp_and_ltd_in_a_workbook(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    workbook = openpyxl.Workbook()
    for row in [["Sample 7"], ["Pulse", "LTP (uS)", None, "Pulse", "LTD (uS)"], *([k, k, None, k, 9 - k] for k in range(1, 8))]:
        workbook.active.append(row)
    workbook.save(tmp_path / "a.xlsx")
    up, down = read_trace(tmp_path / "a.xlsx", pulses="auto")
    assert (len(up), len(down), down.drive["RESET"].sum()) == (7, 7, 6)


def test_titles_above_a_long_table(file):
    text = "Title of the run\nSample 5\npulse,direction,conductance (uS)\n0,none,1\n1,SET,2\n2,SET,3\n"
    (trace,) = read_trace(file(text), pulses="long")
    assert trace.output["conductance"] == pytest.approx([1e-6, 2e-6, 3e-6])


def test_blank_reads_are_unseen_reads(file):
    rows = "1,0,none,1\n1,1,SET,2\n1,2,SET,\n1,3,SET,4\n1,4,RESET,3\n"
    (trace,) = read_trace(file("device,pulse,direction,conductance (uS)\n" + rows), pulses="long")
    assert trace.output["conductance"] == pytest.approx([1e-6, 2e-6, 4e-6, 3e-6])
    assert trace.drive["SET"].tolist() == [1, 2, 0, 0]
    assert trace.time.tolist() == [0, 1, 3, 4]
    (ramp,) = read_trace(file("ramp (uS)\n1\n2\n\n4\n".replace("\n\n", "\nnan\n")), pulses=PulseLayout("ramps", polarity="SET"))
    assert (ramp.time[-1] - ramp.time[0], len(ramp)) == (3, 3)
    mixed = "device,pulse,direction,conductance (uS)\n1,0,none,1\n1,1,SET,\n1,2,RESET,2\n1,3,SET,3\n"
    with pytest.raises(TraceError, match="line 4: the read follows pulses of both polarities"):
        read_trace(file(mixed), pulses="long")
