"""Progress lines: live on a terminal, plain elsewhere, none if quiet."""

from __future__ import annotations

import argparse
import io
import sys

import numpy as np
import pytest

from spinode.cli import progress
from spinode.cli.progress import show_progress, show_transient

LINES = ["restart 1, stage 1, step 1: 0.5", "restart 1, stage 1, step 2: 0.4", "restart 1 of 4: NRMSE 0.03"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(monkeypatch, stream, *, progress=False, quiet=False):
    monkeypatch.setattr(sys, "stderr", stream)
    with show_progress(argparse.Namespace(progress=progress, quiet=quiet)) as show:
        for line in LINES:
            show(line)
    return stream.getvalue()


def test_plain_lines_where_there_is_no_terminal(monkeypatch):
    assert shown(monkeypatch, io.StringIO()) == LINES[-1] + "\n"


def test_a_log_gets_a_line_of_progress_every_ten_seconds(monkeypatch):
    clock = iter(np.arange(0.0, 400.0, 3.0))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    lines = ["search 10 %, about 90 s left  delay order 2", *(f"step {k}/15" for k in range(10)), "kept restart 1"]
    with show_progress(argparse.Namespace(progress=False, quiet=False)) as show:
        for line in lines:
            show(line)
    printed = sys.stderr.getvalue().splitlines()
    assert [line.partition("] ")[2].partition("  ")[0] for line in printed[:-1]] == ["step 2/15", "step 6/15"]
    assert all("about 90 s left" in line for line in printed[:-1])
    assert printed[-1] == "kept restart 1"


@pytest.mark.parametrize(("stream", "progress"), [(Terminal, False), (io.StringIO, True)])
def test_live_line(monkeypatch, stream, progress):
    text = shown(monkeypatch, stream(), progress=progress)
    assert "\r" in text
    assert LINES[-1] in text


@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_quiet_shows_nothing(monkeypatch, stream):
    assert shown(monkeypatch, stream(), quiet=True, progress=True) == ""


def test_transient_line_needs_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with show_transient() as show:
        assert show is None
