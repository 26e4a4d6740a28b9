"""How two identities (`spinode.identity`) differ, entry by entry and in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_DIGEST = " sha256 "
_ABSENT = "absent"
#: Names of entries that describe classes and functions.
_CODE = ("class", "function", "code")
#: Longest text of a value in a message, and most differences in it.
_MAX_SHOWN, _MAX_NAMED = 60, 3


@dataclass(frozen=True)
class Difference:
    """An entry in which two identities differ.

    Attributes:
        path: Where it is, such as "learner.settings.rate".
        before: Its value in the identity that is stored, in words.
        now: Its value in the identity at hand, in words.
        is_code: True for classes and functions, and for what these consist of.
        is_readable: True for a setting; False for data, weights and code, which are known by their digests.
        is_new: True if the stored identity does not have it.
    """

    path: str
    before: str
    now: str
    is_code: bool
    is_readable: bool
    is_new: bool

    def __str__(self) -> str:
        """Return the difference in words."""
        if self.before != self.now:
            return f"{self.path} is {self.before} in the checkpoint and {self.now} here"
        return f"{self.path} has other {'code' if self.is_code else 'values'}"


def differences(before: Any, now: Any) -> list[Difference]:
    """Return the entries in which two identities differ, in the order of the second.

    Example:
        >>> [str(each) for each in differences({"seed": 0, "rate": 0.1}, {"seed": 1, "rate": 0.1})]
        ['seed is 0 in the checkpoint and 1 here']
    """
    return _compare(before, now, "")


def describe_differences(found: Sequence[Difference]) -> str:
    """Return the first differences in words, settings before data and data before code, and the number of the others."""
    ordered = sorted(found, key=lambda each: (each.is_code, not each.is_readable))
    rest = len(ordered) - _MAX_NAMED
    return "; ".join([*map(str, ordered[:_MAX_NAMED]), *([f"{rest} more"] if rest > 0 else [])])


def _compare(before: Any, now: Any, path: str) -> list[Difference]:
    if isinstance(before, dict) and isinstance(now, dict):
        if any(isinstance(before.get(name), str) and before[name] != now.get(name) for name in ("class", "function")):
            return [_difference(path, before, now, True)]  # another class or function: its parts do not compare
        if "function" in now:
            path = f"{path} ({now['function']})"
        names = [*now, *(name for name in before if name not in now)]
        pairs = [(name, before.get(name, _Absent), now.get(name, _Absent)) for name in names]
    elif isinstance(before, list) and isinstance(now, list):
        filled = [[*values, *[_Absent] * (len(other) - len(values))] for values, other in ((before, now), (now, before))]
        pairs = [(str(index), *both) for index, both in enumerate(zip(*filled, strict=True))]
    elif _is_same(before, now):
        return []
    else:
        return [_difference(path, before, now, False)]
    return [found for name, old, new in pairs for found in _compare(old, new, f"{path}.{name}".lstrip("."))]


class _Absent:
    """Stands for an entry that an identity does not have."""


def _difference(path: str, before: Any, now: Any, is_code: bool) -> Difference:
    parts = path.split(".")
    is_code = is_code or "class" in parts or parts[-1] in _CODE
    is_readable = not is_code and not any(_DIGEST in str(value) for value in (before, now))
    path = path.removesuffix(".code") or "it"
    return Difference(path, _in_words(before), _in_words(now), is_code, is_readable, before is _Absent)


def _is_same(before: Any, now: Any) -> bool:
    if isinstance(before, float) and isinstance(now, float) and math.isnan(before) and math.isnan(now):
        return True
    return bool(before == now) and isinstance(before, bool) == isinstance(now, bool)


def _in_words(value: Any) -> str:
    if value is _Absent:
        return _ABSENT
    if isinstance(value, dict):
        named = next((value[name] for name in ("class", "function") if name in value), None)
        if named is not None:
            return _in_words(named)
    if isinstance(value, str) and _DIGEST in value:
        return value.partition(_DIGEST)[0]
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 3]}..."
