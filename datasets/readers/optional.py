"""Libraries that read a format and are not installed with the package: an extra each."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ...errors import SpinodeError, TraceError


def library(name: str, extra: str, what: str) -> Any:
    """A library, imported.

    Raises:
        TraceError: it is not installed; with the command that does.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise TraceError(
            f"this is {what}, which {name.partition('.')[0]} reads, and that is not installed ({error}); run "
            f"pip install 'spinode[{extra}]', or export the data as CSV."
        ) from None


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """Any failure of a library in one sentence: what it raises on damaged files is of every kind.

    Raises:
        TraceError: whatever was raised within.
    """
    try:
        yield
    except (SpinodeError, KeyboardInterrupt):
        raise
    except MemoryError:
        raise TraceError(f"this {what} claims more values than memory holds; is it damaged?") from None
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or "no reason given"
        raise TraceError(
            f"this {what} is damaged, cut off, or of a kind that is not read ({type(error).__name__}: {reason})."
        ) from None
