"""Large text files are read in blocks, with the same result."""

from __future__ import annotations

import numpy as np
import pytest

from spinode.datasets import read_trace
from spinode.datasets.parsing import blocks
from spinode.datasets.readers import delimited
from spinode.errors import TraceError


@pytest.mark.filterwarnings("ignore:.*the times decrease")
@pytest.mark.parametrize("polars", [True, False])
@pytest.mark.parametrize("delimiter", [",", "\t", ";", " "])
def test_reading_in_blocks_gives_the_same_result(tmp_path, monkeypatch, polars, delimiter):
    decimal_comma = delimiter == ";"
    rng = np.random.default_rng(0)
    values = rng.standard_normal((300, 3)) * 10.0 ** rng.integers(-12, 12, (300, 3))
    body = "".join(delimiter.join(f"{x:.17g}" for x in row) + "\n" for row in values.tolist())
    text = delimiter.join(["t", "V", "I"]) + "\n" + (body.replace(".", ",") if decimal_comma else body)
    path = tmp_path / "a.txt"
    path.write_text(text)
    at_once = read_trace(path)
    monkeypatch.setattr(delimited, "LARGE", 0)
    monkeypatch.setattr(blocks, "_BLOCK", 1000)
    monkeypatch.setattr(blocks, "_HEAD", 2000)
    if not polars:
        monkeypatch.setattr(blocks, "_polars", lambda: None)
    messages: list[str] = []
    in_blocks = read_trace(path, progress=messages.append)
    assert in_blocks.fingerprint() == at_once.fingerprint()
    assert messages[-1] == "reading a.txt: 100 %"
    lines = text.splitlines()
    lines[200] = lines[200].replace(lines[200].split(delimiter)[1], "oops")
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(TraceError, match=r"line 201, column 2 \('V'\): 'oops' is not a number"):
        read_trace(path)


@pytest.mark.parametrize("cell", ["1 2", "1+2", "1 .5", "OVLD2"])
def test_two_numbers_in_a_cell_are_refused_in_blocks_too(tmp_path, monkeypatch, cell):
    monkeypatch.setattr(delimited, "LARGE", 0)
    path = tmp_path / "a.csv"
    path.write_text("t,V\n" + "".join(f"{k}, +{k}.5e+0\n" for k in range(300)))
    assert read_trace(path).output["V"].tolist() == [k + 0.5 for k in range(300)]
    path.write_text("t,V\n0,1\n" + f"1,{cell}\n" + "2,3\n" * 3)
    with pytest.raises(TraceError, match=r"line 3, column 2 .* is not a number"):
        read_trace(path)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_below_a_large_table(tmp_path, monkeypatch, end):
    monkeypatch.setattr(delimited, "LARGE", 0)
    monkeypatch.setattr(blocks, "_TAIL", 200)
    path = tmp_path / "a.csv"
    rows = [f"{k},{k % 7}.5" for k in range(300)]
    path.write_bytes(end.join(["t,V", *rows, "V_DS =,-0.6", "", "End of µ-measurement", ""]).encode())
    trace = read_trace(path)
    assert trace.output["V"].tolist() == [k % 7 + 0.5 for k in range(300)]
    assert trace.provenance["metadata"]["footer"][0] == "V_DS =,-0.6"
    assert trace.provenance["notes"] == ["2 lines below the table left out: V_DS =,-0.6"]
