"""The commands that `spinode demo` prints run as typed in its folder."""

from __future__ import annotations

import shlex
import shutil

import pytest

from spinode.cli.commands import demo
from spinode.datasets import sample_path
from spinode.surrogates import zoo


@pytest.fixture(autouse=True)
def served(monkeypatch):
    """Let `spinode view` end at once, without a browser."""
    monkeypatch.setattr("webbrowser.open", lambda address: True)
    monkeypatch.setattr("spinode.cli.view.server.ViewServer.serve_forever", lambda self: None)


@pytest.mark.parametrize("command", demo.NEXT)
def test_commands_to_go_on_with_run_as_typed(run, here, command):
    # The folder as the demo leaves it, with the shipped surrogate in place of half a minute of fitting.
    for path in (sample_path("macrospin.csv"), sample_path("macrospin_held.csv"), zoo.path("macrospin")):
        shutil.copyfile(path, here / path.name)
    before = set(here.iterdir())
    words = shlex.split(command)
    assert words[0] == "spinode"
    code, out, err = run(*words[1:])
    assert code == 0, err
    saved = words[words.index("--save") + 1] if "--save" in words else words[-1] if words[1] == "export" else None
    assert out
    assert {path.name for path in set(here.iterdir()) - before} == ({saved} if saved else set())


def test_the_demo_ends_with_the_commands_and_leaves_what_they_read(run, here, monkeypatch):
    surrogate = zoo.open("macrospin")
    monkeypatch.setattr("spinode.surrogates.neural_ode.fitting.fit.fit", lambda trace, **options: surrogate)
    code, out, err = run("demo", "--folder", "my demo", "--quiet")
    assert code == 0, err
    ending = [line.strip() for line in out.split("To go on:\n")[1].splitlines()]
    assert ending == ["cd 'my demo'", *demo.NEXT]
    assert {"macrospin.csv", "macrospin_held.csv", "macrospin.safetensors"} <= {
        path.name for path in (here / "my demo").iterdir()
    }
