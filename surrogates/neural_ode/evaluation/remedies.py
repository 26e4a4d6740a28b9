"""What to do about a doubt: the command to type, and nothing that the fit has already tried."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OTHER_RECORDING = "Score another recording: spinode evaluate SURROGATE TABLE."
MORE_DATA = "Record more data of this kind and fit them together: spinode fit OLD NEW --save FILE."
OTHER_FIT = "Fit this recording: spinode fit TABLE --save FILE."
COVERING_FIT = "Fit a recording that covers it, too: spinode fit OLD NEW --save FILE."


def better_fit(record: Mapping[str, Any]) -> str:
    """Return how to obtain a better fit: a longer search if the longest was not made, more data otherwise.

    Args:
        record: Record of the fit.

    Example:
        >>> better_fit({"search": [{}], "effort": "default"})
        'Search longer: spinode fit TABLE --effort long --save FILE.'
        >>> better_fit({"search": [{}], "effort": "long"}) == MORE_DATA
        True
    """
    if not record.get("search"):
        return "Fit again with the structure search: spinode fit TABLE --effort long --save FILE."
    if effort_of(record) == "long":
        return MORE_DATA
    return "Search longer: spinode fit TABLE --effort long --save FILE."


def wider_intervals(record: Mapping[str, Any], members: int, calibrated: bool) -> str:
    """Return how to obtain intervals that cover more.

    Args:
        record: Record of the fit.
        members: Size of the ensemble.
        calibrated: The intervals grow with the time since the start and the distance from the fitted data.
    """
    if not calibrated:
        return "The file is of an older version; fit again: spinode fit TABLE --save FILE."
    if members == 1:
        return "Keep several fits, whose differences widen it where they disagree: spinode fit TABLE --members 3 --save FILE."
    return MORE_DATA


def more_restarts(record: Mapping[str, Any]) -> str:
    """Return how to obtain a model whose response under other drives is known better."""
    config = record.get("config") or {}
    members = config.get("members", 1)
    if isinstance(members, int) and members > 1:
        return "Fit a recording under a drive like that of the application, too: spinode fit OLD NEW --save FILE."
    return (
        "Keep several fits, whose median is closer and whose spread shows the difference: "
        "spinode fit TABLE --members 3 --save FILE; or fit a recording under a drive like that of the application, too."
    )


def held_out_part(stop: str) -> str:
    """Return how to score a part that the fit has not used, from a time on."""
    return f"Score another recording, or a part that was not fitted: spinode evaluate SURROGATE TABLE --start {stop}."


def effort_of(record: Mapping[str, Any]) -> str:
    """Return the effort of the structure search."""
    config = record.get("config") or {}
    return str(record.get("effort") or config.get("effort") or "default")
