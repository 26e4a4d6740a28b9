"""Progress of commands: one live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from ..typing import Progress


@contextlib.contextmanager
def show_progress(arguments: Any) -> Iterator[Progress]:
    """Yield a function that shows lines of progress on stderr.

    On a terminal, or with `--progress`, the newest line is live: tqdm cuts it to the width of the terminal and adds the elapsed
    time. Elsewhere, as in the log of a batch job, only results are printed, since tqdm has no such mode. With
    `--quiet` nothing is shown.
    """
    if arguments.quiet:
        yield lambda line: None
    elif arguments.progress or sys.stderr.isatty():
        with _live_line("{desc} [{elapsed}]", keep=True) as show:
            yield show
    else:
        yield lambda line: None if "step" in line or line.startswith("search") else print(line, file=sys.stderr, flush=True)


@contextlib.contextmanager
def show_transient() -> Iterator[Progress | None]:
    """Yield a function that shows a line on a terminal and removes it at the end; None where there is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    with _live_line("{desc}", keep=False) as show:
        yield show


@contextlib.contextmanager
def _live_line(form: str, *, keep: bool) -> Iterator[Progress]:
    from tqdm import tqdm

    with tqdm(total=0, bar_format=form, dynamic_ncols=True, leave=keep, file=sys.stderr) as bar:
        yield bar.set_description_str
