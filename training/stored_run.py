"""`check_stored`: the contents of a checkpoint file have the entries that resuming needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import ConfigError
from ..validation import is_number, is_whole_number

Check = Callable[[Any], bool]


def _each(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(check(each) for each in value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_dictionary(value: Any) -> bool:
    return isinstance(value, dict)


def _is_count(value: Any) -> bool:
    return is_whole_number(value) and value >= 1


def _are_scores(value: Any) -> bool:
    if not isinstance(value, dict) or not _each(is_number)(value.get("seconds")) or not _is_dictionary(value.get("detection")):
        return False
    matrices = value.get("matrices")
    return isinstance(matrices, dict) and all(_is_matrix(each) for each in matrices.values())


def _is_matrix(stored: Any) -> bool:
    if not isinstance(stored, dict):
        return False
    values, untrained = stored.get("values"), stored.get("untrained")
    return isinstance(values, Tensor) and isinstance(untrained, Tensor) and values.shape == (len(untrained), len(untrained))


#: The entries that a checkpoint needs, by the path to them.
_ENTRIES: Mapping[tuple[str, ...], Check] = {
    ("state_dict",): _is_dictionary,
    ("loops", "fit_loop"): _is_dictionary,
    ("epoch",): is_whole_number,
    ("global_step",): is_whole_number,
    ("callbacks",): _is_dictionary,
    ("optimizer_states",): _each(_is_dictionary),
    ("learner", "generators"): lambda value: isinstance(value, dict) and all(isinstance(v, Tensor) for v in value.values()),
    ("stream", "seconds"): is_number,
    ("stream", "scores"): _are_scores,
    ("stream", "counts"): _each(_is_count),
    ("stream", "tasks"): _each(_is_text),
    ("stream", "between passes"): _is_flag,
    ("stream", "consolidated"): _is_flag,
    ("stream", "history"): _each(_is_text),
    ("stream", "parent"): _is_text,
}


def check_stored(stored: Mapping[str, Any], path: Path) -> None:
    """Check the entries of a checkpoint.

    Args:
        stored: Contents of the file.
        path: The file, for the message.

    Raises:
        ConfigError: an entry is missing or of another type.
    """
    for names, check in _ENTRIES.items():
        value: Any = stored
        for name in names:
            value = value.get(name) if isinstance(value, dict) else None
        if not check(value):
            raise ConfigError(
                f"the checkpoint {path} is damaged: its entry {': '.join(names)} is missing or has another form. Pass another "
                "folder, or delete it to start again."
            )
    state = stored["stream"]
    if len(state["scores"]["seconds"]) > len(state["counts"]) or len(state["tasks"]) > len(state["counts"]):
        raise ConfigError(
            f"the checkpoint {path} is damaged: it has results of more tasks than the run. Pass another folder, or delete it "
            "to start again."
        )
