"""The commands for memory devices: from a pulse file to a surrogate, a page and virtual devices; bad input in one sentence."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pytest
import torch

from spinode import load
from spinode.cli import in_options, main
from spinode.datasets import SoftBounds, pulse_traces, read_trace, write_pulses
from spinode.surrogates.synapses import assessment as synapse_scores
from spinode.surrogates.synapses.fit import SynapseConfig, fit_synapse


@pytest.fixture
def run(capsys):
    """Call the command line in this process: exit code, standard output, standard error."""

    def called(*words):
        shown = warnings.showwarning
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            try:
                code = main([str(word) for word in words])
            except SystemExit as stop:  # argparse ends so
                code = stop.code
            finally:
                warnings.showwarning = shown
        out, err = capsys.readouterr()
        return code, out, err

    return called


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def seeded(seed):
    return torch.Generator().manual_seed(seed)


DEVICE = SoftBounds(dw_min=0.02, dw_min_std=0.5, start=-0.5)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A long-form file of one device, ramps of either polarity, and the surrogate of the first."""
    folder = tmp_path_factory.mktemp("pulses")
    turns = torch.where(torch.arange(160) // 20 % 2 == 0, 1.0, -1.0)
    write_pulses(folder / "one.csv", pulse_traces(DEVICE, turns, generator=seeded(0)))
    for name, sign in (("set", 1.0), ("reset", -1.0)):
        start = SoftBounds(dw_min=0.02, dw_min_std=0.5, start=-0.6 * sign)
        traces = pulse_traces(start, sign * torch.ones(60), devices=3, generator=seeded(1))
        columns = np.stack([trace.output["conductance"] for trace in traces], 1) * 50 + 100
        text = "r1,r2,r3\n" + "\n".join(",".join(f"{value:.6g}" for value in row) for row in columns)
        (folder / f"{name}.csv").write_text(text + "\n")
    return folder


@pytest.fixture
def quick(monkeypatch):
    """Fits of a second: what is tested here is the way through, not the fit."""

    def cheap(traces, config, **words):
        seen.append((traces, config))
        return fit_synapse(traces, SynapseConfig(seed=config.seed, scale=config.scale, rounds=1, iterations=3, hidden=(4,)))

    seen: list = []
    # The package shows the function under the name of its module.
    monkeypatch.setattr(sys.modules["spinode.surrogates.synapses.fit"], "fit_synapse", cheap)
    for name, value in (("DRAWS", 1), ("SAMPLES", 10), ("STRETCH", 60)):
        monkeypatch.setattr(synapse_scores, name, value)
    return seen


@pytest.fixture(scope="module")
def fitted(written):
    """A surrogate of the long-form file, as a file."""
    path = written / "device.safetensors"
    config = SynapseConfig(rounds=1, iterations=3, hidden=(4,))
    fit_synapse(read_trace(written / "one.csv", pulses="long"), config).save(path)
    return path


def test_from_pulses_to_a_surrogate_and_a_page(run, here, written, quick):
    words = ["--layout", "long", "--save", "a.safetensors", "--report", "a.html", "--quiet", "--scale", "linear", "--seed", 3]
    code, out, err = run("fit-synapse", written / "one.csv", *words)
    assert (code, err) == (0, "")
    assert "SET and RESET" in out
    assert "not known:  one device tells nothing of the spread from device to device" in out
    assert out.endswith("saved a.safetensors\nsaved a.html\n")
    assert load("a.safetensors").polarities == ("SET", "RESET")
    assert (here / "a.html").read_text("utf-8").startswith("<!DOCTYPE html>")
    assert (quick[0][1].seed, quick[0][1].scale) == (3, "linear")


def test_ramps_of_either_polarity_are_one_set(run, here, written, quick):
    words = ["--layout", "ramps", "--conductance-unit", "uS", "--save", "a.safetensors", "--quiet"]
    code, _, err = run("fit-synapse", f"SET={written / 'set.csv'}", f"RESET={written / 'reset.csv'}", *words)
    assert (code, err) == (0, "")
    traces = quick[0][0]
    assert [trace.drive["SET"].sum() for trace in traces] == [60] * 3 + [0] * 3
    assert [trace.drive["RESET"].sum() for trace in traces] == [0] * 3 + [60] * 3
    assert {trace.parameters["device"] for trace in traces} == {0.0}
    assert traces[0].unit("conductance") == "S"


def test_a_file_whose_name_begins_like_a_polarity_is_a_file(run, here, written, quick):
    (here / "SET=x.csv").write_text((written / "set.csv").read_text())
    words = ["--layout", "ramps", "--conductance-unit", "uS", "--save", "a.safetensors", "--quiet", "--polarity", "RESET"]
    code, _, _ = run("fit-synapse", "SET=x.csv", *words)
    assert code == 0
    assert quick[0][0][0].drive["RESET"].sum() == 60


def test_separate_files_hold_different_devices(run, here, written, quick):
    words = ["--layout", "ramps", "--conductance-unit", "uS", "--polarity", "SET", "--save", "a.safetensors", "--quiet"]
    run("fit-synapse", written / "set.csv", written / "set.csv", written / "set.csv", "--separate", *words)
    assert [trace.parameters["device"] for trace in quick[0][0]] == [0.0] * 3 + [1.0] * 3 + [2.0] * 3


def test_inspect_says_what_was_understood_and_how_to_fit(run, here, written):
    words = ["--layout", "ramps", "--polarity", "SET", "--conductance-unit", "uS"]
    code, out, _ = run("inspect", written / "set.csv", *words)
    assert code == 0
    assert "3 of 1 device, 61 .. 61 reads each, 183 together" in out
    assert "SET          180 pulses" in out
    assert "by moments: read noise" in out
    assert f"spinode fit-synapse {written / 'set.csv'} {' '.join(words)} --save device.safetensors" in out


def test_virtual_pulses_are_those_of_the_seed(run, here, fitted):
    words = ["--pulses", 20, "--polarity", "RESET", "--devices", 5]
    for name, seed in (("a.csv", 1), ("b.csv", 1), ("c.csv", 2)):
        code, out, err = run("simulate-synapse", fitted, *words, "--seed", seed, "--save", name)
        assert code == 0
        assert "these differ by noise only" in err
        assert out == f"saved {name}: 5 devices, 20 RESET pulses each\n"
    texts = [(here / name).read_text() for name in ("a.csv", "b.csv", "c.csv")]
    assert texts[0] == texts[1] != texts[2]
    traces = read_trace("a.csv", pulses="long")
    expected = pulse_traces(load(fitted), -torch.ones(20), devices=5, generator=seeded(1))
    for trace, other in zip(traces, expected, strict=True):
        np.testing.assert_allclose(trace.output["conductance"], other.output["conductance"], rtol=1e-12)


def test_columns_are_named_by_their_roles(run, here):
    (here / "w.csv").write_text("p,dir,w=1\n" + "".join(f"{k},{'SET' if k else ''},{0.1 * k:.3f}\n" for k in range(40)))
    words = ["--layout", "long", "--column", "pulse=p", "--column", "direction=dir", "--column", "conductance=w=1"]
    code, out, err = run("inspect", "w.csv", *words)
    assert (code, err) == (0, "")
    assert "SET          39 pulses" in out
    assert f"spinode fit-synapse w.csv {' '.join(words)} --save device.safetensors" in out


def test_inspect_says_where_nothing_moves(run, here):
    rising = "".join(f"SET,{5 + 0.1 * k:.1f}\n" for k in range(40))
    (here / "half.csv").write_text("direction,G (uS)\n" + rising + "RESET,8.9\n" * 40)
    code, out, _ = run("inspect", "half.csv", "--layout", "long")
    assert code == 0
    assert "RESET        40 pulses\n             nothing moves" in out
    assert "-0 " not in out
    (here / "flat.csv").write_text("direction,G (uS)\n" + "SET,5\n" * 40)
    code, _, err = run("inspect", "flat.csv", "--layout", "long")
    assert code == 2
    assert "the conductance never changes" in err


def test_inspect_of_pulses_without_a_layout_names_it(run, here, written):
    code, out, err = run("inspect", written / "one.csv")
    assert code == 0
    assert "pass --layout auto (or long, up-down, ramps)." in err
    assert "the recording runs over the sample number" in out


@pytest.mark.parametrize("layout", [[], ["--layout", "auto"]])
def test_inspect_knows_two_columns_named_by_polarity(run, here, layout):
    (here / "both.csv").write_text("SET,RESET\n1,3\n2,2\n3,1\n")
    code, _, err = run("inspect", "both.csv", *layout)
    assert code == (2 if layout else 0)
    assert "pass --layout up-down if they are, or --layout ramps --polarity SET for ramps" in err


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ('pass pulses="auto".', "pass --layout auto."),
        ("pass pulses='up-down' for", "pass --layout up-down for"),
        ("pulses=PulseLayout(layout='ramps', polarity='SET').", "--layout ramps --polarity SET."),
        ("pulses=PulseLayout(..., read_voltage=0.1).", "--read-voltage 0.1."),
        ("for conductances conductance_unit='S', or", "for conductances --conductance-unit S, or"),
        ("PulseLayout(columns={'conductance': 'G (S)'}).", "--column 'conductance=G (S)'."),
        ("columns={'a': ..., 'x': 'y'}", "--column a=... --column x=y"),
        ("units={'G': 'S'}, or PulseLayout(columns=...).", "--unit G=S, or --column."),
        ("with time=, or time=1e-9. The", "with --time, or --time 1e-9. The"),
        ("column with columns=.", "column with --column."),
        ("no option in 'x=3' or 5 s", "no option in 'x=3' or 5 s"),
        ("or units={'time': 'us'} for", "or --unit time=us for"),
    ],
)
def test_messages_speak_of_options(message, expected):
    assert in_options(message) == expected


