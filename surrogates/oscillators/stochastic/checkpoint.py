"""The resumable state of a stochastic fit: finished orders, and the order under way."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from torch import Tensor

from ....checkpoint import CheckpointFile

_TENSOR = "tensor:"  # a string that begins so stands for the tensor of that name


class Checkpoint:
    """The finished orders of a fit and the state of the one under way; kept in memory alone without a path.

    Args:
        path: File; None keeps everything in memory.
        identity: Everything that determines the result: data, settings.

    Attributes:
        finished: By order: the weights that were kept and their score.
        current: The state of the order under way, None between orders.

    Raises:
        FitError: the file is damaged, or belongs to other data or settings.
        TraceError: the file cannot be written.
    """

    #: Seconds between two writes: the most work that a killed fit loses.
    every = 2.0

    def __init__(self, path: str | Path | None, identity: dict[str, Any]) -> None:
        self._file = CheckpointFile(path, identity)
        state = _unpacked(self._file.notes.get("state", {}), self._file.tensors)
        self.finished: dict[str, Any] = state.get("finished", {})
        self.current: dict[str, Any] | None = state.get("current")
        self._written = 0.0

    def update(self, current: dict[str, Any]) -> None:
        """Record the state of the order under way; it is written every few seconds."""
        self.current = current
        if time.monotonic() - self._written >= self.every:
            self._write()

    def finish(self, order: int, result: dict[str, Any]) -> None:
        """Record the result of an order and write the file."""
        self.finished[str(order)] = result
        self.current = None
        self._write()

    def _write(self) -> None:
        tensors: dict[str, Tensor] = {}
        self._file.notes = {"state": _packed({"finished": self.finished, "current": self.current}, tensors)}
        self._file.tensors = tensors
        self._file.write()
        self._written = time.monotonic()


def _packed(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Return a nested value as JSON, its tensors moved to `tensors` and replaced by their names."""
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().clone().contiguous()
        return _TENSOR + name
    if isinstance(value, dict):
        return {str(key): _packed(item, tensors) for key, item in value.items()}
    return [_packed(item, tensors) for item in value] if isinstance(value, (list, tuple)) else value


def _unpacked(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Return the nested value that `_packed` has taken apart."""
    if isinstance(value, str) and value.startswith(_TENSOR):
        return tensors[value.removeprefix(_TENSOR)]
    if isinstance(value, dict):
        return {key: _unpacked(item, tensors) for key, item in value.items()}
    return [_unpacked(item, tensors) for item in value] if isinstance(value, list) else value
