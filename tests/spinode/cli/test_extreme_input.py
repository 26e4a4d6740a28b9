"""Extreme input of the command line: errors that no check foresaw, folders, and characters that a terminal does not have."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from spinode.cli import commands
from spinode.datasets import sample_path
from spinode.surrogates import zoo

TABLE = str(sample_path("macrospin.csv"))
MODEL = str(zoo.path("macrospin"))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "there is not enough memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "there is not enough memory"),
        (RecursionError("maximum recursion depth"), "nested too deeply"),
        (OverflowError("int too large"), "a number is too large to be represented (int too large)"),
        (UnicodeEncodeError("ascii", "µ", 0, 1, "ordinal not in range"), "a text cannot be read or written"),
    ],
)
def test_unforeseen_errors_of_extreme_input_are_one_sentence(run, monkeypatch, error, message):
    def fail(arguments):
        raise error

    monkeypatch.setattr(commands.load("inspect"), "run", fail)
    code, out, err = run("inspect", "t.csv")
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("error", [AttributeError("x"), TypeError("x"), RuntimeError("x"), ValueError("x")])
def test_faults_of_the_program_keep_their_traceback(run, monkeypatch, error):
    def fail(arguments):
        raise error

    monkeypatch.setattr(commands.load("inspect"), "run", fail)
    with pytest.raises(type(error), match="x"):
        run("inspect", "t.csv")


def test_characters_that_the_terminal_does_not_have_are_replaced(here, monkeypatch):
    from spinode.cli import main

    (here / "ümläut µ.csv").write_bytes(Path(TABLE).read_bytes())
    output = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(output, encoding="ascii"))
    assert main(["inspect", "ümläut µ.csv"]) == 0
    assert b"?ml?ut ?.csv" in output.getvalue()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluate", ".", TABLE], ". is a folder; expected the file of a surrogate"),
        (["simulate", ".", TABLE, "--save", "o.csv"], ". is a folder; expected the file of a surrogate"),
        (
            ["simulate", MODEL, TABLE, "--drive", "Ku", "--time", "1e-6", "--resample", "--save", "o.csv"],
            "the values between the samples are unknown",
        ),
        (["inspect", TABLE, "--start", "abc"], "start is 'abc'; expected a number"),
    ],
)
def test_input_that_cannot_be_used_is_refused(run, here, words, message):
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("macrospin", "a surrogate of a driven device, not a recording; see `spinode evaluate"),
        ("tio2-nili", "a surrogate of a memory device"),
    ],
)
def test_inspect_names_a_saved_surrogate(run, name, message):
    code, out, err = run("inspect", zoo.path(name))
    assert (code, err) == (0, "")
    assert message in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["qnn", "--settings", "rat=1"], "a setting of qnn is 'rat'; expected one of levels, metaplasticity, relative_rate"),
        (["bnn", "--settings", "norn=1"], "Did you mean 'norm'?"),
        (["sgd", "--settings", "seed=1"], "seed is not a setting of sgd"),
    ],
)
def test_unknown_settings_of_a_learner_are_listed(run, words, message):
    code, _, err = run("train", *words, "--stream", "made-digits", "--quiet")
    assert code == 2
    assert message in err
    assert len(err.splitlines()) == 1