# Bad input


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fit-synapse", "none.csv", "--save", "a.safetensors"], "none.csv"),
        (["fit-synapse", "{set}", "--layout", "ramps", "--save", "a.safetensors"], "polarity"),
        (["fit-synapse", "{one}", "--save", "{one}"], "is the file that is read"),
        (["fit-synapse", "{one}", "--save", "no/a.safetensors"], "does not exist"),
        (["fit-synapse", "{one}", "--save", "a", "--report", "a"], "both name a"),
        (["fit-synapse", "{one}", "--save", "a", "--scale", "cubic"], "invalid choice"),
        (["fit-synapse", "{one}", "--save", "a", "--layout", "wide"], "invalid choice"),
        (["fit-synapse", "{one}"], "--save"),
        (["fit-synapse", "{one}", "--read-voltage", "-1", "--save", "a.safetensors"], "positive number of volts"),
        (["fit-synapse", "{one}", "--unit", "uS", "--save", "a.safetensors"], "has no '='"),
        (["fit-synapse", "{one}", "--save", "x.txt"], "ends in .safetensors"),
        (["fit-synapse", "UP={one}", "--save", "a.safetensors"], "is SET= or RESET=: SET="),
        (
            ["fit-synapse", "{set}", "--layout", "ramps", "--save", "a.safetensors"],
            "pass --layout ramps --polarity SET or RESET.",
        ),
        (["inspect", "{one}", "--layout", "long", "--polarity", "SET"], "and --polarity SET another; leave"),
        (["inspect", "{one}", "--layout", "long", "--polarity", "SET"], "--column direction=."),
        (["inspect", "{one}", "--layout", "long", "--column", "weight"], "expected ROLE=NAME"),
        (["inspect", "{one}", "--layout", "long", "--column", "pulse=n"], "there is no column 'n' for the pulse"),
        (["inspect", "{one}", "--column", "pulse=n"], "pass --layout too"),
        (["simulate-synapse", "{fitted}", "--pulses", "1001", "--devices", "1000", "--save", "a.csv"], "at most 1000000"),
        (["simulate", "{fitted}", "{one}", "--save", "a.csv"], "`spinode simulate-synapse`"),
        (["inspect", "{one}", "--polarity", "SET"], "pass --layout too"),
        (["inspect", "{one}", "--layout", "long", "--start", "0"], "have no place beside --layout"),
        (["inspect", "{one}", "--layout", "ramps"], "polarity"),
        (["simulate-synapse", "none", "--pulses", "3", "--save", "a.csv"], "the shipped ones are"),
        (["simulate-synapse", "{one}", "--pulses", "3", "--save", "a.csv"], "cannot be read as a surrogate"),
        (["simulate-synapse", "{fitted}", "--pulses", "0", "--save", "a.csv"], "at least 1"),
        (["simulate-synapse", "{fitted}", "--pulses", "3", "--devices", "0", "--save", "a.csv"], "at least 1"),
        (
            ["simulate-synapse", "{fitted}", "--pulses", "3", "--voltage", "1", "--save", "a.csv"],
            "knows none; leave --voltage out",
        ),
        (["simulate-synapse", "{fitted}", "--pulses", "3", "--save", "{fitted}"], "is the file that is read"),
    ],
)
def test_bad_input_ends_in_one_sentence_and_two(run, here, written, fitted, words, message):
    before = fitted.read_bytes()
    names = {"one": written / "one.csv", "set": written / "set.csv", "fitted": fitted}
    code, out, err = run(*[word.format(**names) for word in words])
    assert code == 2
    assert out == ""
    assert err.startswith("spinode: error: ")
    assert err.count("\n") == 1
    assert message in err
    assert list(here.iterdir()) == []
    assert fitted.read_bytes() == before
