"""`spinode inspect --json`: what an issue about a file needs, and no more."""

from __future__ import annotations

import json

import numpy as np
import pytest

from spinode.datasets import read_trace, sample_path
from spinode.surrogates import zoo


def test_it_has_names_units_ranges_and_problems_but_no_samples_and_no_folders(run, here):
    (here / "private").mkdir()
    table = here / "private" / "a.csv"
    table.write_text(sample_path("macrospin.csv").read_text())
    code, out, err = run("inspect", "private/a.csv", "--json")
    assert (code, err) == (0, "")
    assert "private" not in out
    facts = json.loads(out)
    trace = read_trace(table)
    first = facts["first"]
    assert (facts["file"], facts["recordings"], first["samples"]) == ("a.csv", 1, len(trace))
    assert {"spinode", "python", "torch"} <= set(facts["versions"])
    mz = first["output"]["mz"]
    assert (mz["least"], mz["largest"]) == (trace.output["mz"].min(), trace.output["mz"].max())
    assert first["time"]["unit"] == "s"
    assert len(out) < 4000


def test_missing_samples_are_counted_and_leave_the_ranges_finite(run, here):
    values = np.sin(np.arange(300.0))
    lines = [f"{k * 1e-9},{'' if k in (5, 6) else value}" for k, value in enumerate(values)]
    (here / "b.csv").write_text("\n".join(["time (s),V (V)", *lines]) + "\n")
    code, out, _ = run("inspect", "b.csv", "--json", "--missing", "mask")
    assert code == 0
    column = json.loads(out)["first"]["output"]["V"]
    assert column["missing"] == 2
    assert np.isfinite([column["least"], column["largest"]]).all()


def test_a_file_that_is_not_read_gives_the_sentence(run, here):
    (here / "notes.txt").write_text("no numbers here\n")
    code, out, _ = run("inspect", "notes.txt", "--json")
    assert code == 0
    assert "notes.txt" in json.loads(out)["error"]


@pytest.mark.parametrize("name", ["macrospin", "vteam"])
def test_a_model_is_named_as_such(run, name):
    code, out, _ = run("inspect", zoo.path(name), "--json")
    assert code == 0
    assert json.loads(out)["model"]
