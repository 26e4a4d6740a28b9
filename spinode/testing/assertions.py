"""Assertions of the conformance tests."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


def assert_refuses(kind: type[Exception], run: Callable[[], Any]) -> None:
    """Assert that a call raises this error with an informative message."""
    try:
        run()
    except kind as error:
        if len(str(error)) > 20:
            return
        raise AssertionError(f"the message of {kind.__name__} is too short: {error}") from error
    raise AssertionError(f"expected {kind.__name__}, but nothing was raised")


@contextmanager
def recorded_warnings() -> Iterator[list[warnings.WarningMessage]]:
    """Record all warnings raised within a `with` block."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught
