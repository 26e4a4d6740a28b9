"""Libraries that read a format and are not installed with the package: an extra each."""

from __future__ import annotations

import importlib
import logging
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
def overheard(package: str) -> Iterator[list[str]]:
    """What a library logs as warnings, kept instead of shown."""
    said: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    names = [name for name in list(logging.root.manager.loggerDict) if name == package or name.startswith(f"{package}.")]
    loggers = [logging.getLogger(name) for name in names]
    before = [(logger, logger.handlers[:], logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [Keep(logging.WARNING)], False
    try:
        yield said
    finally:
        for logger, handlers, propagate in before:
            logger.handlers, logger.propagate = handlers, propagate


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
