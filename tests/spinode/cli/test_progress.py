"""Progress lines: live on a terminal, plain elsewhere, none if quiet."""

from __future__ import annotations

import argparse
import io
import sys

import pytest

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
