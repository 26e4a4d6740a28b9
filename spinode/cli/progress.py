"""Progress of commands: one live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import re
import sys
import time
from collections.abc import Iterator
from typing import Any

from ..durations import in_words
from ..typing import Progress

#: Seconds between two lines of progress where there is no terminal.
EVERY = 10.0

_TIME_LEFT = re.compile(r"about \d+ s left")


@contextlib.contextmanager
def show_progress(arguments: Any) -> Iterator[Progress]:
    """Yield a function that shows lines of progress on stderr.

    On a terminal, or with `--progress`, the newest line is live: tqdm cuts it to the width of the terminal and adds the elapsed
    time. Elsewhere, as in the log of a batch job, results are printed at once, and of the lines between them one in
    `EVERY` seconds, with the elapsed time. With `--quiet` nothing is shown.
    """
    if arguments.quiet:
        yield lambda line: None
    elif arguments.progress or sys.stderr.isatty():
        with _live_line("{desc} [{elapsed}]", keep=True) as show:
            yield show
    else:
        yield _sparse_lines()


@contextlib.contextmanager
def show_transient() -> Iterator[Progress | None]:
    """Yield a function that shows a line on a terminal and removes it at the end; None where there is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    with _live_line("{desc}", keep=False) as show:
        yield show


def _sparse_lines() -> Progress:
    """Return a function that prints results, and of passing lines so few that a log stays short."""
    begun = printed = time.monotonic()
    left = ""

    def show(line: str) -> None:
        nonlocal printed, left
        now = time.monotonic()
        if found := _TIME_LEFT.search(line):
            left = found[0]
        if "step" in line or line.startswith("search"):
            if now - printed < EVERY:
                return
            line = f"[{in_words(now - begun)}] {line}" + (
                f"  ({left} at the last estimate)" if left and left not in line else ""
            )
        printed = now
        print(line, file=sys.stderr, flush=True)

    return show


@contextlib.contextmanager
def _live_line(form: str, *, keep: bool) -> Iterator[Progress]:
    from tqdm import tqdm

    with tqdm(total=0, bar_format=form, dynamic_ncols=True, leave=keep, file=sys.stderr) as bar:
        yield bar.set_description_str
