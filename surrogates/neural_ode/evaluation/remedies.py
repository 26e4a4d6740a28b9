"""What to do about a doubt: the command to type, and nothing that the fit has already tried.

A remedy ends with its command. Upper-case words stand for what only a command line knows: FITTED for the recordings of the fit
with their options, SEARCHED for the same without those that restrict the search, TABLE for the recording that was scored,
SURROGATE for the model, FILE for a new one. `Names` fills them in.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

OTHER_RECORDING = "Score a recording that the fit has not used; spinode evaluate takes any with the same channels."
MORE_DATA = "Record more data of this kind and fit old and new files together; spinode fit takes several."
OTHER_FIT = "Fit this recording: spinode fit TABLE --save FILE."
LOOK_AT_DRIVE = "Record a response to the drive, after a look at whether it is the right channel: spinode inspect TABLE"
COVERING_FIT = "Fit this recording, too: spinode fit FITTED TABLE --save FILE."

#: Options of `spinode fit` that restrict the structure search.
STRUCTURE = ("--embedding", "--order", "--hidden", "--ridge", "--windows")

_FIT = re.compile(r"spinode fit (FITTED TABLE|FITTED|SEARCHED|TABLE)((?: --(?!save )[\w-]+ \S+)*) --save FILE\.?")


@dataclass(frozen=True)
class Names:
    """What a command line knows of the placeholders of remedies.

    Attributes:
        fitted: Words of `spinode fit` for the recordings of the fit, an option with its values in one group; empty if unknown.
        table: Words for the recording that was scored: its file, then one group for each option of reading it.
        channels: Groups of the options that name drives and outputs of the recording.
        surrogate: File of the model.
        save: File for another model.

    Example:
        >>> names = Names(fitted=(("my data.csv",), ("--drive", "V"), ("--effort", "quick")), save="m-2.safetensors")
        >>> names.fill(better_fit({"search": [{}]}))
        "Search longer: spinode fit 'my data.csv' --drive V --effort long --save m-2.safetensors"
        >>> Names().fill(better_fit({"search": [{}]}))
        'Search longer: the command of the fit again, with --effort long and a new --save.'
    """

    fitted: tuple[tuple[str, ...], ...] = ()
    table: tuple[tuple[str, ...], ...] = (("TABLE",),)
    channels: tuple[tuple[str, ...], ...] = ()
    surrogate: str = "SURROGATE"
    save: str = "FILE"

    def fill(self, remedy: str) -> str:
        """Return a remedy whose command runs as typed."""
        other = "".join(remedy.partition(" --")[1:])
        words = {
            "SURROGATE TABLE": f"{shlex.quote(self.surrogate)} {_words([*self.table, *self.channels], other)}",
            "inspect TABLE": f"inspect {_words(self.table, other)}",
        }
        filled = re.sub("|".join(words), lambda found: words[found[0]], _FIT.sub(self._fit, remedy))
        return filled.removesuffix(".") if filled != remedy and "spinode evaluate" in filled else filled

    def _fit(self, found: re.Match[str]) -> str:
        which, options = found[1], found[2]
        end = f"{options} --save {shlex.quote(self.save)}"
        if which == "TABLE":
            return f"spinode fit {_words([*self.table, *self.channels], end)}{end}"
        file = self.table[:1] if which == "FITTED TABLE" else ()
        if self.fitted:
            left_out = " ".join(STRUCTURE) if which == "SEARCHED" else ""
            return f"spinode fit {_words([*file, *self.fitted], f'{end} {left_out}')}{end}"
        further = [f"{_words(file, '')} as a further file"] if file else []
        with_ = " and ".join([*further, *([options.strip()] if options else []), "a new --save"])
        without = " and without --embedding and --order" if which == "SEARCHED" else ""
        return f"the command of the fit again, with {with_}{without}."


def _words(groups: Sequence[tuple[str, ...]], given: str) -> str:
    """Return groups of words for a shell, without the options that are given otherwise."""
    return shlex.join(word for group in groups if group[0] not in given.split() for word in group)


def better_fit(record: Mapping[str, Any]) -> str:
    """Return how to obtain a better fit: a longer search if the longest was not made, more data otherwise.

    Args:
        record: Record of the fit.

    Example:
        >>> better_fit({"search": [{}], "effort": "default"})
        'Search longer: spinode fit FITTED --effort long --save FILE.'
        >>> better_fit({"search": [{}], "effort": "long"}) == MORE_DATA
        True
    """
    if not record.get("search"):
        return "Fit again with the structure search: spinode fit SEARCHED --effort long --save FILE."
    config = record.get("config") or {}
    if any(config.get(name) is not None for name in ("embedding", "order")):
        return f"Let the search choose embedding and order: spinode fit SEARCHED --effort {effort_of(record)} --save FILE."
    if effort_of(record) == "long":
        return MORE_DATA
    return "Search longer: spinode fit FITTED --effort long --save FILE."


def wider_intervals(record: Mapping[str, Any], members: int, calibrated: bool) -> str:
    """Return how to obtain intervals that cover more.

    Args:
        record: Record of the fit.
        members: Size of the ensemble.
        calibrated: The intervals grow with the time since the start and the distance from the fitted data.
    """
    if not calibrated:
        return "The file is of an older version; fit again: spinode fit FITTED --save FILE."
    if members == 1 and kind_of(record) != "memristive":
        return "Keep several fits, whose differences widen it where they disagree: spinode fit FITTED --members 3 --save FILE."
    return MORE_DATA


def more_restarts(record: Mapping[str, Any]) -> str:
    """Return how to obtain a model whose response under other drives is known better."""
    config = record.get("config") or {}
    members = config.get("members", 1)
    if (isinstance(members, int) and members > 1) or kind_of(record) == "memristive":
        return "Record a drive like that of the application and fit old and new files together; spinode fit takes several."
    return (
        "Fit a recording under a drive like that of the application, too; or keep several fits, whose median is closer and "
        "whose spread shows the difference: spinode fit FITTED --members 3 --save FILE."
    )


def held_out_part(stop: str) -> str:
    """Return how to score a part that the fit has not used, from a time on."""
    return f"Score another recording, or the part that was not fitted: spinode evaluate SURROGATE TABLE --start {stop}."


def kind_of(record: Mapping[str, Any]) -> str:
    """Return the embedding of a fit."""
    return str((record.get("structure") or {}).get("embedding") or "")


def effort_of(record: Mapping[str, Any]) -> str:
    """Return the effort of the structure search."""
    config = record.get("config") or {}
    return str(record.get("effort") or config.get("effort") or "default")
