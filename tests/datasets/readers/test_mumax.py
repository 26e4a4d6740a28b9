"""Tables of MuMax3."""

from __future__ import annotations

import time

import numpy as np
import pytest

from spinode.datasets import read_trace
from spinode.errors import TraceError

MUMAX = """# t (s)\tmx ()\tmz ()\tKu1.region100 (J/m3)
0\t1e-9\t0.5\t800000
1e-12\t2e-9\t0.6\t810000
2e-12\t3e-9\t0.7\t820000
"""


def test_mumax_table(read):
    trace = read(MUMAX, drive="Ku1.region100", output=["mz"])
    assert trace.time.tolist() == [0, 1e-12, 2e-12]
    assert trace.drive["Ku1.region100"].tolist() == [8e5, 8.1e5, 8.2e5]
    assert list(trace.output) == ["mz"]
    assert dict(trace.units) == {"time": "s", "Ku1.region100": "J/m3", "mz": ""}
    assert trace.provenance["reader"] == "mumax"


@pytest.mark.filterwarnings("ignore:.*the times decrease")
def test_mumax_header_written_again_by_a_restarted_run(read):
    first, *rows = MUMAX.splitlines(keepends=True)
    assert len(read(MUMAX + first + rows[0])) == 4


def test_mumax_second_table_with_other_columns(read):
    with pytest.raises(TraceError, match=r"line 5 starts a second table with other columns .*one table per run"):
        read(MUMAX + "# t (s)\tmy ()\n0\t1\n")


def test_mumax_truncated_last_line(read):
    with pytest.raises(TraceError, match=r"line 4 has 2 cells, expected 4: .* the file was cut off; remove that line"):
        read(MUMAX[:-11].rstrip("\t0.7"))


def test_format_can_be_named(read):
    assert read(MUMAX, format="delimited").provenance["reader"] == "delimited"
    with pytest.raises(TraceError, match=r"no reader 'csv'; the readers are: npz, .*mumax, .*delimited"):
        read(MUMAX, format="csv")
    with pytest.raises(TraceError, match=r"damaged"):
        read(MUMAX, format="npz")


@pytest.mark.filterwarnings("ignore:.*the times decrease")
def test_long_table_is_read_fast(write):
    values = np.random.default_rng(0).normal(size=(30_000, 6))
    path = write("# t (s)\ta ()\tb ()\tc ()\td ()\te ()\n" + "\n".join("\t".join(map(repr, row)) for row in values.tolist()))
    begin = time.process_time()
    trace = read_trace(path)
    # 0.1 s of processor time; the bound leaves room for a slow machine.
    assert time.process_time() - begin < 1.0
    assert trace.output["e"].tolist() == values[:, 5].tolist()
