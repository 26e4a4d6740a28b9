"""The commands for memory devices: from a pulse file to a surrogate, a page and virtual devices; bad input in one sentence."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spinode import TraceWarning, load
from spinode.cli import commands
from spinode.cli.inputs import read_pulses
from spinode.cli.wording import as_options
from spinode.datasets import pulse_traces, read_trace
from spinode.surrogates.synapses import evaluation

#: Fewer and shorter free runs than usual: the assessment has tests of its own.
FEW_RUNS = {"DRAWS": 1, "SAMPLES": 10, "MAX_RUN_READS": 60}


def seeded(seed):
    return torch.Generator().manual_seed(seed)


QUICK = ["--rounds", "1", "--iterations", "3", "--hidden", "4", "--quiet"]


def read(*words):
    """Read the recordings that `spinode fit-synapse` would fit."""
    arguments = commands.build_parser("fit-synapse").parse_args([*map(str, words), "--save", "a.safetensors"])
    return read_pulses(arguments, arguments.tables)


def test_from_pulses_to_a_surrogate_and_a_page(run, here, pulse_folder, monkeypatch):
    for name, value in FEW_RUNS.items():
        monkeypatch.setattr(evaluation, name, value)
    words = ["--layout", "long", "--save", "a.safetensors", "--report", "a.html", "--scale", "linear", "--seed", 3]
    code, out, err = run("fit-synapse", pulse_folder / "one.csv", *words, *QUICK)
    assert (code, err) == (0, "")
    assert "SET and RESET" in out
    assert len([line for line in out.splitlines() if line.startswith("- ")]) >= 3
    assert "device to device" in out
    assert out.endswith("saved a.safetensors\nsaved a.html\n")
    surrogate = load("a.safetensors")
    assert surrogate.polarities == ("SET", "RESET")
    assert (here / "a.html").read_text("utf-8").startswith("<!DOCTYPE html>")
    config = surrogate.record["config"]
    assert (config["seed"], config["scale"], config["rounds"]) == (3, "linear", 1)


def test_ramps_of_either_polarity_are_one_set(pulse_folder):
    files = [f"SET={pulse_folder / 'set.csv'}", f"RESET={pulse_folder / 'reset.csv'}"]
    traces = read(*files, "--layout", "ramps", "--conductance-unit", "uS")
    assert [trace.drive["SET"].sum() for trace in traces] == [60] * 3 + [0] * 3
    assert [trace.drive["RESET"].sum() for trace in traces] == [0] * 3 + [60] * 3
    assert {trace.parameters["device"] for trace in traces} == {0.0}
    assert traces[0].unit("conductance") == "S"


def test_existing_file_named_like_a_polarity_is_a_file(here, pulse_folder):
    (here / "SET=x.csv").write_text((pulse_folder / "set.csv").read_text())
    with pytest.warns(TraceWarning, match="RESET pulses raise the conductance"):
        traces = read("SET=x.csv", "--layout", "ramps", "--conductance-unit", "uS", "--polarity", "RESET")
    assert traces[0].drive["RESET"].sum() == 60


def test_separate_files_contain_different_devices(pulse_folder):
    words = ["--layout", "ramps", "--conductance-unit", "uS", "--polarity", "SET"]
    traces = read(*[pulse_folder / "set.csv"] * 3, "--separate", *words)
    assert [trace.parameters["device"] for trace in traces] == [0.0] * 3 + [1.0] * 3 + [2.0] * 3


def test_inspect_shows_the_pulses_and_how_to_fit(run, here, pulse_folder):
    words = ["--layout", "ramps", "--polarity", "SET", "--conductance-unit", "uS"]
    code, out, _ = run("inspect", pulse_folder / "set.csv", *words)
    assert code == 0
    assert "3 of 1 device, 61 .. 61 reads each, 183 in total" in out
    assert "SET          180 pulses" in out
    assert "by moments: read noise" in out
    assert f"spinode fit-synapse {pulse_folder / 'set.csv'} {' '.join(words)} --save device.safetensors" in out


def test_virtual_reads_follow_the_seed(run, here, synapse_file):
    words = ["--pulses", 20, "--polarity", "RESET", "--devices", 5]
    for name, seed in (("a.csv", 1), ("b.csv", 1), ("c.csv", 2)):
        code, out, err = run("simulate-synapse", synapse_file, *words, "--seed", seed, "--save", name)
        assert code == 0
        assert "these differ by noise only" in err
        assert out == f"saved {name}: 5 devices, 20 RESET pulses each\n"
    texts = [(here / name).read_text() for name in ("a.csv", "b.csv", "c.csv")]
    assert texts[0] == texts[1] != texts[2]
    traces = read_trace("a.csv", pulses="long")
    expected = pulse_traces(load(synapse_file), -torch.ones(20), devices=5, generator=seeded(1))
    for trace, other in zip(traces, expected, strict=True):
        np.testing.assert_allclose(trace.output["conductance"], other.output["conductance"], rtol=1e-12)


def test_columns_by_role(run, here):
    (here / "w.csv").write_text("p,dir,w=1\n" + "".join(f"{k},{'SET' if k else ''},{0.1 * k:.3f}\n" for k in range(40)))
    words = ["--layout", "long", "--column", "pulse=p", "--column", "direction=dir", "--column", "conductance=w=1"]
    code, out, err = run("inspect", "w.csv", *words)
    assert (code, err) == (0, "")
    assert "SET          39 pulses" in out
    printed = " ".join(words).replace("--column", "--columns")
    assert f"spinode fit-synapse w.csv {printed} --save device.safetensors" in out


def test_inspect_reports_pulses_without_effect(run, here):
    rising = "".join(f"SET,{5 + 0.1 * k:.1f}\n" for k in range(40))
    (here / "half.csv").write_text("direction,G (uS)\n" + rising + "RESET,8.9\n" * 40)
    code, out, _ = run("inspect", "half.csv", "--layout", "long")
    assert code == 0
    assert "RESET        40 pulses\n             the reads do not change under single pulses" in out
    assert "-0 " not in out
    (here / "flat.csv").write_text("direction,G (uS)\n" + "SET,5\n" * 40)
    code, _, err = run("inspect", "flat.csv", "--layout", "long")
    assert code == 2
    assert "the conductance never changes" in err


def test_inspect_of_pulses_without_a_layout_suggests_one(run, here, pulse_folder):
    code, out, err = run("inspect", pulse_folder / "one.csv")
    assert code == 0
    assert 'pass --layout auto (or the layout by name: "long", "up-down", "ramps")' in err
    assert "the samples are numbered by sample numb" in out


def test_inspect_of_two_curves_suggests_to_read_them_as_pulses(run, here):
    (here / "curves.csv").write_text("Pulse,LTP (uS),LTD (uS)\n" + "".join(f"{k},{1 + k / 9},{6 - k / 9}\n" for k in range(40)))
    code, out, _ = run("inspect", "curves.csv")
    assert code == 0
    assert out.endswith("To read it so:\n  spinode inspect curves.csv --layout auto\n")
    code, out, _ = run("inspect", "curves.csv", "--layout", "auto")
    assert code == 0
    assert "spinode fit-synapse curves.csv --layout auto" in out


@pytest.mark.parametrize("layout", [[], ["--layout", "auto"]])
def test_inspect_recognises_two_columns_named_by_polarity(run, here, layout):
    (here / "both.csv").write_text("SET,RESET\n1,3\n2,2\n3,1\n")
    code, _, err = run("inspect", "both.csv", *layout)
    assert code == (2 if layout else 0)
    assert "--layout up-down if they are, or --layout ramps --polarity SET for ramps" in err


# Bad input


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fit-synapse", "none.csv", "--save", "a.safetensors"], "none.csv"),
        (["fit-synapse", "{set}", "--layout", "ramps", "--save", "a.safetensors"], "polarity"),
        (["fit-synapse", "{one}", "--save", "{one}"], "is the file that is read"),
        (["fit-synapse", "{one}", "--save", "no/a.safetensors"], "does not exist"),
        (["fit-synapse", "{one}", "--save", "a", "--report", "a"], "both name a"),
        (["fit-synapse", "{one}", "--save", "a", "--scale", "cubic"], "scale is 'cubic'; expected one of linear, log"),
        (["fit-synapse", "{one}", "--save", "a", "--layout", "wide"], "invalid choice"),
        (["fit-synapse", "{one}"], "--save"),
        (
            ["fit-synapse", "{one}", "--read-voltage", "-1", "--save", "a.safetensors"],
            "read_voltage is -1; expected a finite number above 0 [V]",
        ),
        (["fit-synapse", "{one}", "--unit", "uS", "--save", "a.safetensors"], "has no '='"),
        (["fit-synapse", "{one}", "--save", "x.txt"], "ends in .safetensors"),
        (["fit-synapse", "UP={one}", "--save", "a.safetensors"], "is SET= or RESET=: SET="),
        (
            ["fit-synapse", "{set}", "--layout", "ramps", "--save", "a.safetensors"],
            "pass --layout ramps --polarity SET or 'RESET'.",
        ),
        (["inspect", "{one}", "--layout", "long", "--polarity", "SET"], "and --polarity SET another; leave"),
        (["inspect", "{one}", "--layout", "long", "--polarity", "SET"], "--columns direction="),
        (["inspect", "{one}", "--layout", "long", "--column", "weight"], "expected ROLE=NAME"),
        (["inspect", "{one}", "--layout", "long", "--column", "pulse=n"], "there is no column 'n' for the pulse"),
        (["inspect", "{one}", "--column", "pulse=n"], "pass --layout too"),
        (["simulate-synapse", "{fitted}", "--pulses", "1001", "--devices", "1000", "--save", "a.csv"], "at most 1000000"),
        (["simulate", "{fitted}", "{one}", "--save", "a.csv"], "`spinode simulate-synapse`"),
        (["inspect", "{one}", "--polarity", "SET"], "pass --layout too"),
        (["inspect", "{one}", "--layout", "long", "--start", "0"], "start and stop cannot be used with --layout"),
        (["inspect", "{one}", "--layout", "ramps"], "polarity"),
        (["simulate-synapse", "none", "--pulses", "3", "--save", "a.csv"], "the shipped ones are"),
        (["simulate-synapse", "{one}", "--pulses", "3", "--save", "a.csv"], "cannot be read as a surrogate"),
        (["simulate-synapse", "{fitted}", "--pulses", "0", "--save", "a.csv"], "at least 1"),
        (["simulate-synapse", "{fitted}", "--pulses", "3", "--devices", "0", "--save", "a.csv"], "at least 1"),
        (
            ["simulate-synapse", "{fitted}", "--pulses", "3", "--voltage", "1", "--save", "a.csv"],
            "does not depend on it; leave --voltage out",
        ),
        (["simulate-synapse", "{fitted}", "--pulses", "3", "--save", "{fitted}"], "is the file that is read"),
    ],
)
def test_bad_input_ends_in_one_sentence(run, here, pulse_folder, synapse_file, words, message):
    before = synapse_file.read_bytes()
    names = {"one": pulse_folder / "one.csv", "set": pulse_folder / "set.csv", "fitted": synapse_file}
    code, out, err = run(*[word.format(**names) for word in words])
    assert code == 2
    assert out == ""
    assert err.startswith("spinode: error: ")
    assert err.count("\n") == 1
    assert message in err
    assert list(here.iterdir()) == []
    assert synapse_file.read_bytes() == before


def test_advice_in_python_becomes_options():
    assert as_options("pass it: pulses=PulseLayout(..., read_voltage=0.1).") == "pass it: --read-voltage 0.1."
    given = "PulseLayout(layout='long', columns={'device': ..., 'conductance': 'G (a)'}) or conductance_unit=''"
    assert as_options(given) == "--layout long --columns device=NAME --columns 'conductance=G (a)' or --conductance-unit ''"


def test_a_polarity_to_which_the_device_does_not_respond_is_refused(run, here):
    code, _, err = run("simulate-synapse", "hfox-weak-reset", "--pulses", "3", "--polarity", "SET", "--save", "a.csv")
    assert code == 2
    assert "--polarity is SET, but this device responds to RESET pulses only; leave --polarity out." in err


def test_files_and_quoted_words_stay_as_they_are():
    for message in ("there is no file 'units=3/a.csv'", "no folder runs/polarity=1/x", "--units='mV' is not known"):
        assert as_options(message) == message
