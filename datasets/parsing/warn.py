"""Warnings that point to the line of the user."""

from __future__ import annotations

import sys
import warnings

from ...errors import TraceWarning

_PACKAGE = __name__.partition(".")[0]


def warn_user(message: str) -> None:
    """Issue a `TraceWarning` at the first caller outside of this package."""
    level = 2  # the caller of this function
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, TraceWarning, stacklevel=level)
