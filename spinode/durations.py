"""Durations in plain words, for messages."""

from __future__ import annotations

import math


def in_words(seconds: float) -> str:
    """Return a duration in plain words.

    Example:
        >>> in_words(7200.0), in_words(2.5e-8), in_words(40.0)
        ('2 hours', '25 nanoseconds', '40 seconds')
    """
    steps = (
        (31_557_600.0, "year"), (86_400.0, "day"), (3600.0, "hour"), (60.0, "minute"), (1.0, "second"), (1e-3, "millisecond"),
        (1e-6, "microsecond"), (1e-9, "nanosecond"), (1e-12, "picosecond"),
    )  # fmt: skip
    if not (math.isfinite(seconds) and seconds > 0):
        return f"{seconds:g} seconds"
    # Two of a larger unit are easier to read than 120 of a smaller one.
    size, word = next(((size, word) for size, word in steps if seconds >= (2 * size if size > 1 else size)), steps[-1])
    count = f"{seconds / size:.3g}"
    return f"{count} {word}{'' if count == '1' else 's'}"
