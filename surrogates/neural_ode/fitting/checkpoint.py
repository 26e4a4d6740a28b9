"""The resumable state of a fit: finished stages of each restart, and the stage under way."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from torch import Tensor

from ....checkpoint import CheckpointFile
from .levenberg_marquardt import Damping


class Checkpoint:
    """Progress of a fit by (restart, stage): finished stages, the unfinished one, and small notes.

    Without a path everything stays in memory.

    Args:
        path: File, or None.
        identity: What shapes the result: data, settings, field; a file with another identity is refused.

    Attributes:
        every: Seconds between two writes of an unfinished stage, and so the largest loss of a killed run.

    Raises:
        FitError: the file is damaged, or belongs to other data, settings or code.
        TraceError: the file cannot be written.
    """

    every = 2.0

    def __init__(self, path: str | Path | None, identity: dict[str, Any]) -> None:
        self._file = CheckpointFile(path, identity)
        self._last_write = 0.0

    @property
    def path(self) -> Path | None:
        """The file, or None."""
        return self._file.path

    @property
    def resumed(self) -> bool:
        """True if there is anything to resume from."""
        return bool(self._file.notes)

    def load_note(self, name: str) -> Any:
        """Return a note, or None."""
        return self._file.notes.get(name)

    def save_note(self, name: str, value: Any) -> None:
        """Store a note, as plain JSON."""
        self._file.notes[name] = value
        self._write(force=True)

    def load_stage(self, restart: int, stage: int) -> tuple[Tensor, dict[str, Any]] | None:
        """Return weights and history entry of a finished stage, or None."""
        key = f"{restart}.{stage}"
        entry = self._file.notes.get(f"stage.{key}")
        return None if entry is None else (self._file.tensors[f"theta.{key}"], entry)

    def save_stage(self, restart: int, stage: int, theta: Tensor, entry: dict[str, Any]) -> None:
        """Store the result of a finished stage."""
        key = f"{restart}.{stage}"
        self._file.tensors[f"theta.{key}"] = theta.detach().clone()
        self._file.notes[f"stage.{key}"] = entry
        self._file.notes.pop("under_way", None)
        for name in ("now.theta", "now.shifts"):
            self._file.tensors.pop(name, None)
        self._write(force=True)

    def load_progress(self, restart: int, stage: int) -> tuple[Tensor, Tensor, Damping] | None:
        """Return weights, shifts and damping of an interrupted stage, or None."""
        unfinished = self._file.notes.get("under_way")
        if unfinished is None or unfinished["where"] != [restart, stage]:
            return None
        return self._file.tensors["now.theta"], self._file.tensors["now.shifts"], Damping(**unfinished["damping"])

    def save_progress(self, restart: int, stage: int, theta: Tensor, shifts: Tensor, damping: Damping) -> None:
        """Store the state of an unfinished stage; it is written to the file every few seconds."""
        self._file.notes["under_way"] = {"where": [restart, stage], "damping": dict(vars(damping))}
        self._file.tensors["now.theta"] = theta.detach().clone()
        self._file.tensors["now.shifts"] = shifts.detach().clone()
        self._write(force=False)

    def _write(self, *, force: bool) -> None:
        if force or time.monotonic() - self._last_write >= self.every:
            self._file.write()
            self._last_write = time.monotonic()

    def remove(self) -> None:
        """Delete the file, if it exists."""
        self._file.remove()
