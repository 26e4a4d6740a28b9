"""Optional libraries that read a format: imported on demand, with one kind of error for all of their failures."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ...errors import SpinodeError, TraceError


def import_library(name: str, extra: str, file_kind: str) -> Any:
    """Import a library that is not a dependency of the package.

    Args:
        name: Module to import.
        extra: Extra of this package that installs it.
        file_kind: The kind of file that needs it, for the message.

    Raises:
        TraceError: it is not installed; with the command that installs it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise TraceError(
            f"this is {file_kind}, which {name.partition('.')[0]} reads, and that is not installed ({error}); run "
            f"pip install 'spinode[{extra}]', or export the data as CSV."
        ) from None


@contextmanager
def captured_warnings(package: str) -> Iterator[list[str]]:
    """Collect the warnings that a library logs instead of showing them."""
    messages: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    names = [name for name in list(logging.root.manager.loggerDict) if name == package or name.startswith(f"{package}.")]
    loggers = [logging.getLogger(name) for name in names]
    before = [(logger, logger.handlers[:], logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [Collector(logging.WARNING)], False
    try:
        yield messages
    finally:
        for logger, handlers, propagate in before:
            logger.handlers, logger.propagate = handlers, propagate


@contextmanager
def translated_errors(file_kind: str) -> Iterator[None]:
    """Turn any failure of a library into one sentence: on damaged files libraries raise errors of every kind.

    Raises:
        TraceError: any error raised within.
    """
    try:
        yield
    except (SpinodeError, KeyboardInterrupt):
        raise
    except MemoryError:
        raise TraceError(f"this {file_kind} claims more values than fit into memory; is it damaged?") from None
    except BaseException as error:
        # A panic of a library in Rust is no Exception: https://pyo3.rs/v0.27.0/doc/pyo3/panic/struct.PanicException.html
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        reason = " ".join(str(error).split())[:200] or "no reason given"
        raise TraceError(
            f"this {file_kind} is damaged, cut off, or of a kind that is not read ({type(error).__name__}: {reason})."
        ) from None
